use std::collections::BTreeSet;

use callbook_overlay::api::Address;
use callbook_overlay::sign::SecretKey;
use callbook_overlay::wire::Known;

use super::super::limits::QUESTIONS_PER_HOUR_MAX;
use super::super::town::{Town, now};
use super::*;

fn reached(found: &Found) -> BTreeSet<PeerId> {
    found.visits.iter().filter(|visit| visit.result.is_ok()).map(|visit| visit.peer).collect()
}

#[test]
fn a_walk_from_anybody_finds_everybody_and_visits_nobody_twice() {
    // Goal: complete and cheap in small and large networks. Method: towns in which everybody knows all, walked
    // from one superpeer, with one visit at once and with many.
    for count in [1, 2, 19, 20, 21, 60, 300] {
        for at_once in [1, 64] {
            let mut town = Town::of(count);
            let all = town.peers();
            let found = town.walk(&all[..1], at_once);
            assert!(found.complete, "of {count}");
            assert_eq!(reached(&found), all.iter().copied().collect());
            assert_eq!(found.around.len(), all.len());
            let visits: u32 = town.visits.values().sum();
            assert!(visits <= count + count / 20 + 2, "{visits} visits for {count}");
            let Ok(seen) = &found.visits[0].result else { panic!("reached") };
            assert_eq!((seen.agent.as_str(), seen.children), ("town/1", Some(3)));
        }
    }
}

#[test]
fn everybody_is_found_where_each_knows_only_its_surroundings() {
    // Goal: nobody has to know all. Method: each superpeer knows the twenty nearest to it, and two others in each
    // of its buckets.
    let mut town = Town::of(200);
    let all = town.peers();
    for peer in &all {
        let own = town.place(peer);
        let mut near = all.clone();
        near.sort_by_cached_key(|other| town.place(other).distance(&own));
        let far = near.split_off(20);
        for bucket in 0..=255 {
            let there = far.iter().filter(|other| town.place(other).distance(&own).bucket() == Some(bucket));
            near.extend(there.take(2));
        }
        town.superpeers.get_mut(peer).unwrap().1 = Some(near.into_iter().collect());
    }
    let found = town.walk(&all[..1], 8);
    assert_eq!(reached(&found).len(), 200);
    assert!(found.complete);
}

#[test]
fn a_part_in_which_nobody_answers_is_asked_about_elsewhere() {
    // Goal: the dead hide nobody, and they are visited, told as not reached, and not for ever. Method: everybody
    // in one half of the key space is dead.
    let mut town = Town::of(100);
    let all = town.peers();
    town.dead = all.iter().filter(|peer| town.place(peer).as_bytes()[0] < 128).copied().collect();
    let living: BTreeSet<PeerId> = all.iter().filter(|peer| !town.dead.contains(*peer)).copied().collect();
    let start = *living.first().unwrap();
    let found = town.walk(&[start], 8);
    assert!(found.complete, "{found:?}");
    assert_eq!(reached(&found), living);
    let unreached = found.visits.iter().filter(|visit| visit.result.is_err()).count();
    assert_eq!(unreached, town.dead.len());
}

#[test]
fn whom_no_login_key_has_certified_is_not_visited() {
    // Goal: a liar can't send a census anywhere. Method: hints by another key, told by a superpeer of ours; and one
    // who greets with such a hint.
    let mut town = Town::of(2);
    let all = town.peers();
    let forger = SecretKey::from_seed([9; 32]);
    let forged = town.hint(77, &forger);
    let mut walk = Walk::new(&town.network, [town.target(&all[0])], Questions::default(), now());
    let (peer, _) = walk.next(now()).unwrap();
    let Step::Ask(key) = walk.greeted(&peer, &town.open(&peer), Duration::ZERO, now()) else {
        panic!("it is asked")
    };
    let hints = Hints { hints: vec![forged.clone(); 3], shared: None, there: Known::default() };
    assert_eq!(walk.answered(&peer, &key, &hints, (Duration::ZERO, now())), Step::Close);
    assert!(walk.next(now()).is_none());
    let (found, _) = walk.finish();
    assert_eq!((found.bad_hints, found.visits.len()), (3, 1));

    town.superpeers.insert(forged.peer(), (forged.clone(), None));
    let found = town.walk(&[forged.peer()], 1);
    assert!(found.visits.is_empty(), "it is visited, since we were told to, and is no superpeer");
}

#[test]
fn nobody_is_asked_more_often_than_is_right() {
    // Goal: the bound on questions holds over many walks of an hour; greetings go on. Method: walks of a town of
    // one, one after another.
    let mut town = Town::of(1);
    let peer = town.peers()[0];
    let (mut questions, mut answers) = (Questions::default(), 0);
    for _ in 0..2 * QUESTIONS_PER_HOUR_MAX {
        let walk = Walk::new(&town.network, [town.target(&peer)], questions, now());
        let (found, left) = town.drive(walk, 1);
        questions = left;
        answers += found.around.len();
        assert_eq!(reached(&found).len(), 1);
    }
    assert_eq!(answers, QUESTIONS_PER_HOUR_MAX as usize);
}

#[test]
fn who_was_not_reached_is_tried_again_at_an_address_that_is_news() {
    // Goal: a superpeer that has moved is found. Method: the first address is an old one; another superpeer names
    // the new one.
    let mut town = Town::of(2);
    let [first, moved] = town.peers()[..] else { panic!("two") };
    let mut old = town.target(&moved);
    old.addresses = vec!["/ip4/10.9.9.9/tcp/1".parse().unwrap()];
    let mut walk = Walk::new(&town.network, [old, town.target(&first)], Questions::default(), now());
    let (peer, addresses) = walk.next(now()).unwrap();
    assert_eq!((peer, addresses.len()), (moved, 1));
    walk.failed(&moved, Failure::Refused, now());
    let (found, _) = town.drive(walk, 1);
    assert_eq!(reached(&found).len(), 2);
    assert_eq!(found.visits.len(), 2, "one visit is told of each");
}

#[test]
fn visits_between_walks_ask_nothing() {
    // Goal: they only see who is there. Method: one living and one dead.
    let mut town = Town::of(2);
    let [one, other] = town.peers()[..] else { panic!("two") };
    town.dead.insert(other);
    let targets = [town.target(&one), town.target(&other)];
    let walk = Walk::visits(&town.network, targets, Questions::default(), now());
    let (found, _) = town.drive(walk, 2);
    assert_eq!((reached(&found).len(), found.visits.len(), found.around.len()), (1, 2, 0));
}

#[test]
fn one_that_has_just_started_is_not_believed_to_know_all() {
    // Goal: who names few and says that these are all makes no walk complete. Method: sixty superpeers, of which
    // the first knows but two; and four, each of which knows the next one only, so that nobody knows all.
    let mut town = Town::of(60);
    let all = town.peers();
    let few = BTreeSet::from([all[0], all[1], all[2]]);
    town.superpeers.get_mut(&all[0]).unwrap().1 = Some(few);
    let found = town.walk(&all[..1], 1);
    assert_eq!((reached(&found).len(), found.complete), (60, true), "the others know");
    for peer in &all[1..] {
        let known: BTreeSet<PeerId> = all[..3].iter().copied().chain([*peer]).collect();
        town.superpeers.get_mut(peer).unwrap().1 = Some(known);
    }
    let found = town.walk(&all, 8);
    assert_eq!((reached(&found).len(), found.complete), (60, false), "nobody knows");

    let mut town = Town::of(4);
    let all = town.peers();
    for pair in all.windows(2) {
        town.superpeers.get_mut(&pair[0]).unwrap().1 = Some(pair.iter().copied().collect());
    }
    town.superpeers.get_mut(&all[3]).unwrap().1 = Some(BTreeSet::from([all[3]]));
    let found = town.walk(&all[..1], 1);
    assert_eq!((reached(&found).len(), found.complete), (4, false));
    let visits: u32 = town.visits.values().sum();
    assert!(visits <= 8, "each is asked once more at most: {visits}");
}

#[test]
fn more_children_than_can_be_are_none_told_of() {
    // Goal: one liar doesn't make the network huge. Method: a greeting with as many as a number holds.
    let town = Town::of(1);
    let peer = town.peers()[0];
    for (told, wanted) in [(4_096, Some(4_096)), (4_097, None), (u32::MAX, None)] {
        let mut walk = Walk::visits(&town.network, [town.target(&peer)], Questions::default(), now());
        walk.next(now()).unwrap();
        let open = Open { children: Some(told), ..town.open(&peer) };
        assert_eq!(walk.greeted(&peer, &open, Duration::ZERO, now()), Step::Close);
        let (found, _) = walk.finish();
        assert_eq!(found.visits[0].result.as_ref().unwrap().children, wanted);
    }
}

#[test]
fn one_liar_leaves_room_for_where_a_superpeer_is() {
    // Goal: who names somebody first, and wrongly, hides nobody. Method: a teller tells twice of a superpeer at two false
    // addresses, each over both transports; then another one tells the truth.
    let town = Town::of(3);
    let [liar, honest, hidden] = town.peers()[..] else { panic!("three") };
    let truth = town.superpeers[&hidden].0.clone();
    let lie = |last: u8| {
        let at = |last| Address { ip: [10, 9, 9, last].into(), port: 1 };
        Target::of(Hint { addresses: vec![at(last), at(last + 1)], ..truth.clone() })
    };
    let mut walk = Walk::new(&town.network, [], Questions::default(), now());
    walk.meet(lie(1), Some(liar), now());
    walk.meet(lie(3), Some(liar), now());
    let told = Target::of(truth.clone()).addresses;
    walk.meet(Target::of(truth), Some(honest), now());
    let (peer, addresses) = walk.next(now()).unwrap();
    assert_eq!(peer, hidden);
    assert_eq!(addresses.len(), 6, "{addresses:?}");
    assert!(told.iter().all(|address| addresses.contains(address)), "{addresses:?}");
}
