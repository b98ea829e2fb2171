//! Buckets of a Kademlia peer. *Not here*: look-ups (`super`).

use super::K;
use crate::random::mix;
use crate::time::Micros;

/// As many as an id has bits, which is what p2psim builds at once.
pub(super) const BUCKETS: usize = 64;

/// The id of a peer.
pub(super) fn id_of(peer: u32) -> u64 {
    mix(u64::from(peer) << 1 | 1 << 40)
}

/// The key of a name.
pub(super) fn key_of(name: u32) -> u64 {
    mix(u64::from(name) << 1 | 1 << 41)
}

#[derive(Debug, Clone, Copy)]
struct Contact {
    peer: u32,
    heard: Micros,
    failures: u32,
}

#[derive(Debug, Clone, Default)]
struct Bucket {
    /// Who was heard last is last.
    contacts: Vec<Contact>,
    /// Who would have been in it if it had room, the youngest last.
    spare: Vec<u32>,
}

/// What a peer knows of others.
#[derive(Debug, Clone)]
pub(super) struct Table {
    peer: u32,
    buckets: Vec<Bucket>,
}

impl Table {
    pub(super) fn new(peer: u32) -> Self {
        Self { peer, buckets: Vec::new() }
    }

    fn bucket(&mut self, other: u32) -> Option<&mut Bucket> {
        if other == self.peer {
            return None;
        }
        let prefix = ((id_of(self.peer) ^ id_of(other)).leading_zeros() as usize).min(BUCKETS - 1);
        if self.buckets.len() <= prefix {
            self.buckets.resize(prefix + 1, Bucket::default());
        }
        self.buckets.get_mut(prefix)
    }

    /// Somebody has sent something.
    pub(super) fn heard(&mut self, other: u32, now: Micros) {
        let Some(bucket) = self.bucket(other) else { return };
        if let Some(at) = bucket.contacts.iter().position(|contact| contact.peer == other) {
            bucket.contacts.remove(at);
        } else if bucket.contacts.len() >= K {
            bucket.spare.retain(|spare| *spare != other);
            bucket.spare.push(other);
            if bucket.spare.len() > K {
                bucket.spare.remove(0);
            }
            return;
        }
        bucket.contacts.push(Contact { peer: other, heard: now, failures: 0 });
    }

    /// Somebody was named by another peer.
    pub(super) fn hear_of(&mut self, other: u32) {
        let Some(bucket) = self.bucket(other) else { return };
        let known = bucket.contacts.iter().any(|contact| contact.peer == other);
        if !known && bucket.contacts.len() < K {
            bucket.contacts.insert(0, Contact { peer: other, heard: 0, failures: 0 });
        }
    }

    /// Somebody has not answered; after so many times it gives way to a spare.
    pub(super) fn failed(&mut self, other: u32, failures_max: u32) {
        let Some(bucket) = self.bucket(other) else { return };
        bucket.spare.retain(|spare| *spare != other);
        let Some(at) = bucket.contacts.iter().position(|contact| contact.peer == other) else { return };
        bucket.contacts[at].failures += 1;
        if bucket.contacts[at].failures >= failures_max {
            bucket.contacts.remove(at);
            if let Some(peer) = bucket.spare.pop() {
                bucket.contacts.push(Contact { peer, heard: 0, failures: 0 });
            }
        }
    }

    /// So many that are closest to a key, the closest first.
    pub(super) fn closest(&self, key: u64, count: usize) -> Vec<u32> {
        let mut all: Vec<(u64, u32)> = self
            .buckets
            .iter()
            .flat_map(|bucket| &bucket.contacts)
            .map(|contact| (id_of(contact.peer) ^ key, contact.peer))
            .collect();
        if all.len() > count {
            all.select_nth_unstable(count);
            all.truncate(count);
        }
        all.sort_unstable();
        all.into_iter().map(|(_, peer)| peer).collect()
    }

    /// How many buckets there are down to the deepest that has anybody.
    pub(super) fn depth(&self) -> usize {
        let deepest = self.buckets.iter().rposition(|bucket| !bucket.contacts.is_empty());
        deepest.map_or(0, |deepest| deepest + 1)
    }

    /// Of the first so many buckets, those in which nobody was heard since then.
    pub(super) fn stale(&self, since: Micros, depth: usize) -> Vec<usize> {
        let stale = |bucket: &Bucket| bucket.contacts.iter().all(|contact| contact.heard < since);
        (0..depth).filter(|at| self.buckets.get(*at).is_none_or(stale)).collect()
    }

    /// A key that belongs into a bucket, otherwise of these bits.
    pub(super) fn key_in(&self, bucket: usize, random: u64) -> u64 {
        let bit = 1u64 << (63 - bucket);
        // The bits above are ours, this one is not, those below are random.
        (id_of(self.peer) & !(bit | (bit - 1))) | (!id_of(self.peer) & bit) | (random & (bit - 1))
    }
}
