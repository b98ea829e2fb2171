//! Superpeers, and the login server, that are killed or frozen while others rely on them.

use callbook_e2e::{Census, Network, Peer, Poll, R_OF_THREE, all_know, at_once, until};

/// The one of these peers that has this PeerId.
fn of<'a>(peers: &'a mut [Peer], id: &str) -> &'a mut Peer {
    peers.iter_mut().find(|peer| peer.id() == id).unwrap_or_else(|| panic!("{id} is none of these"))
}

/// Enrols a name on each child, and returns its PeerIds' parents.
fn enrolled(children: &[Peer], names: &[&str]) -> Vec<String> {
    at_once(children.iter().zip(names), |(child, name)| {
        child.enrol(name);
        child.wait("registered");
        child.parent().expect("attached")
    })
}

/// Waits until a child has another parent than this, and returns it.
fn another_parent(child: &Peer, than: &str) -> String {
    until(&format!("{} has another parent", child.name()), || child.parent().filter(|parent| parent != than))
}

#[test]
fn a_child_whose_parent_is_killed_finds_another_one_and_is_found_there() {
    // Goal: one dead parent is nobody's loss. Method: SIGKILL a child's parent; the child looks others up,
    // is found by others, and its record names the new parent.
    let network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 5] = network.superpeers();
    let children: [Peer; 3] = network.children();
    let parents = enrolled(&children, &["alice", "bob", "carol"]);
    of(&mut supers, &parents[0]).kill();
    children[0].find_all(&["bob", "carol"]);
    let parent = another_parent(&children[0], &parents[0]);
    at_once(&children[1..], |other| {
        until("the record names the new parent", || {
            let found = other.find_all(&["alice"]);
            (found[0]["devices"][0]["parent"] == parent).then_some(())
        });
    });
    at_once(&children, |child| child.wait("registered"));
}

#[test]
fn a_name_outlives_two_of_its_three_storers_and_gets_three_again() {
    // Goal: no majority of storers is needed to find a name, and the survivors repair it. Method: the owner
    // goes offline, so that only storers can help; two of the three are killed at once.
    let network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 6] = network.superpeers();
    let [mut owner, asker] = network.children();
    let (name, storers) = {
        let census = Census::take(&network, &supers[0]);
        census.name_stored_by("offline", R_OF_THREE, &supers.each_ref())
    };
    owner.enrol(&name);
    let mut poll = Poll::of(&network, &supers);
    until("three hold it", || (poll.holders(&name).len() >= 3).then_some(()));
    owner.stop();
    let parent = asker.parent().expect("attached");
    // Those that the asker doesn't lean on first: that a parent dies is another test.
    let mut storers = storers;
    storers.sort_by_key(|storer| *storer == parent);
    let killed = &storers[..2];
    drop(poll);
    at_once(supers.iter_mut().filter(|peer| killed.iter().any(|id| peer.id() == id)), Peer::kill);
    asker.find_all(&[&name]);
    let mut poll = Poll::of(&network, supers.iter().filter(|peer| peer.process.is_some()));
    until("three hold it again", || {
        // Also what tells the others that the two are gone: they are asked.
        asker.find_all(&[&name]);
        (poll.holders(&name).len() >= 3).then_some(())
    });
}

#[test]
fn with_the_login_server_killed_children_fail_over_look_up_and_register_again() {
    // Goal: nothing but enrolment and renewal needs the server. Method: SIGKILL the server, then a parent;
    // its child registers another display name, which others see.
    let mut network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 5] = network.superpeers();
    let children: [Peer; 2] = network.children();
    let parents = enrolled(&children, &["alice", "bob"]);
    network.kill_server();
    at_once(&children, |child| child.find_all(&["alice", "bob"]));
    of(&mut supers, &parents[0]).kill();
    another_parent(&children[0], &parents[0]);
    until("it registers again", || {
        (children[0].ask(&["register", "--display", "Alice again"]).code == Some(0)).then_some(())
    });
    until("the new record is found", || {
        let found = children[1].find_all(&["alice"]);
        (found[0]["devices"][0]["display"] == "Alice again").then_some(())
    });
    children[0].find_all(&["bob"]);
}

#[test]
fn the_last_of_three_superpeers_says_absent_soon_after_the_others_were_killed() {
    // Goal: those who are left tell the dead from a cut. Method: SIGKILL of two of three superpeers, one of
    // them the login server; a name that nobody has is absent, one that is there is found, from the third
    // and from a child, long before the ten minutes that a cut would count.
    let mut network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 2] = network.superpeers();
    let [child] = network.children();
    child.enrol("alice");
    child.wait("registered");
    network.kill_server();
    supers[1].kill();
    at_once([&child, &supers[0]], |left| {
        until("a name that nobody has is absent", || {
            (left.ask(&["lookup", "--fresh", "nobody"]).code == Some(3)).then_some(())
        });
        left.find_all(&["alice"]);
    });
}

#[test]
fn after_everything_is_killed_at_once_everything_acknowledged_is_found_again() {
    // Goal: a power cut of the whole house. Method: a register is acknowledged a moment before SIGKILL of every
    // process; all start again on the same folders, at once. (Storers acknowledge from memory and may have
    // lost that last record; its owner has not.)
    let mut network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 5] = network.superpeers();
    let mut children: [Peer; 3] = network.children();
    let names = ["alice", "bob", "carol"];
    enrolled(&children, &names);
    let before = children[0].find_all(&names);
    at_once(children.iter().zip(names), |(child, name)| {
        child.ask(&["register", "--display", &format!("{name} at last")]).ok();
    });
    network.kill_server();
    at_once(supers.iter_mut().chain(&mut children), Peer::kill);
    network.serve();
    at_once(supers.iter_mut().chain(&mut children), Peer::start);
    at_once(supers.iter().chain(&children), |from| {
        let found = until("all that was acknowledged is found", || {
            let found = from.ask(&[&["lookup", "--fresh"], &names[..]].concat());
            let answer = found.json();
            let last =
                |(index, name)| answer["names"][index]["devices"][0]["display"] == format!("{name} at last");
            (found.code == Some(0) && names.iter().enumerate().all(last)).then_some(answer)
        });
        for (index, before) in before.iter().enumerate() {
            let (device, before) = (&found["names"][index]["devices"][0], &before["devices"][0]);
            assert_eq!(device["device"], before["device"], "{found}");
            assert!(device["seq"].as_u64() > before["seq"].as_u64(), "{before} became {device}");
        }
    });
    at_once(&children, |child| child.wait("registered"));
}

#[test]
fn a_frozen_parent_is_left_and_is_a_member_again_when_it_goes_on() {
    // Goal: an open connection to a silent parent doesn't hold a child. Method: SIGSTOP the parent, look up
    // through it until the child has another; SIGCONT, and everybody knows everybody.
    let network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 5] = network.superpeers();
    let children: [Peer; 2] = network.children();
    let parents = enrolled(&children, &["alice", "bob"]);
    of(&mut supers, &parents[0]).freeze();
    until("the child has left its parent", || {
        children[0].find_all(&["alice", "bob"]);
        children[0].parent().filter(|parent| *parent != parents[0])
    });
    children[1].find_all(&["alice"]);
    let frozen = of(&mut supers, &parents[0]);
    frozen.thaw();
    frozen.find_all(&["alice", "bob"]);
    all_know(&supers, supers.len() + 1);
    at_once(&children, |child| child.find_all(&["alice", "bob"]));
}

#[test]
fn a_frozen_storer_is_routed_around_and_serves_again_when_it_goes_on() {
    // Goal: a storer that takes requests and answers none. Method: SIGSTOP one that is nobody's parent here;
    // the name is found; after SIGCONT it is known to all and holds the name.
    let network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 5] = network.superpeers();
    let children: [Peer; 2] = network.children();
    let parents = enrolled(&children, &["alice", "bob"]);
    let census = Census::take(&network, &supers[0]);
    let calm: Vec<&Peer> = supers.iter().filter(|peer| parents.iter().all(|id| peer.id() != id)).collect();
    let stored = (0..).map(|number| format!("stored-{number}")).find_map(|name| {
        let storers = census.storers(&name, R_OF_THREE);
        let storer = calm.iter().find(|peer| storers.iter().any(|id| peer.id() == id))?;
        Some((name, storer.id().to_owned()))
    });
    let (name, storer) = stored.expect("some name lies there");
    children[0].enrol(&name);
    let mut poll = Poll::of(&network, &supers);
    until("the storer holds it", || poll.holders(&name).contains(&storer).then_some(()));
    of(&mut supers, &storer).freeze();
    for _ in 0..3 {
        children[1].find_all(&[&name]);
    }
    of(&mut supers, &storer).thaw();
    all_know(&supers, supers.len() + 1);
    assert!(Poll::of(&network, &supers).holders(&name).contains(&storer));
    children[1].find_all(&[&name]);
}
