//! The few numbers of a host that a person wants to see over time.
//!
//! `/metrics` has all of them, for those who keep them in a database; these are for who has none. *Not here*:
//! how long they are kept (whoever asks for them).

use std::time::Duration;

use callbook_overlay::{Counters, TIMES_MICROS, Times};

use crate::metrics::Scrape;
use crate::sessions::Figures;

/// Totals since the start, and levels of now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Now: whether it acts as a superpeer.
    pub superpeer: bool,
    /// Now: children attached.
    pub children: u64,
    /// Now: children that it would take at most.
    pub children_max: u64,
    /// Now: superpeers known to be alive.
    pub superpeers: u64,
    /// Now: open links.
    pub links: u64,
    /// Now: records held for others.
    pub records: u64,
    /// Now: peers that it sees with its own eyes, children and superpeers.
    pub online: u64,
    /// Sessions of peers that began.
    pub arrivals: u64,
    /// Sessions of peers that ended.
    pub departures: u64,
    /// Peers that were lost and soon back.
    pub flaps: u64,
    /// Look-ups that found a device.
    pub found: u64,
    /// Look-ups of names that are absent.
    pub absent: u64,
    /// Look-ups that nobody could answer.
    pub unknown: u64,
    /// Look-ups whose answers did not pass verification.
    pub invalid: u64,
    /// How long local look-ups took that found a device.
    times: Times,
}

impl Numbers {
    pub(crate) fn of(scrape: &Scrape) -> Self {
        let Scrape { counters, figures } = scrape;
        let Counters { lookups, .. } = counters;
        Self {
            superpeer: counters.superpeer > 0,
            children: counters.children,
            children_max: counters.children_max,
            superpeers: counters.superpeers,
            links: counters.links,
            records: counters.records,
            online: figures.online.iter().sum(),
            arrivals: figures.arrivals.iter().map(|(new, returning)| new + returning).sum(),
            departures: departures(figures),
            flaps: figures.flaps.iter().sum(),
            found: lookups.own + lookups.index + lookups.store + lookups.cache + lookups.overlay,
            absent: lookups.absent,
            unknown: lookups.unknown,
            invalid: lookups.invalid,
            times: counters.lookup_times.found.clone(),
        }
    }

    /// How long look-ups took since `earlier`: a quantile, between 0 and 1.
    ///
    /// # Shape
    /// Between the bounds of the bucket that it falls into (see [`TIMES_MICROS`]), by its place among the others
    /// there; the last bound for those above it. `None` if there were no look-ups.
    #[must_use]
    pub fn lookup_time(&self, earlier: &Self, quantile: f64) -> Option<Duration> {
        let counts = self.times.counts().iter().zip(earlier.times.counts());
        let counts: Vec<u64> = counts.map(|(now, then)| now.saturating_sub(*then)).collect();
        let all = counts.iter().sum::<u64>() + self.times.above().saturating_sub(earlier.times.above());
        if all == 0 {
            return None;
        }
        let (mut rank, mut lower) = (quantile * real(all), 0);
        for (count, upper) in counts.into_iter().zip(TIMES_MICROS) {
            if count > 0 && rank <= real(count) {
                let within = (rank / real(count)).clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64((real(lower) + within * real(upper - lower)) / 1e6));
            }
            rank -= real(count);
            lower = upper;
        }
        Some(Duration::from_micros(lower))
    }
}

fn departures(figures: &Figures) -> u64 {
    figures.departures.iter().flatten().sum()
}

#[expect(clippy::cast_precision_loss, reason = "counts of look-ups and microseconds are far below 2^52")]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_where_its_rank_falls_in_its_bucket_and_counts_only_what_is_new() {
        // Ten look-ups of 1 ms before; then 50 up to 5 ms and 50 up to 10 ms, none above.
        let mut earlier = Numbers::default();
        (0..10).for_each(|_| earlier.times.took(Duration::from_millis(1)));
        let mut later = earlier.clone();
        (0..50).for_each(|_| later.times.took(Duration::from_millis(4)));
        (0..50).for_each(|_| later.times.took(Duration::from_millis(9)));
        let at = |quantile| later.lookup_time(&earlier, quantile).unwrap().as_micros();
        assert_eq!([at(0.25), at(0.5), at(0.75), at(1.0)], [2_500, 5_000, 7_500, 10_000]);
        assert_eq!(later.lookup_time(&later, 0.5), None, "nothing is new");
    }

    #[test]
    fn what_took_longer_than_the_last_bound_is_told_as_that() {
        // One look-up that took a minute.
        let mut later = Numbers::default();
        later.times.took(Duration::from_secs(60));
        assert_eq!(later.lookup_time(&Numbers::default(), 0.5), Some(Duration::from_secs(30)));
    }
}
