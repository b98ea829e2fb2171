//! The unit of answer: all that is valid under a key.
//!
//! *Not here*: verification; what goes into a bundle has passed it, or the bundle is only passed on.

use alloc::vec::Vec;
use core::time::Duration;

use super::{EpochPayload, Kind, Record, Verdict, supersedes};
use crate::key::Digest;
use crate::time::Unix;

/// The records under one key, in the order of their slots, one for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundle {
    /// In the order of [`Record::slot`].
    pub records: Vec<Record>,
}

impl Bundle {
    /// The bundle of these records, in any order; of two in one slot the newer stays.
    #[must_use]
    pub fn new(records: impl IntoIterator<Item = Record>) -> Self {
        let mut bundle = Self::default();
        for record in records {
            // Which of them stays is all that matters here.
            let _verdict: Option<Verdict> = bundle.insert(record);
        }
        bundle
    }

    /// Adds a record, or replaces the one in its slot if this one is newer.
    ///
    /// # Shape
    /// `None` if the slot was empty; on [`Verdict::Equivocation`] the first one stays.
    pub fn insert(&mut self, record: Record) -> Option<Verdict> {
        match self.records.binary_search_by_key(&record.slot(), Record::slot) {
            Err(place) => {
                self.records.insert(place, record);
                None
            }
            Ok(place) => {
                let verdict = supersedes(&record, &self.records[place]);
                if verdict == Verdict::Newer {
                    self.records[place] = record;
                }
                Some(verdict)
            }
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The device records.
    pub fn devices(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.header().kind == Kind::Device)
    }

    /// What the bundle's `epoch` record says, if it has a readable one.
    #[must_use]
    pub fn epoch(&self) -> Option<EpochPayload> {
        self.records.iter().find_map(|record| record.epoch_payload().ok())
    }

    /// Drops the device records that the bundle's own `epoch` record revokes.
    pub fn apply_epoch(&mut self) {
        if let Some(epoch) = self.epoch() {
            self.records.retain(|record| !epoch.revokes_record(record));
        }
    }

    /// Equal for bundles with the same bodies in the same slots.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for record in &self.records {
            // Key and kind are in the body, the writer is not.
            hasher.update(record.slot().writer.as_bytes()).update(record.digest().as_bytes());
        }
        Digest::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Whether both have the same bodies in the same slots, as [`Self::digest`] tells, for less.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        let slots = self.records.iter().zip(&other.records);
        self.records.len() == other.records.len()
            && slots.into_iter().all(|(one, two)| one.digest() == two.digest() && one.slot() == two.slot())
    }

    /// How long a cache may keep it: the least of its records' times, zero when empty.
    #[must_use]
    pub fn ttl(&self, now: Unix) -> Duration {
        self.records.iter().map(|record| record.ttl(now)).min().unwrap_or_default()
    }
}
