//! A hostile neighbour on the raw stream: what it does to one superpeer is nobody else's affair.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use callbook_e2e::authority::now;
use callbook_e2e::stranger::{framed, open, stranger_key, stranger_swarm};
use callbook_e2e::{Authority, Network, PATIENCE, Peer, Stranger, until};
use callbook_net::protocol_name;
use callbook_overlay::key::Key;
use callbook_overlay::wire::{Closest, FRAME_BYTES_MAX, Frame, Get, Known, Leave, Message, Reason};
use futures::{AsyncWriteExt, StreamExt};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{DeniedUpgrade, ReadyUpgrade};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    Stream, SubstreamProtocol, SwarmEvent, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::time::timeout;

/// A network with a superpeer to attack, two children, and a name on each.
struct Attacked {
    children: [Peer; 2],
    supers: [Peer; 3],
    authority: Authority,
    _network: Network,
}

impl Attacked {
    fn start() -> Self {
        let network = Network::start();
        let supers: [Peer; 3] = network.superpeers();
        let children: [Peer; 2] = network.children();
        children[0].enrol("alice");
        children[1].enrol("bob");
        let authority = Authority::of(&network);
        Self { children, supers, authority, _network: network }
    }

    /// The superpeer that the first child is attached to.
    fn victim(&self) -> &Peer {
        let parent = self.children[0].parent().expect("attached");
        self.supers.iter().find(|peer| peer.id() == parent).expect("the parent is one of these")
    }

    fn stranger(&self, greeted: bool) -> Stranger {
        let mut stranger = Stranger::meet(&self.authority.facts, self.victim().address());
        if greeted {
            stranger.greet(&self.authority.facts, None);
        }
        stranger
    }

    /// The victim's child resolves through it, and the victim itself.
    fn all_are_served(&self, parent: &str) {
        self.children[0].ask(&["lookup", "--fresh", "bob"]).ok();
        self.children[1].ask(&["lookup", "--fresh", "alice"]).ok();
        self.victim().ask(&["lookup", "--fresh", "alice", "bob"]).ok();
        assert_eq!(self.children[0].parent().as_deref(), Some(parent), "the child had no reason to leave");
    }
}

fn a_question() -> Message {
    Message::Closest(Closest {
        key: Key::from_bytes([7; 32]),
        count: 20,
        known: Known::default(),
        remembered: Known::default(),
    })
}

#[test]
fn garbage_oversized_frames_and_what_is_out_of_turn_end_only_the_stranger_s_link() {
    // Goal: each nonsense ends its own link. Method: a raw stream for each kind; then everybody is asked.
    let network = Attacked::start();
    let parent = network.children[0].parent().expect("attached");
    let oversized = u32::try_from(FRAME_BYTES_MAX + 1).expect("64 KiB").to_be_bytes().to_vec();
    let deep = [&[0, 0, 4, 0][..], &[0x81; 1024]].concat();
    let cut = framed(&Frame { id: 1, message: a_question() });
    let mut lying = cut.clone();
    lying[4..].fill(0xff);
    for (nonsense, greeted) in [
        (vec![0xff; 4096], false),
        (vec![0xff; 4096], true),
        (oversized, true),
        (deep, true),
        (lying, true),
        (vec![0; 4], true),
        // A question before the greeting.
        (cut, false),
    ] {
        let mut stranger = network.stranger(greeted);
        stranger.write(&nonsense);
        stranger.sees_the_end();
        network.all_are_served(&parent);
    }
    // Half a frame, and then nothing any more: dropped with its stream.
    let mut stranger = network.stranger(true);
    stranger.write(&[0, 0, 1]);
    drop(stranger);
    network.all_are_served(&parent);
}

#[test]
fn an_unknown_message_is_refused_and_the_link_goes_on() {
    // Goal: a later version's question gets an answer, with its id; what only children and superpeers may say
    // is refused or ignored. Method: raw frames, an honest question after each.
    let network = Attacked::start();
    let parent = network.children[0].parent().expect("attached");
    let mut stranger = network.stranger(true);
    match stranger.ask(Message::Unknown { kind: 101 }) {
        Some(Message::Refused(refused)) => {
            assert_eq!(refused.reason, Reason::Unsupported.to_wire(), "{refused:?}");
        }
        other => panic!("{other:?}"),
    }
    // One that is nothing but nesting: an array in an array in an array …
    let nested = [&[0x83, 0x19, 0x10, 0x00, 0x18, 101][..], &[0x81; 60_000], &[0x00]].concat();
    let length = u32::try_from(nested.len()).expect("less than 64 KiB").to_be_bytes();
    stranger.write(&[&length[..], &nested].concat());
    let answer = stranger.hear();
    assert!(matches!(answer, Some(Frame { id: 0x1000, message: Message::Refused(_) })), "{answer:?}");
    // An answer to nothing, and the goodbye of somebody else.
    stranger.say(4711, Message::Unknown { kind: 250 });
    stranger.say(0, Message::Leave(Leave { unix_time: now().as_secs(), signature: [1; 64] }));
    assert!(matches!(stranger.ask(a_question()), Some(Message::Hints(_))));
    network.all_are_served(&parent);
}

#[test]
fn a_reader_that_stalls_does_not_stall_anybody_else() {
    // Goal: answers that nobody reads are bounded. Method: a stranger asks for much and reads nothing until no
    // more is taken from it, or its link is cut; the others are served all the while, and afterwards.
    let network = Attacked::start();
    let parent = network.children[0].parent().expect("attached");
    let mut stranger = network.stranger(true);
    let question = framed(&Frame { id: 1, message: a_question() });
    let gets = framed(&Frame {
        id: 2,
        message: Message::Get(Get { key: network.authority.key("alice"), known: Known::default() }),
    });
    let many: Vec<u8> = [question, gets].concat().repeat(200);
    let flooding = AtomicBool::new(true);
    let (batches, rounds) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let batches = stranger.flood(&many, Duration::from_secs(3));
            flooding.store(false, Ordering::Relaxed);
            batches
        });
        let mut rounds = 0;
        while flooding.load(Ordering::Relaxed) {
            network.all_are_served(&parent);
            rounds += 1;
        }
        (flood.join().expect("the flood ends by itself"), rounds)
    });
    assert!(batches > 0 && rounds > 0, "{batches} batches, {rounds} rounds");
    network.all_are_served(&parent);
}

#[test]
fn a_thousand_streams_on_a_connection_harm_nobody() {
    // Goal: one overlay stream per connection, whatever is opened. Method: a stranger opens a thousand,
    // on as many connections as it takes.
    let network = Attacked::start();
    let parent = network.children[0].parent().expect("attached");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (opened, connections) = runtime.expect("a runtime").block_on(open_streams(&network, 1_000));
    assert!(opened >= 1_000, "{opened} streams on {connections} connections");
    network.all_are_served(&parent);
    let mut stranger = network.stranger(true);
    assert!(matches!(stranger.ask(a_question()), Some(Message::Hints(_))));
    until("no link of the thousand is left", || {
        let peers = network.victim().ask(&["peers"]).ok();
        let others =
            peers["peers"].as_array().expect("a list").iter().filter(|peer| peer["relation"] == "other");
        (others.count() <= 1).then_some(())
    });
}

/// Opens so many streams, dialling again when a connection is cut; how many, and on how many connections.
async fn open_streams(network: &Attacked, wanted: usize) -> (usize, usize) {
    let (mut opened, mut connections) = (0, 0);
    let address = network.victim().address();
    let greeting = framed(&Frame { id: 0, message: Message::Open(open(&network.authority.facts, None)) });
    while opened < wanted {
        let facts = &network.authority.facts;
        let opener =
            Opener { protocol: protocol_name(&facts.id), left: wanted - opened, streams: Vec::new() };
        let mut swarm = stranger_swarm(&stranger_key(), opener);
        swarm.dial(address.clone()).expect("an address to dial");
        connections += 1;
        let before = opened;
        let mut held = Vec::new();
        while opened < wanted {
            let event = timeout(PATIENCE, swarm.select_next_some()).await.expect("streams, or their end");
            if let SwarmEvent::Behaviour(mut stream) = event {
                // The other side hears of a stream by what is written; whether it takes that is its affair.
                let written = async { stream.write_all(&greeting).await.and(stream.flush().await) };
                drop(timeout(PATIENCE, written).await.expect("taken or refused"));
                held.push(stream);
                opened += 1;
            } else if matches!(
                event,
                SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. }
            ) {
                break;
            }
        }
        assert!(opened > before, "a connection carries at least one stream");
    }
    (opened, connections)
}

/// Opens as many streams of the overlay's protocol as are left.
struct Opener {
    protocol: StreamProtocol,
    left: usize,
    streams: Vec<Stream>,
}

impl NetworkBehaviour for Opener {
    type ConnectionHandler = OpenerHandler;
    type ToSwarm = Stream;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(OpenerHandler { protocol: self.protocol.clone(), left: 0, streams: Vec::new() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(OpenerHandler { protocol: self.protocol.clone(), left: self.left, streams: Vec::new() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, stream: THandlerOutEvent<Self>) {
        self.streams.push(stream);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Stream, THandlerInEvent<Self>>> {
        self.streams.pop().map_or(Poll::Pending, |stream| Poll::Ready(ToSwarm::GenerateEvent(stream)))
    }
}

struct OpenerHandler {
    protocol: StreamProtocol,
    left: usize,
    streams: Vec<Stream>,
}

impl ConnectionHandler for OpenerHandler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Stream;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Stream>> {
        if let Some(stream) = self.streams.pop() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        if self.left == 0 {
            return Poll::Pending;
        }
        self.left -= 1;
        let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ());
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        if let ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) = event {
            self.streams.push(protocol);
        }
    }
}
