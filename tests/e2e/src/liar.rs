//! A certified superpeer in the test's own process that serves what it is told to.
//!
//! It greets, says hello, names nobody, stores nothing and answers each question for a key with the
//! records that the test gave it. *Not here*: how it came by its certificate ([`Authority`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use callbook_net::{Event, FromLink, Links, Neighbours, address_of, multiaddr};
use callbook_overlay::api::{Address, LinkId, Transport};
use callbook_overlay::cbor::Blob;
use callbook_overlay::key::Key;
use callbook_overlay::network::Network as Facts;
use callbook_overlay::wire::{Frame, Got, Hint, Hints, Known, Message, PutDone, PutResult, Reason, Refused};
use futures::StreamExt;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, Stream, SwarmEvent};
use libp2p::{Multiaddr, Swarm};
use tokio::runtime::{Builder, Runtime};

use crate::stranger::{hello, open, stranger_key, stranger_swarm};
use crate::{Authority, Network};

const REDIAL: Duration = Duration::from_secs(1);

/// What a liar serves, and how often it was asked for it.
#[derive(Default)]
struct Served {
    records: BTreeMap<Key, Vec<Bytes>>,
    asked: usize,
}

/// A superpeer that the test plays.
pub struct Liar {
    /// How others know it.
    pub hint: Hint,
    served: Arc<Mutex<Served>>,
    _runtime: Runtime,
}

impl Liar {
    /// A new superpeer, nearer to `key` than all of `others`, that dials whoever listens at `addresses`.
    ///
    /// # Panics
    /// It can't listen or dial.
    #[must_use]
    pub fn start(network: &Network, key: &Key, others: &[Key], addresses: &[Multiaddr]) -> Self {
        let (authority, node) = (Authority::of(network), stranger_key());
        let builder = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = builder.expect("a runtime");
        let served = Arc::<Mutex<Served>>::default();
        let hint = runtime.block_on(async {
            let mut swarm = stranger_swarm(&node, Neighbours::new(&authority.facts.id));
            let any = Address { ip: network.room.address().into(), port: 0 };
            swarm.listen_on(multiaddr(&any, Transport::Tcp)).expect("a port");
            let address = loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    break address_of(&address).expect("an address of ours").0;
                }
            };
            let certificate = authority.node_nearest(&node, key, others);
            let hint = Hint { certificate, addresses: vec![address] };
            let said = Said { facts: authority.facts, hint: hint.clone(), served: Arc::clone(&served) };
            tokio::spawn(drive(swarm, addresses.to_vec(), said));
            hint
        });
        Self { hint, served, _runtime: runtime }
    }

    /// Its place.
    #[must_use]
    pub fn place(&self, facts: &Facts) -> Key {
        self.hint.certificate.node_id(&facts.id)
    }

    /// From now on it serves these records under this key.
    pub fn serve(&self, key: Key, records: &[Bytes]) {
        lock(&self.served).records.insert(key, records.to_vec());
    }

    /// How often it was asked for a bundle so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        lock(&self.served).asked
    }
}

fn lock(served: &Mutex<Served>) -> std::sync::MutexGuard<'_, Served> {
    served.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Said {
    facts: Facts,
    hint: Hint,
    served: Arc<Mutex<Served>>,
}

/// Dials everybody, again after a connection failed or ended: who is busy refuses strangers.
async fn drive(mut swarm: Swarm<Neighbours>, addresses: Vec<Multiaddr>, said: Said) {
    let (mut redial, mut dialled) =
        (tokio::time::interval(REDIAL), BTreeMap::<ConnectionId, Multiaddr>::new());
    loop {
        let event = tokio::select! {
            _ = redial.tick() => {
                for address in &addresses {
                    if !dialled.values().any(|known| known == address) {
                        // Not from where it listens: that port may be another connection's too, and then
                        // every dial fails.
                        let dial = DialOpts::unknown_peer_id().address(address.clone());
                        let dial = dial.allocate_new_port().build();
                        dialled.insert(dial.connection_id(), address.clone());
                        swarm.dial(dial).expect("an address to dial");
                    }
                }
                continue;
            }
            event = swarm.select_next_some() => event,
        };
        if let SwarmEvent::Behaviour(Event::Up { stream, .. }) = event {
            tokio::spawn(serve(stream, said.clone()));
        } else if let SwarmEvent::OutgoingConnectionError { connection_id, .. }
        | SwarmEvent::ConnectionClosed { connection_id, .. } = event
        {
            dialled.remove(&connection_id);
        }
    }
}

async fn serve(stream: Stream, said: Said) {
    const LINK: LinkId = LinkId(1);
    let mut links = Links::new(None, Arc::default());
    links.insert(LINK, stream);
    let greeting = Message::Open(open(&said.facts, Some(said.hint.clone())));
    let mut next = Some(Frame { id: 0, message: greeting });
    loop {
        if let Some(frame) = next.take()
            && links.send(LINK, &frame).is_err()
        {
            return;
        }
        let FromLink::Frame(_, Frame { id, message }) = links.next().await else { return };
        next = said.answer(message).map(|message| Frame { id, message });
    }
}

impl Said {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all that it doesn't play is refused alike")]
    fn answer(&self, message: Message) -> Option<Message> {
        let refused = Refused {
            reason: Reason::Unsupported.to_wire(),
            retry_after: None,
            candidates: Vec::new(),
            newer: None,
        };
        Some(match message {
            Message::Hello(_) => Message::HelloBack(hello(&self.facts)),
            Message::Closest(_) => {
                Message::Hints(Hints { hints: Vec::new(), shared: None, there: Known::default() })
            }
            Message::Get(get) => {
                let mut served = lock(&self.served);
                served.asked += 1;
                let records = served.records.get(&get.key).into_iter().flatten();
                let records = records.map(|record| Blob(record.clone())).collect();
                Message::Got(Got { records, closer: Vec::new(), passed_over: false })
            }
            Message::Put(put) => {
                let refused = Some(Reason::Limit.to_wire());
                let result = PutResult { signature: None, refused, newer: None };
                let results = put.records.iter().map(|_| result.clone()).collect();
                Message::PutDone(PutDone { results, others: Vec::new() })
            }
            Message::Open(_) | Message::Reject(_) | Message::Leave(_) | Message::Working(_) => return None,
            message if message.answers() => return None,
            _ => Message::Refused(refused),
        })
    }
}
