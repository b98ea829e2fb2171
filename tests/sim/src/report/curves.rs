//! What is drawn of a run: figures over time and their distributions.
//!
//! Gathered while it runs in few bytes (`Sampling`: a histogram a minute, the length of each session), and
//! read from the world at its end ([`Curves`]). *Not here*: drawing (`plot`), figures with bars (`summary`).

use crate::churn::Model;
use crate::measures::Tally;
use crate::peers::Kind;
use crate::time::{MINUTE, Micros, secs};
use crate::world::World;

/// Steps of a histogram for a doubling of time.
const STEPS: f64 = 16.0;
/// Its length: the last step ends at 2^(256/16) ms, a minute.
const LENGTH: usize = 256;

/// Times, each known to 4 %.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u32; LENGTH]>,
    count: u32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; LENGTH]), count: 0 }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, micros: Micros) {
        let step = (STEPS * (1.0 + micros as f64 / 1_000.0).log2()) as usize;
        self.counts[step.min(LENGTH - 1)] += 1;
        self.count += 1;
    }

    /// The time that a share of all is not above, in milliseconds; nothing of none.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (f64::from(self.count) * share).ceil().max(1.0) as u32;
        let mut below = 0;
        let step = self.counts.iter().position(|count| {
            below += count;
            below >= wanted
        })?;
        Some(((step as f64 + 0.5) / STEPS).exp2() - 1.0)
    }
}

/// What is gathered while a run lasts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sampling {
    /// Right answers by the minute in which they were asked for.
    latency: Vec<Histogram>,
    /// Sessions that began afresh and have ended, in seconds.
    sessions: Vec<f32>,
}

impl Sampling {
    pub(crate) fn right(&mut self, asked: Micros, took: Micros) {
        let minute = (asked / MINUTE) as usize;
        if self.latency.len() <= minute {
            self.latency.resize_with(minute + 1, Histogram::default);
        }
        self.latency[minute].add(took);
    }

    pub(crate) fn session(&mut self, length: Micros) {
        self.sessions.push(secs(length) as f32);
    }
}

/// A line: from left to right.
pub type Line = Vec<(f64, f64)>;

/// Everything that is drawn of a run.
#[derive(Debug, Clone, Default)]
pub struct Curves {
    /// Minutes, and the share of first answers that were good then.
    pub success: Line,
    /// Minutes, and p50, p90 and p99 of right answers in milliseconds.
    pub latency: [Line; 3],
    /// Right answers from the overlay by hops, up to 7 and more.
    pub hops: [u64; 8],
    /// Bytes a second that each superpeer and each child that runs has sent, ascending.
    pub sent: [Vec<f32>; 2],
    /// Seconds, and the share of sessions that are not longer: as the model has it.
    pub sessions_put_in: Line,
    /// The same as measured, with those that go on counted for as long as they have lasted.
    pub sessions_measured: Line,
    /// Of each superpeer, over the mean: children, requests served, bytes sent; each ascending.
    pub load: [Vec<f32>; 3],
    /// When measuring began, in minutes.
    pub measured_from: f64,
}

impl Curves {
    /// Those of a world at its end.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let measures = &world.measures;
        let mut curves = Self {
            success: success(&measures.line),
            hops: measures.hops,
            measured_from: measures.since.map_or(0.0, |since| secs(since) / 60.0),
            ..Self::default()
        };
        for (line, share) in curves.latency.iter_mut().zip([0.5, 0.9, 0.99]) {
            let points = world.sampling.latency.iter().enumerate();
            *line =
                points.filter_map(|(minute, times)| Some((minute as f64, times.quantile(share)?))).collect();
        }
        for (sent, kind) in curves.sent.iter_mut().zip([Kind::Superpeer, Kind::Child]) {
            *sent = ascending(world.sent_by_each(kind));
        }
        if let Some(churn) = &world.settings.churn {
            curves.sessions_put_in = put_in(&churn.up);
            let mut stays: Vec<(f32, bool)> =
                world.sampling.sessions.iter().map(|length| (*length, true)).collect();
            stays.extend(world.sessions_under_way().map(|length| (secs(length) as f32, false)));
            curves.sessions_measured = survival(stays);
        }
        let loads = world.loads();
        let of = |value: fn(&crate::world::Load) -> f64| over_mean(loads.iter().map(value).collect());
        curves.load =
            [of(|load| load.children as f64), of(|load| f64::from(load.served)), of(|load| load.sent as f64)];
        curves
    }
}

/// Shares of good answers, a minute each.
fn success(line: &[Tally]) -> Line {
    let steps = (MINUTE / crate::measures::STEP) as usize;
    let minutes = line.chunks(steps).enumerate().map(|(minute, tallies)| {
        let (good, all) =
            tallies.iter().fold((0, 0), |(good, all), tally| (good + tally.good(), all + tally.all()));
        (minute as f64, (all > 0).then(|| good as f64 / all as f64))
    });
    minutes.filter_map(|(minute, share)| Some((minute, share?))).collect()
}

fn ascending(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_unstable_by(f32::total_cmp);
    values
}

fn over_mean(values: Vec<f64>) -> Vec<f32> {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    ascending(values.into_iter().map(|value| (value / mean.max(f64::MIN_POSITIVE)) as f32).collect())
}

/// A model's distribution, at even shares.
fn put_in(model: &Model) -> Line {
    (1..200).map(|step| f64::from(step) / 200.0).map(|share| (model.quantile(share), share)).collect()
}

/// The distribution of lengths of which some had not ended when they were looked at (`false`).
///
/// Source: the product-limit estimate (Kaplan and Meier 1958).
fn survival(mut stays: Vec<(f32, bool)>) -> Line {
    // At one length ends come before looks.
    stays.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)));
    let (mut at_risk, mut left, mut line) = (stays.len(), 1.0, Line::new());
    let every = (stays.len() / 1_000).max(1);
    for (index, (length, ended)) in stays.iter().enumerate() {
        if *ended {
            left *= 1.0 - 1.0 / at_risk as f64;
            if index % every == 0 {
                line.push((f64::from(*length), 1.0 - left));
            }
        }
        at_risk -= 1;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Histogram, put_in, success, survival};
    use crate::churn::Model;
    use crate::measures::Tally;
    use crate::random::Random;

    #[test]
    fn a_histogram_gives_its_quantiles_back_to_four_percent() {
        // Goal: lines of latency are right. Method: even times, and none at all.
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1_000).for_each(|millis| histogram.add(millis * 1_000));
        for share in [0.1, 0.5, 0.9, 0.99] {
            let found = histogram.quantile(share).expect("there are times");
            assert!((found / (1_000.0 * share) - 1.0).abs() < 0.04, "{found} at {share}");
        }
    }

    #[test]
    fn sessions_that_have_not_ended_do_not_bend_the_distribution() {
        // Goal: what was put in comes out although a run is shorter than many sessions. Method: sessions from
        // a model, begun at even moments of an hour and looked at after it.
        let (model, mut random) = (Model::Exponential { mean: 3_600.0 }, Random::of(1, "churn"));
        let stays = (0..40_000).map(|_| {
            let (length, most) = (model.draw(&mut random), 3_600.0 * random.positive());
            (length.min(most) as f32, length <= most)
        });
        let line = survival(stays.collect());
        for (seconds, share) in put_in(&model).into_iter().filter(|(seconds, _)| *seconds < 3_000.0) {
            let at = line.partition_point(|(length, _)| *length <= seconds).saturating_sub(1);
            assert!((line[at].1 - share).abs() < 0.02, "{} instead of {share} at {seconds} s", line[at].1);
        }
    }

    #[test]
    fn minutes_without_an_answer_are_left_out() {
        // Goal: no division by nothing. Method: a minute of answers after one without.
        let good = Tally { right: 3, unknown: 1, ..Tally::default() };
        let line = success(&[Tally::default(); 6].iter().copied().chain([good]).collect::<Vec<_>>());
        assert_eq!(line, [(1.0, 0.75)]);
    }
}
