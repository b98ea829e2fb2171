//! What the simulation can see that no peer can: who holds what, who is attached to whom, who is full.
//!
//! *Not here*: what is asserted after every turn, which stands where it happens (`world`, `asking`).

use callbook_overlay::api::{Command, Relation, Reply};

use super::World;
use crate::measures::NEVER;
use crate::peers::{Kind, NOBODY};
use crate::time::{Micros, secs};

/// Examples of names with too few copies that are kept.
const EXAMPLES: usize = 12;

/// Up to so many names, all of them are looked at.
const NAMES_ALL: u32 = 2_000;

/// What is wrong in a network that has had time to settle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Children that run and have no parent.
    pub without_parent: usize,
    /// Of how many.
    pub children: usize,
    /// Superpeers that run and others don't know: pairs.
    pub unknown_superpeers: usize,
    /// Superpeers that don't run and others count on: pairs.
    pub dead_in_maps: usize,
    /// Superpeers that were looked at.
    pub maps: usize,
    /// Acknowledged names of which fewer than ⌈0.7 r⌉ of the r closest that run have the newest record.
    pub few_copies: usize,
    /// Acknowledged names of which no superpeer that runs has a record.
    pub no_copies: usize,
    /// The first few names of which there are too few, with what the superpeers that run have of them: those
    /// closest first, a sequence number each.
    pub examples: Vec<String>,
    /// Names that were looked at.
    pub names: usize,
}

impl World {
    /// The superpeers that run, those closest to a name first, each with the newest sequence number that it has
    /// of the name on disk.
    fn holders(&self, name: u32) -> Vec<(u32, Option<u64>)> {
        let key = self.authority.key_of(name);
        let mut all: Vec<_> = self.running(Kind::Superpeer).to_vec();
        all.sort_by_cached_key(|peer| {
            let certificate = self.peers[*peer as usize].certificate.as_deref();
            certificate.map(|certificate| certificate.node_id(&self.authority.network.id).distance(&key))
        });
        let held = |peer: u32| self.peers[peer as usize].disk.as_deref().and_then(|disk| disk.newest(&key));
        all.into_iter().map(|peer| (peer, held(peer))).collect()
    }

    /// How many superpeers that run have the newest record of a name on disk, and how many of the r closest.
    pub(super) fn held_by(&self, name: u32) -> (usize, usize) {
        let holders = self.holders(name);
        let newest = holders.iter().filter_map(|(_, held)| *held).max();
        let holds = |(_, held): &&(u32, Option<u64>)| held.is_some() && *held == newest;
        let closest = holders.iter().take(self.settings.parameters.r);
        (holders.iter().filter(holds).count(), closest.filter(holds).count())
    }

    /// Superpeers that run, are not parted from a peer and have what was acknowledged last of a name, or newer, on disk.
    pub(super) fn copies_for(&self, asker: u32, name: u32) -> usize {
        let least = self.peers[name as usize].acknowledged;
        let has = |(peer, held): &&(u32, Option<u64>)| {
            held.is_some_and(|held| held >= least) && !self.network.parted(asker, *peer)
        };
        self.holders(name).iter().filter(has).count()
    }

    /// Looks at a network that has had time to settle: at all of it if it is small, else at a sample.
    pub fn look_over(&mut self) -> Unsettled {
        let mut found = Unsettled { children: self.running(Kind::Child).len(), ..Unsettled::default() };
        let children = self.running(Kind::Child);
        found.without_parent = children.iter().filter(|peer| self.parent(**peer).is_none()).count();
        self.look_at_maps(&mut found);
        let r = self.settings.parameters.r.min(self.running(Kind::Superpeer).len());
        // An odd step, since rows part and choose peers by even numbers.
        let step = if self.len() <= NAMES_ALL { 1 } else { (self.len() / 500) | 1 };
        for name in (0..self.len()).step_by(step as usize) {
            if self.oracle.knows(name, self.now) {
                let (all, closest) = self.held_by(name);
                found.names += 1;
                if closest < (r * 7).div_ceil(10) {
                    found.few_copies += 1;
                    if found.examples.len() < EXAMPLES {
                        let held = |(peer, held): &(u32, Option<u64>)| {
                            held.map(|seq| format!("{} has {seq}", self.called(*peer)))
                        };
                        let holders: Vec<String> = self.holders(name).iter().filter_map(held).collect();
                        found.examples.push(format!("peer-{name}: {}", holders.join(", ")));
                    }
                }
                found.no_copies += usize::from(all == 0);
            }
        }
        found
    }

    fn look_at_maps(&mut self, found: &mut Unsettled) {
        let running = self.running(Kind::Superpeer).to_vec();
        let step = (running.len() / 30).max(1);
        for peer in running.iter().step_by(step).copied() {
            let Some(known) = self.map_of(peer) else { continue };
            let alive = known.iter().filter(|known| self.runs(**known)).count();
            found.maps += 1;
            found.dead_in_maps += known.len() - alive;
            found.unknown_superpeers += running.len() - 1 - alive;
        }
    }

    /// The superpeers that a superpeer knows, itself left out.
    fn map_of(&mut self, peer: u32) -> Option<Vec<u32>> {
        let Some(Reply::Peers(known)) = self.ask_at_once(peer, Command::Peers) else { return None };
        let superpeers = known.iter().filter(|other| other.relation == Relation::Superpeer);
        Some(superpeers.filter_map(|other| self.by_id.get(&other.peer).copied()).collect())
    }

    /// A child's parent, if it runs.
    #[must_use]
    pub fn parent(&self, child: u32) -> Option<u32> {
        let parent = self.peers[child as usize].parent;
        (parent != NOBODY && self.runs(parent)).then_some(parent)
    }

    /// Times from starts to the first parent, [`NEVER`] for each child that runs and has had none.
    #[must_use]
    pub fn times_to_attach(&self) -> Vec<u32> {
        let without = |peer: &&u32| !self.peers[**peer as usize].attached;
        let waiting = self.running(Kind::Child).iter().filter(without).count();
        let mut times = self.measures.attached.clone();
        times.resize(times.len() + waiting, NEVER);
        times
    }

    /// Children of each superpeer that runs, and what it has served and sent since measuring began.
    #[must_use]
    pub fn loads(&self) -> Vec<Load> {
        let running = self.running(Kind::Superpeer).iter();
        running
            .map(|number| {
                let peer = &self.peers[*number as usize];
                let counters = peer.overlay.as_ref().map(|overlay| overlay.counters());
                let children = counters.as_ref().map_or(0, |counters| counters.children);
                let records = counters.map_or(0, |counters| counters.records);
                Load { peer: *number, children, records, served: peer.served, sent: peer.sent }
            })
            .collect()
    }
}

impl World {
    /// Bytes a second that each peer of a kind that runs has sent since measuring began.
    pub(crate) fn sent_by_each(&self, kind: Kind) -> Vec<f32> {
        let since = self.measures.since.unwrap_or(0);
        let of = |number: &u32| {
            let peer = &self.peers[*number as usize];
            let length = secs(self.now - since.max(peer.started)).max(1.0);
            (peer.sent as f64 / length) as f32
        };
        self.running(kind).iter().map(of).collect()
    }

    /// How long those sessions have lasted that began afresh and go on.
    pub(crate) fn sessions_under_way(&self) -> impl Iterator<Item = Micros> {
        let fresh = self.peers.iter().filter(|peer| peer.fresh && peer.runs());
        fresh.map(|peer| self.now - peer.started)
    }
}

/// What one superpeer bears.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Who.
    pub peer: u32,
    /// Children attached.
    pub children: u64,
    /// Records stored.
    pub records: u64,
    /// Requests served since measuring began, hellos aside.
    pub served: u32,
    /// Bytes sent since measuring began.
    pub sent: u64,
}
