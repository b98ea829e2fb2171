//! Whether a failed dial was refused: the host is there, and nobody listens at that port.
//!
//! Over TCP the host of a process that has ended says so at once; over QUIC nothing is heard (an unconnected
//! UDP socket is not told of it). A router that knows no way to the host says something else, which is no
//! refusal. *Not here*: what a refusal means (the core).

use std::io;

use libp2p::TransportError;
use libp2p::swarm::DialError;

/// Whether every address of a dial refused it.
#[must_use]
pub fn is_refusal(error: &DialError) -> bool {
    let DialError::Transport(failures) = error else { return false };
    let refused = |failure: &TransportError<io::Error>| match failure {
        TransportError::Other(error) => is_refused(error),
        TransportError::MultiaddrNotSupported(_) => false,
    };
    !failures.is_empty() && failures.iter().all(|(_, failure)| refused(failure))
}

/// Whether the system refused. libp2p wraps its error in those of each layer, some of which name no
/// source and none a kind; what they all keep is the text, and in it the system's number.
fn is_refused(error: &io::Error) -> bool {
    let text = error.to_string();
    let number = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split_once(')'));
    let number = number.and_then(|(number, _)| number.parse().ok());
    number
        .is_some_and(|number| io::Error::from_raw_os_error(number).kind() == io::ErrorKind::ConnectionRefused)
}
