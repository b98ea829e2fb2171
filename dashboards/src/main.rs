//! `callbook-dashboards`: writes the files, or verifies everything live.

use std::fs;
use std::process::ExitCode;

use callbook_dashboards::files::{files, folder};
use callbook_dashboards::verify;
use clap::{Parser, Subcommand};

/// Generates and verifies what is under dashboards/.
#[derive(Debug, Parser)]
#[command(name = "callbook-dashboards", version, about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write every file under dashboards/.
    Generate,
    /// Run a network that churns by script under a real Prometheus; 0 only if every panel is answered and
    /// the churn figures are right.
    Verify(verify::Options),
}

#[expect(clippy::print_stderr, reason = "a command line's errors")]
fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Generate => generate(),
        Task::Verify(options) => verify::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn generate() -> Result<(), String> {
    for file in files() {
        let path = folder().join(&file.path);
        let failed = |error| format!("{}: {error}", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, file.text).map_err(failed)?;
    }
    Ok(())
}
