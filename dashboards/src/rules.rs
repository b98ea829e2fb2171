//! Prometheus's recording and alert rules.
//!
//! Alerts are about symptoms; the dashboards show causes. Thresholds are guesses unless they say otherwise.

use callbook_bootstrap::metrics::names::REQUESTS;
use callbook_host::metrics::Metric;
use callbook_host::metrics::names::{
    BUILD_INFO, CENSUS_LAST_SUCCESS, CHILDREN, CHILDREN_MAX, LOOKUPS, NETWORK_SIZE, NETWORK_SIZE_STDDEV,
    NODE_ROLE, PEER_DEPARTURES, PEERS_ONLINE, PROCESS_START_TIME, STORE_COMMIT_FAILURES, SUPERPEERS,
};

/// A rule that is recorded.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Its name: level, metric, operation.
    pub record: &'static str,
    /// What it is.
    pub expr: String,
}

/// A rule that fires.
#[derive(Debug, Clone)]
pub struct Alert {
    /// Its name.
    pub alert: &'static str,
    /// When it fires.
    pub expr: String,
    /// For how long that must hold.
    pub hold: &'static str,
    /// `page` or `ticket`.
    pub severity: &'static str,
    /// What it means, and what to look at.
    pub summary: &'static str,
}

const ONLINE: &str = "callbook:children_online:sum";
const GONE: &str = "callbook:departures:increase1h";
const DEPARTURES: &str = "callbook:departure_ratio:1h";

/// Departures within an hour below which there is no spike: in a small network three times the usual number is two
/// people who go home. Guess: as many as lost ones for a mass timeout.
const SPIKE_LEAST: u32 = 10;

const ANSWERED: &str = "callbook:lookups_answered:ratio5m";

fn increase(metric: &Metric, labels: &str, window: &str) -> String {
    format!("increase({}{{{labels}}}[{window}])", metric.series())
}

/// Every series of a gauge. With braces, so that a reader knows it for a metric.
fn all(metric: &Metric) -> String {
    format!("{}{{}}", metric.series())
}

/// All rules that are recorded.
#[must_use]
pub fn recordings() -> Vec<Recording> {
    let online = format!("sum({}{{role=\"child\"}})", PEERS_ONLINE.series());
    // Who has moved to another parent is still there.
    let departures = increase(&PEER_DEPARTURES, "role=\"child\",reason!=\"moved\"", "1h");
    let rate = |labels: &str| format!("sum(rate({}{{op=\"resolve\"{labels}}}[5m]))", LOOKUPS.series());
    vec![
        Recording { record: ONLINE, expr: online },
        Recording { record: GONE, expr: format!("sum({departures})") },
        Recording { record: DEPARTURES, expr: format!("{GONE} / (avg_over_time({ONLINE}[1h]) > 0)") },
        Recording { record: ANSWERED, expr: format!("{} / {}", rate(",result=~\"found|absent\""), rate("")) },
    ]
}

/// All rules that fire.
#[must_use]
pub fn alerts() -> Vec<Alert> {
    let mut alerts = about_the_network();
    alerts.extend(about_censuses());
    alerts.extend(about_processes());
    alerts
}

fn about_the_network() -> Vec<Alert> {
    let timeouts = increase(&PEER_DEPARTURES, "role=\"child\",reason=\"timeout\"", "10m");
    let goodbyes = increase(&PEER_DEPARTURES, "role=\"child\",reason=\"graceful\"", "10m");
    // A child's map is as large as its parent's word; it may have few contacts and lack nothing.
    let map = format!(
        "({} and on (job, instance) ({}{{role=\"superpeer\"}} == 1))",
        all(&SUPERPEERS),
        NODE_ROLE.series()
    );
    vec![
        Alert {
            alert: "CallbookLookupsUnanswered",
            expr: format!("{ANSWERED} < 0.95"),
            hold: "10m",
            severity: "page",
            summary: "Fewer than 95 % of look-ups end in found or absent: see Look-ups, by result",
        },
        Alert {
            alert: "CallbookChurnSpike",
            expr: format!(
                "{DEPARTURES} > 3 * quantile_over_time(0.5, {DEPARTURES}[24h]) and {GONE} >= {SPIKE_LEAST}"
            ),
            hold: "15m",
            severity: "ticket",
            summary: "Children leave three times as often as on the median of the last day: see Churn, by reason",
        },
        Alert {
            alert: "CallbookMassTimeout",
            expr: format!("sum({timeouts}) > 10 and sum({timeouts}) > 5 * sum({goodbyes})"),
            hold: "1m",
            severity: "page",
            summary: "Many children are lost and few say goodbye: rather a network that failed than people who left",
        },
        Alert {
            alert: "CallbookMapsDisagree",
            expr: format!("max({map}) > 2 * min({map})"),
            hold: "30m",
            severity: "page",
            summary: "Superpeers know very different numbers of superpeers: a partition, or somebody is cut off",
        },
        Alert {
            alert: "CallbookNobodyObserves",
            // The login server and a census have such series too, and observe no child.
            expr: format!("absent({}{{job=\"callbook\"}})", PEERS_ONLINE.series()),
            hold: "15m",
            severity: "ticket",
            summary: "No daemon is scraped: the churn dashboard shows nothing",
        },
    ]
}

fn about_censuses() -> Vec<Alert> {
    let of_superpeers = |metric: &Metric, method: &str| {
        format!("{}{{role=\"superpeer\",method=\"{method}\"}}", metric.series())
    };
    let counted = of_superpeers(&NETWORK_SIZE, "counted");
    let density = of_superpeers(&NETWORK_SIZE, "density");
    let deviation = of_superpeers(&NETWORK_SIZE_STDDEV, "density");
    vec![
        Alert {
            alert: "CallbookSizesDisagree",
            // One census each: its own count, estimate and deviation. Both have to be off: three deviations may be little
            // in a large network, twice as many a matter of chance in a small one.
            expr: format!(
                "abs(({density} > 0) - ignoring (method) {counted}) > ignoring (method) 3 * {deviation} and ({density} > ignoring (method) 2 * {counted} or 2 * {density} < ignoring (method) {counted})"
            ),
            hold: "30m",
            severity: "ticket",
            summary: "A census counts far more or far fewer superpeers than their places let guess: a partition, lies, or many who can't be reached",
        },
        Alert {
            alert: "CallbookCensusStale",
            // Of each census; 0 is none since its process started.
            expr: format!(
                "time() - {} > 3600 and on (job, instance) time() - {} > 3600",
                all(&CENSUS_LAST_SUCCESS),
                all(&PROCESS_START_TIME)
            ),
            hold: "5m",
            severity: "ticket",
            summary: "No walk of the census was complete for an hour: its figures are old",
        },
    ]
}

fn about_processes() -> Vec<Alert> {
    vec![
        Alert {
            alert: "CallbookSuperpeerFull",
            expr: format!("{} / {} >= 0.75", all(&CHILDREN), all(&CHILDREN_MAX)),
            hold: "10m",
            severity: "ticket",
            summary: "A superpeer takes no newcomers, for it keeps its last quarter for those whose parent fails: more superpeers are needed",
        },
        Alert {
            alert: "CallbookLoginFailing",
            expr: format!("sum({}) > 0", increase(&REQUESTS, "result=\"failed\"", "10m")),
            hold: "0m",
            severity: "page",
            summary: "The login server fails requests by its own fault: its log says why",
        },
        Alert {
            alert: "CallbookStoreFailing",
            expr: format!("{} > 0", increase(&STORE_COMMIT_FAILURES, "", "10m")),
            hold: "0m",
            severity: "page",
            summary: "Commits to disk fail: records since then are only in memory",
        },
        Alert {
            alert: "CallbookDown",
            expr: "up{job=\"callbook\"} == 0".to_owned(),
            hold: "5m",
            severity: "ticket",
            summary: "A daemon that announced its metrics and did not say goodbye does not answer, or shows more than prometheus.yml allows",
        },
        Alert {
            alert: "CallbookVersionSkew",
            expr: format!(
                "count(count by (version) ({}{{version=~\"callbook/.+\"}})) > 1",
                BUILD_INFO.series()
            ),
            hold: "24h",
            severity: "ticket",
            summary: "Daemons of several versions have been running for a day: an upgrade got stuck",
        },
    ]
}

/// The file of recording rules.
#[must_use]
pub fn recordings_yaml() -> String {
    let mut text = String::from("groups:\n  - name: callbook\n    rules:\n");
    for Recording { record, expr } in recordings() {
        text.push_str(&format!("      - record: {record}\n        expr: |-\n          {expr}\n"));
    }
    text
}

/// The file of alert rules.
#[must_use]
pub fn alerts_yaml() -> String {
    let mut text = String::from("groups:\n  - name: callbook-alerts\n    rules:\n");
    for Alert { alert, expr, hold, severity, summary } in alerts() {
        text.push_str(&format!(
            "      - alert: {alert}\n        expr: |-\n          {expr}\n        for: {hold}\n        labels:\n          \
             severity: {severity}\n        annotations:\n          summary: \"{summary}\"\n"
        ));
    }
    text
}
