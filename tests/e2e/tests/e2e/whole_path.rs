//! A name is registered on one peer and looked up on another, across real processes.

use std::collections::BTreeSet;

use callbook_e2e::{Network, Peer, R, at_once};
use serde_json::{Value, json};

/// The PeerIds under a name.
fn peers(found: &Value) -> BTreeSet<String> {
    let devices = found["devices"].as_array().expect("a list of devices");
    devices.iter().map(|device| device["peer"].as_str().expect("a PeerId").to_owned()).collect()
}

fn device<'a>(found: &'a Value, peer: &Peer) -> &'a Value {
    let devices = found["devices"].as_array().expect("a list of devices");
    devices.iter().find(|device| device["peer"] == peer.id()).unwrap_or_else(|| panic!("not found: {found}"))
}

#[test]
fn a_name_registered_on_one_peer_is_found_from_every_other_one() {
    // Goal: the whole path. Method: three superpeers and four children; a name per child with a display
    // name and entries, a second device for the first name; everybody looks everybody up.
    let network = Network::start();
    let supers: [Peer; 3] = network.superpeers();
    let children: [Peer; 4] = network.children();
    let people = ["alice", "bob", "carol", "dave"];
    at_once(children.iter().zip(people), |(child, name)| {
        let enrolled = child.enrol(name);
        assert_eq!(enrolled["name"], name);
        assert_eq!(enrolled["registered"]["of"], R, "{enrolled}");
    });
    let second = children[1].login("alice");
    assert_ne!(second["device"], children[0].status()["names"][0]["device"], "each device has its own key");
    let entries = ["A 192.0.2.1", "_sip._udp SRV 10 5 5060 host.example", "TXT \"some text\""];
    let arguments = ["register", "--display", "Alice Ä", "--entry", entries[0], "--entry", entries[1]];
    children[0].ask(&[&arguments[..], &["--entry", "TXT some text", "--ttl", "30s"]].concat()).ok();

    let everywhere: Vec<&Peer> = children.iter().chain(&supers).collect();
    let sources = at_once(everywhere, |from| {
        let answer = from.ask(&["lookup", "--fresh", "alice", "bob", "carol", "dave"]).ok();
        let found = &answer["names"];
        for (index, home) in children.iter().enumerate().skip(1) {
            assert_eq!(found[index]["name"], people[index]);
            assert_eq!(found[index]["outcome"], "found", "{answer}");
            assert_eq!(peers(&found[index]), BTreeSet::from([home.id().to_owned()]), "{answer}");
            assert_eq!(device(&found[index], home)["addresses"], home.ready()["addresses"], "{answer}");
        }
        let alice = device(&found[0], &children[0]);
        assert_eq!(alice["display"], "Alice Ä", "{answer}");
        assert_eq!(alice["entries"], json!(entries), "{answer}");
        assert_eq!(alice["addresses"], children[0].ready()["addresses"], "{answer}");
        assert_eq!(peers(&found[0]).len(), 2, "both devices of a name are found: {answer}");
        device(&found[0], &children[1]);
        let sources = found.as_array().expect("one per name").iter().map(|one| one["source"].to_string());
        sources.collect::<BTreeSet<_>>()
    });
    let sources: BTreeSet<_> = sources.into_iter().flatten().collect();
    assert!(sources.contains("\"own\""), "own names are known at once: {sources:?}");
    assert!(
        sources.contains("\"overlay\""),
        "with r = {R} of 4 some look-ups cross the overlay: {sources:?}"
    );

    at_once(&children, |child| {
        child.wait("registered");
        let status = child.status();
        assert_eq!((&status["role"], &status["attached"]), (&json!("child"), &json!(true)), "{status}");
        let names = status["names"].as_array().expect("the names held");
        assert!(names.iter().all(|name| name["registered"] == true && name["of"] == R), "{status}");
        assert!(status["warnings"].to_string().contains("lab"), "a lab network is shown as one: {status}");
        let peers = child.ask(&["peers"]).ok();
        let peers = peers["peers"].as_array().expect("a list of peers").clone();
        let parent = peers.iter().find(|peer| peer["relation"] == "parent").expect("a child has a parent");
        assert_eq!(parent["peer"], status["parent"]["peer"]);
        assert_eq!(parent["linked"], true, "{parent}");
    });
    for superpeer in &supers {
        let status = superpeer.status();
        assert_eq!(status["role"], "superpeer", "{status}");
        assert_eq!(status["superpeers"], 4, "the server is one more: {status}");
    }
}

#[test]
fn a_superpeer_holds_names_too_and_is_its_own_parent() {
    // Goal: role and names don't depend on each other. Method: enrol on a superpeer, find from a child.
    let network = Network::start();
    let [superpeer] = network.superpeers();
    let [child] = network.children();
    superpeer.enrol("erin");
    let found = child.find("erin");
    let device = device(&found, &superpeer);
    assert_eq!(device["addresses"], superpeer.ready()["addresses"]);
    assert!(device["parent"].is_null() || device["parent"] == superpeer.id(), "{found}");
}

#[test]
fn a_name_that_nobody_has_is_absent_and_the_worst_outcome_is_the_exit_code() {
    // Goal: exit 3 with a document, on each kind of peer. Method: unknown names alone and beside known ones.
    let network = Network::start();
    let [superpeer] = network.superpeers();
    let [child] = network.children();
    child.enrol("alice");
    for from in [&child, &superpeer] {
        let outcome = from.ask(&["lookup", "missing-person"]);
        assert_eq!(outcome.code, Some(3), "{outcome:?}");
        let answer = &outcome.json()["names"][0];
        assert_eq!(answer["outcome"], "absent", "{outcome:?}");
        assert_eq!(answer["error"]["code"], "absent", "{outcome:?}");
        assert_eq!(answer["devices"], json!([]));
        assert!(answer["denials"].as_u64().is_some_and(|denials| denials > 0), "{outcome:?}");
        let both = from.ask(&["lookup", "alice", "missing-person"]);
        assert_eq!(both.code, Some(3), "{both:?}");
        assert_eq!(both.json()["names"][0]["outcome"], "found", "{both:?}");
        let text = from.ask_for_text(&["lookup", "missing-person"]);
        assert_eq!(text.code, Some(3), "{text:?}");
        assert!(format!("{}{}", text.stdout, text.stderr).contains("missing-person"), "{text:?}");
    }
    let invalid = child.ask(&["lookup", "no--name", "alice"]);
    assert_eq!(invalid.code, Some(2), "{invalid:?}");
    assert_eq!(invalid.json()["names"][0]["outcome"], "invalid", "{invalid:?}");
    assert_eq!(invalid.json()["names"][1]["outcome"], "found", "{invalid:?}");
}

#[test]
fn a_name_appears_as_soon_as_it_is_registered_although_it_was_absent_before() {
    // Goal: a denial that was cached doesn't hide a registration on the same parent, and never a fresh
    // look-up. Method: ask, enrol, ask again from everywhere.
    let network = Network::start();
    let supers: [Peer; 2] = network.superpeers();
    let children: [Peer; 2] = network.children();
    let everywhere: Vec<&Peer> = supers.iter().chain(&children).collect();
    at_once(everywhere.clone(), |from| assert_eq!(from.ask(&["lookup", "late-comer"]).code, Some(3)));
    children[0].enrol("late-comer");
    at_once(everywhere, |from| {
        from.ask(&["lookup", "--fresh", "late-comer"]).ok();
    });
}
