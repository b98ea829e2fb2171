//! `lookup`: a name's devices, whether they are there, and the steps that led to the answer.
//!
//! The presences are asked for once the name is resolved, all at once, each from the device's own
//! parent. *Not here*: the look-up itself (`callbook-overlay`), `watch`.

use std::time::{Duration, Instant};

use callbook_overlay::api::{self, Answer, Asked, Command, Failure, How, Reply, Resolution, Source};
use callbook_overlay::key::PeerId;
use callbook_overlay::name::Username;
use futures::future::join_all;
use libp2p::Multiaddr;

use super::account::username;
use super::state::{Daemon, failed, unexpected};
use super::status::{address_text, millis, peer_text};
use crate::clock::{rfc3339, wall};
use crate::exit::Code;
use crate::problem::{Outcome, Problem};
use crate::view::{Answered, Device, Lookup, Presence, Step};

/// How long the answer of a device's parent is waited for. Specification: DESIGN §5.
const PRESENCE_WAIT: Duration = Duration::from_secs(2);

impl Daemon {
    /// One name of `lookup`.
    pub(super) async fn resolve(&self, text: &str, how: How, presence: bool) -> Outcome<Lookup> {
        let username = match username(text) {
            Ok(username) => username,
            Err(problem) => return Ok(without(text, Answered::Invalid, problem, 0.0)),
        };
        let started = Instant::now();
        let reply = self.command(Command::Resolve { username: username.clone(), how }).await?;
        let ms = millis(started.elapsed());
        if let Reply::Failed(failure) = &reply {
            let problem = failed(failure);
            if matches!(problem.code, Code::NoDaemon | Code::Internal) {
                return Err(problem);
            }
            return Ok(without(username.as_str(), answered(failure), about(&username, failure), ms));
        }
        let Reply::Resolved(resolution) = reply else { return Err(unexpected(&reply)) };
        let mut lookup = resolved(&username, &resolution, ms);
        if presence {
            let presences = join_all(resolution.devices.iter().map(|device| self.presence(device))).await;
            for (device, presence) in lookup.devices.iter_mut().zip(presences) {
                device.presence = Some(presence);
            }
        }
        Ok(lookup)
    }

    /// Whether a device is there: its parent is asked, for at most [`PRESENCE_WAIT`].
    async fn presence(&self, device: &api::Device) -> Presence {
        self.presence_of(device.payload.parent, device.payload.peer).await
    }

    /// The same for a peer and its parent.
    pub(super) async fn presence_of(&self, parent: Option<PeerId>, peer: PeerId) -> Presence {
        if peer == self.handle.peer() {
            return Presence::Online { heard_secs: 0 };
        }
        let Some(parent) = parent else { return Presence::Unknown };
        let asked = self.command(Command::Presence { parent, peer });
        match tokio::time::timeout(PRESENCE_WAIT, asked).await {
            Ok(Ok(Reply::Presence(presence))) => presence_view(presence),
            Ok(Ok(_) | Err(_)) | Err(_) => Presence::Unknown,
        }
    }
}

fn presence_view(presence: api::Presence) -> Presence {
    match presence {
        api::Presence::Online { heard } => Presence::Online { heard_secs: heard.as_secs() },
        api::Presence::Offline { since } => Presence::Offline { since: rfc3339(since) },
        api::Presence::Unknown => Presence::Unknown,
    }
}

/// What a failure means for the name.
fn answered(failure: &Failure) -> Answered {
    match failed(failure).code.exit() {
        exit if exit == Code::Timeout.exit() => Answered::Unknown,
        exit if exit == Code::VerificationFailed.exit() => Answered::Unverified,
        _ => Answered::Failed,
    }
}

/// A failure as the problem of one name.
pub(super) fn about(username: &Username, failure: &Failure) -> Problem {
    let mut problem = failed(failure);
    problem.message = format!("{username}: {}", problem.message);
    // Codes of other commands would mislead.
    if answered(failure) == Answered::Failed {
        problem = Problem::new(Code::Failed, problem.message).hint("see the daemon's log");
    }
    problem
}

fn resolved(username: &Username, resolution: &Resolution, ms: f64) -> Lookup {
    let absent = resolution.devices.is_empty();
    let error = absent.then(|| {
        Problem::new(Code::Absent, format!("{username} is not registered")).hint(
            "check the spelling; a name is found while one of its devices was online in the last 72 hours",
        )
    });
    Lookup {
        name: username.to_string(),
        outcome: if absent { Answered::Absent } else { Answered::Found },
        devices: resolution.devices.iter().map(device_view).collect(),
        hops: resolution.hops,
        source: Some(source_word(resolution.source).to_owned()),
        denials: resolution.denials,
        ms,
        trace: resolution.trace.iter().map(step).collect(),
        partial: resolution.partial.as_ref().map(|failure| about(username, failure)),
        error,
    }
}

fn without(name: &str, outcome: Answered, problem: Problem, ms: f64) -> Lookup {
    let (name, error) = (name.to_owned(), Some(problem));
    let (devices, trace) = (Vec::new(), Vec::new());
    Lookup { name, outcome, devices, hops: 0, source: None, denials: 0, ms, trace, partial: None, error }
}

/// A device as the local API shows it.
pub(super) fn device_view(device: &api::Device) -> Device {
    let payload = &device.payload;
    // Addresses are opaque to the overlay: one that can't be read is left out.
    let addresses = payload.addresses.iter().filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok());
    Device {
        device: device.key.to_hex(),
        peer: peer_text(&payload.peer),
        parent: payload.parent.as_ref().map(peer_text),
        addresses: addresses.map(|address| address.to_string()).collect(),
        display: payload.display.clone(),
        entries: payload.entries.iter().map(ToString::to_string).collect(),
        seq: device.seq,
        age_secs: wall().since(device.not_before).as_secs(),
        signed_at: rfc3339(device.not_before),
        valid_until: rfc3339(device.not_after),
        presence: None,
    }
}

const fn source_word(source: Source) -> &'static str {
    match source {
        Source::Own => "own",
        Source::Index => "index",
        Source::Store => "store",
        Source::Cache => "cache",
        Source::Overlay => "overlay",
    }
}

fn step(step: &api::Step) -> Step {
    let asked = match step.asked {
        Asked::Parent => "parent",
        Asked::Standby => "standby",
        Asked::Storer => "storer",
    };
    let (answer, devices, source) = match step.answer {
        // A storer has what it gives from its store, which needs no saying.
        Answer::Found { devices, source } => {
            ("found", Some(devices), (step.asked != Asked::Storer).then_some(source))
        }
        Answer::Denied => ("denied", None, None),
        Answer::Named { .. } => ("named others", None, None),
        Answer::Syncing => ("syncing", None, None),
        Answer::Unknown => ("unknown", None, None),
        Answer::Refused => ("refused", None, None),
        Answer::Silent => ("silent", None, None),
        Answer::Pending => ("pending", None, None),
        Answer::Unreachable => ("unreachable", None, None),
        Answer::Invalid => ("invalid", None, None),
    };
    Step {
        at_ms: millis(step.at),
        peer: peer_text(&step.peer),
        address: step.address.as_ref().map(address_text),
        asked: asked.to_owned(),
        took_ms: millis(step.took),
        answer: answer.to_owned(),
        devices,
        source: source.map(|source| source_word(source).to_owned()),
    }
}
