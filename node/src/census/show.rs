//! What a census prints: its ready block, a line for each walk, and with `--once` everybody whom it found.

use std::collections::BTreeMap;
use std::time::Duration;

use callbook_net::transport_peer;
use callbook_overlay::time::Unix;
use serde::Serialize;

use super::book::{SessionRow, WalkRow};
use super::estimate::Size;
use super::figures::by_peer;
use super::sessions::{Session, State};
use super::walk::{Found, Visit};
use crate::cli::output::{Printer, duration, fields, plain, table};
use crate::clock::{self, rfc3339};

/// A walk that has ended.
pub(super) struct Walked<'a> {
    /// What it adds up to.
    pub(super) row: &'a WalkRow,
    /// Whom it found.
    pub(super) found: &'a Found,
    /// Their sessions.
    pub(super) sessions: &'a [SessionRow],
    /// How long it took.
    pub(super) took: Duration,
    /// Show everybody.
    pub(super) whole: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Ready { metrics: Option<String>, pid: u32 },
    Walked(Box<Seen>),
}

/// One walk, as it is told.
#[derive(Debug, Serialize)]
struct Seen {
    began: String,
    took_ms: u64,
    complete: bool,
    reached: u64,
    unreached: u64,
    /// Children, of so many superpeers that tell of theirs.
    children: u64,
    telling: u64,
    superpeers_by: Estimates,
    /// With `--once`.
    #[serde(skip_serializing_if = "Option::is_none")]
    superpeers: Option<Vec<Superpeer>>,
}

#[derive(Debug, Serialize)]
struct Estimates {
    counted: u64,
    /// Null, as the others, where there are too few superpeers.
    density: Option<f64>,
    density_deviation: Option<f64>,
    recapture: Option<f64>,
    recapture_deviation: Option<f64>,
}

/// One superpeer, as it is told.
#[derive(Debug, Serialize)]
struct Superpeer {
    peer: String,
    reached: bool,
    /// Why not.
    failure: Option<&'static str>,
    addresses: Vec<String>,
    round_trip_ms: Option<f64>,
    agent: Option<String>,
    load: Option<u8>,
    children: Option<u32>,
    /// `open`, `pending` or `closed`; null if it was never reached.
    session: Option<&'static str>,
    since: Option<String>,
    last: Option<String>,
}

/// Says that it runs.
pub(super) fn ready(metrics: Option<String>, printer: Printer) {
    let event = Event::Ready { metrics, pid: std::process::id() };
    printer.result(&event, |event| {
        let Event::Ready { metrics, pid } = event else { return String::new() };
        fields(&[("census", format!("process {pid}")), ("metrics", metrics.clone().unwrap_or_default())])
    });
}

/// Says what a walk has found.
pub(super) fn walked(walked: &Walked<'_>, printer: Printer) {
    let seen = seen(walked);
    if walked.whole {
        return printer.result(&seen, |seen| text(seen, walked));
    }
    let event = Event::Walked(Box::new(seen));
    printer.result(&event, |event| match event {
        Event::Walked(seen) => line(seen),
        Event::Ready { .. } => String::new(),
    });
}

fn seen(walked: &Walked<'_>) -> Seen {
    let WalkRow { began, complete, reached, unreached, telling, children, density, recapture, .. } =
        *walked.row;
    let (density, recapture) = (density.known(), recapture.known());
    let sessions = by_peer(walked.sessions);
    let last = |visit: &Visit| sessions.get(&visit.peer).and_then(|all| all.last());
    let everybody = || walked.found.visits.iter().map(|visit| superpeer(visit, last(visit))).collect();
    Seen {
        began: rfc3339(began),
        took_ms: u64::try_from(walked.took.as_millis()).unwrap_or(u64::MAX),
        complete,
        reached,
        unreached,
        children,
        telling,
        superpeers_by: Estimates {
            counted: reached,
            density: density.map(|size| size.mean),
            density_deviation: density.map(|size| size.deviation),
            recapture: recapture.map(|size| size.mean),
            recapture_deviation: recapture.map(|size| size.deviation),
        },
        superpeers: walked.whole.then(everybody),
    }
}

fn superpeer(visit: &Visit, session: Option<&Session>) -> Superpeer {
    let reached = visit.result.as_ref().ok();
    let addresses = reached.map(|reached| reached.hint.addresses.iter());
    let socket = |address: &callbook_overlay::api::Address| {
        std::net::SocketAddr::new(address.ip, address.port).to_string()
    };
    Superpeer {
        peer: transport_peer(&visit.peer).to_string(),
        reached: reached.is_some(),
        failure: visit.result.as_ref().err().map(|failure| failure.word()),
        addresses: addresses.map(|all| all.map(socket).collect()).unwrap_or_default(),
        round_trip_ms: reached.map(|reached| reached.round_trip.as_secs_f64() * 1e3),
        agent: reached.map(|reached| reached.agent.clone()),
        load: reached.map(|reached| reached.load),
        children: reached.and_then(|reached| reached.children),
        session: session.map(|session| match session.state {
            State::Open => "open",
            State::Pending => "pending",
            State::Closed(_) => "closed",
        }),
        since: session.map(|session| rfc3339(session.first)),
        last: session.map(|session| rfc3339(session.last)),
    }
}

/// One line for a walk.
fn line(seen: &Seen) -> String {
    let Seen { began, reached, unreached, children, telling, .. } = seen;
    let complete = if seen.complete { "complete" } else { "partial" };
    format!(
        "{began}: {complete}, {reached} superpeers reached, {unreached} not, {children} children of {telling}, {} ms",
        seen.took_ms
    )
}

fn text(seen: &Seen, walked: &Walked<'_>) -> String {
    let now = clock::wall();
    let mut superpeers: Vec<&Superpeer> = seen.superpeers.iter().flatten().collect();
    superpeers.sort_by(|one, other| one.peer.cmp(&other.peer));
    let ages: BTreeMap<String, Unix> = by_peer(walked.sessions)
        .into_iter()
        .filter_map(|(peer, all)| Some((transport_peer(&peer).to_string(), all.last()?.first)))
        .collect();
    let none = || "-".to_owned();
    let rows = superpeers.into_iter().map(|superpeer| {
        let state = superpeer.failure.unwrap_or("reached");
        let age = ages.get(&superpeer.peer).map(|first| duration(now.since(*first).as_secs()));
        [
            superpeer.peer.clone(),
            state.to_owned(),
            superpeer.round_trip_ms.map_or_else(none, |ms| format!("{ms:.1}")),
            superpeer.children.map_or_else(none, |count| count.to_string()),
            age.unwrap_or_else(none),
            superpeer.agent.as_deref().map_or_else(none, plain),
            superpeer.addresses.join(", "),
        ]
    });
    let everybody = table(["PEER", "STATE", "MS", "CHILDREN", "SEEN FOR", "AGENT", "ADDRESS"], rows);
    let told = |size: Size| format!("{:.0} ± {:.0}", size.mean, size.deviation);
    let size = |size: &Size| size.known().map_or_else(|| "too few superpeers to tell".to_owned(), told);
    let WalkRow { reached, unreached, telling, children, density, recapture, .. } = walked.row;
    let summary = fields(&[
        ("superpeers", format!("{reached} reached, {unreached} not")),
        ("by density", size(density)),
        ("by recapture", size(recapture)),
        ("children", format!("{children}, told by {telling} superpeers")),
        ("walk", format!("{}, {} ms", if seen.complete { "complete" } else { "partial" }, seen.took_ms)),
    ]);
    format!("{everybody}\n\n{summary}")
}
