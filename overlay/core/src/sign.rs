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

use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};

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
/// each check that can be spared when the same devices, nodes and servers sign again and again. A second one
/// is spared by not reading the signature's point (see `has_small_point`).
///
/// # Shape
/// At most [`KEYS_REMEMBERED_MAX`]; at the bound all are forgotten. Of a key that can't be read, or is of small
/// order, nothing is remembered.
#[derive(Debug, Default)]
pub struct Remembering(RefCell<BTreeMap<PublicKey, VerifyingKey>>);

impl Verifier for Remembering {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        if has_small_point(signature) {
            return false;
        }
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        let mut known = self.0.borrow_mut();
        if let Some(key) = known.get(key) {
            return key.verify(message, &signature).is_ok();
        }
        let read = VerifyingKey::from_bytes(key.as_bytes()).ok().filter(|key| !key.is_weak());
        let Some(read) = read else { return false };
        if known.len() >= KEYS_REMEMBERED_MAX {
            known.clear();
        }
        known.insert(*key, read);
        read.verify(message, &signature).is_ok()
    }
}

/// The encodings of the eight points of small order, their signs left out.
///
/// Source: Ed25519's group is Z/8 × Z/ℓ (RFC 8032 §5.1, specification); the values are those of `EIGHT_TORSION` in
/// curve25519-dalek, and a test has it read them.
const SMALL_POINTS: [[u8; 32]; 5] = {
    let (mut one, mut minus_one) = ([0; 32], [0xff; 32]);
    (one[0], minus_one[0], minus_one[31]) = (1, 0xec, 0x7f);
    [
        [0; 32],
        one,
        minus_one,
        *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
           \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
           \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    ]
};

/// Whether a signature's point is of small order: what the strict rule refuses and the lax one may accept.
///
/// The lax check computes the point that there has to be, encodes it and compares the bytes. So a signature that
/// passes it has the one encoding of its point: of the point's order its bytes tell as much as the point itself,
/// and no square root has to be taken. An encoding of another form is none that the lax check passes.
fn has_small_point(signature: &Signature) -> bool {
    let is = |small: &[u8; 32]| small[..31] == signature[..31] && small[31] == signature[31] & 0x7f;
    SMALL_POINTS.iter().any(is)
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
    use alloc::collections::BTreeSet;

    use ed25519_dalek::{Verifier as _, VerifyingKey};
    use proptest::prelude::*;

    use super::{Remembering, SMALL_POINTS, SecretKey, Signer, Strict, Tag, Verifier, to_sign};
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
            assert!(!remembering.verify(&SecretKey::from_seed(seed).public(), b"hello", &[9; 64]));
            assert_eq!(remembering.0.borrow().len(), number % KEYS_REMEMBERED_MAX + 1);
        }
        let key = SecretKey::from_seed([1; 32]);
        assert!(remembering.verify(&key.public(), b"hello", &key.sign(b"hello")));
    }

    /// A key with a part of order eight, and signatures that the lax check accepts: the message's one byte, the point,
    /// which is each of those of small order once, and the scalar. Made with the key's secret, outside of this program.
    const MIXED_KEY: &str = "cda515a8d37e8c4c50d653fa3627bcdc03aa4f1147695c508eb8c618a54442bb";
    const SMALL_POINT_SIGNATURES: [(u8, &str, &str); 8] = [
        (
            8,
            "0100000000000000000000000000000000000000000000000000000000000000",
            "1bcdeb742a50832fa3a1a50abb6c12fb849cd44df216d7405c2dd91b03aead01",
        ),
        (
            15,
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "db45910a3ea63c31281a63450421c8f713559c776c167a2d8cf31641eba82001",
        ),
        (
            0,
            "0000000000000000000000000000000000000000000000000000000000000080",
            "873ab6dd5a35a82522815715424c55feaaa9932c37d54de013e698561c339501",
        ),
        (
            17,
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "193fecc1b3abdfc09a936853521e94f16a73f3cc1f84f8b69cebed6dfd331f08",
        ),
        (
            4,
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "fcf9f3940e4cbd0d01c7def400919a0dea14ebfc35cdfe42cca2f55a612dbb0a",
        ),
        (
            19,
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "ec6a7b8409dd3ad09107698c41f5c84214387ba6d32a71335fc60e6ec226d20d",
        ),
        (
            3,
            "0000000000000000000000000000000000000000000000000000000000000000",
            "b1eaad18573e78fa8c7fbb02250fe5281e8ffeb41c7f741329d5ebbd10dae801",
        ),
        (
            3,
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "3578a3808811e078744e64816529e0592f808c40e78beda48c613f094dea1403",
        ),
    ];

    fn bytes(hex: &str) -> [u8; 32] {
        *PublicKey::from_hex(hex).unwrap().as_bytes()
    }

    /// Goal: what the lax check accepts and the strict one doesn't is refused without reading the point. Method: with
    /// each point of small order a signature that passes the lax check. That these are all: eight different points
    /// of small order, and there are no more.
    #[test]
    fn signatures_with_a_point_of_small_order_are_refused() {
        let (key, remembering) = (PublicKey::from_bytes(bytes(MIXED_KEY)), Remembering::default());
        let lax = VerifyingKey::from_bytes(key.as_bytes()).unwrap();
        let mut points = BTreeSet::new();
        for (message, point, scalar) in SMALL_POINT_SIGNATURES {
            let (message, point) = ([message], bytes(point));
            assert!(points.insert(point) && VerifyingKey::from_bytes(&point).unwrap().is_weak());
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&point);
            signature[32..].copy_from_slice(&bytes(scalar));
            assert!(lax.verify(&message, &ed25519_dalek::Signature::from_bytes(&signature)).is_ok());
            assert!(!Strict.verify(&key, &message, &signature));
            assert!(!remembering.verify(&key, &message, &signature));
        }
        let mut encoded = SMALL_POINTS.to_vec();
        encoded.retain(|point| points.contains(point));
        assert_eq!(
            encoded.len(),
            SMALL_POINTS.len(),
            "each of those that are compared with is one of the eight"
        );
    }

    proptest! {
        /// Goal: who remembers keys judges as the strict check does. Method: a signature with any one bit of it, of
        /// the message or of the key flipped, and with none; twice, so that the key is remembered the second time.
        #[test]
        fn remembering_keys_changes_no_verdict(seed: [u8; 32], message: [u8; 8], flip in 0..1_024_usize) {
            let secret = SecretKey::from_seed(seed);
            let (mut key, mut message) = (*secret.public().as_bytes(), message);
            let mut signature = secret.sign(&message);
            let bit = 1 << (flip % 8);
            match flip / 8 {
                byte @ 0..64 => signature[byte] ^= bit,
                byte @ 64..72 => message[byte - 64] ^= bit,
                byte @ 72..104 => key[byte - 72] ^= bit,
                _ => {}
            }
            let (key, remembering) = (PublicKey::from_bytes(key), Remembering::default());
            let strict = Strict.verify(&key, &message, &signature);
            prop_assert_eq!(strict, flip / 8 >= 104);
            for _ in 0..2 {
                prop_assert_eq!(remembering.verify(&key, &message, &signature), strict);
            }
        }
    }

    /// Goal: logs never show a secret. Method: print a key and look for its seed.
    #[test]
    fn a_printed_secret_key_shows_only_the_public_half() {
        let key = SecretKey::from_seed([0xab; 32]);
        let printed = alloc::format!("{key:?}");
        assert!(printed.contains(&key.public().to_hex()) && !printed.contains("abababab"));
    }
}
