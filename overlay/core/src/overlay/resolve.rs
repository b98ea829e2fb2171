//! Resolving: from a name to verified devices.
//!
//! ```text
//!  child: ask the parent ─▶ check chain and signature, open ─▶ devices
//!                 ▲               │ wrong: Reject, three attempts
//!                 └───────────────┘
//!  superpeer: ask ourselves
//! ```
//! What verifies and opens counts; an epoch record once seen is not forgotten. *Not here*: what a parent
//! does to answer (`look`).

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::look::{Asker, Found};
use super::requests::{Outcome, Purpose};
use super::{Overlay, Timer};
use crate::api::{CommandId, Device, Failure, How, Reply, Resolution, Source};
use crate::cbor::Blob;
use crate::invalid::{Invalid, Subject};
use crate::key::{Key, PeerId};
use crate::limits::{EPOCHS_MAX, PARENT_TIMEOUT, RESOLVE_ATTEMPTS, RESOLVE_TIMEOUT};
use crate::name::Username;
use crate::record::{Bundle, Record, Verdict, supersedes};
use crate::time::Instant;
use crate::wire::{FLAG_FRESH, Message, Reason, Reject, Resolve, Resolved};

/// A look-up that was asked for here.
#[derive(Debug)]
struct Local {
    command: CommandId,
    username: Username,
    key: Key,
    how: How,
    attempts: u8,
    asking: bool,
    deadline: Instant,
    invalid: Option<Invalid>,
}

#[derive(Debug, Default)]
pub(super) struct Resolving {
    local: BTreeMap<u64, Local>,
    pub(super) waiting: BTreeMap<Key, Vec<Asker>>,
    /// The newest epoch record seen of each name: nobody can hide it from us again.
    epochs: BTreeMap<Key, Record>,
}

impl Resolving {
    /// At the bound another name's goes.
    pub(super) fn remember(&mut self, epoch: &Record) {
        let key = epoch.header().key;
        if self.epochs.get(&key).is_none_or(|seen| supersedes(epoch, seen) == Verdict::Newer) {
            self.epochs.insert(key, epoch.clone());
        }
        if self.epochs.len() > EPOCHS_MAX {
            self.epochs.pop_first();
        }
    }
}

impl Overlay {
    pub(super) fn resolve(&mut self, command: CommandId, username: Username, how: How) {
        let id = self.number();
        let key = self.network.name_key(&username);
        let deadline = self.set_timer(RESOLVE_TIMEOUT, Timer::Resolve(id));
        let local =
            Local { command, username, key, how, attempts: 0, asking: false, deadline, invalid: None };
        self.resolving.local.insert(id, local);
        self.pursue(id);
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
        let (key, fresh) = (local.key, local.how.fresh || local.attempts > 0);
        if matches!(self.role, crate::api::Role::Superpeer(_)) {
            local.attempts += 1;
            return self.look(key, fresh, Asker::Local(id));
        }
        if let Some(parent) = parent {
            local.attempts += 1;
            local.asking = true;
            let flags = if fresh { FLAG_FRESH } else { 0 };
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
        match outcome {
            Outcome::Answer(Message::Resolved(resolved)) => self.resolved(id, resolved),
            Outcome::Refused(refused) if Reason::from_wire(refused.reason) != Reason::Unsupported => {
                let why = Reason::from_wire(refused.reason).as_str().to_string();
                self.fail_or_own(id, Failure::Refused(why));
            }
            // Not a parent any more, or gone: the next one is asked once it is there.
            Outcome::Answer(_) | Outcome::Refused(_) | Outcome::Unreachable => {
                local.attempts = local.attempts.saturating_sub(1);
                if let Outcome::Refused(refused) = &outcome {
                    self.disowned(&peer, refused);
                }
                if self.is_superpeer() || self.attaching.parent().is_some_and(|parent| parent != peer) {
                    self.pursue(id);
                }
            }
            Outcome::Silent => self.fail_or_own(id, Failure::Timeout { answered: 0, asked: 1 }),
        }
    }

    pub(super) fn resolved(&mut self, id: u64, resolved: Resolved) {
        let source = match resolved.source {
            1 => Source::Index,
            2 => Source::Store,
            3 => Source::Cache,
            _ => Source::Overlay,
        };
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
                        self.conclude(id, Found { bundle, source, hops: resolved.hops });
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
            _ => self.fail_or_own(id, Failure::Timeout { answered: denials, asked: storers }),
        }
    }

    /// A denial may come with what was revoked: our own record is not to answer then.
    pub(super) fn remember_epochs(&mut self, id: u64, records: Vec<Blob>) {
        let Some(key) = self.resolving.local.get(&id).map(|local| local.key) else { return };
        let record = records.into_iter().next().and_then(|blob| self.read_record(blob.0).ok());
        let epoch = record.filter(|record| record.header().key == key && record.certificate().is_none());
        if let Some(epoch) = epoch.filter(|epoch| self.verify(epoch).is_ok()) {
            self.resolving.remember(&epoch);
        }
    }

    /// Verifies and opens what was found; ends the look-up, or rejects and tries again.
    pub(super) fn conclude(&mut self, id: u64, found: Found) {
        let Some(local) = self.resolving.local.get(&id) else { return };
        let (key, username) = (local.key, local.username.clone());
        let own = self.own_record(&key);
        let epoch = self.resolving.epochs.get(&key).filter(|seen| seen.check_header(self.now.unix).is_ok());
        let known = own.iter().chain(epoch).cloned();
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
            self.resolving.remember(epoch);
        }
        bundle.apply_epoch();
        devices.retain(|device: &Device| bundle.devices().any(|record| record.slot().writer == device.key));
        if devices.is_empty() {
            return self.absent(id, 0, found.source);
        }
        let all_own = own.is_some_and(|own| devices.iter().all(|device| device.key == own.slot().writer));
        let source = if all_own { Source::Own } else { found.source };
        let hops = if all_own { 0 } else { found.hops };
        self.count_found(source);
        self.end_resolve(
            id,
            Reply::Resolved(Resolution { devices, hops, source, denials: 0, trace: Vec::new() }),
        );
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
        let Some(local) = self.resolving.local.get_mut(&id) else { return };
        local.invalid = Some(invalid);
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
        let absent = Resolution { devices: Vec::new(), hops: 0, source, denials, trace: Vec::new() };
        self.end_resolve(id, Reply::Resolved(absent));
    }

    /// Our own record, while it and its chain are valid.
    fn own_record(&mut self, key: &Key) -> Option<Record> {
        let own = self.publishing.record(key)?.clone();
        (own.check_header(self.now.unix).is_ok() && self.verify(&own).is_ok()).then_some(own)
    }

    /// Our own record answers where nobody else does.
    fn answer_own(&mut self, id: u64) -> bool {
        let Some(key) = self.resolving.local.get(&id).map(|local| local.key) else { return false };
        let Some(own) = self.own_record(&key) else { return false };
        let bundle = Bundle::new([own]);
        self.conclude(id, Found { bundle, source: Source::Own, hops: 0 });
        true
    }

    pub(super) fn fail_or_own(&mut self, id: u64, failure: Failure) {
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
            self.reply(local.command, reply);
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
