//! A newcomer takes its range over.
//!
//! ```text
//!  joined ─▶ waits for the look-up of its own place ─▶ pulls from the nearest, then the next ─▶ synced
//!                                                        ├─ fails, refuses, promises in vain: the next nearest
//!                                                        └─ is syncing itself: pulled from, doesn't count
//! ```
//! From a source it asks for the digest of its whole range, descends where that differs from what it
//! holds, and pulls what it lacks and is a storer of. Synced is who has finished with its two nearest, or
//! has nobody left to ask; so superpeers that start together don't wait for each other. With a small r the
//! two nearest need not be storers of all that becomes ours: keys drawn by chance show who else is. Who
//! turns out to be nearer in the first minute is pulled from too.
//!
//! Who was gone and is back is compared with as well, be it in a run of its own: half of the network may
//! have been gone with it. Source: DESIGN §4, *Repair* and *Merging*. *Not here*: what a syncing superpeer
//! answers (`serve`), what those who are back lack (`repair`).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng;

use super::promises::Promises;
use crate::key::{Key, PeerId};
use crate::limits::{
    CUT_OFF_FOR, GIVEN_MAX, HAND_OVER_AGAIN, HAND_OVER_SAMPLES, HAND_OVER_SOURCES, HAND_OVER_TRIES,
    HAND_OVER_WINDOW, ITEMS_MAX, NEAR, NEIGHBOURS_COMPARED, PULL_ITEMS, REFRESH_INTERVAL, REQUEST_TIMEOUT,
    STORERS_COMPARED_EACH, UPKEEP_INTERVAL, VOUCHERS_MIN, VOUCHERS_SHARE,
};
use crate::overlay::Overlay;
use crate::overlay::requests::{Outcome, Purpose};
use crate::record::{Bundle, Record};
use crate::store::{Kept, NOTHING};
use crate::time::Instant;
use crate::wire::{Digests, Item, Message, Pulled, Range};

#[derive(Debug)]
pub(super) struct HandOver {
    began: Instant,
    /// The first look-up of our own place has ended: who is nearest is known.
    ready: bool,
    synced: bool,
    /// What we held when it began may be older than what others hold.
    stale: bool,
    /// Those that were gone and are back: asked before any other.
    back: BTreeSet<PeerId>,
    /// Only those are asked: we have been a storer all the while, and answer as one.
    beside: bool,
    tried: BTreeSet<PeerId>,
    /// Those of them that told all, and had nothing to take over themselves.
    finished: BTreeSet<PeerId>,
    /// How often we have compared again since we were synced.
    again: usize,
    /// Those that promised in vain: they may hold what they didn't give.
    vain: BTreeSet<PeerId>,
    source: Option<Source>,
    /// When keys were drawn last for which all sources hold what becomes ours.
    covered: Option<Instant>,
}

/// Whom we are pulling from.
#[derive(Debug)]
struct Source {
    peer: PeerId,
    id: u64,
    began: Instant,
    promises: Promises,
    syncing: bool,
    /// What the request in flight asked for.
    asked: Asked,
    /// Ranges to compare, the next one last.
    ranges: Vec<Range>,
    /// Records to pull before the next range: at most [`ITEMS_MAX`].
    wanted: Vec<Item>,
    /// Keys of which it got newer records from us: at most [`GIVEN_MAX`].
    given: BTreeSet<Key>,
}

#[derive(Debug, Clone)]
enum Asked {
    Digest(Range),
    Pull(Vec<Item>),
}

impl HandOver {
    pub(super) fn is_asking(&self, id: u64) -> bool {
        self.source.as_ref().is_some_and(|source| source.id == id)
    }
}

impl Overlay {
    /// Whether we have not finished taking over our range.
    pub(in crate::overlay) fn is_syncing(&self) -> bool {
        self.moving.hand_over.as_ref().is_some_and(|run| !run.synced)
    }

    /// Whether we have joined within the last minute: whatever we lack we take over ourselves.
    pub(in crate::overlay) fn takes_over(&self) -> bool {
        self.moving.hand_over.as_ref().is_some_and(|run| !run.beside)
    }

    /// We have become a superpeer.
    pub(in crate::overlay) fn begin_hand_over(&mut self) {
        self.moving.since.get_or_insert(self.now.instant);
        self.moving.hand_over = Some(Box::new(HandOver {
            began: self.now.instant,
            ready: false,
            synced: false,
            stale: self.store.len() > 0,
            back: BTreeSet::new(),
            beside: false,
            tried: BTreeSet::new(),
            finished: BTreeSet::new(),
            again: 0,
            vain: BTreeSet::new(),
            source: None,
            covered: None,
        }));
    }

    /// One that was gone is back, perhaps with half of the network: what it holds is compared with what
    /// we hold, if it is near enough to hold what is ours.
    pub(in crate::overlay) fn compare_with(&mut self, peer: PeerId) {
        let Some(place) = self.place().filter(|_| self.is_superpeer()) else { return };
        if self.links.is_anew(&peer, self.now.instant) {
            return;
        }
        let near = self.map.closest(&place, HAND_OVER_TRIES + 1);
        if !near.iter().any(|contact| contact.peer() == peer) {
            return;
        }
        self.compare_beside(peer);
    }

    fn compare_beside(&mut self, peer: PeerId) {
        if self.moving.hand_over.is_none() {
            self.begin_hand_over();
            if let Some(run) = &mut self.moving.hand_over {
                (run.ready, run.synced, run.stale, run.beside) = (true, true, false, true);
            }
        }
        if let Some(run) = self.moving.hand_over.as_mut().filter(|run| !run.vain.contains(&peer)) {
            run.tried.remove(&peer);
            run.finished.remove(&peer);
            run.back.insert(peer);
        }
        self.upkeep_again();
    }

    /// Once a minute one of the nearest, or of those that hold what we do: what a put passed over, because two
    /// superpeers' maps differ, is found whatever the reason. Who compared with the nearest alone would be in a group of
    /// some that are nearest to one another, and what all of them missed would come to none.
    pub(in crate::overlay) fn compare_with_neighbour(&mut self) {
        let now = self.now.instant;
        let lately = self.moving.compared.is_some_and(|at| now.since(at) < REFRESH_INTERVAL / 2);
        let Some(place) = self.place().filter(|_| !lately && self.moving.hand_over.is_none()) else { return };
        let wide = self.map.len() <= self.replicas() || self.pick(STORERS_COMPARED_EACH) == 0;
        let among = if wide { self.replicas() } else { NEIGHBOURS_COMPARED };
        let nearest = self.map.closest(&place, among + 1).into_iter();
        let nearest = nearest.map(crate::map::Contact::peer).filter(|peer| self.links.to(peer).is_some());
        let nearest: Vec<PeerId> = nearest.collect();
        if !nearest.is_empty() {
            self.moving.compared = Some(now);
            let peer = nearest[self.pick(nearest.len())];
            self.compare_beside(peer);
        }
    }

    /// For how long the network has been there, as far as we know: who has just started may ask us whether those
    /// whom it remembers are dead, or only not up yet.
    pub(in crate::overlay) fn network_age(&self) -> Duration {
        let since = self.moving.since.map(|since| self.now.instant.since(since));
        since.map_or(Duration::ZERO, |since| self.moving.age_then + since)
    }

    /// Hears for how long the network has been there, when we have taken our range over. One neighbour alone may
    /// lie, and a few that a power cut has spared don't speak for those that start with us.
    pub(in crate::overlay) fn hear_vouchers(&mut self) {
        if self.map.is_vouched() || !self.is_superpeer() || self.is_syncing() {
            return;
        }
        let (ours, now) = (self.network_age(), self.now.instant);
        let (all, longer) = self
            .links
            .network_ages(now)
            .fold((0, 0), |(all, longer), age| (all + 1, longer + usize::from(age > ours)));
        // After a power cut the first two that come must not speak for all whom we remember.
        let others = self.map.len().saturating_sub(1);
        let among = others.min(NEAR).max(all);
        let enough = VOUCHERS_MIN.min(others).max(among.div_ceil(VOUCHERS_SHARE)).max(1);
        // As a rule there are not enough, and nothing to put in order.
        if longer >= enough {
            let mut ages: Vec<Duration> = self.links.network_ages(now).filter(|age| *age > ours).collect();
            ages.sort_unstable_by(|one, other| other.cmp(one));
            self.moving.age_then += ages[enough - 1].saturating_sub(ours);
        }
        if self.network_age() >= CUT_OFF_FOR {
            self.map.vouch();
        }
    }

    /// Whether what we hold has to be compared before it is told: it comes from before we were away.
    pub(in crate::overlay) fn is_stale(&self) -> bool {
        self.moving.hand_over.as_ref().is_some_and(|run| !run.synced && run.stale)
    }

    /// Whether puts may have passed us over, so that what we hold of a key is old: since we compared last so many
    /// that were nearer to it are gone that we need not have been one of its r closest.
    pub(in crate::overlay) fn is_passed_over(&self, key: &Key) -> bool {
        let Some(place) = self.place() else { return true };
        let since = self.moving.confirmed.or(self.moving.since).unwrap_or_default();
        let gone = self.map.gone_nearer(key, &place, since);
        !self.is_among(key, self.network.parameters.r.saturating_sub(gone))
    }

    /// Nobody has reached us for a while: what was stored and revoked meanwhile is learned before we
    /// answer for it, and those who have buried us hear that we live.
    pub(in crate::overlay) fn been_away(&mut self) {
        if self.is_superpeer() {
            self.begin_hand_over();
            self.say_alive();
            self.refresh();
        }
    }

    /// The first others have come, or are back, long after we joined: what they hold is taken over too.
    pub(in crate::overlay) fn hand_over_again(&mut self) {
        if self.is_superpeer() && self.moving.hand_over.as_ref().is_none_or(|run| run.beside) {
            self.begin_hand_over();
            // It begins when our neighbours are known.
            self.refresh_soon();
        }
    }

    /// A look-up of our own place begins: we may be about to hear of the first others.
    pub(in crate::overlay) fn neighbours_sought(&mut self) {
        let alone = self.map.len() <= 1;
        if let Some(run) = self.moving.hand_over.as_mut().filter(|run| run.tried.is_empty()) {
            run.ready = run.beside;
            run.synced &= alone || run.beside;
            run.covered = None;
        }
    }

    /// A look-up of our own place has ended.
    pub(in crate::overlay) fn neighbours_known(&mut self) {
        if let Some(run) = &mut self.moving.hand_over {
            run.ready = true;
        }
    }

    /// Goes on with the next source, or is done.
    pub(in crate::overlay) fn hand_over(&mut self) {
        let idle = |run: &HandOver| run.ready && run.source.is_none();
        if !self.moving.hand_over.as_ref().is_some_and(|run| idle(run)) {
            return;
        }
        self.compare_again();
        let Some(run) = &self.moving.hand_over else { return };
        let over = self.now.instant.since(run.began) >= HAND_OVER_WINDOW;
        let over = over && run.again == HAND_OVER_AGAIN.len() || run.beside;
        let source = self.next_source(run).or_else(|| self.uncovered_now(over));
        let (id, place) = (self.number(), self.place());
        let promises = Promises::new(self.now.instant);
        let (Some(peer), Some(place)) = (source, place) else {
            self.moving.hand_over = self.moving.hand_over.take().filter(|_| !over);
            let run = self.moving.hand_over.as_mut();
            if run.is_some_and(|run| !core::mem::replace(&mut run.synced, true)) {
                self.hear_vouchers();
            }
            return;
        };
        let range = self.range_at(&place, self.replicas());
        let (ranges, wanted, asked) = (alloc::vec![range], Vec::new(), Asked::Digest(range));
        let given = BTreeSet::new();
        let (began, syncing) = (self.now.instant, false);
        let source = Source { peer, id, began, promises, syncing, asked, ranges, wanted, given };
        if let Some(run) = &mut self.moving.hand_over {
            // Until now we knew nobody.
            run.synced &= run.beside || !run.finished.is_empty();
            run.back.remove(&peer);
            run.tried.insert(peer);
        }
        self.pull_on(source);
    }

    /// What was put while we took our range over may have missed us: the two nearest are asked once more, a
    /// little later and when all know us.
    fn compare_again(&mut self) {
        let Some(place) = self.place() else { return };
        let Some(run) = self.moving.hand_over.as_mut().filter(|run| run.synced && !run.beside) else {
            return;
        };
        let due = HAND_OVER_AGAIN.get(run.again).is_some_and(|at| self.now.instant.since(run.began) >= *at);
        if due {
            run.again += 1;
            let nearest = self.map.closest(&place, HAND_OVER_SOURCES + 1).into_iter();
            let nearest = nearest.map(crate::map::Contact::peer).filter(|peer| *peer != self.me);
            run.back.extend(nearest.filter(|peer| !run.vain.contains(peer)));
        }
    }

    /// One that is back; else the nearest that has not been tried: until two have told all, and of the
    /// two nearest after that.
    fn next_source(&self, run: &HandOver) -> Option<PeerId> {
        let mut back = run.back.iter().filter(|_| run.tried.len() < HAND_OVER_TRIES);
        let fits = |peer: &&PeerId| self.map.contact(peer).is_some();
        if let Some(peer) = back.find(fits) {
            return Some(*peer);
        }
        if self.is_late(run) {
            return None;
        }
        let among = if run.finished.len() < HAND_OVER_SOURCES { HAND_OVER_TRIES } else { HAND_OVER_SOURCES };
        let nearest = self.map.closest(&self.place()?, among + 1).into_iter().map(crate::map::Contact::peer);
        nearest.filter(|peer| *peer != self.me).find(|peer| !run.tried.contains(peer))
    }

    /// As [`Self::uncovered`], but until the end not again and again while upkeep opens one stream after the other.
    fn uncovered_now(&mut self, over: bool) -> Option<PeerId> {
        let now = self.now.instant;
        let run = self.moving.hand_over.as_ref().filter(|run| run.synced);
        let covered = run.and_then(|run| run.covered);
        if !over && covered.is_some_and(|at| now.since(at) < UPKEEP_INTERVAL) {
            return None;
        }
        let found = self.uncovered();
        if let Some(run) = &mut self.moving.hand_over {
            run.covered = found.is_none().then_some(now);
        }
        found
    }

    /// A storer of some key that becomes ours of which no source is a storer.
    fn uncovered(&mut self) -> Option<PeerId> {
        let (place, r) = (self.place()?, self.replicas());
        let range = self.range_at(&place, r);
        let mut drawn = [[0; 32]; HAND_OVER_SAMPLES];
        drawn.iter_mut().for_each(|bytes| self.rng.fill_bytes(bytes));
        let run = self.moving.hand_over.as_ref().filter(|run| !self.is_late(run))?;
        drawn.into_iter().find_map(|bytes| {
            let key = range.with(&Key::from_bytes(bytes));
            if !self.stores(&key) {
                return None;
            }
            // Those who can hold it: not we, and none that is syncing or has failed. Of these the last of
            // the r closest may be a newcomer too, and have left the key to us.
            let told = |peer: &PeerId| run.finished.contains(peer) || run.vain.contains(peer);
            let can = |peer: &PeerId| *peer != self.me && (told(peer) || !run.tried.contains(peer));
            let closest = |count| self.map.closest(&key, count).into_iter().map(crate::map::Contact::peer);
            let holders = r.saturating_sub(1).max(1);
            let covered = |peers: &mut dyn Iterator<Item = PeerId>| {
                peers.filter(can).take(holders).any(|peer| run.finished.contains(&peer))
            };
            // Nearly always one of the few closest.
            if covered(&mut closest(r)) || covered(&mut closest(HAND_OVER_TRIES + r)) {
                return None;
            }
            closest(HAND_OVER_TRIES + r).find(|peer| can(peer) && !told(peer))
        })
    }

    fn is_late(&self, run: &HandOver) -> bool {
        let over = self.now.instant.since(run.began) >= HAND_OVER_WINDOW;
        run.beside || run.synced && over || run.tried.len() >= HAND_OVER_TRIES
    }

    /// Whether a superpeer stores nearly all that we do: it is one of the nearest, or each stores all.
    fn holds_what_we_do(&self, peer: &PeerId) -> bool {
        let all = self.map.len() <= self.replicas();
        let places = self.map.place(peer).zip(self.map.place(&self.me));
        all || places.is_some_and(|(place, own)| self.map.is_among(place, own, NEIGHBOURS_COMPARED + 1))
    }

    /// Asks the source for what comes next, or goes on with another one.
    fn pull_on(&mut self, mut source: Source) {
        let (message, asked) = if !source.wanted.is_empty() {
            let items: Vec<Item> = source.wanted.iter().take(PULL_ITEMS).copied().collect();
            (self.pull_of(items.clone()), Asked::Pull(items))
        } else if let Some(range) = source.ranges.pop() {
            (Message::Digest(self.store.question(range)), Asked::Digest(range))
        } else {
            let whole = self.holds_what_we_do(&source.peer);
            if let Some(run) = self.moving.hand_over.as_mut().filter(|_| !source.syncing) {
                run.finished.insert(source.peer);
                if whole || !run.beside {
                    self.moving.confirmed = Some(source.began);
                }
            }
            return self.hand_over();
        };
        source.asked = asked;
        source.promises.asked();
        let (peer, id) = (source.peer, source.id);
        if let Some(run) = &mut self.moving.hand_over {
            run.source = Some(source);
            self.ask(peer, message, Purpose::Moving(id), REQUEST_TIMEOUT);
        }
    }

    pub(super) fn hand_over_heard(&mut self, outcome: Outcome) {
        let Some(mut source) = self.moving.hand_over.as_mut().and_then(|run| run.source.take()) else {
            return;
        };
        let answered = matches!(outcome, Outcome::Answer(_));
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other answers are wrong alike")]
        let told = match outcome {
            Outcome::Answer(Message::Digests(digests)) => self.compare(&mut source, digests),
            Outcome::Answer(Message::Pulled(pulled)) => self.take_over(&mut source, pulled),
            _ => false,
        };
        // An answer that is none to the question is as good.
        let vain = answered && !told || source.promises.are_vain(self.now.instant);
        if let Some(run) = self.moving.hand_over.as_mut().filter(|_| vain) {
            run.vain.insert(source.peer);
            self.counters.promises_broken += 1;
        }
        if !told || vain {
            return self.hand_over();
        }
        self.pull_on(source);
    }

    /// Finds what we lack of what the source holds; false if the answer is none to the question.
    fn compare(&mut self, source: &mut Source, digests: Digests) -> bool {
        let (Asked::Digest(range), Some(place)) = (&source.asked, self.place()) else { return false };
        source.syncing |= digests.syncing;
        if digests.parts.is_empty() {
            let now = self.now.unix;
            let held = |item: &&Item| self.store.named(item, now).is_some();
            // What we hold of a name beside it may be newer, wherever we stand, and the source what others ask.
            let may = |item: &Item| self.in_region(&item.key()) && self.store.holds_beside(item, now);
            let concerns = |item: &Item| self.stores(&item.key()) || may(item);
            let ours = |item: &Item| concerns(item) && !held(&item);
            let items = digests.items.0.iter().take(ITEMS_MAX);
            let named: BTreeSet<Item> = items.filter(|item| range.contains(&item.key())).copied().collect();
            let same = self.store.count_in(range, digests.same);
            source.promises.prove(same + named.iter().filter(held).count());
            source.wanted = named.into_iter().filter(ours).collect();
            return true;
        }
        let (held, _) = self.store.hashes(range);
        if held.len() != digests.parts.len() {
            return false;
        }
        for ((part, theirs), held) in range.parts().zip(digests.parts).zip(held) {
            let differs = theirs != held && theirs != NOTHING;
            if differs && part.is_valid() && self.is_concerned(&place, &part) {
                source.ranges.push(part);
            }
        }
        true
    }

    /// Gives a source the newer one of a record that it holds: each key once, and not many, since old versions can
    /// be signed as one likes.
    fn give_newer(&mut self, source: &mut Source, newer: &Record) {
        let key = newer.header().key;
        if source.given.len() < GIVEN_MAX && source.given.insert(key) {
            let newer = Bundle::new([newer.clone()]);
            self.give_missing(source.peer, &newer, &Bundle::default());
        }
    }

    /// Keeps the records that were asked for; false if the answer leads nowhere.
    fn take_over(&mut self, source: &mut Source, pulled: Pulled) -> bool {
        let (Asked::Pull(items), done) = (source.asked.clone(), usize::from(pulled.done)) else {
            return false;
        };
        let Some(taken) = self.take_asked(&items, pulled, &mut source.promises) else { return false };
        for (_, kept) in taken {
            self.counters.handed_over += u64::from(matches!(kept, Kept::Stored(_)));
            if let Kept::Stale(newer) = kept {
                // The source may be whom others ask first.
                self.give_newer(source, &newer);
            }
        }
        source.wanted.drain(..done.min(source.wanted.len()));
        true
    }
}
