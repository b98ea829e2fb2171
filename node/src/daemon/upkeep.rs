//! What the daemon does by itself while it runs: fetch seeds, register held names, renew
//! certificates, tell what the overlay notices.
//!
//! Nothing here is needed for look-ups: with the login server down, each of these tries again later.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use callbook_overlay::api::{Command, Notice, Reply};
use callbook_overlay::limits::{CLOCK_TOLERANCE, RENEW_BELOW};
use callbook_overlay::time::Unix;
use callbook_overlay::wire::Hint;
use futures::{StreamExt, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::history::FINE;
use super::role::act;
use super::state::{CLOCK, Daemon};
use super::status::{is_attached, peer_text, skew_warning};
use crate::cli::output::Printer;
use crate::clock::{rfc3339, wall};
use crate::exit::Code;
use crate::problem::Outcome;
use crate::view::{Event, Stored};

/// How often a daemon that is attached looks whether it still is. A guess.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// First and longest pause between two requests for seeds. Guesses.
const SEEDS_RETRY: Duration = Duration::from_secs(1);
const SEEDS_RETRY_MAX: Duration = Duration::from_secs(60);

/// With so many superpeers known, no more seeds are asked for. A guess: all of a small network.
const SUPERPEERS_ENOUGH: usize = 8;

/// Whom the last run knew has so long to show that they are there. A guess: a dial and a request to the other end of the
/// world.
const HOST_CACHE_FIRST: Duration = Duration::from_secs(1);

/// By then the login server has been asked by who is still there, however well its host cache has done: it may lead to
/// one another's friends only. So long again after a try that failed. A guess.
const SEEDS_LATEST: Duration = Duration::from_secs(300);

/// Registrations in flight at the start. A guess.
const REGISTRATIONS: usize = 64;

/// How often certificates are looked at. A guess; they are renewed when a day old.
const RENEW_LOOK: Duration = Duration::from_secs(15 * 60);

/// How soon a renewal that failed is tried again. A guess.
const RENEW_RETRY: Duration = Duration::from_secs(60);

/// Samples how this peer fares.
pub(super) async fn history(daemon: Arc<Daemon>) {
    let mut ticks = tokio::time::interval(FINE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Ok(numbers) = daemon.handle.numbers().await else { return };
        daemon.history.note(wall(), &numbers);
    }
}

/// Fetches seeds now, or later if the host cache does without; and again while nobody is attached to or few superpeers
/// are known: who knows few when the login server goes down would be alone.
pub(super) async fn seeds(daemon: Arc<Daemon>) {
    // When to ask though there is enough; never, once the login server has been heard.
    let mut due = Some(Instant::now() + jittered(SEEDS_LATEST));
    let mut pause = SEEDS_RETRY;
    if daemon.overlay_status().await.is_ok_and(|status| status.superpeers >= SUPERPEERS_ENOUGH) {
        tokio::time::sleep(HOST_CACHE_FIRST).await;
    }
    loop {
        while has_enough(&daemon).await && due.is_none_or(|due| Instant::now() < due) {
            pause = SEEDS_RETRY;
            tokio::time::sleep(LOOK).await;
        }
        match fetch(&daemon).await {
            Ok(count) => {
                tracing::debug!(count, "seeds fetched");
                due = None;
            }
            Err(problem) => {
                if pause == SEEDS_RETRY {
                    tracing::info!(%problem, "no seeds; the host cache has to do");
                } else {
                    tracing::debug!(%problem, "no seeds");
                }
                due = due.map(|_| Instant::now() + jittered(SEEDS_LATEST));
            }
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(SEEDS_RETRY_MAX);
    }
}

async fn has_enough(daemon: &Daemon) -> bool {
    let status = daemon.overlay_status().await;
    status.is_ok_and(|status| is_attached(&status) && status.superpeers >= SUPERPEERS_ENOUGH)
}

async fn fetch(daemon: &Daemon) -> Outcome<usize> {
    let hints = daemon.server.seeds().await?;
    judge_clock(daemon, &hints);
    let count = hints.len();
    daemon.command(Command::Seeds(hints)).await?;
    Ok(count)
}

/// With a clock that is off by more than certificates allow no superpeer counts, so no neighbour can
/// tell us: the certificates of those that the login server has just seen do.
fn judge_clock(daemon: &Daemon, hints: &[Hint]) {
    let now = wall();
    let least = |off: &dyn Fn(&Hint) -> Duration| hints.iter().map(off).min().unwrap_or_default();
    let behind = least(&|hint| hint.certificate.not_before.since(now));
    let ahead = least(&|hint| now.since(hint.certificate.not_after));
    let (off, direction) = if behind > ahead { (behind, "behind") } else { (ahead, "ahead of") };
    let text = (off > CLOCK_TOLERANCE).then(|| {
        let off = humantime::format_duration(Duration::from_secs(off.as_secs()));
        format!("the clock is at least {off} {direction} the login server's: no certificate counts until it is set right")
    });
    if let Some(text) = &text {
        tracing::warn!("{text}");
    }
    daemon.trouble(CLOCK, text);
}

/// Half to once the pause, so that many peers don't ask in step.
pub(super) fn jittered(pause: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without entropy they do ask in step, which is no reason to stop.
    if getrandom::fill(&mut byte).is_err() {
        byte = [255];
    }
    pause.mul_f64(0.5 + f64::from(byte[0]) / 510.0)
}

/// Registers the names of earlier runs, several at once: each waits until somebody can store it.
pub(super) async fn register(daemon: Arc<Daemon>) {
    let commands = daemon.names.all().into_iter().map(|(username, _)| {
        let daemon = &daemon;
        async move {
            let _turn = daemon.turns.take(&username).await;
            // It may have been forgotten since.
            let name = daemon.names.find(&username).filter(|name| name.publish);
            let Some(held) = name.map(|name| Box::new(name.held(&username))) else { return };
            match daemon.command(Command::Register(held)).await {
                Ok(Reply::Failed(failure)) => tracing::info!(%failure, "a name is not registered yet"),
                Ok(_) => {}
                Err(problem) => tracing::debug!(%problem, "not registered"),
            }
        }
    });
    stream::iter(commands).for_each_concurrent(REGISTRATIONS, |command| command).await;
}

/// Renews certificates for as long as the daemon runs.
pub(super) async fn renew(daemon: Arc<Daemon>) {
    loop {
        let devices = renew_devices(&daemon).await;
        let node = renew_node(&daemon).await;
        tokio::time::sleep(if devices && node { RENEW_LOOK } else { RENEW_RETRY }).await;
    }
}

fn due(until: Unix) -> bool {
    until < wall() + RENEW_BELOW
}

/// Whether nothing is left to do.
async fn renew_devices(daemon: &Arc<Daemon>) -> bool {
    let mut done = true;
    for (username, name) in daemon.names.all() {
        if !due(name.certificate_until()) {
            continue;
        }
        match daemon.renew(&username).await {
            Ok(()) => {
                tracing::info!("a device certificate is renewed");
                daemon.trouble(username.as_str(), None);
            }
            Err(problem) if problem.code == Code::CertificateRefused => {
                tracing::warn!(%problem, "a device certificate is not renewed");
                let text = format!("{username}: {problem}; log in again: callbook login {username}");
                daemon.trouble(username.as_str(), Some(text));
            }
            Err(problem) if problem.code == Code::RegistrationPending => {
                tracing::debug!(%problem, "renewed, not yet published");
            }
            Err(problem) => {
                done = false;
                tracing::warn!(%problem, "a device certificate is not renewed yet");
                let until = rfc3339(name.certificate_until());
                let text =
                    format!("{username}: the certificate (until {until}) is not renewed yet: {problem}");
                daemon.trouble(username.as_str(), Some(text));
            }
        }
    }
    done
}

async fn renew_node(daemon: &Arc<Daemon>) -> bool {
    const ABOUT: &str = "node certificate";
    let Ok(status) = daemon.overlay_status().await else { return true };
    let until = status.node_certificate_until;
    // A superpeer whose certificate has ended acts as child until it has a new one.
    let wanted = until.map_or(daemon.superpeer.load(Ordering::Relaxed), due);
    if !wanted {
        return true;
    }
    let outcome = match daemon.server.certify_node(None, None, &daemon.network).await {
        Ok(certificate) => act(daemon, certificate).await,
        Err(problem) => Err(problem),
    };
    match outcome {
        Ok(()) => {
            tracing::info!("the node certificate is renewed");
            daemon.trouble(ABOUT, None);
            true
        }
        Err(problem) => {
            tracing::warn!(%problem, "the node certificate is not renewed yet");
            let until = until.map_or_else(|| "ended".to_owned(), |until| format!("until {}", rfc3339(until)));
            daemon.trouble(ABOUT, Some(format!("the {ABOUT} ({until}) is not renewed yet: {problem}")));
            false
        }
    }
}

/// Logs what the overlay notices, and prints it as events if that was asked for.
pub(super) async fn notices(daemon: Arc<Daemon>, mut notices: Receiver<Notice>, printer: Printer) {
    loop {
        match notices.recv().await {
            Ok(notice) => {
                if let Some(event) = told(&daemon, notice)
                    && printer.json
                {
                    printer.document(&event);
                }
            }
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "notices missed"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn told(daemon: &Daemon, notice: Notice) -> Option<Event> {
    Some(match notice {
        Notice::Attached(peer) => {
            tracing::debug!(parent = %peer_text(&peer), "attached");
            Event::Attached { peer: peer_text(&peer) }
        }
        Notice::Detached(peer) => {
            tracing::debug!(parent = %peer_text(&peer), "detached");
            Event::Detached { peer: peer_text(&peer) }
        }
        Notice::Joined(key) => {
            tracing::debug!(node_id = %key, "acting as superpeer");
            Event::Joined { node_id: key.to_hex() }
        }
        Notice::Registered { username, stored } => {
            tracing::debug!(%username, stored = stored.stored, of = stored.of, "registered");
            daemon.trouble(&format!("{username} rejected"), None);
            let stored = Stored { stored: stored.stored, of: stored.of };
            Event::Registered { name: username.to_string(), stored }
        }
        Notice::Rejected { username, reason } => {
            tracing::warn!(reason, "a name can't be published any more");
            let text =
                format!("{username} can't be published: {reason}; log in again: callbook login {username}");
            daemon.trouble(&format!("{username} rejected"), Some(text));
            Event::Rejected { name: username.to_string(), reason }
        }
        Notice::Skewed { seconds } => {
            let text =
                skew_warning(seconds).unwrap_or_else(|| "the clock was off and is right again".to_owned());
            tracing::warn!(seconds, "{text}");
            Event::Skewed { seconds }
        }
        Notice::Equivocation(slot) => {
            tracing::warn!(key = %slot.key, "two records with one version");
            return None;
        }
        Notice::CertificateExpired => {
            tracing::warn!("the node certificate has expired; acting as child");
            Event::CertificateExpired
        }
        // What becomes of it is told when it joins or attaches.
        Notice::SuperpeerNeeded | Notice::SteppedDown => return None,
        other => {
            // Of a later version of the overlay.
            tracing::debug!(?other, "noticed");
            return None;
        }
    })
}
