//! Rate limits in a fixed amount of memory.
//!
//! Each limit is an array of leaky buckets; a keyed hash of the address group or account chooses one,
//! so nobody can make the table grow, and nobody can choose whose bucket to empty. A bucket is one
//! number: the time at which it would be full again (the *generic cell rate algorithm*).
//!
//! *Not here*: which request counts against which limit ([`crate::service`]).

use std::net::IpAddr;
use std::time::Duration;

use callbook_overlay::time::Instant;

use crate::limits::{BUCKETS, Rate};

/// One rate limit over all groups or accounts.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    key: [u8; 32],
    /// Microseconds at which the bucket is full again.
    full_at: Vec<u64>,
}

impl Limiter {
    /// All buckets full; `key` makes the choice of bucket unpredictable.
    #[must_use]
    pub fn new(rate: Rate, key: [u8; 32]) -> Self {
        Self { rate, key, full_at: vec![0; BUCKETS] }
    }

    /// Takes one from the bucket of `who`.
    ///
    /// # Errors
    /// The user: it is empty; the duration says when it no longer is.
    pub fn take(&mut self, who: &[u8], now: Instant) -> Result<(), Duration> {
        let (every, burst) = (self.every(), u64::from(self.rate.burst));
        let full_at = self.bucket(who);
        let next = (*full_at).max(now.as_micros()) + every;
        let allowed = now.as_micros() + every * burst;
        if next > allowed {
            return Err(Duration::from_micros(next - allowed));
        }
        *full_at = next;
        Ok(())
    }

    /// Puts one back.
    pub fn give_back(&mut self, who: &[u8]) {
        let every = self.every();
        let full_at = self.bucket(who);
        *full_at = full_at.saturating_sub(every);
    }

    fn every(&self) -> u64 {
        u64::try_from(self.rate.every.as_micros()).unwrap_or(u64::MAX / 1024)
    }

    fn bucket(&mut self, who: &[u8]) -> &mut u64 {
        let hash = blake3::keyed_hash(&self.key, who);
        let [a, b, c, d, ..] = *hash.as_bytes();
        let index = u32::from_be_bytes([a, b, c, d]) as usize % self.full_at.len();
        &mut self.full_at[index]
    }
}

/// The address group that an address counts for: its /24, or its /48.
#[must_use]
pub fn group(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..6].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_each_interval_and_others_are_untouched() {
        // Goal: burst, refusal with the right wait, refill, giving back. Method: a virtual clock.
        let rate = Rate { burst: 3, every: Duration::from_secs(10) };
        let mut limiter = Limiter::new(rate, [1; 32]);
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        for _ in 0..3 {
            assert_eq!(limiter.take(b"a", at(100)), Ok(()));
        }
        assert_eq!(limiter.take(b"a", at(100)), Err(Duration::from_secs(10)));
        assert_eq!(limiter.take(b"b", at(100)), Ok(()));
        assert_eq!(limiter.take(b"a", at(104)), Err(Duration::from_secs(6)));
        assert_eq!(limiter.take(b"a", at(110)), Ok(()));
        assert!(limiter.take(b"a", at(110)).is_err());
        limiter.give_back(b"a");
        assert_eq!(limiter.take(b"a", at(110)), Ok(()));
    }

    #[test]
    fn neighbours_in_a_network_share_a_group() {
        // Goal: /24 and /48, also for mapped addresses. Method: examples.
        let group = |text: &str| super::group(text.parse().unwrap());
        assert_eq!(group("192.0.2.1"), group("192.0.2.254"));
        assert_eq!(group("192.0.2.1"), group("::ffff:192.0.2.9"));
        assert_ne!(group("192.0.2.1"), group("192.0.3.1"));
        assert_eq!(group("2001:db8:1:2::3"), group("2001:db8:1:f::4"));
        assert_ne!(group("2001:db8:1::3"), group("2001:db8:2::3"));
    }
}
