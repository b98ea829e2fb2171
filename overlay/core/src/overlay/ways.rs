//! Which transports a dial tries.
//!
//! | who dials | somebody waits | nobody waits |
//! |---|---|---|
//! | a superpeer | QUIC, then TCP | TCP, then QUIC |
//! | a child | TCP alone, unless that has failed lately, then QUIC too | the same |
//!
//! A machine that is gone leaves a dial over TCP without an answer for 300 bytes, one over QUIC for 6,000. So a child
//! tries QUIC only when TCP may be what does not get there: after a few that failed in a row; each that succeeds then
//! makes it a little more likely that TCP alone is enough. *Not here*: whom to dial, and when.

use alloc::collections::BTreeSet;

use super::room::Room;
use crate::api::Transport;
use crate::key::PeerId;
use crate::limits::TCP_IN_VAIN;

/// Where somebody waits QUIC comes first between superpeers. Source: DETAILS *Links* (specification).
pub(super) const HURRIED: &[Transport] = &[Transport::Quic, Transport::Tcp];

/// Where nobody waits. Source: baselines.md (*measured*: 1,895 bytes over TCP, 18,611 over QUIC).
pub(super) const UNHURRIED: &[Transport] = &[Transport::Tcp, Transport::Quic];

/// Who has ended refuses over TCP, and is silent over QUIC.
pub(super) const TCP_ALONE: &[Transport] = &[Transport::Tcp];

/// How a child's dials over TCP alone have fared.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Those that are under way.
    alone: BTreeSet<PeerId>,
    /// How many have failed in a row, less those that succeeded over either since; at most [`TCP_IN_VAIN`].
    in_vain: u8,
}

impl Ways {
    pub(super) fn give_room_back(&mut self) {
        self.alone.give_back();
    }

    /// What a child tries.
    pub(super) fn of_child(&self) -> &'static [Transport] {
        if self.in_vain < TCP_IN_VAIN { TCP_ALONE } else { UNHURRIED }
    }

    /// A child's dial begins.
    pub(super) fn begin(&mut self, peer: PeerId, transports: &[Transport]) {
        if transports == TCP_ALONE {
            self.alone.insert(peer);
        }
    }

    /// A dial of ours was answered.
    pub(super) fn answered(&mut self, peer: &PeerId) {
        self.in_vain = if self.alone.remove(peer) { 0 } else { self.in_vain.saturating_sub(1) };
    }

    /// A dial has failed.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        if self.alone.remove(peer) {
            self.in_vain = (self.in_vain + 1).min(TCP_IN_VAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TCP_ALONE, UNHURRIED, Ways};
    use crate::key::PeerId;
    use crate::limits::TCP_IN_VAIN;

    #[test]
    fn quic_is_tried_beside_tcp_after_a_few_in_vain_and_until_tcp_alone_is_answered() {
        // As many that fail as it takes, one over both that is answered, one over TCP alone that is not, and one that is.
        let peer = PeerId::from_bytes([1; 32]);
        let mut ways = Ways::default();
        let dial = |ways: &mut Ways, answered: bool| {
            let transports = ways.of_child();
            ways.begin(peer, transports);
            if answered {
                ways.answered(&peer)
            } else {
                ways.failed(&peer)
            }
            transports
        };
        for _ in 0..TCP_IN_VAIN {
            assert_eq!(dial(&mut ways, false), TCP_ALONE);
        }
        assert_eq!(dial(&mut ways, false), UNHURRIED);
        assert_eq!(dial(&mut ways, true), UNHURRIED);
        assert_eq!(dial(&mut ways, false), TCP_ALONE);
        assert_eq!(dial(&mut ways, true), UNHURRIED);
        assert_eq!(dial(&mut ways, true), TCP_ALONE);
        for _ in 1..TCP_IN_VAIN {
            assert_eq!(dial(&mut ways, false), TCP_ALONE);
        }
        assert_eq!(dial(&mut ways, true), TCP_ALONE);
    }
}
