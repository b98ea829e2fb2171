//! Records that many peers store, once in memory.
//!
//! Twenty superpeers store each name's record and hold it on disk; what they hold is the same, byte for byte.
//! *Not here*: runs with the codec, in which every peer reads its own copy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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
    /// What was heard last of each superpeer.
    superpeers: HashMap<PeerId, Arc<Placed>>,
    /// With so many it is looked which of them nobody holds any more.
    sweep_at: usize,
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
            known.sweep_at = 2 * known.records.len();
        }
        known.records.insert(record.digest(), record.clone());
        record.clone()
    }
}
