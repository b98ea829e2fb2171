//! Keys of a network and what they certify.

use std::time::Duration;

use bytes::Bytes;
use callbook_overlay::Username;
use callbook_overlay::api::Held;
use callbook_overlay::certificate::{DEVICE_LIFE, DeviceCertificate, LoginCertificate, NodeCertificate};
use callbook_overlay::key::{NetworkId, PeerId};
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::record::{EpochDraft, EpochPayload, sign_epoch};
use callbook_overlay::sign::Signer;
use callbook_overlay::time::Unix;

use super::START;
use super::signing::{Key, Made};

/// Keys of a network and what they certify.
pub(crate) struct Authority {
    pub(crate) network: Network,
    pub(super) made: Made,
    login: Key,
    serial: u64,
}

impl Authority {
    pub(crate) fn new(r: usize) -> Self {
        let made = Made::default();
        let (root, login) = (Key::new([1; 32], &made), Key::new([2; 32], &made));
        let id = NetworkId::from_bytes([3; 32]);
        let (not_before, not_after) = (Unix::from_secs(START), Unix::from_secs(START + 80 * 86_400));
        let certificate = LoginCertificate { key: login.public(), not_before, not_after };
        let network = Network {
            id,
            version: 1,
            roots: vec![root.public()],
            login: vec![certificate.issue(&id, &root)],
            secret: None,
            scope: Scope::Local,
            limits: Limits::Lab,
            parameters: Parameters { r, ..Parameters::default() },
        };
        Self { network, made, login, serial: 0 }
    }

    pub(super) fn key(&self, seed: [u8; 32]) -> Key {
        Key::new(seed, &self.made)
    }

    /// A node certificate for anybody.
    pub(crate) fn node(&self, peer: PeerId, number: u64, life: Duration) -> NodeCertificate {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let life = Unix::from_secs(START)..Unix::from_secs(START) + life;
        NodeCertificate::issue(peer, nonce, life, &self.network.id, &self.login)
    }

    /// The same place, certified until `life` after the start.
    pub(crate) fn node_again(&self, former: &NodeCertificate, life: Duration) -> NodeCertificate {
        let life = Unix::from_secs(START)..Unix::from_secs(START) + life;
        NodeCertificate::issue(former.node, former.nonce, life, &self.network.id, &self.login)
    }

    /// A name held with a fresh device key; the serial is that of its certificate.
    pub(crate) fn held(&mut self, name: &str) -> (Held, u64) {
        self.serial += 1;
        (self.held_again(name, self.serial, DEVICE_LIFE), self.serial)
    }

    /// A name held with the device key and serial of an earlier [`Self::held`], certified for `life`.
    pub(crate) fn held_again(&self, name: &str, serial: u64, life: Duration) -> Held {
        let username = Username::parse(name).expect("a valid name");
        let mut seed = [serial as u8; 32];
        seed[..8].copy_from_slice(&serial.to_be_bytes());
        let device = self.key(seed);
        let certificate = DeviceCertificate {
            name: self.network.name_key(&username),
            device: device.public(),
            epoch: 1,
            serial,
            not_before: Unix::from_secs(START),
            not_after: Unix::from_secs(START) + life,
        };
        let chain = vec![self.network.login[0].clone(), certificate.issue(&self.network.id, &self.login)];
        let (display, ttl) = (String::from("A person"), Duration::from_secs(60));
        Held { username, device: Box::new(device), chain, display, entries: Vec::new(), ttl }
    }

    /// An epoch record that revokes one serial.
    pub(crate) fn revoke(&self, name: &str, serial: u64, now: Unix) -> Bytes {
        let key = self.network.name_key(&Username::parse(name).expect("a valid name"));
        let payload = EpochPayload { minimum: 1, revoked: vec![serial] };
        let chain = [self.network.login[0].clone()];
        let draft = EpochDraft { key, payload: &payload, seq: 1, now, chain: &chain };
        sign_epoch(draft, &self.network, &self.login).expect("a valid epoch record").bytes().clone()
    }
}
