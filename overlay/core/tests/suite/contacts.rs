//! Whom superpeers name to others, as seeds and as candidates for a parent.
//!
//! *Not here*: that they are spread over address groups (`mapping`).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use callbook_overlay::api::{Address, Command, Parallelism, Reply};
use callbook_overlay::key::PeerId;
use callbook_overlay::limits::{CONTACTS_ENOUGH, DIAL_BACK_WAIT};
use callbook_overlay::wire::{Frame, Hint, Message};

use crate::world::World;

const SEEDS: u64 = 8;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many superpeers that all dial the first one, which may have dialled none of them.
fn who_dial_the_first(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, 3, Parallelism::Hedged);
    (0..count).for_each(|index| assert_eq!(world.add(true), index));
    world.start(0, &[]);
    world
}

/// What these superpeers say of themselves names an address where nobody listens.
fn with_wrong_addresses(world: &World, liars: &[usize]) -> impl FnMut(usize, Frame) -> Frame + use<> {
    let hint = |liar: &usize| (*liar, world.peer(*liar), world.hint(*liar));
    let liars: Vec<(usize, PeerId, Option<Hint>)> = liars.iter().map(hint).collect();
    let lie = move |hint: &mut Hint| {
        hint.addresses = vec![Address { ip: [127, 0, 0, 9].into(), port: 9 }];
    };
    move |from, mut frame| {
        let Some((_, liar, hint)) = liars.iter().find(|(index, ..)| *index == from) else { return frame };
        match &mut frame.message {
            Message::Open(open) => {
                open.mark = None;
                open.hint.clone_from(hint);
                open.hint.iter_mut().for_each(lie);
            }
            Message::Hello(hello) | Message::HelloBack(hello) => {
                hello.gossip.iter_mut().filter(|hint| hint.peer() == *liar).for_each(lie);
            }
            _ => {}
        }
        frame
    }
}

fn sample(world: &mut World, count: usize) -> BTreeSet<PeerId> {
    match world.ask(0, Command::Sample { count, within: seconds(300) }) {
        Reply::Seeds(hints) => hints.iter().map(Hint::peer).collect(),
        other => panic!("{other:?}"),
    }
}

fn dialled(world: &World) -> Vec<PeerId> {
    world.dials.iter().filter(|(from, _)| *from == 0).map(|(_, to)| *to).collect()
}

/// Goal: a superpeer that all others have dialled names those that listen where they say, and nobody that
/// does not. Method: twelve come to the first one, and one of them tells a wrong address; the seeds, and what
/// a child is told that finds no place. The links that were there stay.
#[test]
fn who_does_not_listen_where_it_says_is_named_to_nobody() {
    const LIAR: usize = 5;
    for seed in 0..SEEDS {
        let mut world = who_dial_the_first(seed, 13);
        let told: Rc<RefCell<Vec<Hint>>> = Rc::default();
        let (log, mut lie) = (Rc::clone(&told), with_wrong_addresses(&world, &[LIAR]));
        world.tamper = Some(Box::new(move |from, to, frame| {
            if let (Message::Refused(refused), 0, 13) = (&frame.message, from, to) {
                log.borrow_mut().extend(refused.candidates.clone());
            }
            Some(lie(from, frame))
        }));
        (1..13).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(10));
        let (seeds, dials) = (sample(&mut world, 20), dialled(&world));
        assert!(!seeds.contains(&world.peer(LIAR)), "seed {seed}");
        assert_eq!(seeds.len(), 12, "seed {seed}: the others, and itself");
        assert!((1..13).all(|index| world.links_between(0, index).count() == 1), "seed {seed}");
        world.run_for(seconds(60));
        assert!(dialled(&world).len() <= dials.len() + 60 / 15, "seed {seed}: once");

        world.add(false);
        world.reluctant = true;
        world.crash(0);
        world.start(0, &[1]);
        world.run_for(seconds(10));
        world.start(13, &[0]);
        world.run_for(seconds(5));
        let told: BTreeSet<PeerId> = told.borrow().iter().map(Hint::peer).collect();
        assert!(!told.is_empty() && !told.contains(&world.peer(LIAR)), "seed {seed}: {told:?}");
    }
}

/// Goal: that a superpeer answers where others say that it listens does not vouch for where it says so itself.
/// Method: the first one dials all others, one of which names another address in its first frame.
#[test]
fn who_answers_a_dial_and_names_another_address_is_named_to_nobody() {
    const LIAR: usize = 2;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        (0..5).for_each(|index| assert_eq!(world.add(true), index));
        let mut lie = with_wrong_addresses(&world, &[LIAR]);
        world.tamper = Some(Box::new(move |from, _, frame| Some(lie(from, frame))));
        (1..5).for_each(|index| world.start(index, &[]));
        world.start(0, &[1, 2, 3, 4]);
        world.run_for(seconds(10));
        assert!(dialled(&world).contains(&world.peer(LIAR)), "seed {seed}");
        assert_eq!(world.links_between(0, LIAR).count(), 1, "seed {seed}");
        let seeds = sample(&mut world, 20);
        assert!(!seeds.contains(&world.peer(LIAR)), "seed {seed}");
        assert_eq!(seeds.len(), 4, "seed {seed}: the others, and itself");
    }
}

/// Goal: nor are children sent there. Method: a superpeer with sixty children, to which three others come; one of
/// them tells a wrong address. Whom the first names to its children.
#[test]
fn children_are_handed_on_to_nobody_that_does_not_listen_where_it_says() {
    const LIAR: usize = 3;
    for seed in 0..SEEDS / 2 {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        world.children_max = 100;
        (0..64).for_each(|index| assert_eq!(world.add(index < 4), index));
        let told: Rc<RefCell<BTreeSet<PeerId>>> = Rc::default();
        let (log, mut lie) = (Rc::clone(&told), with_wrong_addresses(&world, &[LIAR]));
        world.tamper = Some(Box::new(move |from, _, frame| match &frame.message {
            Message::Elsewhere(elsewhere) => {
                log.borrow_mut().extend(elsewhere.to.iter().map(Hint::peer));
                None
            }
            _ => Some(lie(from, frame)),
        }));
        world.start(0, &[]);
        (4..64).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(5));
        (1..4).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(60));
        let others: BTreeSet<PeerId> = [1, 2].map(|index| world.peer(index)).into();
        assert_eq!(*told.borrow(), others, "seed {seed}");
    }
}

/// How often a child that starts again chooses the first of two superpeers that it knows from its last run:
/// the first for a day, the second for three minutes. `told`: what the newcomer's clock says, in seconds behind
/// the others'; `lost`: the child's disk is.
fn old_parents_chosen(runs: u64, told: u64, lost: bool) -> usize {
    let mut chosen = 0;
    for seed in 0..runs {
        let mut world = World::new(seed, 2, Parallelism::Hedged);
        world.conditions.latency = Some((5_000, 5_000));
        (0..3).for_each(|index| assert_eq!(world.add(index < 2), index));
        world.tamper = Some(Box::new(move |from, _, mut frame| {
            if let (Message::Open(open), 1) = (&mut frame.message, from) {
                open.unix_time -= told;
            }
            Some(frame)
        }));
        world.start(0, &[]);
        world.start(2, &[0]);
        world.run_for(seconds(24 * 3_600));
        world.start(1, &[0]);
        world.run_for(seconds(180));
        assert_eq!(world.standbys(2), [1], "seed {seed}");
        world.leave(2);
        world.run_for(seconds(60));
        if lost {
            world.wipe(2);
        }
        world.start(2, &[0, 1]);
        world.run_for(seconds(5));
        chosen += usize::from(world.parent(2) == Some(0));
    }
    chosen
}

/// Goal: of two superpeers that are equal otherwise a child rather chooses the one that has worked for it for
/// longer, and nothing that a newcomer says of itself changes that. Method: two of the last run, one of which
/// came late. Control: without the disk it is chance.
#[test]
fn of_two_equal_superpeers_the_one_known_for_longer_is_chosen() {
    let [honest, liar, control] =
        [(0, false), (500, false), (0, true)].map(|(told, lost)| old_parents_chosen(40, told, lost));
    assert!(honest >= 28 && liar == honest && control < 28, "{honest}, {liar}, {control}");
}

/// Goal: somebody is better than nobody. Method: all that come to the first one tell wrong addresses; they
/// are its seeds all the same, and each was dialled back once.
#[test]
fn where_nobody_answers_all_are_named() {
    for seed in 0..SEEDS {
        let mut world = who_dial_the_first(seed, 4);
        let mut lie = with_wrong_addresses(&world, &[1, 2, 3]);
        world.tamper = Some(Box::new(move |from, _, frame| Some(lie(from, frame))));
        (1..4).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(10));
        assert_eq!(sample(&mut world, 20).len(), 4, "seed {seed}");
        let dials = dialled(&world);
        assert_eq!(dials.iter().collect::<BTreeSet<_>>().len(), dials.len(), "seed {seed}: {dials:?}");
    }
}

/// Goal: a crowd is not dialled back all at once, and not beyond what is needed. Method: sixty come together;
/// the dials of the first one in each second, and its seeds in the end.
#[test]
fn a_crowd_is_dialled_back_one_by_one_until_there_are_enough() {
    for seed in 0..SEEDS / 2 {
        let mut world = who_dial_the_first(seed, 61);
        (1..61).for_each(|index| world.start(index, &[0]));
        let each = usize::try_from(2_000 / DIAL_BACK_WAIT.as_millis()).expect("few");
        for second in 0..20 {
            let before = dialled(&world).len();
            world.run_for(seconds(1));
            let now = dialled(&world).len() - before;
            assert!(now <= each + 1, "seed {seed}: {now} in second {second}");
        }
        let dials: BTreeSet<PeerId> = dialled(&world).into_iter().collect();
        assert!(
            (CONTACTS_ENOUGH..CONTACTS_ENOUGH + 4).contains(&dials.len()),
            "seed {seed}: {}",
            dials.len()
        );
        let mut seeds = sample(&mut world, 100);
        assert!(seeds.remove(&world.peer(0)), "seed {seed}");
        assert!(seeds.len() >= CONTACTS_ENOUGH && seeds.is_subset(&dials), "seed {seed}: {}", seeds.len());
    }
}

/// Goal: whom a superpeer knows from its disk alone it names to nobody: they may be long gone. Method: five know each
/// other; all end, three of them without an answer to dials. One starts again, and two newcomers that know that one.
/// Then one of the three is back, and is found.
#[test]
fn who_is_known_from_the_disk_alone_is_named_to_nobody() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        (0..7).for_each(|index| assert_eq!(world.add(true), index));
        (0..5).for_each(|index| world.start(index, if index == 0 { &[] } else { &[0] }));
        world.run_for(seconds(30));
        (0..2).for_each(|index| world.crash(index));
        (2..5).for_each(|index| world.crash_unanswering(index));
        let away: Vec<PeerId> = (2..5).map(|index| world.peer(index)).collect();
        let named: Rc<RefCell<BTreeSet<PeerId>>> = Rc::default();
        let log = Rc::clone(&named);
        world.tamper = Some(Box::new(move |_, _, frame| {
            if let Message::Hints(hints) = &frame.message {
                log.borrow_mut().extend(hints.hints.iter().map(Hint::peer));
            }
            Some(frame)
        }));
        world.conditions.dial_timeout = seconds(15);
        world.start(0, &[]);
        world.start(5, &[0]);
        world.start(6, &[0]);
        world.run_for(seconds(3));
        assert!([5, 6].iter().any(|index| named.borrow().contains(&world.peer(*index))), "seed {seed}");
        assert!(away.iter().all(|peer| !named.borrow().contains(peer)), "seed {seed}");
        world.start(2, &[]);
        world.run_for(seconds(60));
        assert!([5, 6].iter().all(|index| world.linked(*index, 2)), "seed {seed}");
    }
}

/// Goal: after a restart of all, each from its disk, whom they have no link to is soon named again: a newcomer hears of
/// everybody. Method: thirty that open few streams end at once and start again; a minute later comes one that knows
/// one of them.
#[test]
fn after_a_restart_of_all_a_newcomer_hears_of_everybody() {
    for seed in 0..SEEDS / 2 {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        world.streams = Some((4, 4));
        (0..31).for_each(|index| assert_eq!(world.add(true), index));
        (0..30).for_each(|index| world.start(index, if index == 0 { &[] } else { &[0] }));
        world.run_for(seconds(60));
        (0..30).for_each(|index| world.crash(index));
        (0..30).for_each(|index| world.start(index, &[]));
        world.run_for(seconds(60));
        world.start(30, &[7]);
        world.run_for(seconds(10));
        assert_eq!(world.overlay(30).superpeers(), 31, "seed {seed}");
    }
}
