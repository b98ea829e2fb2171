//! Walks under way: asks the candidates, takes the answers in, and tells who started the walk.
//!
//! The first storer's bundle that holds a device answers a look-up; what comes later is verified and
//! merged into the cache. Who can't be reached leaves the map. *Not here*: whom to ask (`lookup`), and
//! what the asker does with the end (`resolve`, `puts`).

use alloc::vec::Vec;

use super::look::Nothing;
use super::requests::{Outcome, Purpose};
use super::{Overlay, Timer};
use crate::api::Parallelism;
use crate::key::{Key, PeerId};
use crate::limits::{DEVICES_PER_NAME_MAX, HINTS_PER_ANSWER_MAX, NEAR, REQUEST_TIMEOUT, WALK_TIMEOUT};
use crate::lookup::{Goal, Verdict, Walk};
use crate::record::{Bundle, Record};
use crate::time::Instant;
use crate::wire::{Closest, Get, Got, Hint, Message, Reason};

/// Who started a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Resolve(Key),
    Put(u64),
    Refresh,
}

#[derive(Debug)]
pub(super) struct WalkRun {
    walk: Walk,
    owner: Owner,
    /// Verified epoch records that came with denials.
    epochs: Vec<Record>,
    /// Requests beyond what the walk allows: one for each hedge.
    extra: usize,
    hedge: Option<Instant>,
    ends: Instant,
    /// The owner has its answer; only late answers are awaited.
    over: bool,
}

impl Overlay {
    pub(super) fn start_walk(&mut self, key: Key, goal: Goal, owner: Owner) -> u64 {
        let id = self.number();
        let width = if owner == Owner::Refresh { self.near } else { self.replicas() };
        // As long as we take our range over, who held it before us is asked in our place.
        let width = width + usize::from(goal == Goal::Value && self.is_syncing());
        let walk = Walk::new(key, goal, width, self.network.parameters.alpha, self.parallelism);
        let ends = self.set_timer(WALK_TIMEOUT, Timer::Walk(id));
        let mut run = WalkRun { walk, owner, epochs: Vec::new(), extra: 0, hedge: None, ends, over: false };
        self.fill(&mut run, width);
        self.step(id, run);
        id
    }

    /// Candidates from the map. We are one ourselves, and have looked already.
    fn fill(&self, run: &mut WalkRun, width: usize) {
        let key = run.walk.key;
        for contact in self.map.closest(&key, width) {
            let peer = contact.peer();
            run.walk.add(peer, &contact.id, 1);
            if peer == self.me {
                // Looked here already; as long as we take our range over that proves nothing.
                if run.walk.goal == Goal::Value && self.is_syncing() {
                    run.walk.failed(&peer);
                } else {
                    run.walk.denied(&peer);
                }
            }
        }
    }

    /// Asks whom there is to ask, or ends the walk.
    fn step(&mut self, id: u64, mut run: WalkRun) {
        if run.over {
            return self.put_back(id, run);
        }
        let verdict = run.walk.verdict();
        if verdict != Verdict::Running {
            return self.end_walk(id, run, verdict);
        }
        let now = self.now.instant;
        let rank = |peer: &PeerId| (self.cache.is_blamed(peer), self.links.rank(peer));
        let mut asking = Vec::new();
        while let Some(peer) = run.walk.next(run.extra, rank) {
            run.walk.asked(&peer);
            asking.push(peer);
        }
        let hedged = run.walk.goal == Goal::Value && self.parallelism == Parallelism::Hedged;
        if let (true, Some(last)) = (hedged, asking.last()) {
            if let Some(at) = run.hedge.replace(now + self.links.patience(last)) {
                self.cancel(at, Timer::Hedge(id));
            }
            self.timers.extend(run.hedge.map(|at| (at, Timer::Hedge(id))));
        }
        let message = match run.walk.goal {
            Goal::Value => Message::Get(Get { key: run.walk.key }),
            Goal::Nodes => Message::Closest(Closest { key: run.walk.key, count: wire_count(NEAR) }),
        };
        self.walks.insert(id, run);
        for peer in asking {
            self.ask(peer, message.clone(), Purpose::Walk(id), REQUEST_TIMEOUT);
        }
    }

    fn put_back(&mut self, id: u64, run: WalkRun) {
        if run.walk.in_flight() > 0 {
            self.walks.insert(id, run);
        } else {
            self.cancel(run.ends, Timer::Walk(id));
        }
    }

    /// The owner has what it wanted, or gave up: no further requests.
    fn quiet(&mut self, id: u64, run: &mut WalkRun) {
        run.over = true;
        if let Some(at) = run.hedge.take() {
            self.cancel(at, Timer::Hedge(id));
        }
    }

    fn end_walk(&mut self, id: u64, mut run: WalkRun, verdict: Verdict) {
        self.quiet(id, &mut run);
        let (denials, storers) = run.walk.tally();
        let (owner, answered) = (run.owner, run.walk.answered());
        let epochs = core::mem::take(&mut run.epochs);
        self.put_back(id, run);
        match owner {
            Owner::Resolve(key) => {
                for epoch in &epochs {
                    self.children.revoke(epoch);
                }
                // Those who are left of a network that we lost can't speak for it.
                let absent = verdict == Verdict::Absent && !self.map.is_cut_off(self.now.instant);
                let held = self.store.bundle(&key, self.now.unix).records.into_iter();
                let held = held.filter(|record| record.certificate().is_none());
                let epochs = Bundle::new(epochs.into_iter().chain(held)).records;
                self.walk_found_nothing(key, &Nothing { absent, denials, storers, epochs });
            }
            Owner::Put(put) => self.put_targets(put, answered),
            Owner::Refresh => {
                self.neighbours_known();
                self.upkeep();
            }
        }
    }

    /// The request has waited as long as is usual: one more storer is asked.
    pub(super) fn hedge(&mut self, id: u64) {
        if let Some(mut run) = self.walks.remove(&id) {
            run.hedge = None;
            if run.extra + 1 < self.network.parameters.alpha {
                run.extra += 1;
                self.counters.hedges += 1;
            }
            self.step(id, run);
        }
    }

    pub(super) fn walk_timed_out(&mut self, id: u64) {
        let Some(run) = self.walks.remove(&id) else { return };
        if run.over {
            return;
        }
        let verdict = if run.walk.goal == Goal::Nodes { Verdict::Settled } else { Verdict::Unknown };
        self.end_walk(id, run, verdict);
    }

    pub(super) fn walk_heard(&mut self, id: u64, peer: PeerId, outcome: Outcome) {
        let Some(mut run) = self.walks.remove(&id) else { return };
        match (outcome, run.walk.goal) {
            (Outcome::Answer(Message::Got(got)), Goal::Value) => return self.got(id, run, peer, got),
            (Outcome::Answer(Message::Hints(hints)), Goal::Nodes) => {
                let depth = run.walk.denied(&peer);
                self.take_hints(&mut run, peer, &hints.hints, depth);
            }
            (Outcome::Refused(refused), Goal::Value)
                if Reason::from_wire(refused.reason) == Reason::Syncing =>
            {
                // No denial; but it knows who else to ask, and who held its range before is asked too.
                run.walk.failed(&peer);
                let depth = run.walk.depth(&peer);
                let width = run.walk.widen_by_one();
                self.take_hints(&mut run, peer, &refused.candidates, depth);
                self.fill(&mut run, width);
            }
            (Outcome::Answer(_) | Outcome::Refused(_) | Outcome::Silent, _) => run.walk.failed(&peer),
            (Outcome::Unreachable, _) => {
                run.walk.leave_out(&peer);
                let width = self.replicas();
                self.fill(&mut run, width);
            }
        }
        self.step(id, run);
    }

    fn take_hints(&mut self, run: &mut WalkRun, teller: PeerId, hints: &[Hint], depth: u8) {
        for hint in hints.iter().take(HINTS_PER_ANSWER_MAX) {
            if let Some(node) = self.learn_told(teller, hint) {
                run.walk.add(hint.peer(), &node, depth.saturating_add(1));
            }
        }
        // Who knew few superpeers at the start may know as many as count by now.
        run.walk.widen(self.replicas());
    }

    fn got(&mut self, id: u64, mut run: WalkRun, peer: PeerId, got: Got) {
        let key = run.walk.key;
        // More than a name may have would only make our own answer too long.
        let blobs = got.records.into_iter().take(DEVICES_PER_NAME_MAX + 1);
        let count = blobs.len();
        let records: Vec<Record> = blobs.filter_map(|blob| self.read_record(blob.0).ok()).collect();
        // What can't be read, or holds at another time by our clock than by theirs, denies nothing.
        let unreadable = records.len() < count;
        let mut bundle = Bundle::new(records.into_iter().filter(|record| record.header().key == key));
        for epoch in &run.epochs {
            bundle.insert(epoch.clone());
        }
        bundle.apply_epoch();
        let found = bundle.devices().next().is_some();
        if run.over {
            run.walk.denied(&peer);
            if found {
                self.merge_late(key, bundle, peer);
            }
            return self.put_back(id, run);
        }
        if found && self.resolve_usable(&key, &bundle, &peer) {
            let hops = run.walk.denied(&peer);
            self.quiet(id, &mut run);
            self.put_back(id, run);
            return self.walk_found(key, bundle, peer, hops);
        }
        if found {
            // It does not verify, and we are the one who asked.
            self.counters.lookups.invalid += 1;
            self.cache.blame(peer, self.now.instant + crate::limits::GONE_FOR);
            run.walk.failed(&peer);
        } else if unreadable {
            run.walk.failed(&peer);
            self.take_epoch(&mut run, bundle);
        } else {
            let depth = run.walk.denied(&peer);
            self.take_hints(&mut run, peer, &got.closer, depth);
            self.take_epoch(&mut run, bundle);
        }
        self.step(id, run);
    }

    fn take_epoch(&mut self, run: &mut WalkRun, bundle: Bundle) {
        for record in bundle.records {
            // One slot: of two the newer stays.
            if self.verify(&record).is_ok() {
                run.epochs = Bundle::new(run.epochs.drain(..).chain([record])).records;
            }
        }
    }

    /// A second storer's bundle: what is newer in it goes to the cache, verified.
    fn merge_late(&mut self, key: Key, late: Bundle, peer: PeerId) {
        let Some(cached) = self.cache.fresh(&key, self.now.instant) else { return };
        let (bundle, from) = (cached.bundle.clone(), cached.from);
        if bundle.digest() == late.digest() {
            return;
        }
        let mut merged = Bundle::default();
        let until = self.now.instant + crate::limits::GONE_FOR;
        for (records, storer) in [(bundle.records, from), (late.records, Some(peer))] {
            for record in records {
                if self.verify(&record).is_ok() {
                    merged.insert(record);
                } else if let Some(storer) = storer {
                    self.cache.blame(storer, until);
                }
            }
        }
        merged.apply_epoch();
        if merged.devices().next().is_none() {
            // Nothing of it was true, or all is revoked: the next one to ask is told by a walk.
            self.cache.evict(&key);
        } else {
            self.cache.verified(&key, merged);
        }
    }
}

fn wire_count(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
