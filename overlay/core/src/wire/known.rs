//! What the asker has already: an answer tells only the rest.
//!
//! An answer with twenty hints takes 3 kB, and as a rule tells nothing new. So a question carries three bytes
//! for each superpeer that its asker knows around the key. They depend on place and certificate: who has a
//! newer certificate is news. That two superpeers have the same mark hides one of them from an asker who
//! knows the other; both have to be around one key, and nobody chooses its place, so that is one answer in
//! forty thousand. A question for digests carries eight bytes of each hash that the asker has: who holds the
//! same answers with a bit. To find two that are alike in that takes 2^32 records of one's own, which are
//! then not repaired.
//!
//! Of whole ranges, with many in them, four bytes are told for each superpeer.

use alloc::vec::Vec;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::certificate::NodeCertificate;
use crate::key::{Digest, Key};
use crate::limits::{KNOWN_MAX, MARKS_MAX};

/// Marks of superpeers.
///
/// # Shape
/// On the wire one byte string, three bytes for each; of more than [`KNOWN_MAX`] the rest is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known(Vec<[u8; 3]>);

impl Known {
    /// Notes a superpeer, by its place and certificate.
    pub fn add(&mut self, place: &Key, certificate: &NodeCertificate) {
        if self.0.len() < KNOWN_MAX {
            self.0.push(mark(place, certificate));
        }
    }

    /// Whether there are none: they take no byte then.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the asker knows it.
    #[must_use]
    pub fn has(&self, place: &Key, certificate: &NodeCertificate) -> bool {
        self.0.contains(&mark(place, certificate))
    }
}

fn mark(place: &Key, certificate: &NodeCertificate) -> [u8; 3] {
    let Mark([_, mark @ ..]) = Mark::of(place, certificate);
    mark
}

/// What names a superpeer among those of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; 4]);

impl Mark {
    /// That of a superpeer, by its place and certificate.
    #[must_use]
    pub fn of(place: &Key, certificate: &NodeCertificate) -> Self {
        let (place, end) = (place.as_bytes(), certificate.not_after.as_secs().to_be_bytes());
        Self([28, 29, 30, 31].map(|at| place[at] ^ end[at - 24]))
    }
}

/// Several.
///
/// # Shape
/// On the wire one byte string, four bytes for each; of more than [`MARKS_MAX`] the rest is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks(pub Vec<Mark>);

impl Marks {
    /// Whether there are none: they take no byte then.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A hash over them, in their order; of none it is all zeroes.
    #[must_use]
    pub fn hash(&self) -> Digest {
        let bytes: Vec<u8> = self.0.iter().flat_map(|mark| mark.0).collect();
        Digest::from_bytes(if bytes.is_empty() { [0; 32] } else { *blake3::hash(&bytes).as_bytes() })
    }
}

impl<C> Encode<C> for Marks {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|mark| mark.0).collect();
        e.bytes(&bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Marks {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (marks, _) = d.bytes()?.as_chunks();
        Ok(Self(marks.iter().take(MARKS_MAX).copied().map(Mark).collect()))
    }
}

impl<C> Encode<C> for Known {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(self.0.as_flattened())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Known {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (marks, _) = d.bytes()?.as_chunks();
        Ok(Self(marks.iter().take(KNOWN_MAX).copied().collect()))
    }
}

/// The beginnings of the hashes of the sixteen parts of a range.
///
/// # Shape
/// On the wire one byte string, eight bytes for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts([[u8; 8]; 16]);

impl Parts {
    /// Of so many hashes; `None` unless they are sixteen.
    #[must_use]
    pub fn of(hashes: &[Digest]) -> Option<Self> {
        let hashes: &[Digest; 16] = hashes.try_into().ok()?;
        Some(Self(hashes.each_ref().map(beginning)))
    }

    /// A bit for each part, the first one lowest, of which the hash begins in the same way.
    #[must_use]
    pub fn same(&self, hashes: &[Digest]) -> u16 {
        let pairs = self.0.iter().zip(hashes).enumerate();
        pairs.fold(0, |same, (part, (mine, theirs))| same | u16::from(*mine == beginning(theirs)) << part)
    }
}

/// As much of a hash as tells one from others.
pub(crate) fn beginning(hash: &Digest) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    [a, b, c, d, e, f, g, h]
}

impl<C> Encode<C> for Parts {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(self.0.as_flattened())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Parts {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (parts, rest) = d.bytes()?.as_chunks();
        match (parts.try_into(), rest) {
            (Ok(parts), []) => Ok(Self(parts)),
            _ => Err(decode::Error::message("not sixteen parts of eight bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::key::{NetworkId, PeerId};
    use crate::sign::SecretKey;
    use crate::time::Unix;
    use crate::wire::{Closest, Compare, Digests, Frame, Get, Hints, ItemList, Message};

    fn superpeer(number: u8, until: u64) -> (Key, NodeCertificate) {
        let (network, login) = (NetworkId::from_bytes([3; 32]), SecretKey::from_seed([2; 32]));
        let life = Unix::from_secs(0)..Unix::from_secs(until);
        let certificate =
            NodeCertificate::issue(PeerId::from_bytes([number; 32]), [number; 16], life, &network, &login);
        (certificate.node_id(&network), certificate)
    }

    fn known(count: u8) -> Known {
        let mut known = Known::default();
        for number in 0..count {
            let (place, certificate) = superpeer(number, 600_000);
            known.add(&place, &certificate);
        }
        known
    }

    /// A frame as another version of us would write it: the id 7, a kind and the bytes of a body.
    fn read(kind: u8, body: &[u8]) -> Option<Message> {
        let mut bytes = vec![0x83, 7];
        bytes.extend(if kind < 24 { vec![kind] } else { vec![0x18, kind] });
        bytes.extend_from_slice(body);
        Frame::read(Bytes::from(bytes)).ok().map(|frame| frame.message)
    }

    fn again(message: &Message) -> Message {
        let mut bytes = Vec::new();
        Frame { id: 7, message: message.clone() }.write(&mut bytes);
        Frame::read(bytes.into()).expect("our own frames can be read").message
    }

    /// A map with the fields 0: a key of zeroes, and those given.
    fn body(fields: u8, rest: &[u8]) -> Vec<u8> {
        let mut body = vec![0xa0 | fields, 0, 0x58, 32];
        body.extend([0; 32]);
        body.extend_from_slice(rest);
        body
    }

    /// A byte string of two bytes' length.
    fn string(len: u16) -> Vec<u8> {
        let mut string = vec![0x59];
        string.extend(len.to_be_bytes());
        string.resize(3 + usize::from(len), 9);
        string
    }

    #[test]
    fn who_is_named_is_known_and_who_has_a_newer_certificate_or_was_not_named_is_not() {
        // As many as fit and one more; each with its certificate, and with one that ends a second later.
        let bound = u8::try_from(KNOWN_MAX).expect("a byte");
        let all = known(bound + 1);
        for number in 0..=bound {
            let (place, certificate) = superpeer(number, 600_000);
            assert_eq!(all.has(&place, &certificate), number < bound, "{number}");
            let (_, newer) = superpeer(number, 600_001);
            assert!(!all.has(&place, &newer), "{number}");
        }
        let (place, certificate) = superpeer(1, 600_000);
        assert!(!Known::default().has(&place, &certificate));
    }

    #[test]
    fn what_is_known_is_the_same_after_its_way() {
        // Nobody, somebody, as many as fit, in both questions.
        let key = Key::from_bytes([5; 32]);
        for count in [0, 1, u8::try_from(KNOWN_MAX).expect("a byte")] {
            let known = known(count);
            let get = Message::Get(Get { key, known: known.clone() });
            assert_eq!(again(&get), get);
            let closest =
                Message::Closest(Closest { key, count: 20, known: known.clone(), remembered: known });
            assert_eq!(again(&closest), closest);
        }
    }

    #[test]
    fn a_question_without_marks_with_too_many_or_with_fields_of_a_later_version_is_read() {
        // Bodies as others may write them; a mark that is cut short is none.
        let key = Key::from_bytes([0; 32]);
        let get = |known: Known| Some(Message::Get(Get { key, known }));
        let marks = |count: usize| Known(vec![[9; 3]; count]);
        assert_eq!(read(4, &body(1, &[])), get(Known::default()));
        assert_eq!(read(4, &body(2, &[1, 0x45, 9, 9, 9, 9, 9])), get(marks(1)));
        assert_eq!(read(4, &body(2, &[&[1][..], &string(60_000)].concat())), get(marks(KNOWN_MAX)));
        assert_eq!(read(4, &body(2, &[9, 0x81, 0])), get(Known::default()));
        for wrong in [&[1, 0x61, 0x61][..], &[1, 0x05], &[1, 0x80]] {
            assert_eq!(read(4, &body(2, wrong)), None, "{wrong:?}");
        }
        let closest = Message::Closest(Closest {
            key,
            count: 3,
            known: Known::default(),
            remembered: Known::default(),
        });
        assert_eq!(read(3, &body(2, &[1, 3])), Some(closest));
    }

    #[test]
    fn a_comparison_without_hashes_is_read_and_one_with_other_than_sixteen_is_not() {
        // What the asker holds in its parts: nothing, all of them, one byte less or more, far too much.
        let (prefix, bits) = (Key::from_bytes([0; 32]), 4);
        let hashes = [Digest::from_bytes([9; 32]); 16];
        let bare = Message::Digest(Compare { prefix, bits, held: None });
        let full = Message::Digest(Compare { prefix, bits, held: Parts::of(&hashes) });
        assert_eq!((again(&bare), again(&full)), (bare.clone(), full.clone()));
        assert_eq!(read(14, &body(2, &[1, 4])), Some(bare.clone()));
        assert_eq!(read(14, &body(3, &[1, 4, 9, 0xf6])), Some(bare));
        for (len, there) in [(0, false), (127, false), (128, true), (129, false), (60_000, false)] {
            let read = read(14, &body(3, &[&[1, 4, 2][..], &string(len)].concat()));
            assert_eq!(read, there.then(|| full.clone()), "{len} bytes");
        }
        assert_eq!(Parts::of(&hashes[..15]), None);
    }

    #[test]
    fn answers_of_before_these_fields_are_read() {
        // Digests and hints with and without what was added; a number that is too large.
        let (items, parts) = (ItemList::default(), Vec::new());
        let digests = |same| {
            Message::Digests(Digests { items: items.clone(), parts: parts.clone(), syncing: false, same })
        };
        assert_eq!(read(142, &[0xa2, 0, 0x80, 1, 0x80]), Some(digests(0)));
        assert_eq!(read(142, &[0xa3, 0, 0x80, 1, 0x80, 3, 0x19, 0x80, 1]), Some(digests(0x8001)));
        assert_eq!(read(142, &[0xa3, 0, 0x80, 1, 0x80, 3, 0x1a, 0, 1, 0, 0]), None);
        let hints = |shared| Message::Hints(Hints { hints: Vec::new(), shared, there: Known::default() });
        assert_eq!(read(131, &[0xa1, 0, 0x80]), Some(hints(None)));
        assert_eq!(read(131, &[0xa2, 0, 0x80, 1, 0x18, 0xff]), Some(hints(Some(255))));
        assert_eq!(read(131, &[0xa2, 0, 0x80, 1, 0x19, 1, 0]), None);
        for message in [digests(0xffff), hints(Some(0)), hints(None)] {
            assert_eq!(again(&message), message);
        }
    }

    proptest! {
        #[test]
        fn a_part_is_the_same_if_its_hash_begins_alike(
            ours in proptest::array::uniform16(0u8..3), theirs in proptest::array::uniform16(0u8..3), len in 0usize..20,
        ) {
            // Few different beginnings, so that many are alike, and other ends; those that are missing are not.
            let digest = |first: &u8, end: u8| {
                let mut bytes = [*first; 32];
                bytes[8..].fill(end);
                Digest::from_bytes(bytes)
            };
            let parts = Parts::of(&ours.each_ref().map(|first| digest(first, 8))).expect("sixteen");
            let hashes: Vec<Digest> = theirs.iter().take(len).map(|first| digest(first, 9)).collect();
            let same = parts.same(&hashes);
            for part in 0..16 {
                let alike = part < len && ours[part] == theirs[part];
                prop_assert_eq!(same >> part & 1 == 1, alike);
            }
        }
    }
}
