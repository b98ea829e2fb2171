//! Looking a key up for whoever asks: the superpeer's side of resolving.
//!
//! ```text
//!  cache ─▶ own store ─▶ walk        (what our children registered is added to each)
//! ```
//! Children and we ourselves are served alike. A bundle from the overlay is passed on unverified, since
//! the child's check decides, and verified before it is served again.
//!
//! An index holds only this parent's children; a name may have devices elsewhere. So the index answers
//! alone only while the cache knows the whole bundle (it does for a ttl after each registration).
//! *Not here*: the walk itself.

use alloc::vec::Vec;

use super::Overlay;
use super::walks::Owner;
use crate::api::{Failure, LinkId, Source};
use crate::cbor::Blob;
use crate::key::{Key, PeerId};
use crate::limits::GONE_FOR;
use crate::lookup::Goal;
use crate::record::{Bundle, Record};
use crate::wire::{FLAG_FRESH, Message, Reject, Resolve, Resolved};

/// Who waits for a bundle.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Local(u64),
    Child { link: LinkId, id: u64 },
}

/// What a walk that found no device has to say.
pub(super) struct Nothing {
    pub(super) absent: bool,
    pub(super) denials: usize,
    /// Superpeers that count.
    pub(super) storers: usize,
    /// Verified epoch records under the key: at most the newest.
    pub(super) epochs: Vec<Record>,
}

/// A bundle with where it came from.
pub(super) struct Found {
    pub(super) bundle: Bundle,
    pub(super) source: Source,
    pub(super) hops: u8,
}

impl Overlay {
    /// A child asks us to resolve.
    pub(super) fn serve_resolve(&mut self, link: LinkId, id: u64, resolve: &Resolve) {
        self.look(resolve.key, resolve.flags & FLAG_FRESH != 0, Asker::Child { link, id });
    }

    /// Looks near to far; answers now or when the walk ends.
    pub(super) fn look(&mut self, key: Key, fresh: bool, asker: Asker) {
        if let Some(found) = self.look_here(&key, fresh) {
            return self.give(asker, &found);
        }
        let waiting = self.resolving.waiting.entry(key).or_default();
        waiting.push(asker);
        if waiting.len() == 1 {
            self.start_walk(key, Goal::Value, Owner::Resolve(key));
        }
    }

    /// The cache first: what is in it is as new as what we store, since storing evicts it.
    fn look_here(&mut self, key: &Key, fresh: bool) -> Option<Found> {
        if let Some(bundle) = self.look_in_cache(key).filter(|_| !fresh) {
            return Some(self.with_index(key, bundle, Source::Cache));
        }
        let bundle = self.store.bundle(key, self.now.unix);
        let held = bundle.devices().next().is_some() && self.stores(key);
        held.then(|| self.with_index(key, bundle, Source::Store))
    }

    /// A cached bundle, verified by now.
    fn look_in_cache(&mut self, key: &Key) -> Option<Bundle> {
        let cached = self.cache.fresh(key, self.now.instant)?;
        let (bundle, from) = (cached.bundle.clone(), cached.from);
        if cached.verified {
            return Some(bundle);
        }
        let (good, bad): (Vec<Record>, Vec<Record>) =
            bundle.records.into_iter().partition(|record| self.verify(record).is_ok());
        let bundle = Bundle::new(good);
        if !bad.is_empty() {
            self.blame(from);
        }
        if bundle.devices().next().is_none() {
            self.cache.evict(key);
            return None;
        }
        self.cache.verified(key, bundle.clone());
        Some(bundle)
    }

    /// Adds what our children registered; if that is all there is, the index is the source.
    fn with_index(&self, key: &Key, mut bundle: Bundle, source: Source) -> Found {
        let mut indexed = 0;
        let now = self.now.unix;
        for record in self.children.of(key).filter(|record| record.check_header(now).is_ok()) {
            indexed += 1;
            bundle.insert(record.clone());
        }
        bundle.apply_epoch();
        let source = if indexed > 0 && indexed == bundle.devices().count() { Source::Index } else { source };
        Found { bundle, source, hops: 0 }
    }

    /// Whether we are among the storers of a key.
    pub(super) fn stores(&self, key: &Key) -> bool {
        self.is_superpeer()
            && self.map.closest(key, self.replicas()).iter().any(|contact| contact.peer() == self.me)
    }

    /// Whether a bundle from a storer may be passed on: to a child always, unless the storer is blamed
    /// for another, to ourselves once verified.
    pub(super) fn resolve_usable(&mut self, key: &Key, bundle: &Bundle, storer: &PeerId) -> bool {
        let ours = |asker: &Asker| matches!(asker, Asker::Local(_));
        let local = self.resolving.waiting.get(key).is_some_and(|askers| askers.iter().any(ours));
        !(local || self.cache.is_blamed(storer))
            || bundle.records.iter().all(|record| self.verify(record).is_ok())
    }

    /// A storer had the bundle: answer all who wait, and keep it.
    pub(super) fn walk_found(&mut self, key: Key, bundle: Bundle, from: PeerId, hops: u8) {
        let found = self.with_index(&key, bundle, Source::Overlay);
        let found = Found { hops, source: Source::Overlay, ..found };
        for asker in self.resolving.waiting.remove(&key).unwrap_or_default() {
            self.give(asker, &found);
        }
        let until = self.now.instant + found.bundle.ttl(self.now.unix);
        self.cache.keep(key, (found.bundle, false, Some(from)), until);
    }

    /// The walk ended without a bundle. What our children registered is an answer all the same.
    pub(super) fn walk_found_nothing(&mut self, key: Key, nothing: &Nothing) {
        let found = self.with_index(&key, Bundle::new(nothing.epochs.iter().cloned()), Source::Index);
        let indexed = found.bundle.devices().next().is_some();
        for epoch in &nothing.epochs {
            self.resolving.remember(epoch);
        }
        for asker in self.resolving.waiting.remove(&key).unwrap_or_default() {
            if indexed {
                self.give(asker, &found);
            } else {
                self.give_nothing(asker, nothing);
            }
        }
    }

    fn give(&mut self, asker: Asker, found: &Found) {
        match asker {
            Asker::Local(id) => {
                let (bundle, source, hops) = (found.bundle.clone(), found.source, found.hops);
                self.conclude(id, Found { bundle, source, hops });
            }
            Asker::Child { link, id } => {
                self.count_found(found.source);
                let records = found.bundle.records.iter().map(|record| Blob(record.bytes().clone()));
                let (hops, source) = (found.hops, wire_source(found.source));
                let records = records.collect();
                let resolved =
                    Resolved { status: 0, records, hops, source, denials: 0, storers: 0, trace: Vec::new() };
                self.answer(link, id, Message::Resolved(resolved));
            }
        }
    }

    fn give_nothing(&mut self, asker: Asker, nothing: &Nothing) {
        let Nothing { absent, denials, storers, ref epochs } = *nothing;
        match asker {
            Asker::Local(id) if absent => self.conclude_absent(id, denials, Source::Overlay),
            Asker::Local(id) => {
                self.fail_or_own(id, Failure::Timeout { answered: denials, asked: storers });
            }
            Asker::Child { link, id } => {
                let lookups = &mut self.counters.lookups;
                let counter = if absent { &mut lookups.absent } else { &mut lookups.unknown };
                *counter += 1;
                let byte = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
                let (status, source) = (if absent { 1 } else { 2 }, wire_source(Source::Overlay));
                let (denials, storers) = (byte(denials), byte(storers));
                let records = epochs.iter().map(|epoch| Blob(epoch.bytes().clone())).collect();
                let resolved =
                    Resolved { status, records, hops: 0, source, denials, storers, trace: Vec::new() };
                self.answer(link, id, Message::Resolved(resolved));
            }
        }
    }

    /// A child says that a record we served is not to be served.
    pub(super) fn serve_reject(&mut self, peer: PeerId, reject: &Reject) {
        const WITHDRAWN: u8 = 2;
        if reject.reason == WITHDRAWN {
            if self.children.withdraw(&peer, &reject.key, &reject.digest) {
                self.cache.evict(&reject.key);
            }
            return;
        }
        self.counters.rejects += 1;
        let Some(cached) = self.cache.fresh(&reject.key, self.now.instant) else { return };
        let (record, from) =
            (cached.bundle.records.iter().find(|r| r.digest() == reject.digest), cached.from);
        let Some(record) = record.cloned() else { return };
        if self.verify(&record).is_err() {
            self.cache.evict(&reject.key);
            self.blame(from);
        }
    }

    fn blame(&mut self, storer: Option<PeerId>) {
        if let Some(storer) = storer {
            self.cache.blame(storer, self.now.instant + GONE_FOR);
        }
    }
}

fn wire_source(source: Source) -> u8 {
    match source {
        Source::Own => 0,
        Source::Index => 1,
        Source::Store => 2,
        Source::Cache => 3,
        Source::Overlay => 4,
    }
}
