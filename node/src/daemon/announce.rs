//! Tells the login server where this daemon's metrics are, so that Prometheus finds them (`metrics.announce`).
//!
//! ```text
//!  loopback, server elsewhere ─▶ a warning, and nothing is announced
//!  neither node nor name      ─▶ a warning; looked again until there is one
//!  else: announced ─▶ again at half the time that it is listed ─▶ … ─▶ withdrawn at shutdown
//!        refused: a warning; tried again ever more rarely, with the next name's device
//!        server out of reach: tried again
//! ```
//! Warnings stand in `status`, too. *Not here*: whom the server lists (`callbook-bootstrap`), what is served.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::state::Daemon;
use super::upkeep::{LOOK, jittered};
use crate::clock::wall;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// What warnings are kept under.
const ABOUT: &str = "metrics.announce";

/// How soon a server out of reach is tried again, and the least from one announcement to the next. A guess.
const RETRY: Duration = Duration::from_secs(60);

/// First and longest pause after a refusal; jittered, the first is a minute at least. Guesses.
const REFUSED: Duration = Duration::from_secs(120);
const REFUSED_MAX: Duration = Duration::from_secs(16 * 60);

/// How long a shutdown waits for the login server to hear of it. A guess: on a machine that is busy a stream alone can
/// take a second.
const GOODBYE: Duration = Duration::from_secs(3);

/// Announces our metrics, again well before the server forgets them; ends if nobody could reach them.
pub(super) async fn announce(daemon: Arc<Daemon>) {
    let Some(address) = daemon.handle.metrics_address() else { return };
    if !is_reachable(address.ip(), daemon.server.addresses()) {
        let text = format!(
            "the metrics listen on {address}, where the login server's Prometheus can't reach them, so they are \
             not announced: set metrics.listen to an address of this machine, such as 192.0.2.1:9464"
        );
        tracing::warn!("{text}");
        return daemon.trouble(ABOUT, Some(text));
    }
    let mut course = Course::new();
    loop {
        let outcome = announced(&daemon, address.port(), course.turn).await;
        match &outcome {
            Ok(Some(_)) => {
                daemon.announced.store(true, Ordering::Relaxed);
                daemon.trouble(ABOUT, None);
            }
            Ok(None) => warn_of(&daemon, &mut course, &uncertified()),
            Err(problem) if problem.code == Code::LoginUnreachable => {
                tracing::debug!(%problem, "metrics are not announced");
            }
            Err(problem) => warn_of(&daemon, &mut course, problem),
        }
        tokio::time::sleep(jittered(course.pause_after(&outcome))).await;
    }
}

/// What one attempt to announce leaves to the next.
struct Course {
    /// Pause after the next refusal.
    pause: Duration,
    /// Which of the names' devices vouches for us.
    turn: usize,
    /// Why the last warning was written, unless that is mended.
    warned: Option<Code>,
}

impl Course {
    const fn new() -> Self {
        Self { pause: REFUSED, turn: 0, warned: None }
    }

    /// How long it is to the next attempt: short only if nothing was sent, for all daemons behind one address
    /// share what the server answers there, renewals too.
    fn pause_after(&mut self, outcome: &Outcome<Option<Duration>>) -> Duration {
        match outcome {
            Ok(Some(listed)) => {
                (self.pause, self.warned) = (REFUSED, None);
                (*listed / 2).max(RETRY)
            }
            Ok(None) => LOOK,
            Err(problem) if problem.code == Code::LoginUnreachable => RETRY,
            Err(problem) => {
                if problem.code == Code::LoginRequired {
                    // Perhaps this name's device is revoked, and another's is not.
                    self.turn = self.turn.wrapping_add(1);
                }
                let pause = self.pause;
                self.pause = (pause * 2).min(REFUSED_MAX);
                pause
            }
        }
    }

    /// Whether the last warning was for something else: texts differ each time, by the seconds to wait.
    fn is_news(&mut self, code: Code) -> bool {
        self.warned.replace(code) != Some(code)
    }
}

/// Has Prometheus look for us no more, if it does: who shuts down is not down.
pub(super) async fn withdraw(daemon: &Daemon) {
    if !daemon.announced.load(Ordering::Relaxed) {
        return;
    }
    match tokio::time::timeout(GOODBYE, daemon.server.announce(0, None)).await {
        Ok(Ok(_)) => {}
        Ok(Err(problem)) => tracing::debug!(%problem, "the metrics stay listed for a while"),
        Err(_) => tracing::debug!("the metrics stay listed for a while: the login server is silent"),
    }
}

/// To `status` until it is mended, and to the log unless the last one was for the same.
fn warn_of(daemon: &Daemon, course: &mut Course, problem: &Problem) {
    let hint = problem.hint.as_deref().map(|hint| format!(": {hint}")).unwrap_or_default();
    let text = format!("the metrics are not announced: {problem}{hint}");
    if course.is_news(problem.code) {
        tracing::warn!("{text}");
    }
    daemon.trouble(ABOUT, Some(text));
}

/// Announces it once, one of the names' devices vouching; for how long it is listed. `None`: nothing was sent, for
/// we have no certificate.
async fn announced(daemon: &Daemon, port: u16, turn: usize) -> Outcome<Option<Duration>> {
    let status = daemon.overlay_status().await?;
    let is_node = status.node_certificate_until.is_some_and(|until| until > wall());
    let mut names = daemon.names.all();
    names.retain(|(_, name)| name.certificate_until() > wall());
    let device = turn.checked_rem(names.len()).and_then(|index| names.get(index));
    if !is_node && device.is_none() {
        return Ok(None);
    }
    let vouch = device.map(|(username, name)| (username, &name.device));
    daemon.server.announce(port, vouch).await.map(Some)
}

/// What the server would say, without asking it.
fn uncertified() -> Problem {
    Problem::new(Code::LoginRequired, "only peers with a certificate of the network may do that")
        .hint("log in (`callbook login NAME`), or start with a node token")
}

/// Whether what listens there is within reach of the login server's machine: from elsewhere loopback is not.
#[expect(clippy::wildcard_enum_match_arm, reason = "libp2p's, and the rest are no addresses")]
fn is_reachable(listener: IpAddr, servers: &[Multiaddr]) -> bool {
    let is_here = |part: Protocol<'_>| match part {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        // Source: RFC 6761 §6.3.
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => name == "localhost",
        _ => false,
    };
    !listener.is_loopback() || servers.iter().any(|server| server.iter().any(is_here))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code) -> Outcome<Option<Duration>> {
        Err(Problem::new(code, "no"))
    }

    #[test]
    fn only_who_sent_nothing_looks_again_soon() {
        // Goal: daemons that the server refuses don't eat what it answers to their neighbours. Method: the pauses
        // and devices after each outcome, `LoginRequired` being the server's word here.
        let mut course = Course::new();
        assert_eq!(course.pause_after(&Ok(None)), LOOK);
        assert_eq!(course.turn, 0, "nobody refused that device");
        let pauses: Vec<u64> =
            (0..5).map(|_| course.pause_after(&refused(Code::LoginRequired)).as_secs()).collect();
        assert_eq!(pauses, [120, 240, 480, 960, 960]);
        assert_eq!(course.turn, 5, "the next device each time");
        assert_eq!(course.pause_after(&refused(Code::LoginUnreachable)), RETRY, "nobody was asked");
        assert_eq!(course.pause_after(&refused(Code::RateLimited)), REFUSED_MAX);
        assert_eq!(course.pause_after(&Ok(None)), LOOK);
        assert_eq!(course.pause_after(&Ok(Some(Duration::from_secs(600)))), Duration::from_secs(300));
        assert_eq!(course.pause_after(&Ok(Some(Duration::ZERO))), RETRY, "whatever the server says");
        assert_eq!(course.turn, 5, "what was accepted is kept");
        assert_eq!(course.pause_after(&refused(Code::RateLimited)), REFUSED, "from the start");
        assert_eq!(course.turn, 5, "not the device's fault");
    }

    #[test]
    fn a_warning_is_written_again_only_for_another_reason() {
        // Goal: seconds that count down don't fill the log. Method: codes in a row, and one after success.
        let mut course = Course::new();
        assert!(course.is_news(Code::RateLimited));
        assert!(!course.is_news(Code::RateLimited));
        assert!(course.is_news(Code::LoginRequired));
        assert!(course.is_news(Code::RateLimited));
        let _ = course.pause_after(&refused(Code::LoginUnreachable));
        assert!(!course.is_news(Code::RateLimited), "still the same");
        let _ = course.pause_after(&Ok(Some(RETRY)));
        assert!(course.is_news(Code::RateLimited), "it was mended between");
    }

    #[test]
    fn a_loopback_listener_is_within_reach_of_a_server_on_loopback_only() {
        // Goal: no port is announced that only this machine reaches. Method: all four pairs, both families, and
        // no server at all.
        let reachable = |listener: &str, servers: &[&str]| {
            let servers: Vec<Multiaddr> = servers.iter().map(|text| text.parse().unwrap()).collect();
            is_reachable(listener.parse().unwrap(), &servers)
        };
        let (here, away) = ("/ip4/127.0.0.1/tcp/4000", "/ip4/192.0.2.1/udp/4000/quic-v1");
        assert!(reachable("127.0.0.1", &[here]));
        assert!(!reachable("127.0.0.1", &[away]));
        assert!(reachable("192.0.2.7", &[away]));
        assert!(reachable("0.0.0.0", &[away]));
        assert!(reachable("::1", &["/ip6/::1/tcp/4000"]));
        assert!(!reachable("::1", &["/ip6/2001:db8::1/tcp/4000", away]));
        assert!(reachable("127.0.0.1", &[away, here]), "one of several servers");
        assert!(reachable("127.0.0.1", &["/dns4/localhost/tcp/4000"]));
        assert!(!reachable("127.0.0.1", &["/dns4/localhost.example/tcp/4000"]));
        assert!(!reachable("127.0.0.1", &[]));
    }
}
