//! Whole networks of the shipped overlay in one process, in virtual time, from one seed.
//!
//! Nothing of the protocol is here: what peers do is `callbook_overlay::Overlay` as `callbook` runs it. Here is
//! all around it, each part in a module of its own:
//!
//! | module | what |
//! |---|---|
//! | [`random`], [`time`] | chance (a stream for each concern), microseconds |
//! | `queue`, `trace` | what happens next; a hash over all that happened |
//! | [`network`] | places in a plane, latency, loss, what connections and packets cost |
//! | [`churn`], [`workload`] | who is there when; what users do |
//! | [`peers`], [`signing`], `pool` | disks, certificates, kinds of peers; real and quick signatures; shared records |
//! | [`world`] | the loop, and what can be done to a network |
//! | [`oracle`], [`measures`] | what is right; what was counted |
//! | [`baseline`] | other people's directories as models, for comparison |
//! | [`scenario`], [`report`] | the rows of the table, each in a file; how figures are shown |
//! | [`scale`] | how costs per peer grow with their number |
//! | [`soak`], [`progress`] | many runs at a time and what is broken in them; how far a run is |
//!
//! A library first, so that other tests can stand on it; the program is `callbook-sim`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the simulation names the answers that it expects; all others are the overlay's business"
)]

pub mod baseline;
pub mod churn;
pub mod measures;
pub mod network;
pub mod oracle;
pub mod peers;
mod pool;
pub mod progress;
mod queue;
pub mod random;
pub mod report;
pub mod scale;
pub mod scenario;
pub mod signing;
pub mod soak;
pub mod time;
mod trace;
pub mod workload;
pub mod world;
