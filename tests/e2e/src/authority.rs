//! The test as the login key: it certifies whom it likes, and signs records that no product would.
//!
//! *Not here*: accounts; a name that is only signed for is found all the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use callbook_login::{NetworkFile, key_file};
use callbook_overlay::Username;
use callbook_overlay::certificate::{DeviceCertificate, NodeCertificate};
use callbook_overlay::key::Key;
use callbook_overlay::limits::{DEVICE_LIFE_MAX, TTL_MIN};
use callbook_overlay::network::Network as Facts;
use callbook_overlay::record::{
    DeviceDraft, DevicePayload, EpochDraft, EpochPayload, Record, sign_device, sign_epoch,
};
use callbook_overlay::sign::{SecretKey, Signer};
use callbook_overlay::time::Unix;

use crate::Network;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// First of the serial numbers that are given out here, above all that a login server counts to.
const SERIALS: u64 = 1 << 32;

/// The login key of a network, and the network as peers know it.
#[derive(Clone)]
pub struct Authority {
    /// The network's facts.
    pub facts: Facts,
    login: SecretKey,
}

/// What the wall clock says.
///
/// # Panics
/// It says a time before 1970.
#[must_use]
pub fn now() -> Unix {
    Unix::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs())
}

impl Authority {
    /// The network's own, from the login server's folder.
    ///
    /// # Panics
    /// The folder holds no network.
    #[must_use]
    pub fn of(network: &Network) -> Self {
        let text = std::fs::read_to_string(network.file()).expect("the network file");
        let facts = NetworkFile::parse(&text).expect("a good network file").to_network();
        let login = key_file::read_key(&network.folder().join("login.key"), key_file::LOGIN);
        Self { facts, login: login.expect("the login key") }
    }

    /// One that nobody certified, with the same certificates to show.
    #[must_use]
    pub fn impostor(&self) -> Self {
        Self { facts: self.facts.clone(), login: SecretKey::from_seed([66; 32]) }
    }

    /// The key of a name.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn key(&self, name: &str) -> Key {
        self.facts.name_key(&username(name))
    }

    /// Certifies a node whose place is nearer to `key` than all of `others`: what takes the login
    /// server's nonce out of a cheat's hands.
    #[must_use]
    pub fn node_nearest(&self, node: &SecretKey, key: &Key, others: &[Key]) -> NodeCertificate {
        let nearest = others.iter().map(|other| other.distance(key)).min();
        let issued = (0_u128..).map(|number| {
            let life = now() - HOUR..now() + 24 * HOUR;
            let nonce = number.to_be_bytes();
            NodeCertificate::issue(node.public().as_peer(), nonce, life, &self.facts.id, &self.login)
        });
        let near = |certificate: &NodeCertificate| {
            let distance = certificate.node_id(&self.facts.id).distance(key);
            nearest.as_ref().is_none_or(|nearest| distance < *nearest)
        };
        let mut issued = issued.filter(near);
        issued.next().expect("there are nonces enough")
    }

    /// A device that is certified for a name since some hours ago.
    #[must_use]
    pub fn device(&self, name: &str) -> Device {
        static SERIAL: AtomicU64 = AtomicU64::new(SERIALS);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut seed = [33; 32];
        seed[..8].copy_from_slice(&serial.to_be_bytes());
        let device = SecretKey::from_seed(seed);
        let certificate = DeviceCertificate {
            name: self.key(name),
            device: device.public(),
            epoch: 0,
            serial,
            not_before: now() - 100 * HOUR,
            not_after: now() + 60 * HOUR,
        };
        let chain = vec![self.facts.login[0].clone(), certificate.issue(&self.facts.id, &self.login)];
        Device { facts: self.facts.clone(), username: username(name), device, chain, serial }
    }

    /// The epoch record that revokes devices of a name.
    ///
    /// # Panics
    /// There are more of them than fit.
    #[must_use]
    pub fn revocation(&self, name: &str, serials: &[u64]) -> Record {
        let draft = EpochDraft {
            key: self.key(name),
            payload: &EpochPayload { minimum: 0, revoked: serials.to_vec() },
            seq: 1,
            now: now(),
            chain: &self.facts.login[..1],
        };
        sign_epoch(draft, &self.facts, &self.login).expect("an epoch record")
    }
}

/// A certified device, and what it signs.
#[derive(Clone)]
pub struct Device {
    /// Where it counts: another network's makes its records count there.
    pub facts: Facts,
    /// Names its certificate in revocations.
    pub serial: u64,
    username: Username,
    device: SecretKey,
    chain: Vec<Bytes>,
}

impl Device {
    /// The device key's public half, as `lookup` shows it.
    #[must_use]
    pub fn hex(&self) -> String {
        self.device.public().to_hex()
    }

    /// Signs a record as of `age` ago.
    ///
    /// # Panics
    /// The certificate was not valid then.
    #[must_use]
    pub fn record(&self, seq: u64, age: Duration) -> Record {
        let peer = self.device.public().as_peer();
        let display = format!("number {seq}");
        let payload =
            DevicePayload { peer, parent: None, addresses: Vec::new(), entries: Vec::new(), display };
        let draft = DeviceDraft {
            username: &self.username,
            payload: &payload,
            epoch: 0,
            seq,
            now: now() - age,
            life: DEVICE_LIFE_MAX,
            ttl: TTL_MIN,
            chain: &self.chain,
        };
        sign_device(draft, &self.facts, &self.device).expect("a record")
    }

    /// A record with one bit of its sealed payload changed: it reads well, and nobody signed it.
    ///
    /// # Panics
    /// Our own record can't be found in its bytes.
    #[must_use]
    pub fn forged(&self, seq: u64) -> Bytes {
        let record = self.record(seq, Duration::ZERO);
        let (bytes, payload) = (record.bytes(), record.payload());
        let at = bytes.windows(payload.len()).position(|window| window == payload).expect("its payload");
        let mut bytes = bytes.to_vec();
        bytes[at + payload.len() - 1] ^= 1;
        bytes.into()
    }
}

fn username(name: &str) -> Username {
    Username::parse(name).expect("a username")
}
