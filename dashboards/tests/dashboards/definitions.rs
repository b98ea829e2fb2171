//! What the churn panels make of series whose figures are known: each panel's own expression, by promtool.
//!
//! *Not here*: rules (`prometheus/tests`), real networks (`verify`).

use std::fs;

use callbook_dashboards::boards::churn;
use callbook_dashboards::verify::filled;

use super::promtool::{CHOSEN, promtool};

/// Two superpeers, and a census; all of two hours by minutes. An hour has 12 arrivals (4 of them moves), 6 goodbyes, 3
/// timeouts and 4 moves; 8, then 10 children are online, 9 in the last minute; of sessions 6 were at most 60 s, 9 at most 300 s, 10 in all.
const SERIES: &[(&str, &str)] = &[
    (r#"callbook_peers_online{role="child",instance="a",job="callbook"}"#, "6x89 8x29 7"),
    (r#"callbook_peers_online{role="child",instance="b",job="callbook"}"#, "2x120"),
    (r#"callbook_peers_online{role="superpeer",instance="a",job="callbook"}"#, "4x120"),
    (r#"callbook_peers_online{role="superpeer",instance="b",job="callbook"}"#, "5x120"),
    (r#"callbook_peer_arrivals_total{role="child",kind="new",instance="a",job="callbook"}"#, "0+0.15x120"),
    (
        r#"callbook_peer_arrivals_total{role="child",kind="returning",instance="b",job="callbook"}"#,
        "0+0.05x120",
    ),
    (r#"callbook_peer_arrivals_total{role="superpeer",kind="new",instance="a",job="callbook"}"#, "0+7x120"),
    (
        r#"callbook_peer_departures_total{role="child",reason="graceful",instance="a",job="callbook"}"#,
        "0+0.1x120",
    ),
    (
        r#"callbook_peer_departures_total{role="child",reason="timeout",instance="b",job="callbook"}"#,
        "0+0.05x120",
    ),
    (
        r#"callbook_peer_departures_total{role="child",reason="moved",instance="a",job="callbook"}"#,
        "0+0.0666666666666667x120",
    ),
    (
        r#"callbook_peer_departures_total{role="superpeer",reason="timeout",instance="b",job="callbook"}"#,
        "0+7x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_bucket{role="child",reason="graceful",le="60",instance="a",job="callbook"}"#,
        "0+0.1x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_bucket{role="child",reason="graceful",le="300",instance="a",job="callbook"}"#,
        "0+0.15x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_bucket{role="child",reason="graceful",le="+Inf",instance="a",job="callbook"}"#,
        "0+0.2x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_count{role="child",reason="graceful",instance="a",job="callbook"}"#,
        "0+0.2x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_sum{role="child",reason="graceful",instance="a",job="callbook"}"#,
        "0+20x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_bucket{role="child",reason="moved",le="60",instance="a",job="callbook"}"#,
        "0+0.2x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_bucket{role="child",reason="moved",le="300",instance="a",job="callbook"}"#,
        "0+0.2x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_bucket{role="child",reason="moved",le="+Inf",instance="a",job="callbook"}"#,
        "0+0.2x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_count{role="child",reason="moved",instance="a",job="callbook"}"#,
        "0+0.2x120",
    ),
    (
        r#"callbook_peer_session_duration_seconds_sum{role="child",reason="moved",instance="a",job="callbook"}"#,
        "0+4x120",
    ),
    (r#"callbook_peers_uptime_at_least{role="child",threshold="5m",instance="a",job="callbook"}"#, "4x120"),
    (r#"callbook_peers_uptime_at_least{role="child",threshold="5m",instance="b",job="callbook"}"#, "1x120"),
    (r#"callbook_peers_uptime_at_least{role="child",threshold="1h",instance="a",job="callbook"}"#, "2x120"),
    (
        r#"callbook_peers_uptime_at_least{role="superpeer",threshold="5m",instance="a",job="callbook"}"#,
        "1x120",
    ),
    (
        r#"callbook_peers_uptime_at_least{role="superpeer",threshold="5m",instance="b",job="callbook"}"#,
        "5x120",
    ),
    (r#"callbook_session_survival_ratio{age="1h",instance="c",job="callbook-census"}"#, "0.25x120"),
];

/// Labels and value of each series.
type Shown = &'static [(&'static str, f64)];

/// Panel, legend, and what comes of it after two hours: labels and value.
const EXPECTED: &[(&str, &str, Shown)] = &[
    // (6 + 3) / mean of 8 for half an hour, 10 for the other, and 9.
    ("Departure ratio, 1 h", "children", &[("{}", 1.0)]),
    ("Departure ratio, 1 h", "moved", &[("{}", 4.0 / 9.0)]),
    // (12 - 4 + 9) / 10.
    ("Turnover ratio, 1 h", "children", &[("{}", 1.7)]),
    // 3,600 s · 9 / 13, and (20 + 4) / 0.4.
    ("Mean session: two ways", "online / rate of ends", &[("{}", 3600.0 * 9.0 / 13.0)]),
    ("Mean session: two ways", "mean of ended ones", &[("{}", 60.0)]),
    ("Graceful departures", "graceful", &[("{}", 2.0 / 3.0)]),
    (
        "Sessions up to a length",
        "{{le}}",
        &[(r#"{le="60"}"#, 0.5), (r#"{le="300"}"#, 0.75), (r#"{le="+Inf"}"#, 1.0)],
    ),
    ("Session length", "p25", &[("{}", 30.0)]),
    ("Session length", "p75", &[("{}", 300.0)]),
    (
        "Survival of those present",
        "{{threshold}}",
        &[(r#"{threshold="5m"}"#, 5.0 / 9.0), (r#"{threshold="1h"}"#, 2.0 / 9.0)],
    ),
    ("Survival of superpeers present", "{{threshold}}", &[(r#"{threshold="5m"}"#, 0.25)]),
    ("Superpeers online", "superpeers", &[("{}", 4.0)]),
    ("Survival by Kaplan and Meier", "{{age}}", &[(r#"{age="1h"}"#, 0.25)]),
];

/// A file for `promtool test rules`, in which one more is asked for than there is if `wrong`.
fn file(wrong: bool) -> String {
    let mut text = String::from("evaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n");
    for (series, values) in SERIES {
        text.push_str(&format!("      - series: '{series}'\n        values: {values}\n"));
    }
    text.push_str("    promql_expr_test:\n");
    for (title, legend, expected) in EXPECTED {
        let board = churn::board();
        let panel = board.all_panels().find(|panel| panel.title == *title).unwrap();
        let query = panel.queries.iter().find(|query| query.legend == *legend).unwrap();
        // promtool knows no tolerance, and a quotient's last digits are nobody's definition.
        let expr = format!("round({}, 0.0001)", filled(&query.expr, &CHOSEN));
        text.push_str(&format!("      - expr: '{expr}'\n        eval_time: 2h\n        exp_samples:\n"));
        for (labels, value) in *expected {
            let value = (value * 1e4).round() / 1e4 + f64::from(u8::from(wrong));
            text.push_str(&format!("          - labels: '{labels}'\n            value: {value}\n"));
        }
    }
    text
}

#[test]
fn churn_panels_show_what_their_descriptions_say() {
    // Goal: turnover, Little's law, distribution and survival are those of the definitions, moves are no departures,
    // superpeers are not summed. Method: each panel's expression over series whose figures were worked out by hand; with
    // other figures it must fail.
    let room = tempfile::tempdir().unwrap();
    fs::write(room.path().join("right.yml"), file(false)).unwrap();
    fs::write(room.path().join("wrong.yml"), file(true)).unwrap();
    if promtool(room.path(), &["test", "rules", "right.yml"]).is_none() {
        return;
    }
    let refused = std::panic::catch_unwind(|| promtool(room.path(), &["test", "rules", "wrong.yml"]));
    assert!(refused.is_err());
}
