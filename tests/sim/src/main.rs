//! `callbook-sim`: runs the table's rows, or one network, and shows what came of it.

#![expect(clippy::print_stdout, reason = "a program that prints figures")]

mod bars;
mod cli;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callbook_sim::baseline;
use callbook_sim::report::openmetrics::openmetrics;
use callbook_sim::report::{self, Outcome, plot};
use callbook_sim::scale;
use callbook_sim::scenario::{self, Options, Row};
use callbook_sim::soak::{self, Ran};
use callbook_sim::time::{MINUTE, Micros};
use clap::Parser;

use crate::bars::Bars;
use crate::cli::{Arguments, Baselines, Chosen, Form, Scale, Soak, Task};

/// Seeds of a soak that names neither count nor time.
const SEEDS: usize = 100;

fn main() -> ExitCode {
    let bars = Bars::on_terminal();
    soak::keep_panics();
    match Arguments::parse().task {
        Task::Run { row, options, log, form } => {
            let (log, way) = log.chosen();
            read(&options, &bars, |read| {
                run(&row, Options { log, way, ..read }, (form, Some(&options)), &bars)
            })
        }
        Task::Replay { seed, row, from, until, way } => {
            let log = Some((cli::moment(from), until.map_or(Micros::MAX, cli::moment)));
            run(&row, Options { seed, log, way, ..Options::default() }, (Form::Text, None), &bars)
        }
        Task::Table { rows, options, jobs, form } => {
            read(&options, &bars, |read| table(&rows, (&read, jobs), (form, &options), &bars))
        }
        Task::Scale(chosen) => scale(&chosen, &bars),
        Task::Soak(chosen) => soak_all(&chosen, &bars),
        Task::Baselines(chosen) => baselines(&chosen, &bars),
    }
}

/// Goes on with what was chosen, or says what is wrong with a file.
fn read(chosen: &Chosen, bars: &Bars, go_on: impl FnOnce(Options) -> ExitCode) -> ExitCode {
    chosen.to_options().map_or_else(
        |error| {
            bars.say(&error);
            ExitCode::from(2)
        },
        go_on,
    )
}

/// Draws runs, if they are to be drawn.
fn draw(outcomes: &[Outcome], chosen: &Chosen, bars: &Bars) -> bool {
    let Some(folder) = &chosen.plots else { return true };
    let made = std::fs::create_dir_all(folder).map_err(|error| error.to_string());
    let drawn = made.and_then(|()| {
        outcomes.iter().try_for_each(|outcome| {
            let file = plot::file_of(outcome, folder, chosen.picture.ending());
            plot::draw(outcome, &file).map_err(|error| error.to_string())?;
            bars.say(&format!("drawn: {}", file.display()));
            Ok(())
        })
    });
    drawn.inspect_err(|error| bars.say(&format!("{}: {error}", folder.display()))).is_ok()
}

/// Writes the figures for Prometheus, if they are wanted.
fn export(outcomes: &[Outcome], chosen: &Chosen, bars: &Bars) -> bool {
    let Some(file) = &chosen.openmetrics else { return true };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let written = std::fs::write(file, openmetrics(outcomes, now));
    written.inspect_err(|error| bars.say(&format!("{}: {error}", file.display()))).is_ok()
}

/// Pictures and figures go into files, if they are wanted.
fn keep(outcomes: &[Outcome], chosen: &Chosen, bars: &Bars) -> bool {
    let drawn = draw(outcomes, chosen, bars);
    export(outcomes, chosen, bars) && drawn
}

/// The row of a letter; says which there are if there is none.
fn find(letter: &str, bars: &Bars) -> Result<&'static Row, ExitCode> {
    scenario::row(letter).ok_or_else(|| {
        let known: Vec<&str> = scenario::ROWS.iter().map(|row| row.letter).collect();
        bars.say(&format!("there is no row {letter}; there are {}", known.join(", ")));
        ExitCode::from(2)
    })
}

fn run(letter: &str, options: Options, (form, chosen): (Form, Option<&Chosen>), bars: &Bars) -> ExitCode {
    let row = match find(letter, bars) {
        Ok(row) => row,
        Err(code) => return code,
    };
    match attempt(row, &options, bars) {
        Ok(outcome) => {
            let outcomes = [outcome];
            show(&outcomes, form, true);
            let kept = chosen.is_none_or(|chosen| keep(&outcomes, chosen, bars));
            if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Runs a row with its bar; a broken promise says how to see it again.
fn attempt(row: &'static Row, options: &Options, bars: &Bars) -> Ran {
    // A log and a bar would write over each other.
    let progress = if options.log.is_some() { Default::default() } else { bars.progress() };
    let began = Instant::now();
    let ran = soak::attempt(row, &Options { progress, ..options.clone() });
    bars.done(row.letter);
    bars.say(&format!("row {} took {:.0} s", row.letter, began.elapsed().as_secs_f64()));
    if let Err(broken) = &ran {
        bars.say(&format!(
            "broken: row {}, seed {}, commit {}\n  {}\n  again: {}",
            row.letter,
            options.seed,
            cli::commit(),
            broken.why,
            cli::replay(row, options)
        ));
    }
    ran
}

/// Runs rows, some at a time.
fn table(
    letters: &[String],
    (options, jobs): (&Options, usize),
    (form, chosen): (Form, &Chosen),
    bars: &Bars,
) -> ExitCode {
    let named: Result<Vec<&'static Row>, ExitCode> =
        letters.iter().map(|letter| find(letter, bars)).collect();
    let rows = match named {
        Ok(rows) if rows.is_empty() => scenario::ROWS.to_vec(),
        Ok(rows) => rows,
        Err(code) => return code,
    };
    let ran = soak::all(&rows, jobs, |row| attempt(row, options, bars), |_, _| {}, |_| false);
    let outcomes: Vec<Outcome> = ran.iter().filter_map(|ran| ran.as_ref().ok().cloned()).collect();
    show(&outcomes, form, false);
    for (row, ran) in rows.iter().zip(&ran).filter(|_| !options.quick) {
        if ran.as_ref().is_ok_and(|outcome| !outcome.holds()) {
            let (commit, again) = (cli::commit(), cli::replay(row, options));
            bars.say(&format!("row {} does not hold at commit {commit}; again: {again}", row.letter));
        }
    }
    // A quick run fails only on what is broken, not on figures of a network that is too small for them.
    let holds = options.quick || outcomes.iter().all(Outcome::holds);
    let holds = keep(&outcomes, chosen, bars) && holds;
    if holds && outcomes.len() == rows.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs many seeds of a row.
fn soak_all(chosen: &Soak, bars: &Bars) -> ExitCode {
    let row = match find(&chosen.row, bars) {
        Ok(row) => row,
        Err(code) => return code,
    };
    let mut seeds = match chosen.seeds.as_deref().map(std::fs::read_to_string) {
        None => Vec::new(),
        Some(Ok(text)) => soak::seeds_in(&text),
        Some(Err(error)) => {
            bars.say(&format!("no seeds in that file: {error}"));
            return ExitCode::from(2);
        }
    };
    let count = chosen.count.unwrap_or(if chosen.minutes.is_some() { 1_000_000 } else { SEEDS });
    if let Some(of) = &chosen.of {
        let name = cli::revision(of).unwrap_or_else(|| of.clone());
        seeds.extend(soak::seeds_of(&name, count));
    } else {
        seeds.extend((chosen.from..).take(count));
    }
    let bar = bars.count("networks", seeds.len() as u64);
    let limit = chosen.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let enough = |began: Instant| limit.is_some_and(|limit| began.elapsed() >= limit);
    let one = |seed: &u64| {
        let options = Options { seed: *seed, ..Options::default() };
        let ran = soak::attempt(row, &options);
        if let Err(broken) = &ran {
            let again = cli::replay(row, &options);
            bars.say(&format!("seed {seed}: {}\n  again: {again}", broken.why));
        }
        ran
    };
    let ran = soak::all(&seeds, chosen.jobs, one, |_, _| bar.inc(1), enough);
    bar.finish_and_clear();
    let broken = ran.iter().filter(|ran| ran.is_err()).count();
    println!("{} networks, commit {}: {broken} broken", ran.len(), cli::commit());
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs row B at growing sizes, one after the other.
fn scale(chosen: &Scale, bars: &Bars) -> ExitCode {
    let mut points = Vec::new();
    for peers in &chosen.peers {
        let row = scale::ROW;
        let options = scale::options(chosen.seed, *peers, (chosen.warm_up * MINUTE, chosen.minutes * MINUTE));
        match attempt(row, &options, bars) {
            Ok(outcome) => points.push(scale::Point::of(&outcome)),
            Err(_) => return ExitCode::FAILURE,
        }
        bars.say(&format!("{peers} peers done"));
    }
    match chosen.form {
        Form::Text => print!("{}", scale::text(&points)),
        Form::Csv => print!("{}", scale::csv(&points)),
        Form::Json => println!("{:#}", scale::json(&points, chosen.seed)),
    }
    ExitCode::SUCCESS
}

/// Runs all models, and says on the terminal how many are done.
fn baselines(chosen: &Baselines, bars: &Bars) -> ExitCode {
    let settings = baseline::Settings::literature(chosen.seed, chosen.peers, chosen.hours);
    let settings = if chosen.streams { settings.over_streams() } else { settings };
    let bar = bars.count("models", baseline::count(&settings));
    let rows = baseline::run_all(&settings, |_| bar.inc(1));
    bar.finish_and_clear();
    if chosen.json {
        println!("{:#}", baseline::json(&rows, settings.seed, settings.peers));
    } else {
        print!("{}", baseline::table(&rows));
    }
    ExitCode::SUCCESS
}

fn show(outcomes: &[Outcome], form: Form, whole: bool) {
    match form {
        Form::Json => println!("{:#}", report::json(outcomes)),
        Form::Csv => print!("{}", report::csv(outcomes)),
        Form::Text if whole => outcomes.iter().for_each(|outcome| print!("{}", report::text(outcome))),
        Form::Text => print!("{}", report::table(outcomes)),
    }
}
