//! A hostile reader's tests: each shows something that a liar, a slow peer or a large network can do.

use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Address, Command, How, Notice, Parallelism, Reply};
use callbook_overlay::key::Key;
use callbook_overlay::limits::SKEW_MAX_SECS;
use callbook_overlay::wire::{Frame, Hint, Message, Watch, Working};

use crate::network::network;
use crate::world::{Tamper, World};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Goal: an absence is confirmed also where a round trip takes what it takes between continents.
/// Method: 100 ms a way between any two, nothing fails; the name is nobody's. Control: 5 ms a way.
#[test]
fn an_absence_is_confirmed_between_continents() {
    for seed in 0..4 {
        for way in [5_000, 100_000] {
            let mut world = World::new(seed, 20, Parallelism::Hedged);
            world.conditions.latency = Some((way, way));
            (0..13).for_each(|index| assert_eq!(world.add(index < 12), index));
            (0..12).for_each(|index| world.start(index, &[0]));
            world.run_for(seconds(20));
            world.start(12, &[0, 1]);
            world.run_for(seconds(10));
            assert_eq!(world.overlay(12).counters().standbys, 2, "seed {seed}");
            match world.try_resolve(12, "nobody", true) {
                Reply::Resolved(found) => assert!(found.devices.is_empty()),
                other => panic!("seed {seed}, {way} us a way: {other:?}"),
            }
            assert_eq!(world.overlay(12).counters().standbys, 2, "seed {seed}: both are there still");
        }
    }
}

/// Goal: a standby that is slow once does not leave the child to the parent's word. Method: four
/// superpeers, one frozen; the parent denies all. A look-up of a name that nobody has and the frozen one is a
/// storer of, which takes the standbys a second, then one of a name that is there.
#[test]
fn a_slow_standby_does_not_leave_a_child_to_a_parent_that_lies() {
    let (mut tried, mut believed) = (0, 0);
    for seed in 0..12 {
        let mut world = network(seed, 4, 2, 3);
        world.run_for(seconds(5));
        let (held, _) = world.authority.held("alice");
        world.register(4, held);
        world.run_for(seconds(3));
        let parent = world.parent(5).expect("attached");
        let Reply::Status(status) = world.ask(5, Command::Status) else { panic!("no status") };
        let standbys: Vec<_> = status.standbys.iter().map(|standby| standby.peer).collect();
        let Some(fourth) = (0..4).find(|index| *index != parent && !standbys.contains(&world.peer(*index)))
        else {
            continue;
        };
        world.freeze(fourth);
        world.tamper = Some(Box::new(move |from, to, mut frame| {
            if let (Message::Resolved(resolved), true) = (&mut frame.message, (from, to) == (parent, 5)) {
                resolved.status = 1;
                resolved.records.clear();
                resolved.denials = 4;
            }
            Some(frame)
        }));
        tried += 1;
        let nobody = (0..).map(|number| format!("nobody-{number}x"));
        let mut slow = nobody.filter(|name| world.closest(&world.key(name), 3).contains(&fourth));
        let nobody = slow.next().expect("some name");
        drop(slow);
        let _first = world.try_resolve(5, &nobody, true);
        world.run_for(seconds(1));
        if let Reply::Resolved(found) = world.try_resolve(5, "alice", true) {
            believed += usize::from(found.devices.is_empty());
        }
    }
    assert!(tried > 3);
    assert_eq!(believed, 0, "of {tried} look-ups of a registered name so many are absent");
}

/// Goal: a parent that only says that it is at work does not keep its child for ever. Method: all answers
/// to look-ups are replaced by `Working`, again and again; the user tries for two minutes.
#[test]
fn a_parent_that_is_at_work_for_ever_is_left() {
    for seed in 0..3 {
        let mut world = network(seed, 5, 2, 3);
        let (held, _) = world.authority.held("alice");
        world.register(6, held);
        world.run_for(seconds(5));
        let parent = world.parent(5).expect("attached");
        world.tamper = Some(Box::new(move |from, to, mut frame| {
            let answer = matches!(frame.message, Message::Resolved(_) | Message::Registered(_));
            if (from, to) == (parent, 5) && answer {
                frame.message = Message::Working(Working {});
            }
            Some(frame)
        }));
        let mut found = 0;
        for _ in 0..10 {
            let username = Username::parse("alice").expect("a name");
            let command = world.tell(5, Command::Resolve { username, how: How::default() });
            for _ in 0..120 {
                world.run_for(Duration::from_millis(100));
                if world.linked(parent, 5) {
                    world.say(parent, 5, &Frame { id: 1, message: Message::Working(Working {}) });
                }
            }
            found += usize::from(matches!(world.reply(command), Some(Reply::Resolved(_))));
        }
        assert!(found > 0, "seed {seed}: ten look-ups in two minutes, all of them lost");
    }
}

/// Goal: what a child's watches cost its parent is bounded. Method: it watches a thousand keys in a
/// second, each for a moment only.
#[test]
fn a_child_that_watches_and_unwatches_costs_its_parent_little() {
    let mut world = network(1, 12, 1, 8);
    world.run_for(seconds(5));
    let parent = world.parent(12).expect("attached");
    let before = world.overlay(parent).counters().asked;
    for number in 0..1_000u64 {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let key = Key::from_bytes(bytes);
        for secs in [600, 0] {
            let message = Message::Watch(Watch { key, secs });
            world.say(12, parent, &Frame { id: 1_000_000 + number, message });
        }
        world.run_for(Duration::from_millis(1));
    }
    world.run_for(seconds(10));
    let after = world.overlay(parent).counters().asked;
    let (gets, watches) = (after.get - before.get, after.watch - before.watch);
    assert!(gets + watches < 2_000, "2,000 small frames: {gets} look-ups' requests and {watches} watches");
}

/// Goal: a superpeer that has just joined a large network does not call a registered name absent.
/// Method: more superpeers than may be dialled at once; names are looked up at the newcomer while it
/// still dials.
#[test]
fn a_newcomer_to_a_large_network_denies_no_registered_name() {
    const S: usize = 110;
    let mut world = World::new(3, 3, Parallelism::Hedged);
    world.streams = Some((4, 6));
    (0..S).for_each(|index| assert_eq!(world.add(index < S), index));
    for index in 0..S {
        world.start(index, &[0, index / 2]);
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(seconds(60));
    let names: Vec<String> = (0..30).map(|number| format!("name-{number}x")).collect();
    for (index, name) in names.iter().enumerate() {
        let (held, _) = world.authority.held(name);
        world.register(index, held);
    }
    world.run_for(seconds(2));
    world.streams = None;
    let newcomer = world.add(true);
    world.start(newcomer, &[0, 1, 2]);
    let (mut absent, mut found) = (0, 0);
    for name in &names {
        world.run_for(Duration::from_millis(200));
        let before = world.overlay(newcomer).counters().dials_unverified_refused;
        match world.try_resolve(newcomer, name, true) {
            Reply::Resolved(resolution) if resolution.devices.is_empty() => {
                absent += 1;
                let after = world.overlay(newcomer).counters().dials_unverified_refused;
                assert!(after > before, "{name} is called absent for another reason");
            }
            Reply::Resolved(_) => found += 1,
            _ => {}
        }
    }
    let refused = world.overlay(newcomer).counters().dials_unverified_refused;
    assert_eq!(absent, 0, "{found} found, {absent} called absent, {refused} dials refused");
}

/// A hint of a superpeer of the world with an address where nobody listens.
fn misled(world: &World, about: usize) -> Hint {
    let hint = world.hint(about).expect("a superpeer");
    Hint { addresses: vec![Address { ip: [127, 0, 0, 1].into(), port: 9 }], ..hint }
}

/// What a hello from a liar says of others is replaced by these hints.
fn lying(liar: usize, to: usize, hints: Vec<Hint>) -> Option<Tamper> {
    Some(Box::new(move |from, whom, mut frame| {
        if let (Message::Hello(hello) | Message::HelloBack(hello), true) =
            (&mut frame.message, (from, whom) == (liar, to))
        {
            hello.gossip.extend(hints.iter().cloned());
        }
        Some(frame)
    }))
}

/// Goal: where a superpeer itself says that it listens, nobody else's word counts, also if we never dialled it.
/// Method: a liar's hellos give an address where nobody listens for one that had dialled its neighbours itself;
/// then it is slow for two seconds, and is asked. Control: without the lie.
#[test]
fn a_false_address_does_not_make_a_slow_superpeer_look_dead() {
    for seed in 0..12 {
        for lies in [false, true] {
            let mut world = network(seed, 5, 0, 3);
            world.run_for(seconds(5));
            let slow = world.add(true);
            world.start(slow, &[0]);
            world.run_for(seconds(10));
            if lies {
                world.tamper = lying(1, 0, vec![misled(&world, slow)]);
            }
            world.run_for(seconds(40));
            let mut names = (0..).map(|number| format!("nobody-{number}x"));
            let name = names.find(|name| world.closest(&world.key(name), 3).contains(&slow));
            world.freeze(slow);
            drop(world.try_resolve(0, &name.expect("some name"), true));
            let counters = world.overlay(0).counters();
            assert_eq!(counters.superpeers, 6, "seed {seed}, lies: {lies}");
            world.thaw(slow);
            world.run_for(seconds(1));
            assert!(world.linked(0, slow), "seed {seed}, lies: {lies}");
        }
    }
}

/// Goal: nobody can make those beyond a cut look dead to those on this side. Method: two of six are cut off; one
/// of the two tells the other addresses of those beyond at which dials are refused. Control: it does not.
#[test]
fn a_liar_does_not_make_those_beyond_a_cut_look_dead() {
    for seed in 0..12 {
        for lies in [false, true] {
            let mut world = network(seed, 6, 0, 3);
            world.run_for(seconds(20));
            // The one that all others have dialled.
            let (victim, liar) = (0, 1);
            let beyond: Vec<usize> = (2..6).collect();
            world.part(beyond.iter().copied().collect());
            if lies {
                let hints = beyond.iter().map(|index| misled(&world, *index)).collect();
                world.tamper = lying(liar, victim, hints);
            }
            for _ in 0..10 {
                world.run_for(seconds(20));
                match world.try_resolve(victim, "nobody", true) {
                    Reply::Failed(_) => {}
                    other => panic!("seed {seed}, lies: {lies}: {other:?} at {}", world.now() / 1_000_000),
                }
            }
        }
    }
}

/// Goal: two halves know each other soon after a short cut too. Method: sixteen with few streams are parted for
/// less than the time for which those that are gone are taken for known.
#[test]
fn two_halves_find_each_other_soon_after_a_short_cut() {
    let mut times = Vec::new();
    for seed in 0..6 {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        world.streams = Some((3, 3));
        (0..16).for_each(|index| assert_eq!(world.add(true), index));
        (0..16).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(240));
        world.part((0..8).collect());
        world.run_for(seconds(50));
        world.heal();
        let all = |world: &World| (0..16).all(|index| world.overlay(index).counters().superpeers == 16);
        let lost = (0..16).map(|index| 16 - world.overlay(index).counters().superpeers).sum::<u64>();
        let took = (0..180).find(|_| {
            world.run_for(seconds(1));
            all(&world)
        });
        times.push((lost, took));
    }
    assert!(times.iter().all(|(_, took)| took.is_some_and(|took| took <= 60)), "{times:?}");
}

/// Goal: no clock that a neighbour tells, and none of our own, breaks the arithmetic. Method: the only neighbour
/// tells the latest time there is; our own clock goes back to 1970 at some moment before clocks are compared.
#[test]
fn the_latest_time_there_is_and_the_earliest_break_nothing() {
    for seed in 0..12 {
        let mut world = network(seed, 2, 0, 2);
        world.tamper = Some(Box::new(|from, _, mut frame| {
            match (&mut frame.message, from) {
                (Message::Open(open), 1) => open.unix_time = u64::MAX,
                (Message::Hello(hello) | Message::HelloBack(hello), 1) => hello.unix_time = u64::MAX,
                _ => {}
            }
            Some(frame)
        }));
        world.run_for(seconds(37 + seed));
        let unix = i64::try_from(world.unix().as_secs()).expect("not that late");
        world.set_clock_offset(0, -unix);
        for _ in 0..30 {
            world.run_for(seconds(1));
            let Reply::Status(status) = world.ask(0, Command::Status) else { panic!("no status") };
            assert!(status.skew_secs < -SKEW_MAX_SECS, "seed {seed}");
        }
    }
}

/// Goal: strangers don't set a superpeer's clock. Method: more peers without an account than a superpeer has other
/// neighbours connect to it, and tell a clock that is two hours ahead; it goes on by that of other superpeers.
#[test]
fn strangers_do_not_outvote_superpeers_about_the_time() {
    for seed in 0..6 {
        let mut world = network(seed, 4, 0, 3);
        world.tamper = Some(Box::new(|from, to, mut frame| {
            match (&mut frame.message, from >= 4 && to == 0) {
                (Message::Open(open), true) => open.unix_time += 7_200,
                (Message::Hello(hello) | Message::HelloBack(hello), true) => hello.unix_time += 7_200,
                _ => {}
            }
            Some(frame)
        }));
        for _ in 0..9 {
            let stranger = world.add(false);
            world.start(stranger, &[0]);
        }
        world.run_for(seconds(20));
        let strangers = (4..13).filter(|index| world.linked(0, *index)).count();
        assert!(strangers > 4, "seed {seed}: {strangers} strangers");
        let Reply::Status(status) = world.ask(0, Command::Status) else { panic!("no status") };
        assert!(status.skew_secs.abs() < SKEW_MAX_SECS, "seed {seed}: {strangers} strangers");
        let skewed = world.notices(0).iter().any(|notice| matches!(notice, Notice::Skewed { .. }));
        assert!(!skewed, "seed {seed}: {strangers} strangers");
    }
}
