//! Puts that missed a storer: it gets them when it is there again.
//!
//! A put is acknowledged by a majority. The storer that was silent meanwhile, or was thought gone, keeps what it has, and
//! may be the first that a look-up asks. If it had started again it would take its range over; if it was merely not to be
//! reached for some seconds nobody else has noticed. So we note what it missed, and put it when it greets us or says hello.
//! *Not here*: those that lack a record by the answers of a look-up or a put (`mend`), whom others have lost (`moving`).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Overlay;
use crate::key::PeerId;
use crate::limits::{MISSED_FOR, MISSED_GIVEN, MISSED_MAX};
use crate::record::{Bundle, Record};
use crate::time::Instant;

/// Which records who has missed, and since when; the oldest first.
#[derive(Debug, Default)]
pub(super) struct Missed(VecDeque<(PeerId, Record, Instant)>);

impl Missed {
    /// A storer was not reached with a record; at the bound the oldest one is forgotten.
    fn note(&mut self, peer: PeerId, record: &Record, now: Instant) {
        self.got(&peer, record);
        while self.0.len() >= MISSED_MAX
            || self.0.front().is_some_and(|(_, _, at)| now.since(*at) >= MISSED_FOR)
        {
            self.0.pop_front();
        }
        self.0.push_back((peer, record.clone(), now));
    }

    /// A storer has the record: it has missed none before it.
    fn got(&mut self, peer: &PeerId, record: &Record) {
        let slot = record.slot();
        self.0.retain(|(other, missed, _)| other != peer || missed.slot() != slot);
    }

    /// A storer gets all that by itself.
    fn forget(&mut self, peer: &PeerId) {
        self.0.retain(|(other, ..)| other != peer);
    }

    /// Takes out what a storer has missed, the newest first, but no more than so many.
    fn take(&mut self, peer: &PeerId, most: usize, now: Instant) -> Vec<Record> {
        let mut taken = Vec::new();
        for index in (0..self.0.len()).rev() {
            if taken.len() < most
                && self.0[index].0 == *peer
                && let Some((_, record, at)) = self.0.remove(index)
                && now.since(at) < MISSED_FOR
            {
                taken.push(record);
            }
        }
        taken
    }
}

impl Overlay {
    /// A record has been acknowledged: these have it, and these ought to.
    pub(super) fn note_missed(&mut self, record: &Record, have: &[PeerId], ought: &[PeerId]) {
        for peer in have {
            self.mending.missed.got(peer, record);
        }
        for peer in ought.iter().filter(|peer| !have.contains(peer) && **peer != self.me) {
            self.mending.missed.note(*peer, record, self.now.instant);
        }
    }

    /// The other records of a bundle: who was silent when one of it was put may lack them too.
    pub(super) fn note_rest(&mut self, peer: PeerId, whole: &Bundle) {
        for record in &whole.records {
            self.mending.missed.note(peer, record, self.now.instant);
        }
    }

    /// A superpeer has greeted: it gets what it has missed, or takes that over itself if it has just started.
    pub(super) fn missed_until_now(&mut self, peer: PeerId) {
        if self.links.is_anew(&peer, self.now.instant) {
            self.mending.missed.forget(&peer);
        }
        self.give_missed(peer);
    }

    /// A superpeer is there: it gets what it has missed.
    pub(super) fn give_missed(&mut self, peer: PeerId) {
        let now = self.now.instant;
        for record in self.mending.missed.take(&peer, self.mending.room().min(MISSED_GIVEN), now) {
            self.give_missing(peer, &Bundle::new([record]), &Bundle::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::super::newest::tests::epoch;
    use super::{Instant, MISSED_FOR, MISSED_MAX, Missed, PeerId};
    use crate::key::Key;
    use crate::record::Record;

    #[test]
    fn what_was_missed_is_given_once_the_newest_of_each_slot_and_not_for_long() {
        // Two storers miss two versions of a name and one of another; one of them gets that later. Then as many as are
        // noted, for a third; then time passes.
        let peer = |number: u8| PeerId::from_bytes([number; 32]);
        let key = |number: u8| Key::from_bytes([number; 32]);
        let (old, new, other) = (epoch(key(1), 1, 1), epoch(key(1), 1, 2), epoch(key(2), 1, 1));
        let (mut missed, now) = (Missed::default(), Instant::default());
        for record in [&old, &new, &other] {
            (0..2).for_each(|number| missed.note(peer(number), record, now));
        }
        missed.got(&peer(1), &other);
        assert_eq!(missed.take(&peer(0), 1, now), vec![other.clone()]);
        assert_eq!(missed.take(&peer(0), 9, now), vec![new.clone()]);
        assert_eq!(missed.take(&peer(0), 9, now), Vec::<Record>::new());
        (0..u8::MAX).for_each(|number| missed.note(peer(2), &epoch(key(number), 1, 1), now));
        missed.note(peer(3), &other, now);
        assert_eq!(missed.0.len(), MISSED_MAX);
        assert!(missed.take(&peer(1), 9, now).is_empty(), "the oldest are forgotten");
        assert!(missed.take(&peer(2), 9, now + MISSED_FOR).is_empty(), "it was too long ago");
        missed.note(peer(4), &other, now);
        missed.forget(&peer(3));
        assert!(missed.take(&peer(3), 9, now).is_empty(), "it takes that over itself");
        assert_eq!(missed.take(&peer(4), 9, now).len(), 1);
    }
}
