//! Storers that were behind in a look-up or a put, or hold less than they should: they get what they lack.
//!
//! ```text
//!  late answer ─▶ verified, merged ─▶ cache, and Changed to those who were answered
//!  walk over   ─▶ who gave less than all know by now, or denied ─▶ Put
//!  Reject 3    ─▶ verified, newer ─▶ cache, own store, Put to the storer it came from
//!  put over    ─▶ who holds less than the others, of all that they told, or has not answered ─▶ Put
//!  compared    ─▶ whose record is older than ours ─▶ Put
//! ```
//! Denials are mended only at the r closest, half of them at most: more than that is not a lost disk.
//! *Not here*: what moves when superpeers come and go (`moving`).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Overlay;
use super::look::Asker;
use super::missed::Missed;
use super::requests::{Outcome, Purpose};
use super::walks::{Owner, WalkRun};
use crate::cbor::Blob;
use crate::key::{Digest, Key, PeerId};
use crate::limits::{GONE_FOR, MENDING_MAX, REQUEST_TIMEOUT};
use crate::record::{Bundle, Record, Verdict, supersedes};
use crate::store::Kept;
use crate::time::Instant;
use crate::wire::{Changed, Message, Put};

/// Storers that are put right.
#[derive(Debug, Default)]
pub(super) struct Mending {
    /// So many are at the moment.
    under_way: usize,
    /// What will be put to those that are away.
    pub(super) missed: Missed,
}

impl Mending {
    /// How many more may be put right now.
    pub(super) fn room(&self) -> usize {
        MENDING_MAX.saturating_sub(self.under_way)
    }
}

impl Overlay {
    /// An answer that came after the walk's: what is newer in it goes to the cache, verified, and to
    /// those who were answered without it.
    pub(super) fn got_late(&mut self, run: &mut WalkRun, late: Bundle, peer: PeerId) {
        let key = run.walk.key;
        if late.devices().next().is_some() {
            run.walk.found(&peer);
        } else {
            run.walk.denied(&peer);
            if late.is_empty() || !run.found {
                return;
            }
        }
        let cached = self.cache.fresh(&key, self.now.instant);
        let (known, from) = match cached {
            Some(cached) => (cached.bundle.clone(), cached.from),
            None if run.found => return,
            None => (Bundle::default(), None),
        };
        run.found = true;
        if let Some(from) = from.filter(|_| run.gave.is_empty()) {
            run.gave.push((from, known.clone()));
        }
        run.gave.push((peer, late.clone()));
        if known.is_alike(&late) {
            return;
        }
        let before = known.digest();
        let merged = self.merge(&[(known, from), (late, Some(peer))]);
        if merged.digest() != before {
            if merged.devices().next().is_none() {
                // Nothing of it was true, or all is revoked: the next one to ask is told by a walk.
                self.cache.evict(&key);
            } else {
                self.keep_verified(key, merged.clone());
            }
            self.tell_late(run, &merged);
            self.key_changed(&key);
        }
        run.merged = Some(merged);
    }

    /// All that verifies; who gave what does not, is blamed.
    pub(super) fn merge(&mut self, bundles: &[(Bundle, Option<PeerId>)]) -> Bundle {
        let mut merged = Bundle::default();
        let until = self.now.instant + GONE_FOR;
        for (bundle, storer) in bundles {
            for record in &bundle.records {
                if self.verify(record).is_ok() {
                    merged.insert(record.clone());
                } else if let Some(storer) = storer {
                    self.cache.blame(*storer, until);
                }
            }
        }
        merged.apply_epoch();
        merged
    }

    /// Replaces what the cache has, for as long as it had; or keeps it for its ttl.
    fn keep_verified(&mut self, key: Key, bundle: Bundle) {
        if self.cache.fresh(&key, self.now.instant).is_some() {
            self.cache.verified(&key, bundle);
        } else {
            let until = self.now.instant + bundle.ttl(self.now.unix);
            self.cache.keep(key, (bundle, true, None), until);
        }
    }

    fn tell_late(&mut self, run: &WalkRun, bundle: &Bundle) {
        let links = run.told.iter().filter_map(|asker| match asker {
            Asker::Child { link, .. } => Some(*link),
            Asker::Local(_) | Asker::Watch(_) => None,
        });
        for link in links.filter(|link| self.links.get(*link).is_some()).collect::<Vec<_>>() {
            self.counters.changes_pushed += 1;
            self.send(link, 0, Message::Changed(changed(run.walk.key, bundle)));
        }
    }

    /// A walk is over: storers that gave less than is known by now get the rest.
    pub(super) fn mend(&mut self, run: Box<WalkRun>) {
        let Owner::Resolve(key, _) = run.owner else { return };
        let differs = |(_, gave): &(PeerId, Bundle)| !gave.is_alike(&run.gave[0].1);
        if !run.found || (run.walk.tally().0 == 0 && !run.gave.iter().any(differs)) {
            return;
        }
        let whole = run.merged.or_else(|| self.look_in_cache(&key));
        let Some(whole) = whole.filter(|whole| !whole.is_empty()) else { return };
        for (peer, gave) in &run.gave {
            self.give_missing(*peer, &whole, gave);
        }
        let closest: Vec<PeerId> =
            self.map.closest(&key, self.replicas()).iter().map(|contact| contact.peer()).collect();
        let denied = run.walk.answered().into_iter().filter(|peer| closest.contains(peer));
        let half = self.network.parameters.r.div_ceil(2);
        for peer in denied.take(half).collect::<Vec<_>>() {
            self.give_missing(peer, &whole, &Bundle::default());
        }
    }

    /// A put is over: storers that hold less than all of them together get the rest, and so do those of
    /// the r closest that did not answer in time, or are known only now: they may have taken their range
    /// over just before. Those of which is noted what they missed, and nothing has come since it began, are said hello first.
    pub(super) fn mend_put(
        &mut self,
        key: Key,
        held: &[(PeerId, Bundle)],
        (noted, began): (&[PeerId], Instant),
    ) {
        let now = self.now.instant;
        let mute =
            |peer: &PeerId| self.links.unheard(peer, now).is_some_and(|unheard| unheard >= now.since(began));
        let closest = self.map.closest(&key, self.replicas()).into_iter().map(crate::map::Contact::peer);
        let silent = closest.filter(|peer| !held.iter().any(|(storer, _)| storer == peer));
        let (waiting, silent): (Vec<PeerId>, Vec<PeerId>) =
            silent.partition(|peer| noted.contains(peer) && mute(peer));
        waiting.iter().for_each(|peer| self.ask_after(peer));
        let differs = |(_, holds): &(PeerId, Bundle)| holds.digest() != held[0].1.digest();
        let all_answered = waiting.is_empty() && silent.is_empty();
        if held.is_empty() || (all_answered && !held.iter().any(differs)) {
            return;
        }
        let told: Vec<_> = held.iter().map(|(peer, holds)| (holds.clone(), Some(*peer))).collect();
        let whole = self.merge(&told);
        for (peer, holds) in held {
            self.give_missing(*peer, &whole, holds);
        }
        for peer in silent {
            self.give_missing(peer, &whole, &Bundle::default());
        }
        for peer in waiting {
            self.note_rest(peer, &whole);
        }
    }

    /// Puts to a storer those records of a verified bundle that it lacks, unless we hold newer ones by now: whoever put
    /// those has put them there, too.
    pub(in crate::overlay) fn give_missing(&mut self, peer: PeerId, whole: &Bundle, gave: &Bundle) {
        let old =
            |record: &Record| matches!(self.store.not_older(record), Some(Kept::Stale(_) | Kept::Revoked(_)));
        let missing = whole.records.iter().filter(|record| lacks(gave, record) && !old(record));
        let missing: Vec<&Record> = missing.collect();
        if peer == self.me {
            if !self.is_syncing() {
                // To keep is to sign an acknowledgement, also of what we hold.
                for record in missing {
                    if self.store.not_older(record).is_none() {
                        drop(self.keep_record(record));
                    }
                }
            }
            return;
        }
        if missing.is_empty() || self.mending.room() == 0 {
            return;
        }
        self.mending.under_way += 1;
        let records = missing.into_iter().map(|record| Blob(record.bytes().clone())).collect();
        self.ask(peer, Message::Put(Put { records }), Purpose::Mend, REQUEST_TIMEOUT);
    }

    pub(super) fn mend_heard(&mut self, outcome: &Outcome) {
        self.mending.under_way = self.mending.under_way.saturating_sub(1);
        if let Outcome::Answer(Message::PutDone(done)) = outcome
            && done.results.iter().any(|result| result.signature.is_some())
        {
            self.counters.stale_repaired += 1;
        }
    }

    /// Who was answered with an older record has a newer one: cache, store and storer are put right.
    pub(super) fn put_right(&mut self, key: &Key, old: &Digest, newer: &Record) {
        let replaces = |held: &Record| {
            held.digest() == *old && held.slot() == newer.slot() && supersedes(newer, held) == Verdict::Newer
        };
        let cached = self.cache.fresh(key, self.now.instant);
        let from = cached.and_then(|cached| cached.from);
        let cached = cached.map(|cached| cached.bundle.clone());
        let cached = cached.filter(|bundle| bundle.records.iter().any(replaces));
        let stored = self.store.bundle(key, self.now.unix).records.iter().any(replaces);
        if newer.header().key != *key || (cached.is_none() && !stored) || self.verify(newer).is_err() {
            return;
        }
        if stored {
            drop(self.keep_record(newer));
        }
        if let Some(bundle) = cached {
            let gave = bundle.clone();
            let whole = self.merge(&[(bundle, from), (Bundle::new([newer.clone()]), None)]);
            if whole.devices().next().is_none() {
                self.cache.evict(key);
            } else {
                self.keep_verified(*key, whole.clone());
            }
            if let Some(from) = from {
                self.give_missing(from, &whole, &gave);
            }
        }
        self.key_changed(key);
    }
}

/// Whether a bundle has no such record, or an older one.
fn lacks(bundle: &Bundle, record: &Record) -> bool {
    let slot = record.slot();
    let held = bundle.records.iter().find(|held| held.slot() == slot);
    held.is_none_or(|held| supersedes(record, held) == Verdict::Newer)
}

/// What is under a key now, for who is not waiting for an answer.
pub(super) fn changed(key: Key, bundle: &Bundle) -> Changed {
    let status = u8::from(bundle.devices().next().is_none());
    let records = bundle.records.iter().map(|record| Blob(record.bytes().clone())).collect();
    Changed { key, status, records }
}
