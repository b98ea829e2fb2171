//! The login server's keys, and what they certify: everybody who asks.
//!
//! *Not here*: passwords and accounts (the login server's crate), seeds (`world` asks peer 0).

use std::time::Duration;

use bytes::Bytes;
use callbook_overlay::Username;
use callbook_overlay::api::Held;
use callbook_overlay::certificate::{
    DEVICE_LIFE, DeviceCertificate, LOGIN_LIFE, LoginCertificate, NODE_LIFE, NodeCertificate,
};
use callbook_overlay::key::{Key, NetworkId, PeerId};
use callbook_overlay::limits::TTL_DEFAULT;
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::sign::Signer;
use callbook_overlay::time::Unix;

use crate::peers::Past;
use crate::random::Random;
use crate::signing::Keys;
use crate::time::START_UNIX;

/// Certificates are this old when a run begins: they are renewed daily.
const AGE: Duration = Duration::from_secs(12 * 3_600);

/// Where certificates are of all ages, those of names are older by up to this: five days. *Guess*: so that
/// some have less than three days left.
const DEVICE_AGE_MAX: Duration = Duration::from_secs(108 * 3_600);

/// And those of superpeers by up to this, so that all outlive three days: superpeers are online when they can
/// renew. *Guess*.
const NODE_AGE_MAX: Duration = Duration::from_secs(60 * 3_600);

/// Keys of a network and what they certify.
pub(crate) struct Authority {
    pub(crate) network: Network,
    pub(crate) keys: Keys,
    login: Box<dyn Signer>,
    random: Random,
    /// Whether certificates are of all ages.
    pub(crate) aged: bool,
}

impl Authority {
    pub(crate) fn new(keys: Keys, parameters: Parameters, seed: u64) -> Self {
        let mut random = Random::of(seed, "authority");
        let (root, login) = (keys.key("root", 0), keys.key("login", 0));
        let id = NetworkId::from_bytes(random.seed());
        let not_before = begun();
        let certificate =
            LoginCertificate { key: login.public(), not_before, not_after: not_before + LOGIN_LIFE };
        let network = Network {
            id,
            version: 1,
            roots: vec![root.public()],
            login: vec![certificate.issue(&id, &*root)],
            secret: None,
            // The addresses of a simulation are private; caps by address group are for global ones.
            scope: Scope::Local,
            limits: Limits::Normal,
            parameters,
        };
        Self { network, keys, login, random, aged: false }
    }

    /// The key of a peer.
    pub(crate) fn node_key(&self, peer: u32) -> Box<dyn Signer> {
        self.keys.key("node", u64::from(peer))
    }

    /// A node certificate, at a place that is drawn now.
    pub(crate) fn certify_node(&mut self, id: PeerId) -> NodeCertificate {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&self.random.seed()[..16]);
        let not_before = if self.aged { begun() - self.age(NODE_AGE_MAX) } else { begun() };
        let life = not_before..not_before + NODE_LIFE;
        NodeCertificate::issue(id, nonce, life, &self.network.id, &*self.login)
    }

    /// A node certificate that begins now, for somebody who becomes a superpeer.
    pub(crate) fn certify_node_now(&mut self, id: PeerId, now: Unix) -> NodeCertificate {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&self.random.seed()[..16]);
        NodeCertificate::issue(id, nonce, now..now + NODE_LIFE, &self.network.id, &*self.login)
    }

    fn age(&mut self, most: Duration) -> Duration {
        Duration::from_secs(self.random.below(most.as_secs()))
    }

    /// When the certificate of a peer's name began: the same at each of its starts, or what it was when it went
    /// before the run.
    fn device_begun(&self, peer: u32, past: Option<Past>) -> Unix {
        let mut at = begun();
        if self.aged {
            // Even over all ages, neighbours far apart.
            let share = f64::from(peer.wrapping_mul(2_654_435_769)) / f64::from(u32::MAX);
            at = at - Duration::from_secs_f64(share * DEVICE_AGE_MAX.as_secs_f64());
        }
        past.map_or(at, |past| at.min(past.went() - AGE))
    }

    /// Who comes back has its certificate renewed, unless the login server is away: the one that it has then.
    fn after(&self, past: Option<Past>) -> Option<Past> {
        past.filter(|_| self.aged)
    }

    /// When the certificate of a peer's name ends, in the run.
    pub(crate) fn device_ends(&self, peer: u32, past: Option<Past>) -> Unix {
        self.device_begun(peer, self.after(past)) + DEVICE_LIFE
    }

    /// The name of a peer, as it holds it at each start.
    pub(crate) fn held(&self, peer: u32, past: Option<Past>) -> Held {
        self.held_since(peer, self.device_begun(peer, self.after(past)))
    }

    /// The name of a peer, as it held it when it went before the run.
    pub(crate) fn held_before(&self, peer: u32, past: Past) -> Held {
        self.held_since(peer, self.device_begun(peer, Some(past)))
    }

    fn held_since(&self, peer: u32, not_before: Unix) -> Held {
        let username = name_of(peer);
        let device = self.keys.key("device", u64::from(peer));
        let certificate = DeviceCertificate {
            name: self.network.name_key(&username),
            device: device.public(),
            epoch: 1,
            serial: u64::from(peer) + 1,
            not_before,
            not_after: not_before + DEVICE_LIFE,
        };
        let chain: Vec<Bytes> =
            vec![self.network.login[0].clone(), certificate.issue(&self.network.id, &*self.login)];
        Held { username, device, chain, display: String::new(), entries: Vec::new(), ttl: TTL_DEFAULT }
    }

    /// Where the records of a peer's name are.
    pub(crate) fn key_of(&self, peer: u32) -> Key {
        self.network.name_key(&name_of(peer))
    }
}

fn begun() -> Unix {
    Unix::from_secs(START_UNIX - AGE.as_secs())
}

/// The name that a peer holds.
pub(crate) fn name_of(peer: u32) -> Username {
    Username::parse(&format!("peer-{peer}")).expect("a valid name")
}

/// A name that nobody holds.
pub(crate) fn nobody(number: u64) -> Username {
    Username::parse(&format!("nobody-{number}")).expect("a valid name")
}
