//! Processes end, well or not, and come back with what was acknowledged.

use callbook_e2e::{Network, PASSWORD, Peer, at_once, metric, until};

/// Waits until a superpeer has committed all that it held when this was called: two commits later,
/// since one may have been under way. More commits come from names that `writer` enrols; every second or
/// so falls to this superpeer.
fn until_committed(superpeer: &Peer, writer: &Peer) {
    let url = superpeer.ready()["metrics"].as_str().expect("metrics are on").to_owned();
    let commits = || metric(&url, "callbook_store_commits_total");
    let before = commits();
    let mut names = 0;
    until("the store commits", || {
        names += 1;
        writer.enrol(&format!("{}-and-{names}", superpeer.name()));
        (commits() >= before + 2.0).then_some(())
    });
}

#[test]
fn a_daemon_that_restarts_keeps_its_names_and_registers_them_again() {
    // Goal: keys, names and sequence numbers survive a clean end and a kill. Method: both, one after
    // the other; the record found afterwards is of the same device and newer.
    let network = Network::start();
    let [_superpeer] = network.superpeers();
    let [mut home, other] = network.children();
    home.enrol("alice");
    home.ask(&["register", "--display", "Alice", "--entry", "TXT kept"]).ok();
    let (id, before) = (home.id().to_owned(), other.find("alice")["devices"][0].clone());
    for round in 0..2 {
        if round == 0 {
            home.stop()
        } else {
            home.kill()
        }
        home.start();
        assert_eq!(home.id(), id, "the node key is kept");
        home.wait("registered");
        let found = until("the newer record is found", || {
            let answer = other.ask(&["lookup", "--fresh", "alice"]).ok();
            let device = answer["names"][0]["devices"][0].clone();
            (device["seq"].as_u64() > before["seq"].as_u64()).then_some(device)
        });
        assert_eq!(found["device"], before["device"], "the device key is kept");
        assert_eq!((&found["display"], &found["entries"]), (&before["display"], &before["entries"]));
        assert_eq!(found["addresses"], home.ready()["addresses"]);
    }
}

#[test]
fn down_stops_the_daemon_and_it_starts_again_without_its_network_file() {
    // Goal: `down` waits until the process is gone; later starts remember the network. Method: both.
    let network = Network::start();
    let [mut child] = network.children();
    let stopped = child.ask(&["down"]).ok();
    let mut process = child.process.take().expect("it ran");
    assert_eq!(stopped["pid"], process.id());
    assert_eq!(process.end(), Some(0));
    child.ask(&["down"]).refused(4, "no_daemon");
    let mut again = Peer::new(network.room.clone(), child.name(), &[]);
    again.start();
    assert_eq!(again.id(), child.id());
    again.wait("attached");
}

#[test]
fn superpeers_that_are_killed_keep_the_records_of_names_whose_owners_are_offline() {
    // Goal: what storers committed outlives SIGKILL of all of them. Method: the owner goes offline, every
    // storer (the server too) is killed at once; the superpeers come back alone and are asked.
    let mut network = Network::start();
    let mut supers: [Peer; 2] = network.superpeers();
    let [mut owner, writer] = network.children();
    owner.enrol("alice");
    for superpeer in &supers {
        until_committed(superpeer, &writer);
    }
    owner.stop();
    drop(writer);
    let server = network.server.as_mut().expect("it runs");
    server.kill();
    at_once(&mut supers, Peer::kill);
    at_once(&mut supers, Peer::start);
    let restored: u64 = supers.iter().filter_map(|peer| peer.status()["records"].as_u64()).sum();
    assert!(restored > 0, "records are back from the disk");
    let mut asker = network.peer("asker", &["--role", "child"]);
    network.serve();
    asker.start();
    asker.wait("attached");
    until("the name of the owner who is offline is found", || {
        (asker.ask(&["lookup", "--fresh", "alice"]).code == Some(0)).then_some(())
    });
}

#[test]
fn a_superpeer_that_is_killed_comes_back_with_its_place_and_its_records() {
    // Goal: one crash loses nothing for anybody. Method: kill one of three superpeers while its children
    // stay, start it again, look every name up from everywhere.
    let network = Network::start();
    let mut supers: [Peer; 3] = network.superpeers();
    let children: [Peer; 3] = network.children();
    let people = ["alice", "bob", "carol"];
    at_once(children.iter().zip(people), |(child, name)| {
        child.enrol(name);
    });
    until_committed(&supers[0], &children[0]);
    let place = supers[0].ready()["node_id"].clone();
    supers[0].kill();
    supers[0].start();
    supers[0].wait("superpeer");
    assert_eq!(supers[0].status()["node_id"], place, "the node certificate is kept");
    let everywhere: Vec<&Peer> = children.iter().chain(&supers).collect();
    at_once(everywhere, |from| {
        until("every name is found", || {
            let outcome = from.ask(&["lookup", "--fresh", "alice", "bob", "carol"]);
            (outcome.code == Some(0)).then_some(())
        });
    });
    at_once(&children, |child| child.wait("registered"));
}

#[test]
fn with_the_login_server_down_a_whole_network_restarts_from_its_host_caches() {
    // Goal: the server is not needed to resolve. Method: end everything, the server for good; start the
    // superpeers and children again; they find each other and every name.
    let mut network = Network::start();
    let mut supers: [Peer; 3] = network.superpeers();
    let mut children: [Peer; 2] = network.children();
    at_once(children.iter().zip(["alice", "bob"]), |(child, name)| {
        child.enrol(name);
    });
    until("children know more superpeers than the server", || {
        let known = |child: &Peer| child.status()["superpeers"].as_u64().unwrap_or_default() >= 3;
        children.iter().all(known).then_some(())
    });
    at_once(&mut children, Peer::stop);
    at_once(&mut supers, Peer::stop);
    network.stop_serving();
    at_once(supers.iter_mut().chain(&mut children), Peer::start);
    at_once(&children, |child| {
        child.wait("attached");
        child.wait("registered");
    });
    at_once(&children, |from| {
        until("both names are found", || {
            (from.ask(&["lookup", "--fresh", "alice", "bob"]).code == Some(0)).then_some(())
        });
    });
    // What needs the server says so, and what to do.
    children[0].account("login", "bob", PASSWORD).refused(5, "login_unreachable");
}

#[test]
fn a_login_server_that_restarts_keeps_accounts_and_refuses_what_it_refused_before() {
    // Goal: accounts are durable once acknowledged. Method: kill the server right after an enrolment;
    // afterwards the password is checked, the name taken, and a second device logs in.
    let mut network = Network::start();
    let [home, other] = network.children();
    home.enrol("alice");
    network.server.as_mut().expect("it runs").kill();
    let ready = network.serve();
    assert_eq!(ready["accounts"], 1, "{ready}");
    other.wait("attached");
    other.account("enrol", "alice", PASSWORD).refused(6, "name_taken");
    other.account("login", "alice", "not the password").refused(7, "login_refused");
    other.login("alice");
    until("both devices are found", || {
        let answer = home.ask(&["lookup", "--fresh", "alice"]);
        let devices = answer.json()["names"][0]["devices"].as_array().map(Vec::len);
        (devices == Some(2)).then_some(())
    });
}

#[test]
fn a_daemon_started_before_its_login_server_attaches_once_that_is_there() {
    // Goal: the order of starting doesn't matter. Method: children first, one of them waiting meanwhile.
    let mut network = Network::made();
    let mut child = network.peer("child", &["--role", "child"]);
    child.start();
    child.ask(&["wait", "--for", "attached", "--timeout", "100ms"]).refused(5, "timeout");
    child.ask(&["lookup", "alice"]).json();
    network.serve();
    child.wait("attached");
    child.enrol("alice");
}
