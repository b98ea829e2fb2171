//! What a peer has on disk. A durable write takes all earlier ones with it; others are committed in
//! groups, so that a crash loses those of the last moment: in their order, none before one that stays.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use callbook_overlay::api::{Restored, Slot, Write};
use callbook_overlay::key::{Digest, Key, PeerId, PublicKey};
use callbook_overlay::time::Unix;

#[derive(Default)]
pub(super) struct Disk {
    records: BTreeMap<Slot, Bytes>,
    sequences: BTreeMap<(Key, PublicKey), u64>,
    contacts: BTreeMap<PeerId, Bytes>,
    anchors: Vec<PeerId>,
    met: BTreeMap<PeerId, Unix>,
    newest: BTreeMap<Slot, Bytes>,
    proofs: BTreeMap<Digest, (Bytes, Bytes)>,
    /// Written and not committed yet, with the time of writing.
    fresh: VecDeque<(u64, Write)>,
}

impl Disk {
    pub(super) fn write(&mut self, now: u64, writes: Vec<Write>, durable: bool) {
        self.fresh.extend(writes.into_iter().map(|write| (now, write)));
        if durable {
            self.commit_until(u64::MAX);
        }
    }

    /// Everything that was written before `time` is safe.
    pub(super) fn commit_until(&mut self, time: u64) {
        while let Some((_, write)) = self.fresh.pop_front_if(|(at, _)| *at <= time) {
            self.apply(write);
        }
    }

    /// How many writes a crash now may lose.
    pub(super) fn uncommitted(&self) -> usize {
        self.fresh.len()
    }

    /// A crash: the first `kept` of what was not committed is there, the rest is lost.
    pub(super) fn crash(&mut self, kept: usize) {
        for (_, write) in self.fresh.drain(..).take(kept).collect::<Vec<_>>() {
            self.apply(write);
        }
    }

    /// The record in a slot, committed or not.
    pub(super) fn record(&self, slot: &Slot) -> Option<&Bytes> {
        let fresh = self.fresh.iter().rev().find_map(|(_, write)| match write {
            Write::Record { slot: at, bytes } if at == slot => Some(Some(bytes)),
            Write::Forget(at) if at == slot => Some(None),
            _ => None,
        });
        fresh.unwrap_or_else(|| self.records.get(slot))
    }

    /// A record under a key, committed or not.
    pub(super) fn under(&self, key: &Key) -> Option<&Bytes> {
        let fresh = self.fresh.iter().filter_map(|(_, write)| match write {
            Write::Record { slot, .. } => Some(slot),
            _ => None,
        });
        let mut slots = self.records.keys().chain(fresh).filter(|slot| slot.key == *key);
        slots.find_map(|slot| self.record(slot))
    }

    pub(super) fn restored(&self) -> Restored {
        Restored {
            records: self.records.values().cloned().collect(),
            sequences: self.sequences.iter().map(|((key, device), seq)| (*key, *device, *seq)).collect(),
            contacts: self.contacts.values().cloned().collect(),
            anchors: self.anchors.clone(),
            met: self.met.iter().map(|(peer, since)| (*peer, *since)).collect(),
            proofs: self.proofs.values().cloned().collect(),
            newest: self.newest.values().cloned().collect(),
        }
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Record { slot, bytes } => {
                self.records.insert(slot, bytes);
            }
            Write::Forget(slot) => {
                self.records.remove(&slot);
            }
            Write::Sequence { key, device, seq } => {
                let old = self.sequences.insert((key, device), seq);
                assert!(old.is_none_or(|old| old < seq), "a sequence number never goes down");
            }
            Write::Contact { peer, bytes } => {
                self.contacts.insert(peer, bytes);
            }
            Write::ForgetContact(peer) => {
                self.contacts.remove(&peer);
                self.met.remove(&peer);
            }
            Write::Met { peer, since: Some(since) } => {
                assert!(self.contacts.contains_key(&peer), "only of those in the host cache");
                self.met.insert(peer, since);
            }
            Write::Met { peer, since: None } => {
                self.met.remove(&peer);
            }
            Write::Anchors(anchors) => self.anchors = anchors,
            Write::Newest { slot, bytes } => {
                self.newest.insert(slot, bytes);
            }
            Write::ForgetNewest(slot) => {
                self.newest.remove(&slot);
            }
            Write::Proof { pair, held, other } => {
                self.proofs.insert(pair, (held, other));
            }
            Write::ForgetProof(pair) => {
                self.proofs.remove(&pair);
            }
        }
    }
}
