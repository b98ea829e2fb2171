//! The records that this superpeer stores, and what it keeps of what it once verified.
//!
//! One record per [`Slot`] (key, kind, writer); the newest `(epoch, seq)` stays. An epoch record
//! throws out the device records that it revokes, at once and for as long as it is held. Records come
//! in verified. What is held in a [`Range`] is told by [`Store::digests`]: all items if they are few,
//! else a hash for each sixteenth, so that two stores are compared by descending where they differ.
//! The hash of a range of many items is that of the hashes of its halves, and is remembered until one of
//! them changes: a question costs what has changed since the last one. What has expired is held, and
//! part of the hashes, until it is swept out. *Not here*: verification, signatures, disk.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::ops::Bound;

use bytes::Bytes;

use crate::api::{Slot, Write};
use crate::key::{Digest, Key, PublicKey};
use crate::limits::{
    CLOCK_TOLERANCE, DEVICES_PER_NAME_MAX, EQUIVOCATIONS_MAX, HASHED_ITEMS, ITEMS_MAX, STORED_MAX,
    VERIFIED_MAX,
};
use crate::record::{Bundle, ChainName, Kind, Record, Short, Verdict, supersedes};
use crate::sorted::GrowingMap;
use crate::time::Unix;
use crate::wire::{Compare, Digests, Item, ItemList, Parts, Range};

/// What became of a record that was to be stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept {
    /// Stored; these slots were revoked by it.
    Stored(Vec<Slot>),
    /// It was there already.
    Held,
    /// Something newer is there.
    Stale(Record),
    /// The same version with another body is there; it stays.
    Equivocation(Record),
    /// An epoch record under this key revokes it.
    Revoked(Record),
    /// A quota is used up.
    Full,
    /// It does not verify.
    Invalid,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    slots: BTreeSet<Filed>,
    /// None of them expires before.
    ends: Option<Unix>,
    bytes: usize,
    hashes: Hashes,
    /// Pairs of one version with two bodies, both signed by their writer; the oldest goes first.
    equivocations: VecDeque<(Record, Record)>,
    /// What of that is not on disk yet.
    proofs: Vec<Write>,
}

impl Store {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there would be room for it: quotas, checked before its signature.
    pub(crate) fn has_room(&self, record: &Record) -> bool {
        let slot = record.slot();
        if self.at(&slot).is_some() {
            return true;
        }
        let devices = self.of(&slot.key).filter(|held| held.header().kind == Kind::Device).count();
        self.slots.len() < STORED_MAX
            && (record.header().kind != Kind::Device || devices < DEVICES_PER_NAME_MAX)
    }

    /// The held record of the same slot, if it is not older: then the new one needs no verification.
    pub(crate) fn not_older(&self, record: &Record) -> Option<Kept> {
        let held = self.at(&record.slot())?;
        match supersedes(record, held) {
            Verdict::Newer => None,
            Verdict::Same => Some(Kept::Held),
            Verdict::Older => Some(Kept::Stale(held.clone())),
            // Judged after verification: an unverified twin proves nothing.
            Verdict::Equivocation => None,
        }
    }

    /// Keeps a verified record.
    pub(crate) fn keep(&mut self, record: Record) -> Kept {
        let slot = record.slot();
        if let Some(held) = self.at(&slot) {
            match supersedes(&record, held) {
                Verdict::Newer => {}
                Verdict::Same => return Kept::Held,
                Verdict::Older => return Kept::Stale(held.clone()),
                Verdict::Equivocation => {
                    let held = held.clone();
                    self.prove(&held, &record);
                    return Kept::Equivocation(held);
                }
            }
        }
        if let Some(epoch) = self.of(&slot.key).find(|held| held.revokes(&record)) {
            return Kept::Revoked(epoch.clone());
        }
        if !self.has_room(&record) {
            return Kept::Full;
        }
        let revoked: Vec<Slot> =
            self.of(&slot.key).filter(|held| record.revokes(held)).map(Record::slot).collect();
        for slot in &revoked {
            self.forget(slot);
        }
        self.hashes.changed(&slot.key);
        self.bytes += record.bytes().len();
        let end = record.header().not_after;
        self.ends = Some(self.ends.map_or(end, |ends| ends.min(end)));
        if let Some(old) = self.slots.replace(Filed::new(record)) {
            self.bytes -= old.record.bytes().len();
        }
        Kept::Stored(revoked)
    }

    /// Keeps both as proof of what their writer did.
    fn prove(&mut self, held: &Record, other: &Record) {
        let digests = (held.digest(), other.digest());
        if self.equivocations.iter().any(|(one, two)| (one.digest(), two.digest()) == digests) {
            return;
        }
        let proof = Write::Proof {
            pair: pair_of(held, other),
            held: held.bytes().clone(),
            other: other.bytes().clone(),
        };
        self.proofs.push(proof);
        self.equivocations.push_back((held.clone(), other.clone()));
        if self.equivocations.len() > EQUIVOCATIONS_MAX
            && let Some((held, other)) = self.equivocations.pop_front()
        {
            self.proofs.push(Write::ForgetProof(pair_of(&held, &other)));
        }
    }

    /// Takes back what the last run kept as proof.
    pub(crate) fn restore_proofs(&mut self, pairs: impl Iterator<Item = (Record, Record)>) {
        for (held, other) in pairs {
            self.prove(&held, &other);
        }
        self.proofs.retain(|write| matches!(write, Write::ForgetProof(_)));
    }

    /// What has to be written down, or forgotten, since this was called last.
    pub(crate) fn take_proofs(&mut self) -> Vec<Write> {
        core::mem::take(&mut self.proofs)
    }

    /// Pairs kept as proof.
    pub(crate) fn equivocations(&self) -> usize {
        self.equivocations.len()
    }

    /// What is held and a record replaces or revokes.
    pub(crate) fn outdated_by(&self, record: &Record) -> Vec<Item> {
        let slot = record.slot();
        let older = |held: &Record| held.slot() == slot && supersedes(record, held) == Verdict::Newer;
        self.of(&slot.key).filter(|held| older(held) || record.revokes(held)).map(item).collect()
    }

    fn at(&self, slot: &Slot) -> Option<&Record> {
        self.slots.get::<dyn Slotted>(slot).map(|held| &held.record)
    }

    /// Whether this very record is held, byte for byte: then it has been verified.
    pub(crate) fn holds(&self, record: &Record) -> bool {
        self.at(&record.slot()).is_some_and(|held| held == record)
    }

    /// Whether a record is held under the same key with the same chain.
    pub(crate) fn has_chain_of(&self, record: &Record) -> bool {
        self.of(&record.header().key).any(|held| held.has_chain_of(record))
    }

    pub(crate) fn forget(&mut self, slot: &Slot) {
        if let Some(old) = self.slots.take::<dyn Slotted>(slot) {
            self.hashes.changed(&slot.key);
            self.bytes -= old.record.bytes().len();
        }
    }

    /// All that is held and valid under a key.
    pub(crate) fn bundle(&self, key: &Key, now: Unix) -> Bundle {
        Bundle::new(self.of(key).filter(|record| !expired(record, now)).cloned())
    }

    /// Drops what has expired. Looks at all only when the first of them may have.
    pub(crate) fn sweep(&mut self, now: Unix) -> Vec<Slot> {
        if self.ends.is_none_or(|ends| now <= ends + CLOCK_TOLERANCE) {
            return Vec::new();
        }
        let (mut dead, mut ends) = (Vec::new(), None::<Unix>);
        for held in &self.slots {
            let end = held.record.header().not_after;
            if expired(&held.record, now) {
                dead.push(held.slot());
            } else {
                ends = Some(ends.map_or(end, |ends| ends.min(end)));
            }
        }
        for slot in &dead {
            self.forget(slot);
        }
        self.ends = ends;
        dead
    }

    /// A record as it came, with its chain: one that came without gets that of a record held under its key, if it is the
    /// same. Nothing if there is none.
    pub(crate) fn with_chain(&self, bytes: Bytes) -> Option<Bytes> {
        let Some(short) = Short::read(&bytes) else { return Some(bytes) };
        let holder = self.of(&short.key).find(|held| held.chain_name() == short.chain)?;
        Some(short.with_chain_of(holder))
    }

    /// What names the chain of a record that is held of the same name as an item's, if there is one.
    pub(crate) fn chain_by(&self, item: &Item) -> ChainName {
        let alike = self.held(&Range::around(&item.key(), ITEM_BITS));
        alike.filter(|held| held.certificate().is_some()).map(Record::chain_name).next().unwrap_or_default()
    }

    /// The record that an item names, if it is held and valid.
    pub(crate) fn named(&self, item: &Item, now: Unix) -> Option<&Record> {
        let alike = self.held(&Range::around(&item.key(), ITEM_BITS));
        let mut alike = alike.filter(|record| self::item(record) == *item);
        alike.find(|record| !expired(record, now))
    }

    /// Whether anything is held and valid under the name of an item.
    pub(crate) fn holds_beside(&self, item: &Item, now: Unix) -> bool {
        self.valid(&Range::around(&item.key(), ITEM_BITS), now).next().is_some()
    }

    /// What is held and valid in a range, sorted.
    pub(crate) fn items(&self, range: &Range, now: Unix) -> Vec<Item> {
        let mut items: Vec<Item> = self.valid(range, now).map(item).collect();
        items.sort_unstable();
        items
    }

    /// What is held in a range, as it is told to others, and how many items were read for that.
    pub(crate) fn digests(&mut self, asked: &Compare, now: Unix) -> (Digests, usize) {
        let range = asked.range();
        let few = self.held(&range).nth(ITEMS_MAX).is_none();
        if let (true, None) = (few, asked.held) {
            let items = self.items(&range, now);
            let read = items.len();
            let items = ItemList(items);
            return (Digests { items, parts: Vec::new(), syncing: false, same: 0 }, read);
        }
        let (parts, read) = self.hashes(&range);
        let same = asked.held.map_or(0, |held| held.same(&parts));
        let differ = || range.parts().enumerate().filter(|(part, _)| same >> part & 1 == 0);
        if asked.held.is_some() && differ().flat_map(|(_, part)| self.held(&part)).nth(ITEMS_MAX).is_none() {
            let items: Vec<Item> = differ().flat_map(|(_, part)| self.items(&part, now)).collect();
            let read = read + items.len();
            let items = ItemList(items);
            return (Digests { items, parts: Vec::new(), syncing: false, same }, read);
        }
        (Digests { items: ItemList::default(), parts, syncing: false, same }, read + ITEMS_MAX)
    }

    /// The question what another superpeer holds in a range. Where few items are held their hashes would
    /// take more than it saves.
    pub(crate) fn question(&mut self, range: Range) -> Compare {
        let some = self.held(&range).nth(UNHASHED_ITEMS).is_some();
        let held = some.then(|| self.hashes(&range).0).and_then(|hashes| Parts::of(&hashes));
        Compare { held, ..range.into() }
    }

    /// How many items are held in those parts of a range.
    pub(crate) fn count_in(&self, range: &Range, parts: u16) -> usize {
        let these = range.parts().enumerate().filter(|(part, _)| parts >> part & 1 == 1);
        these.map(|(_, part)| self.held(&part).count()).sum()
    }

    /// A hash of each sixteenth of a range, and how many items were read for that.
    pub(crate) fn hashes(&mut self, range: &Range) -> (Vec<Digest>, usize) {
        let mut read = 0;
        let hashes = range.parts().map(|part| self.hash(&part, &mut read)).collect();
        (hashes, read)
    }

    /// Zeroes for an empty range; over the items, if they are few; else over the hashes of both halves.
    fn hash(&mut self, range: &Range, read: &mut usize) -> Digest {
        if let Some(known) = self.hashes.of(range) {
            return known;
        }
        let halves = range.halves().filter(|_| self.held(range).nth(HASHED_ITEMS).is_some());
        let Some(halves) = halves else {
            let mut items: Vec<Item> = self.held(range).map(item).collect();
            items.sort_unstable();
            *read += items.len();
            return hash_items(&items);
        };
        *read += HASHED_ITEMS;
        let halves = halves.map(|half| self.hash(&half, read));
        let hash = hash_halves(&halves);
        self.hashes.keep(range, hash);
        hash
    }

    fn valid(&self, range: &Range, now: Unix) -> impl Iterator<Item = &Record> {
        self.held(range).filter(move |record| !expired(record, now))
    }

    fn held(&self, range: &Range) -> impl Iterator<Item = &Record> + use<'_> {
        self.between(&range.prefix, &range.last())
    }

    /// The slots of a key stand together: to look for both ends costs a look-up more than to look for one.
    fn of<'a>(&'a self, key: &Key) -> impl Iterator<Item = &'a Record> + use<'a> {
        let (key, first) = (*key, Slot { key: *key, kind: 0, writer: PublicKey::from_bytes([0; 32]) });
        let slots =
            self.slots.range::<dyn Slotted, _>((Bound::Included(&first as &dyn Slotted), Bound::Unbounded));
        slots.map(|held| &held.record).take_while(move |record| record.header().key == key)
    }

    fn between(&self, first: &Key, last: &Key) -> impl Iterator<Item = &Record> + use<'_> {
        let first = Slot { key: *first, kind: 0, writer: PublicKey::from_bytes([0; 32]) };
        let last = Slot { key: *last, kind: u8::MAX, writer: PublicKey::from_bytes([255; 32]) };
        let bounds = (Bound::Included(&first as &dyn Slotted), Bound::Included(&last as &dyn Slotted));
        self.slots.range::<dyn Slotted, _>(bounds).map(|held| &held.record)
    }
}

/// A record in its slot, which it tells itself: a store of many holds little beside them.
#[derive(Debug)]
struct Filed {
    /// The key's first bits: most comparisons end there.
    first: u64,
    record: Record,
}

impl Filed {
    fn new(record: Record) -> Self {
        Self { first: record.header().key.first(), record }
    }
}

/// What has a slot: a record that is filed, or a slot that is looked for.
trait Slotted {
    fn first(&self) -> u64;
    fn slot(&self) -> Slot;
}

impl Slotted for Filed {
    fn first(&self) -> u64 {
        self.first
    }

    fn slot(&self) -> Slot {
        self.record.slot()
    }
}

impl Slotted for Slot {
    fn first(&self) -> u64 {
        self.key.first()
    }

    fn slot(&self) -> Slot {
        *self
    }
}

impl Ord for dyn Slotted + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first().cmp(&other.first()).then_with(|| self.slot().cmp(&other.slot()))
    }
}

impl PartialOrd for dyn Slotted + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Slotted + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Slotted + '_ {}

impl<'a> Borrow<dyn Slotted + 'a> for Filed {
    fn borrow(&self) -> &(dyn Slotted + 'a) {
        self
    }
}

impl Ord for Filed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self as &dyn Slotted).cmp(other)
    }
}

impl PartialOrd for Filed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Filed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Filed {}

/// Items of a range of which the hashes are not worth their bytes: an item takes 16, hashes 128. *Specification*
/// (`wire.cddl`).
const UNHASHED_ITEMS: usize = 8;

/// Bits of a key that an item tells.
const ITEM_BITS: u8 = 64;

/// What names a record among all.
pub(crate) fn item(record: &Record) -> Item {
    Item::of(&record.header().key, &record.digest())
}

/// Hashes of ranges with more than [`HASHED_ITEMS`], as of now.
///
/// There are at most some two for as many records: only those are kept that lie above two halves.
#[derive(Debug, Default)]
struct Hashes {
    known: BTreeMap<(u8, Key), Digest>,
    /// No range of more bits is known.
    deepest: u8,
}

impl Hashes {
    fn of(&self, range: &Range) -> Option<Digest> {
        self.known.get(&(range.bits, range.prefix)).copied()
    }

    fn keep(&mut self, range: &Range, hash: Digest) {
        self.deepest = self.deepest.max(range.bits);
        self.known.insert((range.bits, range.prefix), hash);
    }

    /// What is held under a key is something else now.
    fn changed(&mut self, key: &Key) {
        for bits in 0..=self.deepest {
            if self.known.is_empty() {
                self.deepest = 0;
                return;
            }
            self.known.remove(&(bits, Range::around(key, bits).prefix));
        }
    }
}

/// One hash for a sorted list of items, zeroes for none.
fn hash_items(items: &[Item]) -> Digest {
    if items.is_empty() {
        return NOTHING;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[0]);
    for item in items {
        hasher.update(item.as_bytes());
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

fn hash_halves(halves: &[Digest; 2]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[1]).update(halves[0].as_bytes()).update(halves[1].as_bytes());
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

/// The hash of no items.
pub(crate) const NOTHING: Digest = Digest::from_bytes([0; 32]);

/// Names two records as a pair.
fn pair_of(held: &Record, other: &Record) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(held.digest().as_bytes()).update(other.digest().as_bytes());
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

fn expired(record: &Record, now: Unix) -> bool {
    now > record.header().not_after + CLOCK_TOLERANCE
}

/// Records that have passed verification, byte for byte; the oldest are forgotten first.
///
/// A record whose chain has expired since is caught by its own expiry, since no record outlives its
/// chain. The bytes are compared, not a hash: the digest leaves out signature and chain.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    records: GrowingMap<Digest, Record>,
    order: VecDeque<Digest>,
}

impl Seen {
    pub(crate) fn contains(&self, record: &Record) -> bool {
        self.records.get(&record.digest()).is_some_and(|seen| seen.bytes() == record.bytes())
    }

    pub(crate) fn insert(&mut self, record: Record) {
        let digest = record.digest();
        if self.records.insert(digest, record).is_none() {
            self.order.push_back(digest);
            if self.order.len() > VERIFIED_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.records.remove(&oldest);
            }
        }
    }
}
