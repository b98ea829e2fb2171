//! A superpeer's cache of bundles that it resolved for its children.
//!
//! A bundle is served unverified once, to whoever waits for it: the child's own check decides. Before
//! it is served a second time it is verified. It stays for the least ttl of its records.
//! An absence that enough storers vouched for is remembered for a minute; whatever is put or registered
//! under the key here ends that. *Not here*: what counts as absent (`lookup`).

use alloc::collections::{BTreeMap, BTreeSet};

use super::look::Nothing;
use crate::key::{Key, PeerId};
use crate::limits::{CACHE_MAX, GONE_MAX, UNREADY_AGAIN, UNREADY_PATIENCE};
use crate::record::Bundle;
use crate::time::Instant;

#[derive(Debug, Clone)]
pub(super) struct Cached {
    pub(super) bundle: Bundle,
    pub(super) verified: bool,
    /// The storer that gave it.
    pub(super) from: Option<PeerId>,
    until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Key, Cached>,
    by_end: BTreeSet<(Instant, Key)>,
    blamed: BTreeMap<PeerId, Instant>,
    /// Storers that were not ready, and since when.
    unready: BTreeMap<PeerId, Instant>,
    denials: BTreeMap<Key, (Instant, Nothing)>,
    denials_by_end: BTreeSet<(Instant, Key)>,
}

impl Cache {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn fresh(&self, key: &Key, now: Instant) -> Option<&Cached> {
        self.entries.get(key).filter(|cached| cached.until > now)
    }

    /// Keeps a bundle until `until`; at the bound what ends first goes.
    pub(super) fn keep(&mut self, key: Key, cached: (Bundle, bool, Option<PeerId>), until: Instant) {
        self.evict(&key);
        let (bundle, verified, from) = cached;
        self.entries.insert(key, Cached { bundle, verified, from, until });
        self.by_end.insert((until, key));
        if self.entries.len() > CACHE_MAX
            && let Some((_, first)) = self.by_end.pop_first()
        {
            self.entries.remove(&first);
        }
    }

    /// Replaces a bundle by its verified self, for as long as it had.
    pub(super) fn verified(&mut self, key: &Key, bundle: Bundle) {
        if let Some(cached) = self.entries.get_mut(key) {
            cached.bundle = bundle;
            cached.verified = true;
        }
    }

    /// Enough storers denied the key; at the bound what ends first goes.
    pub(super) fn deny(&mut self, key: Key, nothing: Nothing, until: Instant) {
        self.undo_denial(&key);
        self.denials.insert(key, (until, nothing));
        self.denials_by_end.insert((until, key));
        if self.denials.len() > CACHE_MAX
            && let Some((_, first)) = self.denials_by_end.pop_first()
        {
            self.denials.remove(&first);
        }
    }

    pub(super) fn denied(&self, key: &Key, now: Instant) -> Option<&Nothing> {
        self.denials.get(key).filter(|(until, _)| *until > now).map(|(_, nothing)| nothing)
    }

    fn undo_denial(&mut self, key: &Key) {
        if let Some((until, _)) = self.denials.remove(key) {
            self.denials_by_end.remove(&(until, *key));
        }
    }

    /// What is known of the key is not so any more: bundle and denial.
    pub(super) fn evict(&mut self, key: &Key) -> Option<Cached> {
        self.undo_denial(key);
        let cached = self.entries.remove(key)?;
        self.by_end.remove(&(cached.until, *key));
        Some(cached)
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        while let Some(&(until, key)) = self.by_end.first() {
            if until > now {
                break;
            }
            self.by_end.pop_first();
            self.entries.remove(&key);
        }
        while let Some(&(until, key)) = self.denials_by_end.first() {
            if until > now {
                break;
            }
            self.denials_by_end.pop_first();
            self.denials.remove(&key);
        }
        self.blamed.retain(|_, until| *until > now);
        self.unready.retain(|_, since| now.since(*since) < UNREADY_AGAIN);
    }

    /// The storer gave a bundle that does not verify, or hangs: it is asked last for a while.
    pub(super) fn blame(&mut self, storer: PeerId, until: Instant) {
        if self.blamed.len() < GONE_MAX {
            self.blamed.insert(storer, until);
        }
    }

    /// A storer says that it is taking its range over, and does not know yet. That takes its time, but not
    /// for ever: whether it is worth waiting for.
    pub(super) fn is_worth_waiting_for(&mut self, storer: PeerId, now: Instant) -> bool {
        if self.unready.len() >= GONE_MAX && !self.unready.contains_key(&storer) {
            return false;
        }
        let since = self.unready.entry(storer).or_insert(now);
        if now.since(*since) >= UNREADY_AGAIN {
            *since = now;
        }
        now.since(*since) < UNREADY_PATIENCE
    }

    pub(super) fn is_blamed(&self, storer: &PeerId) -> bool {
        !self.blamed.is_empty() && self.blamed.contains_key(storer)
    }
}
