//! Superpeers of the last run, of which nobody has said yet whether they are there.
//!
//! Who starts again knows whom it knew: of those that others name by a mark it needs no certificate.
//! They are not in the map, since many may be gone: nobody waits for them, and no look-up asks them. They enter it
//! as any other does that somebody tells of; with few in the map some of them are tried.
//!
//! *Not here*: which of the host cache they are, how others are asked (`restored`).

use super::Map;
use crate::key::{Key, PeerId};
use crate::limits::{CUT_OFF_FOR, GONE_REMEMBERED};
use crate::time::Instant;
use crate::wire::{Brief, Hint, Placed, Range};

impl Map {
    /// One of the last run; not verified again yet.
    pub(crate) fn remember(&mut self, id: Key, hint: Hint, now: Instant) {
        self.remembered_at = now;
        if self.contact(&hint.peer()).is_none() {
            self.remembered.insert(hint.peer(), Placed { id, hint });
        }
    }

    /// Whether it is of the last run, and nobody has told of it.
    pub(crate) fn remembers(&self, peer: &PeerId) -> bool {
        self.remembered.contains_key(peer)
    }

    /// Whom of them a name in gossip means.
    pub(super) fn named_remembered(&self, brief: &Brief) -> Option<PeerId> {
        self.remembered.range(brief.range()).next().map(|(peer, _)| *peer)
    }

    /// Those of them in a range.
    pub(crate) fn remembered_in(&self, range: &Range) -> impl Iterator<Item = &Placed> {
        self.remembered.values().filter(|placed| range.contains(&placed.id))
    }

    /// The `index`-th of them.
    pub(crate) fn remembered_at_index(&self, index: usize) -> Option<&Hint> {
        self.remembered.values().nth(index).map(|placed| &placed.hint)
    }

    /// How many there are.
    pub(crate) fn remembered(&self) -> usize {
        self.remembered.len()
    }

    /// One of them is to be verified, and taken in.
    pub(crate) fn recall(&mut self, peer: &PeerId) -> Option<Hint> {
        let placed = self.remembered.remove(peer)?;
        self.forgotten += 1;
        Some(placed.hint)
    }

    /// They are forgotten after as long as those that are gone.
    pub(super) fn forget_remembered(&mut self, now: Instant) {
        if now.since(self.remembered_at) >= GONE_REMEMBERED {
            self.forgotten += self.remembered.len() as u64;
            self.remembered.clear();
        }
    }

    /// Those that may be about to start, as we are, and hold what nobody else does: until somebody who has been there
    /// all the while vouches for the network.
    pub(super) fn remembered_awaited(&self, now: Instant) -> impl Iterator<Item = &Key> {
        let awaited = !self.vouched && now.since(self.remembered_at) < CUT_OFF_FOR;
        self.remembered.values().filter(move |_| awaited).map(|placed| &placed.id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{filled, hint};
    use super::super::{Learned, Map};
    use crate::key::Key;
    use crate::limits::{CUT_OFF_FOR, GONE_REMEMBERED, MAP_MAX};
    use crate::time::Instant;
    use crate::wire::{Brief, Range};

    #[test]
    fn who_is_remembered_is_found_until_somebody_tells_of_it_or_a_day_is_over() {
        // Three that are known and are not remembered; three that are: one is told of, one is recalled, one waits.
        let (now, mut map) = (Instant::default(), filled(3));
        for number in 0..6 {
            let (id, hint) = hint(number);
            map.remember(id, hint, now);
        }
        assert_eq!((map.len(), map.remembered()), (3, 3));
        let (id, told) = hint(3);
        let all = Range { prefix: Key::from_bytes([0; 32]), bits: 0 };
        let found = |range: &Range| map.remembered_in(range).filter(|placed| placed.id == id).count();
        assert_eq!((map.remembered_in(&all).count(), found(&all), found(&Range::around(&id, 60))), (3, 1, 1));
        assert_eq!(map.named_gone(&Brief::of(&told.peer())), Some(told.peer()));
        assert_eq!(map.learn(id, &told, now), Learned::New);
        let lives = hint(4).1.peer();
        assert_eq!(map.recall(&lives), Some(hint(4).1));
        assert_eq!((map.len(), map.remembered(), map.remembers(&lives)), (4, 1, false));
        map.forget_gone(now + GONE_REMEMBERED);
        assert_eq!(map.remembered(), 0);
    }

    #[test]
    fn who_is_remembered_may_hold_what_others_deny_until_somebody_vouches() {
        // One key, three storers, of whom one is only remembered: then for ten minutes, or until vouched for.
        let (now, mut map) = (Instant::default(), Map::new(MAP_MAX, 20));
        for number in 0..3 {
            let (id, hint) = hint(number);
            if number == 0 {
                map.remember(id, hint, now);
            } else {
                assert_eq!(map.learn(id, &hint, now), Learned::New);
            }
        }
        let may = |map: &Map, at| map.may_deny(&hint(9).0, (3, 0, 3), 0, at);
        assert!(!may(&map, now) && may(&map, now + CUT_OFF_FOR));
        map.vouch();
        assert!(may(&map, now));
    }
}
