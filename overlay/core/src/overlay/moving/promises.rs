//! What a superpeer promises to have, and what it proves.
//!
//! A digest costs nothing to make up: hashes that differ, items that nobody has. Who compares descends
//! into each of them, so it keeps an account. *Proven* is each item that was named and is held here, and
//! each record that came and was right: of these there are no more than exist, since ranges are asked for
//! once. Questions and time are allowed in proportion to that, with something in advance; a record that was
//! named and not given counts as a broken promise, of which a few are honest (it was replaced meanwhile).
//! Who has used that up is left as if it had failed; what it gave stays. *Not here*: what is asked next
//! (`handover`, `repair`).

use crate::limits::{BROKEN_PROMISES_MAX, UNPROVEN_REQUESTS, UNPROVEN_TIME, UNPROVEN_TIME_PER_ITEM};
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Promises {
    began: Instant,
    requests: usize,
    proven: usize,
    broken: usize,
}

impl Promises {
    pub(super) const fn new(now: Instant) -> Self {
        Self { began: now, requests: 0, proven: 0, broken: 0 }
    }

    pub(super) fn asked(&mut self) {
        self.requests += 1;
    }

    /// So many items that were named are held here, or came.
    pub(super) fn prove(&mut self, items: usize) {
        self.proven += items;
    }

    /// So many records were named and not given.
    pub(super) fn broke(&mut self, items: usize) {
        self.broken += items;
    }

    /// Whether it is worth no further question.
    pub(super) fn are_vain(&self, now: Instant) -> bool {
        let proven = u32::try_from(self.proven).unwrap_or(u32::MAX);
        let time = UNPROVEN_TIME + UNPROVEN_TIME_PER_ITEM.saturating_mul(proven);
        self.broken > BROKEN_PROMISES_MAX
            || self.requests > UNPROVEN_REQUESTS + self.proven
            || now.since(self.began) > time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_time_and_broken_promises_are_bounded_by_what_is_proven() {
        // One account for each bound, driven just over it, then proven right.
        let now = Instant::from_micros(0);
        let mut asked = Promises::new(now);
        (0..=UNPROVEN_REQUESTS).for_each(|_| asked.asked());
        assert!(asked.are_vain(now));
        asked.prove(1);
        assert!(!asked.are_vain(now));
        let later = now + UNPROVEN_TIME + UNPROVEN_TIME_PER_ITEM * 2;
        assert!(asked.are_vain(later));
        asked.prove(1);
        assert!(!asked.are_vain(later));
        asked.broke(BROKEN_PROMISES_MAX);
        assert!(!asked.are_vain(now));
        asked.broke(1);
        assert!(asked.are_vain(now));
    }
}
