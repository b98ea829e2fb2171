//! Which part of the key space has been told of.
//!
//! An answer to `Closest` names the superpeers nearest to a key. If the farthest of them shares `n` bits with
//! the key, nobody is missing among those that share more: that part is covered by the teller's word.

use callbook_overlay::key::Key;

/// Parts of the key space: disjoint, ascending, first and last key of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Covered(Vec<([u8; 32], [u8; 32])>);

impl Covered {
    /// Adds the keys that share at least so many bits with `key`.
    pub(super) fn add(&mut self, key: &Key, bits: usize) {
        let (mut first, mut last) = (*key.as_bytes(), *key.as_bytes());
        for bit in bits..256 {
            first[bit / 8] &= !(0x80 >> (bit % 8));
            last[bit / 8] |= 0x80 >> (bit % 8);
        }
        // Those that touch it become one with it.
        let from = self.0.partition_point(|(_, end)| next(end).is_some_and(|after| after < first));
        let touch = |start: &[u8; 32]| next(&last).is_none_or(|after| *start <= after);
        let until = from + self.0[from..].partition_point(|(start, _)| touch(start));
        let merged = self.0[from..until]
            .iter()
            .fold((first, last), |(first, last), (start, end)| (first.min(*start), last.max(*end)));
        self.0.splice(from..until, [merged]);
    }

    /// The first key that is not covered.
    pub(super) fn gap(&self) -> Option<Key> {
        match self.0.first() {
            Some((start, end)) if *start == [0; 32] => next(end).map(Key::from_bytes),
            Some(_) | None => Some(Key::from_bytes([0; 32])),
        }
    }
}

/// The key behind one, unless it is the last.
fn next(key: &[u8; 32]) -> Option<[u8; 32]> {
    let mut key = *key;
    for byte in key.iter_mut().rev() {
        let (sum, over) = byte.overflowing_add(1);
        *byte = sum;
        if !over {
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8) -> Key {
        let mut bytes = [0; 32];
        bytes[0] = first;
        Key::from_bytes(bytes)
    }

    #[test]
    fn parts_that_touch_become_one_and_gaps_are_found_in_order() {
        // Goal: what is not covered is known exactly. Method: halves, quarters and one key, in an order in
        // which they overlap, touch and leave gaps.
        let mut covered = Covered::default();
        assert_eq!(covered.gap(), Some(key(0)));
        covered.add(&key(0b1000_0000), 2);
        assert_eq!(covered.gap(), Some(key(0)), "the gap before it");
        covered.add(&key(0b0000_0001), 2);
        assert_eq!(covered.gap(), Some(key(0b0100_0000)));
        covered.add(&key(0b0100_0000), 256);
        let mut after = *key(0b0100_0000).as_bytes();
        after[31] = 1;
        assert_eq!(covered.gap(), Some(Key::from_bytes(after)), "one key is a part");
        covered.add(&key(0b0111_1111), 2);
        assert_eq!(covered.gap(), Some(key(0b1100_0000)));
        covered.add(&key(0b0000_0000), 1);
        assert_eq!(covered.gap(), Some(key(0b1100_0000)), "what was covered stays so");
        covered.add(&key(0b1111_1111), 2);
        assert_eq!(covered.gap(), None);
        assert_eq!(covered.0.len(), 1);
        let mut all = Covered::default();
        all.add(&key(7), 0);
        assert_eq!(all.gap(), None);
    }
}
