//! Whom a peer chooses and keeps: address groups, and links that nobody needs.
//!
//! *Not here*: the map (`mapping`), how groups are told apart (unit tests of `group`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Address, Command, How, Parallelism, Reply};
use callbook_overlay::key::{Key, PeerId};
use callbook_overlay::limits::{CONFIRM_HEDGE, GROUP_NARROW_MAX, OUTBOUND_SLOTS};
use callbook_overlay::network::Scope;
use callbook_overlay::wire::{Closest, Frame, Hint, Known, Message, Open};

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 8;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A peer of the narrow group `group` listens at a global address.
fn settle_in(world: &mut World, index: usize, group: u8) {
    let ip = [203, 0, group, 1 + index as u8];
    world.set_address(index, Address { ip: ip.into(), port: 1_000 });
}

/// The address groups of a child's parent and standbys.
fn chosen_groups(world: &mut World, child: usize, group: impl Fn(usize) -> u8) -> Vec<u8> {
    let Reply::Status(status) = world.ask(child, Command::Status) else { panic!("no status") };
    let chosen = status.parent.iter().chain(&status.standbys);
    chosen.map(|parent| group(world.index_of(&parent.peer))).collect()
}

/// Goal: parent and standbys of a child are in three address groups where there are three, on a global
/// network; one group is better than no standby. Method: six of nine superpeers are in one group, or all
/// of them; on a local network (control), where groups say nothing, chance takes some of that group.
#[test]
fn standbys_are_in_other_address_groups_if_there_are_any() {
    let mut alike = 0;
    for seed in 0..3 * SEEDS {
        for (scope, groups) in [(Scope::Global, 3), (Scope::Global, 1), (Scope::Local, 3)] {
            let group = |index: usize| if groups == 1 { 1 } else { (index as u8).saturating_sub(5) };
            let mut world = World::new(seed, 3, Parallelism::Hedged);
            world.authority.network.scope = scope;
            for index in 0..10 {
                assert_eq!(world.add(index < 9), index);
                settle_in(&mut world, index, if index < 9 { group(index) } else { 99 });
            }
            (0..9).for_each(|index| world.start(index, &[0]));
            world.run_for(seconds(10));
            world.start(9, &(0..9).collect::<Vec<_>>());
            world.run_for(seconds(5));
            let chosen = chosen_groups(&mut world, 9, group);
            assert_eq!(chosen.len(), 3, "seed {seed}, {scope:?}, {groups} groups");
            let different = chosen.iter().collect::<BTreeSet<_>>().len();
            match (scope, groups) {
                // Chosen one after the other, of nine: four groups there, of which three are taken.
                (Scope::Global, 3) => assert_eq!(different, 3, "seed {seed}: {chosen:?}"),
                (Scope::Local, _) => alike += usize::from(different < 3),
                (Scope::Global, _) => {}
            }
        }
    }
    assert!(alike > SEEDS as usize, "control: {alike}");
}

/// Goal: superpeers that a look-up only hears of while it walks are asked no more than two of one address
/// group, however many tell of them. Method: some storers name twelve strangers of one group as closer;
/// count whom the asker asks; on a local network (control), where groups say nothing, it asks more.
#[test]
fn no_address_group_becomes_a_whole_look_up() {
    for seed in 0..SEEDS {
        for scope in [Scope::Global, Scope::Local] {
            let mut world = World::new(seed, 20, Parallelism::AtOnce);
            world.authority.network.scope = scope;
            for index in 0..17 {
                assert_eq!(world.add(true), index);
                settle_in(&mut world, index, if index < 5 { 1 + index as u8 } else { 99 });
            }
            (0..5).for_each(|index| world.start(index, &[0]));
            world.run_for(seconds(20));
            // They run, and nobody has heard of them.
            (5..17).for_each(|index| world.start(index, &[]));
            world.run_for(seconds(1));
            let strangers: Vec<Hint> = (5..17).filter_map(|index| world.hint(index)).collect();
            let asked: Rc<Cell<BTreeSet<usize>>> = Rc::default();
            let seen = Rc::clone(&asked);
            world.tamper = Some(Box::new(move |from, to, mut frame| {
                if let (Message::Got(got), 0) = (&mut frame.message, to) {
                    got.closer = if from < 5 { strangers.clone() } else { Vec::new() };
                }
                if let (Message::Get(_), 0) = (&frame.message, from) {
                    let mut all = seen.take();
                    all.extend((to >= 5).then_some(to));
                    seen.set(all);
                }
                Some(frame)
            }));
            let username = Username::parse("nobody").expect("a name");
            world.ask(0, Command::Resolve { username, how: How { fresh: true, ..How::default() } });
            let count = asked.take().len();
            match scope {
                Scope::Global => assert!(count <= GROUP_NARROW_MAX, "seed {seed}: {count} strangers"),
                Scope::Local => assert!(count > GROUP_NARROW_MAX, "seed {seed}: control, {count} strangers"),
            }
        }
    }
}

/// A superpeer, and a peer that is linked to it and is not its child.
fn with_a_stranger(seed: u64) -> (World, usize, usize) {
    let mut world = network(seed, 4, 0, 3);
    // Attachments are lost on the way, reservations are not.
    world.tamper =
        Some(Box::new(|_, _, frame| (!matches!(frame.message, Message::Attach(_))).then_some(frame)));
    let stranger = world.add(false);
    world.start(stranger, &[0, 1, 2, 3]);
    world.run_for(seconds(1));
    let superpeer = (0..4).find(|index| world.linked(stranger, *index)).expect("it has dialled some");
    (world, superpeer, stranger)
}

/// Goal: a superpeer keeps no link that a stranger does not use. Method: a stranger asks once and then
/// stands still, so that it closes nothing itself; the link is there for half a minute, and gone before
/// silence alone would end it.
#[test]
fn the_idle_link_of_a_stranger_is_closed() {
    for seed in 0..SEEDS {
        let (mut world, superpeer, stranger) = with_a_stranger(seed);
        let message = Message::Closest(Closest {
            key: Key::from_bytes([1; 32]),
            count: 3,
            known: Known::default(),
            remembered: Known::default(),
        });
        world.say(stranger, superpeer, &Frame { id: 7_000_000, message });
        world.run_for(seconds(1));
        world.freeze(stranger);
        world.run_for(seconds(28));
        assert!(world.linked(superpeer, stranger), "seed {seed}");
        world.run_for(seconds(9));
        assert!(!world.linked(superpeer, stranger), "seed {seed}");
    }
}

/// Goal: who waits for an answer does not lose its link, also where it has no attachment. Method: a child
/// asks a standby, whose link has been idle for almost half a minute, and which hears nothing from
/// storers: the links are there a moment later, and need not be dialled again; without the question
/// (control) they are closed.
#[test]
fn a_link_stays_while_a_stranger_waits_for_an_answer() {
    for seed in 0..SEEDS {
        for asks in [true, false] {
            let mut world = network(seed, 6, 1, 3);
            world.run_for(seconds(3));
            let username = Username::parse("nobody").expect("a name");
            let resolve = || Command::Resolve {
                username: username.clone(),
                how: How { fresh: true, ..How::default() },
            };
            let Reply::Resolved(_) = world.ask(6, resolve()) else { panic!("seed {seed}") };
            let Reply::Status(status) = world.ask(6, Command::Status) else { panic!("no status") };
            let mut standbys: Vec<usize> =
                status.standbys.iter().map(|standby| world.index_of(&standby.peer)).collect();
            world.run_for(Duration::from_millis(29_400));
            standbys.retain(|standby| world.linked(6, *standby));
            assert!(!standbys.is_empty(), "seed {seed}");
            let dialled = |world: &World, standby: &usize| {
                let to = (6, world.peer(*standby));
                world.dials.iter().filter(|dial| **dial == to).count()
            };
            let before: Vec<usize> = standbys.iter().map(|standby| dialled(&world, standby)).collect();
            if asks {
                let deaf = standbys.clone();
                world.tamper = Some(Box::new(move |_, to, frame| {
                    let lost = matches!(frame.message, Message::Got(_)) && deaf.contains(&to);
                    (!lost).then_some(frame)
                }));
                world.tell(6, resolve());
            }
            world.run_for(CONFIRM_HEDGE - Duration::from_millis(100));
            let linked = standbys.iter().filter(|standby| world.linked(6, **standby)).count();
            assert_eq!(linked > 0, asks, "seed {seed}: {linked} of {standbys:?}");
            let kept = standbys.iter().zip(before).filter(|(standby, before)| {
                world.linked(6, **standby) && dialled(&world, standby) == *before
            });
            assert_eq!(kept.count() > 0, asks, "seed {seed}");
        }
    }
}

/// Goal: those who come to a superpeer can't be all whom it hears: some streams go to whom it chose itself. Method:
/// many superpeers that all dial one of them, with few streams each; count the links that it has dialled.
#[test]
fn those_who_connect_take_no_outbound_slot() {
    const MANY: usize = 40;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        world.streams = Some((2, 16));
        (0..MANY).for_each(|index| assert_eq!(world.add(true), index));
        world.start(0, &[]);
        for index in 1..MANY {
            world.start(index, &[0]);
            world.run_for(Duration::from_millis(200));
        }
        world.run_for(seconds(60));
        let dialled: BTreeSet<PeerId> =
            world.dials.iter().filter(|(from, _)| *from == 0).map(|(_, to)| *to).collect();
        let kept = (1..MANY).filter(|index| world.linked(0, *index) && dialled.contains(&world.peer(*index)));
        let (kept, all) = (kept.count(), (1..MANY).filter(|index| world.linked(0, *index)).count());
        assert!(kept >= OUTBOUND_SLOTS && all > 20, "seed {seed}: {kept} of {all}");
    }
}

/// Goal: a superpeer that may be counted tells everybody how many children it has when they meet; one that
/// may not, and a child, tell nothing. Method: the greetings to one that comes when others are attached.
#[test]
fn a_superpeer_tells_how_many_children_it_has_unless_it_must_not() {
    for seed in 0..SEEDS {
        for tells in [true, false] {
            let mut world = World::new(seed, 2, Parallelism::Hedged);
            world.tells_children = tells;
            for index in 0..5 {
                assert_eq!(world.add(index == 0 || index == 4), index);
            }
            (0..4).for_each(|index| world.start(index, &[0]));
            world.run_for(seconds(10));
            let greetings: Rc<RefCell<Vec<(usize, Open)>>> = Rc::default();
            let seen = Rc::clone(&greetings);
            world.tamper = Some(Box::new(move |from, to, frame| {
                if let (Message::Open(open), 0 | 4) = (&frame.message, to) {
                    seen.borrow_mut().push((from, open.clone()));
                }
                Some(frame)
            }));
            world.start(4, &[0]);
            world.run_for(seconds(10));
            let of = |from: usize| {
                let greetings = greetings.borrow();
                let first = greetings.iter().find(|(greeter, _)| *greeter == from);
                first.map(|(_, open)| open.counted())
            };
            assert_eq!(of(0), Some(tells.then_some(3)), "seed {seed}");
            assert_eq!(of(4), Some(tells.then_some(0)), "seed {seed}");
        }
    }
}

/// Goal: whom a superpeer asks now and then it dials once, and a link that it does not use for long ends. Method: of sixty
/// with few streams one looks for an absent name, for which most storers have to be asked; again after two and four minutes,
/// which takes few dials; and after twenty more minutes in which it asked nobody (control), which takes as many as before.
#[test]
fn whom_a_superpeer_asks_now_and_then_it_dials_once() {
    let (mut first, mut soon, mut late) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 20, Parallelism::Hedged);
        world.streams = Some((4, 4));
        (0..60).for_each(|index| assert_eq!(world.add(true), index));
        (0..60).for_each(|index| world.start(index, if index == 0 { &[] } else { &[0] }));
        world.run_for(seconds(900));
        let mut dials_after = |wait: u64| {
            world.run_for(seconds(wait));
            let dials = |world: &World| world.dials.iter().filter(|(from, _)| *from == 7).count();
            let before = dials(&world);
            assert!(matches!(world.try_resolve(7, "nobody", true), Reply::Resolved(_)), "seed {seed}");
            dials(&world) - before
        };
        first += dials_after(0);
        soon += dials_after(120) + dials_after(120);
        late += dials_after(1_200);
    }
    assert!(soon * 8 < first && soon * 8 < late, "{first} dials, then {soon}, {late} after a pause");
}
