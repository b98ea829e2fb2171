//! What a peer has on disk.
//!
//! A durable write takes all earlier ones with it; others are committed in groups, so that a crash loses
//! those of the last moment: in their order, none before one that stays. While a disk is full nothing is
//! committed, and what was written waits. *Not here*: how long it takes, what waits for it (`world`).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use callbook_overlay::api::{Restored, Slot, Write};
use callbook_overlay::key::{Digest, Key, PeerId, PublicKey};
use callbook_overlay::record::Record;
use callbook_overlay::time::Unix;

use crate::pool::{Contact, Records};
use crate::time::Micros;

/// One peer's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    records: Shelf,
    sequences: Vec<(Key, PublicKey, u64)>,
    /// With the first bits of who it is: as with records, most comparisons end there.
    contacts: VecDeque<(u64, Arc<Contact>)>,
    anchors: Vec<PeerId>,
    met: Vec<(PeerId, Unix)>,
    newest: Vec<(Slot, Bytes)>,
    proofs: Vec<(Digest, (Bytes, Bytes))>,
    /// Written and not committed yet, with the time of writing.
    fresh: VecDeque<(Micros, Write)>,
}

/// Records by their slots, with the first bits of their keys, where most comparisons end. They are kept as read: what many
/// disks hold is once in memory.
#[derive(Debug, Default)]
struct Shelf(Vec<(u64, Record)>);

impl Shelf {
    fn find(&self, slot: &Slot) -> Result<usize, usize> {
        let wanted = first(&slot.key);
        self.0.binary_search_by(|(first, record)| first.cmp(&wanted).then_with(|| record.slot().cmp(slot)))
    }

    fn put(&mut self, record: Record) {
        match self.find(&record.slot()) {
            Ok(index) => self.0[index].1 = record,
            Err(index) => self.0.insert(index, (first(&record.header().key), record)),
        }
    }

    fn forget(&mut self, slot: &Slot) {
        if let Ok(index) = self.find(slot) {
            self.0.remove(index);
        }
    }

    fn of(&self, key: &Key) -> impl Iterator<Item = &Record> {
        let first = Slot { key: *key, kind: 0, writer: PublicKey::from_bytes([0; 32]) };
        let from = self.find(&first).unwrap_or_else(|index| index);
        let after = self.0[from..].iter().map(|(_, record)| record);
        after.take_while(move |record| record.header().key == *key)
    }

    fn bytes(&self) -> Vec<Bytes> {
        self.0.iter().map(|(_, record)| record.bytes().clone()).collect()
    }
}

/// A key's first bits.
fn first(key: &Key) -> u64 {
    first_bits(key.as_bytes())
}

fn first_bits(bytes: &[u8; 32]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Whether an entry of the host cache is this superpeer's.
fn is_of((first, contact): &(u64, Arc<Contact>), peer: &PeerId) -> bool {
    *first == first_bits(peer.as_bytes()) && contact.0 == *peer
}

/// How a disk behaves.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// Where records are found that others have.
    pub(crate) pool: Records,
    /// How long a write that is not durable may wait for its commit.
    pub(crate) commit: Micros,
    /// So many superpeers of the host cache are kept; the oldest go first.
    pub(crate) contacts: usize,
}

impl Disk {
    pub(crate) fn write(&mut self, now: Micros, writes: Vec<Write>, durable: bool, habits: &Habits) {
        if self.fresh.is_empty() && (durable || habits.commit == 0) {
            return writes.into_iter().for_each(|write| self.apply(write, habits));
        }
        self.fresh.extend(writes.into_iter().map(|write| (now, write)));
        self.commit_until(if durable { Micros::MAX } else { now.saturating_sub(habits.commit) }, habits);
    }

    /// A write to a full disk: it waits for room.
    pub(crate) fn wait(&mut self, now: Micros, writes: Vec<Write>) {
        self.fresh.extend(writes.into_iter().map(|write| (now, write)));
    }

    /// Everything that was written before `time` is safe.
    pub(crate) fn commit_until(&mut self, time: Micros, habits: &Habits) {
        while let Some((_, write)) = self.fresh.pop_front_if(|(at, _)| *at <= time) {
            self.apply(write, habits);
        }
    }

    /// What is stored for others and who is known is lost; the numbers of own records are kept with the
    /// device key, without which nothing could be signed.
    pub(crate) fn wipe(&mut self) {
        let sequences = core::mem::take(&mut self.sequences);
        *self = Self { sequences, ..Self::default() };
    }

    /// How many writes a crash now may lose.
    pub(crate) fn uncommitted(&self) -> usize {
        self.fresh.len()
    }

    /// A crash: the first `kept` of what was not committed is there, the rest is lost.
    pub(crate) fn crash(&mut self, kept: usize, habits: &Habits) {
        self.fresh.truncate(kept);
        self.commit_until(Micros::MAX, habits);
        self.fresh.shrink_to_fit();
    }

    /// The highest sequence number of the records under a key, committed or not.
    pub(crate) fn newest(&self, key: &Key) -> Option<u64> {
        let here = |slot: &Slot| slot.key == *key;
        let fresh = self.fresh.iter().rev().find_map(|(_, write)| match write {
            Write::Record { slot, bytes } if here(slot) => Some(number_in(bytes)),
            Write::Forget(slot) if here(slot) => Some(None),
            Write::Record { .. }
            | Write::Forget(_)
            | Write::Sequence { .. }
            | Write::Contact { .. }
            | Write::ForgetContact(_)
            | Write::Anchors(_)
            | Write::Newest { .. }
            | Write::Met { .. }
            | Write::Proof { .. }
            | Write::ForgetProof(_)
            | Write::ForgetNewest(_) => None,
        });
        fresh.unwrap_or_else(|| self.records.of(key).map(|record| record.header().seq).max())
    }

    /// The number of the last own record.
    pub(crate) fn last_number(&self) -> Option<u64> {
        self.sequences.iter().map(|(_, _, last)| *last).max()
    }

    /// What the next run begins with.
    pub(crate) fn restored(&self) -> Restored {
        Restored {
            records: self.records.bytes(),
            sequences: self.sequences.clone(),
            contacts: self.contacts.iter().map(|(_, contact)| contact.1.clone()).collect(),
            anchors: self.anchors.clone(),
            met: self.met.clone(),
            proofs: self.proofs.iter().map(|(_, proof)| proof.clone()).collect(),
            newest: self.newest.iter().map(|(_, bytes)| bytes.clone()).collect(),
        }
    }

    fn apply(&mut self, write: Write, habits: &Habits) {
        match write {
            Write::Record { bytes, .. } => self.records.put(habits.pool.of(&bytes)),
            Write::Forget(slot) => self.records.forget(&slot),
            Write::Sequence { key, device, seq } => self.number(key, device, seq),
            Write::Contact { peer, bytes } => {
                self.contacts.retain(|known| !is_of(known, &peer));
                if self.contacts.len() >= habits.contacts
                    && let Some((_, oldest)) = self.contacts.pop_front()
                {
                    self.met.retain(|(known, _)| *known != oldest.0);
                }
                self.contacts.push_back((first_bits(peer.as_bytes()), habits.pool.contact(peer, bytes)));
            }
            Write::ForgetContact(peer) => {
                self.contacts.retain(|known| !is_of(known, &peer));
                self.met.retain(|(known, _)| *known != peer);
            }
            Write::Met { peer, since } => {
                self.met.retain(|(known, _)| *known != peer);
                let kept = self.contacts.iter().any(|known| is_of(known, &peer));
                self.met.extend(since.filter(|_| kept).map(|since| (peer, since)));
            }
            Write::Anchors(anchors) => self.anchors = anchors,
            Write::Newest { slot, bytes } => match self.newest.iter_mut().find(|(seen, _)| *seen == slot) {
                Some((_, seen)) => *seen = bytes,
                None => self.newest.push((slot, bytes)),
            },
            Write::ForgetNewest(slot) => self.newest.retain(|(seen, _)| *seen != slot),
            Write::Proof { pair, held, other } => self.proofs.push((pair, (held, other))),
            Write::ForgetProof(pair) => self.proofs.retain(|(known, _)| *known != pair),
        }
    }

    fn number(&mut self, key: Key, device: PublicKey, seq: u64) {
        let known = self.sequences.iter_mut().find(|(of, by, _)| *of == key && *by == device);
        match known {
            Some((_, _, last)) => {
                assert!(*last < seq, "a sequence number never goes down");
                *last = seq;
            }
            None => {
                // Everybody has one, also of those who never come: no room for more.
                self.sequences.reserve_exact(1);
                self.sequences.push((key, device, seq));
            }
        }
    }
}

fn number_in(record: &[u8]) -> Option<u64> {
    Record::parse(record).ok().map(|record| record.header().seq)
}

#[cfg(test)]
mod tests {
    use callbook_overlay::api::Write;
    use callbook_overlay::key::{Key, PublicKey};

    use super::{Disk, Habits};
    use crate::pool::Records;

    #[test]
    fn a_crash_loses_the_last_writes_and_a_durable_one_takes_all_before_it_along() {
        // Goal: the order of commits. Method: numbers, some durable; crash at once and later.
        let habits = Habits { pool: Records::default(), commit: 200, contacts: 4 };
        let (key, device) = (Key::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]));
        let number = |seq| vec![Write::Sequence { key, device, seq }];
        let newest = |disk: &Disk| disk.restored().sequences.first().map(|(_, _, seq)| *seq);
        let mut disk = Disk::default();
        disk.write(0, number(1), false, &habits);
        disk.write(10, number(2), true, &habits);
        disk.write(20, number(3), false, &habits);
        disk.write(30, number(4), false, &habits);
        assert_eq!((newest(&disk), disk.uncommitted()), (Some(2), 2));
        disk.crash(1, &habits);
        assert_eq!((newest(&disk), disk.uncommitted()), (Some(3), 0));
        disk.write(40, number(5), false, &habits);
        disk.write(300, number(6), false, &habits);
        assert_eq!(newest(&disk), Some(5));
    }
}
