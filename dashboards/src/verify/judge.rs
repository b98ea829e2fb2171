//! Compares what Prometheus says with what has to be.
//!
//! What is asked are the panels' own expressions and the recorded series, not others that mean the same.

use std::time::Duration;

use callbook_host::metrics::names::{PEER_ARRIVALS, PEER_DEPARTURES, PEER_FLAPS, PEERS_ONLINE};

use super::book::{Expected, Within};
use super::prometheus::Prometheus;
use super::{BUCKETS, Chosen, RARE, filled, say};
use crate::all;
use crate::boards::churn;
use crate::boards::experiment::FIGURE;
use crate::model::{Panel, Query};
use crate::rules::recordings;

/// How far a figure may be off what the script can tell. The issue's.
const TOLERANCE: f64 = 0.05;

/// How far apart the bounds may be between which the script knows a figure, as a share of the upper one. A guess: more,
/// and a figure that is twice the tolerance off could pass.
const WIDTH: f64 = 0.1;

/// How often is looked at what panels look at once a minute.
const STEP: &str = "2s";
const STEP_SECS: u32 = 2;

/// How often children have to come, and to go. The issue's.
const TURNS: u32 = 100;

/// Collects what is wrong.
pub(super) struct Judge<'a> {
    prometheus: &'a Prometheus,
    /// Whose view of superpeers is shown.
    observer: &'a str,
    /// How long ago all began.
    seconds: u64,
    checked: usize,
    wrong: Vec<String>,
    /// How far the worst figure is off, as a share.
    furthest: f64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(prometheus: &'a Prometheus, observer: &'a str, watched: Duration) -> Self {
        let seconds = watched.as_secs().max(1);
        Self { prometheus, observer, seconds, checked: 0, wrong: Vec::new(), furthest: 0.0 }
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
        let chosen = Chosen { range: &range, rate_interval: "1m", observer: self.observer };
        let expr = filled(expr, &chosen);
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
    pub(super) fn churn(&mut self, expected: &Expected, script: (Duration, Duration)) {
        self.enough(expected);
        self.counts(expected);
        self.levels(expected, script);
        self.lengths(expected);
    }

    /// What is rare has to have happened often enough to be measured at all.
    fn enough(&mut self, expected: &Expected) {
        let (joins, leaves) = expected.turns();
        say(&format!("{joins} joins and {leaves} leaves by the script"));
        let flaps = expected.flaps().least;
        for (what, enough) in [
            ("at least 100 joins and leaves", joins.min(leaves) >= TURNS),
            ("at least 8 flaps", flaps >= f64::from(RARE)),
            ("at least 8 losses", expected.killed() >= RARE),
        ] {
            self.note(what, if enough { Ok(()) } else { Err("too few".to_owned()) });
        }
    }

    /// Arrivals, departures and flaps: the panels' rates over all the time, which come to totals.
    fn counts(&mut self, expected: &Expected) {
        let arrivals = self.hourly("Arrivals per hour");
        let departures = self.hourly("Departures per hour");
        let flaps = self.hourly("Flaps per hour");
        for (what, series, words, wanted) in [
            ("arrivals, new", &arrivals, &["new"][..], expected.newcomers()),
            ("arrivals, returning", &arrivals, &["returning"], expected.returning()),
            ("departures, graceful", &departures, &["graceful"], expected.graceful()),
            ("departures, lost or moved", &departures, &["timeout", "moved"], expected.lost()),
            ("flaps", &flaps, &[""], expected.flaps()),
        ] {
            let hours = self.seconds as f64 / 3600.0;
            let got = series.as_ref().map_err(Clone::clone).and_then(|series| {
                let of =
                    |word: &str| series.iter().find(|(label, _)| label == word).map(|(_, value)| value.abs());
                let values: Option<Vec<f64>> = words.iter().map(|word| of(word)).collect();
                Ok(values.ok_or_else(|| format!("no such series in {series:?}"))?.iter().sum::<f64>() * hours)
            });
            self.close_to(what, got, wanted);
        }
    }

    /// Who is online, and what is put in relation to that.
    fn levels(&mut self, expected: &Expected, (length, ago): (Duration, Duration)) {
        let during = |expr: &str| {
            let (length, ago) = (length.as_secs(), ago.as_secs());
            format!("avg_over_time(({expr})[{length}s:{STEP}] offset {ago}s)")
        };
        let (panel, rule) = (self.panel("Online", "children"), recorded("callbook:children_online:sum"));
        for (what, expr) in [("online, the panel", &panel), ("online, the rule", &rule)] {
            let got = self.prometheus.number(&during(expr));
            self.close_to(what, got, expected.online);
        }
        // What looks back for an hour looks at all the time that was watched: before and after the script, too.
        let watched = self.prometheus.number(&format!("count_over_time(({panel})[1h:{STEP}]) * {STEP_SECS}"));
        let watched = watched.unwrap_or_default().max(1.0);
        let online = expected.online.times(length.as_secs_f64() / watched);
        let (departures, ends) = (expected.departures(), expected.departures().plus(expected.moved()));
        for (what, expr, wanted) in [
            (
                "departure ratio, the panel",
                self.panel("Departure ratio, 1 h", "children"),
                departures.over(online),
            ),
            ("departure ratio, the rule", recorded("callbook:departure_ratio:1h"), departures.over(online)),
            (
                "Little's law",
                self.panel("Mean session: two ways", "online / rate of ends"),
                online.over(ends).times(3600.0),
            ),
            (
                "mean session",
                self.panel("Mean session: two ways", "mean of ended ones"),
                expected.mean_session(),
            ),
            ("graceful share", self.panel("Graceful departures", "graceful"), expected.graceful_share()),
        ] {
            let got = self.prometheus.number(&expr);
            self.close_to(what, got, wanted);
        }
    }

    /// The distribution of sessions, and quantiles of them and of downtimes.
    fn lengths(&mut self, expected: &Expected) {
        let shares = self.prometheus.series(&self.panel("Sessions up to a length", "{{le}}"), "le");
        for bound in bounds() {
            let wanted = expected.up_to(bound);
            let got = shares.as_ref().map_err(Clone::clone).and_then(|shares| {
                let is_it = |label: &str| label.parse::<f64>().is_ok_and(|le| le == bound);
                let found = shares.iter().find(|(label, _)| is_it(label));
                found.map(|(_, share)| *share).ok_or_else(|| format!("no bucket up to {bound}"))
            });
            self.share_is(&format!("sessions up to {bound} s"), got, wanted);
        }
        for (legend, share) in [("p25", 0.25), ("p50", 0.5), ("p75", 0.75)] {
            self.quantile("Session length", legend, expected.session(share));
            self.quantile("Downtime", legend, expected.downtime(share));
        }
    }

    /// A panel's own expression, of all the time that was watched. Only its steps are finer: where a panel looks at
    /// each minute of an hour, here the hour is some minutes.
    fn panel(&self, title: &str, legend: &str) -> String {
        let range = format!("{}s", self.seconds);
        let chosen = Chosen { range: &range, rate_interval: &range, observer: self.observer };
        filled(&of_panel(title, legend), &chosen).replace("[1h:1m]", &format!("[1h:{STEP}]"))
    }

    /// The series of a panel of rates per hour, by the one label that its legend shows.
    fn hourly(&self, title: &str) -> Result<Vec<(String, f64)>, String> {
        let legend = legend_of(title);
        let label = legend.trim_matches(['{', '}']);
        self.prometheus.series(&self.panel(title, legend), if legend.contains('{') { label } else { "" })
    }

    fn close_to(&mut self, what: &str, got: Result<f64, String>, wanted: Within) {
        let outcome = got.and_then(|got| {
            let off = wanted.off(got);
            let (percent, most) = (off * 100.0, TOLERANCE * 100.0);
            say(&format!("{what}: {got:.3} of {wanted}, {percent:.1} % off ({most:.0} % at most)"));
            self.furthest = self.furthest.max(off);
            if off <= TOLERANCE { told_well(wanted) } else { Err(format!("{got} instead of {wanted}")) }
        });
        self.note(what, outcome);
    }

    /// The same of a share, of which a small one may be off as far as a large one.
    fn share_is(&mut self, what: &str, got: Result<f64, String>, wanted: Within) {
        let outcome = got.and_then(|got| {
            let off = wanted.beyond(got);
            say(&format!("{what}: {got:.3} of {wanted}, {:.1} of a hundred off", off * 100.0));
            let is_vague = wanted.most - wanted.least > WIDTH;
            if off > TOLERANCE || is_vague { Err(format!("{got} instead of {wanted}")) } else { Ok(()) }
        });
        self.note(what, outcome);
    }

    /// The quantile lies in the bucket in which the script's does.
    fn quantile(&mut self, title: &str, legend: &str, wanted: Option<Within>) {
        let got = self.prometheus.number(&self.panel(title, legend));
        let outcome = got.and_then(|got| {
            let wanted = wanted.ok_or("the script has none")?;
            say(&format!("{title}, {legend}: {got:.1} of {wanted}"));
            let [least, most] = [wanted.least, wanted.most].map(bucket);
            // A range across a bound is none too wide if it is narrow.
            if least != most {
                told_well(wanted)?;
            }
            let fits = (least..=most).contains(&bucket(got));
            if fits { Ok(()) } else { Err(format!("{got} is not in the bucket of {wanted}")) }
        });
        self.note(&format!("{title}, {legend}"), outcome);
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

/// What is compared with too wide a range is compared with nothing.
fn told_well(wanted: Within) -> Result<(), String> {
    let vague = || format!("the script can tell no more than {wanted}: the machine was too busy");
    if wanted.width() <= WIDTH { Ok(()) } else { Err(vague()) }
}

fn bounds() -> impl Iterator<Item = f64> {
    BUCKETS.split(',').filter_map(|bound| bound.parse().ok())
}

/// In which bucket a length falls: below and up to each bound.
fn bucket(length: f64) -> usize {
    bounds().filter(|bound| *bound < length).count()
}

/// A recorded series, as whoever asks for it writes it.
fn recorded(name: &str) -> String {
    let known = recordings().iter().any(|rule| rule.record == name);
    assert!(known, "no rule {name}");
    name.to_owned()
}

/// The queries of the panel of the churn board that is titled so.
fn queries_of(title: &str) -> Vec<Query> {
    let board = churn::board();
    let panel = board.all_panels().find(|panel| panel.title == title);
    panel.map(|panel| panel.queries.clone()).unwrap_or_else(|| panic!("no panel {title}"))
}

/// What a panel of the churn board asks for a legend.
fn of_panel(title: &str, legend: &str) -> String {
    let query = queries_of(title).into_iter().find(|query| query.legend == legend);
    query.unwrap_or_else(|| panic!("no {legend} in {title}")).expr
}

/// The only legend of a panel.
fn legend_of(title: &str) -> &'static str {
    let queries = queries_of(title);
    assert_eq!(queries.len(), 1, "{title}");
    queries[0].legend
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_is_what_panels_and_rules_ask() {
        // Goal: a panel that is renamed is noticed before a network has run for a quarter of an hour. Method: look
        // each up.
        for (title, legend) in [
            ("Online", "children"),
            ("Departure ratio, 1 h", "children"),
            ("Mean session: two ways", "online / rate of ends"),
            ("Mean session: two ways", "mean of ended ones"),
            ("Graceful departures", "graceful"),
            ("Sessions up to a length", "{{le}}"),
            ("Session length", "p25"),
            ("Session length", "p50"),
            ("Session length", "p75"),
            ("Downtime", "p25"),
            ("Downtime", "p50"),
            ("Downtime", "p75"),
        ] {
            assert!(!of_panel(title, legend).is_empty());
        }
        let legends = ["Arrivals per hour", "Departures per hour", "Flaps per hour"].map(legend_of);
        assert_eq!(legends, ["{{kind}}", "{{reason}}", "children"]);
        let rules = ["callbook:children_online:sum", "callbook:departure_ratio:1h"].map(recorded);
        assert!(rules.iter().all(|rule| rule.starts_with("callbook:")));
        let looks_back = of_panel("Departure ratio, 1 h", "children");
        assert!(looks_back.contains("[1h:1m]"), "{looks_back}: its steps would be too coarse here");
    }

    #[test]
    fn a_figure_that_the_script_hardly_knows_proves_nothing() {
        // Goal: no check passes because everything would. Method: a range of a tenth, and a wider one.
        assert!(told_well(Within { least: 90.0, most: 100.0 }).is_ok());
        assert!(told_well(Within { least: 89.0, most: 100.0 }).is_err());
        assert!(told_well(Within { least: 0.0, most: 1.0 }).is_err());
    }
}
