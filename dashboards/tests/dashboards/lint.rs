//! The rules of grafana/dashboard-linter, and some of our own.
//!
//! Relaxed where a window is the definition (1 h, a day, the range shown): there `$__rate_interval` would
//! change what is shown.

use std::collections::BTreeSet;

use callbook_dashboards::all;
use callbook_dashboards::model::{Dashboard, Draw, Panel};
use serde_json::Value;

use super::scan::scan;

/// Grafana's names of the units that are used.
const UNITS: [&str; 12] = [
    "short",
    "none",
    "percentunit",
    "s",
    "ms",
    "ops",
    "reqps",
    "cps",
    "bytes",
    "Bps",
    "string",
    "dateTimeFromNow",
];

/// Windows that are part of a panel's definition.
const WINDOWS: [&str; 7] = ["1h", "1d", "$__range", "$__interval", "$__rate_interval", "1h:1m", "1m"];

fn each_panel(check: impl Fn(&Dashboard, &Panel)) {
    for dashboard in all() {
        for panel in dashboard.all_panels() {
            check(&dashboard, panel);
        }
    }
}

#[test]
fn dashboards_have_fixed_addresses_and_the_usual_variables() {
    // Goal: datasource, job and instance can be chosen everywhere; nothing is edited by hand. Method: the
    // JSON of each.
    let mut uids = BTreeSet::new();
    for dashboard in all() {
        let json = dashboard.to_json();
        let uid = json["uid"].as_str().unwrap().to_owned();
        assert!((8..=40).contains(&uid.len()) && uid.starts_with("callbook-"), "{uid}");
        assert!(uids.insert(uid.clone()), "{uid} twice");
        assert_eq!(json["editable"], false);
        assert_eq!((&json["schemaVersion"], &json["refresh"]), (&Value::from(42), &Value::from("30s")));
        assert!(json.get("id").is_none() && json.get("__inputs").is_none(), "it can be provisioned");
        assert!(!json["description"].as_str().unwrap().is_empty());
        let list = json["templating"]["list"].as_array().unwrap();
        assert_eq!(
            (&list[0]["name"], &list[0]["query"]),
            (&"datasource".into(), &"prometheus".into()),
            "{uid}"
        );
        for (variable, name) in list[1..3].iter().zip(["job", "instance"]) {
            assert_eq!(variable["name"], name, "{uid}");
            assert_eq!(variable["multi"], true);
            assert_eq!(variable["allValue"], ".+");
            assert_eq!(variable["datasource"]["uid"], "${datasource}");
        }
    }
}

#[test]
fn panels_say_what_they_show_in_a_unit_that_grafana_knows() {
    // Goal: no panel has to be guessed at. Method: title, description, unit and queries of each.
    each_panel(|dashboard, panel| {
        let name = format!("{}: {}", dashboard.title, panel.title);
        assert!(!panel.title.is_empty() && panel.description.ends_with('.'), "{name}");
        assert!(UNITS.contains(&panel.unit), "{name}: {}", panel.unit);
        assert_eq!(panel.queries.is_empty(), panel.draw == Draw::Alerts, "{name}");
        assert!(panel.queries.len() <= 26, "{name}");
    });
}

#[test]
fn every_selector_is_chosen_by_job_and_instance() {
    // Goal: the variables work in every panel (simulations have neither). Method: each selector.
    each_panel(|dashboard, panel| {
        for query in &panel.queries {
            for (metric, matchers) in scan(&query.expr).selectors {
                let has = |label: &str, value: &str| {
                    matchers.contains(&(label.to_owned(), "=~".to_owned(), value.to_owned()))
                };
                let one = matchers.contains(&("instance".to_owned(), "=".to_owned(), "$observer".to_owned()));
                let chosen = has("job", "$job") && (has("instance", "$instance") || one);
                assert!(
                    chosen || dashboard.uid == "callbook-experiment",
                    "{}: {}: {metric}",
                    dashboard.title,
                    panel.title
                );
            }
        }
    });
}

#[test]
fn counters_are_read_as_rates_over_a_window_that_fits() {
    // Goal: no panel shows a raw counter, and rates have at least four points. Method: each counter stands
    // in a function with a window; windows are $__rate_interval unless they are a definition.
    each_panel(|dashboard, panel| {
        let name = format!("{}: {}", dashboard.title, panel.title);
        for query in &panel.queries {
            let named = scan(&query.expr);
            for (function, window) in &named.windows {
                let fits = match function.as_str() {
                    "rate" => window == "$__rate_interval",
                    _ => WINDOWS.contains(&window.as_str()),
                };
                assert!(fits, "{name}: {function}[{window}]");
            }
            let counters = |metric: &str| {
                ["_total", "_bucket", "_count", "_sum"].iter().any(|end| metric.ends_with(end))
            };
            let read = named.selectors.iter().filter(|(metric, _)| counters(metric)).count();
            // Open connections are a difference of counters.
            if panel.title != "Open" {
                let windows = named
                    .windows
                    .iter()
                    .filter(|(function, _)| ["rate", "increase"].contains(&function.as_str()));
                assert_eq!(windows.count(), read, "{name}: {}", query.expr);
            }
        }
    });
}

#[test]
fn panels_lie_within_the_grid_and_on_top_of_nothing() {
    // Goal: the layout is as drawn. Method: every cell is taken once.
    for dashboard in all() {
        let mut cells = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in dashboard.to_json()["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()));
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(x + w <= 24, "{}", panel["title"]);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{} lies on another", panel["title"]);
            }
        }
    }
}

#[test]
fn superpeers_are_never_summed_over_those_who_see_them() {
    // Goal: whom many see is counted once. Method: whatever the churn dashboard asks of sessions is either of children,
    // or of superpeers as one observer has them; elsewhere sums of superpeers' sessions are kept apart by instance.
    let of_sessions = [
        "callbook_peers_online",
        "callbook_peer_arrivals",
        "callbook_peer_departures",
        "callbook_peer_flaps",
        "callbook_peer_session_duration",
        "callbook_peer_downtime",
        "callbook_peers_uptime",
        "callbook_peers_class",
        "callbook_peers_seen",
    ];
    each_panel(|dashboard, panel| {
        for query in &panel.queries {
            let named = scan(&query.expr);
            let sessions = named
                .selectors
                .iter()
                .filter(|(metric, _)| of_sessions.iter().any(|name| metric.starts_with(name)));
            for (metric, matchers) in sessions {
                let is = |label: &str, value: &str| {
                    matchers.contains(&(label.to_owned(), "=".to_owned(), value.to_owned()))
                };
                let one = is("instance", "$observer") || named.grouped.contains(&"instance".to_owned());
                assert!(
                    is("role", "child") || (is("role", "superpeer") && one),
                    "{}: {}: {metric}",
                    dashboard.title,
                    panel.title
                );
            }
        }
    });
}
