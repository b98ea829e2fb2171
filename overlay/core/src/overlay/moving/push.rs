//! Records offered to one superpeer: it says which it wants and gets those.
//!
//! ```text
//!  Offer ≤ 256 ─▶ Wanted ─▶ Put, key by key ─▶ Offer the next …
//! ```
//! A peer that doesn't answer gets no more: what it lacks is the next repair's business. A leaver offers a
//! second time. *Not here*: who
//! is offered what (`repair`, `leaving`).

use alloc::vec::Vec;

use crate::cbor::Blob;
use crate::key::{Key, PeerId};
use crate::limits::{DEVICES_PER_NAME_MAX, ITEMS_MAX, REQUEST_TIMEOUT};
use crate::overlay::Overlay;
use crate::overlay::requests::{Outcome, Purpose};
use crate::record::Record;
use crate::wire::{Item, Message, Put, PutDone};

/// Why records are put to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Repair,
    Leave,
}

#[derive(Debug)]
pub(super) struct Push {
    pub(super) peer: PeerId,
    pub(super) cause: Cause,
    /// To be offered.
    items: Vec<Item>,
    /// Offered, in the request in flight.
    offered: Vec<Item>,
    /// To be put: the peer wants them.
    wanted: Vec<Item>,
    /// It has been silent once.
    silent: bool,
}

impl Overlay {
    /// Offers the items to a peer; sorted or not.
    pub(super) fn push(&mut self, peer: PeerId, items: Vec<Item>, cause: Cause) {
        let id = self.number();
        let (offered, wanted) = (Vec::new(), Vec::new());
        self.push_on(id, Push { peer, cause, items, offered, wanted, silent: false });
    }

    /// Offers one more item to a peer, if something is on its way there.
    pub(super) fn push_too(&mut self, peer: PeerId, item: Item) -> bool {
        let push = self.moving.pushes.values_mut().find(|push| push.peer == peer);
        push.map(|push| push.items.push(item)).is_some()
    }

    fn push_on(&mut self, id: u64, mut push: Push) {
        let message = if let Some(put) = self.next_put(&mut push) {
            Message::Put(put)
        } else {
            // Meanwhile something newer may have come.
            push.items.retain(|item| self.store.named(item, self.now.unix).is_some());
            if push.items.is_empty() {
                return self.push_ended(push.cause);
            }
            push.offered = push.items.drain(..push.items.len().min(ITEMS_MAX)).collect();
            Message::Offer(push.offered.clone().into())
        };
        let peer = push.peer;
        self.moving.pushes.insert(id, push);
        self.ask(peer, message, Purpose::Moving(id), REQUEST_TIMEOUT);
    }

    /// The wanted records of one key.
    fn next_put(&self, push: &mut Push) -> Option<Put> {
        while let Some(last) = push.wanted.last().map(Item::key) {
            let of_key = push.wanted.extract_if(.., |item| item.key() == last);
            let held = of_key.filter_map(|item| self.store.named(&item, self.now.unix));
            let held: Vec<&Record> = held.collect();
            // Two names that begin alike would be a wonder; the other one's records are left to the publishers.
            if let Some(key) = held.first().map(|record| record.header().key) {
                let of_key = held.into_iter().filter(|record| record.header().key == key);
                let records = of_key.map(|record| Blob(record.bytes().clone())).collect();
                return Some(Put { records });
            }
        }
        None
    }

    pub(super) fn push_heard(&mut self, id: u64, outcome: Outcome) {
        let Some(mut push) = self.moving.pushes.remove(&id) else { return };
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other ends are failures alike")]
        match outcome {
            Outcome::Answer(Message::Wanted(wanted)) => {
                // No more than was offered, each once.
                let offered = core::mem::take(&mut push.offered);
                let wanted: alloc::collections::BTreeSet<Item> =
                    wanted.items.0.into_iter().take(ITEMS_MAX).collect();
                push.wanted = offered.into_iter().filter(|item| wanted.contains(item)).collect();
            }
            Outcome::Answer(Message::PutDone(done)) => self.was_put(push.cause, done),
            // A leaver has no second chance later.
            Outcome::Silent if push.cause == Cause::Leave && !push.silent => {
                push.silent = true;
                push.items.append(&mut push.offered);
            }
            _ => return self.push_ended(push.cause),
        }
        self.push_on(id, push);
    }

    /// Counts what the peer keeps now, and learns what it has that is newer.
    fn was_put(&mut self, cause: Cause, done: PutDone) {
        let results = done.results.iter().take(DEVICES_PER_NAME_MAX + 1);
        let newer: Vec<_> = results.filter_map(|result| result.newer.clone()).collect();
        let kept = done.results.iter().filter(|result| result.signature.is_some()).count();
        let counter = match cause {
            Cause::Repair => &mut self.counters.repaired,
            Cause::Leave => &mut self.counters.pushed,
        };
        *counter += kept as u64;
        for blob in newer {
            if let Ok(record) = self.read_record(blob.0) {
                drop(self.take_in(&record));
            }
        }
    }

    fn push_ended(&mut self, cause: Cause) {
        match cause {
            Cause::Repair => {}
            Cause::Leave => self.depart_if_pushed(),
        }
    }

    /// Who becomes a storer of the key when we are gone, if anybody does.
    pub(super) fn successor(&self, key: &Key) -> Option<PeerId> {
        let r = self.network.parameters.r;
        let closest = self.map.closest(key, r + 1);
        let among = closest.iter().take(r).any(|contact| contact.peer() == self.me);
        closest.get(r).filter(|_| among).map(|contact| contact.peer())
    }
}
