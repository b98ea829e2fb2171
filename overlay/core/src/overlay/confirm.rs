//! What the parent says, checked with a standby: absences, and where our own names are.
//!
//! ```text
//!  parent: absent ─▶ a standby, the next if it fails or takes long: absent too ─▶ absent
//!                        │ found ─▶ that counts          all silent or unsure, also
//!                        │                                those found since ─▶ unknown
//!  registered, 1–3 s later, and every 5 to 20 minutes: a standby has the own record ─▶ fine
//!                        └ it has an older one or none ─▶ publish again
//! ```
//! So a parent that lies about either has to have a standby on its side. Without a standby its word
//! counts. Source: DESIGN §4, *Absent* and *Write*. *Not here*: how a standby resolves (`look`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::requests::{Outcome, Purpose};
use super::{Overlay, Timer};
use crate::api::{Asked, Failure, Source};
use crate::key::{Key, PeerId};
use crate::limits::{
    CONFIRM_HEDGE, CONFIRM_TIMEOUT, DEVICES_PER_NAME_MAX, PARENT_TIMEOUT, SELF_CHECK_DOUBLINGS,
    SELF_CHECK_INTERVAL, SELF_CHECK_NAMES, SELF_CHECK_SLACK, SELF_CHECK_WAIT, STANDBYS,
};
use crate::record::{Bundle, Record};
use crate::time::Instant;
use crate::wire::{FLAG_FRESH, Message, Resolve, Resolved};

/// An absence that the parent told.
#[derive(Debug)]
struct Claim {
    /// Standbys that may still answer, and all that were asked.
    waiting: Vec<PeerId>,
    tried: Vec<PeerId>,
    /// Standbys were lost, and have been looked for again.
    sought_again: bool,
    denials: usize,
    source: Source,
}

#[derive(Debug, Default)]
pub(super) struct Confirming {
    /// By the local look-up.
    claims: BTreeMap<u64, Claim>,
    /// Names are checked in turn: the last one that was.
    checked: Option<Key>,
    /// Names whose last check failed: publishing them again does not bring the next check forward.
    missed: BTreeSet<Key>,
    wake: Option<Instant>,
    /// Checks since the last one that had no answer or a bad one, and since the last registration; at most
    /// [`SELF_CHECK_DOUBLINGS`].
    passed: u32,
}

impl Overlay {
    /// The parent says that a name is absent: asks the standbys. False if there has never been one: then
    /// its word counts.
    pub(super) fn confirm_absent(&mut self, id: u64, denials: usize, source: Source) -> bool {
        if self.is_superpeer() || !self.has_stood_by() {
            return false;
        }
        let (waiting, tried) = (Vec::new(), Vec::new());
        let claim = Claim { waiting, tried, sought_again: false, denials, source };
        self.confirming.claims.insert(id, claim);
        self.ask_to_confirm(id);
        true
    }

    /// Asks the best standby that was not asked yet, and another one if that takes long.
    pub(super) fn ask_to_confirm(&mut self, id: u64) {
        let (key, standbys) = (self.local_key(id), self.standbys.peers().collect::<Vec<_>>());
        let (Some(key), Some(claim)) = (key, self.confirming.claims.get_mut(&id)) else { return };
        let fresh = standbys.into_iter().filter(|peer| !claim.tried.contains(peer));
        let Some(standby) = fresh.min_by_key(|peer| self.links.rank(peer)) else {
            return self.judge_claim(id);
        };
        claim.waiting.push(standby);
        claim.tried.push(standby);
        let resolve = Resolve { key, flags: self.ask_flags(id) };
        self.ask(standby, Message::Resolve(resolve), Purpose::Confirm(id), CONFIRM_TIMEOUT);
        self.set_timer(CONFIRM_HEDGE, Timer::Confirm(id));
    }

    /// Ends a claim that nobody is left to confirm; waits if new standbys are on their way in place of
    /// those that are gone. If there are too few they are looked for, once, also among those that
    /// failed a while ago: who has started again has forgotten us, but may take us again.
    fn judge_claim(&mut self, id: u64) {
        let (few, stood_by) = (self.standbys.len() < STANDBYS, self.has_stood_by());
        let Some(claim) = self.confirming.claims.get_mut(&id) else { return };
        if !claim.waiting.is_empty() {
            return;
        }
        if few && stood_by && !core::mem::replace(&mut claim.sought_again, true) {
            if self.standbys.len() == 0 {
                claim.tried.clear();
                self.seek_standbys_again();
            } else {
                self.standbys_due();
            }
        }
        if self.standbys.are_sought() {
            return;
        }
        let Some(claim) = self.confirming.claims.remove(&id) else { return };
        if !self.has_stood_by() {
            return self.conclude_absent(id, claim.denials, claim.source);
        }
        self.counters.absences_unconfirmed += 1;
        self.fail_or_own(id, Failure::Timeout { answered: 0, asked: claim.tried.len() });
    }

    /// The local look-up has its answer.
    pub(super) fn claim_no_more(&mut self, id: u64) {
        self.confirming.claims.remove(&id);
    }

    /// A standby has been found, or not.
    pub(super) fn claims_go_on(&mut self) {
        let stuck = self.confirming.claims.iter().filter(|(_, claim)| claim.waiting.is_empty());
        for id in stuck.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.ask_to_confirm(id);
        }
    }

    /// A standby answered, or not.
    pub(super) fn confirm_heard(&mut self, id: u64, peer: PeerId, outcome: Outcome) {
        let Some(key) = self.local_key(id) else {
            self.confirming.claims.remove(&id);
            return;
        };
        self.note_answer(id, peer, Asked::Standby, &outcome);
        let Some(claim) = self.confirming.claims.get_mut(&id) else { return };
        claim.waiting.retain(|waiting| *waiting != peer);
        match outcome {
            Outcome::Answer(Message::Resolved(resolved)) if resolved.status == 0 => {
                if self.shows_a_device(key, &resolved) {
                    self.confirming.claims.remove(&id);
                    self.counters.absences_refuted += 1;
                    self.parent_at_fault();
                    return self.resolved(id, resolved);
                }
            }
            Outcome::Answer(Message::Resolved(resolved)) if resolved.status == 1 => {
                if let Some(claim) = self.confirming.claims.remove(&id) {
                    self.remember_epochs(id, resolved.records);
                    return self.conclude_absent(id, claim.denials, claim.source);
                }
            }
            Outcome::Refused(_) | Outcome::Unreachable => {
                // It is gone, or has forgotten us: another one at once.
                self.standby_failed(peer);
                self.standbys_due();
            }
            // It may have waited for a storer that is slow: no fault of its own.
            Outcome::Answer(_) | Outcome::Silent => {}
        }
        if self.confirming.claims.get(&id).is_some_and(|claim| claim.waiting.is_empty()) {
            self.ask_to_confirm(id);
        }
    }

    /// Whether an answer has a device record of the key that verifies, since a standby may lie too, and
    /// that nothing we know revokes.
    fn shows_a_device(&mut self, key: Key, resolved: &Resolved) -> bool {
        let blobs = resolved.records.iter().take(DEVICES_PER_NAME_MAX + 1);
        let mut records: Vec<Record> =
            blobs.filter_map(|blob| self.read_record(blob.0.clone()).ok()).collect();
        records.retain(|record| record.header().key == key && self.verify(record).is_ok());
        let mut bundle = Bundle::new(records.into_iter().chain(self.known_epoch(&key)));
        bundle.apply_epoch();
        bundle.devices().next().is_some()
    }

    // ---- Own names ---------------------------------------------------------------------------

    /// A name of ours is acknowledged: a little later a standby is asked for it.
    pub(super) fn check_soon(&mut self, key: &Key) {
        if self.is_superpeer() || self.confirming.missed.contains(key) {
            return;
        }
        self.confirming.passed = 0;
        let wait = self.jittered(SELF_CHECK_WAIT);
        self.check_within(wait);
    }

    /// Brings the next check forward.
    fn check_within(&mut self, wait: Duration) {
        let at = self.now.instant + wait;
        if self.confirming.wake.is_none_or(|wake| at < wake) {
            self.check_at(wait);
        }
    }

    /// A check had no answer, or a bad one: the next one is not far.
    fn check_again(&mut self) {
        self.confirming.passed = 0;
        let wait = self.jittered(SELF_CHECK_INTERVAL);
        self.check_within(wait);
    }

    /// From one check to the next: the longer the more of them have passed.
    fn check_interval(&self) -> Duration {
        SELF_CHECK_INTERVAL * 2_u32.pow(self.confirming.passed)
    }

    fn check_at(&mut self, wait: Duration) {
        if let Some(at) = self.confirming.wake.take() {
            self.cancel(at, Timer::SelfCheck);
        }
        self.confirming.wake = Some(self.set_timer(wait, Timer::SelfCheck));
    }

    /// Asks a standby for some of our names, those that have waited longest.
    pub(super) fn self_check_due(&mut self) {
        self.confirming.wake = None;
        if self.is_superpeer() || self.publishing.len() == 0 {
            return;
        }
        let standbys: Vec<PeerId> = self.standbys.peers().collect();
        if !standbys.is_empty() && self.attaching.parent().is_some() {
            let standby = standbys[self.pick(standbys.len())];
            self.self_check(standby);
        }
        let wait = self.jittered(self.check_interval());
        self.check_at(wait);
    }

    /// A standby has been dialled for its reservation: what it would be dialled for a little later is asked now.
    pub(super) fn check_beside(&mut self, standby: PeerId) {
        let soon = self.now.instant + self.check_interval() / 2;
        if self.attaching.parent().is_some() && self.confirming.wake.is_some_and(|wake| wake <= soon) {
            self.self_check(standby);
            // The next time too.
            self.check_at(self.check_interval() + SELF_CHECK_SLACK);
        }
    }

    fn self_check(&mut self, standby: PeerId) {
        let names = self.publishing.acknowledged_after(self.confirming.checked, SELF_CHECK_NAMES);
        self.confirming.checked = names.last().copied();
        for key in names {
            let resolve = Message::Resolve(Resolve { key, flags: FLAG_FRESH });
            self.ask(standby, resolve, Purpose::SelfCheck(key), PARENT_TIMEOUT);
        }
    }

    pub(super) fn self_check_heard(&mut self, key: Key, peer: PeerId, outcome: Outcome) {
        let resolved = match outcome {
            Outcome::Answer(Message::Resolved(resolved)) if resolved.status < 2 => resolved,
            Outcome::Answer(_) | Outcome::Silent => return self.check_again(),
            Outcome::Refused(_) | Outcome::Unreachable => {
                self.check_again();
                return self.standby_failed(peer);
            }
        };
        // A newer version that is on its way will be checked in its turn.
        if !self.publishing.is_acknowledged(&key) || self.is_superpeer() {
            return;
        }
        let Some(own) = self.publishing.record(&key).cloned() else { return };
        if self.holds(resolved, &own) {
            self.counters.self_checks_ok += 1;
            self.confirming.missed.remove(&key);
            if self.confirming.checked == Some(key) {
                // The last one of this check.
                self.confirming.passed = (self.confirming.passed + 1).min(SELF_CHECK_DOUBLINGS);
            }
        } else {
            self.counters.self_checks_failed += 1;
            self.parent_at_fault();
            self.confirming.missed.insert(key);
            self.check_again();
            self.publish(&key);
        }
    }

    /// Whether an answer holds our own record, as new as we have it.
    fn holds(&mut self, resolved: Resolved, own: &Record) -> bool {
        let records = resolved.records.into_iter().filter_map(|blob| self.read_record(blob.0).ok());
        let same: Vec<Record> = records.filter(|record| record.slot() == own.slot()).collect();
        let version = |record: &Record| (record.header().epoch, record.header().seq);
        same.into_iter().any(|record| version(&record) >= version(own) && self.verify(&record).is_ok())
    }

    /// A name is not held any more.
    pub(super) fn check_no_more(&mut self, key: &Key) {
        self.confirming.missed.remove(key);
    }
}
