//! One connection's part of [`Neighbours`](crate::Neighbours): the dialler opens the one stream, the
//! listener takes exactly one.
//!
//! A second inbound stream is dropped as it arrives, which resets it; so is any on a connection that
//! we dialled.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::StreamProtocol;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamUpgradeError, SubstreamProtocol,
};

/// What a connection's handler tells the behaviour.
#[derive(Debug)]
pub enum FromHandler {
    /// The stream.
    Ready {
        /// Negotiated.
        stream: Stream,
        /// True if this side opened it.
        dialled: bool,
    },
    /// The other end refused the stream.
    Unsupported,
}

/// The handler of one connection.
#[derive(Debug)]
pub struct Handler {
    protocol: StreamProtocol,
    dialled: bool,
    /// The stream is still to be asked for.
    open: bool,
    /// The listener has its stream.
    taken: bool,
    out: VecDeque<FromHandler>,
}

impl Handler {
    pub(crate) fn new(protocol: StreamProtocol, dialled: bool) -> Self {
        Self { protocol, dialled, open: dialled, taken: false, out: VecDeque::new() }
    }

    fn substream(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = FromHandler;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.substream()
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if let Some(event) = self.out.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if std::mem::take(&mut self.open) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: self.substream(),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) =
            event
        {
            if !self.dialled && !self.taken {
                self.taken = true;
                self.out.push_back(FromHandler::Ready { stream, dialled: false });
            } else {
                tracing::debug!(self.dialled, "dropped a stream beyond the one of this connection");
            }
        } else if let ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
            protocol: stream,
            ..
        }) = event
        {
            self.out.push_back(FromHandler::Ready { stream, dialled: true });
        } else if let ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) = event {
            match error {
                StreamUpgradeError::NegotiationFailed
                | StreamUpgradeError::Timeout
                | StreamUpgradeError::Io(_) => self.out.push_back(FromHandler::Unsupported),
                StreamUpgradeError::Apply(never) => match never {},
            }
        }
    }
}
