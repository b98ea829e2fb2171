//! The floors: a ping-pong over one bare libp2p stream, and one verification.

use std::time::{Duration, Instant};

use callbook_host::Transports;
use callbook_net::{Event, Neighbours};
use callbook_overlay::key::{NetworkId, PublicKey};
use callbook_overlay::sign::{Signature, Strict, Verifier};
use futures::stream::FuturesUnordered;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Stream, Swarm, SwarmBuilder, noise, tcp, yamux};

/// Two swarms in this process with one stream between them; the far end answers.
pub(crate) struct Pair {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Pair {
    pub(crate) async fn start(transports: Transports) -> Self {
        let (mut near, mut far) = (swarm(), swarm());
        let address: &str = if transports == Transports::TcpOnly {
            "/ip4/127.0.0.1/tcp/0"
        } else {
            "/ip4/127.0.0.1/udp/0/quic-v1"
        };
        far.listen_on(address.parse().unwrap()).unwrap();
        let address: Multiaddr = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = far.select_next_some().await {
                break address;
            }
        };
        near.dial(address).unwrap();
        tokio::spawn(async move {
            loop {
                if let SwarmEvent::Behaviour(Event::Up { stream, .. }) = far.select_next_some().await {
                    tokio::spawn(answer(stream));
                }
            }
        });
        let stream = loop {
            if let SwarmEvent::Behaviour(Event::Up { stream, .. }) = near.select_next_some().await {
                break stream;
            }
        };
        tokio::spawn(async move {
            loop {
                near.select_next_some().await;
            }
        });
        Self { stream, buffer: vec![0; 4096] }
    }

    /// One request and its answer, of these sizes.
    pub(crate) async fn ping_pong(&mut self, request: usize, answer: usize) -> Duration {
        let began = Instant::now();
        let head = (request as u32).to_be_bytes().into_iter().chain((answer as u32).to_be_bytes());
        for (byte, value) in self.buffer.iter_mut().zip(head) {
            *byte = value;
        }
        self.stream.write_all(&self.buffer[..request]).await.unwrap();
        self.stream.flush().await.unwrap();
        self.stream.read_exact(&mut self.buffer[..answer]).await.unwrap();
        began.elapsed()
    }
}

/// A request over the first stream, and then one over each of the others at once: until the first of those is
/// answered. This is what α at once asks of the network, with nothing of ours.
pub(crate) async fn fan_out(pairs: &mut [Pair], request: usize, answer: usize) -> Duration {
    let began = Instant::now();
    if let [first, others @ ..] = pairs {
        first.ping_pong(request, answer).await;
        let mut asked: FuturesUnordered<_> =
            others.iter_mut().map(|pair| pair.ping_pong(request, answer)).collect();
        asked.next().await;
        let took = began.elapsed();
        while asked.next().await.is_some() {}
        return took;
    }
    began.elapsed()
}

fn swarm() -> Swarm<Neighbours> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|_| Neighbours::new(&NetworkId::from_bytes([1; 32])))
        .unwrap()
        .with_swarm_config(|config| {
            config.with_substream_upgrade_protocol_override(libp2p::core::upgrade::Version::V1Lazy)
        })
        .build()
}

/// Reads requests that begin with their own size and that of the answer.
async fn answer(mut stream: Stream) {
    let mut buffer = vec![0; 4096];
    loop {
        if stream.read_exact(&mut buffer[..8]).await.is_err() {
            return;
        }
        let size = |at: usize| u32::from_be_bytes(buffer[at..at + 4].try_into().unwrap()) as usize;
        let (request, answer) = (size(0), size(4));
        stream.read_exact(&mut buffer[8..request]).await.unwrap();
        stream.write_all(&buffer[..answer]).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// Something signed.
pub(crate) struct Signed {
    pub(crate) key: PublicKey,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Signature,
}

impl Signed {
    /// Time of one strict verification.
    pub(crate) fn verify(&self) -> Duration {
        let began = Instant::now();
        assert!(std::hint::black_box(Strict.verify(&self.key, &self.message, &self.signature)));
        began.elapsed()
    }
}
