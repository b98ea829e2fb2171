//! Every metric, label and value that an expression names is in a real `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use callbook_bootstrap::metrics::names::ALL;
use callbook_dashboards::all;
use callbook_dashboards::boards::experiment::FIGURE;
use callbook_dashboards::rules::{alerts, recordings};
use callbook_e2e::{Network, Peer, Process, Program, http_get, until};
use callbook_host::metrics::{Kind, names};

use super::scan::{Matcher, scan};

/// What pages show: of each series' name its labels, of each label its values.
#[derive(Default)]
struct Shown(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Shown {
    fn add(&mut self, page: &str) {
        for line in page.lines() {
            if !line.starts_with('#') {
                self.add_series(line);
            }
        }
    }

    fn add_series(&mut self, line: &str) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let shown = self.0.entry(name.to_owned()).or_default();
        for pair in labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once("=\"").unwrap();
            shown.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
        }
    }

    fn check(&self, what: &str, expr: &str) {
        let named = scan(expr);
        let mut labels: BTreeSet<&str> = ["job", "instance"].into();
        let mut open = false;
        for (metric, matchers) in &named.selectors {
            if metric == FIGURE || metric == "up" || metric.starts_with("callbook:") {
                open = true;
                continue;
            }
            let shown = self.0.get(metric).unwrap_or_else(|| panic!("{what}: no metric {metric}"));
            labels.extend(shown.keys().map(String::as_str));
            // Jobs are Prometheus's own: those of its configuration.
            let exported = |matcher: &&Matcher| matcher.0 != "job" && !matcher.2.contains('$');
            for (_, _, job) in matchers.iter().filter(|matcher| matcher.0 == "job" && !exported(matcher)) {
                let is_job = CONFIGURED.contains(&format!("job_name: {job}\n"));
                assert!(is_job || job.contains('$'), "{what}: no job {job}");
            }
            for (label, operator, value) in matchers.iter().filter(exported) {
                let known =
                    shown.get(label).unwrap_or_else(|| panic!("{what}: {metric} has no label {label}"));
                if operator != "=~" || !value.contains(".+") {
                    for word in value.split('|') {
                        assert!(
                            known.contains(word),
                            "{what}: {metric} has no {label}=\"{word}\": {known:?}"
                        );
                    }
                }
            }
        }
        for label in named.grouped.iter().filter(|_| !open) {
            assert!(labels.contains(label.as_str()), "{what}: none has a label {label}");
        }
    }
}

/// Says to a peer what is no handshake.
fn babble(peer: &Peer) {
    let address = peer.address().to_string();
    let mut parts = address.split('/').skip(2).step_by(2);
    let (ip, port) = parts.next().zip(parts.next()).unwrap();
    let mut stream = TcpStream::connect(format!("{ip}:{port}")).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // Until the other side has had enough.
    drop(stream.read_to_end(&mut Vec::new()));
}

/// A census of the network: its process, and where its metrics are.
fn census(network: &Network) -> (Process, String) {
    let mut command = network.room.command(Program::Callbook);
    command.arg("--data").arg(network.room.path("census")).args(["--json", "census", "--leave-with-stdin"]);
    command.arg("--network").arg(network.file());
    let mut process = Process::start(&network.room, "census", command);
    let url = process.event("ready")["metrics"].as_str().unwrap().to_owned();
    (process, url)
}

/// Pages of a census, a login server, a superpeer that has lost connections, dialled in vain and been babbled at, and
/// a child: libp2p shows nothing of what has not happened yet.
fn pages() -> Shown {
    let mut network = Network::made();
    let server = network.serve();
    let [first, mut second] = network.superpeers();
    let [child] = network.children();
    child.enrol("shown");
    child.find("shown");
    second.kill();
    babble(&first);
    let url = |ready: &serde_json::Value| ready["metrics"].as_str().unwrap().to_owned();
    let urls = [url(&server), url(first.ready()), url(child.ready())];
    until("connections have ended, dials failed, and one was no connection", || {
        let page = http_get(&urls[1], "/metrics").body;
        let happened = [
            "connections_duration_seconds_count",
            "outgoing_connection_error_total",
            "connections_incoming_error_total",
        ];
        happened.iter().all(|name| page.contains(&format!("libp2p_swarm_{name}{{"))).then_some(())
    });
    let mut shown = Shown::default();
    let (_process, census) = census(&network);
    for url in urls.into_iter().chain([census]) {
        shown.add(&http_get(&url, "/metrics").body);
    }
    shown
}

/// The shipped configuration.
const CONFIGURED: &str = include_str!("../../prometheus/prometheus.yml");

#[test]
fn daemons_can_not_speak_for_the_login_server_or_a_census() {
    // Goal: whoever announces a page of its own making raises no alarm about the login server, and tells nobody how large
    // the network is. Method: what is dropped from daemons is every metric of those two, and none of a daemon's.
    let (_, daemons) = CONFIGURED.split_once("- job_name: callbook\n").unwrap();
    let (daemons, _) = daemons.split_once("- job_name:").unwrap();
    let (_, dropped) = daemons.split_once("regex: callbook_(").unwrap();
    let (words, rest) = dropped.split_once(")_.*\n").unwrap();
    assert!(rest.trim_start().starts_with("action: drop"));
    let is_dropped = |name: &str| words.split('|').any(|word| name.starts_with(&format!("callbook_{word}_")));
    for metric in ALL.iter().chain(names::of_observers()) {
        assert!(is_dropped(metric.name), "{}", metric.name);
    }
    for metric in names::all() {
        assert!(!is_dropped(metric.name), "{}", metric.name);
    }
}

#[test]
fn every_metric_and_label_that_is_asked_for_is_exported() {
    // Goal: no panel and no rule asks for what is not there. Method: the pages of real processes hold every
    // metric, label and value (all combinations are there from the start).
    let shown = pages();
    for dashboard in all() {
        for panel in dashboard.all_panels() {
            for query in &panel.queries {
                shown.check(&format!("{}: {}", dashboard.title, panel.title), &query.expr);
            }
        }
        if let Some((name, expr)) = &dashboard.annotation {
            shown.check(name, expr);
        }
    }
    for rule in recordings() {
        shown.check(rule.record, &rule.expr);
    }
    for rule in alerts() {
        shown.check(rule.alert, &rule.expr);
    }
}

#[test]
fn every_metric_of_ours_is_looked_at() {
    // Goal: nothing is exported for nobody. Method: each metric stands in a panel or a rule.
    let panels = all().into_iter().flat_map(|dashboard| {
        let asked =
            dashboard.all_panels().flat_map(|panel| panel.queries.iter().map(|query| query.expr.clone()));
        asked.collect::<Vec<_>>()
    });
    let rules =
        recordings().into_iter().map(|rule| rule.expr).chain(alerts().into_iter().map(|rule| rule.expr));
    let asked: BTreeSet<String> =
        panels.chain(rules).flat_map(|expr| scan(&expr).selectors).map(|(metric, _)| metric).collect();
    let ours = names::all().chain(names::of_observers()).chain(ALL);
    let unseen = ours.filter(|metric| {
        let series = match metric.kind {
            Kind::Counter | Kind::Gauge => vec![metric.series()],
            Kind::Histogram => ["bucket", "sum", "count"].map(|part| metric.part(part)).to_vec(),
        };
        !series.iter().any(|series| asked.contains(series))
    });
    assert_eq!(unseen.map(|metric| metric.name).collect::<Vec<_>>(), Vec::<&str>::new());
}
