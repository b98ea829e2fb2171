//! Look-ups that are stuck go on elsewhere.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Answer, Command, Failure, How, Parallelism, Reply, Resolution};
use callbook_overlay::key::{Key, PeerId};
use callbook_overlay::limits::{PATHS_BURST, PATHS_PER_SEC, RESTARTS_MAX};
use callbook_overlay::wire::{Hint, Message, Reason, Refused};

use crate::world::World;

const SEEDS: u64 = 8;
const SUPERPEERS: usize = 24;
const D: usize = 8;
const TRACE: How = How { fresh: true, cross_check: false, trace: true };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Superpeers that have streams to few of the others. Look-ups may begin `d` paths.
fn network(seed: u64, d: usize) -> World {
    let parallelism = if seed.is_multiple_of(2) { Parallelism::Hedged } else { Parallelism::AtOnce };
    let mut world = World::new(seed, 3, parallelism);
    world.authority.network.parameters.d = d;
    world.streams = Some((2, 2));
    (0..SUPERPEERS).for_each(|index| assert_eq!(world.add(true), index));
    world
}

/// Starts them all; they hear of one.
fn start(world: &mut World, first: usize) {
    (0..SUPERPEERS).for_each(|index| world.start(index, &[first]));
    world.run_for(seconds(100));
}

fn refusal() -> Message {
    let reason = Reason::Limit.to_wire();
    Message::Refused(Refused { reason, retry_after: None, candidates: Vec::new(), newer: None })
}

/// Takes these superpeers out of what a message names.
fn forget(message: &mut Message, hidden: &BTreeSet<PeerId>) {
    let others = |hints: &mut Vec<Hint>| hints.retain(|hint| !hidden.contains(&hint.peer()));
    match message {
        Message::Hints(hints) => others(&mut hints.hints),
        Message::Surveyed(surveyed) => others(&mut surveyed.hints),
        Message::Got(got) => others(&mut got.closer),
        Message::Named(named) => {
            others(&mut named.hints);
            named.statements.retain(|statement| !hidden.contains(&statement.peer));
        }
        Message::Refused(refused) => others(&mut refused.candidates),
        Message::Hello(hello) | Message::HelloBack(hello) => {
            others(&mut hello.gossip);
            hello.statements.retain(|statement| !hidden.contains(&statement.peer));
        }
        _ => {}
    }
}

/// A name that superpeer 0 is far from, and the others, nearest first.
fn far_name(world: &World) -> (String, Vec<usize>) {
    let near = |name: &String| {
        let (key, mut near) = (world.key(name), (0..SUPERPEERS).collect::<Vec<_>>());
        near.sort_by_key(|index| world.place(*index).map(|place| place.distance(&key)));
        near
    };
    let mut names = (0..).map(|number| format!("alice-{number}")).map(|name| (near(&name), name));
    let (near, name) = names.find(|(near, _)| !near[..8].contains(&0)).expect("some name");
    (name, near)
}

/// Superpeer 0 has never heard of those that are closest to `key`, and whom it takes for the closest refuse to tell
/// it anything; what it hears by asking about the key itself is true. Returns whom it has asked so.
fn lead_astray(world: &mut World, key: Key, near: &[usize]) -> Rc<RefCell<Vec<usize>>> {
    let (storers, liars) = (near[..3].to_vec(), near[3..6].to_vec());
    let hidden: BTreeSet<PeerId> = storers.iter().map(|index| world.peer(*index)).collect();
    let asked: Rc<RefCell<Vec<usize>>> = Rc::default();
    let (log, mut questions) = (Rc::clone(&asked), BTreeSet::new());
    world.tamper = Some(Box::new(move |from, to, mut frame| {
        if let (Message::Closest(closest), 0) = (&frame.message, from)
            && closest.key == key
        {
            log.borrow_mut().push(to);
            questions.insert((to, frame.id));
        }
        let pair = [from, to];
        if !pair.contains(&0) || questions.contains(&(from, frame.id)) {
            return Some(frame);
        }
        if pair.iter().any(|index| storers.contains(index)) {
            return (!questions.is_empty()).then_some(frame);
        }
        if to == 0 && liars.contains(&from) && matches!(frame.message, Message::Got(_)) {
            frame.message = refusal();
        } else if to == 0 {
            forget(&mut frame.message, &hidden);
        }
        Some(frame)
    }));
    asked
}

fn look(world: &mut World, name: &str) -> Result<Resolution, Failure> {
    let username = Username::parse(name).expect("a username");
    match world.ask(0, Command::Resolve { username, how: TRACE }) {
        Reply::Resolved(found) => Ok(found),
        Reply::Failed(failure) => Err(failure),
        other => panic!("{other:?}"),
    }
}

/// Goal: who knows the wrong superpeers around a key finds the right ones through others. Method: the three storers
/// of a name are hidden from a superpeer, and the three whom it takes for them refuse. Control: without paths the
/// same look-up ends as unknown.
#[test]
fn a_look_up_that_was_led_astray_goes_on_elsewhere_and_finds_the_name() {
    for seed in 0..SEEDS {
        for d in [0, D] {
            let mut world = network(seed, d);
            let (name, near) = far_name(&world);
            let key = world.key(&name);
            let asked = lead_astray(&mut world, key, &near);
            let owner = *near.iter().rfind(|index| **index != 0).expect("somebody else");
            start(&mut world, owner);
            let (held, _) = world.authority.held(&name);
            world.register(owner, held);
            world.run_for(seconds(5));
            assert!(asked.borrow().is_empty(), "seed {seed}: nobody is asked before");
            let found = look(&mut world, &name);
            if d == 0 {
                assert!(matches!(found, Err(Failure::Timeout { .. })), "seed {seed}: {found:?}");
                continue;
            }
            let found = found.expect("found");
            assert_eq!(found.devices.len(), 1, "seed {seed}: {found:?}");
            let named = |answer: &Answer| matches!(answer, Answer::Named { superpeers } if *superpeers > 0);
            let path = found.trace.iter().position(|step| named(&step.answer));
            let storers: Vec<PeerId> = near[..3].iter().map(|index| world.peer(*index)).collect();
            let gave = found
                .trace
                .iter()
                .position(|step| storers.contains(&step.peer) && matches!(step.answer, Answer::Found { .. }));
            assert!(path.is_some() && path < gave, "seed {seed}: {:?}", found.trace);
            assert!(found.hops > 2, "seed {seed}: a storer, somebody else, a storer: {}", found.hops);
        }
    }
}

/// Goal: paths are bounded, and no two of a look-up begin at one superpeer. Method: all storers refuse one who looks
/// up a name, then a hundred names.
#[test]
fn what_stuck_look_ups_ask_of_others_is_bounded() {
    for seed in 0..SEEDS / 2 {
        let mut world = network(seed, D);
        start(&mut world, 1);
        let asked: Rc<RefCell<Vec<(Key, usize)>>> = Rc::default();
        let log = Rc::clone(&asked);
        world.tamper = Some(Box::new(move |from, to, mut frame| {
            if let (Message::Closest(closest), 0) = (&frame.message, from) {
                log.borrow_mut().push((closest.key, to));
            }
            if to == 0 && matches!(frame.message, Message::Got(_)) {
                frame.message = refusal();
            }
            Some(frame)
        }));
        let key = world.key("alice");
        assert!(matches!(look(&mut world, "alice"), Err(Failure::Timeout { .. })), "seed {seed}");
        let starts: Vec<usize> =
            asked.borrow().iter().filter(|(about, _)| *about == key).map(|(_, start)| *start).collect();
        let different: BTreeSet<usize> = starts.iter().copied().collect();
        assert_eq!(different.len(), starts.len(), "seed {seed}: {starts:?}");
        let both = D + 1..=RESTARTS_MAX * D;
        assert!(both.contains(&starts.len()), "seed {seed}, some can't be dialled: {starts:?}");

        world.run_for(seconds(60));
        let names: Vec<String> = (0..100).map(|number| format!("name-{number}")).collect();
        let keys: BTreeSet<Key> = names.iter().map(|name| world.key(name)).collect();
        let began = world.now();
        for name in names {
            let username = Username::parse(&name).expect("a username");
            world.tell(0, Command::Resolve { username, how: TRACE });
        }
        world.run_for(seconds(20));
        let paths = asked.borrow().iter().filter(|(about, _)| keys.contains(about)).count() as u64;
        let passed = (world.now() - began) / 1_000_000;
        assert!(paths > PATHS_BURST / 2, "seed {seed}: {paths}");
        assert!(paths <= PATHS_BURST + PATHS_PER_SEC * passed, "seed {seed}: {paths} in {passed} s");
    }
}
