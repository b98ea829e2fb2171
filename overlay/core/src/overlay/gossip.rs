//! Gossip: superpeers that are news travel on hellos, within a byte budget.
//!
//! A superpeer that enters the map is news. News go out with the next hellos to other superpeers, each
//! a few times; who learns of it by that passes it on. The budget is one for all neighbours and counts
//! hints only; what does not fit waits, and of what waits the oldest goes first when there is too much.
//!
//! Source: Gupta et al., *One Hop Lookups* (paper), without its hierarchy; times and budget DESIGN §4.
//! *Not here*: goodbyes, which don't travel yet.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Overlay;
use crate::key::PeerId;
use crate::limits::{GOSSIP_BURST_BYTES, GOSSIP_BYTES_PER_SEC, HINTS_PER_HELLO, NEWS_MAX, NEWS_TIMES};
use crate::time::Instant;
use crate::wire::Hint;

#[derive(Debug, Default)]
pub(super) struct Gossip {
    news: VecDeque<(PeerId, u8)>,
    /// Bytes that may go out, as of `filled`.
    budget: u64,
    filled: Instant,
}

impl Gossip {
    /// A superpeer has entered the map.
    pub(super) fn tell(&mut self, peer: PeerId) {
        self.news.retain(|(known, _)| *known != peer);
        self.news.push_back((peer, NEWS_TIMES));
        if self.news.len() > NEWS_MAX {
            self.news.pop_front();
        }
    }

    fn fill(&mut self, now: Instant) {
        let micros = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let due = micros.saturating_mul(GOSSIP_BYTES_PER_SEC) / 1_000_000;
        // What is less than a byte stays due.
        if due > 0 {
            self.budget = (self.budget + due).min(GOSSIP_BURST_BYTES);
            self.filled = now;
        }
    }

    /// The next news for `to` that are not among `told`.
    fn next(&self, to: &PeerId, told: &[Hint]) -> Option<(usize, PeerId)> {
        let fits = |peer: &PeerId| peer != to && told.iter().all(|hint| hint.peer() != *peer);
        self.news.iter().map(|(peer, _)| *peer).enumerate().find(|(_, peer)| fits(peer))
    }

    /// The news at `index` have been told once more.
    fn told(&mut self, index: usize) {
        if let Some((peer, left)) = self.news.remove(index).filter(|(_, left)| *left > 1) {
            self.news.push_back((peer, left - 1));
        }
    }
}

impl Overlay {
    /// News for a superpeer, as much as a hello and the budget hold.
    pub(super) fn news_for(&mut self, to: &PeerId) -> Vec<Hint> {
        self.gossip.fill(self.now.instant);
        let mut hints: Vec<Hint> = Vec::new();
        while hints.len() < HINTS_PER_HELLO
            && let Some((index, peer)) = self.gossip.next(to, &hints)
        {
            let Some(hint) = self.map.contact(&peer).map(|contact| contact.hint.clone()) else {
                // It has failed us since.
                self.gossip.news.remove(index);
                continue;
            };
            let bytes = hint.to_bytes().len() as u64;
            if bytes > self.gossip.budget {
                break;
            }
            self.gossip.budget -= bytes;
            self.gossip.told(index);
            hints.push(hint);
        }
        hints
    }
}

#[cfg(test)]
mod tests {
    use super::{Gossip, PeerId};
    use crate::limits::{NEWS_MAX, NEWS_TIMES};

    fn peer(number: usize) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        PeerId::from_bytes(bytes)
    }

    #[test]
    fn news_are_told_so_many_times_and_never_to_whom_they_are_about() {
        // Tell of one peer, then take its news until there are none.
        let mut gossip = Gossip::default();
        gossip.tell(peer(1));
        assert!(gossip.next(&peer(1), &[]).is_none());
        for _ in 0..NEWS_TIMES {
            let (index, about) = gossip.next(&peer(2), &[]).expect("still news");
            assert_eq!(about, peer(1));
            gossip.told(index);
        }
        assert!(gossip.next(&peer(2), &[]).is_none());
    }

    #[test]
    fn news_are_bounded_and_each_peer_is_among_them_once() {
        // Tell of more peers than fit, of each twice.
        let mut gossip = Gossip::default();
        for number in 0..2 * NEWS_MAX {
            gossip.tell(peer(number));
            gossip.tell(peer(number));
        }
        assert_eq!(gossip.news.len(), NEWS_MAX);
    }
}
