//! A peer in the test's own process that may say anything, or nothing.
//!
//! One connection to one peer, one overlay stream on it, and no protocol behind: what is written and
//! when it is read is the test's affair. *Not here*: a stranger that others dial (`liar` in the tests).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use callbook_net::{Event, Neighbours};
use callbook_overlay::network::Network as Facts;
use callbook_overlay::sign::SecretKey;
use callbook_overlay::wire::{Briefs, Frame, Hello, Hint, Message, Open};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, Stream, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::authority::now;

/// A peer that the test plays.
pub struct Stranger {
    /// Its node key.
    pub key: SecretKey,
    stream: Stream,
    asked: u64,
    /// Drives the connection; the last to go.
    runtime: Runtime,
}

/// A swarm of the stranger's kind with this behaviour. Must be called on a runtime.
///
/// # Panics
/// There is no transport.
#[must_use]
pub fn stranger_swarm<B: NetworkBehaviour + Send>(key: &SecretKey, behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes(*key.seed()).expect("a key"))
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .expect("TCP")
        .with_behaviour(|_| behaviour)
        .expect("a behaviour")
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(PATIENCE)
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .build()
}

/// A key that no other stranger of this test run has.
#[must_use]
pub fn stranger_key() -> SecretKey {
    static STRANGERS: AtomicU64 = AtomicU64::new(1);
    let mut seed = [77; 32];
    seed[..8].copy_from_slice(&STRANGERS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    SecretKey::from_seed(seed)
}

/// The first of a ready block's multiaddrs that is of TCP.
///
/// # Panics
/// There is none.
#[must_use]
pub fn tcp_address(listed: &Value) -> Multiaddr {
    let addresses = listed.as_array().expect("a list of addresses");
    let texts = addresses.iter().filter_map(Value::as_str);
    let tcp = texts.filter(|text| text.contains("/tcp/")).find_map(|text| text.parse().ok());
    tcp.expect("it listens on TCP")
}

/// `open` as version 1 says it.
#[must_use]
pub fn open(facts: &Facts, hint: Option<Hint>) -> Open {
    Open {
        protocol_min: 1,
        protocol_max: 1,
        features: 0,
        agent: "stranger".to_owned(),
        role: u8::from(hint.is_some()),
        load: 0,
        unix_time: now().as_secs(),
        network_version: facts.version,
        hint,
        children: None,
        network_age: None,
        alive: None,
        mark: None,
    }
}

/// `hello` as version 1 says it.
#[must_use]
pub fn hello(facts: &Facts) -> Hello {
    Hello {
        load: 0,
        heard: 1,
        network_version: facts.version,
        unix_time: now().as_secs(),
        gossip: Vec::new(),
        statements: Vec::new(),
        news: Briefs::default(),
        suspects: Briefs::default(),
        interval: 10,
    }
}

/// A frame as it travels.
///
/// # Panics
/// It is longer than a length can say.
#[must_use]
pub fn framed(frame: &Frame) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    frame.write(&mut bytes);
    let length = u32::try_from(bytes.len() - 4).expect("a short frame");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

impl Stranger {
    /// Connects to a peer and opens the overlay's stream; nothing is said yet.
    ///
    /// # Panics
    /// It can't be reached.
    #[must_use]
    pub fn meet(facts: &Facts, address: Multiaddr) -> Self {
        let builder = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (runtime, key) = (builder.expect("a runtime"), stranger_key());
        let stream = runtime.block_on(async {
            let mut swarm = stranger_swarm(&key, Neighbours::new(&facts.id));
            swarm.dial(address).expect("an address to dial");
            let stream = loop {
                let event = timeout(PATIENCE, swarm.select_next_some()).await;
                let event = event.expect("an answer to the dial");
                if let SwarmEvent::Behaviour(Event::Up { stream, .. }) = event {
                    break stream;
                }
                if let SwarmEvent::OutgoingConnectionError { error, .. } = event {
                    panic!("not reached: {error}");
                }
            };
            tokio::spawn(async move {
                loop {
                    swarm.select_next_some().await;
                }
            });
            stream
        });
        Self { key, stream, asked: 0, runtime }
    }

    /// Writes bytes as they are; whether the other side may still get them.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let stream = &mut self.stream;
        self.runtime.block_on(async {
            let written = async {
                stream.write_all(bytes).await?;
                stream.flush().await
            };
            timeout(PATIENCE, written).await.expect("what is written is taken or refused").is_ok()
        })
    }

    /// Writes bytes until they are not taken any more within `patience`; how many frames that was.
    pub fn flood(&mut self, frame: &[u8], patience: Duration) -> usize {
        let stream = &mut self.stream;
        self.runtime.block_on(async {
            let mut taken = 0;
            while let Ok(Ok(())) = timeout(patience, stream.write_all(frame)).await {
                taken += 1;
            }
            taken
        })
    }

    /// Says something.
    pub fn say(&mut self, id: u64, message: Message) -> bool {
        self.write(&framed(&Frame { id, message }))
    }

    /// The next frame; `None` once the stream has ended.
    ///
    /// # Panics
    /// Neither comes.
    pub fn hear(&mut self) -> Option<Frame> {
        let stream = &mut self.stream;
        self.runtime.block_on(async {
            let heard = async {
                let mut length = [0; 4];
                stream.read_exact(&mut length).await.ok()?;
                let mut frame = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut frame).await.ok()?;
                Some(Frame::read(Bytes::from(frame)).expect("a peer of ours sends frames"))
            };
            timeout(PATIENCE, heard).await.expect("a frame or the end of the stream")
        })
    }

    /// Waits until the other side has ended the stream.
    pub fn sees_the_end(&mut self) {
        while self.hear().is_some() {}
    }

    /// Greets, as a child or as the superpeer of a hint.
    ///
    /// # Panics
    /// The other side doesn't greet.
    pub fn greet(&mut self, facts: &Facts, hint: Option<Hint>) {
        self.say(0, Message::Open(open(facts, hint)));
        let first = self.hear();
        assert!(matches!(first, Some(Frame { message: Message::Open(_), .. })), "no greeting: {first:?}");
    }

    /// Asks, and answers what is asked meanwhile with silence; `None` if the stream ends first.
    pub fn ask(&mut self, message: Message) -> Option<Message> {
        self.asked += 1;
        let id = self.asked;
        self.say(id, message);
        loop {
            let frame = self.hear()?;
            if frame.id == id && frame.message.answers() {
                return Some(frame.message);
            }
        }
    }
}
