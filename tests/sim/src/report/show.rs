//! Outcomes as text, JSON and CSV. *Not here*: plots.

use serde_json::{Value as Json, json};

use super::{Bar, Figure, Outcome, Value, wilson};

/// Version of the JSON's form.
const SCHEMA_VERSION: u32 = 1;

fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        size if size >= 1_000.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    if unit.is_empty() { text } else { format!("{text} {unit}") }
}

fn shown(figure: &Figure) -> String {
    match figure.value {
        Value::Number(value, unit) => number(value, unit),
        Value::Share(_, 0) => String::from("none"),
        Value::Share(of, all) => {
            let (low, high) = wilson::interval(of, all);
            let percent = 100.0 * of as f64 / all as f64;
            format!("{percent:.3} % ({:.3}–{:.3}) of {all}", 100.0 * low, 100.0 * high)
        }
    }
}

fn bar(figure: &Figure) -> String {
    let value = |bar: f64| match figure.value {
        Value::Number(_, unit) => number(bar, unit),
        Value::Share(..) => format!("{} %", 100.0 * bar),
    };
    match figure.bar {
        None => String::new(),
        Some(Bar::AtMost(bar)) => format!("≤ {}", value(bar)),
        Some(Bar::AtLeast(bar)) => format!("≥ {}", value(bar)),
    }
}

/// Everything that an outcome has, for reading.
#[must_use]
pub fn text(outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: {} ({} peers, seed {}, trace {:016x})\n",
        outcome.row, outcome.what, outcome.peers, outcome.seed, outcome.trace
    );
    for figure in &outcome.figures {
        let verdict = match (figure.bar, figure.holds()) {
            (None, _) => "  ",
            (Some(_), true) => "✓ ",
            (Some(_), false) => "✗ ",
        };
        let line = format!("  {verdict}{:<46} {:<38} {}", figure.what, shown(figure), bar(figure));
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    for remark in &outcome.remarks {
        text.push_str(&format!("    ! {remark}\n"));
    }
    text
}

/// The figures with bars of all rows, side by side with them.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        text.push_str(&format!("{:<4} {} ({} peers)\n", outcome.row, outcome.what, outcome.peers));
        for figure in outcome.figures.iter().filter(|figure| figure.bar.is_some()) {
            let verdict = if figure.holds() { "✓" } else { "✗" };
            text.push_str(&format!(
                "   {verdict} {:<46} {:<38} {}\n",
                figure.what,
                shown(figure),
                bar(figure)
            ));
        }
    }
    text
}

/// All outcomes as one document.
#[must_use]
pub fn json(outcomes: &[Outcome]) -> Json {
    let figure = |figure: &Figure| {
        let (value, unit, of, all) = match figure.value {
            Value::Number(value, unit) => (value, unit, Json::Null, Json::Null),
            Value::Share(of, all) => (of as f64 / all.max(1) as f64, "share", json!(of), json!(all)),
        };
        let (at_most, at_least) = match figure.bar {
            None => (Json::Null, Json::Null),
            Some(Bar::AtMost(bar)) => (json!(bar), Json::Null),
            Some(Bar::AtLeast(bar)) => (Json::Null, json!(bar)),
        };
        json!({
            "what": figure.what, "value": value, "unit": unit, "of": of, "all": all,
            "at_most": at_most, "at_least": at_least, "holds": figure.holds(),
        })
    };
    let rows: Vec<Json> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "row": outcome.row, "what": outcome.what, "seed": outcome.seed, "peers": outcome.peers,
                "trace": format!("{:016x}", outcome.trace), "holds": outcome.holds(),
                "figures": outcome.figures.iter().map(figure).collect::<Vec<_>>(),
                "remarks": outcome.remarks,
            })
        })
        .collect();
    json!({ "schema_version": SCHEMA_VERSION, "rows": rows })
}

/// All figures, one a line.
#[must_use]
pub fn csv(outcomes: &[Outcome]) -> String {
    let mut text = String::from("row,seed,peers,what,value,unit,of,all,at_most,at_least,holds\n");
    for outcome in outcomes {
        for figure in &outcome.figures {
            let value = match figure.value {
                Value::Number(value, unit) => format!("{value},{unit},,"),
                Value::Share(of, all) => format!("{},share,{of},{all}", of as f64 / all.max(1) as f64),
            };
            let bar = match figure.bar {
                None => String::from(","),
                Some(Bar::AtMost(bar)) => format!("{bar},"),
                Some(Bar::AtLeast(bar)) => format!(",{bar}"),
            };
            let (row, what) = (outcome.row, figure.what.replace(',', ";"));
            let (seed, peers, holds) = (outcome.seed, outcome.peers, figure.holds());
            text.push_str(&format!("{row},{seed},{peers},{what},{value},{bar},{holds}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Outcome, csv, json, table, text};
    use crate::report::Figure;
    use crate::report::curves::Curves;

    #[test]
    fn an_outcome_is_shown_in_every_form() {
        // Goal: no form loses a figure or a bar. Method: one that holds and one that doesn't, in each form.
        let figures = vec![
            Figure::share("right", (9_990, 10_000)).at_least(0.995),
            Figure::number("p50", 200.0, "ms").at_most(190.0),
            Figure::number("dials, all", 3.0, ""),
        ];
        let remarks = vec![String::from("something odd")];
        let curves = Curves::default();
        let (row, what) = ("D", "brutal");
        let outcome = Outcome { row, what, seed: 7, peers: 10, figures, remarks, curves, trace: 255 };
        let text = text(&outcome);
        assert!(text.contains("✓ right") && text.contains("✗ p50") && text.contains("! something odd"));
        assert!(table(std::slice::from_ref(&outcome)).contains("≤ 190.0 ms"));
        let json = json(std::slice::from_ref(&outcome));
        assert_eq!(json["rows"][0]["figures"][0]["of"], 9_990);
        assert_eq!(json["rows"][0]["holds"], false);
        let csv = csv(&[outcome]);
        assert_eq!(csv.lines().count(), 4);
        assert!(csv.lines().all(|line| line.split(',').count() == 11), "{csv}");
    }
}
