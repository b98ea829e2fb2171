//! Distributions of the lengths of sessions and absences.
//!
//! Each gives its mean, its quantiles, a fresh length, and what is left of a length that a look at a random
//! moment finds (the residual). That one lies within a length that was met in proportion to itself, at an
//! even place in it: for Weibull lengths x with (x/scale)^shape ~ Gamma(1 + 1/shape).
//!
//! Source: Cox, *Renewal Theory* (1962) §5.4; Lanczos' gamma function (Numerical Recipes §6.1, g = 7);
//! the normal distribution by Abramowitz and Stegun 7.1.26. *Not here*: which model where (`Churn`).

use std::f64::consts::{PI, SQRT_2};

use crate::random::Random;

/// A distribution of lengths in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// Without memory.
    Exponential {
        /// In seconds.
        mean: f64,
    },
    /// Of shapes below 1: many short ones, a few very long.
    Weibull {
        /// Below 1: a heavy tail.
        shape: f64,
        /// In seconds.
        scale: f64,
    },
    /// Measured: quantiles at even steps from the least to the greatest, straight in between.
    Empirical {
        /// Lengths in seconds, ascending, at least two.
        quantiles: Vec<f64>,
    },
}

impl Model {
    /// The quantiles of a sample that was measured, at most a thousand of them.
    ///
    /// # Panics
    /// On fewer than two lengths: there is nothing to draw from.
    #[must_use]
    pub fn measured(mut lengths: Vec<f64>) -> Self {
        assert!(lengths.len() >= 2, "a sample has at least two lengths");
        lengths.sort_unstable_by(f64::total_cmp);
        let steps = lengths.len().min(1_000) - 1;
        let last = lengths.len() - 1;
        let quantiles = (0..=steps).map(|step| lengths[step * last / steps]).collect();
        Self::Empirical { quantiles }
    }

    /// The mean, in seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Exponential { mean } => *mean,
            Self::Weibull { shape, scale } => scale * gamma(1.0 + 1.0 / shape),
            Self::Empirical { quantiles } => {
                let sum: f64 = quantiles.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum();
                sum / (quantiles.len() - 1) as f64
            }
        }
    }

    /// The length that a share of all is below, in seconds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        match self {
            Self::Exponential { mean } => -mean * (1.0 - share).max(f64::MIN_POSITIVE).ln(),
            Self::Weibull { shape, scale } => {
                scale * (-(1.0 - share).max(f64::MIN_POSITIVE).ln()).powf(1.0 / shape)
            }
            Self::Empirical { quantiles } => {
                let at = share.clamp(0.0, 1.0) * (quantiles.len() - 1) as f64;
                let below = (at as usize).min(quantiles.len() - 2);
                quantiles[below] + (at - below as f64) * (quantiles[below + 1] - quantiles[below])
            }
        }
    }

    /// A fresh length, in seconds.
    pub fn draw(&self, random: &mut Random) -> f64 {
        self.quantile(random.unit())
    }

    /// What is left of a length at a random moment in it, in seconds.
    pub fn residual(&self, random: &mut Random) -> f64 {
        self.split(random).1
    }

    /// A length at a random moment in it, in seconds: what is over, and what is left.
    pub fn split(&self, random: &mut Random) -> (f64, f64) {
        let met = match self {
            Self::Exponential { .. } => {
                let left = self.draw(random);
                return (self.draw(random), left);
            }
            Self::Weibull { shape, scale } => scale * random.gamma(1.0 + 1.0 / shape).powf(1.0 / shape),
            Self::Empirical { quantiles } => met(quantiles, random),
        };
        let left = met * random.unit();
        (met - left, left)
    }
}

/// A length of a measured sample, met in proportion to itself.
fn met(quantiles: &[f64], random: &mut Random) -> f64 {
    let weight = |pair: &[f64]| pair[0] + pair[1];
    let all: f64 = quantiles.windows(2).map(weight).sum();
    let mut left = random.unit() * all;
    for pair in quantiles.windows(2) {
        if left < weight(pair) {
            let (low, high) = (pair[0] * pair[0], pair[1] * pair[1]);
            return (low + random.unit() * (high - low)).sqrt();
        }
        left -= weight(pair);
    }
    quantiles[quantiles.len() - 1]
}

/// The gamma function of a positive number.
fn gamma(x: f64) -> f64 {
    const LANCZOS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = (1..9).fold(LANCZOS[0], |sum, index| sum + LANCZOS[index] / (x + index as f64));
    let t = x + 7.5;
    (2.0 * PI).sqrt() * t.powf(x + 0.5) * (-t).exp() * sum
}

/// The share of a standard normal distribution below `z`.
pub(crate) fn normal_share(z: f64) -> f64 {
    let x = z.abs() / SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let coefficients = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let sum = coefficients.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let erf = 1.0 - sum * (-x * x).exp();
    if z < 0.0 { (1.0 - erf) / 2.0 } else { f64::midpoint(1.0, erf) }
}

#[cfg(test)]
mod tests {
    use super::{Model, gamma, normal_share};
    use crate::random::Random;

    const HOUR: f64 = 3_600.0;
    const MINUTE: f64 = 60.0;

    fn ipfs() -> Model {
        Model::Weibull { shape: 0.608, scale: 3.66 * HOUR }
    }

    fn near(found: f64, published: f64, share: f64) {
        assert!((found / published - 1.0).abs() < share, "{found} instead of {published}");
    }

    /// Goal: the models are the published ones. Method: directories.md §4.1's means, medians and shares
    /// against formulae and against a large sample of each.
    #[test]
    fn the_published_quantiles_come_out() {
        let kad_up = Model::Weibull { shape: 0.615, scale: 169.5 * MINUTE };
        let kad_down = Model::Weibull { shape: 0.476, scale: 413.7 * MINUTE };
        near(ipfs().mean(), 5.4 * HOUR, 0.01);
        near(ipfs().quantile(0.5), 2.0 * HOUR, 0.01);
        near(ipfs().quantile(0.87), 12.0 * HOUR, 0.03);
        near(kad_up.mean(), 247.0 * MINUTE, 0.01);
        near(kad_up.quantile(0.5), 93.0 * MINUTE, 0.01);
        near(kad_down.quantile(0.5), 192.0 * MINUTE, 0.01);
        let mut random = Random::of(2, "churn");
        for (model, seconds) in [(ipfs(), 2.0 * HOUR), (kad_up, 93.0 * MINUTE), (kad_down, 192.0 * MINUTE)] {
            let below = (0..40_000).filter(|_| model.draw(&mut random) < seconds).count();
            assert!(below.abs_diff(20_000) < 500, "{model:?}: {below} of 40,000 below the median");
        }
    }

    /// Goal: peers that have stayed stay. Method: directories.md §4.2's median remaining life by age.
    #[test]
    fn the_older_a_peer_the_longer_it_stays() {
        for (age, left) in [(1.0, 3.6), (3.0, 4.8), (6.0, 5.9), (12.0, 7.3), (24.0, 9.3)] {
            let survivors = (-(age / 3.66f64).powf(0.608)).exp();
            near(ipfs().quantile(1.0 - survivors / 2.0) / HOUR - age, left, 0.02);
        }
    }

    /// Goal: the residual is what is left at a random moment. Method: draw lengths one after the other,
    /// look at even moments, compare shares with the residual's; exponential, Weibull and measured.
    #[test]
    fn residuals_are_what_a_look_at_a_random_moment_finds() {
        let sample: Vec<f64> = (1..500).map(|index| f64::from(index * index)).collect();
        let models = [
            Model::Exponential { mean: 100.0 },
            Model::Weibull { shape: 0.608, scale: 100.0 },
            Model::measured(sample),
        ];
        for model in models {
            let (mut random, step, mut found) = (Random::of(4, "churn"), model.mean() / 2.0, Vec::new());
            let (mut now, mut look) = (0.0, step);
            while found.len() < 60_000 {
                now += model.draw(&mut random);
                while look < now {
                    found.push(now - look);
                    look += step;
                }
            }
            for share in [0.5, 1.0, 2.0, 4.0] {
                let above = |lengths: &[f64]| {
                    let count = lengths.iter().filter(|left| **left > share * model.mean()).count();
                    count as f64 / lengths.len() as f64
                };
                // Looking back there is as much as looking ahead.
                let (over, left): (Vec<f64>, Vec<f64>) =
                    (0..60_000).map(|_| model.split(&mut random)).unzip();
                for drawn in [over, left] {
                    let (one, other) = (above(&found), above(&drawn));
                    assert!((one - other).abs() < 0.025, "{model:?} at {share}: {one} and {other}");
                }
            }
        }
    }

    #[test]
    fn special_functions_are_right_where_they_are_known() {
        // Goal: no slip in a constant. Method: factorials, a half, and the normal table.
        for (x, value) in [(1.0, 1.0), (2.0, 1.0), (5.0, 24.0), (0.5, 1.772_453_850_905_516)] {
            near(gamma(x), value, 1e-10);
        }
        for (z, share) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.0, 0.158_655_3), (1.959_964, 0.975)] {
            near(normal_share(z), share, 1e-5);
        }
    }

    #[test]
    fn a_measured_sample_gives_itself_back() {
        // Goal: the empirical model. Method: quantiles of an even sample.
        let model = Model::measured((0..=2_000).map(f64::from).collect());
        near(model.quantile(0.25), 500.0, 0.01);
        near(model.mean(), 1_000.0, 0.01);
        assert_eq!((model.quantile(0.0), model.quantile(1.0)), (0.0, 2_000.0));
    }
}
