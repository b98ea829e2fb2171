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

    /// The next to be told to `to`, if the budget allows for one more.
    fn next(&mut self, to: &PeerId) -> Option<PeerId> {
        let index = self.news.iter().position(|(peer, _)| peer != to)?;
        let (peer, left) = self.news.remove(index)?;
        if left > 1 {
            self.news.push_back((peer, left - 1));
        }
        Some(peer)
    }
}

impl Overlay {
    /// News for a superpeer, as much as a hello and the budget hold.
    pub(super) fn news_for(&mut self, to: &PeerId) -> Vec<Hint> {
        self.gossip.fill(self.now.instant);
        let mut hints: Vec<Hint> = Vec::new();
        for _ in 0..HINTS_PER_HELLO {
            let Some(peer) = self.gossip.next(to) else { break };
            // It may have failed us since.
            let Some(hint) = self.map.contact(&peer).map(|contact| contact.hint.clone()) else { continue };
            let bytes = hint.to_bytes().len() as u64;
            if hints.contains(&hint) || bytes > self.gossip.budget {
                self.gossip.news.push_front((peer, 1));
                break;
            }
            self.gossip.budget -= bytes;
            hints.push(hint);
        }
        hints
    }
}
