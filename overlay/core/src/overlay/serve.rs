//! Serving: what other peers ask of us.
//!
//! Checks go from cheap to dear; what is refused says why and is counted. *Not here*: attach
//! (`children`), resolve (`resolve`).

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::moving::Asked;
use super::puts::{Origin, acknowledged};
use super::rumours::statement_message;
use super::{Overlay, Timer};
use crate::api::{LinkId, Notice, Seen, Write};
use crate::cbor::Blob;
use crate::counters::Requests;
use crate::invalid::Invalid;
use crate::key::{Key, PeerId};
use crate::limits::{
    DEVICES_PER_NAME_MAX, HINTS_PER_ANSWER_MAX, REGION, SERVING_MAX, WORKING_INTERVAL, WORKING_INTERVAL_MAX,
};
use crate::map::{Cause, Contact};
use crate::record::Record;
use crate::sign::{Tag, to_sign};
use crate::store::Kept;
use crate::wire::{
    Closest, Get, Got, Hint, Hints, Known, Leave, Message, Put, PutDone, PutResult, Reason, Refused,
    Register, Statement, Working,
};

impl Overlay {
    /// A request, or something that needs no answer, has come. What is refused at once counts for its kind.
    pub(super) fn serve(&mut self, link: LinkId, peer: PeerId, id: u64, message: Message) {
        let Some(of_kind) = kind_of(&message) else { return self.serve_kind(link, peer, id, message) };
        *of_kind(&mut self.counters.served) += 1;
        let before = self.counters.refused.clone();
        self.serve_kind(link, peer, id, message);
        *of_kind(&mut self.counters.denied) += u64::from(self.counters.refused != before);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all that we don't serve is answered alike")]
    fn serve_kind(&mut self, link: LinkId, peer: PeerId, id: u64, message: Message) {
        let answer = match message {
            Message::Hello(_) => Message::HelloBack(self.hello(link)),
            Message::Closest(closest) => self.serve_closest(&closest),
            Message::Get(get) => self.serve_get(&get),
            Message::Put(put) => self.serve_put(put),
            Message::Attach(attach) => self.serve_attach(peer, &attach),
            Message::Register(register) => {
                return self
                    .serve_later(link, id, |overlay| overlay.serve_register(link, peer, id, &register));
            }
            Message::Resolve(resolve) => {
                return self.serve_related(link, id, false, |overlay| {
                    overlay.serve_resolve(link, id, &resolve);
                    None
                });
            }
            Message::Reserve(reserve) => self.serve_reserve(peer, &reserve),
            Message::Watch(watch) => {
                if !self.is_related(&peer) {
                    return self.refuse_stranger(link, &peer, id);
                }
                return self.serve_watch(link, peer, id, &watch);
            }
            Message::Presence(ask) => {
                return self
                    .serve_related(link, id, true, |overlay| overlay.serve_presence(link, peer, id, &ask));
            }
            Message::Digest(compare) => self.serve_moving(link, &peer, &Asked::Digest(&compare)),
            Message::Pull(items) => self.serve_moving(link, &peer, &Asked::Pull(&items)),
            Message::Offer(items) => self.serve_moving(link, &peer, &Asked::Offer(&items)),
            Message::Who(who) => self.serve_who(&who),
            Message::Survey(survey) => self.serve_survey(link, &peer, &survey),
            // That it came is all it says.
            Message::Working(_) => return,
            Message::Reject(reject) => return self.serve_reject(peer, &reject),
            Message::Leave(leave) => return self.serve_leave(link, peer, &leave),
            Message::Promote(_) => return self.asked_to_join(&peer),
            Message::Elsewhere(elsewhere) => return self.sent_elsewhere(peer, &elsewhere),
            _ => self.refuse(Reason::Unsupported),
        };
        self.send(link, id, answer);
    }

    /// As [`Self::serve_later`], but only for children and those with a reservation, and for other
    /// superpeers if they may ask too.
    fn serve_related(
        &mut self,
        link: LinkId,
        id: u64,
        superpeers: bool,
        serve: impl FnOnce(&mut Self) -> Option<Message>,
    ) {
        let Some(peer) = self.links.get(link).map(|link| link.peer) else { return };
        if self.is_served(&peer) || superpeers && self.is_related(&peer) {
            self.serve_later(link, id, serve);
        } else {
            self.refuse_stranger(link, &peer, id);
        }
    }

    /// Whether a peer has to do with us: it is our child, may become it, or is a superpeer too.
    fn is_related(&self, peer: &PeerId) -> bool {
        self.is_served(peer) || self.map.contact(peer).is_some()
    }

    /// It may have been our child, or we a superpeer: others may serve it.
    fn refuse_stranger(&mut self, link: LinkId, peer: &PeerId, id: u64) {
        let candidates = self.candidates_for(peer);
        let refusal = self.refuse_with(Reason::Unsupported, candidates);
        self.send(link, id, refusal);
    }

    /// Serves what may take a while: bounded per link, only as a superpeer.
    fn serve_later(&mut self, link: LinkId, id: u64, serve: impl FnOnce(&mut Self) -> Option<Message>) {
        let (is_superpeer, now) = (self.is_superpeer(), self.now.instant);
        let Some(state) = self.links.get_mut(link) else { return };
        let peer = state.peer;
        if !is_superpeer {
            return self.refuse_stranger(link, &peer, id);
        }
        if state.serving >= SERVING_MAX {
            let refusal = self.refuse(Reason::Busy);
            return self.send(link, id, refusal);
        }
        state.serving += 1;
        if state.serving == 1 {
            state.serving_since = now;
        }
        state.serving_last = id;
        if let Some(answer) = serve(self) {
            self.answer(link, id, answer);
        } else {
            self.at_work(link);
        }
    }

    /// Something that the other side asked for takes time: it will be told so, if that is long.
    fn at_work(&mut self, link: LinkId) {
        let interval = self.working_interval(link);
        if let Some(state) = self.links.get_mut(link).filter(|state| state.serving > 0 && !state.at_work) {
            state.at_work = true;
            self.set_timer(interval, Timer::Working(link));
        }
    }

    /// Whoever is far away waits for four of its round trips: to hear once in each is enough. What we have measured may be
    /// more than what it has, so no more counts than is certain.
    fn working_interval(&self, link: LinkId) -> Duration {
        let trip = self.links.get(link).and_then(|link| self.links.round_trip(&link.peer));
        trip.map_or(WORKING_INTERVAL, |trip| trip.at_least().clamp(WORKING_INTERVAL, WORKING_INTERVAL_MAX))
    }

    /// Whoever waits hears something in time, once for all that it waits for.
    pub(super) fn working_due(&mut self, link: LinkId) {
        let (now, interval) = (self.now.instant, self.working_interval(link));
        let Some(state) = self.links.get_mut(link) else { return };
        if state.serving == 0 {
            state.at_work = false;
            return;
        }
        let (id, quiet) = (state.serving_last, now.since(state.serving_since.max(state.sent)));
        let mut wait = interval.saturating_sub(quiet);
        if wait.is_zero() {
            wait = interval;
            self.counters.working_sent += 1;
            self.send(link, id, Message::Working(Working {}));
        }
        self.set_timer(wait, Timer::Working(link));
    }

    /// Ends what [`Self::serve_later`] began, if the asker is still there.
    pub(super) fn answer(&mut self, link: LinkId, id: u64, message: Message) {
        if let Some(state) = self.links.get_mut(link) {
            state.serving = state.serving.saturating_sub(1);
            self.send(link, id, message);
        }
    }

    fn serve_closest(&mut self, closest: &Closest) -> Message {
        let count = usize::from(closest.count).min(HINTS_PER_ANSWER_MAX);
        let all = self.map.closest(&closest.key, count);
        let farthest = all.last().filter(|_| all.len() == count);
        let bucket = |contact: &&Contact| contact.distance(&closest.key).bucket();
        let shared = farthest.map(|contact| bucket(contact).map_or(u8::MAX, |bucket| u8::MAX - bucket));
        let (mut hints, mut there) = (Vec::new(), Known::default());
        // Who may be long gone, by our disk alone, is named to nobody.
        for contact in all.into_iter().filter(|contact| !contact.is_of_the_past()) {
            let (place, certificate) = (contact.id(), &contact.hint().certificate);
            if closest.remembered.has(&place, certificate) {
                there.add(&place, certificate);
            } else if !closest.known.has(&place, certificate) {
                hints.push(contact.hint().clone());
            }
        }
        Message::Hints(Hints { hints, shared, there })
    }

    /// The closest to a key that the asker does not know; not who may be long gone, either.
    fn closest_hints(&self, key: &Key, count: usize, known: &Known) -> Vec<Hint> {
        let closest = self.map.closest(key, count.min(HINTS_PER_ANSWER_MAX)).into_iter();
        let closest = closest.filter(|contact| !contact.is_of_the_past());
        let news = closest.filter(|contact| !known.has(&contact.id(), &contact.hint().certificate));
        news.map(|contact| contact.hint().clone()).collect()
    }

    /// Whom we know around a key of which `count` are of use.
    pub(super) fn around(&self, key: &Key, count: usize) -> Vec<&Contact> {
        self.map.closest(key, count + count / 2)
    }

    /// Whom we know around a key, or know to be gone from there, for whoever is asked about it.
    pub(super) fn known_of(&self, key: &Key, around: &[&Contact]) -> Known {
        let mut known = Known::default();
        for contact in around {
            known.add(&contact.id(), &contact.hint().certificate);
        }
        let Some(farthest) = around.last().map(|contact| contact.distance(key)) else { return known };
        for (place, certificate) in self.map.gone_lately(self.now.instant) {
            if place.distance(key) <= farthest {
                known.add(place, certificate);
            }
        }
        known
    }

    fn serve_get(&mut self, get: &Get) -> Message {
        if !self.is_superpeer() {
            return self.refuse(Reason::Unsupported);
        }
        let bundle = self.store.bundle(&get.key, self.now.unix);
        let denied = bundle.devices().next().is_none();
        let closer = |overlay: &Self| overlay.closest_hints(&get.key, overlay.replicas(), &get.known);
        if denied && self.is_syncing() || self.is_stale() {
            // Perhaps it is among what we have not taken over yet, or is newer elsewhere.
            let closer = closer(self);
            return self.refuse_with(Reason::Syncing, closer);
        }
        let closer = if denied { closer(self) } else { Vec::new() };
        let records = bundle.records.iter().map(|record| Blob(record.bytes().clone())).collect();
        let passed_over = !denied && self.is_passed_over(&get.key);
        Message::Got(Got { records, closer, passed_over })
    }

    fn serve_put(&mut self, put: Put) -> Message {
        if !self.is_superpeer() {
            return self.refuse(Reason::Unsupported);
        }
        if put.records.len() > DEVICES_PER_NAME_MAX + 1 {
            return self.refuse(Reason::Limit);
        }
        let (mut results, mut read) = (Vec::new(), Vec::<Record>::new());
        for blob in put.records {
            let (result, record) = self.keep_put(blob.0, read.first().map(|first| first.header().key));
            results.push(result);
            read.extend(record);
        }
        // Who lacks a chain is told the rest with the whole record, when it knows what that replaces.
        let whole = read.len() == results.len();
        let key = read.first().filter(|_| whole).map(|record| record.header().key);
        let mut others = key.map_or(Vec::new(), |key| self.store.bundle(&key, self.now.unix).records);
        // What is told in place of one is no other.
        let told = |held: &Record| results.iter().any(|result| told_as_newer(result, held));
        others.retain(|held| !read.iter().any(|record| record.digest() == held.digest()) && !told(held));
        let others = others.into_iter().map(|record| Blob(record.bytes().clone())).collect();
        Message::PutDone(PutDone { results, others })
    }

    /// Stores what has been put under one key, known from the first that could be read; what was read.
    fn keep_put(&mut self, bytes: Bytes, key: Option<Key>) -> (PutResult, Option<Record>) {
        let none = PutResult { signature: None, refused: None, newer: None };
        let Some(bytes) = self.store.with_chain(bytes) else {
            // No fault: it will come whole.
            return (PutResult { refused: Some(Reason::Chain.to_wire()), ..none }, None);
        };
        match self.read_record(bytes) {
            Ok(record) if key.is_none_or(|key| record.header().key == key) => {
                (self.keep_record(&record), Some(record))
            }
            Err(Invalid::Unsupported { .. }) => (self.refused_put(Reason::Unsupported, None), None),
            Ok(_) | Err(_) => (self.refused_put(Reason::Invalid, None), None),
        }
    }

    /// Stores a record if it is valid, ours to store and not old; acknowledges with a signature.
    pub(super) fn keep_record(&mut self, record: &Record) -> PutResult {
        match self.take_in(record) {
            Kept::Stored(_) | Kept::Held => {}
            // One that lost its number learns it from this.
            Kept::Stale(newer) | Kept::Equivocation(newer) => {
                return self.refused_put(Reason::Stale, Some(newer));
            }
            Kept::Revoked(epoch) => return self.refused_put(Reason::Invalid, Some(epoch)),
            Kept::Full => return self.refused_put(Reason::Limit, None),
            Kept::Invalid => return self.refused_put(Reason::Invalid, None),
        }
        let message = acknowledged(&self.network.id, &record.header().key, &record.digest());
        PutResult { signature: Some(self.node.sign(&message)), refused: None, newer: None }
    }

    /// Keeps a record whose form and times have been checked, if it is valid, ours to store and not old.
    pub(super) fn take_in(&mut self, record: &Record) -> Kept {
        let kept = self.admit(record);
        match &kept {
            Kept::Stored(revoked) => {
                self.counters.records_stored += 1;
                self.counters.records_revoked += revoked.len() as u64;
                let mut writes: Vec<Write> = revoked.iter().copied().map(Write::Forget).collect();
                writes.push(Write::Record { slot: record.slot(), bytes: record.bytes().clone() });
                self.persist(writes, false);
                if record.certificate().is_none() {
                    self.children.revoke(record);
                }
                self.cache.evict(&record.header().key);
                self.key_changed(&record.header().key);
                self.push_late(record);
            }
            Kept::Equivocation(_) => {
                // Both are kept as proof that the writer signed two of one version.
                self.counters.equivocations += 1;
                self.notice(Notice::Equivocation(record.slot()));
            }
            Kept::Held | Kept::Stale(_) | Kept::Revoked(_) | Kept::Full | Kept::Invalid => {}
        }
        kept
    }

    fn admit(&mut self, record: &Record) -> Kept {
        if let Some(kept) = self.store.not_older(record) {
            return kept;
        }
        if !self.store.has_room(record) || !self.in_region(&record.header().key) {
            return Kept::Full;
        }
        if self.verify_to_store(record).is_err() {
            return Kept::Invalid;
        }
        let kept = self.store.keep(record.clone());
        if !matches!(kept, Kept::Stored(_)) {
            // It may come again.
            self.seen.insert(record.clone());
        }
        kept
    }

    /// Whether we are among the `count` closest to a key that we know.
    pub(super) fn is_among(&self, key: &Key, count: usize) -> bool {
        self.map.contact(&self.me).is_some_and(|own| self.map.is_among(&own.id(), key, count))
    }

    /// Whether we are near enough to store a key: among the few times r closest that we know.
    pub(super) fn in_region(&self, key: &Key) -> bool {
        self.is_among(key, self.replicas() * REGION)
    }

    fn refused_put(&mut self, reason: Reason, newer: Option<Record>) -> PutResult {
        self.count_refusal(reason);
        let newer = newer.map(|newer| Blob(newer.bytes().clone()));
        PutResult { signature: None, refused: Some(reason.to_wire()), newer }
    }

    /// A child wants its record indexed and stored. The answer follows the put.
    fn serve_register(
        &mut self,
        link: LinkId,
        peer: PeerId,
        id: u64,
        register: &Register,
    ) -> Option<Message> {
        if !self.children.is_child(&peer) {
            return Some(self.refuse(Reason::Unsupported));
        }
        let Ok(record) = self.read_record(register.record.0.clone()) else {
            return Some(self.refuse(Reason::Invalid));
        };
        let lab = self.is_lab();
        if !self.children.has_room(&peer, &record.slot(), lab) {
            return Some(self.refuse(Reason::Limit));
        }
        if self.check_register(peer, &record, register).is_err() {
            return Some(self.refuse(Reason::Invalid));
        }
        // A device key is one peer's: it has moved to another.
        if let Some(former) = self.children.other_in(&record.slot(), &peer) {
            self.seen(former, Seen::Replaced);
        }
        self.children.index(peer, record.clone());
        self.cache.evict(&record.header().key);
        self.key_changed(&record.header().key);
        self.put(record, Origin::Child { link, id });
        None
    }

    fn check_register(&mut self, peer: PeerId, record: &Record, register: &Register) -> Result<(), Invalid> {
        let device = record.certificate().ok_or(Invalid::Chain)?.device;
        self.verify(record)?;
        let message = to_sign(Tag::Register, &self.network.id, &register_body(&self.me, &peer));
        self.counters.verifications += 1;
        if self.verifier.verify(&device, &message, &register.signature) {
            Ok(())
        } else {
            Err(Invalid::Writer)
        }
    }

    fn serve_leave(&mut self, link: LinkId, peer: PeerId, leave: &Leave) {
        let Leave { unix_time, signature } = *leave;
        let message = statement_message(&self.network.id, &peer, unix_time, false);
        self.counters.verifications += 1;
        if self.verifier.verify(&peer.as_public_key(), &message, &signature) {
            self.child_left(&peer, leave);
            self.pass_on_leave(Statement { peer, unix_time, alive: false, signature });
            self.superpeer_gone(&peer, Cause::Left);
            self.close(link);
        } else {
            self.bad_hint(link);
        }
    }

    pub(super) fn refuse(&mut self, reason: Reason) -> Message {
        self.refuse_with(reason, Vec::new())
    }

    pub(super) fn refuse_with(&mut self, reason: Reason, candidates: Vec<Hint>) -> Message {
        self.count_refusal(reason);
        Message::Refused(Refused { reason: reason.to_wire(), retry_after: None, candidates, newer: None })
    }

    /// At a limit that time lifts.
    pub(super) fn refuse_for(&mut self, wait: Duration) -> Message {
        self.count_refusal(Reason::Busy);
        let retry_after = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1));
        let (reason, candidates) = (Reason::Busy.to_wire(), Vec::new());
        Message::Refused(Refused { reason, retry_after, candidates, newer: None })
    }

    fn count_refusal(&mut self, reason: Reason) {
        let refused = &mut self.counters.refused;
        match reason {
            Reason::Busy | Reason::Syncing => refused.busy += 1,
            Reason::Unsupported | Reason::Chain | Reason::Other(_) => refused.unsupported += 1,
            Reason::Limit => refused.limit += 1,
            Reason::Invalid => refused.invalid += 1,
            Reason::Stale => refused.stale += 1,
        }
    }
}

fn told_as_newer(result: &PutResult, held: &Record) -> bool {
    result.newer.as_ref().is_some_and(|newer| newer.0 == *held.bytes())
}

/// Where requests of this kind are counted; what no peer asks us, nowhere.
#[expect(clippy::wildcard_enum_match_arm, reason = "all that we don't serve counts for no kind")]
fn kind_of(message: &Message) -> Option<fn(&mut Requests) -> &mut u64> {
    Some(match message {
        Message::Hello(_) => |all| &mut all.hello,
        Message::Closest(_) => |all| &mut all.closest,
        Message::Get(_) => |all| &mut all.get,
        Message::Put(_) => |all| &mut all.put,
        Message::Attach(_) => |all| &mut all.attach,
        Message::Register(_) => |all| &mut all.register,
        Message::Resolve(_) => |all| &mut all.resolve,
        Message::Reserve(_) => |all| &mut all.reserve,
        Message::Watch(_) => |all| &mut all.watch,
        Message::Presence(_) => |all| &mut all.presence,
        Message::Digest(_) => |all| &mut all.digest,
        Message::Pull(_) => |all| &mut all.pull,
        Message::Offer(_) => |all| &mut all.offer,
        Message::Survey(_) => |all| &mut all.survey,
        _ => return None,
    })
}

/// What a device key signs to be registered by this parent for this child.
pub(super) fn register_body(parent: &PeerId, child: &PeerId) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(parent.as_bytes());
    body.extend_from_slice(child.as_bytes());
    body
}
