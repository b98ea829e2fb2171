//! Rumours: what others say of third superpeers, and what we make of it.
//!
//! ```text
//!  suspect X ──▶ heard from X lately? ──yes──▶ tell X, that it can deny it (not if it has just started)
//!                  └─no─▶ try X ──it fails us──▶ gone, told on as a suspect
//!                           └─ it answers ─▶ nothing
//!  X lives (signed) ──▶ was it gone? back into the map, and tried if few are left to us
//!  X leaves (signed) ─▶ out of the map, unless it has greeted us since
//! ```
//! Only a superpeer's own signature, or our own failure to reach it, takes it out of the map; hearsay is
//! a reason to look. A statement is verified and passed on once: of those of one peer the newest counts,
//! and an old one is no news to anybody; of one that leaves and returns all the time no more are heard
//! for a while. Trials have a budget, so that hearsay makes nobody dial much.
//!
//! Source: SWIM §4.2 (paper), with signed refutations in place of incarnation numbers (`unix_time` is
//! one). *Not here*: who is told when (`gossip`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Overlay;
use super::budget::Budget;
use crate::api::LinkId;
use crate::key::{NetworkId, PeerId};
use crate::limits::{
    ALIVE_INTERVAL, BACK_TOLD_FOR, CLOCK_TOLERANCE, HELLO_INTERVAL, HURRIED_HELLOS, STATEMENT_LIFE_SECS,
    STATEMENTS_PER_HELLO_MAX, STATEMENTS_PER_PEER_MAX, STATEMENTS_REMEMBERED, STATEMENTS_WINDOW,
    SUSPECTED_OF_BEFORE, SUSPECTS_PER_HELLO_MAX, TRIAL_INTERVAL, TRIALS_BURST, TRIALS_MAX, TRIALS_PER_SEC,
};
use crate::map::{Cause, Learned, Reach};
use crate::sign::{Tag, to_sign};
use crate::time::Instant;
use crate::wire::{Brief, Hello, Statement};

#[derive(Debug)]
pub(super) struct Rumours {
    stated: BTreeMap<PeerId, Stated>,
    /// When we last said that we live.
    denied: Option<Instant>,
    /// Others may remember us: from our last run, or as a superpeer before.
    pub(super) known_before: bool,
    /// Our own word, when we started again, that we live.
    back: Option<Statement>,
    /// Superpeers to be tried.
    trials: BTreeSet<PeerId>,
    budget: Budget,
}

/// What a peer has stated about itself.
#[derive(Debug)]
struct Stated {
    /// The time of its newest statement, by its own clock, and when that was heard.
    newest: u64,
    heard: Instant,
    alive: bool,
    /// Since when its comings and goings are counted, and how many there were.
    since: Instant,
    count: u32,
}

impl Rumours {
    pub(super) fn new(now: Instant) -> Self {
        let budget = Budget::full(TRIALS_PER_SEC, TRIALS_BURST, now);
        let (stated, trials) = (BTreeMap::new(), BTreeSet::new());
        Self { stated, denied: None, known_before: false, back: None, trials, budget }
    }

    /// Whether a peer has stated nothing as new as this.
    fn is_news(&self, peer: &PeerId, unix_time: u64) -> bool {
        self.stated.get(peer).is_none_or(|stated| stated.newest < unix_time)
    }

    /// Whether a peer has come and gone too often lately, or has just said the same: its word is no reason
    /// to do anything then. Who is slandered may say that it lives as often as it has to.
    fn is_fickle(&self, peer: &PeerId, alive: bool, now: Instant) -> bool {
        self.stated.get(peer).is_some_and(|stated| {
            if alive && stated.alive {
                return now.since(stated.heard) < ALIVE_INTERVAL / 2;
            }
            stated.count >= STATEMENTS_PER_PEER_MAX && now.since(stated.since) < STATEMENTS_WINDOW
        })
    }

    fn stated(&mut self, peer: PeerId, (unix_time, alive): (u64, bool), now: Instant) {
        let fresh = Stated { newest: unix_time, heard: now, alive, since: now, count: 0 };
        let stated = self.stated.entry(peer).or_insert(fresh);
        if now.since(stated.since) >= STATEMENTS_WINDOW {
            (stated.since, stated.count) = (now, 0);
        }
        stated.count = stated.count.saturating_add(u32::from(!(alive && stated.alive)));
        (stated.newest, stated.heard, stated.alive) = (unix_time, now, alive);
        if self.stated.len() > STATEMENTS_REMEMBERED
            && let Some(oldest) =
                self.stated.iter().min_by_key(|(_, stated)| stated.heard).map(|(peer, _)| *peer)
        {
            self.stated.remove(&oldest);
        }
    }
}

impl Overlay {
    /// What a hello, or the answer to one, says of others.
    pub(super) fn rumours_heard(&mut self, link: LinkId, hello: &Hello) {
        if !self.is_superpeer() {
            return;
        }
        for statement in hello.statements.iter().take(STATEMENTS_PER_HELLO_MAX) {
            self.statement_heard(link, statement);
        }
        // What anybody may say without a certificate is no news of superpeers.
        let teller = self.links.get(link).map(|link| link.peer);
        let Some(teller) = teller.filter(|teller| self.map.contact(teller).is_some()) else { return };
        let own = Brief::of(&self.me);
        for suspect in hello.suspects.0.iter().take(SUSPECTS_PER_HELLO_MAX) {
            let peer = if *suspect == own { Some(self.me) } else { self.map.named(suspect) };
            peer.into_iter().for_each(|peer| self.suspect_heard(link, &peer));
        }
        self.news_heard(teller, &hello.news);
    }

    fn statement_heard(&mut self, link: LinkId, statement: &Statement) {
        let Statement { peer, unix_time, alive, .. } = statement;
        if *peer == self.me {
            if !alive {
                // We left, and are back.
                self.say_alive();
            }
            return;
        }
        if *alive && self.is_of_before(statement) {
            return self.try_soon(*peer);
        }
        let believed = self.believes(link, statement);
        if believed {
            self.gossip.state(statement.clone());
        }
        let teller = self.links.get(link).map(|link| link.peer);
        if let Some(teller) = teller.filter(|teller| self.map.contact(teller).is_some()) {
            self.gossip.states_too(&teller, statement);
        }
        if !believed {
            return;
        }
        if *alive {
            self.is_alive(*peer);
        } else if !self.links.has_greeted_since(peer, *unix_time) && self.map.contact(peer).is_some() {
            self.superpeer_gone(peer, Cause::Left);
            self.hurry();
            if self.links.to(peer).is_some() {
                // It may want to deny it.
                self.gossip.accuse(*peer);
            }
        }
    }

    /// Whether a statement is new, and of whom it says that it is.
    fn believes(&mut self, link: LinkId, statement: &Statement) -> bool {
        let Statement { peer, unix_time, alive, signature } = statement;
        let known = self.map.contact(peer).is_some() || self.map.is_gone(peer) || self.map.remembers(peer);
        if !known || !self.is_timely(*unix_time) || !self.rumours.is_news(peer, *unix_time) {
            return false;
        }
        if self.rumours.is_fickle(peer, *alive, self.now.instant) {
            self.counters.statements_refused += 1;
            return false;
        }
        let message = statement_message(&self.network.id, peer, *unix_time, *alive);
        self.counters.verifications += 1;
        if !self.verifier.verify(&peer.as_public_key(), &message, signature) {
            self.bad_hint(link);
            return false;
        }
        self.counters.statements_heard += 1;
        self.rumours.stated(*peer, (*unix_time, *alive), self.now.instant);
        true
    }

    /// We have started again: perhaps somebody has thought us dead, or remembers that we left. Those who have a link
    /// with us are told as it begins, and tell it to those who ask.
    pub(super) fn say_back(&mut self) {
        let statement = self.statement(true);
        self.gossip.lives(statement.clone());
        self.rumours.back = Some(statement);
    }

    /// Whether what is told of our end may still be that of before.
    fn is_just_back(&self) -> bool {
        let lately = self.now.instant.since(self.surveys.joined) < SUSPECTED_OF_BEFORE;
        lately && self.rumours.back.is_some()
    }

    /// What says so in a greeting.
    pub(super) fn back(&self) -> Option<Statement> {
        let lately = self.now.instant.since(self.surveys.joined) < BACK_TOLD_FOR;
        let back = self.rumours.back.as_ref().filter(|back| lately && self.is_timely(back.unix_time));
        back.filter(|_| self.is_superpeer()).cloned()
    }

    /// What a superpeer says so of itself, told by somebody who was asked or by itself.
    pub(super) fn alive_heard(&mut self, teller: PeerId, statement: &Statement) {
        let Some(link) = self.links.to(&teller) else { return };
        if !self.is_of_before(statement) && self.believes(link, statement) {
            self.gossip.lives(statement.clone());
            self.gossip.stays(&statement.peer);
            let known = self.map.contact(&statement.peer).is_some();
            self.is_alive(statement.peer);
            if !known {
                self.tell_of(statement.peer);
            }
        }
    }

    /// Whether a superpeer said it before we lost it: that says nothing of now.
    fn is_of_before(&self, statement: &Statement) -> bool {
        let gone = self.map.gone_for(&statement.peer, self.now.instant);
        gone.is_some_and(|gone| statement.unix_time < self.now.unix.as_secs().saturating_sub(gone.as_secs()))
    }

    fn is_timely(&self, unix_time: u64) -> bool {
        let now = self.now.unix.as_secs();
        let latest = now.saturating_add(CLOCK_TOLERANCE.as_secs());
        !self.skewed && (now.saturating_sub(STATEMENT_LIFE_SECS)..=latest).contains(&unix_time)
    }

    /// A superpeer has told us that it leaves: others have to know.
    pub(super) fn pass_on_leave(&mut self, statement: Statement) {
        let known = self.map.contact(&statement.peer).is_some() || self.map.is_gone(&statement.peer);
        let news = known && self.rumours.is_news(&statement.peer, statement.unix_time);
        if news && self.rumours.is_fickle(&statement.peer, statement.alive, self.now.instant) {
            self.counters.statements_refused += 1;
        } else if self.is_superpeer() && news {
            let said = (statement.unix_time, statement.alive);
            self.rumours.stated(statement.peer, said, self.now.instant);
            self.gossip.state(statement);
            self.hurry();
        }
    }

    /// What has just been heard should not wait for the next hellos: some neighbours get one now.
    fn hurry(&mut self) {
        let superpeer = |peer: &PeerId| self.map.contact(peer).is_some() && self.gossip.has_for(peer);
        let mut peers: Vec<(PeerId, LinkId)> = self
            .links
            .peers()
            .filter(|(peer, _)| superpeer(peer))
            .map(|(peer, link)| (*peer, *link))
            .collect();
        for _ in 0..HURRIED_HELLOS.min(peers.len()) {
            let index = self.pick(peers.len());
            let (peer, link) = peers.swap_remove(index);
            self.say_hello(link, peer);
        }
    }

    /// A superpeer says that it lives: if it was gone it is back, and is tried.
    pub(super) fn is_alive(&mut self, peer: PeerId) {
        self.gossip.acquit(&peer);
        let (reach, alone) = (self.map.reach(self.now.instant), self.map.went_alone(&peer, self.now.instant));
        let back = match self.map.recall(&peer) {
            // Of our last run: it has to be certified now.
            Some(hint) => self.learn(&hint).is_some(),
            None => self.map.revive(&peer, &self.network.id, self.now.instant) == Learned::New,
        };
        if !back {
            return;
        }
        if let Some(place) = self.map.place(&peer).copied() {
            self.stream_to(&place);
        }
        if reach < Reach::Most {
            self.try_soon(peer);
            self.met_again(peer, reach);
        } else if let Some(place) = self.map.contact(&peer).map(|contact| contact.id()) {
            // One of many that restart: that it was gone counts when it connects, which needs no hurry.
            self.rumours.trials.remove(&peer);
            if alone {
                self.started_again(&peer);
            } else {
                self.place_changed(peer, place);
            }
        }
    }

    fn suspect_heard(&mut self, link: LinkId, peer: &PeerId) {
        if *peer == self.me {
            // Who has just started again is suspected because of its end before: its return is news, and gets around
            // as such.
            if !self.is_just_back()
                && self.say_alive()
                && let Some(teller) = self.links.get(link).map(|link| link.peer)
            {
                self.say_hello(link, teller);
            }
            return;
        }
        if self.map.contact(peer).is_none() {
            return;
        }
        if let Some(teller) = self.links.get(link).map(|link| link.peer) {
            self.gossip.suspects_too(&teller, peer);
        }
        let now = self.now.instant;
        if self.links.unheard(peer, now).is_some_and(|unheard| unheard < HELLO_INTERVAL) {
            self.gossip.accuse(*peer);
        } else if self.links.to(peer).is_some() {
            self.ask_after(peer);
        } else {
            self.try_soon(*peer);
        }
    }

    /// We live, whoever asks; true if that had not been said just now.
    pub(super) fn say_alive(&mut self) -> bool {
        let now = self.now.instant;
        let lately = self.rumours.denied.is_some_and(|denied| now.since(denied) < ALIVE_INTERVAL);
        if !self.is_superpeer() || self.attaching.is_leaving() || lately {
            return false;
        }
        self.rumours.denied = Some(now);
        self.counters.refutations += 1;
        let statement = self.statement(true);
        self.gossip.state(statement);
        true
    }

    /// A statement of ours.
    fn statement(&self, alive: bool) -> Statement {
        let (peer, unix_time) = (self.me, self.now.unix.as_secs());
        let signature = self.node.sign(&statement_message(&self.network.id, &peer, unix_time, alive));
        Statement { peer, unix_time, alive, signature }
    }

    /// Whether a peer whose link has ended is a superpeer to us, who are one, and has no link any more: it may be gone.
    pub(super) fn is_lost(&self, peer: &PeerId) -> bool {
        let wanted = self.is_superpeer() && !self.attaching.is_leaving();
        wanted && self.links.to(peer).is_none() && self.map.contact(peer).is_some()
    }

    /// Hearsay says that a superpeer is not what we think: upkeep looks.
    pub(super) fn try_soon(&mut self, peer: PeerId) {
        if self.rumours.trials.len() < TRIALS_MAX && self.rumours.trials.insert(peer) {
            self.upkeep_again();
        }
    }

    /// Dials those that are to be tried, as many as the budget allows.
    pub(super) fn try_some(&mut self) {
        let now = self.now.instant;
        let due = |peer: &&PeerId| {
            let dialled = self.map.contact(peer).and_then(|contact| contact.dialled());
            self.map.may_try(peer, now) && dialled.is_none_or(|at| now.since(at) >= TRIAL_INTERVAL)
        };
        let due: Vec<PeerId> = self.rumours.trials.iter().filter(due).copied().collect();
        for peer in due {
            if self.links.to(&peer).is_none() {
                if !self.may_dial_stranger() || !self.rumours.budget.spend(1, now) {
                    return;
                }
                // Of one that may well be there TCP alone might not tell.
                if self.map.contact(&peer).is_some() {
                    self.dial(peer);
                } else {
                    self.dial_gone(peer);
                }
            }
            self.rumours.trials.remove(&peer);
        }
    }
}

/// What a superpeer signs about itself.
pub(super) fn statement_message(network: &NetworkId, peer: &PeerId, unix_time: u64, alive: bool) -> Vec<u8> {
    let mut body = Vec::with_capacity(40);
    body.extend_from_slice(peer.as_bytes());
    body.extend_from_slice(&unix_time.to_be_bytes());
    to_sign(if alive { Tag::Alive } else { Tag::Leave }, network, &body)
}

#[cfg(test)]
mod tests {
    use super::{
        ALIVE_INTERVAL, Instant, PeerId, Rumours, STATEMENTS_PER_PEER_MAX, STATEMENTS_REMEMBERED,
        STATEMENTS_WINDOW,
    };

    #[test]
    fn of_the_statements_of_a_peer_only_a_newer_one_is_news_and_memory_is_bounded() {
        // State, ask with times around it; then more peers than are remembered.
        let mut rumours = Rumours::new(Instant::default());
        let peer = PeerId::from_bytes([1; 32]);
        assert!(rumours.is_news(&peer, 5));
        rumours.stated(peer, (5, true), Instant::default());
        assert!(!rumours.is_news(&peer, 4) && !rumours.is_news(&peer, 5) && rumours.is_news(&peer, 6));
        for number in 0..2 * STATEMENTS_REMEMBERED as u64 {
            let mut bytes = [2; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            rumours.stated(PeerId::from_bytes(bytes), (1, true), Instant::from_micros(number + 1));
        }
        assert_eq!(rumours.stated.len(), STATEMENTS_REMEMBERED);
        assert!(rumours.is_news(&peer, 1), "the oldest has gone first");
    }

    #[test]
    fn a_peer_that_comes_and_goes_is_not_heard_until_the_window_is_over() {
        // As many goodbyes and returns as are heard; then the end of the window.
        let (mut rumours, peer) = (Rumours::new(Instant::default()), PeerId::from_bytes([1; 32]));
        let now = Instant::default();
        for number in 0..STATEMENTS_PER_PEER_MAX {
            let alive = number % 2 == 1;
            assert!(!rumours.is_fickle(&peer, alive, now));
            rumours.stated(peer, (u64::from(number), alive), now);
        }
        assert!(rumours.is_fickle(&peer, false, now));
        assert!(!rumours.is_fickle(&PeerId::from_bytes([2; 32]), false, now));
        let later = now + STATEMENTS_WINDOW;
        assert!(!rumours.is_fickle(&peer, false, later));
        rumours.stated(peer, (1_000, false), later);
        assert!(!rumours.is_fickle(&peer, true, later));
    }

    #[test]
    fn who_is_slandered_may_say_that_it_lives_as_often_as_it_has_to() {
        // Every ten seconds for as long as the window; then a goodbye, and once more at the same moment.
        let (mut rumours, peer) = (Rumours::new(Instant::default()), PeerId::from_bytes([1; 32]));
        let mut now = Instant::default();
        for number in 0..60 {
            now = now + ALIVE_INTERVAL;
            assert!(!rumours.is_fickle(&peer, true, now));
            rumours.stated(peer, (number, true), now);
            assert!(rumours.is_fickle(&peer, true, now));
        }
        assert!(!rumours.is_fickle(&peer, false, now));
    }
}
