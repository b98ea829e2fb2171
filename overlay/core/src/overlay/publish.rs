//! Publishing: the device records of the names that this peer holds.
//!
//! ```text
//!  hold ─▶ sign (seq + 1, durable) ─▶ register: parent, or put ─▶ published ─ 12 h, new parent ─▶ sign
//!            ▲                                   │
//!            ├── a higher seq is out there: adopt it, + 1
//!            └── refused or no answer: again later, doubling to a minute
//! ```
//! A number is on disk before a record with it leaves; many names signed at once share a commit. A record
//! that is sent again by a later turn does not wait for a disk that is full. So a start goes on with the wall
//! clock's second, if that is more than what is on disk: something may be out there with the next number.
//! At most [`PUBLISHING_MAX`] are under way, the others queue. Only the end of the newest version counts.
//! Without a parent, or with one after the other, commands are told so after a while. *Not here*: certificates and
//! their renewal.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::puts::{Origin, acknowledged};
use super::requests::{Outcome, Purpose};
use super::room::Room;
use super::serve::register_body;
use super::{Overlay, Timer};
use crate::api::{CommandId, Failure, Held, HeldStatus, Notice, Reply, Stored, Write};
use crate::cbor::Blob;
use crate::certificate::{DeviceCertificate, NodeCertificate};
use crate::invalid::Invalid;
use crate::key::{Key, PeerId, PublicKey};
use crate::limits::{
    CANDIDATES_MAX, DEVICE_LIFE_MAX, PARENT_TIMEOUT, PUBLISH_RETRY, PUBLISH_RETRY_MAX, PUBLISHING_MAX,
    REGISTER_TIMEOUT, RESIGN_INTERVAL, STALE_ATTEMPTS,
};
use crate::record::{DeviceDraft, DevicePayload, Record, sign_device};
use crate::sign::{Tag, to_sign};
use crate::sorted::{SortedMap, SortedSet};
use crate::time::{Instant, Unix};
use crate::wire::{Message, Reason, Register, Registered, Reject, Voucher};

#[derive(Debug)]
struct Name {
    held: Held,
    certificate: DeviceCertificate,
    record: Option<Record>,
    /// When that one was signed.
    signed: Instant,
    stored: Option<Stored>,
    /// Commands that wait for the acknowledgement, and until when.
    commands: Vec<(CommandId, Instant)>,
    failures: u32,
    stale: u8,
    wake: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Publishing {
    names: SortedMap<Key, Box<Name>>,
    sequences: SortedMap<(Key, PublicKey), u64>,
    /// Names with a registration or put of their newest record on its way.
    under_way: SortedSet<Key>,
    /// Names that wait for one of those to end.
    queue: BTreeSet<Key>,
}

impl Publishing {
    pub(super) fn give_room_back(&mut self) {
        self.queue.give_back();
    }

    pub(super) fn new(sequences: Vec<(Key, PublicKey, u64)>, now: Unix) -> Self {
        let past = |seq: u64| seq.max(now.as_secs());
        let sequences = sequences.into_iter().map(|(key, device, seq)| ((key, device), past(seq))).collect();
        Self { names: SortedMap::new(), sequences, under_way: SortedSet::new(), queue: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The newest own record under a key.
    pub(super) fn record(&self, key: &Key) -> Option<&Record> {
        self.names.get(key)?.record.as_ref()
    }

    /// Whether a majority holds the newest version of a name, as far as we know.
    pub(super) fn is_acknowledged(&self, key: &Key) -> bool {
        !self.under_way.contains(key) && self.names.get(key).is_some_and(|name| name.stored.is_some())
    }

    /// Up to `count` acknowledged names, those after `last` first.
    pub(super) fn acknowledged_after(&self, last: Option<Key>, count: usize) -> Vec<Key> {
        let keys = || self.names.keys().copied().filter(|key| self.is_acknowledged(key));
        let after = keys().filter(|key| last.is_none_or(|last| *key > last));
        let before = keys().filter(|key| last.is_some_and(|last| *key <= last));
        after.chain(before).take(count).collect()
    }

    fn is_newest(&self, record: &Record) -> bool {
        self.record(&record.header().key).is_some_and(|newest| newest.digest() == record.digest())
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
        let answer_by = self.set_timer(REGISTER_TIMEOUT, Timer::Register(key));
        let mut name = Name {
            held,
            certificate,
            record: None,
            signed: self.now.instant,
            stored: None,
            commands: alloc::vec![(command, answer_by)],
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
        self.publishing.names.insert(key, Box::new(name));
        self.publish(&key);
    }

    /// Parents have come and gone for so long that who waits is told so; publishing goes on.
    pub(super) fn register_due(&mut self, key: &Key) {
        let failure = match self.may_publish() {
            true => Failure::Timeout { answered: 0, asked: 1 },
            false => Failure::Detached,
        };
        let now = self.now.instant;
        let Some(name) = self.publishing.names.get_mut(key) else { return };
        let due: Vec<_> = name.commands.extract_if(.., |(_, answer_by)| *answer_by <= now).collect();
        if !due.is_empty() {
            self.counters.registrations(true).timeout += 1;
        }
        for (command, _) in due {
            self.reply(command, Reply::Failed(failure.clone()));
        }
    }

    /// Stops holding a name, and tells the parent so.
    pub(super) fn release(&mut self, key: &Key) {
        let Some(name) = self.publishing.names.remove(key) else { return };
        if let Some(at) = name.wake {
            self.cancel(at, Timer::Publish(*key));
        }
        for (command, _) in name.commands {
            self.reply(command, Reply::Failed(Failure::Refused("the name was released".to_string())));
        }
        self.publishing.queue.remove(key);
        self.publish_ended(key);
        self.check_no_more(key);
        self.cache.evict(key);
        let link = self.attaching.parent().and_then(|parent| self.links.to(&parent));
        if let (Some(link), Some(record)) = (link, name.record) {
            let reject = Reject { key: *key, digest: record.digest(), reason: 2, newer: None };
            self.send(link, 0, Message::Reject(reject));
        }
    }

    /// Signs every held name again: the parent or an address changed.
    pub(super) fn publish_all(&mut self) {
        let keys = self.publishing.names.keys().copied().collect();
        self.publish_these(keys, self.is_lonely());
    }

    /// Puts own records again that went to fewer storers than there ought to be by now: the network was
    /// smaller then, or we knew less of it.
    pub(super) fn publish_wider(&mut self) {
        let replicas = self.replicas();
        let narrow = |name: &Name| name.stored.is_some_and(|stored| stored.of < replicas);
        let names = self.publishing.names.values().filter(|name| narrow(name));
        let records: Vec<Record> = names.filter_map(|name| name.record.clone()).collect();
        let room = PUBLISHING_MAX.saturating_sub(self.publishing.under_way.len());
        for record in records.into_iter().take(room) {
            if self.publishing.under_way.insert(record.header().key) {
                self.put(record, Origin::Own);
            }
        }
    }

    /// Whether we are a superpeer that has not heard of any other: what it stores alone is not published.
    /// The login server begins alone.
    fn is_lonely(&self) -> bool {
        self.is_superpeer() && self.map.len() <= 1 && !self.reluctant
    }

    pub(super) fn publish_due(&mut self, key: &Key) {
        let Some(name) = self.publishing.names.get_mut(key) else { return };
        name.wake = None;
        if self.may_publish() {
            // By now nobody has come: perhaps there is nobody else.
            self.publish_these(alloc::vec![*key], false);
        } else {
            self.publish_failed(key, None, Failure::Detached);
        }
    }

    /// Whether there is somebody to send a record to.
    fn may_publish(&self) -> bool {
        self.is_superpeer() || self.attaching.parent().is_some()
    }

    pub(super) fn publish(&mut self, key: &Key) {
        self.publish_these(alloc::vec![*key], self.is_lonely());
    }

    /// Signs and sends as many as may be under way, unless they wait for somebody to come; one commit for
    /// all their numbers.
    fn publish_these(&mut self, keys: Vec<Key>, wait: bool) {
        let (mut writes, mut records) = (Vec::new(), Vec::new());
        for key in keys {
            if wait || !self.may_publish() {
                // A parent that comes takes them all; who asked is told if none does.
                self.publish_later(&key, PARENT_TIMEOUT);
            } else if self.skewed {
                let seconds = self.links.skew(self.now);
                self.publish_failed(&key, None, Failure::Skewed { seconds });
            } else if self.publishing.under_way.len() >= PUBLISHING_MAX
                && !self.publishing.under_way.contains(&key)
            {
                self.publishing.queue.insert(key);
            } else {
                match self.sign_next(&key, &mut writes) {
                    Some(Ok(record)) => {
                        self.publishing.under_way.insert(key);
                        records.push((key, record));
                    }
                    Some(Err(invalid)) => {
                        self.publish_failed(&key, None, Failure::Invalid(invalid.to_string()));
                    }
                    None => {}
                }
            }
        }
        self.persist(writes, true);
        for (key, record) in records {
            self.send_record(&key, record);
        }
    }

    /// The newest version of a name is on its way no more: others may go.
    fn publish_ended(&mut self, key: &Key) {
        let publishing = &mut self.publishing;
        publishing.under_way.remove(key);
        if publishing.under_way.len() <= PUBLISHING_MAX / 2 {
            let room = PUBLISHING_MAX - publishing.under_way.len();
            let next: Vec<Key> = (0..room).map_while(|_| publishing.queue.pop_first()).collect();
            if !next.is_empty() {
                self.publish_these(next, false);
            }
        }
    }

    fn sign_next(&mut self, key: &Key, writes: &mut Vec<Write>) -> Option<Result<Record, Invalid>> {
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
            Ok(record) => self.shared(record),
            Err(invalid) => return Some(Err(invalid)),
        };
        self.publishing.sequences.insert((*key, device), seq);
        // Own records are made again at every start, from the name and this number.
        writes.push(Write::Sequence { key: *key, device, seq });
        Some(Ok(record))
    }

    /// What tells a parent-to-be that we have an account: the certificate of a name that we hold which
    /// lives longest.
    pub(super) fn voucher(&self, parent: &PeerId) -> Option<Voucher> {
        let names = self.publishing.names.values();
        let held = &names.max_by_key(|name| name.certificate.not_after)?.held;
        let message = to_sign(Tag::Register, &self.network.id, &register_body(parent, &self.me));
        let chain = held.chain.iter().cloned().map(Blob).collect();
        Some(Voucher { chain, signature: held.device.sign(&message) })
    }

    fn send_record(&mut self, key: &Key, record: Record) {
        let Some(name) = self.publishing.names.get_mut(key) else { return };
        (name.record, name.signed) = (Some(record.clone()), self.now.instant);
        if let Some(at) = name.wake.take() {
            self.timers.remove(&(at, Timer::Publish(*key)));
        }
        if self.is_superpeer() {
            return self.put(record, Origin::Own);
        }
        let Some(parent) = self.attaching.parent() else { return };
        let Some(name) = self.publishing.names.get(key) else { return };
        let message = to_sign(Tag::Register, &self.network.id, &register_body(&parent, &self.me));
        let signature = name.held.device.sign(&message);
        let register = Register { record: Blob(record.bytes().clone()), signature };
        let purpose = Purpose::Register(*key, record.header().seq);
        self.ask(parent, Message::Register(register), purpose, PARENT_TIMEOUT);
    }

    /// The parent answered a registration, or not.
    pub(super) fn register_heard(&mut self, key: Key, seq: u64, peer: PeerId, outcome: Outcome) {
        if self.publishing.record(&key).is_none_or(|newest| newest.header().seq != seq) {
            // A newer version is on its way; it will be answered too.
            return;
        }
        match outcome {
            Outcome::Answer(Message::Registered(registered)) => self.registered_by_parent(key, &registered),
            Outcome::Refused(refused) if Reason::from_wire(refused.reason) == Reason::Unsupported => {
                // It is no parent of ours (any more).
                self.disowned(&peer, &refused);
                self.register_waits(&key);
            }
            Outcome::Refused(refused) => {
                let newer = refused.newer.and_then(|blob| self.read_record(blob.0).ok());
                let newer = newer.filter(|newer| newer.header().key == key && self.verify(newer).is_ok());
                let why = Reason::from_wire(refused.reason).as_str().to_string();
                self.publish_failed(&key, newer.as_ref(), Failure::Refused(why));
            }
            Outcome::Unreachable => self.register_waits(&key),
            Outcome::Answer(_) | Outcome::Silent => {
                self.parent_at_fault();
                self.publish_failed(&key, None, Failure::Timeout { answered: 0, asked: 1 });
            }
        }
    }

    /// The next parent gets it as soon as it is there; who asked is told if none comes.
    fn register_waits(&mut self, key: &Key) {
        self.publish_later(key, PARENT_TIMEOUT);
        self.publish_ended(key);
    }

    /// Counts the storers' signatures, not the parent's word.
    fn registered_by_parent(&mut self, key: Key, registered: &Registered) {
        let Some(record) = self.publishing.record(&key).cloned() else { return };
        let message = acknowledged(&self.network.id, &key, &record.digest());
        let mut storers = Vec::new();
        for acknowledgement in registered.acknowledgements.iter().take(CANDIDATES_MAX) {
            let Ok(certificate) = NodeCertificate::parse(&acknowledgement.certificate.0) else { continue };
            let node = certificate.node;
            if !storers.contains(&node)
                && self.is_certified(&certificate)
                && self.verifier.verify(&node.as_public_key(), &message, &acknowledgement.signature)
            {
                storers.push(node);
            }
        }
        // The parent may say that one storer is all there is; we count those that we know.
        let of = usize::from(registered.of).max(self.replicas());
        let stored = Stored { stored: storers.len(), of };
        if stored.stored > stored.of / 2 {
            self.parent_is_fine();
            self.published(&record, stored);
        } else {
            // Perhaps it is we who count superpeers that are gone.
            self.try_superpeers();
            let failure = Failure::Timeout { answered: stored.stored, asked: stored.of };
            self.publish_failed(&key, None, failure);
        }
    }

    /// A majority holds the record.
    pub(super) fn published(&mut self, record: &Record, stored: Stored) {
        let key = record.header().key;
        // An older version's late acknowledgement says nothing of the newest.
        if !self.publishing.is_newest(record) {
            return;
        }
        let Some(name) = self.publishing.names.get_mut(&key) else { return };
        (name.stored, name.failures, name.stale) = (Some(stored), 0, 0);
        let (commands, username) = (core::mem::take(&mut name.commands), name.held.username.clone());
        let took = self.now.instant.since(name.signed);
        self.counters.registration_times.took(took);
        self.counters.registrations(!commands.is_empty()).ok += 1;
        self.notice(Notice::Registered { username, stored });
        for (command, _) in commands {
            self.reply(command, Reply::Registered(stored));
        }
        self.publish_later(&key, RESIGN_INTERVAL);
        self.publish_ended(&key);
        self.check_soon(&key);
    }

    /// A put of our own record failed.
    pub(super) fn own_put_failed(&mut self, record: &Record, newer: Option<&Record>, failure: Failure) {
        if self.publishing.is_newest(record) {
            self.publish_failed(&record.header().key, newer, failure);
        }
    }

    /// It did not work: adopt a higher number at once, or tell the commands and try again later.
    fn publish_failed(&mut self, key: &Key, newer: Option<&Record>, failure: Failure) {
        let Some(name) = self.publishing.names.get_mut(key) else { return };
        let device = name.certificate.device;
        let own = newer.filter(|newer| newer.slot().writer == device).map(Record::header);
        if let Some(header) = own
            && header.epoch == name.certificate.epoch
            && name.stale < STALE_ATTEMPTS
        {
            name.stale += 1;
            let known = self.publishing.sequences.or_insert_with((*key, device), u64::default);
            *known = header.seq.max(*known);
            return self.publish(key);
        }
        let counted = self.counters.registrations(!name.commands.is_empty());
        match &failure {
            Failure::Timeout { .. } | Failure::Detached => counted.timeout += 1,
            Failure::Refused(_) | Failure::Verification(_) => counted.refused += 1,
            Failure::Invalid(_) | Failure::Skewed { .. } | Failure::Leaving => counted.error += 1,
        }
        let revoked = newer.is_some_and(|newer| name.record.as_ref().is_some_and(|own| newer.revokes(own)));
        let failure =
            if revoked { Failure::Refused("this device has been revoked".to_string()) } else { failure };
        let (commands, username) = (core::mem::take(&mut name.commands), name.held.username.clone());
        name.failures += 1;
        let wait = PUBLISH_RETRY * 2u32.saturating_pow(name.failures.min(10));
        for (command, _) in commands {
            self.reply(command, Reply::Failed(failure.clone()));
        }
        if revoked {
            let reason = failure.to_string();
            self.notice(Notice::Rejected { username, reason });
        } else {
            let wait = self.jittered(wait.min(PUBLISH_RETRY_MAX));
            self.publish_later(key, wait);
        }
        self.publish_ended(key);
    }

    /// We are leaving: nobody waits for an answer in vain.
    pub(super) fn stop_publishing(&mut self) {
        let names = self.publishing.names.values_mut();
        let commands: Vec<_> = names.flat_map(|name| core::mem::take(&mut name.commands)).collect();
        for (command, _) in commands {
            self.reply(command, Reply::Failed(Failure::Leaving));
        }
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
