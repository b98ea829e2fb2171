//! Superpeers come and go as they should, and records with them.

use std::collections::BTreeSet;

use callbook_e2e::{Census, Network, Peer, Poll, R_OF_THREE, all_know, at_once, until};

/// Names that one child enrols before it goes offline: only storers can answer for them after that.
fn left_behind(network: &Network, supers: &[Peer], owner: &mut Peer, names: &[String]) {
    for name in names {
        owner.enrol(name);
    }
    owner.wait("registered");
    let mut poll = Poll::of(network, supers);
    until("all names are held", || names.iter().all(|name| poll.holders(name).len() >= 3).then_some(()));
    owner.stop();
}

#[test]
fn a_superpeer_that_joins_takes_over_what_lies_nearest_to_it() {
    // Goal: hand-over. Method: names whose owner is offline; a superpeer joins; once it holds a name that now
    // belongs to it, all that stored it before are killed, and it is still found.
    let network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 5] = network.superpeers();
    let [mut owner, asker] = network.children();
    let before = Census::take(&network, &supers[0]);
    let ids: BTreeSet<String> = supers.iter().map(|peer| peer.id().to_owned()).collect();
    // One of them is killed if it is the asker's parent; then that is left too, which is another test.
    let names = (0..).map(|number| format!("mover-{number}"));
    let among_ours = |name: &String| before.storers(name, R_OF_THREE).iter().all(|id| ids.contains(id));
    let names: Vec<String> = names.filter(among_ours).take(8).collect();
    left_behind(&network, &supers, &mut owner, &names);

    let mut newcomers = Vec::new();
    let (name, newcomer) = until("a newcomer is among a name's three closest", || {
        let mut peer = network.superpeer(&format!("newcomer-{}", newcomers.len() + 1));
        peer.start();
        peer.wait("superpeer");
        newcomers.push(peer);
        let superpeers = supers.len() + newcomers.len() + 1;
        all_know(supers.iter().chain(&newcomers), superpeers);
        let (after, peer) = (Census::take(&network, &supers[0]), newcomers.last()?);
        let belongs =
            |name: &&String| after.storers(name, R_OF_THREE).iter().any(|id| id.as_str() == peer.id());
        Some((names.iter().find(belongs)?.clone(), newcomers.len() - 1))
    });
    let newcomer = &newcomers[newcomer];
    let mut poll = Poll::of(&network, [newcomer]);
    until("the newcomer has taken it over", || {
        poll.holders(&name).iter().any(|id| id == newcomer.id()).then_some(())
    });
    let older = before.storers(&name, R_OF_THREE);
    at_once(supers.iter_mut().filter(|peer| older.iter().any(|id| id == peer.id())), Peer::kill);
    asker.find_all(&[&name]);
}

#[test]
fn superpeers_that_leave_one_after_the_other_take_nothing_with_them() {
    // Goal: a graceful leave loses nothing, down to as few as r. Method: names whose owner is offline; `down`
    // on one superpeer after the other; all names are found each time.
    let network = Network::start_with(R_OF_THREE);
    let mut supers: [Peer; 6] = network.superpeers();
    let [mut owner, asker] = network.children();
    let names: Vec<String> = (0..6).map(|number| format!("stayer-{number}")).collect();
    left_behind(&network, &supers, &mut owner, &names);
    let asked: Vec<&str> = names.iter().map(String::as_str).collect();
    // The login server's node and two of them are three in the end.
    for peer in &mut supers[2..] {
        peer.leave();
        asker.find_all(&asked);
    }
    all_know(&supers[..2], 3);
    asker.find_all(&asked);
}
