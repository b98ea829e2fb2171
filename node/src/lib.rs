//! The Callbook peer: a background daemon and its command line.
//!
//! ```text
//! cli ── commands over the local API ──► daemon ── Handle ──► callbook-host (driver, overlay)
//!  ├──── top: the same in a terminal that is drawn anew
//!  └──── demo: a whole network of processes, asked the same way
//! ```
//! `exit` and `problem` are how things fail, `view` what is answered, `config` what is set. The
//! library has one entry, [`main`], so that the tests of this package can reach everything else.
//!
//! *Not here*: the protocol (`callbook-overlay`), the login server (`callbook-bootstrap`).

mod census;
mod cli;
mod clock;
mod config;
mod daemon;
mod demo;
mod entry;
mod exit;
mod problem;
mod socket;
mod top;
mod view;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os())
}
