//! Standbys: two superpeers that keep a place for us, should the parent go.
//!
//! ```text
//!  wanted ──Reserve──▶ kept ──half its time──▶ Reserve again
//!     ▲                  │ refused, can't be reached
//!     └──────────────────┘
//!  parent lost:    both are asked to attach, at once if it had few children, else when it is our turn;
//!                  the first is the parent, a second is reserved again
//!                  one fails, or none answers soon: others are tried beside them
//!  parent silent:  the same, but the first counts only if the parent has said nothing before it
//! ```
//! A standby is a signed reservation, not a connection. It is also a second pair of eyes: it confirms
//! that a name is absent, and tells whether our own names are where the parent says that they are.
//!
//! Source: DESIGN §5, DETAILS *Links*. *Not here*: the parent's side of a reservation (`children`).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::Rng as _;

use super::requests::{Outcome, Purpose};
use super::room::Room;
use super::{Overlay, Timer};
use crate::api::Parent;
use crate::group::{Group, Width};
use crate::key::PeerId;
use crate::limits::{
    ATTACHMENT_LIFE, FAIL_OVER_SPREAD, RESERVATION_LIFE_MAX, RESERVE_TIMEOUT, SILENCE_AGAIN, SILENCE_MIN,
    STANDBY_PASS_OVER, STANDBY_PATIENCE, STANDBY_RETRY, STANDBY_WAIT, STANDBYS,
};
use crate::map::Contact;
use crate::network::Scope;
use crate::sign::Tag;
use crate::sorted::SortedMap;
use crate::time::Instant;
use crate::wire::Message;

#[derive(Debug, Default)]
pub(super) struct Standbys {
    kept: Vec<Kept>,
    /// Reservations that were asked for.
    asked: SortedMap<PeerId, Sought>,
    /// Not to be asked before.
    passed_over: SortedMap<PeerId, Instant>,
    /// Asked to be our parent.
    failing_over: BTreeSet<PeerId>,
    /// When they are: many children that lost one parent don't knock in the same instant.
    begin: Option<Instant>,
    /// Until then nobody else is asked, unless one of them fails.
    relied_on: Option<Instant>,
    wake: Option<Instant>,
    /// There has been one since we attached.
    stood_by: bool,
    /// When the parent's silence is judged next.
    listening: Option<Instant>,
    /// The parent was silent, and the standbys have been asked, at this instant.
    silent_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    peer: PeerId,
    life: Duration,
    renew: Instant,
    until: Instant,
}

/// A reservation that was asked for.
#[derive(Debug)]
struct Sought {
    /// What both sides sign.
    message: Vec<u8>,
    life: Duration,
}

impl Standbys {
    pub(super) fn give_room_back(&mut self) {
        self.failing_over.give_back();
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.kept.iter().map(|kept| kept.peer)
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether a reservation has been asked for that is not there yet.
    pub(super) fn are_sought(&self) -> bool {
        !self.asked.is_empty()
    }

    fn drop(&mut self, peer: &PeerId) {
        self.kept.retain(|kept| kept.peer != *peer);
    }
}

impl Overlay {
    pub(super) fn standby_status(&self) -> Vec<Parent> {
        self.standbys.peers().map(|peer| self.as_parent(peer)).collect()
    }

    /// There is a new parent: it is no standby any more, and others are wanted.
    pub(super) fn stand_by(&mut self, parent: &PeerId) {
        self.standbys.drop(parent);
        self.standbys.silent_since = None;
        let wait = self.jittered(STANDBY_WAIT);
        self.wake_standbys(wait);
    }

    /// We are a superpeer, or leave.
    pub(super) fn end_standbys(&mut self) {
        let standbys = core::mem::take(&mut self.standbys);
        let timers = [
            (standbys.wake, Timer::Standby),
            (standbys.listening, Timer::Silence),
            (standbys.begin, Timer::FailOver),
        ];
        for (at, timer) in timers {
            if let Some(at) = at {
                self.cancel(at, timer);
            }
        }
    }

    fn wake_standbys(&mut self, wait: Duration) {
        if let Some(at) = self.standbys.wake.take() {
            self.cancel(at, Timer::Standby);
        }
        self.standbys.wake = Some(self.set_timer(wait, Timer::Standby));
    }

    /// Renews what is due and looks for those that are missing.
    pub(super) fn standbys_due(&mut self) {
        if let Some(at) = self.standbys.wake.take() {
            self.cancel(at, Timer::Standby);
        }
        let now = self.now.instant;
        if self.attaching.parent().is_none() || self.attaching.is_leaving() {
            return;
        }
        self.standbys.kept.retain(|kept| kept.until > now);
        self.standbys.passed_over.retain(|_, until| *until > now);
        let due: Vec<PeerId> =
            self.standbys.kept.iter().filter(|kept| kept.renew <= now).map(|kept| kept.peer).collect();
        for peer in due {
            self.ask_to_reserve(peer);
        }
        let asked = self.standbys.asked.keys().filter(|peer| !self.is_standby(peer)).count();
        let missing = STANDBYS.saturating_sub(self.standbys.len() + asked);
        for _ in 0..missing {
            if let Some(peer) = self.next_standby() {
                self.ask_to_reserve(peer);
            }
        }
        let renew = self.standbys.kept.iter().map(|kept| kept.renew.since(now)).min();
        let short = self.standbys.len() < STANDBYS;
        let retry = short.then(|| self.jittered(STANDBY_RETRY));
        let wait = renew.into_iter().chain(retry).min().unwrap_or(STANDBY_RETRY).max(Duration::from_secs(1));
        self.wake_standbys(wait);
    }

    /// There is none, and somebody waits for one: nobody is passed over.
    pub(super) fn seek_standbys_again(&mut self) {
        self.standbys.passed_over = SortedMap::new();
        self.standbys_due();
    }

    fn is_standby(&self, peer: &PeerId) -> bool {
        self.standbys.peers().any(|kept| kept == *peer)
    }

    /// Somebody in another address group than the parent and the other standby, linked ones first, else
    /// anybody; last whom only our disk knows.
    fn next_standby(&mut self) -> Option<PeerId> {
        let mut others: Vec<PeerId> = self.standbys.peers().collect();
        others.extend(self.standbys.asked.keys().copied().chain(self.attaching.parent()));
        let groups: BTreeSet<Group> = others.iter().filter_map(|peer| self.group(peer)).collect();
        let free = |peer: &PeerId| {
            *peer != self.me && !others.contains(peer) && !self.standbys.passed_over.contains_key(peer)
        };
        let open = self.map.iter().filter(|contact| free(&contact.peer()));
        let rank = |contact: &Contact| {
            let peer = contact.peer();
            let near = self.group(&peer).is_some_and(|group| groups.contains(&group));
            (contact.is_of_the_past(), near, self.links.to(&peer).is_none())
        };
        let ranked: Vec<_> = open.map(|contact| (rank(contact), contact.peer())).collect();
        let best = ranked.iter().map(|(rank, _)| *rank).min()?;
        let best: Vec<PeerId> =
            ranked.into_iter().filter(|(rank, _)| *rank == best).map(|(_, peer)| peer).collect();
        let index = self.pick(best.len());
        best.get(index).copied()
    }

    /// The narrow address group of a superpeer, where groups matter.
    fn group(&self, peer: &PeerId) -> Option<Group> {
        if self.network.scope == Scope::Local {
            return None;
        }
        Group::of(self.map.contact(peer)?.hint().addresses.first()?, Width::Narrow)
    }

    pub(super) fn ask_to_reserve(&mut self, peer: PeerId) {
        if !self.standbys.asked.contains_key(&peer) {
            // Who has kept it is asked for twice as long.
            let kept = self.standbys.kept.iter().find(|kept| kept.peer == peer);
            let life = kept.map_or(ATTACHMENT_LIFE, |kept| (kept.life * 2).min(RESERVATION_LIFE_MAX));
            let (reserve, message) = self.sign_attachment(peer, Tag::Reservation, life);
            self.standbys.asked.insert(peer, Sought { message, life });
            self.ask(peer, Message::Reserve(reserve), Purpose::Reserve, RESERVE_TIMEOUT);
        }
    }

    pub(super) fn reserve_heard(&mut self, peer: PeerId, outcome: Outcome) {
        let Some(Sought { message, life }) = self.standbys.asked.remove(&peer) else { return };
        self.standbys.drop(&peer);
        if self.is_superpeer() || self.attaching.is_parent(&peer) {
            return;
        }
        match outcome {
            Outcome::Answer(Message::Reserved(reserved))
                if self.is_signed_by(&peer, &message, &reserved.signature) =>
            {
                let now = self.now.instant;
                let (renew, until) = (now + life / 2, now + life);
                // Those that turned up on the way are one more than needed at most.
                self.standbys.kept.insert(0, Kept { peer, life, renew, until });
                self.standbys.kept.truncate(STANDBYS);
                self.standbys.stood_by = true;
                self.check_beside(peer);
            }
            Outcome::Refused(refused) => {
                self.learn_candidates(&peer, &refused);
                self.pass_over_standby(peer);
            }
            Outcome::Answer(_) | Outcome::Silent | Outcome::Unreachable => self.pass_over_standby(peer),
        }
        if self.standbys.len() < STANDBYS {
            // The next candidate at once; if there is none, after a while.
            self.standbys_due();
        }
        self.claims_go_on();
    }

    /// A standby is of no use: another one is looked for.
    pub(super) fn standby_failed(&mut self, peer: PeerId) {
        self.standbys.drop(&peer);
        self.pass_over_standby(peer);
        if self.attaching.parent().is_some() {
            let wait = self.jittered(STANDBY_WAIT);
            self.wake_standbys(wait);
        }
    }

    /// Whether the parent's word needs a standby's: also if there is none at the moment, unless we know of
    /// nobody else.
    pub(super) fn has_stood_by(&self) -> bool {
        let alone = || self.map.iter().all(|contact| self.attaching.is_parent(&contact.peer()));
        self.standbys.stood_by && !(self.standbys.kept.is_empty() && alone())
    }

    pub(super) fn pass_over_standby(&mut self, peer: PeerId) {
        self.standbys.passed_over.insert(peer, self.now.instant + STANDBY_PASS_OVER);
    }

    // ---- Fail-over ---------------------------------------------------------------------------

    pub(super) fn is_failing_over(&self) -> bool {
        !self.standbys.failing_over.is_empty()
    }

    pub(super) fn is_asked_to_take_over(&self, peer: &PeerId) -> bool {
        self.standbys.failing_over.contains(peer)
    }

    /// Whether the standbys may still be all that is needed: none has failed, and there was no time yet.
    pub(super) fn relies_on_standbys(&self) -> bool {
        self.is_failing_over() && self.standbys.relied_on.is_some_and(|until| self.now.instant < until)
    }

    /// The parent is gone, which had this load: the standbys are asked, both at once.
    pub(super) fn fail_over(&mut self, load: u8) {
        self.standbys.silent_since = None;
        if !self.is_failing_over() && !self.is_superpeer() && !self.attaching.is_leaving() {
            let standbys: Vec<PeerId> = self.standbys.peers().collect();
            let wait = self.turn_of_many(load);
            self.standbys.relied_on = Some(self.now.instant + wait + STANDBY_PATIENCE);
            if standbys.is_empty() {
                return;
            }
            self.attach_after(wait + STANDBY_PATIENCE);
            if wait.is_zero() {
                return self.ask_to_take_over(standbys);
            }
            self.standbys.failing_over.extend(standbys);
            self.standbys.begin = Some(self.set_timer(wait, Timer::FailOver));
        }
    }

    /// When it is our turn, if all children of one parent act at the same time.
    fn turn_of_many(&mut self, load: u8) -> Duration {
        let micros = (FAIL_OVER_SPREAD * u32::from(load) / 255).as_micros();
        let turn = u128::from(self.rng.next_u64()).checked_rem(micros).unwrap_or(0);
        Duration::from_micros(u64::try_from(turn).unwrap_or(0))
    }

    /// It is our turn.
    pub(super) fn fail_over_due(&mut self) {
        self.standbys.begin = None;
        let standbys: Vec<PeerId> = core::mem::take(&mut self.standbys.failing_over).into_iter().collect();
        if self.attaching.parent().is_none() && !self.is_superpeer() && !self.attaching.is_leaving() {
            self.ask_to_take_over(standbys);
        }
    }

    fn ask_to_take_over(&mut self, peers: Vec<PeerId>) {
        for peer in peers {
            self.standbys.failing_over.insert(peer);
            self.ask_attachment(peer, Purpose::FailOver);
        }
    }

    pub(super) fn fail_over_heard(&mut self, peer: PeerId, outcome: Outcome) {
        let signed = self.is_attached_by(&peer, &outcome);
        if !self.standbys.failing_over.remove(&peer) || self.is_superpeer() {
            return;
        }
        if !signed {
            if let Outcome::Refused(refused) = &outcome {
                self.learn_candidates(&peer, refused);
            }
            self.standby_failed(peer);
            // The other one may hang.
            self.standbys.relied_on = None;
            return self.attach_if_needed();
        }
        let silent = self.attaching.parent().zip(self.standbys.silent_since);
        match silent {
            Some((parent, since)) if !self.links.heard_since(&parent, since) => {
                self.counters.failovers += 1;
                self.pass_over_standby(parent);
                self.move_to_parent(peer);
            }
            _ if self.attaching.parent().is_none() => {
                self.counters.failovers += 1;
                self.attached(peer);
            }
            // Another one was faster, or the parent speaks after all: a place is enough.
            Some(_) | None => self.ask_to_reserve(peer),
        }
    }

    // ---- The parent's silence ----------------------------------------------------------------

    /// Something was asked of `peer`: if it is the parent, it has to be heard soon.
    pub(super) fn listen_to(&mut self, peer: &PeerId) {
        if self.standbys.listening.is_none() && self.attaching.is_parent(peer) {
            let at = self.set_timer(self.parent_patience(peer), Timer::Silence);
            self.standbys.listening = Some(at);
        }
    }

    /// `peer` has answered: if nothing else was asked of it there is no silence to be judged.
    pub(super) fn heard_in_time(&mut self, peer: &PeerId) {
        if self.standbys.listening.is_some()
            && self.attaching.is_parent(peer)
            && self.oldest_request_to(peer).is_none()
            && let Some(at) = self.standbys.listening.take()
        {
            self.cancel(at, Timer::Silence);
        }
    }

    fn parent_patience(&self, parent: &PeerId) -> Duration {
        self.links.round_trip(parent).map_or(SILENCE_MIN, |known| (known.smoothed * 4).max(SILENCE_MIN))
    }

    /// Judges the silence; asks the standbys too if it is too long.
    pub(super) fn silence_due(&mut self) {
        self.standbys.listening = None;
        let Some(parent) = self.attaching.parent() else { return };
        let Some(asked) = self.oldest_request_to(&parent) else { return };
        let (now, patience) = (self.now.instant, self.parent_patience(&parent));
        let heard = self.links.unheard(&parent, now).unwrap_or_default();
        let silent = now.since(asked).min(heard);
        let mut wait = patience.saturating_sub(silent);
        if wait.is_zero() {
            wait = SILENCE_AGAIN;
            if !self.is_failing_over() {
                self.counters.parents_silent += 1;
                self.standbys.silent_since = Some(now);
                let mut standbys: Vec<PeerId> = self.standbys.peers().collect();
                if standbys.is_empty() {
                    standbys = self.candidates(STANDBYS);
                }
                self.ask_to_take_over(standbys);
            }
        }
        self.standbys.listening = Some(self.set_timer(wait, Timer::Silence));
    }
}
