//! The field that models play on: time, places, churn, look-ups, and what everything costs.
//!
//! A message costs what [`Network`] says and arrives if its receiver runs then. Over streams the first message
//! between two peers that have been silent for longer than a connection stays open pays for a new one. Peers
//! go without a word and come back with nothing; timers of an earlier life are dropped.
//!
//! *Not here*: what peers do ([`Protocol`]), how figures are made (`score`).

use std::collections::BTreeMap;

use callbook_overlay::api::Transport;

use super::score::{Row, Score, Verdict};
use super::{Protocol, Settings};
use crate::network::{Carriage, DIAL_TIMEOUT, IDLE_TIMEOUT, Network};
use crate::queue::Queue;
use crate::random::Random;
use crate::time::{MINUTE, Micros, from_secs, secs};
use crate::workload::{Zipf, at_rank};

/// Look-ups may take so long after the last one was begun.
const DRAIN: Micros = MINUTE;

/// Tries to find a name whose holder is there.
const DRAWS_MAX: u32 = 256;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// A look-up, by its number.
    Query(u32),
    /// Staying in the network.
    Upkeep,
}

/// What a look-up has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The holder's address in one of its lives.
    Life(u32),
    /// Nobody has it, says who should know.
    Absent,
    /// Nothing was heard.
    Unknown,
}

enum Event<M> {
    Turn { peer: u32 },
    Ask { peer: u32, life: u32 },
    Arrives { from: u32, to: u32, message: M },
    Timer { peer: u32, life: u32, message: M },
}

#[derive(Debug, Clone, Copy, Default)]
struct Site {
    up: bool,
    life: u32,
}

/// The field.
pub(crate) struct Field<M> {
    pub(crate) now: Micros,
    /// The model's own chance.
    pub(crate) random: Random,
    pub(crate) peers: u32,
    settings: Settings,
    network: Network,
    queue: Queue<Event<M>>,
    sites: Vec<Site>,
    churn: Random,
    asking: Random,
    zipf: Zipf,
    /// When a pair spoke last, and from when on its connection carries.
    open: BTreeMap<(u32, u32), (Micros, Micros)>,
    score: Score,
}

impl<M: Clone> Field<M> {
    fn new(settings: &Settings, servers: u32) -> Self {
        let (seed, peers) = (settings.seed, settings.peers);
        let mut network = Network::new(settings.conditions.clone(), seed);
        let mut places = Random::of(seed, "places");
        (0..peers + servers).for_each(|_| network.settle(&mut places));
        let mut sites = vec![Site::default(); peers as usize];
        sites.extend((0..servers).map(|_| Site { up: true, life: 1 }));
        Self {
            now: 0,
            random: Random::of(seed, "baseline"),
            peers,
            settings: settings.clone(),
            network,
            queue: Queue::default(),
            score: Score::new(sites.len(), settings.warm_up, settings.warm_up + settings.measured),
            sites,
            churn: Random::of(seed, "churn"),
            asking: Random::of(seed, "workload"),
            zipf: Zipf::new(u64::from(peers), settings.workload.skewness),
            open: BTreeMap::new(),
        }
    }

    /// Whether somebody runs: what a model may know only of itself, and where it begins.
    pub(crate) fn is_up(&self, peer: u32) -> bool {
        self.sites[peer as usize].up
    }

    /// Which of its lives a peer is in.
    pub(crate) fn life(&self, peer: u32) -> u32 {
        self.sites[peer as usize].life
    }

    /// Peers that run, ascending.
    pub(crate) fn all_up(&self) -> Vec<u32> {
        (0..self.peers).filter(|peer| self.is_up(*peer)).collect()
    }

    /// Somebody else who runs: the well-known peer of the papers.
    pub(crate) fn somebody(&mut self, but: u32) -> Option<u32> {
        let peers = u64::from(self.peers);
        let mut drawn = (0..DRAWS_MAX).map(|_| self.random.below(peers) as u32).collect::<Vec<_>>();
        drawn.retain(|peer| *peer != but && self.is_up(*peer));
        drawn.first().copied()
    }

    /// A round trip without jitter.
    pub(crate) fn round_trip(&self, one: u32, other: u32) -> Micros {
        2 * self.network.one_way(one, other)
    }

    /// Sends a message of so many bytes, headers aside.
    pub(crate) fn send(&mut self, (from, to): (u32, u32), why: For, payload: u32, message: M) {
        let passage = self.network.pass(self.now, (from, to), Transport::Quic, (payload, false));
        let (opening, ready) = self.connect(from, to);
        self.score.sent((from, to), why, passage.bytes + opening, (self.now, self.is_up(to)));
        for arrival in passage.arrivals.into_iter().flatten() {
            self.queue.push(arrival.max(ready), Event::Arrives { from, to, message: message.clone() });
        }
    }

    /// Opens a connection unless there is one: its bytes, and when what is sent now arrives at the earliest.
    fn connect(&mut self, from: u32, to: u32) -> (u32, Micros) {
        let carriage = self.settings.conditions.carriage;
        if carriage == Carriage::Datagrams || !self.is_up(to) {
            return (0, 0);
        }
        let pair = (from.min(to), from.max(to));
        if let Some((last, ready)) =
            self.open.get_mut(&pair).filter(|(last, _)| *last + IDLE_TIMEOUT > self.now)
        {
            *last = self.now;
            return (0, *ready);
        }
        let cost = carriage.set_up(Transport::Quic);
        // Their models have no second try: what takes too long takes as long as is waited for.
        let took = self.network.set_up_time(from, to, Transport::Quic).unwrap_or(DIAL_TIMEOUT);
        let ready = self.now + took + self.network.one_way(from, to);
        self.open.insert(pair, (self.now, ready));
        (cost.bytes, ready)
    }

    /// Calls a peer after some time, if it is still in the same life.
    pub(crate) fn after(&mut self, peer: u32, wait: Micros, message: M) {
        let life = self.life(peer);
        self.queue.push(self.now + wait.max(1), Event::Timer { peer, life, message });
    }

    /// Ends a look-up, after so many hops; what comes later is passed over.
    pub(crate) fn settle(&mut self, query: u32, answer: Answer, hops: u32) {
        let verdict = match (self.score.holder(query), answer) {
            (Some((_, life)), Answer::Life(found)) if found == life => Verdict::Right,
            (_, Answer::Life(_)) => Verdict::Wrong,
            (Some(_), Answer::Absent | Answer::Unknown) => Verdict::Missed,
            (None, Answer::Absent | Answer::Unknown) => Verdict::Right,
        };
        self.score.settle(query, verdict, hops, self.now);
    }

    /// Whether a look-up still waits for its answer.
    pub(crate) fn is_open(&self, query: u32) -> bool {
        self.score.is_open(query)
    }

    fn begin(&mut self) {
        for peer in 0..self.peers {
            let beginning = self.settings.churn.begin(&mut self.churn);
            if beginning.up {
                self.enter(peer);
            }
            if let Some(left) = beginning.left {
                self.queue.push(left, Event::Turn { peer });
            }
        }
    }

    fn enter(&mut self, peer: u32) {
        let site = &mut self.sites[peer as usize];
        (site.up, site.life) = (true, site.life + 1);
        self.score.population(1, self.now);
        self.ask_later(peer);
    }

    fn leave(&mut self, peer: u32) {
        self.sites[peer as usize].up = false;
        self.score.population(-1, self.now);
        self.score.gone(peer);
    }

    fn ask_later(&mut self, peer: u32) {
        if let Some(every) = self.settings.workload.look_up_every {
            let wait = from_secs(self.asking.exponential(secs(every)));
            let life = self.life(peer);
            self.queue.push(self.now + wait, Event::Ask { peer, life });
        }
    }

    /// A name as users draw it: of somebody else who is there, or of nobody.
    fn draw_name(&mut self, asker: u32) -> Option<u32> {
        if self.asking.chance(self.settings.workload.hot_absent) {
            return Some(self.peers);
        }
        if self.asking.chance(self.settings.workload.absent) {
            return Some(self.peers + 1 + self.asking.below(1_000_000) as u32);
        }
        let mut drawn = (0..DRAWS_MAX)
            .map(|_| at_rank(self.zipf.draw(&mut self.asking), u64::from(self.peers)))
            .filter(|name| *name != asker && self.sites[*name as usize].up);
        drawn.next()
    }

    /// A new look-up of a peer: its number and its name.
    fn ask(&mut self, asker: u32) -> Option<(u32, u32)> {
        let name = self.draw_name(asker)?;
        let holder = (name < self.peers).then(|| (name, self.life(name)));
        Some((self.score.asked(asker, holder, self.now), name))
    }
}

/// Runs a model to its end.
pub(crate) fn run<P: Protocol>(mut protocol: P, settings: &Settings) -> Row {
    let mut field = Field::new(settings, protocol.servers());
    let end = settings.warm_up + settings.measured;
    field.begin();
    protocol.preset(&mut field);
    while let Some((at, event)) = field.queue.pop().filter(|(at, _)| *at < end + DRAIN) {
        field.now = at;
        match event {
            Event::Turn { peer } => turn(&mut protocol, peer, &mut field),
            Event::Ask { peer, life } if field.is_up(peer) && field.life(peer) == life && at < end => {
                if let Some((query, name)) = field.ask(peer) {
                    protocol.look_up(query, peer, name, &mut field);
                }
                field.ask_later(peer);
            }
            Event::Arrives { from, to, message } if field.is_up(to) => {
                protocol.receive((from, to), message, &mut field);
            }
            Event::Timer { peer, life, message } if field.is_up(peer) && field.life(peer) == life => {
                protocol.timer(peer, message, &mut field);
            }
            Event::Ask { .. } | Event::Arrives { .. } | Event::Timer { .. } => {}
        }
    }
    field.score.row(protocol.name())
}

fn turn<P: Protocol>(protocol: &mut P, peer: u32, field: &mut Field<P::Message>) {
    let length = if field.is_up(peer) {
        field.leave(peer);
        protocol.stop(peer);
        field.settings.churn.absence(field.now, &mut field.churn)
    } else {
        field.enter(peer);
        protocol.start(peer, field);
        // Tempers belong to correlated churn, which no baseline runs in.
        field.settings.churn.session(0.0, &mut field.churn)
    };
    field.queue.push(field.now + length, Event::Turn { peer });
}
