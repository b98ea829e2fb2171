//! The client's side. The two `finish` functions stretch the password, a quarter of a second of one
//! core and 64 MiB: call them off the async runtime.

use callbook_overlay::key::NetworkId;
use callbook_overlay::name::Username;
use callbook_overlay::network::{Limits, Network};
use callbook_overlay::sign::Signer;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, RegistrationResponse,
};
use rand_opaque::rngs::OsRng;
use zeroize::Zeroizing;

use super::{CONTEXT, OpaqueError, Suite, array, device_seal, error, identifiers};
use crate::claim::Claim;
use crate::messages::{
    EnrolFinish, EnrolStart, EnrolStarted, LoginFinish, LoginStart, LoginStarted, Request,
};

/// What both attempts remember between their two messages.
struct Attempt {
    network: NetworkId,
    limits: Limits,
    username: Username,
    password: Zeroizing<Vec<u8>>,
}

impl Attempt {
    fn new(network: &Network, username: &Username, password: &[u8]) -> Self {
        Self {
            network: network.id,
            limits: network.limits,
            username: username.clone(),
            password: Zeroizing::new(password.to_vec()),
        }
    }
}

/// An account in the making.
pub struct Enrolment {
    attempt: Attempt,
    state: ClientRegistration<Suite>,
}

impl Enrolment {
    /// The first request.
    ///
    /// # Errors
    /// Us: the system has no entropy, or the password can't be hashed.
    pub fn start(
        network: &Network,
        username: &Username,
        password: &[u8],
    ) -> Result<(Self, Request), OpaqueError> {
        let started = ClientRegistration::<Suite>::start(&mut OsRng, password).map_err(error)?;
        let request = array(&started.message.serialize())?;
        let enrolment = Self { attempt: Attempt::new(network, username, password), state: started.state };
        Ok((enrolment, Request::EnrolStart(EnrolStart { username: username.to_string(), request })))
    }

    /// The second request; stretches the password. When its answer is lost, the same request may be
    /// sent again within ten minutes.
    ///
    /// # Errors
    /// The peer: the server's message is malformed or asks for an unreasonable stretch.
    pub fn finish(self, started: &EnrolStarted, device: &dyn Signer) -> Result<Request, OpaqueError> {
        let Self { attempt, state } = self;
        let stretch = started.stretch.check(attempt.limits)?;
        let finished = state
            .finish(
                &mut OsRng,
                &attempt.password,
                RegistrationResponse::deserialize(&started.response).map_err(error)?,
                ClientRegistrationFinishParameters::new(
                    identifiers(attempt.username.as_str(), attempt.network.as_bytes()),
                    Some(&stretch),
                ),
            )
            .map_err(error)?;
        let upload = array(&finished.message.serialize())?;
        let claim = Claim::Enrol { username: &attempt.username, upload: &upload };
        Ok(Request::EnrolFinish(Box::new(EnrolFinish {
            username: attempt.username.to_string(),
            upload,
            stretch: started.stretch,
            device: device.public(),
            proof: claim.sign(&attempt.network, device),
        })))
    }
}

/// A login in the making.
pub struct LoginAttempt {
    attempt: Attempt,
    state: ClientLogin<Suite>,
}

impl LoginAttempt {
    /// The first request.
    ///
    /// # Errors
    /// Us: the system has no entropy, or the password can't be hashed.
    pub fn start(
        network: &Network,
        username: &Username,
        password: &[u8],
    ) -> Result<(Self, Request), OpaqueError> {
        let started = ClientLogin::<Suite>::start(&mut OsRng, password).map_err(error)?;
        let request = array(&started.message.serialize())?;
        let login = Self { attempt: Attempt::new(network, username, password), state: started.state };
        Ok((login, Request::LoginStart(Box::new(LoginStart { username: username.to_string(), request }))))
    }

    /// The second request; stretches the password.
    ///
    /// # Errors
    /// The user: [`OpaqueError::Refused`], wrong password or unknown name. The peer: the server's
    /// message is malformed or asks for an unreasonable stretch.
    pub fn finish(self, started: &LoginStarted, device: &dyn Signer) -> Result<Request, OpaqueError> {
        let Self { attempt, state } = self;
        let stretch = started.stretch.check(attempt.limits)?;
        let finished = state
            .finish(
                &mut OsRng,
                &attempt.password,
                CredentialResponse::deserialize(&started.response).map_err(error)?,
                ClientLoginFinishParameters::new(
                    Some(CONTEXT),
                    identifiers(attempt.username.as_str(), attempt.network.as_bytes()),
                    Some(&stretch),
                ),
            )
            .map_err(error)?;
        let session_key = Zeroizing::new(finished.session_key.to_vec());
        let claim = Claim::Login { username: &attempt.username, session: &started.session };
        Ok(Request::LoginFinish(Box::new(LoginFinish {
            session: started.session,
            finalization: array(&finished.message.serialize())?,
            device: device.public(),
            proof: claim.sign(&attempt.network, device),
            seal: device_seal(&session_key, &device.public(), &started.session),
        })))
    }
}
