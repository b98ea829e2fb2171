//! Telling: hellos that go out because there is something to tell, not because it has been quiet.
//!
//! What waits in gossip goes to one neighbour a second; who is suspected is told so at once, and when we have
//! far more or fewer children than others think, all that think so hear of it. No link gets two hellos for such reasons within
//! [`HELLO_INTERVAL`]. One deadline does for all links: with hundreds of neighbours most of what has to be told has been
//! told to enough of them before each could be asked in turn whether it lacks something.
//!
//! *Not here*: what gossip says (`gossip`), hellos for the sake of silence (`hellos`).

use alloc::vec::Vec;

use rand_core::Rng;

use super::hellos::is_another;
use super::links::Link;
use super::{Overlay, Timer};
use crate::api::LinkId;
use crate::key::PeerId;
use crate::limits::{GOSSIP_PAUSE, HELLO_INTERVAL, TELL_AFTER, TELL_TRIES};
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Telling {
    /// When to tell somebody something; none if there is nothing to tell.
    at: Option<Instant>,
    /// The load that all neighbours know, within a step.
    load: u8,
}

impl Link {
    fn is_superpeer(&self) -> bool {
        self.greeting.as_ref().is_some_and(|greeting| greeting.superpeer)
    }

    /// Whether it is a superpeer's, and has heard no hello just now.
    fn may_tell(&self, now: Instant) -> bool {
        self.is_superpeer() && now.since(self.said.at) >= HELLO_INTERVAL
    }
}

impl Overlay {
    /// At the end of a turn: sets a deadline if there is something to tell.
    pub(super) fn tell_later(&mut self) {
        if self.telling.at.is_none() && self.gossip.has_any() && self.is_superpeer() {
            let wait = self.gossip.pause(self.now.instant).max(TELL_AFTER);
            self.telling.at = Some(self.set_timer(wait, Timer::Tell));
        }
    }

    /// Tells those who are suspected so, and the next one whom that is new what waits in gossip.
    pub(super) fn tell_due(&mut self) {
        self.telling.at = None;
        if !self.is_superpeer() || !self.gossip.has_any() {
            return;
        }
        let now = self.now.instant;
        for peer in self.gossip.accused() {
            let link = self.links.to(&peer);
            if let Some(id) = link.filter(|id| self.links.get(*id).is_some_and(|link| link.may_tell(now))) {
                self.say_hello(id, peer);
            }
        }
        let told = self.gossip.pause(now).is_zero().then(|| self.tell_next());
        // Whom nobody is left to tell of waits for others to come.
        let wait = if told == Some(false) { HELLO_INTERVAL } else { GOSSIP_PAUSE };
        self.telling.at = Some(self.set_timer(wait, Timer::Tell));
    }

    /// Says hello to somebody for whom there is something, the first after a random place among the neighbours; whether
    /// there may be one.
    fn tell_next(&mut self) -> bool {
        let (now, first) = (self.now.instant, PeerId::from_bytes([0; 32]));
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        let (mut last, mut open) = (PeerId::from_bytes(bytes), self.links.len() > TELL_TRIES);
        for _ in 0..TELL_TRIES.min(self.links.len()) {
            let next = self.links.after(&last).or_else(|| self.links.after(&first));
            let Some((peer, id)) = next else { break };
            last = peer;
            let Some(link) = self.links.get(id).filter(|link| link.is_superpeer()) else { continue };
            let may = link.may_tell(now);
            if self.gossip.has_for(&peer) {
                if may {
                    self.say_hello(id, peer);
                    return true;
                }
                open = true;
            }
        }
        open
    }

    /// Those that think that we have far more or fewer children than we have hear how many it is.
    pub(super) fn tell_load(&mut self) {
        let (now, load) = (self.now.instant, self.load());
        if load == self.telling.load {
            return;
        }
        let linked = self.links.peers().filter_map(|(peer, id)| Some((*peer, *id, self.links.get(*id)?)));
        let astray = linked.filter(|(_, _, link)| is_another(link.said.load, load));
        let astray = astray.filter(|(_, _, link)| link.is_superpeer());
        let (open, waits): (Vec<_>, Vec<_>) = astray.partition(|(_, _, link)| link.may_tell(now));
        let all = waits.is_empty();
        let open: Vec<(PeerId, LinkId)> = open.into_iter().map(|(peer, id, _)| (peer, id)).collect();
        for (peer, id) in open {
            self.say_hello(id, peer);
        }
        if all {
            self.telling.load = load;
        }
    }
}
