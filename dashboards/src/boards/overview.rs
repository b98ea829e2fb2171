//! Is the network healthy? One screen.

use callbook_bootstrap::metrics::names::LOGINS;
use callbook_host::metrics::names::{
    BUILD_INFO, LOOKUP_DURATION, LOOKUPS, PEERS_ESTIMATE, ROLE_CHANGES, SUPERPEERS,
};

use super::{children, departure_ratio};
use crate::model::{Dashboard, Draw, Panel};
use crate::promql::{increase, of, quantile, rate};

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    let changes = format!("sum by (to) (changes({}[1m])) > 0", of(&ROLE_CHANGES, ""));
    Dashboard {
        uid: "callbook-overview",
        title: "Callbook / Overview",
        description: "Whether the network is healthy: who is there, whether look-ups work, what alerts fire.",
        from: "now-6h",
        instances: BUILD_INFO.series(),
        variables: Vec::new(),
        annotation: Some(("Role changes", changes)),
        rows: vec![("Now", now()), ("Over time", over_time()), ("Versions and alerts", versions())],
    }
}

fn now() -> Vec<Panel> {
    let stat = |title, unit, description| Panel::new(Draw::Stat, title, unit, description);
    let ended = |labels| format!("sum({})", increase(&LOOKUPS, labels, "1h"));
    let answered =
        format!("{} / {}", ended("op=\"resolve\",result=~\"found|absent\""), ended("op=\"resolve\""));
    vec![
        stat("Children online", "short", "Children attached to the superpeers that are scraped. Each has one parent, so the sum counts nobody twice.")
            .ask("children", children()),
        stat("Superpeers", "short", "Superpeers in the largest map of those that are scraped.")
            .ask("superpeers", format!("max({})", of(&SUPERPEERS, ""))),
        stat("Network size", "short", "Peers online as superpeers guess from their neighbours' loads; the median of the guesses.")
            .ask("peers", format!("quantile(0.5, {} > 0)", of(&PEERS_ESTIMATE, ""))),
        stat("Look-ups answered", "percentunit", "Look-ups that ended in found or absent, of all, in the last hour. Absent is an answer; unknown and invalid are not.")
            .ask("answered", answered),
        stat("Look-up p95", "s", "95 % of local look-ups took at most this, in the last hour.")
            .ask("p95", quantile("0.95", &LOOKUP_DURATION, "op=\"resolve\"", "1h")),
        stat("Departures in 1 h", "percentunit", "Children's sessions that ended within the last hour, in relation to the mean number online. Flaps are none.")
            .ask("ratio", departure_ratio()),
    ]
}

fn over_time() -> Vec<Panel> {
    vec![
        Panel::new(
            Draw::Lines,
            "Online",
            "short",
            "Children of all superpeers that are scraped, and superpeers in the largest map.",
        )
        .ask("children", children())
        .ask("superpeers", format!("max({})", of(&SUPERPEERS, ""))),
        Panel::new(
            Draw::Stack,
            "Look-ups by result",
            "ops",
            "Look-ups of all daemons that are scraped, also those that superpeers answer to their children.",
        )
        .ask("{{result}}", format!("sum by (result) ({})", rate(&LOOKUPS, "op=\"resolve\""))),
        Panel::new(
            Draw::Lines,
            "Logins refused or failed in 1 h",
            "short",
            "Logins that reached their last message and were not granted.",
        )
        .ask("{{result}}", format!("sum by (result) ({})", increase(&LOGINS, "result!=\"ok\"", "1h"))),
    ]
}

fn versions() -> Vec<Panel> {
    vec![
        Panel::new(
            Draw::Table,
            "Versions",
            "short",
            "How many daemons run what. More than one line for long means that an upgrade got stuck.",
        )
        .ask("", format!("count by (version, revision) ({})", of(&BUILD_INFO, "")))
        .sized(12, 8),
        Panel::new(Draw::Alerts, "Alerts that fire", "none", "Of the rules in prometheus/alerts.yml.")
            .sized(12, 8),
    ]
}
