//! Introductions: the hints that go with hellos, each when its link has to hear it.
//!
//! Our own goes with `Open`, when it has changed, and to superpeers now and then, since they may have given
//! us up meanwhile; children are told of some other superpeers that they can turn to. *Not here*: gossip
//! between superpeers (`gossip`).

use alloc::vec::Vec;

use super::Overlay;
use crate::api::LinkId;
use crate::key::PeerId;
use crate::limits::{HINTS_FOR_CHILDREN, INTRODUCE_INTERVAL};
use crate::time::Instant;
use crate::wire::Hint;

/// The hints that were told on a link, so that no hello repeats them without need.
#[derive(Debug, Default)]
pub(super) struct Introduced {
    /// When our own was, if it is still what we would say.
    own: Option<Instant>,
    /// Which others were last, and when it was last seen to that they are.
    others: Vec<PeerId>,
    others_at: Option<Instant>,
}

impl Introduced {
    pub(super) const fn by_open(now: Instant) -> Self {
        Self { own: Some(now), others: Vec::new(), others_at: None }
    }
}

impl Overlay {
    /// Our own hint, if the link has to hear it (again).
    pub(super) fn introduction(&mut self, id: LinkId) -> Option<Hint> {
        let (own, now) = (self.own_hint()?, self.now.instant);
        let link = self.links.get_mut(id)?;
        let superpeer = link.greeting.as_ref().is_some_and(|greeting| greeting.superpeer);
        let told = link.introduced.own;
        if told.is_some_and(|told| !superpeer || now.since(told) < INTRODUCE_INTERVAL) {
            return None;
        }
        link.introduced.own = Some(now);
        Some(own)
    }

    /// A child that loses us has to know others: it is told again when one of them is not to be had any
    /// more, and of better ones after a while.
    pub(super) fn others_for_child(&mut self, id: LinkId, child: &PeerId) -> Vec<Hint> {
        let now = self.now.instant;
        let Some(Introduced { others, others_at, .. }) = self.links.get(id).map(|link| &link.introduced)
        else {
            return Vec::new();
        };
        let recent = others_at.is_some_and(|told| now.since(told) < INTRODUCE_INTERVAL);
        if recent && others.iter().all(|other| self.links.to(other).is_some()) {
            return Vec::new();
        }
        let mut hints = self.candidates_for(child);
        hints.truncate(HINTS_FOR_CHILDREN);
        let mut peers: Vec<PeerId> = hints.iter().map(Hint::peer).collect();
        peers.sort_unstable();
        let Some(link) = self.links.get_mut(id).filter(|_| !peers.is_empty()) else { return Vec::new() };
        link.introduced.others_at = Some(now);
        if link.introduced.others == peers {
            return Vec::new();
        }
        link.introduced.others = peers;
        hints
    }

    /// The next hello on the link introduces everybody again.
    pub(super) fn introduce_again(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id) {
            link.introduced = Introduced::default();
        }
    }
}
