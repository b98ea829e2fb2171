//! What it costs a parent to count a look-up: the very counting, a million times over, beside what the look-up
//! takes in the same run.
//!
//! Not the difference of two look-ups, which would drown in noise. Counted is what a parent counts of one that it
//! asks a storer for: the request served and the one made, the end and the source, requests and time, four
//! frames with their bytes on two links.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use callbook_host::metrics::observer::BYTES_PER_PEER;
use callbook_net::LinkCounts;
use callbook_overlay::{Counters, REQUESTS};

/// How often it is done. A guess: some hundredth of a second.
const TIMES: u32 = 1_000_000;

/// How much of a look-up it may be. Issue 5's bar.
const BAR: f64 = 0.02;

/// How many bytes a peer whose sessions are known may take. Issue 5's bar.
const BYTES_MAX: usize = 200;

/// How long it takes to count one look-up.
pub(crate) fn cost() -> Duration {
    let (mut counters, links) = (Counters::default(), LinkCounts::default());
    let began = Instant::now();
    for round in 0..TIMES {
        let (counters, links) = (black_box(&mut counters), black_box(&links));
        count(counters, links, Duration::from_micros(u64::from(black_box(round) % 1_000)));
    }
    black_box((counters, links));
    began.elapsed() / TIMES
}

fn count(counters: &mut Counters, links: &LinkCounts, took: Duration) {
    counters.served.resolve += 1;
    // Whether anything was refused meanwhile.
    let before = counters.refused.clone();
    counters.asked.get += 1;
    counters.lookups.overlay += 1;
    counters.lookup_requests.note(&REQUESTS, 1);
    counters.resolve_times.took(took);
    counters.denied.resolve += u64::from(black_box(&before) != &counters.refused);
    let add = |counter: &AtomicU64, by: u64| {
        counter.fetch_add(by, Ordering::Relaxed);
    };
    for _ in 0..2 {
        add(&links.frames_received, 1);
        add(&links.bytes_received, 300);
        add(&links.frames_sent, 1);
        add(&links.bytes_sent, 300);
        add(&links.writes, 1);
    }
}

/// Says what share it is of what one of `hosts` does for a look-up, of which all together do so many in a second.
/// Those who are not the parent count less, so it is at most that.
pub(crate) fn show(cost: Duration, per_second: f64, hosts: f64) {
    let share = cost.as_secs_f64() * per_second * hosts;
    let verdict = if share <= BAR { "reached" } else { "MISSED" };
    println!(
        "  {:<34} {:>9} = {:.2} % of a parent's part of a look-up, bar {:.0} % {verdict}; {:.0} look-ups/s with, {:.0} without",
        "counting one",
        format!("{} ns", cost.as_nanos()),
        100.0 * share,
        100.0 * BAR,
        per_second,
        per_second / (1.0 - share)
    );
    let verdict = if BYTES_PER_PEER <= BYTES_MAX { "reached" } else { "MISSED" };
    println!(
        "  {:<34} {:>9} at most, bar {BYTES_MAX} bytes {verdict}",
        "sessions of a known peer",
        format!("{BYTES_PER_PEER} bytes")
    );
}
