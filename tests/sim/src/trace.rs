//! A hash over everything that happens: two runs of one seed have to have the same.
//!
//! It is fed with numbers, never with text, and costs a multiplication for each. It tells runs apart; it
//! is no defence against anybody. Source: the round of FNV-1a, on words, mixed at the end.

use crate::random::mix;

/// The hash so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    pub(crate) fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// The bytes of a small part, or a few of a large one with its length.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        let words = bytes.chunks_exact(8);
        let rest = words.remainder().iter().fold(0u64, |word, byte| (word << 8) | u64::from(*byte));
        self.add(rest);
        words.for_each(|word| self.add(u64::from_le_bytes(word.try_into().expect("eight bytes"))));
    }

    /// The hash.
    pub(crate) fn value(self) -> u64 {
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;

    #[test]
    fn order_and_every_bit_count() {
        // Goal: different histories differ. Method: swap, cut and bend what goes in.
        let value = |words: &[u64]| {
            let mut trace = Trace::default();
            words.iter().for_each(|word| trace.add(*word));
            trace.value()
        };
        let all = [value(&[1, 2]), value(&[2, 1]), value(&[1]), value(&[1, 2, 0]), value(&[1, 3])];
        for (index, one) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other != one));
        }
        let (mut one, mut other) = (Trace::default(), Trace::default());
        one.add_bytes(b"0123456789");
        other.add_bytes(b"0123456788");
        assert_ne!(one.value(), other.value());
    }
}
