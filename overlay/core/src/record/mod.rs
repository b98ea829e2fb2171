//! Records: the signed envelope that everything stored in the overlay travels in.
//!
//! A record is `{0: body, 1: signature, 2: chain}`; its body is `{0: v, 1: alg, 2: kind, 3: key,
//! 4: epoch, 5: seq, 6: not_before, 7: not_after, 8: ttl, 9: payload}`. Checks come in this order, and
//! each costs more than the one before:
//!
//! ```text
//! Record::parse     size, strict form, header fields, shape of the chain      no crypto but the digest
//! check_header      length of life, expiry, clock
//! (the store)       quota
//! verify            chain (remembered), then the record's own signature
//! open              the payload, for those who know the name
//! ```
//! Signature and digest cover the bytes received, never a re-encoding.
//!
//! Source: DESIGN §3, DETAILS *Records*. *Not here*: quotas and who stores what
//! (`store`).

mod build;
mod bundle;
mod kind;
mod payload;
pub mod seal;
mod short;
mod verify;

use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use minicbor::Decoder;

use crate::api::Slot;
use crate::cbor;
use crate::certificate::{DeviceCertificate, allowed_life, valid_at};
use crate::invalid::{Invalid, Subject};
use crate::key::{Digest, Key, PublicKey};
use crate::limits::{CHAIN_MAX, RECORD_BYTES_MAX, TTL_MAX, TTL_MIN};
use crate::name::Username;
use crate::network::Network;
use crate::sign::Signature;
use crate::time::Unix;
use crate::wire::Placed;

pub use build::{DeviceDraft, EpochDraft, sign_device, sign_epoch};
pub use bundle::Bundle;
pub use kind::{Kind, Rules, Writer};
pub use payload::{DevicePayload, Entry, EntryKind, EpochPayload};
pub use short::ChainName;
pub(crate) use short::Short;
pub(crate) use verify::verify_to_store;
pub use verify::{ChainCache, Verified, verify};

const VERSION: u8 = 1;
const ED25519: u8 = 1;

/// What stands before a record's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Where it is stored.
    pub key: Key,
    /// Epoch of the writer's certificate; of an `epoch` record, the one that it sets.
    pub epoch: u32,
    /// Counts up with each version within an epoch.
    pub seq: u64,
    /// When it was signed.
    pub not_before: Unix,
    /// When it expires.
    pub not_after: Unix,
    /// Seconds that a cache may keep it, as signed; [`Record::ttl`] clamps it.
    pub ttl: u32,
}

/// A record as it was received, with its header read. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    bytes: Bytes,
    header: Header,
    digest: Digest,
    signature: Signature,
    body: Span,
    payload: Span,
    /// The certificates, the first nearest to the root.
    chain: [Span; CHAIN_MAX],
    chain_count: usize,
    /// The chain with its array header: one certificate list, one encoding.
    chain_whole: Span,
    /// Of a device record: the last certificate, read but not verified.
    certificate: Option<DeviceCertificate>,
}

/// A stretch of a record's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// Where the byte string lies that the decoder stands before.
    fn read(d: &mut Decoder<'_>) -> Result<Self, Invalid> {
        let size = d.bytes()?.len();
        Ok(Self { start: d.position() - size, end: d.position() })
    }

    fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..self.end]
    }
}

impl Record {
    /// Reads a record: size, strict form, header and shape of the chain, no signatures.
    ///
    /// The bytes are copied, so that a stored record doesn't hold the frame it came in.
    ///
    /// # Errors
    /// [`Invalid`]: the sender is at fault; [`Invalid::Unsupported`] for kinds of newer versions.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, Invalid> {
        let bytes = bytes.as_ref();
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(Invalid::Size { bytes: bytes.len(), max: RECORD_BYTES_MAX });
        }
        cbor::strict(bytes)?;
        let mut d = Decoder::new(bytes);
        cbor::map(&mut d, 3)?;
        cbor::key(&mut d, 0)?;
        let body = Span::read(&mut d)?;
        cbor::key(&mut d, 1)?;
        let signature = cbor::fixed(&mut d)?;
        cbor::key(&mut d, 2)?;
        let (chain, chain_count, chain_whole) = read_chain(&mut d)?;
        let (header, payload) = read_body(body.of(bytes))?;
        let rules = header.kind.rules();
        if chain_count != rules.writer.chain_count() {
            return Err(Invalid::Chain);
        }
        let certificate = match rules.writer {
            Writer::Device => Some(DeviceCertificate::parse(chain[chain_count - 1].of(bytes))?),
            Writer::Login => None,
        };
        let payload = Span { start: body.start + payload.start, end: body.start + payload.end };
        let digest = Digest::from_bytes(*blake3::hash(body.of(bytes)).as_bytes());
        let bytes = Bytes::copy_from_slice(bytes);
        Ok(Self(Arc::new(Inner {
            bytes,
            header,
            digest,
            signature,
            body,
            payload,
            chain,
            chain_count,
            chain_whole,
            certificate,
        })))
    }

    /// Checks length of life and clock.
    ///
    /// # Errors
    /// [`Invalid::Life`], [`Invalid::Expired`] and [`Invalid::Future`].
    pub fn check_header(&self, now: Unix) -> Result<(), Invalid> {
        let life = self.0.header.not_before..self.0.header.not_after;
        let life = allowed_life(life, self.0.header.kind.rules().life_max, Subject::Record)?;
        valid_at(&life, now, Subject::Record)
    }

    /// How many hold this very copy.
    #[must_use]
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// As it travels.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The hash of its body, without signature and chain.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// What stands before the payload.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// The payload; of a `device` record it is sealed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.0.payload.of(&self.0.bytes)
    }

    /// The certificates as they travel, the login key's first.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.chain[..self.0.chain_count].iter().map(|span| span.of(&self.0.bytes))
    }

    /// Of a device record: its device certificate, verified only if the record is.
    #[must_use]
    pub fn certificate(&self) -> Option<&DeviceCertificate> {
        self.0.certificate.as_ref()
    }

    /// Of a device record: the serial that its certificate bears.
    #[must_use]
    pub fn serial(&self) -> Option<u64> {
        self.certificate().map(|certificate| certificate.serial)
    }

    /// What it takes the place of among the records of its key.
    #[must_use]
    pub fn slot(&self) -> Slot {
        let writer = self.certificate().map_or(PublicKey::from_bytes([0; 32]), |device| device.device);
        Slot { key: self.0.header.key, kind: self.0.header.kind.code(), writer }
    }

    /// How long a cache may keep it: what its writer asked for, clamped to [`TTL_MIN`] and [`TTL_MAX`]
    /// and to its expiry.
    #[must_use]
    pub fn ttl(&self, now: Unix) -> Duration {
        let asked = Duration::from_secs(u64::from(self.0.header.ttl));
        asked.clamp(TTL_MIN, TTL_MAX).min(self.0.header.not_after.since(now))
    }

    /// Opens a device record's payload, for those who know the name.
    ///
    /// # Errors
    /// [`Invalid::Sealed`] if it is another name's, [`Invalid::Payload`] if the writer broke a rule.
    pub fn open(&self, network: &Network, username: &Username) -> Result<DevicePayload, Invalid> {
        let device = self.certificate().ok_or(Invalid::Chain)?.device;
        let key = &self.header().key;
        DevicePayload::decode(&seal::open_under(key, network, username, &device, self.payload())?)
    }

    /// Reads an `epoch` record's payload.
    ///
    /// # Errors
    /// [`Invalid::Payload`] and [`Invalid::Epoch`] if the writer broke a rule.
    pub fn epoch_payload(&self) -> Result<EpochPayload, Invalid> {
        match self.0.header.kind {
            Kind::Device => Err(Invalid::Payload("a device record sets no epoch")),
            Kind::Epoch => {
                let payload = EpochPayload::decode(self.payload())?;
                if payload.minimum == self.0.header.epoch { Ok(payload) } else { Err(Invalid::Epoch) }
            }
        }
    }
}

/// Where equal records of many peers in one process become one.
pub trait Pool: fmt::Debug + Send {
    /// What is kept of a superpeer, one copy for all that know it.
    fn share_placed(&self, placed: Placed) -> Arc<Placed> {
        Arc::new(placed)
    }

    /// This record, or one with the same bytes that is there already.
    fn share(&self, record: &Record) -> Record;
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("header", &self.0.header)
            .field("digest", &self.0.digest)
            .field("bytes", &self.0.bytes.len())
            .finish_non_exhaustive()
    }
}

/// How two records of one slot relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The new one replaces the old one.
    Newer,
    /// They have the same body (perhaps with renewed certificates).
    Same,
    /// The new one is out of date.
    Older,
    /// Same version, different bodies: the writer signed both.
    Equivocation,
}

/// What a new record of the same slot is to an old one: the newest `(epoch, seq)` wins.
#[must_use]
pub fn supersedes(new: &Record, old: &Record) -> Verdict {
    let version = |record: &Record| (record.header().epoch, record.header().seq);
    match version(new).cmp(&version(old)) {
        Ordering::Greater => Verdict::Newer,
        Ordering::Less => Verdict::Older,
        Ordering::Equal if new.digest() == old.digest() => Verdict::Same,
        Ordering::Equal => Verdict::Equivocation,
    }
}

type Chain = ([Span; CHAIN_MAX], usize, Span);

fn read_chain(d: &mut Decoder<'_>) -> Result<Chain, Invalid> {
    let start = d.position();
    let count = d.array()?.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let mut chain = [Span::default(); CHAIN_MAX];
    for certificate in chain.get_mut(..count).ok_or(Invalid::Chain)? {
        *certificate = Span::read(d)?;
    }
    Ok((chain, count, Span { start, end: d.position() }))
}

/// Reads a body; the span of the payload is within the body.
fn read_body(body: &[u8]) -> Result<(Header, Span), Invalid> {
    cbor::strict(body)?;
    let mut d = Decoder::new(body);
    cbor::map(&mut d, 10)?;
    cbor::key(&mut d, 0)?;
    let version = d.u8()?;
    if version != VERSION {
        return Err(Invalid::Version { version });
    }
    cbor::key(&mut d, 1)?;
    let algorithm = d.u8()?;
    if algorithm != ED25519 {
        return Err(Invalid::Algorithm { algorithm });
    }
    cbor::key(&mut d, 2)?;
    let kind = d.u64()?;
    let kind = Kind::from_code(kind).ok_or(Invalid::Unsupported { kind })?;
    cbor::key(&mut d, 3)?;
    let key = Key::from_bytes(cbor::fixed(&mut d)?);
    cbor::key(&mut d, 4)?;
    let epoch = d.u32()?;
    cbor::key(&mut d, 5)?;
    let seq = d.u64()?;
    cbor::key(&mut d, 6)?;
    let not_before = Unix::from_secs(d.u64()?);
    cbor::key(&mut d, 7)?;
    let not_after = Unix::from_secs(d.u64()?);
    cbor::key(&mut d, 8)?;
    let ttl = d.u32()?;
    cbor::key(&mut d, 9)?;
    let payload = Span::read(&mut d)?;
    Ok((Header { kind, key, epoch, seq, not_before, not_after, ttl }, payload))
}
