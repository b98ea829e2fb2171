//! Walks under way: asks the candidates, takes the answers in, and tells who started the walk.
//!
//! The first storer's bundle that holds a device answers a look-up; what comes later is verified and
//! merged into the cache and told to those who were answered. A cross-checked look-up waits until β
//! storers gave the same. Who hangs is waited for no longer than a few of its round trips, and asked last
//! for a while; who can't be reached leaves the map. *Not here*: whom to ask (`lookup`), how a look-up goes on that is
//! stuck (`paths`), what the asker does with the end (`resolve`, `puts`), storers that were behind (`mend`).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::look::{Asker, Found, Nothing};
use super::paths::Paths;
use super::requests::{Outcome, Purpose};
use super::steps::Steps;
use super::{Overlay, Timer};
use crate::api::{Answer, Parallelism, Source};
use crate::cbor::Blob;
use crate::counters::{HOPS, REQUESTS};
use crate::group::Caps;
use crate::key::{Key, PeerId};
use crate::limits::{
    DEVICES_PER_NAME_MAX, GONE_FOR, HINTS_PER_ANSWER_MAX, NEAR, REQUEST_TIMEOUT, STORER_ROUND_TRIPS,
    STORER_TIMEOUT_MIN, UNREADY_PAUSE, WALK_TIMEOUT,
};
use crate::lookup::{Goal, Verdict, Walk};
use crate::map::Contact;
use crate::network::Scope;
use crate::record::{Bundle, Record};
use crate::time::Instant;
use crate::wire::{Closest, FLAG_CROSS_CHECK, FLAG_TRACE, Get, Got, Hint, Known, Message, Reason};

/// Who started a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Of a key, done in a way: [`FLAG_CROSS_CHECK`] and [`FLAG_TRACE`].
    Resolve(Key, u8),
    Put(u64),
    Refresh,
}

#[derive(Debug)]
pub(super) struct WalkRun {
    pub(super) walk: Walk,
    pub(super) owner: Owner,
    /// Verified epoch records that came with denials.
    epochs: Vec<Record>,
    /// Whom we knew around the key when it began.
    pub(super) known: Known,
    pub(super) paths: Paths,
    /// Requests beyond what the walk allows: one for each hedge.
    extra: usize,
    hedge: Option<Instant>,
    /// When storers that were not ready are asked again, and how much later the next time.
    again: Option<Instant>,
    pause: Duration,
    began: Instant,
    ends: Instant,
    /// The owner has its answer; only late answers are awaited.
    pub(super) over: bool,
    pub(super) steps: Steps,
    caps: Caps,
    /// Heard of only now, and one too many of their group.
    shut_out: BTreeSet<PeerId>,
    /// What storers gave: those that are compared, or late.
    pub(super) gave: Vec<(PeerId, Bundle)>,
    /// What a storer gave that may have been passed over: told if nobody else has anything.
    spare: Option<(PeerId, Bundle)>,
    /// Whether it ended with a bundle.
    pub(super) found: bool,
    /// What late answers have made of it, verified.
    pub(super) merged: Option<Bundle>,
    /// Who was answered.
    pub(super) told: Vec<Asker>,
}

impl WalkRun {
    fn new(walk: Walk, owner: Owner, ends: Instant, begun: (Instant, Scope)) -> Self {
        let (now, scope) = begun;
        let traced = matches!(owner, Owner::Resolve(_, way) if way & FLAG_TRACE != 0);
        Self {
            walk,
            owner,
            epochs: Vec::new(),
            known: Known::default(),
            paths: Paths::new(scope),
            extra: 0,
            hedge: None,
            again: None,
            pause: UNREADY_PAUSE,
            began: now,
            ends,
            over: false,
            steps: Steps::new(traced, now),
            caps: Caps::new(scope),
            shut_out: BTreeSet::new(),
            gave: Vec::new(),
            spare: None,
            found: false,
            merged: None,
            told: Vec::new(),
        }
    }

    /// Whether storers have to agree.
    fn compares(&self) -> bool {
        matches!(self.owner, Owner::Resolve(_, way) if way & FLAG_CROSS_CHECK != 0)
    }
}

impl Overlay {
    pub(super) fn start_walk(&mut self, key: Key, goal: Goal, owner: Owner) -> u64 {
        let id = self.number();
        let width = if owner == Owner::Refresh { self.streams.near } else { self.replicas() };
        // As long as we take our range over, who held it before us is asked in our place.
        let width = width + usize::from(goal == Goal::Value && self.is_syncing());
        let compares = matches!(owner, Owner::Resolve(_, way) if way & FLAG_CROSS_CHECK != 0);
        let parallelism = if compares { Parallelism::AtOnce } else { self.parallelism };
        let walk = Walk::new(key, goal, width, self.network.parameters.alpha, parallelism);
        let ends = self.set_timer(WALK_TIMEOUT, Timer::Walk(id));
        let mut run = Box::new(WalkRun::new(walk, owner, ends, (self.now.instant, self.network.scope)));
        let around = self.around(&key, width);
        run.known = self.known_of(&key, &around);
        self.take_candidates(&mut run, &around[..around.len().min(width)]);
        self.step(id, run);
        id
    }

    /// Candidates from the map.
    fn fill(&self, run: &mut WalkRun, width: usize) {
        let closest = self.map.closest(&run.walk.key, width);
        self.take_candidates(run, &closest);
    }

    /// Candidates that the map has. We are one ourselves, and have looked already.
    fn take_candidates(&self, run: &mut WalkRun, closest: &[&Contact]) {
        let inner = self.inner();
        for (place, contact) in closest.iter().enumerate() {
            let peer = contact.peer();
            if run.shut_out.contains(&peer) {
                continue;
            }
            run.walk.add(peer, &contact.id(), 1);
            if peer == self.me && !run.gave.iter().any(|(gave, _)| *gave == self.me) {
                // Looked here already; as long as we take our range over that proves nothing.
                if run.walk.goal == Goal::Value && self.is_syncing() {
                    run.walk.failed(&peer);
                } else if run.walk.goal == Goal::Value && place >= inner {
                    run.walk.denied_far_out(&peer);
                } else {
                    run.walk.denied(&peer);
                }
                if run.compares() {
                    self.compare_own(run);
                }
            }
        }
    }

    /// Where storers are compared, we are one of them.
    fn compare_own(&self, run: &mut WalkRun) {
        let bundle = self.store.bundle(&run.walk.key, self.now.unix);
        if !self.is_stale() && bundle.devices().next().is_some() {
            run.walk.found(&self.me);
            run.gave.push((self.me, bundle));
        }
    }

    /// Asks whom there is to ask, or ends the walk.
    pub(super) fn step(&mut self, id: u64, run: Box<WalkRun>) {
        if run.over {
            return self.put_back(id, run);
        }
        let Some(mut run) = self.unless_ended(id, run) else { return };
        let now = self.now.instant;
        let inner = self.inner();
        let rank = |place: usize, peer: &PeerId| {
            let (unlinked, trip) = self.links.rank(peer);
            (self.cache.is_blamed(peer), unlinked, place >= inner, trip)
        };
        let mut asking = Vec::new();
        let room = run.walk.room(0);
        for (index, peer) in run.walk.due(run.extra, rank).into_iter().enumerate() {
            // One that hangs is no use as a hedge.
            if index >= room && self.cache.is_blamed(&peer) {
                break;
            }
            run.walk.asked(&peer);
            run.steps.asked(peer, false, now);
            asking.push(peer);
        }
        let hedges = self.parallelism == Parallelism::Hedged && !run.compares();
        let hedged = run.walk.goal == Goal::Value && hedges;
        if let (true, Some(last)) = (hedged, asking.last()) {
            if let Some(at) = run.hedge.replace(now + self.links.patience(last)) {
                self.cancel(at, Timer::Hedge(id));
            }
            self.timers.extend(run.hedge.map(|at| (at, Timer::Hedge(id))));
        }
        let goal = run.walk.goal;
        let message = match goal {
            Goal::Value => Message::Get(Get { key: run.walk.key, known: run.known.clone() }),
            Goal::Nodes => {
                // Those that have just been told of need not be named by the next ones.
                let around = self.around(&run.walk.key, NEAR);
                let known = self.known_of(&run.walk.key, &around);
                let remembered = Self::remembered_among(&around);
                Message::Closest(Closest { key: run.walk.key, count: wire_count(NEAR), known, remembered })
            }
        };
        self.walks.insert(id, run);
        for peer in asking {
            let timeout = if goal == Goal::Value { self.storer_timeout(&peer) } else { REQUEST_TIMEOUT };
            self.ask(peer, message.clone(), Purpose::Walk(id), timeout);
        }
    }

    /// The walk, if somebody may be asked: it has not ended, and waits neither for storers that are not ready nor for
    /// paths.
    fn unless_ended(&mut self, id: u64, mut run: Box<WalkRun>) -> Option<Box<WalkRun>> {
        if run.compares()
            && let Some(bundle) = self.agreed(&run)
        {
            self.end_with(id, run, bundle, None);
            return None;
        }
        let denied = run.walk.is_denied();
        let verdict = match denied && self.may_deny(&run) {
            true => Verdict::Absent,
            false if denied => run.walk.be_thorough(),
            false => run.walk.verdict(),
        };
        if verdict == Verdict::Unknown || verdict == Verdict::Running && !denied && run.walk.is_stuck() {
            run = self.go_on_elsewhere(id, run)?;
        }
        if verdict == Verdict::Running {
            return Some(run);
        }
        if run.compares()
            && let Some(bundle) = self.all_given(&run)
        {
            self.end_with(id, run, bundle, None);
        } else if verdict == Verdict::Waiting {
            self.wait_for_unready(id, run);
        } else {
            self.end_walk(id, run, verdict);
        }
        None
    }

    /// How long a look-up waits for a storer; a dial takes its time. What is to be stored waits longer:
    /// a storer that is passed over lacks it.
    pub(super) fn storer_timeout(&self, peer: &PeerId) -> Duration {
        match self.links.rank(peer) {
            (true, _) => REQUEST_TIMEOUT,
            (false, Duration::MAX) => STORER_TIMEOUT_MIN,
            (false, trip) => (trip * STORER_ROUND_TRIPS).clamp(STORER_TIMEOUT_MIN, REQUEST_TIMEOUT),
        }
    }

    /// A storer hangs: the walk goes on without it, and others are asked before it for a while.
    pub(super) fn walk_waits_no_more(&mut self, id: u64, peer: PeerId) {
        self.cache.blame(peer, self.now.instant + GONE_FOR);
        let Some(mut run) = self.walks.remove(&id) else { return };
        run.walk.late(&peer);
        self.step(id, run);
    }

    /// Nobody is left to ask but storers that are still taking their range over: they are asked again
    /// soon, and then less and less often, as long as the look-up has time.
    fn wait_for_unready(&mut self, id: u64, mut run: Box<WalkRun>) {
        if run.again.is_none() {
            let at = self.now.instant + run.pause;
            if at >= run.ends {
                return self.end_walk(id, run, Verdict::Unknown);
            }
            run.pause *= 2;
            run.again = Some(at);
            self.timers.insert((at, Timer::Again(id)));
        }
        self.walks.insert(id, run);
    }

    /// Those that were not ready may be by now.
    pub(super) fn walk_again(&mut self, id: u64) {
        if let Some(mut run) = self.walks.remove(&id) {
            run.again = None;
            run.walk.ask_again();
            self.step(id, run);
        }
    }

    fn put_back(&mut self, id: u64, run: Box<WalkRun>) {
        if run.walk.awaits() {
            self.walks.insert(id, run);
        } else {
            self.cancel(run.ends, Timer::Walk(id));
            self.mend(run);
        }
    }

    /// The owner has what it wanted, or gave up: no further requests.
    fn quiet(&mut self, id: u64, run: &mut WalkRun) {
        run.over = true;
        if let Some(at) = run.hedge.take() {
            self.cancel(at, Timer::Hedge(id));
        }
        if let Some(at) = run.again.take() {
            self.cancel(at, Timer::Again(id));
        }
    }

    fn end_walk(&mut self, id: u64, mut run: Box<WalkRun>, verdict: Verdict) {
        if let Some((peer, bundle)) = run.spare.take()
            && self.resolve_usable(run.owner, &bundle, &peer)
        {
            let hops = run.walk.depth(&peer);
            return self.end_with(id, run, bundle, Some((peer, hops)));
        }
        self.quiet(id, &mut run);
        let (denials, storers) = run.walk.tally();
        let (owner, answered) = (run.owner, run.walk.answered());
        let epochs = core::mem::take(&mut run.epochs);
        let trace = run.steps.told(self.now.instant);
        match owner {
            Owner::Resolve(key, way) => {
                self.counters.lookup_requests.note(&REQUESTS, run.walk.requests);
                for epoch in &epochs {
                    self.children.revoke(epoch);
                }
                let absent = verdict == Verdict::Absent && self.may_deny(&run);
                let held = self.store.bundle(&key, self.now.unix).records.into_iter();
                let held = held.filter(|record| record.certificate().is_none());
                let epochs = Bundle::new(epochs.into_iter().chain(held)).records;
                let nothing = Nothing { absent, denials, storers, epochs };
                run.told = self.walk_found_nothing((key, way), nothing, trace);
                self.put_back(id, run);
            }
            Owner::Put(put) => {
                self.note_nodes(&run);
                self.put_back(id, run);
                self.put_targets(put, answered);
            }
            Owner::Refresh => {
                self.note_nodes(&run);
                self.put_back(id, run);
                self.neighbours_known();
                self.upkeep();
            }
        }
    }

    /// Whether the denials of a walk are enough for us to call the name absent on the network's behalf.
    fn may_deny(&self, run: &WalkRun) -> bool {
        let (denials, _) = run.walk.tally();
        let counted = (denials, run.walk.spared(), self.network.parameters.r);
        // One that has lost its disk and has not heard of any other yet is no network; the login server's is.
        let speaks = self.reluctant || !self.map.knows_nobody();
        speaks && self.map.may_deny(&run.walk.key, counted, self.doubted(), self.now.instant)
    }

    /// A walk for superpeers has ended.
    fn note_nodes(&mut self, run: &WalkRun) {
        let (took, answered) = (self.now.instant.since(run.began), run.walk.answered());
        self.counters.nodes_requests.note(&REQUESTS, run.walk.requests);
        let others = answered.iter().filter(|peer| **peer != self.me);
        let Some(deepest) = others.map(|peer| run.walk.depth(peer)).max() else {
            self.counters.nodes.unknown += 1;
            return;
        };
        self.counters.nodes.found += 1;
        self.counters.nodes_times.took(took);
        self.counters.nodes_hops.note(&HOPS, deepest.into());
    }

    /// The walk has its bundle, from one storer or by comparing several.
    fn end_with(&mut self, id: u64, mut run: Box<WalkRun>, bundle: Bundle, from: Option<(PeerId, u8)>) {
        let Owner::Resolve(key, way) = run.owner else { return };
        self.quiet(id, &mut run);
        run.found = true;
        self.counters.lookup_requests.note(&REQUESTS, run.walk.requests);
        let deepest = |run: &WalkRun| run.gave.iter().map(|(peer, _)| run.walk.depth(peer)).max();
        let hops = from.map(|(_, hops)| hops).or_else(|| deepest(&run)).unwrap_or(1);
        let trace = run.steps.told(self.now.instant);
        let found = Found { bundle, source: Source::Overlay, hops, trace };
        run.told = self.walk_found((key, way), found, from.map(|(peer, _)| peer));
        self.put_back(id, run);
    }

    /// What min(β, storers) storers agree on.
    fn agreed(&self, run: &WalkRun) -> Option<Bundle> {
        let (_, storers) = run.walk.tally();
        let enough = self.network.parameters.beta.min(storers).max(1);
        let whole = |bundle: &Bundle| {
            let mut whole = Bundle::new(bundle.records.iter().chain(&run.epochs).cloned());
            whole.apply_epoch();
            whole
        };
        let wholes: Vec<Bundle> = run.gave.iter().map(|(_, bundle)| whole(bundle)).collect();
        let alike = |bundle: &&Bundle| {
            wholes.iter().filter(|other| other.digest() == bundle.digest()).count() >= enough
        };
        wholes.iter().find(alike).cloned()
    }

    /// All that storers have given, together, for whom they do not agree.
    fn all_given(&self, run: &WalkRun) -> Option<Bundle> {
        let given = run.gave.iter().flat_map(|(_, bundle)| &bundle.records);
        let mut all = Bundle::new(given.chain(&run.epochs).cloned());
        all.apply_epoch();
        (!run.gave.is_empty()).then_some(all)
    }

    /// The request has waited as long as is usual: one more storer is asked.
    pub(super) fn hedge(&mut self, id: u64) {
        if let Some(mut run) = self.walks.remove(&id) {
            run.hedge = None;
            if run.walk.hurries() {
                self.counters.hedges += 1;
            } else if run.extra + 1 < self.network.parameters.alpha {
                run.extra += 1;
                self.counters.hedges += 1;
            }
            self.step(id, run);
        }
    }

    pub(super) fn walk_timed_out(&mut self, id: u64) {
        let Some(run) = self.walks.remove(&id) else { return };
        if run.over {
            return self.mend(run);
        }
        let verdict = match run.walk.goal {
            Goal::Nodes => Verdict::Settled,
            // By now we may perhaps say so.
            Goal::Value if run.walk.is_denied() => Verdict::Absent,
            Goal::Value => Verdict::Unknown,
        };
        let bundle = || self.agreed(&run).or_else(|| self.all_given(&run));
        match run.compares().then(bundle).flatten() {
            Some(bundle) => self.end_with(id, run, bundle, None),
            None => self.end_walk(id, run, verdict),
        }
    }

    pub(super) fn walk_heard(&mut self, id: u64, peer: PeerId, outcome: Outcome) {
        let Some(mut run) = self.walks.remove(&id) else { return };
        run.steps.failed(&peer, self.now.instant, &outcome);
        match (outcome, run.walk.goal) {
            (Outcome::Answer(Message::Got(got)), Goal::Value) => return self.got(id, run, peer, got),
            (Outcome::Answer(Message::Hints(hints)), Goal::Nodes) => {
                let depth = run.walk.denied(&peer);
                self.take_hints(&mut run, peer, &hints.hints, depth);
                self.told_there(&run.walk.key, NEAR, &hints.there);
                self.fill(&mut run, NEAR);
                self.pass_over_linked(&mut run);
            }
            (Outcome::Refused(refused), Goal::Value)
                if Reason::from_wire(refused.reason) == Reason::Syncing =>
            {
                // No denial; but it knows who else to ask, and who held its range before is asked too.
                let first = run.walk.unready(&peer);
                let depth = run.walk.depth(&peer);
                self.take_hints(&mut run, peer, &refused.candidates, depth);
                if first {
                    let width = run.walk.widen_by_one();
                    self.fill(&mut run, width);
                }
                if !self.cache.is_worth_waiting_for(peer, self.now.instant) {
                    run.walk.failed(&peer);
                }
            }
            (Outcome::Answer(_) | Outcome::Refused(_) | Outcome::Silent, _) => run.walk.failed(&peer),
            (Outcome::Unreachable, _) => {
                run.walk.leave_out(&peer);
                let width = run.walk.width().max(self.replicas());
                self.fill(&mut run, width);
            }
        }
        self.step(id, run);
    }

    /// Once α have told whom they know around a key, those that we have a stream to need not be asked before a
    /// record is put to them, nor to find neighbours: that they are there we know, and whom else they know the α know too. A storer of the
    /// key is one of the α itself; the walk asks all that are left once α have answered, so not one later.
    fn pass_over_linked(&self, run: &mut WalkRun) {
        let now = self.now.instant;
        let told = run.walk.answered().len();
        if matches!(run.owner, Owner::Put(_) | Owner::Refresh) && told >= self.network.parameters.alpha {
            run.walk.pass_over(|peer| self.links.alive(peer, now).is_some());
        }
    }

    pub(super) fn take_hints(&mut self, run: &mut WalkRun, teller: PeerId, hints: &[Hint], depth: u8) {
        for hint in hints.iter().take(HINTS_PER_ANSWER_MAX) {
            // Whom we knew is ours to ask; of those heard only now no group may become the whole walk,
            // not even if they are named twice: by then the map knows them.
            let peer = hint.peer();
            let known = self.map.contact(&peer).is_some() && !run.shut_out.contains(&peer);
            let Some(node) = self.learn_told(teller, hint) else { continue };
            if known || run.caps.admit(&hint.addresses) {
                run.walk.add(peer, &node, depth.saturating_add(1));
            } else {
                run.shut_out.insert(peer);
            }
        }
        // Who knew few superpeers at the start may know as many as count by now.
        run.walk.widen(self.replicas());
    }

    /// The records of an answer: of one key, unverified; and whether all could be read. What can't be, or
    /// holds at another time by our clock than by theirs, denies nothing.
    fn read_bundle(&self, key: &Key, blobs: Vec<Blob>, over: bool) -> (Bundle, bool) {
        // What comes late is as a rule what we have.
        let known = self.cache.fresh(key, self.now.instant).filter(|_| over);
        let known = known.map_or(&[][..], |cached| &cached.bundle.records);
        // More than a name may have would only make our own answer too long.
        let blobs = blobs.into_iter().take(DEVICES_PER_NAME_MAX + 1);
        let mut readable = true;
        let records = blobs.filter_map(|blob| {
            let same = known.iter().find(|record| *record.bytes() == blob.0);
            let record = match same {
                Some(record) => record.check_header(self.now.unix).is_ok().then(|| record.clone()),
                None => self.read_record(blob.0).ok(),
            };
            readable &= record.is_some();
            record
        });
        let bundle = Bundle::new(records.filter(|record| record.header().key == *key));
        (bundle, readable)
    }

    fn got(&mut self, id: u64, mut run: Box<WalkRun>, peer: PeerId, got: Got) {
        let key = run.walk.key;
        let (mut bundle, readable) = self.read_bundle(&key, got.records, run.over);
        if run.over {
            if !readable && bundle.devices().next().is_none() {
                run.walk.failed(&peer);
                return self.put_back(id, run);
            }
            self.got_late(&mut run, bundle, peer);
            return self.put_back(id, run);
        }
        let given = if run.compares() { bundle.clone() } else { Bundle::default() };
        for epoch in &run.epochs {
            bundle.insert(epoch.clone());
        }
        bundle.apply_epoch();
        let devices = bundle.devices().count();
        let answer = Answer::Found { devices, source: Source::Store };
        if devices == 0 && !readable {
            run.steps.ended(&peer, self.now.instant, Answer::Invalid);
            run.walk.failed(&peer);
            self.take_epoch(&mut run, bundle);
        } else if devices == 0 {
            let depth = run.walk.denied(&peer);
            self.take_hints(&mut run, peer, &got.closer, depth);
            self.take_epoch(&mut run, bundle);
        } else if run.compares() && given.records.iter().all(|record| self.verify(record).is_ok()) {
            run.steps.ended(&peer, self.now.instant, answer);
            run.walk.found(&peer);
            // What revokes is learned also from who has devices left.
            let epochs = given.records.iter().filter(|record| record.certificate().is_none());
            self.take_epoch(&mut run, Bundle::new(epochs.cloned()));
            run.gave.push((peer, given));
        } else if got.passed_over && !run.compares() {
            run.steps.ended(&peer, self.now.instant, answer);
            run.walk.failed(&peer);
            run.spare.get_or_insert((peer, bundle));
        } else if !run.compares() && self.resolve_usable(run.owner, &bundle, &peer) {
            run.steps.ended(&peer, self.now.instant, answer);
            let hops = run.walk.found(&peer);
            return self.end_with(id, run, bundle, Some((peer, hops)));
        } else {
            // It does not verify, and we are the one who asked.
            run.steps.ended(&peer, self.now.instant, Answer::Invalid);
            self.counters.lookups.invalid += 1;
            self.cache.blame(peer, self.now.instant + GONE_FOR);
            run.walk.failed(&peer);
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
}

fn wire_count(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
