//! `callbook-sim`: runs the table's rows, or one network, and shows what came of it.

#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::print_stderr, reason = "and says on the terminal what went wrong")]

mod cli;

use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use callbook_sim::baseline;
use callbook_sim::report::{self, Outcome};
use callbook_sim::scenario::{self, Options, Row};
use clap::Parser;

use crate::cli::{Arguments, Baselines, Form, Task};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.task {
        Task::Run { row, ref options, form } => {
            let Some(row) = scenario::row(&row) else { return unknown(&row) };
            match attempt(row, &options.to_options()) {
                Some(outcome) => {
                    show(&[outcome], form, true);
                    ExitCode::SUCCESS
                }
                None => ExitCode::FAILURE,
            }
        }
        Task::Table { ref rows, ref options, form } => table(rows, &options.to_options(), form),
        Task::Baselines(ref chosen) => baselines(chosen),
    }
}

/// Runs all models, and says on the terminal which are done.
fn baselines(chosen: &Baselines) -> ExitCode {
    let settings = baseline::Settings::literature(chosen.seed, chosen.peers, chosen.hours);
    let settings = if chosen.streams { settings.over_streams() } else { settings };
    let quiet = chosen.json || !std::io::stderr().is_terminal();
    let rows = baseline::run_all(&settings, |row| {
        if !quiet {
            eprintln!("{} done", row.name);
        }
    });
    if chosen.json {
        println!("{:#}", baseline::json(&rows, settings.seed, settings.peers));
    } else {
        print!("{}", baseline::table(&rows));
    }
    ExitCode::SUCCESS
}

fn unknown(letter: &str) -> ExitCode {
    let known: Vec<&str> = scenario::ROWS.iter().map(|row| row.letter).collect();
    eprintln!("there is no row {letter}; there are {}", known.join(", "));
    ExitCode::from(2)
}

/// Runs rows one after the other, or as many at a time as were asked for.
fn table(letters: &[String], options: &Options, form: Form) -> ExitCode {
    let mut rows: Vec<&'static Row> = Vec::new();
    for letter in letters {
        match scenario::row(letter) {
            Some(row) => rows.push(row),
            None => return unknown(letter),
        }
    }
    if rows.is_empty() {
        rows = scenario::ROWS.to_vec();
    }
    let mut outcomes = Vec::new();
    let mut broken = false;
    for row in rows {
        match attempt(row, options) {
            Some(outcome) => outcomes.push(outcome),
            None => broken = true,
        }
    }
    show(&outcomes, form, false);
    // A quick run fails only on what is broken, not on figures of a network that is too small for them.
    let holds = options.quick || outcomes.iter().all(Outcome::holds);
    if holds && !broken { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a row; a broken invariant says how to see it again.
fn attempt(row: &'static Row, options: &Options) -> Option<Outcome> {
    let outcome = catch_unwind(AssertUnwindSafe(|| (row.run)(options)));
    if options.progress {
        eprintln!();
    }
    outcome
        .inspect_err(|_| {
            let replay = cli::replay(row, options);
            eprintln!(
                "row {} is broken, seed {}, commit {}; replay: {replay}",
                row.letter,
                options.seed,
                cli::commit()
            );
        })
        .ok()
}

fn show(outcomes: &[Outcome], form: Form, whole: bool) {
    match form {
        Form::Json => println!("{:#}", report::json(outcomes)),
        Form::Csv => print!("{}", report::csv(outcomes)),
        Form::Text if whole => outcomes.iter().for_each(|outcome| print!("{}", report::text(outcome))),
        Form::Text => print!("{}", report::table(outcomes)),
    }
}
