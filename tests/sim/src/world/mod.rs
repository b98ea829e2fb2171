//! The simulated network: real overlays, virtual time, one queue of events.
//!
//! ```text
//!  command, event, deadline ─▶ input ─▶ Overlay::handle ─▶ effects ─┬─▶ network ─▶ queue ─┐
//!                                ▲                                  └─▶ disk, replies     │
//!                                └──────────── step: what comes next ◀────────────────────┘
//! ```
//! Nothing here is the protocol's: what peers do is the shipped `callbook_overlay::Overlay`. Of all that
//! happens a hash is kept ([`World::trace`]); one seed gives one run. What must hold after every turn is
//! asserted in `checks`. *Not here*: what goes wrong when (`scenario`), the network (`network`).

mod asking;
mod checks;
mod effects;
mod faults;
mod invariants;
mod life;
mod past;
mod watches;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use callbook_overlay::api::{DialEnd, Effect, Input, LinkId, Parallelism};
use callbook_overlay::key::PeerId;
use callbook_overlay::limits;
use callbook_overlay::network::Parameters;
use callbook_overlay::time::{Instant, Now, Unix};
use callbook_overlay::wire::Frame;

pub use self::asking::Mistake;
use self::asking::{Asked, LookUp};
pub use self::checks::{Load, Unsettled};
use self::effects::UnderWay;
pub(crate) use self::invariants::ANSWERED;
use self::invariants::Invariants;
use crate::churn::Churn;
use crate::churn::trace::Change;
use crate::measures::Measures;
use crate::network::links::Links;
use crate::network::{Conditions, Network};
use crate::oracle::Oracle;
use crate::peers::authority::Authority;
use crate::peers::{Departure, Kind, LOGIN, Peer};
use crate::pool::Records;
use crate::queue::{Deadlines, Queue};
use crate::random::Random;
use crate::report::curves::Sampling;
use crate::signing::{Keys, Signing};
use crate::time::{MILLISECOND, Micros, START_UNIX, secs};
use crate::trace::Trace;
use crate::workload::{Workload, Zipf};

/// All that a world is built from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The overlay's parameters.
    pub parameters: Parameters,
    /// To how many closest and others superpeers keep streams, if not as usual.
    pub streams: Option<(usize, usize)>,
    /// Places for children at each superpeer.
    pub children_max: usize,
    /// How look-ups are spread in time.
    pub parallelism: Parallelism,
    /// The network.
    pub conditions: Conditions,
    /// Signatures.
    pub signing: Signing,
    /// Whether frames pass through the codec; their sizes count either way.
    pub codec: bool,
    /// Superpeers in the host cache on a peer's disk.
    pub host_cache: usize,
    /// How long a write that is not durable may wait for its commit.
    pub commit: Micros,
    /// What users do.
    pub workload: Workload,
    /// When peers come and go, apart from what a scenario does.
    pub churn: Option<Churn>,
    /// Joins and leaves from a file, instead of churn.
    pub changes: Option<Arc<[Change]>>,
    /// Whether certificates are of all ages when the run begins, instead of half a day old.
    pub aged: bool,
    /// Whether those that can be reached become superpeers when there are too few.
    pub volunteers: bool,
    /// How they go.
    pub departure: Departure,
    /// Share of crashes that take the machine along.
    pub machines: f64,
    /// Whether a look-up that came to nothing is asked again at once.
    pub retry: bool,
    /// Whether everybody looks a name up as soon as it starts.
    pub ask_at_start: bool,
    /// Between which moments what happens is printed.
    pub log: Option<(Micros, Micros)>,
    /// Whether look-ups ask for their way, which makes answers longer.
    pub way: bool,
}

/// Up to this many peers signatures are real and frames pass through the codec. *Specification* (issue 4).
const REAL_UP_TO: u32 = 1_000;

/// Up to this many peers have host caches as large as in products. *Guess*: 200 MB of disks where all are superpeers.
const HOST_CACHES_WHOLE: u32 = 2_048;

/// Share of crashes that take the machine along: power, lid, cable. *Guess*: no source counts them.
const MACHINES: f64 = 0.5;

impl Settings {
    /// Those of a run with so many peers.
    #[must_use]
    pub fn of(seed: u64, peers: u32) -> Self {
        let real = peers <= REAL_UP_TO;
        Self {
            seed,
            parameters: Parameters::default(),
            streams: None,
            children_max: limits::CHILDREN_MAX,
            parallelism: Parallelism::Hedged,
            conditions: Conditions::default(),
            signing: if real { Signing::Real } else { Signing::Quick },
            codec: real,
            host_cache: if peers <= HOST_CACHES_WHOLE { limits::HOST_CACHE_MAX } else { 16 },
            // What waits for a commit takes memory at a million disks.
            commit: if real { 200 * MILLISECOND } else { 0 },
            workload: Workload::default(),
            churn: None,
            changes: None,
            aged: false,
            volunteers: false,
            departure: Departure::Crash,
            machines: MACHINES,
            retry: false,
            ask_at_start: false,
            log: None,
            way: false,
        }
    }
}

/// Something that is going to happen.
#[derive(Debug)]
enum Event {
    /// A link is up at one of its ends.
    Connected { end: LinkId, dialled: bool },
    /// Somebody could not be reached.
    DialFailed { peer: u32, life: u32, whom: PeerId, end: DialEnd },
    /// A frame arrives. Boxed: most events wait for hours and are small, and all have the room of the largest.
    Received { end: LinkId, frame: Box<Frame> },
    /// A packet arrives on a stream that loses some.
    Arrived { end: LinkId },
    /// An end hears that its link is over.
    Disconnected { end: LinkId },
    /// A session or an absence is over.
    Toggle { peer: u32, life: u32 },
    /// A peer starts, if it has not meanwhile.
    Start { peer: u32, life: u32 },
    /// The login server's seeds arrive.
    Seeds { peer: u32, life: u32, pause: Micros },
    /// The next line of a trace file.
    Change { index: usize },
    /// A volunteer's node certificate has come.
    Certified { peer: u32, life: u32 },
    /// Somebody asks again.
    Ask { peer: u32, life: u32, look_up: LookUp },
    /// Somebody looks a name up.
    LookUp,
    /// Somebody's address changes.
    Move,
}

/// The network.
pub struct World {
    /// What it was built from.
    pub settings: Settings,
    /// What has been measured.
    pub measures: Measures,
    /// Answers that were not true, the first of them.
    pub mistakes: Vec<Mistake>,
    /// What is drawn of the run.
    pub(crate) sampling: Sampling,
    /// Whether the login server tells seeds.
    pub login_up: bool,
    now: Micros,
    /// Names whose record of before the run was told.
    remembered: u32,
    /// When a trace file began.
    followed_from: Micros,
    events: u64,
    turns: u64,
    peers: Vec<Peer>,
    by_id: HashMap<PeerId, u32, BuildHasherDefault<ById>>,
    running: [Vec<u32>; 2],
    queue: Queue<Event>,
    deadlines: Deadlines,
    network: Network,
    links: Links,
    /// Frames on streams that lose packets, by the end that they go to.
    under_way: BTreeMap<LinkId, VecDeque<UnderWay>>,
    authority: Authority,
    oracle: Oracle,
    asked: Vec<(u32, Option<Asked>)>,
    asked_free: Vec<u32>,
    /// What waits for room on a full disk, by peer.
    parked: BTreeMap<u32, Vec<Effect>>,
    /// For how many names it is, and the popularity of names.
    zipf: Option<(u64, Zipf)>,
    /// The newest address of a name that a peer was told in one of its lives, and when; in small networks.
    told: HashMap<(u32, u32, u32), (u32, Micros)>,
    /// Whether users have begun.
    users: bool,
    invariants: Invariants,
    trace: Trace,
    scratch: Vec<u8>,
    pool: Records,
    /// One stream of chance for each concern.
    chance: Chance,
}

struct Chance {
    places: Random,
    overlays: Random,
    churn: Random,
    workload: Random,
    login: Random,
    faults: Random,
    past: Random,
    crashes: Random,
    watches: Random,
}

impl World {
    /// A world without peers, but for the login server, which is not running yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let seed = settings.seed;
        let keys = Keys::new(settings.signing, Random::of(seed, "keys").seed());
        let chance = Chance {
            places: Random::of(seed, "places"),
            overlays: Random::of(seed, "overlays"),
            churn: Random::of(seed, "churn"),
            workload: Random::of(seed, "workload"),
            login: Random::of(seed, "login"),
            faults: Random::of(seed, "faults"),
            past: Random::of(seed, "past"),
            crashes: Random::of(seed, "crashes"),
            watches: Random::of(seed, "watches"),
        };
        let mut authority = Authority::new(keys, settings.parameters, seed);
        authority.aged = settings.aged;
        let mut world = Self {
            measures: Measures::default(),
            mistakes: Vec::new(),
            sampling: Sampling::default(),
            login_up: true,
            now: 0,
            remembered: 0,
            followed_from: 0,
            events: 0,
            turns: 0,
            peers: Vec::new(),
            by_id: HashMap::default(),
            running: [Vec::new(), Vec::new()],
            queue: Queue::default(),
            deadlines: Deadlines::default(),
            network: Network::new(settings.conditions.clone(), seed),
            links: Links::default(),
            under_way: BTreeMap::new(),
            authority,
            oracle: Oracle::default(),
            asked: Vec::new(),
            asked_free: Vec::new(),
            parked: BTreeMap::new(),
            zipf: None,
            told: HashMap::new(),
            users: false,
            invariants: Invariants::default(),
            trace: Trace::default(),
            scratch: Vec::new(),
            pool: Records::default(),
            chance,
            settings,
        };
        let login = world.add(Kind::Superpeer);
        debug_assert_eq!(login, LOGIN, "the login server is the first peer");
        world
    }

    /// Adds a peer that is not running.
    pub fn add(&mut self, kind: Kind) -> u32 {
        let number = self.peers.len() as u32;
        let id = self.authority.node_key(number).public().as_peer();
        let certificate = (kind == Kind::Superpeer).then(|| self.authority.certify_node(id));
        let mut peer = Peer::new(id, certificate);
        peer.temper = self.chance.places.normal() as f32;
        self.network.settle(&mut self.chance.places);
        self.oracle.expect();
        self.by_id.insert(id, number);
        self.peers.push(peer);
        number
    }

    /// Lets the next thing happen, unless it is later than `until`.
    fn step(&mut self, until: Micros) -> bool {
        let (event, deadline) = (self.queue.next(), self.deadlines.next());
        // At the same moment an event comes before a deadline.
        let (at, is_deadline) = match (event, deadline) {
            (Some(event), Some(deadline)) if deadline < event => (deadline, true),
            (Some(event), _) => (event, false),
            (None, Some(deadline)) => (deadline, true),
            (None, None) => return false,
        };
        if at > until {
            return false;
        }
        self.now = self.now.max(at);
        self.events += 1;
        if is_deadline {
            if let Some(peer) = self.deadlines.pop() {
                self.tick(peer);
            }
        } else if let Some((_, event)) = self.queue.pop() {
            self.happen(event);
        }
        self.look_around();
        true
    }

    /// A deadline that was set has come; the peer may have moved it since.
    fn tick(&mut self, peer: u32) {
        let Some(overlay) = &self.peers[peer as usize].overlay else { return };
        if overlay.next_deadline().is_some_and(|at| at.as_micros() <= self.now) {
            self.input(peer, Input::Tick);
        } else {
            self.set_deadline(peer);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connected { end, dialled } => self.connected(end, dialled),
            Event::DialFailed { peer, life, whom, end } => {
                if self.lives(peer, life) {
                    self.input(peer, Input::DialFailed { peer: whom, end });
                }
            }
            Event::Received { end, frame } => {
                if let Some(found) = self.links.find(end) {
                    self.owe(end, found);
                    self.serve_counted(found.peer, &frame);
                    self.input(found.peer, Input::Received { link: end, frame: *frame });
                }
            }
            Event::Arrived { end } => self.arrived(end),
            Event::Disconnected { end } => self.disconnected(end),
            Event::Toggle { peer, life } => self.toggle(peer, life),
            Event::Start { peer, life } => {
                if self.peers[peer as usize].life == life && !self.peers[peer as usize].runs() {
                    self.start(peer);
                }
            }
            Event::Seeds { peer, life, pause } => self.seeds(peer, life, pause),
            Event::Change { index } => self.change(index),
            Event::Certified { peer, life } => {
                if self.lives(peer, life) {
                    self.act_as_superpeer(peer);
                }
            }
            Event::Ask { peer, life, look_up } => {
                if self.lives(peer, life) {
                    self.ask(peer, look_up);
                } else {
                    self.stopped_asking(&look_up);
                }
            }
            Event::LookUp => self.somebody_looks_up(),
            Event::Move => self.somebody_moves(),
        }
    }

    /// Whether a peer runs, and has not stopped and started again since.
    fn lives(&self, peer: u32, life: u32) -> bool {
        let peer = &self.peers[peer as usize];
        peer.life == life && peer.runs()
    }

    fn input(&mut self, peer: u32, input: Input) {
        self.turns += 1;
        let (now, code) = (self.clock(peer), input_code(&input));
        let Some(overlay) = self.peers[peer as usize].overlay.as_mut() else { return };
        let effects = overlay.handle(now, input);
        // That somebody woke up for nothing is not something that has happened.
        if code != TICK || !effects.0.is_empty() {
            self.trace.add(self.now);
            self.trace.add(u64::from(peer) << 8 | code);
        }
        self.perform(peer, effects);
        self.set_deadline(peer);
        self.check_turn(peer);
    }

    fn set_deadline(&mut self, peer: u32) {
        let overlay = self.peers[peer as usize].overlay.as_ref();
        let next = overlay.and_then(|overlay| overlay.next_deadline()).map(Instant::as_micros);
        assert!(next.is_none_or(|at| at > self.now), "peer {peer} wants to be called at once, after a turn");
        self.deadlines.set(peer, next);
    }

    /// Both clocks of a peer.
    fn clock(&self, peer: u32) -> Now {
        let unix = (START_UNIX + self.now / 1_000_000)
            .saturating_add_signed(i64::from(self.peers[peer as usize].skew));
        Now { instant: Instant::from_micros(self.now), unix: Unix::from_secs(unix) }
    }

    /// Lets time pass.
    pub fn run_until(&mut self, until: Micros) {
        while self.step(until) {}
        self.now = self.now.max(until);
    }

    /// From now on it counts.
    pub fn measure(&mut self) {
        self.measures.begin(self.now);
        for peer in &mut self.peers {
            (peer.sent, peer.served) = (0, 0);
        }
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Turns of overlays so far.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// A hash over all that has happened.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace.value()
    }

    /// Peers of a kind that run.
    #[must_use]
    pub fn running(&self, kind: Kind) -> &[u32] {
        &self.running[crate::measures::of(kind)]
    }

    /// How many peers there are, running or not.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.peers.len() as u32
    }

    /// Whether there is nobody; never, since the login server is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Names that a majority has acknowledged at least once.
    #[must_use]
    pub fn registered(&self) -> u32 {
        self.oracle.registered
    }

    /// Events that wait, and open links.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.queue.len(), self.links.len())
    }

    /// A line of the log: made only if somebody reads it.
    #[expect(clippy::print_stderr, reason = "the log of a replay is for the terminal")]
    fn note(&self, line: impl FnOnce(&Self) -> String) {
        if self.settings.log.is_some_and(|(from, until)| (from..until).contains(&self.now)) {
            eprintln!("{:>12.6} {}", secs(self.now), line(self));
        }
    }
}

/// [`input_code`] of a deadline.
const TICK: u64 = 6;

/// What kind of input it is, for the trace.
fn input_code(input: &Input) -> u64 {
    match input {
        Input::Command(..) => 1,
        Input::Connected { .. } => 2,
        Input::Received { .. } => 3,
        Input::Disconnected { .. } => 4,
        Input::DialFailed { .. } => 5,
        Input::Tick => TICK,
    }
}

/// Keys are random already: their first bytes do.
#[derive(Debug, Default)]
struct ById(u64);

impl Hasher for ById {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.0 = self.0.rotate_left(17) ^ u64::from_le_bytes(word);
        }
    }
}
