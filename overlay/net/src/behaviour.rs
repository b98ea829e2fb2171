//! Hands the overlay's stream of every connection out of the swarm.
//!
//! ```text
//!  connection established ──► handler: the dialler opens the stream, the listener takes one
//!                                 │ negotiated                    │ refused
//!                                 ▼                               ▼
//!                        Event::Up {stream}              Event::Unsupported
//!  connection closed ──► Event::Down
//! ```
//! Substreams should negotiate with `V1Lazy` (one round trip less): then `Up` at the dialler comes
//! before the listener has answered, and the listener hears of the stream with the dialler's first
//! write. So whoever serves the stream starts at once, and counts a link as up after its first frame.
//! A stream that is held keeps its connection open. A connection whose stream was dropped is closed
//! by [`Neighbours::close`]: QUIC never closes an idle connection by itself (measured).
//!
//! *Not here*: which connections to open or to close; reading and writing (see [`Links`](crate::Links)).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};

use callbook_overlay::key::NetworkId;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, Stream, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

use crate::address::overlay_peer;
use crate::handler::{FromHandler, Handler};

/// The protocol name of the overlay's stream on one network.
///
/// # Source
/// DETAILS *Links*.
#[must_use]
pub fn protocol_name(network: &NetworkId) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/callbook/{}/overlay/1", network.short()))
        .expect("the name starts with a slash")
}

/// What became of a connection's stream.
#[derive(Debug)]
pub enum Event {
    /// The stream is negotiated (with `V1Lazy`: offered). Comes at most once per connection.
    Up {
        /// The authenticated other end.
        peer: PeerId,
        /// The connection that carries it.
        connection: ConnectionId,
        /// True if this side dialled.
        dialled: bool,
        /// Ours from now on.
        stream: Stream,
    },
    /// The other end does not speak the overlay's protocol of this network.
    Unsupported {
        /// The authenticated other end.
        peer: PeerId,
        /// The connection, still open.
        connection: ConnectionId,
    },
    /// The connection is closed.
    Down {
        /// The other end.
        peer: PeerId,
        /// Which connection.
        connection: ConnectionId,
    },
}

/// The other end's key is not Ed25519, so the overlay has no name for it.
#[derive(Debug, thiserror::Error)]
#[error("the peer's key is not Ed25519")]
struct ForeignKey;

/// The behaviour; see the module's text.
#[derive(Debug)]
pub struct Neighbours {
    protocol: StreamProtocol,
    queue: VecDeque<ToSwarm<Event, Infallible>>,
    waker: Option<Waker>,
}

impl Neighbours {
    /// A behaviour for the streams of one network.
    #[must_use]
    pub fn new(network: &NetworkId) -> Self {
        Self { protocol: protocol_name(network), queue: VecDeque::new(), waker: None }
    }

    /// Closes one connection of a peer; others to the same peer stay.
    pub fn close(&mut self, peer: PeerId, connection: ConnectionId) {
        self.queue.push_back(ToSwarm::CloseConnection {
            peer_id: peer,
            connection: CloseConnection::One(connection),
        });
        // Without this nobody polls the queue.
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self, peer: &PeerId, dialled: bool) -> Result<Handler, ConnectionDenied> {
        match overlay_peer(peer) {
            Some(_) => Ok(Handler::new(self.protocol.clone(), dialled)),
            None => Err(ConnectionDenied::new(ForeignKey)),
        }
    }
}

impl NetworkBehaviour for Neighbours {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(&peer, false)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(&peer, true)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = event {
            self.queue.push_back(ToSwarm::GenerateEvent(Event::Down {
                peer: closed.peer_id,
                connection: closed.connection_id,
            }));
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.queue.push_back(ToSwarm::GenerateEvent(match event {
            FromHandler::Ready { stream, dialled } => Event::Up { peer, connection, dialled, stream },
            FromHandler::Unsupported => Event::Unsupported { peer, connection },
        }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.queue.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
