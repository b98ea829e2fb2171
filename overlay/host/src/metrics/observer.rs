//! What an observer of a whole network exports: a census.
//!
//! Sessions, downtimes and classes bear the names that superpeers export theirs by (`churn`), so that one
//! dashboard shows either; what only somebody can tell who sees all of the network is declared here. *Not
//! here*: how it is found out (`callbook`'s census).

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use callbook_overlay::time::Unix;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::catalogue::{Bars, Labels, Value, encode as encode_metric};
use super::host::BUILD_INFO;
use super::serve::{OPEN_METRICS, unavailable};
use super::{REVISION, churn, process};
pub use crate::sessions::{
    BYTES_PER_PEER, CLASSES, Figures, KINS, Lengths, REASONS, Reason, UPTIMES, WINDOWS,
};

/// What this exports beside sessions.
pub(super) mod names {
    crate::metrics::catalogue::declare! {
        OBSERVER:
        /// The share of sessions that lasts longer than an age, by Kaplan and Meier: over all sessions of a census whose beginning it saw, those that go on too
        SESSION_SURVIVAL = Gauge "callbook_session_survival_ratio";
        /// How many peers there are: counted (superpeers that were reached, children that they told of), by density (how near a superpeer's nearest are), or by recapture (whom two halves of the superpeers name); children that are not told of are taken for the mean
        NETWORK_SIZE = Gauge "callbook_network_size_estimate";
        /// The standard deviation of the estimate
        NETWORK_SIZE_STDDEV = Gauge "callbook_network_size_stddev";
        /// Walks through the key space; complete: all of it was told of, and everybody named was visited
        CENSUS_WALKS = Counter "callbook_census_walks";
        /// How long a walk took
        CENSUS_WALK_DURATION = Histogram "callbook_census_walk_duration_seconds";
        /// Superpeers of the last walk: those that answered and those that did not
        CENSUS_SUPERPEERS = Gauge "callbook_census_superpeers";
        /// Superpeers of the last walk that told how many children they have
        CENSUS_TELLING = Gauge "callbook_census_telling";
        /// When the last complete walk ended; 0: never
        CENSUS_LAST_SUCCESS = Gauge "callbook_census_last_success_timestamp_seconds";
        /// Visits to superpeers, in walks and between them, by what came of them
        CENSUS_VISITS = Counter "callbook_census_visits";
        /// Sessions that were doubted because of a failed visit, and went on
        CENSUS_RECOVERED = Counter "callbook_census_recovered";
        /// Hints from superpeers that did not verify
        CENSUS_BAD_HINTS = Counter "callbook_census_bad_hints";
        /// Superpeers beyond the bound of one walk
        CENSUS_OVERLOOKED = Counter "callbook_census_overlooked";
    }
}
use names::{
    CENSUS_BAD_HINTS, CENSUS_LAST_SUCCESS, CENSUS_OVERLOOKED, CENSUS_RECOVERED, CENSUS_SUPERPEERS,
    CENSUS_TELLING, CENSUS_VISITS, CENSUS_WALK_DURATION, CENSUS_WALKS, NETWORK_SIZE, NETWORK_SIZE_STDDEV,
    SESSION_SURVIVAL,
};

/// How a network's size is estimated, in the order of [`Observation::sizes`].
pub const METHODS: [&str; 3] = ["counted", "density", "recapture"];

/// What comes of a visit, in the order of [`Observation::visits`].
pub const VISITS: [&str; 6] = ["reached", "refused", "silent", "replaced", "no_address", "demoted"];

/// Bounds of a walk's duration, in seconds. Guess: from a network on one machine to one of ten thousands.
const WALK_BOUNDS: [f64; 8] = [0.5, 2.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1_800.0];

/// All that an observer knows.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Sessions and who is there.
    pub figures: Figures,
    /// In the order of [`UPTIMES`]: the share that lasts longer.
    pub survival: [f64; UPTIMES.len()],
    /// By kin and method: estimate and standard deviation; not a number where there is none.
    pub sizes: [[(f64, f64); METHODS.len()]; KINS.len()],
    /// Walks that were complete, and others.
    pub walks: [u64; 2],
    /// Of the last walk: reached, not reached.
    pub superpeers: [u64; 2],
    /// Of the last walk.
    pub telling: u64,
    /// The end of the last complete walk.
    pub last_success: Unix,
    /// By what came of them.
    pub visits: [u64; VISITS.len()],
    /// Sessions that were doubted and went on.
    pub recovered: u64,
    /// Hints that did not verify.
    pub bad_hints: u64,
    /// Superpeers beyond the bound of one walk.
    pub overlooked: u64,
    durations: [u64; WALK_BOUNDS.len() + 1],
    walked_secs: f64,
}

impl Observation {
    /// Of nothing yet; lengths will be counted up to each of these bounds.
    #[must_use]
    pub fn new(bounds: Vec<Duration>) -> Self {
        Self {
            figures: Figures::new(bounds),
            survival: [1.0; UPTIMES.len()],
            sizes: [[(f64::NAN, f64::NAN); METHODS.len()]; KINS.len()],
            walks: [0; 2],
            superpeers: [0; 2],
            telling: 0,
            last_success: Unix::from_secs(0),
            visits: [0; VISITS.len()],
            recovered: 0,
            bad_hints: 0,
            overlooked: 0,
            durations: Default::default(),
            walked_secs: 0.0,
        }
    }

    /// A walk has ended that took so long.
    pub fn walked(&mut self, took: Duration, complete: bool) {
        let secs = took.as_secs_f64();
        self.durations[WALK_BOUNDS.partition_point(|bound| *bound < secs)] += 1;
        self.walked_secs += secs;
        self.walks[usize::from(!complete)] += 1;
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        churn::encode(&self.figures, encoder)?;
        let real = |(word, value): (&'static str, f64), label| ([(label, word)], Value::Real(value));
        let ages = UPTIMES.map(|(word, _)| word).into_iter().zip(self.survival);
        labelled(encoder, &SESSION_SURVIVAL, ages.map(|age| real(age, "age")))?;
        self.encode_sizes(encoder)?;
        let whole = |word, value, label| ([(label, word)], Value::Whole(value));
        let walks = ["complete", "partial"].into_iter().zip(self.walks);
        labelled(encoder, &CENSUS_WALKS, walks.map(|(word, count)| whole(word, count, "result")))?;
        let bounds = WALK_BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets = bounds.zip(self.durations).collect();
        single(encoder, &CENSUS_WALK_DURATION, Value::Bars(Bars { sum: self.walked_secs, buckets }))?;
        let states = ["reached", "unreached"].into_iter().zip(self.superpeers);
        labelled(encoder, &CENSUS_SUPERPEERS, states.map(|(word, count)| whole(word, count, "state")))?;
        single(encoder, &CENSUS_TELLING, Value::Whole(self.telling))?;
        single(encoder, &CENSUS_LAST_SUCCESS, Value::Whole(self.last_success.as_secs()))?;
        let visits = VISITS.into_iter().zip(self.visits);
        labelled(encoder, &CENSUS_VISITS, visits.map(|(word, count)| whole(word, count, "result")))?;
        single(encoder, &CENSUS_RECOVERED, Value::Whole(self.recovered))?;
        single(encoder, &CENSUS_BAD_HINTS, Value::Whole(self.bad_hints))?;
        single(encoder, &CENSUS_OVERLOOKED, Value::Whole(self.overlooked))
    }

    fn encode_sizes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (mut means, mut deviations) = (Vec::new(), Vec::new());
        for (role, sizes) in KINS.into_iter().zip(self.sizes) {
            for (method, (mean, deviation)) in METHODS.into_iter().zip(sizes) {
                let labels = [("role", role), ("method", method)];
                means.push((labels, Value::Real(mean)));
                deviations.push((labels, Value::Real(deviation)));
            }
        }
        labelled(encoder, &NETWORK_SIZE, means.into_iter())?;
        labelled(encoder, &NETWORK_SIZE_STDDEV, deviations.into_iter())
    }
}

fn single(encoder: &mut DescriptorEncoder<'_>, metric: &super::Metric, value: Value) -> fmt::Result {
    encode_metric(encoder, metric, [(&[][..], value)])
}

fn labelled<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &super::Metric,
    series: impl Iterator<Item = ([(&'static str, &'static str); N], Value)>,
) -> fmt::Result {
    let series: Vec<_> = series.collect();
    // A value is no more than a number or a list of them.
    let (labels, values): (Vec<_>, Vec<_>) = series.into_iter().unzip();
    encode_metric(encoder, metric, labels.iter().map(|labels| &labels[..]).zip(values))
}

/// An observer's metrics, shared by who observes and who serves them.
#[derive(Debug, Clone)]
pub struct Observer {
    seen: Arc<Mutex<Observation>>,
    registry: Arc<Registry>,
}

#[derive(Debug)]
struct Shown {
    seen: Arc<Mutex<Observation>>,
    agent: String,
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).encode(&mut encoder)?;
        let build: Labels<'_> = &[("version", self.agent.as_str()), ("revision", REVISION)];
        encode_metric(&mut encoder, &BUILD_INFO, [(build, Value::Whole(1))])
    }
}

impl Observer {
    /// Shows what is seen, and the process; `agent` is software name and version.
    #[must_use]
    pub fn new(seen: Observation, agent: &str, now: Unix) -> Self {
        let seen = Arc::new(Mutex::new(seen));
        let mut registry = Registry::default();
        let shown = Shown { seen: Arc::clone(&seen), agent: agent.to_owned() };
        registry.register_collector(Box::new(shown));
        registry.register_collector(Box::new(process::Process::started(now)));
        Self { seen, registry: Arc::new(registry) }
    }

    /// What is seen, to be read or changed.
    pub fn seen(&self) -> MutexGuard<'_, Observation> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page that Prometheus reads.
    ///
    /// # Errors
    /// Us: the numbers can't be written.
    pub fn page(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Serves `/metrics` and `/healthz` from now on; where.
    ///
    /// # Errors
    /// The user: the address can't be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn serve(&self, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .with_state(self.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the metrics listener failed");
            }
        });
        Ok(bound)
    }
}

async fn metrics(State(observer): State<Observer>) -> Response {
    match observer.page() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            unavailable("the metrics can't be written\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_an_observer_is_shown_from_the_start_with_finite_values() {
        // Goal: no panel is empty because nothing has happened yet. Method: the page of one that has seen nothing
        // holds each name that is declared, and no value but numbers; sizes are unknown, which is none.
        let seen = Observation::new(vec![Duration::from_secs(60)]);
        let page = Observer::new(seen, "census/0", Unix::from_secs(1)).page().unwrap();
        for metric in names::OBSERVER.iter().chain(churn::names::CHURN) {
            assert!(page.contains(&format!("# HELP {} ", metric.name)), "{}", metric.name);
        }
        let values = page.lines().filter(|line| !line.starts_with('#'));
        for (line, value) in values.filter_map(|line| Some((line, line.rsplit_once(' ')?.1))) {
            let value: f64 = value.parse().unwrap();
            assert!(
                value.is_finite() || value.is_nan() && line.starts_with("callbook_network_size_"),
                "{line}"
            );
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn walks_are_counted_by_length_and_result() {
        // Goal: the histogram's sum and buckets. Method: three walks, one of them partial.
        let mut seen = Observation::new(Vec::new());
        for (secs, complete) in [(1, true), (2, false), (4_000, true)] {
            seen.walked(Duration::from_secs(secs), complete);
        }
        let page = Observer::new(seen, "census/0", Unix::from_secs(1)).page().unwrap();
        for line in [
            "callbook_census_walks_total{result=\"complete\"} 2",
            "callbook_census_walks_total{result=\"partial\"} 1",
            "callbook_census_walk_duration_seconds_sum 4003.0",
            "callbook_census_walk_duration_seconds_bucket{le=\"2.0\"} 2",
            "callbook_census_walk_duration_seconds_bucket{le=\"+Inf\"} 3",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in {page}");
        }
    }
}
