//! How fast a census dials: a bucket of tokens, which lasts from walk to walk.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::{DIALS_BURST, DIALS_PER_SEC};

/// Dials that may be made now.
#[derive(Debug)]
pub(super) struct Pace {
    tokens: f64,
    filled: Instant,
}

impl Pace {
    /// A full bucket.
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: f64::from(DIALS_BURST), filled: now }
    }

    /// Whether a dial may be made now; [`Self::made`] tells that it was.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(DIALS_PER_SEC);
        (self.tokens, self.filled) = ((self.tokens + due).min(f64::from(DIALS_BURST)), now);
        // A token that has been waited for is whole, whatever the sum of its parts is.
        self.tokens > 1.0 - 1e-6
    }

    /// A dial was made.
    pub(super) fn made(&mut self) {
        self.tokens -= 1.0;
    }

    /// How long the next token takes at most.
    pub(super) fn wait() -> Duration {
        Duration::from_secs(1) / DIALS_PER_SEC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_come_in_one_burst_and_then_at_the_rate() {
        // Goal: no more than the burst at once, and the rate in the long run, also after a rest. Method: as many
        // dials as are allowed, on a clock of the test's own.
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut dials = |now: Instant| {
            let mut count = 0;
            while pace.allows(now) {
                pace.made();
                count += 1;
            }
            count
        };
        assert_eq!(dials(start), DIALS_BURST);
        let mut later = 0;
        for step in 1..=10 * DIALS_PER_SEC {
            later += dials(start + Pace::wait() * step);
        }
        assert_eq!(later, 10 * DIALS_PER_SEC);
        assert_eq!(dials(start + Duration::from_secs(3_600)), DIALS_BURST, "rest is not saved up");
    }
}
