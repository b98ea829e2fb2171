//! What names a stored record where superpeers compare what they hold: the beginnings of its key and digest.
//!
//! Sixteen bytes instead of sixty-seven, in messages that name hundreds. Two records are taken for one if both
//! beginnings are the same: they are of one name then, or of two out of 2^64, and its writer has looked for them among
//! 2^32 records of its own, which are then not repaired. As in `known`, of hashes.

use alloc::vec::Vec;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::key::{Digest, Key};
use crate::record::ChainName;

/// Bytes of key and of digest in an [`Item`].
const EACH: usize = 8;

/// Names a stored record.
///
/// # Shape
/// The first eight bytes of its key, then those of its digest; sorted in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item([u8; 2 * EACH]);

impl Item {
    /// What names the record of this key and digest.
    #[must_use]
    pub fn of(key: &Key, digest: &Digest) -> Self {
        let mut bytes = [0; 2 * EACH];
        bytes[..EACH].copy_from_slice(&key.as_bytes()[..EACH]);
        bytes[EACH..].copy_from_slice(&digest.as_bytes()[..EACH]);
        Self(bytes)
    }

    /// The least key that begins as the record's does: as near to any place, but for one out of 2^64.
    #[must_use]
    pub fn key(&self) -> Key {
        let mut key = [0; 32];
        key[..EACH].copy_from_slice(&self.0[..EACH]);
        Key::from_bytes(key)
    }

    /// As it travels.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 2 * EACH] {
        &self.0
    }
}

/// Several.
///
/// # Shape
/// On the wire one byte string, sixteen bytes for each; what is left over at its end is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemList(pub Vec<Item>);

impl<C> Encode<C> for ItemList {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|item| item.0).collect();
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ItemList {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (items, _) = d.bytes()?.as_chunks();
        Ok(Self(items.iter().copied().map(Item).collect()))
    }
}

/// What names chains.
///
/// # Shape
/// On the wire one byte string, eight bytes for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainList(pub Vec<ChainName>);

impl<C> Encode<C> for ChainList {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(self.0.as_flattened())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ChainList {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (chains, _) = d.bytes()?.as_chunks();
        Ok(Self(chains.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_as_they_were_written_and_keep_the_order_of_their_keys() {
        // Some keys and digests in order; then a string that ends within an item.
        let item =
            |number: u8| Item::of(&Key::from_bytes([number; 32]), &Digest::from_bytes([number ^ 1; 32]));
        let items = ItemList([0, 1, 7, 255].map(item).to_vec());
        assert!(items.0.is_sorted_by_key(Item::key));
        let bytes = minicbor::to_vec(&items).expect("it encodes");
        assert_eq!(bytes.len(), 2 + 4 * 16);
        assert_eq!(minicbor::decode::<ItemList>(&bytes).expect("it is whole"), items);
        let long = minicbor::to_vec(minicbor::bytes::ByteVec::from([9; 40].to_vec())).expect("it encodes");
        assert_eq!(minicbor::decode::<ItemList>(&long).expect("two and a half").0.len(), 2);
    }
}
