//! A small network with one account, and records built field by field, so that tests can break them.

use std::cell::Cell;
use std::sync::LazyLock;

use bytes::Bytes;
use callbook_overlay::Invalid;
use callbook_overlay::Username;
use callbook_overlay::certificate::{DEVICE_LIFE, DeviceCertificate, LOGIN_LIFE, LoginCertificate};
use callbook_overlay::key::{Key, NetworkId, PeerId, PublicKey};
use callbook_overlay::limits::{DEVICE_LIFE_MAX, TTL_DEFAULT};
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::record::{
    ChainCache, DeviceDraft, DevicePayload, Entry, EntryKind, EpochDraft, EpochPayload, Record, Verified,
    sign_device, sign_epoch, verify,
};
use callbook_overlay::sign::{SecretKey, Signature, Signer, Strict, Tag, Verifier, to_sign};
use callbook_overlay::time::Unix;
use minicbor::Encoder;

pub(crate) const NOW: Unix = Unix::from_secs(1_800_000_000);

/// One network with one account that has one device.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) root: SecretKey,
    pub(crate) login: SecretKey,
    pub(crate) device: SecretKey,
    pub(crate) username: Username,
    pub(crate) login_certificate: Bytes,
    pub(crate) device_certificate: Bytes,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_id(NetworkId::from_bytes([1; 32]))
    }

    /// The world of [`Self::new`], made once: for properties, which run a thousand times.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<World> = LazyLock::new(World::new);
        &SHARED
    }

    /// The same keys on another network.
    pub(crate) fn with_id(id: NetworkId) -> Self {
        let [root, login, device] = [10, 11, 12].map(|seed| SecretKey::from_seed([seed; 32]));
        let login_certificate = login_certificate(&login).issue(&id, &root);
        let network = Network {
            id,
            version: 1,
            roots: vec![root.public()],
            login: vec![login_certificate.clone()],
            secret: None,
            scope: Scope::Local,
            limits: Limits::Normal,
            parameters: Parameters::default(),
        };
        let username = Username::parse("alice").expect("a username");
        let certificate = device_certificate(network.name_key(&username), &device);
        let device_certificate = certificate.issue(&id, &login);
        Self { network, root, login, device, username, login_certificate, device_certificate }
    }

    pub(crate) fn key(&self) -> Key {
        self.network.name_key(&self.username)
    }

    /// The device key where a node key is expected.
    pub(crate) fn device_peer(&self) -> PeerId {
        self.device.public().as_peer()
    }

    pub(crate) fn chain(&self) -> [Bytes; 2] {
        [self.login_certificate.clone(), self.device_certificate.clone()]
    }

    pub(crate) fn record(&self, payload: &DevicePayload, seq: u64) -> Result<Record, Invalid> {
        let chain = self.chain();
        let draft = DeviceDraft {
            username: &self.username,
            payload,
            epoch: 0,
            seq,
            now: NOW,
            life: DEVICE_LIFE_MAX,
            ttl: TTL_DEFAULT,
            chain: &chain,
        };
        sign_device(draft, &self.network, &self.device)
    }

    pub(crate) fn typical(&self, seq: u64) -> Record {
        self.record(&typical_payload(), seq).expect("a valid record")
    }

    /// A second device of the same name, and its record.
    pub(crate) fn other_device(&self, seed: u8, serial: u64, epoch: u32) -> Record {
        let device = SecretKey::from_seed([seed; 32]);
        let certificate = DeviceCertificate { serial, epoch, ..device_certificate(self.key(), &device) };
        let chain = [self.login_certificate.clone(), certificate.issue(&self.network.id, &self.login)];
        let fields = Fields { epoch, ..Fields::of(self) };
        let body = fields.body();
        let record = wrap(&body, &self.signature(Tag::Device, &body, &device), &chain);
        Record::parse(record).expect("a valid record")
    }

    pub(crate) fn epoch(&self, minimum: u32, revoked: &[u64], seq: u64) -> Record {
        let payload = EpochPayload { minimum, revoked: revoked.to_vec() };
        let chain = [self.login_certificate.clone()];
        let draft = EpochDraft { key: self.key(), payload: &payload, seq, now: NOW, chain: &chain };
        sign_epoch(draft, &self.network, &self.login).expect("a valid record")
    }

    pub(crate) fn signature(&self, tag: Tag, body: &[u8], signer: &SecretKey) -> Signature {
        signer.sign(&to_sign(tag, &self.network.id, body))
    }

    /// All checks of a record that came from a stranger.
    pub(crate) fn accept(&self, bytes: &[u8], cache: &mut ChainCache) -> Result<Verified, Invalid> {
        let record = Record::parse(bytes)?;
        record.check_header(NOW)?;
        verify(&record, &self.network, NOW, cache, &Strict)
    }

    /// As [`Self::accept`], with nothing remembered.
    pub(crate) fn accept_afresh(&self, bytes: &[u8]) -> Result<Verified, Invalid> {
        self.accept(bytes, &mut ChainCache::default())
    }
}

pub(crate) fn login_certificate(login: &SecretKey) -> LoginCertificate {
    LoginCertificate { key: login.public(), not_before: NOW, not_after: NOW + LOGIN_LIFE }
}

pub(crate) fn device_certificate(name: Key, device: &SecretKey) -> DeviceCertificate {
    DeviceCertificate {
        name,
        device: device.public(),
        epoch: 0,
        serial: 0x1234_5678_9abc_def0,
        not_before: NOW,
        not_after: NOW + DEVICE_LIFE,
    }
}

/// Parent, four addresses, 80 bytes of entries and 24 of display name, as in spikes.md §4.
pub(crate) fn typical_payload() -> DevicePayload {
    DevicePayload {
        peer: PeerId::from_bytes([2; 32]),
        parent: Some(PeerId::from_bytes([3; 32])),
        addresses: (0..4).map(|number| Bytes::from(vec![number; 50])).collect(),
        entries: vec![
            Entry {
                service: Some("_ssh._tcp".into()),
                kind: EntryKind::Srv { priority: 0, weight: 1, port: 22, target: "home.example.org".into() },
            },
            Entry { service: None, kind: EntryKind::Txt("v=callbook1 key=value and some more".into()) },
        ],
        display: "Alice from the other side".into(),
    }
}

/// A body, field by field.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) version: u64,
    pub(crate) algorithm: u64,
    pub(crate) kind: u64,
    pub(crate) key: Key,
    pub(crate) epoch: u32,
    pub(crate) seq: u64,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) ttl: u64,
    pub(crate) payload: Vec<u8>,
}

impl Fields {
    /// Those of a valid device record.
    pub(crate) fn of(world: &World) -> Self {
        Self {
            version: 1,
            algorithm: 1,
            kind: 1,
            key: world.key(),
            epoch: 0,
            seq: 7,
            not_before: NOW.as_secs(),
            not_after: (NOW + DEVICE_LIFE_MAX).as_secs(),
            ttl: 60,
            payload: vec![5; 100],
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut Encoder::new(&mut bytes)).expect("writing to memory");
        bytes
    }

    fn write(
        &self,
        e: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.map(10)?.u8(0)?.u64(self.version)?.u8(1)?.u64(self.algorithm)?.u8(2)?.u64(self.kind)?;
        e.u8(3)?.bytes(self.key.as_bytes())?.u8(4)?.u32(self.epoch)?.u8(5)?.u64(self.seq)?;
        e.u8(6)?.u64(self.not_before)?.u8(7)?.u64(self.not_after)?.u8(8)?.u64(self.ttl)?;
        e.u8(9)?.bytes(&self.payload)?.ok()
    }

    /// The record of these fields, signed by the world's device.
    pub(crate) fn signed(&self, world: &World) -> Vec<u8> {
        let body = self.body();
        wrap(&body, &world.signature(Tag::Device, &body, &world.device), &world.chain())
    }
}

/// Body, signature and chain as a record travels.
pub(crate) fn wrap(body: &[u8], signature: &[u8], chain: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = vec![0xa3, 0];
    bytes.extend(string(body));
    bytes.push(1);
    bytes.extend(string(signature));
    bytes.extend([2, 0x80 | u8::try_from(chain.len()).expect("a short chain")]);
    chain.iter().for_each(|certificate| bytes.extend(string(certificate.as_ref())));
    bytes
}

/// A CBOR byte string.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    minicbor::to_vec(minicbor::bytes::ByteVec::from(bytes.to_vec())).expect("writing to memory")
}

/// Counts the signature checks that it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Counting(pub(crate) Cell<usize>);

impl Verifier for Counting {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        self.0.set(self.0.get() + 1);
        Strict.verify(key, message, signature)
    }
}
