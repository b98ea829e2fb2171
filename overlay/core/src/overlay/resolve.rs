//! Resolving: from a name to verified devices.
//!
//! ```text
//!  child: ask the parent ─▶ check chain and signature, open ─▶ devices
//!                 ▲               │ wrong: Reject, three attempts
//!                 └───────────────┘
//!  superpeer: ask ourselves
//! ```
//! What verifies and opens counts; the newest records seen are not forgotten (`newest`): one that is
//! older is not believed, and the parent is told. *Not here*: what a parent does to answer (`look`).

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::look::{Asker, Found, Waiting};
use super::newest::Newest;
use super::requests::{Outcome, Purpose};
use super::room::Room;
use super::{Overlay, Timer, steps};
use crate::api::{Answer, Asked, CommandId, Device, Failure, How, Reply, Resolution, Source, Step};
use crate::cbor::Blob;
use crate::counters::HOPS;
use crate::invalid::{Invalid, Subject};
use crate::key::{Digest, Key, PeerId};
use crate::limits::{PARENT_TIMEOUT, RESOLVE_ATTEMPTS, RESOLVE_TIMEOUT, TRACE_MAX};
use crate::name::Username;
use crate::record::{Bundle, Record};
use crate::time::Instant;
use crate::wire::{
    FLAG_CROSS_CHECK, FLAG_FRESH, FLAG_TRACE, Message, Reason, Reject, Resolve, Resolved, TraceStep,
};

/// What a local look-up is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Reply(CommandId),
    /// A watch has to hear what has become of the name.
    Watch(CommandId),
}

/// A look-up that was asked for here.
#[derive(Debug)]
struct Local {
    end: End,
    username: Username,
    key: Key,
    how: How,
    attempts: u8,
    asking: bool,
    deadline: Instant,
    invalid: Option<Invalid>,
    /// Why nobody else answers.
    unheard: Option<Failure>,
    since: Instant,
    /// When the parent, or ourselves, was asked last.
    asked: Instant,
    steps: Vec<Step>,
}

#[derive(Debug, Default)]
pub(super) struct Resolving {
    local: BTreeMap<u64, Local>,
    /// Who waits for a walk, by key and way.
    pub(super) waiting: BTreeMap<(Key, u8), Vec<Waiting>>,
    pub(super) newest: Newest,
}

impl Resolving {
    pub(super) fn give_room_back(&mut self) {
        self.local.give_back();
        self.waiting.give_back();
    }
}

impl Overlay {
    pub(super) fn resolve(&mut self, command: CommandId, username: Username, how: How) {
        let id = self.begin_resolve(End::Reply(command), username, how);
        self.pursue(id);
    }

    /// A look-up for a watch.
    pub(super) fn resolve_for_watch(&mut self, command: CommandId, username: Username, fresh: bool) {
        let how = How { fresh, ..How::default() };
        let id = self.begin_resolve(End::Watch(command), username, how);
        self.pursue(id);
    }

    /// A watch was told records: they are checked as any answer.
    pub(super) fn conclude_for_watch(&mut self, command: CommandId, username: Username, bundle: Bundle) {
        let id = self.begin_resolve(End::Watch(command), username, How::default());
        self.conclude(id, Found { bundle, source: Source::Overlay, hops: 0, trace: Vec::new() });
    }

    fn begin_resolve(&mut self, end: End, username: Username, how: How) -> u64 {
        let id = self.number();
        let key = self.network.name_key(&username);
        let deadline = self.set_timer(RESOLVE_TIMEOUT, Timer::Resolve(id));
        let (since, asked, steps) = (self.now.instant, self.now.instant, Vec::new());
        let (attempts, asking, invalid, unheard) = (0, false, None, None);
        let local = Local {
            end,
            username,
            key,
            how,
            attempts,
            asking,
            deadline,
            invalid,
            unheard,
            since,
            asked,
            steps,
        };
        self.resolving.local.insert(id, local);
        id
    }

    /// The key of a local look-up that has not ended.
    pub(super) fn local_key(&self, id: u64) -> Option<Key> {
        self.resolving.local.get(&id).map(|local| local.key)
    }

    /// Asks the parent, or ourselves; waits if there is no parent.
    fn pursue(&mut self, id: u64) {
        let parent = self.attaching.parent();
        let Some(local) = self.resolving.local.get_mut(&id) else { return };
        if local.attempts >= RESOLVE_ATTEMPTS {
            let why = local.invalid.map_or(String::new(), |invalid| invalid.to_string());
            return self.fail_resolve(id, Failure::Verification(why));
        }
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let flags = flag(local.how.fresh || local.attempts > 0, FLAG_FRESH)
            | flag(local.how.cross_check, FLAG_CROSS_CHECK)
            | flag(local.how.trace, FLAG_TRACE);
        let key = local.key;
        local.asked = self.now.instant;
        if matches!(self.role, crate::api::Role::Superpeer(_)) {
            local.attempts += 1;
            return self.look(key, flags, Asker::Local(id));
        }
        if let Some(parent) = parent {
            local.attempts += 1;
            local.asking = true;
            let message = Message::Resolve(Resolve { key, flags });
            self.ask(parent, message, Purpose::Resolve(id), PARENT_TIMEOUT);
        }
    }

    /// A parent is there: look-ups that waited for one go out.
    pub(super) fn resolve_waiting(&mut self) {
        let idle = self.resolving.local.iter().filter(|(_, local)| !local.asking);
        for id in idle.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.pursue(id);
        }
    }

    pub(super) fn resolve_timed_out(&mut self, id: u64) {
        let failure = match self.attaching.parent() {
            None if !self.is_superpeer() => Failure::Detached,
            _ => Failure::Timeout { answered: 0, asked: 1 },
        };
        self.fail_or_own(id, failure);
    }

    /// We are leaving: nobody waits for an answer in vain.
    pub(super) fn stop_resolving(&mut self) {
        for id in self.resolving.local.keys().copied().collect::<Vec<_>>() {
            self.fail_resolve(id, Failure::Leaving);
        }
    }

    /// The parent answered a local look-up, or not.
    pub(super) fn resolve_heard(&mut self, id: u64, peer: PeerId, outcome: Outcome) {
        let Some(local) = self.resolving.local.get_mut(&id) else { return };
        local.asking = false;
        self.note_answer(id, peer, Asked::Parent, &outcome);
        match outcome {
            Outcome::Answer(Message::Resolved(resolved)) => self.resolved(id, resolved),
            Outcome::Refused(refused) if Reason::from_wire(refused.reason) != Reason::Unsupported => {
                let why = Reason::from_wire(refused.reason).as_str().to_string();
                self.fail_or_own(id, Failure::Refused(why));
            }
            // Not a parent any more, or gone: the next one is asked once it is there.
            Outcome::Answer(_) | Outcome::Refused(_) | Outcome::Unreachable => {
                if let Some(local) = self.resolving.local.get_mut(&id) {
                    local.attempts = local.attempts.saturating_sub(1);
                }
                if let Outcome::Refused(refused) = &outcome {
                    self.disowned(&peer, refused);
                }
                if self.is_superpeer() || self.attaching.parent().is_some_and(|parent| parent != peer) {
                    self.pursue(id);
                }
            }
            Outcome::Silent => {
                self.fail_or_own(id, Failure::Timeout { answered: 0, asked: 1 });
                if self.attaching.is_parent(&peer) {
                    self.parent_at_fault();
                }
            }
        }
    }

    /// A look-up asks a peer now; with which flags.
    pub(super) fn ask_flags(&mut self, id: u64) -> u8 {
        let Some(local) = self.resolving.local.get_mut(&id) else { return FLAG_FRESH };
        local.asked = self.now.instant;
        if local.how.trace { FLAG_FRESH | FLAG_TRACE } else { FLAG_FRESH }
    }

    /// The answer of the parent or of a standby as a step, and then the steps of its own.
    pub(super) fn note_answer(&mut self, id: u64, peer: PeerId, role: Asked, outcome: &Outcome) {
        let local = self.resolving.local.get(&id).filter(|local| local.how.trace);
        let Some(asked) = local.map(|local| local.asked) else { return };
        let answer = match outcome {
            Outcome::Answer(Message::Resolved(resolved)) => told(resolved),
            Outcome::Answer(_) => Answer::Invalid,
            Outcome::Refused(_) => Answer::Refused,
            Outcome::Silent => Answer::Silent,
            Outcome::Unreachable => Answer::Unreachable,
        };
        self.note_step(id, peer, (role, asked, answer));
        if let Outcome::Answer(Message::Resolved(resolved)) = outcome {
            self.note_steps(id, &resolved.trace);
        }
    }

    /// A request of a traced look-up has ended now: whom we asked in which role, when, and its answer.
    fn note_step(&mut self, id: u64, peer: PeerId, step: (Asked, Instant, Answer)) {
        let (asked, at, answer) = step;
        let address = self.map.addresses(&peer).and_then(|known| known.first().copied());
        let now = self.now.instant;
        let Some(local) = self.resolving.local.get_mut(&id).filter(|local| local.how.trace) else { return };
        if local.steps.len() < TRACE_MAX {
            let (at, took) = (at.since(local.since), now.since(at));
            local.steps.push(Step { peer, address, asked, at, took, answer });
        }
    }

    /// The steps of who asked the storers: the parent, or ourselves.
    pub(super) fn note_steps(&mut self, id: u64, trace: &[TraceStep]) {
        for step in trace.iter().take(TRACE_MAX) {
            let address = self.map.addresses(&step.peer).and_then(|known| known.first().copied());
            let Some(local) = self.resolving.local.get_mut(&id) else { return };
            if !local.how.trace || local.steps.len() >= TRACE_MAX {
                return;
            }
            let micros = |count: u32| Duration::from_micros(u64::from(count));
            let at = local.asked.since(local.since) + micros(step.at_micros);
            let (took, answer) = (micros(step.took_micros), steps::from_wire(step));
            local.steps.push(Step { peer: step.peer, address, asked: Asked::Storer, at, took, answer });
        }
    }

    pub(super) fn resolved(&mut self, id: u64, resolved: Resolved) {
        let source = source_of(&resolved);
        let (denials, storers) = (usize::from(resolved.denials), usize::from(resolved.storers));
        match resolved.status {
            0 => {
                let blobs = resolved.records.into_iter();
                let count = blobs.len();
                let read = blobs.map(|blob| self.read_record(blob.0));
                // Kinds of later versions, and what has just ended by our clock, hide nothing else.
                let read = read
                    .filter(|read| !matches!(read, Err(Invalid::Unsupported { .. } | Invalid::Expired(_))));
                match read.collect::<Result<Vec<Record>, Invalid>>() {
                    // All has ended by our clock, and not by theirs: that is no absence.
                    Ok(records) if records.is_empty() && count > 0 => {
                        self.retry(id, Invalid::Expired(Subject::Record), None);
                    }
                    Ok(records) => {
                        let bundle = Bundle::new(records);
                        let (hops, trace) = (resolved.hops, Vec::new());
                        self.conclude(id, Found { bundle, source, hops, trace });
                    }
                    Err(invalid) => self.retry(id, invalid, None),
                }
            }
            1 => {
                self.remember_epochs(id, resolved.records);
                if !self.confirm_absent(id, denials, source) {
                    self.conclude_absent(id, denials, source);
                }
            }
            _ => {
                self.remember_epochs(id, resolved.records);
                self.fail_or_own(id, Failure::Timeout { answered: denials, asked: storers });
            }
        }
    }

    /// A denial may come with what was revoked: our own record is not to answer then.
    pub(super) fn remember_epochs(&mut self, id: u64, records: Vec<Blob>) {
        let Some(key) = self.resolving.local.get(&id).map(|local| local.key) else { return };
        let record = records.into_iter().next().and_then(|blob| self.read_record(blob.0).ok());
        let epoch = record.filter(|record| record.header().key == key && record.certificate().is_none());
        if let Some(epoch) = epoch.filter(|epoch| self.verify(epoch).is_ok()) {
            self.resolving.newest.remember(&epoch);
        }
    }

    /// Replaces what is older than what we saw. Returns what was replaced, by what.
    fn replace_older(&mut self, bundle: &mut Bundle) -> Vec<(Digest, Record)> {
        let mut replaced = Vec::new();
        for record in &mut bundle.records {
            let newer = self.resolving.newest.newer(record);
            let newer = newer.filter(|newer| newer.check_header(self.now.unix).is_ok()).cloned();
            if let Some(newer) = newer.filter(|newer| self.verify(newer).is_ok()) {
                replaced.push((record.digest(), newer.clone()));
                *record = newer;
            }
        }
        replaced
    }

    /// Who answered with an older record is told so.
    fn tell_newer(&mut self, key: Key, replaced: &[(Digest, Record)]) {
        let link = self.attaching.parent().and_then(|parent| self.links.to(&parent));
        for (digest, newer) in replaced {
            if self.is_superpeer() {
                self.put_right(&key, digest, newer);
            } else if let Some(link) = link {
                let newer = Some(Blob(newer.bytes().clone()));
                let reject = Reject { key, digest: *digest, reason: 3, newer };
                self.send(link, 0, Message::Reject(reject));
            }
        }
    }

    /// Verifies and opens what was found; ends the look-up, or rejects and tries again.
    pub(super) fn conclude(&mut self, id: u64, mut found: Found) {
        let Some(local) = self.resolving.local.get(&id) else { return };
        let (key, username) = (local.key, local.username.clone());
        let own = self.own_record(&key);
        let replaced = self.replace_older(&mut found.bundle);
        let behind = found.source != Source::Own && shows_a_device(&found.bundle);
        let known = own.iter().cloned().chain(self.known_epoch(&key));
        let mut bundle = Bundle::new(found.bundle.records.into_iter().chain(known));
        let (mut devices, mut sealed) = (Vec::new(), None);
        for record in &bundle.records {
            let opened = self.open(record, key, &username);
            match opened {
                Ok(device) => devices.extend(device),
                // One device's writer broke a rule: the others are there all the same.
                Err(invalid @ (Invalid::Sealed | Invalid::Payload(_))) => {
                    sealed = Some((invalid, record.clone()))
                }
                Err(invalid) => return self.retry(id, invalid, Some(record.clone())),
            }
        }
        if let (Some((invalid, record)), true) = (sealed, devices.is_empty()) {
            return self.retry(id, invalid, Some(record));
        }
        if let Some(epoch) = bundle.records.iter().find(|record| record.certificate().is_none()) {
            self.resolving.newest.remember(epoch);
        }
        bundle.apply_epoch();
        self.resolving.newest.see(key, &bundle);
        self.tell_newer(key, &replaced);
        devices.retain(|device: &Device| bundle.devices().any(|record| record.slot().writer == device.key));
        if devices.is_empty() && behind {
            return self.compare_then(id, found.source);
        } else if devices.is_empty() {
            return self.absent(id, 0, found.source);
        }
        let all_own = own.is_some_and(|own| devices.iter().all(|device| device.key == own.slot().writer));
        let source = if all_own { Source::Own } else { found.source };
        let hops = if all_own { 0 } else { found.hops };
        self.parent_is_fine();
        self.count_found(source);
        let trace = self.trace(id);
        let partial = self.resolving.local.get_mut(&id).and_then(|local| local.unheard.take());
        self.end_resolve(
            id,
            Reply::Resolved(Resolution { devices, hops, source, denials: 0, trace, partial }),
        );
    }

    /// All that we were given is revoked, and who gave it did not know: one that is behind denies nothing,
    /// and may lack what is there. Storers are compared; if that shows no more, it is as good as a denial.
    fn compare_then(&mut self, id: u64, source: Source) {
        let Some(local) = self.resolving.local.get_mut(&id) else { return };
        if !local.how.cross_check && local.attempts < RESOLVE_ATTEMPTS {
            local.how.cross_check = true;
            self.pursue(id);
        } else if !self.confirm_absent(id, 0, source) {
            self.absent(id, 0, source);
        }
    }

    /// The newest epoch record that we saw under a key, while it is valid.
    pub(super) fn known_epoch(&mut self, key: &Key) -> Option<Record> {
        let epoch = self.resolving.newest.epoch(key)?.clone();
        (epoch.check_header(self.now.unix).is_ok() && self.verify(&epoch).is_ok()).then_some(epoch)
    }

    /// The steps in the order of their start.
    fn trace(&mut self, id: u64) -> Vec<Step> {
        let local = self.resolving.local.get_mut(&id);
        let mut steps = local.map_or(Vec::new(), |local| core::mem::take(&mut local.steps));
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn open(&mut self, record: &Record, key: Key, username: &Username) -> Result<Option<Device>, Invalid> {
        if record.header().key != key {
            return Err(Invalid::Name);
        }
        self.verify(record)?;
        let Some(certificate) = record.certificate() else { return Ok(None) };
        let payload = record.open(&self.network, username)?;
        let header = record.header();
        let (seq, not_before, not_after) = (header.seq, header.not_before, header.not_after);
        Ok(Some(Device { key: certificate.device, payload, seq, not_before, not_after }))
    }

    /// The answer was not right: tell the parent, and ask again.
    fn retry(&mut self, id: u64, invalid: Invalid, record: Option<Record>) {
        self.counters.lookups.invalid += 1;
        if !self.is_superpeer() {
            self.parent_at_fault();
        }
        let Some(local) = self.resolving.local.get_mut(&id) else { return };
        local.invalid = Some(invalid);
        if let Some(step) = local.steps.iter_mut().rfind(|step| step.asked != Asked::Storer) {
            step.answer = Answer::Invalid;
        }
        let key = local.key;
        let link = self.attaching.parent().and_then(|parent| self.links.to(&parent));
        if let (Some(record), Some(link)) = (record, link) {
            let reason = u8::from(matches!(invalid, Invalid::Sealed | Invalid::Payload(_)));
            let reject = Reject { key, digest: record.digest(), reason, newer: None };
            self.send(link, 0, Message::Reject(reject));
        }
        self.pursue(id);
    }

    pub(super) fn conclude_absent(&mut self, id: u64, denials: usize, source: Source) {
        if !self.answer_own(id) {
            self.absent(id, denials, source);
        }
    }

    fn absent(&mut self, id: u64, denials: usize, source: Source) {
        self.counters.lookups.absent += 1;
        let trace = self.trace(id);
        let absent = Resolution { devices: Vec::new(), hops: 0, source, denials, trace, partial: None };
        self.end_resolve(id, Reply::Resolved(absent));
    }

    /// Our own record, while it and its chain are valid and nothing that we know revokes it.
    fn own_record(&mut self, key: &Key) -> Option<Record> {
        let own = self.publishing.record(key)?.clone();
        let revoked = self.known_epoch(key).is_some_and(|epoch| epoch.revokes(&own));
        (!revoked && own.check_header(self.now.unix).is_ok() && self.verify(&own).is_ok()).then_some(own)
    }

    /// Our own record answers where nobody else does.
    fn answer_own(&mut self, id: u64) -> bool {
        let Some(key) = self.resolving.local.get(&id).map(|local| local.key) else { return false };
        let Some(own) = self.own_record(&key) else { return false };
        let bundle = Bundle::new([own]);
        self.conclude(id, Found { bundle, source: Source::Own, hops: 0, trace: Vec::new() });
        true
    }

    /// Nobody else answers: our own devices do, as what may be a part.
    pub(super) fn fail_or_own(&mut self, id: u64, failure: Failure) {
        if let Some(local) = self.resolving.local.get_mut(&id) {
            local.unheard = Some(failure.clone());
        }
        if !self.answer_own(id) {
            self.fail_resolve(id, failure);
        }
    }

    fn fail_resolve(&mut self, id: u64, failure: Failure) {
        if matches!(failure, Failure::Timeout { .. } | Failure::Detached) {
            self.counters.lookups.unknown += 1;
        }
        self.end_resolve(id, Reply::Failed(failure));
    }

    fn end_resolve(&mut self, id: u64, reply: Reply) {
        if let Some(local) = self.resolving.local.remove(&id) {
            self.cancel(local.deadline, Timer::Resolve(id));
            self.claim_no_more(id);
            match local.end {
                End::Reply(command) => {
                    self.note_lookup(self.now.instant.since(local.since), &reply);
                    self.reply(command, reply);
                }
                End::Watch(command) => self.watched(command, id, reply),
            }
        }
    }

    /// What somebody waited for; watches wait for nothing.
    fn note_lookup(&mut self, took: Duration, reply: &Reply) {
        let times = &mut self.counters.lookup_times;
        if let Reply::Resolved(found) = reply {
            let known = !found.devices.is_empty();
            if known { &mut times.found } else { &mut times.absent }.took(took);
            if known {
                self.counters.lookup_hops.note(&HOPS, u64::from(found.hops));
            }
        } else if let Reply::Failed(Failure::Verification(_)) = reply {
            times.invalid.took(took);
        } else if !matches!(reply, Reply::Failed(Failure::Leaving)) {
            times.unknown.took(took);
        }
    }

    pub(super) fn count_found(&mut self, source: Source) {
        let lookups = &mut self.counters.lookups;
        match source {
            Source::Own => lookups.own += 1,
            Source::Index => lookups.index += 1,
            Source::Store => lookups.store += 1,
            Source::Cache => lookups.cache += 1,
            Source::Overlay => lookups.overlay += 1,
        }
    }
}

/// Where a parent says that it has its answer from.
fn source_of(resolved: &Resolved) -> Source {
    match resolved.source {
        1 => Source::Index,
        2 => Source::Store,
        3 => Source::Cache,
        _ => Source::Overlay,
    }
}

/// Whether a bundle holds a device that it does not revoke itself.
fn shows_a_device(bundle: &Bundle) -> bool {
    let mut bundle = bundle.clone();
    bundle.apply_epoch();
    bundle.devices().next().is_some()
}

/// A parent's or standby's answer as a step of the look-up.
fn told(resolved: &Resolved) -> Answer {
    let devices = || {
        resolved
            .records
            .iter()
            .filter(|blob| Record::parse(blob.0.clone()).is_ok_and(|record| record.certificate().is_some()))
    };
    match resolved.status {
        0 => Answer::Found { devices: devices().count(), source: source_of(resolved) },
        1 => Answer::Denied,
        _ => Answer::Unknown,
    }
}
