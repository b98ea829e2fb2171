//! The protocol between several overlays, in a simulated network, over many seeds.

use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Command, Failure, Notice, Parallelism, Reply, Source};

use crate::world::World;

const SEEDS: u64 = 40;

/// `superpeers` superpeers that know the first one, then `children` children that know it too.
pub(crate) fn network(seed: u64, superpeers: usize, children: usize, r: usize) -> World {
    let parallelism = if seed.is_multiple_of(2) { Parallelism::Hedged } else { Parallelism::AtOnce };
    let mut world = World::new(seed, r, parallelism);
    for index in 0..superpeers + children {
        assert_eq!(world.add(index < superpeers), index);
    }
    // Who is the only superpeer is the login server's.
    world.reluctant = superpeers == 1;
    for index in 0..superpeers {
        world.start(index, &[0]);
    }
    world.reluctant = false;
    world.run_for(Duration::from_secs(10));
    for index in superpeers..superpeers + children {
        world.start(index, &[0, 1 % superpeers]);
    }
    world.run_for(Duration::from_secs(2));
    world
}

/// Goal: the name of a superpeer that registers as soon as it starts is where it belongs. Method: it starts
/// without seeds beside a network, registers, hears of one of them; until then nobody has acknowledged
/// anything; after a refresh the name is at all of its storers.
#[test]
fn a_newcomer_that_registers_before_it_knows_anybody_is_stored_by_those_it_should_be() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 0, 3);
        let newcomer = world.add(true);
        world.start(newcomer, &[]);
        let (held, _) = world.authority.held("alice");
        let registering = world.tell(newcomer, Command::Register(Box::new(held)));
        world.run_for(Duration::from_millis(seed * 25));
        assert!(world.reply(registering).is_none(), "seed {seed}: who knows nobody has no majority");
        let hints = world.hint(0).into_iter().collect();
        world.tell(newcomer, Command::Seeds(hints));
        world.run_for(Duration::from_secs(100));
        assert!(matches!(world.reply(registering), Some(Reply::Registered(_))), "seed {seed}");
        let key = world.key("alice");
        let closest = world.closest(&key, 3);
        let stored = closest.iter().filter(|index| world.holds(**index, &key)).count();
        assert_eq!(stored, 3, "seed {seed}");
    }
}

/// Goal: a superpeer that is alone can hold a name, and it spreads as others come. Method: one registers
/// alone, five join one after the other; the five that are closest hold it.
#[test]
fn the_name_of_a_first_superpeer_spreads_as_others_come() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 1, 0, 5);
        let (held, _) = world.authority.held("alice");
        world.register(0, held);
        for _ in 0..5 {
            let newcomer = world.add(true);
            world.start(newcomer, &[0]);
            world.run_for(Duration::from_secs(seed));
        }
        world.run_for(Duration::from_secs(100));
        let key = world.key("alice");
        let closest = world.closest(&key, 5);
        let stored = closest.iter().filter(|index| world.holds(**index, &key)).count();
        assert_eq!(stored, 5, "seed {seed}");
    }
}

/// Goal: a name registered at one child is found from every other peer, with its devices complete.
/// Method: two devices of one name at two children, look-ups past the caches (the first device's parent
/// may keep what it knew for a ttl) from all peers, several network sizes.
#[test]
fn a_registered_name_is_found_from_everywhere() {
    for seed in 0..SEEDS {
        let (superpeers, r) = [(1, 2), (3, 2), (5, 3), (8, 20)][seed as usize % 4];
        let mut world = network(seed, superpeers, 4, r);
        let (first, _) = world.authority.held("alice");
        let (second, _) = world.authority.held("alice");
        world.register(superpeers, first);
        world.register(superpeers + 1, second);
        // Acknowledged by a majority; the others get it within a round trip.
        world.run_for(Duration::from_secs(1));
        for index in 0..superpeers + 4 {
            let Reply::Resolved(resolution) = world.try_resolve(index, "alice", true) else {
                panic!("seed {seed}: no answer from {index}");
            };
            assert_eq!(resolution.devices.len(), 2, "seed {seed}, from {index}");
            assert_eq!(resolution.devices[0].payload.display, "A person");
        }
    }
}

/// Goal: a name that nobody registered is absent, not unknown. Method: look-ups from all peers.
#[test]
fn a_name_that_nobody_has_is_absent() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 4, 2, 2);
        for index in 0..6 {
            assert!(world.resolve(index, "nobody").devices.is_empty(), "seed {seed}, from {index}");
        }
    }
}

/// Goal: a look-up crosses the overlay when the parent stores nothing, and the second one comes from
/// its cache. Method: many names, so that some are stored elsewhere.
#[test]
fn some_look_ups_cross_the_overlay_and_are_cached_after_that() {
    let mut world = network(1, 4, 2, 2);
    let mut crossed = 0;
    for number in 0..12 {
        let name = format!("name-{number}");
        let (held, _) = world.authority.held(&name);
        world.register(4, held);
        if world.parent(4) == world.parent(5) {
            continue;
        }
        let resolution = world.resolve(5, &name);
        if resolution.source == Source::Overlay {
            crossed += 1;
            assert!(resolution.hops >= 1);
            assert_eq!(world.resolve(5, &name).source, Source::Cache);
        }
    }
    if world.parent(4) != world.parent(5) {
        assert!(crossed > 0, "of 12 names some have no storer at this parent");
    }
}

/// Goal: a revoked device is gone from every answer. Method: register two devices, put the epoch
/// record through a superpeer, look up past the caches from everywhere.
#[test]
fn a_revoked_device_is_gone_from_the_answers() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 4, 3, 3);
        let (lost, serial) = world.authority.held("bob");
        let (kept, _) = world.authority.held("bob");
        world.register(4, lost);
        world.register(5, kept);
        let epoch = world.authority.revoke("bob", serial, world.unix());
        match world.ask(0, Command::Put(epoch)) {
            Reply::Stored(stored) => assert!(stored.stored * 2 > stored.of),
            other => panic!("seed {seed}: {other:?}"),
        }
        world.run_for(Duration::from_secs(1));
        for index in [0, 1, 2, 3, 5, 6] {
            match world.try_resolve(index, "bob", true) {
                Reply::Resolved(resolution) => {
                    assert_eq!(resolution.devices.len(), 1, "seed {seed}, from {index}");
                }
                other => panic!("seed {seed}, from {index}: {other:?}"),
            }
        }
    }
}

/// Goal: a child whose parent dies finds another and is found again with its new parent. Method: crash
/// the parent, wait, look up past the caches.
#[test]
fn a_child_finds_another_parent_and_registers_again() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 5, 3, 3);
        let (held, _) = world.authority.held("carol");
        world.register(5, held);
        let parent = world.parent(5).expect("attached");
        world.crash(parent);
        world.run_for(Duration::from_secs(15));
        let next = world.parent(5).unwrap_or_else(|| panic!("seed {seed}: no new parent"));
        assert_ne!(next, parent);
        for index in 5..8 {
            match world.try_resolve(index, "carol", true) {
                Reply::Resolved(resolution) => assert_eq!(resolution.devices.len(), 1, "seed {seed}"),
                other => panic!("seed {seed}, from {index}: {other:?}"),
            }
        }
    }
}

/// Goal: restarts lose nothing that was acknowledged. Method: register, crash all superpeers, start
/// them again from their disks alone, look up from a peer that asks them.
#[test]
fn a_restart_of_all_superpeers_loses_no_record() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 4, 2, 2);
        let (held, _) = world.authority.held("dave");
        world.register(4, held);
        world.run_for(Duration::from_secs(1));
        world.crash(4);
        for index in 0..4 {
            world.crash(index);
        }
        for index in 0..4 {
            world.start(index, &[]);
        }
        world.run_for(Duration::from_secs(60));
        let found = world.resolve(5, "dave");
        assert_eq!(found.devices.len(), 1, "seed {seed}");
    }
}

/// Goal: with nobody there a look-up ends and says so. Method: a child alone.
#[test]
fn a_look_up_without_a_parent_ends_as_detached() {
    let mut world = World::new(1, 2, Parallelism::Hedged);
    world.add(false);
    world.start(0, &[]);
    match world.try_resolve(0, "alice", false) {
        Reply::Failed(Failure::Detached) => {}
        other => panic!("{other:?}"),
    }
}

/// Goal: who can only tell its own device says that this may be a part, and why. Method: a child with a name, with its
/// superpeer and after that has gone.
#[test]
fn an_answer_of_ones_own_alone_says_that_it_may_be_a_part() {
    let mut world = network(1, 1, 1, 2);
    let (held, _) = world.authority.held("alice");
    world.register(1, held);
    assert_eq!(world.resolve(1, "alice").partial, None);
    world.crash(0);
    world.run_for(Duration::from_secs(60));
    let found = world.resolve(1, "alice");
    assert_eq!((found.devices.len(), found.source), (1, Source::Own));
    assert_eq!(found.partial, Some(Failure::Detached));
}

/// Goal: a daemon whose clock is off by hours says so and signs nothing. Method: a child two hours
/// ahead of its three neighbours.
#[test]
fn a_clock_that_is_hours_off_is_noticed_and_nothing_is_signed() {
    let mut world = network(3, 3, 0, 2);
    let child = world.add(false);
    world.set_clock_offset(child, 7_200);
    world.start(child, &[0, 1, 2]);
    world.run_for(Duration::from_secs(3));
    assert!(world.notices(child).iter().any(|notice| matches!(notice, Notice::Skewed { seconds: 7_200 })));
    let (held, _) = world.authority.held("erin");
    match world.ask(child, Command::Register(Box::new(held))) {
        Reply::Failed(Failure::Skewed { seconds: 7_200 }) => {}
        other => panic!("{other:?}"),
    }
}

/// Goal: the same seed gives the same run, byte for byte. Method: hash all inputs and effects twice.
#[test]
fn one_seed_gives_one_run() {
    let run = |seed| {
        let mut world = network(seed, 5, 5, 3);
        let (held, _) = world.authority.held("frank");
        world.register(6, held);
        world.crash(1);
        world.run_for(Duration::from_secs(120));
        world.trace.finalize()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

/// Goal: after joining, every superpeer knows all others and has one link to each. Method: all start at
/// once from one seed, so that cross-dials happen.
#[test]
fn superpeers_end_up_with_one_link_to_each_other() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        for _ in 0..8 {
            world.add(true);
        }
        for index in 0..8 {
            world.start(index, &[0, 1]);
        }
        world.run_for(Duration::from_secs(90));
        for index in 0..8 {
            let counters = world.overlay(index).counters();
            assert_eq!((counters.superpeers, counters.links), (8, 7), "seed {seed}, at {index}");
        }
    }
}

/// Goal: up to the number of warm streams, every superpeer has one to each other. Method: 60 superpeers
/// that are told of all; most streams are opened at once, the others by and by.
#[test]
fn sixty_superpeers_have_a_stream_between_every_two() {
    let mut world = World::new(1, 20, Parallelism::Hedged);
    for _ in 0..60 {
        world.add(true);
    }
    let all: Vec<usize> = (0..60).collect();
    for index in 0..60 {
        world.start(index, &all);
    }
    world.run_for(Duration::from_secs(60));
    for index in 0..60 {
        let counters = world.overlay(index).counters();
        assert!(counters.superpeers == 60 && counters.links >= 36, "at {index}: {} links", counters.links);
    }
    world.run_for(Duration::from_secs(1_500));
    for index in 0..60 {
        let counters = world.overlay(index).counters();
        assert_eq!((counters.superpeers, counters.links), (60, 59), "at {index}");
    }
}

/// Goal: a name is held under its canonical form. Method: look up with other case.
#[test]
fn a_name_is_found_whatever_its_case() {
    let mut world = network(2, 2, 2, 2);
    let (held, _) = world.authority.held("grace");
    world.register(2, held);
    assert_eq!(Username::parse("GRACE").map(|name| name.as_str().to_owned()), Ok("grace".to_owned()));
    assert_eq!(world.resolve(3, "Grace").devices.len(), 1);
}

/// Goal: a child gets back to work when everybody was gone for long, with nobody to tell it of new
/// superpeers. Method: all superpeers crash for ten minutes and return; the child's only knowledge is
/// what it had.
#[test]
fn a_child_returns_after_everybody_was_gone() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 3, 2, 2);
        let (held, _) = world.authority.held("heidi");
        world.register(3, held);
        world.run_for(Duration::from_secs(1));
        (0..3).for_each(|index| world.crash(index));
        world.run_for(Duration::from_secs(600));
        assert_eq!(world.parent(4), None, "seed {seed}");
        (0..3).for_each(|index| world.start(index, &[]));
        world.run_for(Duration::from_secs(60));
        assert!(world.parent(4).is_some(), "seed {seed}: no parent after a minute");
        assert_eq!(world.resolve(4, "heidi").devices.len(), 1, "seed {seed}");
    }
}

/// Goal: a child starts from its host cache with superpeers that it never dialled. Method: it knows two
/// and attaches to one; that one is gone when it starts again, and nobody tells it of seeds.
#[test]
fn a_child_starts_from_superpeers_that_it_only_heard_of() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 2, 1, 2);
        let parent = world.parent(2).expect("attached");
        world.crash(2);
        world.crash(parent);
        world.start(2, &[]);
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.parent(2), Some(1 - parent), "seed {seed}");
    }
}

/// Goal: who holds a name whose device was revoked is told so, and doesn't answer from its own record.
/// Method: revoke the only device while its child still holds it; look it up there.
#[test]
fn a_revoked_device_does_not_find_itself() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 4, 2, 3);
        let (held, serial) = world.authority.held("ivan");
        world.register(4, held);
        let epoch = world.authority.revoke("ivan", serial, world.unix());
        assert!(matches!(world.ask(0, Command::Put(epoch)), Reply::Stored(_)), "seed {seed}");
        world.run_for(Duration::from_secs(1));
        match world.try_resolve(4, "ivan", true) {
            Reply::Resolved(resolution) => assert!(resolution.devices.is_empty(), "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

/// Goal: a superpeer that lost the others says *unknown*, not *absent*. Method: all others are gone, and silent.
#[test]
fn the_last_superpeer_of_many_does_not_say_absent() {
    let mut world = network(1, 6, 0, 3);
    (1..6).for_each(|index| world.crash_unanswering(index));
    world.run_for(Duration::from_secs(60));
    match world.try_resolve(0, "nobody", false) {
        Reply::Failed(Failure::Timeout { .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// Goal: superpeers come to know all superpeers, though each is told of one only. Method: more of them
/// than a look-up of one's own place finds, started one after another.
#[test]
fn superpeers_hear_of_all_others_by_gossip() {
    let mut world = World::new(7, 3, Parallelism::Hedged);
    for index in 0..35 {
        world.add(true);
        world.start(index, &[0]);
        world.run_for(Duration::from_secs(1));
    }
    world.run_for(Duration::from_secs(120));
    for index in 0..35 {
        assert_eq!(world.overlay(index).counters().superpeers, 35, "at {index}");
    }
}
