//! The password suite: OPAQUE (RFC 9807), so that the password never leaves the client.
//!
//! Ristretto255, TripleDH, SHA-512; client identity = username, server identity = network id, context
//! [`CONTEXT`], credential id = username. All of it, and the stretch that is stored with the account,
//! is part of every stored password: changing any of it locks everybody out. (specification: DETAILS
//! *Accounts*)
//!
//! ```text
//! client                                server
//! Enrolment::start    ── EnrolStart ─▶  ServerKeys::enrol_start      (keeps nothing)
//! Enrolment::finish   ◀─ EnrolStarted ─
//!   (stretches)       ── EnrolFinish ─▶ password_file → account, certificate
//!
//! LoginAttempt::start ── LoginStart ─▶  ServerKeys::login_start      (keeps state under a session)
//! LoginAttempt::finish◀─ LoginStarted ─ (equal for unknown names)
//!   (stretches)       ── LoginFinish ─▶ login_finish → session key → seal checked → certificate
//! ```
//!
//! *Not here*: accounts, rate limits, certificates (`callbook-bootstrap`).

mod client;
mod server;

use callbook_overlay::key::PublicKey;
use callbook_overlay::network::Limits;
use minicbor::{Decode, Encode};
use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::{CipherSuite, Identifiers, Ristretto255, TripleDh};

pub use client::{Enrolment, LoginAttempt};
pub use server::{LoginState, ServerKeys, SessionKey, login_finish, password_file};

/// What both sides say they are doing. (specification)
pub const CONTEXT: &[u8] = b"callbook 1 login";

/// The suite's choice of algorithms.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_opaque::Sha512>;
    type Ksf = Argon2<'static>;
}

/// Why a step of enrolment or login failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpaqueError {
    /// The user: wrong password, or no such account; the protocol does not tell which.
    #[error("wrong name or password")]
    Refused,
    /// The peer: what it sent does not fit the protocol.
    #[error("the other side sent something that does not fit the login protocol")]
    Malformed,
    /// The peer: it asked for a stretch that is too weak or too costly.
    #[error(
        "the login server asked for an unreasonable password stretch ({memory_kib} KiB, {passes} passes, {lanes} lanes)"
    )]
    Stretch {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// Us: the key material could not be used.
    #[error("the password suite failed: {0}")]
    Internal(String),
}

/// How an account's password is stretched: Argon2id with these costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Stretch {
    /// Version of the stretching function; 1 is Argon2id, version 0x13.
    #[n(0)]
    pub version: u8,
    /// Memory in KiB.
    #[n(1)]
    pub memory_kib: u32,
    /// Passes over the memory.
    #[n(2)]
    pub passes: u32,
    /// Lanes.
    #[n(3)]
    pub lanes: u32,
}

impl Stretch {
    /// For people: 64 MiB, three passes; 210–290 ms on one core. (specification, measured: spikes §5)
    pub const NORMAL: Self = Self { version: 1, memory_kib: 64 * 1024, passes: 3, lanes: 1 };
    /// For demos and tests on one machine: 1 MiB, one pass. (specification)
    pub const LAB: Self = Self { version: 1, memory_kib: 1024, passes: 1, lanes: 1 };

    /// The weakest that a client accepts on a normal network: OWASP's lower choice. (specification)
    const FLOOR: Self = Self { version: 1, memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    /// The costliest that a client accepts: more than 512 MiB no phone has to spare. (guess)
    const CEILING: Self = Self { version: 1, memory_kib: 512 * 1024, passes: 10, lanes: 4 };

    /// What a network with these limits gives to new accounts.
    #[must_use]
    pub fn of(limits: Limits) -> Self {
        match limits {
            Limits::Normal => Self::NORMAL,
            Limits::Lab => Self::LAB,
        }
    }

    /// Refuses a stretch that would betray the password or exhaust the client.
    fn check(self, limits: Limits) -> Result<Argon2<'static>, OpaqueError> {
        let refused =
            OpaqueError::Stretch { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes };
        let floor = match limits {
            Limits::Normal => Self::FLOOR,
            Limits::Lab => Self::LAB,
        };
        let within = |value, floor, ceiling| (floor..=ceiling).contains(&value);
        let fits = self.version == 1
            && within(self.memory_kib, floor.memory_kib, Self::CEILING.memory_kib)
            && within(self.passes, floor.passes, Self::CEILING.passes)
            && within(self.lanes, floor.lanes, Self::CEILING.lanes);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None);
        match params {
            Ok(params) if fits => Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params)),
            Ok(_) | Err(_) => Err(refused),
        }
    }
}

/// Binds a device key to a login: nobody but who holds the session key can name the device.
#[must_use]
pub fn device_seal(session_key: &[u8], device: &PublicKey, session: &[u8; 16]) -> [u8; 32] {
    let key = blake3::derive_key("callbook 1 login device", session_key);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(device.as_bytes()).update(session);
    *hasher.finalize().as_bytes()
}

/// Whether `seal` is the one that [`device_seal`] makes, in constant time.
#[must_use]
pub fn device_seal_fits(session_key: &[u8], device: &PublicKey, session: &[u8; 16], seal: &[u8; 32]) -> bool {
    blake3::Hash::from_bytes(device_seal(session_key, device, session)) == blake3::Hash::from_bytes(*seal)
}

fn identifiers<'a>(username: &'a str, network: &'a [u8; 32]) -> Identifiers<'a> {
    Identifiers { client: Some(username.as_bytes()), server: Some(network) }
}

/// A message of the suite as an array of the size that the wire has for it.
fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], OpaqueError> {
    bytes.try_into().map_err(|_| OpaqueError::Internal(format!("{} bytes where {N} belong", bytes.len())))
}

fn error(error: opaque_ke::errors::ProtocolError) -> OpaqueError {
    use opaque_ke::errors::ProtocolError;
    match error {
        ProtocolError::InvalidLoginError => OpaqueError::Refused,
        ProtocolError::SerializationError
        | ProtocolError::SizeError { .. }
        | ProtocolError::ReflectedValueError => OpaqueError::Malformed,
        ProtocolError::LibraryError(error) => OpaqueError::Internal(format!("{error:?}")),
        ProtocolError::Custom(never) => match never {},
    }
}

#[cfg(test)]
mod tests;
