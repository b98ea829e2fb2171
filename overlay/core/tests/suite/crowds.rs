//! Many children of one superpeer: that dies, or that needs help.
//!
//! *Not here*: one child's way to a standby (`parents`), the survivors' load (rows E and F of the simulator).

use std::collections::BTreeSet;
use std::time::Duration;

use callbook_overlay::api::{Command, Notice, Parallelism};
use callbook_overlay::limits::FAIL_OVER_SPREAD;
use callbook_overlay::wire::Message;

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 4;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A superpeer with so many children, whose standbys, three other superpeers, they have no link to.
fn with_children(seed: u64, children: usize) -> World {
    let mut world = World::new(seed, 3, Parallelism::Hedged);
    world.children_max = 100;
    // The first hands no children on.
    world.tamper =
        Some(Box::new(|_, _, frame| (!matches!(frame.message, Message::Elsewhere(_))).then_some(frame)));
    (0..4 + children).for_each(|index| assert_eq!(world.add(index < 4), index));
    world.start(0, &[]);
    (4..4 + children).for_each(|index| world.start(index, &[0]));
    world.run_for(millis(5_000));
    (1..4).for_each(|index| world.start(index, &[0]));
    world.run_for(millis(180_000));
    for child in 4..4 + children {
        assert_eq!(world.parent(child), Some(0), "seed {seed}, {child}");
        assert_eq!(world.standbys(child).len(), 2, "seed {seed}, {child}");
        assert!((1..4).all(|standby| !world.linked(child, standby)), "seed {seed}, {child}");
    }
    world
}

/// The milliseconds after its death in which the children of the first superpeer dial.
fn dials_after_death(world: &mut World) -> Vec<u64> {
    world.dials.clear();
    world.crash(0);
    let mut dials = Vec::new();
    for milli in 0..1_000 {
        let before = world.dials.len();
        world.run_for(millis(1));
        dials.extend(world.dials[before..].iter().filter(|(from, _)| *from >= 4).map(|_| milli));
    }
    dials
}

/// Goal: when a superpeer dies its children come to their standbys one after the other, and all have a
/// parent within the second. Method: sixty children; when each dials. Control: an only child does at once.
#[test]
fn the_children_of_one_that_dies_do_not_all_knock_at_once() {
    for seed in 0..SEEDS {
        let mut world = with_children(seed, 60);
        let dials = dials_after_death(&mut world);
        let spread = u64::try_from(FAIL_OVER_SPREAD.as_millis()).expect("short") * 60 / 100;
        let times: BTreeSet<u64> = dials.iter().copied().collect();
        assert!(dials.len() >= 120, "seed {seed}: {dials:?}");
        assert!(times.first() < Some(&(spread / 4)) && times.len() > 30, "seed {seed}: {times:?}");
        let most = times.iter().map(|time| dials.iter().filter(|dial| *dial == time).count()).max();
        assert!(most < Some(12), "seed {seed}: {dials:?}");
        assert!(dials.iter().filter(|dial| **dial <= spread + 1).count() >= 120, "seed {seed}: {dials:?}");
        for child in 4..64 {
            assert!(world.parent(child).is_some_and(|parent| parent > 0), "seed {seed}, {child}");
        }

        let mut world = with_children(seed, 1);
        let dials = dials_after_death(&mut world);
        assert!(dials.len() >= 2 && dials[1] <= 2, "seed {seed}: {dials:?}");
    }
}

/// Goal: those who say that they would be superpeers, and never are, don't keep others from it. Method: twenty do so,
/// then one more comes; whether it is asked soon. Control: who does not volunteer is not.
#[test]
fn volunteers_who_never_come_keep_nobody_from_being_asked() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        world.children_max = 100;
        (0..23).for_each(|index| assert_eq!(world.add(index < 1), index));
        let asked = |world: &World, index: usize| {
            world.notices(index).iter().any(|notice| matches!(notice, Notice::SuperpeerNeeded))
        };
        world.start(0, &[]);
        for index in 1..21 {
            world.start(index, &[0]);
            world.tell(index, Command::Volunteer(true));
        }
        world.run_for(millis(200_000));
        assert!((1..21).all(|index| asked(&world, index)), "seed {seed}");
        (21..23).for_each(|index| world.start(index, &[0]));
        world.tell(21, Command::Volunteer(true));
        world.run_for(millis(15_000));
        assert!(asked(&world, 21) && !asked(&world, 22), "seed {seed}");
    }
}

/// Goal: superpeers know how many children the others have also where their links are never quiet. Method: children come
/// to three superpeers that ask each other for missing names all the time; each counts all peers.
#[test]
fn loads_are_told_on_busy_links_too() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 3, 0, 3);
        world.run_for(Duration::from_secs(60));
        let children: Vec<usize> = (0..40).map(|_| world.add(false)).collect();
        for child in children {
            world.start(child, &[0, 1, 2]);
        }
        for round in 0..30 {
            for superpeer in 0..3 {
                world.try_resolve(superpeer, &format!("nobody-{round}"), true);
            }
            world.run_for(Duration::from_secs(2));
        }
        for superpeer in 0..3 {
            let peers = world.overlay(superpeer).counters().peers;
            assert!((37..=49).contains(&peers), "seed {seed}: {superpeer} counts {peers} of 43");
        }
    }
}
