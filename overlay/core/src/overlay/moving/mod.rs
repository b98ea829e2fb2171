//! Records move to where they belong.
//!
//! ```text
//!  a newcomer   pulls from its nearest      Digest ─▶ Pull …                              (handover)
//!  a death      the closest holder offers   Digest ─▶ Pull if replaced ─▶ Offer ─▶ Put …  (repair)
//!  a leaver     pushes to who comes next                                  Offer ─▶ Put …  (leaving)
//! ```
//! Whom a record belongs to follows from our map; whoever receives one verifies it and looks whether it
//! is its own to store, so nobody can be made to keep what others say. Each of these has one request in
//! flight with each peer, and what a peer promises and doesn't give is bounded (`promises`). Nothing here is
//! served to who is no superpeer of our map, and to each link only so much in a second: who asks for more is
//! told to come back.
//!
//! Source: DESIGN §4 *Repair*, DETAILS *Records*. *Not here*: ranges (`range`), what is held in them
//! (`store`), the checks of a record that comes in (`serve`).

mod changed;
mod handover;
mod leaving;
mod promises;
mod push;
mod repair;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use self::changed::Changed;
use self::handover::HandOver;
use self::leaving::Leaving;
use self::promises::Promises;
use self::push::Push;
use self::repair::Repair;
use super::Overlay;
use super::requests::Outcome;
use crate::api::LinkId;
use crate::cbor::Blob;
use crate::key::{Key, PeerId};
use crate::limits::{ITEMS_MAX, OFFERED_ITEM_WORK, PULLED_BYTES_MAX};
use crate::range::{concerns, range_of};
use crate::record::Record;
use crate::store::{Kept, item};
use crate::time::Instant;
use crate::wire::{ChainList, Compare, Item, ItemList, Items, Message, Pulled, Range, Reason};

/// What another superpeer may ask.
pub(super) enum Asked<'a> {
    Digest(&'a Compare),
    Pull(&'a Items),
    Offer(&'a Items),
}

/// What is on the move.
#[derive(Debug, Default)]
pub(super) struct Moving {
    hand_over: Option<Box<HandOver>>,
    /// Since when we have been a superpeer.
    since: Option<Instant>,
    /// For how long the network had been there then.
    age_then: Duration,
    /// When the last comparison began that showed all that we lacked.
    confirmed: Option<Instant>,
    /// When we last compared with a neighbour for no reason.
    compared: Option<Instant>,
    /// Who is gone, or back, since the last repair.
    changed: Changed,
    /// When the timer for the next repair is set.
    repairs_at: Option<Instant>,
    repair: Option<Box<Repair>>,
    /// Who is gone since copies were counted last, and how many that may be before any record can have too
    /// few of them.
    worn: BTreeMap<PeerId, Key>,
    spare: usize,
    pushes: BTreeMap<u64, Push>,
    leaving: Option<Box<Leaving>>,
}

impl Overlay {
    /// We are no superpeer any more.
    pub(super) fn stop_moving(&mut self) {
        self.moving = Moving { leaving: self.moving.leaving.take(), ..Moving::default() };
    }

    /// A superpeer compares what it holds with what we hold, takes something over or offers something: as
    /// much as the work that we do for it allows.
    pub(super) fn serve_moving(&mut self, link: LinkId, peer: &PeerId, asked: &Asked<'_>) -> Message {
        let items = match asked {
            Asked::Digest(_) => 0,
            Asked::Pull(items) | Asked::Offer(items) => items.items.0.len(),
        };
        if let Err(reason) = self.may_move(peer, items) {
            return self.refuse(reason);
        }
        if let Some(refused) = self.worked_enough_for(link) {
            return refused;
        }
        match asked {
            Asked::Digest(compare) => self.serve_digest(link, compare),
            Asked::Pull(items) => self.serve_pull(link, items),
            Asked::Offer(items) => self.serve_offer(link, items),
        }
    }

    /// What a link is told if no more work may be done for it now.
    pub(super) fn worked_enough_for(&mut self, link: LinkId) -> Option<Message> {
        let now = self.now.instant;
        let Some(work) = self.links.allowed(link).map(|allowed| &mut allowed.work) else {
            return Some(self.refuse(Reason::Busy));
        };
        if work.has(1, now) {
            return None;
        }
        let wait = work.wait();
        self.counters.moves_put_off += 1;
        Some(self.refuse_for(wait))
    }

    pub(super) fn worked_for(&mut self, link: LinkId, items: usize) {
        if let Some(allowed) = self.links.allowed(link) {
            allowed.work.charge(1 + items as u64);
        }
    }

    /// What we hold in a range.
    fn serve_digest(&mut self, link: LinkId, compare: &Compare) -> Message {
        if !compare.range().is_valid() {
            return self.refuse(Reason::Invalid);
        }
        let (mut digests, read) = self.store.digests(compare, self.now.unix);
        self.worked_for(link, read);
        digests.syncing = self.is_syncing();
        Message::Digests(digests)
    }

    /// Records by name: in the order asked, as many as fit.
    fn serve_pull(&mut self, link: LinkId, items: &Items) -> Message {
        self.worked_for(link, items.items.0.len());
        let (mut records, mut bytes, mut done) = (Vec::new(), 0, 0);
        for (index, item) in items.items.0.iter().enumerate() {
            if let Some(record) = self.store.named(item, self.now.unix) {
                let held = items.chains.0.get(index).is_some_and(|chain| *chain == record.chain_name());
                let record = if held { record.short() } else { record.bytes().clone() };
                bytes += record.len();
                if bytes > PULLED_BYTES_MAX {
                    break;
                }
                records.push(Blob(record));
            }
            done += 1;
        }
        Message::Pulled(Pulled { records, done })
    }

    /// Records that we may want: those that are ours to store and not held.
    fn serve_offer(&mut self, link: LinkId, items: &Items) -> Message {
        self.worked_for(link, items.items.0.len() * OFFERED_ITEM_WORK);
        let wanted = items.items.0.iter().copied().filter(|item| self.is_wanted(item));
        Message::Wanted(wanted.collect::<Vec<_>>().into())
    }

    fn is_wanted(&self, item: &Item) -> bool {
        self.store.named(item, self.now.unix).is_none() && self.in_region(&item.key())
    }

    /// The question for records by name.
    fn pull_of(&self, items: Vec<Item>) -> Message {
        let chains = ChainList(items.iter().map(|item| self.store.chain_by(item)).collect());
        Message::Pull(Items { items: ItemList(items), chains })
    }

    /// Those records of an answer that were asked for, each once, and can be read.
    fn asked_of(&self, asked: &[Item], pulled: Pulled) -> Vec<Record> {
        let mut open: BTreeSet<&Item> = asked.iter().collect();
        let blobs = pulled.records.into_iter().take(asked.len());
        let whole = blobs.filter_map(|blob| self.store.with_chain(blob.0));
        let records = whole.filter_map(|bytes| self.read_record(bytes).ok());
        records.filter(|record| open.remove(&item(record))).collect()
    }

    /// Keeps those of them that are true, and holds the superpeer to what it has named. Nothing if its answer leads nowhere.
    fn take_asked(
        &mut self,
        asked: &[Item],
        pulled: Pulled,
        promises: &mut Promises,
    ) -> Option<Vec<(Record, Kept)>> {
        let asked = asked.get(..usize::from(pulled.done)).filter(|asked| !asked.is_empty())?;
        let mut taken = Vec::new();
        for record in self.asked_of(asked, pulled) {
            let kept = self.take_in(&record);
            // What we know better, or have no place for, is not its fault; but it was not verified.
            let unverified = matches!(kept, Kept::Stale(_) | Kept::Full);
            if kept != Kept::Invalid && !(unverified && self.verify(&record).is_err()) {
                taken.push((record, kept));
            }
        }
        promises.prove(taken.len());
        promises.broke(asked.len() - taken.len());
        Some(taken)
    }

    /// Only superpeers move records, or compare maps, with superpeers that they know, so many at a time.
    pub(super) fn may_move(&self, peer: &PeerId, items: usize) -> Result<(), Reason> {
        if !self.is_superpeer() || self.map.contact(peer).is_none() {
            Err(Reason::Unsupported)
        } else if items > ITEMS_MAX {
            Err(Reason::Limit)
        } else {
            Ok(())
        }
    }

    pub(super) fn moving_heard(&mut self, id: u64, peer: PeerId, outcome: Outcome) {
        // An answer to something that has ended meanwhile belongs to none of them.
        if self.moving.hand_over.as_ref().is_some_and(|run| run.is_asking(id)) {
            self.hand_over_heard(outcome);
        } else if self.moving.repair.as_ref().is_some_and(|run| run.id == id) {
            self.repair_heard(peer, outcome);
        } else {
            self.push_heard(id, outcome);
        }
    }

    pub(super) fn place(&self) -> Option<Key> {
        Some(self.map.contact(&self.me)?.id())
    }

    /// Outside of this range a superpeer at `place` is not among the `nearest` closest to any key.
    fn range_at(&self, place: &Key, nearest: usize) -> Range {
        range_of(place, nearest, |range| self.map.count_in(range))
    }

    /// Whether a key in the range can be ours to store.
    fn is_concerned(&self, place: &Key, range: &Range) -> bool {
        concerns(place, range, self.replicas(), |range| self.map.count_in(range))
    }
}
