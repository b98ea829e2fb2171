//! Chance: one stream of numbers for each concern, all from the run's seed.
//!
//! A stream is derived from the seed and the concern's name, so that one more draw in one concern leaves
//! all others as they were. *Not here*: what the overlay itself draws, whose seeds come from a stream
//! (`peers`).
//!
//! Source: splitmix64 (Steele, Lea, Flood 2014); `below` by multiplication (Lemire 2019), whose bias of
//! 2⁻⁶⁴ · n is left in; normal deviates by Box and Muller (1958); gamma deviates by Marsaglia and Tsang
//! (2000).

use std::f64::consts::TAU;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of one concern in the run of `seed`.
    #[must_use]
    pub fn of(seed: u64, concern: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(concern.as_bytes());
        let mut state = [0; 8];
        hasher.finalize_xof().fill(&mut state);
        Self(u64::from_le_bytes(state))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `count`, which is not 0.
    pub fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(count)) >> 64) as u64
    }

    /// An index below `count`, which is not 0.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// A number from the range, ends included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// From 0 to below 1, even.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Above 0, up to 1: what a logarithm may be taken of.
    pub fn positive(&mut self) -> f64 {
        1.0 - self.unit()
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// An exponential deviate.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.positive().ln()
    }

    /// A standard normal deviate.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.positive().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// A gamma deviate of scale 1; `shape` is at least 1.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.positive().ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
                return d * v;
            }
        }
    }

    /// 32 random bytes.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.bits().to_le_bytes());
        }
        bytes
    }
}

/// Spreads the bits of a number over all 64.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::Random;

    fn mean(count: u32, mut draw: impl FnMut() -> f64) -> f64 {
        (0..count).map(|_| draw()).sum::<f64>() / f64::from(count)
    }

    #[test]
    fn a_draw_in_one_concern_does_not_shift_another() {
        // Goal: streams are independent. Method: draw from one in between; the other goes on as before.
        let (mut one, mut other) = (Random::of(7, "churn"), Random::of(7, "churn"));
        let mut noise = Random::of(7, "network");
        for _ in 0..100 {
            noise.bits();
            assert_eq!(one.bits(), other.bits());
        }
        assert_ne!(Random::of(7, "churn").bits(), Random::of(7, "network").bits());
        assert_ne!(Random::of(7, "churn").bits(), Random::of(8, "churn").bits());
    }

    #[test]
    fn deviates_have_the_moments_that_they_should_have() {
        // Goal: the transformations are right. Method: means (and a variance) of many against theory, with
        // five standard errors of room.
        let mut random = Random::of(1, "test");
        assert!((mean(100_000, || random.unit()) - 0.5).abs() < 0.005);
        assert!((mean(100_000, || random.exponential(3.0)) - 3.0).abs() < 0.05);
        assert!(mean(100_000, || random.normal()).abs() < 0.016);
        assert!((mean(100_000, || random.normal().powi(2)) - 1.0).abs() < 0.023);
        for shape in [1.0, 2.645, 7.5] {
            let off = mean(100_000, || random.gamma(shape)) - shape;
            assert!(off.abs() < 5.0 * (shape / 100_000.0f64).sqrt(), "shape {shape}: off by {off}");
        }
        assert!((0..10_000).map(|_| random.between(3, 5)).all(|drawn| (3..=5).contains(&drawn)));
    }
}
