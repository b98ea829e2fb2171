//! Arguments of `callbook-sim`. *Not here*: what they mean for a network (`scenario`).

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use callbook_sim::churn::trace;
use callbook_sim::network::trips::Trips;
use callbook_sim::scenario::{Options, Row};
use callbook_sim::time::{MINUTE, Micros, SECOND};
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
        #[command(flatten)]
        log: Log,
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
        /// Rows that run at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        form: Form,
    },
    /// Run many small networks in which everything fails at random, each from its own seed; fails if a
    /// promise is broken, and says how to see it again.
    Soak(Soak),
    /// Run one seed of a soak again and print everything that happens.
    Replay {
        /// The seed.
        seed: u64,
        /// Which row.
        #[arg(long, default_value = "turmoil")]
        row: String,
        /// Print from this second on.
        #[arg(long, default_value_t = 0.0)]
        from: f64,
        /// Print up to this second.
        #[arg(long)]
        until: Option<f64>,
        /// Print the way of each answer; answers are longer then, so it may be another run.
        #[arg(long)]
        way: bool,
    },
    /// Run row B at growing sizes and fit how costs per peer grow.
    Scale(Scale),
    /// Run other people's directories as models in row A's setting and show their figures.
    Baselines(Baselines),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Soak {
    /// Which row.
    #[arg(long, default_value = "turmoil")]
    pub(crate) row: String,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) from: u64,
    /// How many seeds; without a number until the time is up.
    #[arg(long)]
    pub(crate) count: Option<usize>,
    /// Begin no run after so many minutes; without count and time a hundred seeds.
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
    /// Seeds from the name of this commit instead, as CI takes them: `HEAD`, or any text.
    #[arg(long, conflicts_with = "from")]
    pub(crate) of: Option<String>,
    /// Also the seeds of this file, one at the beginning of each line.
    #[arg(long)]
    pub(crate) seeds: Option<PathBuf>,
    /// Networks that run at a time.
    #[arg(long, default_value_t = 2)]
    pub(crate) jobs: usize,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Scale {
    /// Decides everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Sizes to run, in peers that are registered.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    pub(crate) peers: Vec<u32>,
    /// Minutes measured.
    #[arg(long, default_value_t = 60)]
    pub(crate) minutes: u64,
    /// Minutes before that.
    #[arg(long, default_value_t = 30)]
    pub(crate) warm_up: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub(crate) form: Form,
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
    /// Share of crashes by churn that take the machine along, in silence; else a process ends: its connections are closed and
    /// dials refused.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    machines: Option<f64>,
    /// Every row at a tenth of its size; a table fails only if something is broken.
    #[arg(long)]
    quick: bool,
    /// Peers come and go as this file says, instead of the row's churn: `seconds,peer,join|leave` a line.
    #[arg(long, value_name = "FILE")]
    churn: Option<PathBuf>,
    /// Round trips from this file, instead of places in a plane: `from,to,milliseconds` a line.
    #[arg(long, value_name = "FILE")]
    round_trips: Option<PathBuf>,
    /// Draw each run into a file of this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) plots: Option<PathBuf>,
    /// The pictures' form.
    #[arg(long, value_enum, default_value_t = Picture::Svg)]
    pub(crate) picture: Picture,
    /// Write the figures to this file too, as OpenMetrics.
    #[arg(long, value_name = "FILE")]
    pub(crate) openmetrics: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Log {
    /// Print everything that happens.
    #[arg(long)]
    log: bool,
    /// Print the way of each answer; answers are longer then, so it may be another run.
    #[arg(long, requires = "log")]
    way: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Text,
    Json,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    Svg,
    Png,
}

impl Picture {
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }
}

/// A share that a user typed.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| String::from("a number from 0 to 1 is expected"))
}

/// Reads a file of the user's.
fn read<T, E: Display>(file: &Path, read: impl Fn(&str) -> Result<T, E>) -> Result<T, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    read(&text).map_err(|error| format!("{}, {error}", file.display()))
}

impl Chosen {
    /// What was chosen; the files are read.
    ///
    /// # Errors
    /// The user's: a file can't be read or is not of its shape.
    pub(crate) fn to_options(&self) -> Result<Options, String> {
        let changes = self.churn.as_deref().map(|file| read(file, trace::read)).transpose()?;
        let trips = self.round_trips.as_deref().map(|file| read(file, Trips::read)).transpose()?;
        Ok(Options {
            seed: self.seed,
            quick: self.quick,
            peers: self.peers,
            superpeers: self.superpeers,
            measured: self.minutes.map(|minutes| minutes * MINUTE),
            warm_up: self.warm_up.map(|minutes| minutes * MINUTE),
            real: self.real,
            machines: self.machines,
            changes: changes.map(Into::into),
            trips: trips.map(Arc::new),
            ..Options::default()
        })
    }
}

impl Log {
    /// Between which moments, and whether with ways.
    pub(crate) fn chosen(&self) -> (Option<(Micros, Micros)>, bool) {
        (self.log.then_some((0, Micros::MAX)), self.way)
    }
}

/// Seconds of virtual time that a user typed.
pub(crate) fn moment(seconds: f64) -> Micros {
    (seconds.max(0.0) * SECOND as f64) as Micros
}

/// The command that runs a row again, with a log.
pub(crate) fn replay(row: &Row, options: &Options) -> String {
    let mut line = String::from("cargo run --release --locked -p callbook-sim -- ");
    let own = [options.peers, options.superpeers].iter().any(Option::is_some)
        || [options.measured, options.warm_up].iter().any(Option::is_some)
        || options.real.is_some()
        || options.machines.is_some()
        || options.quick;
    if row.letter == "turmoil" && !own {
        line.push_str(&format!("replay {}", options.seed));
        return line;
    }
    line.push_str(&format!("run {} --seed {}", row.letter, options.seed));
    let mut add = |word: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" {word} {value}"));
        }
    };
    add("--peers", options.peers.map(|peers| peers.to_string()));
    add("--superpeers", options.superpeers.map(|superpeers| superpeers.to_string()));
    add("--minutes", options.measured.map(|time| (time / MINUTE).to_string()));
    add("--warm-up", options.warm_up.map(|time| (time / MINUTE).to_string()));
    add("--machines", options.machines.map(|share| share.to_string()));
    add("--real", options.real.map(|real| real.to_string()));
    line.push_str(if options.quick { " --quick --log" } else { " --log" });
    line
}

/// What git calls a revision, the commit that is checked out for `HEAD`; nothing where there is no git.
pub(crate) fn revision(of: &str) -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--verify", "--quiet", of]).output();
    let text = output.ok().filter(|output| output.status.success())?.stdout;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// The commit that is checked out, if it can be found out.
pub(crate) fn commit() -> String {
    revision("HEAD").map_or_else(|| String::from("unknown"), |full| full.chars().take(10).collect())
}
