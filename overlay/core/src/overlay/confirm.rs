//! What the parent says, checked with a standby: absences, and where our own names are.
//!
//! ```text
//!  parent: absent ─▶ a standby: absent too ─▶ absent
//!                        │ found ─▶ that counts          silent, unknown ─▶ the other ─▶ unknown
//!  registered, 1–3 s later, and every 5 minutes: a standby has the own record ─▶ fine
//!                        └ it has an older one or none ─▶ publish again
//! ```
//! So a parent that lies about either has to have a standby on its side. Without a standby its word
//! counts. Source: DESIGN §4, *Absent* and *Write*. *Not here*: how a standby resolves (`look`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::requests::{Outcome, Purpose};
use super::{Overlay, Timer};
use crate::api::{Asked, Failure, Source};
use crate::key::{Key, PeerId};
use crate::limits::{
    CONFIRM_TIMEOUT, PARENT_TIMEOUT, SELF_CHECK_INTERVAL, SELF_CHECK_NAMES, SELF_CHECK_WAIT,
};
use crate::record::Record;
use crate::time::Instant;
use crate::wire::{FLAG_FRESH, Message, Resolve, Resolved};

/// An absence that the parent told.
#[derive(Debug)]
struct Claim {
    asked: Vec<PeerId>,
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
}

impl Overlay {
    /// The parent says that a name is absent: asks a standby, if there is one.
    pub(super) fn confirm_absent(&mut self, id: u64, denials: usize, source: Source) -> bool {
        if self.is_superpeer() || self.standbys.len() == 0 {
            return false;
        }
        let claim = Claim { asked: Vec::new(), denials, source };
        self.confirming.claims.insert(id, claim);
        self.ask_to_confirm(id);
        true
    }

    /// Each standby once, the time shared among them.
    fn ask_to_confirm(&mut self, id: u64) {
        let key = self.local_key(id);
        let Some(claim) = self.confirming.claims.get_mut(&id) else { return };
        let left: Vec<PeerId> =
            self.standbys.peers().filter(|standby| !claim.asked.contains(standby)).collect();
        let (Some(key), Some(standby)) = (key, left.first().copied()) else {
            return self.unconfirmed(id);
        };
        let wait =
            if left.len() > 1 || !claim.asked.is_empty() { CONFIRM_TIMEOUT / 2 } else { CONFIRM_TIMEOUT };
        claim.asked.push(standby);
        let resolve = Message::Resolve(Resolve { key, flags: self.ask_flags(id) });
        self.ask(standby, resolve, Purpose::Confirm(id), wait);
    }

    fn unconfirmed(&mut self, id: u64) {
        let Some(claim) = self.confirming.claims.remove(&id) else { return };
        self.counters.absences_unconfirmed += 1;
        let asked = claim.asked.len();
        self.fail_or_own(id, Failure::Timeout { answered: 0, asked });
    }

    /// A standby answered, or not.
    pub(super) fn confirm_heard(&mut self, id: u64, peer: PeerId, outcome: Outcome) {
        if self.local_key(id).is_none() {
            self.confirming.claims.remove(&id);
        }
        self.note_answer(id, peer, Asked::Standby, &outcome);
        match outcome {
            Outcome::Answer(Message::Resolved(resolved)) if resolved.status == 0 => {
                if self.confirming.claims.remove(&id).is_some() {
                    self.counters.absences_refuted += 1;
                    self.resolved(id, resolved);
                }
            }
            Outcome::Answer(Message::Resolved(resolved)) if resolved.status == 1 => {
                if let Some(claim) = self.confirming.claims.remove(&id) {
                    self.remember_epochs(id, resolved.records);
                    self.conclude_absent(id, claim.denials, claim.source);
                }
            }
            Outcome::Answer(_) => self.ask_to_confirm(id),
            Outcome::Refused(_) | Outcome::Silent | Outcome::Unreachable => {
                self.standby_failed(peer);
                self.ask_to_confirm(id);
            }
        }
    }

    // ---- Own names ---------------------------------------------------------------------------

    /// A name of ours is acknowledged: a little later a standby is asked for it.
    pub(super) fn check_soon(&mut self, key: &Key) {
        if self.is_superpeer() || self.confirming.missed.contains(key) {
            return;
        }
        let wait = self.jittered(SELF_CHECK_WAIT);
        let at = self.now.instant + wait;
        if self.confirming.wake.is_none_or(|wake| at < wake) {
            self.check_at(wait);
        }
    }

    fn check_at(&mut self, wait: core::time::Duration) {
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
        let wait = self.jittered(SELF_CHECK_INTERVAL);
        self.check_at(wait);
        let standbys: Vec<PeerId> = self.standbys.peers().collect();
        if standbys.is_empty() || self.attaching.parent().is_none() {
            return;
        }
        let standby = standbys[self.pick(standbys.len())];
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
            Outcome::Answer(_) => return,
            Outcome::Refused(_) | Outcome::Silent | Outcome::Unreachable => {
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
        } else {
            self.counters.self_checks_failed += 1;
            self.confirming.missed.insert(key);
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
