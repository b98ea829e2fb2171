//! Login requests, both ways.
//!
//! A server is asked over a connection that is open already, or over one that is dialled for it; that
//! one is closed by [`Driver::tidy`] when nothing uses it any more.

use std::collections::HashMap;
use std::num::NonZeroU8;

use bytes::Bytes;
use callbook_net::overlay_peer;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{Message, OutboundFailure, OutboundRequestId};
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};

use super::Driver;
use crate::clock::Clock;
use crate::error::LoginError;
use crate::handle::LoginRequest;
use crate::limits::LOGIN_CALLS_MAX;
use crate::login::{Channel, Event, LoginCall};

/// A login service's answer, or its silence, with the way back.
pub(super) type Answer = (Channel, ConnectionId, Option<Bytes>);

struct Asked {
    server: PeerId,
    reply: oneshot::Sender<Result<Bytes, LoginError>>,
}

#[derive(Default)]
pub(super) struct Logins {
    /// Where calls go; `None` if we serve no logins.
    serving: Option<mpsc::Sender<LoginCall>>,
    asked: HashMap<OutboundRequestId, Asked>,
    calls: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Logins {
    pub(super) fn new(serving: Option<mpsc::Sender<LoginCall>>) -> Self {
        Self { serving, ..Self::default() }
    }

    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    pub(super) async fn next_answer(&mut self) -> Option<Answer> {
        self.calls.next().await
    }

    /// Whether we wait for an answer of this peer.
    pub(super) fn waits_for(&self, peer: &PeerId) -> bool {
        self.asked.values().any(|asked| asked.server == *peer)
    }
}

impl Driver {
    pub(super) fn ask_login(&mut self, ask: LoginRequest) {
        let LoginRequest { server, addresses, request, reply } = ask;
        let connected = self.connections.values().any(|connection| connection.peer == server);
        if !connected && let Err(error) = self.dial_login(server, addresses) {
            reply.send(Err(error)).ok();
            return;
        }
        let id = self.swarm().behaviour_mut().login().send_request(&server, request);
        self.logins.asked.insert(id, Asked { server, reply });
    }

    fn dial_login(&mut self, server: PeerId, mut addresses: Vec<Multiaddr>) -> Result<(), LoginError> {
        let transports = self.parts.transports;
        addresses.retain(|address| match callbook_net::address_of(address) {
            Some((_, callbook_overlay::api::Transport::Tcp)) => transports.tcp(),
            Some((_, callbook_overlay::api::Transport::Quic)) => transports.quic(),
            // A name, to be resolved.
            None => true,
        });
        if addresses.is_empty() {
            return Err(LoginError::NoServer);
        }
        // The overlay may go on to use the connection, and only TCP shows at once that a server was killed:
        // TCP first, the others only if that fails.
        addresses.sort_by_key(|address| address.iter().any(|part| matches!(part, Protocol::Udp(_))));
        let options = DialOpts::peer_id(server)
            .addresses(addresses)
            .override_dial_concurrency_factor(NonZeroU8::MIN)
            .allocate_new_port()
            .build();
        match self.swarm().dial(options) {
            // The dial that is under way serves as well.
            Ok(()) | Err(libp2p::swarm::DialError::DialPeerConditionFalse(_)) => Ok(()),
            Err(error) => Err(LoginError::Unreachable(error.to_string())),
        }
    }

    pub(super) fn login_event(&mut self, event: Event) {
        match event {
            Event::Message { peer, connection_id, message } => {
                self.used(connection_id);
                match message {
                    Message::Request { request, channel, .. } => {
                        self.take_call(peer, connection_id, request, channel);
                    }
                    Message::Response { request_id, response } => {
                        self.finish_login(request_id, Ok(response));
                    }
                }
            }
            Event::OutboundFailure { request_id, error, .. } => {
                self.finish_login(request_id, Err(explain(&error)));
            }
            Event::InboundFailure { error, .. } => tracing::debug!(%error, "a login request got no answer"),
            Event::ResponseSent { connection_id, .. } => self.used(connection_id),
        }
    }

    fn take_call(&mut self, peer: PeerId, connection: ConnectionId, request: Bytes, channel: Channel) {
        let (Some(serving), Some(peer)) = (&self.logins.serving, overlay_peer(&peer)) else { return };
        if self.logins.calls.len() >= LOGIN_CALLS_MAX {
            tracing::debug!("refused a login request: too many wait");
            return;
        }
        let address = self.connections.get(&connection).and_then(|connection| connection.remote);
        let (reply, answer) = oneshot::channel();
        if serving.try_send(LoginCall { peer, address, request, reply }).is_err() {
            // Dropping the channel tells the asker.
            tracing::debug!("refused a login request: the login service is not keeping up");
            return;
        }
        let answer = async move { (channel, connection, answer.await.ok()) };
        self.logins.calls.push(answer.boxed());
    }

    pub(super) fn answer_login(&mut self, (channel, connection, answer): Answer) {
        self.used(connection);
        if let Some(answer) = answer
            && self.swarm().behaviour_mut().login().send_response(channel, answer).is_err()
        {
            tracing::debug!("a login request was given up before its answer");
        }
    }

    fn finish_login(&mut self, id: OutboundRequestId, outcome: Result<Bytes, LoginError>) {
        if let Some(asked) = self.logins.asked.remove(&id) {
            // Who asked may have given up.
            asked.reply.send(outcome).ok();
        }
    }

    fn used(&mut self, connection: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.used = Clock::monotonic();
        }
    }
}

fn explain(error: &OutboundFailure) -> LoginError {
    match error {
        OutboundFailure::DialFailure => LoginError::Unreachable("no address answered".to_owned()),
        OutboundFailure::Timeout => LoginError::Timeout,
        OutboundFailure::ConnectionClosed => LoginError::Interrupted,
        OutboundFailure::UnsupportedProtocols => {
            LoginError::Refused("it is no login server of this network".to_owned())
        }
        // With lazy negotiation a server without the protocol shows as an end of the stream.
        OutboundFailure::Io(error) => LoginError::Refused(format!("no answer came ({error})")),
    }
}
