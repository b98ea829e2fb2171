//! `watch`: what becomes of a name, as a stream of events.
//!
//! ```text
//! outcome of the overlay ─► Picture::outcome ─┐
//!                                             ├─► events, one JSON line each
//! presences, asked again ─► Picture::presence ┘
//! ```
//! Key changes are pushed by the overlay; presences are asked for every so often, and at once when a
//! device has another record (docs/decisions.md says why). What was known stays while nobody can say.
//! A watch ends when its reader goes, or with the daemon. *Not here*: the watch itself (the core).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use callbook_host::Watching;
use callbook_overlay::api::{Failure, Resolution};
use callbook_overlay::key::PeerId;
use callbook_overlay::name::Username;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::account::username;
use super::lookup::{about, device_view};
use super::state::{Daemon, leaving};
use crate::clock::{rfc3339, wall};
use crate::exit::Code;
use crate::problem::{Outcome, Problem};
use crate::view::{Change, Device, Document, Facet, Presence, Seen};

/// Watches that one daemon keeps. A guess: more than a person looks at, less than a script could leak.
pub(super) const WATCHES_MAX: usize = 64;

/// Shortest time between two questions after presences. A guess: hellos go every 10 s.
const PRESENCE_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Lines that a slow reader may be behind before the watch waits for it. A guess.
const LINES_MAX: usize = 64;

impl Daemon {
    /// Watches a name; the body has one line per event and ends with the daemon or its reader.
    ///
    /// # Errors
    /// The user: not a username, or too many watches. The daemon is stopping.
    pub(super) async fn watch(self: &Arc<Self>, text: &str, presence: Option<Duration>) -> Outcome<Body> {
        let username = username(text)?;
        if presence.is_some_and(|presence| presence < PRESENCE_INTERVAL_MIN) {
            let message = "presence can't be asked for more often than every second";
            return Err(Problem::new(Code::Usage, message).hint("choose 1s or more, or 0s for never"));
        }
        let permit = Arc::clone(&self.watches).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Busy, format!("this daemon keeps {WATCHES_MAX} watches already"))
                .hint("end one of them, and try again")
        })?;
        let watching = self.handle.watch(username.clone()).await.map_err(|_| leaving())?;
        let (lines, taken) = mpsc::channel(LINES_MAX);
        let reader = Reader { name: username.to_string(), lines };
        let watch = Watch { daemon: Arc::clone(self), username, watching, picture: Picture::default() };
        tokio::spawn(watch.run(reader, presence, permit));
        let lines = futures::stream::unfold(taken, |mut taken| async {
            let line: Bytes = taken.recv().await?;
            Some((Ok::<_, Infallible>(line), taken))
        });
        Ok(Body::from_stream(lines))
    }
}

/// Who reads a watch's events.
struct Reader {
    name: String,
    lines: mpsc::Sender<Bytes>,
}

impl Reader {
    /// Whether the reader is still there.
    async fn tell(&self, changes: Vec<Change>) -> bool {
        for change in changes {
            let seen = Seen { at: rfc3339(wall()), name: self.name.clone(), change };
            let line = match serde_json::to_vec(&Document::new(seen)) {
                Ok(mut line) => {
                    line.push(b'\n');
                    Bytes::from(line)
                }
                Err(error) => {
                    tracing::error!(%error, "an event can't be written");
                    return false;
                }
            };
            if self.lines.send(line).await.is_err() {
                return false;
            }
        }
        true
    }
}

struct Watch {
    daemon: Arc<Daemon>,
    username: Username,
    watching: Watching,
    picture: Picture,
}

impl Watch {
    async fn run(mut self, reader: Reader, every: Option<Duration>, permit: OwnedSemaphorePermit) {
        let mut stop = self.daemon.stop.subscribe();
        let ended = tokio::select! {
            () = reader.lines.closed() => None,
            _ = stop.wait_for(|stop| *stop) => Some(leaving()),
            ended = self.go_on(&reader, every) => ended,
        };
        if let Some(error) = ended {
            reader.tell(vec![Change::Ended { error }]).await;
        }
        drop(permit);
    }

    /// Until the reader is gone, or (then with the reason) the overlay ends the watch.
    async fn go_on(&mut self, reader: &Reader, every: Option<Duration>) -> Option<Problem> {
        // Without presences the timer goes off to no end once a year.
        let period = every.unwrap_or(Duration::from_secs(31_536_000));
        let mut due = interval_at(Instant::now() + period, period);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking = FuturesUnordered::new();
        loop {
            let (changes, ask) = tokio::select! {
                outcome = self.watching.next() => match outcome {
                    Some(outcome) => {
                        let changes = self.picture.outcome(&self.username, outcome);
                        let ask = !changes.is_empty();
                        (changes, ask)
                    }
                    None => return Some(leaving()),
                },
                Some(presences) = asking.next() => (self.picture.presences(presences), false),
                _ = due.tick() => (Vec::new(), asking.is_empty()),
            };
            if !reader.tell(changes).await {
                return None;
            }
            if ask && every.is_some() {
                // What is being asked of an old parent counts no more.
                asking.clear();
                asking.push(self.presences());
            }
        }
    }

    /// Asks every device's parent at once.
    fn presences(&self) -> impl Future<Output = Vec<(String, Presence)>> + use<> {
        let asked = self.picture.devices.iter().map(|(key, (parent, peer, _))| {
            let (daemon, key, parent, peer) = (Arc::clone(&self.daemon), key.clone(), *parent, *peer);
            async move { (key, daemon.presence_of(parent, peer).await) }
        });
        join_all(asked.collect::<Vec<_>>())
    }
}

/// What the reader has been told.
#[derive(Debug, Default)]
struct Picture {
    state: Option<State>,
    /// By device key: whom to ask after whom, and what was told, with the presence told last.
    devices: BTreeMap<String, (Option<PeerId>, PeerId, Device)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Found,
    Absent,
    Unknown,
}

impl Picture {
    /// Takes in what the overlay says; returns what is new.
    fn outcome(&mut self, username: &Username, outcome: Result<Resolution, Failure>) -> Vec<Change> {
        match outcome {
            Ok(resolution) => self.found(resolution),
            Err(failure) if self.state != Some(State::Unknown) => {
                self.state = Some(State::Unknown);
                vec![Change::Unknown { error: about(username, &failure) }]
            }
            Err(_) => Vec::new(),
        }
    }

    fn found(&mut self, resolution: Resolution) -> Vec<Change> {
        let mut changes = Vec::new();
        let state = if resolution.devices.is_empty() { State::Absent } else { State::Found };
        if state == State::Found && self.state != Some(State::Found) {
            changes.push(Change::Found { count: resolution.devices.len() });
        }
        let mut before = std::mem::take(&mut self.devices);
        for device in resolution.devices {
            let mut view = device_view(&device);
            let key = view.device.clone();
            match before.remove(&key) {
                None => changes.push(Change::DeviceAdded { device: Box::new(view.clone()) }),
                Some((_, _, old)) => {
                    view.presence = old.presence.clone();
                    if (old.seq, &old.signed_at) != (view.seq, &view.signed_at) {
                        let changed = differing(&old, &view);
                        changes.push(Change::DeviceChanged { device: Box::new(view.clone()), changed });
                    }
                }
            }
            self.devices.insert(key, (device.payload.parent, device.payload.peer, view));
        }
        changes
            .extend(before.into_values().map(|(_, _, old)| Change::DeviceRemoved { device: Box::new(old) }));
        if state == State::Absent && self.state != Some(State::Absent) {
            changes.push(Change::Absent);
        }
        self.state = Some(state);
        changes
    }

    /// Takes in what the parents say; returns what is new.
    fn presences(&mut self, presences: Vec<(String, Presence)>) -> Vec<Change> {
        let mut changes = Vec::new();
        for (key, presence) in presences {
            let Some((_, _, device)) = self.devices.get_mut(&key) else { continue };
            let same = device.presence.as_ref().is_some_and(|told| is_same(told, &presence));
            device.presence = Some(presence.clone());
            if !same {
                changes.push(Change::PresenceChanged { device: key, peer: device.peer.clone(), presence });
            }
        }
        changes
    }
}

/// How long ago a device was heard is no news.
fn is_same(told: &Presence, presence: &Presence) -> bool {
    match (told, presence) {
        (Presence::Online { .. }, Presence::Online { .. }) => true,
        (_, _) => told == presence,
    }
}

fn differing(old: &Device, new: &Device) -> Vec<Facet> {
    let facets = [
        (Facet::Peer, old.peer != new.peer),
        (Facet::Parent, old.parent != new.parent),
        (Facet::Addresses, old.addresses != new.addresses),
        (Facet::Display, old.display != new.display),
        (Facet::Entries, old.entries != new.entries),
    ];
    facets.into_iter().filter(|(_, differs)| *differs).map(|(facet, _)| facet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use callbook_overlay::api::{self, Source};
    use callbook_overlay::key::PublicKey;
    use callbook_overlay::record::DevicePayload;
    use callbook_overlay::time::Unix;

    fn peer(number: u8) -> PeerId {
        PublicKey::from_bytes([number; 32]).as_peer()
    }

    fn device(number: u8, seq: u64, parent: u8) -> api::Device {
        let payload = DevicePayload {
            peer: peer(number),
            parent: Some(peer(parent)),
            addresses: Vec::new(),
            entries: Vec::new(),
            display: String::new(),
        };
        let (not_before, not_after) = (Unix::from_secs(seq), Unix::from_secs(seq + 9));
        api::Device { key: PublicKey::from_bytes([number; 32]), payload, seq, not_before, not_after }
    }

    fn resolution(devices: Vec<api::Device>) -> Result<Resolution, Failure> {
        let (source, trace) = (Source::Store, Vec::new());
        Ok(Resolution { devices, hops: 0, source, denials: 0, trace, partial: None })
    }

    fn words(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                Change::Found { count } => format!("found {count}"),
                Change::Absent => "absent".to_owned(),
                Change::Unknown { .. } => "unknown".to_owned(),
                Change::DeviceAdded { device } => format!("added {}", &device.device[..2]),
                Change::DeviceChanged { device, changed } => {
                    format!("changed {} {changed:?}", &device.device[..2])
                }
                Change::DeviceRemoved { device } => format!("removed {}", &device.device[..2]),
                Change::PresenceChanged { device, presence, .. } => {
                    format!("{} {presence:?}", &device[..2])
                }
                Change::Ended { .. } => "ended".to_owned(),
            })
            .collect()
    }

    #[test]
    fn each_difference_is_told_once_and_what_was_known_stays_while_nobody_can_say() {
        // Goal: the events between outcomes. Method: one outcome after the other, repeated ones too.
        let alice = Username::parse("alice").unwrap();
        let mut picture = Picture::default();
        let failure = || Err(Failure::Detached);
        let story = [
            (resolution(vec![]), vec!["absent"]),
            (resolution(vec![]), vec![]),
            (resolution(vec![device(1, 1, 9)]), vec!["found 1", "added 01"]),
            (resolution(vec![device(1, 1, 9)]), vec![]),
            (failure(), vec!["unknown"]),
            (failure(), vec![]),
            (resolution(vec![device(1, 1, 9)]), vec!["found 1"]),
            (resolution(vec![device(1, 2, 8), device(2, 1, 9)]), vec!["changed 01 [Parent]", "added 02"]),
            (resolution(vec![device(2, 2, 9)]), vec!["changed 02 []", "removed 01"]),
            (resolution(vec![]), vec!["removed 02", "absent"]),
        ];
        for (outcome, told) in story {
            assert_eq!(words(&picture.outcome(&alice, outcome)), told);
        }
    }

    #[test]
    fn presence_is_told_when_it_turns_and_not_when_it_is_merely_confirmed() {
        // Goal: one event per turn. Method: online twice, offline, unknown, and of a device that is gone.
        let alice = Username::parse("alice").unwrap();
        let mut picture = Picture::default();
        picture.outcome(&alice, resolution(vec![device(1, 1, 9)]));
        let key = PublicKey::from_bytes([1; 32]).to_hex();
        let mut told = |presence| words(&picture.presences(vec![(key.clone(), presence)]));
        assert_eq!(told(Presence::Online { heard_secs: 2 }), ["01 Online { heard_secs: 2 }"]);
        assert_eq!(told(Presence::Online { heard_secs: 9 }), [""; 0]);
        let since = "2026-11-22T00:00:00Z".to_owned();
        assert_eq!(told(Presence::Offline { since: since.clone() }).len(), 1);
        assert_eq!(told(Presence::Offline { since }), [""; 0]);
        assert_eq!(told(Presence::Unknown), ["01 Unknown"]);
        picture.outcome(&alice, resolution(vec![]));
        assert_eq!(picture.presences(vec![(key, Presence::Unknown)]), []);
    }
}
