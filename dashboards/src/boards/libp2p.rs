//! Transport: connections, dials and links. Connections come and go as links are needed, so nothing here is
//! churn.

use callbook_host::metrics::names::{
    DIALS_FAILED, LINK_BYTES, LINK_ENDS, LINK_FRAMES, LINK_THROTTLES, LINK_WRITES, LINKS,
};

use crate::model::{Dashboard, Draw, Panel};
use crate::promql::{CHOSEN, of, rate};

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    Dashboard {
        uid: "callbook-libp2p",
        title: "Callbook / libp2p",
        description: "Connections, dials and links. No kad, ping, relay or DCUtR: Callbook does not use them. A connection's end says nothing of its peer's.",
        from: "now-6h",
        instances: "libp2p_swarm_dial_attempt_total".to_owned(),
        variables: Vec::new(),
        annotation: None,
        rows: vec![("Connections", connections()), ("Links", links())],
    }
}

fn lines(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Lines, title, unit, description)
}

fn libp2p_rate(name: &str) -> String {
    format!("rate(libp2p_swarm_{name}{{{CHOSEN}}}[$__rate_interval])")
}

fn connections() -> Vec<Panel> {
    let established = "connections_established_total";
    let closed = "connections_duration_seconds_count";
    let opened = format!("sum by (protocols) (libp2p_swarm_{established}{{{CHOSEN}}})");
    let ended = format!("sum by (protocols) (libp2p_swarm_{closed}{{{CHOSEN}}})");
    let handshake = |share| {
        let buckets = libp2p_rate("connections_establishment_duration_bucket");
        format!("histogram_quantile({share}, sum by (le, protocols) ({buckets}))")
    };
    let lives = libp2p_rate("connections_duration_seconds_bucket");
    // libp2p shows an error only once there was one: none is 0, but only where somebody is scraped.
    let dials = libp2p_rate("dial_attempt_total");
    let errors = |name| {
        let errors = libp2p_rate(name);
        format!("sum by (error) ({errors}) or sum({dials}) * 0 unless on () {errors}")
    };
    vec![
        lines("Opened", "cps", "Connections established, by transport and who dialled.").ask(
            "{{role}} {{protocols}}",
            format!("sum by (role, protocols) ({})", libp2p_rate(established)),
        ),
        lines("Closed", "cps", "Connections closed, by cause.")
            .ask("{{cause}} {{protocols}}", format!("sum by (cause, protocols) ({})", libp2p_rate(closed))),
        lines("Open", "short", "Opened less closed, by transport.")
            .ask("{{protocols}}", format!("{opened} - ({ended} or {opened} * 0)")),
        lines("Handshake", "s", "Until a connection was established, by transport.")
            .ask("p50 {{protocols}}", handshake("0.5"))
            .ask("p95 {{protocols}}", handshake("0.95")),
        lines("Life of connections", "s", "Median of those that were closed, by cause.")
            .ask("{{cause}}", format!("histogram_quantile(0.5, sum by (le, cause) ({lives}))")),
        lines("Dials", "ops", "Dials begun, and those that failed on every transport.")
            .ask("begun", format!("sum({dials})"))
            .ask("failed", format!("sum({})", rate(&DIALS_FAILED, ""))),
        lines("Errors", "ops", "Of dials that we made and of connections that came in, by what went wrong.")
            .ask("out: {{error}}", errors("outgoing_connection_error_total"))
            .ask("in: {{error}}", errors("connections_incoming_error_total")),
    ]
}

fn links() -> Vec<Panel> {
    vec![
        lines("Links", "short", "Overlay streams that are open.").ask("{{instance}}", of(&LINKS, "")),
        lines("Links ended", "ops", "By reason.")
            .ask("{{reason}}", format!("sum by (reason) ({})", rate(&LINK_ENDS, ""))),
        lines("Bandwidth", "Bps", "Bytes on links, before encryption.")
            .ask("{{direction}}", format!("sum by (direction) ({})", rate(&LINK_BYTES, ""))),
        lines("Frames", "ops", "Frames on links, and writes: several frames may go out in one.")
            .ask("{{direction}}", format!("sum by (direction) ({})", rate(&LINK_FRAMES, "")))
            .ask("writes", format!("sum({})", rate(&LINK_WRITES, ""))),
        Panel::new(
            Draw::Stat,
            "Throttled",
            "ops",
            "Times a link was not read because it was above its rate.",
        )
        .ask("throttled", format!("sum({})", rate(&LINK_THROTTLES, ""))),
    ]
}
