//! A mesh of links without order: what floods run on.
//!
//! Each member opens links to members that it draws from its host cache (which knows everybody, dead or alive)
//! until it has as many as it wants, takes as many again from others, pings all now and then and gives up who
//! stays silent. *Not here*: what is said over the links (`flood`, `superpeers`).
//!
//! Source: Gnutella 0.4 §2 (ping, pong, connect); the numbers are guesses near what Ripeanu (2002) measured,
//! 3.4 links a peer.

use std::collections::BTreeMap;

use super::field::{Field, For};
use crate::time::{Micros, SECOND};

/// *Guess*.
const PING_EVERY: Micros = 30 * SECOND;
/// *Guess*: two pings that came to nothing.
const SILENT_MAX: Micros = 75 * SECOND;
/// Between two tries to open links. *Guess*.
const TRY_EVERY: Micros = 2 * SECOND;
/// A ping or a pong, without headers. *Specification*: Gnutella 0.4's descriptors have 23 bytes, pongs 14 more.
const PING_BYTES: u32 = 23;
const PONG_BYTES: u32 = 37;

/// What members say to keep their links, and their timers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Upkeep {
    Ping,
    Pong,
    Open,
    Opened,
    /// A timer.
    PingAll,
    /// A timer.
    Fill,
}

/// The links of all members: to whom, and when it was heard last.
#[derive(Debug)]
pub(super) struct Mesh {
    links: Vec<BTreeMap<u32, Micros>>,
    wanted: usize,
    /// Every so many-th peer is a member.
    step: u32,
}

impl Mesh {
    pub(super) fn new(wanted: usize, step: u32) -> Self {
        Self { links: Vec::new(), wanted, step }
    }

    pub(super) fn is_member(&self, peer: u32) -> bool {
        peer.is_multiple_of(self.step)
    }

    /// Neighbours as a member knows them.
    pub(super) fn neighbours(&self, member: u32) -> Vec<u32> {
        self.links[member as usize].keys().copied().collect()
    }

    /// A member from the host cache, dead or alive.
    pub(super) fn draw<M: Clone>(&self, field: &mut Field<M>) -> u32 {
        let count = field.peers.div_ceil(self.step);
        field.random.below(u64::from(count)) as u32 * self.step
    }

    /// Links between those who are there, as many as each wants.
    pub(super) fn preset<M: Clone + From<Upkeep>>(&mut self, field: &mut Field<M>) {
        self.links = vec![BTreeMap::new(); field.peers as usize];
        let members: Vec<u32> = field.all_up().into_iter().filter(|peer| self.is_member(*peer)).collect();
        for member in &members {
            for _ in 0..8 * self.wanted {
                let other = members[field.random.index(members.len())];
                if self.links[*member as usize].len() >= self.wanted {
                    break;
                }
                if other != *member && self.links[other as usize].len() < 2 * self.wanted {
                    self.links[*member as usize].insert(other, 0);
                    self.links[other as usize].insert(*member, 0);
                }
            }
            let wait = field.random.below(PING_EVERY);
            field.after(*member, wait, Upkeep::PingAll.into());
            field.after(*member, TRY_EVERY, Upkeep::Fill.into());
        }
    }

    pub(super) fn start<M: Clone + From<Upkeep>>(&mut self, member: u32, field: &mut Field<M>) {
        field.after(member, PING_EVERY, Upkeep::PingAll.into());
        self.fill(member, field);
    }

    pub(super) fn stop(&mut self, member: u32) {
        self.links[member as usize].clear();
    }

    fn fill<M: Clone + From<Upkeep>>(&mut self, member: u32, field: &mut Field<M>) {
        for _ in self.links[member as usize].len()..self.wanted {
            let other = self.draw(field);
            if other != member && !self.links[member as usize].contains_key(&other) {
                field.send((member, other), For::Upkeep, PING_BYTES, Upkeep::Open.into());
            }
        }
        field.after(member, TRY_EVERY, Upkeep::Fill.into());
    }

    pub(super) fn receive<M: Clone + From<Upkeep>>(
        &mut self,
        (from, to): (u32, u32),
        message: Upkeep,
        field: &mut Field<M>,
    ) {
        let links = &mut self.links[to as usize];
        match message {
            Upkeep::Ping if links.contains_key(&from) => {
                links.insert(from, field.now);
                field.send((to, from), For::Upkeep, PONG_BYTES, Upkeep::Pong.into());
            }
            Upkeep::Pong if links.contains_key(&from) => {
                links.insert(from, field.now);
            }
            Upkeep::Open if links.len() < 2 * self.wanted => {
                links.insert(from, field.now);
                field.send((to, from), For::Upkeep, PONG_BYTES, Upkeep::Opened.into());
            }
            Upkeep::Opened => {
                links.insert(from, field.now);
            }
            Upkeep::Ping | Upkeep::Pong | Upkeep::Open | Upkeep::PingAll | Upkeep::Fill => {}
        }
    }

    pub(super) fn timer<M: Clone + From<Upkeep>>(
        &mut self,
        member: u32,
        message: Upkeep,
        field: &mut Field<M>,
    ) {
        if matches!(message, Upkeep::Fill) {
            return self.fill(member, field);
        }
        let now = field.now;
        self.links[member as usize].retain(|_, heard| *heard + SILENT_MAX > now);
        for other in self.neighbours(member) {
            field.send((member, other), For::Upkeep, PING_BYTES, Upkeep::Ping.into());
        }
        field.after(member, PING_EVERY, Upkeep::PingAll.into());
    }
}

/// Requests that a member has seen, and from whom: a flood passes each once, and answers go back this way.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(BTreeMap<u64, u32>);

impl Seen {
    /// More than are under way in any minute. *Guess*.
    const MAX: usize = 1_024;

    /// Whether it is new here.
    pub(super) fn note(&mut self, request: u64, from: u32) -> bool {
        if self.0.contains_key(&request) {
            return false;
        }
        while self.0.len() >= Self::MAX {
            self.0.pop_first();
        }
        self.0.insert(request, from);
        true
    }

    /// The same request is asked again.
    pub(super) fn forget(&mut self, request: u64) {
        self.0.remove(&request);
    }

    pub(super) fn back(&self, request: u64) -> Option<u32> {
        self.0.get(&request).copied()
    }
}
