//! `callbook census`: the whole network, seen from outside.

use std::path::Path;
use std::process::Command;

use callbook_e2e::{Network, Outcome, Peer, Process, Program, http_get, metric, until};
use serde_json::Value;

/// A command of `census` on a folder of the test's own.
fn census(network: &Network, arguments: &[&str]) -> Command {
    let mut command = network.room.command(Program::Callbook);
    command.arg("--data").arg(network.room.path("census")).args(["--json", "census"]).args(arguments);
    command
}

fn named(file: &Path) -> &str {
    file.to_str().expect("temporary paths are text")
}

/// The sessions of one superpeer, as they are exported.
fn sessions(network: &Network, of: &Peer) -> Vec<Value> {
    let exported = Outcome::of(census(network, &["export", "--csv"]), None).ok();
    let all = exported["sessions"].as_array().cloned().expect("sessions");
    all.into_iter().filter(|session| session["peer"] == of.id()).collect()
}

#[test]
fn a_census_counts_superpeers_and_children_without_a_login_and_names_no_child() {
    // Goal: everybody is found from the login server alone, and from the book when that is gone; how many children
    // there are is told by those who allow it. Method: three superpeers, of which one tells nothing of children,
    // and three children; one walk with the server, one without it.
    let mut network = Network::made();
    let server = network.serve();
    let mut superpeers: Vec<Peer> =
        (1..=3).map(|number| network.superpeer(&format!("superpeer-{number}"))).collect();
    let mut quiet = superpeers[0].up();
    quiet.args(["--census-children", "false"]);
    superpeers[0].start_with(quiet);
    superpeers[1].start();
    superpeers[2].start();
    superpeers.iter().for_each(|peer| peer.wait("superpeer"));
    callbook_e2e::all_know(&superpeers, 4);
    let children: [Peer; 3] = network.children();
    let quiet = children.iter().filter(|child| child.parent().as_deref() == Some(superpeers[0].id())).count();

    let file = network.file();
    let seen = Outcome::of(census(&network, &["--once", "--network", named(&file)]), None);
    let text = seen.ok();
    assert_eq!(text["complete"], true, "{text}");
    assert_eq!((&text["reached"], &text["unreached"]), (&4.into(), &0.into()), "{text}");
    assert_eq!((&text["children"], &text["telling"]), (&(3 - quiet).into(), &3.into()), "{text}");
    assert_eq!(text["superpeers_by"]["counted"], 4);
    let listed = text["superpeers"].as_array().expect("everybody is listed");
    for superpeer in &superpeers {
        let found = listed.iter().find(|listed| listed["peer"] == superpeer.id()).expect("it is listed");
        assert_eq!(found["reached"], true);
        assert!(found["round_trip_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{found}");
        assert!(found["agent"].as_str().is_some_and(|agent| agent.starts_with("callbook/")), "{found}");
    }
    assert!(listed[..].iter().any(|listed| listed["peer"] == server["peer"]), "{text}");
    for child in &children {
        assert!(!text.to_string().contains(child.id()), "a child is named: {text}");
    }

    network.kill_server();
    let again = Outcome::of(census(&network, &["--once"]), None).ok();
    assert_eq!((&again["reached"], &again["unreached"]), (&3.into(), &1.into()), "{again}");
}

#[test]
fn a_census_that_goes_on_sees_a_superpeer_die_and_come_back() {
    // Goal: sessions open, close, and open anew, in book, export and metrics. Method: a census each second over
    // real processes; one superpeer is killed and started again.
    let network = Network::start();
    let [mut first, _second] = network.superpeers();
    let file = network.file();
    let run = ["--network", named(&file), "--interval", "1s", "--leave-with-stdin"];
    let mut process = Process::start(&network.room, "census-process", census(&network, &run));
    let ready = process.event("ready");
    let url = ready["metrics"].as_str().expect("metrics are on by default").to_owned();
    let walked = |process: &Process, reached: u64| {
        until(&format!("a walk reaches {reached}"), || {
            process.events("walked").last().is_some_and(|walk| walk["reached"] == reached).then_some(())
        });
    };
    walked(&process, 3);
    assert_eq!(metric(&url, "callbook_peers_online{role=\"superpeer\"}"), 3.0);
    let [session] = &sessions(&network, &first)[..] else { panic!("it has one session") };
    assert_eq!(
        (&session["state"], &session["begun"]),
        (&"open".into(), &false.into()),
        "it was there before us"
    );

    first.kill();
    until("its session is closed", || (sessions(&network, &first)[0]["state"] == "closed").then_some(()));
    assert_eq!(sessions(&network, &first)[0]["reason"], "timeout");
    walked(&process, 2);
    until("nobody counts it any more", || {
        (metric(&url, "callbook_peers_online{role=\"superpeer\"}") == 2.0).then_some(())
    });
    first.start();
    walked(&process, 3);
    until("it is there again", || (sessions(&network, &first).last()?["state"] == "open").then_some(()));

    assert_eq!(metric(&url, "callbook_census_superpeers{state=\"reached\"}"), 3.0);
    assert!(
        metric(&url, "callbook_census_visits_total{result=\"refused\"}")
            + metric(&url, "callbook_census_visits_total{result=\"silent\"}")
            >= 1.0
    );
    let page = http_get(&url, "/metrics").body;
    assert!(!page.contains("12D3KooW"), "no label names a peer");
    let second = Outcome::of(census(&network, &["--once"]), None);
    second.refused(1, "folder_locked");
    process.close_input();
    assert_eq!(process.end(), Some(0));
}
