//! Sealing: who knows a name can read its records, who stores them can't.
//!
//! The key is derived from the username (and the network's secret, if any), so a storer, who sees
//! only `name_key`, would have to guess the name. No entropy is needed: the nonce is a keyed hash of
//! what is sealed, so two different texts never share one, and the same text sealed again is the same.
//!
//! ```text
//! key    = derive_key("callbook 1 body", network_id ‖ network_secret? ‖ username)
//! ad     = network_id ‖ name_key ‖ device public key
//! nonce  = blake3 keyed with derive_key("callbook 1 seal nonce", key) over ad ‖ text, 24 bytes
//! sealed = nonce ‖ XChaCha20(text) ‖ tag
//! ```
//!
//! Source: DETAILS *Records*. *Not here*: what the text holds (`payload.rs`).

use alloc::vec::Vec;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::invalid::Invalid;
use crate::key::{Key, PublicKey, derive};
use crate::name::Username;
use crate::network::Network;

/// What sealing adds: nonce and tag.
pub const SEAL_BYTES: usize = NONCE_BYTES + 16;

const NONCE_BYTES: usize = 24;

/// Seals a text of this device under this name.
///
/// # Panics
/// If the cipher refuses a text of less than 2^32 bytes, which it can't.
#[must_use]
pub fn seal(network: &Network, username: &Username, device: &PublicKey, plain: &[u8]) -> Vec<u8> {
    let key = body_key(network, username);
    let ad = associated(network, &network.name_key(username), device);
    let mut hasher = blake3::Hasher::new_keyed(&derive("callbook 1 seal nonce", &[&key]));
    let mut nonce = [0; NONCE_BYTES];
    hasher.update(&ad).update(plain).finalize_xof().fill(&mut nonce);
    let text = XChaCha20Poly1305::new(&key.into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &ad })
        .unwrap_or_else(|_| unreachable!("a record's payload is far below the cipher's bound"));
    [&nonce[..], &text].concat()
}

/// Opens what [`seal`] made for the same network, name and device.
///
/// # Errors
/// [`Invalid::Sealed`] otherwise.
pub fn open(
    network: &Network,
    username: &Username,
    device: &PublicKey,
    sealed: &[u8],
) -> Result<Vec<u8>, Invalid> {
    open_under(&network.name_key(username), network, username, device, sealed)
}

/// As [`open`], for who has derived the name's key already.
pub(crate) fn open_under(
    key: &Key,
    network: &Network,
    username: &Username,
    device: &PublicKey,
    sealed: &[u8],
) -> Result<Vec<u8>, Invalid> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Invalid::Sealed)?;
    let ad = associated(network, key, device);
    XChaCha20Poly1305::new(&body_key(network, username).into())
        .decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: &ad })
        .map_err(|_| Invalid::Sealed)
}

/// The secret is 32 bytes and a username at most 32 with at least 3, so the two inputs can't be taken
/// for each other.
fn body_key(network: &Network, username: &Username) -> [u8; 32] {
    let secret: &[u8] = network.secret.as_ref().map_or(&[], |secret| secret);
    derive("callbook 1 body", &[network.id.as_bytes(), secret, username.as_str().as_bytes()])
}

fn associated(network: &Network, key: &Key, device: &PublicKey) -> [u8; 96] {
    let mut ad = [0; 96];
    ad[..32].copy_from_slice(network.id.as_bytes());
    ad[32..64].copy_from_slice(key.as_bytes());
    ad[64..].copy_from_slice(device.as_bytes());
    ad
}
