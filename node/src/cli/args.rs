//! The command line: one definition for parsing, help and completions.

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Parser, Subcommand, ValueEnum};

use crate::config::{Layered, Origin};

/// Turns a name into the addresses where its owner is reachable now, without a central server.
#[derive(Debug, Parser)]
#[command(name = "callbook", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Data folder: says which daemon is meant
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "CALLBOOK_DATA",
        value_name = "DIR"
    )]
    pub(crate) data: Option<String>,
    /// Configuration file
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "CALLBOOK_CONFIG",
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) json: bool,
    /// Log filter, such as info or callbook=debug,warn (logs go to standard error)
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "CALLBOOK_LOG",
        value_name = "FILTER"
    )]
    pub(crate) log: Option<String>,
}

/// Settings of the daemon.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpFlags {
    /// Network file; needed at the first start only
    #[arg(long, env = "CALLBOOK_NETWORK", value_name = "FILE")]
    pub(crate) network: Option<String>,
    /// Token that lets this node become a superpeer (callbook-bootstrap token create)
    #[arg(long, env = "CALLBOOK_NODE_TOKEN", value_name = "FILE")]
    pub(crate) node_token: Option<String>,
    /// Where to listen (QUIC and TCP on one port; port 0: any free one)
    #[arg(long, env = "CALLBOOK_LISTEN", value_name = "IP:PORT")]
    pub(crate) listen: Option<String>,
    /// auto, superpeer or child [default: auto]
    #[arg(long, env = "CALLBOOK_ROLE", value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// Children that it takes as a superpeer [default: 512]
    #[arg(long, env = "CALLBOOK_CHILDREN_MAX", value_name = "N")]
    pub(crate) children_max: Option<String>,
    /// stretching (hellos grow rare with a link's age) or classic (every 10 s) [default: stretching]
    #[arg(long, env = "CALLBOOK_HELLO", value_name = "PACE")]
    pub(crate) hello: Option<String>,
    /// Where the page is that callbook ui names, on loopback; "" for nowhere [default: 127.0.0.1:0]
    #[arg(long, env = "CALLBOOK_API_LISTEN", value_name = "IP:PORT")]
    pub(crate) api_listen: Option<String>,
    /// Where /metrics, /healthz and /readyz are; "" for nowhere [default: 127.0.0.1:0]
    #[arg(long, env = "CALLBOOK_METRICS_LISTEN", value_name = "IP:PORT")]
    pub(crate) metrics_listen: Option<String>,
    /// Whether the login server lists them for Prometheus: true or false [default: false]
    #[arg(long, env = "CALLBOOK_METRICS_ANNOUNCE", value_name = "BOOL")]
    pub(crate) metrics_announce: Option<String>,
    /// Up to which lengths sessions are counted: growing seconds, such as 60,300,3600
    #[arg(long, env = "CALLBOOK_METRICS_SESSION_BUCKETS", value_name = "SECONDS,…")]
    pub(crate) metrics_session_buckets: Option<String>,
    /// Whether a superpeer tells a census how many children it has: true or false [default: true]
    #[arg(long, env = "CALLBOOK_CENSUS_CHILDREN", value_name = "BOOL")]
    pub(crate) census_children: Option<String>,
}

/// Whose password.
#[derive(Debug, Clone, Args)]
pub(crate) struct AccountFlags {
    /// The username
    pub(crate) name: String,
    /// Read the password from the first line of FILE (- for standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Display name of the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) display: Option<String>,
    /// Get the certificate, but don't publish
    #[arg(long)]
    pub(crate) no_register: bool,
}

/// What to publish.
#[derive(Debug, Clone, Args)]
pub(crate) struct RegisterFlags {
    /// The name; may be left out if there is one
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Display name
    #[arg(long, value_name = "TEXT")]
    pub(crate) display: Option<String>,
    /// Typed entry, such as "A 192.0.2.1", "_sip._udp SRV 10 5 5060 host.example" or "TXT text"; "" for none
    #[arg(long = "entry", value_name = "ENTRY")]
    pub(crate) entries: Vec<String>,
    /// How long caches may keep the record (30s to 1h)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) ttl: Option<Duration>,
}

/// Whom to look up, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct LookupFlags {
    /// The usernames
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Pass over caches
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Wait until several storers agree (passes over caches, too)
    #[arg(long)]
    pub(crate) cross_check: bool,
    /// Print every step: who was asked, when, and what it said
    #[arg(long)]
    pub(crate) trace: bool,
    /// Don't ask the devices' parents whether they are online
    #[arg(long)]
    pub(crate) no_presence: bool,
}

/// How often `watch` asks after presences unless it is told. A guess: as often as a parent hears a child.
pub(crate) const PRESENCE_INTERVAL: Duration = Duration::from_secs(10);

/// How to count the network.
#[derive(Debug, Clone, Args)]
pub(crate) struct CensusFlags {
    /// Network file; needed at the first census only, and not beside a daemon's data
    #[arg(long, env = "CALLBOOK_NETWORK", value_name = "FILE")]
    pub(crate) network: Option<PathBuf>,
    /// Walk once and print whom it found
    #[arg(long)]
    pub(crate) once: bool,
    /// Time from the end of one walk to the next (1m to 30m; from 1s on a lab network) [default: 15m]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) interval: Option<Duration>,
    /// Where /metrics is while it runs; "" for nowhere
    #[arg(
        long,
        env = "CALLBOOK_CENSUS_METRICS_LISTEN",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:0"
    )]
    pub(crate) metrics_listen: String,
    /// Leave when standard input closes
    #[arg(long, hide = true)]
    pub(crate) leave_with_stdin: bool,
}

/// Of `census`.
#[derive(Debug, Subcommand)]
pub(crate) enum CensusCommand {
    /// Print the sessions that it has seen
    Export {
        /// As comma-separated values, one session a line (the only form but --json)
        #[arg(long)]
        csv: bool,
        #[command(flatten)]
        range: CensusRange,
    },
    /// Draw a picture of what it has seen: how long sessions last, who comes and goes, classes, size
    Report {
        /// The picture, SVG or PNG by its ending
        #[arg(long, value_name = "FILE", default_value = "census.svg")]
        out: PathBuf,
        #[command(flatten)]
        range: CensusRange,
    },
}

/// Which sessions.
#[derive(Debug, Clone, Args)]
pub(crate) struct CensusRange {
    /// Only what was seen within so long
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "30d")]
    pub(crate) within: Duration,
}

/// A network on one machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoFlags {
    /// Stop after the last act; 0 only if every look-up was right
    #[arg(long)]
    pub(crate) once: bool,
    /// Enrol, register and resolve these usernames, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) names: Option<PathBuf>,
    /// How many superpeers beside the server
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) superpeers: u8,
    /// How many children
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(2..=32))]
    pub(crate) children: u8,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Condition {
    /// A child has a parent, a superpeer a stream to another one
    Attached,
    /// Every published name is acknowledged, and there is one
    Registered,
    /// It acts as superpeer and has taken over its range
    Superpeer,
}

impl Condition {
    /// As it is typed.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Registered => "registered",
            Self::Superpeer => "superpeer",
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon in the foreground
    Up {
        #[command(flatten)]
        flags: UpFlags,
        /// Leave when standard input closes
        #[arg(long, hide = true)]
        leave_with_stdin: bool,
    },
    /// Stop the daemon
    Down,
    /// What the daemon is and does
    Status,
    /// Create an account and register it
    Enrol(AccountFlags),
    /// Log in on a further device and register it
    Login(AccountFlags),
    /// Revoke this device's certificate and forget the name here
    Logout {
        /// The name; may be left out if there is one
        name: Option<String>,
        /// Forget it here without asking the login server
        #[arg(long)]
        local: bool,
    },
    /// Publish this device's record, and keep it published
    Register(RegisterFlags),
    /// Where the owners of names are reachable now
    Lookup(LookupFlags),
    /// Print what becomes of a name, as it happens, until Ctrl-C
    Watch {
        /// The username
        name: String,
        /// How often its devices' parents are asked whether they are online (1s or more; 0s: never)
        #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
        presence_interval: Duration,
    },
    /// Wait until the daemon is ready for something
    Wait {
        /// For what
        #[arg(long = "for", value_enum)]
        condition: Condition,
        /// At most so long
        #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// Neighbours and known superpeers
    Peers,
    /// Print the address of the daemon's page, for a browser
    Ui,
    /// Watch how this peer fares, in the terminal: role, neighbours, churn, look-ups, names
    Top,
    /// Count the whole network: walk its key space, and keep a book of superpeers' sessions
    #[command(args_conflicts_with_subcommands = true)]
    Census {
        #[command(flatten)]
        flags: CensusFlags,
        #[command(subcommand)]
        command: Option<CensusCommand>,
    },
    /// The settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// A whole network on this machine
    Demo(DemoFlags),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// The demo's login server
    #[command(name = "__bootstrap", hide = true, disable_help_flag = true)]
    Bootstrap {
        /// As callbook-bootstrap has them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// Of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting
    Show {
        /// And where each comes from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        flags: UpFlags,
    },
}

/// The settings that flags and environment give, with their origins.
pub(crate) fn given(cli: &Cli, matches: &ArgMatches) -> Vec<Layered> {
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    let origin = |id: &str| match innermost.try_contains_id(id) {
        Ok(true) => innermost.value_source(id).filter(|source| *source == ValueSource::CommandLine),
        Ok(false) | Err(_) => None,
    };
    let layered = |key: &'static str, id: &str, value: Option<&String>| {
        let origin = if origin(id).is_some() { Origin::Flag } else { Origin::Env };
        value.map(|value| Layered { key, value: Some(value.clone()), origin })
    };
    let mut given = vec![
        layered("data", "data", cli.global.data.as_ref()),
        layered("log", "log", cli.global.log.as_ref()),
    ];
    let flags = match &cli.command {
        Command::Up { flags, .. } | Command::Config { command: ConfigCommand::Show { flags, .. } } => {
            Some(flags)
        }
        Command::Down
        | Command::Status
        | Command::Enrol(_)
        | Command::Login(_)
        | Command::Logout { .. }
        | Command::Register(_)
        | Command::Lookup(_)
        | Command::Watch { .. }
        | Command::Wait { .. }
        | Command::Peers
        | Command::Ui
        | Command::Top
        | Command::Census { .. }
        | Command::Demo(_)
        | Command::Completions { .. }
        | Command::Bootstrap { .. } => None,
    };
    if let Some(flags) = flags {
        given.extend([
            layered("network", "network", flags.network.as_ref()),
            layered("node_token", "node_token", flags.node_token.as_ref()),
            layered("listen", "listen", flags.listen.as_ref()),
            layered("role", "role", flags.role.as_ref()),
            layered("children_max", "children_max", flags.children_max.as_ref()),
            layered("hello", "hello", flags.hello.as_ref()),
            layered("api.listen", "api_listen", flags.api_listen.as_ref()),
            layered("metrics.listen", "metrics_listen", flags.metrics_listen.as_ref()),
            layered("metrics.announce", "metrics_announce", flags.metrics_announce.as_ref()),
            layered(
                "metrics.session_buckets",
                "metrics_session_buckets",
                flags.metrics_session_buckets.as_ref(),
            ),
            layered("census.children", "census_children", flags.census_children.as_ref()),
        ]);
    }
    given.into_iter().flatten().collect()
}
