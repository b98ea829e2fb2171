//! Links: who is connected, greeted, heard and needed.
//!
//! ```text
//!  connected ──Open both ways──▶ up ──unheard, or needed no more (`hellos`)──▶ ended
//!      └─ no Open in 5 s ────────────────────────────────────────────────────────┘
//! ```
//! Two links to one peer after a cross-dial: the one dialled by the smaller PeerId stays, both ends
//! close the other. A link to a peer that had one for long is no cross-dial: the new one stays. A child closes what it does not need; a superpeer keeps its streams, and for a while links to whom it asked.
//! *Not here*: which superpeers ought to be linked (`upkeep`), children (`children`).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::hellos::Said;
use super::introductions::Introduced;
use super::spending::{Allowance, Spending};
use super::{Overlay, Timer};
use crate::api::{Address, DialEnd, Effect, Kin, LinkId, Notice, Seen};
use crate::key::PeerId;
use crate::limits::{
    AGENT_BYTES_MAX, GIVEN_UP, HAND_OVER_WINDOW, HEDGE_UNMEASURED, HELLO_INTERVAL, OPEN_TIMEOUT,
    SKEW_MAX_SECS, STORER_TIMEOUT_MIN,
};
use crate::map::Reach;
use crate::sorted::SortedMap;
use crate::time::{Instant, Now};
use crate::wire::{Frame, Hello, Message, Open, PROTOCOL, TELLS_CHILDREN};

/// [`Open::role`] of a superpeer that has joined lately, and takes its range over.
const TAKES_OVER: u8 = 2;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: PeerId,
    pub(super) dialled: bool,
    /// Where, until it has greeted.
    dialled_at: Vec<Address>,
    pub(super) greeting: Option<Greeting>,
    pub(super) since: Instant,
    pub(super) heard: Instant,
    pub(super) sent: Instant,
    pub(super) used: Instant,
    /// What its peer was told of us last.
    pub(super) said: Said,
    /// When its peer was last knocked at beside it, or it took the place of one on which nothing came.
    knocked: Option<Instant>,
    /// Whom it has been told of.
    pub(super) introduced: Introduced,
    /// How often we say hello when it is quiet, as we said last; and the other side.
    pub(super) interval: Duration,
    pub(super) their_interval: Duration,
    /// The other side's wall clock when it greeted.
    greeted: u64,
    pub(super) frames: u8,
    /// Requests of the other side that are being worked on.
    pub(super) serving: usize,
    /// Since when there have been any.
    pub(super) serving_since: Instant,
    /// The id of the newest.
    pub(super) serving_last: u64,
    /// A deadline is set to tell the other side of it.
    pub(super) at_work: bool,
    /// When it is looked at next (`hellos`).
    pub(super) look: Option<Instant>,
}

/// What the other side said of itself.
#[derive(Debug, Clone)]
pub(super) struct Greeting {
    pub(super) agent: String,
    pub(super) superpeer: bool,
    /// And it is certified: it counts where neighbours are compared.
    certified: bool,
    /// It was taking its range over: what it lacks is its own business.
    pub(super) anew: bool,
    /// For how long the network had been there, as far as it knew.
    network_age: Duration,
    /// 0–255 of the children that it takes, as it said last.
    pub(super) load: u8,
    /// When they last told their wall clock, by both of ours.
    told: Now,
    /// Our wall clock minus theirs at that moment, in seconds.
    skew: i64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct RoundTrip {
    /// Smoothed. Source: RFC 6298 §2.
    pub(super) smoothed: Duration,
    variance: Duration,
}

impl RoundTrip {
    /// Less than nearly all of them: nothing while one has been measured.
    pub(super) fn at_least(self) -> Duration {
        self.smoothed.saturating_sub(self.variance * 2)
    }
}

#[derive(Debug, Default)]
pub(super) struct Links {
    links: SortedMap<LinkId, Box<Link>>,
    /// How many of them we have dialled.
    pub(super) dialled: usize,
    /// The link that requests to a peer use: up, and the one that stays if there are two.
    chosen: SortedMap<PeerId, Chosen>,
    /// What each may make us do.
    spending: Spending,
}

#[derive(Debug, Clone, Copy)]
struct Chosen {
    link: LinkId,
    round_trip: Option<RoundTrip>,
}

impl Links {
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    fn insert(&mut self, id: LinkId, link: Link) {
        self.dialled += usize::from(link.dialled);
        if let Some(former) = self.links.insert(id, Box::new(link)) {
            self.dialled -= usize::from(former.dialled);
        }
    }

    pub(super) fn to(&self, peer: &PeerId) -> Option<LinkId> {
        self.chosen.get(peer).map(|chosen| chosen.link)
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&Link> {
        self.links.get(&link).map(|link| &**link)
    }

    pub(super) fn get_mut(&mut self, link: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&link).map(|link| &mut **link)
    }

    /// The peers that have a link that is up.
    pub(super) fn peers(&self) -> impl Iterator<Item = (&PeerId, &LinkId)> {
        self.chosen.iter().map(|(peer, chosen)| (peer, &chosen.link))
    }

    pub(super) fn greeting(&self, peer: &PeerId) -> Option<&Greeting> {
        self.links.get(&self.to(peer)?)?.greeting.as_ref()
    }

    /// Whether a link to the peer exists that has not greeted yet.
    pub(super) fn is_greeting(&self, peer: &PeerId) -> bool {
        // Those that have none are told without a look at all others.
        self.spending.has_link(peer)
            && self.links.values().any(|link| link.peer == *peer && link.greeting.is_none())
    }

    /// A link to the peer that has greeted.
    fn twin(&self, peer: &PeerId) -> Option<LinkId> {
        // Those that have none are told without a look at all others.
        let mut links = self.spending.has_link(peer).then(|| self.links.iter())?;
        let twin = links.find(|(_, other)| other.peer == *peer && other.greeting.is_some());
        twin.map(|(twin, _)| *twin)
    }

    fn choose(&mut self, peer: PeerId, link: LinkId) {
        let round_trip = self.round_trip(&peer);
        self.chosen.insert(peer, Chosen { link, round_trip });
    }

    /// The other side has told its wall clock and load again: how far ours is from it.
    pub(super) fn told_again(&mut self, link: LinkId, hello: &Hello, now: Now) -> Option<i64> {
        let greeting = self.links.get_mut(&link)?.greeting.as_mut()?;
        greeting.load = hello.load;
        if hello.unix_time == 0 {
            return None;
        }
        (greeting.told, greeting.skew) = (now, skew(now, hello.unix_time));
        Some(greeting.skew)
    }

    /// The other side is a superpeer of our map: so it has greeted, or has become one since.
    pub(super) fn greet_superpeer(&mut self, link: LinkId) {
        if let Some(greeting) = self.links.get_mut(&link).and_then(|link| link.greeting.as_mut()) {
            (greeting.superpeer, greeting.certified) = (true, true);
        }
    }

    pub(super) fn sent(&mut self, link: LinkId, now: Instant) {
        if let Some(link) = self.links.get_mut(&link) {
            link.sent = now;
        }
    }

    /// The peer answered something that we wanted to know.
    pub(super) fn used(&mut self, peer: &PeerId, now: Instant) {
        if let Some(link) = self.to(peer).and_then(|link| self.links.get_mut(&link)) {
            link.used = now;
        }
    }

    /// Whether the peer has greeted lately, and was taking its range over: it had started anew.
    pub(super) fn is_anew(&self, peer: &PeerId, now: Instant) -> bool {
        let link = self.to(peer).and_then(|link| self.get(link));
        let link = link.filter(|link| now.since(link.since) < HAND_OVER_WINDOW);
        link.and_then(|link| link.greeting.as_ref()).is_some_and(|greeting| greeting.anew)
    }

    /// For how long the network had been there when a link was opened, by the word of a certified superpeer.
    fn network_age(&self, link: LinkId) -> Option<Duration> {
        let greeting = self.get(link)?.greeting.as_ref()?;
        greeting.certified.then_some(greeting.network_age)
    }

    /// For how long the network has been there by the word of each certified superpeer.
    pub(super) fn network_ages(&self, now: Instant) -> impl Iterator<Item = Duration> {
        let linked = self.peers().filter_map(|(_, link)| self.get(*link));
        let told = linked.filter_map(|link| Some((link.since, link.greeting.as_ref()?)));
        let told = told.filter(|(_, greeting)| greeting.certified);
        told.map(move |(since, greeting)| greeting.network_age + now.since(since))
    }

    /// Whether the peer has opened a link later than this, by its own clock.
    pub(super) fn has_greeted_since(&self, peer: &PeerId, unix_time: u64) -> bool {
        let link = self.to(peer).and_then(|link| self.links.get(&link));
        link.is_some_and(|link| link.greeted >= unix_time)
    }

    /// One more thing on the link was not true; whether that is too much.
    pub(super) fn has_lied(&mut self, link: LinkId, now: Instant) -> bool {
        self.allowed(link).is_some_and(|allowed| allowed.has_lied(now))
    }

    /// What the other side of a link may make us do.
    pub(super) fn allowed(&mut self, link: LinkId) -> Option<&mut Allowance> {
        let peer = self.links.get(&link)?.peer;
        self.spending.of(&peer)
    }

    /// Since when the peer has had a link.
    pub(super) fn up_since(&self, peer: &PeerId) -> Option<Instant> {
        Some(self.links.get(&self.to(peer)?)?.since)
    }

    /// Whether we opened the link to the peer; `None` without one.
    pub(super) fn dialled(&self, peer: &PeerId) -> Option<bool> {
        Some(self.links.get(&self.to(peer)?)?.dialled)
    }

    /// Whether nothing has come from the peer since it was knocked at.
    pub(super) fn is_knocked_in_vain(&self, peer: &PeerId) -> bool {
        let link = self.to(peer).and_then(|link| self.links.get(&link));
        link.is_some_and(|link| Some(link.heard) < link.knocked)
    }

    /// When something came from the peer last, if it has a link.
    pub(super) fn heard(&self, peer: &PeerId) -> Option<Instant> {
        Some(self.links.get(&self.to(peer)?)?.heard)
    }

    /// How long ago something came from the peer.
    pub(super) fn unheard(&self, peer: &PeerId, now: Instant) -> Option<Duration> {
        Some(now.since(self.links.get(&self.to(peer)?)?.heard))
    }

    /// Whether to knock at a peer from which nothing comes. Once in a hello's interval: a new link takes the
    /// place of the old one, and one that is only overloaded gets no rest from that.
    pub(super) fn knocks(&mut self, peer: &PeerId, now: Instant) -> bool {
        let Some(link) = self.to(peer).and_then(|id| self.links.get_mut(&id)) else { return false };
        let silent = now.since(link.heard) >= STORER_TIMEOUT_MIN;
        let knocks = silent && link.knocked.is_none_or(|last| now.since(last) >= HELLO_INTERVAL);
        if knocks {
            link.knocked = Some(now);
        }
        knocks
    }

    /// How long ago something came from the peer, if it is not dead by that.
    pub(super) fn alive(&self, peer: &PeerId, now: Instant) -> Option<Duration> {
        let link = self.links.get(&self.to(peer)?)?;
        Some(now.since(link.heard)).filter(|unheard| *unheard < link.dead_after())
    }

    /// Whether something has come from the peer after `since`.
    pub(super) fn heard_since(&self, peer: &PeerId, since: Instant) -> bool {
        self.to(peer).and_then(|link| self.links.get(&link)).is_some_and(|link| link.heard > since)
    }

    /// How long ago the peer's link came to be.
    pub(super) fn age(&self, peer: &PeerId, now: Instant) -> Duration {
        let link = self.to(peer).and_then(|link| self.links.get(&link));
        link.map_or(Duration::ZERO, |link| now.since(link.since))
    }

    pub(super) fn round_trip(&self, peer: &PeerId) -> Option<RoundTrip> {
        self.chosen.get(peer)?.round_trip
    }

    /// For choosing among storers: without a link last, then by round trip, unmeasured ones last.
    pub(super) fn rank(&self, peer: &PeerId) -> (bool, Duration) {
        let chosen = self.chosen.get(peer);
        let trip = chosen.and_then(|chosen| chosen.round_trip).map_or(Duration::MAX, |known| known.smoothed);
        (chosen.is_none(), trip)
    }

    /// The peer answered; takes in the round trip, if it measures one.
    ///
    /// Source: RFC 6298 §2, α = 1/8, β = 1/4.
    pub(super) fn answered(&mut self, peer: &PeerId, took: Option<Duration>) {
        let (Some(chosen), Some(took)) = (self.chosen.get_mut(peer), took) else { return };
        chosen.round_trip = Some(match chosen.round_trip {
            None => RoundTrip { smoothed: took, variance: took / 2 },
            Some(known) => RoundTrip {
                variance: (known.variance * 3 + took.abs_diff(known.smoothed)) / 4,
                smoothed: (known.smoothed * 7 + took) / 8,
            },
        });
    }

    /// After how long a request to the peer is worth a second one elsewhere.
    pub(super) fn patience(&self, peer: &PeerId) -> Duration {
        match self.round_trip(peer) {
            Some(known) => (known.smoothed + known.variance * 4).max(crate::limits::HEDGE_MIN),
            None => HEDGE_UNMEASURED,
        }
    }

    /// Median of the neighbours' clock differences: ours minus theirs, in seconds. Anybody may connect, so only
    /// certified superpeers count, unless there are none, or none whose certificates hold by our clock.
    pub(super) fn skew(&self, now: Now) -> i64 {
        let greetings = || self.links.values().filter_map(|link| link.greeting.as_ref());
        let certified = greetings().any(|greeting| greeting.certified);
        let greetings = greetings().filter(|greeting| greeting.certified || !certified);
        let mut skews: Vec<i64> = greetings
            .map(|greeting| {
                // A wall clock that did not go with the monotonic one has been set since.
                let went = seconds(now.unix.as_secs()).saturating_sub(seconds(greeting.told.unix.as_secs()));
                let passed = now.instant.since(greeting.told.instant).as_secs();
                let set = went.saturating_sub(seconds(passed));
                if set.unsigned_abs() > 1 { greeting.skew.saturating_add(set) } else { greeting.skew }
            })
            .collect();
        skews.sort_unstable();
        skews.get(skews.len() / 2).copied().unwrap_or(0)
    }
}

/// A neighbour tells what it likes: also what has no opposite.
fn is_skewed(seconds: i64) -> bool {
    seconds.unsigned_abs() > SKEW_MAX_SECS.unsigned_abs()
}

/// Our wall clock minus theirs, in seconds.
fn skew(now: Now, theirs: u64) -> i64 {
    seconds(now.unix.as_secs()).saturating_sub(seconds(theirs))
}

fn seconds(unsigned: u64) -> i64 {
    i64::try_from(unsigned).unwrap_or(i64::MAX)
}

impl Overlay {
    pub(super) fn connected(&mut self, id: LinkId, peer: PeerId, dialled: bool) {
        let now = self.now.instant;
        if peer == self.me {
            // A copy of our key: nothing that it says may count as ours.
            return self.out.push(Effect::Close { link: id });
        }
        let mut dialled_at = Vec::new();
        if dialled {
            dialled_at = self.requests.take_dialled_at(&peer);
            self.dial_over(&peer);
            if self.dialled_back(id, &peer, &dialled_at) {
                return;
            }
        }
        let load = self.load();
        let link = Link {
            peer,
            dialled,
            dialled_at,
            greeting: None,
            since: now,
            knocked: None,
            heard: now,
            sent: now,
            used: now,
            said: Said::by_open(self.now, load, self.network.version),
            introduced: Introduced::by_open(),
            interval: HELLO_INTERVAL,
            their_interval: HELLO_INTERVAL,
            greeted: 0,
            frames: 0,
            serving: 0,
            serving_since: now,
            serving_last: 0,
            at_work: false,
            look: None,
        };
        self.links.spending.begin(peer, now);
        self.links.insert(id, link);
        let (hint, mark) = match self.own_hint() {
            Some(hint) if self.is_likely_to_know_us(&peer, dialled) => (None, Some(hint.mark())),
            hint => (hint, None),
        };
        let tells = self.tells_children && self.is_superpeer();
        let children = tells.then(|| u32::try_from(self.children.len()).unwrap_or(u32::MAX));
        let age = self.is_superpeer().then(|| self.network_age().as_secs());
        let open = Open {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            features: if children.is_some() { TELLS_CHILDREN } else { 0 },
            agent: self.agent.clone(),
            role: if self.takes_over() { TAKES_OVER } else { u8::from(self.is_superpeer()) },
            load,
            unix_time: self.now.unix.as_secs(),
            network_version: self.network.version,
            hint,
            children,
            network_age: age.map(|age| u32::try_from(age).unwrap_or(u32::MAX)),
            alive: self.back().filter(|_| self.is_near_or_new(&peer)).map(Box::new),
            mark,
        };
        self.send(id, 0, Message::Open(open));
        self.look_within(id, OPEN_TIMEOUT);
    }

    pub(super) fn received(&mut self, id: LinkId, frame: Frame) {
        let now = self.now.instant;
        let Some(link) = self.links.links.get_mut(&id) else { return };
        link.heard = now;
        link.frames = link.frames.saturating_add(1);
        let (peer, greeted) = (link.peer, link.greeting.is_some());
        if let (Message::Open(open), false) = (&frame.message, greeted) {
            let open = open.clone();
            self.opened(id, peer, open);
        } else if !greeted || matches!(frame.message, Message::Open(_)) {
            // Something else before Open, or a second Open: not a peer that keeps the protocol.
            self.close(id);
        } else if let Message::Changed(changed) = &frame.message
            && frame.id == 0
        {
            self.changed_heard(peer, changed);
        } else if frame.message.answers() {
            if let Message::HelloBack(hello) = &frame.message {
                self.hello_heard(id, hello);
            }
            self.answered(peer, frame);
        } else {
            if let Message::Hello(hello) = &frame.message {
                self.hello_heard(id, hello);
            } else if !matches!(frame.message, Message::Working(_)) {
                self.links.used(&peer, now);
            }
            self.serve(id, peer, frame.id, frame.message);
        }
    }

    fn opened(&mut self, id: LinkId, peer: PeerId, mut open: Open) {
        if open.protocol_min > PROTOCOL || open.protocol_max < PROTOCOL {
            return self.close(id);
        }
        if open.agent.len() > AGENT_BYTES_MAX {
            let end = (0..=AGENT_BYTES_MAX).rev().find(|at| open.agent.is_char_boundary(*at));
            open.agent.truncate(end.unwrap_or(0));
        }
        let hint = self.own_hint_of(&peer, &open);
        let superpeer = hint.is_some() || open.mark.is_some() && self.map.contact(&peer).is_some();
        let (told, skew) = (self.now, skew(self.now, open.unix_time));
        if let Some(link) = self.links.links.get_mut(&id) {
            let (load, anew) = (open.load, superpeer && open.role == TAKES_OVER);
            let (agent, certified) = (open.agent, false);
            let network_age = Duration::from_secs(open.network_age.unwrap_or(0).into());
            link.greeting =
                Some(Greeting { agent, superpeer, certified, anew, network_age, load, told, skew });
            link.greeted = open.unix_time;
        }
        let mut back = false;
        // Judged before the first of those that come back counts as there.
        let (reach, alone) = (self.reach_without(&peer), self.map.went_alone(&peer, self.now.instant));
        if let Some(hint) = &hint {
            back = self.map.forgive(&peer);
            self.learn_from_itself(hint);
        }
        if superpeer {
            self.superpeer_greets(id, peer);
        }
        self.clock_told(skew);
        self.choose(id, peer);
        let started = open.alive.is_some() || self.links.is_anew(&peer, self.now.instant);
        if let Some(alive) = open.alive.filter(|alive| alive.peer == peer && alive.alive) {
            self.alive_heard(peer, &alive);
        }
        if let Some(link) = self.links.to(&peer) {
            self.flush(&peer, link);
        }
        if back && alone && reach == Reach::Most {
            self.returned_alone(peer, started);
        } else if back {
            self.met_again(peer, reach);
        }
        if hint.is_none() && open.mark.is_some() {
            self.ask_whose_mark(peer);
        }
        if self.links.network_age(id) > Some(self.network_age()) {
            self.hear_vouchers();
        }
        self.missed_until_now(peer);
        self.begin_hellos(id);
        self.probe_up(&peer);
        self.attach_if_needed();
    }

    /// A superpeer has greeted on a link, and is in the map unless its certificate does not hold.
    pub(super) fn superpeer_greets(&mut self, id: LinkId, peer: PeerId) {
        if self.map.contact(&peer).is_some() {
            self.links.greet_superpeer(id);
        }
        self.map.meet(&peer);
        self.answered_at(id, &peer);
        self.works(peer);
        self.see_superpeer(peer);
    }

    /// What is left to us of the network while a superpeer is gone; of no interest of one that is not.
    pub(super) fn reach_without(&self, peer: &PeerId) -> Reach {
        if self.map.is_gone(peer) { self.map.reach(self.now.instant) } else { Reach::Most }
    }

    /// A superpeer has greeted: it is there, if it is one.
    pub(super) fn see_superpeer(&mut self, peer: PeerId) {
        if self.map.contact(&peer).is_some() {
            self.seen(peer, Seen::There(Kin::Superpeer));
        }
    }

    /// We are a superpeer now: those that greeted before are there.
    pub(super) fn see_superpeers(&mut self) {
        let greeted = |link: &Link| link.greeting.as_ref().is_some_and(|greeting| greeting.superpeer);
        let links = self.links.links.values().filter(|link| greeted(link));
        let peers: BTreeSet<PeerId> = links.map(|link| link.peer).collect();
        peers.into_iter().for_each(|peer| self.see_superpeer(peer));
    }

    /// A superpeer has greeted on a link: if we opened it, it listens where we dialled it.
    fn answered_at(&mut self, id: LinkId, peer: &PeerId) {
        let link = self.links.links.get_mut(&id).filter(|link| link.dialled);
        let at = link.map(|link| core::mem::take(&mut link.dialled_at));
        if at.is_some() {
            self.keep_contact(peer);
        }
        if !at.is_some_and(|at| self.map.confirm(peer, &at, self.now.instant)) {
            self.dial_back_soon();
        }
    }

    /// Of two links to one peer one stays.
    fn choose(&mut self, id: LinkId, peer: PeerId) {
        let Some(other) = self.links.to(&peer) else {
            return self.links.choose(peer, id);
        };
        let dialled = |link: LinkId| self.links.get(link).is_some_and(|link| link.dialled);
        let (new_is_ours, old_is_ours) = (dialled(id), dialled(other));
        // Nobody dials whom it has had a link to for long, unless nothing comes on it (a knock), or it has
        // started again: either way the older link is dead to one side.
        let now = self.now.instant;
        let aged = self.links.get(other).is_some_and(|old| now.since(old.since) > OPEN_TIMEOUT);
        if new_is_ours == old_is_ours && !aged {
            // The same side dialled twice: its newer link goes, and that side closes it.
            if new_is_ours {
                self.close(id);
            }
            return;
        }
        let ours_stays = self.me < peer;
        let new_stays = aged || new_is_ours == ours_stays;
        let (stays, goes) = if new_stays { (id, other) } else { (other, id) };
        self.links.choose(peer, stays);
        if aged && let Some(link) = self.links.get_mut(stays) {
            link.knocked = Some(now);
        }
        self.close(goes);
    }

    pub(super) fn close(&mut self, id: LinkId) {
        self.out.push(Effect::Close { link: id });
        self.forget_link(id, None);
    }

    /// Closes a link on which hellos are owed and none came.
    pub(super) fn close_silent(&mut self, id: LinkId) {
        self.out.push(Effect::Close { link: id });
        self.forget_link(id, self.links.get(id).map(|link| link.heard));
    }

    pub(super) fn disconnected(&mut self, id: LinkId) {
        let lost = self.links.get(id).map(|link| (link.peer, link.since, link.dialled));
        self.forget_link(id, Some(self.last_word(id)));
        // A link that we want is dialled at once: if that fails too, others have to know. Not one that
        // ends as soon as it is there.
        if let Some((peer, since, dialled)) = lost
            && self.now.instant.since(since) > OPEN_TIMEOUT
            && self.is_lost(&peer)
        {
            if self.streams.chosen.contains(&peer) {
                self.dial(peer);
            } else if dialled {
                // It is for us to close.
                self.try_soon(peer);
            }
        }
    }

    /// When the other side of a link that the transport has ended was there for certain. That a connection ends is
    /// told by the machine at its other end; unless nothing had come for so long that ours may have given it up, as
    /// long after the end as that takes.
    fn last_word(&self, id: LinkId) -> Instant {
        let now = self.now.instant;
        let heard = self.links.get(id).map_or(now, |link| link.heard);
        let silent = now.since(heard);
        if silent < GIVEN_UP { now } else { heard + (silent - GIVEN_UP) }
    }

    /// Takes a link out of the books, whoever ended it; `heard`: when its other side was there last, if that is not
    /// now, for it was we who wanted no more of it.
    fn forget_link(&mut self, id: LinkId, heard: Option<Instant>) {
        let Some(link) = self.links.links.remove(&id) else { return };
        self.links.dialled -= usize::from(link.dialled);
        let Link { peer, greeting, dialled, look, .. } = *link;
        if let Some(look) = look {
            self.cancel(look, Timer::Link(id));
        }
        self.links.spending.end(&peer, self.now.instant);
        if self.links.to(&peer) == Some(id) {
            self.links.chosen.remove(&peer);
            if self.streams.chosen.contains(&peer) {
                self.streams.at = None;
            }
            if let Some(twin) = self.links.twin(&peer) {
                self.links.choose(peer, twin);
            }
        }
        if greeting.is_none() && dialled && self.links.to(&peer).is_none() {
            self.unreachable(&peer, DialEnd::Silent);
            return;
        }
        self.orphan(&peer, id);
        if self.links.to(&peer).is_none() {
            if self.attaching.is_parent(&peer) {
                let load = greeting.map_or(0, |greeting| greeting.load);
                self.parent_lost_under(&peer, load);
                // Whatever it was asked goes to the next one: to dial it in vain may take seconds.
                self.abandon(&peer);
            }
            self.child_gone(&peer, heard.unwrap_or(self.now.instant));
            self.map.heard_last(&peer, heard, self.now.instant);
            self.watchers_gone(&peer);
        }
    }

    /// A superpeer keeps the streams that it should have, its children's, and those that another
    /// superpeer opened, which knows best how long it needs them; a child keeps its parent's and what
    /// works.
    pub(super) fn is_needed(&self, id: LinkId, peer: &PeerId) -> bool {
        self.is_needed_for_long(id, peer)
            || self.requests.has_any(peer)
            || self.links.get(id).is_some_and(|link| link.serving > 0)
            || self.watchers.involves(peer)
    }

    /// Whether a link is needed by more than what is under way on it: when that ends, somebody says so.
    pub(super) fn is_needed_for_long(&self, id: LinkId, peer: &PeerId) -> bool {
        let link = self.links.get(id);
        let theirs = link.is_some_and(|link| {
            let superpeer = link.greeting.as_ref().is_some_and(|greeting| greeting.superpeer);
            superpeer && (!link.dialled || self.streams.chosen.contains(peer))
        });
        self.attaching.is_parent(peer) || self.children.is_child(peer) || (self.is_superpeer() && theirs)
    }

    /// A neighbour has told its clock, from which ours is so many seconds away: only one that disagrees with what we
    /// think of ours can change that.
    pub(super) fn clock_told(&mut self, seconds: i64) {
        if is_skewed(seconds) != self.skewed {
            self.judge_skew();
        }
    }

    pub(super) fn judge_skew(&mut self) {
        let seconds = self.links.skew(self.now);
        let skewed = is_skewed(seconds);
        if skewed && !self.skewed {
            self.notice(Notice::Skewed { seconds });
        }
        self.skewed = skewed;
    }
}
