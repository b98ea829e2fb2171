//! Telling: hellos that go out because there is something to tell, not because it has been quiet.
//!
//! What waits in gossip goes to one neighbour a second; who is suspected is told so at once, and when we have
//! far more or fewer children than others think, all that think so hear of it. No link gets two hellos for such reasons within
//! [`HELLO_INTERVAL`]. One deadline does for all links: with hundreds of neighbours most of what has to be told has been
//! told to enough of them before each could be asked in turn whether it lacks something.
//!
//! *Not here*: what gossip says (`gossip`), hellos for the sake of silence (`hellos`).

use alloc::vec::Vec;

use super::hellos::is_another;
use super::links::Link;
use super::{Overlay, Timer};
use crate::api::LinkId;
use crate::key::PeerId;
use crate::limits::{GOSSIP_PAUSE, HELLO_INTERVAL, TELL_AFTER, TOLD_OF};
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Telling {
    /// When to tell somebody something; none if there is nothing to tell.
    at: Option<Instant>,
    /// When some were asked whether they are there because another one was silent.
    pub(super) doubted: Option<Instant>,
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
            let wait = self.gossip.pause(self.gossip_pause(), self.now.instant).max(TELL_AFTER);
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
            if link.is_none() {
                self.gossip.accused_no_more(&peer);
            }
            if let Some(id) = link.filter(|id| self.links.get(*id).is_some_and(|link| link.may_tell(now))) {
                self.say_hello(id, peer);
            }
        }
        let told = self.gossip.pause(self.gossip_pause(), now).is_zero().then(|| self.tell_next());
        // Whom nobody is left to tell of waits for others to come.
        let wait = if told == Some(false) { HELLO_INTERVAL } else { GOSSIP_PAUSE };
        self.telling.at = Some(self.set_timer(wait, Timer::Tell));
    }

    /// Says hello to somebody for whom there is something: of some of the neighbours the one that has been quiet for longest,
    /// so that it saves a hello for the sake of silence. Whether there is anybody, also if it has heard a hello just now.
    fn tell_next(&mut self) -> bool {
        let now = self.now.instant;
        let linked = self.links.peers().filter_map(|(peer, id)| Some((*peer, *id, self.links.get(*id)?)));
        let lack = linked.filter(|(peer, _, link)| link.is_superpeer() && self.gossip.has_for(peer));
        let (mut any, mut open) = (false, Vec::new());
        for (peer, id, link) in lack {
            any = true;
            // What waits for an answer may be dead.
            if link.may_tell(now) && link.unanswered().is_none() {
                open.push((link.heard.min(link.sent), peer, id));
            }
        }
        let mut quietest = None;
        for _ in 0..TOLD_OF.min(open.len()) {
            let index = self.pick(open.len());
            let drawn = open.swap_remove(index);
            quietest = Some(quietest.map_or(drawn, |other| drawn.min(other)));
        }
        if let Some((_, peer, id)) = quietest {
            self.say_hello(id, peer);
        }
        any
    }

    /// Those that think that we have far more or fewer children than we have hear how many it is.
    pub(super) fn tell_load(&mut self) {
        let (now, load) = (self.now.instant, self.load());
        let linked = self.links.peers().filter_map(|(peer, id)| Some((*peer, *id, self.links.get(*id)?)));
        let astray = linked.filter(|(_, _, link)| is_another(link.said.load, load) && link.may_tell(now));
        let astray: Vec<(PeerId, LinkId)> = astray.map(|(peer, id, _)| (peer, id)).collect();
        for (peer, id) in astray {
            self.say_hello(id, peer);
        }
    }
}
