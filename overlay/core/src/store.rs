//! The records that this superpeer stores, and what it keeps of what it once verified.
//!
//! One record per [`Slot`] (key, kind, writer); the newest `(epoch, seq)` stays. An epoch record
//! throws out the device records that it revokes, at once and for as long as it is held. Records come
//! in verified. *Not here*: verification, signatures, disk.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::api::Slot;
use crate::key::{Digest, Key, PublicKey};
use crate::limits::{CLOCK_TOLERANCE, DEVICES_PER_NAME_MAX, STORED_MAX, VERIFIED_MAX};
use crate::record::{Bundle, Kind, Record, Verdict, supersedes};
use crate::time::Unix;

/// What became of a record that was to be stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept {
    /// Stored; these slots were revoked by it.
    Stored(Vec<Slot>),
    /// It was there already.
    Held,
    /// Something newer is there.
    Stale(Record),
    /// The same version with another body is there; it stays.
    Equivocation(Record),
    /// An epoch record under this key revokes it.
    Revoked(Record),
    /// A quota is used up.
    Full,
    /// It does not verify.
    Invalid,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    slots: BTreeMap<Slot, Record>,
    bytes: usize,
}

impl Store {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there would be room for it: quotas, checked before its signature.
    pub(crate) fn has_room(&self, record: &Record) -> bool {
        let slot = record.slot();
        if self.slots.contains_key(&slot) {
            return true;
        }
        let devices = self.of(&slot.key).filter(|held| held.header().kind == Kind::Device).count();
        self.slots.len() < STORED_MAX
            && (record.header().kind != Kind::Device || devices < DEVICES_PER_NAME_MAX)
    }

    /// The held record of the same slot, if it is not older: then the new one needs no verification.
    pub(crate) fn not_older(&self, record: &Record) -> Option<Kept> {
        let held = self.slots.get(&record.slot())?;
        match supersedes(record, held) {
            Verdict::Newer => None,
            Verdict::Same => Some(Kept::Held),
            Verdict::Older => Some(Kept::Stale(held.clone())),
            // Judged after verification: an unverified twin proves nothing.
            Verdict::Equivocation => None,
        }
    }

    /// Keeps a verified record.
    pub(crate) fn keep(&mut self, record: Record) -> Kept {
        let slot = record.slot();
        if let Some(held) = self.slots.get(&slot) {
            match supersedes(&record, held) {
                Verdict::Newer => {}
                Verdict::Same => return Kept::Held,
                Verdict::Older => return Kept::Stale(held.clone()),
                Verdict::Equivocation => return Kept::Equivocation(held.clone()),
            }
        }
        if let Some(epoch) = self.of(&slot.key).find(|held| held.revokes(&record)) {
            return Kept::Revoked(epoch.clone());
        }
        if !self.has_room(&record) {
            return Kept::Full;
        }
        let revoked: Vec<Slot> =
            self.of(&slot.key).filter(|held| record.revokes(held)).map(Record::slot).collect();
        for slot in &revoked {
            self.forget(slot);
        }
        self.bytes += record.bytes().len();
        if let Some(old) = self.slots.insert(slot, record) {
            self.bytes -= old.bytes().len();
        }
        Kept::Stored(revoked)
    }

    pub(crate) fn forget(&mut self, slot: &Slot) {
        if let Some(old) = self.slots.remove(slot) {
            self.bytes -= old.bytes().len();
        }
    }

    /// All that is held and valid under a key.
    pub(crate) fn bundle(&self, key: &Key, now: Unix) -> Bundle {
        Bundle::new(self.of(key).filter(|record| !expired(record, now)).cloned())
    }

    /// Drops what has expired.
    pub(crate) fn sweep(&mut self, now: Unix) -> Vec<Slot> {
        let dead: Vec<Slot> =
            self.slots.iter().filter(|(_, record)| expired(record, now)).map(|(slot, _)| *slot).collect();
        for slot in &dead {
            self.forget(slot);
        }
        dead
    }

    fn of(&self, key: &Key) -> impl Iterator<Item = &Record> {
        let first = Slot { key: *key, kind: 0, writer: PublicKey::from_bytes([0; 32]) };
        let last = Slot { key: *key, kind: u8::MAX, writer: PublicKey::from_bytes([255; 32]) };
        self.slots.range(first..=last).map(|(_, record)| record)
    }
}

fn expired(record: &Record, now: Unix) -> bool {
    now > record.header().not_after + CLOCK_TOLERANCE
}

/// Records that have passed verification, byte for byte; the oldest are forgotten first.
///
/// A record whose chain has expired since is caught by its own expiry, since no record outlives its
/// chain. The bytes are compared, not a hash: the digest leaves out signature and chain.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    records: BTreeMap<Digest, Record>,
    order: VecDeque<Digest>,
}

impl Seen {
    pub(crate) fn contains(&self, record: &Record) -> bool {
        self.records.get(&record.digest()).is_some_and(|seen| seen.bytes() == record.bytes())
    }

    pub(crate) fn insert(&mut self, record: Record) {
        let digest = record.digest();
        if self.records.insert(digest, record).is_none() {
            self.order.push_back(digest);
            if self.order.len() > VERIFIED_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.records.remove(&oldest);
            }
        }
    }
}
