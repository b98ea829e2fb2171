//! Promotion and demotion: as many superpeers as the network needs.
//!
//! Every ten seconds a superpeer compares how many there are (S) with how many peers there are (N: S, and the
//! children that its neighbours' loads tell of):
//!
//! ```text
//!  S < max(24, N/100), or all are above high water ─▶ Promote, to the child that would and has been there longest
//!                                                      └─▶ its host gets a certificate: a superpeer (`upkeep`)
//!  S > 1.5 N/100, and we have no more children than others ─▶ we step down (`leaving`): a child
//! ```
//! All see nearly the same, so from 24 superpeers on each acts only by chance: as many together as there are too few, and some of those
//! that are too many, since news of the others takes its time. Who was asked counts as there until it had time. Only who volunteers is asked, and only
//! who volunteers steps down.
//!
//! Source: DESIGN §5, *Promotion*. *Not here*: who may volunteer (`node`), children that go to others
//! (`elsewhere`).

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::{Overlay, Timer};
use crate::api::Notice;
use crate::key::PeerId;
use crate::limits::{
    ATTACHMENT_RENEW, BALANCE_INTERVAL, CHILDREN_HIGH, PEERS_PER_SUPERPEER, PROMOTED_WITHIN, STEP_DOWN_AFTER,
    STEP_DOWN_FROM, SUPERPEERS_LEAST,
};
use crate::time::Instant;
use crate::wire::{Message, Promote};

#[derive(Debug, Default)]
pub(super) struct Promoting {
    /// We would be a superpeer if one more is needed, and a child again if there are too many.
    volunteers: bool,
    /// The parent may not have heard of that.
    tell_again: bool,
    /// Children that have been asked to be superpeers, and when last; who has not come since is asked after all
    /// others.
    asked: BTreeMap<PeerId, Instant>,
    /// When to look next.
    balance: Option<Instant>,
    /// When the host was told that one more is needed.
    told: Option<Instant>,
    /// Since when we have been a superpeer.
    since: Instant,
}

impl Promoting {
    pub(super) fn volunteers(&self) -> bool {
        self.volunteers
    }
}

impl Overlay {
    /// Whether we would be a superpeer if one more is needed; the parent hears of it at once.
    pub(super) fn volunteer(&mut self, volunteers: bool) {
        let changed = core::mem::replace(&mut self.promoting.volunteers, volunteers) != volunteers;
        if changed && self.attaching.settled_since().is_some() {
            self.attach_after(Duration::ZERO);
        } else if changed {
            // Who is being asked to attach us was told otherwise.
            self.promoting.tell_again = true;
        }
    }

    /// When to renew the attachment that there is now.
    pub(super) fn next_renewal(&mut self) -> Duration {
        if core::mem::take(&mut self.promoting.tell_again) { Duration::ZERO } else { ATTACHMENT_RENEW }
    }

    /// We have become a superpeer.
    pub(super) fn begin_balancing(&mut self) {
        self.promoting.since = self.now.instant;
        self.balance_after(BALANCE_INTERVAL);
    }

    /// We are a child again.
    pub(super) fn end_balancing(&mut self) {
        if let Some(at) = self.promoting.balance.take() {
            self.cancel(at, Timer::Balance);
        }
        self.promoting.asked.clear();
    }

    fn balance_after(&mut self, wait: Duration) {
        let at = self.set_timer(wait, Timer::Balance);
        if let Some(before) = self.promoting.balance.replace(at).filter(|before| *before != at) {
            self.cancel(before, Timer::Balance);
        }
    }

    /// A child has come that volunteers: if there are far too few superpeers it need not wait for its turn.
    pub(super) fn volunteer_came(&mut self) {
        if self.map.len() < SUPERPEERS_LEAST {
            self.balance_after(Duration::ZERO);
        }
    }

    /// Who was asked long ago and is no child any more is forgotten.
    fn forget_asked(&mut self) {
        let (now, children) = (self.now.instant, &self.children);
        self.promoting.asked.retain(|peer, at| now.since(*at) < PROMOTED_WITHIN || children.is_child(peer));
    }

    /// How many superpeers are needed, and how many there are or will be soon.
    fn needed(&self) -> (usize, usize) {
        let now = self.now.instant;
        let lately = self.promoting.asked.iter().filter(|(_, at)| now.since(**at) < PROMOTED_WITHIN);
        let asked = lately.filter(|(peer, _)| self.map.contact(peer).is_none()).count();
        let needed = (self.peers_online() / PEERS_PER_SUPERPEER).max(SUPERPEERS_LEAST);
        (needed, self.map.len() + asked)
    }

    /// Looks whether there are too few superpeers, or too many.
    pub(super) fn balance(&mut self) {
        if !self.is_superpeer() {
            return;
        }
        self.balance_after(BALANCE_INTERVAL);
        self.tell_load();
        if self.is_leaving() {
            // Perhaps it stays after all.
            return;
        }
        self.forget_asked();
        let best = self.best_volunteer();
        if best.is_none() && !self.promoting.volunteers {
            // Whatever is needed, nobody is there for it: that spares the walks over all links.
            return self.hand_children_on();
        }
        let ((needed, there), superpeers) = (self.needed(), self.map.len());
        let high = CHILDREN_HIGH.min(self.children_max * 3 / 4);
        let best = best.filter(|_| there < needed || self.mean_children() > high);
        if let Some(child) = best {
            // In a small network every one is welcome.
            let all = there >= needed || there < SUPERPEERS_LEAST;
            if all || self.by_chance(needed - there, superpeers) {
                self.ask_to_join(child);
            }
        } else if self.may_step_down(needed, there)
            && self.by_chance((there - needed).div_ceil(4), superpeers)
        {
            return self.step_down_unasked();
        }
        self.hand_children_on();
    }

    /// The child that would be a superpeer, was not asked lately, and has been here longest: of those that have
    /// come to nothing the one that was asked first.
    fn best_volunteer(&self) -> Option<PeerId> {
        let now = self.now.instant;
        let asked = |peer: &PeerId| self.promoting.asked.get(peer).copied();
        self.children.best_volunteer(asked, |at| now.since(at) >= PROMOTED_WITHIN)
    }

    /// True of `count` superpeers of `all`.
    fn by_chance(&mut self, count: usize, all: usize) -> bool {
        self.pick(all.max(1)) < count
    }

    fn ask_to_join(&mut self, child: PeerId) {
        if let Some(link) = self.links.to(&child) {
            self.promoting.asked.insert(child, self.now.instant);
            self.send(link, 0, Message::Promote(Promote {}));
        }
    }

    /// Idle among others that are: what we do they can do too.
    fn may_step_down(&mut self, needed: usize, there: usize) -> bool {
        let enough = there > SUPERPEERS_LEAST && there * 2 > needed * 3;
        let old = self.now.instant.since(self.promoting.since) >= STEP_DOWN_AFTER;
        // What takes a walk over all links comes last.
        let may = self.promoting.volunteers && enough && old && !self.is_syncing();
        may && self.peers_online() >= STEP_DOWN_FROM && self.children.len() <= self.mean_children()
    }

    /// The parent says that one more superpeer is needed: the host decides.
    pub(super) fn asked_to_join(&mut self, peer: &PeerId) {
        let now = self.now.instant;
        let lately = self.promoting.told.is_some_and(|told| now.since(told) < PROMOTED_WITHIN);
        if self.promoting.volunteers && self.attaching.is_parent(peer) && !self.is_superpeer() && !lately {
            self.promoting.told = Some(now);
            self.notice(Notice::SuperpeerNeeded);
        }
    }
}
