//! Records without their chain, for who holds another record with the same one.
//!
//! A chain is nearly half of a record, and is the same from one renewal of the certificate to the next. In its place stands
//! what names it: `{0: body, 1: signature, 3: name}`. Who has that chain puts the record together again, byte for byte,
//! and checks it as any other; who has not asks for the whole. The name proves nothing, it only finds.
//! *Not here*: when one is sent (`puts`, `handover`).

use bytes::Bytes;
use minicbor::Decoder;

use super::{Record, read_body};
use crate::cbor;
use crate::invalid::Invalid;
use crate::key::Key;
use crate::limits::RECORD_BYTES_MAX;
use crate::sign::Signature;

/// The first bytes of the hash of a chain as it travels.
pub type ChainName = [u8; 8];

/// A record whose chain has to be found.
#[derive(Debug)]
pub(crate) struct Short<'a> {
    pub(crate) key: Key,
    pub(crate) chain: ChainName,
    body: &'a [u8],
    signature: Signature,
}

impl Record {
    /// What names its chain.
    #[must_use]
    pub fn chain_name(&self) -> ChainName {
        let hash = blake3::hash(self.0.chain_whole.of(&self.0.bytes));
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Whether another one has the same chain, byte for byte.
    #[must_use]
    pub(crate) fn has_chain_of(&self, other: &Self) -> bool {
        self.0.chain_whole.of(&self.0.bytes) == other.0.chain_whole.of(&other.0.bytes)
    }

    /// As it travels to who holds its chain.
    #[must_use]
    pub fn short(&self) -> Bytes {
        let (body, signature) = (self.0.body.of(&self.0.bytes), &self.0.signature);
        let bytes = cbor::written(|e| {
            e.map(3)?.u8(0)?.bytes(body)?.u8(1)?.bytes(signature)?.u8(3)?.bytes(&self.chain_name())?.ok()
        });
        bytes.into()
    }
}

impl<'a> Short<'a> {
    /// Reads a record without its chain; one with its chain is none, nor is anything else. Whether all is in strict form
    /// is seen when it is whole.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > RECORD_BYTES_MAX {
            return None;
        }
        let read = || -> Result<Self, Invalid> {
            let mut d = Decoder::new(bytes);
            cbor::map(&mut d, 3)?;
            cbor::key(&mut d, 0)?;
            let body = d.bytes()?;
            cbor::key(&mut d, 1)?;
            let signature = cbor::fixed(&mut d)?;
            cbor::key(&mut d, 3)?;
            let chain = cbor::fixed(&mut d)?;
            Ok(Self { key: read_body(body)?.0.key, chain, body, signature })
        };
        read().ok()
    }

    /// The whole record, with the chain of another one.
    pub(crate) fn with_chain_of(&self, other: &Record) -> Bytes {
        let chain = other.0.chain_whole.of(&other.0.bytes);
        let mut bytes =
            cbor::written(|e| e.map(3)?.u8(0)?.bytes(self.body)?.u8(1)?.bytes(&self.signature)?.u8(2)?.ok());
        bytes.extend_from_slice(chain);
        bytes.into()
    }
}
