//! The overlay: one peer's protocol as a state machine.
//!
//! One turn: the driver calls [`Overlay::handle`] with the time and one input and performs the effects
//! in their order; it calls again with [`Input::Tick`] when [`Overlay::next_deadline`] has come. Within a
//! turn:
//! 1. the input is taken in (a command, a link that came or went, a frame);
//! 2. timers that are due run;
//! 3. requests that could not be sent fail, which may start others, until none is left.
//!
//! ```text
//!  command ─▶ resolve ─┐                      ┌─▶ links    who is connected, dials, hellos
//!  frame   ─▶ serve ───┼─▶ walks ─▶ requests ─┤
//!  timer   ─▶ publish ─┘                      └─▶ Effects
//! ```
//! State lives in plain structs (`map`, `store`, `lookup`, `links`, `cache`, `children`); the files here
//! each add one concern to [`Overlay`]. *Not here*: clocks, sockets, disk, entropy.

mod anchors;
mod attach;
mod budget;
mod cache;
mod children;
mod commands;
mod confirm;
mod contacts;
mod elsewhere;
mod gossip;
mod hellos;
mod introductions;
mod links;
mod look;
mod mend;
mod missed;
mod moving;
mod newest;
mod paths;
mod presence;
mod promotion;
mod publish;
mod puts;
mod requests;
mod resolve;
mod restored;
mod returns;
mod room;
mod rumours;
mod serve;
mod spending;
mod standby;
mod steps;
mod survey;
mod telling;
mod upkeep;
mod walks;
mod watch;
mod watchers;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::api::{
    Address, CommandId, Config, Effect, Effects, Hellos, Input, Notice, Parallelism, Reply, Role, Write,
};
use crate::counters::Counters;
use crate::invalid::Invalid;
use crate::key::{Key, PeerId};
use crate::limits::{
    ANCHORS, ANCHORS_INTERVAL, AWAY, MAP_MAX, PATHS_BURST, PATHS_PER_SEC, SWEEP_INTERVAL,
    UNVERIFIED_DIALS_BURST, UNVERIFIED_DIALS_PER_SEC,
};
use crate::map::Map;
use crate::network::{Limits, Network};
use crate::record::{ChainCache, Pool, Record, verify_to_store};
use crate::sign::{Signer, Verifier};
use crate::sorted::SortedSet;
use crate::store::{Seen, Store};
use crate::time::{Instant, Now};
use crate::wire::Hint;

use self::attach::Attaching;
use self::budget::Budget;
use self::cache::Cache;
use self::children::Children;
use self::confirm::Confirming;
use self::contacts::Contacts;
use self::gossip::Gossip;
use self::links::Links;
use self::mend::Mending;
use self::moving::Moving;
use self::presence::Presences;
use self::promotion::Promoting;
use self::publish::Publishing;
use self::puts::PutRun;
use self::requests::Requests;
use self::resolve::Resolving;
use self::rumours::Rumours;
use self::standby::Standbys;
use self::survey::Surveys;
use self::telling::Telling;
use self::upkeep::Streams;
use self::walks::WalkRun;
use self::watch::Watching;
use self::watchers::Watchers;

/// A deadline that the overlay has set itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A request has waited long enough.
    Request(PeerId, u64),
    /// Time for a hedged request.
    Hedge(u64),
    /// Storers of a look-up that were not ready may be asked again.
    Again(u64),
    /// A walk has to end.
    Walk(u64),
    /// A put has to end.
    Put(u64),
    /// A put waits no longer for more than a majority.
    Settled(u64),
    /// A local look-up has to end.
    Resolve(u64),
    /// Tell a neighbour what is new.
    Tell,
    /// Look at a link: greeted, heard, idle?
    Link(crate::api::LinkId),
    /// Try to attach, or renew the attachment.
    Attach,
    /// The candidates for a parent have had their time.
    Probe,
    /// Look after the standbys.
    Standby,
    /// It is our turn to ask the standbys to take the lost parent's place.
    FailOver,
    /// Judge the parent's silence.
    Silence,
    /// Ask another standby whether a name is absent, for a local look-up.
    Confirm(u64),
    /// Ask a standby for our own names.
    SelfCheck,
    /// A child still waits: tell it that we are at work.
    Working(crate::api::LinkId),
    /// An attachment may have run out.
    Child(PeerId),
    /// A reservation may have run out.
    Reservation(PeerId),
    /// Publish a held name again.
    Publish(Key),
    /// Who waits for a held name's acknowledgement has waited long enough.
    Register(Key),
    /// Look after streams to superpeers.
    Upkeep,
    /// Look ourselves up.
    Refresh,
    /// Ask for a watch again.
    Watch(Key),
    /// Look a watched key up.
    Poll(Key),
    /// Sweep out what has expired.
    Sweep,
    /// Look whether those that are gone have left too few copies.
    Repair,
    /// Be gone, whatever has not been pushed.
    Leave,
    /// Look whether there are too few superpeers, or too many.
    Balance,
    /// See whether somebody who came to us listens where it says.
    DialBack,
}

/// One peer of the overlay. See the module's documentation for the contract.
///
/// # Time
/// Nothing here reads a clock: `now` comes with every input and must not run backwards.
#[derive(Debug)]
pub struct Overlay {
    now: Now,
    network: Network,
    me: PeerId,
    node: Box<dyn Signer>,
    verifier: Box<dyn Verifier>,
    rng: ChaCha8Rng,
    role: Role,
    agent: String,
    addresses: Vec<Address>,
    multiaddrs: Vec<Bytes>,
    reluctant: bool,
    parallelism: Parallelism,
    hellos: Hellos,
    children_max: usize,
    tells_children: bool,

    map: Map,
    store: Store,
    pool: Option<Box<dyn Pool>>,
    chains: ChainCache,
    seen: Seen,
    links: Links,
    requests: Requests,
    /// Boxed: each step takes its walk out and puts it back.
    walks: BTreeMap<u64, Box<WalkRun>>,
    puts: BTreeMap<u64, PutRun>,
    resolving: Resolving,
    watching: Watching,
    watchers: Watchers,
    mending: Mending,
    attaching: Attaching,
    standbys: Standbys,
    confirming: Confirming,
    presences: Presences,
    gossip: Gossip,
    telling: Telling,
    rumours: Rumours,
    surveys: Surveys,
    children: Children,
    promoting: Promoting,
    moving: Moving,
    cache: Cache,
    publishing: Publishing,
    skewed: bool,
    redialled: Instant,
    probed: Instant,
    more_to_dial: bool,
    contacts: Contacts,
    contacts_kept: SortedSet<PeerId>,
    anchors: Vec<PeerId>,
    /// When they may change next.
    anchors_at: Instant,
    /// They have not been dialled yet.
    anchors_wait: bool,
    /// When upkeep is to run.
    upkeep_at: Option<Instant>,
    streams: Streams,
    /// Of whom samples are taken at the moment, where they are many, and since when.
    sampled: Option<(Vec<PeerId>, Instant)>,
    /// Dials to addresses that nobody has answered at.
    strangers: Budget,
    /// Paths that look-ups may begin.
    paths: Budget,

    timers: BTreeSet<(Instant, Timer)>,
    next: u64,
    out: Vec<Effect>,
    counters: Counters,
}

impl Overlay {
    /// A peer with what its last run left, and the first effects.
    pub fn new(config: Config, verifier: Box<dyn Verifier>, now: Now) -> (Self, Effects) {
        let (me, k) = (config.node.public().as_peer(), config.network.parameters.k);
        let mut overlay = Self {
            now,
            me,
            network: config.network,
            node: config.node,
            verifier,
            rng: ChaCha8Rng::from_seed(config.seed),
            role: Role::Child,
            agent: config.agent,
            addresses: config.addresses,
            multiaddrs: config.multiaddrs,
            reluctant: config.reluctant,
            parallelism: config.parallelism,
            hellos: config.hellos,
            children_max: config.children_max.max(1),
            tells_children: config.tells_children,
            map: Map::new(MAP_MAX, k),
            store: Store::default(),
            pool: None,
            chains: ChainCache::default(),
            seen: Seen::default(),
            links: Links::default(),
            requests: Requests::default(),
            walks: BTreeMap::new(),
            puts: BTreeMap::new(),
            resolving: Resolving::default(),
            watching: Watching::default(),
            watchers: Watchers::default(),
            mending: Mending::default(),
            attaching: Attaching::default(),
            standbys: Standbys::default(),
            confirming: Confirming::default(),
            presences: Presences::default(),
            gossip: Gossip::new(now.instant),
            telling: Telling::default(),
            rumours: Rumours::new(now.instant),
            surveys: Surveys::default(),
            children: Children::default(),
            promoting: Promoting::default(),
            moving: Moving::default(),
            cache: Cache::default(),
            publishing: Publishing::new(config.restored.sequences, now.unix),
            skewed: false,
            redialled: now.instant,
            probed: now.instant,
            more_to_dial: false,
            contacts: Contacts::default(),
            contacts_kept: SortedSet::new(),
            anchors: config.restored.anchors.into_iter().take(ANCHORS).collect(),
            anchors_at: now.instant + ANCHORS_INTERVAL,
            anchors_wait: true,
            upkeep_at: None,
            streams: Streams::default(),
            sampled: None,
            strangers: Budget::full(UNVERIFIED_DIALS_PER_SEC, UNVERIFIED_DIALS_BURST, now.instant),
            paths: Budget::full(PATHS_PER_SEC, PATHS_BURST, now.instant),
            timers: BTreeSet::new(),
            next: 1,
            out: Vec::new(),
            counters: Counters::default(),
        };
        let superpeer = matches!(config.role, Role::Superpeer(_));
        overlay.restore(config.restored.records, &config.restored.contacts, config.restored.met, superpeer);
        overlay.restore_newest(config.restored.newest);
        overlay.restore_proofs(config.restored.proofs);
        overlay.set_timer(SWEEP_INTERVAL, Timer::Sweep);
        overlay.act(config.role);
        let effects = overlay.finish();
        (overlay, effects)
    }

    /// Takes one input in; see the module's documentation.
    pub fn handle(&mut self, now: Now, input: Input) -> Effects {
        let overdue = self.next_deadline().is_some_and(|at| now.instant.since(at) >= AWAY);
        self.now = now;
        if overdue {
            self.been_away();
        }
        match input {
            Input::Command(id, command) => self.command(id, command),
            Input::Connected { link, peer, dialled } => self.connected(link, peer, dialled),
            Input::Received { link, frame } => self.received(link, frame),
            Input::Disconnected { link } => self.disconnected(link),
            Input::DialFailed { peer, end } => self.dial_failed(&peer, end),
            Input::Tick => {}
        }
        self.finish()
    }

    /// Keeps streams to so many closest and so many others instead of [`NEAR`] and [`WARM`].
    ///
    /// For tests and simulations of networks larger than that.
    #[doc(hidden)]
    pub fn keep_streams(&mut self, near: usize, warm: usize) {
        (self.streams.near, self.streams.warm) = (near, warm);
    }

    /// Records that are read from now on are taken from this pool if it has them.
    ///
    /// For simulations, in which many peers of one process store the same records.
    #[doc(hidden)]
    pub fn share_records(&mut self, pool: Box<dyn Pool>) {
        self.pool = Some(pool);
    }

    /// When [`Overlay::handle`] wants to be called again at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Superpeers in the map, ourselves included.
    #[must_use]
    pub fn superpeers(&self) -> usize {
        self.map.len()
    }

    /// What has been counted; gauges are as of this call.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.records = self.store.len() as u64;
        counters.record_bytes = self.store.bytes() as u64;
        counters.watches = self.watchers.len() as u64;
        counters.cached = self.cache.len() as u64;
        counters.children = self.children.len() as u64;
        counters.reservations = self.children.reservations() as u64;
        counters.standbys = self.standbys.len() as u64;
        counters.superpeers = self.map.len() as u64;
        counters.map_dropped = self.map.dropped;
        counters.links = self.links.len() as u64;
        counters.names = self.publishing.len() as u64;
        counters.equivocations_kept = self.store.equivocations() as u64;
        counters.syncing = u64::from(self.is_syncing());
        counters.superpeer = u64::from(matches!(self.role, Role::Superpeer(_)));
        counters.child = 1 - counters.superpeer;
        counters.children_max = self.children_max as u64;
        counters.peers = self.peers_online() as u64;
        counters
    }

    fn finish(&mut self) -> Effects {
        self.settle();
        while let Some(&(at, timer)) = self.timers.first() {
            if at > self.now.instant {
                break;
            }
            self.timers.pop_first();
            self.due(timer);
            self.settle();
        }
        self.tell_later();
        if self.now.instant >= self.anchors_at {
            self.renew_anchors();
        }
        let mut seen = self.resolving.newest.take_writes();
        seen.append(&mut self.store.take_proofs());
        self.persist(seen, false);
        Effects(core::mem::take(&mut self.out))
    }

    /// Ends what can't be sent, and tells watchers what has changed.
    fn settle(&mut self) {
        self.fail_unsendable();
        while self.tell_changes() {
            self.fail_unsendable();
        }
    }

    fn due(&mut self, timer: Timer) {
        match timer {
            Timer::Request(peer, id) => self.request_timed_out(peer, id),
            Timer::Hedge(walk) => self.hedge(walk),
            Timer::Again(walk) => self.walk_again(walk),
            Timer::Walk(walk) => self.walk_timed_out(walk),
            Timer::Put(put) => self.put_timed_out(put),
            Timer::Settled(put) => self.put_settled(put),
            Timer::Resolve(id) => self.resolve_timed_out(id),
            Timer::Link(link) => self.look_at_link(link),
            Timer::Attach => self.attach_due(),
            Timer::Probe => self.probe_over(),
            Timer::Standby => self.standbys_due(),
            Timer::FailOver => self.fail_over_due(),
            Timer::Silence => self.silence_due(),
            Timer::Confirm(id) => self.ask_to_confirm(id),
            Timer::SelfCheck => self.self_check_due(),
            Timer::Working(link) => self.working_due(link),
            Timer::Child(peer) => self.child_due(&peer),
            Timer::Reservation(peer) => self.reservation_due(&peer),
            Timer::Publish(key) => self.publish_due(&key),
            Timer::Register(key) => self.register_due(&key),
            Timer::Upkeep => self.upkeep(),
            Timer::Refresh => self.refresh_due(),
            Timer::Watch(key) => self.watch_due(&key),
            Timer::Poll(key) => self.poll_due(&key),
            Timer::Sweep => self.sweep(),
            Timer::Tell => self.tell_due(),
            Timer::Repair => self.repair(),
            Timer::Leave => self.depart(),
            Timer::Balance => self.balance(),
            Timer::DialBack => self.dial_back(),
        }
    }

    fn set_timer(&mut self, after: core::time::Duration, timer: Timer) -> Instant {
        let at = self.now.instant + after;
        self.timers.insert((at, timer));
        at
    }

    fn cancel(&mut self, at: Instant, timer: Timer) {
        self.timers.remove(&(at, timer));
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn reply(&mut self, command: CommandId, reply: Reply) {
        self.out.push(Effect::Reply { command, reply });
    }

    fn notice(&mut self, notice: Notice) {
        self.out.push(Effect::Notice(notice));
    }

    fn persist(&mut self, writes: Vec<Write>, durable: bool) {
        if !writes.is_empty() {
            self.out.push(Effect::Persist { writes, durable });
        }
    }

    /// `after`, give or take a half: so that many peers don't act in step.
    fn jittered(&mut self, after: core::time::Duration) -> core::time::Duration {
        let half = u32::try_from(after.as_micros() / 2).unwrap_or(u32::MAX).max(1);
        after / 2 + core::time::Duration::from_micros(u64::from(self.rng.next_u32() % half) * 2)
    }

    /// An index below `count`; `count` is not 0.
    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.next_u64() % count.max(1) as u64).unwrap_or(0)
    }

    /// Storers of one record: r, or all superpeers if there are fewer.
    fn replicas(&self) -> usize {
        self.network.parameters.r.min(self.map.len()).max(1)
    }

    fn is_superpeer(&self) -> bool {
        matches!(self.role, Role::Superpeer(_))
    }

    fn is_lab(&self) -> bool {
        self.network.limits == Limits::Lab
    }

    /// Our own hint, while we are a superpeer and stay one.
    fn own_hint(&self) -> Option<Hint> {
        match &self.role {
            Role::Superpeer(certificate) if !self.attaching.is_leaving() => {
                Some(Hint { certificate: certificate.clone(), addresses: self.addresses.clone() })
            }
            Role::Superpeer(_) | Role::Child => None,
        }
    }

    /// Checks a record's chain and signature, unless this very record has passed before.
    fn verify(&mut self, record: &Record) -> Result<(), Invalid> {
        if self.seen.contains(record) || self.store.holds(record) {
            return Ok(());
        }
        self.counters.verifications += 1;
        crate::record::verify(record, &self.network, self.now.unix, &mut self.chains, &*self.verifier)?;
        self.seen.insert(record.clone());
        Ok(())
    }

    /// As [`Self::verify`], of a record that is to be stored: the store remembers that it has passed, and its chain.
    fn verify_to_store(&mut self, record: &Record) -> Result<(), Invalid> {
        if self.seen.contains(record) {
            return Ok(());
        }
        self.counters.verifications += 1;
        let same = self.store.has_chain_of(record);
        let (network, verifier) = (&self.network, &*self.verifier);
        verify_to_store(record, same, (network, self.now.unix), &mut self.chains, verifier)?;
        Ok(())
    }

    /// Reads a record from a peer: size, form, times. Not its signature.
    fn read_record(&self, bytes: Bytes) -> Result<Record, Invalid> {
        let record = Record::parse(bytes)?;
        record.check_header(self.now.unix)?;
        Ok(self.shared(record))
    }

    /// A record as others of this process have it, if they have.
    fn shared(&self, record: Record) -> Record {
        match &self.pool {
            Some(pool) => pool.share(&record),
            None => record,
        }
    }
}
