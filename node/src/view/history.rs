//! `GET /v1/history`: how this peer fared over time, without any database.

use serde::{Deserialize, Serialize};

/// Samples, the oldest first: one entry for each in every list.
///
/// Levels are of the moment, counts of the time since the sample before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// Between two samples.
    pub(crate) step_secs: u64,
    /// When, in seconds since 1970.
    pub(crate) at: Vec<u64>,
    /// How many seconds each is of: more than a step where the machine slept.
    pub(crate) secs: Vec<u64>,
    /// 1 as a superpeer, 0 as a child.
    pub(crate) superpeer: Vec<u64>,
    /// Children attached to it.
    pub(crate) children: Vec<u64>,
    /// Children that it would take at most.
    pub(crate) children_max: Vec<u64>,
    /// Superpeers known to be alive.
    pub(crate) superpeers: Vec<u64>,
    /// Open links.
    pub(crate) links: Vec<u64>,
    /// Records held for others.
    pub(crate) records: Vec<u64>,
    /// Peers that it sees with its own eyes.
    pub(crate) online: Vec<u64>,
    /// Their sessions that began.
    pub(crate) arrivals: Vec<u64>,
    /// Their sessions that ended.
    pub(crate) departures: Vec<u64>,
    /// Those that were lost and back within a minute.
    pub(crate) flaps: Vec<u64>,
    /// Look-ups that found a device.
    pub(crate) found: Vec<u64>,
    /// Look-ups of absent names.
    pub(crate) absent: Vec<u64>,
    /// Look-ups that nobody could answer.
    pub(crate) unknown: Vec<u64>,
    /// Look-ups whose answers did not pass verification.
    pub(crate) invalid: Vec<u64>,
    /// Median time of local look-ups that found a device; none without one.
    pub(crate) p50_ms: Vec<Option<f64>>,
    /// 99th percentile of the same.
    pub(crate) p99_ms: Vec<Option<f64>>,
}
