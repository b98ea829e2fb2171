//! Every metric, label and value that an expression names is in a real `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

use callbook_dashboards::all;
use callbook_dashboards::boards::experiment::FIGURE;
use callbook_dashboards::rules::{alerts, recordings};
use callbook_e2e::{Network, http_get, until};

use super::scan::scan;

/// What pages show: of each series' name its labels, of each label its values.
#[derive(Default)]
struct Shown(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Shown {
    fn add(&mut self, page: &str) {
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                self.declare(rest);
            } else if !line.starts_with('#') {
                self.add_series(line);
            }
        }
    }

    /// A family without series yet is there all the same.
    fn declare(&mut self, family: &str) {
        let (name, kind) = family.split_once(' ').unwrap();
        let ends: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        for end in ends {
            self.0.entry(format!("{name}{end}")).or_default();
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
            // One that has no series yet shows no labels.
            open |= shown.is_empty() && metric.starts_with("libp2p_");
            for (label, operator, value) in matchers.iter().filter(|(_, _, value)| !value.contains('$')) {
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

/// Pages of a login server, a superpeer that has lost connections and dialled in vain, and a child.
fn pages() -> Shown {
    let mut network = Network::made();
    let server = network.serve();
    let [first, mut second] = network.superpeers();
    let [child] = network.children();
    child.enrol("shown");
    child.find("shown");
    second.kill();
    let url = |ready: &serde_json::Value| ready["metrics"].as_str().unwrap().to_owned();
    let urls = [url(&server), url(first.ready()), url(child.ready())];
    until("a connection has ended", || {
        let page = http_get(&urls[1], "/metrics").body;
        page.contains("libp2p_swarm_connections_duration_seconds_count{").then_some(())
    });
    let mut shown = Shown::default();
    for url in urls {
        shown.add(&http_get(&url, "/metrics").body);
    }
    shown
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
