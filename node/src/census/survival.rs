//! How long sessions last, from those that have ended and those that go on.
//!
//! Sessions that go on when one looks are longer than those that have ended, so leaving them out leans to short
//! ones. The estimate of Kaplan and Meier takes them in for as long as they were seen: at each length at which
//! sessions ended, the share that survives is multiplied by the share of those at least so long that did not end
//! then. Only sessions whose beginning was observed count. A Weibull distribution is fitted to the same by
//! maximum likelihood.
//!
//! Source: Kaplan and Meier 1958; Steiner et al. 2009 for Weibull (papers). *Not here*: which sessions count
//! (`sessions`).

/// The length of a session in seconds, and whether it has ended (or was only seen so long).
pub(super) type Length = (f64, bool);

/// What share of sessions lasts longer than a length: a falling staircase.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Survival {
    /// Lengths at which sessions ended, ascending, and the share that lasts longer.
    pub(super) steps: Vec<(f64, f64)>,
}

impl Survival {
    /// The estimate of Kaplan and Meier.
    pub(super) fn of(lengths: &[Length]) -> Self {
        let mut sorted = lengths.to_vec();
        // At one length, those that ended come before those that were only seen so long.
        sorted.sort_by(|one, other| one.0.total_cmp(&other.0).then(other.1.cmp(&one.1)));
        let (mut steps, mut share, mut at) = (Vec::new(), 1.0, 0);
        while at < sorted.len() {
            let length = sorted[at].0;
            let alike = sorted[at..].iter().take_while(|(other, _)| *other == length);
            let (count, ended) =
                alike.fold((0, 0), |(count, ended), (_, end)| (count + 1, ended + usize::from(*end)));
            if ended > 0 {
                share *= 1.0 - ended as f64 / (sorted.len() - at) as f64;
                steps.push((length, share));
            }
            at += count;
        }
        Self { steps }
    }

    /// The share that lasts longer than this.
    pub(super) fn at(&self, length: f64) -> f64 {
        let below = self.steps.partition_point(|(step, _)| *step <= length);
        below.checked_sub(1).map_or(1.0, |last| self.steps[last].1)
    }

    /// The length that half of them don't outlast, if that is known.
    pub(super) fn median(&self) -> Option<f64> {
        self.steps.iter().find(|(_, share)| *share <= 0.5).map(|(length, _)| *length)
    }
}

/// A Weibull distribution: the share `exp(−(t / scale)^shape)` lasts longer than t. A shape below 1 is a heavy
/// tail: who has been there for long will stay for longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weibull {
    /// Its shape.
    pub(super) shape: f64,
    /// Its scale, in seconds.
    pub(super) scale: f64,
}

impl Weibull {
    /// The likeliest one; `None` unless two sessions of different lengths have ended.
    pub(super) fn of(lengths: &[Length]) -> Option<Self> {
        // A session that was seen once lasted less than a second, of which there is no logarithm.
        let lengths: Vec<Length> = lengths.iter().map(|(length, ended)| (length.max(1.0), *ended)).collect();
        let ended: Vec<f64> = lengths.iter().filter(|(_, ended)| *ended).map(|(length, _)| *length).collect();
        if ended.iter().all(|length| *length == ended[0]) {
            return None;
        }
        let longest = lengths.iter().map(|(length, _)| *length).fold(0.0, f64::max);
        let mean_log = ended.iter().map(|length| (length / longest).ln()).sum::<f64>() / ended.len() as f64;
        // The derivative of the likelihood by the shape, which falls as the shape grows. Over the longest, so
        // that no power overflows.
        let slope = |shape: f64| {
            let (sum, logs) = lengths.iter().fold((0.0, 0.0), |(sum, logs), (length, _)| {
                let share = length / longest;
                let power = share.powf(shape);
                (sum + power, logs + power * share.ln())
            });
            (1.0 / shape + mean_log - logs / sum, sum)
        };
        let (mut low, mut high) = (0.01, 100.0);
        for _ in 0..100 {
            let middle = f64::sqrt(low * high);
            if slope(middle).0 > 0.0 { low = middle } else { high = middle }
        }
        let shape = f64::sqrt(low * high);
        let (_, sum) = slope(shape);
        Some(Self { shape, scale: longest * (sum / ended.len() as f64).powf(1.0 / shape) })
    }

    /// The share that lasts longer than this.
    pub(super) fn at(&self, length: f64) -> f64 {
        (-(length / self.scale).powf(self.shape)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kaplan_and_meier_by_hand() {
        // Goal: the estimate. Method: ten sessions, worked by hand: ended at 1, 3, 3, 6, 8, 10 and seen for 3, 5,
        // 8, 12. At 1: 9/10. At 3 nine are at risk and two end: 0.9 · 7/9 = 0.7. At 6, behind those seen for
        // 3 and 5, five: 0.7 · 4/5 = 0.56. At 8 four: 0.42. At 10, behind the one seen for 8, two: 0.21.
        let ended = [1.0, 3.0, 3.0, 6.0, 8.0, 10.0].map(|length| (length, true));
        let seen = [3.0, 5.0, 8.0, 12.0].map(|length| (length, false));
        let survival = Survival::of(&[&seen[..], &ended[..]].concat());
        let wanted = [(1.0, 0.9), (3.0, 0.7), (6.0, 0.56), (8.0, 0.42), (10.0, 0.21)];
        assert_eq!(survival.steps.len(), wanted.len());
        for ((length, share), (wanted_length, wanted_share)) in survival.steps.iter().zip(wanted) {
            assert_eq!(*length, wanted_length);
            assert!((share - wanted_share).abs() < 1e-12, "{share} at {length}");
        }
        assert_eq!(survival.median(), Some(8.0));
        assert!((survival.at(7.9) - 0.56).abs() < 1e-12);
        assert!((survival.at(8.0) - 0.42).abs() < 1e-12);
        assert_eq!((survival.at(0.5), Survival::of(&[]).at(5.0)), (1.0, 1.0));
    }

    #[test]
    fn leaving_out_those_that_go_on_would_lean_to_short_ones() {
        // Goal: why it is done so. Method: equal sessions, of which half had only begun lately.
        let all: Vec<Length> =
            (1..=100).map(|at| (1_000.0, at)).map(|(length, at)| (length, at % 2 == 0)).collect();
        let short: Vec<Length> =
            all.iter().map(|(_, ended)| (if *ended { 100.0 } else { 1_000.0 }, *ended)).collect();
        assert_eq!(Survival::of(&short).at(100.0), 0.5);
        let only_ended: Vec<Length> = short.iter().copied().filter(|(_, ended)| *ended).collect();
        assert_eq!(Survival::of(&only_ended).at(100.0), 0.0);
    }

    #[test]
    fn a_weibull_distribution_is_found_again_also_when_half_of_it_goes_on() {
        // Goal: shape and scale within 3 %. Method: the quantiles of known distributions, whole, and cut off at
        // the median (the rest is seen for so long, and goes on).
        for (shape, scale) in [(0.6, 86_400.0), (1.0, 6_000.0), (2.5, 86_400.0)] {
            let quantile = |share: f64| scale * (-(1.0_f64 - share).ln()).powf(1.0 / shape);
            let all: Vec<Length> =
                (0..5_000).map(|at| (quantile((f64::from(at) + 0.5) / 5_000.0), true)).collect();
            let median = quantile(0.5);
            let cut: Vec<Length> =
                all.iter().map(|(length, _)| (length.min(median), *length < median)).collect();
            for lengths in [all, cut] {
                let found = Weibull::of(&lengths).unwrap();
                assert!((found.shape / shape - 1.0).abs() < 0.03, "{found:?} of {shape}, {scale}");
                assert!((found.scale / scale - 1.0).abs() < 0.03, "{found:?} of {shape}, {scale}");
                assert!((found.at(median) - 0.5).abs() < 0.02);
            }
        }
        assert_eq!(Weibull::of(&[(5.0, true), (5.0, true), (9.0, false)]), None);
        assert_eq!(Weibull::of(&[(5.0, false)]), None);
    }
}
