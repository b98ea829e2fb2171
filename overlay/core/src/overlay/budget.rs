//! A budget that fills with time: so much a second, and so much at once after a quiet time.
//!
//! A cost that is known only afterwards may leave a debt. *Not here*: what is spent (gossip's bytes, dials, trials), and the bounds (`limits`).

use core::time::Duration;

use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Budget {
    per_sec: u64,
    burst: i64,
    /// Less than nothing is a debt.
    left: i64,
    filled: Instant,
}

impl Budget {
    /// A full one.
    pub(super) const fn full(per_sec: u64, burst: u64, now: Instant) -> Self {
        let burst = burst.cast_signed();
        Self { per_sec, burst, left: burst, filled: now }
    }

    /// Takes `cost` out, if so much is there.
    pub(super) fn spend(&mut self, cost: u64, now: Instant) -> bool {
        let enough = self.has(cost, now);
        if enough {
            self.left -= signed(cost);
        }
        enough
    }

    /// Takes `cost` out, whatever is there: at most a burst is owed.
    pub(super) fn charge(&mut self, cost: u64) {
        self.left = self.left.saturating_sub(signed(cost)).max(-self.burst);
    }

    /// How long it takes until something is there.
    pub(super) fn wait(&self) -> Duration {
        let owed = (1 - self.left).max(0).cast_unsigned();
        Duration::from_micros(owed.saturating_mul(1_000_000).div_ceil(self.per_sec.max(1)))
    }

    /// Whether `cost` is there.
    pub(super) fn has(&mut self, cost: u64, now: Instant) -> bool {
        let micros = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let due = micros.saturating_mul(self.per_sec) / 1_000_000;
        // What is less than one stays due.
        if due > 0 {
            self.left = self.left.saturating_add(signed(due)).min(self.burst);
            let took = due.saturating_mul(1_000_000).div_ceil(self.per_sec.max(1));
            self.filled = self.filled + Duration::from_micros(took.min(micros));
        }
        signed(cost) <= self.left
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
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

    #[test]
    fn a_debt_is_bounded_and_paid_before_anything_is_there_again() {
        // Charge more than a burst, wait as long as is said, and a little less.
        let now = Instant::from_micros(5);
        let mut budget = Budget::full(100, 50, now);
        budget.charge(1_000);
        let wait = budget.wait();
        assert_eq!(wait, Duration::from_millis(510));
        assert!(!budget.has(1, now + (wait - Duration::from_millis(1))));
        assert!(budget.has(1, now + wait) && !budget.has(2, now + wait));
    }
}
