//! CBOR as this protocol uses it: the one allowed encoding, and byte strings without copies.
//!
//! `minicbor` accepts trailing bytes, duplicate keys, long-form integers and indefinite lengths.
//! What is signed must have one reading, so [`strict`] walks it first and refuses all of these
//! (RFC 8949 §4.2.1, core deterministic encoding, without floats and tags). Frames are not signed and
//! are not walked. [`Blob`] is a byte string that shares the frame's memory.
//!
//! *Not here*: messages ([`wire`](crate::wire)) and records ([`record`](crate::record)).

use alloc::vec::Vec;
use core::convert::Infallible;

use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::invalid::Invalid;
use crate::limits::CBOR_DEPTH_MAX;

/// Checks that the bytes are one CBOR item in its one allowed encoding.
///
/// # Errors
/// [`Invalid::Form`] for trailing or missing bytes, integers or lengths that are not in their
/// shortest form, indefinite lengths, map keys that are not unique and ascending, text that is not
/// UTF-8, nesting deeper than [`CBOR_DEPTH_MAX`], floats, tags, and simple values other than false,
/// true and null.
pub fn strict(bytes: &[u8]) -> Result<(), Invalid> {
    let rest = item(bytes, CBOR_DEPTH_MAX)?;
    if rest.is_empty() { Ok(()) } else { Err(Invalid::Form("trailing bytes")) }
}

const SHORT: Invalid = Invalid::Form("ends too early");

/// Walks one item and returns what follows it.
fn item(bytes: &[u8], depth: usize) -> Result<&[u8], Invalid> {
    let (first, rest) = bytes.split_first().ok_or(SHORT)?;
    let (value, rest) = argument(first & 0x1f, rest)?;
    match first >> 5 {
        0 | 1 => Ok(rest),
        2 => Ok(split(rest, value)?.1),
        3 => {
            let (text, rest) = split(rest, value)?;
            core::str::from_utf8(text).map_err(|_| Invalid::Form("text that is not UTF-8"))?;
            Ok(rest)
        }
        4 => items(rest, value, deeper(depth)?),
        5 => pairs(rest, value, deeper(depth)?),
        6 => Err(Invalid::Form("a tag")),
        _ if (20..=22).contains(&first.wrapping_sub(0xe0)) => Ok(rest),
        _ => Err(Invalid::Form("a float or an unknown simple value")),
    }
}

/// Reads the number that follows an initial byte, in its shortest form only.
fn argument(short: u8, rest: &[u8]) -> Result<(u64, &[u8]), Invalid> {
    let size = match short {
        0..=23 => return Ok((u64::from(short), rest)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err(Invalid::Form("an indefinite length")),
    };
    let (number, rest) = rest.split_at_checked(size).ok_or(SHORT)?;
    let value = number.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
    let least = if size == 1 { 24 } else { 1 << (size * 4) };
    if value < least {
        return Err(Invalid::Form("a number that is not in its shortest form"));
    }
    Ok((value, rest))
}

fn split(rest: &[u8], size: u64) -> Result<(&[u8], &[u8]), Invalid> {
    usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size)).ok_or(SHORT)
}

fn deeper(depth: usize) -> Result<usize, Invalid> {
    depth.checked_sub(1).ok_or(Invalid::Form("nested too deeply"))
}

fn items(mut rest: &[u8], count: u64, depth: usize) -> Result<&[u8], Invalid> {
    for _ in 0..count {
        rest = item(rest, depth)?;
    }
    Ok(rest)
}

fn pairs(mut rest: &[u8], count: u64, depth: usize) -> Result<&[u8], Invalid> {
    let mut previous: &[u8] = &[];
    for _ in 0..count {
        let after = item(rest, depth)?;
        let key = &rest[..rest.len() - after.len()];
        // The encodings, compared byte by byte, ascend as the keys do; no encoding is empty.
        if key <= previous {
            return Err(Invalid::Form("map keys that are not unique and ascending"));
        }
        previous = key;
        rest = item(after, depth)?;
    }
    Ok(rest)
}

/// The frame that is being decoded, whose memory its [`Blob`]s share.
#[derive(Debug, Clone, Default)]
pub struct Source(pub Bytes);

impl AsMut<Self> for Source {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// A byte string that shares the frame's memory.
///
/// What is kept for longer than the frame should be copied, or it holds the whole frame in memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Blob(pub Bytes);

impl<'b, C: AsMut<Source>> Decode<'b, C> for Blob {
    fn decode(d: &mut Decoder<'b>, source: &mut C) -> Result<Self, decode::Error> {
        Ok(Self(source.as_mut().0.slice_ref(d.bytes()?)))
    }
}

impl<C> Encode<C> for Blob {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<C> minicbor::CborLen<C> for Blob {
    fn cbor_len(&self, context: &mut C) -> usize {
        minicbor::bytes::ByteSlice::cbor_len((&*self.0).into(), context)
    }
}

/// What writing CBOR to memory returns.
pub(crate) type Written = Result<(), encode::Error<Infallible>>;

/// Collects what `write` encodes.
///
/// # Panics
/// If an encoder refuses a value, which none of ours does.
pub(crate) fn written(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written) -> Vec<u8> {
    let mut bytes = Vec::new();
    let outcome = write(&mut Encoder::new(&mut bytes));
    assert!(outcome.is_ok(), "encoding to memory failed");
    bytes
}

/// Reads the head of a map of exactly `count` pairs.
pub(crate) fn map(d: &mut Decoder<'_>, count: u64) -> Result<(), Invalid> {
    if d.map()? == Some(count) { Ok(()) } else { Err(Invalid::Form("not the fields of this format")) }
}

/// Reads the head of an array of exactly `count` items.
pub(crate) fn array(d: &mut Decoder<'_>, count: u64) -> Result<(), Invalid> {
    if d.array()? == Some(count) { Ok(()) } else { Err(Invalid::Form("not the items of this format")) }
}

/// Reads the key of the next field, which must be `key`.
pub(crate) fn key(d: &mut Decoder<'_>, key: u64) -> Result<(), Invalid> {
    if d.u64()? == key { Ok(()) } else { Err(Invalid::Form("not the fields of this format")) }
}

/// Reads a byte string of exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Invalid> {
    d.bytes()?.try_into().map_err(|_| Invalid::Form("a byte string of the wrong size"))
}

#[cfg(test)]
mod tests {
    use super::strict;
    use alloc::vec;

    /// Goal: every allowed shape passes. Method: one example of each, from RFC 8949 appendix A.
    #[test]
    fn the_deterministic_encoding_passes() {
        for good in [
            &[0x00][..],
            &[0x17],
            &[0x18, 0x18],
            &[0x19, 0x01, 0x00],
            &[0x1a, 0x00, 0x01, 0x00, 0x00],
            &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0],
            &[0x38, 0x63],
            &[0x43, 1, 2, 3],
            &[0x62, 0xc3, 0xbc],
            &[0x80],
            &[0x82, 0x01, 0x81, 0x02],
            &[0xa2, 0x00, 0x01, 0x18, 0x18, 0x02],
            &[0xf4],
            &[0xf6],
        ] {
            assert_eq!(strict(good), Ok(()), "{good:02x?}");
        }
    }

    /// Goal: every other encoding is refused. Method: one example of each way to deviate.
    #[test]
    fn every_other_encoding_is_refused() {
        for bad in [
            &[][..],
            &[0x00, 0x00],
            &[0x18, 0x17],
            &[0x19, 0x00, 0xff],
            &[0x1a, 0x00, 0x00, 0xff, 0xff],
            &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x58, 0x01, 0xaa],
            &[0x43, 1, 2],
            &[0x5f, 0x41, 0, 0xff],
            &[0x9f, 0xff],
            &[0xbf, 0xff],
            &[0x62, 0xc3, 0x28],
            &[0x82, 0x01],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xa2, 0x00, 0x01, 0x00, 0x02],
            &[0xa2, 0x01, 0x01, 0x00, 0x02],
            &[0xa1, 0x00],
            &[0xc0, 0x00],
            &[0xf7],
            &[0xf8, 0x20],
            &[0xf9, 0x00, 0x00],
            &[0xfa, 0x7f, 0xc0, 0x00, 0x00],
            &[0x1c],
            &[0xff],
        ] {
            assert!(strict(bad).is_err(), "{bad:02x?}");
        }
    }

    /// Goal: nesting is bounded, so hostile input can't exhaust the stack. Method: the deepest allowed
    /// array passes, one more level does not, nor do 60,000.
    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
        assert!(strict(&nested(8)).is_ok());
        assert!(strict(&nested(9)).is_err());
        assert!(strict(&nested(60_000)).is_err());
    }
}
