//! Which transports a dial tries.
//!
//! | who dials | somebody waits | nobody waits |
//! |---|---|---|
//! | a superpeer | QUIC, then TCP | TCP, then QUIC |
//! | a child | TCP alone if that works here, else TCP, then QUIC | the same |
//!
//! A machine that is gone leaves a dial over TCP without an answer for 300 bytes, one over QUIC for 6,000. TCP works here if
//! a dial over it alone was answered, or one over both so soon that QUIC had not begun; and until a few over it alone have
//! failed in a row. A child begins with TCP alone, for as long as its first candidates have; who is silent then is
//! dialled again over both before it counts as gone. *Not here*: whom to dial, and when.

use alloc::collections::BTreeMap;

use super::room::Room;
use crate::api::{DialEnd, Transport};
use crate::key::PeerId;
use crate::limits::{DIAL_STAGGER, PROBE_GIVE_UP, TCP_IN_VAIN};
use crate::time::Instant;

/// Where somebody waits QUIC comes first between superpeers. Source: DETAILS *Links* (specification).
pub(super) const HURRIED: &[Transport] = &[Transport::Quic, Transport::Tcp];

/// Where nobody waits. Source: baselines.md (*measured*: 1,895 bytes over TCP, 18,611 over QUIC).
pub(super) const UNHURRIED: &[Transport] = &[Transport::Tcp, Transport::Quic];

/// Who has ended refuses over TCP, and is silent over QUIC.
pub(super) const TCP_ALONE: &[Transport] = &[Transport::Tcp];

/// How a child's dials have fared.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// When each that is under way began, and whether it is over TCP alone.
    begun: BTreeMap<PeerId, (Instant, bool)>,
    /// When the first of all did.
    first: Option<Instant>,
    /// One was answered over TCP.
    works: bool,
    /// How many over TCP alone have failed since one was answered over TCP.
    in_vain: u8,
}

impl Ways {
    pub(super) fn give_room_back(&mut self) {
        self.begun.give_back();
    }

    /// What a child tries.
    pub(super) fn of_child(&self, now: Instant) -> &'static [Transport] {
        let begins = self.first.is_none_or(|first| now.since(first) < PROBE_GIVE_UP);
        if self.in_vain < TCP_IN_VAIN && (self.works || begins) { TCP_ALONE } else { UNHURRIED }
    }

    /// A child's dial begins.
    pub(super) fn begin(&mut self, peer: PeerId, transports: &[Transport], now: Instant) {
        self.first.get_or_insert(now);
        self.begun.insert(peer, (now, transports == TCP_ALONE));
    }

    /// A dial was answered.
    pub(super) fn answered(&mut self, peer: &PeerId, now: Instant) {
        let Some((began, alone)) = self.begun.remove(peer) else { return };
        if alone || now.since(began) < DIAL_STAGGER {
            (self.works, self.in_vain) = (true, 0);
        }
    }

    /// A dial has failed. Whether that may be the fault of TCP, and is no sign yet that nobody is there.
    pub(super) fn failed(&mut self, peer: &PeerId, end: DialEnd) -> bool {
        let alone = self.begun.remove(peer).is_some_and(|(_, alone)| alone);
        if alone {
            self.in_vain = self.in_vain.saturating_add(1);
        }
        alone && !self.works && end == DialEnd::Silent
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{TCP_ALONE, UNHURRIED, Ways};
    use crate::api::{DialEnd, Transport};
    use crate::key::PeerId;
    use crate::limits::{DIAL_STAGGER, PROBE_GIVE_UP, TCP_IN_VAIN};
    use crate::time::Instant;

    const PEER: PeerId = PeerId::from_bytes([1; 32]);

    /// Dials at a time; an answer takes so long, or it fails. What was tried.
    fn dial(ways: &mut Ways, now: Instant, answer: Option<Duration>) -> &'static [Transport] {
        let transports = ways.of_child(now);
        ways.begin(PEER, transports, now);
        match answer {
            Some(took) => ways.answered(&PEER, now + took),
            None => drop(ways.failed(&PEER, DialEnd::Silent)),
        }
        transports
    }

    #[test]
    fn where_tcp_is_blocked_quic_is_tried_beside_it_from_soon_after_the_start_on() {
        // The first dials are over TCP alone, and silent: they are no sign of anything. From then on both; answers come when
        // QUIC had begun, so it stays like that.
        let start = Instant::default();
        let (later, slow) = (start + PROBE_GIVE_UP, Some(DIAL_STAGGER));
        let mut ways = Ways::default();
        ways.begin(PEER, ways.of_child(start), start);
        assert_eq!(ways.of_child(later), UNHURRIED);
        assert!(ways.failed(&PEER, DialEnd::Silent));
        for _ in 0..40 {
            assert_eq!(dial(&mut ways, later, slow), UNHURRIED);
        }
    }

    #[test]
    fn where_tcp_works_it_is_tried_alone_until_a_few_have_failed_in_a_row() {
        // One is answered at once; then some fail, one fewer than it takes, or as many; a quick answer over both.
        let (now, quick) = (Instant::default() + PROBE_GIVE_UP * 2, Some(DIAL_STAGGER / 4));
        let mut ways = Ways::default();
        assert_eq!(dial(&mut ways, Instant::default(), quick), TCP_ALONE);
        for failures in [TCP_IN_VAIN - 1, TCP_IN_VAIN] {
            for _ in 0..failures {
                assert_eq!(dial(&mut ways, now, None), TCP_ALONE);
            }
            let tried = if failures < TCP_IN_VAIN { TCP_ALONE } else { UNHURRIED };
            assert_eq!(dial(&mut ways, now, quick), tried);
            assert_eq!(ways.of_child(now), TCP_ALONE);
        }
        ways.begin(PEER, TCP_ALONE, now);
        assert!(!ways.failed(&PEER, DialEnd::Silent), "it is gone");
    }
}
