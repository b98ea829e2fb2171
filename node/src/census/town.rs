//! A network for unit tests: superpeers with certificates, which answer as real ones do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use callbook_overlay::api::Address;
use callbook_overlay::certificate::{LoginCertificate, NodeCertificate};
use callbook_overlay::key::{Key, NetworkId, PeerId};
use callbook_overlay::limits::HINTS_PER_ANSWER_MAX;
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::sign::{SecretKey, Signer};
use callbook_overlay::time::Unix;
use callbook_overlay::wire::{Hint, Hints, Known, Open, PROTOCOL, TELLS_CHILDREN};

use super::walk::{Failure, Found, Questions, Step, Target, Walk};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When it all happens.
pub(super) fn now() -> Unix {
    Unix::from_secs(1_800_000_000)
}

/// See the module's text.
pub(super) struct Town {
    pub(super) network: Network,
    login: SecretKey,
    places: BTreeMap<PeerId, Key>,
    /// Everybody, with the keys of those whom it knows.
    pub(super) superpeers: BTreeMap<PeerId, (Hint, Option<BTreeSet<PeerId>>)>,
    /// Those that don't answer.
    pub(super) dead: BTreeSet<PeerId>,
    /// How often each was visited.
    pub(super) visits: BTreeMap<PeerId, u32>,
}

impl Town {
    /// A town of so many superpeers, each of which knows all.
    pub(super) fn of(count: u32) -> Self {
        let (root, login) = (SecretKey::from_seed([200; 32]), SecretKey::from_seed([201; 32]));
        let id = NetworkId::from_bytes([42; 32]);
        let certificate =
            LoginCertificate { key: login.public(), not_before: now() - DAY, not_after: now() + DAY };
        let network = Network {
            id,
            version: 1,
            roots: vec![root.public()],
            login: vec![certificate.issue(&id, &root)],
            secret: None,
            scope: Scope::Local,
            limits: Limits::Normal,
            parameters: Parameters::default(),
        };
        let mut town = Self {
            network,
            login,
            places: BTreeMap::new(),
            superpeers: BTreeMap::new(),
            dead: BTreeSet::new(),
            visits: BTreeMap::new(),
        };
        for number in 0..count {
            let hint = town.hint(number, &town.login);
            let place = hint.certificate.node_id(&town.network.id);
            town.places.insert(hint.peer(), place);
            town.superpeers.insert(hint.peer(), (hint, None));
        }
        town
    }

    /// A superpeer's hint, certified by this key.
    pub(super) fn hint(&self, number: u32, login: &SecretKey) -> Hint {
        let key = blake3::hash(&number.to_be_bytes());
        let node = PeerId::from_bytes(*key.as_bytes());
        let life = now() - DAY..now() + DAY;
        let certificate = NodeCertificate::issue(node, [0; 16], life, &self.network.id, login);
        let [_, _, high, low] = number.to_be_bytes();
        Hint { certificate, addresses: vec![Address { ip: [10, 0, high, low].into(), port: 1_000 }] }
    }

    pub(super) fn peers(&self) -> Vec<PeerId> {
        self.superpeers.keys().copied().collect()
    }

    pub(super) fn target(&self, peer: &PeerId) -> Target {
        Target::of(self.superpeers[peer].0.clone())
    }

    /// Where a superpeer is.
    pub(super) fn place(&self, peer: &PeerId) -> Key {
        let named = || self.superpeers[peer].0.certificate.node_id(&self.network.id);
        self.places.get(peer).copied().unwrap_or_else(named)
    }

    pub(super) fn open(&self, peer: &PeerId) -> Open {
        Open {
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            features: TELLS_CHILDREN,
            agent: "town/1".to_owned(),
            role: 1,
            load: 0,
            unix_time: now().as_secs(),
            network_version: 1,
            hint: Some(self.superpeers[peer].0.clone()),
            children: Some(3),
            network_age: None,
            alive: None,
            mark: None,
        }
    }

    /// As `serve_closest` of the core answers.
    fn closest(&self, teller: &PeerId, key: &Key) -> Hints {
        let known = &self.superpeers[teller].1;
        let knows =
            |peer: &&PeerId| known.as_ref().is_none_or(|known| known.contains(*peer) || *peer == teller);
        let mut all: Vec<PeerId> = self.superpeers.keys().filter(knows).copied().collect();
        all.sort_by_cached_key(|peer| self.place(peer).distance(key));
        all.truncate(HINTS_PER_ANSWER_MAX);
        let farthest = all.last().filter(|_| all.len() == HINTS_PER_ANSWER_MAX);
        let shared = farthest
            .map(|peer| self.place(peer).distance(key).bucket().map_or(u8::MAX, |bucket| u8::MAX - bucket));
        Hints {
            hints: all.iter().map(|peer| self.superpeers[peer].0.clone()).collect(),
            shared,
            there: Known::default(),
        }
    }

    /// A whole walk from these, with so many visits under way at once.
    pub(super) fn walk(&mut self, start: &[PeerId], at_once: usize) -> Found {
        let start: Vec<Target> = start.iter().map(|peer| self.target(peer)).collect();
        let walk = Walk::new(&self.network, start, Questions::default(), now());
        self.drive(walk, at_once).0
    }

    pub(super) fn drive(&mut self, mut walk: Walk, at_once: usize) -> (Found, Questions) {
        let mut under_way = Vec::new();
        loop {
            while under_way.len() < at_once
                && let Some((peer, addresses)) = walk.next(now())
            {
                assert!(!addresses.is_empty());
                under_way.push(peer);
            }
            let Some(peer) = under_way.pop() else { break };
            *self.visits.entry(peer).or_default() += 1;
            if self.dead.contains(&peer) || !self.superpeers.contains_key(&peer) {
                walk.failed(&peer, Failure::Silent, now());
                continue;
            }
            let took = Duration::from_millis(5);
            let mut step = walk.greeted(&peer, &self.open(&peer), took, now());
            while let Step::Ask(key) = step {
                let hints = self.closest(&peer, &key);
                step = walk.answered(&peer, &key, &hints, (took, now()));
            }
        }
        assert!(walk.is_over());
        walk.finish()
    }
}
