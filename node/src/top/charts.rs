//! What is charted of the last hour, and how samples become columns.
//!
//! Counts are shown per minute, as on the page. *Not here*: how columns are drawn (`draw`).

use ratatui::style::Color;

use crate::view::History;

/// How far back a chart goes: as far as the daemon's fine ring.
const SPAN_SECS: u64 = 3_600;

/// One line over time.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) colour: Color,
    kind: Kind,
    /// One for each sample; none where nothing was measured.
    values: Vec<Option<f64>>,
}

/// What the values are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// How many there are.
    Level,
    /// Milliseconds.
    Times,
    /// How many came to it within a minute; as many as this in all.
    Rate(u64),
}

impl Chart {
    fn level(title: &'static str, colour: Color, values: &[u64]) -> Self {
        let values = values.iter().map(|value| Some(*value as f64)).collect();
        Self { title, kind: Kind::Level, colour, values }
    }

    fn rate(title: &'static str, colour: Color, history: &History, counts: &[u64]) -> Self {
        let secs = history.secs.iter().map(|secs| (*secs).max(1) as f64);
        let values = counts.iter().zip(secs).map(|(count, secs)| Some(*count as f64 * 60.0 / secs)).collect();
        Self { title, kind: Kind::Rate(counts.iter().sum()), colour, values }
    }

    fn times(title: &'static str, colour: Color, values: &[Option<f64>]) -> Self {
        Self { title, kind: Kind::Times, colour, values: values.to_vec() }
    }

    /// What it comes to, with the highest of its columns.
    pub(super) fn told(&self, most: f64) -> String {
        let known = || self.values.iter().copied().flatten();
        let Some(last) = known().last() else { return format!("{}: nothing yet", self.title) };
        let (title, sum) = (self.title, known().sum::<f64>());
        match self.kind {
            Kind::Level => format!("{title}: {}, at most {}", short(last), short(most)),
            Kind::Times => {
                let mean = sum / known().count() as f64;
                format!("{title}: {} ms, mean {}, at most {}", short(last), short(mean), short(most))
            }
            Kind::Rate(total) => {
                format!("{title}: {total} in 1 h, at most {}/min", short(most))
            }
        }
    }

    /// The last hour in so many columns, the mean of the samples in each.
    pub(super) fn columns(&self, at: &[u64], width: usize) -> Vec<Option<f64>> {
        let mut columns = vec![(0.0, 0_u32); width];
        let end = at.last().copied().unwrap_or_default();
        for (at, value) in at.iter().zip(&self.values) {
            // What is older, or from before the clock was set back, has no column.
            let ago = end.checked_sub(*at).filter(|ago| *ago < SPAN_SECS);
            let place = ago.map(|ago| (SPAN_SECS - 1 - ago) as usize * width / SPAN_SECS as usize);
            if let (Some(column), Some(value)) = (place.and_then(|place| columns.get_mut(place)), value) {
                column.0 += value;
                column.1 += 1;
            }
        }
        let mean = |(sum, count): (f64, u32)| (count > 0).then(|| sum / f64::from(count));
        columns.into_iter().map(mean).collect()
    }
}

fn short(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Those beside the figures: what a glance should tell.
pub(super) fn overview(history: &History) -> Vec<Chart> {
    vec![
        Chart::level("peers seen online", Color::Blue, &history.online),
        Chart::rate("look-ups found", Color::Green, history, &history.found),
        Chart::times("look-up median", Color::Cyan, &history.p50_ms),
    ]
}

/// Who comes and goes.
pub(super) fn churn(history: &History) -> Vec<Chart> {
    let rate = |title, colour, counts: &[u64]| Chart::rate(title, colour, history, counts);
    vec![
        rate("arrivals", Color::Green, &history.arrivals),
        rate("departures", Color::Red, &history.departures),
        rate("flaps", Color::Yellow, &history.flaps),
        Chart::level("peers seen online", Color::Blue, &history.online),
        Chart::level("superpeers known", Color::Magenta, &history.superpeers),
        Chart::level("children", Color::Cyan, &history.children),
    ]
}

/// How look-ups end, and how long they take.
pub(super) fn lookups(history: &History) -> Vec<Chart> {
    let rate = |title, colour, counts: &[u64]| Chart::rate(title, colour, history, counts);
    vec![
        rate("found", Color::Green, &history.found),
        rate("absent", Color::Blue, &history.absent),
        rate("unknown", Color::Yellow, &history.unknown),
        rate("unverified", Color::Red, &history.invalid),
        Chart::times("median", Color::Cyan, &history.p50_ms),
        Chart::times("99th percentile", Color::Magenta, &history.p99_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_samples_becomes_columns_with_gaps_where_nothing_was_measured() {
        // Goal: the newest sample is in the last column, a column is a mean, what is too old or from a clock
        // that was ahead is left out. Method: four columns by hand.
        let values = [Some(9.0), Some(8.0), Some(2.0), Some(4.0), None, Some(6.0)];
        let chart = Chart::times("median", Color::Reset, &values);
        let at = [9_999, 400, 4_000 - 2_600, 4_000 - 2_000, 4_000 - 1_000, 4_000];
        assert_eq!(chart.columns(&at, 4), [None, Some(3.0), None, Some(6.0)]);
        assert_eq!(chart.columns(&[], 2), [None, None]);
        assert_eq!(chart.columns(&at, 0), []);
        assert_eq!(chart.told(6.0), "median: 6 ms, mean 5.8, at most 6");
        assert_eq!(Chart::times("p99", Color::Reset, &[None]).told(0.0), "p99: nothing yet");
    }

    #[test]
    fn counts_are_charted_per_minute_and_told_for_the_hour() {
        // Goal: the page's numbers. Method: three within five seconds.
        let history =
            History { step_secs: 5, at: vec![10], secs: vec![5], found: vec![3], ..History::default() };
        let found = &lookups(&history)[0];
        assert_eq!(found.columns(&history.at, 1), [Some(36.0)]);
        assert_eq!(found.told(36.0), "found: 3 in 1 h, at most 36/min");
    }
}
