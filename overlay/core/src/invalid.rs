//! Why something signed is refused.
//!
//! One error for records, certificates and payloads, because they are checked in one walk and the
//! caller's reaction is the same: refuse, count, blame the sender. *Not here*: frames that cannot be
//! read ([`wire`](crate::wire)).

/// Why a record, certificate or payload is not valid.
///
/// Unless a variant says otherwise, whoever signed or altered it is at fault: from the network, the
/// peer that sent it; from a builder (`sign_device`, `sign_epoch`), us or the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// The peer (or, when signing, the user): larger than allowed.
    #[error("{bytes} bytes where at most {max} are allowed")]
    Size {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The peer: not the CBOR that the format asks for, or not in its one allowed encoding.
    #[error("malformed: {0}")]
    Form(&'static str),
    /// Nobody: written by a newer version of the protocol.
    #[error("version {version} is not known here")]
    Version {
        /// The version it names.
        version: u8,
    },
    /// Nobody: signed with an algorithm that this version does not know.
    #[error("signature algorithm {algorithm} is not known here")]
    Algorithm {
        /// The algorithm it names.
        algorithm: u8,
    },
    /// Nobody: a kind of record that this version does not know. Answered `Unsupported`.
    #[error("records of kind {kind} are not supported")]
    Unsupported {
        /// The kind it names.
        kind: u64,
    },
    /// The peer: it should have dropped this by now.
    #[error("{0} has expired")]
    Expired(Subject),
    /// The peer, or our clock: signed further in the future than clocks may differ.
    #[error("{0} is not valid yet")]
    Future(Subject),
    /// The signer: ends before it begins, or lives longer than its kind may.
    #[error("{0} has a life that is not allowed")]
    Life(Subject),
    /// The signer: the record is valid for longer than the certificates behind it.
    #[error("the record outlives its certificates")]
    Outlives,
    /// The peer: not the certificates that the kind asks for, in their order.
    #[error("not the chain of certificates that this kind of record needs")]
    Chain,
    /// The peer: the certificate is for another name than the record's key.
    #[error("the certificate is for another name")]
    Name,
    /// The signer: record and certificate (or payload) name different epochs.
    #[error("record and certificate are of different epochs")]
    Epoch,
    /// Us: the key that signs is not the one that the chain certifies.
    #[error("the chain certifies another key")]
    Writer,
    /// The peer: the signature does not verify.
    #[error("the signature of {0} does not verify")]
    Signature(Subject),
    /// The peer: the payload was not sealed for this name, network and device.
    #[error("the payload can't be opened with this name")]
    Sealed,
    /// The writer: the payload breaks a bound or a rule of its contents.
    #[error("the payload is not valid: {0}")]
    Payload(&'static str),
}

/// What an [`Invalid`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The record itself.
    Record,
    /// The login key's certificate.
    LoginCertificate,
    /// The device key's certificate.
    DeviceCertificate,
    /// A superpeer's certificate.
    NodeCertificate,
}

impl core::fmt::Display for Subject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Record => "the record",
            Self::LoginCertificate => "the login certificate",
            Self::DeviceCertificate => "the device certificate",
            Self::NodeCertificate => "the node certificate",
        })
    }
}

impl From<minicbor::decode::Error> for Invalid {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Form("not the fields of this format")
    }
}
