//! What a put costs, and when a child takes its word.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use callbook_overlay::api::{Address, Command, Reply, Seen};
use callbook_overlay::limits::CHAIN_KNOWN_AFTER;
use callbook_overlay::record::Record;
use callbook_overlay::wire::Message;

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 8;
const R: usize = 12;
const ALPHA: usize = 3;

/// Counts the frames from a peer that a question fits.
fn count(world: &mut World, peer: usize, fits: impl Fn(&Message) -> bool + 'static) -> Rc<Cell<usize>> {
    let counted: Rc<Cell<usize>> = Rc::default();
    let count = Rc::clone(&counted);
    world.tamper = Some(Box::new(move |from, _, frame| {
        if from == peer && fits(&frame.message) {
            count.set(count.get() + 1);
        }
        Some(frame)
    }));
    counted
}

/// Goal: a superpeer that stores what it puts asks α whom they know, and not everybody. Method: a name of one of
/// fourteen that all have streams to each other and of which twelve store it; questions about its key are counted.
#[test]
fn a_storer_that_puts_asks_few_of_the_others_whom_they_know() {
    for seed in 0..SEEDS {
        let mut world = network(seed, R + 2, 0, R);
        world.run_for(Duration::from_secs(100));
        let key = world.key("alice");
        let owner = world.closest(&key, R)[seed as usize % R];
        let asked = count(
            &mut world,
            owner,
            move |message| matches!(message, Message::Closest(closest) if closest.key == key),
        );
        let (held, _) = world.authority.held("alice");
        world.register(owner, held);
        world.run_for(Duration::from_secs(5));
        let stored = world.closest(&key, R).iter().filter(|index| world.holds(**index, &key)).count();
        assert_eq!(stored, R, "seed {seed}");
        assert!((1..=2 * ALPHA).contains(&asked.get()), "seed {seed}: {} questions", asked.get());
    }
}

/// Goal: a child that counts one superpeer more than its parent, and so wants one storer more, is registered at the
/// first try. Method: one of twelve has just died, which its neighbours know and the child does not.
#[test]
fn a_child_that_has_not_heard_of_a_death_is_registered_at_the_first_try() {
    for seed in 0..SEEDS {
        let mut world = network(seed, R, 0, R);
        let child = world.add(false);
        world.start(child, &(0..R).collect::<Vec<_>>());
        world.run_for(Duration::from_secs(60));
        let parent = world.parent(child).expect("a parent");
        let standbys = world.standbys(child);
        let dead = (1..R).find(|index| *index != parent && !standbys.contains(index)).expect("another one");
        world.crash(dead);
        world.run_for(Duration::from_secs(1));
        let tries = count(&mut world, child, |message| matches!(message, Message::Register(_)));
        let (held, _) = world.authority.held("alice");
        let registering = world.tell(child, Command::Register(Box::new(held)));
        world.run_for(Duration::from_secs(5));
        let reply = world.reply(registering);
        let Some(Reply::Registered(stored)) = reply else { panic!("seed {seed}: {reply:?}") };
        assert_eq!((tries.get(), stored.of), (1, R), "seed {seed}: {stored:?}");
    }
}

/// Goal: a parent waits no more than a second for a majority that only its child may count, and with a name of its own
/// not at all. Method: of twelve storers where r is sixteen five never answer; seven are a majority of those that are
/// there, but not of sixteen.
#[test]
fn a_majority_of_those_that_are_there_is_enough_after_a_second() {
    for seed in 0..SEEDS {
        let mut world = network(seed, R, 1, 16);
        world.run_for(Duration::from_secs(60));
        let (child, mut told) = (R, Vec::new());
        let parent = world.parent(child).expect("a parent");
        let deaf: Vec<usize> = (0..R).filter(|index| *index != parent).take(5).collect();
        world.tamper = Some(Box::new(move |from, _, frame| {
            let put = matches!(frame.message, Message::PutDone(_));
            (!put || !deaf.contains(&from)).then_some(frame)
        }));
        for (owner, name) in [(child, "alice"), (parent, "bob")] {
            let (held, _) = world.authority.held(name);
            let began = world.now();
            let registering = world.tell(owner, Command::Register(Box::new(held)));
            let reply = loop {
                match world.reply(registering) {
                    Some(reply) => break reply,
                    None => world.run_for(Duration::from_millis(10)),
                }
                assert!(world.now() - began < 8_000_000, "seed {seed}: no answer for {name}");
            };
            assert!(matches!(reply, Reply::Registered(_)), "seed {seed}, {name}: {reply:?}");
            told.push(world.now() - began);
        }
        assert!((1_000_000..1_700_000).contains(&told[0]), "seed {seed}: a child's took {} us", told[0]);
        assert!(told[1] < 700_000, "seed {seed}: an own one took {} us", told[1]);
    }
}

/// Goal: a record goes without its chain to storers that hold one with the same, and whole to those that don't. Method: a
/// name whose certificate is old is registered for the first time; then its owner goes to another parent. Puts
/// are counted, and those of them that have a chain.
#[test]
fn a_record_goes_without_its_chain_to_who_has_that() {
    for seed in 0..SEEDS {
        let mut world = network(seed, R, 1, R);
        let (child, key) = (R, world.key("alice"));
        let (held, _) = world.authority.held("alice");
        world.run_for(CHAIN_KNOWN_AFTER + Duration::from_secs(60));
        let counted: Rc<Cell<(usize, usize)>> = Rc::default();
        let count = Rc::clone(&counted);
        world.tamper = Some(Box::new(move |_, _, frame| {
            if let Message::Put(put) = &frame.message {
                let whole = put.records.iter().any(|record| Record::parse(&record.0).is_ok());
                count.set((count.get().0 + 1, count.get().1 + usize::from(whole)));
            }
            Some(frame)
        }));
        world.register(child, held);
        world.run_for(Duration::from_secs(2));
        assert_eq!(counted.take(), (2 * (R - 1), R - 1), "seed {seed}: nobody had the chain");
        assert!((0..R).all(|index| world.holds(index, &key)), "seed {seed}");
        let parent = world.parent(child).expect("a parent");
        let before = world.record(parent, &key);
        world.crash(parent);
        world.run_for(Duration::from_secs(2));
        assert_eq!(counted.take(), (R - 2, 0), "seed {seed}: everybody had the chain");
        let newest = (0..R).filter(|index| *index != parent && world.record(*index, &key) != before).count();
        assert_eq!(newest, R - 1, "seed {seed}");
    }
}

/// Goal: a storer that was not to be reached for some seconds, which nobody else has noticed, soon has what was put
/// meanwhile. Method: one of three storers is cut off; a child moves, which the other two acknowledge.
#[test]
fn a_storer_gets_what_it_missed_when_it_is_there_again() {
    const COUNT: usize = 9;
    let mut behind = 0;
    for seed in 0..SEEDS {
        let mut world = network(seed, COUNT, 0, 3);
        let child = world.add(false);
        world.start(child, &(0..COUNT).collect::<Vec<_>>());
        world.run_for(Duration::from_secs(60));
        let (held, _) = world.authority.held("alice");
        world.register(child, held);
        world.run_for(Duration::from_secs(20));
        let (key, parent) = (world.key("alice"), world.parent(child).expect("a parent"));
        let storers = world.closest(&key, 3);
        let Some(missed) = storers.iter().copied().find(|index| *index != parent) else { continue };
        let before = world.record(missed, &key);
        world.part([missed].into());
        let addresses = vec![Address { ip: [127, 0, 0, 1].into(), port: 9_003 }];
        world.ask(child, Command::Addresses { addresses, multiaddrs: Vec::new() });
        world.run_for(Duration::from_secs(10));
        behind += usize::from(world.record(missed, &key) == before);
        world.heal();
        world.run_for(Duration::from_secs(30));
        let now: Vec<_> = storers.iter().map(|index| world.record(*index, &key)).collect();
        assert!(now.iter().all(|record| *record == now[0] && *record != before), "seed {seed}");
    }
    assert!(behind > 0, "the put went past nobody");
}

/// Goal: what passed over a group of superpeers that are nearest to one another comes to them from the other storers.
/// Method: all twelve store all; no put and no offer gets into the smaller half of the key space, now or later, so that
/// those in there have it only if they ask for it.
#[test]
fn a_group_of_neighbours_gets_what_all_of_them_missed() {
    let mut groups = 0;
    for seed in 0..2 * SEEDS {
        let mut world = network(seed, R, 0, R + ALPHA);
        world.run_for(Duration::from_secs(60));
        let first = |index: &usize| world.place(*index).is_some_and(|place| place.as_bytes()[0] & 0x80 == 0);
        let (mut group, mut others): (Vec<usize>, Vec<usize>) = (0..R).partition(first);
        if group.len() > others.len() {
            core::mem::swap(&mut group, &mut others);
        }
        if group.len() < 4 || group.len() == others.len() {
            continue;
        }
        groups += 1;
        let inside = group.clone();
        world.tamper = Some(Box::new(move |_, to, frame| {
            let brings = matches!(&frame.message, Message::Put(_) | Message::Offer(_));
            (!brings || !inside.contains(&to)).then_some(frame)
        }));
        let key = world.key("alice");
        let (held, _) = world.authority.held("alice");
        world.register(others[0], held);
        assert!(!group.iter().any(|index| world.holds(*index, &key)), "seed {seed}: it got in");
        world.run_for(Duration::from_secs(600));
        let without = group.iter().filter(|index| !world.holds(**index, &key)).count();
        assert_eq!(without, 0, "seed {seed}: of {} that missed it", group.len());
    }
    assert!(groups > 3, "only {groups} groups");
}

/// Who holds what when the one and the returned meet again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The one alone holds the newest version.
    Newest,
    /// The one alone doesn't; whom it asks first for that never answers.
    Outdated,
    /// The same, and four others hold nothing.
    OutdatedAndNone,
}

/// The first version is put; the second is; whom the one has lost may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    First,
    Second,
    Return,
}

/// Who is who, and what has passed since the last phase began.
#[derive(Debug)]
struct Return {
    held: Held,
    phase: Phase,
    one: usize,
    returned: usize,
    /// Those that hold nothing.
    without: Vec<usize>,
    /// Whom the one asked first for what has replaced its own.
    deaf: Option<usize>,
    offers: usize,
    puts: usize,
    pulls: usize,
}

impl Return {
    /// Counts a frame; whether it passes. A repair asks for one name, a comparison for much more.
    fn passes(&mut self, (from, to): (usize, usize), message: &Message) -> bool {
        let (newest, one) = (self.held == Held::Newest, self.one);
        if from == one {
            self.offers += usize::from(matches!(message, Message::Offer(_)));
            self.puts += usize::from(matches!(message, Message::Put(_)));
            self.pulls += usize::from(matches!(message, Message::Pull(_)));
        }
        let between = [(one, self.returned), (self.returned, one)].contains(&(from, to));
        let (cut, open) = (between && self.phase == Phase::Second, self.phase == Phase::Return);
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others pass")]
        let passes = match message {
            Message::Put(_) if open => newest || to != one,
            Message::Put(_) if self.without.contains(&to) => false,
            Message::Put(_) => self.phase == Phase::First || (to == one) == newest,
            Message::Digest(compare) => from == one && !between && open && compare.range().bits > 32,
            Message::Pulled(_) if to == one && !newest => *self.deaf.get_or_insert(from) != from,
            _ => true,
        };
        passes && !cut
    }
}

/// Goal: what one superpeer alone holds of a name is offered to the others after a return if it is newer than theirs; if it
/// is older it is not: the newer one is taken over, and offered if too few hold that. Method: of twelve storers that all
/// hold a name one is the only one that gets its next version, or the only one that doesn't; its writer is gone then.
/// Nothing passes between it and another one until it has lost that. Nobody compares; the one counts copies, but not at that
/// other one.
#[test]
fn after_a_return_what_is_newest_is_spread_and_what_is_outdated_is_not() {
    const WRITER: usize = 0;
    let every = [Held::Newest, Held::Outdated, Held::OutdatedAndNone];
    let (mut offers, mut pulls) = (0, 0);
    for (seed, case) in (0..2 * SEEDS).flat_map(|seed| every.map(|case| (seed, case))) {
        let newest = case == Held::Newest;
        let mut world = network(seed, R, 0, R);
        world.run_for(Duration::from_secs(60));
        let key = world.key("alice");
        let others: Vec<usize> =
            world.closest(&key, R).into_iter().filter(|index| *index != WRITER).collect();
        let [one, returned] = [others[3], others[5]];
        let without = if case == Held::OutdatedAndNone { others[7..].to_vec() } else { Vec::new() };
        let (phase, deaf) = (Phase::First, None);
        let (held, lacking) = (case, without.clone());
        let run = Return { held, phase, one, returned, without, deaf, offers: 0, puts: 0, pulls: 0 };
        let run = Rc::new(RefCell::new(run));
        let tampering = Rc::clone(&run);
        world.tamper = Some(Box::new(move |from, to, frame| {
            tampering.borrow_mut().passes((from, to), &frame.message).then_some(frame)
        }));
        let (held, _) = world.authority.held("alice");
        world.register(WRITER, held);
        world.run_for(Duration::from_secs(20));
        run.borrow_mut().phase = Phase::Second;
        let addresses = vec![Address { ip: [127, 0, 0, 1].into(), port: 9_003 }];
        world.ask(WRITER, Command::Addresses { addresses, multiaddrs: Vec::new() });
        world.run_for(Duration::from_secs(10));
        let next = world.record(WRITER, &key);
        world.crash(WRITER);
        let has_next =
            |world: &World, index: &usize| world.holds(*index, &key) && world.record(*index, &key) == next;
        for index in &others {
            let has = (*index == one) == newest && !lacking.contains(index);
            assert_eq!(has_next(&world, index), has, "seed {seed}, {case:?}: {index}");
        }
        let gone = world.peer(returned);
        let lost = |(index, _, peer, seen): &(_, _, _, Seen)| {
            (*index, *peer) == (one, gone) && matches!(seen, Seen::Lost { .. })
        };
        let lost = (0..600).any(|_| {
            world.run_for(Duration::from_secs(1));
            world.seen.iter().any(lost)
        });
        assert!(lost, "seed {seed}, {case:?}: not lost in ten minutes");
        let mut then = run.borrow_mut();
        (then.phase, then.offers, then.puts, then.pulls) = (Phase::Return, 0, 0, 0);
        drop(then);
        world.run_for(Duration::from_secs(120));
        let run = run.borrow();
        let compared = others.iter().filter(|index| **index != returned);
        let lack = compared.filter(|index| !has_next(&world, index)).count();
        assert_eq!(lack, 0, "seed {seed}: {run:?}");
        assert!(newest || run.puts == lacking.len(), "seed {seed}: {run:?}");
        offers += usize::from(newest) * run.offers;
        pulls += usize::from(!newest) * run.pulls;
    }
    assert!(offers > 0 && pulls > 0, "{offers} offers, {pulls} pulls");
}

/// Goal: a storer that stands still is not put to again and again while nothing comes from it, and has what it missed soon
/// after it goes on. Method: one of three storers stands still for some seconds, its links stay; a name moves meanwhile, and
/// what its writer puts to that storer is counted. Nobody else compares.
#[test]
fn a_storer_that_stands_still_gets_what_it_missed_when_it_goes_on() {
    const COUNT: usize = 9;
    let mut behind = 0;
    for seed in 0..SEEDS {
        let mut world = network(seed, COUNT, 0, 3);
        world.run_for(Duration::from_secs(60));
        let key = world.key("alice");
        let writer = (0..COUNT).find(|index| !world.closest(&key, 3).contains(index)).expect("nine");
        let (held, _) = world.authority.held("alice");
        world.register(writer, held);
        world.run_for(Duration::from_secs(20));
        let still = world.closest(&key, 3)[seed as usize % 3];
        let before = world.record(still, &key);
        let counted: Rc<Cell<usize>> = Rc::default();
        let count = Rc::clone(&counted);
        world.tamper = Some(Box::new(move |from, to, frame| {
            let put = matches!(frame.message, Message::Put(_)) && from == writer && to == still;
            count.set(count.get() + usize::from(put));
            (from == still || !matches!(frame.message, Message::Digest(_))).then_some(frame)
        }));
        world.freeze(still);
        let addresses = vec![Address { ip: [127, 0, 0, 1].into(), port: 9_003 }];
        world.ask(writer, Command::Addresses { addresses, multiaddrs: Vec::new() });
        world.run_for(Duration::from_secs(6));
        assert!(counted.take() <= 1, "seed {seed}: it was put to while it stood still");
        behind += usize::from(world.record(still, &key) == before);
        world.thaw(still);
        world.run_for(Duration::from_secs(60));
        assert_ne!(world.record(still, &key), before, "seed {seed}: {} puts", counted.get());
    }
    assert!(behind > 0, "it missed nothing");
}
