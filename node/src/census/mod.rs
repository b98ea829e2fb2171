//! `callbook census`: counts a whole network, and keeps a book of its superpeers' sessions.
//!
//! ```text
//!  cli ── census ──┬─ crawl ── walk ── covered      who is there: over the overlay's own streams
//!                  ├─ sessions ── book (SQLite)     since when, and until when
//!                  ├─ estimate, survival, figures   what that adds up to
//!                  └─ metrics (callbook-host), export, report
//! ```
//! It is a process of its own, beside a daemon or without one: it needs no login, holds no name, stores nothing for
//! others and listens only for Prometheus. It tells nothing of children but how many there are, which it learns
//! from superpeers that allow it. What it costs the network is bounded in `limits`.
//!
//! *Not here*: what superpeers export of their own neighbours (`callbook_host::metrics`).

mod attempts;
mod book;
mod covered;
mod crawl;
mod estimate;
mod export;
mod figures;
mod limits;
mod pace;
mod report;
mod sessions;
mod show;
mod survival;
#[cfg(test)]
mod town;
mod walk;

use std::path::Path;
use std::time::Duration;

use callbook_host::metrics::observer::{Observation, Observer};
use callbook_login::network_file::NetworkFile;
use callbook_overlay::network::{Limits, Network};
use callbook_overlay::time::Unix;
use libp2p::Multiaddr;
use tokio::sync::watch;

use self::book::{Book, WalkRow};
use self::figures::Departures;
use self::limits::{
    INTERVAL, INTERVAL_LAB_MIN, INTERVAL_MAX, INTERVAL_MIN, KEPT_IN_VIEW, LEVELS_INTERVAL, VISITS_PAUSE,
};
use self::pace::Pace;
use self::walk::{Found, Questions, Target, Walk};
use crate::cli::args::{CensusCommand, CensusFlags};
use crate::cli::client::{Client, Request};
use crate::cli::output::{Printer, note};
use crate::clock;
use crate::config::Config;
use crate::daemon::folder::Folder;
use crate::daemon::{heed_signals, heed_stdin};
use crate::exit::{Code, INTERRUPTED};
use crate::problem::{Outcome, Problem};
use crate::view::Peers;

const AGENT: &str = concat!("callbook-census/", env!("CARGO_PKG_VERSION"));

/// Runs `census` and what is below it.
///
/// # Errors
/// The user or the machine: no network is known, nobody answers, the book can't be used.
pub(crate) fn run(
    flags: &CensusFlags,
    command: Option<&CensusCommand>,
    config: &Config,
    printer: Printer,
) -> Outcome<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::new(Code::Failed, format!("no runtime: {error}")))?;
    let code = runtime.block_on(async {
        match command {
            None => count(flags, config, printer).await,
            Some(CensusCommand::Export { range, .. }) => export::run(config, range.within, printer).await,
            Some(CensusCommand::Report { out, range }) => {
                report::run(config, out, range.within, printer).await
            }
        }
    });
    runtime.shutdown_background();
    code
}

async fn count(flags: &CensusFlags, config: &Config, printer: Printer) -> Outcome<u8> {
    let (stop, mut stopped) = watch::channel(false);
    heed_signals(&stop)?;
    if flags.leave_with_stdin {
        heed_stdin(stop.clone());
    }
    let folder = open(config)?;
    let file = network(&folder, flags, config)?;
    let mut census = Census::new(&folder, &file, config, printer).await?;
    let interval = interval(flags.interval, &census.network)?;
    if flags.once {
        let walked = tokio::select! {
            walked = census.first(true) => walked.map(Some),
            _ = stopped.wait_for(|stop| *stop) => Ok(None),
        };
        census.book.close().await;
        return Ok(match walked? {
            Some(_) => 0,
            None => INTERRUPTED,
        });
    }
    census.listen(&flags.metrics_listen).await?;
    let outcome = tokio::select! {
        outcome = census.go_on(interval) => outcome,
        _ = stopped.wait_for(|stop| *stop) => Ok(()),
    };
    census.book.close().await;
    outcome.map(|()| 0)
}

/// The census's folder, inside the daemon's, with a lock of its own.
fn open(config: &Config) -> Outcome<Folder> {
    let problem = match Folder::open(&config.data.join("census")) {
        Ok(folder) => return Ok(folder),
        Err(problem) => problem,
    };
    if problem.code != Code::FolderLocked {
        return Err(problem);
    }
    let message = format!("another census uses {}", config.data.display());
    Err(Problem::new(problem.code, message)
        .hint("stop it, or keep another book: name another folder with --data"))
}

/// The network: the file given, else the one of the last census, else the daemon's.
fn network(folder: &Folder, flags: &CensusFlags, config: &Config) -> Outcome<NetworkFile> {
    let of_daemon = config.data.join("network.toml");
    let given = flags.network.as_deref().or(config.network.as_deref());
    let given = given.or_else(|| of_daemon.exists().then_some(of_daemon.as_path()));
    folder.network(given).map_err(|problem| {
        let missing = problem.code == Code::NetworkMissing;
        if missing { problem.hint("name it once: callbook census --network FILE") } else { problem }
    })
}

fn least(network: &Network) -> Duration {
    if network.limits == Limits::Lab { INTERVAL_LAB_MIN } else { INTERVAL_MIN }
}

fn interval(given: Option<Duration>, network: &Network) -> Outcome<Duration> {
    let least = least(network);
    let interval = given.unwrap_or(INTERVAL);
    if (least..=INTERVAL_MAX).contains(&interval) {
        return Ok(interval);
    }
    let text = |duration| humantime::format_duration(duration).to_string();
    let message = format!("an interval of {} is out of range", text(interval));
    Err(Problem::new(Code::Usage, message).hint(format!("from {} to {}", text(least), text(INTERVAL_MAX))))
}

/// What visits between walks have shown.
enum Looked {
    /// Who is there, and who is not.
    Well,
    /// Somebody is silent, of too few: a whole walk tells.
    Doubtful,
    /// That we are cut off ourselves.
    Blind,
}

/// A census that goes on.
struct Census {
    network: Network,
    bootstrap: Vec<Target>,
    /// Superpeers that the daemon knew when we began.
    remembered: Vec<Target>,
    book: Book,
    questions: Questions,
    pace: Pace,
    observer: Observer,
    late: Departures,
    /// When levels were set.
    levelled: tokio::time::Instant,
    printer: Printer,
}

impl Census {
    async fn new(folder: &Folder, file: &NetworkFile, config: &Config, printer: Printer) -> Outcome<Self> {
        let addresses = file.facts().bootstrap.iter();
        let addresses = addresses.filter_map(|text| text.parse::<Multiaddr>().ok());
        let seen = Observation::new(config.session_bounds.clone());
        Ok(Self {
            network: file.to_network(),
            bootstrap: addresses.filter_map(|address| Target::at(&address)).collect(),
            remembered: remembered(config).await,
            book: Book::open(&folder.path.join("sessions.sqlite")).await?,
            questions: Questions::default(),
            pace: Pace::new(tokio::time::Instant::now()),
            observer: Observer::new(seen, AGENT, clock::wall()),
            late: Departures::default(),
            levelled: tokio::time::Instant::now(),
            printer,
        })
    }

    async fn listen(&self, address: &str) -> Outcome<()> {
        let metrics = if address.is_empty() {
            None
        } else {
            let wrong = || Problem::new(Code::Usage, format!("\"{address}\" is no address to listen on"));
            let parsed = address.parse().map_err(|_| wrong().hint("write one such as 127.0.0.1:9464"))?;
            let bound = self.observer.serve(parsed).await.map_err(|error| {
                Problem::new(Code::PortInUse, format!("can't listen on {parsed} for metrics: {error}"))
                    .hint("choose another one with --metrics-listen")
            })?;
            Some(format!("http://{bound}/metrics"))
        };
        show::ready(metrics, self.printer);
        Ok(())
    }

    /// The first walk of this process: no sooner after the last one of another than is right.
    async fn first(&mut self, whole: bool) -> Outcome<()> {
        let ago = self.book.walked().map(|walked| clock::wall().since(walked));
        let rest = ago.map_or(Duration::ZERO, |ago| least(&self.network).saturating_sub(ago));
        if !rest.is_zero() {
            let text = humantime::format_duration(rest);
            note(&format!("the last walk has only just ended: the next one begins in {text}"));
            tokio::time::sleep(rest).await;
        }
        self.walk(whole).await
    }

    /// Walks, and visits who is due between walks, for ever.
    async fn go_on(&mut self, interval: Duration) -> Outcome<()> {
        let (mut warned, mut walked) = (false, self.first(false).await);
        loop {
            match walked {
                Ok(()) => warned = false,
                Err(problem) if problem.code == Code::Timeout => {
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(%problem, "the walk says nothing; it is tried again");
                    }
                }
                Err(problem) => return Err(problem),
            }
            let ended = tokio::time::Instant::now();
            let next = ended + interval;
            loop {
                let now = clock::wall();
                let due = self.book.next_due(now).map(|due| due.since(now));
                // A clock that is set back is looked at again soon enough.
                let due = tokio::time::Instant::now() + due.unwrap_or(interval).max(VISITS_PAUSE);
                tokio::time::sleep_until(next.min(due)).await;
                if tokio::time::Instant::now() >= next {
                    break;
                }
                let walk = match self.visit().await? {
                    Looked::Well => continue,
                    Looked::Doubtful => next.min(ended + least(&self.network)),
                    Looked::Blind => next,
                };
                tokio::time::sleep_until(walk).await;
                break;
            }
            walked = self.walk(false).await;
        }
    }

    /// One walk through the whole key space, written down, counted and shown.
    async fn walk(&mut self, whole: bool) -> Outcome<()> {
        let began = clock::wall();
        let started = tokio::time::Instant::now();
        let known: Vec<Target> = self.book.targets(began).collect();
        let start = known.into_iter().chain(self.remembered.iter().cloned()).chain(self.bootstrap.clone());
        let walk = Walk::new(&self.network, start, std::mem::take(&mut self.questions), began);
        let (found, questions) = crawl::walk(&self.network, walk, &mut self.pace).await?;
        self.questions = questions;
        let took = started.elapsed();
        let row = row(&found, began, clock::wall());
        // What nobody has seen is not a network without anybody: perhaps it is us who are cut off.
        let blind = row.reached == 0 || self.book.is_blind(&found);
        self.observer.seen().walked(took, row.complete && !blind);
        if blind {
            let (silent, count) = (row.unreached, row.reached + row.unreached);
            let message = format!("{silent} of {count} superpeers don't answer: not taken for their end");
            return Err(Problem::new(Code::Timeout, message)
                .hint("is this machine online? is the login server, or any daemon that ran here before?"));
        }
        self.take_in(&found, Some(&row)).await?;
        let rows = self.book.sessions(since(row.ended, figures::CLASS_WINDOW)).await?;
        show::walked(&show::Walked { row: &row, found: &found, sessions: &rows, took, whole }, self.printer);
        Ok(())
    }

    /// Visits those who are due before the next walk.
    async fn visit(&mut self) -> Outcome<Looked> {
        let now = clock::wall();
        let due: Vec<Target> = self.book.due(now).collect();
        if due.is_empty() {
            return Ok(Looked::Well);
        }
        let walk = Walk::visits(&self.network, due, std::mem::take(&mut self.questions), now);
        let (found, questions) = crawl::walk(&self.network, walk, &mut self.pace).await?;
        self.questions = questions;
        if self.book.is_blind(&found) {
            tracing::warn!("most of those who were visited don't answer: not taken for their end");
            return Ok(Looked::Blind);
        }
        if self.book.is_doubtful(&found) {
            return Ok(Looked::Doubtful);
        }
        self.take_in(&found, None).await.map(|()| Looked::Well)
    }

    async fn take_in(&mut self, found: &Found, row: Option<&WalkRow>) -> Outcome<()> {
        let changes = self.book.take_in(found, row).await?;
        let now = clock::wall();
        figures::count(&mut self.observer.seen(), &mut self.late, found, &changes, now);
        if row.is_some() || self.levelled.elapsed() >= LEVELS_INTERVAL {
            let rows = self.book.sessions(since(now, KEPT_IN_VIEW)).await?;
            figures::set_levels(&mut self.observer.seen(), &rows, row, now);
            self.levelled = tokio::time::Instant::now();
        }
        Ok(())
    }
}

fn since(now: Unix, within: Duration) -> Unix {
    Unix::from_secs(now.as_secs().saturating_sub(within.as_secs()))
}

fn row(found: &Found, began: Unix, ended: Unix) -> WalkRow {
    let reached = found.visits.iter().filter_map(|visit| visit.result.as_ref().ok());
    let told: Vec<u32> = reached.clone().filter_map(|reached| reached.children).collect();
    let reached = reached.count() as u64;
    WalkRow {
        began,
        ended,
        complete: found.complete,
        reached,
        unreached: found.visits.len() as u64 - reached,
        telling: told.len() as u64,
        children: told.iter().map(|count| u64::from(*count)).sum(),
        density: estimate::density(&found.around),
        recapture: estimate::recapture(&found.around),
    }
}

/// The superpeers that the daemon of this folder knows: asked, if it runs, else as it wrote them down.
async fn remembered(config: &Config) -> Vec<Target> {
    if let Ok(peers) = Client::new(config).call::<Peers>(Request::get("/v1/peers")).await {
        let peers = peers.content.peers.into_iter().filter(|peer| !peer.addresses.is_empty());
        return peers.filter_map(|peer| named(&peer.peer, &peer.addresses)).collect();
    }
    host_cache(&config.data.join("store.redb"))
}

fn host_cache(path: &Path) -> Vec<Target> {
    let hints = callbook_host::host_cache(path);
    let hints = hints.inspect_err(|error| tracing::debug!(%error, "the host cache is not used"));
    hints.unwrap_or_default().into_iter().map(Target::of).collect()
}

fn named(peer: &str, addresses: &[String]) -> Option<Target> {
    let peer = callbook_net::overlay_peer(&peer.parse().ok()?)?;
    let sockets = addresses.iter().filter_map(|text| text.parse::<std::net::SocketAddr>().ok());
    let addresses = sockets.flat_map(|socket| {
        let address = callbook_overlay::api::Address { ip: socket.ip(), port: socket.port() };
        [callbook_overlay::api::Transport::Tcp, callbook_overlay::api::Transport::Quic]
            .map(|transport| callbook_net::multiaddr(&address, transport))
    });
    Some(Target { peer, addresses: addresses.collect(), hint: None, listed: false })
}

#[cfg(test)]
mod tests {
    use super::town::Town;
    use super::*;

    #[test]
    fn walks_are_no_more_frequent_than_is_right() {
        // Goal: a minute to half an hour, and from a second where limits are lifted; a quarter of an hour unless it is
        // told. Method: the bounds and what lies beyond them.
        let mut network = Town::of(1).network;
        let secs = |network: &Network, secs| interval(Some(Duration::from_secs(secs)), network).is_ok();
        assert_eq!(interval(None, &network).unwrap(), INTERVAL);
        let allowed = [59, 60, 1_800, 1_801].map(|count| secs(&network, count));
        assert_eq!(allowed, [false, true, true, false]);
        network.limits = Limits::Lab;
        assert_eq!([0, 1].map(|count| secs(&network, count)), [false, true]);
        let problem = interval(Some(Duration::ZERO), &network).unwrap_err();
        assert_eq!((problem.code, problem.hint.unwrap().as_str()), (Code::Usage, "from 1s to 30m"));
    }

    #[test]
    fn what_the_daemon_knows_can_be_dialled() {
        // Goal: PeerIds and addresses as the local API writes them are understood, others are passed over. Method:
        // one of each.
        let peer = "12D3KooWRiKg3hpatFiedTq82c2o6ViyvJktDFFafJxjiSnsi1ne";
        let target = named(peer, &["127.0.0.1:4001".to_owned(), "nowhere".to_owned()]).unwrap();
        let addresses: Vec<String> = target.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/udp/4001/quic-v1"]);
        assert_eq!(callbook_net::transport_peer(&target.peer).to_string(), peer);
        assert!(named("nobody", &[]).is_none());
    }
}
