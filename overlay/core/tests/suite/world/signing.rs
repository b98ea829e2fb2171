//! Signatures of a world: cheap to make and to check, and still not to be forged.
//!
//! A [`Key`] answers with bytes that only who knows the seed can make, and enters them into the world's
//! [`Made`]. The verifier looks there first; whatever nobody here made costs a real Ed25519 check, so a
//! forged signature is refused for the reason that it is in products. *Not here*: the scheme itself
//! (`sign`), which `forgery` and the crate's own tests check.

use std::collections::BTreeSet;
use std::sync::Arc;

use callbook_overlay::key::PublicKey;
use callbook_overlay::sign::{SecretKey, Signature, Signer, Strict, Verifier};

#[expect(clippy::disallowed_types, reason = "one world is one thread's; `Verifier` asks for `Send`")]
type Shared<T> = Arc<std::sync::Mutex<T>>;

/// The signatures that were made in one world, and those of others that passed the real check.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made(Shared<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    known: BTreeSet<[u8; 32]>,
    checked: u64,
}

impl Made {
    fn with<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.0.lock().expect("no thread has panicked with it"))
    }

    /// How many signatures took a real check.
    pub(crate) fn checked(&self) -> u64 {
        self.with(|ledger| ledger.checked)
    }
}

impl Verifier for Made {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let entry = entry(key, message, signature);
        self.with(|ledger| {
            if ledger.known.contains(&entry) {
                return true;
            }
            ledger.checked += 1;
            let passed = Strict.verify(key, message, signature);
            if passed {
                ledger.known.insert(entry);
            }
            passed
        })
    }
}

/// A key of a world. Its public half is that of the real key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    public: PublicKey,
    secret: [u8; 32],
    made: Made,
}

impl Key {
    pub(crate) fn new(seed: [u8; 32], made: &Made) -> Self {
        let public = SecretKey::from_seed(seed).public();
        Self { public, secret: seed, made: made.clone() }
    }
}

impl Signer for Key {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [0; 64];
        blake3::Hasher::new_keyed(&self.secret).update(message).finalize_xof().fill(&mut signature);
        let entry = entry(&self.public, message, &signature);
        self.made.with(|ledger| ledger.known.insert(entry));
        signature
    }
}

fn entry(key: &PublicKey, message: &[u8], signature: &Signature) -> [u8; 32] {
    *blake3::Hasher::new().update(key.as_bytes()).update(signature).update(message).finalize().as_bytes()
}

/// Goal: the short cut lets nothing through that the real check would not. Method: a signature made
/// here, one made elsewhere with the real scheme, and each with a bit, the message or the key changed.
#[test]
fn a_worlds_verifier_knows_what_was_made_and_checks_the_rest() {
    let made = Made::default();
    let (ours, other) = (Key::new([1; 32], &made), Key::new([2; 32], &made));
    let genuine = SecretKey::from_seed([1; 32]);
    assert_eq!(ours.public(), genuine.public());
    for (signature, checks) in [(ours.sign(b"hello"), 0), (genuine.sign(b"hello"), 1)] {
        let before = made.checked();
        assert!(made.verify(&ours.public(), b"hello", &signature));
        assert!(made.verify(&ours.public(), b"hello", &signature));
        assert_eq!(made.checked() - before, checks);
        let mut bent = signature;
        bent[7] ^= 1;
        assert!(!made.verify(&ours.public(), b"hello", &bent));
        assert!(!made.verify(&ours.public(), b"hellO", &signature));
        assert!(!made.verify(&other.public(), b"hello", &signature));
        assert_eq!(made.checked() - before, checks + 3);
    }
}
