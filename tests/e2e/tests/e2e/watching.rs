//! What a person sees of names that live: watches, presence, traces, and a role that chooses itself.

use callbook_e2e::{Network, Peer, Process, R_OF_THREE, Signal, until};
use serde_json::Value;

/// `watch` on a name.
struct Watch(Process);

impl Watch {
    fn begin(network: &Network, peer: &Peer, name: &str) -> Self {
        let command = peer.command(&["watch", name, "--json", "--presence-interval", "1s"]);
        Self(Process::start(&network.room, &format!("watch-{name}"), command))
    }

    /// Waits until it has told of something that fits.
    fn sees(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(&format!("the watch tells of {kind}"), || self.0.events(kind).into_iter().find(&fits))
    }

    fn end(mut self) {
        self.0.signal(Signal::INT);
        assert_eq!(self.0.end(), Some(130), "Ctrl-C ends a watch");
    }
}

fn presence<'a>(found: &'a Value, peer: &Peer) -> &'a Value {
    let devices = found["devices"].as_array().expect("a list of devices");
    let device = devices.iter().find(|device| device["peer"] == peer.id());
    &device.unwrap_or_else(|| panic!("not found: {found}"))["presence"]["state"]
}

#[test]
fn a_watch_sees_devices_come_and_go_and_outlives_its_parent() {
    // Goal: changes are pushed, whoever dies between. Method: a watch on a name that is absent; it is enrolled,
    // logged in on a second device; the watcher's parent is killed; the second device logs out.
    let network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 5] = network.superpeers();
    let [watcher, first, second] = network.children();
    let mut watch = Watch::begin(&network, &watcher, "alice");
    watch.sees("absent", |_| true);
    first.enrol("alice");
    watch.sees("device_added", |event| event["device"]["peer"] == first.id());
    second.login("alice");
    watch.sees("device_added", |event| event["device"]["peer"] == second.id());

    let parent = watcher.parent().expect("attached");
    supers.iter_mut().find(|peer| peer.id() == parent).expect("one of these").kill();
    until("the watcher has another parent", || watcher.parent().filter(|now| *now != parent));
    second.ask(&["logout"]).ok();
    watch.sees("device_removed", |event| event["device"]["peer"] == second.id());
    assert!(watch.0.events("ended").is_empty(), "the watch goes on");
    watch.end();
}

#[test]
fn presence_is_online_then_offline_after_a_goodbye_and_never_made_up() {
    // Goal: the parent's word on its child. Method: a device that is there, that left by `down`, that came
    // back, and that was killed; asked by look-up and seen by a watch.
    let network = Network::start_with(R_OF_THREE);
    let _supers: [Peer; 4] = network.superpeers();
    let [other, mut home] = network.children();
    home.enrol("alice");
    home.wait("registered");
    until("it is online", || (presence(&other.find("alice"), &home) == "online").then_some(()));
    let mut watch = Watch::begin(&network, &other, "alice");
    watch.sees("device_added", |event| event["device"]["peer"] == home.id());
    home.leave();
    let seen = watch.sees("presence_changed", |event| event["presence"]["state"] == "offline");
    assert_eq!(seen["peer"], home.id(), "{seen}");
    assert!(seen["presence"]["since"].is_string(), "{seen}");
    assert_eq!(presence(&other.find("alice"), &home), "offline");
    home.start();
    home.wait("registered");
    until("it is online again", || (presence(&other.find("alice"), &home) == "online").then_some(()));
    home.kill();
    // It said nothing, so nobody says since when it is gone.
    until("nobody knows", || (presence(&other.find("alice"), &home) == "unknown").then_some(()));
    watch.end();
}

#[test]
fn a_trace_tells_every_step_and_a_cross_check_finds_the_same() {
    // Goal: what is printed is what happened. Method: a look-up by a child (its parent is the first step), one by
    // a superpeer past caches (its steps are storers), and one that waits for storers to agree.
    let network = Network::start_with(R_OF_THREE);
    let supers: [Peer; 5] = network.superpeers();
    let [home, other] = network.children();
    home.enrol("alice");
    home.wait("registered");
    let trace = |from: &Peer| {
        let answer = from.ask(&["lookup", "--fresh", "--trace", "alice"]).ok();
        let steps = answer["names"][0]["trace"].as_array().expect("steps").clone();
        for step in &steps {
            let ms = |field: &str| step[field].as_f64().is_some_and(|ms| ms >= 0.0);
            assert!(ms("at_ms") && ms("took_ms") && step["peer"].is_string(), "{step}");
        }
        (answer["names"][0]["source"].clone(), steps)
    };
    let (_, steps) = trace(&other);
    assert_eq!(steps[0]["asked"], "parent", "{steps:?}");
    assert_eq!(steps[0]["peer"].as_str().map(str::to_owned), other.parent());
    assert_eq!(steps[0]["answer"], "found", "{steps:?}");
    let crossed = supers.iter().map(trace).find(|(source, _)| source == "overlay");
    let (_, steps) = crossed.expect("with r = 3 of 6 some superpeer has to ask others");
    let found = |step: &Value| step["asked"] == "storer" && step["answer"] == "found";
    assert!(steps.iter().any(found), "{steps:?}");
    let text = other.ask_for_text(&["lookup", "--fresh", "--trace", "alice"]);
    assert!(text.code == Some(0) && text.stdout.contains("parent"), "{text:?}");

    for from in [&other, &supers[0]] {
        let plain = from.find("alice");
        let checked = from.ask(&["lookup", "--cross-check", "alice"]).ok();
        let (plain, checked) = (&plain["devices"][0], &checked["names"][0]["devices"][0]);
        assert_eq!((&checked["device"], &checked["seq"]), (&plain["device"], &plain["seq"]));
    }
    let absent = other.ask(&["lookup", "--cross-check", "nobody-at-all"]);
    assert_eq!(absent.code, Some(3), "{absent:?}");
}

#[test]
fn a_peer_that_may_choose_its_role_becomes_a_superpeer_once_it_has_an_account() {
    // Goal: `--role auto` on a small local network. Method: a peer without an account stays a child; enrolled,
    // it joins; beside it one that was told to be a child stays one.
    let network = Network::start_with(R_OF_THREE);
    let _supers: [Peer; 2] = network.superpeers();
    let [told] = network.children();
    let mut chooses = network.peer("chooses", &["--role", "auto"]);
    chooses.start();
    chooses.wait("attached");
    assert_eq!(chooses.status()["role"], "child", "nobody vouches for it");
    chooses.enrol("alice");
    told.enrol("bob");
    chooses.wait("superpeer");
    assert_eq!(chooses.status()["role"], "superpeer");
    told.find_all(&["alice", "bob"]);
    chooses.find_all(&["alice", "bob"]);
    assert_eq!(told.status()["role"], "child");
    // It comes back as one, by the certificate that it has now.
    chooses.stop();
    chooses.start();
    assert_eq!(chooses.ready()["role"], "superpeer", "{}", chooses.ready());
    told.find_all(&["alice"]);
}
