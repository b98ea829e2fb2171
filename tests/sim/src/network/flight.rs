//! A packet on a stream: how often it is lost, and when it is sent again.
//!
//! ```text
//!  sent ──lost──▶ timeout ──lost──▶ longer timeout ── … ──▶ arrives
//!          └─ what was sent later is acknowledged ──▶ sent again about a round trip after that
//! ```
//! - TCP as Linux has it: a timeout is a round trip and four deviations, of at least 200 ms together. The first loss is
//!   met by a tail loss probe after one, so timeouts double from the third on. From the second on until it hears again
//!   a sender sends nothing else: its window is one packet.
//! - QUIC as quinn has it: 25 ms more, for acknowledgements that wait; doubled from the second on. Each sends two
//!   packets, both with what was lost.
//! - A timeout is not waited for if something is acknowledged that was sent later: then a packet counts as lost, not
//!   before a round trip and a quarter (QUIC: an eighth).
//! - Acknowledgements are lost too. Then copies go on until one is heard, and what is sent meanwhile waits for room.
//! - So much is under way at once as a window holds that loses as many packets as it gains ([`window`]).
//!
//! How many copies are lost is drawn once; when they go is found out as time goes on.
//!
//! *Simplified*: deviations are half a round trip in all (*guess*, four of an eighth, where a fifth is lost and delays
//! vary by 5 %), also on new connections; windows don't move otherwise; acknowledgements cost no bytes of their own.
//!
//! Source: RFC 6298 §2 and §5 with Linux' minimum; RFC 8985 §6.2 and §7 (RACK, tail loss probes); RFC 9002 §6 and
//! quinn-proto 0.11 (`on_loss_detection_timeout`, `maybe_queue_probe`: two probes). *Measured* of TCP on Linux 6.18: a
//! message of 300 bytes every five seconds through a tunnel of 90 ms either way that loses a fifth; the median copies of
//! what was lost went 410, 420, 800 and 1,600 ms after the one before; one of five messages took more than 480 ms, one of
//! fifty 1.3 s, one of two hundred 6 s. *Not here*: delays (`super`).

use callbook_overlay::api::Transport;

use crate::time::{MILLISECOND, Micros, SECOND};

/// Deviations count for at least this over TCP. *Measured* by others: `TCP_RTO_MIN` of Linux; RFC 6298 asks for a second.
const DEVIATION_MIN: Micros = 200 * MILLISECOND;

/// How long acknowledgements may wait over QUIC. *Specification* (RFC 9000 §18.2, the default).
const ACKNOWLEDGED_WITHIN: Micros = 25 * MILLISECOND;

/// Timeout of who knows no round trip yet. *Specification* (RFC 6298 §2.1; RFC 9002 §6.2.2 makes it 999 ms).
pub(super) const FIRST_TIMEOUT: Micros = SECOND;

/// Timeout of a handshake over TCP whose first packet had to be sent again. *Specification* (RFC 6298 §5.7), and
/// *measured*.
pub(super) const DOUBTFUL_TIMEOUT: Micros = 3 * SECOND;

/// A timeout doubles so often at most. *Guess*: half a minute.
const DOUBLINGS_MAX: u32 = 5;

/// Packets under way at once where so many are lost: `√(3 / 2 · loss)`, and two at least. TCP counts packets as Linux
/// does, QUIC bytes.
///
/// Source: Mathis, Semke, Mahdavi and Ott 1997 (paper); RFC 9002 §7.2 (two at least).
pub(crate) fn window(loss: f64) -> usize {
    ((1.5 / loss.max(1e-6)).sqrt() as usize).max(2)
}

/// Between two peers over one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    /// One way, without what varies.
    pub(crate) base: Micros,
    /// While no round trip has been measured.
    pub(crate) first: Option<Micros>,
}

impl Way {
    /// How long the sender waits after so many timeouts.
    pub(super) fn timeout(&self, timeouts: u32) -> Micros {
        let once = match (self.first, self.transport) {
            (Some(first), _) => first,
            (None, Transport::Tcp) => 2 * self.base + self.base.max(DEVIATION_MIN),
            (None, Transport::Quic) => 3 * self.base + ACKNOWLEDGED_WITHIN,
        };
        let doublings = match self.transport {
            Transport::Tcp => timeouts.saturating_sub(1),
            Transport::Quic => timeouts,
        };
        once << doublings.min(DOUBLINGS_MAX)
    }

    /// Packets that a timeout sends.
    pub(super) fn probes(&self) -> u32 {
        match self.transport {
            Transport::Tcp => 1,
            Transport::Quic => 2,
        }
    }

    /// How long after it was sent a packet counts as lost at the earliest.
    fn reordered(&self) -> Micros {
        2 * self.base + 2 * self.base / if self.transport == Transport::Tcp { 4 } else { 8 }
    }
}

/// A packet under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flight {
    pub(super) way: Way,
    /// When the copy left that is under way now, or leaves.
    pub(super) sent: Micros,
    /// How many copies are lost, from that one on.
    pub(super) lost: u32,
    /// For how many more timeouts the sender does not hear that it has arrived.
    pub(super) unheard: u32,
    /// Timeouts before it, since something was heard.
    pub(super) timeouts: u32,
    /// How long the copy takes that arrives.
    pub(super) took: Micros,
}

impl Flight {
    /// When it arrives, if the sender hears nothing before.
    pub(crate) fn arrives(&self) -> Micros {
        let waits = (0..self.lost).map(|wait| self.way.timeout(self.timeouts + wait));
        self.sent + waits.sum::<Micros>() + self.took
    }

    /// When the sender has heard that it has arrived.
    pub(crate) fn acknowledged(&self) -> Micros {
        let waits = (self.lost..self.lost + self.unheard).map(|wait| self.way.timeout(self.timeouts + wait));
        self.arrives() + waits.sum::<Micros>() + self.way.base
    }

    /// Whether its sender has had enough timeouts by then to send nothing else.
    pub(crate) fn blocks(&self, at: Micros) -> bool {
        let closes = |wait| self.way.timeout(self.timeouts + wait);
        let second: Micros = self.sent + (0..2u32.saturating_sub(self.timeouts)).map(closes).sum::<Micros>();
        self.way.transport == Transport::Tcp
            && self.timeouts + self.lost + self.unheard >= 2
            && second <= at
            && at < self.acknowledged()
    }

    /// Over what it goes.
    pub(crate) fn transport(&self) -> Transport {
        self.way.transport
    }

    /// It can't leave before this.
    pub(crate) fn wait_until(&mut self, leaves: Micros) {
        self.sent = self.sent.max(leaves);
    }

    /// When its first copy leaves, as far as that is not over.
    pub(crate) fn leaves(&self) -> Micros {
        self.sent
    }

    /// Whether its first copy arrives.
    pub(crate) fn is_whole(&self) -> bool {
        self.lost == 0
    }

    /// What was sent at this time arrives, and the sender hears so. Whether this one arrives sooner for that.
    pub(crate) fn overtaken(&mut self, later: Micros) -> bool {
        // What tells of the later one tells of this one too, if it has arrived by then.
        self.unheard = 0;
        while self.lost > 0 && self.sent + self.way.timeout(self.timeouts) <= later {
            self.sent += self.way.timeout(self.timeouts);
            (self.lost, self.timeouts) = (self.lost - 1, self.timeouts + 1);
        }
        let noticed = (later + 2 * self.way.base).max(self.sent + self.way.reordered());
        if self.lost == 0 || self.sent > later || noticed >= self.sent + self.way.timeout(self.timeouts) {
            return false;
        }
        (self.sent, self.lost, self.timeouts) = (noticed, self.lost - 1, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use callbook_overlay::api::Transport;

    use super::{Flight, Way};
    use crate::time::MILLISECOND;

    const MS: u64 = MILLISECOND;

    fn flight(transport: Transport, base: u64, lost: u32) -> Flight {
        let way = Way { transport, base: base * MS, first: None };
        Flight { way, sent: 0, lost, unheard: 0, timeouts: 0, took: base * MS }
    }

    #[test]
    fn what_is_lost_at_the_end_waits_for_timeouts_that_double() {
        // Goal: the tables of both transports. Method: none to four losses, a near and a far peer.
        let arrives =
            |transport, base| [0, 1, 2, 3, 4].map(|lost| flight(transport, base, lost).arrives() / MS);
        assert_eq!(arrives(Transport::Tcp, 50), [50, 350, 650, 1_250, 2_450]);
        assert_eq!(arrives(Transport::Quic, 50), [50, 225, 575, 1_275, 2_675]);
        assert_eq!(arrives(Transport::Tcp, 400), [400, 1_600, 2_800, 5_200, 10_000]);
    }

    #[test]
    fn what_is_acknowledged_later_has_a_loss_sent_again_sooner() {
        // Goal: fast retransmission. Method: later packets at several times, after none, one and two losses.
        let mut tcp = flight(Transport::Tcp, 50, 1);
        assert!(!flight(Transport::Tcp, 50, 0).overtaken(10 * MS));
        assert!(tcp.overtaken(10 * MS) && tcp.arrives() == 175 * MS, "{tcp:?}");
        assert!(!tcp.overtaken(20 * MS), "it is under way by then");
        let mut late = flight(Transport::Tcp, 50, 1);
        assert!(!late.overtaken(250 * MS) && late.arrives() == 350 * MS, "the timeout is sooner");
        // The first copy and that of the first timeout are lost; the third goes when the word of 400 ms is back.
        let mut twice = flight(Transport::Tcp, 50, 2);
        assert!(twice.overtaken(400 * MS) && twice.arrives() == 550 * MS, "{twice:?}");
    }
}
