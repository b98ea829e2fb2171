//! Arguments of `callbook-sim`. *Not here*: what they mean for a network (`scenario`).

use std::io::IsTerminal;
use std::process::Command;

use callbook_sim::scenario::{Options, Row};
use callbook_sim::time::MINUTE;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Simulates whole networks of the shipped overlay, from one seed.
#[derive(Debug, Parser)]
#[command(name = "callbook-sim", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run one row and show all its figures.
    Run {
        /// The row's letter.
        row: String,
        #[command(flatten)]
        options: Chosen,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        form: Form,
    },
    /// Run rows of the table and show figure and bar side by side; fails if a bar doesn't hold.
    Table {
        /// The rows' letters; all if none is given.
        rows: Vec<String>,
        #[command(flatten)]
        options: Chosen,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        form: Form,
    },
    /// Run other people's directories as models in row A's setting and show their figures.
    Baselines(Baselines),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Baselines {
    /// Decides everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Peers, of whom half are there at a time.
    #[arg(long, default_value_t = 1_024)]
    pub(crate) peers: u32,
    /// Hours of virtual time, of which the second half counts.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) hours: f64,
    /// Charge for connections as over QUIC, instead of bare datagrams.
    #[arg(long)]
    pub(crate) streams: bool,
    /// Print a JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Chosen {
    /// Decides everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Peers, instead of the row's own number.
    #[arg(long)]
    peers: Option<u32>,
    /// Superpeers, instead of the row's own number.
    #[arg(long)]
    superpeers: Option<u32>,
    /// Minutes measured, instead of the row's own time.
    #[arg(long)]
    minutes: Option<u64>,
    /// Minutes before that, instead of the row's own time.
    #[arg(long)]
    warm_up: Option<u64>,
    /// Whether signatures are real and frames pass through the codec; by itself up to 1,000 peers.
    #[arg(long)]
    real: Option<bool>,
    /// Every row at a tenth of its size; a table fails only if something is broken.
    #[arg(long)]
    quick: bool,
    /// Print everything that happens.
    #[arg(long)]
    log: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Text,
    Json,
    Csv,
}

impl Chosen {
    pub(crate) fn to_options(&self) -> Options {
        Options {
            seed: self.seed,
            quick: self.quick,
            peers: self.peers,
            superpeers: self.superpeers,
            measured: self.minutes.map(|minutes| minutes * MINUTE),
            warm_up: self.warm_up.map(|minutes| minutes * MINUTE),
            progress: std::io::stderr().is_terminal() && !self.log,
            log: self.log,
            real: self.real,
        }
    }
}

/// The command that runs a row again, with a log.
pub(crate) fn replay(row: &Row, options: &Options) -> String {
    let mut line =
        format!("cargo run --release --locked -p callbook-sim -- run {} --seed {}", row.letter, options.seed);
    let mut add = |word: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" {word} {value}"));
        }
    };
    add("--peers", options.peers.map(|peers| peers.to_string()));
    add("--superpeers", options.superpeers.map(|superpeers| superpeers.to_string()));
    add("--minutes", options.measured.map(|time| (time / MINUTE).to_string()));
    add("--warm-up", options.warm_up.map(|time| (time / MINUTE).to_string()));
    add("--real", options.real.map(|real| real.to_string()));
    line.push_str(if options.quick { " --quick --log" } else { " --log" });
    line
}

/// The commit that this is built from, if it can be found out.
pub(crate) fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or_else(|| String::from("unknown"), |text| String::from_utf8_lossy(&text).trim().to_owned())
}
