//! Superpeers that index their children and flood among themselves, with caches on the way back.
//!
//! Every 32nd peer is a superpeer whenever it is there. A child uploads its record to one parent and asks it.
//! A parent answers from its index or its cache, or floods the query among the superpeers; the answer goes
//! back the way that the query came, and who passes it keeps it for a while. A cache may give the address of
//! an earlier life: that is a wrong answer here, since users ask for who is there.
//!
//! Source: KaZaA, as Liang, Kumar, Ross: *Understanding KaZaA* (2004) and directories.md §1.2 have it; the
//! limited scope of its floods is Gnutella's 7; the cache of Skype's kind (§1.1). Times, share and links are
//! guesses. *Not here*: links among superpeers ([`Mesh`]).

use std::collections::BTreeMap;

use super::field::{Answer, Field, For};
use super::mesh::{Mesh, Seen, Upkeep};
use super::{Protocol, Wire};
use crate::time::{MINUTE, Micros, SECOND};

/// *Guess*: KaZaA's superpeers have 60 to 150 children, in a network of millions.
const PEERS_EACH: u32 = 32;
/// *Paper*: 30 to 50 links, 0.1 % of all; *guess* for so few superpeers.
const LINKS: usize = 5;
const HOPS_MAX: u32 = 7;
/// *Guess*.
const CACHED_FOR: Micros = 10 * MINUTE;
/// *Guess*.
const CACHE_MAX: usize = 1_000;
/// Children say that they are there, and look after their parent. *Guess*.
const TELL_EVERY: Micros = 30 * SECOND;
const SILENT_MAX: Micros = 75 * SECOND;
/// A parent that doesn't answer is given up, for an attachment and for a query. *Guess*.
const PATIENCE: Micros = 3 * SECOND;
const TRIES_MAX: u32 = 3;

const WIRE: Wire = Wire::REAL;

#[derive(Debug, Clone, Copy)]
pub(super) enum Message {
    Upkeep(Upkeep),
    Attach {
        life: u32,
    },
    Attached,
    Still {
        life: u32,
    },
    StillHere,
    /// From a child to its parent.
    Ask {
        query: u32,
        name: u32,
    },
    /// Among superpeers: how far it has come.
    Query {
        query: u32,
        name: u32,
        hops: u32,
    },
    Hit {
        query: u32,
        name: u32,
        life: u32,
        hops: u32,
    },
    /// A timer: looks after the parent.
    Tend,
    /// A timer: no answer, so many tries.
    Over {
        query: u32,
        name: u32,
        tries: u32,
    },
}

impl From<Upkeep> for Message {
    fn from(upkeep: Upkeep) -> Self {
        Self::Upkeep(upkeep)
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// A child's parent, and when it was heard last.
    parent: Option<(u32, Micros)>,
    /// A superpeer's children: their lives, and when they were heard last.
    children: BTreeMap<u32, (u32, Micros)>,
    /// Names of others: lives, and until when they are kept.
    cache: BTreeMap<u32, (u32, Micros)>,
    seen: Seen,
}

/// All peers of it.
#[derive(Debug)]
pub(super) struct Superpeers {
    mesh: Mesh,
    nodes: Vec<Node>,
}

impl Default for Superpeers {
    fn default() -> Self {
        Self { mesh: Mesh::new(LINKS, PEERS_EACH), nodes: Vec::new() }
    }
}

impl Superpeers {
    fn known(&self, superpeer: u32, name: u32, field: &Field<Message>) -> Option<u32> {
        let node = &self.nodes[superpeer as usize];
        let own = (superpeer == name).then(|| field.life(name));
        let child = || {
            let entry = node.children.get(&name).filter(|(_, heard)| *heard + SILENT_MAX > field.now);
            entry.map(|(life, _)| *life)
        };
        let cached = || {
            let entry = node.cache.get(&name).filter(|(_, until)| *until > field.now);
            entry.map(|(life, _)| *life)
        };
        own.or_else(child).or_else(cached)
    }

    /// A superpeer has a question, from a child, itself or another superpeer, that it has not seen before.
    fn consider(&mut self, (from, to): (u32, u32), message: Message, field: &mut Field<Message>) {
        let Message::Query { query, name, hops } = message else { return };
        if !self.nodes[to as usize].seen.note(u64::from(query), from) {
            return;
        }
        if let Some(life) = self.known(to, name, field) {
            return self.back(to, Message::Hit { query, name, life, hops }, field);
        }
        if hops < HOPS_MAX {
            let next = Message::Query { query, name, hops: hops + 1 };
            for other in self.mesh.neighbours(to).into_iter().filter(|other| *other != from) {
                field.send((to, other), For::Query(query), WIRE.id, next);
            }
        }
    }

    fn back(&mut self, superpeer: u32, message: Message, field: &mut Field<Message>) {
        let Message::Hit { query, life, hops, .. } = message else { return };
        match self.nodes[superpeer as usize].seen.back(u64::from(query)) {
            Some(back) if back == superpeer => field.settle(query, Answer::Life(life), hops),
            Some(back) => field.send((superpeer, back), For::Query(query), WIRE.id + WIRE.record, message),
            None => {}
        }
    }

    fn keep(&mut self, superpeer: u32, name: u32, life: u32, now: Micros) {
        let cache = &mut self.nodes[superpeer as usize].cache;
        if cache.len() >= CACHE_MAX {
            cache.retain(|_, (_, until)| *until > now);
        }
        if cache.len() < CACHE_MAX {
            cache.insert(name, (life, now + CACHED_FOR));
        }
    }

    /// A child asks its parent, or later when it has none.
    fn ask(&mut self, asker: u32, tried: Message, field: &mut Field<Message>) {
        let Message::Over { query, name, tries } = tried else { return };
        if tries == TRIES_MAX {
            return field.settle(query, Answer::Unknown, 0);
        }
        if self.mesh.is_member(asker) {
            self.nodes[asker as usize].seen.forget(u64::from(query));
            self.consider((asker, asker), Message::Query { query, name, hops: 0 }, field);
        } else if let Some((parent, _)) = self.nodes[asker as usize].parent {
            field.send((asker, parent), For::Query(query), WIRE.id, Message::Ask { query, name });
        }
        field.after(asker, PATIENCE, Message::Over { query, name, tries: tries + 1 });
    }

    /// A child without a parent looks for one; one that has one says that it is there.
    fn tend(&mut self, child: u32, field: &mut Field<Message>) {
        let (life, now) = (field.life(child), field.now);
        let node = &mut self.nodes[child as usize];
        node.parent = node.parent.filter(|(_, heard)| *heard + SILENT_MAX > now);
        if let Some((parent, _)) = node.parent {
            field.send((child, parent), For::Upkeep, WIRE.id, Message::Still { life });
            field.after(child, TELL_EVERY, Message::Tend);
        } else {
            let parent = self.mesh.draw(field);
            field.send((child, parent), For::Upkeep, WIRE.id + WIRE.record, Message::Attach { life });
            field.after(child, PATIENCE, Message::Tend);
        }
    }
}

impl Protocol for Superpeers {
    type Message = Message;

    fn name(&self) -> &'static str {
        "superpeers flooding"
    }

    fn preset(&mut self, field: &mut Field<Message>) {
        self.nodes = vec![Node::default(); field.peers as usize];
        self.mesh.preset(field);
        let (supers, children): (Vec<u32>, Vec<u32>) =
            field.all_up().into_iter().partition(|peer| self.mesh.is_member(*peer));
        for child in children {
            if !supers.is_empty() {
                let parent = supers[field.random.index(supers.len())];
                self.nodes[child as usize].parent = Some((parent, 0));
                self.nodes[parent as usize].children.insert(child, (field.life(child), 0));
            }
            let wait = field.random.below(TELL_EVERY);
            field.after(child, wait, Message::Tend);
        }
    }

    fn start(&mut self, peer: u32, field: &mut Field<Message>) {
        if self.mesh.is_member(peer) {
            self.mesh.start(peer, field);
        } else {
            self.tend(peer, field);
        }
    }

    fn stop(&mut self, peer: u32) {
        self.nodes[peer as usize] = Node::default();
        self.mesh.stop(peer);
    }

    fn look_up(&mut self, query: u32, asker: u32, name: u32, field: &mut Field<Message>) {
        self.ask(asker, Message::Over { query, name, tries: 0 }, field);
    }

    fn receive(&mut self, (from, to): (u32, u32), message: Message, field: &mut Field<Message>) {
        let node = &mut self.nodes[to as usize];
        match message {
            Message::Upkeep(upkeep) => self.mesh.receive((from, to), upkeep, field),
            Message::Attach { life } => {
                node.children.insert(from, (life, field.now));
                field.send((to, from), For::Upkeep, WIRE.id, Message::Attached);
            }
            Message::Attached if node.parent.is_none() => node.parent = Some((from, field.now)),
            Message::Still { life } => {
                // A parent that has started again since knows nothing of it: silence tells the child.
                if let Some(entry) = node.children.get_mut(&from) {
                    *entry = (life, field.now);
                    field.send((to, from), For::Upkeep, WIRE.id, Message::StillHere);
                }
            }
            Message::StillHere => {
                node.parent = node
                    .parent
                    .map(|(parent, heard)| (parent, if parent == from { field.now } else { heard }));
            }
            Message::Ask { query, name } => {
                node.seen.forget(u64::from(query));
                self.consider((from, to), Message::Query { query, name, hops: 1 }, field);
            }
            Message::Query { .. } => self.consider((from, to), message, field),
            Message::Hit { query, name, life, hops } => {
                if self.mesh.is_member(to) {
                    self.keep(to, name, life, field.now);
                    self.back(to, message, field);
                } else {
                    field.settle(query, Answer::Life(life), hops);
                }
            }
            Message::Attached | Message::Tend | Message::Over { .. } => {}
        }
    }

    fn timer(&mut self, peer: u32, message: Message, field: &mut Field<Message>) {
        match message {
            Message::Upkeep(upkeep) => self.mesh.timer(peer, upkeep, field),
            Message::Tend => self.tend(peer, field),
            Message::Over { query, .. } if field.is_open(query) => self.ask(peer, message, field),
            _ => {}
        }
    }
}
