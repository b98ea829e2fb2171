//! Enrolment, login, logout: who may have a name, and who may not.

use callbook_e2e::{Network, PASSWORD, Peer, at_once, until};

#[test]
fn a_wrong_password_and_an_unknown_user_are_refused_in_the_same_words() {
    // Goal: exit 7, and nobody learns which names exist. Method: both, texts compared.
    let network = Network::start();
    let [home, other] = network.children();
    home.enrol("alice");
    let wrong = other.account("login", "alice", "not the password").refused(7, "login_refused");
    let unknown = other.account("login", "nobody-here", PASSWORD).refused(7, "login_refused");
    assert_eq!(wrong["message"], unknown["message"]);
    assert_eq!(wrong["hint"], unknown["hint"]);
    assert_eq!(other.status()["names"], serde_json::json!([]), "nothing is left of a refused login");
    other.login("alice");
}

#[test]
fn a_name_that_is_taken_or_looks_like_one_that_is_can_not_be_enrolled() {
    // Goal: exit 6 for the same name, other case, look-alikes and reserved names. Method: examples.
    let network = Network::start();
    let [home, other] = network.children();
    home.enrol("alice-moore");
    let taken = ["alice-moore", "ALICE-Moore", "a1ice-moore", "aiice-moore", "alice-m00re", "alicemoore"];
    let lookalikes = ["alice-rnoore", "al-ice-m0ore", "admin", "adm1n", "callbook"];
    at_once(taken.into_iter().chain(lookalikes), |name| {
        other.account("enrol", name, PASSWORD).refused(6, "name_taken");
    });
    other.enrol("alice-more");
    other.account("enrol", "alice-more", PASSWORD).refused(6, "name_held");
}

#[test]
fn what_is_no_username_or_no_password_is_a_usage_error() {
    // Goal: exit 2 before anything is asked of the server. Method: bad names, short passwords, none.
    let network = Network::start();
    let [child] = network.children();
    let too_long = "x".repeat(33);
    let names = ["al", "1alice", "al--ice", "alice-", "älice", "al ice", "al.ice", "", &too_long];
    at_once(names, |name| {
        child.account("enrol", name, PASSWORD).refused(2, "name_invalid");
    });
    child.account("enrol", "alice", "too short").refused(2, "password_short");
    child.account("enrol", "alice", "").refused(2, "password_needed");
    child.ask(&["enrol", "alice"]).refused(2, "password_needed");
    child.ask(&["enrol", "alice", "--password-file", "missing"]).refused(2, "password_needed");
    let file = network.room.write("password", format!("{PASSWORD}\nmore\n"));
    let file = file.to_str().expect("temporary paths are text");
    child.ask(&["enrol", "alice", "--password-file", file]).ok();
}

#[test]
fn a_device_that_logged_out_is_gone_from_the_answers() {
    // Goal: a revoked certificate counts no more, the other device stays, the account too. Method: two
    // devices; one logs out; fresh look-ups from both and from a third until only the other is left.
    let network = Network::start();
    let _supers: [Peer; 2] = network.superpeers();
    let [first, second, third] = network.children();
    first.enrol("alice");
    second.login("alice");
    let both = third.ask(&["lookup", "--fresh", "alice"]).ok();
    assert_eq!(both["names"][0]["devices"].as_array().map(Vec::len), Some(2), "{both}");
    let gone = second.ask(&["logout"]).ok();
    assert_eq!((&gone["name"], &gone["revoked"]), (&"alice".into(), &true.into()));
    second.ask(&["logout", "alice"]).refused(7, "login_required");
    second.ask(&["register", "--name", "alice"]).refused(7, "login_required");
    at_once([&first, &second, &third], |from| {
        until("only the device that stayed is found", || {
            let answer = from.ask(&["lookup", "--fresh", "alice"]).ok();
            let devices = answer["names"][0]["devices"].as_array().cloned().unwrap_or_default();
            assert!(devices.iter().any(|device| device["peer"] == first.id()), "{answer}");
            (devices.len() == 1).then_some(())
        });
    });
    second.login("alice");
    until("the device is back after a new login", || {
        let answer = third.ask(&["lookup", "--fresh", "alice"]).ok();
        (answer["names"][0]["devices"].as_array().map(Vec::len) == Some(2)).then_some(())
    });
}

#[test]
fn the_last_device_that_logs_out_leaves_the_name_absent() {
    // Goal: a name without devices is absent, and its account still there. Method: log out the only one.
    let network = Network::start();
    let [home, other] = network.children();
    home.enrol("alice");
    other.find("alice");
    home.ask(&["logout"]).ok();
    until("the name is absent", || {
        let outcome = other.ask(&["lookup", "--fresh", "alice"]);
        (outcome.code == Some(3)).then_some(())
    });
    other.account("enrol", "alice", PASSWORD).refused(6, "name_taken");
    other.login("alice");
}

#[test]
fn one_daemon_holds_several_names_and_asks_which_one_is_meant() {
    // Goal: each name has its own device key; leaving the name out is refused when it is not clear.
    let network = Network::start();
    let [home, other] = network.children();
    let (alice, bob) = (home.enrol("alice"), home.enrol("bob"));
    assert_ne!(alice["device"], bob["device"]);
    home.ask(&["register"]).refused(2, "name_ambiguous");
    home.ask(&["logout"]).refused(2, "name_ambiguous");
    home.ask(&["register", "--name", "bob", "--entry", "A not-an-address"]).refused(2, "entry_invalid");
    home.ask(&["register", "--name", "bob", "--entry", "A 192.0.2.7"]).ok();
    assert_eq!(other.find("bob")["devices"][0]["entries"][0], "A 192.0.2.7");
    home.ask(&["register", "--name", "bob", "--entry", ""]).ok();
    let answer = other.ask(&["lookup", "--fresh", "bob"]).ok();
    assert_eq!(answer["names"][0]["devices"][0]["entries"], serde_json::json!([]));
}

#[test]
fn a_name_logged_in_without_registering_is_held_but_not_found() {
    // Goal: `--no-register` publishes nothing until `register`. Method: enrol so, look up, register.
    let network = Network::start();
    let [home, other] = network.children();
    let arguments = ["enrol", "alice", "--no-register", "--password-file", "-"];
    let enrolled = home.ask_with(&arguments, &format!("{PASSWORD}\n")).ok();
    assert!(enrolled["registered"].is_null(), "{enrolled}");
    let status = home.status();
    assert_eq!(status["names"][0]["registered"], false, "{status}");
    assert_eq!(other.ask(&["lookup", "alice"]).code, Some(3));
    home.ask(&["register"]).ok();
    other.ask(&["lookup", "--fresh", "alice"]).ok();
}

#[test]
fn logins_at_once_on_one_daemon_end_with_one_device() {
    // Goal: changes to a name wait for each other: no device is certified and published that nobody keeps.
    // Method: four logins at once on a daemon that doesn't hold the name; then enrolments at once.
    let network = Network::start();
    let [home, other] = network.children();
    home.enrol("alice");
    let devices = at_once(0..4, |_| other.login("alice")["device"].clone());
    assert!(devices.iter().all(|device| *device == devices[0]), "{devices:?}");
    let found = home.ask(&["lookup", "--fresh", "alice"]).ok();
    assert_eq!(found["names"][0]["devices"].as_array().map(Vec::len), Some(2), "{found}");
    let mut codes = at_once(0..4, |_| other.account("enrol", "bob", PASSWORD).code);
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(6), Some(6), Some(6)]);
    assert_eq!(other.status()["names"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_node_token_makes_one_superpeer_and_no_second() {
    // Goal: a token is for one node. Method: a second node with the same token, and a text that is none.
    let network = Network::start();
    let token = network.folder().join("node.token");
    let token = token.to_str().expect("temporary paths are text");
    let mut first = network.peer("first", &["--node-token", token]);
    first.start();
    first.wait("superpeer");
    network.peer("second", &["--node-token", token]).start_refused().refused(7, "token_refused");
    let other = network.room.write("other.token", "not a token\n");
    let other = other.to_str().expect("temporary paths are text");
    network.peer("third", &["--node-token", other]).start_refused().refused(1, "file_unreadable");
    network.peer("fourth", &["--role", "superpeer"]).start_refused().refused(2, "usage");
    first.stop();
    first.start();
    assert_eq!(first.ready()["role"], "superpeer", "the certificate is kept: {}", first.ready());
}
