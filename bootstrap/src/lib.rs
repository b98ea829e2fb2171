//! The login/bootstrap server: accounts, certificates, seeds.
//!
//! ```text
//! host (one-worker runtime)              service (its own threads)
//!   login requests ── LoginCall ──▶ serve ─▶ Service ─▶ database, authority
//!   Command::Put  ◀── publisher ◀── epoch records that the database holds
//!   Command::Act  ◀── renewal of the server's own node certificate
//! ```
//! The binary is [`cli::run`], a function, so that `callbook demo` can start a server from its own
//! executable. *Not here*: messages and password suite (`callbook-login`), the overlay.

pub mod authority;
pub mod cli;
pub mod clock;
pub mod database;
pub mod directory;
pub mod folder;
pub mod limiter;
pub mod limits;
pub mod logs;
pub mod metrics;
pub mod publisher;
pub mod report;
pub mod serve;
pub mod service;
pub mod targets;
pub mod token;
pub mod usernames;
