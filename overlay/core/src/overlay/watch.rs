//! Watches of the local user: being told when what is under a name changes.
//!
//! ```text
//!  watch ─▶ look-up: the first outcome
//!     └───▶ Watch to the parent, renewed at half, again at a new parent ◀── failed: again, and a look-up
//!                └─ Changed ─▶ checked like any answer ─▶ told, if it is another outcome
//! ```
//! What a parent pushes is checked as an answer is; that a name is gone is looked up. A failed look-up
//! is told only when the next one fails too. *Not here*: who is asked to watch (`watchers`).

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::requests::{Outcome, Purpose};
use super::{Overlay, Timer};
use crate::api::{CommandId, Device, Effect, Failure, Reply, Resolution};
use crate::key::{Key, PeerId, PublicKey};
use crate::limits::{
    LOCAL_WATCHES_MAX, REQUEST_TIMEOUT, WATCH_FAILURES, WATCH_LIFE, WATCH_LOOK_UPS_MAX, WATCH_POLL,
    WATCH_RENEW, WATCH_RETRY,
};
use crate::name::Username;
use crate::record::Bundle;
use crate::time::{Instant, Unix};
use crate::wire::{Changed, Message, Reason, Watch};

#[derive(Debug)]
struct LocalWatch {
    username: Username,
    key: Key,
    told: Option<Told>,
    /// The look-up that told it: what was asked before that is old by now.
    latest: u64,
    failures: u8,
    /// Look-ups on their way.
    looking: u8,
    /// Something was heard meanwhile: look once more.
    again: bool,
}

/// What a watch has told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// Version of each device; none if the name is absent.
    Devices(Vec<(PublicKey, u64, Unix)>),
    Unknown,
}

/// A key that is watched at the parent.
#[derive(Debug, Default)]
struct Asked {
    wake: Option<Instant>,
    /// Nobody watches it for us as it is.
    failed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Watching {
    local: BTreeMap<CommandId, LocalWatch>,
    keys: BTreeMap<Key, Asked>,
}

impl Overlay {
    /// The local user watches a name.
    pub(super) fn watch(&mut self, command: CommandId, username: Username) {
        if self.watching.local.len() >= LOCAL_WATCHES_MAX {
            let why = Reason::Limit.as_str().to_string();
            return self.reply(command, Reply::Failed(Failure::Refused(why)));
        }
        let key = self.network.name_key(&username);
        let (told, latest, failures, looking, again) = (None, 0, 0, 0, false);
        let watch = LocalWatch { username, key, told, latest, failures, looking, again };
        self.watching.local.insert(command, watch);
        let first = !self.watching.keys.contains_key(&key);
        self.look_for_watch(command, false);
        if first {
            self.watching.keys.insert(key, Asked::default());
            self.ask_watch(key);
        }
    }

    /// The local user watches it no more.
    pub(super) fn unwatch(&mut self, watching: CommandId) {
        let Some(watch) = self.watching.local.remove(&watching) else { return };
        self.reply(watching, Reply::Done);
        let key = watch.key;
        if self.watching.local.values().any(|other| other.key == key) {
            return;
        }
        if let Some(at) = self.watching.keys.remove(&key).and_then(|asked| asked.wake) {
            self.cancel(at, Timer::Watch(key));
        }
        if self.is_superpeer() {
            self.unwatch_here(&key);
        } else if let Some(parent) = self.attaching.parent() {
            let watch = Message::Watch(Watch { key, secs: 0 });
            self.ask(parent, watch, Purpose::Watch(key), REQUEST_TIMEOUT);
        }
    }

    /// We are leaving.
    pub(super) fn stop_watching(&mut self) {
        for command in self.watching.local.keys().copied().collect::<Vec<_>>() {
            self.unwatch(command);
        }
    }

    /// There is a new parent, or we are our own: all that is watched, is watched there.
    pub(super) fn watch_again(&mut self) {
        for key in self.watching.keys.keys().copied().collect::<Vec<_>>() {
            self.ask_watch(key);
        }
    }

    fn ask_watch(&mut self, key: Key) {
        if self.is_superpeer() {
            if self.watch_for(key, self.me, WATCH_LIFE) {
                self.wake_watch(key, WATCH_RENEW, false);
            } else {
                self.wake_watch(key, WATCH_POLL, true);
            }
        } else if let Some(parent) = self.attaching.parent() {
            self.wake_watch(key, WATCH_RENEW, false);
            let secs = u32::try_from(WATCH_LIFE.as_secs()).unwrap_or(u32::MAX);
            let watch = Message::Watch(Watch { key, secs });
            self.ask(parent, watch, Purpose::Watch(key), REQUEST_TIMEOUT);
        } else {
            self.wake_watch(key, WATCH_POLL, true);
        }
    }

    fn wake_watch(&mut self, key: Key, wait: core::time::Duration, failed: bool) {
        let wait = if failed { self.jittered(wait) } else { wait };
        let at = self.now.instant + wait;
        let Some(asked) = self.watching.keys.get_mut(&key) else { return };
        asked.failed = failed;
        if let Some(before) = asked.wake.replace(at) {
            self.timers.remove(&(before, Timer::Watch(key)));
        }
        self.timers.insert((at, Timer::Watch(key)));
    }

    pub(super) fn watch_due(&mut self, key: &Key) {
        let Some(asked) = self.watching.keys.get_mut(key) else { return };
        asked.wake = None;
        if asked.failed {
            self.look_for_watches(key);
        }
        self.ask_watch(*key);
    }

    /// The answer to a watch: of a storer to us as a parent, or of our parent.
    pub(super) fn watch_heard(&mut self, key: Key, peer: PeerId, outcome: Outcome) {
        if self.storer_heard(key, peer, &outcome) || !self.attaching.is_parent(&peer) {
            return;
        }
        match outcome {
            Outcome::Answer(Message::Changed(changed)) if changed.key == key => self.changed_here(changed),
            Outcome::Refused(refused) if Reason::from_wire(refused.reason) == Reason::Limit => {
                // It has no room: look ourselves.
                self.wake_watch(key, WATCH_POLL, true);
            }
            Outcome::Answer(_) | Outcome::Refused(_) | Outcome::Silent | Outcome::Unreachable => {
                self.wake_watch(key, WATCH_RETRY, true);
            }
        }
    }

    /// A watched key has changed, says who watches it for us; or we were answered too early.
    pub(super) fn changed_heard(&mut self, peer: PeerId, changed: &Changed) {
        if self.is_superpeer() {
            self.changed_at_storer(peer, changed);
        } else if self.attaching.is_parent(&peer) {
            self.changed_here(changed.clone());
        }
    }

    /// What a watched key is said to hold now. Nothing of it is believed unchecked.
    pub(super) fn changed_here(&mut self, changed: Changed) {
        const FOUND: u8 = 0;
        const UNKNOWN: u8 = 2;
        let key = changed.key;
        if !self.resolving.newest.knows(&key) && !self.watching.keys.contains_key(&key) {
            return;
        }
        let records = self.read_changed(&changed);
        for epoch in records.iter().filter(|record| record.certificate().is_none()) {
            if self.verify(epoch).is_ok() {
                self.resolving.newest.remember(epoch);
            }
        }
        match changed.status {
            FOUND if !records.is_empty() => {
                let bundle = Bundle::new(records);
                self.see_changed(key, &bundle);
                for (command, username) in self.watches_of(&key) {
                    if self.watch_looks(command) {
                        self.conclude_for_watch(command, username, bundle.clone());
                    }
                }
            }
            UNKNOWN => {}
            _ => self.look_for_watches(&key),
        }
    }

    /// What is new is remembered, also of a name that was only looked up.
    fn see_changed(&mut self, key: Key, bundle: &Bundle) {
        let good = bundle.records.iter().filter(|record| self.resolving.newest.is_new(record));
        let good: Vec<_> = good.cloned().collect();
        let good = good.into_iter().filter(|record| self.verify(record).is_ok());
        let good = Bundle::new(good.collect::<Vec<_>>());
        self.resolving.newest.see(key, &good);
    }

    fn watches_of(&self, key: &Key) -> Vec<(CommandId, Username)> {
        let of = self.watching.local.iter().filter(|(_, watch)| watch.key == *key);
        of.map(|(command, watch)| (*command, watch.username.clone())).collect()
    }

    fn look_for_watches(&mut self, key: &Key) {
        for (command, _) in self.watches_of(key) {
            self.look_for_watch(command, true);
        }
    }

    fn look_for_watch(&mut self, command: CommandId, fresh: bool) {
        let Some(watch) = self.watching.local.get_mut(&command) else { return };
        if watch.looking > 0 {
            watch.again = true;
            return;
        }
        let username = watch.username.clone();
        if self.watch_looks(command) {
            self.resolve_for_watch(command, username, fresh);
        }
    }

    /// Whether one more look-up may begin for a watch: a parent that pushes without end is not followed.
    fn watch_looks(&mut self, command: CommandId) -> bool {
        let Some(watch) = self.watching.local.get_mut(&command) else { return false };
        let may = watch.looking < WATCH_LOOK_UPS_MAX;
        watch.again |= !may;
        watch.looking += u8::from(may);
        may
    }

    /// A look-up of a watch has ended: the user hears of another outcome.
    pub(super) fn watched(&mut self, command: CommandId, id: u64, reply: Reply) {
        let Some(watch) = self.watching.local.get_mut(&command) else { return };
        watch.looking = watch.looking.saturating_sub(1);
        let (key, again) = (watch.key, core::mem::take(&mut watch.again));
        if id < watch.latest {
            if again {
                self.look_for_watch(command, true);
            }
            return;
        }
        watch.latest = id;
        let (told, outcome) = match outcome(reply) {
            Ok(resolution) => (Told::Devices(versions(&resolution.devices)), Ok(resolution)),
            Err(failure) => (Told::Unknown, Err(failure)),
        };
        watch.failures = if outcome.is_err() { watch.failures.saturating_add(1) } else { 0 };
        let flaps = watch.told.is_some() && outcome.is_err() && watch.failures < WATCH_FAILURES;
        let (failed, news) = (outcome.is_err(), !flaps && watch.told.as_ref() != Some(&told));
        if news {
            watch.told = Some(told);
            self.out.push(Effect::Changed { command, outcome });
        }
        if failed {
            self.wake_watch(key, WATCH_RETRY, true);
        } else if again {
            self.look_for_watch(command, true);
        }
    }
}

fn outcome(reply: Reply) -> Result<Resolution, Failure> {
    match reply {
        // What only we could say is no reason to think that other devices have gone.
        Reply::Resolved(Resolution { partial: Some(failure), .. }) => Err(failure),
        Reply::Resolved(resolution) => Ok(resolution),
        Reply::Failed(failure) => Err(failure),
        Reply::Done
        | Reply::Registered(_)
        | Reply::Stored(_)
        | Reply::Status(_)
        | Reply::Peers(_)
        | Reply::Seeds(_)
        | Reply::Presence(_) => Err(Failure::Timeout { answered: 0, asked: 0 }),
    }
}

fn versions(devices: &[Device]) -> Vec<(PublicKey, u64, Unix)> {
    let mut versions: Vec<_> =
        devices.iter().map(|device| (device.key, device.seq, device.not_before)).collect();
    versions.sort_unstable();
    versions
}
