//! How long things took, and how many requests: the overlay's spreads as histograms.

use std::fmt;

use callbook_overlay::{Counters, HOPS, REQUESTS, Spread, TIMES_MICROS, Times};
use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{Bars, Value, encode as encode_metric};

/// What this exports.
pub(super) mod names {
    crate::metrics::catalogue::declare! {
        SPREADS:
        /// How long local look-ups took, by how they ended
        LOOKUP_DURATION = Histogram "callbook_lookup_duration_seconds";
        /// Sequential requests after the parent, of local look-ups that found something
        LOOKUP_HOPS = Histogram "callbook_lookup_hops";
        /// Requests of a walk over storers, until it had its answer
        LOOKUP_REQUESTS = Histogram "callbook_lookup_requests";
        /// How long children waited for what was resolved for them
        RESOLVE_DURATION = Histogram "callbook_resolve_duration_seconds";
        /// From signing a record of a name held here until a majority of its storers had it
        REGISTRATION_DURATION = Histogram "callbook_registration_duration_seconds";
    }
}
use names::{LOOKUP_DURATION, LOOKUP_HOPS, LOOKUP_REQUESTS, REGISTRATION_DURATION, RESOLVE_DURATION};

/// Writes them all.
pub(super) fn encode(counters: &Counters, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let lookups = &counters.lookup_times;
    let by_result: [(_, &Times); 4] = [
        (&[("result", "found")], &lookups.found),
        (&[("result", "absent")], &lookups.absent),
        (&[("result", "unknown")], &lookups.unknown),
        (&[("result", "invalid")], &lookups.invalid),
    ];
    let by_result = by_result.iter().map(|(labels, times)| (&labels[..], seconds(times)));
    encode_metric(encoder, &LOOKUP_DURATION, by_result)?;
    let none = &[][..];
    encode_metric(encoder, &LOOKUP_HOPS, [(none, plain(&counters.lookup_hops, &HOPS))])?;
    encode_metric(encoder, &LOOKUP_REQUESTS, [(none, plain(&counters.lookup_requests, &REQUESTS))])?;
    encode_metric(encoder, &RESOLVE_DURATION, [(none, seconds(&counters.resolve_times))])?;
    encode_metric(encoder, &REGISTRATION_DURATION, [(none, seconds(&counters.registration_times))])
}

fn seconds(times: &Times) -> Value {
    scaled(times, &TIMES_MICROS, 1e6)
}

fn plain<const N: usize>(spread: &Spread<N>, bounds: &[u64; N]) -> Value {
    scaled(spread, bounds, 1.0)
}

fn scaled<const N: usize>(spread: &Spread<N>, bounds: &[u64; N], unit: f64) -> Value {
    // Exact up to 285 years.
    let scale = |value: u64| value as f64 / unit;
    let within = bounds.iter().zip(spread.counts).map(|(bound, count)| (scale(*bound), count));
    let buckets = within.chain([(f64::INFINITY, spread.above)]).collect();
    Value::Bars(Bars { sum: scale(spread.sum), buckets })
}
