//! The iterative walk towards a key, as data: whom to ask next and when it is over.
//!
//! ```text
//!            ask                 answered, nothing there            enough denials
//!  fresh ─────────▶ asked ──────────────────────────▶ denied ─────────────────────▶ absent / nodes
//!                     │ answered with devices ─▶ found
//!                     │ not ready ─▶ unready ─── nobody left to ask ─▶ waiting ─▶ (as fresh)
//!                     │ slow ─▶ late ─▶ (as asked) ──┐
//!                     │ no answer in time ─▶ failed ─┤
//!                     └ not reachable ─▶ left out    └─ nobody left to ask, none unready ─▶ unknown
//! ```
//! Who is late counts as failed until it answers after all. Who is unready has not finished taking its
//! range over, as after a newcomer's start or when its machine stood still: it will answer soon.
//! Only the `width` closest candidates count and are asked; an answer may name closer ones. The walk
//! starts narrow (one request, hedged, or α), goes on with α after the first denial, and asks as many as it needs once
//! α have answered. As many are asked at once as are silent, if that is more: of many that died together the last one may be the
//! one to answer. A candidate that can't be reached is dead and is left out, the next
//! closest takes its place; one that is silent stays, and counts as no denial. In place of one that is unready the
//! next closest is asked as well.
//!
//! Source: Kademlia §2.3 (paper); states after rust-libp2p's `ClosestPeersIter`. *Not here*: sending,
//! clocks, records.

use alloc::vec::Vec;

use crate::api::Parallelism;
use crate::key::{Distance, Key, PeerId};
use crate::limits::{ASKED_BEYOND, CANDIDATES_MAX, SPARED_FROM};

/// What the walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The bundle under the key.
    Value,
    /// The superpeers closest to the key.
    Nodes,
}

/// Where the walk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Requests are out, or can be.
    Running,
    /// Value: more than two thirds of the closest deny it.
    Absent,
    /// Value: nobody left to ask for now, but some will answer later.
    Waiting,
    /// Value: nobody left to ask, and not enough denials.
    Unknown,
    /// Nodes: all that count have answered or failed.
    Settled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Asked,
    /// Asked, and slow: counts as failed unless it answers after all.
    Late,
    Denied,
    Found,
    /// Asked, and not ready to answer.
    Unready,
    Failed,
}

#[derive(Debug, Clone)]
struct Candidate {
    distance: Distance,
    peer: PeerId,
    state: State,
    depth: u8,
    /// It was unready once.
    excused: bool,
}

#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) key: Key,
    pub(crate) goal: Goal,
    width: usize,
    /// So many that are unready need not deny.
    spared: usize,
    alpha: usize,
    parallelism: Parallelism,
    candidates: Vec<Candidate>,
    left_out: Vec<PeerId>,
    /// All of the closest are heard before it ends as absent.
    thorough: bool,
    /// How many more are asked than have to deny.
    beyond: usize,
    /// Ourselves, if we are so far out that the last put may have passed us over: that we have nothing to give says
    /// as little as if we had not been asked.
    outsider: Option<PeerId>,
    /// Requests that went out.
    pub(crate) requests: u64,
}

impl Walk {
    pub(crate) fn new(key: Key, goal: Goal, width: usize, alpha: usize, parallelism: Parallelism) -> Self {
        let (candidates, left_out) = (Vec::with_capacity(width.min(CANDIDATES_MAX)), Vec::new());
        let spared = spared(width);
        let (thorough, beyond, outsider) = (false, ASKED_BEYOND, None);
        Self {
            key,
            goal,
            width,
            spared,
            alpha,
            parallelism,
            candidates,
            left_out,
            thorough,
            beyond,
            outsider,
            requests: 0,
        }
    }

    /// Adds a candidate found after `depth` requests in sequence.
    pub(crate) fn add(&mut self, peer: PeerId, id: &Key, depth: u8) {
        let distance = id.distance(&self.key);
        if self.left_out.contains(&peer) {
            return;
        }
        // They come from the map nearest first.
        let place = match self.candidates.last() {
            Some(last) if last.distance >= distance => {
                self.candidates.binary_search_by(|known| known.distance.cmp(&distance))
            }
            Some(_) | None => Err(self.candidates.len()),
        };
        if let Some(index) = place.err().filter(|index| *index < CANDIDATES_MAX) {
            self.candidates
                .insert(index, Candidate { distance, peer, state: State::Fresh, depth, excused: false });
            self.candidates.truncate(CANDIDATES_MAX);
        }
    }

    /// As the map grows, more superpeers count.
    pub(crate) fn widen(&mut self, width: usize) {
        self.width = self.width.max(width);
    }

    /// One of the closest does not count: the next one may know. Returns how many are asked now.
    pub(crate) fn widen_by_one(&mut self) -> usize {
        self.width = (self.width + 1).min(CANDIDATES_MAX);
        self.width
    }

    /// How many requests may go out now, beside those that are out.
    pub(crate) fn room(&self, extra: usize) -> usize {
        (self.limit() + extra).saturating_sub(self.in_flight())
    }

    /// Whom to ask now, in this order: of the closest that are fresh those that `rank` puts first, as
    /// far as there is room. It is told how many candidates are nearer.
    pub(crate) fn due<R: Ord>(&self, extra: usize, rank: impl Fn(usize, &PeerId) -> R) -> Vec<PeerId> {
        let room = self.room(extra);
        if room == 0 {
            return Vec::new();
        }
        let places = self.closest().iter().enumerate();
        let fresh = places.filter(|(_, candidate)| candidate.state == State::Fresh);
        // A rank costs more than its place in the order: each is asked for once.
        let mut ranked: Vec<_> =
            fresh.map(|(place, candidate)| (rank(place, &candidate.peer), place)).collect();
        if room < ranked.len() {
            ranked.select_nth_unstable(room);
            ranked.truncate(room);
        }
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, place)| self.candidates[place].peer).collect()
    }

    /// A request to `peer` went out.
    pub(crate) fn asked(&mut self, peer: &PeerId) {
        self.mark(peer, State::Asked);
        self.requests += 1;
    }

    /// `peer` answered that it has nothing (value), or answered (nodes). Returns its depth.
    pub(crate) fn denied(&mut self, peer: &PeerId) -> u8 {
        self.mark(peer, State::Denied);
        self.depth(peer)
    }

    /// We have nothing, and are too far out for that to be a reason to ask several at once.
    pub(crate) fn denied_far_out(&mut self, me: &PeerId) {
        self.mark(me, State::Denied);
        self.outsider = Some(*me);
    }

    /// `peer` has devices. Returns its depth.
    pub(crate) fn found(&mut self, peer: &PeerId) -> u8 {
        self.mark(peer, State::Found);
        self.depth(peer)
    }

    /// `peer` is slow: nobody waits for it any more, but its answer is still welcome.
    pub(crate) fn late(&mut self, peer: &PeerId) {
        let asked = |candidate: &&mut Candidate| candidate.peer == *peer && candidate.state == State::Asked;
        if let Some(candidate) = self.candidates.iter_mut().find(asked) {
            candidate.state = State::Late;
        }
    }

    /// `peer` can't answer yet. Returns whether it says so for the first time.
    pub(crate) fn unready(&mut self, peer: &PeerId) -> bool {
        let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.peer == *peer) else {
            return false;
        };
        candidate.state = State::Unready;
        !core::mem::replace(&mut candidate.excused, true)
    }

    /// Those that were not ready can be asked again.
    pub(crate) fn ask_again(&mut self) {
        for candidate in &mut self.candidates {
            if candidate.state == State::Unready {
                candidate.state = State::Fresh;
            }
        }
    }

    /// Those of the closest that are fresh and known to be there count as if they had answered.
    pub(crate) fn pass_over(&mut self, there: impl Fn(&PeerId) -> bool) {
        let closest = self.candidates.iter_mut().take(self.width);
        for candidate in closest.filter(|candidate| candidate.state == State::Fresh && there(&candidate.peer))
        {
            candidate.state = State::Denied;
        }
    }

    /// `peer` did not answer, or not to the point.
    pub(crate) fn failed(&mut self, peer: &PeerId) {
        self.mark(peer, State::Failed);
    }

    /// `peer` can't be reached: it does not count.
    pub(crate) fn leave_out(&mut self, peer: &PeerId) {
        self.candidates.retain(|candidate| candidate.peer != *peer);
        self.left_out.push(*peer);
    }

    /// How many requests in sequence it took to hear of `peer`, and to ask it: at least 1.
    pub(crate) fn depth(&self, peer: &PeerId) -> u8 {
        self.candidates.iter().find(|candidate| candidate.peer == *peer).map_or(1, |found| found.depth)
    }

    /// Whether `peer` has been asked, or can't be.
    pub(crate) fn has_asked(&self, peer: &PeerId) -> bool {
        let asked = |candidate: &Candidate| candidate.peer == *peer && candidate.state != State::Fresh;
        self.left_out.contains(peer) || self.candidates.iter().any(asked)
    }

    /// Whether more than two thirds of the closest deny, and none of them has anything.
    pub(crate) fn is_denied(&self) -> bool {
        let (denials, storers) = self.tally();
        let found = self.closest().iter().any(|candidate| candidate.state == State::Found);
        self.goal == Goal::Value && !found && denials * 3 > storers * 2
    }

    /// Some of those that were asked are slow: if α have denied, all that are left are asked. Whether that is so.
    pub(crate) fn hurries(&mut self) -> bool {
        let denied = self.count(State::Denied) >= self.alpha && self.goal == Goal::Value;
        if denied {
            self.beyond = self.width;
        }
        denied
    }

    /// As many deny as have to, and that is not enough to believe it: the others are heard too, and those that are not
    /// ready waited for.
    pub(crate) fn be_thorough(&mut self) -> Verdict {
        self.thorough = true;
        self.verdict()
    }

    /// Whether nobody of the closest is left to ask, and only late ones may still answer.
    pub(crate) fn is_stuck(&self) -> bool {
        let mut late = false;
        for candidate in self.closest() {
            match candidate.state {
                State::Fresh | State::Asked | State::Unready => return false,
                State::Late => late = true,
                State::Denied | State::Found | State::Failed => {}
            }
        }
        late && self.goal == Goal::Value
    }

    /// The most requests in sequence that it took to ask anybody.
    pub(crate) fn deepest(&self) -> u8 {
        let asked = self.candidates.iter().filter(|candidate| candidate.state != State::Fresh);
        asked.map(|candidate| candidate.depth).max().unwrap_or(0)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.candidates.iter().filter(|candidate| candidate.state == State::Asked).count()
    }

    /// Whether an answer may still come.
    pub(crate) fn awaits(&self) -> bool {
        self.candidates.iter().any(|candidate| matches!(candidate.state, State::Asked | State::Late))
    }

    /// Denials among the closest, and how many count: all but those that are [`Self::spared`].
    pub(crate) fn tally(&self) -> (usize, usize) {
        (self.count(State::Denied), self.closest().len() - self.spared())
    }

    /// How many are unready that need not deny: in place of each the next one was asked. Who died since the write may
    /// have held it as well, so for each that is left out one fewer.
    pub(crate) fn spared(&self) -> usize {
        self.count(State::Unready).min(self.spared.saturating_sub(self.left_out.len()))
    }

    /// How many count, those in place of others too.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    fn count(&self, state: State) -> usize {
        self.closest().iter().filter(|candidate| candidate.state == state).count()
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let denied = self.is_denied();
        if denied && !self.thorough {
            return Verdict::Absent;
        }
        // Who is late may answer after all, or prove to be dead: then the next one takes its place.
        let waits = |state: State| match state {
            State::Fresh | State::Asked => true,
            State::Late => self.goal == Goal::Value,
            State::Denied | State::Found | State::Unready | State::Failed => false,
        };
        let open = |candidate: &Candidate| waits(candidate.state);
        if self.closest().iter().any(open) {
            return Verdict::Running;
        }
        let is_there = |state| self.closest().iter().any(|candidate| candidate.state == state);
        let (unready, found) = (is_there(State::Unready), is_there(State::Found));
        match self.goal {
            Goal::Value if unready && !found => Verdict::Waiting,
            Goal::Value if denied => Verdict::Absent,
            Goal::Value => Verdict::Unknown,
            Goal::Nodes => Verdict::Settled,
        }
    }

    /// Those of the closest that denied (value) or answered (nodes), nearest first.
    pub(crate) fn answered(&self) -> Vec<PeerId> {
        let answered = self.closest().iter().filter(|candidate| candidate.state == State::Denied);
        answered.map(|candidate| candidate.peer).collect()
    }

    fn limit(&self) -> usize {
        let answered = |candidate: &&Candidate| {
            matches!(candidate.state, State::Denied | State::Found | State::Unready)
                && Some(candidate.peer) != self.outsider
        };
        let answered = self.closest().iter().filter(answered).count();
        let limit = match (self.parallelism, answered) {
            (Parallelism::Hedged, 0) if self.goal == Goal::Value => 1,
            (Parallelism::Hedged | Parallelism::AtOnce, answered) if answered < self.alpha => self.alpha,
            (Parallelism::Hedged | Parallelism::AtOnce, _) if self.goal == Goal::Value => self.missing(),
            (Parallelism::Hedged | Parallelism::AtOnce, _) => self.width,
        };
        limit.max(self.count(State::Late) + self.count(State::Failed))
    }

    /// How many have to be asked so that those that deny are enough, if some of them are slow; or more, once that is so.
    fn missing(&self) -> usize {
        let (denials, storers) = self.tally();
        let wanted = if self.thorough { storers } else { (storers * 2 / 3 + 1).saturating_add(self.beyond) };
        wanted.saturating_sub(denials).max(self.alpha)
    }

    fn closest(&self) -> &[Candidate] {
        &self.candidates[..self.candidates.len().min(self.width)]
    }

    fn mark(&mut self, peer: &PeerId, state: State) {
        if let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.peer == *peer) {
            candidate.state = state;
        }
    }
}

/// Of `storers` closest so many may be unready, and others in their place deny, and a name is still absent: whatever
/// majority of the closest had stored it, one of them is among more than two thirds that deny. Where there are few each
/// one counts: what was a majority may have been others.
fn spared(storers: usize) -> usize {
    let spared = (storers / 2 + storers * 2 / 3 + 1).saturating_sub(storers);
    if storers < SPARED_FROM { 0 } else { spared }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Goal, Parallelism, Verdict, Walk, spared};
    use crate::key::{Key, PeerId};

    fn peer(number: u8) -> PeerId {
        PeerId::from_bytes([number; 32])
    }

    fn walk(goal: Goal, width: usize, candidates: u8) -> Walk {
        let mut walk = Walk::new(Key::from_bytes([0; 32]), goal, width, 3, Parallelism::Hedged);
        for number in 1..=candidates {
            walk.add(peer(number), &Key::from_bytes([number; 32]), 1);
        }
        walk
    }

    #[test]
    fn a_name_is_absent_only_after_more_than_two_thirds_of_the_closest_denied_it() {
        // Three storers count: two denials are not more than two thirds, three are.
        let mut walk = walk(Goal::Value, 3, 5);
        walk.denied(&peer(1));
        walk.denied(&peer(2));
        assert_eq!(walk.verdict(), Verdict::Running);
        walk.denied(&peer(3));
        assert_eq!(walk.verdict(), Verdict::Absent);
    }

    #[test]
    fn a_silent_storer_makes_it_unknown_and_an_unreachable_one_is_replaced() {
        // Silence counts as no denial; a peer that is not there leaves its place to the next closest.
        let mut silent = walk(Goal::Value, 3, 3);
        silent.denied(&peer(1));
        silent.denied(&peer(2));
        silent.failed(&peer(3));
        assert_eq!(silent.verdict(), Verdict::Unknown);

        let mut dead = walk(Goal::Value, 3, 4);
        dead.denied(&peer(1));
        dead.denied(&peer(2));
        dead.leave_out(&peer(3));
        assert_eq!(dead.verdict(), Verdict::Running);
        assert_eq!(dead.due(0, |_, _| 0).first(), Some(&peer(4)));
        dead.add(peer(3), &Key::from_bytes([3; 32]), 2);
        dead.denied(&peer(4));
        assert_eq!(dead.verdict(), Verdict::Absent);
    }

    #[test]
    fn who_is_not_ready_is_waited_for_and_asked_again() {
        // Unready storers keep a walk from ending as unknown, not from ending as absent; each is excused once.
        let mut walk = walk(Goal::Value, 3, 3);
        walk.denied(&peer(1));
        walk.failed(&peer(2));
        assert!(walk.unready(&peer(3)));
        assert_eq!(walk.verdict(), Verdict::Waiting);
        walk.ask_again();
        assert_eq!(walk.verdict(), Verdict::Running);
        assert_eq!(walk.due(0, |_, _| 0), [peer(3)]);
        assert!(!walk.unready(&peer(3)));
        walk.denied(&peer(2));
        assert_eq!(walk.verdict(), Verdict::Waiting);
        walk.denied(&peer(3));
        assert_eq!(walk.verdict(), Verdict::Absent);
    }

    #[test]
    fn of_many_storers_some_may_be_unready_and_whatever_a_majority_holds_is_not_absent() {
        // Twenty and their replacements: four unready are spared, a fifth is not.
        for (unready, verdict) in [(4, Verdict::Absent), (5, Verdict::Waiting)] {
            let mut walk = walk(Goal::Value, 20, 26);
            (1..=unready).for_each(|number| assert!(walk.unready(&peer(number)) && walk.widen_by_one() > 20));
            (unready + 1..unready + 7).for_each(|number| walk.failed(&peer(number)));
            for number in unready + 7..=unready + 20 {
                walk.denied(&peer(number));
            }
            assert_eq!(walk.verdict(), verdict, "{unready}");
        }
        // With each that is dead one fewer is spared.
        for (dead, verdict) in [(2, Verdict::Absent), (3, Verdict::Waiting)] {
            let mut walk = walk(Goal::Value, 20, 30);
            (1..=2).for_each(|number| assert!(walk.unready(&peer(number)) && walk.widen_by_one() > 20));
            (3..3 + dead).for_each(|number| walk.leave_out(&peer(number)));
            (3 + dead..9 + dead).for_each(|number| walk.failed(&peer(number)));
            for number in 9 + dead..23 + dead {
                walk.denied(&peer(number));
            }
            assert_eq!(walk.verdict(), verdict, "{dead}: {:?}", walk.tally());
        }
        // A majority of all, without the unready, is more than those that need not deny, replaced or not.
        for storers in 1..100_usize {
            let (majority, unready) = (storers / 2 + 1, spared(storers));
            for asked in [storers, storers - unready] {
                assert!(majority - unready > asked - (asked * 2 / 3 + 1), "{storers}");
            }
        }
    }

    #[test]
    fn a_hedged_walk_asks_one_first_then_alpha_then_as_many_as_have_to_deny() {
        // Of twenty storers fourteen have to deny, and three more are asked; in place of one that fails another; all when one
        // is slow.
        let mut walk = walk(Goal::Value, 20, 20);
        let ask = |walk: &mut Walk| {
            let due = walk.due(0, |_, _| 0);
            due.iter().for_each(|peer| walk.asked(peer));
            due.len()
        };
        assert_eq!(ask(&mut walk), 1);
        assert!(!walk.hurries());
        walk.denied(&peer(1));
        assert_eq!(ask(&mut walk), 3);
        walk.denied(&peer(2));
        walk.denied(&peer(3));
        assert_eq!((ask(&mut walk), walk.in_flight()), (13, 14));
        walk.failed(&peer(4));
        assert_eq!((ask(&mut walk), walk.in_flight()), (1, 14));
        assert!(walk.hurries());
        assert_eq!((ask(&mut walk), walk.in_flight()), (2, 16));
        (5..15).for_each(|number| assert!(walk.denied(&peer(number)) > 0));
        assert_eq!(walk.verdict(), Verdict::Running);
        walk.denied(&peer(15));
        assert_eq!(walk.verdict(), Verdict::Absent);
    }

    #[test]
    fn who_asks_and_is_far_out_still_asks_one_first() {
        // We are one of the closest and have nothing: near by that is a denial like another's, far out it is passed over.
        // It counts for an absence either way.
        for (far, first) in [(false, 3), (true, 1)] {
            let mut walk = walk(Goal::Value, 3, 4);
            if far {
                walk.denied_far_out(&peer(3));
            } else {
                walk.denied(&peer(3));
            }
            let due = walk.due(0, |_, _| 0);
            assert_eq!(due.len(), first.min(2), "far out: {far}");
            due.iter().for_each(|peer| walk.asked(peer));
            walk.denied(&peer(1));
            walk.due(0, |_, _| 0).iter().for_each(|peer| walk.asked(peer));
            walk.denied(&peer(2));
            assert_eq!(walk.verdict(), Verdict::Absent);
        }
    }

    #[test]
    fn the_more_storers_are_silent_the_more_are_asked_at_once() {
        // Nobody answers: with each round of silence as many are asked as were silent before, until all have been.
        let mut walk = walk(Goal::Value, 20, 20);
        let mut asked = Vec::new();
        while walk.verdict() == Verdict::Running && !walk.is_stuck() {
            let due = walk.due(0, |_, _| 0);
            due.iter().for_each(|peer| walk.asked(peer));
            due.iter().for_each(|peer| walk.late(peer));
            asked.push(due.len());
        }
        assert_eq!(asked, [1, 1, 2, 4, 8, 4]);
    }

    #[test]
    fn the_ranking_decides_among_the_closest_only() {
        // The best-ranked peer is outside the width: it is not asked.
        let walk = walk(Goal::Value, 2, 3);
        let rank = |_, candidate: &PeerId| if *candidate == peer(3) { 0 } else { 1 };
        assert_eq!(walk.due(0, rank), [peer(1)]);
    }
}
