//! Dashboards, rules and provisioning as files, generated from the constants of the exporter.
//!
//! ```text
//!  callbook-host, callbook-bootstrap: names of metrics ─▶ boards, rules ─▶ files() ─▶ dashboards/…
//!                                                                            │
//!  tests: nothing stale · lint · every expression parses, every name is in a real /metrics · promtool
//!  verify: a real Prometheus scrapes a real network, and every panel's query is answered
//! ```
//! A panel can't name a metric of ours that does not exist: it takes the name from where the metric is
//! declared. The generated files are committed, so that nobody needs Rust to use them.
//!
//! Grafana's classic JSON and its classic file provisioning are what versions 11 to 13 all accept; only
//! functions that Prometheus 2.42 (Debian's) knows are used. *Not here*: what is measured.

pub mod boards;
pub mod files;
pub mod model;
pub mod promql;
pub mod rules;
pub mod verify;

use model::Dashboard;

/// All dashboards, in the order in which they are linked.
#[must_use]
pub fn all() -> Vec<Dashboard> {
    vec![
        boards::overview::board(),
        boards::churn::board(),
        boards::lookups::board(),
        boards::superpeers::board(),
        boards::login::board(),
        boards::libp2p::board(),
        boards::node::board(),
        boards::experiment::board(),
    ]
}
