//! Paths: a look-up to which the superpeers that we know of give no answer goes on from others.
//!
//! ```text
//!  nobody of the closest is left to ask, and there is no answer
//!    └─▶ restart: d others at random, one path from each ─▶ whom do you know around the key?
//!          └─ who is named and closer than those that we know of is asked ─▶ stuck again: another restart
//! ```
//! A map that few have told us has the wrong superpeers around a key; those who stand elsewhere have heard of
//! others. (Whom a cut took away the map remembers as gone, and hearsay does not bring them back.) Places are
//! certified and everybody knows nearly everybody, so a path needs no third step, and paths are disjoint: each has a
//! start of its own, of one address group no more than a path's share, and whoever is named is asked for records
//! once.
//!
//! Stuck look-ups are many when many superpeers are gone; a budget keeps paths from being the next load.
//!
//! Source: Baumgart and Mies, *S/Kademlia* (paper) §4.4; DESIGN §4, *Look-up*. *Not here*: whose answers count
//! (`lookup`), what is asked after a path (`walks`).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Overlay;
use super::requests::{Outcome, Purpose};
use super::walks::WalkRun;
use crate::group::Caps;
use crate::key::PeerId;
use crate::limits::{HINTS_PER_ANSWER_MAX, RESTARTS_MAX};
use crate::lookup::Goal;
use crate::network::Scope;
use crate::wire::{Closest, Known, Message};

/// The paths of one look-up.
#[derive(Debug)]
pub(super) struct Paths {
    restarts: usize,
    /// Where paths have begun, over all restarts.
    starts: Vec<PeerId>,
    /// Of those, who has not told yet whom they know.
    awaited: BTreeSet<PeerId>,
    /// How many starts an address group may have.
    caps: Caps,
    /// Requests in sequence before the last restart.
    depth: u8,
}

impl Paths {
    pub(super) fn new(scope: Scope) -> Self {
        let (starts, awaited) = (Vec::new(), BTreeSet::new());
        Self { restarts: 0, starts, awaited, caps: Caps::new(scope), depth: 0 }
    }
}

impl Overlay {
    /// A look-up is stuck: begins paths elsewhere, or waits for those that have begun. Gives the walk back if
    /// there is nothing to wait for.
    pub(super) fn go_on_elsewhere(&mut self, id: u64, mut run: Box<WalkRun>) -> Option<Box<WalkRun>> {
        if !run.paths.awaited.is_empty() {
            self.walks.insert(id, run);
            return None;
        }
        let may = run.walk.goal == Goal::Value && run.paths.restarts < RESTARTS_MAX;
        let starts = if may { self.starts(&mut run) } else { Vec::new() };
        if starts.is_empty() {
            return Some(run);
        }
        run.paths.restarts += 1;
        run.paths.depth = run.walk.deepest().max(run.paths.depth.saturating_add(1));
        for start in &starts {
            run.paths.starts.push(*start);
            run.paths.awaited.insert(*start);
            run.walk.requests += 1;
            run.steps.asked(*start, true, self.now.instant);
        }
        let (key, known) = (run.walk.key, run.known.clone());
        self.walks.insert(id, run);
        for start in starts {
            let count = u8::try_from(HINTS_PER_ANSWER_MAX).unwrap_or(u8::MAX);
            let closest =
                Message::Closest(Closest { key, count, known: known.clone(), remembered: Known::default() });
            let timeout = self.storer_timeout(&start);
            self.ask(start, closest, Purpose::Path(id), timeout);
        }
        None
    }

    /// d at random of those whom the look-up has not asked: first of those that have answered where we dialled them,
    /// for the others may not be there, and such dials are counted. Nobody, if the budget has not enough for all.
    fn starts(&mut self, run: &mut WalkRun) -> Vec<PeerId> {
        let (d, now) = (self.network.parameters.d, self.now.instant);
        if !self.paths.has(d as u64, now) {
            return Vec::new();
        }
        let is_met =
            |peer: &PeerId| *peer == self.me || run.walk.has_asked(peer) || run.paths.starts.contains(peer);
        let (mut answered, mut others) = (Vec::new(), Vec::new());
        for contact in self.map.iter() {
            let peer = contact.peer();
            let there = contact.verified() || self.links.dialled(&peer) == Some(true);
            if !is_met(&peer) && !self.cache.is_blamed(&peer) {
                if there { &mut answered } else { &mut others }.push(peer);
            }
        }
        let mut starts = Vec::new();
        for pool in [&mut answered, &mut others] {
            while starts.len() < d && !pool.is_empty() {
                let index = self.pick(pool.len());
                let peer = pool.swap_remove(index);
                let addresses = self.map.contact(&peer).map(|contact| &contact.hint().addresses);
                if addresses.is_some_and(|addresses| run.paths.caps.admit(addresses)) {
                    starts.push(peer);
                }
            }
        }
        self.paths.charge(starts.len() as u64);
        starts
    }

    /// The start of a path has told whom it knows, or does not.
    pub(super) fn path_heard(&mut self, id: u64, peer: PeerId, outcome: &Outcome) {
        let Some(mut run) = self.walks.remove(&id) else { return };
        run.steps.path_ended(&peer, self.now.instant, outcome);
        run.paths.awaited.remove(&peer);
        if let (Outcome::Answer(Message::Hints(hints)), false) = (outcome, run.over) {
            let depth = run.paths.depth.saturating_add(1);
            self.take_hints(&mut run, peer, &hints.hints, depth);
        }
        self.step(id, run);
    }
}
