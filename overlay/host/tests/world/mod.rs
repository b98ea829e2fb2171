//! A network made for one test: its keys, its certificates, and hosts on loopback.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use callbook_host::{Handle, Host, Settings, StoreSetting, Transports, start};
use callbook_overlay::Username;
use callbook_overlay::api::{Command, Held, Hellos, How, Notice, Parallelism, Reply, Resolution, Role};
use callbook_overlay::certificate::{DeviceCertificate, LoginCertificate, NodeCertificate};
use callbook_overlay::key::NetworkId;
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::sign::{SecretKey, Signer};
use callbook_overlay::time::Unix;
use callbook_overlay::wire::Hint;
use tokio::sync::broadcast;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The authorities of one network.
pub(crate) struct World {
    login: SecretKey,
    pub(crate) network: Network,
}

impl World {
    pub(crate) fn new() -> Self {
        let (root, login) = (SecretKey::from_seed([200; 32]), SecretKey::from_seed([201; 32]));
        let id = NetworkId::from_bytes([42; 32]);
        let (not_before, not_after) = (now() - Duration::from_secs(60), now() + DAY);
        let certificate = LoginCertificate { key: login.public(), not_before, not_after }.issue(&id, &root);
        let network = Network {
            id,
            version: 1,
            roots: vec![root.public()],
            login: vec![certificate],
            secret: None,
            scope: Scope::Local,
            limits: Limits::Lab,
            parameters: Parameters { r: 2, ..Parameters::default() },
        };
        Self { login, network }
    }

    /// Settings of a child that listens nowhere and keeps nothing.
    pub(crate) fn child(&self, seed: u8) -> Settings {
        Settings {
            key: [seed; 32],
            network: self.network.clone(),
            listen: None,
            advertise: None,
            role: Role::Child,
            reluctant: false,
            store: StoreSetting::Memory,
            metrics_listen: None,
            routes: callbook_host::axum::Router::new(),
            session_bounds: callbook_host::session_bounds(),
            agent: "callbook-test/0".to_owned(),
            parallelism: Parallelism::default(),
            hellos: Hellos::default(),
            children_max: callbook_overlay::limits::CHILDREN_MAX,
            tells_children: true,
            serves_login: false,
            transports: Transports::Both,
        }
    }

    /// Settings of a superpeer on any port.
    pub(crate) fn superpeer(&self, seed: u8) -> Settings {
        let role = Role::Superpeer(self.certify(seed));
        Settings { listen: Some(any()), role, ..self.child(seed) }
    }

    fn certify(&self, seed: u8) -> NodeCertificate {
        let node = SecretKey::from_seed([seed; 32]).public().as_peer();
        let life = now() - Duration::from_secs(60)..now() + DAY;
        NodeCertificate::issue(node, [seed; 16], life, &self.network.id, &self.login)
    }

    /// A name with a certified device, ready to be registered.
    pub(crate) fn held(&self, name: &str, seed: u8) -> Held {
        let username = Username::parse(name).unwrap();
        let device = SecretKey::from_seed([seed; 32]);
        let certificate = DeviceCertificate {
            name: self.network.name_key(&username),
            device: device.public(),
            epoch: 0,
            serial: u64::from(seed),
            not_before: now() - Duration::from_secs(60),
            not_after: now() + DAY,
        };
        let chain = vec![self.network.login[0].clone(), certificate.issue(&self.network.id, &self.login)];
        Held {
            username,
            device: Box::new(device),
            chain,
            display: name.to_owned(),
            entries: Vec::new(),
            ttl: Duration::from_secs(60),
        }
    }
}

pub(crate) fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn now() -> Unix {
    Unix::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// A running host and its notices since its start.
pub(crate) struct Peer {
    pub(crate) handle: Handle,
    notices: broadcast::Receiver<Notice>,
}

impl Peer {
    pub(crate) async fn start(settings: Settings) -> Self {
        let Host { handle, .. } = start(settings).await.unwrap();
        let notices = handle.notices();
        Self { handle, notices }
    }

    pub(crate) async fn command(&self, command: Command) -> Reply {
        self.handle.command(command).await.unwrap()
    }

    /// The hints of the superpeers that this one would name.
    pub(crate) async fn sample(&self) -> Vec<Hint> {
        let reply = self.command(Command::Sample { count: 20, within: DAY }).await;
        let Reply::Seeds(hints) = reply else { panic!("{reply:?}") };
        hints
    }

    pub(crate) async fn notice(&mut self, wanted: impl Fn(&Notice) -> bool) {
        loop {
            let notice = self.notices.recv().await.unwrap();
            if wanted(&notice) {
                return;
            }
        }
    }

    pub(crate) async fn resolve(&self, name: &str) -> Resolution {
        let username = Username::parse(name).unwrap();
        let reply =
            self.command(Command::Resolve { username, how: How { fresh: true, ..How::default() } }).await;
        let Reply::Resolved(resolution) = reply else { panic!("{reply:?}") };
        resolution
    }
}

/// A body for requests.
pub(crate) fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
