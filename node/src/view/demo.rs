//! `demo`: acts, their look-ups, and the figures of a bulk run.

use std::collections::BTreeMap;

use serde::Serialize;

/// `demo`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Demo {
    /// How many superpeers beside the server.
    pub(crate) superpeers: usize,
    /// How many children.
    pub(crate) children: usize,
    /// Where everything lies.
    pub(crate) folder: String,
    /// Accounts made.
    pub(crate) enrolled: usize,
    /// What happened, in that order; none with `--names`.
    pub(crate) acts: Vec<Act>,
    /// Look-ups of all acts; with `--names` only the wrong ones.
    pub(crate) lookups: Vec<DemoLookup>,
    /// How many look-ups were wrong.
    pub(crate) wrong: usize,
    /// How many were answered by superpeers that the child's parent had to ask.
    pub(crate) crossed: usize,
    /// With `--names`.
    pub(crate) bulk: Option<Bulk>,
}

/// One act: something happens, then everybody is looked up from everywhere else.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Act {
    /// `settled`, `superpeer_killed` or `server_stopped`.
    pub(crate) act: String,
    /// What happened, with measured figures.
    pub(crate) sentence: String,
    /// Who found another parent.
    pub(crate) rehomed: Vec<Rehomed>,
    /// How many look-ups.
    pub(crate) lookups: usize,
    /// How many of them were wrong.
    pub(crate) wrong: usize,
    /// How many answers came from where.
    pub(crate) sources: BTreeMap<String, usize>,
    /// Latency of the look-ups.
    pub(crate) resolve_ms: Percentiles,
}

/// A child that lost its parent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Rehomed {
    /// Which.
    pub(crate) child: String,
    /// The new parent; `None` if it found none in time.
    pub(crate) parent: Option<String>,
    /// From the parent's end until it was seen attached again.
    pub(crate) ms: f64,
}

/// One look-up of the demo.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DemoLookup {
    /// In which act, from 1; 0 with `--names`.
    pub(crate) act: usize,
    /// Whom.
    pub(crate) name: String,
    /// From which child.
    pub(crate) from: String,
    /// There are devices.
    pub(crate) found: bool,
    /// They are the right ones.
    pub(crate) right: bool,
    /// Where.
    pub(crate) addresses: Vec<String>,
    /// Sequential requests after the parent.
    pub(crate) hops: u8,
    /// Where the answer came from.
    pub(crate) source: Option<String>,
    /// As the daemon measured it.
    pub(crate) ms: f64,
    /// Unless it was right.
    pub(crate) error: Option<String>,
}

/// Figures of a bulk run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Bulk {
    /// How many names.
    pub(crate) names: usize,
    /// How long each phase took.
    pub(crate) seconds: Phases,
    /// Names per second in each phase.
    pub(crate) per_second: Phases,
    /// Latency of the look-ups.
    pub(crate) resolve_ms: Percentiles,
    /// How many answers came from where.
    pub(crate) sources: BTreeMap<String, usize>,
}

/// A figure per phase.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Phases {
    /// Accounts and certificates.
    pub(crate) enrol: f64,
    /// Records.
    pub(crate) register: f64,
    /// Look-ups.
    pub(crate) resolve: f64,
}

/// A distribution's shape.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Percentiles {
    /// Median.
    pub(crate) p50: f64,
    /// Nine of ten are faster.
    pub(crate) p90: f64,
    /// 99 of 100 are faster.
    pub(crate) p99: f64,
    /// The slowest.
    pub(crate) max: f64,
}
