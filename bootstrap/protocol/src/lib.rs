//! What the login server and its clients both need.
//!
//! - [`network_file`]: `network.toml`, the signed file that makes a network;
//! - [`messages`]: requests and answers of the login protocol, and [`refusal`], why a request is refused;
//! - [`opaque`]: the password suite; the password never leaves the client;
//! - [`claim`]: what a device key signs to prove itself;
//! - [`files`], [`key_file`]: private files, the lock of a data folder, secret keys on disk;
//! - [`suggest`]: "did you mean …" for unknown words.
//!
//! *Not here*: accounts and their database (`callbook-bootstrap`), the transport (`callbook-host`
//! carries the messages as opaque bytes).

pub mod claim;
pub mod files;
pub mod key_file;
pub mod messages;
pub mod network_file;
pub mod opaque;
pub mod refusal;
pub mod suggest;

pub use claim::Claim;
pub use messages::{Request, Response};
pub use network_file::{NetworkFile, NetworkFileError};
pub use refusal::Refusal;
