//! A budget that fills with time: so much a second, and so much at once after a quiet time.
//!
//! *Not here*: what is spent (gossip's bytes, dials, trials), and the bounds (`limits`).

use core::time::Duration;

use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Budget {
    per_sec: u64,
    burst: u64,
    left: u64,
    filled: Instant,
}

impl Budget {
    /// A full one.
    pub(super) const fn full(per_sec: u64, burst: u64, now: Instant) -> Self {
        Self { per_sec, burst, left: burst, filled: now }
    }

    /// Takes `cost` out, if so much is there.
    pub(super) fn spend(&mut self, cost: u64, now: Instant) -> bool {
        let enough = self.has(cost, now);
        if enough {
            self.left -= cost;
        }
        enough
    }

    /// Whether `cost` is there.
    pub(super) fn has(&mut self, cost: u64, now: Instant) -> bool {
        let micros = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let due = micros.saturating_mul(self.per_sec) / 1_000_000;
        // What is less than one stays due.
        if due > 0 {
            self.left = self.left.saturating_add(due).min(self.burst);
            let took = due.saturating_mul(1_000_000).div_ceil(self.per_sec.max(1));
            self.filled = self.filled + Duration::from_micros(took.min(micros));
        }
        cost <= self.left
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::Budget;
    use crate::time::Instant;

    #[test]
    fn a_budget_allows_its_burst_and_then_its_rate() {
        // Spend what is there, then what ten seconds bring in steps of different lengths.
        for step in [1, 7, 100, 999] {
            let mut now = Instant::from_micros(5);
            let mut budget = Budget::full(3, 10, now);
            assert!(budget.spend(10, now) && !budget.spend(1, now));
            let mut spent = 0;
            for _ in 0..10_000 / step {
                now = now + Duration::from_millis(step);
                while budget.spend(1, now) {
                    spent += 1;
                }
            }
            assert!((27..=30).contains(&spent), "{spent} in steps of {step} ms");
        }
    }
}
