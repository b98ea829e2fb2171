//! The XOR metric's laws (Kademlia §2.1).

use callbook_overlay::key::Key;
use proptest::prelude::*;

fn keys() -> impl Strategy<Value = Key> {
    any::<[u8; 32]>().prop_map(Key::from_bytes)
}

proptest! {
    /// Goal: the distance is a metric. Method: symmetry, identity and the triangle inequality on
    /// random keys; sums are compared as 512-bit numbers so that they can't overflow.
    #[test]
    fn distance_is_a_metric((a, b, c) in (keys(), keys(), keys())) {
        prop_assert_eq!(a.distance(&b), b.distance(&a));
        prop_assert_eq!(a.distance(&a), Key::from_bytes([0; 32]).distance(&Key::from_bytes([0; 32])));
        prop_assert_eq!(a.distance(&b) == a.distance(&a), a == b);
        prop_assert!(number(&a, &c) <= sum(&number(&a, &b), &number(&b, &c)));
    }

    /// Goal: distances are ordered as big-endian numbers. Method: against numbers built by hand.
    #[test]
    fn distances_are_ordered_as_big_endian_numbers((a, b, c) in (keys(), keys(), keys())) {
        prop_assert_eq!(a.distance(&b).cmp(&a.distance(&c)), number(&a, &b).cmp(&number(&a, &c)));
    }

    /// Goal: for each key and distance there is exactly one key at that distance, so look-ups for a
    /// key converge along the same path. Method: two keys at the same distance are the same key.
    #[test]
    fn the_metric_is_unidirectional((a, b, c) in (keys(), keys(), keys())) {
        prop_assert_eq!(a.distance(&b) == a.distance(&c), b == c);
        let mirrored: [u8; 32] = std::array::from_fn(|i| a.as_bytes()[i] ^ b.as_bytes()[i] ^ c.as_bytes()[i]);
        prop_assert_eq!(a.distance(&Key::from_bytes(mirrored)), b.distance(&c));
    }

    /// Goal: the bucket of a distance is the place of its highest bit. Method: set one bit, and random
    /// lower ones below it.
    #[test]
    fn the_bucket_is_the_highest_differing_bit((a, bit, noise) in (keys(), 0..=255_u8, any::<[u8; 32]>())) {
        let mut other = *a.as_bytes();
        for place in 0..=bit {
            let (byte, mask) = (31 - usize::from(place / 8), 1 << (place % 8));
            if place == bit || noise[byte] & mask != 0 {
                other[byte] ^= mask;
            }
        }
        prop_assert_eq!(a.distance(&Key::from_bytes(other)).bucket(), Some(bit));
        prop_assert_eq!(a.distance(&a).bucket(), None);
    }

    /// Goal: hexadecimal text names the key. Method: there and back; damaged text is refused.
    #[test]
    fn a_key_reads_back_from_its_hexadecimal_text((a, cut) in (keys(), 0..64_usize)) {
        prop_assert_eq!(Key::from_hex(&a.to_hex()), Some(a));
        prop_assert_eq!(Key::from_hex(&a.to_hex()[..cut]), None);
        prop_assert_eq!(Key::from_hex(&a.to_hex().replacen(|_| true, "g", 1)), None);
    }
}

/// The distance as 32 digits to base 256, the highest first.
fn number(a: &Key, b: &Key) -> Vec<u16> {
    a.as_bytes().iter().zip(b.as_bytes()).map(|(a, b)| u16::from(a ^ b)).collect()
}

/// The sum with one more digit in front, normalised; the shorter operand of a comparison gets a zero.
fn sum(a: &[u16], b: &[u16]) -> Vec<u16> {
    let (mut carry, mut digits) = (0, Vec::new());
    for (a, b) in a.iter().zip(b).rev() {
        let total = a + b + carry;
        digits.push(total % 256);
        carry = total / 256;
    }
    // A carry out of the highest digit makes the sum greater than any distance.
    digits.reverse();
    if carry > 0 { vec![u16::MAX; digits.len()] } else { digits }
}
