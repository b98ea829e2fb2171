//! Why the login server refuses a request.
//!
//! On the wire a refusal is a number, so old clients survive new reasons; the text for people is made
//! on the client's side. *Not here*: exit codes (the programs' `report`).

use std::time::Duration;

use minicbor::{Decode, Encode};

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The user: the name, or one that looks like it, belongs to somebody.
    #[error("this name, or one that looks like it, is taken")]
    Taken,
    /// The user: nobody may have this name.
    #[error("this name is reserved")]
    Reserved,
    /// The user: not a username.
    #[error("this is not a valid username")]
    BadUsername,
    /// The user: wrong password or unknown name; the server doesn't tell which.
    #[error("wrong name or password")]
    Refused,
    /// The user or the network: too many requests from this address or for this account.
    #[error("too many attempts; try again in {} s", .retry_after.as_secs())]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// The user: the node token is unknown, expired or used by another node.
    #[error("the node token is unknown, expired or already used by another node")]
    BadToken,
    /// The user: the certificate was revoked, or has been expired for too long.
    #[error("this device's certificate was revoked or ended, and cannot be renewed")]
    NotRenewable,
    /// Us: the server failed.
    #[error("the login server failed")]
    Internal,
    /// The peer: the server doesn't know this request.
    #[error("the login server does not know this request")]
    Unsupported,
    /// The network: the attempt took too long, or belongs to another connection.
    #[error("the login attempt expired")]
    StaleSession,
    /// The user: the account has its eight devices.
    #[error("this account has as many devices as a name may have")]
    TooManyDevices,
    /// The user: the account has its three nodes.
    #[error("this account has as many superpeers as it may have")]
    TooManyNodes,
    /// Us: a signature of the device key doesn't fit the request.
    #[error("the proof of the device key is not valid")]
    BadProof,
    /// Us: the request can't be read.
    #[error("the login server could not read the request")]
    Malformed,
    /// The network's operator: the login key ends too soon to sign anything.
    #[error("the login server's key is about to expire; it issues no certificates")]
    KeyExpiring,
    /// The user: only peers with a certificate of the network may do that.
    #[error("only peers with a certificate of this network may do that")]
    Uncertified,
    /// The peer: a reason that this program doesn't know.
    #[error("refused for a reason that this version does not know (number {0})")]
    Other(u16),
}

impl Refusal {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Taken => "choose another name, or use `login` if it is yours",
            Self::Reserved => "choose another name",
            Self::BadUsername => {
                "3 to 32 letters, digits and hyphens, beginning with a letter, no double or final hyphen"
            }
            Self::Refused => "check the name and the password",
            Self::RateLimited { .. } => "wait, then try again",
            Self::BadToken => {
                "ask the operator for a new one (`callbook-bootstrap token create --node FILE`)"
            }
            Self::NotRenewable => "log in again with the password",
            Self::Internal => "try again later; the reason is in the login server's log",
            Self::Unsupported | Self::Other(_) => "update this program or the login server",
            Self::StaleSession => "try again",
            Self::TooManyDevices => "log out on a device that is no longer used",
            Self::TooManyNodes => "use a node token from the operator, or stop another superpeer",
            Self::BadProof | Self::Malformed => "this is a fault of the program; please report it",
            Self::Uncertified => {
                "log in (`callbook login NAME`), or start with a node token from the operator (`--node-token FILE`)"
            }
            Self::KeyExpiring => "ask the operator to certify a new login key",
        }
    }

    pub(crate) fn to_wire(self) -> Wire {
        let retry_after = if let Self::RateLimited { retry_after } = self {
            Some(u32::try_from(retry_after.as_secs().max(1)).unwrap_or(u32::MAX))
        } else {
            None
        };
        Wire { code: self.code(), retry_after }
    }

    pub(crate) fn from_wire(wire: &Wire) -> Self {
        let retry_after = Duration::from_secs(wire.retry_after.unwrap_or(60).into());
        match wire.code {
            1 => Self::Taken,
            2 => Self::Reserved,
            3 => Self::BadUsername,
            4 => Self::Refused,
            5 => Self::RateLimited { retry_after },
            6 => Self::BadToken,
            7 => Self::NotRenewable,
            8 => Self::Internal,
            9 => Self::Unsupported,
            10 => Self::StaleSession,
            11 => Self::TooManyDevices,
            12 => Self::TooManyNodes,
            13 => Self::BadProof,
            14 => Self::Malformed,
            15 => Self::KeyExpiring,
            16 => Self::Uncertified,
            other => Self::Other(other),
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Taken => 1,
            Self::Reserved => 2,
            Self::BadUsername => 3,
            Self::Refused => 4,
            Self::RateLimited { .. } => 5,
            Self::BadToken => 6,
            Self::NotRenewable => 7,
            Self::Internal => 8,
            Self::Unsupported => 9,
            Self::StaleSession => 10,
            Self::TooManyDevices => 11,
            Self::TooManyNodes => 12,
            Self::BadProof => 13,
            Self::Malformed => 14,
            Self::KeyExpiring => 15,
            Self::Uncertified => 16,
            Self::Other(code) => code,
        }
    }
}

/// A refusal as it travels.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Wire {
    #[n(0)]
    code: u16,
    #[n(1)]
    retry_after: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_keeps_its_number() {
        // Goal: what is sent is what is read, also for numbers of the future. Method: all numbers to 99.
        for code in 0..100 {
            let refusal = Refusal::from_wire(&Wire { code, retry_after: Some(7) });
            assert_eq!(refusal.code(), code);
            assert_eq!(Refusal::from_wire(&refusal.to_wire()), refusal);
        }
    }
}
