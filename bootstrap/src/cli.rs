//! The command line of `callbook-bootstrap`.
//!
//! A function of its arguments, so that `callbook demo` can run it from its own executable. Text and
//! JSON come from one struct each; JSON is one document, for `serve` one line per event.
//!
//! Source: DETAILS *Commands*.

mod init;
mod output;
mod ready;
mod serving;
mod stop;
mod token;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::logs;
use crate::report::{Exit, Report};

/// The login/bootstrap server of a Callbook network: accounts, certificates, seeds.
#[derive(Debug, Parser)]
#[command(name = "callbook-bootstrap", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON instead of text.
    #[arg(long, global = true, help_heading = "Options of every command")]
    json: bool,
    /// What to log to stderr, such as `callbook_bootstrap=debug,warn` [default: warn, for `serve` info].
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "CALLBOOK_LOG",
        value_name = "FILTER"
    )]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new network: keys, network.toml, an empty account database, a token for the first node.
    Init(init::InitArgs),
    /// Serve a network in the foreground, until Ctrl-C.
    Serve(serving::ServeArgs),
    /// Tokens by which other nodes become superpeers.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Write a token: one file for one node, to be used within 24 hours.
    Create(token::CreateArgs),
}

/// Which network.
#[derive(Debug, Args)]
struct DataArgs {
    /// The server's data folder.
    #[arg(long, env = "CALLBOOK_DATA", value_name = "DIR")]
    data: PathBuf,
}

/// Runs a command line, the program's name first; returns when the command is done.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let json = args.iter().any(|argument| argument == "--json");
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if json && error.use_stderr() => {
            let text = error.render().to_string();
            let (message, _) = text.split_once("\n\nFor more information").unwrap_or((&text, ""));
            let message = message.trim().trim_start_matches("error: ");
            let hint = "callbook-bootstrap --help shows what there is";
            return Report::new("usage", message).hint(hint).exit(Exit::Usage).print(json);
        }
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // With stdout or stderr closed there is nobody to tell.
            error.print().ok();
            return exit.into();
        }
    };
    let json = cli.json;
    let quiet = if matches!(cli.command, Command::Serve(_)) { "info,libp2p_swarm=warn" } else { "warn" };
    let done = logs::start(cli.log.as_deref().unwrap_or(quiet)).and_then(|()| match cli.command {
        Command::Init(args) => init::run(&args, json),
        Command::Serve(args) => serving::run(&args, json),
        Command::Token(TokenCommand::Create(args)) => token::run(&args, json),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => report.print(json),
    }
}

/// A runtime for a command that only touches the database.
fn small_runtime() -> Result<tokio::runtime::Runtime, Report> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(machine)
}

/// The machine refused a thread or the like.
fn machine(error: std::io::Error) -> Report {
    Report::new("machine", format!("the system refused a resource: {error}"))
        .hint("check the limits for processes and open files (`ulimit -a`)")
}
