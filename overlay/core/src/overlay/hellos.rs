//! Hellos: what keeps a link alive, measures it, and carries gossip.
//!
//! ```text
//!  quiet for an interval ──Hello──▶ answered by a hello: heard, measured
//!  unheard for the dead time ─────▶ ended
//! ```
//! A young link is more likely to end than an old one, so the interval grows with its age, from 10 to 40
//! seconds. Each hello tells the interval that its sender keeps from then on, and the other side's dead
//! time follows from it: never less than 40 seconds, or three intervals. Who dialled is the first to say
//! it. News don't wait for that: a link to a superpeer carries a hello every ten seconds as long as there is
//! something to tell, be it how many children we have: on a busy link there would be no other.
//!
//! Source: DESIGN §4 *Hello*; that sessions which have lasted last longer, Saroiu et al. (paper). *Not
//! here*: what gossip says (`gossip`, `rumours`), who is introduced (`introductions`).

use alloc::vec::Vec;
use core::time::Duration;

use super::gossip::Told;
use super::links::Link;
use super::requests::Purpose;
use super::{Overlay, Timer};
use crate::api::{Hellos, Kin, LinkId, Seen};
use crate::key::PeerId;
use crate::limits::{
    DEAD_AFTER, HELLO_INTERVAL, HELLO_INTERVAL_MAX, HELLO_STRETCH, HELLO_YIELD, HELLOS_MISSED,
    HINTS_PER_ANSWER_MAX, IDLE_CLOSE, LOAD_MAX, LOAD_STEP, LOAD_STEP_FROM, OPEN_TIMEOUT, REQUEST_TIMEOUT,
    TAKES_NONE,
};
use crate::wire::{Hello, Message};

impl Link {
    /// The other side is dead when it has not been heard for so long.
    pub(super) fn dead_after(&self) -> Duration {
        (self.their_interval * HELLOS_MISSED).max(DEAD_AFTER)
    }
}

/// The interval that fits a link of this age.
fn stretched(age: Duration) -> Duration {
    (age / HELLO_STRETCH).clamp(HELLO_INTERVAL, HELLO_INTERVAL_MAX)
}

impl Overlay {
    pub(super) fn begin_hellos(&mut self, id: LinkId) {
        if let Some(since) = self.links.get(id).map(|link| link.since) {
            self.cancel(since + OPEN_TIMEOUT, Timer::Link(id));
            self.set_timer(HELLO_INTERVAL, Timer::Link(id));
        }
    }

    /// Greets, says hello, gives up or closes, as the silence asks for.
    pub(super) fn look_at_link(&mut self, id: LinkId) {
        let now = self.now.instant;
        let Some(link) = self.links.get(id) else { return };
        let (peer, silent) = (link.peer, now.since(link.heard));
        let yields = if link.dialled { Duration::ZERO } else { HELLO_YIELD };
        let (dead_after, interval) = (link.dead_after(), link.interval + yields);
        let needed = self.is_needed(id, &peer);
        if needed && link.greeting.is_some() && silent >= dead_after {
            return self.close_silent(id);
        }
        if link.greeting.is_none() || silent >= dead_after || !needed && now.since(link.used) >= IDLE_CLOSE {
            return self.close(id);
        }
        let quiet = silent.max(now.since(link.sent));
        let hellos = self.is_superpeer() && needed || self.attaching.is_parent(&peer);
        // Gossip goes with hellos, and who has how many children, so there are some on a busy link too.
        let may_gossip =
            self.is_superpeer() && link.greeting.as_ref().is_some_and(|greeting| greeting.superpeer);
        let news = self.gossip.has_for(&peer) || is_another(link.told_load, self.load());
        let gossips = may_gossip && now.since(link.said) >= HELLO_INTERVAL && news;
        let says = gossips || (quiet >= interval && hellos);
        let mut wait = if says { interval } else { interval.saturating_sub(quiet) };
        if may_gossip || !needed {
            wait = wait.min(HELLO_INTERVAL);
        }
        let wait = wait.min(dead_after.saturating_sub(silent)).max(Duration::from_secs(1));
        if says {
            self.say_hello(id, peer);
        }
        self.set_timer(wait, Timer::Link(id));
    }

    pub(super) fn say_hello(&mut self, id: LinkId, peer: PeerId) {
        let hello = self.hello(id);
        if self.links.to(&peer) == Some(id) {
            self.ask(peer, Message::Hello(hello), Purpose::Hello, REQUEST_TIMEOUT);
        }
    }

    /// What a hello on this link says now; starts counting its frames anew.
    pub(super) fn hello(&mut self, id: LinkId) -> Hello {
        let mut gossip = Vec::from_iter(self.introduction(id));
        let mut told = Told::default();
        if let Some(link) = self.links.get(id) {
            let (peer, superpeer) = (link.peer, link.greeting.as_ref().map(|greeting| greeting.superpeer));
            match superpeer {
                Some(false) => gossip.append(&mut self.others_for_child(id, &peer)),
                Some(true) | None => told = self.gossip_for(&peer),
            }
        }
        gossip.append(&mut told.hints);
        let load = self.load();
        let (heard, interval) = self.begin_interval(id, load);
        let (network_version, unix_time) = (self.network.version, self.now.unix.as_secs());
        let Told { statements, suspects, .. } = told;
        Hello { load, heard, network_version, unix_time, gossip, statements, suspects, interval }
    }

    /// A hello goes out: the frames that were heard since the last one, and the interval, in seconds, that
    /// we keep from now on.
    fn begin_interval(&mut self, id: LinkId, load: u8) -> (u8, u8) {
        let (now, classic) = (self.now.instant, self.hellos == Hellos::Classic);
        let Some(link) = self.links.get_mut(id) else { return (0, seconds(HELLO_INTERVAL)) };
        (link.said, link.told_load) = (now, load);
        link.interval = if classic { HELLO_INTERVAL } else { stretched(now.since(link.since)) };
        (core::mem::take(&mut link.frames), seconds(link.interval))
    }

    /// How full we are, as neighbours are told.
    pub(super) fn load(&self) -> u8 {
        if self.shuns_children() {
            return TAKES_NONE;
        }
        let share = self.children.len() * 255 / self.children_max;
        u8::try_from(share).unwrap_or(u8::MAX).min(LOAD_MAX)
    }

    /// A hello or its answer: the other side's clock, and superpeers that it names.
    pub(super) fn hello_heard(&mut self, id: LinkId, hello: &Hello) {
        let skew = self.links.told_again(id, hello, self.now);
        if let Some(link) = self.links.get_mut(id) {
            let interval = Duration::from_secs(u64::from(hello.interval));
            link.their_interval = interval.clamp(HELLO_INTERVAL, HELLO_INTERVAL_MAX);
        }
        skew.into_iter().for_each(|seconds| self.clock_told(seconds));
        let Some(teller) = self.links.get(id).map(|link| link.peer) else { return };
        let (reach, mut back) = (self.reach_without(&teller), false);
        for hint in hello.gossip.iter().take(HINTS_PER_ANSWER_MAX) {
            if teller != hint.peer() {
                self.learn_news(teller, hint);
                continue;
            }
            back |= self.map.forgive(&teller);
            if self.learn_from_itself(hint).is_some() {
                self.seen(teller, Seen::There(Kin::Superpeer));
                // A superpeer is nobody's child.
                self.child_gone(&teller, self.now.instant);
                self.links.greet_superpeer(id);
            }
        }
        if back {
            self.met_again(teller, reach);
        }
        self.rumours_heard(id, hello);
    }
}

/// Whether a load is so far from the one that was told last that others have to know.
fn is_another(told: u8, load: u8) -> bool {
    told.abs_diff(load) > told.max(LOAD_STEP_FROM) / LOAD_STEP
}

fn seconds(interval: Duration) -> u8 {
    u8::try_from(interval.as_secs()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_grows_from_ten_seconds_to_forty_in_the_first_quarter_of_an_hour() {
        // Ages around both ends.
        let at = |minutes: u64| stretched(Duration::from_secs(60 * minutes)).as_secs();
        assert_eq!([0, 3, 5, 10, 14, 10_000].map(at), [10, 10, 15, 30, 40, 40]);
    }

    #[test]
    fn a_load_is_told_again_when_it_is_off_by_an_eighth() {
        // Around the step, at both ends of the range.
        let off = |told, loads: [u8; 4]| loads.map(|load| is_another(told, load));
        assert_eq!(off(0, [0, 2, 3, 255]), [false, false, true, true]);
        assert_eq!(off(80, [69, 70, 90, 91]), [true, false, false, true]);
        assert_eq!(off(255, [255, 254, 224, 223]), [false, false, false, true]);
    }
}
