//! What a peer may make us do, and what it has spent of that.
//!
//! All links of a peer draw on it, and who connects anew goes on where its last link ended: else a new link
//! would be a way to a full budget. It is remembered for as long as it takes to fill all of it again; at the bound the
//! one goes whose link ended first. *Not here*: what each thing costs (`moving`, `watchers`), what becomes of
//! who tells too much that is not true (`upkeep`).

use alloc::boxed::Box;

use super::budget::Budget;
use crate::key::PeerId;
use crate::limits::{
    BAD_HINTS_MAX, BAD_HINTS_WINDOW, MOVING_WORK_BURST, MOVING_WORK_PER_SEC, SPENT_MAX, WATCHES_BURST,
    WATCHES_PER_SEC,
};
use crate::sorted::SortedMap;
use crate::time::Instant;

/// What one peer may still make us do.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Keys that it may begin to watch.
    pub(super) watches: Budget,
    /// Items that may be read for its digests, pulls and offers.
    pub(super) work: Budget,
    /// Hints and statements of it that did not verify, and since when they are counted.
    bad: (u32, Instant),
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Self {
            watches: Budget::full(WATCHES_PER_SEC, WATCHES_BURST, now),
            work: Budget::full(MOVING_WORK_PER_SEC, MOVING_WORK_BURST, now),
            bad: (0, now),
        }
    }

    /// One more thing that it told was not true; whether that is too much.
    pub(super) fn has_lied(&mut self, now: Instant) -> bool {
        if self.bad.0 == 0 || now.since(self.bad.1) >= BAD_HINTS_WINDOW {
            self.bad = (0, now);
        }
        self.bad.0 += 1;
        self.bad.0 > BAD_HINTS_MAX
    }

    fn is_full(&mut self, now: Instant) -> bool {
        let spent = !self.watches.has(WATCHES_BURST, now) || !self.work.has(MOVING_WORK_BURST, now);
        !spent && self.bad.0 == 0
    }
}

/// One peer's.
#[derive(Debug)]
struct Account {
    /// Links that draw on it.
    links: usize,
    /// When the last of them ended.
    ended: Instant,
    left: Allowance,
}

/// What peers have left of it, and how many of them have no link.
#[derive(Debug, Default)]
pub(super) struct Spending(SortedMap<PeerId, Box<Account>>, usize);

impl Spending {
    /// A peer has a new link.
    pub(super) fn begin(&mut self, peer: PeerId, now: Instant) {
        let new = || Box::new(Account { links: 0, ended: now, left: Allowance::full(now) });
        self.1 -= usize::from(self.0.get(&peer).is_some_and(|account| account.links == 0));
        self.0.or_insert_with(peer, new).links += 1;
    }

    /// Whether a peer has any link.
    pub(super) fn has_link(&self, peer: &PeerId) -> bool {
        self.0.get(peer).is_some_and(|account| account.links > 0)
    }

    /// Of a peer that has a link.
    pub(super) fn of(&mut self, peer: &PeerId) -> Option<&mut Allowance> {
        self.0.get_mut(peer).map(|account| &mut account.left)
    }

    /// A link of a peer has ended.
    pub(super) fn end(&mut self, peer: &PeerId, now: Instant) {
        let Some(account) = self.0.get_mut(peer).filter(|account| account.links > 0) else { return };
        account.links -= 1;
        account.ended = now;
        if account.links > 0 {
            return;
        }
        if account.left.is_full(now) {
            self.0.remove(peer);
            return;
        }
        self.1 += 1;
        if self.1 > SPENT_MAX {
            let idle = self.0.iter().filter(|(other, account)| account.links == 0 && *other != peer);
            let first = idle.min_by_key(|(_, account)| account.ended);
            if let Some(first) = first.map(|(other, _)| *other) {
                self.0.remove(&first);
                self.1 -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn peer(number: usize) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        PeerId::from_bytes(bytes)
    }

    #[test]
    fn who_connects_anew_goes_on_where_its_last_link_ended() {
        // Spend all, end the link, begin another: nothing is there at once, and all of it later; lies are
        // counted on.
        let now = Instant::from_micros(5);
        let mut spending = Spending::default();
        spending.begin(peer(1), now);
        let link = spending.of(&peer(1)).expect("a link");
        link.work.charge(MOVING_WORK_BURST);
        assert!(link.watches.spend(WATCHES_BURST, now));
        assert!((0..BAD_HINTS_MAX).all(|_| !link.has_lied(now)));
        spending.end(&peer(1), now);
        spending.begin(peer(1), now);
        let link = spending.of(&peer(1)).expect("another");
        assert!(!link.work.has(1, now) && !link.watches.has(1, now) && link.has_lied(now));
        let later = now + BAD_HINTS_WINDOW;
        assert!(link.work.has(MOVING_WORK_BURST, later) && link.watches.has(WATCHES_BURST, later));
        assert!(!link.has_lied(later));
    }

    #[test]
    fn two_links_at_once_have_no_more_than_one() {
        // A second link beside the first, which spends all; then they end by turns, and others begin.
        let now = Instant::from_micros(5);
        let mut spending = Spending::default();
        let has = |spending: &mut Spending| spending.of(&peer(1)).expect("a link").work.has(1, now);
        spending.begin(peer(1), now);
        spending.of(&peer(1)).expect("a link").work.charge(MOVING_WORK_BURST);
        for _ in 0..3 {
            spending.begin(peer(1), now);
            assert!(!has(&mut spending));
            spending.end(&peer(1), now);
            assert!(!has(&mut spending));
        }
        assert_eq!(spending.0.len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_none_of_it_of_those_that_spent_nothing() {
        // Many that have spent something, one after the other; and one that has not.
        let mut now = Instant::from_micros(5);
        let mut spending = Spending::default();
        spending.begin(peer(0), now);
        spending.end(&peer(0), now);
        assert!(spending.0.is_empty());
        for number in 0..2 * SPENT_MAX {
            now = now + Duration::from_micros(1);
            spending.begin(peer(number), now);
            spending.of(&peer(number)).expect("a link").work.charge(MOVING_WORK_BURST);
            spending.end(&peer(number), now);
            assert_eq!(spending.0.len(), SPENT_MAX.min(number + 1));
        }
        assert!(spending.0.contains_key(&peer(2 * SPENT_MAX - 1)) && !spending.0.contains_key(&peer(0)));
    }
}
