//! What the last run left on disk: records, proofs, and superpeers that may be gone.
//!
//! ```text
//!  host cache ─▶ in the map, of the past ──┐ somebody names it by a mark: we have asked
//!           └──▶ remembered, not in it ────┴─ whether it is there, or who is (`survey`) ─▶ in the map
//! ```
//! Nobody is told of them before that. *Not here*: what is written (`contacts`, `store`), how those that wait for
//! somebody's word are kept (`map::remembered`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Overlay;
use crate::key::{Key, PeerId};
use crate::limits::{RECALL_BELOW, RESTORED_MAX};
use crate::map::Contact;
use crate::record::Record;
use crate::time::Unix;
use crate::wire::{Hint, Known};

impl Overlay {
    /// What the last run left on disk.
    pub(super) fn restore(
        &mut self,
        records: Vec<Bytes>,
        contacts: &[Bytes],
        met: Vec<(PeerId, Unix)>,
        superpeer: bool,
    ) {
        for bytes in records {
            // They were verified before they were written; their times are looked at again.
            if let Ok(record) = self.read_record(bytes) {
                drop(self.store.keep(record));
            }
        }
        let mut hints: Vec<Hint> = contacts.iter().filter_map(|bytes| Hint::from_bytes(bytes).ok()).collect();
        self.rumours.known_before = !hints.is_empty();
        // One that has expired goes with the next sweep, if our clock is right.
        for hint in &hints {
            self.contacts_kept.insert(hint.peer());
        }
        let since: BTreeMap<PeerId, Unix> = met.iter().copied().collect();
        let worked = |peer: &PeerId| since.get(peer).map_or(u64::MAX, |since| since.as_secs());
        hints.sort_by_key(|hint| (!self.anchors.contains(&hint.peer()), worked(&hint.peer())));
        for (place, hint) in hints.into_iter().enumerate() {
            // A child asks nobody who is there.
            if place < RESTORED_MAX || !superpeer {
                self.learn(&hint);
                self.map.restored(&hint.peer());
            } else {
                let id = hint.certificate.node_id(&self.network.id);
                self.map.remember(id, hint, self.now.instant);
            }
        }
        self.restore_met(met);
    }

    /// With few in the map some of the last run are tried.
    pub(super) fn recall_some(&mut self) {
        while self.map.len() < RECALL_BELOW && self.map.remembered() > 0 {
            let index = self.pick(self.map.remembered());
            let Some(hint) = self.map.remembered_at_index(index).cloned() else { return };
            self.map.recall(&hint.peer());
            self.learn(&hint);
            self.map.restored(&hint.peer());
        }
    }

    /// What the last run kept as proof.
    pub(super) fn restore_proofs(&mut self, proofs: Vec<(Bytes, Bytes)>) {
        let read =
            |(held, other): (Bytes, Bytes)| Some((Record::parse(held).ok()?, Record::parse(other).ok()?));
        self.store.restore_proofs(proofs.into_iter().filter_map(read));
    }

    /// The newest records that the last run saw.
    pub(super) fn restore_newest(&mut self, records: Vec<Bytes>) {
        let records = records.into_iter().filter_map(|bytes| Record::parse(bytes).ok());
        self.resolving.newest.restore(records.collect());
    }

    /// Whom of those around a key we know from our disk alone, for whoever is asked.
    pub(super) fn remembered_among(around: &[&Contact]) -> Known {
        let mut remembered = Known::default();
        for contact in around.iter().filter(|contact| contact.is_of_the_past()) {
            remembered.add(&contact.id(), &contact.hint().certificate);
        }
        remembered
    }

    /// Those of them are there by the word of one who was asked for the `count` closest to `key`.
    pub(super) fn told_there(&mut self, key: &Key, count: usize, there: &Known) {
        if there.is_empty() {
            return;
        }
        let past = self.around(key, count).into_iter().filter(|contact| contact.is_of_the_past());
        let past = past.filter(|contact| there.has(&contact.id(), &contact.hint().certificate));
        for peer in past.map(Contact::peer).collect::<Vec<PeerId>>() {
            self.map.named_by_another(&peer);
        }
    }

    /// One of the last run is there by somebody's word; whether what our disk says of it still holds.
    pub(super) fn recall_told(&mut self, peer: &PeerId) -> bool {
        self.map.recall(peer).is_some_and(|hint| self.learn(&hint).is_some())
    }
}
