//! What names a superpeer in gossip: the first eight bytes of its node key.
//!
//! Nearly all that a superpeer is told it has been told before, and a hint takes 160 bytes. So others are named first, and
//! who does not know them asks (`Who`). Two with one name take 2^32 keys of one's own to be found, and one like a
//! given other's 2^64: of such two one is heard of later, by a survey.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::key::PeerId;
use crate::limits::BRIEFS_MAX;

/// Bytes of a node key that name it.
const BYTES: usize = 8;

/// Names a superpeer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Brief([u8; BYTES]);

impl Brief {
    /// What names this one.
    #[must_use]
    pub fn of(peer: &PeerId) -> Self {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&peer.as_bytes()[..BYTES]);
        Self(bytes)
    }

    /// The bits that those which it names begin with.
    pub(crate) const fn first(&self) -> u64 {
        u64::from_be_bytes(self.0)
    }

    /// All that it may name.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<PeerId> {
        let [mut first, mut last] = [[0; 32], [u8::MAX; 32]];
        first[..BYTES].copy_from_slice(&self.0);
        last[..BYTES].copy_from_slice(&self.0);
        PeerId::from_bytes(first)..=PeerId::from_bytes(last)
    }
}

/// Several.
///
/// # Shape
/// On the wire one byte string, eight bytes for each; of more than [`BRIEFS_MAX`] the rest is passed over, and what is
/// left over at its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Briefs(pub Vec<Brief>);

impl Briefs {
    /// Whether there are none: they take no byte then.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<C> Encode<C> for Briefs {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let bytes: Vec<u8> = self.0.iter().take(BRIEFS_MAX).flat_map(|brief| brief.0).collect();
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Briefs {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (briefs, _) = d.bytes()?.as_chunks();
        Ok(Self(briefs.iter().take(BRIEFS_MAX).copied().map(Brief).collect()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{BRIEFS_MAX, Brief, Briefs, PeerId};

    fn again(briefs: &Briefs) -> Briefs {
        let mut bytes = Vec::new();
        minicbor::encode(briefs, &mut bytes).expect("it encodes");
        minicbor::decode(&bytes).expect("our own can be read")
    }

    #[test]
    fn those_that_are_named_are_those_that_begin_alike() {
        // A key, the first and the last of its name, and the neighbours of both.
        let brief = Brief::of(&PeerId::from_bytes([7; 32]));
        let named = |first: u8, rest: u8| {
            let mut bytes = [rest; 32];
            bytes[..8].copy_from_slice(&[7, 7, 7, 7, 7, 7, 7, first]);
            brief.range().contains(&PeerId::from_bytes(bytes))
        };
        assert!(named(7, 7) && named(7, 0) && named(7, u8::MAX));
        assert!(!named(6, u8::MAX) && !named(8, 0));
    }

    #[test]
    fn names_are_the_same_after_their_way_as_far_as_they_are_read() {
        // None, one, as many as are read and more; then a name that is cut short.
        let briefs = |count: usize| Briefs((0..count).map(|number| Brief([number as u8; 8])).collect());
        for count in [0, 1, BRIEFS_MAX, BRIEFS_MAX + 1] {
            assert_eq!(again(&briefs(count)), briefs(count.min(BRIEFS_MAX)));
        }
        let cut = vec![0x49, 1, 1, 1, 1, 1, 1, 1, 1, 9];
        assert_eq!(minicbor::decode::<Briefs>(&cut).ok(), Some(Briefs(vec![Brief([1; 8])])));
    }
}
