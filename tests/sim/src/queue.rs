//! What is going to happen: events, and the deadlines that peers have set themselves.
//!
//! Both are binary heaps of small entries, ordered by time and, at one moment, by the order in which they
//! were put in (events) or by peer (deadlines). An event's content waits in a slab beside its heap. A peer
//! moves its deadline with nearly every turn, so old entries are not searched for: they are passed over
//! when they come up, and of each peer only an earlier one than it has already is put in.
//! *Not here*: what events are (`world`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Micros;

/// Events by time.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<(Micros, u64, u32)>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    count: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), count: 0 }
    }
}

impl<E> Queue<E> {
    pub(crate) fn push(&mut self, at: Micros, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                (self.slots.len() - 1) as u32
            }
        };
        self.count += 1;
        self.heap.push(Reverse((at, self.count, slot)));
    }

    /// When the next one happens.
    pub(crate) fn next(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Micros, E)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let event = self.slots[slot as usize].take().expect("an entry has its event");
        Some((at, event))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

/// No deadline.
const NEVER: Micros = Micros::MAX;

/// The next deadline of each peer.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Micros, u32)>>,
    /// The entry of each peer that counts.
    set: Vec<Micros>,
}

impl Deadlines {
    /// The peer wants to be called at `at`, or not at all.
    pub(crate) fn set(&mut self, peer: u32, at: Option<Micros>) {
        let index = peer as usize;
        if self.set.len() <= index {
            self.set.resize(index + 1, NEVER);
        }
        let at = at.unwrap_or(NEVER);
        // A later one than is set waits until that comes up.
        if at < self.set[index] {
            self.set[index] = at;
            self.heap.push(Reverse((at, peer)));
        }
    }

    /// When somebody may have to be called.
    pub(crate) fn next(&mut self) -> Option<Micros> {
        while let Some(Reverse((at, peer))) = self.heap.peek().copied() {
            if self.set[peer as usize] == at {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the next entry out: the peer has to say again when it wants to be called.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let _ = self.next()?;
        let Reverse((_, peer)) = self.heap.pop()?;
        self.set[peer as usize] = NEVER;
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::{Deadlines, Queue};
    use crate::random::Random;

    #[test]
    fn events_come_by_time_and_at_one_moment_in_the_order_of_their_making() {
        // Goal: the order is total and stable. Method: many events at few moments, taken out again.
        let (mut queue, mut random) = (Queue::default(), Random::of(3, "queue"));
        for number in 0..10_000u64 {
            queue.push(random.below(50), number);
            if number % 3 == 0 {
                queue.pop();
            }
        }
        let mut last = None;
        while let Some(event) = queue.pop() {
            assert!(last.is_none_or(|last| last < event), "{last:?} before {event:?}");
            last = Some(event);
        }
        assert_eq!((queue.len(), queue.next()), (0, None));
    }

    #[test]
    fn a_peer_is_called_once_at_its_earliest_deadline() {
        // Goal: old entries are passed over. Method: move deadlines to and fro, then take all.
        let mut deadlines = Deadlines::default();
        for (peer, at) in [(0, 50), (1, 20), (0, 30), (1, 40), (2, 10), (0, 10)] {
            deadlines.set(peer, Some(at));
        }
        assert_eq!(deadlines.next(), Some(10));
        let all: Vec<u32> = std::iter::from_fn(|| deadlines.pop()).collect();
        assert_eq!(all, [0, 2, 1]);
        deadlines.set(1, None);
        assert_eq!(deadlines.pop(), None);
    }
}
