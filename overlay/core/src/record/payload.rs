//! What records say: a device's addresses and entries, a name's revocations.
//!
//! Both payloads are CBOR maps in strict form; unknown fields and entries of unknown type are passed
//! over, so newer writers can add some. Every bound is checked when writing and when reading, and no
//! text holds control characters, since readers print it.
//!
//! *Not here*: sealing (`seal.rs`), multiaddrs (opaque here; the transport reads them).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use minicbor::{Decoder, Encoder};

use super::Record;
use crate::cbor;
use crate::invalid::Invalid;
use crate::key::PeerId;
use crate::limits::{
    ADDRESS_BYTES_MAX, ADDRESSES_PER_RECORD_MAX, DISPLAY_BYTES_MAX, ENTRIES_PER_RECORD_MAX,
    REVOKED_SERIALS_MAX, SERVICE_BYTES_MAX, TARGET_BYTES_MAX, TXT_BYTES_MAX,
};

/// A typed entry, as in DNS.
///
/// # Shape
/// `[type, service or null, …]` with DNS's type numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// What it is for, e.g. `_ssh._tcp`; `None` for the name itself.
    pub service: Option<String>,
    /// Type and value.
    pub kind: EntryKind,
}

/// Type and value of an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Where a service is (RFC 2782).
    Srv {
        /// Lower is tried first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// The port.
        port: u16,
        /// A host name.
        target: String,
    },
    /// Free text.
    Txt(String),
}

/// What a device record says, once opened.
///
/// # Shape
/// `{0: peer, 1: parent (left out if none), 2: addresses, 3: entries, 4: display}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePayload {
    /// The daemon.
    pub peer: PeerId,
    /// Its primary parent; `None` for a superpeer.
    pub parent: Option<PeerId>,
    /// Binary multiaddrs, opaque here.
    pub addresses: Vec<Bytes>,
    /// Typed entries.
    pub entries: Vec<Entry>,
    /// Free-form display name; may be empty.
    pub display: String,
}

/// What an `epoch` record says.
///
/// # Shape
/// `{0: minimum, 1: revoked, ascending}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EpochPayload {
    /// Certificates of earlier epochs no longer count.
    pub minimum: u32,
    /// Serials of certificates that no longer count.
    pub revoked: Vec<u64>,
}

/// DNS's numbers of the entry types (RFC 1035, 3596, 2782).
mod number {
    pub(super) const A: u16 = 1;
    pub(super) const TXT: u16 = 16;
    pub(super) const AAAA: u16 = 28;
    pub(super) const SRV: u16 = 33;
}

impl DevicePayload {
    /// Encodes it after checking its bounds.
    ///
    /// # Errors
    /// [`Invalid::Payload`]: the user (or us) asked for more than a record may hold.
    pub fn encode(&self) -> Result<Vec<u8>, Invalid> {
        self.check()?;
        Ok(cbor::written(|e| {
            e.map(4 + u64::from(self.parent.is_some()))?.u8(0)?.bytes(self.peer.as_bytes())?;
            if let Some(parent) = &self.parent {
                e.u8(1)?.bytes(parent.as_bytes())?;
            }
            e.u8(2)?.array(self.addresses.len() as u64)?;
            self.addresses.iter().try_for_each(|address| e.bytes(address)?.ok())?;
            e.u8(3)?.array(self.entries.len() as u64)?;
            self.entries.iter().try_for_each(|entry| entry.write(e))?;
            e.u8(4)?.str(&self.display)?.ok()
        }))
    }

    /// Reads one and checks its bounds.
    ///
    /// # Errors
    /// [`Invalid::Form`] and [`Invalid::Payload`]: its writer is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, Invalid> {
        cbor::strict(bytes)?;
        let mut d = Decoder::new(bytes);
        let (mut peer, mut parent) = (None, None);
        let (mut addresses, mut entries, mut display) = (Vec::new(), Vec::new(), String::new());
        for _ in 0..d.map()?.unwrap_or_default() {
            match d.u64()? {
                0 => peer = Some(PeerId::from_bytes(cbor::fixed(&mut d)?)),
                1 => parent = Some(PeerId::from_bytes(cbor::fixed(&mut d)?)),
                2 => {
                    for _ in 0..bounded(&mut d, ADDRESSES_PER_RECORD_MAX, "too many addresses")? {
                        addresses.push(Bytes::copy_from_slice(d.bytes()?));
                    }
                }
                3 => {
                    for _ in 0..bounded(&mut d, ENTRIES_PER_RECORD_MAX, "too many entries")? {
                        entries.extend(Entry::read(&mut d)?);
                    }
                }
                4 => display = d.str()?.to_string(),
                _ => d.skip()?,
            }
        }
        let peer = peer.ok_or(Invalid::Payload("no peer"))?;
        let payload = Self { peer, parent, addresses, entries, display };
        payload.check()?;
        Ok(payload)
    }

    fn check(&self) -> Result<(), Invalid> {
        rule(self.addresses.len() <= ADDRESSES_PER_RECORD_MAX, "too many addresses")?;
        let sizes = 1..=ADDRESS_BYTES_MAX;
        rule(self.addresses.iter().all(|address| sizes.contains(&address.len())), "the size of an address")?;
        rule(self.entries.len() <= ENTRIES_PER_RECORD_MAX, "too many entries")?;
        self.entries.iter().try_for_each(Entry::check)?;
        rule(self.display.len() <= DISPLAY_BYTES_MAX, "the display name is too long")?;
        rule(printable(&self.display), "control characters in the display name")
    }
}

impl Entry {
    fn write(&self, e: &mut Encoder<&mut Vec<u8>>) -> cbor::Written {
        let (items, number) = match &self.kind {
            EntryKind::A(_) => (3, number::A),
            EntryKind::Aaaa(_) => (3, number::AAAA),
            EntryKind::Srv { .. } => (6, number::SRV),
            EntryKind::Txt(_) => (3, number::TXT),
        };
        e.array(items)?.u16(number)?;
        match &self.service {
            Some(service) => e.str(service)?,
            None => e.null()?,
        };
        match &self.kind {
            EntryKind::A(ip) => e.bytes(&ip.octets())?.ok(),
            EntryKind::Aaaa(ip) => e.bytes(&ip.octets())?.ok(),
            EntryKind::Srv { priority, weight, port, target } => {
                e.u16(*priority)?.u16(*weight)?.u16(*port)?.str(target)?.ok()
            }
            EntryKind::Txt(text) => e.str(text)?.ok(),
        }
    }

    /// Reads one; `None` for a type that is not known here.
    fn read(d: &mut Decoder<'_>) -> Result<Option<Self>, Invalid> {
        let items = d.array()?.unwrap_or_default();
        if items < 2 {
            return Err(Invalid::Payload("an entry without type or service"));
        }
        let number = d.u16()?;
        let service = d.decode::<Option<&str>>()?.map(str::to_string);
        let kind = match (number, items) {
            (number::A, 3) => EntryKind::A(Ipv4Addr::from(cbor::fixed::<4>(d)?)),
            (number::AAAA, 3) => EntryKind::Aaaa(Ipv6Addr::from(cbor::fixed::<16>(d)?)),
            (number::SRV, 6) => EntryKind::Srv {
                priority: d.u16()?,
                weight: d.u16()?,
                port: d.u16()?,
                target: d.str()?.to_string(),
            },
            (number::TXT, 3) => EntryKind::Txt(d.str()?.to_string()),
            (number::A | number::AAAA | number::SRV | number::TXT, _) => {
                return Err(Invalid::Payload("an entry of another shape than its type"));
            }
            _ => {
                for _ in 2..items {
                    d.skip()?;
                }
                return Ok(None);
            }
        };
        Ok(Some(Self { service, kind }))
    }

    fn check(&self) -> Result<(), Invalid> {
        if let Some(service) = &self.service {
            rule(
                (1..=SERVICE_BYTES_MAX).contains(&service.len()) && host(service),
                "the service of an entry",
            )?;
        }
        match &self.kind {
            EntryKind::A(_) | EntryKind::Aaaa(_) => Ok(()),
            EntryKind::Srv { target, .. } => {
                rule((1..=TARGET_BYTES_MAX).contains(&target.len()) && host(target), "the target of an entry")
            }
            EntryKind::Txt(text) => {
                rule(text.len() <= TXT_BYTES_MAX && printable(text), "the text of an entry")
            }
        }
    }
}

impl fmt::Display for Entry {
    /// As a line of a DNS zone, without the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(service) = &self.service {
            write!(f, "{service} ")?;
        }
        match &self.kind {
            EntryKind::A(ip) => write!(f, "A {ip}"),
            EntryKind::Aaaa(ip) => write!(f, "AAAA {ip}"),
            EntryKind::Srv { priority, weight, port, target } => {
                write!(f, "SRV {priority} {weight} {port} {target}")
            }
            EntryKind::Txt(text) => write!(f, "TXT {text:?}"),
        }
    }
}

impl EpochPayload {
    /// Encodes it after checking its bounds.
    ///
    /// # Errors
    /// [`Invalid::Payload`] for more than [`REVOKED_SERIALS_MAX`] serials: raise the epoch instead.
    pub fn encode(&self) -> Result<Vec<u8>, Invalid> {
        let mut revoked = self.revoked.clone();
        revoked.sort_unstable();
        revoked.dedup();
        rule(revoked.len() <= REVOKED_SERIALS_MAX, "too many serials")?;
        Ok(cbor::written(|e| {
            e.map(2)?.u8(0)?.u32(self.minimum)?.u8(1)?.array(revoked.len() as u64)?;
            revoked.iter().try_for_each(|serial| e.u64(*serial)?.ok())
        }))
    }

    /// Reads one and checks its bounds.
    ///
    /// # Errors
    /// [`Invalid::Form`] and [`Invalid::Payload`]: its writer is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, Invalid> {
        cbor::strict(bytes)?;
        let mut d = Decoder::new(bytes);
        let (mut minimum, mut revoked) = (None, Vec::new());
        for _ in 0..d.map()?.unwrap_or_default() {
            match d.u64()? {
                0 => minimum = Some(d.u32()?),
                1 => {
                    for _ in 0..bounded(&mut d, REVOKED_SERIALS_MAX, "too many serials")? {
                        revoked.push(d.u64()?);
                    }
                }
                _ => d.skip()?,
            }
        }
        rule(revoked.is_sorted_by(|a, b| a < b), "serials that do not ascend")?;
        Ok(Self { minimum: minimum.ok_or(Invalid::Payload("no minimum"))?, revoked })
    }

    /// Whether a device certificate no longer counts.
    #[must_use]
    pub fn revokes(&self, epoch: u32, serial: u64) -> bool {
        epoch < self.minimum || self.revoked.contains(&serial)
    }

    /// Whether a record no longer counts; only device records can be revoked.
    #[must_use]
    pub fn revokes_record(&self, record: &Record) -> bool {
        record.certificate().is_some_and(|device| self.revokes(device.epoch, device.serial))
    }
}

fn bounded(d: &mut Decoder<'_>, max: usize, broken: &'static str) -> Result<u64, Invalid> {
    let count = d.array()?.unwrap_or_default();
    rule(count <= max as u64, broken)?;
    Ok(count)
}

fn rule(holds: bool, broken: &'static str) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid::Payload(broken)) }
}

fn printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn host(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
