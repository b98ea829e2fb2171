//! What many peers have, once in memory.
//!
//! Twenty superpeers store each name's record and hold it on disk; a superpeer's hint is in a hundred host caches. What they
//! hold is the same, byte for byte.
//! *Not here*: runs with the codec, in which every peer reads its own copy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use callbook_overlay::key::{Digest, PeerId};
use callbook_overlay::record::{Pool, Record};
use callbook_overlay::wire::Placed;

/// No sweep with fewer records than this.
const SWEPT_FROM: usize = 4_096;

/// The records of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    records: HashMap<Digest, Record>,
    /// Which of them has its bytes there.
    by_bytes: HashMap<(usize, usize), Digest>,
    /// What was heard last of each superpeer.
    superpeers: HashMap<PeerId, Arc<Placed>>,
    /// And what was written down of it last.
    contacts: HashMap<PeerId, Arc<Contact>>,
    /// With so many it is looked which of them nobody holds any more.
    sweep_at: usize,
}

/// A superpeer of host caches: who it is, and its hint as it is on disk.
pub(crate) type Contact = (PeerId, Bytes);

impl Records {
    /// An entry of a host cache, as others have it already.
    pub(crate) fn contact(&self, peer: PeerId, hint: Bytes) -> Arc<Contact> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.contacts.get(&peer).filter(|held| held.1 == hint) {
            return held.clone();
        }
        let contact = Arc::new((peer, hint));
        known.contacts.insert(peer, contact.clone());
        contact
    }

    /// The record that bytes are, as it is in memory already, or read again.
    ///
    /// # Panics
    /// If they are none: what is written down has been read before.
    pub(crate) fn of(&self, bytes: &Bytes) -> Record {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = known.by_bytes.get(&place(bytes)).and_then(|digest| known.records.get(digest));
        if let Some(held) = held.filter(|held| place(held.bytes()) == place(bytes)) {
            return held.clone();
        }
        drop(known);
        Record::parse(bytes).expect("what is written down is a record")
    }
}

/// Where bytes are in memory: a record that is held keeps its own.
fn place(bytes: &Bytes) -> (usize, usize) {
    (bytes.as_ptr() as usize, bytes.len())
}

impl Pool for Records {
    fn share_placed(&self, placed: Placed) -> Arc<Placed> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.superpeers.get(&placed.hint.peer()).filter(|held| ***held == placed) {
            return held.clone();
        }
        let (peer, placed) = (placed.hint.peer(), Arc::new(placed));
        known.superpeers.insert(peer, placed.clone());
        placed
    }

    fn share(&self, record: &Record) -> Record {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.records.get(&record.digest()).filter(|held| *held == record) {
            return held.clone();
        }
        if known.records.len() >= known.sweep_at.max(SWEPT_FROM) {
            known.records.retain(|_, held| held.holders() > 1);
            let Known { records, by_bytes, .. } = &mut *known;
            by_bytes.retain(|_, digest| records.contains_key(digest));
            known.sweep_at = 2 * known.records.len();
        }
        known.by_bytes.insert(place(record.bytes()), record.digest());
        known.records.insert(record.digest(), record.clone());
        record.clone()
    }
}
