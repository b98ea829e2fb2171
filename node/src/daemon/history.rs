//! How this peer fared: an hour by five seconds and a day by minutes, in memory.
//!
//! ```text
//!  every 5 s: numbers of the host ─▶ fine: 720 samples
//!                                 └▶ every 12th ─▶ coarse: 1,440 samples
//! ```
//! Totals become what was added since the sample before, so that who looks sees rates. At the bound the oldest
//! sample goes. *Not here*: what the numbers mean ([`Numbers`]), how they are drawn (`ui/`).

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use callbook_host::Numbers;
use callbook_overlay::time::Unix;

use crate::view::History as Columns;

/// Time between two fine samples. A guess: as often as a person looks at a page that moves.
pub(super) const FINE: Duration = Duration::from_secs(5);

/// Fine samples that are kept: an hour. A guess.
const FINE_MAX: usize = 720;

/// Time between two coarse samples. A guess: as many dots as a screen has columns.
const COARSE: Duration = Duration::from_secs(60);

/// Coarse samples that are kept: 24 hours. Source: issue 5 (specification).
const COARSE_MAX: usize = 1_440;

/// How far back is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Span {
    /// By five seconds.
    #[default]
    Hour,
    /// By minutes.
    Day,
}

/// Both rings.
#[derive(Debug)]
pub(crate) struct History {
    rings: Mutex<[Ring; 2]>,
}

#[derive(Debug)]
struct Ring {
    step: Duration,
    most: usize,
    /// When the last sample was taken, and the totals then.
    last: Option<(Unix, Numbers)>,
    samples: VecDeque<Sample>,
}

/// Levels are in `level`, the other numbers are what was added.
#[derive(Debug)]
struct Sample {
    at: Unix,
    /// Since the one before.
    secs: u64,
    level: Numbers,
    added: [u64; 7],
    quantiles: [Option<Duration>; 2],
}

impl Default for History {
    fn default() -> Self {
        let ring = |step, most| Ring { step, most, last: None, samples: VecDeque::new() };
        Self { rings: Mutex::new([ring(FINE, FINE_MAX), ring(COARSE, COARSE_MAX)]) }
    }
}

impl History {
    /// Takes a sample, if one is due in either ring.
    pub(super) fn note(&self, now: Unix, numbers: &Numbers) {
        let mut rings = self.rings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        rings.iter_mut().for_each(|ring| ring.note(now, numbers));
    }

    /// What there is.
    pub(super) fn columns(&self, span: Span) -> Columns {
        let rings = self.rings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let [fine, coarse] = &*rings;
        match span {
            Span::Hour => fine.columns(),
            Span::Day => coarse.columns(),
        }
    }
}

impl Ring {
    fn note(&mut self, now: Unix, numbers: &Numbers) {
        // A second of slack: timers are not exact, and seconds are whole.
        let due = |last: &Unix| *last > now || now.as_secs() - last.as_secs() + 1 >= self.step.as_secs();
        let Some((last, before)) = self.last.as_ref().filter(|(at, _)| due(at)) else {
            if self.last.is_none() {
                self.last = Some((now, numbers.clone()));
            }
            return;
        };
        let quantiles = [0.5, 0.99].map(|quantile| numbers.lookup_time(before, quantile));
        let added = totals(numbers).zip(totals(before)).map(|(now, before)| now.saturating_sub(before));
        // More than a step where the machine slept; of a clock that was set back nobody knows.
        let secs = now.as_secs().checked_sub(last.as_secs()).unwrap_or(self.step.as_secs()).max(1);
        let mut sample = Sample { at: now, secs, level: numbers.clone(), added: [0; 7], quantiles };
        sample.added.iter_mut().zip(added).for_each(|(place, added)| *place = added);
        // What was noted before a clock was set back would stand in the future.
        while self.samples.back().is_some_and(|last| last.at >= now) {
            self.samples.pop_back();
        }
        self.samples.push_back(sample);
        if self.samples.len() > self.most {
            self.samples.pop_front();
        }
        self.last = Some((now, numbers.clone()));
    }

    fn columns(&self) -> Columns {
        let level = |of: fn(&Numbers) -> u64| self.samples.iter().map(|sample| of(&sample.level)).collect();
        let added = |index: usize| self.samples.iter().map(|sample| sample.added[index]).collect();
        let millis = |took: Duration| (took.as_secs_f64() * 1e6).round() / 1e3;
        let quantile =
            |index: usize| self.samples.iter().map(|sample| sample.quantiles[index].map(millis)).collect();
        Columns {
            step_secs: self.step.as_secs(),
            at: self.samples.iter().map(|sample| sample.at.as_secs()).collect(),
            secs: self.samples.iter().map(|sample| sample.secs).collect(),
            superpeer: level(|numbers| u64::from(numbers.superpeer)),
            children: level(|numbers| numbers.children),
            children_max: level(|numbers| numbers.children_max),
            superpeers: level(|numbers| numbers.superpeers),
            links: level(|numbers| numbers.links),
            records: level(|numbers| numbers.records),
            online: level(|numbers| numbers.online),
            arrivals: added(0),
            departures: added(1),
            flaps: added(2),
            found: added(3),
            absent: added(4),
            unknown: added(5),
            invalid: added(6),
            p50_ms: quantile(0),
            p99_ms: quantile(1),
        }
    }
}

/// In the order of [`Sample::added`].
fn totals(numbers: &Numbers) -> impl Iterator<Item = u64> {
    let Numbers { arrivals, departures, flaps, found, absent, unknown, invalid, .. } = *numbers;
    [arrivals, departures, flaps, found, absent, unknown, invalid].into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(found: u64, children: u64) -> Numbers {
        let mut numbers = Numbers::default();
        (numbers.found, numbers.children) = (found, children);
        numbers
    }

    #[test]
    fn both_rings_tell_what_was_added_and_forget_the_oldest() {
        // Goal: levels as they are, totals as differences, an hour and a day at most. Method: two days of samples,
        // two look-ups more each time; and the columns are equally long.
        let history = History::default();
        for step in 0..2 * 86_400 / FINE.as_secs() {
            history.note(Unix::from_secs(1_000 + step * FINE.as_secs()), &numbers(2 * step, step));
        }
        for (span, most, each) in [(Span::Hour, FINE_MAX, 2), (Span::Day, COARSE_MAX, 24)] {
            let columns = history.columns(span);
            assert_eq!([columns.at.len(), columns.children.len(), columns.p50_ms.len()], [most; 3]);
            assert!(columns.found.iter().all(|found| *found == each), "{span:?}");
            let gaps = columns.at.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.into_iter().all(|gap| gap == columns.step_secs), "{span:?}");
            assert!(columns.children.last() > columns.children.first());
        }
    }

    #[test]
    fn a_clock_that_is_set_back_and_a_daemon_that_starts_anew_make_no_nonsense() {
        // Goal: no huge difference, no sample twice, times that rise (or charts can't be drawn). Method: totals that fall, a time that falls, a time that stands.
        let history = History::default();
        for (at, found) in [(100, 5), (100, 6), (105, 9), (50, 9), (55, 1), (60, 2)] {
            history.note(Unix::from_secs(at), &numbers(found, 0));
        }
        let columns = history.columns(Span::Hour);
        assert_eq!((columns.at, columns.found), (vec![50, 55, 60], vec![0, 0, 1]));
    }

    #[test]
    fn a_sample_tells_how_much_time_it_is_of() {
        // Goal: what happened while a machine slept is no storm, and a timer that is a second early or late skips no sample.
        // Method: ticks that are not exact, then an hour's sleep.
        let history = History::default();
        for (at, found) in [(100, 0), (104, 1), (110, 2), (112, 2), (115, 3), (3_715, 63)] {
            history.note(Unix::from_secs(at), &numbers(found, 0));
        }
        let columns = history.columns(Span::Hour);
        assert_eq!(columns.secs, [4, 6, 5, 3_600]);
        assert_eq!(columns.found, [1, 1, 1, 60]);
    }
}
