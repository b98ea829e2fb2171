//! Look-ups and registrations: rate, errors, duration.

use callbook_host::metrics::names::{
    ABSENCES_DOUBTED, CROSS_CHECKS, DENIALS_CACHED, LOOKUP_DURATION, LOOKUP_HOPS, LOOKUP_REQUESTS, LOOKUPS,
    REGISTRATION_DURATION, REGISTRATIONS, REJECTS, REQUEST_HEDGES, REQUEST_TIMEOUTS, RESOLVE_DURATION,
    SELF_CHECKS, STALE_REPAIRED,
};

use super::lookups_answered;
use crate::model::{Dashboard, Draw, Panel};
use crate::promql::{mean, quantile, rate};

const OF_NAMES: &str = "op=\"resolve\"";
const OF_NODES: &str = "op=\"find_node\"";

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    Dashboard {
        uid: "callbook-lookups",
        title: "Callbook / Look-ups",
        description: "How many look-ups and registrations there are, how they end, and how long they take. A look-up counts at the child that asks and at the parent that answers.",
        from: "now-6h",
        instances: LOOKUPS.series(),
        variables: Vec::new(),
        annotation: None,
        rows: vec![
            ("Look-ups", results()),
            ("How long, how far", work()),
            ("Registrations and repair", registrations()),
        ],
    }
}

fn lines(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Lines, title, unit, description)
}

fn results() -> Vec<Panel> {
    vec![
        Panel::new(Draw::Stack, "By result", "ops", "found; absent: denied by more than two thirds of the storers; unknown: too few answers in time; invalid: an answer did not pass verification.")
            .ask("{{result}}", format!("sum by (result) ({})", rate(&LOOKUPS, OF_NAMES))),
        lines("Answered", "percentunit", "Found or absent, of all.").ask("answered", lookups_answered()),
        Panel::new(Draw::Stack, "Found, by source", "ops", "own: a name of this daemon; index: the parent's child; store: the parent is a storer; cache: the parent's; overlay: storers were asked.")
            .ask("{{source}}", format!("sum by (source) ({})", rate(&LOOKUPS, "op=\"resolve\",result=\"found\""))),
        lines("Not answered", "ops", "Look-ups without a usable answer, and requests that stayed without one.")
            .ask("{{result}}", format!("sum by (result) ({})", rate(&LOOKUPS, "op=\"resolve\",result=~\"unknown|invalid\"")))
            .ask("request timeouts", format!("sum({})", rate(&REQUEST_TIMEOUTS, ""))),
        lines("Doubts", "ops", "Absences that no standby confirmed, by why; records that a child rejected; absences answered from memory.")
            .ask("absence {{result}}", format!("sum by (result) ({})", rate(&ABSENCES_DOUBTED, "")))
            .ask("rejected", format!("sum({})", rate(&REJECTS, "")))
            .ask("remembered absence", format!("sum({})", rate(&DENIALS_CACHED, ""))),
    ]
}

fn work() -> Vec<Panel> {
    let shares = |mut panel: Panel, metric, labels| {
        for (legend, share) in [("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99")] {
            panel = panel.ask(legend, quantile(share, metric, labels, "1h"));
        }
        panel
    };
    vec![
        shares(lines("Duration of local look-ups", "s", "From the question on this daemon to its answer, in the last hour."), &LOOKUP_DURATION, OF_NAMES),
        shares(lines("Duration at the parent", "s", "How long children waited for what their parent resolved, without the way to it, in the last hour."), &RESOLVE_DURATION, ""),
        lines("Hops", "short", "Sequential requests after the parent, of local look-ups that found something, in the last hour; 0 if the parent knew.")
            .ask("mean", mean(&LOOKUP_HOPS, OF_NAMES, "1h"))
            .ask("p95", quantile("0.95", &LOOKUP_HOPS, OF_NAMES, "1h")),
        lines("Requests of a walk", "short", "Storers asked by a superpeer until it had its answer, in the last hour.")
            .ask("mean", mean(&LOOKUP_REQUESTS, OF_NAMES, "1h"))
            .ask("p95", quantile("0.95", &LOOKUP_REQUESTS, OF_NAMES, "1h")),
        lines("Walks for superpeers", "ops", "Before a put, and to keep the map (find_node): found if anybody answered.")
            .ask("{{result}}", format!("sum by (result) ({})", rate(&LOOKUPS, OF_NODES))),
        shares(lines("Duration of walks for superpeers", "s", "In the last hour."), &LOOKUP_DURATION, OF_NODES),
        lines("Hops and requests of walks for superpeers", "short", "Means in the last hour.")
            .ask("hops", mean(&LOOKUP_HOPS, OF_NODES, "1h"))
            .ask("requests", mean(&LOOKUP_REQUESTS, OF_NODES, "1h")),
        lines("Second requests", "ops", "Made because the first was slow (hedges), or because storers had to agree (cross-checks).")
            .ask("hedges", format!("sum({})", rate(&REQUEST_HEDGES, "")))
            .ask("cross-checks", format!("sum({})", rate(&CROSS_CHECKS, ""))),
    ]
}

fn registrations() -> Vec<Panel> {
    vec![
        lines(
            "Registrations by result",
            "ops",
            "Publications of names: register: somebody asked for it; renew: done again by the daemon itself. timeout: too few answers, or nobody to ask; refused: by parent or storers; error: the record or the clock is wrong. Failed ones are tried again.",
        )
        .ask("{{op}} {{result}}", format!("sum by (op, result) ({})", rate(&REGISTRATIONS, ""))),
        lines(
            "Registration p95",
            "s",
            "From signing a record until a majority of its storers had it, in the last hour.",
        )
        .ask("p50", quantile("0.5", &REGISTRATION_DURATION, "", "1h"))
        .ask("p95", quantile("0.95", &REGISTRATION_DURATION, "", "1h")),
        lines(
            "Self-checks and repair",
            "ops",
            "Own names asked for at a standby, by result; storers that took a newer record from a look-up.",
        )
        .ask("self-check {{result}}", format!("sum by (result) ({})", rate(&SELF_CHECKS, "")))
        .ask("repaired", format!("sum({})", rate(&STALE_REPAIRED, ""))),
    ]
}
