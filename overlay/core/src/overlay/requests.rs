//! Requests of ours: sent, answered, timed out, sent again on another link.
//!
//! Every request ends exactly once, in an [`Outcome`] handed to the part that asked. A peer without an
//! open link is dialled first. *Not here*: what an answer means.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::room::Room;
use super::{Overlay, Timer};
use crate::api::{Address, DialEnd, Effect, LinkId, Transport};
use crate::key::{Key, PeerId};
use crate::limits::{IN_FLIGHT_MAX, PUT_OFF_MAX, PUT_OFF_WAIT_MAX, REQUEST_TIMEOUT, UNVERIFIED_DIALS_MAX};
use crate::lookup::Goal;
use crate::map::{Cause, Contact};
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Instant;
use crate::wire::{Frame, Message, Reason, Refused};

/// Which part of the overlay asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Walk(u64),
    /// The start of a path of a walk was asked whom it knows.
    Path(u64),
    Put(u64),
    Attach,
    Register(Key, u64),
    Resolve(u64),
    Hello,
    /// A standby was asked for a place.
    Reserve,
    /// A standby was asked to take us for its child, since the parent is gone or silent.
    FailOver,
    /// Another superpeer that the parent named was asked to take us for its child.
    Elsewhere,
    /// A standby was asked whether a name is absent: of this local look-up.
    Confirm(u64),
    /// A standby was asked for an own name, to see what the parent is worth.
    SelfCheck(Key),
    /// Of a watch on a key.
    Watch(Key),
    /// A question for presence that is passed on, or a local one.
    Presence(u64),
    /// Of a hand-over or repair under way.
    Moving(u64),
    /// A superpeer was asked for its map.
    Survey,
    /// A storer gets what it lacked in a look-up.
    Mend,
    /// Superpeers that somebody named.
    Who,
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Answer(Message),
    Refused(Refused),
    /// Nothing came in time; the peer may be alive.
    Silent,
    /// No address of the peer answers, or its link ended and it can't be dialled.
    Unreachable,
}

#[derive(Debug)]
struct Pending {
    link: Option<LinkId>,
    message: Message,
    purpose: Purpose,
    sent: Instant,
    deadline: Instant,
    /// Its deadline is over once; it is heard until [`REQUEST_TIMEOUT`] all the same.
    late: bool,
    /// The peer has no time: it is sent again at its deadline.
    again: bool,
    /// How often it has been put off.
    put_off: u8,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Boxed: a tree keeps room for eleven, and most peers have one or none.
    pending: BTreeMap<Asked, Box<Pending>>,
    dialling: SortedSet<PeerId>,
    /// Where, until the dial ends; nothing of two at once to different addresses.
    dialled_at: SortedMap<PeerId, Vec<Address>>,
    /// Of those, the ones at an address that nobody has answered at.
    strangers: SortedSet<PeerId>,
    /// How many dials have failed since one succeeded.
    failed_in_a_row: usize,
    unsendable: Vec<Asked>,
    crowded_out: Vec<Asked>,
}

/// Between superpeers where a look-up waits for one answer, and of who can't reach anybody otherwise. Source: DETAILS
/// *Links* (specification); docs/decisions.md, 2026-11-23.
const HURRIED_DIALS: &[Transport] = &[Transport::Quic, Transport::Tcp];

/// Where nobody waits, or for many: they cost more then than the two round trips are worth. Source: baselines.md
/// (*measured*: 1,895 bytes over TCP, 18,611 over QUIC).
const UNHURRIED_DIALS: &[Transport] = &[Transport::Tcp, Transport::Quic];

/// Of who is probably gone: in vain QUIC costs twenty times as much. Source: RFC 9000 §14.1 (*specification*: packets of
/// 1,200 bytes, five within 5 s).
const CHEAP_DIALS: &[Transport] = &[Transport::Tcp];

/// Who has no link is alone after so many dials that failed one after the other. *Guess*: two rounds of probes.
const ALONE_AFTER: usize = 6;

/// A request: whom, and its id.
type Asked = (PeerId, u64);

/// What became of the wish to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialled {
    Begun,
    /// Nobody has answered at its address yet, and too many of those have been dialled lately.
    TooMany,
    /// No address is known.
    Nowhere,
}

impl Requests {
    /// Whether there is no room for another request.
    pub(super) fn is_crowded(&self) -> bool {
        self.pending.len() >= IN_FLIGHT_MAX
    }

    pub(super) fn give_room_back(&mut self) {
        self.pending.give_back();
    }

    pub(super) fn is_dialling(&self, peer: &PeerId) -> bool {
        self.dialling.contains(peer)
    }

    pub(super) fn dials(&self) -> usize {
        self.dialling.len()
    }

    /// A dial has ended: where it went, as far as that is known.
    pub(super) fn take_dialled_at(&mut self, peer: &PeerId) -> Vec<Address> {
        self.dialled_at.remove(peer).unwrap_or_default()
    }

    fn note_dialled_at(&mut self, peer: PeerId, addresses: &[Address]) {
        let at = self.dialled_at.or_insert_with(peer, || addresses.to_vec());
        if at != addresses {
            at.clear();
        }
    }

    pub(super) fn has_any(&self, peer: &PeerId) -> bool {
        self.of(peer).next().is_some()
    }

    fn of(&self, peer: &PeerId) -> impl Iterator<Item = Asked> {
        self.pending.range((*peer, 0)..=(*peer, u64::MAX)).map(|(asked, _)| *asked)
    }
}

impl Overlay {
    /// Asks `peer`; the end comes to `purpose`.
    pub(super) fn ask(&mut self, peer: PeerId, message: Message, purpose: Purpose, timeout: Duration) {
        let id = self.number();
        let deadline = self.set_timer(timeout, Timer::Request(peer, id));
        self.count_asked(&message);
        let crowded = self.requests.is_crowded();
        let link = if crowded { None } else { self.links.to(&peer) };
        let (sent, late, again, put_off) = (self.now.instant, false, false, 0);
        if let Some(link) = link {
            self.send(link, id, message.clone());
        }
        let pending = Pending { link, message, purpose, sent, deadline, late, again, put_off };
        self.requests.pending.insert((peer, id), Box::new(pending));
        self.listen_to(&peer);
        if crowded {
            // Our own trouble says nothing of the peer: it counts as silent.
            self.requests.crowded_out.push((peer, id));
        } else if link.is_none() {
            match self.try_dial(peer) {
                Dialled::Begun => {}
                // Nor does our own bound: who would hold a record may be there.
                Dialled::TooMany => self.requests.crowded_out.push((peer, id)),
                Dialled::Nowhere => self.requests.unsendable.push((peer, id)),
            }
        }
    }

    /// Starts a dial for which nobody waits unless one is under way; whether it has begun. Over TCP first: for a ninth of
    /// the bytes, and when the other side's process ends its host says so.
    pub(super) fn dial(&mut self, peer: PeerId) -> bool {
        self.dial_unhurried(peer) == Dialled::Begun
    }

    /// As [`Self::dial`], of one that is gone, and may be back.
    pub(super) fn dial_gone(&mut self, peer: PeerId) -> bool {
        self.dial_by(peer, CHEAP_DIALS) == Dialled::Begun
    }

    /// Whom our disk alone knows is likely gone. Who reaches nobody by that may be in a network that keeps TCP back,
    /// or refuses it in others' names.
    fn dial_unhurried(&mut self, peer: PeerId) -> Dialled {
        let past = self.map.contact(&peer).is_some_and(Contact::is_of_the_past);
        let alone = self.links.peers().next().is_none() && self.requests.failed_in_a_row >= ALONE_AFTER;
        self.dial_by(
            peer,
            if alone {
                HURRIED_DIALS
            } else if past {
                CHEAP_DIALS
            } else {
                UNHURRIED_DIALS
            },
        )
    }

    /// Nothing at all has come from a superpeer for as long as a look-up waits for it. If its process has
    /// ended, its host says so over TCP, long before the link is known to be dead.
    fn knock(&mut self, peer: PeerId) {
        let known = self.is_superpeer() && self.map.contact(&peer).is_some();
        if known {
            self.doubt(peer);
        }
        if known && self.links.knocks(&peer, self.now.instant) {
            // Over QUIC nothing would be heard, for seconds.
            self.dial_by(peer, CHEAP_DIALS);
        }
    }

    /// Dials for a request that waits.
    fn try_dial(&mut self, peer: PeerId) -> Dialled {
        let hurried = self.is_superpeer() && self.requests.of(&peer).any(|asked| self.is_hurried(asked));
        if hurried { self.dial_by(peer, HURRIED_DIALS) } else { self.dial_unhurried(peer) }
    }

    /// Whether a look-up needs just this answer: one that asks more than α needs most of theirs.
    fn is_hurried(&self, asked: Asked) -> bool {
        let Some(Purpose::Walk(id)) = self.requests.pending.get(&asked).map(|pending| pending.purpose) else {
            return false;
        };
        let walk = self.walks.get(&id).map(|run| &run.walk);
        walk.is_some_and(|walk| {
            walk.goal == Goal::Value && walk.requests <= self.network.parameters.alpha as u64
        })
    }

    fn dial_by(&mut self, peer: PeerId, transports: &'static [Transport]) -> Dialled {
        if self.requests.is_dialling(&peer) || self.links.is_greeting(&peer) {
            return Dialled::Begun;
        }
        let Some(addresses) = self.map.addresses(&peer).map(<[_]>::to_vec) else { return Dialled::Nowhere };
        if addresses.is_empty() || peer == self.me {
            return Dialled::Nowhere;
        }
        let stranger = !self.map.contact(&peer).is_some_and(|contact| contact.verified());
        if stranger && !(self.may_dial_stranger() && self.strangers.spend(1, self.now.instant)) {
            self.counters.dials_unverified_refused += 1;
            return Dialled::TooMany;
        }
        if stranger {
            self.requests.strangers.insert(peer);
        }
        self.requests.dialling.insert(peer);
        self.requests.note_dialled_at(peer, &addresses);
        self.out.push(Effect::Dial { peer, addresses, transports });
        Dialled::Begun
    }

    /// Whether one more dial may go to an address that nobody has answered at: hints are not signed by
    /// those whom they make us knock at.
    pub(super) fn may_dial_stranger(&mut self) -> bool {
        self.requests.strangers.len() < UNVERIFIED_DIALS_MAX && self.strangers.has(1, self.now.instant)
    }

    /// A dial has failed. What waited for it goes on without the peer, unless there is a link all the same.
    pub(super) fn dial_failed(&mut self, peer: &PeerId, end: DialEnd) {
        self.counters.dials_failed += 1;
        self.requests.failed_in_a_row = self.requests.failed_in_a_row.saturating_add(1);
        self.requests.take_dialled_at(peer);
        self.contacts.dial_ended(peer);
        if let Some(link) = self.links.to(peer) {
            // A dial that is older than the link may have gone to where the peer was before.
            if end == DialEnd::Silent || !self.links.is_knocked_in_vain(peer) {
                return self.dial_over(peer);
            }
            // Nothing comes on it, and nobody is there any more: it only was not told to end.
            self.close(link);
            if self.links.to(peer).is_some() {
                return self.dial_over(peer);
            }
        }
        self.unreachable(peer, end);
    }

    pub(super) fn unreachable(&mut self, peer: &PeerId, end: DialEnd) {
        let cause = match end {
            DialEnd::Refused => Cause::Refused,
            DialEnd::Silent => Cause::Silent,
        };
        self.superpeer_gone(peer, cause);
        self.dial_ended(peer);
        self.probe_told(peer, false);
    }

    pub(super) fn send(&mut self, link: LinkId, id: u64, message: Message) {
        self.links.sent(link, self.now.instant);
        self.out.push(Effect::Send { link, frame: Frame { id, message } });
    }

    /// An answer has come from `peer`.
    pub(super) fn answered(&mut self, peer: PeerId, frame: Frame) {
        // An answer to nothing (late, or made up) is dropped; another peer can't answer in its place.
        let Some(pending) = self.requests.pending.remove(&(peer, frame.id)) else { return };
        self.cancel(pending.deadline, Timer::Request(peer, frame.id));
        // The answer to a register or resolve waits for others: no measure of the way to this peer.
        let quick = matches!(
            pending.purpose,
            Purpose::Walk(_)
                | Purpose::Path(_)
                | Purpose::Put(_)
                | Purpose::Attach
                | Purpose::FailOver
                | Purpose::Elsewhere
                | Purpose::Reserve
                | Purpose::Hello
                | Purpose::Moving(_)
        );
        let (took, now) = (self.now.instant.since(pending.sent), self.now.instant);
        self.links.answered(&peer, quick.then_some(took));
        if pending.purpose != Purpose::Hello {
            self.links.used(&peer, now);
        }
        let outcome = if let Message::Refused(refused) = frame.message {
            if let Some(wait) = may_wait(&pending, &refused) {
                return self.ask_again((peer, frame.id), pending, wait);
            }
            Outcome::Refused(refused)
        } else {
            Outcome::Answer(frame.message)
        };
        if pending.purpose == Purpose::Hello {
            self.hello_answered(&peer);
        }
        self.heard_in_time(&peer);
        self.ended(peer, pending.purpose, outcome);
    }

    /// The peer has no time now: it is asked once more when it said that it has.
    fn ask_again(&mut self, (peer, id): Asked, mut pending: Box<Pending>, wait: Duration) {
        (pending.again, pending.put_off) = (true, pending.put_off + 1);
        pending.deadline = self.set_timer(wait, Timer::Request(peer, id));
        self.requests.pending.insert((peer, id), pending);
    }

    pub(super) fn request_timed_out(&mut self, peer: PeerId, id: u64) {
        let now = self.now.instant;
        if let Some(pending) = self.requests.pending.get_mut(&(peer, id)).filter(|pending| pending.again) {
            (pending.again, pending.sent, pending.deadline) = (false, now, now + REQUEST_TIMEOUT);
            let (link, message) = (pending.link, pending.message.clone());
            self.set_timer(REQUEST_TIMEOUT, Timer::Request(peer, id));
            if let Some(link) = link {
                self.send(link, id, message);
            }
            return;
        }
        if let Some(pending) = self.requests.pending.get_mut(&(peer, id))
            && let (Purpose::Walk(walk), false) = (pending.purpose, pending.late)
            && let left = REQUEST_TIMEOUT.saturating_sub(now.since(pending.sent))
            && !left.is_zero()
        {
            (pending.late, pending.deadline) = (true, now + left);
            self.set_timer(left, Timer::Request(peer, id));
            self.knock(peer);
            return self.walk_waits_no_more(walk, peer);
        }
        if let Some(pending) = self.requests.pending.remove(&(peer, id)) {
            self.counters.timeouts += 1;
            self.knock(peer);
            self.ended(peer, pending.purpose, Outcome::Silent);
        }
    }

    /// The link to `peer` is up: what waited for it, or was in flight on a link that has ended, goes out.
    pub(super) fn flush(&mut self, peer: &PeerId, link: LinkId) {
        self.requests.failed_in_a_row = 0;
        self.dial_over(peer);
        for asked in self.requests.of(peer).collect::<Vec<_>>() {
            let now = self.now.instant;
            let Some(pending) = self.requests.pending.get_mut(&asked) else { continue };
            if pending.link.is_none() {
                pending.link = Some(link);
                if pending.again {
                    continue;
                }
                pending.sent = now;
                let message = pending.message.clone();
                self.send(link, asked.1, message);
            }
        }
    }

    /// A link ended: its requests go to the peer's other link, or wait for a new dial, or fail.
    pub(super) fn orphan(&mut self, peer: &PeerId, ended: LinkId) {
        // A hello was about the link.
        for asked in self.requests.of(peer).collect::<Vec<_>>() {
            let hello = |pending: &Pending| pending.purpose == Purpose::Hello && pending.link == Some(ended);
            if let Some(pending) = self.requests.pending.get(&asked).filter(|pending| hello(pending)) {
                let deadline = pending.deadline;
                self.cancel(deadline, Timer::Request(asked.0, asked.1));
                self.requests.pending.remove(&asked);
            }
        }
        for (_, pending) in self.requests.pending.range_mut((*peer, 0)..=(*peer, u64::MAX)) {
            if pending.link == Some(ended) {
                pending.link = None;
            }
        }
        if let Some(link) = self.links.to(peer) {
            self.flush(peer, link);
        } else if self.requests.has_any(peer) && self.try_dial(*peer) != Dialled::Begun {
            let waiting: Vec<_> = self.requests.of(peer).collect();
            self.requests.unsendable.extend(waiting);
        }
    }

    /// When the oldest request to a peer that waits for an answer went out.
    pub(super) fn oldest_request_to(&self, peer: &PeerId) -> Option<Instant> {
        let pending = self.requests.pending.range((*peer, 0)..=(*peer, u64::MAX));
        pending.filter(|(_, pending)| pending.link.is_some()).map(|(_, pending)| pending.sent).min()
    }

    /// Nothing is expected of a peer any more: what it was asked ends as if it could not be reached.
    pub(super) fn abandon(&mut self, peer: &PeerId) {
        let ended: Vec<Asked> = self.requests.of(peer).collect();
        for asked in ended {
            if let Some(pending) = self.requests.pending.remove(&asked) {
                self.cancel(pending.deadline, Timer::Request(asked.0, asked.1));
                self.ended(asked.0, pending.purpose, Outcome::Unreachable);
            }
        }
    }

    /// A dial ended without a link; requests that waited for it fail.
    pub(super) fn dial_ended(&mut self, peer: &PeerId) {
        self.dial_over(peer);
        let waiting: Vec<_> = self.requests.of(peer).collect();
        self.requests.unsendable.extend(waiting);
    }

    /// A dial is over; what it led to is the caller's business.
    pub(super) fn dial_over(&mut self, peer: &PeerId) {
        self.requests.dialling.remove(peer);
        self.requests.strangers.remove(peer);
        self.dial_more();
    }

    /// Ends the requests that could not be sent; that may start others.
    pub(super) fn fail_unsendable(&mut self) {
        loop {
            let (asked, outcome) = if let Some(asked) = self.requests.unsendable.pop() {
                (asked, Outcome::Unreachable)
            } else if let Some(asked) = self.requests.crowded_out.pop() {
                (asked, Outcome::Silent)
            } else {
                return;
            };
            if let Some(pending) = self.requests.pending.remove(&asked) {
                self.cancel(pending.deadline, Timer::Request(asked.0, asked.1));
                self.ended(asked.0, pending.purpose, outcome);
            }
        }
    }

    fn ended(&mut self, peer: PeerId, purpose: Purpose, outcome: Outcome) {
        match purpose {
            Purpose::Walk(walk) => self.walk_heard(walk, peer, outcome),
            Purpose::Path(walk) => self.path_heard(walk, peer, &outcome),
            Purpose::Put(put) => self.put_heard(put, peer, outcome),
            Purpose::Attach => self.attach_heard(peer, outcome),
            Purpose::Register(key, seq) => self.register_heard(key, seq, peer, outcome),
            Purpose::Resolve(id) => self.resolve_heard(id, peer, outcome),
            Purpose::Reserve => self.reserve_heard(peer, outcome),
            Purpose::FailOver => self.fail_over_heard(peer, outcome),
            Purpose::Elsewhere => self.elsewhere_heard(peer, &outcome),
            Purpose::Confirm(id) => self.confirm_heard(id, peer, outcome),
            Purpose::SelfCheck(key) => self.self_check_heard(key, peer, outcome),
            Purpose::Watch(key) => self.watch_heard(key, peer, outcome),
            Purpose::Presence(id) => self.presence_heard(id, peer, outcome),
            Purpose::Moving(id) => self.moving_heard(id, peer, outcome),
            Purpose::Survey => self.survey_heard(peer, outcome),
            Purpose::Mend => self.mend_heard(&outcome),
            Purpose::Who => self.who_heard(peer, outcome),
            // Its round trip has been measured; silence is the link timer's business.
            Purpose::Hello => self.probe_told(&peer, true),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only requests are counted; answers are not asked")]
    fn count_asked(&mut self, message: &Message) {
        let asked = &mut self.counters.asked;
        match message {
            Message::Hello(_) => asked.hello += 1,
            Message::Closest(_) => asked.closest += 1,
            Message::Get(_) => asked.get += 1,
            Message::Put(_) => asked.put += 1,
            Message::Attach(_) => asked.attach += 1,
            Message::Register(_) => asked.register += 1,
            Message::Resolve(_) => asked.resolve += 1,
            Message::Reserve(_) => asked.reserve += 1,
            Message::Watch(_) => asked.watch += 1,
            Message::Presence(_) => asked.presence += 1,
            Message::Digest(_) => asked.digest += 1,
            Message::Pull(_) => asked.pull += 1,
            Message::Offer(_) => asked.offer += 1,
            Message::Survey(_) => asked.survey += 1,
            _ => {}
        }
    }
}

/// How long a request may wait that was refused for now: only what compares or moves much can, so many times.
fn may_wait(pending: &Pending, refused: &Refused) -> Option<Duration> {
    let wait = Duration::from_millis(u64::from(refused.retry_after?));
    let busy = Reason::from_wire(refused.reason) == Reason::Busy;
    let moving = matches!(pending.purpose, Purpose::Moving(_) | Purpose::Survey);
    (busy && moving && pending.put_off < PUT_OFF_MAX).then_some(wait.min(PUT_OFF_WAIT_MAX))
}
