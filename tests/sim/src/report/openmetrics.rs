//! Outcomes as OpenMetrics, for Prometheus to load beside what real networks show.
//!
//! One gauge with the row, the figure and its unit as labels; shares are between 0 and 1, and those of nothing
//! are left out.

use super::{Outcome, Value};

/// The gauge.
pub const FIGURE: &str = "callbook_sim_figure";

/// The text, each figure as of `at` (seconds since 1970).
#[must_use]
pub fn openmetrics(outcomes: &[Outcome], at: u64) -> String {
    let mut text = format!(
        "# HELP {FIGURE} A figure of a simulated row, as the simulator's table shows it\n# TYPE {FIGURE} gauge\n"
    );
    for outcome in outcomes {
        for figure in &outcome.figures {
            let (value, unit) = match figure.value {
                Value::Number(value, unit) => (value, unit),
                Value::Share(_, 0) => continue,
                Value::Share(of, all) => (of as f64 / all as f64, "ratio"),
            };
            if value.is_finite() {
                let (row, seed, what) = (outcome.row, outcome.seed, escaped(&figure.what));
                text.push_str(&format!(
                    "{FIGURE}{{row=\"{row}\",seed=\"{seed}\",figure=\"{what}\",unit=\"{unit}\"}} {value} {at}\n"
                ));
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figure;
    use crate::report::curves::Curves;

    #[test]
    fn shares_are_ratios_and_nothing_of_nothing_is_told() {
        // Goal: a reader gets numbers that can be drawn. Method: a number, a share, a share of nothing.
        let figures = vec![
            Figure::number("sent \"now\"", 1.5, "B/s"),
            Figure::share("right", (1, 4)),
            Figure::share("none", (0, 0)),
        ];
        let outcome = Outcome {
            row: "A",
            what: "",
            seed: 7,
            peers: 1,
            figures,
            remarks: Vec::new(),
            trace: 0,
            curves: Curves::default(),
        };
        let text = openmetrics(&[outcome], 60);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "callbook_sim_figure{row=\"A\",seed=\"7\",figure=\"sent \\\"now\\\"\",unit=\"B/s\"} 1.5 60",
                "callbook_sim_figure{row=\"A\",seed=\"7\",figure=\"right\",unit=\"ratio\"} 0.25 60",
                "# EOF"
            ]
        );
    }
}
