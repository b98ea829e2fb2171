//! Signatures: real ones in small runs, cheap ones in large.
//!
//! [`Signing::Real`] is Ed25519, made and checked each time. [`Signing::Quick`] signs with a keyed hash
//! over public key and message; the key of the hash is the run's secret, which no peer ever sees, so
//! whoever holds no signer can make nothing that passes, and nothing has to be remembered of a million
//! keys and the signatures they made. Both have the same sizes, so frames are equally long.
//! *Not here*: who certifies whom (`peers::authority`).

use callbook_overlay::key::PublicKey;
use callbook_overlay::sign::{SecretKey, Signature, Signer, Strict, Verifier};

/// How signatures are made and checked in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// Ed25519: some 40 µs to sign, 70 µs to check.
    Real,
    /// A keyed hash: below a microsecond each.
    Quick,
}

/// All that a run needs to hand out keys and verifiers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    signing: Signing,
    secret: [u8; 32],
}

impl Keys {
    pub(crate) fn new(signing: Signing, secret: [u8; 32]) -> Self {
        Self { signing, secret }
    }

    /// The key of a number, in a space of its own.
    pub(crate) fn key(&self, space: &str, number: u64) -> Box<dyn Signer> {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(space.as_bytes()).update(&number.to_le_bytes());
        let seed = *hasher.finalize().as_bytes();
        match self.signing {
            Signing::Real => Box::new(SecretKey::from_seed(seed)),
            Signing::Quick => {
                Box::new(QuickKey { public: PublicKey::from_bytes(seed), check: Quick(self.secret) })
            }
        }
    }

    pub(crate) fn verifier(&self) -> Box<dyn Verifier> {
        match self.signing {
            Signing::Real => Box::new(Strict),
            Signing::Quick => Box::new(Quick(self.secret)),
        }
    }
}

#[derive(Debug)]
struct QuickKey {
    public: PublicKey,
    check: Quick,
}

impl Signer for QuickKey {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.check.signature(&self.public, message)
    }
}

#[derive(Debug, Clone, Copy)]
struct Quick([u8; 32]);

impl Quick {
    fn signature(&self, key: &PublicKey, message: &[u8]) -> Signature {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(key.as_bytes()).update(message);
        let mut signature = [0; 64];
        hasher.finalize_xof().fill(&mut signature);
        signature
    }
}

impl Verifier for Quick {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        self.signature(key, message) == *signature
    }
}

#[cfg(test)]
mod tests {
    use super::{Keys, Signing};

    #[test]
    fn a_signature_holds_for_one_key_and_one_message_both_ways() {
        // Goal: the quick way refuses what the real one refuses. Method: bend signature, message and key.
        for signing in [Signing::Real, Signing::Quick] {
            let keys = Keys::new(signing, [9; 32]);
            let (one, other, verifier) = (keys.key("node", 1), keys.key("node", 2), keys.verifier());
            assert_ne!(one.public(), keys.key("device", 1).public());
            let signature = one.sign(b"hello");
            assert!(verifier.verify(&one.public(), b"hello", &signature));
            let mut bent = signature;
            bent[40] ^= 1;
            assert!(!verifier.verify(&one.public(), b"hello", &bent));
            assert!(!verifier.verify(&one.public(), b"hellO", &signature));
            assert!(!verifier.verify(&other.public(), b"hello", &signature));
            let elsewhere = Keys::new(signing, [8; 32]).key("node", 1).sign(b"hello");
            assert!(!verifier.verify(&one.public(), b"hello", &elsewhere));
        }
    }
}
