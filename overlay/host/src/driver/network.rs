//! Connections, dials and links.
//!
//! ```text
//!  Effect::Dial ─► attempts, see `dials` ─all fail─► Input::DialFailed
//!                    │ Event::Up
//!                    ▼
//!                  link ──► Input::Connected … frames … ──ends──► Input::Disconnected, connection closed
//! ```
//! A connection that was dialled for a login has a stream too. The other side does not hear of it
//! before something is written (lazy negotiation), so it is kept aside as *spare*: it becomes a link
//! if the overlay asks for one to that peer. A connection without a link is closed when it was not
//! used for [`UNLINKED_IDLE`], whoever opened it.

use std::net::IpAddr;

use callbook_net::{End, Event, Full, address_of, is_refusal, multiaddr, overlay_peer, transport_peer};
use callbook_overlay::api::{Address, DialEnd, Input, LinkId, Transport};
use callbook_overlay::key::PeerId;
use callbook_overlay::wire::Frame;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, Stream, SwarmEvent};
use libp2p::{Multiaddr, Swarm};
use tokio::time::Instant;

use super::Driver;
use super::dials::{DialId, Next, Whose};
use crate::behaviour::{Behaviour, BehaviourEvent, RareEvent};
use crate::clock::Clock;
use crate::limits::{CLOSE_TIMEOUT, UNLINKED_IDLE};

/// All that there are.
const BOTH: [Transport; 2] = [Transport::Tcp, Transport::Quic];

/// A connection of the swarm.
pub(super) struct Connection {
    pub(super) peer: libp2p::PeerId,
    /// The address that it comes from or goes to.
    pub(super) remote: Option<IpAddr>,
    /// When a login last used it.
    pub(super) used: Instant,
    linked: bool,
    spare: Option<Stream>,
}

/// A link of the overlay.
pub(super) struct Link {
    peer: libp2p::PeerId,
    connection: ConnectionId,
    /// Since when it has been told to close.
    closing: Option<Instant>,
}

impl Driver {
    /// The swarm, to be called from outside; see [`crate::doorbell`].
    pub(super) fn swarm(&mut self) -> &mut Swarm<Behaviour> {
        self.doorbell.ring();
        &mut self.parts.swarm
    }

    pub(super) fn dial(&mut self, peer: PeerId, addresses: &[Address], order: &[Transport]) {
        let transport = transport_peer(&peer);
        let spare = self
            .connections
            .iter_mut()
            .find(|(_, connection)| connection.peer == transport && connection.spare.is_some())
            .and_then(|(id, connection)| Some((*id, connection.spare.take()?)));
        if let Some((connection, stream)) = spare {
            return self.open_link(transport, connection, true, stream);
        }
        let transports = self.parts.transports;
        let has = |transport: &&Transport| match transport {
            Transport::Quic => transports.quic(),
            Transport::Tcp => transports.tcp(),
        };
        // Who has only what the overlay does not ask for dials by that.
        let order = if order.iter().any(|transport| has(&transport)) { order } else { &BOTH };
        let by =
            |transport: &Transport| addresses.iter().map(|address| multiaddr(address, *transport)).collect();
        let then = order.iter().filter(has).map(by).collect();
        let id = self.dials.begin(peer, then);
        self.dial_on(id);
    }

    /// Tries what is next in a dial, if anything is.
    fn dial_on(&mut self, id: DialId) {
        loop {
            let (peer, addresses) = match self.dials.go_on(id, Clock::monotonic()) {
                Next::Try(peer, addresses) => (peer, addresses),
                Next::Wait => return,
                Next::Failed(peer, end) => {
                    return self.inputs.push_back(Input::DialFailed { peer, end });
                }
            };
            // Simultaneous connections are the overlay's to sort out. A port of its own spares TCP the
            // troubles of a port that also listens.
            let options = DialOpts::peer_id(transport_peer(&peer))
                .addresses(addresses)
                .condition(PeerCondition::Always)
                .allocate_new_port()
                .build();
            let connection = options.connection_id();
            match self.swarm().dial(options) {
                Ok(()) => return self.dials.tried(id, connection, Clock::monotonic()),
                Err(error) => tracing::debug!(%peer, %error, "cannot dial"),
            }
        }
    }

    fn dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        if let Some(id) = self.dials.failed(connection, is_refusal(error)) {
            self.dial_on(id);
            self.take_in_what_followed();
        }
    }

    /// Attempts of dials have had their time: others are made beside them.
    pub(super) fn dials_due(&mut self) {
        while let Some(id) = self.dials.take_due(Clock::monotonic()) {
            self.dial_on(id);
        }
        self.take_in_what_followed();
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign enum that grows; most of it is for metrics"
    )]
    pub(super) fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        self.parts.metrics.record(&event);
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Neighbours(event)) => self.neighbour_event(event),
            SwarmEvent::Behaviour(BehaviourEvent::Rare(RareEvent::Login(event))) => self.login_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let connection = Connection {
                    peer: peer_id,
                    remote: ip_of(remote(&endpoint)),
                    used: Clock::monotonic(),
                    linked: false,
                    spare: None,
                };
                self.connections.insert(connection_id, connection);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                // A link on it has ended with its stream, and says so itself.
                self.connections.remove(&connection_id);
                self.give_up(connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                tracing::debug!(%error, "a dial failed");
                self.dial_failed(connection_id, &error);
            }
            SwarmEvent::ListenerClosed { reason: Err(error), .. }
            | SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener failed");
            }
            _ => {}
        }
    }

    fn neighbour_event(&mut self, event: Event) {
        match event {
            Event::Up { peer, connection, dialled, stream } => {
                let whose = if dialled { self.dials.succeeded(connection) } else { Whose::First };
                match whose {
                    Whose::First => {}
                    Whose::Late => return self.close_connection(peer, connection),
                    Whose::Others => {
                        if let Some(connection) = self.connections.get_mut(&connection) {
                            connection.spare = Some(stream);
                        }
                        return;
                    }
                }
                self.open_link(peer, connection, dialled, stream);
                self.take_in_what_followed();
            }
            Event::Unsupported { peer, connection } => {
                self.give_up(connection);
                self.close_connection(peer, connection);
            }
            // The swarm says the same.
            Event::Down { .. } => {}
        }
    }

    /// The connection was there, but no stream came of it: another transport would not help.
    fn give_up(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.dials.gave_up(connection) {
            self.inputs.push_back(Input::DialFailed { peer, end: DialEnd::Silent });
            self.take_in_what_followed();
        }
    }

    fn open_link(&mut self, peer: libp2p::PeerId, connection: ConnectionId, dialled: bool, stream: Stream) {
        let Some(neighbour) = overlay_peer(&peer) else { return };
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.linked = true;
        }
        self.next_link += 1;
        let id = LinkId(self.next_link);
        self.streams.insert(id, stream);
        self.links.insert(id, Link { peer, connection, closing: None });
        tracing::debug!(link = id.0, peer = %neighbour, dialled, "link opened");
        self.inputs.push_back(Input::Connected { link: id, peer: neighbour, dialled });
    }

    /// Whether the overlay still knows the link.
    pub(super) fn is_open(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| link.closing.is_none())
    }

    pub(super) fn send(&mut self, id: LinkId, frame: &Frame) {
        if let Err(Full) = self.streams.send(id, frame) {
            tracing::debug!(link = id.0, "dropped a link whose queue is full");
            self.parts.metrics.link_ended("full");
            self.cut(id);
            self.inputs.push_back(Input::Disconnected { link: id });
        }
    }

    pub(super) fn close_link(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && link.closing.is_none()
        {
            link.closing = Some(Clock::monotonic());
            self.closing += 1;
            self.streams.close(id);
        }
    }

    pub(super) fn link_ended(&mut self, id: LinkId, end: &End) {
        let Some(link) = self.links.remove(&id) else { return };
        tracing::debug!(link = id.0, %end, "link ended");
        self.parts.metrics.link_ended(end.word());
        self.unlink(&link);
        // The overlay has forgotten a link that it closed.
        if link.closing.is_none() {
            self.turn(Input::Disconnected { link: id });
        }
    }

    /// Ends a link without waiting for anything.
    fn cut(&mut self, id: LinkId) {
        if let Some(link) = self.links.remove(&id) {
            self.streams.cut(id);
            self.unlink(&link);
        }
    }

    fn unlink(&mut self, link: &Link) {
        if link.closing.is_some() {
            self.closing -= 1;
        }
        if let Some(connection) = self.connections.get_mut(&link.connection) {
            connection.linked = false;
            connection.used = Clock::monotonic();
        }
        self.close_connection(link.peer, link.connection);
    }

    /// Closes a connection unless a login is under way; then [`Driver::tidy`] will.
    fn close_connection(&mut self, peer: libp2p::PeerId, connection: ConnectionId) {
        if !self.logins.waits_for(&peer) {
            self.swarm().behaviour_mut().neighbours.close(peer, connection);
        }
    }

    pub(super) fn close_all_links(&mut self) {
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            self.close_link(id);
        }
    }

    /// Whether there is something for [`Driver::tidy`].
    pub(super) fn is_untidy(&self) -> bool {
        // A connection carries one link as a rule.
        self.closing > 0 || self.connections.len() != self.links.len()
    }

    /// Cuts links that take too long to close, and closes connections that nothing uses.
    pub(super) fn tidy(&mut self) {
        let now = Clock::monotonic();
        let late = |link: &Link| link.closing.is_some_and(|since| now - since >= CLOSE_TIMEOUT);
        let late: Vec<LinkId> = self.links.iter().filter(|(_, link)| late(link)).map(|(id, _)| *id).collect();
        for id in late {
            self.parts.metrics.link_ended("late");
            self.cut(id);
        }
        let mut idle = Vec::new();
        for (id, connection) in &mut self.connections {
            let unused = !connection.linked && now - connection.used >= UNLINKED_IDLE;
            if unused && !self.logins.waits_for(&connection.peer) {
                connection.spare = None;
                idle.push((connection.peer, *id));
            }
        }
        for (peer, connection) in idle {
            self.swarm().behaviour_mut().neighbours.close(peer, connection);
        }
    }
}

fn remote(endpoint: &ConnectedPoint) -> &Multiaddr {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { send_back_addr, .. } => send_back_addr,
    }
}

fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    if let Some((address, _)) = address_of(address) {
        return Some(address.ip);
    }
    address.iter().find_map(|part| {
        if let Protocol::Ip4(ip) = part {
            Some(IpAddr::V4(ip))
        } else if let Protocol::Ip6(ip) = part {
            Some(IpAddr::V6(ip))
        } else {
            None
        }
    })
}
