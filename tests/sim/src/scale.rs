//! How costs grow with the number of peers: row B at several sizes, and a power of the size fitted to each.
//!
//! A cost of size^0 is the same at any size, one of size^1 is in proportion to it. Sizes are of peers that are
//! registered; some third of them is there at a time, 34 for each superpeer (issue 4). *Not here*: bars.

use serde_json::{Value as Json, json};

use crate::report::{Outcome, Value};
use crate::scenario::{self, Options, Row};
use crate::time::Micros;

/// The row that is run: B.
pub const ROW: &Row = scenario::MODERN;

/// Peers that are registered for each superpeer that is there. *Specification* (issue 4: 1,000,000 and 10,000).
const REGISTERED: u32 = 100;

/// Version of the JSON's form.
const SCHEMA_VERSION: u32 = 1;

/// Figures of a run that are followed, as a run calls them.
const FOLLOWED: [&str; 11] = [
    "superpeers there",
    "children there",
    "sent by a superpeer",
    "sent by a child",
    "look-up of a child p50",
    "look-up of a child p99",
    "hops in the overlay",
    "memory of a superpeer",
    "memory of a copy of a record",
    "memory of a child and of its parent for it",
    "microseconds a turn",
];

/// Options of a run of a size.
#[must_use]
pub fn options(seed: u64, peers: u32, (warm_up, measured): (Micros, Micros)) -> Options {
    // As many superpeers as there are to be, and as many again and again as are away.
    let online = 0.34;
    let superpeers = (f64::from((peers / REGISTERED).max(24)) / online) as u32;
    Options {
        seed,
        peers: Some(peers),
        superpeers: Some(superpeers.min(peers / 2)),
        warm_up: Some(warm_up),
        measured: Some(measured),
        ..Options::default()
    }
}

/// A run of a size.
#[derive(Debug, Clone)]
pub struct Point {
    peers: u32,
    right: (u64, u64),
    /// Real time in seconds, and memory at most in MiB.
    cost: [f64; 2],
    followed: Vec<Option<(f64, &'static str)>>,
}

impl Point {
    /// What is followed of a run.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let figure = |what: &str| {
            let found = outcome.figures.iter().find(|figure| figure.what == what)?;
            match found.value {
                Value::Number(value, unit) => Some((value, unit)),
                Value::Share(..) => None,
            }
        };
        let right = outcome.figures.iter().find_map(|figure| match figure.value {
            Value::Share(of, all) if figure.what == "look-ups right" => Some((of, all)),
            Value::Share(..) | Value::Number(..) => None,
        });
        Self {
            peers: outcome.peers,
            right: right.unwrap_or_default(),
            cost: ["real time", "memory at most"].map(|what| figure(what).map_or(0.0, |(value, _)| value)),
            followed: FOLLOWED.iter().map(|what| figure(what)).collect(),
        }
    }
}

/// The power of the size that a cost follows, by least squares of logarithms; nothing of fewer than two.
fn power(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let (x, y) = logs.iter().fold((0.0, 0.0), |(x, y), (one, other)| (x + one / count, y + other / count));
    let (mut along, mut width) = (0.0, 0.0);
    for (one, other) in &logs {
        along += (one - x) * (other - y);
        width += (one - x) * (one - x);
    }
    (logs.len() > 1 && width > 0.0).then(|| along / width)
}

fn powers(points: &[Point]) -> Vec<Option<f64>> {
    let of = |index: usize| {
        let pairs = points.iter().filter_map(|point| {
            let (value, _) = point.followed.get(index).copied().flatten()?;
            Some((f64::from(point.peers), value))
        });
        power(&pairs.collect::<Vec<_>>())
    };
    (0..FOLLOWED.len()).map(of).collect()
}

fn shown(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 1.0 {
        1
    } else {
        3
    };
    format!("{value:.digits$}")
}

/// All sizes side by side, with the fitted power.
#[must_use]
pub fn text(points: &[Point]) -> String {
    let mut text = format!("{:<44}", "peers registered");
    points.iter().for_each(|point| text.push_str(&format!("{:>12}", point.peers)));
    text.push_str("    grows as\n");
    let mut line = |what: String, values: Vec<String>, end: String| {
        text.push_str(&format!("{what:<44}"));
        values.iter().for_each(|value| text.push_str(&format!("{value:>12}")));
        text.push_str(&format!("    {end}\n"));
    };
    let percent = |(of, all): (u64, u64)| format!("{:.3}", 100.0 * of as f64 / all.max(1) as f64);
    line(
        String::from("look-ups right, %"),
        points.iter().map(|point| percent(point.right)).collect(),
        String::new(),
    );
    for (index, (what, power)) in FOLLOWED.iter().zip(powers(points)).enumerate() {
        let at = |point: &Point| point.followed[index];
        let unit = points.iter().find_map(at).map_or("", |(_, unit)| unit);
        let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
        let values =
            points.iter().map(|point| at(point).map_or_else(|| String::from("–"), |(v, _)| shown(v)));
        let end = power.map_or_else(String::new, |power| format!("size^{power:.2}"));
        line(format!("{what}{unit}"), values.collect(), end);
    }
    for (index, what) in ["real time, s", "memory at most, MiB"].into_iter().enumerate() {
        let values = points.iter().map(|point| shown(point.cost[index])).collect();
        line(String::from(what), values, String::new());
    }
    text
}

/// All sizes, one figure a line.
#[must_use]
pub fn csv(points: &[Point]) -> String {
    let mut text = String::from("peers,what,value,unit\n");
    for point in points {
        for (what, followed) in FOLLOWED.iter().zip(&point.followed) {
            if let Some((value, unit)) = followed {
                text.push_str(&format!("{},{what},{value},{unit}\n", point.peers));
            }
        }
    }
    text
}

/// All sizes and powers as one document.
#[must_use]
pub fn json(points: &[Point], seed: u64) -> Json {
    let point = |point: &Point| {
        let figures: Vec<Json> = FOLLOWED
            .iter()
            .zip(&point.followed)
            .filter_map(|(what, followed)| {
                let (value, unit) = (*followed)?;
                Some(json!({ "what": what, "value": value, "unit": unit }))
            })
            .collect();
        json!({
            "peers": point.peers, "right": point.right.0, "all": point.right.1,
            "seconds": point.cost[0], "memory_mib": point.cost[1], "figures": figures,
        })
    };
    let fits: Vec<Json> = FOLLOWED
        .iter()
        .zip(powers(points))
        .map(|(what, power)| json!({ "what": what, "power": power }))
        .collect();
    let sizes: Vec<Json> = points.iter().map(point).collect();
    json!({ "schema_version": SCHEMA_VERSION, "seed": seed, "sizes": sizes, "fits": fits })
}

#[cfg(test)]
mod tests {
    use super::{FOLLOWED, Point, csv, json, power, text};

    #[test]
    fn a_power_is_found_again() {
        // Goal: the fit. Method: powers of four sizes, and too few points.
        for wanted in [0.0, 0.5, 1.0, -0.25] {
            let points: Vec<(f64, f64)> =
                [1e3, 1e4, 1e5, 1e6].into_iter().map(|x: f64| (x, 7.0 * x.powf(wanted))).collect();
            let found = power(&points).expect("four points");
            assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
        }
        assert_eq!(power(&[(1e3, 2.0)]), None);
    }

    #[test]
    fn sizes_are_shown_in_every_form() {
        // Goal: no form loses a size. Method: two sizes, of which one lacks a figure.
        let point = |peers, value: Option<f64>| Point {
            peers,
            right: (9, 10),
            cost: [1.0, 2.0],
            followed: vec![value.map(|value| (value, "B/s")); FOLLOWED.len()],
        };
        let points = [point(1_000, Some(10.0)), point(10_000, None)];
        assert!(text(&points).contains("10000") && text(&points).contains("90.000"));
        assert_eq!(csv(&points).lines().count(), 1 + FOLLOWED.len());
        assert_eq!(json(&points, 1)["sizes"][0]["figures"][0]["value"], 10.0);
    }
}
