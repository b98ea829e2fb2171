//! The map: every superpeer that we know to be alive, sorted by its place.
//!
//! One sorted vector; the k-buckets are a view of it ([`Map::buckets`]). A superpeer enters by a hint
//! whose certificate has been verified (the caller's task) and leaves when it fails us; for
//! [`GONE_FOR`] after that only its own connection brings it back, so that other peers' stale hints
//! don't. It is remembered for a day, so that it can be tried again when nobody else is left. The
//! closest by XOR are found by descending the sorted order bit by bit.
//!
//! Source: Kademlia §2.2–2.4 (paper) for the buckets; Gupta et al., *One Hop Lookups* (paper) for
//! knowing everybody. *Not here*: links, round trips, verification.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::api::Address;
use crate::key::{Key, PeerId};
use crate::limits::{CUT_OFF_FOR, GONE_FOR, GONE_MAX, GONE_REMEMBERED, MAP_MAX, RETRY_GONE};
use crate::time::Instant;
use crate::wire::Hint;

/// A superpeer in the map.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) id: Key,
    pub(crate) hint: Hint,
    /// Has answered at an address that we dialled.
    pub(crate) verified: bool,
}

impl Contact {
    pub(crate) fn peer(&self) -> PeerId {
        self.hint.peer()
    }
}

/// What [`Map::learn`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learned {
    New,
    Known,
    Refused,
}

#[derive(Debug, Default)]
pub(crate) struct Map {
    sorted: Vec<Contact>,
    places: BTreeMap<PeerId, Key>,
    gone: BTreeMap<PeerId, Gone>,
}

/// A superpeer that failed us.
#[derive(Debug)]
struct Gone {
    hint: Hint,
    since: Instant,
    /// When it failed us last.
    tried: Instant,
    /// It said goodbye.
    left: bool,
}

impl Map {
    /// Takes in a hint that has been verified. A hint never replaces a verified address.
    pub(crate) fn learn(&mut self, id: Key, hint: &Hint, now: Instant) -> Learned {
        let peer = hint.peer();
        if self.is_gone(&peer, now) {
            return Learned::Refused;
        }
        if let Some(known) = self.contact_mut(&peer) {
            if known.id == id {
                if hint.certificate.not_after > known.hint.certificate.not_after {
                    known.hint.certificate = hint.certificate.clone();
                }
                if !known.verified && !hint.addresses.is_empty() {
                    known.hint.addresses.clone_from(&hint.addresses);
                }
                return Learned::Known;
            }
            if hint.certificate.not_after <= known.hint.certificate.not_after {
                return Learned::Refused;
            }
            self.remove(&peer);
        }
        match self.sorted.binary_search_by(|contact| contact.id.cmp(&id)) {
            Err(index) if self.sorted.len() < MAP_MAX => {
                self.gone.remove(&peer);
                self.sorted.insert(index, Contact { id, hint: hint.clone(), verified: false });
                self.places.insert(peer, id);
                Learned::New
            }
            Ok(_) | Err(_) => Learned::Refused,
        }
    }

    /// The superpeer itself says where it listens now: that replaces also an address that was verified.
    pub(crate) fn moved(&mut self, peer: &PeerId, addresses: &[Address]) {
        if let Some(contact) = self.contact_mut(peer).filter(|known| known.hint.addresses != addresses) {
            contact.hint.addresses = addresses.to_vec();
            contact.verified = false;
        }
    }

    /// The superpeer has connected or answered: whatever was held against it is forgotten.
    pub(crate) fn forgive(&mut self, peer: &PeerId) {
        self.gone.remove(peer);
    }

    /// The superpeer answered at an address that we dialled.
    pub(crate) fn confirm(&mut self, peer: &PeerId) {
        if let Some(contact) = self.contact_mut(peer) {
            contact.verified = true;
        }
    }

    /// The superpeer failed us: out of the map, and not back by hearsay for a while.
    pub(crate) fn bury(&mut self, peer: &PeerId, now: Instant) {
        self.lay_aside(peer, now, false);
    }

    /// The superpeer said goodbye: as [`Self::bury`], but no sign of trouble.
    pub(crate) fn let_go(&mut self, peer: &PeerId, now: Instant) {
        self.lay_aside(peer, now, true);
    }

    fn lay_aside(&mut self, peer: &PeerId, now: Instant, left: bool) {
        if let Some(gone) = self.gone.get_mut(peer) {
            gone.tried = now;
        }
        let Some(contact) = self.remove(peer) else { return };
        self.gone.retain(|_, gone| now.since(gone.since) < GONE_REMEMBERED);
        if self.gone.len() >= GONE_MAX {
            self.gone.pop_first();
        }
        self.gone.insert(*peer, Gone { hint: contact.hint, since: now, tried: now, left });
    }

    /// Whether more superpeers have failed us lately than are left: then it is rather we who are cut off.
    pub(crate) fn is_cut_off(&self, now: Instant) -> bool {
        let lost = |gone: &&Gone| !gone.left && now.since(gone.since) < CUT_OFF_FOR;
        self.gone.values().filter(lost).count() > self.sorted.len()
    }

    /// Those that failed us and are due for another try.
    pub(crate) fn buried(&self, now: Instant) -> impl Iterator<Item = PeerId> {
        self.gone.iter().filter(move |(_, gone)| now.since(gone.tried) >= RETRY_GONE).map(|(peer, _)| *peer)
    }

    /// Where a superpeer listens, in the map or gone from it.
    pub(crate) fn addresses(&self, peer: &PeerId) -> Option<&[Address]> {
        let hint = self.contact(peer).map(|contact| &contact.hint);
        hint.or_else(|| Some(&self.gone.get(peer)?.hint)).map(|hint| hint.addresses.as_slice())
    }

    pub(crate) fn remove(&mut self, peer: &PeerId) -> Option<Contact> {
        let id = self.places.remove(peer)?;
        let index = self.sorted.binary_search_by(|contact| contact.id.cmp(&id)).ok()?;
        Some(self.sorted.remove(index))
    }

    pub(crate) fn contact(&self, peer: &PeerId) -> Option<&Contact> {
        let id = self.places.get(peer)?;
        let index = self.sorted.binary_search_by(|contact| contact.id.cmp(id)).ok()?;
        self.sorted.get(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Contact> {
        self.sorted.iter()
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

    fn is_gone(&self, peer: &PeerId, now: Instant) -> bool {
        self.gone.get(peer).is_some_and(|gone| now.since(gone.tried) < GONE_FOR)
    }

    fn contact_mut(&mut self, peer: &PeerId) -> Option<&mut Contact> {
        let id = self.places.get(peer)?;
        let index = self.sorted.binary_search_by(|contact| contact.id.cmp(id)).ok()?;
        self.sorted.get_mut(index)
    }
}

fn bit_of(key: &Key, bit: usize) -> bool {
    key.as_bytes()[bit / 8] & (0x80 >> (bit % 8)) != 0
}

/// Splits a slice whose keys agree on all bits before `bit` into those without and with that bit.
fn split(slice: &[Contact], bit: usize) -> (&[Contact], &[Contact]) {
    slice.split_at(slice.partition_point(|contact| !bit_of(&contact.id, bit)))
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
        found[start..].sort_unstable_by_key(|contact| contact.id.distance(key));
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

    use super::{Learned, Map};
    use crate::certificate::NodeCertificate;
    use crate::key::{Key, NetworkId, PeerId};
    use crate::limits::GONE_FOR;
    use crate::sign::SecretKey;
    use crate::time::{Instant, Unix};
    use crate::wire::Hint;

    const NETWORK: NetworkId = NetworkId::from_bytes([9; 32]);

    fn hint(number: u16) -> (Key, Hint) {
        let mut peer = [0; 32];
        peer[..2].copy_from_slice(&number.to_be_bytes());
        let login = SecretKey::from_seed([1; 32]);
        let life = Unix::from_secs(0)..Unix::from_secs(1_000);
        let certificate = NodeCertificate::issue(PeerId::from_bytes(peer), [0; 16], life, &NETWORK, &login);
        (certificate.node_id(&NETWORK), Hint { certificate, addresses: Vec::new() })
    }

    fn filled(count: u16) -> Map {
        let mut map = Map::default();
        for number in 0..count {
            let (id, hint) = hint(number);
            assert_eq!(map.learn(id, &hint, Instant::default()), Learned::New);
        }
        map
    }

    #[test]
    fn the_closest_are_those_that_sorting_by_distance_gives() {
        // The descent by bits against a plain sort, for many keys and counts.
        let map = filled(300);
        for number in 1_000..1_050 {
            let (key, _) = hint(number);
            let mut sorted: Vec<Key> = map.iter().map(|contact| contact.id).collect();
            sorted.sort_by_key(|id| id.distance(&key));
            for count in [1, 7, 20, 300, 400] {
                let found: Vec<Key> = map.closest(&key, count).iter().map(|contact| contact.id).collect();
                assert_eq!(found, sorted[..count.min(300)]);
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
                assert_eq!(contact.id.distance(&own).bucket(), Some(bucket));
                count += 1;
            }
        }
        assert_eq!(count, 199);
    }

    #[test]
    fn hearsay_does_not_bring_back_a_buried_contact_but_time_or_itself_does() {
        // Bury, learn again: refused; after the time, or forgiven: taken.
        let mut map = filled(3);
        let (id, hint) = hint(1);
        let peer = hint.peer();
        map.bury(&peer, Instant::default());
        assert!(map.contact(&peer).is_none());
        assert_eq!(map.learn(id, &hint, Instant::default()), Learned::Refused);
        assert_eq!(map.learn(id, &hint, Instant::default() + GONE_FOR), Learned::New);
        map.bury(&peer, Instant::default());
        assert!(map.contact(&peer).is_none());
        map.forgive(&peer);
        assert_eq!(map.learn(id, &hint, Instant::default()), Learned::New);
    }
}
