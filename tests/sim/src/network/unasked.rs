//! What transports send by themselves: acknowledgements, signs of life.
//!
//! An acknowledgement rides on the next packet of its sender if that goes soon enough; else it travels alone. Both ends
//! of a QUIC connection that is silent keep it alive; over TCP nobody does, and the pings of Yamux are not sent
//! (`overlay/host`, `muxer`). All is counted when something is next sent on the link, or it ends, so no event is needed.
//!
//! *Simplified*: acknowledgements of pongs and of what is sent again cost nothing, and no sign of life waits for an answer
//! of a peer that is gone. *Not here*: set-up of connections (`super`, `dials`), and what is lost.

use callbook_overlay::api::Transport;

use super::PACKET_BYTES;
use super::dials::UDP_BYTES;
use crate::time::{MILLISECOND, Micros, SECOND};

/// An acknowledgement alone over TCP: IPv4, TCP, timestamps. *Specification* (RFC 9293, RFC 7323).
const TCP_ACK_BYTES: u32 = 52;

/// How long it waits for something to ride on. *Measured* by others: `TCP_DELACK_MIN` of Linux; RFC 9293 §3.8.6.3 allows 500 ms.
const TCP_ACK_DELAY: Micros = 40 * MILLISECOND;

/// A short QUIC packet without frames: first byte, connection id (8, quinn's default), packet number (2), tag (16).
/// *Specification* (RFC 9000 §17.3, RFC 9001 §5.3).
const QUIC_EMPTY_BYTES: u32 = UDP_BYTES + 27;

/// ACK with one range: type, largest (2), delay (2), count, first range. *Specification* (RFC 9000 §19.3).
const QUIC_ACK_BYTES: u32 = QUIC_EMPTY_BYTES + 7;

/// PING, padded for header protection. *Specification* (RFC 9000 §19.2, RFC 9001 §5.4.2).
const QUIC_PING_BYTES: u32 = QUIC_EMPTY_BYTES + 2;

/// How long a QUIC acknowledgement waits. *Specification* (RFC 9000 §18.2: `max_ack_delay`).
const QUIC_ACK_DELAY: Micros = 25 * MILLISECOND;

/// Of so many packets each second one is acknowledged at once. *Specification* (RFC 9000 §13.2.2, RFC 5681 §4.2).
const ACKNOWLEDGED_EACH: u32 = 2;

/// A QUIC connection on which nothing has come for so long shows that it lives. *Specification* (DETAILS *Links*); both
/// ends have the timer, quinn-proto 0.11 sets it anew with each packet that comes (`reset_keep_alive`), so the first ping
/// after a silence serves both.
const KEEP_ALIVE: Micros = 10 * SECOND;

/// Bytes of a packet's acknowledgement if it travels alone.
fn acknowledgement(transport: Transport) -> u32 {
    match transport {
        Transport::Tcp => TCP_ACK_BYTES,
        Transport::Quic => QUIC_ACK_BYTES,
    }
}

/// Bytes of the acknowledgements that a large frame takes before its last packet is there.
pub(crate) fn acknowledged_at_once(transport: Transport, payload: u32) -> u32 {
    let packets = payload.div_ceil(PACKET_BYTES);
    packets / ACKNOWLEDGED_EACH * acknowledgement(transport)
}

/// What one end of a link owes the other.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Owed {
    /// When an acknowledgement goes by itself.
    due: Option<Micros>,
    /// When the last packet came.
    came: Option<Micros>,
}

impl Owed {
    /// A packet has come: bytes that are sent for that at once, or have been since the last one.
    pub(crate) fn received(&mut self, now: Micros, transport: Transport) -> u32 {
        // What comes at one moment is one packet.
        if self.came.replace(now) == Some(now) {
            return 0;
        }
        let (delay, at_once) = match transport {
            Transport::Tcp => (TCP_ACK_DELAY, false),
            Transport::Quic => (QUIC_ACK_DELAY, true),
        };
        match self.due {
            Some(due) if due < now => {
                self.due = Some(now + delay);
                acknowledgement(transport)
            }
            // Linux waits for a second full segment, QUIC for a second packet.
            Some(_) if at_once => {
                self.due = None;
                acknowledgement(transport)
            }
            Some(_) => 0,
            None => {
                self.due = Some(now + delay);
                0
            }
        }
    }

    /// Something is sent: bytes that were sent before it could take the acknowledgement along.
    pub(crate) fn rides(&mut self, now: Micros, transport: Transport) -> u32 {
        self.due.take().filter(|due| *due < now).map_or(0, |_| acknowledgement(transport))
    }
}

/// Signs of life of one link.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Alive {
    /// When anything was sent on it last.
    used: Micros,
}

impl Alive {
    /// On a link that comes up.
    pub(crate) fn since(now: Micros) -> Self {
        Self { used: now }
    }

    /// The link is used, or ends: bytes that each end has sent to keep it alive, since `counts`.
    pub(crate) fn used(&mut self, now: Micros, counts: Micros, transport: Transport) -> u32 {
        let silent = now.saturating_sub(self.used.max(counts));
        self.used = now;
        match transport {
            // A ping and its acknowledgement: half of both by each end.
            Transport::Quic => (silent / KEEP_ALIVE) as u32 * (QUIC_PING_BYTES + QUIC_ACK_BYTES) / 2,
            Transport::Tcp => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use callbook_overlay::api::Transport;

    use super::{Alive, Owed, acknowledged_at_once};
    use crate::time::{MILLISECOND, SECOND};

    const MS: u64 = MILLISECOND;

    #[test]
    fn an_acknowledgement_rides_if_something_goes_soon_enough() {
        // Goal: none is counted twice or left out. Method: an answer at once, one too late, none, and two in a row.
        for (transport, bytes, late) in [(Transport::Tcp, 52, 41), (Transport::Quic, 62, 26)] {
            let mut owed = Owed::default();
            assert_eq!((owed.received(0, transport), owed.rides(0, transport)), (0, 0));
            assert_eq!((owed.received(MS, transport), owed.rides((1 + late) * MS, transport)), (0, bytes));
            assert_eq!(owed.rides(300 * MS, transport), 0);
            assert_eq!((owed.received(SECOND, transport), owed.received(2 * SECOND, transport)), (0, bytes));
            assert_eq!(owed.received(2 * SECOND, transport), 0, "it is the same packet");
        }
        let mut owed = Owed::default();
        assert_eq!((owed.received(0, Transport::Quic), owed.received(MS, Transport::Quic)), (0, 62));
        assert_eq!(owed.rides(SECOND, Transport::Quic), 0);
        assert_eq!(acknowledged_at_once(Transport::Tcp, 3_700), 2 * 52);
    }

    #[test]
    fn silence_costs_over_quic_and_nothing_over_tcp() {
        // Goal: signs of life. Method: a minute of silence, a second of it, and what was before the counting.
        let mut quic = Alive::since(0);
        assert_eq!(quic.used(SECOND, 0, Transport::Quic), 0);
        assert_eq!(quic.used(61 * SECOND, 0, Transport::Quic), 6 * (57 + 62) / 2);
        assert_eq!(quic.used(121 * SECOND, 111 * SECOND, Transport::Quic), 59);
        assert_eq!(Alive::since(0).used(61 * SECOND, 0, Transport::Tcp), 0);
    }
}
