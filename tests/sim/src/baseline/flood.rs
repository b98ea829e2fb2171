//! Flooding: a query goes to all neighbours, from them to all of theirs, until its time to live is over.
//!
//! Nobody indexes anything but itself. A peer passes a query once and drops it when it comes again by another
//! way, so a flood that reaches all costs a message for each direction of nearly each link. Who has the name
//! answers, and the answer goes back the way that the query came. In *rings* the asker begins with a short
//! time to live and floods again, further, as long as nothing comes: cheaper for what many have, dearer for
//! what one has, as here.
//!
//! Source: Gnutella 0.4 (time to live 7); Lv, Cao, Cohen, Li, Shenker: *Search and Replication in
//! Unstructured Peer-to-Peer Networks* (ICS 2002), §4 expanding ring (begin with 1, then 2 more each time:
//! from memory). *Not here*: links ([`Mesh`]), random walks.

use super::field::{Answer, Field, For};
use super::mesh::{Mesh, Seen, Upkeep};
use super::{Protocol, Wire};
use crate::time::{MILLISECOND, Micros};

/// *Specification*: Gnutella 0.4.
const HOPS_MAX: u32 = 7;
/// How long an answer may take for each hop: the longest way through the plane, there and back. *Guess*.
const HOP_TIME: Micros = 500 * MILLISECOND;
/// Links that a peer opens. *Guess*, see [`Mesh`].
const LINKS: usize = 4;

const WIRE: Wire = Wire::REAL;

#[derive(Debug, Clone, Copy)]
pub(super) enum Message {
    Upkeep(Upkeep),
    /// A query in one of its rings; how far it has come and how far it may go.
    Query {
        query: u32,
        ring: u32,
        name: u32,
        hops: (u32, u32),
    },
    Hit {
        query: u32,
        ring: u32,
        life: u32,
        hops: u32,
    },
    /// A timer: nothing has come.
    Over {
        query: u32,
        ring: u32,
        name: u32,
        most: u32,
    },
}

impl From<Upkeep> for Message {
    fn from(upkeep: Upkeep) -> Self {
        Self::Upkeep(upkeep)
    }
}

/// All peers of it.
#[derive(Debug)]
pub(super) struct Flood {
    name: &'static str,
    first: u32,
    mesh: Mesh,
    seen: Vec<Seen>,
}

fn request(query: u32, ring: u32) -> u64 {
    u64::from(query) << 8 | u64::from(ring)
}

impl Flood {
    pub(super) fn at_once() -> Self {
        Self { name: "flooding", first: HOPS_MAX, mesh: Mesh::new(LINKS, 1), seen: Vec::new() }
    }

    pub(super) fn in_rings() -> Self {
        Self { name: "expanding ring", first: 1, ..Self::at_once() }
    }

    /// One ring of a query, from its asker.
    fn flood(&mut self, asker: u32, message: Message, field: &mut Field<Message>) {
        if let Message::Query { query, ring, name, hops: (_, most) } = message {
            self.seen[asker as usize].note(request(query, ring), asker);
            self.pass(asker, asker, message, field);
            field.after(asker, u64::from(most) * HOP_TIME, Message::Over { query, ring, name, most });
        }
    }

    fn pass(&self, peer: u32, from: u32, message: Message, field: &mut Field<Message>) {
        let Message::Query { query, ring, name, hops: (hops, most) } = message else { return };
        if hops < most {
            let next = Message::Query { query, ring, name, hops: (hops + 1, most) };
            for other in self.mesh.neighbours(peer).into_iter().filter(|other| *other != from) {
                field.send((peer, other), For::Query(query), WIRE.id, next);
            }
        }
    }

    fn back(&self, peer: u32, message: Message, field: &mut Field<Message>) {
        if let Message::Hit { query, ring, life, hops } = message {
            match self.seen[peer as usize].back(request(query, ring)) {
                Some(back) if back == peer => field.settle(query, Answer::Life(life), hops),
                Some(back) => field.send((peer, back), For::Query(query), WIRE.id + WIRE.record, message),
                None => {}
            }
        }
    }
}

impl Protocol for Flood {
    type Message = Message;

    fn name(&self) -> &'static str {
        self.name
    }

    fn preset(&mut self, field: &mut Field<Message>) {
        self.seen = vec![Seen::default(); field.peers as usize];
        self.mesh.preset(field);
    }

    fn start(&mut self, peer: u32, field: &mut Field<Message>) {
        self.mesh.start(peer, field);
    }

    fn stop(&mut self, peer: u32) {
        self.seen[peer as usize] = Seen::default();
        self.mesh.stop(peer);
    }

    fn look_up(&mut self, query: u32, asker: u32, name: u32, field: &mut Field<Message>) {
        self.flood(asker, Message::Query { query, ring: 0, name, hops: (0, self.first) }, field);
    }

    fn receive(&mut self, (from, to): (u32, u32), message: Message, field: &mut Field<Message>) {
        match message {
            Message::Upkeep(upkeep) => self.mesh.receive((from, to), upkeep, field),
            Message::Query { query, ring, name, hops: (hops, _) } => {
                if !self.seen[to as usize].note(request(query, ring), from) {
                    return;
                }
                if name == to {
                    let life = field.life(to);
                    self.back(to, Message::Hit { query, ring, life, hops }, field);
                } else {
                    self.pass(to, from, message, field);
                }
            }
            Message::Hit { .. } => self.back(to, message, field),
            Message::Over { .. } => {}
        }
    }

    fn timer(&mut self, peer: u32, message: Message, field: &mut Field<Message>) {
        match message {
            Message::Upkeep(upkeep) => self.mesh.timer(peer, upkeep, field),
            Message::Over { query, ring, name, most } if field.is_open(query) => {
                if most < HOPS_MAX {
                    let hops = (0, (most + 2).min(HOPS_MAX));
                    self.flood(peer, Message::Query { query, ring: ring + 1, name, hops }, field);
                } else {
                    field.settle(query, Answer::Unknown, most);
                }
            }
            Message::Over { .. } | Message::Query { .. } | Message::Hit { .. } => {}
        }
    }
}
