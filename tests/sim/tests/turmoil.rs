//! Turmoil over the committed seeds: everything fails at random, then nothing, and all has to be well.
//!
//! CI runs twenty seeds more, others for each commit: `callbook-sim soak --of HEAD --count 20`. *Not here*: what has
//! to hold (`scenario::turmoil`).

use callbook_sim::scenario::{Options, row};
use callbook_sim::soak::seeds_in;

/// Seeds that found a fault once.
const FOUND: &str = include_str!("../seeds.txt");

/// Goal: what was mended stays mended. Method: each seed has its own network, faults and quiet time; a
/// broken promise panics and names its seed.
#[test]
fn nothing_acknowledged_is_lost_and_all_is_well_after_the_quiet_time() {
    let seeds = seeds_in(FOUND);
    assert!(!seeds.is_empty(), "some are committed");
    for seed in seeds {
        let outcome = (row("turmoil").expect("a row").run)(&Options { seed, ..Options::default() });
        assert!(outcome.figures.iter().any(|figure| figure.what == "look-ups right, all along"));
    }
}
