//! Churn: who comes, goes, and for how long; for those who measure.

use callbook_host::metrics::names::{
    CENSUS_BAD_HINTS, CENSUS_LAST_SUCCESS, CENSUS_OVERLOOKED, CENSUS_RECOVERED, CENSUS_SUPERPEERS,
    CENSUS_TELLING, CENSUS_VISITS, CENSUS_WALK_DURATION, CENSUS_WALKS, NETWORK_SIZE, NETWORK_SIZE_STDDEV,
    PEER_ARRIVALS, PEER_DEPARTURES, PEER_DOWNTIME, PEER_FLAPS, PEER_SESSION_DURATION, PEERS_CLASS,
    PEERS_ESTIMATE, PEERS_KNOWN, PEERS_ONLINE, PEERS_OVERLOOKED, PEERS_SEEN_WITHIN, PEERS_UPTIME_AT_LEAST,
    SESSION_SURVIVAL, SUPERPEERS,
};

use super::{children, children_in_an_hour, departure_ratio, departures_in_an_hour};
use crate::model::{Dashboard, Draw, Panel, Variable};
use crate::promql::{grown, increase, mean, of, quantile, rate};

const ROLE: &str = "role=~\"$role\"";

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    Dashboard {
        uid: "callbook-churn",
        title: "Callbook / Churn",
        description: "Sessions as superpeers see them with their own eyes. A session is a run of observations of one PeerId without a confirmed end; a peer that is lost and back within 60 s has flapped, and its session goes on. Choose one instance for superpeers: whom several see is counted by each of them. A census (callbook census) sees all of them, by visits: choose it for the sessions of superpeers.",
        from: "now-7d",
        instances: PEERS_ONLINE.series(),
        variables: vec![Variable::Words("role", &["child", "superpeer"])],
        annotation: None,
        rows: vec![
            ("Who comes and goes", flow()),
            ("Ratios", ratios()),
            ("Lengths", lengths()),
            ("Who is there", population()),
            ("The network from outside (callbook census)", census()),
        ],
    }
}

fn lines(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Lines, title, unit, description)
}

fn flow() -> Vec<Panel> {
    let by = |label: &str, metric| format!("sum by (role, {label}) ({}) * 3600", rate(metric, ROLE));
    vec![
        lines("Online by role", "short", "Peers that are there now. Lost ones are not, also while they may still be a flap.")
            .ask("{{role}}", format!("sum by (role) ({})", of(&PEERS_ONLINE, ROLE))),
        lines("Arrivals per hour", "short", "Sessions that began; returning: of a peer known from an earlier session. A superpeer that starts sees everybody as new.")
            .ask("{{role}} {{kind}}", by("kind", &PEER_ARRIVALS)),
        lines("Departures per hour", "short", "Sessions that ended, downwards. graceful: a goodbye; timeout: lost for 60 s; moved: it told us of another parent; replaced: another peer has its device key; banned: too much that it said did not verify. A child that moves to another parent is a departure here (timeout or moved) and an arrival there.")
            .ask("{{role}} {{reason}}", format!("-({})", by("reason", &PEER_DEPARTURES))),
        lines("Flaps per hour", "short", "Peers that were lost and back within 60 s. They end no session.")
            .ask("{{role}}", format!("sum by (role) ({}) * 3600", rate(&PEER_FLAPS, ROLE))),
        lines("Graceful departures", "percentunit", "The share of departures with a goodbye, in the last hour.").ask(
            "graceful",
            format!(
                "sum({}) / sum({})",
                increase(&PEER_DEPARTURES, &format!("{ROLE},reason=\"graceful\""), "1h"),
                increase(&PEER_DEPARTURES, ROLE, "1h")
            ),
        ),
        lines("Overlooked", "short", "Peers that came while the book of sessions was full of peers that are there: not in any figure.")
            .ask("overlooked", format!("sum({})", increase(&PEERS_OVERLOOKED, "", "1h"))),
        lines("In the book", "short", "Peers whose sessions are remembered, those that have gone too.")
            .ask("{{instance}}", of(&PEERS_KNOWN, "")),
    ]
}

fn ratios() -> Vec<Panel> {
    let arrivals = format!("sum({})", increase(&PEER_ARRIVALS, "role=\"child\"", "1h"));
    let (departures, online) = (departures_in_an_hour(), children_in_an_hour());
    let busiest = format!("max_over_time(({})[1h:1m])", children());
    vec![
        lines("Departure ratio, 1 h", "percentunit", "Departures of children within an hour / mean number online in it. Every event counts: who comes and goes three times counts three times. No point where none was online.")
            .ask("children", departure_ratio()),
        lines("Turnover ratio, 1 h", "percentunit", "(Arrivals + departures) of children within an hour / the most online at once in it. No point where none was.")
            .ask("children", format!("({arrivals} + {departures}) / ({busiest} > 0)")),
        lines("Mean session: two ways", "s", "Little's law: mean online / departure rate, beside the mean of the sessions that ended. Apart for long: events are lost, or the network grows.")
            .ask("online / departure rate", format!("3600 * {online} / ({departures} > 0)"))
            .ask("mean of ended ones", mean(&PEER_SESSION_DURATION, "role=\"child\"", "1h")),
    ]
}

fn lengths() -> Vec<Panel> {
    let distribution = format!(
        "sum by (le) ({}) / ignoring (le) group_left () sum({})",
        grown(&PEER_SESSION_DURATION, "bucket", ROLE, "$__range"),
        grown(&PEER_SESSION_DURATION, "count", ROLE, "$__range")
    );
    let sessions = [("p25", "0.25"), ("p50", "0.5"), ("p75", "0.75"), ("p95", "0.95")];
    let mut quantiles = lines(
        "Session length",
        "s",
        "Quantiles of the sessions that ended in the range. Open ones are not in it, so it leans to short ones: read it beside the survival of those present.",
    );
    for (legend, share) in sessions {
        quantiles = quantiles.ask(legend, quantile(share, &PEER_SESSION_DURATION, ROLE, "$__range"));
    }
    vec![
        Panel::new(Draw::Bars, "Sessions up to a length", "percentunit", "The share of the sessions that ended in the range which were at most so long (in seconds).")
            .ask("{{le}}", distribution),
        quantiles,
        Panel::new(Draw::Heatmap, "Session lengths over time", "s", "How many sessions of which length ended when.")
            .ask("{{le}}", format!("sum by (le) ({})", grown(&PEER_SESSION_DURATION, "bucket", ROLE, "$__interval"))),
        lines("Downtime", "s", "Quantiles of the time between the end of a session and the same peer's next one, in the range; only of peers that came back to the same superpeer.")
            .ask("p50", quantile("0.5", &PEER_DOWNTIME, ROLE, "$__range"))
            .ask("p95", quantile("0.95", &PEER_DOWNTIME, ROLE, "$__range")),
        Panel::new(Draw::Bars, "Survival of those present", "percentunit", "The share of the peers online whose session is at least so old.").ask(
            "{{threshold}}",
            format!(
                "sum by (threshold) ({}) / ignoring (threshold) group_left () sum({})",
                of(&PEERS_UPTIME_AT_LEAST, ""),
                of(&PEERS_ONLINE, "")
            ),
        ),
    ]
}

fn population() -> Vec<Panel> {
    vec![
        Panel::new(Draw::Stack, "Classes over 24 h", "short", "online: there all day; entered: came and stayed; left: was there and went; oneoff: came and went once; dangling: came and went more often; offline: known, and not there all day. A peer counts at each superpeer that saw it.")
            .ask("{{class}}", format!("sum by (class) ({})", of(&PEERS_CLASS, ""))),
        lines("Seen within", "short", "Peers that were seen within the time, gone ones too, at each superpeer that saw them.")
            .ask("{{window}}", format!("sum by (window) ({})", of(&PEERS_SEEN_WITHIN, ""))),
        lines("Network size, three ways", "short", "What children attach adds up to, what superpeers guess from loads (median), and the largest map. Far apart for long: a partition, or somebody lies.")
            .ask("children + superpeers", format!("{} + max({})", children(), of(&SUPERPEERS, "")))
            .ask("guessed from loads", format!("quantile(0.5, {} > 0)", of(&PEERS_ESTIMATE, "")))
            .ask("superpeers in the map", format!("max({})", of(&SUPERPEERS, ""))),
    ]
}

fn census() -> Vec<Panel> {
    let size = |role: &str| format!("max by (method) ({})", of(&NETWORK_SIZE, &format!("role=\"{role}\"")));
    let superpeers = of(&NETWORK_SIZE, "role=\"superpeer\"");
    let off = of(&NETWORK_SIZE_STDDEV, "role=\"superpeer\"");
    vec![
        lines("Superpeers, three ways", "short", "counted: those that a walk through the whole key space reached; density: from how near the nearest to each superpeer are (wrong if places are chosen); recapture: from whom two halves of the superpeers name, and whom both (Chapman). Far apart: a partition, lies, or many who can't be reached.")
            .ask("{{method}}", size("superpeer")),
        lines("How uncertain that is", "short", "Two standard deviations above and below the estimates; of those that were counted there is none.")
            .ask("{{method}} at most", format!("max by (method) ({superpeers} + 2 * {off})"))
            .ask("{{method}} at least", format!("max by (method) ({superpeers} - 2 * {off})")),
        lines("Children, three ways", "short", "The same times the mean number of children of those superpeers that tell how many they have.")
            .ask("{{method}}", size("child")),
        Panel::new(Draw::Bars, "Survival by Kaplan and Meier", "percentunit", "The share of superpeers' sessions that lasts longer than an age. Sessions that go on count for as long as they were seen, so it does not lean to short ones; only sessions whose beginning a census saw are in it. Visits are 1 to 15 minutes apart: so exact is the length of a session.")
            .ask("{{age}}", format!("max by (age) ({})", of(&SESSION_SURVIVAL, ""))),
        lines("Superpeers of a walk", "short", "Those that answered in the last walk, those that were named and did not, and how many told the number of their children.")
            .ask("{{state}}", format!("max by (state) ({})", of(&CENSUS_SUPERPEERS, "")))
            .ask("telling", format!("max({})", of(&CENSUS_TELLING, ""))),
        lines("Visits", "reqps", "By what came of them, in walks and between them. replaced: somebody else was at the address; demoted: it is there, and no superpeer any more.")
            .ask("{{result}}", format!("sum by (result) ({})", rate(&CENSUS_VISITS, ""))),
        lines("Doubts", "short", "Within an hour: sessions that a failed visit made doubtful and that went on, hints that did not verify, superpeers beyond the bound of a walk.")
            .ask("recovered", format!("sum({})", increase(&CENSUS_RECOVERED, "", "1h")))
            .ask("bad hints", format!("sum({})", increase(&CENSUS_BAD_HINTS, "", "1h")))
            .ask("overlooked", format!("sum({})", increase(&CENSUS_OVERLOOKED, "", "1h"))),
        lines("Walks per hour", "short", "complete: all of the key space was told of, and everybody who was named was visited.")
            .ask("{{result}}", format!("sum by (result) ({})", increase(&CENSUS_WALKS, "", "1h"))),
        lines("Length of a walk", "s", "The mean within an hour.")
            .ask("mean", mean(&CENSUS_WALK_DURATION, "", "1h")),
        lines("Age of the last complete walk", "s", "Since it ended. Figures of a census are as old as this.")
            .ask("age", format!("time() - max({} > 0)", of(&CENSUS_LAST_SUCCESS, ""))),
    ]
}
