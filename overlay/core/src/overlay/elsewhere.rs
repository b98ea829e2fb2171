//! Children that are handed on: a superpeer with far more of them than others have names others to some.
//!
//! ```text
//!  parent: 1.75 × the mean or more ─▶ Elsewhere, with three that have fewer ─▶ child: asks one to attach
//!                                                                             └─ it does: that is the parent
//! ```
//! It moves nobody that does not get a place, and costs the child one registration, so it is done late and a few
//! at a time. Those with fewer are named the more often the fewer they have. Source: DESIGN §5, *hands it
//! children*; bounds are guesses. *Not here*: a parent that is full (`children`).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Overlay;
use super::requests::Outcome;
use crate::key::PeerId;
use crate::limits::{CHILDREN_TARGET, HANDED_ON_MAX, HINTS_FOR_CHILDREN, MOVE_INTERVAL, TAKES_NONE};
use crate::map::Contact;
use crate::wire::{Elsewhere, Hint, Message};

impl Overlay {
    /// Superpeers with a link that take children, and how many each has, as it told last.
    fn children_of_others(&self) -> Vec<(PeerId, usize)> {
        let linked = self.links.peers().map(|(peer, _)| *peer);
        let linked = linked.filter(|peer| self.map.place(peer).is_some());
        let told = linked.filter_map(|peer| Some((peer, self.links.greeting(&peer)?.load)));
        let takes = told.filter(|(_, load)| *load != TAKES_NONE);
        takes.map(|(peer, load)| (peer, usize::from(load) * self.children_max / 255)).collect()
    }

    /// Children of a superpeer in the mean, ourselves among them.
    pub(super) fn mean_children(&self) -> usize {
        let others = self.children_of_others();
        let sum: usize = others.iter().map(|(_, children)| children).sum();
        (sum + self.children.len()) / (others.len() + 1)
    }

    /// Names others to some children, if we have far more than others.
    pub(super) fn hand_children_on(&mut self) {
        let own = self.children.len();
        if own < CHILDREN_TARGET.min(self.children_max / 2) {
            return;
        }
        let mean = self.mean_children();
        if own * 4 < mean * 7 {
            return;
        }
        let mut others = self.children_of_others();
        others.retain(|(_, children)| *children < mean);
        let known = others.iter().filter_map(|(peer, _)| self.map.contact(peer)).collect();
        let named: BTreeSet<PeerId> =
            self.to_name(known, |contact| contact).into_iter().map(Contact::peer).collect();
        others.retain(|(peer, _)| named.contains(peer));
        if others.is_empty() {
            return;
        }
        let mut children = self.children.peers();
        for _ in 0..((own - mean) / 4).clamp(1, HANDED_ON_MAX) {
            if children.is_empty() {
                return;
            }
            let index = self.pick(children.len());
            let child = children.swap_remove(index);
            let to: Vec<Hint> =
                (0..HINTS_FOR_CHILDREN).filter_map(|_| self.one_below(&others, mean)).collect();
            if let Some(link) = self.links.to(&child) {
                self.send(link, 0, Message::Elsewhere(Elsewhere { to }));
            }
        }
    }

    /// One that has fewer children than the mean, the more likely the fewer.
    fn one_below(&mut self, others: &[(PeerId, usize)], mean: usize) -> Option<Hint> {
        let all: usize = others.iter().map(|(_, children)| mean - children).sum();
        let mut drawn = self.pick(all);
        let chosen = others.iter().find(|(_, children)| {
            let found = drawn < mean - children;
            drawn = drawn.saturating_sub(mean - children);
            found
        });
        chosen.and_then(|(peer, _)| self.map.contact(peer)).map(|contact| contact.hint().clone())
    }

    /// The parent names others that have room: one of them is asked, and is the parent if it agrees.
    pub(super) fn sent_elsewhere(&mut self, peer: PeerId, elsewhere: &Elsewhere) {
        let now = self.now.instant;
        let settled = self.attaching.settled_since().is_some_and(|since| now.since(since) >= MOVE_INTERVAL);
        if !self.attaching.is_parent(&peer) || !settled || self.is_failing_over() {
            return;
        }
        let mut open = Vec::new();
        for hint in elsewhere.to.iter().take(HINTS_FOR_CHILDREN) {
            if self.learn_told(peer, hint).is_some() && self.may_ask(&hint.peer()) {
                open.push(hint.peer());
            }
        }
        self.ask_instead(open);
    }

    /// One of those answered, or not: then the next one is asked, and if there is none all stays as it is.
    pub(super) fn elsewhere_heard(&mut self, peer: PeerId, outcome: &Outcome) {
        if !self.is_attached_by(&peer, outcome) {
            self.ask_next_instead();
        } else if !self.is_superpeer() && !self.attaching.is_leaving() {
            self.move_to_parent(peer);
        }
    }
}
