//! The daemon's page and its listener, as far as it goes without a browser (see `tests/ui`).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use callbook_e2e::{Network, http_get, http_get_with};

#[test]
fn the_page_is_for_who_has_its_token_and_reads_only() {
    // Goal: DESIGN §8: token, Host allow-list, Origin refusal, nothing that writes. Method: raw HTTP to the listener
    // of a child that `callbook ui` names.
    let mut network = Network::made();
    network.serve();
    let [child] = network.children();
    child.enrol("alice");
    let printed = child.ask(&["ui"]).ok();
    let (url, token) = printed["url"].as_str().and_then(|url| url.split_once('#')).expect("with a token");
    assert_eq!(child.ready()["page"], url);
    assert_eq!(child.status()["page"], url, "the token is not told there");
    let bearer = format!("Bearer {token}");
    let with_token = ("Authorization", bearer.as_str());

    let page = http_get(url, "/ui/");
    assert_eq!(page.status, 200);
    assert!(
        page.head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{}",
        page.head
    );
    assert!(!page.head.contains("access-control") && !page.head.contains("set-cookie"), "{}", page.head);
    assert!(!page.body.contains("alice") && !page.body.contains(token), "it holds nothing");
    for file in ["app.js", "style.css", "uplot/uPlot.iife.min.js"] {
        assert_eq!(http_get(url, &format!("/ui/{file}")).status, 200, "{file}");
    }
    assert_eq!(http_get(url, "/ui/../Cargo.toml").status, 404);

    for path in ["/v1/status", "/v1/peers", "/v1/history?span=day", "/v1/names/alice?trace=true"] {
        assert_eq!(http_get_with(url, path, &[with_token]).status, 200, "{path}");
        let refused = http_get(url, path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.body.contains("token_missing"), "{}", refused.body);
        let wrong = http_get_with(url, path, &[("Authorization", "Bearer 00")]);
        assert_eq!(wrong.status, 401, "{path}");
        let rebound = http_get_with(url, path, &[with_token, ("Host", "callbook.example")]);
        assert_eq!(rebound.status, 421, "{path}");
        let foreign = http_get_with(url, path, &[with_token, ("Origin", "http://callbook.example")]);
        assert_eq!(foreign.status, 403, "{path}");
    }
    for path in ["/v1/ui", "/v1/wait?for=attached&timeout_ms=1", "/v1/watch/alice", "/v1/down"] {
        assert_eq!(http_get_with(url, path, &[with_token]).status, 400, "{path} is not for pages");
    }
}

#[test]
fn the_token_stays_private_and_outlives_a_restart() {
    // Goal: a bookmark goes on to work where the port is fixed. Method: the file's mode; ask before and after.
    let mut network = Network::made();
    network.serve();
    let [mut child] = network.children();
    let token = |url: serde_json::Value| {
        url["url"].as_str().and_then(|url| url.split_once('#')).expect("with a token").1.to_owned()
    };
    let before = token(child.ask(&["ui"]).ok());
    let mode = fs::metadata(child.data().join("page.token")).expect("a token file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    child.stop();
    child.start();
    assert_eq!(token(child.ask(&["ui"]).ok()), before);
}

#[test]
fn the_page_can_be_switched_off_and_is_never_offered_to_others() {
    // Goal: off means none, and `ui` says how to have one; only loopback. Method: start so, ask; start with another
    // address.
    let network = Network::made();
    let mut child = network.peer("child", &["--role", "child", "--api-listen", ""]);
    child.start();
    assert!(child.ready()["page"].is_null(), "{}", child.ready());
    let refused = child.ask_for_text(&["ui"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--api-listen"), "{refused:?}");
    let open = network.peer("open", &[]);
    let refused = open.ask_for_text(&["up", "--api-listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("loopback"), "{refused:?}");
}
