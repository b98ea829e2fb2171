//! Churn: who comes, goes, and for how long; for those who measure.

use callbook_host::metrics::names::{
    CENSUS_BAD_HINTS, CENSUS_LAST_SUCCESS, CENSUS_OVERLOOKED, CENSUS_RECOVERED, CENSUS_SUPERPEERS,
    CENSUS_TELLING, CENSUS_VISITS, CENSUS_WALK_DURATION, CENSUS_WALKS, NETWORK_SIZE, NETWORK_SIZE_STDDEV,
    PEER_ARRIVALS, PEER_DEPARTURES, PEER_DOWNTIME, PEER_FLAPS, PEER_SESSION_DURATION, PEERS_CLASS,
    PEERS_ESTIMATE, PEERS_KNOWN, PEERS_ONLINE, PEERS_OVERLOOKED, PEERS_SEEN_WITHIN, PEERS_UPTIME_AT_LEAST,
    SESSION_SURVIVAL, SUPERPEERS,
};

use super::{children, children_in_an_hour, departure_ratio, departures_in_an_hour, moves_in_an_hour};
use crate::model::{Dashboard, Draw, Panel, Variable};
use crate::promql::{grown, increase, mean, observed, observed_grown, of, quantile, rate};

/// Children have one parent each, so sums over superpeers count nobody twice.
const CHILD: &str = "role=\"child\"";

/// Superpeers are seen by many, so only one's view is shown.
const SUPERPEER: &str = "role=\"superpeer\"";

/// Of ended sessions and departures: those that did not only go on at another parent.
const GONE: &str = "role=\"child\",reason!=\"moved\"";

/// The shares of which quantiles are shown.
const SHARES: [(&str, &str); 4] = [("p25", "0.25"), ("p50", "0.5"), ("p75", "0.75"), ("p95", "0.95")];

/// The dashboard.
#[must_use]
pub fn board() -> Dashboard {
    Dashboard {
        uid: "callbook-churn",
        title: "Callbook / Churn",
        description: "Sessions as superpeers see them with their own eyes. A session is a run of observations of one PeerId without a confirmed end; a peer that is lost and back within 60 s has flapped, and its session goes on. Children are summed over the superpeers that are chosen: each has one parent. Superpeers are seen by many, so theirs are shown as one observer has them: choose a superpeer, or a census (callbook census), which sees all of them by visits.",
        from: "now-7d",
        instances: PEERS_ONLINE.series(),
        // Children see no superpeers.
        variables: vec![Variable::One(
            "observer",
            format!("{}{{job=~\"$job\",role=\"superpeer\"}} > 0", PEERS_ONLINE.series()),
        )],
        annotation: None,
        rows: vec![
            ("Children who come and go", flow()),
            ("Ratios", ratios()),
            ("Lengths", lengths()),
            ("Who is there", population()),
            ("Superpeers, as $observer sees them", superpeers()),
            ("The network from outside (callbook census)", census()),
        ],
    }
}

fn lines(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Lines, title, unit, description)
}

fn bars(title: &'static str, unit: &'static str, description: &'static str) -> Panel {
    Panel::new(Draw::Bars, title, unit, description)
}

fn flow() -> Vec<Panel> {
    let by = |label: &str, metric| format!("sum by ({label}) ({}) * 3600", rate(metric, CHILD));
    vec![
        lines("Online", "short", "Children that are there now. Lost ones are not, also while they may still be a flap.")
            .ask("children", children()),
        lines("Arrivals per hour", "short", "Sessions that began; returning: of a peer known from an earlier session. A superpeer that starts sees everybody as new. A child that moves to another parent arrives there.")
            .ask("{{kind}}", by("kind", &PEER_ARRIVALS)),
        lines("Departures per hour", "short", "Sessions that ended, downwards. graceful: a goodbye; timeout: lost for 60 s; moved: it told us of another parent, so it is still there, and no ratio counts it; replaced: another peer has its device key; banned: too much that it said did not verify. A move that we are not told of is a timeout.")
            .ask("{{reason}}", format!("-({})", by("reason", &PEER_DEPARTURES))),
        lines("Flaps per hour", "short", "Children that were lost and back within 60 s. They end no session.")
            .ask("children", format!("sum({}) * 3600", rate(&PEER_FLAPS, CHILD))),
        lines("Graceful departures", "percentunit", "The share of departures with a goodbye, in the last hour; moves are none.").ask(
            "graceful",
            format!(
                "sum({}) / {}",
                increase(&PEER_DEPARTURES, "role=\"child\",reason=\"graceful\"", "1h"),
                departures_in_an_hour()
            ),
        ),
        lines("Overlooked", "short", "Peers that came while the book of sessions was full of peers that are there: not in any figure.")
            .ask("overlooked", format!("sum({})", increase(&PEERS_OVERLOOKED, "", "1h"))),
        lines("In the book", "short", "Peers whose sessions are remembered, those that have gone too.")
            .ask("{{instance}}", of(&PEERS_KNOWN, "")),
    ]
}

fn ratios() -> Vec<Panel> {
    let arrivals = format!("sum({})", increase(&PEER_ARRIVALS, CHILD, "1h"));
    let (departures, online, moves) = (departures_in_an_hour(), children_in_an_hour(), moves_in_an_hour());
    let busiest = format!("max_over_time(({})[1h:1m])", children());
    vec![
        lines("Departure ratio, 1 h", "percentunit", "Departures of children within an hour / mean number online in it; moved: those who went to another parent, in the same relation, who are no departures. Every event counts: who comes and goes three times counts three times. No point where none was online.")
            .ask("children", departure_ratio())
            .ask("moved", format!("{moves} / ({online} > 0)")),
        lines("Turnover ratio, 1 h", "percentunit", "(Arrivals + departures) of children within an hour / the most online at once in it. A move is neither, so as many as moved are taken from the arrivals: of all superpeers; of a few that are chosen, no more than arrived there. No point where none was online.")
            .ask("children", format!("(clamp_min({arrivals} - {moves}, 0) + {departures}) / ({busiest} > 0)")),
        lines("Mean session: two ways", "s", "Little's law: mean online / rate of sessions' ends (moves too: a session is what one parent saw), beside the mean of the sessions that ended. Apart for long: events are lost, or the network grows.")
            .ask("online / rate of ends", format!("3600 * {online} / (({departures} + {moves}) > 0)"))
            .ask("mean of ended ones", mean(&PEER_SESSION_DURATION, CHILD, "1h")),
    ]
}

fn lengths() -> Vec<Panel> {
    // Prometheus orders bars by their labels' text.
    let distribution = format!(
        "sort(sum by (le) ({}) / ignoring (le) group_left () sum({}))",
        grown(&PEER_SESSION_DURATION, "bucket", GONE, "$__range"),
        grown(&PEER_SESSION_DURATION, "count", GONE, "$__range")
    );
    let quantiles = |mut panel: Panel, metric, labels| {
        for (legend, share) in SHARES {
            panel = panel.ask(legend, quantile(share, metric, labels, "$__range"));
        }
        panel
    };
    vec![
        bars("Sessions up to a length", "percentunit", "The share of the sessions that ended in the range which were at most so long (in seconds); who moved to another parent has not ended.")
            .ask("{{le}}", distribution),
        quantiles(lines("Session length", "s", "Quantiles of the sessions that ended in the range. Open ones are not in it, nor who moved to another parent, so it leans to short ones: read it beside the survival of those present."), &PEER_SESSION_DURATION, GONE),
        Panel::new(Draw::Heatmap, "Session lengths over time", "s", "How many sessions of which length ended when.")
            .ask("{{le}}", format!("sum by (le) ({})", grown(&PEER_SESSION_DURATION, "bucket", GONE, "$__interval"))),
        quantiles(lines("Downtime", "s", "Quantiles of the time between the end of a session and the same peer's next one, in the range; only of peers that came back to the same superpeer."), &PEER_DOWNTIME, CHILD),
        bars("Survival of those present", "percentunit", "The share of the children online whose session is at least so old. Nothing while none is online.").ask(
            "{{threshold}}",
            format!(
                "sort_desc(sum by (threshold) ({}) / ignoring (threshold) group_left () ({} > 0))",
                of(&PEERS_UPTIME_AT_LEAST, CHILD),
                children()
            ),
        ),
    ]
}

fn population() -> Vec<Panel> {
    vec![
        Panel::new(Draw::Stack, "Classes over 24 h", "short", "Children; online: there all day; entered: came and stayed; left: was there and went; oneoff: came and went once; dangling: came and went more often; offline: known, and not there all day. A child counts at each superpeer that was its parent.")
            .ask("{{class}}", format!("sum by (class) ({})", of(&PEERS_CLASS, CHILD))),
        lines("Seen within", "short", "Children that were seen within the time, gone ones too, at each superpeer that was their parent.")
            .ask("{{window}}", format!("sum by (window) ({})", of(&PEERS_SEEN_WITHIN, CHILD))),
        lines("Network size, three ways", "short", "What children attach adds up to, what superpeers guess from loads (median), and the largest map. Far apart for long: a partition, or somebody lies.")
            .ask("children + superpeers", format!("{} + max({})", children(), of(&SUPERPEERS, "")))
            .ask("guessed from loads", format!("quantile(0.5, {} > 0)", of(&PEERS_ESTIMATE, "")))
            .ask("superpeers in the map", format!("max({})", of(&SUPERPEERS, ""))),
    ]
}

/// As one observer has them: never summed over several, who all see the same.
fn superpeers() -> Vec<Panel> {
    let hourly = |metric, labels: &str| observed_grown(metric, None, labels, "1h");
    let buckets = observed_grown(&PEER_SESSION_DURATION, Some("bucket"), SUPERPEER, "$__range");
    let mut lengths = lines(
        "Session length of superpeers",
        "s",
        "Quantiles of the sessions that ended in the range, as the observer saw them. Open ones are not in it.",
    );
    for (legend, share) in SHARES {
        lengths = lengths.ask(legend, format!("histogram_quantile({share}, sum by (le) ({buckets}))"));
    }
    let downtimes = observed_grown(&PEER_DOWNTIME, Some("bucket"), SUPERPEER, "$__range");
    vec![
        lines("Superpeers online", "short", "Superpeers that are there now.")
            .ask("superpeers", format!("sum({})", observed(&PEERS_ONLINE, SUPERPEER))),
        lines(
            "Superpeers that come and go",
            "short",
            "Within an hour: sessions that began (upwards), sessions that ended (downwards), and flaps.",
        )
        .ask("{{kind}}", format!("sum by (kind) ({})", hourly(&PEER_ARRIVALS, SUPERPEER)))
        .ask("{{reason}}", format!("-(sum by (reason) ({}))", hourly(&PEER_DEPARTURES, SUPERPEER)))
        .ask("flaps", format!("sum({})", hourly(&PEER_FLAPS, SUPERPEER))),
        lengths,
        lines(
            "Downtime of superpeers",
            "s",
            "The median time between the end of a session and the same superpeer's next one, in the range.",
        )
        .ask("p50", format!("histogram_quantile(0.5, sum by (le) ({downtimes}))")),
        bars(
            "Survival of superpeers present",
            "percentunit",
            "The share of the superpeers online whose session is at least so old.",
        )
        .ask(
            "{{threshold}}",
            format!(
                "sort_desc(sum by (threshold) ({}) / ignoring (threshold) group_left () (sum({}) > 0))",
                observed(&PEERS_UPTIME_AT_LEAST, SUPERPEER),
                observed(&PEERS_ONLINE, SUPERPEER)
            ),
        ),
        Panel::new(
            Draw::Stack,
            "Classes of superpeers over 24 h",
            "short",
            "As for children: online, entered, left, oneoff, dangling, offline.",
        )
        .ask("{{class}}", format!("sum by (class) ({})", observed(&PEERS_CLASS, SUPERPEER))),
        lines("Superpeers seen within", "short", "Superpeers that were seen within the time, gone ones too.")
            .ask("{{window}}", format!("sum by (window) ({})", observed(&PEERS_SEEN_WITHIN, SUPERPEER))),
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
        bars("Survival by Kaplan and Meier", "percentunit", "The share of superpeers' sessions that lasts longer than an age. Sessions that go on count for as long as they were seen, so it does not lean to short ones; only sessions whose beginning a census saw are in it. Visits are 1 to 15 minutes apart: so exact is the length of a session.")
            .ask("{{age}}", format!("sort_desc(max by (age) ({}))", of(&SESSION_SURVIVAL, ""))),
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
