//! Whom the asker knows already: an answer names only others.
//!
//! An answer with twenty hints takes 3 kB, and as a rule tells nothing new. So a question carries three bytes
//! for each superpeer that its asker knows around the key. They depend on place and certificate: who has a
//! newer certificate is news. That two superpeers have the same mark hides one of them from an asker who
//! knows the other; both have to be around one key, and nobody chooses its place, so that is one answer in
//! forty thousand.

use alloc::vec::Vec;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::certificate::NodeCertificate;
use crate::key::Key;
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
