//! Identifiers and the XOR metric.
//!
//! Every place in the key space is a [`Key`] of 256 bits; the distance of two keys is their XOR,
//! compared as a big-endian number. A peer is named by its node key ([`PeerId`]); where a superpeer
//! stands follows from its certificate ([`node_id`]), so no peer chooses its place.
//!
//! Source: Kademlia §2.1 (paper) for the metric; DESIGN §2 for the derivations.

use alloc::string::String;
use alloc::vec::Vec;
use core::array;
use core::cmp::Ordering;
use core::fmt;

use crate::name::Username;

macro_rules! bytes_32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 32]);

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                words(&self.0).cmp(&words(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// Wraps 32 bytes as they stand.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Lower-case hexadecimal, 64 digits.
            #[must_use]
            pub fn to_hex(&self) -> String {
                alloc::format!("{self}")
            }

            /// Reads 64 hexadecimal digits; `None` for anything else.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                from_hex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}(", stringify!($name))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…)")
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                <[u8; 32]>::try_from(d.bytes()?)
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message("expected 32 bytes"))
            }
        }
    };
}

bytes_32!(
    /// A place in the key space: of a record, of a name or of a superpeer.
    Key
);
bytes_32!(
    /// Who a peer is: its Ed25519 node key. The transport's PeerId is the same key in another dress.
    PeerId
);
bytes_32!(
    /// An Ed25519 public key other than a node key: root, login or device key.
    PublicKey
);
bytes_32!(
    /// Names a network for ever: part of every signature and of the protocol names.
    NetworkId
);
bytes_32!(
    /// The blake3 hash of a record's body.
    Digest
);

/// The bytes as a number, its highest word first. Trees of identifiers compare by it: mostly one word
/// decides, where comparing bytes is a call for each.
fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks();
    array::from_fn(|index| u64::from_be_bytes(words[index]))
}

/// XOR of two keys, ordered as a number: its words, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u64; 4]);

impl Key {
    /// The first 64 bits, which are in the same order as the whole.
    pub(crate) fn first(&self) -> u64 {
        let [first, ..] = words(&self.0);
        first
    }

    /// The XOR distance to `other`.
    ///
    /// # Source
    /// Kademlia §2.1 (paper).
    #[must_use]
    pub fn distance(&self, other: &Self) -> Distance {
        let (one, two) = (words(&self.0), words(&other.0));
        Distance(array::from_fn(|index| one[index] ^ two[index]))
    }
}

impl Distance {
    /// The k-bucket that a key at this distance falls into.
    ///
    /// # Shape
    /// 0 (nearest) to 255; `None` for the distance zero.
    #[must_use]
    pub fn bucket(&self) -> Option<u8> {
        let (index, word) = self.0.iter().enumerate().find(|(_, word)| **word != 0)?;
        let zeros = index * 64 + word.leading_zeros() as usize;
        u8::try_from(255 - zeros).ok()
    }
}

impl PeerId {
    /// The first 64 bits, which are in the same order as the whole.
    pub(crate) fn first(&self) -> u64 {
        let [first, ..] = words(&self.0);
        first
    }

    /// The same key as a signature's public key.
    #[must_use]
    pub const fn as_public_key(&self) -> PublicKey {
        PublicKey(self.0)
    }
}

impl PublicKey {
    /// The same key as a peer's name.
    #[must_use]
    pub const fn as_peer(&self) -> PeerId {
        PeerId(self.0)
    }
}

impl NetworkId {
    /// `<network>` in protocol names: the first 16 hexadecimal digits.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_hex().chars().take(16).collect()
    }
}

/// A superpeer's place.
///
/// # Source
/// DESIGN §2: the login server draws `nonce` after the key is fixed.
#[must_use]
pub fn node_id(network: &NetworkId, node: &PeerId, nonce: &[u8; 16]) -> Key {
    Key(derive("callbook 1 node", &[&network.0, &node.0, nonce]))
}

/// Where a name's records are.
///
/// # Source
/// DESIGN §2. Storers see this key, not the name.
#[must_use]
pub fn name_key(network: &NetworkId, secret: Option<&[u8; 32]>, username: &Username) -> Key {
    let secret: &[u8] = secret.map_or(&[], |secret| secret);
    let key = derive("callbook 1 name", &[&network.0, secret]);
    Key(*blake3::keyed_hash(&key, username.as_str().as_bytes()).as_bytes())
}

/// blake3's key derivation over the parts laid end to end.
pub(crate) fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let digits: Option<Vec<u8>> =
        text.bytes().map(|digit| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits?.chunks_exact(2)) {
        *byte = (pair[0] << 4) | pair[1];
    }
    Some(bytes)
}
