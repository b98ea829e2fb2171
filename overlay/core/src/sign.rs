//! What every signature covers, and who makes and checks them.
//!
//! A signature covers `"callbook 1 sign\0" ‖ tag ‖ network id ‖ body`, so nothing signed for one
//! purpose or network counts for another. All tags stand here. Checks are strict (`verify_strict`):
//! small-order keys and non-canonical signatures are refused, so all peers agree on what is valid.
//!
//! Source: DETAILS *Crates and fences*. *Not here*: entropy; whoever makes a key hands in its seed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{self, Debug};

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::key::{NetworkId, PublicKey};
use crate::limits::KEYS_REMEMBERED_MAX;

/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// What a signature is for. Records use the number of their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tag {
    /// A `device` record.
    Device = 1,
    /// An `epoch` record.
    Epoch = 2,
    /// `network.toml`.
    Network = 3,
    /// A root key certifies a login key.
    LoginCertificate = 64,
    /// A login key certifies a device key for a name.
    DeviceCertificate = 65,
    /// A login key certifies a node key and its place.
    NodeCertificate = 66,
    /// Parent and child agree to be that.
    Attachment = 80,
    /// A superpeer keeps a slot for a standby's child.
    Reservation = 81,
    /// A storer has stored records.
    Acknowledgement = 82,
    /// A storer does not hold a key.
    Denial = 83,
    /// A parent tells whether a child is there.
    Presence = 84,
    /// A superpeer leaves.
    Leave = 85,
    /// A device key asks this parent to register this child's record.
    Register = 86,
    /// A superpeer that was thought dead is alive.
    Alive = 87,
    /// A node key asks the login server for something.
    NodeRequest = 96,
    /// A device key asks the login server for something.
    DeviceRequest = 97,
}

/// The bytes that a signature covers.
#[must_use]
pub fn to_sign(tag: Tag, network: &NetworkId, body: &[u8]) -> Vec<u8> {
    const DOMAIN: &[u8] = b"callbook 1 sign\0";
    let mut message = Vec::with_capacity(DOMAIN.len() + 1 + 32 + body.len());
    message.extend_from_slice(DOMAIN);
    message.push(tag as u8);
    message.extend_from_slice(network.as_bytes());
    message.extend_from_slice(body);
    message
}

/// Makes signatures with one key.
pub trait Signer: Debug + Send {
    /// The public half.
    fn public(&self) -> PublicKey;

    /// Signs the message as it stands (see [`to_sign`]).
    fn sign(&self, message: &[u8]) -> Signature;
}

/// Checks signatures: [`Strict`] in products, memoised in large simulations.
pub trait Verifier: Debug + Send {
    /// Whether `signature` over `message` is `key`'s.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;
}

/// Checks by Ed25519's strict rule.
#[derive(Debug, Clone, Copy, Default)]
pub struct Strict;

impl Verifier for Strict {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(key.as_bytes())
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// Checks as [`Strict`] does, and remembers the keys: to read one costs a square root, which is a part of
/// each check that can be spared when the same devices, nodes and servers sign again and again.
///
/// # Shape
/// At most [`KEYS_REMEMBERED_MAX`]; at the bound all are forgotten. Of a key that can't be read nothing is
/// remembered.
#[derive(Debug, Default)]
pub struct Remembering(RefCell<BTreeMap<PublicKey, VerifyingKey>>);

impl Verifier for Remembering {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        let mut known = self.0.borrow_mut();
        if let Some(key) = known.get(key) {
            return key.verify_strict(message, &signature).is_ok();
        }
        let Ok(read) = VerifyingKey::from_bytes(key.as_bytes()) else { return false };
        if known.len() >= KEYS_REMEMBERED_MAX {
            known.clear();
        }
        known.insert(*key, read);
        read.verify_strict(message, &signature).is_ok()
    }
}

/// An Ed25519 secret key; wiped from memory when dropped, and never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key that a seed of 32 random bytes gives.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The seed, for the key's file.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl Signer for SecretKey {
    fn public(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message).to_bytes()
    }
}

impl Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::{Remembering, SecretKey, Signer, Strict, Tag, Verifier, to_sign};
    use crate::key::{NetworkId, PublicKey};
    use crate::limits::KEYS_REMEMBERED_MAX;

    /// Goal: the layout of what is signed is fixed for ever. Method: build one by hand.
    #[test]
    fn the_signed_bytes_are_domain_tag_network_body() {
        let message = to_sign(Tag::Epoch, &NetworkId::from_bytes([7; 32]), b"body");
        assert_eq!(&message[..16], b"callbook 1 sign\0");
        assert_eq!(message[16], 2);
        assert_eq!(&message[17..49], &[7; 32]);
        assert_eq!(&message[49..], b"body");
    }

    /// Goal: a signature holds for its key and message only, also when the key is remembered. Method: sign,
    /// then vary each, twice; the small-order key, under which a lax check accepts the zero signature, and
    /// what is no key at all are refused too.
    #[test]
    fn a_signature_holds_for_one_key_and_one_message() {
        let (key, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let signature = key.sign(b"hello");
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        let remembering = Remembering::default();
        let verifiers: [&dyn Verifier; 3] = [&Strict, &remembering, &remembering];
        for verifier in verifiers {
            assert!(verifier.verify(&key.public(), b"hello", &signature));
            assert!(!verifier.verify(&key.public(), b"hellO", &signature));
            assert!(!verifier.verify(&other.public(), b"hello", &signature));
            for no_key in [identity, [2; 32]] {
                assert!(!verifier.verify(&PublicKey::from_bytes(no_key), b"hello", &forged));
            }
        }
    }

    /// Goal: keys that others make up don't fill our memory. Method: more of them than are remembered, and a
    /// good one after that.
    #[test]
    fn keys_are_remembered_up_to_a_bound() {
        let remembering = Remembering::default();
        for number in 0..=KEYS_REMEMBERED_MAX {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_be_bytes());
            assert!(!remembering.verify(&SecretKey::from_seed(seed).public(), b"hello", &[0; 64]));
            assert_eq!(remembering.0.borrow().len(), number % KEYS_REMEMBERED_MAX + 1);
        }
        let key = SecretKey::from_seed([1; 32]);
        assert!(remembering.verify(&key.public(), b"hello", &key.sign(b"hello")));
    }

    /// Goal: logs never show a secret. Method: print a key and look for its seed.
    #[test]
    fn a_printed_secret_key_shows_only_the_public_half() {
        let key = SecretKey::from_seed([0xab; 32]);
        let printed = alloc::format!("{key:?}");
        assert!(printed.contains(&key.public().to_hex()) && !printed.contains("abababab"));
    }
}
