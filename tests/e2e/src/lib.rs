//! The harness of the end-to-end tests: real processes of the real binaries on loopback.
//!
//! ```text
//! Room      a folder of the test's own, a loopback address of its own, a turn (few networks at once)
//!  └ Network   one login server: its folder, its process
//!     └ Peer      one daemon: its folder, its process, and the commands that are asked of it
//!  └ Stranger, Authority, Census   the test itself as a peer, as the login key, as who counts storers
//! ```
//! Nothing is left behind, also when a test panics: every process has a pipe as standard input and
//! leaves when it closes; who doesn't is killed by its id, and the test fails. A line at level ERROR in
//! any log fails the test too. Tests wait for conditions, with one deadline ([`PATIENCE`]) for all.
//!
//! *Not here*: what is tested (`tests/e2e`).

pub mod authority;
mod binaries;
mod census;
mod http;
mod liar;
mod network;
mod outcome;
mod peer;
mod process;
mod room;
pub mod stranger;

use std::time::{Duration, Instant};

pub use authority::Authority;
pub use binaries::{Program, workspace};
pub use census::{Census, Poll};
pub use http::{Answer, http_get, http_get_with, local_get, metric};
pub use liar::Liar;
pub use network::{Network, R, R_OF_THREE, all_know};
pub use outcome::Outcome;
pub use peer::{PASSWORD, Peer};
pub use process::{Process, Signal, alive};
pub use room::Room;
pub use stranger::Stranger;

/// How long any condition may take. A guess: far above what a busy machine needs, so that it only
/// ends tests that hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at. A guess: small beside the start of a process.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `look` sees something.
///
/// # Panics
/// It doesn't within [`PATIENCE`]: the test fails.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(LOOK);
    }
}

/// Does the same with everything in `all` at once, and returns the results in the same order.
///
/// # Panics
/// One of them does.
pub fn at_once<T: Send, R: Send>(all: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = all.into_iter().map(|one| scope.spawn(move || work(one))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, R>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        running.into_iter().map(join).collect()
    })
}
