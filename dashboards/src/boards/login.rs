//! The login server: logins, enrolments, and what it knows.

use callbook_bootstrap::metrics::names::{
    ACCOUNTS, ENROLMENTS, LOGIN_DURATION, LOGINS, LOGINS_BEGUN, REQUEST_DURATION, REQUESTS, SUPERPEERS_KNOWN,
};
use callbook_host::metrics::names::{HTTP_REQUEST_DURATION, HTTP_REQUESTS};

use crate::model::{Dashboard, Draw, Panel};
use crate::promql::{grown, increase, mean, of, quantile, rate};

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    Dashboard {
        uid: "callbook-login",
        title: "Callbook / Login server",
        description: "Accounts, logins and certificates. Look-ups don't need this server; enrolment and renewal do.",
        from: "now-24h",
        instances: ACCOUNTS.series(),
        variables: Vec::new(),
        annotation: None,
        rows: vec![("Logins", logins()), ("The service", service()), ("Its listener", http())],
    }
}

fn lines(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Lines, title, unit, description)
}

fn logins() -> Vec<Panel> {
    let stat = |title, description| Panel::new(Draw::Stat, title, "short", description);
    vec![
        stat("Accounts", "Active ones.").ask("accounts", format!("sum({})", of(&ACCOUNTS, ""))),
        stat("Fresh superpeers", "Those that have a link to the server.")
            .ask("fresh", format!("sum({})", of(&SUPERPEERS_KNOWN, "state=\"fresh\""))),
        lines(
            "Logins by result",
            "ops",
            "That reached their last message. Unknown user and wrong password are both refused.",
        )
        .ask("{{result}}", format!("sum by (result) ({})", rate(&LOGINS, ""))),
        lines(
            "Enrolments by result",
            "ops",
            "That reached their last message; and those that ended at their first because the name is taken.",
        )
        .ask("{{result}}", format!("sum by (result) ({})", rate(&ENROLMENTS, "")))
        .ask(
            "taken at once",
            format!("sum({})", rate(&REQUESTS, "request=\"enrol_start\",result=\"taken\"")),
        ),
        lines(
            "Time of a login",
            "s",
            "The last message's, the mean within an hour by result; nothing where there was none.",
        )
        .ask(
            "{{result}}",
            format!(
                "sum by (result) ({}) / (sum by (result) ({}) > 0)",
                grown(&LOGIN_DURATION, "sum", "", "1h"),
                grown(&LOGIN_DURATION, "count", "", "1h")
            ),
        ),
        lines("Logins under way", "short", "Between their two messages; some may have been given up.")
            .ask("begun", format!("sum({})", of(&LOGINS_BEGUN, ""))),
    ]
}

fn service() -> Vec<Panel> {
    vec![
        Panel::new(
            Draw::Stack,
            "Requests by kind",
            "reqps",
            "Renewals and announcements are the heartbeats of daemons.",
        )
        .ask("{{request}}", format!("sum by (request) ({})", rate(&REQUESTS, ""))),
        lines("Not granted", "reqps", "refused: by a rule; taken: the name belongs to somebody; limited: by a rate limit; failed: our fault.")
            .ask("{{result}}", format!("sum by (result) ({})", rate(&REQUESTS, "result!=\"ok\""))),
        lines("Time per request", "s", "With password arithmetic and database, in the last hour.")
            .ask("mean", mean(&REQUEST_DURATION, "", "1h"))
            .ask("p95", quantile("0.95", &REQUEST_DURATION, "", "1h")),
        lines(
            "Superpeers known",
            "short",
            "fresh: heard of within 5 minutes; stale: in the map and not heard of.",
        )
        .ask("{{state}}", format!("sum by (state) ({})", of(&SUPERPEERS_KNOWN, ""))),
    ]
}

fn http() -> Vec<Panel> {
    vec![
        lines("HTTP by route and status", "reqps", "Requests to the listener of metrics and health.")
            .ask("{{handler}} {{code}}", format!("sum by (handler, code) ({})", rate(&HTTP_REQUESTS, ""))),
        lines("HTTP p95", "s", "In the last hour.")
            .ask("p95", quantile("0.95", &HTTP_REQUEST_DURATION, "", "1h")),
        lines(
            "Unavailable",
            "short",
            "Answers 503 within an hour: the driver was silent, the store failed, or it was not ready.",
        )
        .ask("503", format!("sum({})", increase(&HTTP_REQUESTS, "code=\"503\"", "1h"))),
    ]
}
