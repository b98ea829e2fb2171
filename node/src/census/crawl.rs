//! Drives a walk over the overlay's own streams: dials, greets, asks, and hangs up.
//!
//! A census is a stranger: it has a key of its own for each walk, which is thrown away, no certificate and no
//! account, and asks only what any stranger may. It listens nowhere. Every visit has a deadline, and dials are
//! spread in time. *Not here*: whom to visit and what to ask (`walk`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use callbook_net::{Event, FromLink, LinkCounts, Links, Neighbours, is_refusal, transport_peer};
use callbook_overlay::api::LinkId;
use callbook_overlay::key::{Key, PeerId};
use callbook_overlay::limits::HINTS_PER_ANSWER_MAX;
use callbook_overlay::network::Network;
use callbook_overlay::wire::{Closest, Frame, Known, Message, Open, PROTOCOL};
use futures::StreamExt;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, Stream, SwarmEvent};
use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::time::{Instant, sleep_until, timeout};

use super::attempts::Attempts;
use super::limits::{DIAL_TIMEOUT, DIALS_TIMEOUT, FAREWELL, VISIT_TIMEOUT, VISITS_MAX};
use super::pace::Pace;
use super::walk::{Failure, Found, Questions, Step, Walk};
use crate::clock;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// Walks to the end.
///
/// # Errors
/// The machine: no transport.
pub(super) async fn walk(network: &Network, walk: Walk, pace: &mut Pace) -> Outcome<(Found, Questions)> {
    let mut crawler = Crawler {
        swarm: swarm(network)?,
        links: Links::new(None, Arc::new(LinkCounts::default())),
        walk,
        visits: HashMap::new(),
        deadlines: BTreeMap::new(),
        linked: HashMap::new(),
        open: HashMap::new(),
        next: 0,
        pace,
        network_version: network.version,
    };
    while crawler.dial_more() {
        crawler.step().await;
    }
    // What was said last, and our goodbye, have to arrive.
    let farewell = async {
        while !crawler.open.is_empty() {
            crawler.step().await;
        }
    };
    drop(timeout(FAREWELL, farewell).await);
    Ok(crawler.walk.finish())
}

fn swarm(network: &Network) -> Outcome<Swarm<Neighbours>> {
    let failed = |error: &dyn std::fmt::Display| Problem::new(Code::Failed, format!("no transport: {error}"));
    let builder = || {
        let builder = SwarmBuilder::with_existing_identity(Keypair::generate_ed25519()).with_tokio();
        let tcp = tcp::Config::default().nodelay(true);
        let builder = builder.with_tcp(tcp, noise::Config::new, yamux::Config::default);
        Ok::<_, Problem>(builder.map_err(|error| failed(&error))?.with_quic())
    };
    // The two builders are of different types.
    macro_rules! finish {
        ($builder:expr) => {
            $builder
                .with_behaviour(|_| Neighbours::new(&network.id))
                .map_err(|error| failed(&error))?
                .with_swarm_config(|config| config.with_substream_upgrade_protocol_override(Version::V1Lazy))
                .with_connection_timeout(DIAL_TIMEOUT)
                .build()
        };
    }
    match builder()?.with_dns() {
        Ok(builder) => Ok(finish!(builder)),
        Err(error) => {
            tracing::warn!(%error, "no name server is configured: servers with a DNS name can't be reached");
            Ok(finish!(builder()?))
        }
    }
}

/// A visit under way.
#[derive(Debug)]
struct Calling {
    peer: PeerId,
    attempts: Attempts,
    link: Option<LinkId>,
    /// The id of the last question, and what it was about.
    asked: (u64, Option<Key>),
    /// When something was said last.
    said: Instant,
    deadline: Instant,
}

struct Crawler<'a> {
    swarm: Swarm<Neighbours>,
    links: Links<Stream>,
    walk: Walk,
    visits: HashMap<ConnectionId, Calling>,
    deadlines: BTreeMap<(Instant, u64), ConnectionId>,
    /// The connection of each link of a visit.
    linked: HashMap<LinkId, ConnectionId>,
    /// The peer and connection of every link that has not ended.
    open: HashMap<LinkId, (libp2p::PeerId, ConnectionId)>,
    next: u64,
    pace: &'a mut Pace,
    network_version: u64,
}

impl Crawler<'_> {
    /// Dials whoever is next; whether anything is left to wait for.
    fn dial_more(&mut self) -> bool {
        let now = Instant::now();
        while self.visits.len() < VISITS_MAX && self.pace.allows(now) {
            let Some((peer, addresses)) = self.walk.next(clock::wall()) else {
                return !self.visits.is_empty();
            };
            self.begin(peer, Attempts::at(addresses), now + DIALS_TIMEOUT);
        }
        true
    }

    /// Dials at the next address. What it costs beyond the rate delays other visits.
    fn begin(&mut self, peer: PeerId, mut attempts: Attempts, deadline: Instant) {
        while let Some(address) = attempts.next() {
            self.pace.made();
            let options = DialOpts::peer_id(transport_peer(&peer))
                .addresses(vec![address])
                .condition(PeerCondition::Always)
                .allocate_new_port()
                .build();
            let connection = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => {
                    let said = Instant::now();
                    let visit = Calling { peer, attempts, link: None, asked: (0, None), said, deadline };
                    self.visits.insert(connection, visit);
                    self.next += 1;
                    self.deadlines.insert((deadline, self.next), connection);
                    return;
                }
                Err(error) => {
                    tracing::debug!(%peer, %error, "cannot dial");
                    attempts.failed(failure(&error));
                }
            }
        }
        self.walk.failed(&peer, attempts.shown(), clock::wall());
    }

    fn dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        tracing::debug!(%error, "a dial failed");
        let Some(mut visit) = self.forget(connection) else { return };
        visit.attempts.failed(failure(error));
        self.begin(visit.peer, visit.attempts, visit.deadline);
    }

    /// Waits for something and takes it in.
    async fn step(&mut self) {
        let wait =
            if self.walk.has_waiting() || self.visits.is_empty() { Pace::wait() } else { VISIT_TIMEOUT };
        let wake = Instant::now() + wait;
        let wake = self.deadlines.first_key_value().map_or(wake, |((at, _), _)| wake.min(*at));
        tokio::select! {
            told = self.links.next() => self.told(told),
            event = self.swarm.select_next_some() => self.swarm_event(event),
            () = sleep_until(wake) => {}
        }
        let now = Instant::now();
        while let Some(entry) = self.deadlines.first_entry().filter(|entry| entry.key().0 <= now) {
            let connection = entry.remove();
            let Some(visit) = self.visits.get_mut(&connection) else { continue };
            visit.attempts.failed(Failure::Silent);
            // It was there, if there is a link.
            let shown = visit.link.map_or(visit.attempts.shown(), |_| Failure::Silent);
            self.end(connection, Some(shown));
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows")]
    fn swarm_event(&mut self, event: SwarmEvent<Event>) {
        match event {
            SwarmEvent::Behaviour(Event::Up { peer, connection, stream, .. }) => {
                self.up(peer, connection, stream);
            }
            SwarmEvent::Behaviour(Event::Unsupported { peer, connection }) => {
                self.end(connection, Some(Failure::Silent));
                self.swarm.behaviour_mut().close(peer, connection);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.end(connection_id, Some(Failure::Silent));
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.dial_failed(connection_id, &error);
            }
            _ => {}
        }
    }

    fn up(&mut self, peer: libp2p::PeerId, connection: ConnectionId, stream: Stream) {
        let Some(visit) = self.visits.get_mut(&connection) else {
            // Its deadline has passed.
            return self.swarm.behaviour_mut().close(peer, connection);
        };
        self.next += 1;
        let link = LinkId(self.next);
        let now = Instant::now();
        self.deadlines.retain(|(at, _), which| *at != visit.deadline || *which != connection);
        (visit.link, visit.said, visit.deadline) = (Some(link), now, now + VISIT_TIMEOUT);
        self.deadlines.insert((visit.deadline, self.next), connection);
        self.linked.insert(link, connection);
        self.open.insert(link, (peer, connection));
        self.links.insert(link, stream);
        let open = Open {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            features: 0,
            agent: concat!("callbook-census/", env!("CARGO_PKG_VERSION")).to_owned(),
            role: 0,
            load: 0,
            unix_time: clock::wall().as_secs(),
            network_version: self.network_version,
            hint: None,
            children: None,
            network_age: None,
            alive: None,
            mark: None,
        };
        self.send(link, 0, Message::Open(open));
    }

    fn send(&mut self, link: LinkId, id: u64, message: Message) {
        let sent = self.links.send(link, &Frame { id, message });
        debug_assert!(sent.is_ok(), "two short frames never fill a link");
    }

    fn told(&mut self, told: FromLink) {
        match told {
            FromLink::Frame(link, frame) => self.heard(link, &frame),
            FromLink::Ended(link, end) => {
                tracing::debug!(%end, "a link ended");
                if let Some(connection) = self.linked.get(&link).copied() {
                    self.end(connection, Some(Failure::Silent));
                }
                if let Some((peer, connection)) = self.open.remove(&link) {
                    self.swarm.behaviour_mut().close(peer, connection);
                }
            }
        }
    }

    fn heard(&mut self, link: LinkId, frame: &Frame) {
        let Some(connection) = self.linked.get(&link).copied() else { return };
        let Some(visit) = self.visits.get_mut(&connection) else { return };
        let (now, took, peer) = (clock::wall(), visit.said.elapsed(), visit.peer);
        let (id, about) = visit.asked;
        let step = match (&frame.message, about) {
            (Message::Open(open), None) => self.walk.greeted(&peer, open, took, now),
            (Message::Hints(hints), Some(key)) if frame.id == id => {
                self.walk.answered(&peer, &key, hints, (took, now))
            }
            (Message::Refused(_), Some(_)) if frame.id == id => {
                return self.end(connection, Some(Failure::Silent));
            }
            // What it asks a neighbour is not for us.
            (_, _) => return,
        };
        let Step::Ask(key) = step else { return self.end(connection, None) };
        (visit.asked, visit.said) = ((id + 1, Some(key)), Instant::now());
        let count = u8::try_from(HINTS_PER_ANSWER_MAX).unwrap_or(u8::MAX);
        self.send(
            link,
            id + 1,
            Message::Closest(Closest { key, count, known: Known::default(), remembered: Known::default() }),
        );
    }

    fn forget(&mut self, connection: ConnectionId) -> Option<Calling> {
        let visit = self.visits.remove(&connection)?;
        self.deadlines.retain(|(at, _), which| *at != visit.deadline || *which != connection);
        Some(visit)
    }

    /// A visit is over, with or without what it was for.
    fn end(&mut self, connection: ConnectionId, failure: Option<Failure>) {
        let Some(visit) = self.forget(connection) else { return };
        if let Some(failure) = failure {
            self.walk.failed(&visit.peer, failure, clock::wall());
        }
        if let Some(link) = visit.link {
            self.linked.remove(&link);
            self.links.close(link);
        }
    }
}

fn failure(error: &DialError) -> Failure {
    if matches!(error, DialError::WrongPeerId { .. }) {
        Failure::Replaced
    } else if matches!(error, DialError::NoAddresses) {
        Failure::NoAddress
    } else if is_refusal(error) {
        Failure::Refused
    } else {
        Failure::Silent
    }
}
