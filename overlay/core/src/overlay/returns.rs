//! Returns: superpeers that are gone, and that others name as news.
//!
//! ```text
//!  gone alone, for two minutes ─▶ one names it ─▶ another one does ─▶ back in the map
//!                                      └─ nobody else for a minute ─▶ its own word is asked for
//!  gone just now, with many others, or back in vain before ─▶ its own word is asked for
//! ```
//! Its own word takes 111 bytes beside the question, at each that had lost it; a name takes eight, and comes from several
//! neighbours anyway. Two certified superpeers that lie can have a dead one dialled, or asked, once: when it fails us only
//! its own word brings it back, or itself. So no two remind each other of the dead for ever.
//!
//! *Not here*: what gossip says (`gossip`), what its own word does (`rumours`), who went alone (`map`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Overlay;
use crate::key::PeerId;
use crate::limits::{RETURN_WAIT, RUMOURS_MAX};
use crate::map::Reach;
use crate::time::Instant;
use crate::wire::{Brief, Briefs, Who};

/// Who is back by the word of one, whose, and since when.
#[derive(Debug, Default)]
pub(super) struct Returns(BTreeMap<PeerId, (PeerId, Instant)>);

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It waits for another one to say so.
    Waits,
    /// Another one has said so before.
    Again(PeerId),
    /// Too many wait.
    Full,
}

impl Returns {
    fn tell(&mut self, peer: PeerId, teller: PeerId, now: Instant) -> Told {
        match self.0.get(&peer) {
            Some((first, _)) if *first != teller => {
                let first = *first;
                self.0.remove(&peer);
                Told::Again(first)
            }
            Some(_) => Told::Waits,
            None if self.0.len() >= RUMOURS_MAX => Told::Full,
            None => {
                self.0.insert(peer, (teller, now));
                Told::Waits
            }
        }
    }

    /// Takes out those of whom nobody else has told for too long.
    fn overdue(&mut self, now: Instant) -> Vec<(PeerId, PeerId)> {
        let over = self.0.extract_if(.., |_, (_, since)| now.since(*since) >= RETURN_WAIT);
        over.map(|(peer, (teller, _))| (peer, teller)).collect()
    }
}

impl Overlay {
    /// Somebody names one that is gone, or only remembered, as news; whether that is dealt with, without its own word.
    pub(super) fn return_told(&mut self, teller: PeerId, peer: PeerId) -> bool {
        let now = self.now.instant;
        if self.map.remembers(&peer) {
            // As if we had been told its hint.
            return self.recall_told(&peer);
        }
        if !self.map.went_alone(&peer, now) || self.map.reach(now) != Reach::Most {
            return false;
        }
        match self.gossip.returns.tell(peer, teller, now) {
            Told::Waits => {}
            Told::Again(first) => {
                self.is_alive(peer);
                self.tell_of(peer);
                [first, teller].iter().for_each(|teller| self.gossip.knows(teller, &peer));
            }
            Told::Full => return false,
        }
        true
    }

    /// One that went alone has a link again. If it has just started it takes its range over itself; else it may only
    /// have been out of reach.
    pub(super) fn returned_alone(&mut self, peer: PeerId, started: bool) {
        self.gossip.acquit(&peer);
        if started {
            return self.started_again(&peer);
        }
        if let Some(place) = self.map.place(&peer).copied() {
            self.place_changed(peer, place);
        }
        if !self.is_restless(&peer) {
            self.compare_with(peer);
        }
    }

    /// Asks for the word of those that only one has named.
    pub(super) fn ask_for_returns(&mut self) {
        for (peer, teller) in self.gossip.returns.overdue(self.now.instant) {
            if self.map.is_gone(&peer) {
                self.ask_who(teller, Who { back: Briefs(alloc::vec![Brief::of(&peer)]), ..Who::default() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Instant, PeerId, RETURN_WAIT, RUMOURS_MAX, Returns, Told};

    #[test]
    fn a_return_takes_two_tellers_and_those_that_wait_are_few() {
        // One teller twice, then another one; then more names than may wait; then time passes.
        let peer = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            PeerId::from_bytes(bytes)
        };
        let (mut returns, now) = (Returns::default(), Instant::default());
        assert_eq!(returns.tell(peer(0), peer(1), now), Told::Waits);
        assert_eq!(returns.tell(peer(0), peer(1), now), Told::Waits);
        assert_eq!(returns.tell(peer(0), peer(2), now), Told::Again(peer(1)));
        let waits = |number: &usize| returns.tell(peer(*number), peer(1), now) == Told::Waits;
        assert_eq!((0..2 * RUMOURS_MAX).filter(waits).count(), RUMOURS_MAX);
        assert_eq!(returns.overdue(now).len(), 0);
        let over = returns.overdue(now + RETURN_WAIT);
        assert!(over.len() == RUMOURS_MAX && over.iter().all(|(_, teller)| *teller == peer(1)));
        assert_eq!(returns.tell(peer(0), peer(2), now), Told::Waits);
    }
}
