//! A network of real overlays in one process: virtual time, an event queue, a seeded latency.
//!
//! Every frame passes through the codec. One seed gives one run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use bytes::Bytes;
use callbook_overlay::api::{
    Address, Command, CommandId, Config, Effect, Effects, Failure, Held, How, Input, LinkId, Notice,
    Parallelism, Reply, Resolution, Restored, Role, Write,
};
use callbook_overlay::certificate::{
    DEVICE_LIFE, DeviceCertificate, LoginCertificate, NODE_LIFE, NodeCertificate,
};
use callbook_overlay::key::{NetworkId, PeerId};
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::record::{EpochDraft, EpochPayload, sign_epoch};
use callbook_overlay::sign::{SecretKey, Signer, Strict};
use callbook_overlay::time::{Instant, Now, Unix};
use callbook_overlay::wire::{Frame, Hint};
use callbook_overlay::{Overlay, Username};

const START: u64 = 1_800_000_000;

/// Keys of a network and what they certify.
pub(crate) struct Authority {
    pub(crate) network: Network,
    login: SecretKey,
    serial: u64,
}

impl Authority {
    pub(crate) fn new(r: usize) -> Self {
        let (root, login) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
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
        Self { network, login, serial: 0 }
    }

    fn node(&self, peer: PeerId, number: u64, life: Duration) -> NodeCertificate {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let life = Unix::from_secs(START)..Unix::from_secs(START) + life;
        NodeCertificate::issue(peer, nonce, life, &self.network.id, &self.login)
    }

    /// A name held with a fresh device key; the serial is that of its certificate.
    pub(crate) fn held(&mut self, name: &str) -> (Held, u64) {
        self.serial += 1;
        (self.held_again(name, self.serial, DEVICE_LIFE), self.serial)
    }

    /// A name held with the device key and serial of an earlier [`Self::held`], certified for `life`.
    pub(crate) fn held_again(&self, name: &str, serial: u64, life: Duration) -> Held {
        let username = Username::parse(name).expect("a valid name");
        let device = SecretKey::from_seed([serial as u8; 32]);
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

#[derive(Default)]
struct Disk {
    records: BTreeMap<callbook_overlay::api::Slot, Bytes>,
    sequences: BTreeMap<(callbook_overlay::key::Key, callbook_overlay::key::PublicKey), u64>,
    contacts: BTreeMap<PeerId, Bytes>,
    anchors: Vec<PeerId>,
}

struct Peer {
    overlay: Option<Overlay>,
    key: SecretKey,
    role: Role,
    address: Address,
    disk: Disk,
    clock_offset: i64,
    notices: Vec<Notice>,
}

/// What becomes of a frame from one peer to another: nothing, itself, or something else.
pub(crate) type Tamper = Box<dyn FnMut(usize, usize, Frame) -> Option<Frame>>;

/// The network.
pub(crate) struct World {
    pub(crate) authority: Authority,
    peers: Vec<Peer>,
    by_id: BTreeMap<PeerId, usize>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, (usize, Input)>,
    links: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    replies: BTreeMap<CommandId, Reply>,
    now: u64,
    count: u64,
    random: u64,
    parallelism: Parallelism,
    /// What watches have told, in order.
    pub(crate) changes: Vec<(CommandId, Result<Resolution, Failure>)>,
    /// Sees every frame before it is carried.
    pub(crate) tamper: Option<Tamper>,
    /// A hash over everything that happened.
    pub(crate) trace: blake3::Hasher,
}

impl World {
    pub(crate) fn new(seed: u64, r: usize, parallelism: Parallelism) -> Self {
        Self {
            authority: Authority::new(r),
            peers: Vec::new(),
            by_id: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            links: BTreeMap::new(),
            replies: BTreeMap::new(),
            now: 0,
            count: 0,
            random: seed,
            parallelism,
            changes: Vec::new(),
            tamper: None,
            trace: blake3::Hasher::new(),
        }
    }

    pub(crate) fn random(&mut self) -> u64 {
        // splitmix64 (Steele, Lea, Flood 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Adds a peer that is not running yet.
    pub(crate) fn add(&mut self, superpeer: bool) -> usize {
        self.add_for(superpeer, NODE_LIFE)
    }

    /// As [`Self::add`], with a node certificate that ends earlier.
    pub(crate) fn add_for(&mut self, superpeer: bool, life: Duration) -> usize {
        let index = self.peers.len();
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&(index as u64 + 1).to_be_bytes());
        let key = SecretKey::from_seed(seed);
        let id = key.public().as_peer();
        let number = self.random();
        let role =
            if superpeer { Role::Superpeer(self.authority.node(id, number, life)) } else { Role::Child };
        let address = Address { ip: [127, 0, 0, 1].into(), port: 1_000 + index as u16 };
        let (disk, notices) = (Disk::default(), Vec::new());
        self.peers.push(Peer { overlay: None, key, role, address, disk, clock_offset: 0, notices });
        self.by_id.insert(id, index);
        index
    }

    pub(crate) fn set_clock_offset(&mut self, index: usize, seconds: i64) {
        self.peers[index].clock_offset = seconds;
    }

    /// Starts a peer with what its disk holds, and tells it of `seeds`.
    pub(crate) fn start(&mut self, index: usize, seeds: &[usize]) {
        let seed = *blake3::hash(&self.random().to_be_bytes()).as_bytes();
        let now = self.clock(index);
        let (network, parallelism) = (self.authority.network.clone(), self.parallelism);
        let peer = &mut self.peers[index];
        let restored = Restored {
            records: peer.disk.records.values().cloned().collect(),
            sequences: peer.disk.sequences.iter().map(|((key, device), seq)| (*key, *device, *seq)).collect(),
            contacts: peer.disk.contacts.values().cloned().collect(),
            anchors: peer.disk.anchors.clone(),
        };
        let config = Config {
            network,
            node: Box::new(peer.key.clone()),
            seed,
            role: peer.role.clone(),
            agent: String::from("world"),
            addresses: vec![peer.address],
            multiaddrs: vec![Bytes::from_static(b"\x04\x7f\0\0\x01")],
            reluctant: false,
            parallelism,
            children_max: callbook_overlay::limits::CHILDREN_MAX,
            restored,
        };
        let (overlay, effects) = Overlay::new(config, Box::new(Strict), now);
        peer.overlay = Some(overlay);
        self.perform(index, effects);
        let hints = seeds.iter().filter_map(|seed| self.hint(*seed)).collect();
        self.tell(index, Command::Seeds(hints));
    }

    fn hint(&self, index: usize) -> Option<Hint> {
        match &self.peers[index].role {
            Role::Superpeer(certificate) => {
                Some(Hint { certificate: certificate.clone(), addresses: vec![self.peers[index].address] })
            }
            Role::Child => None,
        }
    }

    /// The process dies: its links end at once.
    pub(crate) fn crash(&mut self, index: usize) {
        self.peers[index].overlay = None;
        let ended: Vec<_> = self.links.keys().filter(|(owner, _)| *owner == index).copied().collect();
        for link in ended {
            self.end_link(link);
        }
    }

    /// The machine is gone without a word: its links stay open at the other ends until they time out.
    pub(crate) fn vanish(&mut self, index: usize) {
        self.peers[index].overlay = None;
        let open: Vec<_> = self.links.keys().filter(|(owner, _)| *owner == index).copied().collect();
        for link in open {
            if let Some((other, theirs)) = self.links.remove(&link) {
                self.links.remove(&(other, theirs));
                self.after(30_000_000, other, Input::Disconnected { link: theirs });
            }
        }
    }

    /// The disk of a peer is lost.
    pub(crate) fn wipe(&mut self, index: usize) {
        self.peers[index].disk = Disk::default();
    }

    /// Says something to `to` in the name of `from`, on a link that is open between them.
    pub(crate) fn say(&mut self, from: usize, to: usize, frame: &Frame) {
        let link = self.links.iter().find(|((owner, _), (other, _))| (*owner, *other) == (from, to));
        let ((_, link), _) = link.expect("a link is open");
        self.carry(from, *link, frame);
    }

    /// Whether a link is open between two peers.
    pub(crate) fn linked(&self, from: usize, to: usize) -> bool {
        self.links.iter().any(|((owner, _), (other, _))| (*owner, *other) == (from, to))
    }

    /// The answer to a command, once it is there.
    pub(crate) fn reply(&mut self, command: CommandId) -> Option<Reply> {
        self.replies.remove(&command)
    }

    pub(crate) fn peer(&self, index: usize) -> PeerId {
        self.peers[index].key.public().as_peer()
    }

    fn end_link(&mut self, link: (usize, LinkId)) {
        if let Some((other, theirs)) = self.links.remove(&link) {
            self.links.remove(&(other, theirs));
            self.after(500, other, Input::Disconnected { link: theirs });
        }
    }

    /// Gives a command; its reply comes by [`World::reply`].
    pub(crate) fn tell(&mut self, index: usize, command: Command) -> CommandId {
        self.count += 1;
        let id = CommandId(self.count);
        self.input(index, Input::Command(id, command));
        id
    }

    /// Runs until the command is answered.
    pub(crate) fn ask(&mut self, index: usize, command: Command) -> Reply {
        let id = self.tell(index, command);
        for _ in 0..1_000_000 {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            assert!(self.turn(u64::MAX), "nothing is left to happen, and no reply");
        }
        panic!("no reply after a million events");
    }

    pub(crate) fn resolve(&mut self, index: usize, name: &str) -> Resolution {
        match self.try_resolve(index, name, false) {
            Reply::Resolved(resolution) => resolution,
            other => panic!("{name} from {index}: {other:?}"),
        }
    }

    pub(crate) fn try_resolve(&mut self, index: usize, name: &str, fresh: bool) -> Reply {
        let username = Username::parse(name).expect("a valid name");
        self.ask(index, Command::Resolve { username, how: How { fresh, ..How::default() } })
    }

    pub(crate) fn register(&mut self, index: usize, held: Held) {
        match self.ask(index, Command::Register(Box::new(held))) {
            Reply::Registered(_) => {}
            other => panic!("registration at {index}: {other:?}"),
        }
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time.as_micros() as u64;
        while self.turn(until) {}
        self.now = until;
    }

    pub(crate) fn unix(&self) -> Unix {
        Unix::from_secs(START + self.now / 1_000_000)
    }

    pub(crate) fn notices(&self, index: usize) -> &[Notice] {
        &self.peers[index].notices
    }

    pub(crate) fn overlay(&self, index: usize) -> &Overlay {
        self.peers[index].overlay.as_ref().expect("the peer runs")
    }

    pub(crate) fn parent(&mut self, index: usize) -> Option<usize> {
        match self.ask(index, Command::Status) {
            Reply::Status(status) => status.parent.map(|parent| self.by_id[&parent.peer]),
            other => panic!("status: {other:?}"),
        }
    }

    fn clock(&self, index: usize) -> Now {
        let unix = self.unix().as_secs().saturating_add_signed(self.peers[index].clock_offset);
        Now { instant: Instant::from_micros(self.now), unix: Unix::from_secs(unix) }
    }

    fn after(&mut self, micros: u64, index: usize, input: Input) {
        self.count += 1;
        self.queue.push(Reverse((self.now + micros, self.count)));
        self.events.insert(self.count, (index, input));
    }

    /// Lets the next thing happen, unless it is later than `until`.
    fn turn(&mut self, until: u64) -> bool {
        let event = self.queue.peek().map(|Reverse((at, _))| *at);
        let deadline = self
            .peers
            .iter()
            .enumerate()
            .filter_map(|(index, peer)| Some((peer.overlay.as_ref()?.next_deadline()?.as_micros(), index)))
            .min();
        let timer_first = match (event, deadline) {
            (Some(event), Some((at, _))) => at < event,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => return false,
        };
        if timer_first {
            let Some((at, index)) = deadline else { return false };
            if at > until {
                return false;
            }
            self.now = self.now.max(at);
            self.input(index, Input::Tick);
        } else {
            if event.is_some_and(|at| at > until) {
                return false;
            }
            let Some(Reverse((at, id))) = self.queue.pop() else { return false };
            self.now = self.now.max(at);
            if let Some((index, input)) = self.events.remove(&id) {
                self.input(index, input);
            }
        }
        true
    }

    fn input(&mut self, index: usize, input: Input) {
        let now = self.clock(index);
        self.trace.update(format!("{} {index} {input:?}\n", self.now).as_bytes());
        let Some(overlay) = self.peers[index].overlay.as_mut() else { return };
        let effects = overlay.handle(now, input);
        self.perform(index, effects);
    }

    fn perform(&mut self, index: usize, effects: Effects) {
        for effect in effects.0 {
            self.trace.update(format!("{index} {effect:?}\n").as_bytes());
            match effect {
                Effect::Dial { peer, .. } => self.connect(index, peer),
                Effect::Send { link, frame } => self.carry(index, link, &frame),
                Effect::Close { link } => self.end_link((index, link)),
                Effect::Persist { writes, .. } => self.write(index, writes),
                Effect::Reply { command, reply } => {
                    assert!(self.replies.insert(command, reply).is_none(), "a command is answered once");
                }
                Effect::Changed { command, outcome } => self.changes.push((command, outcome)),
                Effect::Notice(notice) => self.peers[index].notices.push(notice),
            }
        }
    }

    fn connect(&mut self, index: usize, peer: PeerId) {
        let latency = 1_000 + self.random() % 20_000;
        let there = self.by_id.get(&peer).copied().filter(|other| self.peers[*other].overlay.is_some());
        let Some(other) = there else { return self.after(latency, index, Input::DialFailed { peer }) };
        self.count += 2;
        let (ours, theirs) = (LinkId(self.count), LinkId(self.count + 1_000_000_000));
        self.links.insert((index, ours), (other, theirs));
        self.links.insert((other, theirs), (index, ours));
        let me = self.peers[index].key.public().as_peer();
        self.after(latency, index, Input::Connected { link: ours, peer, dialled: true });
        self.after(latency, other, Input::Connected { link: theirs, peer: me, dialled: false });
    }

    fn carry(&mut self, index: usize, link: LinkId, frame: &Frame) {
        let Some((other, theirs)) = self.links.get(&(index, link)).copied() else { return };
        let mut frame = frame.clone();
        if let Some(tamper) = &mut self.tamper {
            let Some(tampered) = tamper(index, other, frame) else { return };
            frame = tampered;
        }
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        let frame = Frame::read(bytes.into()).expect("our own frames can be read");
        // Latency is fixed per link, so that a stream keeps its order.
        let latency = 2_000 + (link.0.min(theirs.0) % 40) * 1_000;
        self.after(latency, other, Input::Received { link: theirs, frame });
    }

    fn write(&mut self, index: usize, writes: Vec<Write>) {
        let disk = &mut self.peers[index].disk;
        for write in writes {
            match write {
                Write::Record { slot, bytes } => {
                    disk.records.insert(slot, bytes);
                }
                Write::Forget(slot) => {
                    disk.records.remove(&slot);
                }
                Write::Sequence { key, device, seq } => {
                    let old = disk.sequences.insert((key, device), seq);
                    assert!(old.is_none_or(|old| old < seq), "a sequence number never goes down");
                }
                Write::Contact { peer, bytes } => {
                    disk.contacts.insert(peer, bytes);
                }
                Write::ForgetContact(peer) => {
                    disk.contacts.remove(&peer);
                }
                Write::Anchors(anchors) => disk.anchors = anchors,
            }
        }
    }
}
