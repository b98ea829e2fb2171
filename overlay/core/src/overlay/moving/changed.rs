//! Places that superpeers have left, or come back to, until they are repaired.
//!
//! A repair costs the neighbours of a place a walk over what they hold. One that comes and goes could make
//! them walk all the time, so each further change within a window waits twice as long as the one before;
//! who stays, there or away, is repaired in the end. *Not here*: the repair itself, and its chance (`repair`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::key::{Key, PeerId};
use crate::limits::{CHANGED_MAX, REPAIR_WITHIN, RETURNS_MAX, RETURNS_WINDOW};
use crate::time::Instant;

/// A place to be repaired.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Key,
    /// It has been left since the last repair; taken again.
    pub(super) gone: bool,
    pub(super) back: bool,
    /// It has had to wait.
    pub(super) put_off: bool,
    /// It may be repaired from then on.
    from: Instant,
}

/// Who is gone or back, and where; and how often it was.
#[derive(Debug, Default)]
pub(super) struct Changed {
    places: BTreeMap<PeerId, Place>,
    /// How often each has come or gone since when; the oldest goes first.
    changes: BTreeMap<PeerId, (u32, Instant)>,
}

impl Changed {
    /// Notes that a superpeer is gone, or back; returns how long its repair has to wait. At the bound a further
    /// one is left to the publishers.
    pub(super) fn note(&mut self, peer: PeerId, (key, there): (Key, bool), now: Instant) -> Option<Duration> {
        let (count, _) = self.count(peer, now);
        if self.places.len() >= CHANGED_MAX && !self.places.contains_key(&peer) {
            return None;
        }
        let wait = match count.checked_sub(RETURNS_MAX + 1) {
            None => Duration::ZERO,
            Some(more) => (REPAIR_WITHIN * 2u32.saturating_pow(more.min(10) + 1)).min(RETURNS_WINDOW),
        };
        let former = self.places.get(&peer).filter(|place| place.key == key);
        let (gone, back) = former.map_or((false, false), |place| (place.gone, place.back));
        let (gone, back, put_off) = (gone || !there, back || there, !wait.is_zero());
        self.places.insert(peer, Place { key, gone, back, put_off, from: now + wait });
        Some(wait)
    }

    /// Whether a superpeer has come and gone so often that its repairs wait.
    pub(super) fn is_restless(&self, peer: &PeerId, now: Instant) -> bool {
        self.changes
            .get(peer)
            .is_some_and(|(count, since)| *count > RETURNS_MAX && now.since(*since) < RETURNS_WINDOW)
    }

    fn count(&mut self, peer: PeerId, now: Instant) -> (u32, Instant) {
        let changes = self.changes.entry(peer).or_insert((0, now));
        if now.since(changes.1) >= RETURNS_WINDOW {
            *changes = (0, now);
        }
        changes.0 = changes.0.saturating_add(1);
        let counted = *changes;
        if self.changes.len() > CHANGED_MAX
            && let Some(oldest) = self.changes.iter().min_by_key(|(_, (_, since))| *since)
        {
            let oldest = *oldest.0;
            self.changes.remove(&oldest);
        }
        counted
    }

    /// Takes out those that may be repaired by now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Place)> {
        self.places.extract_if(.., |_, place| place.from <= now).collect()
    }

    /// When the first of those that wait may be repaired.
    pub(super) fn next(&self) -> Option<Instant> {
        self.places.values().map(|place| place.from).min()
    }

    /// Nothing is to be repaired any more.
    pub(super) fn clear(&mut self) {
        self.places.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        PeerId::from_bytes(bytes)
    }

    #[test]
    fn each_further_change_waits_longer_and_who_stays_is_due_in_the_end() {
        // One that comes or goes every second; another one meanwhile; then time passes.
        let (mut changed, place) = (Changed::default(), Key::from_bytes([7; 32]));
        let (mut now, mut waits) = (Instant::default(), Vec::new());
        for _ in 0..12 {
            now = now + Duration::from_secs(1);
            waits.extend(changed.note(peer(1), (place, false), now).map(|wait| wait.as_secs()));
        }
        assert_eq!(waits, [0, 0, 0, 0, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert!(changed.is_restless(&peer(1), now));
        assert_eq!(changed.note(peer(2), (place, true), now), Some(Duration::ZERO));
        let due = |changed: &mut Changed, now: Instant| -> Vec<PeerId> {
            changed.due(now).into_iter().map(|(peer, _)| peer).collect()
        };
        assert_eq!(due(&mut changed, now), [peer(2)]);
        assert_eq!(due(&mut changed, now + RETURNS_WINDOW), [peer(1)]);
        assert_eq!(changed.note(peer(1), (place, false), now + RETURNS_WINDOW), Some(Duration::ZERO));
    }

    #[test]
    fn places_and_memory_are_bounded() {
        // More superpeers than are remembered.
        let mut changed = Changed::default();
        for number in 0..2 * CHANGED_MAX {
            changed.note(peer(number), (Key::from_bytes([7; 32]), false), Instant::default());
        }
        assert_eq!((changed.places.len(), changed.changes.len()), (CHANGED_MAX, CHANGED_MAX));
    }
}
