//! A child's way to its parent.
//!
//! ```text
//!  detached ──dial three──▶ probing ──the best──▶ asking ──signed by both──▶ attached
//!      ▲                       ▲   30 ms after      │ Busy, silent:            │ renew at half
//!      │                       │   the first is up  ▼ the next best            │
//!      │                       └──── none left ─────┘        parent lost ──────┤
//!      └── wait, jittered ◀── nobody left to try                               ▼
//!  attached ◀────────────────── the first that answers ◀───────── both standbys (`standby`)
//! ```
//! Whom: the anchors of the last run, then whom a full parent named, then who is linked, then any, in
//! random order; who refused is passed over until everyone has. The best of those that are up has the
//! least `(round trip + 1 ms) × (1 + 4 · load) × chance × youth`, where those have less youth that were
//! chosen in the last run, and those that have worked for us for long (`contacts`).
//!
//! Source: DESIGN §5; the three candidates and the 30 ms are guesses. *Not here*: standbys.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::requests::{Outcome, Purpose};
use super::room::Room;
use super::{Overlay, Timer};
use crate::api::{Notice, Parent};
use crate::cbor::Blob;
use crate::key::PeerId;
use crate::limits::{
    ATTACH_RETRY, ATTACH_RETRY_MAX, ATTACHMENT_LIFE, DOUBLINGS_MAX, HINTS_PER_ANSWER_MAX, PARENT_FAULTS_MAX,
    PROBE_GIVE_UP, PROBE_WAIT, PROBES, REQUEST_TIMEOUT, STANDBY_RETRY,
};
use crate::sign::{Signature, Tag, to_sign};
use crate::sorted::SortedMap;
use crate::time::Instant;
use crate::wire::{Attach, AttachmentBody, Message, Reason, Refused};

#[derive(Debug, Default)]
pub(super) struct Attaching {
    parent: Option<PeerId>,
    /// Since when it has been the parent.
    since: Instant,
    asking: Option<PeerId>,
    /// Attachments that were asked for, also of standbys: what both sides sign.
    asked: SortedMap<PeerId, Vec<u8>>,
    probing: Option<Probing>,
    /// Those of the last probe that were up and have not been asked, the best last.
    next_best: Vec<PeerId>,
    /// Named by a parent that had no place.
    named: Vec<PeerId>,
    passed_over: BTreeSet<PeerId>,
    failures: u32,
    /// Faults of the parent in a row.
    faults: u8,
    /// The parent had no place any more, and others were asked.
    moves_on: bool,
    /// Whom to ask after the one that is asked to attach instead of the parent, the next one last.
    instead: Vec<PeerId>,
    wake: Option<Instant>,
    leaving: bool,
}

/// Candidates that are being dialled and measured.
#[derive(Debug)]
struct Probing {
    candidates: Vec<PeerId>,
    /// The wait for the others has begun: the first is up.
    first_up: bool,
    ends: Instant,
}

impl Attaching {
    pub(super) fn give_room_back(&mut self) {
        self.passed_over.give_back();
    }

    pub(super) fn parent(&self) -> Option<PeerId> {
        self.parent
    }

    pub(super) fn is_parent(&self, peer: &PeerId) -> bool {
        self.parent == Some(*peer)
    }

    /// Since when we have had the parent, if nobody else is asked at the moment.
    pub(super) fn settled_since(&self) -> Option<Instant> {
        (self.parent.is_some() && self.asking.is_none()).then_some(self.since)
    }

    /// We are shutting down.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// No more parents: we are shutting down.
    pub(super) fn stop(&mut self) {
        self.leaving = true;
    }
}

impl Overlay {
    /// A child without a parent looks for one now.
    pub(super) fn attach_if_needed(&mut self) {
        let Attaching { parent, asking, leaving, ref probing, .. } = self.attaching;
        let idle = parent.is_none() && asking.is_none() && probing.is_none() && !self.relies_on_standbys();
        if self.is_superpeer() || !idle || leaving {
            return;
        }
        let candidates = self.candidates(PROBES);
        if candidates.is_empty() {
            self.attaching.passed_over.clear();
            return self.attach_later();
        }
        self.probe(candidates);
    }

    /// Superpeers that were not tried yet, those of whom most is known first; when there are too few, also such
    /// as failed us before: of those that are left all may be dead, and they may have started again.
    pub(super) fn candidates(&mut self, count: usize) -> Vec<PeerId> {
        let peers = self.map.iter().map(crate::map::Contact::peer);
        // Who was named is there by somebody's word who has a link to it, also if it failed us before.
        let named = self.attaching.named.iter().copied().filter(|peer| self.map.is_gone(peer));
        let mut open: Vec<PeerId> = peers.chain(named).filter(|peer| self.may_ask(peer)).collect();
        if open.len() < count {
            let buried = self.map.buried(self.now.instant).filter(|peer| !open.contains(peer));
            let buried: Vec<PeerId> = buried.filter(|peer| self.may_ask(peer)).collect();
            open.extend(buried);
        }
        for index in (1..open.len()).rev() {
            let other = self.pick(index + 1);
            open.swap(index, other);
        }
        let rank = |peer: &PeerId| {
            let anchor = self.anchors.contains(peer);
            let named = self.attaching.named.contains(peer);
            (self.map.is_gone(peer) && !named, !anchor, !named, self.links.to(peer).is_none())
        };
        open.sort_by_cached_key(rank);
        open.truncate(count);
        open
    }

    pub(super) fn may_ask(&self, peer: &PeerId) -> bool {
        *peer != self.me
            && !self.attaching.is_parent(peer)
            && !self.attaching.passed_over.contains(peer)
            && !self.is_asked_to_take_over(peer)
    }

    /// Dials and measures the candidates; a single one is asked as soon as may be.
    fn probe(&mut self, candidates: Vec<PeerId>) {
        if let [only] = candidates[..] {
            return self.ask_to_attach(only);
        }
        let mut dialled = Vec::new();
        for peer in candidates {
            let may_come = match self.links.to(&peer) {
                Some(link) => {
                    if self.links.round_trip(&peer).is_none() {
                        self.say_hello(link, peer);
                    }
                    true
                }
                None => self.dial(peer),
            };
            if may_come {
                dialled.push(peer);
            } else {
                self.attaching.passed_over.insert(peer);
            }
        }
        let ends = self.set_timer(PROBE_GIVE_UP, Timer::Probe);
        self.attaching.probing = Some(Probing { candidates: dialled, first_up: false, ends });
        self.judge_probe();
    }

    /// A link to a peer is up: if we look for a parent, it is one to measure.
    pub(super) fn probe_up(&mut self, peer: &PeerId) {
        let probed = self.attaching.probing.as_ref().is_some_and(|probing| probing.candidates.contains(peer));
        if let (true, Some(link)) = (probed, self.links.to(peer)) {
            self.say_hello(link, *peer);
            self.judge_probe();
        }
    }

    /// A candidate has been measured, or can't be reached.
    pub(super) fn probe_told(&mut self, peer: &PeerId, reachable: bool) {
        let Some(probing) = &mut self.attaching.probing else { return };
        if !reachable && probing.candidates.contains(peer) {
            probing.candidates.retain(|candidate| candidate != peer);
            self.attaching.passed_over.insert(*peer);
        }
        self.judge_probe();
    }

    /// Waits a little for the others once the first is up; ends when all are measured.
    fn judge_probe(&mut self) {
        let Some(probing) = &mut self.attaching.probing else { return };
        let links = &self.links;
        let measured = |peer: &PeerId| links.to(peer).is_some() && links.round_trip(peer).is_some();
        let up = probing.candidates.iter().filter(|peer| links.to(peer).is_some()).count();
        if probing.candidates.iter().all(measured) {
            return self.probe_over();
        }
        if up > 0 && !probing.first_up {
            probing.first_up = true;
            let former = core::mem::replace(&mut probing.ends, self.now.instant + PROBE_WAIT);
            self.cancel(former, Timer::Probe);
            self.set_timer(PROBE_WAIT, Timer::Probe);
        }
    }

    /// Long enough: the best of those that are up is asked.
    pub(super) fn probe_over(&mut self) {
        let Some(probing) = self.attaching.probing.take() else { return };
        self.cancel(probing.ends, Timer::Probe);
        let (up, down): (Vec<PeerId>, Vec<PeerId>) =
            probing.candidates.into_iter().partition(|peer| self.links.to(peer).is_some());
        if up.is_empty() {
            self.attaching.passed_over.extend(down);
            return self.attach_if_needed();
        }
        let mut scored: Vec<(u128, PeerId)> = up.into_iter().map(|peer| (self.score(&peer), peer)).collect();
        scored.sort_unstable_by(|a, b| b.cmp(a));
        self.attaching.next_best = scored.into_iter().map(|(_, peer)| peer).collect();
        self.ask_next_best();
    }

    fn ask_next_best(&mut self) {
        while let Some(peer) = self.attaching.next_best.pop() {
            if self.links.to(&peer).is_some() && self.may_ask(&peer) {
                return self.ask_to_attach(peer);
            }
        }
        self.attach_if_needed();
    }

    /// Less is better. Chance keeps many children from choosing alike.
    fn score(&mut self, peer: &PeerId) -> u128 {
        let measured = self.links.round_trip(peer).map(|known| known.smoothed);
        // Its answer is on its way, so it takes at least as long as it has waited.
        let trip = measured.unwrap_or_else(|| self.links.age(peer, self.now.instant) + PROBE_WAIT);
        let load = self.links.greeting(peer).map_or(0, |greeting| greeting.load);
        let chance = 75 + self.pick(51) as u128;
        (trip.as_micros() + 1_000) * (255 + 4 * u128::from(load)) * chance * self.youth(peer)
    }

    /// In hundredths: less for an anchor, and with each doubling of the time that a superpeer has worked for
    /// us, from a minute to most of a day.
    fn youth(&self, peer: &PeerId) -> u128 {
        let minutes = self.age_of(peer).as_secs() / 60;
        let doublings = (minutes + 1).ilog2().min(DOUBLINGS_MAX);
        let anchor = if self.anchors.contains(peer) { 10 } else { 0 };
        100 - anchor - 2 * u128::from(doublings)
    }

    /// An attachment or reservation with `parent`, signed by us, and what the parent is to sign.
    pub(super) fn sign_attachment(&self, parent: PeerId, tag: Tag, life: Duration) -> (Attach, Vec<u8>) {
        let secs = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
        let body = AttachmentBody { parent, child: self.me, from: self.now.unix.as_secs(), secs };
        let body = body.to_bytes();
        let message = to_sign(tag, &self.network.id, &body);
        let signature = self.node.sign(&message);
        let volunteers = self.promoting.volunteers();
        (Attach { body: Blob(body), signature, voucher: None, volunteers }, message)
    }

    fn ask_to_attach(&mut self, peer: PeerId) {
        self.attaching.asking = Some(peer);
        self.ask_attachment(peer, Purpose::Attach);
    }

    pub(super) fn ask_attachment(&mut self, peer: PeerId, purpose: Purpose) {
        let (mut attach, message) = self.sign_attachment(peer, Tag::Attachment, ATTACHMENT_LIFE);
        if !self.attaching.is_parent(&peer) {
            attach.voucher = self.voucher(&peer);
        }
        self.attaching.asked.insert(peer, message);
        self.ask(peer, Message::Attach(attach), purpose, REQUEST_TIMEOUT);
    }

    /// Whether the peer signed the attachment that it was asked for.
    pub(super) fn is_attached_by(&mut self, peer: &PeerId, outcome: &Outcome) -> bool {
        let Some(message) = self.attaching.asked.remove(peer) else { return false };
        match outcome {
            Outcome::Answer(Message::Attached(attached)) => {
                self.is_signed_by(peer, &message, &attached.signature)
            }
            Outcome::Answer(_) | Outcome::Refused(_) | Outcome::Silent | Outcome::Unreachable => false,
        }
    }

    pub(super) fn is_signed_by(&mut self, peer: &PeerId, message: &[u8], signature: &Signature) -> bool {
        self.counters.verifications += 1;
        self.verifier.verify(&peer.as_public_key(), message, signature)
    }

    fn attach_later(&mut self) {
        let doubled = ATTACH_RETRY * 2u32.saturating_pow(self.attaching.failures.min(10));
        let wait = self.jittered(doubled.min(ATTACH_RETRY_MAX));
        self.attaching.failures = self.attaching.failures.saturating_add(1);
        self.set_attach_timer(wait);
    }

    /// Looks for a parent after a while, if there is none by then.
    pub(super) fn attach_after(&mut self, wait: Duration) {
        self.set_attach_timer(wait);
    }

    fn set_attach_timer(&mut self, wait: Duration) {
        if let Some(at) = self.attaching.wake.take() {
            self.cancel(at, Timer::Attach);
        }
        let at = self.set_timer(wait, Timer::Attach);
        self.attaching.wake = Some(at);
    }

    pub(super) fn attach_due(&mut self) {
        self.attaching.wake = None;
        match self.attaching.parent {
            Some(parent) if self.attaching.asking.is_none() => self.ask_to_attach(parent),
            Some(_) => {}
            None => self.attach_if_needed(),
        }
    }

    pub(super) fn attach_heard(&mut self, peer: PeerId, outcome: Outcome) {
        let signed = self.is_attached_by(&peer, &outcome);
        if self.attaching.asking.take_if(|asked| *asked == peer).is_none() || self.is_superpeer() {
            return;
        }
        if signed {
            return match self.attaching.parent {
                Some(parent) if parent != peer => self.ask_to_reserve(peer),
                Some(_) | None => self.attached(peer),
            };
        }
        let mut busy = false;
        if let Outcome::Refused(refused) = &outcome {
            self.learn_candidates(&peer, refused);
            busy = Reason::from_wire(refused.reason) == Reason::Busy;
        }
        if busy && self.attaching.is_parent(&peer) && self.moves_on() {
            return;
        }
        self.attaching.passed_over.insert(peer);
        if self.attaching.is_parent(&peer) {
            // The renewal failed: it is no parent any more.
            self.parent_lost(&peer);
        } else if self.attaching.parent.is_none() {
            self.ask_next_best();
        }
    }

    /// The parent has no place for us any more, as a login server has none once others are there. Our attachment runs
    /// on for a while: the standbys are asked first, then whom it named. Whether one is; once, then the parent counts
    /// as lost.
    fn moves_on(&mut self) -> bool {
        if core::mem::replace(&mut self.attaching.moves_on, true) {
            return false;
        }
        let mut others: Vec<PeerId> = self.standbys.peers().collect();
        let named = self.attaching.named.iter().filter(|peer| !others.contains(peer)).copied();
        others.extend(named.collect::<Vec<_>>());
        others.reverse();
        self.attaching.instead = others;
        if !self.ask_next_instead() {
            return false;
        }
        let wait = self.jittered(STANDBY_RETRY);
        self.set_attach_timer(wait);
        true
    }

    /// One of these is asked to attach instead of the parent, and the next one if it does not.
    pub(super) fn ask_instead(&mut self, mut peers: Vec<PeerId>) {
        peers.reverse();
        self.attaching.instead = peers;
        self.ask_next_instead();
    }

    /// The next one is asked, as long as there is a parent to leave; whether there is one.
    pub(super) fn ask_next_instead(&mut self) -> bool {
        let idle = !self.is_failing_over() && !self.is_superpeer() && !self.attaching.leaving;
        while self.attaching.parent.is_some()
            && idle
            && let Some(peer) = self.attaching.instead.pop()
        {
            if self.may_ask(&peer) {
                self.ask_attachment(peer, Purpose::Elsewhere);
                return true;
            }
        }
        false
    }

    pub(super) fn attached(&mut self, peer: PeerId) {
        let renewed = self.attaching.is_parent(&peer);
        let former = self.attaching.parent.replace(peer);
        former.into_iter().chain([peer]).for_each(|peer| self.not_needed(&peer));
        (self.attaching.failures, self.attaching.moves_on) = (0, false);
        if !renewed {
            (self.attaching.faults, self.attaching.since) = (0, self.now.instant);
        }
        self.attaching.passed_over.clear();
        self.attaching.named.clear();
        self.attaching.next_best.clear();
        self.attaching.instead.clear();
        if let Some(probing) = self.attaching.probing.take() {
            self.cancel(probing.ends, Timer::Probe);
        }
        let wait = self.next_renewal();
        self.set_attach_timer(wait);
        if renewed {
            return;
        }
        if let Some(link) = self.links.to(&peer) {
            self.say_hello(link, peer);
        }
        self.counters.attachments += 1;
        self.notice(Notice::Attached(peer));
        // Before what waits for the disk.
        self.resolve_waiting();
        self.watch_again();
        self.publish_all();
        self.stand_by(&peer);
    }

    /// Another one is the parent from now on; what the old one was asked for goes to the new one.
    pub(super) fn move_to_parent(&mut self, peer: PeerId) {
        let Some(old) = self.attaching.parent else { return self.attached(peer) };
        self.lose_parent(old);
        self.attaching.asking.take_if(|asked| *asked == old);
        self.attached(peer);
        self.abandon(&old);
        if let Some(link) = self.links.to(&old) {
            self.close(link);
        }
    }

    /// A peer is of no use any more: if it was the parent, a standby takes its place, or any other.
    pub(super) fn parent_lost(&mut self, peer: &PeerId) {
        let load = self.links.greeting(peer).map_or(0, |greeting| greeting.load);
        self.parent_lost_under(peer, load);
    }

    /// As [`Self::parent_lost`], of one that had this load.
    pub(super) fn parent_lost_under(&mut self, peer: &PeerId, load: u8) {
        if self.attaching.is_parent(peer) {
            self.lose_parent(*peer);
            self.attaching.asking.take_if(|asked| asked == peer);
            self.attaching.passed_over.insert(*peer);
            self.fail_over(load);
            self.attach_if_needed();
        }
    }

    /// The parent is heard but of no use, or does not tell the truth: after some of that in a row it is
    /// left as if it were gone.
    pub(super) fn parent_at_fault(&mut self) {
        let Some(parent) = self.attaching.parent else { return };
        self.attaching.faults += 1;
        if self.attaching.faults >= PARENT_FAULTS_MAX {
            self.counters.parents_left += 1;
            self.pass_over_standby(parent);
            self.parent_lost(&parent);
            self.abandon(&parent);
            if let Some(link) = self.links.to(&parent) {
                self.close(link);
            }
        }
    }

    /// The parent has done what it is for.
    pub(super) fn parent_is_fine(&mut self) {
        self.attaching.faults = 0;
    }

    /// The parent says that it is none: it may know another.
    pub(super) fn disowned(&mut self, peer: &PeerId, refused: &Refused) {
        self.learn_candidates(peer, refused);
        self.parent_lost(peer);
    }

    pub(super) fn learn_candidates(&mut self, teller: &PeerId, refused: &Refused) {
        for hint in refused.candidates.iter().take(HINTS_PER_ANSWER_MAX) {
            let peer = hint.peer();
            let there = self.learn_told(*teller, hint).is_some() || self.map.is_gone(&peer);
            if there && !self.attaching.named.contains(&peer) {
                self.attaching.named.push(peer);
            }
        }
        let old = self.attaching.named.len().saturating_sub(HINTS_PER_ANSWER_MAX);
        self.attaching.named.drain(..old);
    }

    fn lose_parent(&mut self, peer: PeerId) {
        self.attaching.parent = None;
        self.counters.parents_lost += 1;
        self.notice(Notice::Detached(peer));
    }

    /// We are a superpeer now: the parent is not needed any more.
    pub(super) fn detach(&mut self) {
        self.attaching = Attaching { leaving: self.attaching.leaving, ..Attaching::default() };
        self.end_standbys();
    }

    pub(super) fn parent_status(&self) -> Option<Parent> {
        Some(self.as_parent(self.attaching.parent?))
    }

    pub(super) fn as_parent(&self, peer: PeerId) -> Parent {
        let contact = self.map.contact(&peer);
        let round_trip = self.links.round_trip(&peer).map(|known| known.smoothed);
        let address = contact.and_then(|known| known.hint().addresses.first().copied());
        Parent { peer, address, round_trip }
    }
}
