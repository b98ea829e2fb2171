//! A network of real overlays in one process: virtual time, an event queue, faults from a seed.
//!
//! ```text
//!  tell, ask ─▶ input ─▶ Overlay::handle ─▶ effects ─▶ wire (links, latency) ─▶ events ─┐
//!                 ▲                           └─▶ disk, replies, notices                │
//!                 └──────────── turn: the next event or deadline ◀──────────────────────┘
//! ```
//! Every frame passes through the codec. One seed gives one run, and one [`World::trace`]. What must
//! hold whatever happens is asserted in `invariants`. *Not here*: what happens (`scenarios`).

mod authority;
mod disk;
mod faults;
mod holdings;
mod signing;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use callbook_overlay::api::{
    Address, Command, CommandId, Config, Effect, Effects, Failure, Held, Hellos, How, Input, LinkId, Notice,
    Parallelism, Reply, Resolution, Role, Seen, Slot, Write,
};
use callbook_overlay::certificate::NODE_LIFE;
use callbook_overlay::key::{Key, PeerId};
use callbook_overlay::sign::Signer;
use callbook_overlay::time::{Instant, Now, Unix};
use callbook_overlay::wire::Hint;
use callbook_overlay::{Overlay, Username};

pub(crate) use self::authority::Authority;
pub(crate) use self::wire::{Conditions, Tamper};

use self::disk::Disk;
use self::wire::End;
use crate::invariants::Ledger;

const START: u64 = 1_800_000_000;

struct Peer {
    overlay: Option<Overlay>,
    key: signing::Key,
    role: Role,
    address: Address,
    /// Where it listens, or did when it ran last.
    listens: Address,
    disk: Disk,
    clock_offset: i64,
    notices: Vec<Notice>,
    /// When the overlay wants a tick.
    deadline: Option<u64>,
    /// While frozen: what it will take in when it goes on.
    frozen: Option<Vec<Input>>,
    /// Gone without a word, not dead by our hand: nobody says that it can't be reached.
    vanished: bool,
}

/// The network.
pub(crate) struct World {
    pub(crate) authority: Authority,
    /// How links and disks behave.
    pub(crate) conditions: Conditions,
    /// What has been promised so far.
    pub(crate) ledger: Ledger,
    /// Whether those that start from now on are login servers' superpeers.
    pub(crate) reluctant: bool,
    /// Places for children at each superpeer that starts from now on.
    pub(crate) children_max: usize,
    /// Whether superpeers that start from now on tell how many children they have.
    pub(crate) tells_children: bool,
    peers: Vec<Peer>,
    by_id: BTreeMap<PeerId, usize>,
    events: BTreeMap<(u64, u64), (usize, Input)>,
    deadlines: BTreeSet<(u64, usize)>,
    links: BTreeMap<(usize, LinkId), End>,
    replies: BTreeMap<CommandId, Reply>,
    now: u64,
    count: u64,
    random: u64,
    /// Distinguishes this network's distances from another's.
    pairs: u64,
    parallelism: Parallelism,
    /// How those say hello that start from now on.
    pub(crate) hellos: Hellos,
    /// Peers on one side of a partition; the others are on the other side.
    apart: Option<BTreeSet<usize>>,
    /// Whether to print what happens.
    pub(crate) log: bool,
    /// What watches have told, in order.
    pub(crate) changes: Vec<(CommandId, Result<Resolution, Failure>)>,
    /// What superpeers have seen of others: who, when, of whom, what.
    pub(crate) seen: Vec<(usize, u64, PeerId, Seen)>,
    /// To how many closest and others superpeers keep streams, if not as usual.
    pub(crate) streams: Option<(usize, usize)>,
    /// Every dial, in order.
    pub(crate) dials: Vec<(usize, PeerId)>,
    /// Sees every frame before it is carried.
    pub(crate) tamper: Option<Tamper>,
    /// A hash over everything that happened.
    pub(crate) trace: blake3::Hasher,
}

impl World {
    pub(crate) fn new(seed: u64, r: usize, parallelism: Parallelism) -> Self {
        Self {
            authority: Authority::new(r),
            conditions: Conditions::calm(),
            ledger: Ledger::default(),
            reluctant: false,
            children_max: callbook_overlay::limits::CHILDREN_MAX,
            tells_children: true,
            peers: Vec::new(),
            by_id: BTreeMap::new(),
            events: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            links: BTreeMap::new(),
            replies: BTreeMap::new(),
            now: 0,
            count: 0,
            random: seed,
            pairs: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            parallelism,
            hellos: Hellos::default(),
            apart: None,
            log: false,
            changes: Vec::new(),
            seen: Vec::new(),
            streams: None,
            dials: Vec::new(),
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

    /// A number from the range, ends included.
    pub(crate) fn draw(&mut self, from: u64, to: u64) -> u64 {
        from + self.random() % (to - from + 1)
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
        let key = self.authority.key(seed);
        let id = key.public().as_peer();
        let number = self.random();
        let role =
            if superpeer { Role::Superpeer(self.authority.node(id, number, life)) } else { Role::Child };
        let address = Address { ip: [127, 0, 0, 1].into(), port: 1_000 + index as u16 };
        self.peers.push(Peer {
            overlay: None,
            key,
            role,
            address,
            listens: address,
            disk: Disk::default(),
            clock_offset: 0,
            notices: Vec::new(),
            deadline: None,
            frozen: None,
            vanished: false,
        });
        self.by_id.insert(id, index);
        index
    }

    /// Where a peer listens, from its next start on.
    pub(crate) fn set_address(&mut self, index: usize, address: Address) {
        self.peers[index].address = address;
    }

    /// The anchors on a peer's disk.
    pub(crate) fn anchors(&self, index: usize) -> Vec<PeerId> {
        self.peers[index].disk.restored().anchors
    }

    /// Whether a peer's host cache on disk holds another.
    pub(crate) fn has_contact(&self, index: usize, peer: &PeerId) -> bool {
        let contacts = self.peers[index].disk.restored().contacts;
        contacts.iter().any(|bytes| Hint::from_bytes(bytes).is_ok_and(|hint| hint.peer() == *peer))
    }

    pub(crate) fn set_clock_offset(&mut self, index: usize, seconds: i64) {
        self.peers[index].clock_offset = seconds;
    }

    /// Starts a peer with what its disk holds, and tells it of `seeds`.
    pub(crate) fn start(&mut self, index: usize, seeds: &[usize]) {
        let seed = *blake3::hash(&self.random().to_be_bytes()).as_bytes();
        self.note(|world| format!("{} starts", world.called(index)));
        let now = self.clock(index);
        let (network, parallelism) = (self.authority.network.clone(), self.parallelism);
        let (children_max, tells_children, hellos) = (self.children_max, self.tells_children, self.hellos);
        let verifier = self.authority.made.clone();
        let peer = &mut self.peers[index];
        (peer.vanished, peer.listens) = (false, peer.address);
        let config = Config {
            network,
            node: Box::new(peer.key.clone()),
            seed,
            role: peer.role.clone(),
            agent: String::from("world"),
            addresses: vec![peer.address],
            multiaddrs: vec![Bytes::from_static(b"\x04\x7f\0\0\x01")],
            reluctant: self.reluctant,
            parallelism,
            hellos,
            children_max,
            tells_children,
            restored: peer.disk.restored(),
        };
        let (mut overlay, effects) = Overlay::new(config, Box::new(verifier), now);
        if let Some((near, warm)) = self.streams {
            overlay.keep_streams(near, warm);
        }
        peer.overlay = Some(overlay);
        self.regain(index);
        self.perform(index, effects);
        let hints = seeds.iter().filter_map(|seed| self.hint(*seed)).collect();
        self.tell(index, Command::Seeds(hints));
    }

    /// A superpeer's hint, running or not.
    pub(crate) fn hint(&self, index: usize) -> Option<Hint> {
        match &self.peers[index].role {
            Role::Superpeer(certificate) => {
                Some(Hint { certificate: certificate.clone(), addresses: vec![self.peers[index].address] })
            }
            Role::Child => None,
        }
    }

    /// A child gets a certificate, and acts as a superpeer.
    pub(crate) fn promote(&mut self, index: usize) {
        let (id, number) = (self.peer(index), self.random());
        let role = Role::Superpeer(self.authority.node(id, number, NODE_LIFE));
        self.peers[index].role = role.clone();
        self.tell(index, Command::Act(role));
    }

    /// The answer to a command, once it is there.
    pub(crate) fn reply(&mut self, command: CommandId) -> Option<Reply> {
        self.replies.remove(&command)
    }

    pub(crate) fn peer(&self, index: usize) -> PeerId {
        self.peers[index].key.public().as_peer()
    }

    /// The peer with this id.
    pub(crate) fn index_of(&self, peer: &PeerId) -> usize {
        self.by_id[peer]
    }

    /// What a peer starts as.
    pub(crate) fn role(&self, index: usize) -> Role {
        self.peers[index].role.clone()
    }

    /// A superpeer's place, running or not.
    pub(crate) fn place(&self, index: usize) -> Option<Key> {
        match &self.peers[index].role {
            Role::Superpeer(certificate) => Some(certificate.node_id(&self.authority.network.id)),
            Role::Child => None,
        }
    }

    pub(crate) fn is_running(&self, index: usize) -> bool {
        self.peers[index].overlay.is_some()
    }

    pub(crate) fn is_frozen(&self, index: usize) -> bool {
        self.peers[index].frozen.is_some()
    }

    /// The running peers that are superpeers, or those that are not.
    pub(crate) fn running(&self, superpeers: bool) -> Vec<usize> {
        let is = |index: &usize| matches!(self.peers[*index].role, Role::Superpeer(_)) == superpeers;
        (0..self.peers.len()).filter(|index| self.is_running(*index)).filter(is).collect()
    }

    /// Whether a peer's disk has a record in this slot.
    pub(crate) fn stores(&self, index: usize, slot: &Slot) -> Option<&Bytes> {
        self.peers[index].disk.record(slot)
    }

    /// Gives a command; its reply comes by [`World::reply`].
    pub(crate) fn tell(&mut self, index: usize, command: Command) -> CommandId {
        self.count += 1;
        let id = CommandId(self.count);
        if let Command::Addresses { addresses, .. } = &command {
            self.peers[index].listens = addresses.first().copied().unwrap_or(self.peers[index].listens);
        }
        self.ledger.asked(id, (index, self.now), &command, &self.authority.network);
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

    /// Microseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn notices(&self, index: usize) -> &[Notice] {
        &self.peers[index].notices
    }

    /// The standbys of a child.
    pub(crate) fn standbys(&mut self, index: usize) -> Vec<usize> {
        match self.ask(index, Command::Status) {
            Reply::Status(status) => status.standbys.iter().map(|kept| self.by_id[&kept.peer]).collect(),
            other => panic!("status: {other:?}"),
        }
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

    fn at(&mut self, at: u64, index: usize, input: Input) {
        self.count += 1;
        self.events.insert((at, self.count), (index, input));
    }

    fn after(&mut self, micros: u64, index: usize, input: Input) {
        self.at(self.now + micros, index, input);
    }

    /// Lets the next thing happen, unless it is later than `until`.
    fn turn(&mut self, until: u64) -> bool {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let tick = self.deadlines.first().copied();
        // At the same moment an input comes before a tick.
        let (at, ticks) = match (event, tick) {
            (Some(event), Some((tick, index))) if tick < event => (tick, Some(index)),
            (None, Some((tick, index))) => (tick, Some(index)),
            (Some(event), _) => (event, None),
            (None, None) => return false,
        };
        if at > until {
            return false;
        }
        if self.now / 1_000_000 < at / 1_000_000 {
            self.look_over();
        }
        self.now = self.now.max(at);
        if let Some(index) = ticks {
            self.input(index, Input::Tick);
        } else if let Some((_, (index, input))) = self.events.pop_first()
            && let Some(input) = self.delivered(index, input)
        {
            self.input(index, input);
        }
        true
    }

    /// What can be seen from outside, once a second.
    fn look_over(&mut self) {
        for index in 0..self.peers.len() {
            if let Some(overlay) = &self.peers[index].overlay {
                self.ledger.look_at(index, overlay, self.children_max);
            }
        }
    }

    fn input(&mut self, index: usize, input: Input) {
        if let Some(backlog) = &mut self.peers[index].frozen {
            return backlog.push(input);
        }
        let now = self.clock(index);
        self.trace_input(index, &input);
        if matches!(input, Input::Tick) {
            self.ledger.ticked(index, self.now);
        }
        let Some(overlay) = self.peers[index].overlay.as_mut() else { return };
        let effects = overlay.handle(now, input);
        self.perform(index, effects);
    }

    fn trace_input(&mut self, index: usize, input: &Input) {
        self.trace.update(&self.now.to_le_bytes());
        self.trace.update(&index.to_le_bytes());
        match input {
            // Its frame went into the trace when it was sent.
            Input::Received { link, .. } => self.trace.update(&link.0.to_le_bytes()),
            other => self.trace.update(format!("{other:?}").as_bytes()),
        };
    }

    fn set_deadline(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let next = match (&peer.overlay, &peer.frozen) {
            (Some(overlay), None) => overlay.next_deadline().map(Instant::as_micros),
            _ => None,
        };
        if next == peer.deadline {
            return;
        }
        if let Some(old) = core::mem::replace(&mut peer.deadline, next) {
            self.deadlines.remove(&(old, index));
        }
        self.deadlines.extend(next.map(|at| (at, index)));
    }

    fn perform(&mut self, index: usize, effects: Effects) {
        for effect in effects.0 {
            self.perform_one(index, effect);
        }
        self.set_deadline(index);
        let spins = self.peers[index].deadline.is_some_and(|at| at <= self.now);
        assert!(!spins, "{} wants a tick at once, after a turn", self.called(index));
    }

    fn perform_one(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Dial { peer, addresses, .. } => {
                self.trace.update(peer.as_bytes());
                self.connect(index, peer, &addresses);
            }
            Effect::Send { link, frame } => self.carry(index, link, frame),
            Effect::Close { link } => {
                self.trace.update(&link.0.to_le_bytes());
                self.end_link((index, link));
            }
            Effect::Persist { writes, durable } => self.write(index, writes, durable),
            Effect::Reply { command, reply } => {
                self.trace.update(format!("{index} {command:?} {reply:?}").as_bytes());
                self.note(|world| format!("{} answers {}", world.called(index), short(&reply)));
                self.ledger.answered((command, self.now), index, &reply, &self.by_id);
                assert!(self.replies.insert(command, reply).is_none(), "a command is answered once");
            }
            Effect::Changed { command, outcome } => {
                self.trace.update(format!("{index} {command:?} {outcome:?}").as_bytes());
                self.changes.push((command, outcome));
            }
            Effect::Seen { peer, seen } => {
                self.trace.update(format!("{index} {peer:?} {seen:?}").as_bytes());
                self.seen.push((index, self.now, peer, seen));
            }
            Effect::Notice(notice) => {
                self.trace.update(format!("{index} {notice:?}").as_bytes());
                self.note(|world| format!("{} notes {notice:?}", world.called(index)));
                self.ledger.noticed(index, self.now, &notice, &self.authority.network);
                self.peers[index].notices.push(notice);
            }
        }
    }

    fn write(&mut self, index: usize, writes: Vec<Write>, durable: bool) {
        for write in &writes {
            match write {
                Write::Record { bytes, .. } | Write::Contact { bytes, .. } => self.trace.update(bytes),
                other => self.trace.update(format!("{other:?}").as_bytes()),
            };
            if let Write::Sequence { device, seq, .. } = write {
                self.ledger.signed(device, *seq);
            }
        }
        let safe = self.now.saturating_sub(self.conditions.commit.as_micros() as u64);
        let disk = &mut self.peers[index].disk;
        disk.write(self.now, writes, durable);
        disk.commit_until(safe);
    }

    /// What a peer is called in the log.
    pub(crate) fn called(&self, index: usize) -> String {
        let kind = if matches!(self.peers[index].role, Role::Superpeer(_)) { 's' } else { 'c' };
        format!("{kind}{index}")
    }

    /// A line of the log: made only if somebody reads it.
    #[expect(clippy::print_stderr, reason = "the log of a replay is for the terminal")]
    pub(crate) fn note(&self, line: impl FnOnce(&Self) -> String) {
        if self.log {
            let line = line(self);
            eprintln!("{:>12.6} {line}", self.now as f64 / 1e6);
        }
    }
}

fn short(reply: &Reply) -> String {
    match reply {
        Reply::Resolved(found) => {
            format!("{} devices from {:?}, {} denials", found.devices.len(), found.source, found.denials)
        }
        Reply::Status(_) => String::from("its status"),
        Reply::Peers(peers) => format!("{} neighbours", peers.len()),
        other => format!("{other:?}"),
    }
}
