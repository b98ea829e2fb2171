//! What superpeers need not be told, since they know it: certificates from their last run, hints of those they meet
//! again. And what somebody can do who lies about that.
//!
//! *Not here*: who joins, leaves and dies (`mapping`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use callbook_overlay::api::{Command, Parallelism, Relation, Reply};
use callbook_overlay::key::PeerId;
use callbook_overlay::limits::{CUT_OFF_WITHIN, NEWS_PER_HELLO_MAX};
use callbook_overlay::sign::{SecretKey, Signer, Tag, to_sign};
use callbook_overlay::wire::{Brief, Briefs, Frame, Message, Named, Open, Statement, Who};

use crate::world::World;

const SEEDS: u64 = 3;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn superpeers(seed: u64, count: usize, streams: Option<(usize, usize)>) -> World {
    let mut world = World::new(seed, 3, Parallelism::Hedged);
    world.streams = streams;
    (0..count).for_each(|index| assert_eq!(world.add(true), index));
    (0..count).for_each(|index| world.start(index, &[0]));
    world.run_for(seconds(240));
    world
}

fn knows(world: &mut World, index: usize, peer: &PeerId) -> bool {
    match world.ask(index, Command::Peers) {
        Reply::Peers(peers) => {
            peers.iter().any(|other| other.peer == *peer && other.relation == Relation::Superpeer)
        }
        other => panic!("{other:?}"),
    }
}

/// That a superpeer lives, by its own word of now.
fn alive(world: &World, index: usize) -> Statement {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(index as u64 + 1).to_be_bytes());
    let (peer, unix_time) = (world.peer(index), world.unix().as_secs());
    let body = [peer.as_bytes().as_slice(), &unix_time.to_be_bytes()].concat();
    let signed = to_sign(Tag::Alive, &world.authority.network.id, &body);
    Statement { peer, unix_time, alive: true, signature: SecretKey::from_seed(seed).sign(&signed) }
}

/// Goal: who starts again learns from a few answers who of those is there that it knew, without their certificates.
/// Method: one of ninety starts again; count the hints in what it is told. Control: it has lost its disk.
#[test]
fn who_starts_again_is_told_few_certificates() {
    const COUNT: usize = 90;
    const BACK: usize = 5;
    let mut told = Vec::new();
    for wiped in [false, true] {
        let mut world = superpeers(1, COUNT, Some((4, 4)));
        world.crash(BACK);
        world.run_for(seconds(30));
        if wiped {
            world.wipe(BACK);
        }
        let hints = Rc::new(RefCell::new(0));
        let count = Rc::clone(&hints);
        world.tamper = Some(Box::new(move |_, to, frame| {
            if to == BACK {
                *count.borrow_mut() += match &frame.message {
                    Message::Hints(answer) => answer.hints.len(),
                    Message::Named(named) => named.hints.len(),
                    Message::Surveyed(surveyed) => surveyed.hints.len(),
                    _ => 0,
                };
            }
            Some(frame)
        }));
        world.start(BACK, if wiped { &[0] } else { &[] });
        world.run_for(seconds(60));
        assert_eq!(world.overlay(BACK).counters().superpeers, COUNT as u64, "wiped: {wiped}");
        told.push(*hints.borrow());
    }
    assert!(told[0] * 2 < told[1] && told[1] * 4 >= COUNT * 3, "{told:?}");
}

/// Goal: who starts anew learns a map of which its parts are compared, and the second teller tells it little. Method: the disk
/// of one of three hundred is lost; count the answers that tell parts, and the hints of both tellers.
#[test]
fn a_large_map_is_compared_by_its_parts() {
    const COUNT: usize = 300;
    const NEW: usize = 7;
    let mut world = superpeers(3, COUNT, Some((4, 4)));
    world.crash(NEW);
    world.run_for(seconds(60));
    world.wipe(NEW);
    let told: Rc<RefCell<BTreeMap<usize, (usize, usize)>>> = Rc::default();
    let log = Rc::clone(&told);
    world.tamper = Some(Box::new(move |from, to, frame| {
        if let (Message::Surveyed(answer), true) = (&frame.message, to == NEW) {
            let mut log = log.borrow_mut();
            let (parts, hints) = log.entry(from).or_default();
            *parts += usize::from(answer.parts.is_some());
            *hints += answer.hints.len();
        }
        Some(frame)
    }));
    world.start(NEW, &[0]);
    world.run_for(seconds(40));
    assert_eq!(world.overlay(NEW).counters().superpeers, COUNT as u64);
    let told = told.borrow();
    assert!(told.values().any(|(parts, hints)| *parts > 0 && *hints * 4 > COUNT * 3), "{told:?}");
    assert!(told.values().map(|(_, hints)| hints).sum::<usize>() < COUNT * 5 / 4, "{told:?}");
}

/// Goal: superpeers that meet again greet by a mark, and one that does not fit makes them ask. Method: one of eight
/// starts again, from an unchanged network and from one in which all marks on their way are wrong; it knows all, all
/// know it, and no link is to a stranger.
#[test]
fn superpeers_that_remember_each_other_greet_by_a_mark() {
    const BACK: usize = 3;
    for seed in 0..SEEDS {
        for wrong in [false, true] {
            let mut world = superpeers(seed, 8, None);
            world.crash(BACK);
            world.run_for(seconds(5));
            let (opens, asked) = (Rc::new(RefCell::new(Vec::<Open>::new())), Rc::new(RefCell::new(0)));
            let (seen, count) = (Rc::clone(&opens), Rc::clone(&asked));
            world.tamper = Some(Box::new(move |_, to, mut frame| {
                match &mut frame.message {
                    Message::Open(open) if to == BACK => {
                        open.mark = open.mark.map(|mark| mark ^ u32::from(wrong));
                        seen.borrow_mut().push(open.clone());
                    }
                    Message::Who(_) => *count.borrow_mut() += 1,
                    _ => {}
                }
                Some(frame)
            }));
            world.start(BACK, &[]);
            world.run_for(seconds(20));
            let marked = opens.borrow().iter().filter(|open| open.mark.is_some()).count();
            assert!(marked >= 4, "seed {seed}: {marked} of {}", opens.borrow().len());
            assert!(opens.borrow().iter().all(|open| open.mark.is_none() || open.hint.is_none()));
            assert!(!wrong || *asked.borrow() >= 4, "seed {seed}: asked {} times", asked.borrow());
            let back = world.peer(BACK);
            assert_eq!(world.overlay(BACK).counters().superpeers, 8, "seed {seed}, wrong: {wrong}");
            for other in (0..8).filter(|other| *other != BACK) {
                assert!(knows(&mut world, other, &back), "seed {seed}, wrong: {wrong}, at {other}");
            }
        }
    }
}

/// Goal: nobody is brought back from the dead by an old word, or by a hint. Method: five of twenty vanish, so that each
/// is tried seldom; another superpeer names one of them as news in every hello, and tells who asks its hint and what it said before it went, again and again.
#[test]
fn a_word_from_before_brings_nobody_back() {
    const DEAD: usize = 7;
    const LIAR: usize = 5;
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 20, Some((4, 4)));
        let (dead, hint) = (world.peer(DEAD), world.hint(DEAD).expect("a superpeer"));
        let old = alive(&world, DEAD);
        world.run_for(seconds(2));
        (DEAD..DEAD + 5).for_each(|index| world.vanish(index));
        world.run_for(seconds(180));
        let asked = Rc::new(RefCell::new(0));
        let count = Rc::clone(&asked);
        world.tamper = Some(Box::new(move |from, _, mut frame| {
            match &mut frame.message {
                Message::Hello(hello) | Message::HelloBack(hello) if from == LIAR => {
                    hello.news.0.push(Brief::of(&dead));
                }
                Message::Named(named) if from == LIAR => {
                    *count.borrow_mut() += 1;
                    *named = Named { hints: vec![hint.clone(); 60], statements: vec![old.clone(); 60] };
                }
                _ => {}
            }
            Some(frame)
        }));
        for _ in 0..20 {
            world.run_for(seconds(30));
            for index in (0..20).filter(|index| !(DEAD..DEAD + 5).contains(index)) {
                assert!(!knows(&mut world, index, &dead), "seed {seed}, at {index}");
            }
        }
        assert!(*asked.borrow() > 0, "seed {seed}: nobody asked");
    }
}

/// Goal: who starts again is back everywhere, and nobody asks for its word. Method: of forty with few streams one crashes,
/// and starts again when it has been gone for long; count the questions. Control: nine others have gone with it, as if a cut
/// had taken them.
#[test]
fn who_went_alone_is_back_by_the_word_of_two() {
    const BACK: usize = 7;
    let mut asked = Vec::new();
    for with_it in [0, 9] {
        let mut world = superpeers(2, 40, Some((4, 4)));
        (BACK..=BACK + with_it).for_each(|index| world.crash(index));
        world.run_for(seconds(300));
        let questions = Rc::new(RefCell::new(0));
        let count = Rc::clone(&questions);
        world.tamper = Some(Box::new(move |_, _, frame| {
            *count.borrow_mut() +=
                usize::from(matches!(&frame.message, Message::Who(who) if !who.back.0.is_empty()));
            Some(frame)
        }));
        world.start(BACK, &[]);
        world.run_for(seconds(180));
        let back = world.peer(BACK);
        for index in (0..40).filter(|index| !(BACK..=BACK + with_it).contains(index)) {
            assert!(knows(&mut world, index, &back), "with {with_it}, at {index}");
        }
        asked.push(*questions.borrow());
    }
    assert!(asked[0] == 0 && asked[1] > 0, "{asked:?}");
}

/// Goal: several that lie bring a dead superpeer back once at the most, until that is found out. Method:
/// some of twenty vanish one after the other, so that each is dialled seldom; when the last has been gone for long four of
/// the others name it as news in every hello, and answer questions for it with its hint. Control: it is believed at all.
#[test]
fn liars_bring_the_dead_back_once() {
    const DEAD: usize = 7;
    const LIARS: [usize; 4] = [2, 5, 11, 16];
    let mut believed = 0;
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 20, Some((4, 4)));
        for index in [13, 18, 19] {
            world.vanish(index);
            world.run_for(CUT_OFF_WITHIN);
        }
        let (dead, hint) = (world.peer(DEAD), world.hint(DEAD).expect("a superpeer"));
        let mut times = [0; 20];
        world.vanish(DEAD);
        world.run_for(seconds(400));
        world.tamper = Some(Box::new(move |from, _, mut frame| {
            match &mut frame.message {
                Message::Hello(hello) | Message::HelloBack(hello) if LIARS.contains(&from) => {
                    hello.news.0.push(Brief::of(&dead));
                }
                Message::Named(named) if LIARS.contains(&from) => named.hints.push(hint.clone()),
                _ => {}
            }
            Some(frame)
        }));
        let mut last = [false; 20];
        for _ in 0..300 {
            world.run_for(seconds(4));
            for index in (0..20).filter(|index| ![DEAD, 13, 18, 19].contains(index) && !LIARS.contains(index))
            {
                let knew = core::mem::replace(&mut last[index], knows(&mut world, index, &dead));
                times[index] += usize::from(last[index] && !knew);
            }
        }
        believed += times.iter().sum::<usize>();
        assert!(times.iter().all(|times| *times <= 1), "seed {seed}: {times:?}");
    }
    assert!(believed > 0, "nobody was told");
}

/// Goal: however many somebody asks for, one answer names few; what nobody has asked for changes nothing. Method: one
/// of thirty asks another for all at once, as unknown and as remembered, and for nobody; then it answers what was not
/// asked.
#[test]
fn an_answer_names_few_and_one_that_was_not_asked_for_nobody() {
    let mut world = superpeers(1, 30, None);
    let named = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&named);
    world.tamper = Some(Box::new(move |from, to, frame| {
        if let (0, 1, Message::Named(named)) = (from, to, &frame.message) {
            seen.borrow_mut().push((named.hints.len(), named.statements.len()));
        }
        Some(frame)
    }));
    let all = || Briefs((0..30).map(|index| Brief::of(&world.peer(index))).collect());
    let questions =
        [(all(), Briefs::default()), (all(), all()), (Briefs::default(), all()), Default::default()];
    for (id, (of, back)) in (1_000_000..).zip(questions) {
        world.say(1, 0, &Frame { id, message: Message::Who(Who { of, back }) });
    }
    world.run_for(seconds(1));
    let most = NEWS_PER_HELLO_MAX;
    assert!(
        matches!(named.borrow()[..], [(one, _), (two, _), (three, _), (0, 0)]
        if one == most && (1..=most).contains(&two) && three <= most),
        "{:?}",
        named.borrow()
    );

    // Nobody has told of this one, and nobody has asked.
    let stranger = world.add(true);
    let hints = vec![world.hint(stranger).expect("a superpeer")];
    let statements = vec![alive(&world, stranger)];
    world.say(1, 0, &Frame { id: 77, message: Message::Named(Named { hints, statements }) });
    world.run_for(seconds(1));
    assert_eq!(world.overlay(0).counters().superpeers, 30);
}
