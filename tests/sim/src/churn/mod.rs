//! Who is there when: sessions and absences of peers.
//!
//! A run begins in the stationary state: a peer is up with probability mean up / (mean up + mean down), and
//! its first stay is what is left of one (residual), which for heavy tails is far longer than a fresh one.
//! Some peers are always on. The day makes absences end sooner by day than by night. A peer's successive
//! sessions may be correlated: each has a temper, and a copula keeps the model's own distribution.
//! *Not here*: how a peer stops (`peers`), mass events (`scenario`).
//!
//! Source: directories.md §4; correlation as in Stutzbach and Rejaie (IMC 2006), its form is a guess.

pub mod model;
pub mod trace;

use std::f64::consts::TAU;

pub use self::model::Model;

use crate::random::Random;
use crate::time::{DAY, HOUR, MINUTE, Micros, SECOND, from_secs, secs};

/// When peers come and go.
#[derive(Debug, Clone)]
pub struct Churn {
    /// Lengths of sessions, in seconds.
    pub up: Model,
    /// Lengths of absences, in seconds.
    pub down: Model,
    /// Share of peers that never go.
    pub always_on: f64,
    /// How many more come at the busiest hour than at the quietest: 1 for no difference.
    pub day_factor: f64,
    /// How much a peer's sessions are alike: 0 for not at all, below 1.
    pub correlation: f64,
}

/// A peer at the beginning of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beginning {
    /// Whether it is there.
    pub up: bool,
    /// How long it stays so; `None`: for ever.
    pub left: Option<Micros>,
    /// For how long it has been away, if it is.
    pub away: Option<Micros>,
}

impl Churn {
    /// Sessions and absences of one length on average, exponential: scenario A of directories.md §4.4.
    #[must_use]
    pub fn exponential(up: Micros, down: Micros) -> Self {
        let (up, down) = (Model::Exponential { mean: secs(up) }, Model::Exponential { mean: secs(down) });
        Self { up, down, always_on: 0.0, day_factor: 1.0, correlation: 0.0 }
    }

    /// Scenario B of directories.md §4.4: sessions fitted to IPFS, absences to KAD.
    #[must_use]
    pub fn modern() -> Self {
        Self {
            up: Model::Weibull { shape: 0.608, scale: 3.66 * secs(HOUR) },
            down: Model::Weibull { shape: 0.476, scale: 6.9 * secs(HOUR) },
            always_on: 0.1,
            day_factor: 2.0,
            correlation: 0.0,
        }
    }

    /// Scenario C of directories.md §4.4: sessions fitted to Gnutella; as long away as there on average
    /// (a guess: the source has sessions only).
    #[must_use]
    pub fn file_sharing() -> Self {
        let model = Model::Weibull { shape: 0.38, scale: 42.0 * secs(MINUTE) };
        let down = Model::Exponential { mean: model.mean() };
        Self { up: model, down, always_on: 0.0, day_factor: 1.0, correlation: 0.0 }
    }

    /// Scenario D of directories.md §4.4: Bamboo's hardest point, sessions of 1.4 minutes in the median;
    /// as long away as there (a guess: Bamboo replaces who dies at once).
    #[must_use]
    pub fn brutal() -> Self {
        let mean = (1.4 * MINUTE as f64 / std::f64::consts::LN_2) as Micros;
        Self::exponential(mean, mean)
    }

    /// Share of those that come and go who are there at a time.
    #[must_use]
    pub fn availability(&self) -> f64 {
        self.up.mean() / (self.up.mean() + self.down.mean())
    }

    /// How a peer begins in the stationary state.
    pub fn begin(&self, random: &mut Random) -> Beginning {
        if random.chance(self.always_on) {
            return Beginning { up: true, left: None, away: None };
        }
        let up = random.chance(self.availability());
        if up {
            let left = from_secs(self.up.residual(random));
            return Beginning { up, left: Some(left), away: None };
        }
        let (age, left) = self.down.split(random);
        // Day and night before the run are left out: they move an end by hours.
        Beginning { up, left: Some(self.by_day(0, left)), away: Some(from_secs(age)) }
    }

    /// The length of a session of a peer with this temper (a standard normal deviate of its own).
    pub fn session(&self, temper: f64, random: &mut Random) -> Micros {
        if self.correlation <= 0.0 {
            return from_secs(self.up.draw(random));
        }
        let rho = self.correlation;
        let z = rho * temper + (1.0 - rho * rho).sqrt() * random.normal();
        from_secs(self.up.quantile(model::normal_share(z)))
    }

    /// The length of an absence that begins now.
    pub fn absence(&self, now: Micros, random: &mut Random) -> Micros {
        self.by_day(now, self.down.draw(random))
    }

    /// How long an absence lasts of which so many seconds are left without day and night.
    fn by_day(&self, now: Micros, length: f64) -> Micros {
        if self.day_factor <= 1.0 {
            return from_secs(length);
        }
        // In a time that runs faster by day the absence has its length; turned back into ours by halving.
        let target = self.day_time(now) + length;
        let (mut least, mut most) = (now, now + from_secs(length * self.day_factor) + SECOND);
        while most - least > SECOND / 10 {
            let middle = least + (most - least) / 2;
            if self.day_time(middle) < target { least = middle } else { most = middle }
        }
        (most - now).max(1)
    }

    /// Seconds of a clock that runs by 1 + a · sin(day), with (1 + a)/(1 − a) = the day factor.
    fn day_time(&self, at: Micros) -> f64 {
        let a = (self.day_factor - 1.0) / (self.day_factor + 1.0);
        let (at, day) = (secs(at), secs(DAY));
        at + a * day / TAU * (1.0 - (TAU * at / day).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::{Churn, Random};
    use crate::time::{DAY, HOUR, MINUTE, Micros, SECOND, secs};

    #[test]
    fn a_run_begins_as_it_goes_on() {
        // Goal: the stationary start. Method: follow many peers for a while; the share that is up, and the
        // rate of departures, are the same at the beginning and later.
        let churn = Churn { day_factor: 1.0, ..Churn::modern() };
        let (mut random, peers) = (Random::of(5, "churn"), 20_000u32);
        let (mut up, mut leaving) = ([0u32; 3], [0u32; 3]);
        let hours = [0, 12 * HOUR, 48 * HOUR];
        for _ in 0..peers {
            let first = churn.begin(&mut random);
            let Some(mut end) = first.left else {
                up.iter_mut().for_each(|count| *count += 1);
                continue;
            };
            let (mut there, mut from): (bool, Micros) = (first.up, 0);
            while from < 50 * HOUR {
                for (index, at) in hours.iter().enumerate() {
                    up[index] += u32::from(there && from <= *at && *at < end);
                    leaving[index] += u32::from(there && (*at..at + HOUR).contains(&end));
                }
                from = end;
                there = !there;
                let stay =
                    if there { churn.session(0.0, &mut random) } else { churn.absence(end, &mut random) };
                end += stay;
            }
        }
        let share = 0.1 + 0.9 * churn.availability();
        for (count, left) in up.iter().zip(leaving) {
            assert!((f64::from(*count) / f64::from(peers) - share).abs() < 0.02, "{up:?}");
            let rate = f64::from(left) / (0.9 * churn.availability() * f64::from(peers));
            assert!((rate * churn.up.mean() / 3_600.0 - 1.0).abs() < 0.12, "{leaving:?}");
        }
    }

    #[test]
    fn the_day_doubles_the_rate_at_which_peers_come() {
        // Goal: the factor. Method: short absences begun at the busiest and at the quietest hour.
        let churn = Churn { day_factor: 2.0, ..Churn::exponential(HOUR, 10 * MINUTE) };
        let mean = |at: Micros| {
            let mut random = Random::of(6, "churn");
            (0..20_000).map(|_| secs(churn.absence(at, &mut random))).sum::<f64>() / 20_000.0
        };
        let (busy, quiet) = (mean(DAY / 4), mean(3 * DAY / 4));
        assert!((quiet / busy - 2.0).abs() < 0.1, "{busy} s by day, {quiet} s by night");
    }

    #[test]
    fn sessions_of_one_temper_are_alike_and_all_together_keep_the_model() {
        // Goal: correlation without another distribution. Method: the median over all tempers, and those
        // of a high and a low one.
        let churn = Churn { correlation: 0.7, ..Churn::exponential(HOUR, HOUR) };
        let mut random = Random::of(7, "churn");
        let mut median = |temper: Option<f64>| {
            let mut all: Vec<Micros> = (0..20_001)
                .map(|_| {
                    let temper = temper.unwrap_or_else(|| random.normal());
                    churn.session(temper, &mut random)
                })
                .collect();
            all.sort_unstable();
            all[10_000]
        };
        let whole = median(None).abs_diff((HOUR as f64 * std::f64::consts::LN_2) as Micros);
        assert!(whole < 90 * SECOND, "the median is off by {} s", secs(whole));
        assert!(median(Some(1.0)) > 3 * median(Some(-1.0)));
    }
}
