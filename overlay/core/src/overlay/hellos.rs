//! Hellos: what keeps a link alive, measures it, and carries gossip.
//!
//! ```text
//!  quiet for an interval ──Hello──▶ answered by a hello: heard, measured
//!                             └── not: again every 5 s where we keep the link up ── 15 s ──▶ ended
//!  unheard for the dead time ─────────────────────────────────────▶ ended
//! ```
//! A young link is more likely to end than an old one, so the interval grows with its age: from ten seconds to two
//! minutes between a parent and its child and between a superpeer and its closest, to ten between it and others. Each
//! hello tells the interval that its sender keeps from then on, and the other side's dead time follows from it: never
//! less than 40 seconds, or three intervals; but as a rule a hello that is without an answer ends the link. Among so many
//! superpeers one notices an end within seconds, and the others hear of it and ask for themselves. Who dialled is the
//! first to say hello. News don't wait for that: a link to a superpeer carries a hello every ten seconds as long as there is
//! something to tell, be it how many children we have: on a busy link there would be no other.
//!
//! Source: DESIGN §4 *Hello*; that sessions which have lasted last longer, Saroiu et al. (paper). *Not
//! here*: hellos for what there is to tell (`telling`), what gossip says (`gossip`, `rumours`), who is introduced (`introductions`).

use alloc::vec::Vec;
use core::time::Duration;

use super::gossip::Told;
use super::links::Link;
use super::requests::Purpose;
use super::{Overlay, Timer};
use crate::api::{Hellos, LinkId};
use crate::key::PeerId;
use crate::limits::{
    CLOCK_TOLD_EVERY, DEAD_AFTER, DOUBT_AGAIN, DOUBT_OTHERS, DOUBT_SHARE, HELLO_FAR_MAX, HELLO_FAR_MIN,
    HELLO_INTERVAL, HELLO_INTERVAL_MAX, HELLO_NEAR_MAX, HELLO_SEEDS_MAX, HELLO_STRETCH, HELLO_STRETCH_NEAR,
    HELLO_YIELD, HELLOS_MISSED, HINTS_PER_ANSWER_MAX, IDLE_CLOSE, IDLE_CLOSE_SUPERPEER, IDLE_SUPERPEERS_MAX,
    LOAD_MAX, LOAD_STEP, LOAD_STEP_FROM, REQUEST_TIMEOUT, STORER_TIMEOUT_MIN, TAKES_NONE, UNANSWERED_AGAIN,
    UNANSWERED_FOR,
};
use crate::time::{Instant, Now};
use crate::wire::{Brief, Briefs, Hello, Hint, Message, Who};

/// What the other side of a link was told of us last.
#[derive(Debug)]
pub(super) struct Said {
    /// When we last said hello.
    pub(super) at: Instant,
    pub(super) load: u8,
    clock: Now,
    /// Of `network.toml`.
    version: u64,
    /// When we said the first of those hellos that may be without an answer.
    asked: Option<Instant>,
}

impl Said {
    pub(super) const fn by_open(now: Now, load: u8, version: u64) -> Self {
        Self { at: now.instant, load, clock: now, version, asked: None }
    }
}

impl Link {
    /// The other side is dead when it has not been heard for so long: for three intervals, and no less than
    /// [`DEAD_AFTER`]; or when it has left hellos without an answer.
    pub(super) fn dead_after(&self) -> Duration {
        let dead_after = (self.their_interval * HELLOS_MISSED).max(DEAD_AFTER);
        let unanswered = self.unanswered().map(|asked| asked.since(self.heard) + UNANSWERED_FOR);
        unanswered.map_or(dead_after, |unanswered| unanswered.min(dead_after))
    }

    /// When the first hello went out that it has not answered.
    pub(super) fn unanswered(&self) -> Option<Instant> {
        self.said.asked.filter(|asked| *asked >= self.heard)
    }

    /// Whether nothing has come for so long that a hello is worth its bytes, and none is on its way.
    fn is_unheard(&self, now: Instant) -> bool {
        self.unanswered().is_none() && now.since(self.heard) >= HELLO_INTERVAL
    }

    /// A hello goes out that asks for an answer.
    fn asks(&mut self, now: Instant) {
        self.said.asked = self.unanswered().or(Some(now));
    }
}

/// The interval that fits a link of this age, to a superpeer of some kind or to anybody else.
fn stretched(age: Duration, fellow: Option<Fellow>) -> Duration {
    match fellow {
        None => (age / HELLO_STRETCH).clamp(HELLO_INTERVAL, HELLO_INTERVAL_MAX),
        Some(Fellow::Near) => (age / HELLO_STRETCH_NEAR).clamp(HELLO_INTERVAL, HELLO_NEAR_MAX),
        Some(Fellow::Far) => age.clamp(HELLO_FAR_MIN, HELLO_FAR_MAX),
        Some(Fellow::Caller) => HELLO_FAR_MAX,
    }
}

/// What a superpeer is to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fellow {
    /// One of the closest: it is for each of them to notice the other's end, and to tell of it.
    Near,
    /// Any other: of its end those tell that are close to it.
    Far,
    /// Of those one that has opened the link, while we want none to it: if it wants one it says hello before us, and if it
    /// only asked for something it closes the link when it has been unused for long.
    Caller,
}

impl Overlay {
    pub(super) fn begin_hellos(&mut self, id: LinkId) {
        let fellow = self.fellow(id).filter(|fellow| *fellow != Fellow::Near);
        let interval = stretched(Duration::ZERO, fellow).min(self.longest_interval());
        let far = self.hellos != Hellos::Classic && fellow.is_some();
        if let Some(link) = self.links.get_mut(id).filter(|_| far) {
            // The greeting was one; and the other side sees it as we do, or says hello before.
            (link.interval, link.their_interval) = (interval, HELLO_FAR_MIN);
        }
        self.look_again(id, HELLO_INTERVAL);
    }

    /// A link is looked at after a while, and not before.
    pub(super) fn look_again(&mut self, id: LinkId, wait: Duration) {
        let planned = self.links.get_mut(id).and_then(|link| link.look.take());
        if let Some(planned) = planned {
            self.cancel(planned, Timer::Link(id));
        }
        self.look_within(id, wait);
    }

    /// A link is looked at after a while at the latest.
    pub(super) fn look_within(&mut self, id: LinkId, wait: Duration) {
        let at = self.now.instant + wait;
        let Some(link) = self.links.get_mut(id) else { return };
        if link.look.is_some_and(|planned| planned <= at) {
            return;
        }
        if let Some(planned) = link.look.replace(at) {
            self.cancel(planned, Timer::Link(id));
        }
        self.timers.insert((at, Timer::Link(id)));
    }

    /// A peer's link has lost a reason to be.
    pub(super) fn not_needed(&mut self, peer: &PeerId) {
        if let Some(link) = self.links.to(peer) {
            self.look_within(link, HELLO_INTERVAL);
        }
    }

    /// Greets, says hello, gives up or closes, as the silence asks for.
    ///
    /// Comes again when one of these can be due. What makes it due earlier brings it forward: a hello that waits for
    /// its answer (`say_hello`), a stream that is wanted no more (`upkeep`). Hellos for what there is to tell have
    /// a deadline of their own (`telling`).
    pub(super) fn look_at_link(&mut self, id: LinkId) {
        let now = self.now.instant;
        let Some(link) = self.links.get_mut(id) else { return };
        link.look = None;
        let Some(link) = self.links.get(id) else { return };
        let (peer, silent) = (link.peer, now.since(link.heard));
        let yields = if link.dialled { Duration::ZERO } else { HELLO_YIELD };
        let (dead_after, interval) = (link.dead_after(), link.interval + yields);
        let needed = self.is_needed(id, &peer);
        if link.greeting.is_some() && silent >= dead_after {
            self.close_silent(id);
            if self.is_lost(&peer) && !self.streams.chosen.contains(&peer) {
                // Upkeep dials only those that we want.
                self.try_soon(peer);
            }
            return;
        }
        let idle = if needed { Duration::MAX } else { self.idle_close(id) };
        let unused = now.since(link.used);
        if link.greeting.is_none() || unused >= idle {
            return self.close(id);
        }
        let quiet = silent.max(now.since(link.sent));
        let hellos = self.is_superpeer() && needed || self.attaching.is_parent(&peer);
        let unanswered = link.unanswered().is_some();
        let due = quiet >= interval || unanswered && now.since(link.said.at) >= UNANSWERED_AGAIN;
        let says = due && hellos;
        let left = dead_after.saturating_sub(silent).min(idle);
        let mut wait = interval.saturating_sub(quiet);
        if says {
            self.say_hello(id, peer);
            wait = self.links.get(id).map_or(interval, |link| link.interval) + yields;
        }
        if !needed {
            wait = idle.saturating_sub(unused);
        } else if !self.is_needed_for_long(id, &peer) {
            // When what is under way has ended nobody says so.
            wait = wait.min(HELLO_INTERVAL);
        }
        if unanswered {
            wait = wait.min(UNANSWERED_AGAIN);
        }
        self.look_within(id, wait.min(left).max(Duration::from_secs(1)));
    }

    /// Says hello to one that has a link and may be gone. A hello that waits for its answer already says it as well.
    pub(super) fn ask_after(&mut self, peer: &PeerId) {
        let link = self.links.to(peer);
        let open = link.and_then(|id| self.links.get(id)).is_some_and(|link| link.unanswered().is_none());
        if let Some(id) = link.filter(|_| open) {
            self.say_hello(id, *peer);
        }
    }

    pub(super) fn say_hello(&mut self, id: LinkId, peer: PeerId) {
        let hello = self.hello(id);
        if self.links.to(&peer) == Some(id) {
            // One that can't be sent leaves nothing without an answer.
            let asks = self.hellos != Hellos::Classic && !self.requests.is_crowded();
            let now = self.now.instant;
            if let Some(link) = self.links.get_mut(id).filter(|_| asks) {
                link.asks(now);
                self.look_within(id, UNANSWERED_AGAIN);
            }
            self.ask(peer, Message::Hello(hello), Purpose::Hello, REQUEST_TIMEOUT);
        }
    }

    /// A hello was answered: the next one is due when it would have been without it.
    pub(super) fn hello_answered(&mut self, peer: &PeerId) {
        let Some(id) = self.links.to(peer) else { return };
        let Some(link) = self.links.get(id).filter(|link| link.unanswered().is_none()) else { return };
        let said = self.now.instant.since(link.said.at);
        if link.look.is_some_and(|look| look.since(link.said.at) <= UNANSWERED_AGAIN)
            && self.is_needed_for_long(id, peer)
        {
            let yields = if link.dialled { Duration::ZERO } else { HELLO_YIELD };
            let wait = (link.interval + yields).min(link.dead_after()).saturating_sub(said);
            self.look_again(id, wait);
        }
    }

    /// Another superpeer has left a question without an answer, and is silent: whether it is there shows a hello, if there
    /// is a link, and none has been left without an answer yet. Some others are asked beside it: if it is we who are cut
    /// off they are silent too, and each of them makes us ask more.
    pub(super) fn doubt(&mut self, peer: PeerId) {
        let now = self.now.instant;
        let Some(id) = self.links.to(&peer).filter(|id| self.fellow(*id).is_some()) else { return };
        let Some(link) = self.links.get(id) else { return };
        let spoken_to =
            now.since(link.heard) < STORER_TIMEOUT_MIN || now.since(link.said.at) < HELLO_INTERVAL;
        match link.unanswered() {
            None if spoken_to => return,
            None => self.say_hello(id, peer),
            // The first of its hellos has been in vain; those after it tell nothing new.
            Some(asked) if now.since(asked) >= REQUEST_TIMEOUT * 2 => return,
            Some(_) => {}
        }
        let unanswered = self.fellows().filter(|(_, link)| link.unanswered().is_some()).count();
        let few = unanswered * DOUBT_SHARE <= self.fellows().count();
        if few && self.telling.doubted.is_some_and(|at| now.since(at) < DOUBT_AGAIN) {
            return;
        }
        self.telling.doubted = Some(now);
        let mut unheard: Vec<(LinkId, PeerId)> = self
            .fellows()
            .filter(|(_, link)| link.is_unheard(now))
            .map(|(id, link)| (id, link.peer))
            .collect();
        for _ in 0..DOUBT_OTHERS.min(unheard.len()) {
            let index = self.pick(unheard.len());
            let (id, other) = unheard.swap_remove(index);
            self.say_hello(id, other);
        }
    }

    /// How many superpeers have left a hello without an answer for as long as a request takes: each may be dead, or
    /// beyond a cut.
    pub(super) fn doubted(&self) -> usize {
        let now = self.now.instant;
        let since = |link: &Link| link.unanswered().map(|asked| now.since(asked));
        self.fellows().filter(|(_, link)| since(link) >= Some(REQUEST_TIMEOUT)).count()
    }

    /// Links with other superpeers.
    fn fellows(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        let links = self.links.peers().filter_map(|(_, id)| Some((*id, self.links.get(*id)?)));
        links.filter(|(_, link)| {
            let superpeer = link.greeting.as_ref().is_some_and(|greeting| greeting.superpeer);
            superpeer && self.map.place(&link.peer).is_some()
        })
    }

    /// What the other side of a link is to us, if both are superpeers.
    fn fellow(&self, id: LinkId) -> Option<Fellow> {
        let link = self.links.get(id).filter(|_| self.is_superpeer())?;
        let superpeer = link.greeting.as_ref()?.superpeer;
        let (place, own) = (self.map.place(&link.peer).filter(|_| superpeer)?, self.map.place(&self.me)?);
        let near = self.map.is_among(place, own, self.streams.near + 1);
        let called = !link.dialled && !self.streams.chosen.contains(&link.peer);
        Some(if near {
            Fellow::Near
        } else if called {
            Fellow::Caller
        } else {
            Fellow::Far
        })
    }

    /// After how long unused a link is closed that is not needed. What a superpeer has asked another one for it is likely
    /// to ask for again: half of the storers of any name where hundreds are known.
    fn idle_close(&self, id: LinkId) -> Duration {
        let idle = |link: &Link| link.dialled && !self.streams.chosen.contains(&link.peer);
        // One that was only dialled to see whether somebody is there has not been asked for anything.
        let asked = |link: &Link| link.used > link.since;
        let kept =
            self.fellow(id).is_some() && self.links.get(id).is_some_and(|link| idle(link) && asked(link));
        // As a rule we have dialled fewer in all, and nobody has to be counted.
        let few = || {
            self.links.dialled <= IDLE_SUPERPEERS_MAX
                || self.fellows().filter(|(_, link)| idle(link)).count() <= IDLE_SUPERPEERS_MAX
        };
        if kept && few() { IDLE_CLOSE_SUPERPEER } else { IDLE_CLOSE }
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
        let load = self.load();
        let (heard, interval) = self.begin_interval(id, load);
        let (network_version, unix_time) = self.told_anew(id);
        let Told { statements, suspects, news } = told;
        let (news, suspects) = (Briefs(news), Briefs(suspects));
        Hello { load, heard, network_version, unix_time, gossip, statements, interval, news, suspects }
    }

    /// The version of our `network.toml` and our clock, or 0 where the other side of a link knows them: if we told
    /// the same version, and our clock has gone as time has since we told it, not long ago.
    fn told_anew(&mut self, id: LinkId) -> (u64, u64) {
        let (now, version) = (self.now, self.network.version);
        let Some(link) = self.links.get_mut(id) else { return (version, now.unix.as_secs()) };
        let told_version = core::mem::replace(&mut link.said.version, version);
        let passed = now.instant.since(link.said.clock.instant).as_secs();
        let went = now.unix.as_secs().wrapping_sub(link.said.clock.unix.as_secs());
        let known = passed < CLOCK_TOLD_EVERY.as_secs() && went.abs_diff(passed) <= 1;
        if !known {
            link.said.clock = now;
        }
        let unix_time = if known { 0 } else { now.unix.as_secs() };
        (if told_version == version { 0 } else { version }, unix_time)
    }

    /// A hello goes out: the frames that were heard since the last one, and the interval, in seconds, that
    /// we keep from now on.
    fn begin_interval(&mut self, id: LinkId, load: u8) -> (u8, u16) {
        let (now, classic) = (self.now.instant, self.hellos == Hellos::Classic);
        let max = self.longest_interval();
        let fellow = self.fellow(id);
        let Some(link) = self.links.get_mut(id) else { return (0, seconds(HELLO_INTERVAL)) };
        (link.said.at, link.said.load) = (now, load);
        let interval = stretched(now.since(link.since), fellow).min(max);
        link.interval = if classic { HELLO_INTERVAL } else { interval };
        // Ten seconds go without saying.
        let interval = Some(link.interval).filter(|interval| *interval > HELLO_INTERVAL);
        (core::mem::take(&mut link.frames), interval.map_or(0, seconds))
    }

    /// Who gives seeds has to have heard those that it names.
    const fn longest_interval(&self) -> Duration {
        if self.reluctant { HELLO_SEEDS_MAX } else { HELLO_FAR_MAX }
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
            link.their_interval = interval.clamp(HELLO_INTERVAL, HELLO_FAR_MAX);
        }
        skew.into_iter().for_each(|seconds| self.clock_told(seconds));
        let Some(teller) = self.links.get(id).map(|link| link.peer) else { return };
        self.hints_heard(id, teller, &hello.gossip);
        self.rumours_heard(id, hello);
        self.ask_who_it_is(id, teller);
        self.give_missed(teller);
    }

    /// Superpeers that the other side of a link names, perhaps itself.
    pub(super) fn hints_heard(&mut self, id: LinkId, teller: PeerId, hints: &[Hint]) {
        let (reach, mut back) = (self.reach_without(&teller), false);
        for hint in hints.iter().take(HINTS_PER_ANSWER_MAX) {
            if teller != hint.peer() {
                self.learn_news(teller, hint);
                continue;
            }
            back |= self.map.forgive(&teller);
            if self.learn_from_itself(hint).is_some() {
                // A superpeer is nobody's child.
                self.child_gone(&teller, self.now.instant);
                if self.links.greeting(&teller).is_some_and(|greeting| greeting.superpeer) {
                    self.links.greet_superpeer(id);
                    self.see_superpeer(teller);
                } else {
                    self.superpeer_greets(id, teller);
                }
            }
        }
        if back {
            self.met_again(teller, reach);
        }
    }

    /// Who has greeted us as a superpeer and is none to us any more is asked whether it is, and where: we have given it
    /// up meanwhile, and it does not know.
    fn ask_who_it_is(&mut self, id: LinkId, peer: PeerId) {
        let superpeer = self.links.greeting(&peer).is_some_and(|greeting| greeting.superpeer);
        if self.is_superpeer()
            && superpeer
            && self.links.to(&peer) == Some(id)
            && self.map.contact(&peer).is_none()
        {
            self.ask_who(peer, Who { of: Briefs(alloc::vec![Brief::of(&peer)]), ..Who::default() });
        }
    }
}

/// Whether a load is so far from the one that was told last that others have to know.
pub(super) fn is_another(told: u8, load: u8) -> bool {
    told.abs_diff(load) > told.max(LOAD_STEP_FROM) / LOAD_STEP
}

fn seconds(interval: Duration) -> u16 {
    u16::try_from(interval.as_secs()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_grows_with_the_age_of_its_link_to_what_fits_its_kind() {
        // Ages in minutes around both ends, of each kind.
        let of = |kind| {
            [0, 3, 5, 10, 14, 10_000].map(|age| stretched(Duration::from_secs(60 * age), kind).as_secs())
        };
        assert_eq!(of(None), [10, 18, 30, 60, 84, 120]);
        assert_eq!(of(Some(Fellow::Near)), [10, 45, 75, 120, 120, 120]);
        assert_eq!(of(Some(Fellow::Far)), [240, 240, 300, 600, 600, 600]);
        assert_eq!(of(Some(Fellow::Caller)), [600; 6]);
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
