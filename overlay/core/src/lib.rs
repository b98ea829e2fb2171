//! The overlay and directory protocol as a deterministic state machine.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod api;
pub mod cbor;
pub mod certificate;
mod counters;
mod group;
pub mod invalid;
pub mod key;
pub mod limits;
mod lookup;
mod map;
pub mod name;
pub mod network;
mod overlay;
mod range;
pub mod record;
pub mod sign;
mod sorted;
mod store;
pub mod time;
pub mod wire;

pub use counters::{
    Counters, HOPS, LookupTimes, Lookups, Nodes, REQUESTS, Refusals, Registrations, Requests, Spread,
    TIMES_MICROS, Times,
};
pub use group::is_global;
pub use invalid::Invalid;
pub use name::Username;
pub use overlay::Overlay;
