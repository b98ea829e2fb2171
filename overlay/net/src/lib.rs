//! The overlay's streams as a libp2p behaviour.
//!
//! [`Neighbours`] opens (as dialler) or takes (as listener) the one long-lived stream of a connection
//! and hands it out of the swarm; [`Links`] reads and writes such streams in their owner's task, so
//! that frames never pass the swarm. What is said on a link, which connections are kept and when they are
//! closed is decided elsewhere: another program can add [`Neighbours`] to its own swarm and serve the
//! streams with its own [`callbook_overlay::Overlay`].
//!
//! | module | holds |
//! |---|---|
//! | `behaviour`, `handler` | the stream's way out of the swarm |
//! | `links` | all streams of one owner: whose turn it is |
//! | `link` | frames from and to one stream |
//! | `tokens` | how fast the other side may send |
//! | `address` | the core's names for peers and addresses, and libp2p's |
//! | `refusal` | whether a failed dial was refused |
//! | `limits` | every bound of this crate |
//!
//! *Not here*: dialling, listening, time-outs, decisions.

mod address;
mod behaviour;
mod handler;
pub mod limits;
mod link;
mod links;
mod refusal;
mod tokens;

pub use address::{address_of, multiaddr, overlay_peer, transport_peer};
pub use behaviour::{Event, Neighbours, protocol_name};
pub use link::{End, Full, LinkCounts};
pub use links::{FromLink, Links};
pub use refusal::is_refusal;
