//! How long things took, and how many requests: the overlay's spreads as histograms.

use std::fmt;

use callbook_overlay::{Counters, HOPS, REQUESTS, Spread, TIMES_MICROS, Times};
use prometheus_client::encoding::DescriptorEncoder;

use super::catalogue::{Bars, Labels, Value, encode as encode_metric};

/// What this exports.
pub(super) mod names {
    crate::metrics::catalogue::declare! {
        SPREADS:
        /// How long local look-ups took, by how they ended: of names (resolve), of the superpeers nearest to a key (find_node)
        LOOKUP_DURATION = Histogram "callbook_lookup_duration_seconds";
        /// Sequential requests (of names: after the parent), of local look-ups that found something
        LOOKUP_HOPS = Histogram "callbook_lookup_hops";
        /// Requests of a walk over superpeers, until it had its answer
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
    let names = &counters.lookup_times;
    let durations: [(_, &Times); 5] = [
        ([RESOLVE, ("result", "found")], &names.found),
        ([RESOLVE, ("result", "absent")], &names.absent),
        ([RESOLVE, ("result", "unknown")], &names.unknown),
        ([RESOLVE, ("result", "invalid")], &names.invalid),
        ([FIND_NODE, ("result", "found")], &counters.nodes_times),
    ];
    let durations = durations.iter().map(|(labels, times)| (&labels[..], seconds(times)));
    encode_metric(encoder, &LOOKUP_DURATION, durations)?;
    let hops = [&counters.lookup_hops, &counters.nodes_hops].map(|hops| plain(hops, &HOPS));
    encode_metric(encoder, &LOOKUP_HOPS, by_op(hops))?;
    let requests = [&counters.lookup_requests, &counters.nodes_requests];
    encode_metric(encoder, &LOOKUP_REQUESTS, by_op(requests.map(|requests| plain(requests, &REQUESTS))))?;
    let none = &[][..];
    encode_metric(encoder, &RESOLVE_DURATION, [(none, seconds(&counters.resolve_times))])?;
    encode_metric(encoder, &REGISTRATION_DURATION, [(none, seconds(&counters.registration_times))])
}

const RESOLVE: (&str, &str) = ("op", "resolve");
const FIND_NODE: (&str, &str) = ("op", "find_node");

fn by_op([names, nodes]: [Value; 2]) -> [(Labels<'static>, Value); 2] {
    [(&[RESOLVE], names), (&[FIND_NODE], nodes)]
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
    let within = bounds.iter().zip(spread.counts()).map(|(bound, count)| (scale(*bound), *count));
    let buckets = within.chain([(f64::INFINITY, spread.above())]).collect();
    Value::Bars(Bars { sum: scale(spread.sum()), buckets })
}
