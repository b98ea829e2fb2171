//! Publishing: the device records of the names that this peer holds.
//!
//! ```text
//!  hold ─▶ sign (seq + 1, durable) ─▶ register: parent, or put ─▶ published ─ 12 h, new parent ─▶ sign
//!            ▲                                   │
//!            ├── a higher seq is out there: adopt it, + 1
//!            └── refused or no answer: again later, doubling to a minute
//! ```
//! A number is on disk before a record with it leaves. *Not here*: certificates and their renewal.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::puts::{Origin, acknowledged};
use super::requests::{Outcome, Purpose};
use super::serve::register_body;
use super::{Overlay, Timer};
use crate::api::{CommandId, Failure, Held, HeldStatus, Notice, Reply, Stored, Write};
use crate::cbor::Blob;
use crate::certificate::{DeviceCertificate, NodeCertificate};
use crate::invalid::Invalid;
use crate::key::{Key, PublicKey};
use crate::limits::{
    DEVICE_LIFE_MAX, PARENT_TIMEOUT, PUBLISH_RETRY, PUBLISH_RETRY_MAX, RESIGN_INTERVAL, STALE_ATTEMPTS,
};
use crate::record::{DeviceDraft, DevicePayload, Record, sign_device};
use crate::sign::{Tag, to_sign};
use crate::time::{Instant, Unix};
use crate::wire::{Message, Reason, Register, Registered, Reject};

#[derive(Debug)]
struct Name {
    held: Held,
    certificate: DeviceCertificate,
    record: Option<Record>,
    stored: Option<Stored>,
    /// Commands that wait for the acknowledgement.
    commands: Vec<CommandId>,
    /// A registration or put of `record` is under way.
    busy: bool,
    failures: u32,
    stale: u8,
    wake: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Publishing {
    names: BTreeMap<Key, Name>,
    sequences: BTreeMap<(Key, PublicKey), u64>,
}

impl Publishing {
    pub(super) fn new(sequences: Vec<(Key, PublicKey, u64)>) -> Self {
        let sequences = sequences.into_iter().map(|(key, device, seq)| ((key, device), seq)).collect();
        Self { names: BTreeMap::new(), sequences }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The newest own record under a key.
    pub(super) fn record(&self, key: &Key) -> Option<&Record> {
        self.names.get(key)?.record.as_ref()
    }

    pub(super) fn status(&self) -> Vec<HeldStatus> {
        self.names.iter().map(|(key, name)| name.status(*key)).collect()
    }
}

impl Name {
    fn status(&self, key: Key) -> HeldStatus {
        let header = self.record.as_ref().map(Record::header);
        HeldStatus {
            username: self.held.username.clone(),
            key,
            device: self.certificate.device,
            seq: header.map_or(0, |header| header.seq),
            stored: self.stored,
            record_until: header.map_or(Unix::default(), |header| header.not_after),
            certificate_until: self.certificate.not_after,
        }
    }
}

impl Overlay {
    /// Holds a name, or replaces how it is held, and publishes it.
    pub(super) fn hold(&mut self, command: CommandId, held: Held) {
        let key = self.network.name_key(&held.username);
        let certificate = match held.chain.get(1).map(|bytes| DeviceCertificate::parse(bytes)) {
            Some(Ok(certificate)) if certificate.name == key => certificate,
            Some(Ok(_)) => {
                return self.reply(command, Reply::Failed(Failure::Invalid(Invalid::Name.to_string())));
            }
            Some(Err(invalid)) => {
                return self.reply(command, Reply::Failed(Failure::Invalid(invalid.to_string())));
            }
            None => return self.reply(command, Reply::Failed(Failure::Invalid(Invalid::Chain.to_string()))),
        };
        let mut name = Name {
            held,
            certificate,
            record: None,
            stored: None,
            commands: alloc::vec![command],
            busy: false,
            failures: 0,
            stale: 0,
            wake: None,
        };
        if let Some(old) = self.publishing.names.remove(&key) {
            if let Some(at) = old.wake {
                self.cancel(at, Timer::Publish(key));
            }
            name.commands.extend(old.commands);
            name.record = old.record;
        }
        self.publishing.names.insert(key, name);
        self.publish(&key);
    }

    /// Stops holding a name, and tells the parent so.
    pub(super) fn release(&mut self, key: &Key) {
        let Some(name) = self.publishing.names.remove(key) else { return };
        if let Some(at) = name.wake {
            self.cancel(at, Timer::Publish(*key));
        }
        for command in name.commands {
            self.reply(command, Reply::Failed(Failure::Refused("the name was released".to_string())));
        }
        self.cache.evict(key);
        let link = self.attaching.parent().and_then(|parent| self.links.to(&parent));
        if let (Some(link), Some(record)) = (link, name.record) {
            let reject = Reject { key: *key, digest: record.digest(), reason: 2 };
            self.send(link, 0, Message::Reject(reject));
        }
    }

    /// Signs every held name again: the parent or an address changed.
    pub(super) fn publish_all(&mut self) {
        for key in self.publishing.names.keys().copied().collect::<Vec<_>>() {
            self.publish(&key);
        }
    }

    pub(super) fn publish_due(&mut self, key: &Key) {
        if let Some(name) = self.publishing.names.get_mut(key) {
            name.wake = None;
            self.publish(key);
        }
    }

    /// Signs and sends, if there is somebody to send it to.
    fn publish(&mut self, key: &Key) {
        let ready = self.is_superpeer() || self.attaching.parent().is_some();
        if !ready {
            return;
        }
        if self.skewed {
            let seconds = self.links.skew();
            return self.publish_failed(key, None, Failure::Skewed { seconds });
        }
        match self.sign_next(key) {
            Some(Ok(record)) => self.send_record(key, record),
            Some(Err(invalid)) => {
                self.publish_failed(key, None, Failure::Invalid(invalid.to_string()));
            }
            None => {}
        }
    }

    fn sign_next(&mut self, key: &Key) -> Option<Result<Record, Invalid>> {
        let parent = if self.is_superpeer() { Some(self.me) } else { self.attaching.parent() };
        let name = self.publishing.names.get_mut(key)?;
        let device = name.certificate.device;
        let last = self.publishing.sequences.get(&(*key, device)).copied().unwrap_or(0);
        let seq = last.saturating_add(1);
        let payload = DevicePayload {
            peer: self.me,
            parent,
            addresses: self.multiaddrs.clone(),
            entries: name.held.entries.clone(),
            display: name.held.display.clone(),
        };
        let draft = DeviceDraft {
            username: &name.held.username,
            payload: &payload,
            epoch: name.certificate.epoch,
            seq,
            now: self.now.unix,
            life: DEVICE_LIFE_MAX,
            ttl: name.held.ttl,
            chain: &name.held.chain,
        };
        let record = match sign_device(draft, &self.network, &*name.held.device) {
            Ok(record) => record,
            Err(invalid) => return Some(Err(invalid)),
        };
        self.publishing.sequences.insert((*key, device), seq);
        // Own records are made again at every start, from the name and this number.
        self.persist(alloc::vec![Write::Sequence { key: *key, device, seq }], true);
        Some(Ok(record))
    }

    fn send_record(&mut self, key: &Key, record: Record) {
        let Some(name) = self.publishing.names.get_mut(key) else { return };
        (name.record, name.busy) = (Some(record.clone()), true);
        if self.is_superpeer() {
            return self.put(record, Origin::Own);
        }
        let Some(parent) = self.attaching.parent() else { return };
        let Some(name) = self.publishing.names.get(key) else { return };
        let message = to_sign(Tag::Register, &self.network.id, &register_body(&parent, &self.me));
        let signature = name.held.device.sign(&message);
        let register = Register { record: Blob(record.bytes().clone()), signature };
        self.ask(parent, Message::Register(register), Purpose::Register(*key), PARENT_TIMEOUT);
    }

    /// The parent answered a registration, or not.
    pub(super) fn register_heard(&mut self, key: Key, outcome: Outcome) {
        match outcome {
            Outcome::Answer(Message::Registered(registered)) => self.registered_by_parent(key, &registered),
            Outcome::Refused(refused) => {
                let newer = refused.newer.and_then(|blob| self.read_record(blob.0).ok());
                let newer = newer.filter(|newer| newer.header().key == key && self.verify(newer).is_ok());
                let why = Reason::from_wire(refused.reason).as_str().to_string();
                self.publish_failed(&key, newer.as_ref(), Failure::Refused(why));
            }
            // The next parent gets it as soon as it is there.
            Outcome::Unreachable => {}
            Outcome::Answer(_) | Outcome::Silent => {
                self.publish_failed(&key, None, Failure::Timeout { answered: 0, asked: 1 });
            }
        }
    }

    /// Counts the storers' signatures, not the parent's word.
    fn registered_by_parent(&mut self, key: Key, registered: &Registered) {
        let Some(record) = self.publishing.record(&key).cloned() else { return };
        let message = acknowledged(&self.network.id, &key, &record.digest());
        let mut storers = Vec::new();
        for acknowledgement in &registered.acknowledgements {
            let Ok(certificate) = NodeCertificate::parse(&acknowledgement.certificate.0) else { continue };
            let node = certificate.node;
            if !storers.contains(&node)
                && self.is_certified(&certificate)
                && self.verifier.verify(&node.as_public_key(), &message, &acknowledgement.signature)
            {
                storers.push(node);
            }
        }
        let stored = Stored { stored: storers.len(), of: usize::from(registered.of) };
        if stored.stored > stored.of / 2 {
            self.published(&record, stored);
        } else {
            let failure = Failure::Timeout { answered: stored.stored, asked: stored.of };
            self.publish_failed(&key, None, failure);
        }
    }

    /// A majority holds the record.
    pub(super) fn published(&mut self, record: &Record, stored: Stored) {
        let key = record.header().key;
        let Some(name) = self.publishing.names.get_mut(&key) else { return };
        // An older version's late acknowledgement says nothing of the newest.
        if name.record.as_ref().is_none_or(|newest| newest.digest() != record.digest()) {
            return;
        }
        (name.stored, name.busy, name.failures, name.stale) = (Some(stored), false, 0, 0);
        let (commands, username) = (core::mem::take(&mut name.commands), name.held.username.clone());
        self.counters.registrations_ok += 1;
        self.notice(Notice::Registered { username, stored });
        for command in commands {
            self.reply(command, Reply::Registered(stored));
        }
        self.publish_later(&key, RESIGN_INTERVAL);
    }

    /// It did not work: adopt a higher number at once, or tell the commands and try again later.
    pub(super) fn publish_failed(&mut self, key: &Key, newer: Option<&Record>, failure: Failure) {
        let Some(name) = self.publishing.names.get_mut(key) else { return };
        name.busy = false;
        let device = name.certificate.device;
        let own = newer.filter(|newer| newer.slot().writer == device).map(Record::header);
        if let Some(header) = own
            && header.epoch == name.certificate.epoch
            && name.stale < STALE_ATTEMPTS
        {
            name.stale += 1;
            let known = self.publishing.sequences.entry((*key, device)).or_default();
            *known = header.seq.max(*known);
            return self.publish(key);
        }
        self.counters.registrations_failed += 1;
        let revoked = newer.is_some_and(|newer| name.record.as_ref().is_some_and(|own| newer.revokes(own)));
        let failure =
            if revoked { Failure::Refused("this device has been revoked".to_string()) } else { failure };
        let (commands, username) = (core::mem::take(&mut name.commands), name.held.username.clone());
        name.failures += 1;
        let wait = PUBLISH_RETRY * 2u32.saturating_pow(name.failures.min(10));
        for command in commands {
            self.reply(command, Reply::Failed(failure.clone()));
        }
        if revoked {
            let reason = failure.to_string();
            return self.notice(Notice::Rejected { username, reason });
        }
        let wait = self.jittered(wait.min(PUBLISH_RETRY_MAX));
        self.publish_later(key, wait);
    }

    fn publish_later(&mut self, key: &Key, wait: core::time::Duration) {
        let Some(name) = self.publishing.names.get_mut(key) else { return };
        if let Some(at) = name.wake.take() {
            self.timers.remove(&(at, Timer::Publish(*key)));
        }
        let at = self.now.instant + wait;
        name.wake = Some(at);
        self.timers.insert((at, Timer::Publish(*key)));
    }
}
