//! Baselines: other people's directories as models, in the same network as the overlay.
//!
//! | module | what | source |
//! |---|---|---|
//! | `central` | one index | Napster |
//! | `flood` | queries to all neighbours, at once or in growing rings | Gnutella 0.4; Lv et al. 2002 |
//! | `superpeers` | the same among few, with caches on the way back | KaZaA; Liang, Kumar, Ross 2004 |
//! | `kademlia` | iterative look-ups | Maymounkov, Mazières 2002; libp2p-kad; p2psim |
//! | `one_hop` | everybody knows everybody | Gupta, Liskov, Rodrigues 2003 |
//!
//! A model is a `Protocol`; the `field` moves its messages, lets peers come and go and asks. Places, churn
//! and look-ups come from streams of the seed that no protocol draws from, so all models see the same ones.
//! They are models and not shipped code: messages are values, and only what they would take on the wire is
//! counted. The name of a peer is its number; numbers from the count of peers on are names of nobody. Users
//! look up who is there, as in p2psim: most of these systems know nothing of who is not.
//!
//! *Not here*: the overlay (`world`), addresses that change during a session, attacks.

mod central;
mod field;
mod flood;
mod kademlia;
mod mesh;
mod one_hop;
mod score;
mod show;
mod superpeers;
#[cfg(test)]
mod tests;

pub use self::score::Row;
pub use self::show::{json, table};

use self::field::Field;
use crate::churn::Churn;
use crate::network::{Carriage, Conditions};
use crate::time::{HOUR, Micros};
use crate::workload::Workload;

/// A protocol as a model: what its peers do when something happens to them.
pub(crate) trait Protocol {
    /// What its peers send to one another, and to themselves by timers.
    type Message: Clone;

    /// What it is called in the table.
    fn name(&self) -> &'static str;

    /// Machines beside the peers that are always there; their numbers come after the peers'.
    fn servers(&self) -> u32 {
        0
    }

    /// The run begins: everybody who is there knows what it would know by now.
    fn preset(&mut self, field: &mut Field<Self::Message>);

    /// A peer comes.
    fn start(&mut self, peer: u32, field: &mut Field<Self::Message>);

    /// A peer has gone, without a word.
    fn stop(&mut self, peer: u32);

    /// A user asks; ends with [`Field::settle`].
    fn look_up(&mut self, query: u32, asker: u32, name: u32, field: &mut Field<Self::Message>);

    /// A message has come: from whom, to whom.
    fn receive(&mut self, ends: (u32, u32), message: Self::Message, field: &mut Field<Self::Message>);

    /// A time that a peer has set itself is over.
    fn timer(&mut self, peer: u32, message: Self::Message, field: &mut Field<Self::Message>);
}

/// Bytes of what is sent, without headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    /// A key, a name, or what tells a request from another.
    pub(crate) id: u32,
    /// Who somebody is and where.
    pub(crate) contact: u32,
    /// What a name resolves to.
    pub(crate) record: u32,
}

impl Wire {
    /// Hashes of 32 bytes with what frames a request; contacts of libp2p, whose answer of twenty takes 3 kB;
    /// records of 300 bytes (baselines.md, *measured*).
    pub(crate) const REAL: Self = Self { id: 40, contact: 150, record: 300 };
    /// Small contacts: a hash and an address, as who keeps lists of all would send them. *Guess*.
    pub(crate) const TIGHT: Self = Self { id: 40, contact: 38, record: 300 };
    /// Four bytes for everything, as p2psim counts (`Node::record_bw_stat`).
    pub(crate) const P2PSIM: Self = Self { id: 4, contact: 4, record: 4 };
}

/// What all models run in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Peers, of whom some are there at a time.
    pub peers: u32,
    /// Time before anything is counted.
    pub warm_up: Micros,
    /// Time that is counted.
    pub measured: Micros,
    /// When peers come and go.
    pub churn: Churn,
    /// What users look up.
    pub workload: Workload,
    /// How the network behaves.
    pub conditions: Conditions,
}

impl Settings {
    /// Row A's setting (directories.md §3.5): datagrams, sessions and absences of an hour on average.
    #[must_use]
    pub fn literature(seed: u64, peers: u32, hours: f64) -> Self {
        let whole = ((hours * HOUR as f64) as Micros).max(2);
        let conditions = Conditions { carriage: Carriage::Datagrams, jitter: 0.0, ..Conditions::default() };
        Self {
            seed,
            peers: peers.max(8),
            warm_up: whole / 2,
            measured: whole - whole / 2,
            churn: Churn::exponential(HOUR, HOUR),
            workload: Workload::default(),
            conditions,
        }
    }

    /// The same with connections, which cost what QUIC's do.
    #[must_use]
    pub fn over_streams(mut self) -> Self {
        self.conditions.carriage = Carriage::Streams;
        self
    }

    /// The same with p2psim's look-ups: of everybody alike, and of nobody who doesn't exist.
    fn even(&self) -> Self {
        let workload = Workload { absent: 0.0, skewness: 0.0, ..self.workload.clone() };
        Self { workload, ..self.clone() }
    }
}

/// Why Kademlia is not within 20 % of p2psim's bytes.
const KADEMLIA_WHY: &str = "p2psim refreshes all 64 buckets of an id every 10 minutes, of which some 54 are empty and \
    never fresh; that is nine tenths of what is sent here. Its own refresh asks 20 peers at 124 B each, as this one \
    does, which makes twice what it reported; without empty buckets 18 B/s are left. Its live time is 1.3 times \
    what theory has, too (directories.md §3.5)";

/// Why one-hop would not be.
const ONE_HOP_WHY: &str = "p2psim's live time is 1.3 times what theory has (directories.md §3.5)";

/// How many models [`run_all`] runs.
#[must_use]
pub fn count(settings: &Settings) -> u64 {
    if settings.conditions.carriage == Carriage::Datagrams { 8 } else { 6 }
}

/// Runs all models, one after the other; `tell` hears of each row.
pub fn run_all(settings: &Settings, mut tell: impl FnMut(&Row)) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |row: Row| {
        tell(&row);
        rows.push(row);
    };
    add(field::run(central::Central::default(), settings));
    add(field::run(flood::Flood::at_once(), settings));
    add(field::run(flood::Flood::in_rings(), settings));
    add(field::run(superpeers::Superpeers::default(), settings));
    add(field::run(kademlia::Kademlia::libp2p(), settings));
    add(field::run(one_hop::OneHop::new("one-hop", Wire::TIGHT), settings));
    if settings.conditions.carriage != Carriage::Datagrams {
        return rows;
    }
    let even = settings.even();
    let kademlia = field::run(kademlia::Kademlia::p2psim(), &even);
    add(kademlia.beside(340.0, 87.4, KADEMLIA_WHY));
    let one_hop = field::run(one_hop::OneHop::new("one-hop, p2psim's", Wire::P2PSIM), &even);
    add(one_hop.beside(180.0, 18.6, ONE_HOP_WHY));
    rows
}
