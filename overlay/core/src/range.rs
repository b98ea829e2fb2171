//! Ranges of the key space, and who has what to do with them.
//!
//! A [`Range`] is the subtree of all keys that share a prefix, so in a store sorted by key it is a
//! slice. Two ranges are nested or disjoint. Which keys a superpeer can be a storer of follows from the
//! superpeers around it ([`range_of`], [`concerns`]): whoever shares more leading bits with a key is
//! closer to it. *Not here*: records, digests (`store`).
//!
//! Source: Kademlia §2.1 (paper) for closeness and subtrees.

use crate::key::Key;
use crate::limits::RANGE_BITS_MAX;
use crate::wire::Range;

impl Range {
    /// The keys that share the first `bits` bits with `key`.
    pub(crate) fn around(key: &Key, bits: u8) -> Self {
        let mut prefix = *key.as_bytes();
        for (index, byte) in prefix.iter_mut().enumerate() {
            *byte &= mask(bits, index);
        }
        Self { prefix: Key::from_bytes(prefix), bits }
    }

    /// The keys that begin with the first `bits` bits of these; the others are zero.
    pub(crate) fn beginning(first: u64, bits: u8) -> Self {
        let mut prefix = [0; 32];
        prefix[..8].copy_from_slice(&first.to_be_bytes());
        Self { prefix: Key::from_bytes(prefix), bits }
    }

    /// Whether a peer may ask for it: few enough bits, and none set behind them.
    pub(crate) fn is_valid(&self) -> bool {
        self.bits <= RANGE_BITS_MAX && Self::around(&self.prefix, self.bits) == *self
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        Self::around(key, self.bits).prefix == self.prefix
    }

    /// The key of the range whose bits behind the prefix are those of `key`.
    pub(crate) fn with(&self, key: &Key) -> Key {
        let mut bytes = *key.as_bytes();
        for (index, (byte, prefix)) in bytes.iter_mut().zip(self.prefix.as_bytes()).enumerate() {
            *byte = prefix | (*byte & !mask(self.bits, index));
        }
        Key::from_bytes(bytes)
    }

    /// The greatest key in it; the least is the prefix.
    pub(crate) fn last(&self) -> Key {
        let mut last = *self.prefix.as_bytes();
        for (index, byte) in last.iter_mut().enumerate() {
            *byte |= !mask(self.bits, index);
        }
        Key::from_bytes(last)
    }

    /// Its sixteenths, in order; a range of so few keys that it has none, has none.
    pub(crate) fn parts(self) -> impl Iterator<Item = Self> {
        self.bits
            .checked_add(4)
            .into_iter()
            .flat_map(move |bits| (0..16).map(move |number| self.part(number, bits)))
    }

    /// In which of its sixteenths a key is.
    pub(crate) fn part_of(&self, key: &Key) -> Option<u8> {
        (0..4).try_fold(0, |part, bit| {
            let at = self.bits.checked_add(bit)?;
            let set = key.as_bytes()[usize::from(at / 8)] & (0x80 >> (at % 8)) != 0;
            Some(part << 1 | u8::from(set))
        })
    }

    /// Its halves, in order; a range of two keys is not halved.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        let bits = self.bits.checked_add(1)?;
        let mut upper = *self.prefix.as_bytes();
        upper[usize::from(self.bits / 8)] |= 0x80 >> (self.bits % 8);
        Some([Self { prefix: self.prefix, bits }, Self { prefix: Key::from_bytes(upper), bits }])
    }

    fn part(self, number: u8, bits: u8) -> Self {
        let mut prefix = *self.prefix.as_bytes();
        for bit in 0..4u8 {
            if number & (8 >> bit) != 0 {
                let at = usize::from(self.bits) + usize::from(bit);
                prefix[at / 8] |= 0x80 >> (at % 8);
            }
        }
        Self { prefix: Key::from_bytes(prefix), bits }
    }
}

/// The bits of byte `index` that belong to a prefix of `bits` bits.
fn mask(bits: u8, index: usize) -> u8 {
    let bits = usize::from(bits).saturating_sub(index * 8).min(8);
    if bits == 0 { 0 } else { 0xff << (8 - bits) }
}

/// Leading bits that two keys share.
fn shared(one: &Key, other: &Key) -> u8 {
    // A distance in bucket b begins with 255 - b zeroes; the same key shares all, which is as good as 255.
    one.distance(other).bucket().map_or(u8::MAX, |bucket| u8::MAX - bucket)
}

/// The range around `own` outside of which it is a storer of nothing.
///
/// It is the longest prefix of `own` such that every sibling subtree above it holds `r` superpeers or
/// more: a key outside leaves our path at one of these siblings, and all who live there share more bits
/// with the key than we do, so r are closer. `count` tells how many superpeers a range holds; one that
/// knows too few gives a range that is too large, never one that is too small.
pub(crate) fn range_of(own: &Key, r: usize, count: impl Fn(&Range) -> usize) -> Range {
    let above = (0..RANGE_BITS_MAX).take_while(|depth| {
        let mut sibling = *own.as_bytes();
        sibling[usize::from(depth / 8)] ^= 0x80 >> (depth % 8);
        count(&Range::around(&Key::from_bytes(sibling), depth + 1)) >= r
    });
    Range::around(own, above.last().map_or(0, |depth| depth + 1))
}

/// Whether a superpeer at `own` may be a storer of a key in `range`: not if r others share more bits with
/// all of its keys.
pub(crate) fn concerns(own: &Key, range: &Range, r: usize, count: impl Fn(&Range) -> usize) -> bool {
    let shared = shared(own, &range.prefix);
    shared >= range.bits || count(&Range::around(&range.prefix, shared + 1)) < r
}

/// The smallest range that can be asked for and holds both keys.
pub(crate) fn spanning(first: &Key, last: &Key) -> Range {
    Range::around(first, shared(first, last).min(RANGE_BITS_MAX))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::{concerns, range_of, spanning};
    use crate::key::Key;
    use crate::limits::RANGE_BITS_MAX;
    use crate::wire::Range;

    /// Keys of which many share long prefixes: few values a byte, mostly zeroes.
    fn keys(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Key>> {
        let byte = prop_oneof![4 => Just(0u8), 1 => Just(0x80), 1 => Just(1), 2 => any::<u8>()];
        let clustered = proptest::collection::vec(byte, 32);
        let spread = proptest::collection::vec(any::<u8>(), 32);
        let key = prop_oneof![clustered, spread]
            .prop_map(|bytes| Key::from_bytes(bytes.try_into().expect("32 bytes")));
        proptest::collection::vec(key, count)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whoever_is_among_the_r_closest_of_a_key_has_the_key_in_its_range(
            mut places in keys(1..60), names in keys(1..40), r in 1usize..6,
        ) {
            // Against brute force: sort all places by distance to each key.
            places.sort_unstable();
            places.dedup();
            let r = r.min(places.len());
            let count = |range: &Range| places.iter().filter(|place| range.contains(place)).count();
            for key in names {
                let mut closest = places.clone();
                closest.sort_unstable_by_key(|place| place.distance(&key));
                for own in &closest[..r] {
                    let range = range_of(own, r, count);
                    prop_assert!(range.is_valid() && range.contains(own));
                    prop_assert!(range.contains(&key), "{own} stores {key} outside of {range:?}");
                    for bits in [0, 1, 3, 8, 17, 40, RANGE_BITS_MAX] {
                        prop_assert!(concerns(own, &Range::around(&key, bits), r, count));
                    }
                }
            }
        }

        #[test]
        fn a_range_is_the_keys_from_its_prefix_to_its_last_and_its_parts_are_all_of_it(
            names in keys(1..20), bits in 0..=RANGE_BITS_MAX,
        ) {
            let range = Range::around(&names[0], bits);
            prop_assert!(range.is_valid() && range.contains(&names[0]));
            for key in &names {
                prop_assert_eq!(range.contains(key), (range.prefix..=range.last()).contains(key));
                let parts = range.parts().filter(|part| part.contains(key)).count();
                prop_assert_eq!(parts, usize::from(range.contains(key)));
                prop_assert!(range.contains(&range.with(key)));
                prop_assert!(!range.contains(key) || range.with(key) == *key);
                let halves = range.halves().expect("more than two keys");
                let halves = halves.iter().filter(|half| half.contains(key)).count();
                prop_assert_eq!(halves, usize::from(range.contains(key)));
                let both = spanning(&names[0], key);
                prop_assert!(both.is_valid() && both.contains(&names[0]) && both.contains(key));
            }
        }
    }

    #[test]
    fn a_superpeer_among_many_has_a_small_range_and_is_not_concerned_by_the_rest() {
        // 256 places evenly spread, three storers: a range holds few more than the places next to ours.
        let places: Vec<Key> = (0..=u8::MAX)
            .map(|first| {
                let mut bytes = [0; 32];
                bytes[0] = first;
                Key::from_bytes(bytes)
            })
            .collect();
        let count = |range: &Range| places.iter().filter(|place| range.contains(place)).count();
        let range = range_of(&places[77], 3, count);
        assert_eq!(count(&range), 4);
        assert!(!concerns(&places[77], &Range::around(&places[200], 8), 3, count));
    }

    #[test]
    fn a_range_with_bits_behind_its_prefix_or_too_many_is_not_valid() {
        // What a peer may not ask for.
        let ones = Key::from_bytes([0xff; 32]);
        assert!(!Range { prefix: ones, bits: RANGE_BITS_MAX }.is_valid());
        assert!(!Range { prefix: ones, bits: 255 }.is_valid());
        assert!(Range::around(&ones, RANGE_BITS_MAX).is_valid());
        assert!(!Range::around(&ones, RANGE_BITS_MAX + 1).is_valid());
        assert_eq!(Range { prefix: ones, bits: 253 }.parts().count(), 0);
    }
}
