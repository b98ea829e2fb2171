//! The network that is measured: its keys, its hosts, its records.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use callbook_host::{Handle, Host, Settings, StoreSetting, Transports};
use callbook_overlay::Username;
use callbook_overlay::api::{Command, Hellos, How, Parallelism, Reply, Role, Source};
use callbook_overlay::cbor::Blob;
use callbook_overlay::certificate::{
    DEVICE_LIFE, DeviceCertificate, LOGIN_LIFE, LoginCertificate, NODE_LIFE, NodeCertificate,
};
use callbook_overlay::key::NetworkId;
use callbook_overlay::limits::{DEVICE_LIFE_MAX, TTL_MAX};
use callbook_overlay::network::{Limits, Parameters, Scope};
use callbook_overlay::record::{DeviceDraft, DevicePayload, Record, sign_device};
use callbook_overlay::sign::{SecretKey, Signer, Tag, to_sign};
use callbook_overlay::time::Unix;
use callbook_overlay::wire::{Frame, Hint, Message, Resolve, Resolved};
use futures::StreamExt;
use futures::stream;

pub(crate) const SUPERPEERS: usize = 64;
pub(crate) const REPLICAS: usize = 20;
/// Names that records are published under, again and again.
const NAMES: usize = 600;

/// Whether the parents shall have a new record in their caches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Cached,
    Uncached,
}

pub(crate) struct Network {
    network: callbook_overlay::network::Network,
    login: SecretKey,
    superpeers: Vec<Host>,
    /// Children of a hedging parent and of one that asks α at once, and these parents.
    children: [(Host, usize); 2],
    names: Vec<Name>,
    next: usize,
}

struct Name {
    username: Username,
    device: SecretKey,
    chain: Vec<Bytes>,
    seq: u64,
}

fn now() -> Unix {
    Unix::from_secs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

impl Network {
    pub(crate) async fn start(transports: Transports) -> Self {
        let (root, login) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let id = NetworkId::from_bytes([3; 32]);
        let certificate =
            LoginCertificate { key: login.public(), not_before: now(), not_after: now() + LOGIN_LIFE };
        let network = callbook_overlay::network::Network {
            id,
            version: 1,
            roots: vec![root.public()],
            login: vec![certificate.issue(&id, &root)],
            secret: None,
            scope: Scope::Local,
            limits: Limits::Lab,
            parameters: Parameters { r: REPLICAS, ..Parameters::default() },
        };
        let mut superpeers = Vec::new();
        let mut hints = Vec::new();
        for index in 0..SUPERPEERS {
            let (settings, certificate) = superpeer(&network, &login, index, transports);
            let host = callbook_host::start(settings).await.unwrap();
            let listener = host.handle.listeners().pop().unwrap();
            let (address, _) = callbook_net::address_of(&listener).unwrap();
            hints.push(Hint { certificate, addresses: vec![address] });
            superpeers.push(host);
        }
        for host in &superpeers {
            host.handle.command(Command::Seeds(hints.clone())).await.unwrap();
        }
        wait_for(&superpeers, |status| {
            status.superpeers == SUPERPEERS && status.superpeer_links == SUPERPEERS - 1
        })
        .await;
        let mut children = Vec::new();
        for (parent, hint) in hints.iter().take(2).enumerate() {
            let settings = Settings { key: [200 + parent as u8; 32], ..child(&network, transports) };
            let host = callbook_host::start(settings).await.unwrap();
            host.handle.command(Command::Seeds(vec![hint.clone()])).await.unwrap();
            wait_for(std::slice::from_ref(&host), |status| status.parent.is_some()).await;
            children.push((host, parent));
        }
        let names = (0..NAMES).map(|index| name(&network, &login, index)).collect();
        let children = children.try_into().unwrap_or_else(|_| unreachable!("there are two"));
        let mut built = Self { network, login, superpeers, children, names, next: 0 };
        built.warm().await;
        built
    }

    /// Each name once, so that every chain is in every cache that will need it.
    async fn warm(&mut self) {
        for name in self.fresh(NAMES, Wanted::Uncached).await {
            for parallelism in [Parallelism::Hedged, Parallelism::AtOnce] {
                self.resolve(parallelism, &name, true).await;
            }
        }
    }

    /// Publishes a new record under each of the next `count` names.
    pub(crate) async fn fresh(&mut self, count: usize, wanted: Wanted) -> Vec<Username> {
        let mut names = Vec::with_capacity(count);
        for _ in 0..count.min(NAMES) {
            let index = self.next % NAMES;
            self.next += 1;
            let record = self.record(index);
            let name = self.names[index].username.clone();
            self.command(2, Command::Put(record.bytes().clone())).await;
            if wanted == Wanted::Cached {
                for parent in 0..2 {
                    self.command(
                        parent,
                        Command::Resolve {
                            username: name.clone(),
                            how: How { fresh: true, ..How::default() },
                        },
                    )
                    .await;
                }
            }
            names.push(name);
        }
        // A put is acknowledged by a majority; the others get it right after that.
        tokio::time::sleep(Duration::from_millis(50)).await;
        names
    }

    fn record(&mut self, index: usize) -> Record {
        let addresses = (0..4).map(|number| Bytes::from(vec![number; 12])).collect();
        let name = &mut self.names[index];
        name.seq += 1;
        let peer = name.device.public().as_peer();
        let display = String::from("Somebody Or Other");
        let payload = DevicePayload { peer, parent: Some(peer), addresses, entries: Vec::new(), display };
        let draft = DeviceDraft {
            username: &name.username,
            payload: &payload,
            epoch: 1,
            seq: name.seq,
            now: now(),
            life: DEVICE_LIFE_MAX,
            ttl: TTL_MAX,
            chain: &name.chain,
        };
        sign_device(draft, &self.network, &name.device).unwrap()
    }

    async fn command(&self, superpeer: usize, command: Command) {
        match self.superpeers[superpeer].handle.command(command).await.unwrap() {
            Reply::Stored(_) | Reply::Resolved(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// One look-up at the child whose parent asks this way: its time and source.
    pub(crate) async fn resolve(
        &self,
        parallelism: Parallelism,
        name: &Username,
        fresh: bool,
    ) -> (Duration, Source) {
        resolve(&self.child(parallelism), name, fresh).await
    }

    pub(crate) async fn resolve_all(
        &self,
        parallelism: Parallelism,
        names: Vec<Username>,
        fresh: bool,
        in_flight: usize,
    ) {
        let child = self.child(parallelism);
        let lookups = stream::iter(names).map(|name| {
            let child = child.clone();
            async move { resolve(&child, &name, fresh).await }
        });
        lookups.buffer_unordered(in_flight).collect::<Vec<_>>().await;
    }

    fn child(&self, parallelism: Parallelism) -> Handle {
        let index = usize::from(parallelism == Parallelism::AtOnce);
        self.children[index].0.handle.clone()
    }

    /// Bytes on the wire of a look-up's request and answer, with the length before each.
    pub(crate) fn frame_sizes(&mut self) -> (usize, usize) {
        let record = self.record(0);
        let key = record.header().key;
        let records = vec![Blob(record.bytes().clone())];
        let answer =
            Resolved { status: 0, records, hops: 1, source: 4, denials: 0, storers: 0, trace: Vec::new() };
        let size = |message| {
            let mut bytes = Vec::new();
            Frame { id: 70_000, message }.write(&mut bytes);
            bytes.len() + 4
        };
        (size(Message::Resolve(Resolve { key, flags: 1 })), size(Message::Resolved(answer)))
    }

    /// A signed message as long as a record's body.
    pub(crate) fn a_message(&self) -> crate::floor::Signed {
        let message = to_sign(Tag::Device, &self.network.id, &[7; 400]);
        crate::floor::Signed { key: self.login.public(), signature: self.login.sign(&message), message }
    }

    pub(crate) async fn stop(self) {
        for host in self.superpeers.into_iter().chain(self.children.map(|(child, _)| child)) {
            host.handle.stop().await;
        }
    }
}

async fn resolve(child: &Handle, name: &Username, fresh: bool) -> (Duration, Source) {
    let began = Instant::now();
    let reply = child
        .command(Command::Resolve { username: name.clone(), how: How { fresh, ..How::default() } })
        .await
        .unwrap();
    let took = began.elapsed();
    match reply {
        Reply::Resolved(resolution) if resolution.devices.len() == 1 => (took, resolution.source),
        other => panic!("{name}: {other:?}"),
    }
}

fn child(network: &callbook_overlay::network::Network, transports: Transports) -> Settings {
    Settings {
        key: [0; 32],
        network: network.clone(),
        listen: None,
        advertise: None,
        role: Role::Child,
        reluctant: false,
        store: StoreSetting::Memory,
        metrics_listen: None,
        routes: callbook_host::axum::Router::new(),
        session_bounds: callbook_host::session_bounds(),
        agent: String::from("bench"),
        parallelism: Parallelism::Hedged,
        hellos: Hellos::default(),
        children_max: callbook_overlay::limits::CHILDREN_MAX,
        tells_children: true,
        serves_login: false,
        transports,
    }
}

fn superpeer(
    network: &callbook_overlay::network::Network,
    login: &SecretKey,
    index: usize,
    transports: Transports,
) -> (Settings, NodeCertificate) {
    let key = [index as u8 + 10; 32];
    let node = SecretKey::from_seed(key).public().as_peer();
    let certificate =
        NodeCertificate::issue(node, [index as u8; 16], now()..now() + NODE_LIFE, &network.id, login);
    let settings = Settings {
        key,
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        role: Role::Superpeer(certificate.clone()),
        parallelism: if index == 1 { Parallelism::AtOnce } else { Parallelism::Hedged },
        hellos: Hellos::default(),
        children_max: callbook_overlay::limits::CHILDREN_MAX,
        tells_children: true,
        ..child(network, transports)
    };
    (settings, certificate)
}

fn name(network: &callbook_overlay::network::Network, login: &SecretKey, index: usize) -> Name {
    let username = Username::parse(&format!("name-{index}")).unwrap();
    let device = SecretKey::from_seed(seed(index));
    let certificate = DeviceCertificate {
        name: network.name_key(&username),
        device: device.public(),
        epoch: 1,
        serial: index as u64 + 1,
        not_before: now(),
        not_after: now() + DEVICE_LIFE,
    };
    let chain = vec![network.login[0].clone(), certificate.issue(&network.id, login)];
    Name { username, device, chain, seq: 0 }
}

/// A different seed for each index.
fn seed(index: usize) -> [u8; 32] {
    let mut seed = [99; 32];
    seed[..8].copy_from_slice(&(index as u64).to_be_bytes());
    seed
}

/// Waits until all are in a state; says who is not when that takes long.
async fn wait_for(hosts: &[Host], done: impl Fn(&callbook_overlay::api::Status) -> bool) {
    for (index, host) in hosts.iter().enumerate() {
        for attempt in 0.. {
            match host.handle.command(Command::Status).await.unwrap() {
                Reply::Status(status) if done(&status) => break,
                Reply::Status(status) if attempt % 500 == 499 => {
                    println!("  host {index} still has {status:?}")
                }
                Reply::Status(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => panic!("{other:?}"),
            }
        }
    }
}
