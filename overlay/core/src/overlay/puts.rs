//! Puts: a record goes to the r closest superpeers.
//!
//! ```text
//!  walk to the r closest ─▶ Put to each ─▶ a majority holds it: acknowledged ─▶ the rest: done
//!                                     └─▶ a majority can't any more: failed
//!                                              all have answered ─▶ who lacks something gets it
//! ```
//! The walk asks α of them and those without a stream; who can't be reached leaves its place to the next closest.
//! The origin is told once. Storers sign what they acknowledge, and tell what else they hold: one that has
//! become a storer only now must not answer with this record as if it were all. *Not here*: what a storer checks
//! (`serve`), when to publish again (`publish`).

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use super::requests::{Outcome, Purpose};
use super::walks::Owner;
use super::{Overlay, Timer};
use crate::api::{CommandId, Failure, LinkId, Reply, Stored};
use crate::cbor::Blob;
use crate::key::{Digest, Key, PeerId};
use crate::limits::{
    CANDIDATES_MAX, CHAIN_KNOWN_AFTER, DEVICES_PER_NAME_MAX, REQUEST_TIMEOUT, SETTLES_WITHIN, WALK_TIMEOUT,
};
use crate::lookup::Goal;
use crate::map::{Contact, Reach};
use crate::record::{Bundle, Record};
use crate::sign::{Signature, Tag, to_sign};
use crate::time::Instant;
use crate::wire::{Acknowledgement, Message, Put, PutDone, PutResult, Reason, Refused, Registered};

/// Who wants the record stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    Command(CommandId),
    /// A name that we hold ourselves.
    Own,
    Child {
        link: LinkId,
        id: u64,
    },
}

#[derive(Debug)]
pub(super) struct PutRun {
    record: Record,
    origin: Origin,
    began: Instant,
    of: usize,
    waiting: usize,
    /// Who was asked to store it.
    asked: Vec<PeerId>,
    /// Who would have been, but was silent.
    away: Vec<PeerId>,
    acknowledgements: Vec<(PeerId, Signature)>,
    newer: Option<Record>,
    refused: Option<Reason>,
    /// What each storer that answered holds under the key now, unverified.
    held: Vec<(PeerId, Bundle)>,
    told: bool,
    /// Who lacked the chain, and got the whole record.
    whole: BTreeSet<PeerId>,
    /// Until then a child's put waits for more than our majority; set once that is there.
    settles: Option<Instant>,
    ends: Instant,
}

impl PutRun {
    /// All that storers hold under the key.
    fn held(&self) -> impl Iterator<Item = &Record> {
        self.held.iter().flat_map(|(_, bundle)| &bundle.records)
    }

    fn stored(&self) -> Stored {
        Stored { stored: self.acknowledgements.len(), of: self.of }
    }

    fn majority(&self) -> usize {
        self.of / 2 + 1
    }

    /// How many have to hold it before a child is told so.
    ///
    /// Where superpeers are hardly more than r, a child may count one or two more than we do, and asks again for the
    /// whole put if its majority is not there. What it lacks is on its way.
    fn wanted(&self, r: usize) -> usize {
        let near = matches!(self.origin, Origin::Child { .. }) && self.of * 4 >= r * 3;
        if near { self.majority().max(r / 2 + 1) } else { self.majority() }
    }
}

impl Overlay {
    pub(super) fn put(&mut self, record: Record, origin: Origin) {
        let id = self.number();
        let key = record.header().key;
        let ends = self.set_timer(WALK_TIMEOUT + REQUEST_TIMEOUT, Timer::Put(id));
        let run = PutRun {
            record,
            origin,
            began: self.now.instant,
            of: 0,
            waiting: 0,
            asked: Vec::new(),
            away: Vec::new(),
            acknowledgements: Vec::new(),
            newer: None,
            refused: None,
            held: Vec::new(),
            told: false,
            whole: BTreeSet::new(),
            settles: None,
            ends,
        };
        self.puts.insert(id, run);
        self.start_walk(key, Goal::Nodes, Owner::Put(id));
    }

    /// The walk is over: these are the closest that answered.
    pub(super) fn put_targets(&mut self, id: u64, targets: Vec<PeerId>) {
        // Who can't speak for the network has stored nothing that it alone holds.
        let least = if self.map.reach(self.now.instant) == Reach::Most { 1 } else { 2 };
        let of = self.replicas().max(targets.len()).max(least);
        let Some(run) = self.puts.get_mut(&id) else { return };
        (run.of, run.waiting) = (of, targets.len());
        run.asked.clone_from(&targets);
        let key = run.record.header().key;
        run.away = self.map.silent_around(&key, of, self.now.instant);
        let closest = self.map.closest(&key, of).into_iter().map(Contact::peer);
        run.away.extend(closest.filter(|peer| !targets.contains(peer)));
        let record = run.record.clone();
        for peer in targets {
            if peer == self.me {
                let result = self.keep_record(&record);
                let others = self.others_of(&key, &record);
                self.put_result(id, peer, result, others);
            } else {
                self.put_to(id, peer, &record);
            }
        }
        self.judge_put(id);
    }

    /// A storer gets the record, without its chain if it ought to have that by now.
    fn put_to(&mut self, id: u64, peer: PeerId, record: &Record) {
        let issued = record.certificate().map(|certificate| certificate.not_before);
        let known = issued.is_some_and(|issued| self.now.unix.since(issued) >= CHAIN_KNOWN_AFTER);
        let bytes = if known { record.short() } else { record.bytes().clone() };
        self.put_bytes_to(id, peer, bytes);
    }

    fn put_bytes_to(&mut self, id: u64, peer: PeerId, bytes: Bytes) {
        let records = alloc::vec![Blob(bytes)];
        self.ask(peer, Message::Put(Put { records }), Purpose::Put(id), REQUEST_TIMEOUT);
    }

    /// A storer that lacks the chain gets the whole record, once.
    fn put_whole_to(&mut self, id: u64, peer: PeerId) -> bool {
        let Some(run) = self.puts.get_mut(&id).filter(|run| !run.whole.contains(&peer)) else { return false };
        run.whole.insert(peer);
        let bytes = run.record.bytes().clone();
        self.put_bytes_to(id, peer, bytes);
        true
    }

    /// A storer can't be reached: the next closest that has not been asked takes its place, if there is one.
    fn put_to_next(&mut self, id: u64) -> bool {
        let replicas = self.replicas();
        let Some(run) = self.puts.get_mut(&id).filter(|run| run.asked.len() < CANDIDATES_MAX) else {
            return false;
        };
        let closest = self.map.closest(&run.record.header().key, replicas);
        let open = |peer: &PeerId| *peer != self.me && !run.asked.contains(peer);
        let Some(next) = closest.into_iter().map(Contact::peer).find(open) else { return false };
        run.asked.push(next);
        let record = run.record.clone();
        self.put_to(id, next, &record);
        true
    }

    /// The other records of the bundle that we hold.
    pub(super) fn others_of(&self, key: &Key, record: &Record) -> Vec<Record> {
        let bundle = self.store.bundle(key, self.now.unix);
        bundle.records.into_iter().filter(|held| held.slot() != record.slot()).collect()
    }

    pub(super) fn put_heard(&mut self, id: u64, peer: PeerId, outcome: Outcome) {
        let gone = matches!(outcome, Outcome::Unreachable);
        if let Outcome::Answer(Message::PutDone(PutDone { mut results, others })) = outcome
            && let Some(result) = results.pop()
        {
            let lacks_chain = result.refused == Some(Reason::Chain.to_wire());
            if lacks_chain && self.put_whole_to(id, peer) {
                return;
            }
            let others = others.into_iter().filter_map(|blob| self.read_record(blob.0).ok()).collect();
            self.put_result(id, peer, result, others);
        } else if gone && self.put_to_next(id) {
            return;
        } else if let Some(run) = self.puts.get_mut(&id) {
            run.waiting = run.waiting.saturating_sub(1);
        }
        self.judge_put(id);
    }

    fn put_result(&mut self, id: u64, peer: PeerId, result: PutResult, others: Vec<Record>) {
        let newer = result.newer.and_then(|blob| self.read_record(blob.0).ok());
        let Some(run) = self.puts.get_mut(&id) else { return };
        run.waiting = run.waiting.saturating_sub(1);
        let (key, digest) = (run.record.header().key, run.record.digest());
        // Of another name nothing is newer.
        let newer = newer.filter(|newer| newer.header().key == key);
        let others = others.into_iter().filter(|other| other.header().key == key);
        let stored = result.signature.map(|_| run.record.clone());
        let held = others.take(DEVICES_PER_NAME_MAX + 1).chain(newer.clone()).chain(stored);
        run.held.push((peer, Bundle::new(held)));
        if let Some(signature) = result.signature {
            let message = acknowledged(&self.network.id, &key, &digest);
            self.counters.verifications += 1;
            if peer == self.me || self.verifier.verify(&peer.as_public_key(), &message, &signature) {
                run.acknowledgements.push((peer, signature));
            }
            return;
        }
        run.refused = result.refused.map(Reason::from_wire).or(run.refused);
        let slot = run.record.slot();
        let newer = newer.filter(|newer| newer.slot() == slot || newer.header().key == key);
        // Believed only if it verifies: it decides which number the publisher uses next.
        if let Some(newer) = newer.filter(|newer| self.verify(newer).is_ok())
            && let Some(run) = self.puts.get_mut(&id)
        {
            run.newer = Some(newer);
        }
    }

    /// Tells the origin as soon as it is decided; forgets the put when nobody is left to answer.
    fn judge_put(&mut self, id: u64) {
        let (now, r) = (self.now.instant, self.network.parameters.r);
        let Some(run) = self.puts.get_mut(&id) else { return };
        let (stored, waiting, majority) = (run.acknowledgements.len(), run.waiting, run.majority());
        let wanted = run.wanted(r);
        let patient = run.settles.is_none_or(|settles| now < settles);
        let enough = if patient && stored + waiting >= wanted { wanted } else { majority };
        let decided = stored >= enough || stored + waiting < majority || run.newer.is_some();
        if decided && !run.told {
            run.told = true;
            self.tell(id);
        } else if stored >= majority && !run.told && run.settles.is_none() {
            run.settles = Some(now + SETTLES_WITHIN);
            self.set_timer(SETTLES_WITHIN, Timer::Settled(id));
        }
        if waiting == 0
            && let Some(run) = self.puts.remove(&id)
        {
            self.cancel(run.ends, Timer::Put(id));
            if let Some(settles) = run.settles {
                self.cancel(settles, Timer::Settled(id));
            }
            let mut noted = Vec::new();
            if stored >= majority {
                // Who has answered has it, or a newer one.
                let have: Vec<PeerId> = run.held.iter().map(|(peer, _)| *peer).collect();
                noted = [run.asked.as_slice(), &run.away].concat();
                self.note_missed(&run.record, &have, &noted);
                self.remember_bundle(&run);
            } else {
                self.put_was_lost(&run);
            }
            self.mend_put(run.record.header().key, &run.held, (&noted, run.began));
        }
    }

    /// Our majority is there, and has waited long enough for more.
    pub(super) fn put_settled(&mut self, id: u64) {
        self.judge_put(id);
    }

    pub(super) fn put_timed_out(&mut self, id: u64) {
        if let Some(run) = self.puts.get_mut(&id) {
            run.waiting = 0;
        }
        self.judge_put(id);
    }

    fn tell(&mut self, id: u64) {
        let Some(run) = self.puts.get(&id) else { return };
        let (record, origin, stored) = (run.record.clone(), run.origin, run.stored());
        let (newer, refused) = (run.newer.clone(), run.refused);
        let held = stored.stored > stored.of / 2;
        if held {
            self.remember_bundle_of(id);
        }
        match origin {
            Origin::Command(command) if held => self.reply(command, Reply::Stored(stored)),
            Origin::Command(command) => {
                let failure = failure(newer.as_ref(), refused, stored);
                self.reply(command, Reply::Failed(failure));
            }
            Origin::Own if held => self.published(&record, stored),
            Origin::Own => {
                let failure = failure(newer.as_ref(), refused, stored);
                self.own_put_failed(&record, newer.as_ref(), failure);
            }
            Origin::Child { link, id: request } => {
                let child = self.links.get(link).map(|link| link.peer);
                if let (Some(child), false) = (child.filter(|_| refused.is_some()), held) {
                    // What the storers refuse is not for the index either.
                    self.children.withdraw(&child, &record.header().key, &record.digest());
                }
                let message = match self.puts.get(&id) {
                    Some(run) if held => self.registered(run),
                    Some(_) | None => not_registered(newer, refused),
                };
                self.answer(link, request, message);
            }
        }
    }

    fn registered(&self, run: &PutRun) -> Message {
        let own = self.own_hint();
        let certificate = |peer: &PeerId| match (&own, self.map.contact(peer)) {
            (Some(own), _) if own.peer() == *peer => Some(own.certificate.bytes().clone()),
            (_, contact) => contact.map(|contact| contact.hint().certificate.bytes().clone()),
        };
        let acknowledgements = run.acknowledgements.iter().filter_map(|(peer, signature)| {
            Some(Acknowledgement { certificate: Blob(certificate(peer)?), signature: *signature })
        });
        let of = u8::try_from(run.of).unwrap_or(u8::MAX);
        Message::Registered(Registered { of, acknowledgements: acknowledgements.collect() })
    }

    fn remember_bundle_of(&mut self, id: u64) {
        if let Some(run) = self.puts.remove(&id) {
            self.remember_bundle(&run);
            self.puts.insert(id, run);
        }
    }

    /// Too few hold it, so what they hold besides is not the whole bundle; what they revoke, counts.
    fn put_was_lost(&mut self, run: &PutRun) {
        self.cache.evict(&run.record.header().key);
        for epoch in run.held().chain(&run.newer) {
            if epoch.certificate().is_none() && self.verify(epoch).is_ok() {
                self.children.revoke(epoch);
            }
        }
    }

    /// We are leaving: who waits for a put of a record of its own is told.
    pub(super) fn stop_puts(&mut self) {
        let untold = self.puts.values_mut().filter(|run| !run.told);
        let mut commands = Vec::new();
        for run in untold {
            if let Origin::Command(command) = run.origin {
                run.told = true;
                commands.push(command);
            }
        }
        for command in commands {
            self.reply(command, Reply::Failed(Failure::Leaving));
        }
    }

    /// After a put the whole bundle is known: the index can answer alone, and old copies are gone.
    fn remember_bundle(&mut self, run: &PutRun) {
        let key = run.record.header().key;
        let known = self.cache.evict(&key).map(|cached| cached.bundle.records).unwrap_or_default();
        let all = known.into_iter().chain(run.held().cloned()).chain([run.record.clone()]);
        let all: Vec<Record> = all.collect();
        let mut bundle = Bundle::default();
        for record in all {
            if self.verify(&record).is_ok() {
                bundle.insert(record);
            }
        }
        bundle.apply_epoch();
        if let Some(epoch) = bundle.records.iter().find(|record| record.certificate().is_none()) {
            let epoch = epoch.clone();
            self.children.revoke(&epoch);
        }
        if bundle.devices().next().is_some() {
            let until = self.now.instant + bundle.ttl(self.now.unix);
            self.cache.keep(key, (bundle, true, None), until);
        }
        self.key_changed(&key);
    }
}

fn failure(newer: Option<&Record>, refused: Option<Reason>, stored: Stored) -> Failure {
    match (newer, refused) {
        (Some(_), _) => Failure::Refused(Reason::Stale.as_str().to_string()),
        (None, Some(reason)) => Failure::Refused(reason.as_str().to_string()),
        (None, None) => Failure::Timeout { answered: stored.stored, asked: stored.of },
    }
}

/// What a storer signs when it holds a record.
pub(super) fn acknowledged(network: &crate::key::NetworkId, key: &Key, digest: &Digest) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(digest.as_bytes());
    to_sign(Tag::Acknowledgement, network, &body)
}

fn not_registered(newer: Option<Record>, refused: Option<Reason>) -> Message {
    let reason = match (&newer, refused) {
        (Some(_), _) => Reason::Stale,
        (None, Some(reason)) => reason,
        (None, None) => Reason::Busy,
    };
    let newer = newer.map(|newer| Blob(newer.bytes().clone()));
    Message::Refused(Refused { reason: reason.to_wire(), retry_after: None, candidates: Vec::new(), newer })
}
