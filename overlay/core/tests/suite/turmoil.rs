//! Crashes, lost frames, clocks that jump, certificates that end, limits: what may not happen all the same.
//!
//! *Not here*: peers that lie (`hostile`).

use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Address, Command, CommandId, Failure, How, Notice, Parallelism, Reply, Source};
use callbook_overlay::certificate::DEVICE_LIFE;
use callbook_overlay::limits::{HAND_OVER_WINDOW, TTL_DEFAULT};
use callbook_overlay::network::Limits;
use callbook_overlay::record::{Entry, EntryKind};
use callbook_overlay::wire::Message;

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 4;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Goal: a device whose daemon lost its disk gets its name back. Method: register once or several
/// times, wipe the disk, register again with the same device key.
#[test]
fn a_device_that_lost_its_sequence_number_adopts_what_is_out_there() {
    for seed in 0..SEEDS {
        for times in 1..4 {
            let mut world = network(seed, 4, 2, 3);
            let (held, serial) = world.authority.held("alice");
            world.register(4, held);
            for _ in 1..times {
                let held = world.authority.held_again("alice", serial, DEVICE_LIFE);
                world.register(4, held);
            }
            world.crash(4);
            world.wipe(4);
            world.run_for(seconds(1));
            world.start(4, &[0, 1]);
            world.run_for(seconds(2));
            let held = world.authority.held_again("alice", serial, DEVICE_LIFE);
            world.register(4, held);
            world.run_for(seconds(1));
            let Reply::Resolved(found) = world.try_resolve(5, "alice", true) else { panic!("seed {seed}") };
            assert_eq!(found.devices.len(), 1);
            assert!(found.devices[0].seq > times, "seed {seed}, {times} times");
        }
    }
}

/// Goal: a second registration while the first is under way ends both well. Method: two in a row, at a
/// child and at a superpeer.
#[test]
fn registrations_in_a_row_all_end_well() {
    for seed in 0..SEEDS {
        for index in [0, 4] {
            let mut world = network(seed, 4, 1, 3);
            let (first, serial) = world.authority.held("alice");
            let second = world.authority.held_again("alice", serial, DEVICE_LIFE);
            let first = world.tell(index, Command::Register(Box::new(first)));
            world.run_for(Duration::from_millis(seed * 12));
            let second = world.tell(index, Command::Register(Box::new(second)));
            world.run_for(seconds(5));
            for command in [first, second] {
                match world.reply(command) {
                    Some(Reply::Registered(_)) => {}
                    other => panic!("seed {seed}, at {index}: {other:?}"),
                }
            }
        }
    }
}

/// Goal: a registration with nobody there is answered. Method: a child alone; one whose only superpeer
/// dies in the middle.
#[test]
fn a_registration_without_a_parent_is_answered() {
    let mut world = World::new(1, 2, Parallelism::Hedged);
    world.add(false);
    world.start(0, &[]);
    let (held, _) = world.authority.held("alice");
    let command = world.tell(0, Command::Register(Box::new(held)));
    world.run_for(seconds(30));
    assert!(matches!(world.reply(command), Some(Reply::Failed(Failure::Detached))));

    let mut world = network(1, 1, 1, 2);
    let (held, _) = world.authority.held("alice");
    let command = world.tell(1, Command::Register(Box::new(held)));
    world.run_for(Duration::from_millis(1));
    world.crash(0);
    world.run_for(seconds(30));
    match world.reply(command) {
        Some(Reply::Failed(_)) => {}
        other => panic!("{other:?}"),
    }
    // It goes on trying.
    world.start(0, &[]);
    world.run_for(seconds(60));
    assert_eq!(world.resolve(0, "alice").devices.len(), 1);
}

/// Goal: many names at one child all find a place, also with another parent. Method: more names than a
/// parent serves at once, registered in one go; then the parent dies.
#[test]
fn hundreds_of_names_of_one_child_are_registered_and_registered_again() {
    const NAMES: usize = 700;
    let mut world = network(5, 2, 2, 1);
    let commands: Vec<CommandId> = (0..NAMES)
        .map(|number| {
            let (held, _) = world.authority.held(&format!("name-{number}"));
            world.tell(2, Command::Register(Box::new(held)))
        })
        .collect();
    world.run_for(seconds(20));
    for command in commands {
        assert!(matches!(world.reply(command), Some(Reply::Registered(_))));
    }
    let parent = world.parent(2).expect("attached");
    world.crash(parent);
    world.run_for(seconds(20));
    let Reply::Status(status) = world.ask(2, Command::Status) else { panic!("no status") };
    assert!(status.names.iter().all(|name| name.stored.is_some()));
    let left = 1 - parent;
    assert_eq!(world.overlay(left).counters().records, NAMES as u64);
}

/// Goal: whatever the parent does when it dies, each command of its children is answered once, look-ups
/// go on with the next parent, and nothing acknowledged is lost. Method: it dies at every point of a
/// registration and a look-up.
#[test]
fn a_parent_may_die_at_any_moment() {
    for seed in 0..2 * SEEDS {
        let mut world = network(seed, 5, 2, 3);
        let (held, _) = world.authority.held("alice");
        world.register(5, held);
        world.run_for(seconds(1));
        let (held, _) = world.authority.held("bob");
        let register = world.tell(6, Command::Register(Box::new(held)));
        let username = Username::parse("alice").expect("a name");
        let resolve =
            world.tell(6, Command::Resolve { username, how: How { fresh: true, ..How::default() } });
        world.run_for(Duration::from_millis(seed * 11));
        let parent = world.parent(6).expect("attached");
        if seed % 2 == 0 {
            world.crash(parent);
        } else {
            world.vanish(parent);
        }
        world.run_for(seconds(60));
        let resolved = world.reply(resolve);
        if seed % 2 == 0 {
            match &resolved {
                Some(Reply::Resolved(found)) => assert_eq!(found.devices.len(), 1, "seed {seed}"),
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert!(resolved.is_some(), "seed {seed}");
        let registered = world.reply(register);
        assert!(registered.is_some(), "seed {seed}");
        for (asker, name) in [(6, "alice"), (5, "bob")] {
            let Reply::Resolved(found) = world.try_resolve(asker, name, true) else {
                panic!("seed {seed}: {name}")
            };
            assert_eq!(found.devices.len(), 1, "seed {seed}: {name}");
        }
    }
}

/// Goal: lost frames cost time, never an answer. Method: every fifth frame but the greeting is lost, as
/// if queues were full; commands of all kinds.
#[test]
fn lost_frames_never_lose_an_answer() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 4, 2, 3);
        let mut count = seed;
        world.tamper = Some(Box::new(move |_, _, frame| {
            count = count.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (matches!(frame.message, Message::Open(_)) || (count >> 33) % 5 > 0).then_some(frame)
        }));
        let mut commands = Vec::new();
        for index in 0..6 {
            let (held, _) = world.authority.held(&format!("name-{index}"));
            commands.push(world.tell(index, Command::Register(Box::new(held))));
            let username = Username::parse("name-0").expect("a name");
            commands.push(world.tell(
                index,
                Command::Resolve { username, how: How { fresh: index % 2 == 0, ..How::default() } },
            ));
        }
        world.run_for(seconds(30));
        for command in commands {
            assert!(world.reply(command).is_some(), "seed {seed}: {command:?}");
        }
        world.tamper = None;
        world.run_for(seconds(120));
        for index in 0..6 {
            assert_eq!(world.resolve(5 - index, &format!("name-{index}")).devices.len(), 1, "seed {seed}");
        }
    }
}

/// Goal: a superpeer that was gone without a word and is back is asked again at once, whoever had
/// dialled. Method: each of five in turn vanishes, starts again two seconds later, and a name is
/// registered; all five have to store it.
#[test]
fn a_superpeer_that_returns_before_it_was_missed_is_used_again() {
    for seed in 0..2 * SEEDS {
        let mut world = network(seed, 5, 1, 5);
        world.run_for(seconds(10));
        let parent = world.parent(5).expect("attached");
        let other = (parent + 1 + seed as usize % 4) % 5;
        world.vanish(other);
        world.run_for(seconds(2));
        world.start(other, &[]);
        world.run_for(seconds(2));
        let (held, _) = world.authority.held("alice");
        world.register(5, held);
        world.run_for(seconds(1));
        assert_eq!(world.overlay(other).counters().records, 1, "seed {seed}: {other} of {parent}");
    }
}

/// Goal: when a peer leaves, nobody who asked it for something is left without an answer. Method: all
/// kinds of commands that take time, then the goodbye.
#[test]
fn a_peer_that_leaves_answers_all_that_it_was_asked() {
    for index in [0, 3] {
        let mut world = network(2, 3, 1, 3);
        let (held, _) = world.authority.held("alice");
        let mut commands = vec![world.tell(index, Command::Register(Box::new(held)))];
        let username = Username::parse("nobody").expect("a name");
        commands.push(
            world.tell(index, Command::Resolve { username, how: How { fresh: true, ..How::default() } }),
        );
        if index == 0 {
            let epoch = world.authority.revoke("alice", 999, world.unix());
            commands.push(world.tell(index, Command::Put(epoch)));
        }
        commands.push(world.tell(index, Command::Leave));
        for command in commands {
            assert!(world.reply(command).is_some(), "at {index}");
        }
        world.run_for(seconds(20));
    }
}

/// Goal: through crashes and restarts each command is answered once and nothing acknowledged is lost.
/// Method: six superpeers, all of which store; at most two are down at a time; children register and
/// look up at random moments; in the end all are up, and every acknowledged name is found.
#[test]
fn crashes_and_restarts_lose_nothing_that_was_acknowledged() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 3, 6);
        let (mut commands, mut down) = (Vec::new(), Vec::new());
        for number in 0..24 {
            let name = format!("name-{number}");
            let (held, _) = world.authority.held(&name);
            let at = [6, 7, 8][number % 3];
            commands.push((name, at, world.tell(at, Command::Register(Box::new(held)))));
            let (wait, victim) = (world.random() % 900, world.random() as usize % 6);
            world.run_for(Duration::from_millis(wait));
            if down.len() == 2 {
                let back = down.remove(0);
                world.start(back, &[]);
            }
            if !down.contains(&victim) {
                if number % 2 == 0 {
                    world.crash(victim)
                } else {
                    world.vanish(victim)
                }
                down.push(victim);
            }
        }
        down.into_iter().for_each(|index| world.start(index, &[]));
        world.run_for(seconds(90));
        for (name, at, command) in commands {
            let reply = world.reply(command);
            assert!(matches!(reply, Some(Reply::Registered(_) | Reply::Failed(_))), "seed {seed}: {name}");
            // Also those that failed at first: it goes on trying.
            let asker = if at == 8 { 6 } else { at + 1 };
            match world.try_resolve(asker, &name, true) {
                Reply::Resolved(found) => assert_eq!(found.devices.len(), 1, "seed {seed}: {name}"),
                other => panic!("seed {seed}: {name}: {other:?}"),
            }
        }
    }
}

/// Goal: children leave a superpeer whose certificate ends, within a minute. Method: the parent's
/// certificate holds for twenty minutes, the others' for a week.
#[test]
fn a_superpeer_whose_certificate_ends_becomes_a_child_and_its_children_move() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 2, Parallelism::Hedged);
        world.add_for(true, seconds(1_200));
        world.add(true);
        world.add(true);
        world.add(false);
        world.start(0, &[]);
        world.run_for(seconds(1));
        world.start(3, &[0]);
        world.run_for(seconds(2));
        assert_eq!(world.parent(3), Some(0));
        let (held, _) = world.authority.held("alice");
        world.register(3, held);
        for index in 1..3 {
            world.start(index, &[0]);
        }
        world.run_for(seconds(1_300));
        assert!(world.notices(0).contains(&Notice::CertificateExpired), "seed {seed}");
        assert!(world.parent(0).is_some(), "seed {seed}: it is a child now");
        assert_eq!(world.overlay(0).counters().children, 0, "seed {seed}");
        match world.try_resolve(3, "alice", true) {
            Reply::Resolved(found) => assert_eq!(found.devices.len(), 1, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
        world.run_for(seconds(5));
        assert!(world.parent(3).is_some_and(|parent| parent != 0), "seed {seed}");
    }
}

/// Goal: a child that was told of one superpeer survives its end. Method: it is told of one; after some
/// hellos that one dies.
#[test]
fn a_child_hears_of_other_parents_from_its_own() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 4, 0, 2);
        let child = world.add(false);
        world.start(child, &[0]);
        world.run_for(seconds(40));
        assert_eq!(world.parent(child), Some(0));
        world.crash(0);
        world.run_for(seconds(10));
        assert!(world.parent(child).is_some(), "seed {seed}");
    }
}

/// Goal: a device whose certificate has ended is left out, and hides no other device. Method: one of
/// two devices is certified for half an hour; both stay online; look-ups after that from everywhere,
/// also by the two themselves.
#[test]
fn a_device_whose_certificate_has_ended_hides_no_other() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 3, 3, 2);
        let (_, serial) = world.authority.held("alice");
        let short = world.authority.held_again("alice", serial, seconds(1_800));
        let (long, _) = world.authority.held("alice");
        world.register(3, short);
        world.register(4, long);
        // The first device's parent may keep what it put for a ttl (DESIGN §5, *Index*).
        world.run_for(TTL_DEFAULT);
        assert_eq!(world.resolve(5, "alice").devices.len(), 2);
        world.run_for(seconds(1_800 + 700));
        for index in 0..6 {
            for fresh in [false, true] {
                match world.try_resolve(index, "alice", fresh) {
                    Reply::Resolved(found) => assert_eq!(found.devices.len(), 1, "seed {seed}, from {index}"),
                    other => panic!("seed {seed}, from {index}: {other:?}"),
                }
            }
        }
    }
}

/// Goal: a clock that jumps and is set right again costs nothing. Method: a superpeer that stores, and a
/// child, are ten days ahead for two minutes.
#[test]
fn a_clock_that_jumps_and_returns_loses_nothing() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 3, 2, 3);
        let (held, _) = world.authority.held("alice");
        world.register(3, held);
        world.run_for(seconds(30));
        // Two that are wrong together can't tell.
        let parent = world.parent(3).expect("attached");
        let storer = (parent + 1) % 3;
        let records = world.overlay(storer).counters().records;
        assert_eq!(records, 1);
        for index in [storer, 3] {
            world.set_clock_offset(index, 10 * 86_400);
        }
        world.run_for(seconds(120));
        assert!(world.notices(3).iter().any(|notice| matches!(notice, Notice::Skewed { .. })), "seed {seed}");
        for index in [storer, 3] {
            world.set_clock_offset(index, 0);
        }
        world.run_for(seconds(30));
        assert_eq!(world.overlay(storer).counters().superpeer, 1, "seed {seed}");
        assert_eq!(world.overlay(storer).counters().records, records, "seed {seed}");
        let (held, _) = world.authority.held("bob");
        world.register(3, held);
        assert_eq!(world.resolve(4, "bob").devices.len(), 1, "seed {seed}");
    }
}

/// Goal: a superpeer that has just joined asks as many storers as there are before it says absent.
/// Method: it knows one of ten when it starts.
#[test]
fn a_newcomer_does_not_call_a_name_absent_after_two_denials() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 10, 0, 10);
        // Who has joined less than this ago takes over from newcomers too, and is `Syncing` (DESIGN §4).
        world.run_for(HAND_OVER_WINDOW);
        let newcomer = world.add(true);
        world.start(newcomer, &[0]);
        let found = world.resolve(newcomer, "nobody");
        assert!(found.devices.is_empty());
        assert!(found.denials >= 7, "seed {seed}: {} denials", found.denials);
    }
}

/// Goal: neighbours hear of a superpeer's new address, even if they have dialled the old one. Method:
/// the address changes while all are linked; a sample from another superpeer shows it.
#[test]
fn a_superpeers_new_address_replaces_the_old_one() {
    let mut world = network(4, 3, 0, 2);
    world.run_for(seconds(10));
    let moved = Address { ip: [127, 0, 0, 2].into(), port: 7 };
    let command = Command::Addresses { addresses: vec![moved], multiaddrs: Vec::new() };
    assert!(matches!(world.ask(1, command), Reply::Done));
    world.run_for(seconds(5));
    for index in [0, 2] {
        let Reply::Peers(peers) = world.ask(index, Command::Peers) else { panic!("no peers") };
        let peer = world.peer(1);
        let found = peers.iter().find(|neighbour| neighbour.peer == peer).expect("known");
        assert_eq!(found.addresses, [moved], "at {index}");
    }
}

/// Goal: the fullest bundle fits every frame. Method: eight devices with records near the bound, and an
/// epoch record; look-ups from everywhere (the world's codec refuses a frame that is too long).
#[test]
fn the_fullest_bundle_fits_a_frame() {
    let mut world = network(8, 4, 9, 4);
    for child in 4..12 {
        let (mut held, _) = world.authority.held("alice");
        held.entries =
            (0..2).map(|_| Entry { service: None, kind: EntryKind::Txt("x".repeat(200)) }).collect();
        world.register(child, held);
    }
    let epoch = world.authority.revoke("alice", 999, world.unix());
    assert!(matches!(world.ask(0, Command::Put(epoch)), Reply::Stored(_)));
    world.run_for(seconds(1));
    for index in 0..13 {
        let Reply::Resolved(found) = world.try_resolve(index, "alice", true) else { panic!("from {index}") };
        assert_eq!(found.devices.len(), 8, "from {index}");
        assert!(found.source != Source::Own);
    }
    // A ninth device finds no place, and does not drive out the others.
    let (held, _) = world.authority.held("alice");
    assert!(matches!(world.ask(12, Command::Register(Box::new(held))), Reply::Failed(Failure::Refused(_))));
}

/// Goal: peers without a name take a quarter of the places at most, and make room when they have one.
/// Method: one superpeer with normal limits, more children than that; then some register.
#[test]
fn guests_leave_places_for_those_with_a_name() {
    let mut world = World::new(9, 1, Parallelism::Hedged);
    world.authority.network.limits = Limits::Normal;
    (0..=140).for_each(|index| assert_eq!(world.add(index == 0), index));
    (0..=140).for_each(|index| world.start(index, &[0]));
    world.run_for(seconds(10));
    assert_eq!(world.overlay(0).counters().children, 128);
    let inside: Vec<usize> = (1..=140).filter(|index| world.parent(*index).is_some()).take(5).collect();
    for index in inside {
        let (held, _) = world.authority.held(&format!("name-{index}"));
        world.register(index, held);
    }
    world.run_for(seconds(15));
    assert_eq!(world.overlay(0).counters().children, 133);
}

/// Goal: one child can't fill its parent's index. Method: more names than it may have, normal limits.
#[test]
fn one_child_has_no_more_names_than_it_may() {
    let mut world = World::new(9, 1, Parallelism::Hedged);
    world.authority.network.limits = Limits::Normal;
    (0..2).for_each(|index| assert_eq!(world.add(index == 0), index));
    (0..2).for_each(|index| world.start(index, &[0]));
    world.run_for(seconds(2));
    let replies: Vec<Reply> = (0..66)
        .map(|number| {
            let (held, _) = world.authority.held(&format!("name-{number}"));
            world.ask(1, Command::Register(Box::new(held)))
        })
        .collect();
    let refused = replies.iter().filter(|reply| matches!(reply, Reply::Failed(Failure::Refused(_)))).count();
    assert_eq!(refused, 2);
}
