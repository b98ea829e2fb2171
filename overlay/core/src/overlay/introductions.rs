//! Introductions: the hints that go with hellos, each when its link has to hear it.
//!
//! Our own goes with `Open` and when it has changed; a superpeer that has given us up meanwhile asks for it (`hellos`).
//! Children are told of some other superpeers that they can turn to. *Not here*: gossip between superpeers (`gossip`).

use alloc::vec::Vec;

use super::Overlay;
use super::requests::Purpose;
use crate::api::LinkId;
use crate::key::PeerId;
use crate::limits::{HINTS_FOR_CHILDREN, INTRODUCE_AGAIN, INTRODUCE_INTERVAL, REQUEST_TIMEOUT};
use crate::map::Contact;
use crate::time::{Instant, Unix};
use crate::wire::{Brief, Briefs, Hint, Message, Open, Who};

/// The hints that were told on a link, so that no hello repeats them without need.
#[derive(Debug, Default)]
pub(super) struct Introduced {
    /// Our own was, as we would say it now.
    own: bool,
    /// Which others were last, with the end of their certificates, and when it was last seen to that they
    /// are.
    others: Vec<(PeerId, Unix)>,
    others_at: Option<Instant>,
    /// When a hello told of them.
    others_told: Option<Instant>,
}

impl Introduced {
    pub(super) fn by_open() -> Self {
        Self { own: true, ..Self::default() }
    }
}

impl Overlay {
    /// Whether another superpeer has our hint: it has just dialled us, or had a link with us since both started.
    pub(super) fn is_likely_to_know_us(&self, peer: &PeerId, dialled: bool) -> bool {
        let contact = self.map.contact(peer);
        if dialled { contact.is_some_and(Contact::met) } else { contact.is_some() || self.map.is_gone(peer) }
    }

    /// Whether a superpeer is to hear our word that we live: those that are near us have it for all who ask, and who does
    /// not know us may need it.
    pub(super) fn is_near_or_new(&self, peer: &PeerId) -> bool {
        let places = self.map.place(peer).zip(self.map.place(&self.me));
        places.is_none_or(|(place, own)| self.map.is_among(place, own, self.streams.near + 1))
    }

    /// Where the other side says that it is: by its hint, or by a mark of the one that we have. A mark proves nothing; who
    /// is at the other end of a connection is known, and that it is certified we have seen.
    pub(super) fn own_hint_of(&self, peer: &PeerId, open: &Open) -> Option<Hint> {
        let told = open.hint.as_ref().filter(|hint| hint.peer() == *peer);
        let held = self.map.hint(peer).filter(|hint| Some(hint.mark()) == open.mark);
        told.or(held).cloned()
    }

    /// A superpeer has greeted by a mark of a hint that we don't have. Also if others were asked for it just now: its own
    /// answer makes the link a superpeer's.
    pub(super) fn ask_whose_mark(&mut self, peer: PeerId) {
        let who = Who { of: Briefs(alloc::vec![Brief::of(&peer)]), ..Who::default() };
        self.ask(peer, Message::Who(who), Purpose::Who, REQUEST_TIMEOUT);
    }

    /// Our own hint, if the link has to hear it.
    pub(super) fn introduction(&mut self, id: LinkId) -> Option<Hint> {
        let own = self.own_hint()?;
        let link = self.links.get_mut(id)?;
        if core::mem::replace(&mut link.introduced.own, true) {
            return None;
        }
        Some(own)
    }

    /// A child that loses us has to know others: it is told again when one of them is not to be had any
    /// more, or is back (the child may have given it up), when it was told of too few, and of better ones, or
    /// newer certificates, after a while.
    pub(super) fn others_for_child(&mut self, id: LinkId, child: &PeerId) -> Vec<Hint> {
        let now = self.now.instant;
        let Some(Introduced { others, others_at, .. }) = self.links.get(id).map(|link| &link.introduced)
        else {
            return Vec::new();
        };
        let stays = |(other, _): &(PeerId, Unix)| {
            let link = self.links.to(other).and_then(|link| self.links.get(link));
            link.is_some_and(|link| others_at.is_some_and(|told| link.since <= told))
        };
        let stay = others.iter().all(stays);
        let recent = others_at.is_some_and(|told| now.since(told) < INTRODUCE_INTERVAL);
        if recent && stay && others.len() >= HINTS_FOR_CHILDREN {
            return Vec::new();
        }
        let mut hints = self.candidates_for(child);
        hints.truncate(HINTS_FOR_CHILDREN);
        let mut told: Vec<(PeerId, Unix)> =
            hints.iter().map(|hint| (hint.peer(), hint.certificate.not_after)).collect();
        told.sort_unstable();
        let Some(link) = self.links.get_mut(id) else { return Vec::new() };
        let known = &mut link.introduced;
        // The child may have given up some that we have not.
        let long_ago = known.others_told.is_none_or(|at| now.since(at) >= INTRODUCE_AGAIN);
        let same = stay && known.others == told && !long_ago;
        (known.others, known.others_at) = (told, Some(now));
        if same {
            return Vec::new();
        }
        known.others_told = Some(now);
        hints
    }

    /// The next hello on the link introduces everybody again.
    pub(super) fn introduce_again(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id) {
            link.introduced = Introduced::default();
        }
    }
}
