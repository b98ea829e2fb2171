//! What users do: whom they look up and watch, and when their addresses change.
//!
//! Look-ups come at random, so many a minute for each peer that runs. Most are of names that somebody has,
//! by a popularity that falls with a power of the rank; some are of names that nobody has, and some of one
//! name that many want. *Not here*: whether the answers are right (`oracle`).
//!
//! Source: Zipf deviates by rejection-inversion (Hörmann and Derflinger 1996).

use crate::random::Random;
use crate::time::Micros;

/// What the users of a run do.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Mean time between two look-ups of one peer; `None`: no look-ups.
    pub look_up_every: Option<Micros>,
    /// Share of look-ups of names that nobody has.
    pub absent: f64,
    /// Share of look-ups of one such name.
    pub hot_absent: f64,
    /// How unequal names are: 0 for all alike, 1 for Zipf's law.
    pub skewness: f64,
    /// Mean time between two moves of one peer to another address; `None`: none while it runs.
    pub move_every: Option<Micros>,
    /// Share of starts with a new address.
    pub new_address: f64,
    /// Share of peers that watch a name, each one, while they run.
    pub watching: f64,
}

impl Default for Workload {
    /// A look-up per peer per 10 minutes (issue 4); the rest are guesses: a tenth of names that nobody has,
    /// popularity as among web sites (0.9), an address that changes at half of the starts.
    fn default() -> Self {
        Self {
            look_up_every: Some(10 * crate::time::MINUTE),
            absent: 0.1,
            hot_absent: 0.0,
            skewness: 0.9,
            move_every: None,
            new_address: 0.5,
            watching: 0.0,
        }
    }
}

/// Ranks from 0, the most popular, by a power law.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    count: f64,
    skewness: f64,
    first: f64,
    all: f64,
    certain: f64,
}

impl Zipf {
    pub(crate) fn new(count: u64, skewness: f64) -> Self {
        let mut zipf = Self { count: count as f64, skewness, first: 0.0, all: 0.0, certain: 0.0 };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.all = zipf.integral(zipf.count + 0.5);
        zipf.certain = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        if self.skewness <= 0.0 {
            return random.below(self.count as u64);
        }
        loop {
            let u = self.all + random.unit() * (self.first - self.all);
            let x = self.inverse(u);
            let k = x.round().clamp(1.0, self.count);
            if k - x <= self.certain || u >= self.integral(k + 0.5) - self.weight(k) {
                return k as u64 - 1;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.skewness * x.ln()).exp()
    }

    /// The integral of the weight, up to a constant.
    fn integral(&self, x: f64) -> f64 {
        let (log, power) = (x.ln(), 1.0 - self.skewness);
        if power.abs() < 1e-9 { log } else { (power * log).exp_m1() / power }
    }

    fn inverse(&self, y: f64) -> f64 {
        let power = 1.0 - self.skewness;
        if power.abs() < 1e-9 { y.exp() } else { ((power * y).max(-1.0).ln_1p() / power).exp() }
    }
}

/// The name at a rank: neighbours in rank are far apart in number, so that the first peers, which are
/// superpeers, are not the popular ones.
pub(crate) fn at_rank(rank: u64, count: u64) -> u32 {
    // A prime above any count of peers, so every name has its rank.
    ((u128::from(rank) * 4_294_967_311 % u128::from(count)) as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::{Zipf, at_rank};
    use crate::random::Random;

    #[test]
    fn ranks_come_by_the_power_that_was_asked_for() {
        // Goal: the deviates. Method: shares of the first ranks against the law; all alike for 0.
        for skewness in [0.0f64, 0.9, 1.0, 1.3] {
            let (zipf, mut random) = (Zipf::new(1_000, skewness), Random::of(1, "workload"));
            let all: f64 = (1..=1_000).map(|rank| f64::from(rank).powf(-skewness)).sum();
            let mut found = vec![0u32; 1_000];
            (0..200_000).for_each(|_| found[zipf.draw(&mut random) as usize] += 1);
            for rank in [1u32, 2, 3, 10, 100] {
                let share = f64::from(rank).powf(-skewness) / all;
                let off = f64::from(found[rank as usize - 1]) / 200_000.0 - share;
                assert!(off.abs() < 5.0 * (share / 200_000.0).sqrt(), "{skewness} at {rank}: {off}");
            }
        }
    }

    #[test]
    fn every_name_has_one_rank() {
        // Goal: nobody is left out. Method: all ranks of a few counts.
        for count in [1u64, 7, 1_000, 4_096] {
            let mut names: Vec<u32> = (0..count).map(|rank| at_rank(rank, count)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len() as u64, count);
        }
    }
}
