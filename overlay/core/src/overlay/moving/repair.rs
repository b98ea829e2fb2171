//! After a death or a return: who of the nearest holds what is counted, and what too few hold is offered.
//!
//! ```text
//!  superpeer gone, ─▶ 0–10 s, for all of them meanwhile ─▶ Digest to the r closest ─▶ count
//!  or back                                                        │ fewer than ⌈0.7 r⌉,
//!                                                                 ▼ and no nearer one holds it
//!             Pull what others hold under its name and we don't ──┤
//!                                                                 ▼ it, or what has replaced it
//!                                                       Offer to those that lack it
//! ```
//! A record is looked after by those of its three nearest superpeers that hold it, and only if the dead
//! one had been among its r closest, or the returned one is: it may have missed what was stored without
//! it, and not know that anybody thought it dead. One walk over the digests of each peer counts all records at once:
//! it descends only into ranges with records in question that differ from ours. No answer counts as not
//! held, but who doesn't answer, or only makes hashes up, is not offered anything either: its own death
//! would bring the next repair. What too few hold because it is outdated is not offered to all who know better:
//! what they have instead is taken over first, from one of them or else another, and counted and offered like it.
//!
//! Source: DETAILS *Records*, *Repair after a death*; DESIGN §4, *Merging*. *Not here*: offering (`push`).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::changed::Place;
use super::promises::Promises;
use super::push::Cause;
use crate::key::{Distance, Key, PeerId};
use crate::limits::{
    CHANGED_MAX, DEVICES_PER_NAME_MAX, ITEMS_MAX, OTHERS_TRIES, PULL_ITEMS, REPAIR_TIMEOUT, REPAIR_WITHIN,
    REPAIRERS, REQUEST_TIMEOUT,
};
use crate::map::Reach;
use crate::overlay::requests::{Outcome, Purpose};
use crate::overlay::{Overlay, Timer};
use crate::range::spanning;
use crate::store::{Kept, NOTHING, item};
use crate::time::Instant;
use crate::wire::{Digests, Item, Message, Pulled, Range};

#[derive(Debug)]
pub(super) struct Repair {
    pub(super) id: u64,
    began: Instant,
    /// The records in question, sorted by key; at last what has come under their names.
    records: Vec<Counted>,
    /// Peers that are being asked.
    asked: BTreeMap<PeerId, Check>,
    /// What each peer that has told all lacks.
    lacking: BTreeMap<PeerId, Vec<usize>>,
    /// What was held under the same names and not by us: newer records, or those of other devices.
    others: BTreeMap<Item, Other>,
    /// Peers from which some of that is taken over.
    pulls: BTreeMap<PeerId, Pull>,
}

#[derive(Debug)]
struct Counted {
    item: Item,
    /// Copies known of among the r closest: at first our own, if we are one.
    copies: usize,
    /// Fewer are too few; of what is outdated none are needed.
    needed: usize,
    /// How far we are, if that counts.
    own: Option<Distance>,
    /// One nearer to the key holds it: repairing is its business.
    nearer: bool,
}

/// The questions to one peer.
#[derive(Debug)]
struct Check {
    place: Key,
    /// The records that it ought to hold, by index: sorted by key.
    records: Vec<usize>,
    /// The range in question, and those that come after it.
    range: Range,
    ranges: Vec<Range>,
    lacks: Vec<usize>,
    /// What it holds under their names and we don't: of each no more than a name can have.
    others: BTreeSet<Item>,
    promises: Promises,
}

#[derive(Debug, Default)]
struct Other {
    /// Those that hold it, by their word.
    tellers: Vec<PeerId>,
    /// How many of them have been asked for it.
    tries: usize,
}

/// What is taken over from one peer.
#[derive(Debug)]
struct Pull {
    open: Vec<Item>,
    promises: Promises,
}

impl Overlay {
    /// A superpeer at this place is not there any more, dead or left; or it is there again.
    pub(in crate::overlay) fn place_changed(&mut self, peer: PeerId, place: Key) {
        if !self.is_superpeer() || self.is_leaving() || peer == self.me {
            return;
        }
        let there = self.map.contact(&peer).is_some();
        let waits = self.moving.changed.note(peer, (place, there), self.now.instant);
        self.counters.repairs_put_off += u64::from(waits.is_some_and(|wait| !wait.is_zero()));
        self.repair_later();
    }

    /// A superpeer that was gone is there because it has started again: it takes its range over itself.
    pub(in crate::overlay) fn started_again(&mut self, peer: &PeerId) {
        self.moving.worn.remove(peer);
    }

    /// Whether a superpeer comes and goes so often that what it holds is looked at later.
    pub(in crate::overlay) fn is_restless(&self, peer: &PeerId) -> bool {
        self.moving.changed.is_restless(peer, self.now.instant)
    }

    /// Sets the timer for what waits, unless it is set for then.
    fn repair_later(&mut self) {
        let now = self.now.instant;
        let Some(wait) = self.moving.changed.next().map(|due| due.since(now)) else { return };
        let set = self.moving.repairs_at;
        if set.is_some_and(|set| set.since(now) <= wait + REPAIR_WITHIN) {
            return;
        }
        if let Some(set) = set {
            self.cancel(set, Timer::Repair);
        }
        let millis = usize::try_from(REPAIR_WITHIN.as_millis()).unwrap_or(usize::MAX);
        let chance = u64::try_from(self.pick(millis)).unwrap_or(0);
        self.moving.repairs_at = Some(self.set_timer(wait + Duration::from_millis(chance), Timer::Repair));
    }

    /// Looks whether those that are gone have left too few copies.
    pub(in crate::overlay) fn repair(&mut self) {
        self.moving.repairs_at = None;
        if !self.is_superpeer() || self.is_leaving() {
            return self.moving.changed.clear();
        }
        if self.moving.repair.is_some() || self.map.reach(self.now.instant) == Reach::Few {
            // One at a time; and it may be we who are gone.
            return self.repair_later();
        }
        let due = self.moving.changed.due(self.now.instant);
        self.repair_later();
        for (peer, _) in due.iter().filter(|(_, place)| place.put_off) {
            // What it holds has not been looked at when it came back.
            if self.map.contact(peer).is_some() {
                self.compare_with(*peer);
            }
        }
        let back = self.wear(&due);
        let gone = self.worn_out();
        let mut items = self.in_question(&gone);
        let missed = self.perhaps_missed(&back);
        items.retain(|item| !missed.contains(item));
        if items.is_empty() && missed.is_empty() {
            return;
        }
        let (records, asked) = self.questions(items, missed);
        let peers: Vec<PeerId> = asked.keys().copied().collect();
        let (id, began) = (self.number(), self.now.instant);
        let (lacking, others, pulls) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        self.moving.repair = Some(Box::new(Repair { id, began, records, asked, lacking, others, pulls }));
        for peer in peers {
            self.check_on(peer);
        }
        self.repair_if_counted();
    }

    /// Takes down who is gone; returns the places of those that are back and don't take their range over
    /// themselves.
    fn wear(&mut self, due: &[(PeerId, Place)]) -> BTreeSet<Key> {
        let mut back = BTreeSet::new();
        for (peer, place) in due {
            if self.map.contact(peer).is_none() {
                if self.moving.worn.len() < CHANGED_MAX {
                    self.moving.worn.insert(*peer, place.key);
                }
            } else if self.links.is_anew(peer, self.now.instant) {
                self.moving.worn.remove(peer);
            } else if place.back {
                back.insert(place.key);
            }
        }
        back
    }

    /// The places of those who are gone since the last count, if a record can have too few copies by now.
    fn worn_out(&mut self) -> Vec<Key> {
        if self.moving.worn.len() <= self.moving.spare {
            return Vec::new();
        }
        core::mem::take(&mut self.moving.worn).into_values().collect()
    }

    /// The held records that those who are back ought to hold. Be we near or not: perhaps it is we who
    /// were gone, and stored what nobody else could.
    fn perhaps_missed(&self, back: &BTreeSet<Key>) -> BTreeSet<Item> {
        let r = self.replicas();
        let held = |place: &Key| {
            let items = self.store.items(&self.range_at(place, r), self.now.unix).into_iter();
            let theirs =
                |item: &Item| self.map.closest(&item.key(), r).iter().any(|contact| contact.id() == *place);
            items.filter(theirs).collect::<Vec<_>>()
        };
        back.iter().flat_map(held).collect()
    }

    /// The held records that lost one of their r closest, and that we are near to.
    fn in_question(&self, places: &[Key]) -> Vec<Item> {
        let (Some(own), r) = (self.place(), self.replicas()) else { return Vec::new() };
        let near = self.range_at(&own, REPAIRERS.min(r));
        let ranges: Vec<Range> = places.iter().map(|place| self.range_at(place, r)).collect();
        let mut items = self.store.items(&near, self.now.unix);
        items.retain(|item| {
            let key = &item.key();
            let lost = places.iter().zip(&ranges).any(|(place, range)| {
                // The last of the r closest now is there in place of the dead one, or there are fewer.
                let last = range.contains(key).then(|| self.map.closest(key, r).pop().map(|last| last.id()));
                last.is_some_and(|last| {
                    self.map.len() < self.network.parameters.r
                        || last.is_none_or(|last| place.distance(key) < last.distance(key))
                })
            });
            lost && self.map.closest(key, REPAIRERS).iter().any(|contact| contact.peer() == self.me)
        });
        items
    }

    /// Whom to ask for which of the records: those after a death, and those after a return.
    fn questions(&self, items: Vec<Item>, missed: BTreeSet<Item>) -> (Vec<Counted>, BTreeMap<PeerId, Check>) {
        let (mut records, mut asked) = (Vec::new(), BTreeMap::new());
        let now = self.now.instant;
        let mut all: Vec<(Item, bool)> = items.into_iter().map(|item| (item, false)).collect();
        all.extend(missed.into_iter().map(|item| (item, true)));
        all.sort_unstable();
        for (index, (item, missed)) in all.into_iter().enumerate() {
            let closest = self.map.closest(&item.key(), self.replicas());
            let needed = needed_of(closest.len());
            // Who is nearer need not know that anybody was gone.
            let own = self.place().filter(|_| !missed).map(|place| place.distance(&item.key()));
            let copies = usize::from(closest.iter().any(|contact| contact.peer() == self.me));
            records.push(Counted { item, copies, needed, own, nearer: false });
            for contact in closest.into_iter().filter(|contact| contact.peer() != self.me) {
                let check = asked.entry(contact.peer()).or_insert_with(|| Check {
                    place: contact.id(),
                    records: Vec::new(),
                    range: Range::around(&item.key(), 0),
                    ranges: Vec::new(),
                    lacks: Vec::new(),
                    others: BTreeSet::new(),
                    promises: Promises::new(now),
                });
                check.records.push(index);
            }
        }
        for check in asked.values_mut() {
            let key = |index: Option<&usize>| index.map(|index| records[*index].item.key());
            if let (Some(first), Some(last)) = (key(check.records.first()), key(check.records.last())) {
                check.ranges.push(spanning(&first, &last));
            }
        }
        (records, asked)
    }

    /// Asks a peer for its next range; who has none left has told all.
    fn check_on(&mut self, peer: PeerId) {
        let Some(repair) = &mut self.moving.repair else { return };
        let Some(check) = repair.asked.get_mut(&peer) else { return };
        if !check.ranges.is_empty() && check.promises.are_vain(self.now.instant) {
            // What it has told so far may be made up as well: it is offered nothing.
            self.counters.promises_broken += 1;
            repair.asked.remove(&peer);
        } else if let Some(range) = check.ranges.pop() {
            check.range = range;
            check.promises.asked();
            let purpose = Purpose::Moving(repair.id);
            let compare = self.store.question(range);
            self.ask(peer, Message::Digest(compare), purpose, REQUEST_TIMEOUT);
        } else if let Some(check) = repair.asked.remove(&peer) {
            repair.lacking.insert(peer, check.lacks);
            for other in check.others {
                repair.others.entry(other).or_default().tellers.push(peer);
            }
        }
    }

    pub(super) fn repair_heard(&mut self, peer: PeerId, outcome: Outcome) {
        let began = self.moving.repair.as_ref().map_or(self.now.instant, |repair| repair.began);
        let late = self.now.instant.since(began) >= REPAIR_TIMEOUT;
        let Some(repair) = &mut self.moving.repair else { return };
        let counts = repair.asked.contains_key(&peer);
        let answered = matches!(outcome, Outcome::Answer(_));
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other answers are wrong alike")]
        match outcome {
            Outcome::Answer(Message::Digests(digests)) if counts && !late => {
                self.count(&peer, &digests);
                self.check_on(peer);
            }
            Outcome::Answer(Message::Pulled(pulled)) if !counts && !late => self.take_others(peer, pulled),
            _ => {
                // An answer that is none to the question is a promise in vain.
                self.counters.promises_broken += u64::from(answered && !late);
                repair.asked.remove(&peer);
                repair.pulls.remove(&peer);
            }
        }
        self.repair_if_counted();
    }

    /// Counts what a peer holds of the range that it was asked for.
    fn count(&mut self, peer: &PeerId, digests: &Digests) {
        let Some(repair) = &mut self.moving.repair else { return };
        let Repair { records, asked, .. } = &mut **repair;
        let Some(check) = asked.get_mut(peer) else { return };
        if digests.parts.is_empty() {
            let range = check.range;
            let items = || digests.items.0.iter().take(ITEMS_MAX).copied();
            let mut open = BTreeMap::new();
            for index in inside(check, &range, records) {
                let item = records[index].item;
                let same = range.part_of(&item.key()).is_some_and(|part| digests.same >> part & 1 == 1);
                let held = same || items().any(|other| other == item);
                found(check, &mut records[index], index, held);
                if !held {
                    open.insert(item.key(), DEVICES_PER_NAME_MAX + 1);
                }
            }
            for other in items().filter(|other| self.store.named(other, self.now.unix).is_none()) {
                if let Some(room) = open.get_mut(&other.key()).filter(|room| **room > 0) {
                    *room -= 1;
                    check.others.insert(other);
                }
            }
            return;
        }
        let (hashes, _) = self.store.hashes(&check.range);
        for ((part, theirs), ours) in check.range.parts().zip(&digests.parts).zip(hashes) {
            let inside = inside(check, &part, records);
            if inside.is_empty() {
                continue;
            }
            if *theirs != ours && *theirs != NOTHING && part.is_valid() {
                check.ranges.push(part);
                continue;
            }
            for index in inside {
                found(check, &mut records[index], index, *theirs == ours);
            }
        }
    }

    /// All have told, or failed: offers what too few hold, or what has replaced it.
    fn repair_if_counted(&mut self) {
        if !self.moving.repair.as_ref().is_some_and(|repair| repair.asked.is_empty()) {
            return;
        }
        self.pull_others();
        let Some(mut repair) = self.moving.repair.take_if(|repair| repair.pulls.is_empty()) else { return };
        self.count_others(&mut repair);
        let is_held = |record: &&Counted| self.store.named(&record.item, self.now.unix).is_some();
        let spare = |record: &Counted| record.copies.saturating_sub(record.needed);
        let counted = repair.records.iter().filter(|record| record.own.is_some() && record.needed > 0);
        if let Some(spare) = counted.filter(is_held).map(spare).min() {
            self.moving.spare = spare;
        }
        for (peer, lacks) in repair.lacking {
            let records = lacks.into_iter().map(|index| &repair.records[index]);
            let items: Vec<Item> =
                records.filter(|record| record.is_scarce()).map(|record| record.item).collect();
            if !items.is_empty() {
                self.push(peer, items, Cause::Repair);
            }
        }
    }

    /// Takes over what others hold under the names of scarce records. Who didn't give it isn't asked again, but another.
    fn pull_others(&mut self) {
        let now = self.now;
        let Some(repair) = &mut self.moving.repair else { return };
        let Repair { records, others, pulls, .. } = &mut **repair;
        if !pulls.is_empty() {
            return;
        }
        let scarce = records.iter().filter(|record| record.is_scarce());
        let scarce: BTreeSet<Key> = scarce.map(|record| record.item.key()).collect();
        for (item, other) in others {
            let open = scarce.contains(&item.key()) && other.tries < OTHERS_TRIES;
            let Some(peer) = other.tellers.get(other.tries).filter(|_| open) else { continue };
            if self.store.named(item, now.unix).is_none() {
                other.tries += 1;
                let promises = Promises::new(now.instant);
                pulls.entry(*peer).or_insert(Pull { open: Vec::new(), promises }).open.push(*item);
            }
        }
        let peers: Vec<PeerId> = pulls.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.pull_on_others(peer));
    }

    /// Asks a peer for the next of them, unless it promises in vain.
    fn pull_on_others(&mut self, peer: PeerId) {
        let Some(repair) = &mut self.moving.repair else { return };
        let id = repair.id;
        let Some(pull) = repair.pulls.get_mut(&peer) else { return };
        let vain = pull.promises.are_vain(self.now.instant);
        self.counters.promises_broken += u64::from(vain);
        if vain || pull.open.is_empty() {
            repair.pulls.remove(&peer);
            return;
        }
        pull.promises.asked();
        let items: Vec<Item> = pull.open.iter().take(PULL_ITEMS).copied().collect();
        let message = self.pull_of(items);
        self.ask(peer, message, Purpose::Moving(id), REQUEST_TIMEOUT);
    }

    /// Keeps what was asked for of a peer.
    fn take_others(&mut self, peer: PeerId, pulled: Pulled) {
        let repair = self.moving.repair.as_mut();
        let Some(mut pull) = repair.and_then(|repair| repair.pulls.remove(&peer)) else { return };
        let asked: Vec<Item> = pull.open.iter().take(PULL_ITEMS).copied().collect();
        let done = usize::from(pulled.done);
        let Some(taken) = self.take_asked(&asked, pulled, &mut pull.promises) else {
            self.counters.promises_broken += 1;
            return;
        };
        pull.open.drain(..done);
        for (record, kept) in taken {
            // Where there is no place for it, it still tells that what we hold is outdated.
            let outdated = if kept == Kept::Full { self.store.outdated_by(&record) } else { Vec::new() };
            let Some(repair) = &mut self.moving.repair else { return };
            if let Some(other) = repair.others.get_mut(&item(&record)) {
                other.tries = OTHERS_TRIES;
            }
            let records = repair.records.iter_mut().filter(|record| outdated.contains(&record.item));
            records.for_each(|record| record.needed = 0);
        }
        if let Some(repair) = &mut self.moving.repair {
            repair.pulls.insert(peer, pull);
        }
        self.pull_on_others(peer);
    }

    /// What has come under a name in question since we asked is counted too: who told it holds it.
    fn count_others(&self, repair: &mut Repair) {
        let mut counted = Vec::new();
        for (item, other) in &repair.others {
            let key = &item.key();
            let first = repair.records.partition_point(|record| record.item.key() < *key);
            let beside = repair.records.get(first).filter(|record| record.item.key() == *key);
            let held = self.store.named(item, self.now.unix);
            let (Some(Counted { own, .. }), Some(_)) = (beside, held) else { continue };
            let closest = self.map.closest(key, self.replicas());
            let needed = needed_of(closest.len());
            let mut record = Counted { item: *item, copies: 0, needed, own: *own, nearer: false };
            for contact in closest {
                let peer = contact.peer();
                if peer == self.me {
                    record.copies += 1;
                } else if other.tellers.contains(&peer) {
                    record.held_at(&contact.id());
                } else if let Some(lacks) = repair.lacking.get_mut(&peer) {
                    lacks.push(repair.records.len() + counted.len());
                }
            }
            counted.push(record);
        }
        repair.records.append(&mut counted);
    }
}

impl Counted {
    const fn is_scarce(&self) -> bool {
        !self.nearer && self.copies < self.needed
    }

    /// A superpeer at this place holds it.
    fn held_at(&mut self, place: &Key) {
        self.copies += 1;
        self.nearer |= self.own.is_some_and(|own| place.distance(&self.item.key()) < own);
    }
}

/// Of so many that ought to hold a record fewer are too few.
const fn needed_of(storers: usize) -> usize {
    (storers * 7).div_ceil(10)
}

/// The records in question in a range, by index.
fn inside(check: &Check, range: &Range, records: &[Counted]) -> Vec<usize> {
    let key = |index: &usize| records[*index].item.key();
    let start = check.records.partition_point(|index| key(index) < range.prefix);
    let end = check.records.partition_point(|index| key(index) <= range.last());
    check.records[start..end.max(start)].to_vec()
}

fn found(check: &mut Check, record: &mut Counted, index: usize, held: bool) {
    if held {
        check.promises.prove(1);
        record.held_at(&check.place);
    } else {
        check.lacks.push(index);
    }
}
