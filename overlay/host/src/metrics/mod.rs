//! What an operator sees: one registry for the overlay's, the host's, libp2p's and the process's
//! metrics.
//!
//! The overlay counts in a plain struct, which is copied at each scrape; links and store count in
//! atomics. All combinations of labels are there from the start. libp2p's `identify` metrics stay
//! empty: they would take their labels from what other peers say about themselves.
//!
//! | prefix | what |
//! |---|---|
//! | `callbook_` | overlay, links, store (and whatever else the process registers) |
//! | `libp2p_` | libp2p's swarm |
//! | `process_` | the process, where `/proc` is there |
//!
//! *Not here*: the addresses under which this is served (see [`serve`]).

mod process;
pub(crate) mod serve;
mod table;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use callbook_net::LinkCounts;
use callbook_overlay::Counters;
use libp2p::metrics::{Metrics, Recorder};
use libp2p::swarm::SwarmEvent;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::behaviour::BehaviourEvent;
use crate::store::StoreCounts;

/// Why links end, as labels: those of [`callbook_net::End`], and the driver's own.
const LINK_ENDS: [&str; 7] = ["closed", "finished", "io", "too_large", "unreadable", "full", "late"];

/// What the driver itself records.
pub(crate) struct HostMetrics {
    libp2p: Metrics,
    ends: Family<[(&'static str, &'static str); 1], Counter>,
}

impl HostMetrics {
    pub(crate) fn new(registry: &mut Registry, exported: Arc<Exported>) -> Self {
        let libp2p = Metrics::new(registry);
        let ends = Family::default();
        for word in LINK_ENDS {
            drop(ends.get_or_create(&[("reason", word)]));
        }
        registry.sub_registry_with_prefix("callbook").register(
            "link_ends",
            "Links that ended, by reason",
            ends.clone(),
        );
        registry.register_collector(Box::new(exported));
        registry.register_collector(Box::new(process::Process));
        Self { libp2p, ends }
    }

    pub(crate) fn record(&self, event: &SwarmEvent<BehaviourEvent>) {
        if !matches!(event, SwarmEvent::Behaviour(_)) {
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
    overlay: Mutex<Counters>,
    links: Arc<LinkCounts>,
    store: Arc<StoreCounts>,
}

impl Exported {
    pub(crate) fn new(agent: &str, links: Arc<LinkCounts>, store: Arc<StoreCounts>) -> Self {
        Self { version: agent.to_owned(), overlay: Mutex::default(), links, store }
    }

    /// Takes a copy of the overlay's counters.
    pub(crate) fn update(&self, counters: Counters) {
        *self.overlay.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    /// Whether the store's last commit failed.
    pub(crate) fn store_is_failing(&self) -> bool {
        self.store.failing.load(Ordering::Relaxed)
    }

    fn encode_links(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let frames = [("received", &self.links.frames_received), ("sent", &self.links.frames_sent)];
        pair(encoder, "callbook_link_frames", "Frames on links", frames)?;
        let bytes = [("received", &self.links.bytes_received), ("sent", &self.links.bytes_sent)];
        pair(encoder, "callbook_link_bytes", "Bytes on links, before encryption", bytes)?;
        single(
            encoder,
            "callbook_link_writes",
            "Writes to links; frames sent by writes is how well they coalesce",
            load(&self.links.writes),
        )?;
        single(
            encoder,
            "callbook_link_throttles",
            "Times a link was not read because it was above its rate",
            load(&self.links.throttled),
        )
    }

    fn encode_store(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        single(encoder, "callbook_store_commits", "Commits to disk", load(&self.store.commits))?;
        single(
            encoder,
            "callbook_store_commit_failures",
            "Commits that failed and are tried again",
            load(&self.store.failures),
        )?;
        let micros = load(&self.store.commit_micros);
        // Exact up to 285 years.
        let seconds = micros as f64 / 1e6;
        let name = "callbook_store_commit_seconds";
        let mut metric =
            encoder.encode_descriptor(name, "Time spent in commits", None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&seconds, None)
    }

    fn encode_build(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "callbook_build_info";
        let mut metric = encoder.encode_descriptor(name, "What runs", None, MetricType::Gauge)?;
        metric.encode_family(&[("version", self.version.as_str())])?.encode_gauge(&1_i64)
    }
}

impl Collector for Exported {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = self.overlay.lock().unwrap_or_else(PoisonError::into_inner).clone();
        table::encode(&counters, &mut encoder)?;
        self.encode_links(&mut encoder)?;
        self.encode_store(&mut encoder)?;
        self.encode_build(&mut encoder)
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn single(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn pair(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: [(&str, &AtomicU64); 2],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (direction, counter) in values {
        let labels = [("direction", direction)];
        metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&load(counter), None)?;
    }
    Ok(())
}
