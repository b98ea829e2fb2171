//! How many superpeers there are, three ways that fail for different reasons.
//!
//! | method | from | wrong when |
//! |---|---|---|
//! | counted | those that a walk reached | some can't be reached, or nobody names them |
//! | density | how near the k-th nearest to each teller's place is | places are not spread evenly: somebody chooses them |
//! | recapture | whom two halves of the tellers named, and whom both | the halves don't look independently |
//!
//! Far apart, they tell of a partition, of lies, or of much that is there and can't be reached. Children are
//! counted by those parents that tell how many they have; the mean of these stands for the others.
//!
//! Source: for density the order statistics of uniform places, as go-libp2p-kad-dht's `netsize` and Mainline's
//! estimators; for recapture Chapman 1951, with Seber's variance (papers).

use std::collections::BTreeSet;
use std::f64::consts::FRAC_PI_2;

use callbook_overlay::key::Key;

use super::walk::Around;

/// A number and how uncertain it is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Size {
    /// The estimate.
    pub(super) mean: f64,
    /// Its standard deviation.
    pub(super) deviation: f64,
}

impl Size {
    /// None if there were too few to estimate anything from.
    pub(super) fn known(self) -> Option<Self> {
        (self.mean > 0.0).then_some(self)
    }
}

/// By density.
///
/// The k-th nearest of n others lies at a share d of the key space, of which the median is about
/// `(k − 1/3) / (n + 1/3)`; a share's variance makes that of a guess about `n (n − k + 1) / (k − 2)`. The median of all tellers' guesses is
/// taken: a few who lie don't move it. Answers overlap, so of S tellers about S / k say something of their own; a
/// median of so many varies π/2 times as much as their mean.
pub(super) fn density(around: &[Around]) -> Size {
    let guesses: Vec<(f64, f64)> = around.iter().filter_map(guess).collect();
    if guesses.is_empty() {
        return Size::default();
    }
    let count = guesses.len() as f64;
    let others = median(guesses.iter().map(|(others, _)| *others).collect());
    let nearest = median(guesses.iter().map(|(_, nearest)| *nearest).collect());
    let variance = (others * (others - nearest + 1.0)).max(0.0) / (nearest - 2.0).max(1.0);
    let independent = (count / nearest).max(1.0);
    let of_median = if independent > 1.0 { FRAC_PI_2 } else { 1.0 };
    Size { mean: others + 1.0, deviation: (variance * of_median / independent).sqrt() }
}

/// The middle one, or the mean of the two in the middle, of at least one.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    f64::midpoint(all[(all.len() - 1) / 2], all[all.len() / 2])
}

/// How many others one answer speaks for, and of how many it tells.
fn guess(around: &Around) -> Option<(f64, f64)> {
    let shares = around.named.iter().map(|place| share(&around.place, place));
    let farthest = shares.fold(0.0, f64::max);
    let nearest = around.named.len() as f64;
    let others = (nearest - 1.0 / 3.0) / farthest - 1.0 / 3.0;
    (around.named.len() >= 2 && farthest > 0.0).then_some((others, nearest))
}

/// The distance of two keys as a share of the key space.
fn share(one: &Key, other: &Key) -> f64 {
    let bytes = one.as_bytes().iter().zip(other.as_bytes());
    let (share, _) = bytes.take(8).fold((0.0, 1.0 / 256.0), |(share, unit), (one, other)| {
        (share + f64::from(one ^ other) * unit, unit / 256.0)
    });
    share
}

/// By capture and recapture: every other teller, in the order of their places, belongs to the other half. Of fewer
/// than two tellers nothing is known.
pub(super) fn recapture(around: &[Around]) -> Size {
    let mut halves = [BTreeSet::new(), BTreeSet::new()];
    let mut tellers: Vec<&Around> = around.iter().collect();
    tellers.sort_by_key(|around| around.place);
    for (index, Around { place, named }) in tellers.into_iter().enumerate() {
        let half = &mut halves[index % 2];
        half.extend(named.iter().copied());
        // Who tells is there.
        half.insert(*place);
    }
    let [one, other] = &halves;
    if one.is_empty() || other.is_empty() {
        return Size::default();
    }
    chapman(one.len() as f64, other.len() as f64, one.intersection(other).count() as f64)
}

fn chapman(one: f64, other: f64, both: f64) -> Size {
    let mean = (one + 1.0) * (other + 1.0) / (both + 1.0) - 1.0;
    let variance = (one + 1.0) * (other + 1.0) * (one - both) * (other - both)
        / ((both + 1.0) * (both + 1.0) * (both + 2.0));
    Size { mean, deviation: variance.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` superpeers at places that a hash spreads, each telling of the 20 nearest to it.
    fn network(count: u32, seed: u32) -> Vec<Around> {
        let place = |number: u32| {
            let bytes = [seed.to_be_bytes(), number.to_be_bytes()].concat();
            Key::from_bytes(*blake3::hash(&bytes).as_bytes())
        };
        let all: Vec<Key> = (0..count).map(place).collect();
        let around = |own: &Key| {
            let mut others: Vec<Key> = all.iter().copied().filter(|place| place != own).collect();
            others.sort_by_key(|place| place.distance(own));
            others.truncate(19);
            Around { place: *own, named: others }
        };
        all.iter().map(around).collect()
    }

    #[test]
    fn density_and_recapture_find_the_size_of_a_known_network() {
        // Goal: both are right within three of their own deviations, and within 15 %. Method: networks of known
        // sizes, several each.
        for count in [10, 19, 20, 60, 500] {
            for seed in 0..5 {
                let around = network(count, seed);
                for (word, size) in [("density", density(&around)), ("recapture", recapture(&around))] {
                    let off = (size.mean - f64::from(count)).abs();
                    let allowed = (3.0 * size.deviation).max(1.5);
                    assert!(off <= allowed, "{word} of {count}, seed {seed}: {size:?}");
                    assert!(count < 60 || off < 0.25 * f64::from(count), "{word} of {count}: {size:?}");
                }
            }
        }
    }

    #[test]
    fn density_is_unbiased() {
        // Goal: no estimate leans one way. Method: the median over many networks of one size.
        for count in [10, 30, 100] {
            let middle = median((0..200).map(|seed| density(&network(count, seed)).mean).collect());
            assert!((middle / f64::from(count) - 1.0).abs() < 0.05, "{middle} of {count}");
        }
    }

    #[test]
    fn a_few_who_lie_do_not_move_the_density() {
        // Goal: neither who names only those far away nor who names only the nearest moves it much. Method: a
        // network of which a tenth does.
        let honest = network(60, 1);
        for nearest in [false, true] {
            let mut around = honest.clone();
            for liar in around.iter_mut().step_by(10) {
                let place = liar.place;
                liar.named.sort_by_key(|other| other.distance(&place));
                liar.named = if nearest { liar.named[..2].to_vec() } else { liar.named.split_off(17) };
            }
            let (size, before) = (density(&around).mean, density(&honest).mean);
            assert!((size / before - 1.0).abs() < 0.1, "{size}, without them {before}");
        }
    }

    #[test]
    fn recapture_is_chapmans_estimate() {
        // Goal: the formula. Method: a hand-worked example: 19 and 29 caught, 9 of them twice, are
        // 20 · 30 / 10 − 1 = 59, with the variance 20 · 30 · 10 · 20 / (100 · 11).
        let size = chapman(19.0, 29.0, 9.0);
        assert_eq!(size.mean, 59.0);
        assert!((size.deviation - (120_000.0_f64 / 1_100.0).sqrt()).abs() < 1e-9);
        assert_eq!(chapman(5.0, 5.0, 5.0), Size { mean: 5.0, deviation: 0.0 }, "everybody is known to both");
    }

    #[test]
    fn two_superpeers_are_too_few_for_their_density() {
        // Goal: nothing is told as "0 ± 0". Method: two that name each other, and three.
        assert_eq!(density(&network(2, 1)).known(), None);
        assert!(density(&network(3, 1)).known().is_some_and(|size| size.mean >= 2.0));
        assert!(recapture(&network(2, 1)).known().is_some());
    }

    #[test]
    fn of_nobody_nothing_is_guessed() {
        // Goal: an empty walk is no panic and no infinity. Method: none, and one that names nobody.
        let alone = Around { place: Key::from_bytes([1; 32]), named: Vec::new() };
        for around in [&[][..], &[alone]] {
            assert_eq!((density(around), recapture(around)), (Size::default(), Size::default()));
            assert_eq!(density(around).known(), None);
        }
    }
}
