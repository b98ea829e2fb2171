//! How fast the other side of a link may send: a token bucket.
//!
//! *Not here*: waiting; what a token is for (see `link`).

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Rate;

/// A token bucket that looks at the clock only when it is empty.
#[derive(Debug)]
pub(crate) struct Tokens {
    rate: Rate,
    left: u32,
    filled: Instant,
}

impl Tokens {
    /// A full bucket.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, left: rate.burst, filled: Instant::now() }
    }

    /// Takes a token, or answers when the next one is due.
    pub(crate) fn take(&mut self) -> Result<(), Instant> {
        self.take_at(Instant::now)
    }

    /// Takes the token that was waited for: a clock may be coarser than one token's share.
    pub(crate) fn take_due(&mut self) {
        self.fill(Instant::now());
        self.left = self.left.max(1) - 1;
    }

    fn take_at(&mut self, clock: impl FnOnce() -> Instant) -> Result<(), Instant> {
        if self.left == 0 {
            let due = self.fill(clock());
            if self.left == 0 {
                return Err(due);
            }
        }
        self.left -= 1;
        Ok(())
    }

    /// Adds what has become due since the last time; answers when the next token is.
    fn fill(&mut self, now: Instant) -> Instant {
        let share = Duration::from_secs(1) / self.rate.frames_per_second.get();
        let passed = now.saturating_duration_since(self.filled);
        let due = u32::try_from(passed.as_nanos() / share.as_nanos().max(1)).unwrap_or(u32::MAX);
        if due >= self.rate.burst {
            self.left = self.rate.burst;
            self.filled = now;
        } else {
            self.left = (self.left + due).min(self.rate.burst);
            self.filled += share * due;
        }
        self.filled + share
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        // Goal: a bucket of 10 with 100 a second lets 10 through at once and 50 more in half a second.
        // Method: a clock of the test's own, moved to where the bucket says that the next token is due.
        let rate = Rate { frames_per_second: NonZeroU32::new(100).unwrap(), burst: 10 };
        let mut tokens = Tokens::new(rate);
        let start = tokens.filled;
        let mut now = start;
        let mut take = |now: &mut Instant| {
            while let Err(due) = tokens.take_at(|| *now) {
                assert!(due > *now, "a token that is due is given");
                *now = due;
            }
        };
        (0..10).for_each(|_| take(&mut now));
        assert_eq!(now, start, "the burst");
        (0..50).for_each(|_| take(&mut now));
        assert_eq!(now - start, Duration::from_millis(500));
        now += Duration::from_secs(60);
        let rested = now;
        (0..10).for_each(|_| take(&mut now));
        assert_eq!(now, rested, "no more than a burst is saved up");
        take(&mut now);
        assert_eq!(now - rested, Duration::from_millis(10));
    }
}
