//! `/metrics`, `/healthz`, `/readyz`.

use callbook_e2e::{Network, http_get, metric, until};
use serde_json::Value;

#[test]
fn every_process_shows_metrics_and_whether_it_is_ready() {
    // Goal: OpenMetrics with ours and libp2p's, health, readiness. Method: raw HTTP to a server, a
    // superpeer, an attached child, and one that has nobody to attach to.
    let mut network = Network::made();
    let mut alone = network.peer("alone", &["--role", "child"]);
    alone.start();
    let url = |ready: &Value| ready["metrics"].as_str().expect("metrics are on by default").to_owned();
    assert_eq!(http_get(&url(alone.ready()), "/healthz").status, 200);
    assert_eq!(http_get(&url(alone.ready()), "/readyz").status, 503, "nobody is there");
    drop(alone);

    let server = network.serve();
    let [superpeer] = network.superpeers();
    let [child] = network.children();
    for url in [url(&server), url(superpeer.ready()), url(child.ready())] {
        let page = http_get(&url, "/metrics");
        assert_eq!(page.status, 200);
        assert!(
            page.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
            "{}",
            page.head
        );
        assert!(page.body.ends_with("# EOF\n"), "OpenMetrics ends so");
        for family in
            ["callbook_build_info", "callbook_lookups", "callbook_store_commits", "libp2p_", "process_"]
        {
            assert!(page.body.contains(&format!("# HELP {family}")), "{family} is not in {}", page.body);
        }
        assert_eq!(http_get(&url, "/healthz").status, 200);
        until("it is ready", || (http_get(&url, "/readyz").status == 200).then_some(()));
        assert_eq!(http_get(&url, "/other").status, 404);
    }
    assert_eq!(child.status()["metrics"], child.ready()["metrics"]);
}

#[test]
fn look_ups_and_accounts_are_counted_where_they_happen_and_never_by_name() {
    // Goal: figures move with what is done, and no username becomes a label. Method: enrol, look up,
    // read the metrics of all.
    let mut network = Network::made();
    let server = network.serve();
    let server = server["metrics"].as_str().expect("metrics are on").to_owned();
    let [home, other] = network.children();
    let url = other.ready()["metrics"].as_str().expect("metrics are on").to_owned();
    let before = metric(&url, "callbook_lookups_total");
    home.enrol("alice-in-metrics");
    other.find("alice-in-metrics");
    other.find("alice-in-metrics");
    assert_eq!(metric(&url, "callbook_lookups_total") - before, 2.0);
    for url in [&url, &server] {
        let page = http_get(url, "/metrics").body;
        assert!(!page.contains("alice"), "{page}");
    }
}

#[test]
fn metrics_can_be_switched_off() {
    // Goal: an empty address means none. Method: start so, look at ready block and status.
    let network = Network::made();
    let mut child = network.peer("child", &["--role", "child", "--metrics-listen", ""]);
    child.start();
    assert!(child.ready()["metrics"].is_null(), "{}", child.ready());
    assert!(child.status()["metrics"].is_null());
}

#[test]
fn the_login_server_lists_the_metrics_of_those_who_announce_them() {
    // Goal: one address shows Prometheus the whole network, and nobody who doesn't want it, nor strangers. Method: two
    // children, of which one announces: told that it can't before it has a name, and listed once it has one; the
    // port that is listed serves its metrics.
    let mut network = Network::made();
    let server = network.serve();
    let server = server["metrics"].as_str().expect("metrics are on").to_owned();
    let targets = || http_get(&server, "/v1/prometheus/targets");
    let empty = targets();
    assert_eq!((empty.status, empty.body.as_str()), (200, "[]"));
    assert!(empty.head.contains("content-type: application/json"), "{}", empty.head);
    let [_quiet] = network.children();
    // It is listed at whichever loopback address it asks from.
    let mut child = network.peer(
        "announcing",
        &["--role", "child", "--metrics-announce", "true", "--metrics-listen", "0.0.0.0:0"],
    );
    child.start();
    until("it is told what to do", || {
        let warnings = child.status()["warnings"].to_string();
        (warnings.contains("metrics are not announced") && warnings.contains("callbook login")).then_some(())
    });
    assert_eq!(targets().body, "[]", "a stranger is not listed");
    child.enrol("announcing");
    let listed = until("it is listed", || {
        let listed: Value = serde_json::from_str(&targets().body).expect("JSON");
        listed[0]["targets"].as_array().cloned()
    });
    let [address] = &listed[..] else { panic!("{listed:?}") };
    let address = address.as_str().expect("an address");
    let (_, port) = address.rsplit_once(':').expect("with a port");
    let own = child.ready()["metrics"].as_str().expect("metrics are on").to_owned();
    assert!(own.contains(&format!(":{port}/")), "{own} is listed as {address}");
    assert_eq!(http_get(&format!("http://{address}/metrics"), "/metrics").status, 200);
    child.stop();
    assert_eq!(targets().body, "[]", "who says goodbye is not down");
}
