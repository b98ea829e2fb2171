//! Property tests of the core: records, the metric, and the fence around the crate.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names the answers it expects; all others fail it"
)]

mod bounds;
mod cddl;
mod contacts;
mod crossing;
mod crowds;
mod fence;
mod fixture;
mod forgery;
mod hostile;
mod invariants;
mod knocking;
mod knowing;
mod looking;
mod losing;
mod mapping;
mod moving;
mod neighbours;
mod network;
mod parents;
mod paths;
mod putting;
mod records;
mod review;
mod scenarios;
mod sealing;
mod telling;
mod turmoil;
mod world;
mod xor;
