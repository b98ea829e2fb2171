//! Compares what Prometheus says with what has to be.

use std::time::Duration;

use callbook_host::metrics::Metric;
use callbook_host::metrics::names::{
    PEER_ARRIVALS, PEER_DEPARTURES, PEER_DOWNTIME, PEER_FLAPS, PEER_SESSION_DURATION, PEERS_ONLINE,
};

use super::book::{Expected, Lengths, Within};
use super::prometheus::Prometheus;
use super::{BUCKETS, say};
use crate::all;
use crate::boards::experiment::FIGURE;
use crate::model::Panel;

/// How far a figure may be off. The issue's.
const TOLERANCE: f64 = 0.05;

/// How much later than a child's process a superpeer may see it come or go, in seconds. A guess: on a machine
/// that is busy with the test itself.
const LATE: f64 = 1.5;

/// Collects what is wrong.
pub(super) struct Judge<'a> {
    prometheus: &'a Prometheus,
    /// How long ago all began.
    seconds: u64,
    checked: usize,
    wrong: Vec<String>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(prometheus: &'a Prometheus, watched: Duration) -> Self {
        Self { prometheus, seconds: watched.as_secs().max(1), checked: 0, wrong: Vec::new() }
    }

    /// Every query of every panel.
    pub(super) fn panels(&mut self) {
        for board in all() {
            for panel in board.all_panels() {
                for query in &panel.queries {
                    let outcome = self.answered(panel, &query.expr);
                    self.note(&format!("{}: {}: {}", board.title, panel.title, query.expr), outcome);
                }
            }
        }
    }

    /// Something has to come, some of it finite (a quantile of nothing is NaN), and nothing infinite.
    fn answered(&self, panel: &Panel, expr: &str) -> Result<(), String> {
        // Simulations may have been run at any time.
        let range = if expr.contains(FIGURE) { "30d".to_owned() } else { format!("{}s", self.seconds) };
        let expr = super::filled(expr, &range);
        let values = match panel.is_instant() {
            true => self.prometheus.now(&expr)?,
            false => self.prometheus.over(&expr, self.seconds)?,
        };
        if values.is_empty() {
            return Err("no answer".to_owned());
        }
        let finite = values.iter().any(|value| value.is_finite());
        let infinite = values.iter().any(|value| value.is_infinite());
        if finite && !infinite { Ok(()) } else { Err(format!("not finite: {values:?}")) }
    }

    /// The children's churn against the script's, which ran for so long and ended so long ago.
    pub(super) fn churn(&mut self, expected: &Expected, (length, ago): (Duration, Duration)) {
        let total =
            |metric: &Metric, labels: &str| format!("sum({}{{role=\"child\"{labels}}})", metric.series());
        for (what, expr, wanted) in [
            ("arrivals, new", total(&PEER_ARRIVALS, ",kind=\"new\""), expected.new),
            ("arrivals, returning", total(&PEER_ARRIVALS, ",kind=\"returning\""), expected.returning),
            ("departures, graceful", total(&PEER_DEPARTURES, ",reason=\"graceful\""), expected.graceful),
            (
                "departures, lost or moved",
                total(&PEER_DEPARTURES, ",reason=~\"timeout|moved\""),
                expected.timeout,
            ),
            ("flaps", total(&PEER_FLAPS, ""), expected.flaps),
        ] {
            self.close_to(what, &expr, wanted.into());
        }
        let joins = expected.new + expected.returning + expected.flaps;
        let enough = if joins >= 100 && expected.departures() + expected.flaps >= 100 {
            Ok(())
        } else {
            Err(format!("{joins} joins"))
        };
        self.note("at least 100 joins and leaves", enough);
        let window = format!("[{}s:2s] offset {}s", length.as_secs(), ago.as_secs());
        let online = format!("avg_over_time(({}){window})", total(&PEERS_ONLINE, ""));
        self.close_to("online", &online, expected.online);
        let left = format!("increase({}{{role=\"child\"}}[{}s])", PEER_DEPARTURES.series(), self.seconds);
        let departures = f64::from(expected.departures());
        let ratio =
            Within { least: departures / expected.online.most, most: departures / expected.online.least };
        self.close_to("departure ratio", &format!("sum({left}) / {online}"), ratio);
        for (what, metric, sample) in [
            ("session", &PEER_SESSION_DURATION, &expected.sessions),
            ("downtime", &PEER_DOWNTIME, &expected.downtimes),
        ] {
            for share in [0.25, 0.5, 0.75] {
                let outcome = self.quantile(metric, sample, share);
                self.note(&format!("{what} quantile {share}"), outcome);
            }
        }
    }

    fn close_to(&mut self, what: &str, expr: &str, wanted: Within) {
        let outcome = self.prometheus.number(expr).and_then(|got| {
            say(&format!("{what}: {got:.3}, by the script {wanted}"));
            let near = wanted.least * (1.0 - TOLERANCE)..=wanted.most * (1.0 + TOLERANCE);
            if near.contains(&got) { Ok(()) } else { Err(format!("{got} instead of {wanted}")) }
        });
        self.note(what, outcome);
    }

    /// The quantile lies in a bucket in which the script's may lie, if an end is seen late, too.
    fn quantile(&self, metric: &Metric, lengths: &Lengths, share: f64) -> Result<(), String> {
        let buckets = format!("sum by (le) ({}{{role=\"child\"}})", metric.part("bucket"));
        let got = self.prometheus.number(&format!("histogram_quantile({share}, {buckets})"))?;
        let wanted = lengths.quantile(share).ok_or("the script has none")?;
        say(&format!("quantile {share} of {}: {got:.1}, by the script {wanted}", metric.name));
        let fits = bucket(wanted.least - LATE)..=bucket(wanted.most + LATE);
        if fits.contains(&bucket(got)) {
            Ok(())
        } else {
            Err(format!("{got} is not in the bucket of {wanted}"))
        }
    }

    fn note(&mut self, what: &str, outcome: Result<(), String>) {
        self.checked += 1;
        if let Err(problem) = outcome {
            say(&format!("WRONG {what}: {problem}"));
            self.wrong.push(what.to_owned());
        }
    }

    /// Whether all was right.
    pub(super) fn verdict(self) -> Result<(), String> {
        say(&format!("{} checks, {} wrong", self.checked, self.wrong.len()));
        if self.wrong.is_empty() { Ok(()) } else { Err(format!("{} checks failed", self.wrong.len())) }
    }
}

/// In which bucket a length falls: below and up to each bound.
fn bucket(length: f64) -> usize {
    let bounds = BUCKETS.split(',').filter_map(|bound| bound.parse::<f64>().ok());
    bounds.filter(|bound| *bound < length).count()
}
