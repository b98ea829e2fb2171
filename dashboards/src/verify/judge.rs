//! Compares what Prometheus says with what has to be.

use std::time::Duration;

use callbook_host::metrics::Metric;
use callbook_host::metrics::names::{
    PEER_ARRIVALS, PEER_DEPARTURES, PEER_DOWNTIME, PEER_FLAPS, PEER_SESSION_DURATION, PEERS_ONLINE,
};

use super::book::{Expected, Within};
use super::prometheus::Prometheus;
use super::{BUCKETS, say};
use crate::all;
use crate::boards::experiment::FIGURE;
use crate::model::Panel;

/// How far a figure may be off what the script can tell. The issue's.
const TOLERANCE: f64 = 0.05;

/// How often children have to come, and to go. The issue's.
const TURNS: u32 = 100;

/// Collects what is wrong.
pub(super) struct Judge<'a> {
    prometheus: &'a Prometheus,
    /// How long ago all began.
    seconds: u64,
    checked: usize,
    wrong: Vec<String>,
    /// How far the worst figure is off, as a share.
    furthest: f64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(prometheus: &'a Prometheus, watched: Duration) -> Self {
        Self { prometheus, seconds: watched.as_secs().max(1), checked: 0, wrong: Vec::new(), furthest: 0.0 }
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
            ("arrivals, new", total(&PEER_ARRIVALS, ",kind=\"new\""), expected.newcomers()),
            ("arrivals, returning", total(&PEER_ARRIVALS, ",kind=\"returning\""), expected.returning()),
            ("departures, graceful", total(&PEER_DEPARTURES, ",reason=\"graceful\""), expected.graceful()),
            (
                "departures, lost or moved",
                total(&PEER_DEPARTURES, ",reason=~\"timeout|moved\""),
                expected.lost(),
            ),
            ("flaps", total(&PEER_FLAPS, ""), expected.flaps()),
        ] {
            self.close_to(what, &expr, wanted);
        }
        let (joins, leaves) = expected.turns();
        let enough = if joins.min(leaves) >= TURNS { Ok(()) } else { Err("too few".to_owned()) };
        say(&format!("{joins} joins and {leaves} leaves by the script"));
        self.note("at least 100 joins and leaves", enough);
        // A scrape that is missed on a busy machine is no child that has gone.
        let there = format!("sum(last_over_time({}{{role=\"child\"}}[10s]))", PEERS_ONLINE.series());
        let online = format!("avg_over_time(({there})[{}s:2s] offset {}s)", length.as_secs(), ago.as_secs());
        self.close_to("online", &online, expected.online);
        let left = format!("increase({}{{role=\"child\"}}[{}s])", PEER_DEPARTURES.series(), self.seconds);
        let (departures, there) = (expected.departures(), expected.online);
        let ratio = Within { least: departures.least / there.most, most: departures.most / there.least };
        self.close_to("departure ratio", &format!("sum({left}) / {online}"), ratio);
        for share in [0.25, 0.5, 0.75] {
            self.quantile("session", &PEER_SESSION_DURATION, (share, expected.session(share)));
            self.quantile("downtime", &PEER_DOWNTIME, (share, expected.downtime(share)));
        }
    }

    fn close_to(&mut self, what: &str, expr: &str, wanted: Within) {
        let outcome = self.prometheus.number(expr).and_then(|got| {
            let off = wanted.off(got);
            let (percent, most) = (off * 100.0, TOLERANCE * 100.0);
            say(&format!("{what}: {got:.3} of {wanted}, {percent:.1} % off ({most:.0} % at most)"));
            self.furthest = self.furthest.max(off);
            if off <= TOLERANCE { Ok(()) } else { Err(format!("{got} instead of {wanted}")) }
        });
        self.note(what, outcome);
    }

    /// The quantile lies in a bucket in which the script's may lie.
    fn quantile(&mut self, what: &str, metric: &Metric, (share, wanted): (f64, Option<Within>)) {
        let buckets = format!("sum by (le) ({}{{role=\"child\"}})", metric.part("bucket"));
        let got = self.prometheus.number(&format!("histogram_quantile({share}, {buckets})"));
        let outcome = got.and_then(|got| {
            let wanted = wanted.ok_or("the script has none")?;
            let fits = bucket(wanted.least)..=bucket(wanted.most);
            let of = if fits.start() == fits.end() { "one bucket" } else { "several buckets" };
            say(&format!("{what}, quantile {share}: {got:.1} of {wanted}, in {of}"));
            let right = fits.contains(&bucket(got));
            if right { Ok(()) } else { Err(format!("{got} is not in the bucket of {wanted}")) }
        });
        self.note(&format!("{what} quantile {share}"), outcome);
    }

    /// What each superpeer says, for whoever has to find out why it is wrong.
    pub(super) fn tell_all(&self) {
        let all = [&PEER_ARRIVALS, &PEER_DEPARTURES, &PEER_FLAPS, &PEERS_ONLINE];
        for metric in all {
            let series = self.prometheus.labelled(&format!("{}{{role=\"child\"}} > 0", metric.series()));
            series.unwrap_or_default().iter().for_each(|line| say(line));
        }
    }

    fn note(&mut self, what: &str, outcome: Result<(), String>) {
        self.checked += 1;
        if let Err(problem) = outcome {
            say(&format!("WRONG {what}: {problem}"));
            self.wrong.push(what.to_owned());
        }
    }

    /// Whether something was wrong.
    pub(super) fn is_wrong(&self) -> bool {
        !self.wrong.is_empty()
    }

    /// Whether all was right.
    pub(super) fn verdict(self) -> Result<(), String> {
        let furthest = self.furthest * 100.0;
        say(&format!("{} checks, {} wrong, {furthest:.1} % off at most", self.checked, self.wrong.len()));
        if self.wrong.is_empty() { Ok(()) } else { Err(format!("{} checks failed", self.wrong.len())) }
    }
}

/// In which bucket a length falls: below and up to each bound.
fn bucket(length: f64) -> usize {
    let bounds = BUCKETS.split(',').filter_map(|bound| bound.parse::<f64>().ok());
    bounds.filter(|bound| *bound < length).count()
}
