//! Two connected swarms, driven by tasks of their own.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use callbook_net::{Event, Neighbours, multiaddr, protocol_name};
use callbook_overlay::api::{Address, Transport};
use callbook_overlay::key::NetworkId;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use libp2p::core::upgrade::{DeniedUpgrade, ReadyUpgrade, Version};
use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, DialError, FromSwarm,
    NetworkBehaviour, Stream, SubstreamProtocol, SwarmEvent, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The streams of two swarms, and the tasks that drive them.
pub(crate) struct Pair {
    /// The dialler's stream; `None` if it was refused.
    pub(crate) dialler: BoxFuture<'static, Option<Stream>>,
    /// The listener's stream.
    pub(crate) listener: BoxFuture<'static, Option<Stream>>,
    /// Ends the swarms when it is dropped.
    pub(crate) tasks: JoinSet<()>,
}

/// Connects two peers of the given networks.
pub(crate) async fn connect(dialler: NetworkId, listener: NetworkId, transport: Transport) -> Pair {
    let mut tasks = JoinSet::new();
    let (address, listener) = listen(listener, transport, &mut tasks).await;
    let mut swarm = swarm(1, Neighbours::new(&dialler));
    swarm.dial(address).unwrap();
    let (streams, mut dialler) = mpsc::channel(4);
    tasks.spawn(drive(swarm, streams));
    Pair { dialler: async move { dialler.recv().await.flatten() }.boxed(), listener, tasks }
}

/// Connects a peer that opens two streams on its connection.
pub(crate) async fn connect_twice(
    network: NetworkId,
    transport: Transport,
) -> (Vec<Stream>, BoxFuture<'static, Option<Stream>>, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let (address, listener) = listen(network, transport, &mut tasks).await;
    let mut swarm = swarm(1, Twice { protocol: protocol_name(&network), streams: Vec::new() });
    swarm.dial(address).unwrap();
    let mut streams = Vec::new();
    while streams.len() < 2 {
        if let SwarmEvent::Behaviour(stream) = swarm.select_next_some().await {
            streams.push(stream);
        }
    }
    tasks.spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    (streams, listener, tasks)
}

/// How a dial of an address ends that nobody answers at.
pub(crate) async fn fail_to_dial(address: Multiaddr) -> DialError {
    let mut swarm = swarm(1, Neighbours::new(&NetworkId::from_bytes([1; 32])));
    let peer = swarm_peer(2);
    swarm.dial(DialOpts::peer_id(peer).addresses(vec![address]).build()).unwrap();
    loop {
        if let SwarmEvent::OutgoingConnectionError { error, .. } = swarm.select_next_some().await {
            return error;
        }
    }
}

async fn listen(
    network: NetworkId,
    transport: Transport,
    tasks: &mut JoinSet<()>,
) -> (Multiaddr, BoxFuture<'static, Option<Stream>>) {
    let mut swarm = swarm(2, Neighbours::new(&network));
    let any = Address { ip: "127.0.0.1".parse().unwrap(), port: 0 };
    swarm.listen_on(multiaddr(&any, transport)).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let address = address.with_p2p(*swarm.local_peer_id()).unwrap();
    let (streams, mut taken) = mpsc::channel(4);
    tasks.spawn(drive(swarm, streams));
    (address, async move { taken.recv().await.flatten() }.boxed())
}

fn swarm_peer(seed: u8) -> PeerId {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap().public().to_peer_id()
}

fn swarm<B: NetworkBehaviour + Send>(seed: u8, behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes([seed; 32]).unwrap())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::from_secs(30))
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .build()
}

/// Passes streams on; a refusal as `None`.
async fn drive(mut swarm: Swarm<Neighbours>, streams: mpsc::Sender<Option<Stream>>) {
    loop {
        if let SwarmEvent::Behaviour(event) = swarm.select_next_some().await {
            match event {
                Event::Up { stream, .. } => streams.send(Some(stream)).await.unwrap(),
                Event::Unsupported { .. } => streams.send(None).await.unwrap(),
                Event::Down { .. } => {}
            }
        }
    }
}

/// Opens two streams of the overlay's protocol on each connection.
struct Twice {
    protocol: StreamProtocol,
    streams: Vec<Stream>,
}

impl NetworkBehaviour for Twice {
    type ConnectionHandler = TwiceHandler;
    type ToSwarm = Stream;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(TwiceHandler { protocol: self.protocol.clone(), open: 0, out: Vec::new() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(TwiceHandler { protocol: self.protocol.clone(), open: 2, out: Vec::new() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, stream: THandlerOutEvent<Self>) {
        self.streams.push(stream);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Stream, THandlerInEvent<Self>>> {
        self.streams.pop().map_or(Poll::Pending, |stream| Poll::Ready(ToSwarm::GenerateEvent(stream)))
    }
}

struct TwiceHandler {
    protocol: StreamProtocol,
    open: u8,
    out: Vec<Stream>,
}

impl ConnectionHandler for TwiceHandler {
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
        if let Some(stream) = self.out.pop() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        if self.open == 0 {
            return Poll::Pending;
        }
        self.open -= 1;
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
            self.out.push(protocol);
        }
    }
}
