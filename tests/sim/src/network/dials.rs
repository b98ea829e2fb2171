//! Dials that fail: how long that takes, what the dialler is told, and what it sends.
//!
//! Over TCP a machine on which nobody listens refuses after a round trip; over QUIC it is silent, since quinn does not hear
//! of ICMP (spikes.md, *measured*). Transports are tried one after the other, none after a refusal; who refuses when
//! another was tried before is given up when that has had [`STAGGER`], too. *Not here*: dials that come about (`super`).

use callbook_overlay::api::{DialEnd, Transport};

use super::{Carriage, DIAL_TIMEOUT, STAGGER};
use crate::time::{MILLISECOND, Micros, SECOND};

/// Headers of UDP over IPv4. *Specification* (RFC 768, RFC 791).
pub(super) const UDP_BYTES: u32 = 28;

/// The first packet of a QUIC connection is padded to this, without headers. *Specification* (RFC 9000 §14.1).
const INITIAL_BYTES: u32 = 1_200;

/// A SYN with the options of Linux (segment size, SACK, timestamps, window scale), IPv4. *Specification* (RFC 9293
/// §3.1: 20 and 20 bytes; RFC 7323, RFC 2018: 20 of options).
const SYN_BYTES: u32 = 60;

/// A SYN is sent again after a second each, as often as a dial lasts. *Measured* by others: Linux
/// (`tcp_syn_linear_timeouts`, 4 since 6.5).
const SYN_AGAIN: Micros = SECOND;

/// First timeout of a QUIC handshake: a round trip of 333 ms and four deviations of half of it. *Specification* (RFC
/// 9002 §6.2.2); quinn-proto 0.11 (`initial_rtt`), which then sends two packets each time
/// (`on_loss_detection_timeout`) and doubles.
const QUIC_FIRST_TIMEOUT: Micros = 999 * MILLISECOND;
const QUIC_PROBES: u32 = 2;

/// How a dial fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed {
    /// After how long.
    pub(crate) wait: Micros,
    /// What the dialler is told.
    pub(crate) end: DialEnd,
    /// What it has sent.
    pub(crate) bytes: u32,
}

/// A dial by these transports to a machine that never answers; or that is so far away, and refuses.
pub(crate) fn failed(carriage: Carriage, transports: &[Transport], refuses: Option<Micros>) -> Failed {
    let refused = refuses.filter(|_| carriage == Carriage::Datagrams || transports.contains(&Transport::Tcp));
    let end = if refused.is_some() { DialEnd::Refused } else { DialEnd::Silent };
    if carriage == Carriage::Datagrams {
        // No handshake: a packet that nobody answers.
        let bytes = carriage.header(Transport::Quic);
        return Failed { wait: refused.unwrap_or(DIAL_TIMEOUT), end, bytes };
    }
    let first = transports.iter().position(|transport| refused.is_some() && *transport == Transport::Tcp);
    let tried = first.map_or(transports, |first| &transports[..=first]);
    let bytes = tried.iter().map(|transport| match (transport, refused) {
        (Transport::Tcp, Some(_)) => SYN_BYTES,
        (Transport::Tcp | Transport::Quic, _) => unanswered(*transport),
    });
    // The second one begins when the first has had its time.
    let others = STAGGER * (tried.len() as u64).saturating_sub(1);
    Failed { wait: refused.unwrap_or(DIAL_TIMEOUT) + others, end, bytes: bytes.sum() }
}

/// Bytes of a handshake to which nobody answers.
fn unanswered(transport: Transport) -> u32 {
    match transport {
        Transport::Tcp => (DIAL_TIMEOUT / SYN_AGAIN) as u32 * SYN_BYTES,
        Transport::Quic => {
            let (mut packets, mut at, mut timeout) = (1, QUIC_FIRST_TIMEOUT, QUIC_FIRST_TIMEOUT);
            while at < DIAL_TIMEOUT {
                packets += QUIC_PROBES;
                timeout *= 2;
                at += timeout;
            }
            packets * (INITIAL_BYTES + UDP_BYTES)
        }
    }
}

#[cfg(test)]
mod tests {
    use callbook_overlay::api::{DialEnd, Transport};

    use super::{Failed, failed};
    use crate::network::Carriage;
    use crate::time::{MILLISECOND, SECOND};

    #[test]
    fn a_dial_that_fails_costs_its_packets() {
        // Goal: time, word and bytes. Method: by hand: QUIC sends at 0, 1 and 3 s, twice two packets; TCP a SYN each
        // second.
        let (quic, syn, trip) = (5 * 1_228, 60, 100 * MILLISECOND);
        let both = [Transport::Quic, Transport::Tcp];
        let turned = [Transport::Tcp, Transport::Quic];
        let of = |transports: &[Transport], refuses| failed(Carriage::Streams, transports, refuses);
        let silent = |wait, bytes| Failed { wait, end: DialEnd::Silent, bytes };
        let refused = |wait, bytes| Failed { wait, end: DialEnd::Refused, bytes };
        assert_eq!(of(&both, None), silent(6 * SECOND, quic + 5 * syn));
        assert_eq!(of(&both, Some(trip)), refused(SECOND + trip, quic + syn));
        assert_eq!(of(&turned, Some(trip)), refused(trip, syn));
        assert_eq!(of(&turned, None), silent(6 * SECOND, quic + 5 * syn));
        assert_eq!(of(&[Transport::Tcp], Some(trip)), refused(trip, syn));
        assert_eq!(of(&[Transport::Quic], Some(trip)), silent(5 * SECOND, quic));
        assert_eq!(failed(Carriage::Datagrams, &both, None), silent(5 * SECOND, 20));
    }
}
