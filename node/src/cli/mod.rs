//! The command line: which command does what, and how the process ends.
//!
//! Everything but `up`, `demo`, `census`, `config` and `completions` is one request over the local API (`client`).

pub(crate) mod args;
pub(crate) mod client;
mod commands;
pub(crate) mod output;
mod password;
pub(crate) mod text;

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config};
use crate::exit::{Code, INTERRUPTED};
use crate::problem::{Outcome, Problem};
use crate::{census, daemon, demo, top};
use args::{Cli, Command, ConfigCommand};
use client::Client;
use output::Printer;

/// Runs the command line `arguments` (with the program's name first).
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let parsed = Cli::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches).map(|cli| (cli, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        // Help and version come this way too; clap knows which stream and code each wants.
        Err(error) if json && error.use_stderr() => {
            let text = error.render().to_string();
            let (message, _) = text.split_once("\n\nFor more information").unwrap_or((&text, ""));
            let message = message.trim().trim_start_matches("error: ");
            let hint = "callbook help shows the commands, callbook help COMMAND what one takes";
            Printer { json }.problem(&Problem::new(Code::Usage, message).hint(hint));
            return ExitCode::from(Code::Usage.exit());
        }
        Err(error) => {
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Code::Usage.exit()));
        }
    };
    if let Command::Bootstrap { arguments } = cli.command {
        let program = OsString::from("callbook-bootstrap");
        return callbook_bootstrap::cli::run(std::iter::once(program).chain(arguments));
    }
    let printer = Printer { json: cli.global.json };
    let outcome = config::load(&args::given(&cli, &matches), cli.global.config.as_deref())
        .and_then(|config| dispatch(cli.command, config, printer));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            printer.problem(&problem);
            ExitCode::from(problem.exit)
        }
    }
}

fn dispatch(command: Command, config: Config, printer: Printer) -> Outcome<u8> {
    let daemon = matches!(command, Command::Up { .. });
    start_logs(config.log.as_deref(), if daemon { "info,libp2p_swarm=warn" } else { "warn" })?;
    match command {
        Command::Up { leave_with_stdin, .. } => daemon::run(&config, printer, leave_with_stdin).map(|()| 0),
        Command::Demo(flags) => {
            let folder = config.data_named.then(|| config.data.clone());
            demo::run(&flags, folder, printer)
        }
        Command::Census { flags, command } => census::run(&flags, command.as_ref(), &config, printer),
        Command::Config { command: ConfigCommand::Show { origin, .. } } => {
            commands::config_show(&config, origin, printer);
            Ok(0)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "callbook", &mut io::stdout());
            Ok(0)
        }
        Command::Down => ask(commands::down(Client::new(&config), printer)),
        Command::Status => ask(commands::status(Client::new(&config), printer)),
        Command::Peers => ask(commands::peers(Client::new(&config), printer)),
        Command::Ui => ask(commands::ui(Client::new(&config), printer)),
        Command::Top => ask(top::top(Client::new(&config), printer)),
        Command::Enrol(flags) => {
            let password = password::chosen(flags.password_file.as_deref())?;
            ask(commands::account(Client::new(&config), "/v1/enrol", flags, password, printer))
        }
        Command::Login(flags) => {
            let password = password::known(flags.password_file.as_deref())?;
            ask(commands::account(Client::new(&config), "/v1/login", flags, password, printer))
        }
        Command::Logout { name, local } => ask(commands::logout(Client::new(&config), name, local, printer)),
        Command::Register(flags) => ask(commands::register(Client::new(&config), flags, printer)),
        Command::Lookup(flags) => ask(commands::lookup(Client::new(&config), flags, printer)),
        Command::Watch { name, presence_interval } => {
            ask(commands::watch(Client::new(&config), name, presence_interval, printer))
        }
        Command::Wait { condition, timeout } => {
            ask(commands::wait(Client::new(&config), condition, timeout, printer))
        }
        Command::Bootstrap { .. } => Err(Problem::new(Code::Internal, "handled above")),
    }
}

/// Runs a client command until it ends or Ctrl-C ends it.
fn ask(command: impl Future<Output = Outcome<u8>>) -> Outcome<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::new(Code::Failed, format!("no runtime: {error}")))?;
    let code = runtime.block_on(async {
        tokio::select! {
            outcome = command => outcome,
            _ = tokio::signal::ctrl_c() => Ok(INTERRUPTED),
        }
    });
    runtime.shutdown_background();
    code
}

fn start_logs(filter: Option<&str>, default: &str) -> Outcome<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(default)).map_err(|error| {
        Problem::new(Code::Usage, format!("that is no log filter: {error}"))
            .hint("write a level (error, warn, info, debug, trace), or target=level, separated by commas")
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .finish();
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Problem::new(Code::Internal, format!("logs were started twice: {error}")))
}
