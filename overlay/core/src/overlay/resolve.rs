//! Resolving: from a name to verified devices.
//!
//! ```text
//!  child: ask the parent ─▶ check chain and signature, open ─▶ devices
//!                 ▲               │ wrong: Reject, three attempts
//!                 └───────────────┘
//!  superpeer: own names and index ─▶ own store ─▶ cache ─▶ walk
//! ```
//! The superpeer's side serves its children and itself alike. A bundle from the overlay is passed on
//! unverified, since the child's check decides, and verified before it is served again.
//!
//! An index holds only this parent's children; a name may have devices elsewhere. So the index answers
//! alone only while the cache knows the whole bundle (it does for a ttl after each registration).
//! *Not here*: the walk itself.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::requests::{Outcome, Purpose};
use super::walks::Owner;
use super::{Overlay, Timer};
use crate::api::{CommandId, Device, Failure, LinkId, Reply, Resolution, Source};
use crate::cbor::Blob;
use crate::invalid::Invalid;
use crate::key::{Key, PeerId};
use crate::limits::{EPOCHS_MAX, GONE_FOR, PARENT_TIMEOUT, RESOLVE_ATTEMPTS, RESOLVE_TIMEOUT};
use crate::lookup::Goal;
use crate::name::Username;
use crate::record::{Bundle, Record};
use crate::time::Instant;
use crate::wire::{FLAG_FRESH, Message, Reason, Reject, Resolve, Resolved};

/// Who waits for a bundle.
#[derive(Debug, Clone, Copy)]
enum Asker {
    Local(u64),
    Child { link: LinkId, id: u64 },
}

/// A look-up that was asked for here.
#[derive(Debug)]
struct Local {
    command: CommandId,
    username: Username,
    key: Key,
    fresh: bool,
    attempts: u8,
    asking: bool,
    deadline: Instant,
    invalid: Option<Invalid>,
}

#[derive(Debug, Default)]
pub(super) struct Resolving {
    local: BTreeMap<u64, Local>,
    waiting: BTreeMap<Key, Vec<Asker>>,
    /// The newest epoch record seen of each name: nobody can hide it from us again.
    epochs: BTreeMap<Key, Record>,
}

impl Resolving {
    /// At the bound another name's goes.
    fn remember(&mut self, epoch: &Record) {
        self.epochs.insert(epoch.header().key, epoch.clone());
        if self.epochs.len() > EPOCHS_MAX {
            self.epochs.pop_first();
        }
    }
}

/// What a walk that found no device has to say.
pub(super) struct Nothing {
    pub(super) absent: bool,
    pub(super) denials: usize,
    /// Superpeers that count.
    pub(super) storers: usize,
    /// Verified epoch records under the key: at most the newest.
    pub(super) epochs: Vec<Record>,
}

/// A bundle with where it came from.
struct Found {
    bundle: Bundle,
    source: Source,
    hops: u8,
}

impl Overlay {
    pub(super) fn resolve(&mut self, command: CommandId, username: Username, fresh: bool) {
        let id = self.number();
        let key = self.network.name_key(&username);
        let deadline = self.set_timer(RESOLVE_TIMEOUT, Timer::Resolve(id));
        let local =
            Local { command, username, key, fresh, attempts: 0, asking: false, deadline, invalid: None };
        self.resolving.local.insert(id, local);
        self.pursue(id);
    }

    /// Asks the parent, or ourselves; waits if there is no parent.
    fn pursue(&mut self, id: u64) {
        let parent = self.attaching.parent();
        let Some(local) = self.resolving.local.get_mut(&id) else { return };
        if local.attempts >= RESOLVE_ATTEMPTS {
            let why = local.invalid.map_or(String::new(), |invalid| invalid.to_string());
            return self.fail_resolve(id, Failure::Verification(why));
        }
        let (key, fresh) = (local.key, local.fresh || local.attempts > 0);
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

    fn resolved(&mut self, id: u64, resolved: Resolved) {
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
                let read = blobs.map(|blob| self.read_record(blob.0));
                // Kinds of later versions, and what has just ended by our clock, hide nothing else.
                let read = read
                    .filter(|read| !matches!(read, Err(Invalid::Unsupported { .. } | Invalid::Expired(_))));
                match read.collect::<Result<Vec<Record>, Invalid>>() {
                    Ok(records) => {
                        let bundle = Bundle::new(records);
                        self.conclude(id, Found { bundle, source, hops: resolved.hops });
                    }
                    Err(invalid) => self.retry(id, invalid, None),
                }
            }
            1 => {
                self.remember_epochs(id, resolved.records);
                self.conclude_absent(id, denials, source);
            }
            _ => self.fail_or_own(id, Failure::Timeout { answered: denials, asked: storers }),
        }
    }

    /// A denial may come with what was revoked: our own record is not to answer then.
    fn remember_epochs(&mut self, id: u64, records: Vec<Blob>) {
        let Some(key) = self.resolving.local.get(&id).map(|local| local.key) else { return };
        let record = records.into_iter().next().and_then(|blob| self.read_record(blob.0).ok());
        let epoch = record.filter(|record| record.header().key == key && record.certificate().is_none());
        if let Some(epoch) = epoch.filter(|epoch| self.verify(epoch).is_ok()) {
            self.resolving.remember(&epoch);
        }
    }

    /// Verifies and opens what was found; ends the look-up, or rejects and tries again.
    fn conclude(&mut self, id: u64, found: Found) {
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
        self.end_resolve(id, Reply::Resolved(Resolution { devices, hops, source, denials: 0 }));
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
            let reject = Reject { key, digest: record.digest(), reason };
            self.send(link, 0, Message::Reject(reject));
        }
        self.pursue(id);
    }

    fn conclude_absent(&mut self, id: u64, denials: usize, source: Source) {
        if !self.answer_own(id) {
            self.absent(id, denials, source);
        }
    }

    fn absent(&mut self, id: u64, denials: usize, source: Source) {
        self.counters.lookups.absent += 1;
        let absent = Resolution { devices: Vec::new(), hops: 0, source, denials };
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

    fn fail_or_own(&mut self, id: u64, failure: Failure) {
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

    fn count_found(&mut self, source: Source) {
        let lookups = &mut self.counters.lookups;
        match source {
            Source::Own => lookups.own += 1,
            Source::Index => lookups.index += 1,
            Source::Store => lookups.store += 1,
            Source::Cache => lookups.cache += 1,
            Source::Overlay => lookups.overlay += 1,
        }
    }

    // ---- The superpeer's side --------------------------------------------------------------------

    /// A child asks us to resolve.
    pub(super) fn serve_resolve(&mut self, link: LinkId, id: u64, resolve: &Resolve) {
        self.look(resolve.key, resolve.flags & FLAG_FRESH != 0, Asker::Child { link, id });
    }

    /// Looks near to far; answers now or when the walk ends.
    fn look(&mut self, key: Key, fresh: bool, asker: Asker) {
        if let Some(found) = self.look_here(&key, fresh) {
            return self.give(asker, &found);
        }
        let waiting = self.resolving.waiting.entry(key).or_default();
        waiting.push(asker);
        if waiting.len() == 1 {
            self.start_walk(key, Goal::Value, Owner::Resolve(key));
        }
    }

    /// The cache first: what is in it is as new as what we store, since storing evicts it.
    fn look_here(&mut self, key: &Key, fresh: bool) -> Option<Found> {
        if let Some(bundle) = self.look_in_cache(key).filter(|_| !fresh) {
            return Some(self.with_index(key, bundle, Source::Cache));
        }
        let bundle = self.store.bundle(key, self.now.unix);
        let held = bundle.devices().next().is_some() && self.stores(key);
        held.then(|| self.with_index(key, bundle, Source::Store))
    }

    /// A cached bundle, verified by now.
    fn look_in_cache(&mut self, key: &Key) -> Option<Bundle> {
        let cached = self.cache.fresh(key, self.now.instant)?;
        let (bundle, from) = (cached.bundle.clone(), cached.from);
        if cached.verified {
            return Some(bundle);
        }
        let (good, bad): (Vec<Record>, Vec<Record>) =
            bundle.records.into_iter().partition(|record| self.verify(record).is_ok());
        let bundle = Bundle::new(good);
        if !bad.is_empty() {
            self.blame(from);
        }
        if bundle.devices().next().is_none() {
            self.cache.evict(key);
            return None;
        }
        self.cache.verified(key, bundle.clone());
        Some(bundle)
    }

    /// Adds what our children registered; if that is all there is, the index is the source.
    fn with_index(&self, key: &Key, mut bundle: Bundle, source: Source) -> Found {
        let mut indexed = 0;
        let now = self.now.unix;
        for record in self.children.of(key).filter(|record| record.check_header(now).is_ok()) {
            indexed += 1;
            bundle.insert(record.clone());
        }
        bundle.apply_epoch();
        let source = if indexed > 0 && indexed == bundle.devices().count() { Source::Index } else { source };
        Found { bundle, source, hops: 0 }
    }

    /// Whether we are among the storers of a key.
    pub(super) fn stores(&self, key: &Key) -> bool {
        self.is_superpeer()
            && self.map.closest(key, self.replicas()).iter().any(|contact| contact.peer() == self.me)
    }

    /// Whether a bundle from a storer may be passed on: to a child always, unless the storer is blamed
    /// for another, to ourselves once verified.
    pub(super) fn resolve_usable(&mut self, key: &Key, bundle: &Bundle, storer: &PeerId) -> bool {
        let ours = |asker: &Asker| matches!(asker, Asker::Local(_));
        let local = self.resolving.waiting.get(key).is_some_and(|askers| askers.iter().any(ours));
        !(local || self.cache.is_blamed(storer))
            || bundle.records.iter().all(|record| self.verify(record).is_ok())
    }

    /// A storer had the bundle: answer all who wait, and keep it.
    pub(super) fn walk_found(&mut self, key: Key, bundle: Bundle, from: PeerId, hops: u8) {
        let found = self.with_index(&key, bundle, Source::Overlay);
        let found = Found { hops, source: Source::Overlay, ..found };
        for asker in self.resolving.waiting.remove(&key).unwrap_or_default() {
            self.give(asker, &found);
        }
        let until = self.now.instant + found.bundle.ttl(self.now.unix);
        self.cache.keep(key, (found.bundle, false, Some(from)), until);
    }

    /// The walk ended without a bundle. What our children registered is an answer all the same.
    pub(super) fn walk_found_nothing(&mut self, key: Key, nothing: &Nothing) {
        let found = self.with_index(&key, Bundle::new(nothing.epochs.iter().cloned()), Source::Index);
        let indexed = found.bundle.devices().next().is_some();
        for epoch in &nothing.epochs {
            self.resolving.remember(epoch);
        }
        for asker in self.resolving.waiting.remove(&key).unwrap_or_default() {
            if indexed {
                self.give(asker, &found);
            } else {
                self.give_nothing(asker, nothing);
            }
        }
    }

    fn give(&mut self, asker: Asker, found: &Found) {
        match asker {
            Asker::Local(id) => {
                let (bundle, source, hops) = (found.bundle.clone(), found.source, found.hops);
                self.conclude(id, Found { bundle, source, hops });
            }
            Asker::Child { link, id } => {
                self.count_found(found.source);
                let records = found.bundle.records.iter().map(|record| Blob(record.bytes().clone()));
                let (hops, source) = (found.hops, wire_source(found.source));
                let records = records.collect();
                let resolved = Resolved { status: 0, records, hops, source, denials: 0, storers: 0 };
                self.answer(link, id, Message::Resolved(resolved));
            }
        }
    }

    fn give_nothing(&mut self, asker: Asker, nothing: &Nothing) {
        let Nothing { absent, denials, storers, ref epochs } = *nothing;
        match asker {
            Asker::Local(id) if absent => self.conclude_absent(id, denials, Source::Overlay),
            Asker::Local(id) => {
                self.fail_or_own(id, Failure::Timeout { answered: denials, asked: storers });
            }
            Asker::Child { link, id } => {
                let lookups = &mut self.counters.lookups;
                let counter = if absent { &mut lookups.absent } else { &mut lookups.unknown };
                *counter += 1;
                let byte = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
                let (status, source) = (if absent { 1 } else { 2 }, wire_source(Source::Overlay));
                let (denials, storers) = (byte(denials), byte(storers));
                let records = epochs.iter().map(|epoch| Blob(epoch.bytes().clone())).collect();
                let resolved = Resolved { status, records, hops: 0, source, denials, storers };
                self.answer(link, id, Message::Resolved(resolved));
            }
        }
    }

    /// A child says that a record we served is not to be served.
    pub(super) fn serve_reject(&mut self, peer: PeerId, reject: &Reject) {
        const WITHDRAWN: u8 = 2;
        if reject.reason == WITHDRAWN {
            if self.children.withdraw(&peer, &reject.key, &reject.digest) {
                self.cache.evict(&reject.key);
            }
            return;
        }
        self.counters.rejects += 1;
        let Some(cached) = self.cache.fresh(&reject.key, self.now.instant) else { return };
        let (record, from) =
            (cached.bundle.records.iter().find(|r| r.digest() == reject.digest), cached.from);
        let Some(record) = record.cloned() else { return };
        if self.verify(&record).is_err() {
            self.cache.evict(&reject.key);
            self.blame(from);
        }
    }

    fn blame(&mut self, storer: Option<PeerId>) {
        if let Some(storer) = storer {
            self.cache.blame(storer, self.now.instant + GONE_FOR);
        }
    }
}

fn wire_source(source: Source) -> u8 {
    match source {
        Source::Own => 0,
        Source::Index => 1,
        Source::Store => 2,
        Source::Cache => 3,
        Source::Overlay => 4,
    }
}
