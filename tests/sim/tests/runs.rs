//! Small runs of the table's rows: one seed gives one run, and a calm network answers everything.

use std::sync::Arc;

use callbook_sim::churn::{Churn, Model, trace};
use callbook_sim::measures::OWN;
use callbook_sim::network::trips::Trips;
use callbook_sim::oracle::Wanted;
use callbook_sim::report::{Outcome, Value};
use callbook_sim::scenario::stage::{Plan, Stage};
use callbook_sim::scenario::{Options, row};
use callbook_sim::time::{DAY, HOUR, MINUTE};

fn run(letter: &str, seed: u64, real: bool) -> Outcome {
    run_with(letter, seed, real, Options::default())
}

fn run_with(letter: &str, seed: u64, real: bool, options: Options) -> Outcome {
    let options = Options {
        seed,
        peers: Some(60),
        superpeers: Some(12),
        warm_up: Some(5 * MINUTE),
        measured: Some(4 * MINUTE),
        real: Some(real),
        ..options
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

/// Goal: sessions that were measured, and those that are alike, can be put in. Method: a sample of sessions between half a
/// minute and five, correlated; peers stop as often as it says, most look-ups are right, and one seed gives one run.
#[test]
fn measured_and_correlated_sessions_can_be_run() {
    let run = || {
        let options = Options { seed: 6, superpeers: Some(24), real: Some(false), ..Options::default() };
        let mut plan = Plan::new(row("D").expect("a row"), &options, 100);
        let sample: Vec<f64> = (30..=300).map(f64::from).collect();
        let churn =
            Churn { up: Model::measured(sample.clone()), down: Model::measured(sample), ..Churn::brutal() };
        plan.settings.churn = Some(Churn { always_on: 0.1, correlation: 0.7, ..churn });
        plan.settings.workload.look_up_every = Some(MINUTE);
        plan.warm_up = 8 * MINUTE;
        plan.measured = 8 * MINUTE;
        let mut stage = Stage::open(plan);
        stage.warm_up();
        stage.measure();
        let stopped = stage.world.measures.stopped;
        (stopped, stage.users().first(), stage.world.trace())
    };
    let (stopped, (right, all), trace) = run();
    // Nine tenths of 100 peers, once in 330 s each on average.
    assert!((100..165).contains(&stopped), "{stopped}");
    assert!(all > 300 && right * 10 > all * 9, "{right} of {all}");
    assert_eq!(run().2, trace);
}

/// Goal: crashes are of both kinds. Method: the share of stops that nobody is told of, by default and as it was chosen.
#[test]
fn some_crashes_are_a_process_and_others_a_machine() {
    let silent = |machines| {
        let outcome = run_with("D", 5, false, Options { machines, ..Options::default() });
        let (silent, all) = share(&outcome, "stops without a word");
        assert!(all > 50, "{all}");
        silent as f64 / all as f64
    };
    assert!((0.35..0.65).contains(&silent(None)));
    assert_eq!((silent(Some(0.0)), silent(Some(1.0))), (0.0, 1.0));
}

/// Goal: what a replay prints is the run that failed. Method: a turmoil with and without a log of its middle.
#[test]
fn a_log_does_not_change_what_it_tells_of() {
    let turmoil = |log| {
        let options = Options { seed: 1, log, ..Options::default() };
        (row("turmoil").expect("a row").run)(&options).trace
    };
    assert_eq!(turmoil(None), turmoil(Some((5 * MINUTE, 6 * MINUTE))));
}

/// Goal: files of churn and of round trips are used. Method: ten peers that come one after the other, and one
/// that leaves again, on two machines that are far apart.
#[test]
fn peers_come_and_go_as_a_file_says() {
    let joins: String = (0..10).map(|peer| format!("{peer},{peer},join\n")).collect();
    let changes = trace::read(&format!("{joins}400,3,leave\n")).expect("a good file");
    let options = Options {
        superpeers: Some(4),
        warm_up: Some(5 * MINUTE),
        measured: Some(5 * MINUTE),
        changes: Some(changes.into()),
        trips: Some(Arc::new(Trips::read("0,1,300").expect("a good file"))),
        ..Options::default()
    };
    let outcome = (row("calm").expect("a row").run)(&options);
    let number = |what: &str| match outcome.figures.iter().find(|figure| figure.what == what)?.value {
        Value::Number(value, _) => Some(value),
        Value::Share(..) => None,
    };
    assert_eq!(outcome.peers, 11);
    let there = number("superpeers there").unwrap_or(0.0) + number("children there").unwrap_or(0.0);
    assert!((10.0..11.0).contains(&there), "{there}");
    // Once of eleven, in five minutes.
    assert!(number("stops").is_some_and(|stops| (stops * 300.0 - 1.0).abs() < 0.01));
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

/// Goal: who is away when a run begins can be found, unless its record has ended. Method: churn with absences of some
/// hours, then of a hundred days, of which few have lasted for less than a record; each name of who is away is asked
/// for before any of them has come back.
#[test]
fn names_of_those_who_are_away_from_the_beginning_are_found_while_their_records_hold() {
    let away = |session, absence| {
        let churn = Churn::exponential(session, absence);
        let options = Options { seed: 1, superpeers: Some(12), real: Some(false), ..Options::default() };
        let mut plan = Plan::new(row("B").expect("a row"), &options, 400);
        plan.settings.churn = Some(Churn { always_on: 0.2, ..churn });
        plan.settings.workload.look_up_every = None;
        let mut stage = Stage::open(plan);
        stage.world.measure();
        let away: Vec<u32> = (1..400).filter(|name| !stage.world.runs(*name)).collect();
        let held = away.iter().filter(|name| stage.world.is_registered(**name)).count();
        for name in &away {
            let asker = stage.world.somebody().expect("some are there");
            stage.world.look_up(asker, Wanted::Of(*name), OWN, false);
        }
        stage.run_for(MINUTE);
        let told = &stage.world.measures.groups[usize::from(OWN)];
        assert_eq!(told.existing.right, held as u64, "{:?}", told.existing);
        assert_eq!(told.absent.right, (away.len() - held) as u64, "{:?}", told.absent);
        (held, away.len())
    };
    let (held, all) = away(10 * DAY, 10 * HOUR);
    assert!(held == all && (5..30).contains(&all), "{held} of {all}");
    let (held, all) = away(100 * DAY, 100 * DAY);
    // A record lasts for 84 hours from its signing, up to 12 before its holder went.
    assert!((120..200).contains(&all) && (2..12).contains(&held), "{held} of {all}");
}
