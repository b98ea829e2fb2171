//! Superpeers from which nothing comes: who is there, and who is not, is found out by knocking.
//!
//! *Not here*: many that go at once (`losing`), hellos (`bounds`).

use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Address, Command, How, Parallelism};

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 12;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A name that nobody has, of which a superpeer is a storer.
fn nobody_at(world: &World, storer: usize) -> String {
    let mut names = (0..).map(|number| format!("nobody-{number}x"));
    names.find(|name| world.closest(&world.key(name), 3).contains(&storer)).expect("some name")
}

/// Four superpeers that have been linked for long, and a name of the last one's.
fn grown(seed: u64) -> (World, String) {
    let mut world = network(seed, 4, 0, 3);
    world.run_for(seconds(30));
    let name = nobody_at(&world, 3);
    (world, name)
}

/// The same four, shortly after they have met.
fn young(seed: u64) -> (World, String) {
    let mut world = World::new(seed, 3, Parallelism::Hedged);
    for index in 0..4 {
        assert_eq!(world.add(true), index);
        world.start(index, &[0]);
    }
    world.run_for(seconds(4));
    let name = nobody_at(&world, 3);
    (world, name)
}

fn known(world: &World, index: usize) -> u64 {
    world.overlay(index).counters().superpeers
}

fn links(world: &World, one: usize, other: usize) -> usize {
    world.links_between(one, other).count()
}

/// Goal: a superpeer whose process has ended is known to be dead as soon as it owes an answer, long before its
/// link times out, be the link old or young. Method: it dies and its links stay; a look-up that it is a storer of.
/// Control: its host is gone too, so that a knock is not answered, and it stays in the map.
#[test]
fn a_dead_superpeer_is_found_out_by_knocking() {
    for seed in 0..SEEDS {
        for (age, host, left) in [(30, true, 3), (4, true, 3), (30, false, 4)] {
            let (mut world, name) = if age == 30 { grown(seed) } else { young(seed) };
            if host {
                world.die(3)
            } else {
                world.vanish(3)
            }
            drop(world.try_resolve(0, &name, true));
            world.run_for(seconds(1));
            assert_eq!(known(&world, 0), left, "seed {seed}, linked for {age} s, its host answers: {host}");
        }
    }
}

/// Goal: a superpeer that lives behind a link on which nothing comes through any more is found again. Method: the
/// links of a pair go deaf without a word; look-ups on both sides that owe the other's answer. Both keep each
/// other in their maps, the look-ups have their answer, one link is left, and it is used by both.
#[test]
fn a_silent_superpeer_that_lives_is_found_alive_and_keeps_one_link() {
    for seed in 0..SEEDS {
        for asker in [0, 3] {
            let (mut world, _) = grown(seed);
            let other = 3 - asker;
            let name = nobody_at(&world, other);
            let failed = world.overlay(asker).counters().dials_failed;
            world.deafen(0, 3);
            let answer = world.try_resolve(asker, &name, true);
            world.run_for(seconds(1));
            let context = format!("seed {seed}, asked at {asker}: {answer:?}");
            assert_eq!(links(&world, 0, 3), 1, "{context}");
            assert_eq!((known(&world, 0), known(&world, 3)), (4, 4), "{context}");
            assert_eq!(world.overlay(asker).counters().dials_failed, failed, "{context}");
            for index in [asker, other] {
                let name = nobody_at(&world, 3 - index);
                let before = world.now();
                drop(world.try_resolve(index, &name, true));
                assert!(world.now() - before < 500_000, "{context}: {index} waits for the other");
            }
            // The ends of the dead link are told at last.
            world.run_for(seconds(40));
            assert_eq!(links(&world, 0, 3), 1, "{context}");
            assert!(world.knows_its_links(0) && world.knows_its_links(3), "{context}");
        }
    }
}

/// Goal: one that stays silent is knocked at no more than once in ten seconds. Method: connections come about,
/// and everything that is said between two superpeers is lost, while one asks the other ten times a second until
/// shortly before their link is known to be dead.
#[test]
fn a_superpeer_is_knocked_at_once_in_ten_seconds() {
    let mut again = 0;
    for seed in 0..SEEDS {
        let (mut world, name) = grown(seed);
        world.tamper =
            Some(Box::new(|from, to, frame| (from.min(to) != 0 || from.max(to) != 3).then_some(frame)));
        let (peer, mut knocks) = (world.peer(3), Vec::new());
        for _ in 0..145 {
            let before = world.dials.len();
            let username = Username::parse(&name).expect("a name");
            world.tell(0, Command::Resolve { username, how: How { fresh: true, ..How::default() } });
            world.run_for(Duration::from_millis(100));
            let now = world.now();
            knocks.extend(world.dials[before..].iter().filter(|dial| **dial == (0, peer)).map(|_| now));
        }
        assert!(!knocks.is_empty(), "seed {seed}");
        assert!(knocks.windows(2).all(|pair| pair[1] - pair[0] >= 9_900_000), "seed {seed}: {knocks:?}");
        // While the other one knocks here, we don't there.
        again += knocks.len() - 1;
    }
    assert!(again > 0);
}

/// Goal: a dial that is refused says nothing of a superpeer that has come by itself meanwhile. Method: it
/// crashes, another one dials where it was, over QUIC first, so that the refusal takes five seconds; meanwhile
/// it has started again at another port, is linked, and has nothing to say. It stays in all maps and keeps its
/// links.
#[test]
fn a_dial_of_where_it_was_ends_no_link_of_one_that_has_come_back() {
    for seed in 0..SEEDS {
        let (mut world, _) = grown(seed);
        world.conditions.refused_after = seconds(5);
        world.crash(3);
        world.run_for(seconds(1));
        world.set_address(3, Address { ip: [127, 0, 0, 1].into(), port: 9_003 });
        world.start(3, &[0, 1, 2]);
        world.run_for(seconds(3));
        let before: Vec<usize> = (0..3).map(|index| links(&world, index, 3)).collect();
        assert_eq!(before, [1; 3], "seed {seed}");
        let lost: Vec<u64> = (0..3).map(|index| world.overlay(index).counters().suspects_told).collect();
        world.run_for(seconds(4));
        for (index, lost) in lost.into_iter().enumerate() {
            let counters = world.overlay(index).counters();
            assert_eq!((counters.superpeers, links(&world, index, 3)), (4, 1), "seed {seed}, at {index}");
            assert_eq!(counters.suspects_told, lost, "seed {seed}, at {index}: told as dead");
        }
    }
}
