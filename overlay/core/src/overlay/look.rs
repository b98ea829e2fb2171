//! Looking a key up for whoever asks: the superpeer's side of resolving.
//!
//! ```text
//!  cache ─▶ own store ─▶ remembered absence ─▶ walk     (what our children registered is added to each)
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
use crate::limits::{DENIAL_TTL, GONE_FOR};
use crate::lookup::Goal;
use crate::record::{Bundle, Record};
use crate::time::Instant;
use crate::wire::{FLAG_CROSS_CHECK, FLAG_FRESH, FLAG_TRACE, Message, Reject, Resolve, Resolved, TraceStep};

/// Who waits for a bundle.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Local(u64),
    Child {
        link: LinkId,
        id: u64,
        since: Instant,
    },
    /// Watchers of the key.
    Watch(Key),
}

/// One who waits for a walk that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    asker: Asker,
    /// It passes over caches.
    fresh: bool,
    /// It asked when the walk had begun.
    joined: bool,
}

/// What a walk that found no device has to say.
#[derive(Debug, Clone)]
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
    /// The steps that it took, if they were asked for.
    pub(super) trace: Vec<TraceStep>,
}

impl Overlay {
    /// A child asks us to resolve.
    pub(super) fn serve_resolve(&mut self, link: LinkId, id: u64, resolve: &Resolve) {
        self.look(resolve.key, resolve.flags, Asker::Child { link, id, since: self.now.instant });
    }

    /// Looks near to far; answers now or when the walk ends. Comparing storers passes over caches.
    pub(super) fn look(&mut self, key: Key, flags: u8, asker: Asker) {
        let compares = flags & FLAG_CROSS_CHECK != 0;
        let fresh = compares || flags & FLAG_FRESH != 0;
        self.counters.cross_checks += u64::from(compares);
        if !compares && let Some(found) = self.look_here(&key, fresh) {
            return self.give(asker, &found);
        }
        if !fresh && let Some(nothing) = self.cache.denied(&key, self.now.instant) {
            let nothing = nothing.clone();
            self.counters.denials_cached += 1;
            return self.give_nothing(asker, &nothing, Source::Cache, &[]);
        }
        let way = flags & (FLAG_CROSS_CHECK | FLAG_TRACE);
        let waiting = self.resolving.waiting.entry((key, way)).or_default();
        let watches = |waiting: &Waiting| matches!(waiting.asker, Asker::Watch(_));
        if matches!(asker, Asker::Watch(_)) && waiting.iter().any(watches) {
            return;
        }
        let joined = !waiting.is_empty();
        waiting.push(Waiting { asker, fresh, joined });
        if !joined {
            self.start_walk(key, Goal::Value, Owner::Resolve(key, way));
        }
    }

    /// The cache first: what is in it is as new as what we store, since storing evicts it.
    fn look_here(&mut self, key: &Key, fresh: bool) -> Option<Found> {
        if !fresh && let Some(bundle) = self.look_in_cache(key) {
            return Some(self.with_index(key, bundle, Source::Cache));
        }
        let bundle = self.store.bundle(key, self.now.unix);
        let held = !self.is_stale() && bundle.devices().next().is_some();
        let held = held && self.is_superpeer() && self.is_among(key, self.inner());
        let held = held && !self.is_passed_over(key);
        held.then(|| self.with_index(key, bundle, Source::Store))
    }

    /// A cached bundle, verified by now.
    pub(super) fn look_in_cache(&mut self, key: &Key) -> Option<Bundle> {
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
    pub(super) fn with_index(&self, key: &Key, mut bundle: Bundle, source: Source) -> Found {
        let mut indexed = 0;
        let now = self.now.unix;
        for record in self.children.of(key).filter(|record| record.check_header(now).is_ok()) {
            indexed += 1;
            bundle.insert(record.clone());
        }
        bundle.apply_epoch();
        let source = if indexed > 0 && indexed == bundle.devices().count() { Source::Index } else { source };
        Found { bundle, source, hops: 0, trace: Vec::new() }
    }

    /// So many of the closest to a key are storers of it by everybody's map, give or take a few superpeers that
    /// some don't know yet, or think alive. Those further out may have been passed over by the last put.
    pub(super) fn inner(&self) -> usize {
        let r = self.replicas();
        if self.map.len() > r { (r * 3).div_ceil(4) } else { r }
    }

    /// Whether we are among the storers of a key.
    pub(super) fn stores(&self, key: &Key) -> bool {
        self.is_superpeer() && self.is_among(key, self.replicas())
    }

    /// Whether a bundle from a storer may be passed on: to a child always, unless the storer is blamed
    /// for another, to ourselves once verified.
    pub(super) fn resolve_usable(&mut self, owner: Owner, bundle: &Bundle, storer: &PeerId) -> bool {
        let Owner::Resolve(key, way) = owner else { return false };
        let ours = |waiting: &Waiting| !matches!(waiting.asker, Asker::Child { .. });
        let waiting = self.resolving.waiting.get(&(key, way));
        let local = waiting.is_some_and(|askers| askers.iter().any(ours));
        !(local || self.cache.is_blamed(storer))
            || bundle.records.iter().all(|record| self.verify(record).is_ok())
    }

    /// The walk has the bundle: answer all who wait, and keep it. Returns who was answered.
    pub(super) fn walk_found(&mut self, asked: (Key, u8), found: Found, from: Option<PeerId>) -> Vec<Asker> {
        let (key, hops, trace) = (asked.0, found.hops, found.trace);
        let found = self.with_index(&key, found.bundle, Source::Overlay);
        let found = Found { hops, source: Source::Overlay, trace, ..found };
        let askers = self.resolving.waiting.remove(&asked).unwrap_or_default();
        let askers: Vec<Asker> = askers.into_iter().map(|waiting| waiting.asker).collect();
        let until = self.now.instant + found.bundle.ttl(self.now.unix);
        // What we find wrong with it ourselves has to be found in the cache.
        let ours = askers.iter().any(|asker| !matches!(asker, Asker::Child { .. }));
        if ours {
            self.cache.keep(key, (found.bundle.clone(), false, from), until);
        }
        for asker in &askers {
            self.give(*asker, &found);
        }
        if !ours {
            self.cache.keep(key, (found.bundle, false, from), until);
        }
        self.key_changed(&key);
        askers
    }

    /// The walk ended without a bundle. What our children registered is an answer all the same, and what
    /// we hold without being a storer of it: a put may have come while the walk was under way.
    ///
    /// Who joined it later may have asked after a put that it missed: what denied may have done so before. For them
    /// an absence is one that is remembered; those who pass over caches wait for another walk, together.
    pub(super) fn walk_found_nothing(
        &mut self,
        asked: (Key, u8),
        nothing: Nothing,
        trace: Vec<TraceStep>,
    ) -> Vec<Asker> {
        let key = asked.0;
        let counts = asked.1 & FLAG_CROSS_CHECK == 0 && !self.is_stale();
        let held = self.store.bundle(&key, self.now.unix).records.into_iter().filter(|_| counts);
        let held = Bundle::new(nothing.epochs.iter().cloned().chain(held));
        let found = self.with_index(&key, held, Source::Store);
        let known = found.bundle.devices().next().is_some();
        let found = Found { trace, ..found };
        for epoch in &nothing.epochs {
            self.resolving.newest.remember(epoch);
        }
        let waiting = self.resolving.waiting.remove(&asked).unwrap_or_default();
        let absent = nothing.absent && !known;
        let (mut askers, mut later) = (Vec::new(), Vec::new());
        for Waiting { asker, fresh, joined } in waiting {
            let joined = absent && joined;
            if joined && fresh {
                later.push(Waiting { asker, fresh, joined: false });
                continue;
            }
            let source = if joined { Source::Cache } else { Source::Overlay };
            if known {
                self.give(asker, &found);
            } else {
                self.give_nothing(asker, &nothing, source, &found.trace);
            }
            askers.push(asker);
        }
        if absent {
            self.cache.evict(&key);
            self.cache.deny(key, nothing, self.now.instant + DENIAL_TTL);
        }
        if !later.is_empty() {
            // An answer may have made somebody ask again.
            let begun = self.resolving.waiting.contains_key(&asked);
            self.resolving.waiting.entry(asked).or_default().extend(later);
            if !begun {
                self.start_walk(key, Goal::Value, Owner::Resolve(key, asked.1));
            }
        }
        askers
    }

    fn give(&mut self, asker: Asker, found: &Found) {
        match asker {
            Asker::Local(id) => {
                self.note_steps(id, &found.trace);
                let (bundle, source, hops) = (found.bundle.clone(), found.source, found.hops);
                self.conclude(id, Found { bundle, source, hops, trace: Vec::new() });
            }
            Asker::Watch(key) => self.polled(key, &found.bundle),
            Asker::Child { link, id, since } => {
                self.counters.resolve_times.took(self.now.instant.since(since));
                self.count_found(found.source);
                let records = found.bundle.records.iter().map(|record| Blob(record.bytes().clone()));
                let (hops, source) = (found.hops, wire_source(found.source));
                let (records, trace) = (records.collect(), found.trace.clone());
                let resolved = Resolved { status: 0, records, hops, source, denials: 0, storers: 0, trace };
                self.answer(link, id, Message::Resolved(resolved));
            }
        }
    }

    fn give_nothing(&mut self, asker: Asker, nothing: &Nothing, source: Source, trace: &[TraceStep]) {
        let Nothing { absent, denials, storers, ref epochs } = *nothing;
        match asker {
            Asker::Local(id) => {
                self.note_steps(id, trace);
                if absent {
                    self.conclude_absent(id, denials, source);
                } else {
                    self.fail_or_own(id, Failure::Timeout { answered: denials, asked: storers });
                }
            }
            Asker::Watch(key) if absent => self.polled_absent(key, epochs),
            Asker::Watch(_) => {}
            Asker::Child { link, id, since } => {
                self.counters.resolve_times.took(self.now.instant.since(since));
                let lookups = &mut self.counters.lookups;
                let counter = if absent { &mut lookups.absent } else { &mut lookups.unknown };
                *counter += 1;
                let byte = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
                let (status, source) = (if absent { 1 } else { 2 }, wire_source(source));
                let (denials, storers) = (byte(denials), byte(storers));
                let records = epochs.iter().map(|epoch| Blob(epoch.bytes().clone())).collect();
                let trace = trace.to_vec();
                let resolved = Resolved { status, records, hops: 0, source, denials, storers, trace };
                self.answer(link, id, Message::Resolved(resolved));
            }
        }
    }

    /// A child says that a record we served is not to be served.
    pub(super) fn serve_reject(&mut self, peer: PeerId, reject: &Reject) {
        const WITHDRAWN: u8 = 2;
        const NEWER: u8 = 3;
        if reject.reason == WITHDRAWN {
            if self.children.withdraw(&peer, &reject.key, &reject.digest) {
                self.cache.evict(&reject.key);
            }
            return;
        }
        self.counters.rejects += 1;
        if reject.reason == NEWER {
            let newer = reject.newer.as_ref().and_then(|newer| self.read_record(newer.0.clone()).ok());
            if let Some(newer) = newer.filter(|_| self.is_superpeer()) {
                self.put_right(&reject.key, &reject.digest, &newer);
            }
            return;
        }
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
