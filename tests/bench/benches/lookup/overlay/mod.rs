//! The overlay's slower figures, over real processes: fail-over, repair, starts, idle traffic.
//!
//! Each network is started as the end-to-end tests start theirs, with r = 3, in the profile of this bench
//! (`CALLBOOK_BIN_DIR` names other binaries). Look-ups are asked of the daemons' sockets, without the command
//! line's own start. Medians count; the worst is shown. *Not here*: tests (nothing fails by a time).

mod fail_over;
mod idle;
mod repair;
mod start;

use std::time::{Duration, Instant};

use callbook_e2e::{PATIENCE, Peer, local_get};
use serde_json::Value;

use crate::sample::Sample;

/// How often each thing is done.
const REPEATS: usize = 20;
/// Pause between two look-ups, or polls, while something is waited for.
const PAUSE: Duration = Duration::from_millis(1);

/// Runs the parts that are named; all, if none is.
pub(crate) fn run(named: &[String]) {
    println!("\noverlay: real processes, r = {}, {REPEATS} repeats", callbook_e2e::R_OF_THREE);
    println!("  {:<58} {:>9} {:>9} {:>5} {:>9}", "", "median ms", "worst ms", "count", "bar ms");
    let parts: [(&str, fn()); 4] =
        [("fail-over", fail_over::run), ("start", start::run), ("repair", repair::run), ("idle", idle::run)];
    let is_named = |part: &str| named.iter().any(|name| name == part);
    let all = !parts.iter().any(|(part, _)| is_named(part));
    for (_, run) in parts.into_iter().filter(|(part, _)| all || is_named(part)) {
        run();
    }
}

fn row(label: &str, sample: &Sample, bar: Option<Duration>) {
    let (median, millis) = (sample.median(), |time: Duration| time.as_secs_f64() * 1e3);
    let verdict = bar.map_or(String::new(), |bar| {
        format!("{:>9.0} {}", millis(bar), if median <= bar { "reached" } else { "MISSED" })
    });
    println!(
        "  {label:<58} {:>9.1} {:>9.1} {:>5} {verdict}",
        millis(median),
        millis(sample.quantile(1.0)),
        sample.count()
    );
}

/// Waits until `look` sees something; since `began`, how long that was.
fn measured(began: Instant, what: &str, mut look: impl FnMut() -> bool) -> Duration {
    while !look() {
        assert!(began.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(PAUSE);
    }
    began.elapsed()
}

fn socket(peer: &Peer) -> &str {
    peer.ready()["socket"].as_str().expect("a daemon has a socket")
}

/// The one device of a name as the daemon at this socket finds it past all caches.
fn device(socket: &str, name: &str) -> Option<Value> {
    let found = local_get(socket, &format!("/v1/names/{name}?fresh=true")).ok()?;
    let [device] = found["devices"].as_array()?.as_slice() else { return None };
    (found["outcome"] == "found").then(|| device.clone())
}

/// Whether a daemon finds a name where it is.
fn finds(socket: &str, name: &str, home: &Peer) -> bool {
    device(socket, name).is_some_and(|device| device["peer"] == home.id())
}
