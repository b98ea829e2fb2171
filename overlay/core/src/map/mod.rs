//! The map: every superpeer that we know to be alive, sorted by its place.
//!
//! One sorted vector; the k-buckets are a view of it ([`Map::buckets`]). A superpeer enters by a hint
//! whose certificate has been verified (the caller's task) and leaves when it fails us or says goodbye.
//! It is remembered as gone for a day, so that it can be tried again; the closest by XOR are found by
//! descending the sorted order bit by bit.
//!
//! ```text
//!             hint                 failed us, or left
//!  unknown ─────────▶ in the map ────────────────────▶ gone ── a day ──▶ forgotten
//!                         ▲                             │
//!                         └── it connects, it says that it lives, our dial succeeds, two name it as news
//! ```
//! Hearsay brings back one that is gone at most once (`overlay::returns`): while two peers remind each other of it, a dead
//! superpeer would live for ever. A hint of it is a reason to try it ([`Learned::Gone`]), at most every
//! [`GONE_FOR`]; only a child, which tells nobody, takes it in again after that time.
//!
//! At its bound the map gives up the farthest from ourselves for a nearer one, but none of a bucket that
//! holds no more than k: however many there are, each part of the key space stays reachable.
//!
//! Source: Kademlia §2.2–2.4 (paper) for the buckets; Gupta et al., *One Hop Lookups* (paper) for
//! knowing everybody. *Not here*: links, round trips, verification; what of the network we may speak for
//! (`reach`).

mod contact;
mod reach;
mod remembered;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::api::Address;
use crate::certificate::NodeCertificate;
use crate::key::{Key, NetworkId, PeerId};
use crate::limits::{
    CUT_OFF_WITHIN, GONE_FOR, GONE_MAX, GONE_REMEMBERED, KNOWN_GONE, REDIALLED_WITHIN, RETRY_GONE,
    WENT_ALONE_SHARE,
};
use crate::time::{Instant, Unix};
use crate::wire::{Brief, Hint, Placed, Range};

pub(crate) use contact::Contact;
use contact::{ByPeer, Word, bit_of};
pub(crate) use reach::Reach;

/// What [`Map::learn`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learned {
    New,
    Known,
    /// It is gone: worth a try.
    Gone,
    Refused,
}

#[derive(Debug)]
pub(crate) struct Map {
    sorted: Vec<Contact>,
    by_peer: ByPeer,
    gone: BTreeMap<PeerId, Gone>,
    /// Of the last run (`remembered`), and since when.
    remembered: BTreeMap<PeerId, Placed>,
    remembered_at: Instant,
    /// At most so many, and of a bucket never fewer than k for that.
    bound: usize,
    k: usize,
    /// Our own place, as a superpeer.
    own: Option<Key>,
    /// How many were given up at the bound.
    pub(crate) dropped: u64,
    /// How many have gone out of the map, of those that are gone, or of those that are remembered.
    pub(crate) forgotten: u64,
    /// Its range was taken over from one who had been there before: see [`Self::vouch`].
    vouched: bool,
    /// No certificate expires before.
    ends: Unix,
}

/// Later than any certificate ends.
const NEVER: Unix = Unix::from_secs(u64::MAX);

/// Why a superpeer goes out of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It said goodbye, or may be none any more: no sign of trouble.
    Left,
    /// Its host says that nobody listens there.
    Refused,
    /// It failed us: dead, or one of us is cut off.
    Silent,
}

/// A superpeer that failed us.
#[derive(Debug)]
struct Gone {
    placed: Arc<Placed>,
    since: Instant,
    /// When it failed us last.
    tried: Instant,
    /// It said goodbye.
    left: bool,
    /// It had answered at its address.
    verified: bool,
    /// It had had a link with us.
    met: bool,
    /// Only our disk knew it: see [`Contact::is_of_the_past`].
    past: bool,
    /// And then its host refused: no cut is between us and where it was.
    dead: bool,
    /// Its host refused.
    refused: bool,
    /// Where it is looked for now only others say: who refuses there need not be its host.
    hearsay: bool,
    /// It was back by somebody's word, and then was not there.
    vain: bool,
}

impl Map {
    /// An empty map for at most `bound` superpeers, k of each bucket among them.
    pub(crate) fn new(bound: usize, k: usize) -> Self {
        let (sorted, by_peer, gone) = (Vec::new(), ByPeer::default(), BTreeMap::new());
        let (remembered, remembered_at) = (BTreeMap::new(), Instant::default());
        let (own, dropped, forgotten, vouched, ends) = (None, 0, 0, false, NEVER);
        Self {
            sorted,
            by_peer,
            gone,
            remembered,
            remembered_at,
            bound,
            k,
            own,
            dropped,
            forgotten,
            vouched,
            ends,
        }
    }

    /// From here the map looks at the key space: our place, or none as a child.
    pub(crate) fn stand_at(&mut self, own: Option<Key>) {
        self.own = own;
    }

    /// Takes in a hint that has been verified. A hint never replaces a verified address.
    pub(crate) fn learn(&mut self, id: Key, hint: &Hint, now: Instant) -> Learned {
        self.learn_shared(id, hint, now, Arc::new)
    }

    /// As [`Self::learn`]; what is kept of a newcomer goes through `share` before.
    pub(crate) fn learn_shared(
        &mut self,
        id: Key,
        hint: &Hint,
        now: Instant,
        share: impl FnOnce(Placed) -> Arc<Placed>,
    ) -> Learned {
        let peer = hint.peer();
        let may_try = self.may_try(&peer, now);
        if let Some(gone) = self.gone.get_mut(&peer) {
            // Others have met it: it has been there.
            gone.past = false;
            if self.own.is_some() {
                // Where it was it is no more; but where it answered us, nobody else's word counts.
                let elsewhere = gone.placed.hint.addresses != hint.addresses;
                if elsewhere && !hint.addresses.is_empty() && !gone.verified {
                    Arc::make_mut(&mut gone.placed).hint.addresses.clone_from(&hint.addresses);
                    gone.hearsay = true;
                }
                return Learned::Gone;
            }
            if !may_try {
                return Learned::Refused;
            }
        }
        if let Some(known) = self.contact_mut(&peer) {
            known.take_named();
            if known.id() == id {
                if hint.certificate.not_after > known.hint().certificate.not_after {
                    known.hint_mut().certificate = hint.certificate.clone();
                }
                let moved = known.hint().addresses != hint.addresses && !hint.addresses.is_empty();
                if moved && !known.verified() && !known.told() {
                    known.hint_mut().addresses.clone_from(&hint.addresses);
                }
                return Learned::Known;
            }
            if hint.certificate.not_after <= known.hint().certificate.not_after {
                return Learned::Refused;
            }
            self.remove(&peer);
        }
        if self.find(&id).is_ok() || !self.make_room(&id) {
            return Learned::Refused;
        }
        self.gone.remove(&peer);
        self.insert(Contact::new(share(Placed { id, hint: hint.clone() })));
        Learned::New
    }

    fn insert(&mut self, contact: Contact) {
        self.ends = self.ends.min(contact.hint().certificate.not_after);
        if let Err(index) = self.find(&contact.id()) {
            self.remembered.remove(&contact.peer());
            self.by_peer.insert(contact.placed());
            // Not twice as much each time: thousands of superpeers with maps of thousands run in one process.
            if self.sorted.len() == self.sorted.capacity() {
                self.sorted.reserve_exact(1 + self.sorted.len() / 8);
            }
            self.sorted.insert(index, contact);
        }
    }

    /// Those whose certificates have expired. Looks at all only when the first of them may have.
    pub(crate) fn expired(&mut self, now: Unix) -> Vec<PeerId> {
        if self.ends >= now {
            return Vec::new();
        }
        let ends = |contact: &Contact| contact.hint().certificate.not_after;
        let (over, left): (Vec<_>, Vec<_>) = self.sorted.iter().partition(|contact| ends(contact) < now);
        self.ends = left.into_iter().map(ends).min().unwrap_or(NEVER);
        over.into_iter().map(Contact::peer).collect()
    }

    /// Where a place is among all, or would be.
    fn find(&self, id: &Key) -> Result<usize, usize> {
        self.sorted.binary_search_by(|contact| contact.cmp_place(id))
    }

    /// Whether there is a place for a newcomer; at the bound by giving up one that is farther away.
    fn make_room(&mut self, id: &Key) -> bool {
        if self.sorted.len() < self.bound {
            return true;
        }
        let Some(own) = self.own else { return false };
        let buckets = self.buckets(&own);
        let crowded = buckets.iter().find(|(_, contacts)| contacts.len() > self.k);
        let farthest = crowded.and_then(|(_, contacts)| contacts.iter().max_by_key(|far| far.distance(&own)));
        let Some(farthest) = farthest else { return false };
        let bucket = id.distance(&own).bucket();
        let fellows =
            buckets.iter().find(|(number, _)| Some(*number) == bucket).map_or(0, |(_, all)| all.len());
        if fellows >= self.k && id.distance(&own) > farthest.distance(&own) {
            return false;
        }
        let farthest = farthest.peer();
        self.dropped += 1;
        self.remove(&farthest).is_some()
    }

    /// The superpeer itself says where it listens now: that replaces also an address that was verified, and no
    /// hearsay replaces it.
    pub(crate) fn listens(&mut self, peer: &PeerId, addresses: &[Address]) {
        let Some(contact) = self.contact_mut(peer) else { return };
        contact.own_mut().told = true;
        if contact.hint().addresses != addresses {
            contact.hint_mut().addresses = addresses.to_vec();
            contact.own_mut().verified = false;
        }
    }

    /// The superpeer has connected or answered: whatever was held against it is forgotten. Returns
    /// whether something was.
    pub(crate) fn forgive(&mut self, peer: &PeerId) -> bool {
        let back = self.contact_mut(peer).is_some_and(|contact| contact.take_back());
        let gone = self.gone.remove(peer).is_some();
        self.forgotten += u64::from(gone);
        gone || back
    }

    /// The superpeer has said that it lives: it is back as we remember it, if it was gone.
    pub(crate) fn revive(&mut self, peer: &PeerId, network: &NetworkId, now: Instant) -> Learned {
        let alone = self.went_alone(peer, now);
        let Some(gone) = self.gone.remove(peer) else { return Learned::Known };
        self.forgotten += 1;
        let hint = &gone.placed.hint;
        let learned =
            self.learn_shared(hint.certificate.node_id(network), hint, now, |_| gone.placed.clone());
        if let Some(contact) = self.contact_mut(peer) {
            contact.own_mut().word = Word::Back { alone };
        }
        learned
    }

    /// Whether a superpeer that is gone, or back by somebody's word, had been gone for a while, and few went with it: no
    /// cut took them, so if it is there again it has started again, as a rule. Not of one that has been back in vain.
    pub(crate) fn went_alone(&self, peer: &PeerId, now: Instant) -> bool {
        let Some(gone) = self.gone.get(peer) else {
            return self.contact(peer).is_some_and(Contact::went_alone);
        };
        let apart = |one: Instant, other: Instant| one.since(other).max(other.since(one));
        let with_it = self.gone.values().filter(|other| apart(other.since, gone.since) < CUT_OFF_WITHIN);
        !gone.vain
            && now.since(gone.since) >= CUT_OFF_WITHIN
            && with_it.count() * WENT_ALONE_SHARE <= self.sorted.len()
    }

    /// The superpeer answered at one of these addresses, which we dialled. That verifies where it listens only if
    /// it has not named another since; whether it did.
    pub(crate) fn confirm(&mut self, peer: &PeerId, at: &[Address], now: Instant) -> bool {
        let Some(contact) = self.contact_mut(peer) else { return false };
        let there = contact.hint().addresses.iter().all(|address| at.contains(address));
        let own = contact.own_mut();
        own.dialled = Some(now);
        own.verified |= there;
        own.verified
    }

    /// Somebody has named a superpeer that we know.
    pub(crate) fn named_by_another(&mut self, peer: &PeerId) {
        if let Some(contact) = self.contact_mut(peer) {
            contact.take_named();
        }
    }

    /// Our disk knows the superpeer.
    pub(crate) fn restored(&mut self, peer: &PeerId) {
        if let Some(contact) = self.contact_mut(peer) {
            contact.own_mut().word = Word::Restored;
        }
    }

    /// The superpeer has a link with us.
    pub(crate) fn meet(&mut self, peer: &PeerId) {
        if let Some(contact) = self.contact_mut(peer) {
            contact.own_mut().met = true;
        }
    }

    /// The superpeer's last link has ended; something came from it last then, unless we closed it.
    pub(crate) fn heard_last(&mut self, peer: &PeerId, heard: Option<Instant>, now: Instant) {
        if let Some(contact) = self.contact_mut(peer) {
            contact.own_mut().heard = heard.map(|heard| (heard, now));
        }
    }

    /// When something came from a superpeer last whose link has ended just now.
    pub(crate) fn heard(&self, peer: &PeerId, now: Instant) -> Option<Instant> {
        let (heard, ended) = self.contact(peer)?.heard()?;
        (now.since(ended) < REDIALLED_WITHIN).then_some(heard)
    }

    /// The superpeer failed us, or left: out of the map, and not back by hearsay for a while.
    pub(crate) fn bury(&mut self, peer: &PeerId, now: Instant, cause: Cause) {
        if let Some(gone) = self.gone.get_mut(peer) {
            gone.tried = now;
            gone.left |= cause == Cause::Left;
            gone.refused |= cause == Cause::Refused && !gone.hearsay;
            gone.dead |= gone.met && gone.refused;
        }
        let Some(contact) = self.remove(peer) else { return };
        if self.gone.len() >= GONE_MAX {
            self.forget_gone(now);
        }
        if self.gone.len() >= GONE_MAX
            && let Some(first) = self.gone.iter().min_by_key(|(_, gone)| gone.since).map(|(peer, _)| *peer)
        {
            self.gone.remove(&first);
            self.forgotten += 1;
        }
        let (placed, verified, met) = (contact.placed().clone(), contact.verified(), contact.met());
        let past = contact.is_of_the_past();
        let (left, refused) = (cause == Cause::Left, cause == Cause::Refused);
        let (dead, hearsay, vain) = (met && refused, false, contact.unmet());
        let gone =
            Gone { placed, since: now, tried: now, left, verified, met, past, dead, refused, hearsay, vain };
        self.gone.insert(*peer, gone);
    }

    /// Forgets those that have been gone for a day.
    pub(crate) fn forget_gone(&mut self, now: Instant) {
        let before = self.gone.len();
        self.gone.retain(|_, gone| now.since(gone.since) < GONE_REMEMBERED);
        self.forgotten += (before - self.gone.len()) as u64;
        self.forget_remembered(now);
    }

    /// Whether it makes sense to dial it on hearsay: it has not failed us just now.
    pub(crate) fn may_try(&self, peer: &PeerId, now: Instant) -> bool {
        self.gone.get(peer).is_none_or(|gone| now.since(gone.tried) >= GONE_FOR)
    }

    /// Whether it is remembered as gone.
    pub(crate) fn is_gone(&self, peer: &PeerId) -> bool {
        self.gone.contains_key(peer)
    }

    /// Whom a name in gossip means.
    pub(crate) fn named(&self, brief: &Brief) -> Option<PeerId> {
        self.by_peer.find(brief.first())
    }

    /// The same, of those that are gone, or only remembered.
    pub(crate) fn named_gone(&self, brief: &Brief) -> Option<PeerId> {
        let gone = self.gone.range(brief.range()).next().map(|(peer, _)| *peer);
        gone.or_else(|| self.named_remembered(brief))
    }

    /// For how long it has been gone, if it is.
    pub(crate) fn gone_for(&self, peer: &PeerId, now: Instant) -> Option<Duration> {
        self.gone.get(peer).map(|gone| now.since(gone.since))
    }

    /// Those that failed us and are due for another try.
    pub(crate) fn buried(&self, now: Instant) -> impl Iterator<Item = PeerId> {
        self.gone.iter().filter(move |(_, gone)| now.since(gone.tried) >= RETRY_GONE).map(|(peer, _)| *peer)
    }

    /// The places and certificates of those that have failed us, or left, so lately that others may still name them.
    pub(crate) fn gone_lately(&self, now: Instant) -> impl Iterator<Item = (&Key, &NodeCertificate)> {
        let lately = self.gone.values().filter(move |gone| now.since(gone.tried) < KNOWN_GONE);
        lately.map(|gone| (&gone.placed.id, &gone.placed.hint.certificate))
    }

    /// How many that were nearer to a key than a place are gone since then.
    pub(crate) fn gone_nearer(&self, key: &Key, place: &Key, since: Instant) -> usize {
        let own = place.distance(key);
        let gone = self.gone.values().filter(|gone| gone.since >= since);
        gone.filter(|gone| gone.placed.id.distance(key) < own).count()
    }

    /// What we were told of a superpeer, in the map or gone from it.
    pub(crate) fn hint(&self, peer: &PeerId) -> Option<&Hint> {
        self.contact(peer).map(Contact::hint).or_else(|| Some(&self.gone.get(peer)?.placed.hint))
    }

    /// Where a superpeer listens, in the map or gone from it.
    pub(crate) fn addresses(&self, peer: &PeerId) -> Option<&[Address]> {
        self.hint(peer).map(|hint| hint.addresses.as_slice())
    }

    pub(crate) fn remove(&mut self, peer: &PeerId) -> Option<Contact> {
        let id = self.by_peer.remove(peer)?;
        self.forgotten += 1;
        let index = self.find(&id).ok()?;
        Some(self.sorted.remove(index))
    }

    pub(crate) fn contact(&self, peer: &PeerId) -> Option<&Contact> {
        let index = self.find(self.by_peer.place(peer)?).ok()?;
        self.sorted.get(index)
    }

    /// Where a superpeer of the map stands.
    pub(crate) fn place(&self, peer: &PeerId) -> Option<&Key> {
        self.by_peer.place(peer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Contact> {
        self.sorted.iter()
    }

    /// All of them, beginning at an index below their number.
    pub(crate) fn iter_from(&self, index: usize) -> impl Iterator<Item = &Contact> {
        let (before, after) = self.sorted.split_at(index.min(self.sorted.len()));
        after.iter().chain(before)
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The `count` contacts closest to `key`, nearest first.
    pub(crate) fn closest(&self, key: &Key, count: usize) -> Vec<&Contact> {
        let mut found = Vec::with_capacity(count.min(self.sorted.len()));
        descend(&self.sorted, key, 0, count, &mut found);
        found
    }

    /// Whether the superpeer at `own` is among the `count` closest to `key`: without sorting them.
    pub(crate) fn is_among(&self, own: &Key, key: &Key, count: usize) -> bool {
        let (mut near, mut closer) = (self.sorted.as_slice(), 0);
        for bit in 0..256 {
            if closer + near.len() <= count {
                // However those are placed that share our first bits.
                return true;
            }
            if near.len() <= 1 || closer >= count {
                break;
            }
            let (zeros, ones) = split(near, bit);
            let (same, other) = if bit_of(own, bit) { (ones, zeros) } else { (zeros, ones) };
            // Where we part from the key, all on its side are closer.
            closer += if bit_of(own, bit) == bit_of(key, bit) { 0 } else { other.len() };
            near = same;
        }
        closer < count
    }

    /// How many there are in a range.
    pub(crate) fn count_in(&self, range: &Range) -> usize {
        self.within(range).len()
    }

    /// Those in a range, in the order of their places.
    pub(crate) fn within(&self, range: &Range) -> &[Contact] {
        let (first, last) = (range.prefix, range.last());
        let start = self.sorted.partition_point(|contact| contact.cmp_place(&first).is_lt());
        let end = self.sorted.partition_point(|contact| contact.cmp_place(&last).is_le());
        &self.sorted[start..end]
    }

    /// The k-buckets that hold anybody, seen from `from`, far to near: bucket `b` holds the contacts
    /// that share exactly `255 - b` leading bits with it.
    pub(crate) fn buckets(&self, from: &Key) -> Vec<(u8, &[Contact])> {
        let (mut near, mut buckets) = (self.sorted.as_slice(), Vec::new());
        for bucket in (0..=u8::MAX).rev() {
            if near.is_empty() {
                break;
            }
            let bit = 255 - usize::from(bucket);
            let (zeros, ones) = split(near, bit);
            let (same, other) = if bit_of(from, bit) { (ones, zeros) } else { (zeros, ones) };
            if !other.is_empty() {
                buckets.push((bucket, other));
            }
            near = same;
        }
        buckets
    }

    fn contact_mut(&mut self, peer: &PeerId) -> Option<&mut Contact> {
        let index = self.find(self.by_peer.place(peer)?).ok()?;
        self.sorted.get_mut(index)
    }
}

/// Splits a slice whose keys agree on all bits before `bit` into those without and with that bit.
fn split(slice: &[Contact], bit: usize) -> (&[Contact], &[Contact]) {
    slice.split_at(slice.partition_point(|contact| !contact.bit(bit)))
}

/// All keys of `slice` agree on the bits before `bit`: the half that shares the next bit with `key`
/// is closer as a whole than the other one.
fn descend<'a>(slice: &'a [Contact], key: &Key, bit: usize, count: usize, found: &mut Vec<&'a Contact>) {
    const SMALL: usize = 8;
    if slice.is_empty() || found.len() >= count {
        return;
    }
    if slice.len() <= SMALL || bit >= 256 {
        let start = found.len();
        found.extend(slice);
        found[start..].sort_unstable_by(|one, other| one.closer(other, key));
        found.truncate(count);
        return;
    }
    let (zeros, ones) = split(slice, bit);
    let (near, far) = if bit_of(key, bit) { (ones, zeros) } else { (zeros, ones) };
    descend(near, key, bit + 1, count, found);
    descend(far, key, bit + 1, count, found);
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Cause, Learned, Map};
    use crate::certificate::NodeCertificate;
    use crate::key::{Key, NetworkId, PeerId};
    use crate::limits::{GONE_FOR, MAP_MAX};
    use crate::sign::SecretKey;
    use crate::time::{Instant, Unix};
    use crate::wire::Hint;

    pub(super) const NETWORK: NetworkId = NetworkId::from_bytes([9; 32]);

    pub(super) fn hint(number: u16) -> (Key, Hint) {
        let mut peer = [0; 32];
        peer[..2].copy_from_slice(&number.to_be_bytes());
        let login = SecretKey::from_seed([1; 32]);
        let life = Unix::from_secs(0)..Unix::from_secs(1_000);
        let certificate = NodeCertificate::issue(PeerId::from_bytes(peer), [0; 16], life, &NETWORK, &login);
        (certificate.node_id(&NETWORK), Hint { certificate, addresses: Vec::new() })
    }

    pub(super) fn filled(count: u16) -> Map {
        let mut map = Map::new(MAP_MAX, 20);
        for number in 0..count {
            let (id, hint) = hint(number);
            assert_eq!(map.learn(id, &hint, Instant::default()), Learned::New);
        }
        map
    }

    #[test]
    fn the_closest_are_those_that_sorting_by_distance_gives() {
        // The descent by bits against a plain sort, for many keys and counts; and who is among them.
        let map = filled(300);
        for number in 1_000..1_050 {
            let (key, _) = hint(number);
            let mut sorted: Vec<Key> = map.iter().map(|contact| contact.id()).collect();
            sorted.sort_by_key(|id| id.distance(&key));
            for count in [1, 7, 20, 300, 400] {
                let found: Vec<Key> = map.closest(&key, count).iter().map(|contact| contact.id()).collect();
                assert_eq!(found, sorted[..count.min(300)]);
                for own in &sorted {
                    assert_eq!(map.is_among(own, &key, count), found.contains(own), "{own} of {count}");
                }
            }
        }
    }

    #[test]
    fn buckets_hold_every_other_contact_once_and_by_distance() {
        // Union over the 256 buckets is the map without oneself; each bucket matches the distance.
        let map = filled(200);
        let own = hint(0).0;
        let mut count = 0;
        for (bucket, contacts) in map.buckets(&own) {
            for contact in contacts {
                assert_eq!(contact.distance(&own).bucket(), Some(bucket));
                count += 1;
            }
        }
        assert_eq!(count, 199);
    }

    #[test]
    fn hearsay_brings_a_child_back_to_a_superpeer_after_a_time_and_a_superpeer_never() {
        // Bury, learn again: not there. Later a child takes it in; a superpeer has to try it.
        let (soon, later) = (Instant::default(), Instant::default() + GONE_FOR);
        let (id, hint) = hint(1);
        let peer = hint.peer();
        let (mut child, mut superpeer) = (filled(3), filled(3));
        superpeer.stand_at(Some(Key::from_bytes([0; 32])));
        for map in [&mut child, &mut superpeer] {
            map.bury(&peer, soon, Cause::Silent);
            assert!(map.contact(&peer).is_none());
            assert!(!map.may_try(&peer, soon) && map.may_try(&peer, later));
        }
        assert_eq!(child.learn(id, &hint, soon), Learned::Refused);
        assert_eq!(child.learn(id, &hint, later), Learned::New);
        for now in [soon, later] {
            assert_eq!(superpeer.learn(id, &hint, now), Learned::Gone);
        }
    }

    #[test]
    fn one_that_is_gone_comes_back_when_it_connects_or_says_that_it_lives() {
        // Bury, then forgive and learn, or revive: it is there, and no address of it counts as verified.
        let (id, hint) = hint(1);
        let peer = hint.peer();
        let mut map = filled(3);
        map.stand_at(Some(Key::from_bytes([0; 32])));
        assert!(map.confirm(&peer, &[], Instant::default()));
        map.bury(&peer, Instant::default(), Cause::Silent);
        assert!(map.forgive(&peer) && !map.forgive(&peer));
        assert_eq!(map.learn(id, &hint, Instant::default()), Learned::New);
        map.bury(&peer, Instant::default(), Cause::Silent);
        assert_eq!(map.revive(&peer, &NETWORK, Instant::default()), Learned::New);
        assert!(map.contact(&peer).is_some_and(|contact| contact.id() == id && !contact.verified()));
    }

    #[test]
    fn at_its_bound_the_map_keeps_the_near_ones_and_k_of_each_bucket() {
        // Far more than fit, in random order: what is left is what a sort by distance leaves, but for the
        // far buckets, which keep k each. Without an own place nobody is given up.
        const BOUND: usize = 200;
        for number in 0..8 {
            let own = hint(60_000 + number).0;
            let (mut map, mut child) = (Map::new(BOUND, 20), Map::new(BOUND, 20));
            map.stand_at(Some(own));
            let mut all: Vec<Key> = Vec::new();
            for number in 0..1_000 {
                let (id, hint) = hint(number);
                all.push(id);
                map.learn(id, &hint, Instant::default());
                child.learn(id, &hint, Instant::default());
            }
            assert_eq!((map.len(), child.len()), (BOUND, BOUND));
            assert!(map.dropped > 0 && child.dropped == 0);
            all.sort_by_key(|id| id.distance(&own));
            let kept = |id: &Key| map.iter().any(|contact| contact.id() == *id);
            assert!(all[..20].iter().all(kept), "the closest are there");
            for bucket in 240..=255 {
                let among = |ids: &mut dyn Iterator<Item = Key>| {
                    ids.filter(|id| id.distance(&own).bucket() == Some(bucket)).count()
                };
                let (there, known) =
                    (among(&mut all.iter().copied()), among(&mut map.iter().map(|contact| contact.id())));
                assert!(known >= there.min(20), "bucket {bucket} keeps {known} of {there}");
            }
        }
    }
}
