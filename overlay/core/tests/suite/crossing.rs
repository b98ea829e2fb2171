//! Things that cross on their way: a put and a look-up, a renewal and a fail-over.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Command, How, Parallelism, Reply};
use callbook_overlay::wire::{Frame, Message};

use crate::world::World;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Superpeers and children of which each two are `way` apart, one way.
fn network(seed: u64, superpeers: usize, children: usize, r: usize, way: Duration) -> World {
    let mut world = World::new(seed, r, Parallelism::Hedged);
    let way = way.as_micros() as u64;
    world.conditions.latency = Some((way, way));
    (0..superpeers + children).for_each(|index| assert_eq!(world.add(index < superpeers), index));
    (0..superpeers).for_each(|index| world.start(index, &[0]));
    world.run_for(seconds(20));
    (superpeers..superpeers + children).for_each(|index| world.start(index, &[0, 1]));
    world.run_for(seconds(10));
    world
}

fn devices(world: &mut World, index: usize, name: &str) -> usize {
    match world.try_resolve(index, name, false) {
        Reply::Resolved(found) => found.devices.len(),
        other => panic!("{name} from {index}: {other:?}"),
    }
}

fn begin_to_resolve(world: &mut World, index: usize, name: &str) {
    let username = Username::parse(name).expect("a name");
    world.tell(index, Command::Resolve { username, how: How::default() });
}

/// Goal: a superpeer that has been given a record does not call the name absent because of a look-up that
/// was under way. Method: puts of a name are held back; a superpeer that is near but no storer looks
/// it up, and gets the put between the denials' leaving and their coming.
#[test]
fn a_put_that_comes_during_a_look_up_is_not_forgotten_for_its_denials() {
    for seed in 0..6 {
        let mut world = network(seed, 6, 0, 2, millis(100));
        let name = (0..).map(|number| format!("name-{number}"));
        let mut free = name.filter(|name| !world.closest(&world.key(name), 2).iter().any(|near| *near < 2));
        let name = free.next().expect("some name");
        drop(free);
        let (held_back, passes): (Rc<RefCell<Option<Frame>>>, Rc<Cell<bool>>) = Default::default();
        let (log, may_pass) = (Rc::clone(&held_back), Rc::clone(&passes));
        world.tamper = Some(Box::new(move |_, _, frame| {
            if matches!(frame.message, Message::Put(_)) && !may_pass.get() {
                *log.borrow_mut() = Some(frame);
                return None;
            }
            Some(frame)
        }));
        let (held, _) = world.authority.held(&name);
        world.tell(1, Command::Register(Box::new(held)));
        world.run_for(seconds(1));
        let put = held_back.borrow_mut().take().expect("a put");
        begin_to_resolve(&mut world, 0, &name);
        passes.set(true);
        world.say(1, 0, &put);
        passes.set(false);
        world.run_for(seconds(1));
        assert_eq!(world.overlay(0).counters().records, 1, "seed {seed}");
        assert_eq!(devices(&mut world, 0, &name), 1, "seed {seed}: {name}");
    }
}

/// Goal: a parent that remembers an absence forgets it when a child registers the name with it, storer
/// or not, also while another look-up is under way. Method: two children of one parent; one looks
/// up before, during and after the other's registration.
#[test]
fn a_registration_through_a_parent_ends_the_absence_that_it_remembers() {
    for seed in 0..6 {
        let mut world = network(seed, 1, 2, 2, millis(50));
        for _ in 0..4 {
            let index = world.add(true);
            world.start(index, &[0]);
        }
        world.run_for(seconds(20));
        assert_eq!((world.parent(1), world.parent(2)), (Some(0), Some(0)), "seed {seed}");
        for number in 0..4 {
            let name = format!("name-{number}");
            assert_eq!(devices(&mut world, 1, &name), 0, "seed {seed}: {name}");
            assert_eq!(devices(&mut world, 1, &name), 0, "seed {seed}: {name}");
            begin_to_resolve(&mut world, 1, &name);
            world.run_for(millis(number * 40));
            let (held, _) = world.authority.held(&name);
            world.register(2, held);
            assert_eq!(devices(&mut world, 1, &name), 1, "seed {seed}: {name}");
        }
    }
}

/// Goal: a renewal of a reservation that is under way when the parent dies leaves no one-sided
/// attachments behind. Method: the parent of one child dies at every ten milliseconds around such a renewal;
/// soon after, one superpeer has the child, two others keep a place for it, as the child thinks.
#[test]
fn a_renewal_that_crosses_a_fail_over_leaves_both_sides_of_one_mind() {
    for offset in 0..30 {
        let mut world = network(7, 5, 1, 3, millis(50));
        let renewed = Rc::new(Cell::new(false));
        let seen = Rc::clone(&renewed);
        world.run_for(seconds(200));
        world.tamper = Some(Box::new(move |from, _, frame| {
            if from == 5 && matches!(frame.message, Message::Reserve(_)) {
                seen.set(true);
            }
            Some(frame)
        }));
        while !renewed.get() {
            world.run_for(millis(10));
        }
        world.run_for(millis(10 * offset));
        let parent = world.parent(5).expect("attached");
        world.crash(parent);
        world.run_for(seconds(40));
        let Reply::Status(status) = world.ask(5, Command::Status) else { panic!("no status") };
        let parent = status.parent.map(|parent| world.index_of(&parent.peer));
        let mut standbys: Vec<usize> =
            status.standbys.iter().map(|standby| world.index_of(&standby.peer)).collect();
        standbys.sort_unstable();
        let counters = |index: &usize| world.overlay(*index).counters();
        let running: Vec<usize> = world.running(true);
        let parents: Vec<usize> =
            running.iter().copied().filter(|index| counters(index).children == 1).collect();
        let keepers: Vec<usize> =
            running.iter().copied().filter(|index| counters(index).reservations == 1).collect();
        assert_eq!(parents, Vec::from_iter(parent), "{offset}");
        assert_eq!(standbys.len(), 2, "{offset}");
        assert!(standbys.iter().all(|standby| keepers.contains(standby)), "{offset}: {keepers:?}");
    }
}
