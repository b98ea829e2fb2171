//! Kademlia: iterative look-ups by XOR distance, as libp2p-kad does them and as p2psim does.
//!
//! | | libp2p-kad | p2psim |
//! |---|---|---|
//! | a name's key | a hash; its holder puts a record at the 20 closest when it comes | the holder's id |
//! | a look-up ends | when the 20 closest have answered (newest record wins) | when an answer names the holder, which is then pinged |
//! | a peer is given up | after 5 s and at once | after three round trips, and for good after 5 times |
//! | upkeep | every 5 min all buckets | every 10 min those that nobody was heard from in, empty ones down to the last bit too |
//!
//! Both: k 20, α 3, up to 20 at once when three answers in a row brought nobody closer (libp2p) or in a
//! refresh (p2psim); who sends anything is put into its bucket if there is room, else kept as a spare.
//!
//! Source: Maymounkov, Mazières (IPTPS 2002); rust-libp2p `kad` (`query/peers/closest.rs`, `behaviour.rs`);
//! p2psim `protocols/kademlia.C` (sit/dht), parameters of directories.md §3.5. *Not here*: libp2p's hourly
//! replication and daily republishing of records, provider records, disjoint paths. Tables: [`table`].

mod table;

use std::collections::BTreeMap;

use self::table::{Table, id_of, key_of};
use super::field::{Answer, Field, For};
use super::{Protocol, Wire};
use crate::network::DIAL_TIMEOUT;
use crate::random::mix;
use crate::time::{MINUTE, Micros};

/// *Paper*: §2.2.
pub(super) const K: usize = 20;
/// *Paper*: §2.3.
const ALPHA: usize = 3;

/// How a look-up ends, and what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Closest,
    Target,
}

#[derive(Debug, Clone)]
pub(super) enum Message {
    Find {
        walk: u32,
        key: u64,
        name: Option<u32>,
        why: For,
    },
    Closest {
        walk: u32,
        peers: Vec<u32>,
        life: Option<u32>,
    },
    Store {
        name: u32,
        life: u32,
    },
    Ping {
        walk: u32,
    },
    Pong {
        walk: u32,
        life: u32,
    },
    /// A timer: no answer.
    Late {
        walk: u32,
        peer: u32,
    },
    /// A timer.
    Refresh,
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Query {
        query: u32,
        name: u32,
    },
    /// The first one of a peer, for its own id.
    Join,
    Refresh,
    Publish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Asked,
    Answered,
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    distance: u64,
    peer: u32,
    state: State,
    hops: u32,
}

#[derive(Debug, Clone)]
struct Walk {
    peer: u32,
    key: u64,
    aim: Aim,
    steps: Vec<Step>,
    /// Answers in a row that brought nobody closer.
    useless: usize,
    best: Option<u32>,
    hops: u32,
    /// The target was found and is asked whether it is there.
    pinged: bool,
}

/// All peers of it.
#[derive(Debug)]
pub(super) struct Kademlia {
    name: &'static str,
    ending: Ending,
    wire: Wire,
    tables: Vec<Table>,
    records: Vec<BTreeMap<u32, u32>>,
    walks: BTreeMap<u32, Walk>,
    walk_count: u32,
}

impl Kademlia {
    fn new(name: &'static str, ending: Ending, wire: Wire) -> Self {
        let (tables, records, walks) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { name, ending, wire, tables, records, walks, walk_count: 0 }
    }

    pub(super) fn libp2p() -> Self {
        Self::new("Kademlia, libp2p's", Ending::Closest, Wire::REAL)
    }

    pub(super) fn p2psim() -> Self {
        Self::new("Kademlia, p2psim's", Ending::Target, Wire::P2PSIM)
    }

    fn refresh_every(&self) -> Micros {
        if self.ending == Ending::Closest { 5 * MINUTE } else { 10 * MINUTE }
    }

    /// Where a name is: at its holder's own id, or at a key of its own.
    fn place(&self, name: u32) -> u64 {
        if self.ending == Ending::Target { id_of(name) } else { key_of(name) }
    }

    fn patience(&self, one: u32, other: u32, field: &Field<Message>) -> Micros {
        if self.ending == Ending::Target { 3 * field.round_trip(one, other) } else { DIAL_TIMEOUT }
    }

    fn walk(&mut self, peer: u32, key: u64, aim: Aim, field: &mut Field<Message>) {
        let number = self.walk_count;
        self.walk_count += 1;
        let mut walk =
            Walk { peer, key, aim, steps: Vec::new(), useless: 0, best: None, hops: 0, pinged: false };
        for other in self.tables[peer as usize].closest(key, K) {
            walk.add(other, 1);
        }
        if let Aim::Query { name, .. } = aim {
            walk.best = self.records[peer as usize].get(&name).copied();
        }
        self.walks.insert(number, walk);
        self.go_on(number, field);
    }

    /// Asks whom it may ask, or ends.
    fn go_on(&mut self, number: u32, field: &mut Field<Message>) {
        let Some(walk) = self.walks.get_mut(&number).filter(|walk| !walk.pinged) else { return };
        let to_target = self.ending == Ending::Target;
        let why = walk.why();
        if let Aim::Query { name, .. } = walk.aim
            && to_target
            && let Some(step) = walk.steps.iter().find(|step| step.peer == name)
        {
            (walk.hops, walk.pinged) = (step.hops, true);
            let (peer, bytes) = (walk.peer, self.wire.id);
            return field.send((peer, name), why, bytes, Message::Ping { walk: number });
        }
        let (asked, new, done) = walk.front();
        if done {
            return self.end(number, field);
        }
        let flush = match (to_target, walk.aim) {
            (true, Aim::Query { .. }) => false,
            (true, _) => walk.useless > 0 && new.len() <= K - ALPHA,
            (false, _) => walk.useless >= ALPHA,
        };
        let most = if flush { K } else { ALPHA };
        let (peer, key) = (walk.peer, walk.key);
        let name = if let Aim::Query { name, .. } = walk.aim { Some(name) } else { None };
        let chosen: Vec<u32> = new.into_iter().take(most.saturating_sub(asked)).collect();
        for step in walk.steps.iter_mut().filter(|step| chosen.contains(&step.peer)) {
            step.state = State::Asked;
        }
        for other in chosen {
            field.send((peer, other), why, self.wire.id, Message::Find { walk: number, key, name, why });
            let patience = self.patience(peer, other, field);
            field.after(peer, patience, Message::Late { walk: number, peer: other });
        }
    }

    fn end(&mut self, number: u32, field: &mut Field<Message>) {
        let Some(walk) = self.walks.remove(&number) else { return };
        match walk.aim {
            Aim::Query { query, .. } => {
                let answer = walk.best.map_or(Answer::Absent, Answer::Life);
                field.settle(query, answer, walk.hops);
            }
            Aim::Join => {
                self.refresh(walk.peer, true, field);
                if self.ending == Ending::Closest {
                    self.walk(walk.peer, key_of(walk.peer), Aim::Publish, field);
                }
            }
            Aim::Publish => {
                let (name, life) = (walk.peer, field.life(walk.peer));
                for step in walk.steps.iter().filter(|step| step.state == State::Answered).take(K) {
                    let bytes = self.wire.id + self.wire.record;
                    field.send((walk.peer, step.peer), For::Upkeep, bytes, Message::Store { name, life });
                }
            }
            Aim::Refresh => {}
        }
    }

    /// Looks random keys up in buckets, all of them or the stale ones.
    fn refresh(&mut self, peer: u32, all: bool, field: &mut Field<Message>) {
        let before = if all { Micros::MAX } else { field.now.saturating_sub(self.refresh_every()) };
        let table = &self.tables[peer as usize];
        // P2psim's tree has all buckets from the beginning, and empty ones are never fresh.
        let whole = self.ending == Ending::Target && !all;
        let depth = if whole { table::BUCKETS } else { table.depth() };
        for bucket in table.stale(before, depth) {
            let random = field.random.bits();
            let key = self.tables[peer as usize].key_in(bucket, random);
            self.walk(peer, key, Aim::Refresh, field);
        }
    }

    fn answered(&mut self, from: u32, message: Message, field: &mut Field<Message>) {
        let Message::Closest { walk: number, peers, life } = message else { return };
        let Some(walk) = self.walks.get_mut(&number) else { return };
        let peer = walk.peer;
        let nearest = walk.steps.first().map(|step| step.distance);
        let Some(step) = walk.steps.iter_mut().find(|step| step.peer == from) else { return };
        // One that was given up answers after all.
        step.state = State::Answered;
        let hops = step.hops + 1;
        walk.hops = walk.hops.max(hops - 1);
        walk.best = walk.best.max(life);
        for other in peers.iter().filter(|other| **other != peer) {
            walk.add(*other, hops);
        }
        let closer = walk.steps.first().map(|step| step.distance) < nearest;
        walk.useless = if closer { 0 } else { walk.useless + 1 };
        if self.ending == Ending::Target && matches!(walk.aim, Aim::Join | Aim::Refresh) {
            for other in peers.into_iter().filter(|other| *other != peer) {
                self.tables[peer as usize].hear_of(other);
            }
        }
        self.go_on(number, field);
    }

    fn late(&mut self, number: u32, from: u32, field: &mut Field<Message>) {
        let Some(walk) = self.walks.get_mut(&number) else { return };
        let asked = walk.steps.iter_mut().find(|step| step.peer == from && step.state == State::Asked);
        if let Some(step) = asked {
            step.state = State::Failed;
            let peer = walk.peer;
            let failures_max = if self.ending == Ending::Target { 5 } else { 1 };
            self.tables[peer as usize].failed(from, failures_max);
            self.go_on(number, field);
        }
    }
}

impl Walk {
    fn why(&self) -> For {
        if let Aim::Query { query, .. } = self.aim { For::Query(query) } else { For::Upkeep }
    }

    /// Somebody to ask, unless it is known already; so many hops away.
    fn add(&mut self, peer: u32, hops: u32) {
        let distance = id_of(peer) ^ self.key;
        if let Err(at) = self.steps.binary_search_by_key(&distance, |step| step.distance) {
            self.steps.insert(at, Step { distance, peer, state: State::New, hops });
        }
    }

    /// Among the 20 closest that have not failed: how many are asked, who is not, and whether all answered.
    fn front(&self) -> (usize, Vec<u32>, bool) {
        let front = self.steps.iter().filter(|step| step.state != State::Failed).take(K);
        let new: Vec<u32> =
            front.clone().filter(|step| step.state == State::New).map(|step| step.peer).collect();
        let asked = self.steps.iter().filter(|step| step.state == State::Asked).count();
        let done = front.clone().all(|step| step.state == State::Answered);
        (asked, new, done)
    }
}

impl Protocol for Kademlia {
    type Message = Message;

    fn name(&self) -> &'static str {
        self.name
    }

    fn preset(&mut self, field: &mut Field<Message>) {
        self.tables = (0..field.peers).map(Table::new).collect();
        self.records = vec![BTreeMap::new(); field.peers as usize];
        let mut up = field.all_up();
        for peer in up.clone() {
            // In another order for each, so that buckets hold others.
            let salt = field.random.bits();
            up.sort_unstable_by_key(|other| mix(salt ^ u64::from(*other)));
            for other in up.iter().filter(|other| **other != peer) {
                self.tables[peer as usize].heard(*other, 0);
            }
            let wait = field.random.below(self.refresh_every());
            field.after(peer, wait, Message::Refresh);
        }
        // P2psim's has no records: names are ids.
        let names = if self.ending == Ending::Closest { up.clone() } else { Vec::new() };
        for name in names {
            let key = self.place(name);
            up.sort_unstable_by_key(|other| id_of(*other) ^ key);
            for storer in up.iter().take(K) {
                self.records[*storer as usize].insert(name, field.life(name));
            }
        }
    }

    fn start(&mut self, peer: u32, field: &mut Field<Message>) {
        if let Some(known) = field.somebody(peer) {
            self.tables[peer as usize].heard(known, field.now);
        }
        self.walk(peer, id_of(peer), Aim::Join, field);
        field.after(peer, self.refresh_every(), Message::Refresh);
    }

    fn stop(&mut self, peer: u32) {
        self.tables[peer as usize] = Table::new(peer);
        self.records[peer as usize].clear();
        self.walks.retain(|_, walk| walk.peer != peer);
    }

    fn look_up(&mut self, query: u32, asker: u32, name: u32, field: &mut Field<Message>) {
        self.walk(asker, self.place(name), Aim::Query { query, name }, field);
    }

    fn receive(&mut self, (from, to): (u32, u32), message: Message, field: &mut Field<Message>) {
        self.tables[to as usize].heard(from, field.now);
        let (id, contact) = (self.wire.id, self.wire.contact);
        match message {
            Message::Find { walk, key, name, why } => {
                let peers = self.tables[to as usize].closest(key, K);
                let records = &self.records[to as usize];
                let life = name.and_then(|name| records.get(&name)).copied();
                let life = life.filter(|_| self.ending == Ending::Closest);
                let bytes = id + peers.len() as u32 * contact + life.map_or(0, |_| self.wire.record);
                field.send((to, from), why, bytes, Message::Closest { walk, peers, life });
            }
            Message::Closest { .. } => self.answered(from, message, field),
            Message::Store { name, life } => {
                let record = self.records[to as usize].entry(name).or_default();
                *record = life.max(*record);
            }
            Message::Ping { walk } => {
                let (life, why) = (field.life(to), self.walks.get(&walk).map_or(For::Upkeep, Walk::why));
                field.send((to, from), why, id, Message::Pong { walk, life });
            }
            Message::Pong { walk, life } => {
                if let Some(walk) = self.walks.get_mut(&walk) {
                    walk.best = Some(life);
                }
                self.end(walk, field);
            }
            Message::Late { .. } | Message::Refresh => {}
        }
    }

    fn timer(&mut self, peer: u32, message: Message, field: &mut Field<Message>) {
        match message {
            Message::Late { walk, peer: other } => self.late(walk, other, field),
            Message::Refresh => {
                let all = self.ending == Ending::Closest;
                if all {
                    self.walk(peer, id_of(peer), Aim::Refresh, field);
                }
                self.refresh(peer, all, field);
                field.after(peer, self.refresh_every(), Message::Refresh);
            }
            _ => {}
        }
    }
}
