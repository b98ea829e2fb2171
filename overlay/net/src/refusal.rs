//! Whether a failed dial was refused: the host is there, and nobody listens at that port.
//!
//! Over TCP the host of a process that has ended says so at once; over QUIC nothing is heard (an unconnected
//! UDP socket is not told of it). A router that knows no way to the host says something else, which is no
//! refusal. *Not here*: what a refusal means (the core).

use std::io::{self, ErrorKind};

use libp2p::TransportError;
use libp2p::swarm::DialError;

/// Whether a dial was refused: at one address at least, and at the others too, or there is no way to them from
/// here (one of IPv6 where there is none).
#[must_use]
pub fn is_refusal(error: &DialError) -> bool {
    let DialError::Transport(failures) = error else { return false };
    let kinds: Vec<_> = failures.iter().map(|(_, failure)| kind(failure)).collect();
    let refused = |kind: &Option<ErrorKind>| *kind == Some(ErrorKind::ConnectionRefused);
    let unroutable = |kind: &Option<ErrorKind>| {
        matches!(kind, Some(ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable))
    };
    kinds.iter().any(refused) && kinds.iter().all(|kind| refused(kind) || unroutable(kind))
}

/// What the system said, if it was the system. libp2p wraps its error in those of each layer, some of which name
/// no source and none a kind; what they all keep is the text, and in it the system's number.
fn kind(failure: &TransportError<io::Error>) -> Option<ErrorKind> {
    let TransportError::Other(error) = failure else { return None };
    let text = error.to_string();
    let number = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split_once(')'));
    let number = number.and_then(|(number, _)| number.parse().ok());
    number.map(|number| io::Error::from_raw_os_error(number).kind())
}

#[cfg(test)]
mod tests {
    use libp2p::Multiaddr;

    use super::*;

    /// A dial of as many addresses as there are numbers of the system's errors; `None`: a timeout.
    fn failed(numbers: &[Option<i32>]) -> DialError {
        let failure = |number: &Option<i32>| {
            let error = number.map_or_else(|| ErrorKind::TimedOut.into(), io::Error::from_raw_os_error);
            (Multiaddr::empty(), TransportError::Other(io::Error::other(error)))
        };
        DialError::Transport(numbers.iter().map(failure).collect())
    }

    #[test]
    fn a_dial_is_refused_by_a_host_that_is_there_whatever_else_has_no_way() {
        // Goal: a death is seen at once also with an address that leads nowhere, and silence is none. Method: errors
        // of the system (Linux): 111 refused, 101 no network, 99 no such address, 113 no host.
        for (numbers, refused) in [
            (&[Some(111)][..], true),
            (&[Some(111), Some(111)], true),
            (&[Some(111), Some(101)], true),
            (&[Some(99), Some(111)], true),
            (&[Some(111), None], false),
            (&[Some(111), Some(113)], false),
            (&[Some(101)], false),
            (&[None], false),
            (&[], false),
        ] {
            assert_eq!(is_refusal(&failed(numbers)), refused, "{numbers:?}");
        }
    }
}
