//! What a device key signs to prove itself to the login server.
//!
//! A claim names its purpose, the account and what it is bound to: an OPAQUE upload, a login session,
//! or the PeerId at the other end of the connection, which the transport has authenticated. So a
//! claim seen elsewhere is of no use to anybody else. Signed like everything: tag ‖ network ‖ body, the
//! body beginning with the purpose.
//!
//! *Not here*: what the server makes of it.

use callbook_overlay::key::{NetworkId, PeerId, PublicKey};
use callbook_overlay::name::Username;
use callbook_overlay::sign::{Signature, Signer, Tag, Verifier, to_sign};

/// What a device key vouches for.
#[derive(Debug, Clone, Copy)]
pub enum Claim<'a> {
    /// This device belongs to the account that is created with this OPAQUE upload.
    Enrol {
        /// The new account.
        username: &'a Username,
        /// The upload that creates it.
        upload: &'a [u8],
    },
    /// This device belongs to the account that this session logs in to.
    Login {
        /// The account.
        username: &'a Username,
        /// The session.
        session: &'a [u8; 16],
    },
    /// The peer that asks may have a node certificate on this account.
    Node {
        /// The account.
        username: &'a Username,
        /// Who asks.
        peer: &'a PeerId,
    },
    /// The peer that asks renews this device's certificate.
    Renew {
        /// The account.
        username: &'a Username,
        /// Who asks.
        peer: &'a PeerId,
    },
    /// The peer that asks revokes the certificate of `device`, this one or another of the account.
    Revoke {
        /// The account.
        username: &'a Username,
        /// Who asks.
        peer: &'a PeerId,
        /// The device that loses its certificate.
        device: &'a PublicKey,
    },
    /// The peer that asks has its metrics listed.
    Announce {
        /// The account.
        username: &'a Username,
        /// Who asks.
        peer: &'a PeerId,
    },
    /// The peer that asks may see the account's devices.
    Devices {
        /// The account.
        username: &'a Username,
        /// Who asks.
        peer: &'a PeerId,
    },
}

impl Claim<'_> {
    /// Signs the claim with a device key.
    #[must_use]
    pub fn sign(&self, network: &NetworkId, device: &dyn Signer) -> Signature {
        device.sign(&self.message(network))
    }

    /// Whether `device` signed this claim.
    #[must_use]
    pub fn verify(
        &self,
        network: &NetworkId,
        device: &PublicKey,
        signature: &Signature,
        by: &dyn Verifier,
    ) -> bool {
        by.verify(device, &self.message(network), signature)
    }

    fn message(&self, network: &NetworkId) -> Vec<u8> {
        let (purpose, parts): (&str, [&[u8]; 3]) = match self {
            Self::Enrol { username, upload } => ("enrol", [username.as_str().as_bytes(), upload, &[]]),
            Self::Login { username, session } => ("login", [username.as_str().as_bytes(), *session, &[]]),
            Self::Node { username, peer } => ("node", [username.as_str().as_bytes(), peer.as_bytes(), &[]]),
            Self::Announce { username, peer } => {
                ("announce", [username.as_str().as_bytes(), peer.as_bytes(), &[]])
            }
            Self::Devices { username, peer } => {
                ("devices", [username.as_str().as_bytes(), peer.as_bytes(), &[]])
            }
            Self::Renew { username, peer } => ("renew", [username.as_str().as_bytes(), peer.as_bytes(), &[]]),
            Self::Revoke { username, peer, device } => {
                ("revoke", [username.as_str().as_bytes(), peer.as_bytes(), device.as_bytes()])
            }
        };
        let mut body = Vec::with_capacity(300);
        for part in [purpose.as_bytes()].into_iter().chain(parts) {
            // Each part is far below 64 KiB (the whole request is); its length keeps parts apart.
            body.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            body.extend_from_slice(part);
        }
        to_sign(Tag::DeviceRequest, network, &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callbook_overlay::sign::{SecretKey, Strict};

    #[test]
    fn a_claim_counts_only_for_its_purpose_account_peer_and_network() {
        // Goal: nothing that a claim is bound to may differ. Method: verify the signature of one claim
        // against others that differ in one thing each.
        let (alice, bob) = (Username::parse("alice").unwrap(), Username::parse("bob").unwrap());
        let (here, there) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let (network, other) = (NetworkId::from_bytes([3; 32]), NetworkId::from_bytes([4; 32]));
        let key = SecretKey::from_seed([5; 32]);
        let claim = Claim::Renew { username: &alice, peer: &here };
        let signature = claim.sign(&network, &key);
        let holds = |claim: Claim<'_>, network| claim.verify(network, &key.public(), &signature, &Strict);
        assert!(holds(claim, &network));
        assert!(!holds(claim, &other));
        assert!(!holds(Claim::Renew { username: &bob, peer: &here }, &network));
        assert!(!holds(Claim::Renew { username: &alice, peer: &there }, &network));
        assert!(!holds(Claim::Devices { username: &alice, peer: &here }, &network));
        assert!(!holds(Claim::Node { username: &alice, peer: &here }, &network));
        assert!(!holds(Claim::Announce { username: &alice, peer: &here }, &network));
    }
}
