//! What the login key signs: device certificates, node certificates, epoch records.
//!
//! Signs nothing when its own certificate has less than two weeks left, or isn't valid yet: what it
//! signs must not outlive it, and an operator should notice before users do.
//!
//! *Not here*: who deserves a certificate ([`crate::service`], [`crate::database`]).

use bytes::Bytes;
use callbook_login::Refusal;
use callbook_login::messages::Certified;
use callbook_overlay::certificate::{DeviceCertificate, LoginCertificate, NodeCertificate};
use callbook_overlay::key::{PeerId, PublicKey};
use callbook_overlay::limits::CLOCK_TOLERANCE;
use callbook_overlay::name::Username;
use callbook_overlay::network::Network;
use callbook_overlay::record::{EpochDraft, Record, sign_epoch};
use callbook_overlay::sign::{SecretKey, Signer as _, Strict};
use callbook_overlay::time::Unix;

use crate::database::{Issued, NewEpoch, Node};
use crate::limits::LOGIN_LEFT_MIN;

/// The login key does not belong to this network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The user: no certificate in the network file is for this key and signed by a root.
    #[error("the network file has no valid certificate for this login key")]
    NotCertified,
}

/// The login key at work.
#[derive(Debug)]
pub struct Authority {
    network: Network,
    key: SecretKey,
    certificate: Bytes,
    not_before: Unix,
    not_after: Unix,
}

impl Authority {
    /// Finds the newest certificate of `key` in the network file.
    ///
    /// # Errors
    /// The user: see [`AuthorityError`].
    pub fn new(network: Network, key: SecretKey) -> Result<Self, AuthorityError> {
        let newest = network
            .login
            .iter()
            .filter_map(|bytes| Some((bytes, LoginCertificate::verify(bytes, &network, &Strict).ok()?)))
            .filter(|(_, certificate)| certificate.key == key.public())
            .max_by_key(|(_, certificate)| certificate.not_after);
        let (bytes, certificate) = newest.ok_or(AuthorityError::NotCertified)?;
        let (bytes, LoginCertificate { not_before, not_after, .. }) = (bytes.clone(), certificate);
        Ok(Self { network, key, certificate: bytes, not_before, not_after })
    }

    /// The network that the key signs for.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// When the login key ends.
    #[must_use]
    pub fn not_after(&self) -> Unix {
        self.not_after
    }

    /// Whether the key may sign now.
    ///
    /// # Errors
    /// The network's operator: [`Refusal::KeyExpiring`].
    pub fn check(&self, now: Unix) -> Result<(), Refusal> {
        let begun = self.not_before <= now + CLOCK_TOLERANCE;
        if begun && now + LOGIN_LEFT_MIN <= self.not_after { Ok(()) } else { Err(Refusal::KeyExpiring) }
    }

    /// Certifies a device of an account.
    #[must_use]
    pub fn device(&self, username: &Username, device: &PublicKey, issued: &Issued) -> Certified {
        let certificate = DeviceCertificate {
            name: self.network.name_key(username),
            device: *device,
            epoch: issued.epoch,
            serial: issued.serial,
            not_before: issued.not_before,
            not_after: issued.not_after,
        };
        Certified::new(&self.certificate, &certificate.issue(&self.network.id, &self.key))
    }

    /// Certifies a superpeer.
    #[must_use]
    pub fn node(&self, peer: &PeerId, node: &Node) -> NodeCertificate {
        let life = node.not_before..node.not_after;
        NodeCertificate::issue(*peer, node.nonce, life, &self.network.id, &self.key)
    }

    /// Signs an epoch record. `None` is a bug of ours, logged.
    #[must_use]
    pub fn epoch(&self, username: &Username, epoch: &NewEpoch) -> Option<Record> {
        let draft = EpochDraft {
            key: self.network.name_key(username),
            payload: &epoch.payload,
            seq: epoch.seq,
            now: epoch.now,
            chain: std::slice::from_ref(&self.certificate),
        };
        match sign_epoch(draft, &self.network, &self.key) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::error!(%error, "an epoch record could not be signed");
                None
            }
        }
    }
}
