//! Proof without Grafana: a real Prometheus scrapes a real network that churns by script.
//!
//! ```text
//!  script: children come and go ──▶ network of processes ◀── scrapes ── Prometheus ◀── every panel's query
//!     └──▶ book of what it did ──────────────────── compared ◀──────────────┘
//! ```
//! Passes only if every query of every panel has an answer with finite values, and what Prometheus says of
//! the children's churn is what the script did, within 5 %. *Not here*: how it looks.

mod book;
mod judge;
mod prometheus;
mod script;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use callbook_e2e::{Network, Peer, Process, Program, until};

use self::book::Expected;
use self::judge::Judge;
use self::prometheus::Prometheus;
use self::script::Length;

/// Up to which lengths sessions are counted here: the script draws on both sides of each.
const BUCKETS: &str = "5,10,20,40,75,100,150,300";

/// Superpeers beside the login server, and children. The issue's numbers.
const SUPERPEERS: usize = 4;
const CHILDREN: usize = 12;

/// How long a superpeer is there that leaves: a census has to see it twice, five seconds apart.
const PASSING: Duration = Duration::from_secs(15);

/// How often what is rare has to happen, for its number to be worth comparing.
const RARE: u32 = 8;

/// After the last child has gone: a lost one counts after a minute, and is scraped.
const SETTLE: Duration = Duration::from_secs(75);

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How long children come and go, in minutes: longer if it takes them longer to do so often enough.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=20))]
    minutes: u64,
    /// How often they do so.
    #[arg(long, default_value_t = 104)]
    turns: usize,
    /// Decides who comes and goes when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What `callbook-sim … --openmetrics FILE` wrote, for the dashboard of experiments; without it a small
    /// network is simulated for it.
    #[arg(long)]
    experiment: Option<PathBuf>,
}

/// What Grafana's variables stand for, where it is not everything.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// The range shown.
    pub range: &'a str,
    /// A few scrapes; all of the range, for totals.
    pub rate_interval: &'a str,
    /// The one whose view of superpeers counts.
    pub observer: &'a str,
}

/// An expression with Grafana's variables filled in.
#[must_use]
pub fn filled(expr: &str, chosen: &Chosen<'_>) -> String {
    let mut filled = expr.to_owned();
    for (variable, value) in [
        ("$__rate_interval", chosen.rate_interval),
        ("$__interval", chosen.rate_interval),
        ("$__range", chosen.range),
        ("$instance", ".+"),
        ("$job", ".+"),
        ("$observer", chosen.observer),
        ("$row", ".+"),
    ] {
        filled = filled.replace(variable, value);
    }
    filled
}

/// Verifies everything.
///
/// # Errors
/// The machine lacks Prometheus, or something is not as it should be: the text says what.
pub fn run(options: &Options) -> Result<(), String> {
    prometheus::installed()?;
    let opened = Instant::now();
    say("building and starting the network");
    let mut network = Network::made();
    let server = network.serve_with(&[("CALLBOOK_METRICS_SESSION_BUCKETS", BUCKETS)]);
    let login = server["metrics"].as_str().ok_or("the login server shows no metrics")?.to_owned();
    let superpeers = superpeers(&network);
    let experiment = match &options.experiment {
        Some(file) => file.clone(),
        None => simulated(&network)?,
    };
    let (census, census_url) = census(&network)?;
    let prometheus = Prometheus::start(&network.room, (&login, &census_url), &experiment)?;
    // What a counter had when it was scraped first is in no rate: nothing is done before all are scraped.
    until("Prometheus scrapes all", || {
        for (expr, all) in [
            ("count(callbook_peers_online{role=\"child\",job=\"callbook\"})", SUPERPEERS),
            ("sum(up{job=\"callbook-login\"})", 1),
            ("sum(up{job=\"callbook-census\"})", 1),
        ] {
            let scraped = prometheus.number(expr).ok()?;
            (scraped >= all as f64).then_some(())?;
        }
        Some(())
    });
    first_work(&superpeers);
    let mut passing = passing_superpeer(&network, &superpeers);

    let &Options { minutes, turns, seed, .. } = options;
    say(&format!("{CHILDREN} children come and go {turns} times, for at least {minutes} minutes"));
    let length =
        Length { began: Instant::now(), least: Duration::from_secs(minutes * 60), turns, rare: RARE };
    let stays = script::run(&network, (CHILDREN, seed), &length);
    let (ended, over) = (length.began.elapsed(), Instant::now());
    let expected = Expected::of(&stays, ended);
    say(&format!("the script is over after {} s: {expected}", ended.as_secs()));
    // Superpeers' downtimes end, too; long enough before panels are asked for a step of theirs to fall behind it.
    passing.start_with(announcing(&passing));
    // Nothing is waited for that could be seen before: a lost child counts after a minute.
    std::thread::sleep(SETTLE);

    let observer = census_url.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut judge = Judge::new(&prometheus, observer, opened.elapsed());
    judge.churn(&expected, (ended, over.elapsed()));
    if judge.is_wrong() {
        stays.iter().for_each(|stay| say(&stay.to_string()));
        superpeers.iter().for_each(|peer| say(&format!("{} at {}", peer.id(), peer.ready()["metrics"])));
        judge.tell_all();
    }
    until("the census has seen a superpeer come back", || {
        let back = "sum(callbook_peer_downtime_seconds_count{role=\"superpeer\",job=\"callbook-census\"})";
        (prometheus.number(back).ok()? >= 1.0).then_some(())
    });
    // Somebody has to be there for shares of who is there.
    let guest = guest(&network, &prometheus);
    judge.panels();
    let verdict = judge.verdict();
    drop((superpeers, passing, guest, census));
    verdict
}

/// A census of the network, which walks all the time; its process, and where its metrics are.
fn census(network: &Network) -> Result<(Process, String), String> {
    let mut command = network.room.command(Program::Callbook);
    command.arg("--data").arg(network.room.path("census")).args(["--json", "census", "--leave-with-stdin"]);
    command.args(["--interval", "5s", "--network"]).arg(network.file());
    let mut process = Process::start(&network.room, "census", command);
    let url = process.event("ready")["metrics"].as_str().map(str::to_owned);
    Ok((process, url.ok_or("the census shows no metrics")?))
}

/// The figures of a small simulated network, in a file of the room.
fn simulated(network: &Network) -> Result<PathBuf, String> {
    say("simulating a small network for the dashboard of experiments");
    let file = network.room.path("experiment.txt");
    let mut command = match std::env::var_os("CALLBOOK_BIN_DIR") {
        Some(folder) => Command::new(Path::new(&folder).join("callbook-sim")),
        None => {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.current_dir(callbook_e2e::workspace()).args(["run", "--quiet", "--locked"]);
            let own = std::env::current_exe().map_err(|error| error.to_string())?;
            if own.parent().is_some_and(|folder| folder.ends_with("release")) {
                cargo.arg("--release");
            }
            cargo.args(["-p", "callbook-sim", "--"]);
            cargo
        }
    };
    command.args(["run", "D", "--quick", "--warm-up", "5", "--minutes", "5", "--form", "csv"]);
    command.arg("--openmetrics").arg(&file);
    let output = command.output().map_err(|error| format!("the simulator can't be run: {error}"))?;
    if output.status.success() {
        return Ok(file);
    }
    Err(format!("the simulator failed: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Superpeers that announce their metrics; children need not, and strangers may not.
fn superpeers(network: &Network) -> Vec<Peer> {
    let mut peers: Vec<Peer> =
        (1..=SUPERPEERS).map(|number| network.superpeer(&format!("superpeer-{number}"))).collect();
    for peer in &mut peers {
        let command = announcing(peer);
        peer.start_with(command);
        peer.wait("superpeer");
    }
    callbook_e2e::all_know(&peers, SUPERPEERS + 1);
    peers
}

/// A superpeer that has come, been seen by all, and left: superpeers' sessions have to end, too.
fn passing_superpeer(network: &Network, superpeers: &[Peer]) -> Peer {
    let mut peer = network.superpeer("superpeer-that-passes");
    peer.start_with(announcing(&peer));
    peer.wait("superpeer");
    callbook_e2e::all_know(superpeers, SUPERPEERS + 2);
    std::thread::sleep(PASSING);
    peer.stop();
    peer
}

/// A child that stays, once it is scraped.
fn guest(network: &Network, prometheus: &Prometheus) -> Peer {
    let mut peer = network.peer("guest", &["--role", "child"]);
    peer.start();
    until("Prometheus knows of the guest", || {
        let online = prometheus.number("sum(callbook_peers_online{role=\"child\"})").ok()?;
        (online >= 1.0).then_some(())
    });
    peer
}

/// The command that starts a peer, with its metrics announced.
fn announcing(peer: &Peer) -> Command {
    let mut command = peer.up();
    command.env("CALLBOOK_METRICS_ANNOUNCE", "true").env("CALLBOOK_METRICS_SESSION_BUCKETS", BUCKETS);
    // Announcements come from whichever loopback address a connection has.
    command.env("CALLBOOK_METRICS_LISTEN", "0.0.0.0:0");
    command
}

/// An account, a login, a refused one and look-ups, so that panels have something to show whatever the
/// children do.
fn first_work(superpeers: &[Peer]) {
    drop(superpeers[0].enrol(script::NAME));
    drop(superpeers[1].login(script::NAME));
    drop(superpeers[2].account("login", script::NAME, "not the password at all"));
    script::ask(&superpeers[3], 0);
}

#[expect(clippy::print_stdout, reason = "a command line's progress")]
fn say(text: &str) {
    println!("verify: {text}");
}
