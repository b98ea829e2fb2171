//! Superpeers: how much they carry, and what they refuse.

use callbook_host::metrics::names::{
    BAD_HINTS, BAD_LINKS, CHANGES_PUSHED, CHILDREN, CHILDREN_MAX, EQUIVOCATIONS, EQUIVOCATIONS_KEPT,
    MAP_DROPPED, NEWS_DROPPED, NODE_ROLE, PEER_SESSION_DURATION, PROMISES_BROKEN, RECORD_BYTES, RECORDS,
    RECORDS_DROPPED, RECORDS_MOVED, RECORDS_STORED, REFUTATIONS, REQUESTS_ASKED, REQUESTS_REFUSED,
    REQUESTS_SERVED, RESERVATIONS, RESOLVE_DURATION, ROLE_CHANGES, STATEMENTS_HEARD, SUPERPEERS,
    SUSPECTS_TOLD, SYNCING, VERIFICATIONS, WATCHES, WORKING_SENT,
};

use super::limited;
use crate::model::{Dashboard, Draw, Panel};
use crate::promql::{grown, increase, of, quantile, rate};

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    Dashboard {
        uid: "callbook-superpeers",
        title: "Callbook / Superpeers",
        description: "What superpeers carry (children, records, requests), how evenly, and what they refuse.",
        from: "now-6h",
        instances: NODE_ROLE.series(),
        variables: Vec::new(),
        annotation: None,
        rows: vec![
            ("Children", children()),
            ("Requests", requests()),
            ("Records", records()),
            ("The map", map()),
        ],
    }
}

fn lines(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Lines, title, unit, description)
}

fn children() -> Vec<Panel> {
    let acting = of(&NODE_ROLE, "role=\"superpeer\"");
    let carried = format!("{} and on (instance) ({acting} == 1)", of(&CHILDREN, ""));
    vec![
        lines("Filled", "percentunit", "Children / the most that this superpeer takes. Above 0.4 (high water) it looks for another superpeer.")
            .ask("{{instance}}", format!("{} / {}", of(&CHILDREN, ""), of(&CHILDREN_MAX, ""))),
        lines("Imbalance", "short", "Children of the fullest superpeer / their mean. 1 is even.")
            .ask("most / mean", format!("max({carried}) / clamp_min(avg({carried}), 1)")),
        lines("Places kept", "short", "Reservations: children of others for whom this one stands by.")
            .ask("{{instance}}", of(&RESERVATIONS, "")),
        lines("Role changes", "short", "Within an hour, by the role that was taken.")
            .ask("to {{to}}", format!("sum by (to) ({})", increase(&ROLE_CHANGES, "", "1h"))),
        lines("Median session", "s", "Of superpeers beside that of children, ended within the last day; superpeers as each of those chosen saw them. No point where none ended.")
            .ask("superpeers at {{instance}}", median_seen())
            .ask("children", quantile("0.5", &PEER_SESSION_DURATION, "role=\"child\",reason!=\"moved\"", "1d")),
    ]
}

/// The median session of superpeers by the view of each observer: a sum would count each as often as it is seen.
fn median_seen() -> String {
    let seen = grown(&PEER_SESSION_DURATION, "bucket", "role=\"superpeer\"", "1d");
    format!("histogram_quantile(0.5, sum by (le, instance) ({seen}))")
}

fn requests() -> Vec<Panel> {
    vec![
        Panel::new(Draw::Stack, "Served by kind", "reqps", "Requests that peers made of the daemons that are scraped.")
            .ask("{{kind}}", format!("sum by (kind) ({})", rate(&REQUESTS_SERVED, ""))),
        Panel::new(Draw::Stack, "Asked by kind", "reqps", "Requests that they made of their peers.")
            .ask("{{kind}}", format!("sum by (kind) ({})", rate(&REQUESTS_ASKED, ""))),
        Panel::new(Draw::Stack, "Refused by reason", "reqps", "busy: no place or no time; limit: a quota is used up; unsupported: not in this role; invalid: did not verify; stale: a newer record is held.")
            .ask("{{reason}}", format!("sum by (reason) ({})", rate(&REQUESTS_REFUSED, ""))),
        Panel::new(Draw::Stack, "Refused by kind", "reqps", "Requests that were refused at once, whatever the reason.")
            .ask("{{kind}}", format!("sum by (kind) ({})", rate(&REQUESTS_SERVED, "result!=\"ok\""))),
        lines("Resolve p95", "s", "How long children waited for what was resolved for them, in the last hour.")
            .ask("p95", quantile("0.95", &RESOLVE_DURATION, "", "1h")),
        lines("Put off by limit", "ops", "What was put off or not heard because there was too much of it.")
            .ask("{{limiter}}", limited()),
        lines("Told to children", "ops", "Changes of what is watched or was answered before, and that one is still at work.")
            .ask("changes", format!("sum({})", rate(&CHANGES_PUSHED, "")))
            .ask("still at work", format!("sum({})", rate(&WORKING_SENT, ""))),
        lines("Watches", "short", "Keys that are watched for children and for the daemons themselves.")
            .ask("{{instance}}", of(&WATCHES, "")),
        lines("Verified", "ops", "Signatures and chains of certificates that were checked.")
            .ask("checked", format!("sum({})", rate(&VERIFICATIONS, ""))),
        lines("Lies", "ops", "Hints and statements that did not verify, and links ended for it; superpeers that promised records and gave none; pairs of records with one version and two bodies.")
            .ask("bad hints", format!("sum({})", rate(&BAD_HINTS, "")))
            .ask("links ended", format!("sum({})", rate(&BAD_LINKS, "")))
            .ask("promises broken", format!("sum({})", rate(&PROMISES_BROKEN, "")))
            .ask("equivocations", format!("sum({})", rate(&EQUIVOCATIONS, ""))),
        lines("Proofs kept", "short", "Pairs of records with one version and two bodies, kept as proof.")
            .ask("{{instance}}", of(&EQUIVOCATIONS_KEPT, "")),
    ]
}

fn records() -> Vec<Panel> {
    vec![
        lines("Records", "short", "Stored, the own names' included.").ask("{{instance}}", of(&RECORDS, "")),
        lines("Bytes of records", "bytes", "As they travel.").ask("{{instance}}", of(&RECORD_BYTES, "")),
        lines("Taken and dropped", "ops", "Records taken into the store, and dropped from it by reason.")
            .ask("stored", format!("sum({})", rate(&RECORDS_STORED, "")))
            .ask("{{reason}}", format!("sum by (reason) ({})", rate(&RECORDS_DROPPED, ""))),
        lines(
            "Moved",
            "ops",
            "Between superpeers: handed over to a newcomer, repaired after a death, pushed by a leaver.",
        )
        .ask("{{reason}}", format!("sum by (reason) ({})", rate(&RECORDS_MOVED, ""))),
    ]
}

fn map() -> Vec<Panel> {
    vec![
        lines("Superpeers in the map", "short", "Each one's own count. Far apart for long: a partition.")
            .ask("{{instance}}", of(&SUPERPEERS, "")),
        lines(
            "Suspects and dropped",
            "ops",
            "Superpeers that failed one and were told to others, and those dropped at the map's bound.",
        )
        .ask("suspects told", format!("sum({})", rate(&SUSPECTS_TOLD, "")))
        .ask("dropped", format!("sum({})", rate(&MAP_DROPPED, ""))),
        lines("News", "ops", "Statements of other superpeers that were news, those by which a suspect said that it lives, and news that were not told on.")
            .ask("heard", format!("sum({})", rate(&STATEMENTS_HEARD, "")))
            .ask("refuted", format!("sum({})", rate(&REFUTATIONS, "")))
            .ask("not told", format!("sum({})", rate(&NEWS_DROPPED, ""))),
        lines("Taking over", "short", "Superpeers that have not finished taking over their range.")
            .ask("syncing", format!("sum({})", of(&SYNCING, ""))),
    ]
}
