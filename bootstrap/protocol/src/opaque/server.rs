//! The server's side: about a millisecond of arithmetic per step, no stretching, no IO.

use callbook_overlay::key::NetworkId;
use callbook_overlay::name::Username;
use opaque_ke::{
    CredentialFinalization, CredentialRequest, RegistrationRequest, RegistrationUpload, ServerLogin,
    ServerLoginParameters, ServerRegistration, ServerSetup,
};
use rand_opaque::rngs::OsRng;
use zeroize::Zeroizing;

use super::{CONTEXT, OpaqueError, Suite, array, error, identifiers};

/// The secret that all login servers of a network share. Lost, every account must enrol again; leaked
/// together with the database, passwords can be guessed offline.
pub struct ServerKeys(ServerSetup<Suite>);

/// What the server remembers between the two messages of a login.
pub struct LoginState(Zeroizing<Vec<u8>>);

/// What only the two sides of a finished login know.
pub struct SessionKey(Zeroizing<Vec<u8>>);

impl SessionKey {
    /// The key's 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl ServerKeys {
    /// Draws new ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(ServerSetup::new(&mut OsRng))
    }

    /// The 128 bytes to keep in a private file.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize().to_vec())
    }

    /// Reads what [`ServerKeys::to_bytes`] wrote.
    ///
    /// # Errors
    /// The user: the file is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpaqueError> {
        ServerSetup::deserialize(bytes).map(Self).map_err(error)
    }

    /// Answers the first message of an enrolment; keeps nothing.
    ///
    /// # Errors
    /// The peer: the request is malformed.
    pub fn enrol_start(&self, username: &Username, request: &[u8; 32]) -> Result<[u8; 64], OpaqueError> {
        let request = RegistrationRequest::deserialize(request).map_err(error)?;
        let started = ServerRegistration::<Suite>::start(&self.0, request, username.as_str().as_bytes());
        array(&started.map_err(error)?.message.serialize())
    }

    /// Answers the first message of a login. With no `file` (no such account) the answer can't be told
    /// from a real one.
    ///
    /// # Errors
    /// The peer: the request is malformed. Us: the file is damaged.
    pub fn login_start(
        &self,
        network: &NetworkId,
        username: &Username,
        file: Option<&[u8]>,
        request: &[u8; 96],
    ) -> Result<(LoginState, [u8; 320]), OpaqueError> {
        let file = file
            .map(ServerRegistration::<Suite>::deserialize)
            .transpose()
            .map_err(|error| OpaqueError::Internal(format!("stored password file: {error:?}")))?;
        let request = CredentialRequest::deserialize(request).map_err(error)?;
        let parameters = parameters(username, network);
        let name = username.as_str().as_bytes();
        let started =
            ServerLogin::start(&mut OsRng, &self.0, file, request, name, parameters).map_err(error)?;
        let state = Zeroizing::new(started.state.serialize().to_vec());
        Ok((LoginState(state), array(&started.message.serialize())?))
    }
}

/// What is stored for an account, from the last message of its enrolment.
///
/// # Errors
/// The peer: the upload is malformed.
pub fn password_file(upload: &[u8; 192]) -> Result<Vec<u8>, OpaqueError> {
    let upload = RegistrationUpload::<Suite>::deserialize(upload).map_err(error)?;
    Ok(ServerRegistration::finish(upload).serialize().to_vec())
}

/// Checks the last message of a login.
///
/// # Errors
/// The user: [`OpaqueError::Refused`]. The peer: the message is malformed.
pub fn login_finish(
    network: &NetworkId,
    username: &Username,
    state: &LoginState,
    finalization: &[u8; 64],
) -> Result<SessionKey, OpaqueError> {
    let state = ServerLogin::<Suite>::deserialize(&state.0).map_err(error)?;
    let finalization = CredentialFinalization::deserialize(finalization).map_err(error)?;
    let finished = state.finish(finalization, parameters(username, network)).map_err(error)?;
    Ok(SessionKey(Zeroizing::new(finished.session_key.to_vec())))
}

fn parameters<'a>(username: &'a Username, network: &'a NetworkId) -> ServerLoginParameters<'a, 'a> {
    ServerLoginParameters {
        context: Some(CONTEXT),
        identifiers: identifiers(username.as_str(), network.as_bytes()),
    }
}
