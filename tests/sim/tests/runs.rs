//! Small runs of the table's rows: one seed gives one run, and a calm network answers everything.

use callbook_sim::report::{Outcome, Value};
use callbook_sim::scenario::{Options, row};
use callbook_sim::time::MINUTE;

fn run(letter: &str, seed: u64, real: bool) -> Outcome {
    let options = Options {
        seed,
        peers: Some(60),
        superpeers: Some(12),
        warm_up: Some(5 * MINUTE),
        measured: Some(4 * MINUTE),
        real: Some(real),
        ..Options::default()
    };
    (row(letter).expect("a row").run)(&options)
}

fn share(outcome: &Outcome, what: &str) -> (u64, u64) {
    let figure = outcome.figures.iter().find(|figure| figure.what == what).expect("a figure");
    match figure.value {
        Value::Share(of, all) => (of, all),
        Value::Number(..) => panic!("{what} is no share"),
    }
}

/// Goal: a run can be replayed. Method: a network in which peers come and go all the time, twice from one
/// seed and once from another; the hashes over all events, and the figures.
#[test]
fn one_seed_gives_one_run() {
    let (one, again, other) = (run("D", 1, false), run("D", 1, false), run("D", 2, false));
    assert_eq!(one.trace, again.trace);
    assert_eq!(share(&one, "look-ups right"), share(&again, "look-ups right"));
    assert_ne!(one.trace, other.trace);
}

/// Goal: nothing that the simulation itself does loses an answer. Method: nobody comes or goes, with real
/// signatures and the codec, then without.
#[test]
fn a_calm_network_answers_everything_right() {
    for real in [true, false] {
        let outcome = run("calm", 3, real);
        let (right, all) = share(&outcome, "look-ups right");
        assert!(all > 10 && right == all, "{right} of {all}: {:?}", outcome.remarks);
        assert!(outcome.holds(), "{:?}", outcome.figures);
    }
}

/// Goal: churn is what it says. Method: in a network of 1.4 minutes' sessions peers start and stop all the
/// time, and most look-ups are right even so.
#[test]
fn a_network_under_churn_goes_on_answering() {
    let outcome = run("D", 4, false);
    let number = |what: &str| {
        let figure = outcome.figures.iter().find(|figure| figure.what == what).expect("a figure");
        if let Value::Number(value, _) = figure.value { value } else { 0.0 }
    };
    // 120 peers, half of them there, each for 121 s on average.
    assert!((0.3..0.7).contains(&number("stops")), "{}", number("stops"));
    let (right, all) = share(&outcome, "look-ups right");
    assert!(all > 100 && right * 10 > all * 8, "{right} of {all}");
}
