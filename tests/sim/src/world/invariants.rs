//! What has to hold in every overlay at every moment, and between neighbours soon.
//!
//! - Bounds: children, links, records and their bytes, the map, the cache, watches and standbys stay below their limits, a
//!   child has no children. After every turn in small networks.
//! - A map has everybody once and its owner not at all; every command is answered within [`ANSWERED`]; and a child and its
//!   parent take each other for that, or one of them notices within [`AGREED`] that it is not so. Looked at every
//!   [`EVERY`], in large networks at a few superpeers each time.
//!
//! What does not hold ends the run. *Not here*: what holds only once a network has settled (`checks`), answers (`oracle`).

use std::collections::{BTreeMap, BTreeSet};

use callbook_overlay::Counters;
use callbook_overlay::api::{Command, Relation, Reply};
use callbook_overlay::limits::{
    ATTACHMENT_LIFE, CACHE_MAX, LOCAL_WATCHES_MAX, MAP_MAX, RECORD_BYTES_MAX, RESOLVE_TIMEOUT, STANDBYS,
    STORED_MAX, WATCHES_MAX,
};

use super::World;
use crate::peers::Kind;
use crate::time::{Micros, SECOND, secs};

/// Networks of so many peers are looked at after every turn, and whole.
const SMALL: usize = 200;

/// How often the rest is looked at.
const EVERY: Micros = 10 * SECOND;

/// Superpeers that are looked at each time in larger ones.
const AT_A_TIME: usize = 4;

/// A child and its parent agree again after this: a child that vanishes keeps its place until its attachment ends
/// (*specification*, DESIGN §5: ten minutes), then a look is due.
const AGREED: Micros = ATTACHMENT_LIFE.as_micros() as u64 + EVERY;

/// No command takes longer than the slowest of them, a look-up whose absence is confirmed, and a little. *Guess*, as in
/// turmoil: a registration may wait for a parent and is tried again.
pub(crate) const ANSWERED: Micros = RESOLVE_TIMEOUT.as_micros() as u64 + 5 * SECOND;

/// What was seen at earlier looks.
#[derive(Debug, Default)]
pub(super) struct Invariants {
    /// When to look again.
    next: Micros,
    /// With which superpeer to go on, where not all are looked at.
    turn: usize,
    apart: Apart,
}

/// Pairs of parent and child that don't agree, and since when.
#[derive(Debug, Default)]
struct Apart(BTreeMap<(u32, u32), Micros>);

impl Apart {
    /// A parent starts: it knows nothing of the children that it had.
    fn starts(&mut self, parent: u32) {
        self.0.retain(|(of, _), _| *of != parent);
    }

    /// Of the pairs of one parent these don't agree now; those that have not for too long.
    fn look(&mut self, parent: u32, pairs: &BTreeSet<u32>, now: Micros) -> Vec<(u32, u32)> {
        self.0.retain(|(of, child), _| *of != parent || pairs.contains(child));
        for child in pairs {
            self.0.entry((parent, *child)).or_insert(now);
        }
        let late = self.0.range((parent, 0)..=(parent, u32::MAX)).filter(|(_, since)| **since + AGREED < now);
        late.map(|(pair, _)| *pair).collect()
    }
}

/// Which bounds an overlay breaks, with so many children allowed and so many links open.
fn broken(counters: &Counters, children_max: usize, links: usize) -> Vec<String> {
    let most = |what: &str, count: u64, bound: usize| {
        (count > bound as u64).then(|| format!("{what}: {count}, at most {bound}"))
    };
    let children = if counters.superpeer == 1 { children_max } else { 0 };
    // The login server's, too, may watch for itself as well as for its children.
    let watches = WATCHES_MAX + LOCAL_WATCHES_MAX;
    [
        most("children", counters.children, children),
        most("links", counters.links, links),
        most("records", counters.records, STORED_MAX),
        most("bytes of records", counters.record_bytes, counters.records as usize * RECORD_BYTES_MAX),
        most("superpeers in the map", counters.superpeers, MAP_MAX),
        most("bundles in the cache", counters.cached, CACHE_MAX),
        most("watches", counters.watches, watches),
        most("standbys", counters.standbys, STANDBYS),
        most("names held", counters.names, 1),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl World {
    /// After a turn of a peer.
    pub(super) fn check_turn(&self, peer: u32) {
        if self.peers.len() <= SMALL {
            self.check_bounds(peer);
        }
    }

    fn check_bounds(&self, number: u32) {
        let peer = &self.peers[number as usize];
        let Some(overlay) = &peer.overlay else { return };
        // One more: the link that tells of the past.
        let found = broken(&overlay.counters(), self.settings.children_max, peer.links.len() + 1);
        assert!(found.is_empty(), "{} at {:.6} s: {}", self.called(number), secs(self.now), found.join("; "));
    }

    /// A peer starts: what it took others for in its last run is not looked at any more.
    pub(super) fn starts_anew(&mut self, peer: u32) {
        self.invariants.apart.starts(peer);
    }

    /// Looks around, if it is time to.
    pub(super) fn look_around(&mut self) {
        if self.now < self.invariants.next {
            return;
        }
        self.invariants.next = self.now + EVERY;
        // Whose disk is full answers when there is room again.
        let late: Vec<String> = self.overdue_of(ANSWERED, |world, peer| !world.peers[peer as usize].full);
        assert!(late.is_empty(), "at {:.6} s, not answered: {}", secs(self.now), late.join(", "));
        let all = self.running(Kind::Superpeer).to_vec();
        let count = if self.peers.len() <= SMALL { all.len() } else { all.len().min(AT_A_TIME) };
        let from = self.invariants.turn;
        self.invariants.turn = (from + count) % all.len().max(1);
        for peer in all.iter().cycle().skip(from).take(count) {
            self.check_bounds(*peer);
            self.check_neighbours(*peer);
        }
    }

    fn check_neighbours(&mut self, parent: u32) {
        let Some(Reply::Peers(known)) = self.ask_at_once(parent, Command::Peers) else { return };
        let ids: BTreeSet<_> = known.iter().map(|other| other.peer).collect();
        let name = self.called(parent);
        assert!(ids.len() == known.len(), "{name} at {:.6} s knows somebody twice", secs(self.now));
        assert!(
            !ids.contains(&self.peers[parent as usize].id),
            "{name} knows itself, at {:.6} s",
            secs(self.now)
        );
        let children = known.iter().filter(|other| other.relation == Relation::Child);
        let ours: BTreeSet<u32> = children.filter_map(|other| self.by_id.get(&other.peer).copied()).collect();
        let theirs: BTreeSet<u32> = if self.peers.len() <= SMALL {
            let all = self.running(Kind::Child).iter().copied();
            all.filter(|child| self.parent(*child) == Some(parent)).collect()
        } else {
            // To ask everybody takes too long: what it says itself is looked at.
            ours.iter().copied().filter(|child| self.parent(*child) == Some(parent)).collect()
        };
        let apart: BTreeSet<u32> = ours.symmetric_difference(&theirs).copied().collect();
        let late = self.invariants.apart.look(parent, &apart, self.now);
        assert!(late.is_empty(), "{name} at {:.6} s and its children don't agree: {late:?}", secs(self.now));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use callbook_overlay::Counters;
    use callbook_overlay::limits::STORED_MAX;

    use super::{AGREED, Apart, broken};
    use crate::time::SECOND;

    #[test]
    fn an_overlay_above_a_bound_is_found() {
        // Goal: the bounds can fail. Method: counters at each bound, and one above it.
        let fine = Counters {
            superpeer: 1,
            children: 10,
            links: 20,
            records: 2,
            record_bytes: 2_400,
            ..Counters::default()
        };
        assert_eq!(broken(&fine, 10, 20), Vec::<String>::new());
        let bad = [
            Counters { children: 11, ..fine.clone() },
            Counters { superpeer: 0, ..fine.clone() },
            Counters { links: 21, ..fine.clone() },
            Counters { record_bytes: 2_401, ..fine.clone() },
            Counters { records: STORED_MAX as u64 + 1, ..fine.clone() },
            Counters { standbys: 3, ..fine.clone() },
            Counters { cached: 16_385, ..fine.clone() },
            Counters { superpeers: 16_385, ..fine.clone() },
            Counters { names: 2, ..fine.clone() },
        ];
        for counters in bad {
            assert_eq!(broken(&counters, 10, 20).len(), 1, "{counters:?}");
        }
    }

    #[test]
    fn a_pair_may_disagree_for_a_while_and_not_for_longer() {
        // Goal: no view stays wrong. Method: one pair that agrees again in time, one that does not, another parent's; then
        // the first parent starts again.
        let (mut apart, late) = (Apart::default(), AGREED + SECOND);
        let pairs = |children: &[u32]| children.iter().copied().collect::<BTreeSet<u32>>();
        assert!(apart.look(1, &pairs(&[7, 8]), 0).is_empty());
        assert!(apart.look(2, &pairs(&[9]), late).is_empty());
        assert!(apart.look(1, &pairs(&[8]), AGREED).is_empty());
        assert_eq!(apart.look(1, &pairs(&[7, 8]), late), [(1, 8)]);
        apart.starts(1);
        assert!(apart.look(1, &pairs(&[8]), late).is_empty());
        assert_eq!(apart.look(2, &pairs(&[9]), 2 * late), [(2, 9)]);
    }
}
