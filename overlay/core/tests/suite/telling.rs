//! What a child is told of others, so that it has somebody to turn to.
//!
//! *Not here*: whom it chooses (`neighbours`), how it falls back (`parents`).

use std::time::Duration;

use callbook_overlay::api::{Command, Parallelism, Reply, Role};
use callbook_overlay::limits::HINTS_FOR_CHILDREN;
use callbook_overlay::wire::{Message, Reason, Refused};

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 8;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The superpeers but the parent of the child at `child`.
fn others(world: &mut World, superpeers: usize, child: usize) -> (usize, Vec<usize>) {
    let parent = world.parent(child).expect("attached");
    (parent, (0..superpeers).filter(|index| *index != parent).collect())
}

/// Goal: a child finds standbys again when all others that it had been told of were gone for a while.
/// Method: all superpeers but its parent crash and come back after a minute and a half; some minutes later it has
/// two standbys, and a parent when its own one crashes.
#[test]
fn a_child_is_told_again_of_superpeers_that_are_back() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 4, 1, 3);
        world.run_for(seconds(120));
        let (parent, others) = others(&mut world, 4, 4);
        // One that the parent stores: of another nobody could tell that it is absent.
        let nobody = (0..).map(|number| format!("nobody-{number}"));
        let stored = |name: &String| world.closest(&world.key(name), 3).contains(&parent);
        let nobody = nobody.into_iter().find(stored).expect("some name");
        others.iter().for_each(|index| world.crash(*index));
        for _ in 0..9 {
            // An absence has to be confirmed by its standbys.
            drop(world.try_resolve(4, &nobody, true));
            world.run_for(seconds(10));
        }
        assert!(world.standbys(4).is_empty(), "seed {seed}");
        others.iter().for_each(|index| world.start(*index, &[parent]));
        world.run_for(seconds(300));
        assert_eq!(world.standbys(4).len(), 2, "seed {seed}");
        world.crash(parent);
        world.run_for(seconds(2));
        let parent = world.parent(4).expect("attached again");
        assert!(others.contains(&parent), "seed {seed}");
    }
}

/// Goal: a child that stays for longer than the certificates of superpeers live knows the new ones.
/// Method: superpeers are certified for two days, and again each day; after four days the child knows as many
/// as it is told of, has two standbys, and another parent at once when its own one crashes.
#[test]
fn a_child_that_stays_for_days_knows_certificates_that_were_renewed() {
    const DAY: u64 = 24 * 3_600;
    let mut world = World::new(3, 3, Parallelism::Hedged);
    for index in 0..5 {
        assert_eq!(world.add_for(true, seconds(2 * DAY)), index);
    }
    let child = world.add(false);
    (0..5).for_each(|index| world.start(index, &[0]));
    world.run_for(seconds(10));
    world.start(child, &[0, 1]);
    world.run_for(seconds(10));
    for day in 1..=4 {
        world.run_for(seconds(DAY));
        for index in 0..5 {
            let Role::Superpeer(old) = world.role(index) else { panic!("a superpeer") };
            let renewed = world.authority.node_again(&old, seconds((day + 2) * DAY));
            assert!(matches!(world.ask(index, Command::Act(Role::Superpeer(renewed))), Reply::Done));
        }
    }
    let Reply::Status(status) = world.ask(child, Command::Status) else { panic!("no status") };
    assert_eq!(status.standbys.len(), 2);
    assert!(status.superpeers > HINTS_FOR_CHILDREN, "the parent, and whom it tells of");
    let parent = world.parent(child).expect("attached");
    world.crash(parent);
    world.run_for(seconds(1));
    assert!(world.parent(child).is_some_and(|now| now != parent));
}

/// Goal: a child that is refused by one that is full tries whom that one names, also if it has given that one up.
/// Method: a standby crashes, is missed, and comes back; then the parent crashes, the other standby refuses and
/// names the first, and all others are silent.
#[test]
fn a_child_tries_whom_a_full_superpeer_names_though_it_had_given_it_up() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        (0..7).for_each(|index| assert_eq!(world.add(index < 6), index));
        (0..6).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(10));
        world.start(6, &[0, 1, 2, 3, 4, 5]);
        world.run_for(seconds(10));
        let parent = world.parent(6).expect("attached");
        let [full, back] = world.standbys(6)[..] else { panic!("seed {seed}: two standbys") };
        world.crash(back);
        // An absence has to be confirmed by a standby, and the other one is silent.
        world.tamper = Some(Box::new(move |from, to, frame| {
            ((from, to) != (full, 6) || !matches!(frame.message, Message::Resolved(_))).then_some(frame)
        }));
        drop(world.try_resolve(6, "nobody", true));
        assert!(!world.standbys(6).contains(&back), "seed {seed}");
        world.start(back, &[full]);
        world.run_for(seconds(5));
        let named = vec![world.hint(back).expect("a superpeer")];
        world.tamper = Some(Box::new(move |from, to, mut frame| {
            if (from, to) == (full, 6) && matches!(frame.message, Message::Attached(_)) {
                let (reason, candidates) = (Reason::Busy.to_wire(), named.clone());
                frame.message =
                    Message::Refused(Refused { reason, retry_after: None, candidates, newer: None });
            }
            Some(frame)
        }));
        let silent = (0..6).filter(|index| ![parent, full, back].contains(index));
        silent.for_each(|index| world.vanish(index));
        world.crash(parent);
        world.run_for(seconds(1));
        assert_eq!(world.parent(6), Some(back), "seed {seed}");
    }
}
