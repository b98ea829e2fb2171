//! What an operator sees: one registry for the overlay's, the host's, libp2p's and the process's
//! metrics.
//!
//! The driver hands a copy of its plain numbers out at each scrape (`Scrape`); links and store count in
//! atomics. All combinations of labels are there from the start, and none comes from a peer: of libp2p's
//! events only those are recorded whose labels are of a closed set, so its `identify` metrics and those of
//! external addresses (others tell us which ones we have) stay empty.
//!
//! | prefix | what |
//! |---|---|
//! | `callbook_` | overlay, sessions, links, store, HTTP (and whatever else the process registers) |
//! | `libp2p_` | libp2p's swarm |
//! | `process_` | the process, where `/proc` is there |
//!
//! What each metric is called stands once, in [`names`]: dashboards and documentation take it from there.
//! *Not here*: the addresses under which this is served (see `serve`).

mod catalogue;
mod churn;
mod http;
pub mod observer;
mod process;
pub(crate) mod serve;
mod spreads;
mod table;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use callbook_net::LinkCounts;
use callbook_overlay::Counters;
use callbook_overlay::time::Unix;
use libp2p::metrics::{Metrics, Recorder};
use libp2p::swarm::SwarmEvent;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

pub use self::catalogue::{Kind, Metric};
use self::catalogue::{Labels, Value, encode as encode_metric};
use crate::behaviour::BehaviourEvent;
use crate::sessions::Figures;
use crate::store::StoreCounts;

/// All metrics of a host, by name.
pub mod names {
    use super::Metric;
    pub use super::churn::names::*;
    pub use super::host::*;
    pub use super::http::names::*;
    pub use super::observer::names::*;
    pub use super::process::names::*;
    pub use super::spreads::names::*;
    pub use super::table::names::*;

    /// All of a daemon's, in the order in which they are exported.
    pub fn all() -> impl Iterator<Item = &'static Metric> {
        use super::{churn, host, http, process, spreads, table};
        let overlay = table::TABLE.iter().map(|(metric, _)| metric).chain(spreads::names::SPREADS);
        let host = churn::names::CHURN.iter().chain(host::HOST).chain(http::names::HTTP);
        overlay.chain(host).chain(process::names::PROCESS)
    }

    /// What an observer of the whole network exports beside sessions.
    pub fn of_observers() -> impl Iterator<Item = &'static Metric> {
        super::observer::names::OBSERVER.iter()
    }
}

/// Links, store and build.
mod host {
    super::catalogue::declare! {
        HOST:
        /// Links that ended, by reason
        LINK_ENDS = Counter "callbook_link_ends";
        /// Frames on links
        LINK_FRAMES = Counter "callbook_link_frames";
        /// Bytes on links, before encryption
        LINK_BYTES = Counter "callbook_link_bytes";
        /// Writes to links; frames sent by writes is how well they coalesce
        LINK_WRITES = Counter "callbook_link_writes";
        /// Times a link was not read because it was above its rate
        LINK_THROTTLES = Counter "callbook_link_throttles";
        /// Commits to disk
        STORE_COMMITS = Counter "callbook_store_commits";
        /// Commits that failed and are tried again
        STORE_COMMIT_FAILURES = Counter "callbook_store_commit_failures";
        /// Time spent in commits
        STORE_COMMIT_SECONDS = Counter "callbook_store_commit_seconds";
        /// 1 for whether others can dial this one: public if it listens, else private (nothing is tried out yet)
        REACHABILITY = Gauge "callbook_reachability";
        /// What runs: 1, with version and revision as labels
        BUILD_INFO = Gauge "callbook_build_info";
    }
}
use host::{
    BUILD_INFO, LINK_BYTES, LINK_ENDS, LINK_FRAMES, LINK_THROTTLES, LINK_WRITES, REACHABILITY,
    STORE_COMMIT_FAILURES, STORE_COMMIT_SECONDS, STORE_COMMITS,
};

/// Why links end, as labels: those of [`callbook_net::End`], and the driver's own.
const LINK_ENDS_WORDS: [&str; 7] = ["closed", "finished", "io", "too_large", "unreadable", "full", "late"];

/// From which commit this was built, if who built it said so.
const REVISION: &str = match option_env!("CALLBOOK_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// What the driver hands out for a scrape.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) counters: Counters,
    pub(crate) figures: Figures,
}

/// What the driver itself records.
pub(crate) struct HostMetrics {
    libp2p: Metrics,
    ends: Family<[(&'static str, &'static str); 1], Counter>,
}

impl HostMetrics {
    pub(crate) fn new(registry: &mut Registry, exported: Arc<Exported>, now: Unix) -> Self {
        let libp2p = Metrics::new(registry);
        let ends = Family::default();
        for word in LINK_ENDS_WORDS {
            drop(ends.get_or_create(&[("reason", word)]));
        }
        registry.register(LINK_ENDS.name, LINK_ENDS.help, ends.clone());
        registry.register_collector(Box::new(exported));
        registry.register_collector(Box::new(process::Process::started(now)));
        Self { libp2p, ends }
    }

    /// Of connections, dials and listeners alone: the other events name what others told us.
    pub(crate) fn record(&self, event: &SwarmEvent<BehaviourEvent>) {
        if matches!(
            event,
            SwarmEvent::ConnectionEstablished { .. }
                | SwarmEvent::ConnectionClosed { .. }
                | SwarmEvent::IncomingConnection { .. }
                | SwarmEvent::IncomingConnectionError { .. }
                | SwarmEvent::OutgoingConnectionError { .. }
                | SwarmEvent::NewListenAddr { .. }
                | SwarmEvent::ExpiredListenAddr { .. }
                | SwarmEvent::ListenerClosed { .. }
                | SwarmEvent::ListenerError { .. }
                | SwarmEvent::Dialing { .. }
        ) {
            self.libp2p.record(event);
        }
    }

    pub(crate) fn link_ended(&self, reason: &'static str) {
        self.ends.get_or_create(&[("reason", reason)]).inc();
    }
}

/// What is read at a scrape.
#[derive(Debug)]
pub(crate) struct Exported {
    version: String,
    listens: bool,
    scrape: Mutex<Option<Scrape>>,
    links: Arc<LinkCounts>,
    store: Arc<StoreCounts>,
    http: http::Requests,
}

impl Exported {
    pub(crate) fn new(agent: &str, listens: bool, links: Arc<LinkCounts>, store: Arc<StoreCounts>) -> Self {
        let (scrape, http) = (Mutex::default(), http::Requests::default());
        Self { version: agent.to_owned(), listens, scrape, links, store, http }
    }

    /// Takes the driver's numbers.
    pub(crate) fn update(&self, scrape: Scrape) {
        *self.scrape.lock().unwrap_or_else(PoisonError::into_inner) = Some(scrape);
    }

    /// Whether the store's last commit failed.
    pub(crate) fn store_is_failing(&self) -> bool {
        self.store.failing.load(Ordering::Relaxed)
    }

    fn encode_links(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let links = &self.links;
        both_ways(encoder, &LINK_FRAMES, [&links.frames_received, &links.frames_sent])?;
        both_ways(encoder, &LINK_BYTES, [&links.bytes_received, &links.bytes_sent])?;
        single(encoder, &LINK_WRITES, Value::Whole(load(&links.writes)))?;
        single(encoder, &LINK_THROTTLES, Value::Whole(load(&links.throttled)))
    }

    fn encode_store(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        single(encoder, &STORE_COMMITS, Value::Whole(load(&self.store.commits)))?;
        single(encoder, &STORE_COMMIT_FAILURES, Value::Whole(load(&self.store.failures)))?;
        // Exact up to 285 years.
        let seconds = load(&self.store.commit_micros) as f64 / 1e6;
        single(encoder, &STORE_COMMIT_SECONDS, Value::Real(seconds))
    }

    fn encode_build(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let states = [("public", self.listens), ("private", !self.listens), ("unknown", false)];
        let states = states.map(|(word, holds)| ([("state", word)], u64::from(holds)));
        let states = states.iter().map(|(labels, value)| (&labels[..], Value::Whole(*value)));
        encode_metric(encoder, &REACHABILITY, states)?;
        let build: Labels<'_> = &[("version", self.version.as_str()), ("revision", REVISION)];
        encode_metric(encoder, &BUILD_INFO, [(build, Value::Whole(1))])
    }
}

impl Collector for Exported {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(scrape) = &*self.scrape.lock().unwrap_or_else(PoisonError::into_inner) {
            table::encode(&scrape.counters, &mut encoder)?;
            spreads::encode(&scrape.counters, &mut encoder)?;
            churn::encode(&scrape.figures, &mut encoder)?;
        }
        self.encode_links(&mut encoder)?;
        self.encode_store(&mut encoder)?;
        self.http.encode(&mut encoder)?;
        self.encode_build(&mut encoder)
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn single(encoder: &mut DescriptorEncoder<'_>, metric: &Metric, value: Value) -> fmt::Result {
    encode_metric(encoder, metric, [(&[][..], value)])
}

fn both_ways(encoder: &mut DescriptorEncoder<'_>, metric: &Metric, values: [&AtomicU64; 2]) -> fmt::Result {
    let ways = [[("direction", "received")], [("direction", "sent")]];
    let series = ways.iter().zip(values).map(|(way, value)| (&way[..], Value::Whole(load(value))));
    encode_metric(encoder, metric, series)
}
