//! A superpeer in the map, in as few bytes as there are superpeers to know, and who is who among them.
//!
//! With ten thousand superpeers each knows ten thousand: what all know of one is shared by those that run in one
//! process, what we have seen of it ourselves is made when there is something, and a place takes 24 bytes. *Not
//! here*: who is in the map (`super`).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::key::{Distance, Key, PeerId};
use crate::sorted::GrowingMap;
use crate::time::Instant;
use crate::wire::{Hint, Placed};

/// A superpeer in the map.
#[derive(Debug)]
pub(crate) struct Contact {
    /// The place's first bits: most comparisons end there.
    first: u64,
    placed: Arc<Placed>,
    own: Option<Box<Own>>,
}

/// What we know of a superpeer by ourselves.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Has answered at an address that we dialled.
    pub(super) verified: bool,
    /// When it did so last.
    pub(super) dialled: Option<Instant>,
    /// It said itself where it listens now.
    pub(super) told: bool,
    /// It has had a link with us since we started.
    pub(super) met: bool,
    /// By whose word it is in the map.
    pub(super) word: Word,
    /// When something came from it last, and when its link ended, if it has none any more.
    pub(super) heard: Option<(Instant, Instant)>,
}

/// By whose word a superpeer is in the map.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Somebody has named it.
    #[default]
    Named,
    /// Our disk's: nobody has named it since.
    Restored,
    /// It was gone, and had gone alone or not; by what somebody said it is back, and it has not told us so itself since.
    Back { alone: bool },
}

impl Contact {
    pub(super) fn new(placed: Arc<Placed>) -> Self {
        Self { first: placed.id.first(), placed, own: None }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.placed.hint.peer()
    }

    pub(crate) fn id(&self) -> Key {
        self.placed.id
    }

    pub(crate) fn hint(&self) -> &Hint {
        &self.placed.hint
    }

    pub(crate) fn placed(&self) -> &Arc<Placed> {
        &self.placed
    }

    pub(super) fn hint_mut(&mut self) -> &mut Hint {
        &mut Arc::make_mut(&mut self.placed).hint
    }

    /// Has answered at an address that we dialled.
    pub(crate) fn verified(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.verified)
    }

    /// When it did so last.
    pub(crate) fn dialled(&self) -> Option<Instant> {
        self.own.as_ref()?.dialled
    }

    pub(super) fn told(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.told)
    }

    /// It has had a link with us since we started.
    pub(crate) fn met(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.met)
    }

    /// We know it from our disk alone: it may be long gone.
    pub(crate) fn is_of_the_past(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.word == Word::Restored && !own.met && !own.verified)
    }

    pub(super) fn heard(&self) -> Option<(Instant, Instant)> {
        self.own.as_ref()?.heard
    }

    /// Whether it is back by somebody's word alone.
    pub(super) fn unmet(&self) -> bool {
        self.own.as_ref().is_some_and(|own| matches!(own.word, Word::Back { .. }) && !own.met)
    }

    /// Whether it had gone alone, and is back by somebody's word.
    pub(super) fn went_alone(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.word == Word::Back { alone: true })
    }

    /// Whether it was back by somebody's word; from now on it is by more than that.
    pub(super) fn take_back(&mut self) -> bool {
        let back = |own: &&mut Box<Own>| matches!(own.word, Word::Back { .. });
        self.own.as_mut().filter(back).map(|own| own.word = Word::Named).is_some()
    }

    /// Somebody names it.
    pub(super) fn take_named(&mut self) {
        if let Some(own) = self.own.as_mut().filter(|own| own.word == Word::Restored) {
            own.word = Word::Named;
        }
    }

    pub(super) fn own_mut(&mut self) -> &mut Own {
        self.own.get_or_insert_default()
    }

    /// Compares the place with another.
    pub(crate) fn cmp_place(&self, id: &Key) -> Ordering {
        self.first.cmp(&id.first()).then_with(|| self.placed.id.cmp(id))
    }

    pub(super) fn bit(&self, bit: usize) -> bool {
        if bit < 64 { self.first >> (63 - bit) & 1 == 1 } else { bit_of(&self.placed.id, bit) }
    }

    pub(crate) fn distance(&self, key: &Key) -> Distance {
        self.placed.id.distance(key)
    }

    /// Which of two is closer to a key.
    pub(super) fn closer(&self, other: &Self, key: &Key) -> Ordering {
        let first = key.first();
        (self.first ^ first)
            .cmp(&(other.first ^ first))
            .then_with(|| self.distance(key).cmp(&other.distance(key)))
    }
}

pub(super) fn bit_of(key: &Key, bit: usize) -> bool {
    key.as_bytes()[bit / 8] & (0x80 >> (bit % 8)) != 0
}

/// Superpeers by who they are, by their first bits.
#[derive(Debug, Default)]
pub(super) struct ByPeer {
    first: GrowingMap<u64, Arc<Placed>>,
    /// Those whose first bits are another's: nobody, unless somebody has looked for such a key.
    others: Vec<Arc<Placed>>,
}

impl ByPeer {
    pub(super) fn insert(&mut self, placed: &Arc<Placed>) {
        let first = placed.hint.peer().first();
        if let Some(former) = self.first.insert(first, placed.clone()) {
            self.first.insert(first, former);
            self.others.push(placed.clone());
        }
    }

    /// One whose first bits are these.
    pub(super) fn find(&self, first: u64) -> Option<PeerId> {
        self.first.get(&first).map(|placed| placed.hint.peer())
    }

    /// Where a superpeer stands.
    pub(super) fn place(&self, peer: &PeerId) -> Option<&Key> {
        let first = self.first.get(&peer.first())?;
        if first.hint.peer() == *peer {
            return Some(&first.id);
        }
        self.others.iter().find(|other| other.hint.peer() == *peer).map(|other| &other.id)
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Key> {
        let first = self.first.get(&peer.first())?;
        if first.hint.peer() != *peer {
            let index = self.others.iter().position(|other| other.hint.peer() == *peer)?;
            return Some(self.others.swap_remove(index).id);
        }
        let id = first.id;
        self.first.remove(&peer.first());
        // One with the same first bits takes its place.
        if let Some(index) = self.others.iter().position(|other| other.hint.peer().first() == peer.first()) {
            let other = self.others.swap_remove(index);
            self.first.insert(peer.first(), other);
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use super::super::tests::NETWORK;
    use super::ByPeer;
    use crate::certificate::NodeCertificate;
    use crate::key::PeerId;
    use crate::sign::SecretKey;
    use crate::time::Unix;
    use crate::wire::{Hint, Placed};

    #[test]
    fn peers_with_the_same_first_bits_are_told_apart() {
        // Three that share them and one that does not: each is found until it is removed, in any order.
        let placed = |first: u8, last: u8| {
            let mut peer = [first; 32];
            peer[31] = last;
            let life = Unix::from_secs(0)..Unix::from_secs(1_000);
            let login = SecretKey::from_seed([1; 32]);
            let certificate =
                NodeCertificate::issue(PeerId::from_bytes(peer), [0; 16], life, &NETWORK, &login);
            let id = certificate.node_id(&NETWORK);
            Arc::new(Placed { id, hint: Hint { certificate, addresses: [].into() } })
        };
        let all = [placed(1, 1), placed(1, 2), placed(1, 3), placed(2, 1)];
        for order in [[0, 1, 2, 3], [2, 1, 0, 3], [1, 3, 0, 2], [3, 0, 2, 1]] {
            let mut by_peer = ByPeer::default();
            all.iter().for_each(|placed| by_peer.insert(placed));
            for (removed, index) in order.into_iter().enumerate() {
                for placed in order[removed..].iter().map(|index| &all[*index]) {
                    assert_eq!(by_peer.place(&placed.hint.peer()), Some(&placed.id));
                }
                assert_eq!(by_peer.remove(&all[index].hint.peer()), Some(all[index].id));
                assert_eq!(by_peer.place(&all[index].hint.peer()), None);
            }
        }
    }
}
