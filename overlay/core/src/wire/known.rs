//! What the asker has already: an answer tells only the rest.
//!
//! An answer with twenty hints takes 3 kB, and as a rule tells nothing new. So a question carries three bytes
//! for each superpeer that its asker knows around the key. They depend on place and certificate: who has a
//! newer certificate is news. That two superpeers have the same mark hides one of them from an asker who
//! knows the other; both have to be around one key, and nobody chooses its place, so that is one answer in
//! forty thousand. A question for digests carries eight bytes of each hash that the asker has: who holds the
//! same answers with a bit. To find two that are alike in that takes 2^32 records of one's own, which are
//! then not repaired.

use alloc::vec::Vec;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::certificate::NodeCertificate;
use crate::key::{Digest, Key};
use crate::limits::KNOWN_MAX;

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

    /// Whether the asker knows it.
    #[must_use]
    pub fn has(&self, place: &Key, certificate: &NodeCertificate) -> bool {
        self.0.contains(&mark(place, certificate))
    }
}

fn mark(place: &Key, certificate: &NodeCertificate) -> [u8; 3] {
    let (place, end) = (place.as_bytes(), certificate.not_after.as_secs().to_be_bytes());
    [place[29] ^ end[5], place[30] ^ end[6], place[31] ^ end[7]]
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

fn beginning(hash: &Digest) -> [u8; 8] {
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
        let (parts, _) = d.bytes()?.as_chunks();
        let parts = parts.try_into().map_err(|_| decode::Error::message("sixteen parts of eight bytes"))?;
        Ok(Self(parts))
    }
}
