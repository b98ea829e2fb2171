//! Dials that the overlay asked for, each by one transport after the other.
//!
//! ```text
//!  first transport ──┬─ fails, or has not answered for STAGGER ─► second transport ── … ─► none left
//!                    ├─ answers: the link. What was tried beside it is given up
//!                    └─ is refused: no other is tried
//!  none left and all have failed, or one was refused and the others have had STAGGER each ─► failed
//! ```
//! A port that nobody has open answers over TCP; over QUIC nothing is heard. So a process that has ended is known
//! to be gone after a round trip where TCP comes first, else after [`STAGGER`], and not when QUIC gives up. A superpeer
//! listens on both: where one is refused the other has nobody either.
//!
//! Source: RFC 8305 §5, a later delay than there: a handshake over TCP takes three round trips here.
//! *Not here*: the swarm (`network`).

use std::collections::{HashMap, VecDeque};
use std::future::pending;

use callbook_overlay::api::DialEnd;
use callbook_overlay::key::PeerId;
use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;
use tokio::time::{Instant, sleep_until};

use crate::limits::STAGGER;

/// Names a dial.
pub(super) type DialId = u64;

#[derive(Debug, Default)]
pub(super) struct Dials {
    next_id: DialId,
    dials: HashMap<DialId, Dial>,
    /// Attempts of dials, also of those that are over.
    attempts: HashMap<ConnectionId, DialId>,
    /// When attempts have had their time, the earliest first.
    due: VecDeque<(Instant, DialId)>,
}

#[derive(Debug)]
struct Dial {
    peer: PeerId,
    /// Addresses by transport that have not been tried.
    then: VecDeque<Vec<Multiaddr>>,
    under_way: Vec<(ConnectionId, Instant)>,
    /// What it comes to if none of those answers either.
    end: DialEnd,
}

/// What a dial needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Try(PeerId, Vec<Multiaddr>),
    Wait,
    Failed(PeerId, DialEnd),
}

/// Whose a connection is that has come about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The first of a dial, which is over.
    First,
    /// Of a dial that was over.
    Late,
    /// The overlay did not ask for it.
    Others,
}

impl Dials {
    /// A new dial: nothing is tried before [`Dials::go_on`].
    pub(super) fn begin(&mut self, peer: PeerId, then: VecDeque<Vec<Multiaddr>>) -> DialId {
        self.next_id += 1;
        let dial = Dial { peer, then, under_way: Vec::new(), end: DialEnd::Silent };
        self.dials.insert(self.next_id, dial);
        self.next_id
    }

    /// What is next for a dial of which something has just failed or become due, if it is not over.
    pub(super) fn go_on(&mut self, id: DialId, now: Instant) -> Next {
        let Some(dial) = self.dials.get_mut(&id) else { return Next::Wait };
        if let Some(addresses) = dial.then.pop_front() {
            return Next::Try(dial.peer, addresses);
        }
        let hopeless = |(_, began): &(ConnectionId, Instant)| {
            dial.end == DialEnd::Refused && now.duration_since(*began) >= STAGGER
        };
        if !dial.under_way.iter().all(hopeless) {
            return Next::Wait;
        }
        let (peer, end) = (dial.peer, dial.end);
        self.dials.remove(&id);
        Next::Failed(peer, end)
    }

    /// The swarm tries addresses of a dial.
    pub(super) fn tried(&mut self, id: DialId, connection: ConnectionId, now: Instant) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.under_way.push((connection, now));
            self.attempts.insert(connection, id);
            self.due.push_back((now + STAGGER, id));
        }
    }

    /// An attempt has failed; its dial may have something else to try.
    pub(super) fn failed(&mut self, connection: ConnectionId, refused: bool) -> Option<DialId> {
        let id = self.attempts.remove(&connection)?;
        let dial = self.dials.get_mut(&id)?;
        dial.under_way.retain(|(attempt, _)| *attempt != connection);
        if refused {
            dial.end = DialEnd::Refused;
            dial.then.clear();
        }
        Some(id)
    }

    /// An attempt has succeeded.
    pub(super) fn succeeded(&mut self, connection: ConnectionId) -> Whose {
        match self.attempts.remove(&connection).map(|id| self.dials.remove(&id)) {
            Some(Some(_)) => Whose::First,
            Some(None) => Whose::Late,
            None => Whose::Others,
        }
    }

    /// The other side does not speak our protocol, or has closed: no other transport would help. Whom that was.
    pub(super) fn gave_up(&mut self, connection: ConnectionId) -> Option<PeerId> {
        let id = self.attempts.remove(&connection)?;
        self.dials.remove(&id).map(|dial| dial.peer)
    }

    /// Whether any attempt has to be looked after.
    pub(super) fn are_timed(&self) -> bool {
        !self.due.is_empty()
    }

    /// Waits until an attempt has had its time.
    pub(super) async fn wait(&self) {
        match self.due.front() {
            Some((at, _)) => sleep_until(*at).await,
            None => pending().await,
        }
    }

    /// A dial one of whose attempts has had its time.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<DialId> {
        self.due.pop_front_if(|(at, _)| *at <= now).map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dial of two transports, both begun: the second when the first had its time.
    fn both() -> (Dials, DialId, [ConnectionId; 2], Instant) {
        let (mut dials, begun) = (Dials::default(), Instant::now());
        let [first, second] = [1, 2].map(ConnectionId::new_unchecked);
        let then = [b"/ip4/127.0.0.1/udp/1/quic-v1", &b"/ip4/127.0.0.1/tcp/1"[..]];
        let then = then.map(|text| vec![std::str::from_utf8(text).unwrap().parse().unwrap()]).into();
        let id = dials.begin(peer(), then);
        assert!(matches!(dials.go_on(id, begun), Next::Try(..)));
        dials.tried(id, first, begun);
        assert_eq!(dials.take_due(begun), None);
        let now = begun + STAGGER;
        assert_eq!(dials.take_due(now), Some(id));
        assert!(matches!(dials.go_on(id, now), Next::Try(..)));
        dials.tried(id, second, now);
        assert_eq!(dials.go_on(id, now), Next::Wait);
        (dials, id, [first, second], now)
    }

    fn peer() -> PeerId {
        PeerId::from_bytes([7; 32])
    }

    #[test]
    fn a_refusal_ends_what_has_been_silent_for_long() {
        // QUIC is silent, TCP is refused: the dial is over, and what QUIC comes to does not matter any more.
        let (mut dials, id, [quic, tcp], now) = both();
        assert_eq!(dials.failed(tcp, true), Some(id));
        assert_eq!(dials.go_on(id, now), Next::Failed(peer(), DialEnd::Refused));
        assert_eq!(dials.succeeded(quic), Whose::Late);
        assert_eq!(dials.succeeded(quic), Whose::Others);
    }

    #[test]
    fn who_is_refused_first_is_not_tried_by_the_second_transport() {
        // TCP first, refused at once: QUIC would only be silent.
        let (mut dials, _, _, now) = both();
        let tcp = ConnectionId::new_unchecked(3);
        let id = dials.begin(peer(), [Vec::new(), Vec::new()].into());
        assert!(matches!(dials.go_on(id, now), Next::Try(..)));
        dials.tried(id, tcp, now);
        assert_eq!(dials.failed(tcp, true), Some(id));
        assert_eq!(dials.go_on(id, now), Next::Failed(peer(), DialEnd::Refused));
    }

    #[test]
    fn who_fails_first_without_a_refusal_is_tried_by_the_second_transport() {
        let (mut dials, _, _, now) = both();
        let tcp = ConnectionId::new_unchecked(3);
        let id = dials.begin(peer(), [Vec::new(), Vec::new()].into());
        assert!(matches!(dials.go_on(id, now), Next::Try(..)));
        dials.tried(id, tcp, now);
        assert_eq!(dials.failed(tcp, false), Some(id));
        assert!(matches!(dials.go_on(id, now), Next::Try(..)));
    }

    #[test]
    fn silence_is_waited_for_to_its_end() {
        // Neither transport is answered; both fail in their own time.
        let (mut dials, id, [quic, tcp], now) = both();
        assert_eq!(dials.go_on(id, now + STAGGER), Next::Wait);
        assert_eq!(dials.failed(quic, false), Some(id));
        assert_eq!(dials.go_on(id, now + STAGGER), Next::Wait);
        assert_eq!(dials.failed(tcp, false), Some(id));
        assert_eq!(dials.go_on(id, now + STAGGER), Next::Failed(peer(), DialEnd::Silent));
    }

    #[test]
    fn the_first_that_answers_ends_the_dial() {
        let (mut dials, id, [quic, tcp], now) = both();
        assert_eq!(dials.succeeded(tcp), Whose::First);
        assert_eq!(dials.failed(quic, false), None);
        assert_eq!(dials.go_on(id, now), Next::Wait);
        assert_eq!(dials.gave_up(tcp), None);
    }
}
