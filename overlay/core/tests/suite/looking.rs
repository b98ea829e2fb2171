//! Look-ups that tell their steps, compare storers, put right who is behind, and watches.
//!
//! *Not here*: plain look-ups (`network`), storers that forge (`hostile`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use callbook_overlay::Username;
use callbook_overlay::api::{Answer, Asked, Command, CommandId, Failure, How, Reply, Resolution, Source};
use callbook_overlay::cbor::Blob;
use callbook_overlay::key::Key;
use callbook_overlay::limits::{LOCAL_WATCHES_MAX, SELF_CHECK_WAIT, WATCHES_PER_CHILD_MAX};
use callbook_overlay::record::Record;
use callbook_overlay::wire::{Frame, Message, Reason, Refused, Watch};

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 16;

const CROSS_CHECK: How = How { fresh: false, cross_check: true, trace: false };
const TRACE: How = How { fresh: false, cross_check: false, trace: true };
const FRESH: How = How { fresh: true, cross_check: false, trace: false };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn username(name: &str) -> Username {
    Username::parse(name).expect("a valid name")
}

fn look(world: &mut World, index: usize, name: &str, how: How) -> Resolution {
    match world.ask(index, Command::Resolve { username: username(name), how }) {
        Reply::Resolved(resolution) => resolution,
        other => panic!("{name} from {index}: {other:?}"),
    }
}

fn key(world: &World, name: &str) -> Key {
    world.authority.network.name_key(&username(name))
}

/// Seven superpeers, three children; `name` is registered by the first child and stored by three
/// superpeers, none of which is the parent of the second child. Returns that parent and the storers.
fn with_distant_storers(seed: u64, name: &str) -> Option<(World, usize, Vec<usize>)> {
    let mut world = network(seed, 7, 3, 3);
    let (held, _) = world.authority.held(name);
    world.register(7, held);
    // Who has joined lately compares what it holds once more, and would put right what is to be seen.
    world.run_for(seconds(70));
    let parent = world.parent(8).expect("attached");
    let storers = holders(&world);
    let distant = world.parent(7) != Some(parent) && !storers.contains(&parent);
    distant.then_some((world, parent, storers))
}

/// The superpeers that hold a record.
fn holders(world: &World) -> Vec<usize> {
    (0..7).filter(|index| world.overlay(*index).counters().records > 0).collect()
}

/// The first child's record gets a second version, which reaches all storers but those that `miss` it.
fn second_version(world: &mut World, miss: Vec<usize>) {
    world.tamper = Some(Box::new(move |_, to, frame| {
        let missed = matches!(frame.message, Message::Put(_)) && miss.contains(&to);
        (!missed).then_some(frame)
    }));
    let multiaddrs = vec![Bytes::from_static(b"\x04\x7f\0\0\x02")];
    let addresses = Vec::new();
    assert!(matches!(world.ask(7, Command::Addresses { addresses, multiaddrs }), Reply::Done));
    world.run_for(seconds(10));
    world.tamper = None;
}

/// A record that a storer has, as it travels.
fn record_at(world: &mut World, storer: usize, name: &str) -> Bytes {
    let seen: Rc<RefCell<Option<Bytes>>> = Rc::default();
    let log = Rc::clone(&seen);
    let asker = (0..7).find(|index| world.linked(*index, storer)).expect("a neighbour");
    world.tamper = Some(Box::new(move |from, _, frame| {
        if let (true, Message::Got(got)) = (from == storer, &frame.message) {
            *log.borrow_mut() = got.records.first().map(|blob| blob.0.clone());
        }
        Some(frame)
    }));
    let get = callbook_overlay::wire::Get { key: key(world, name), known: Default::default() };
    world.say(asker, storer, &Frame { id: 9_000_000, message: Message::Get(get) });
    world.run_for(seconds(1));
    world.tamper = None;
    let record = seen.borrow().clone();
    record.expect("the storer has it")
}

fn seq(bytes: &Bytes) -> u64 {
    Record::parse(bytes.clone()).expect("a record").header().seq
}

/// Goal: a trace tells the parent and then each storer that it asked, in order, with times that fit into
/// each other; without being asked for there is none. Method: the same name from the overlay, then from
/// the cache; then a name that nobody has.
#[test]
fn a_trace_tells_each_step_in_its_order() {
    let mut tried = 0;
    for seed in 0..2 * SEEDS {
        let Some((mut world, parent, storers)) = with_distant_storers(seed, "alice") else { continue };
        tried += 1;
        let found = look(&mut world, 8, "alice", TRACE);
        assert_eq!(found.source, Source::Overlay, "seed {seed}");
        let (first, rest) = found.trace.split_first().expect("steps");
        assert_eq!((first.peer, first.asked), (world.peer(parent), Asked::Parent), "seed {seed}");
        assert_eq!((first.at, first.address.is_some()), (Duration::ZERO, true));
        assert_eq!(first.answer, Answer::Found { devices: 1, source: Source::Overlay });
        assert!(!rest.is_empty() && rest.len() <= 3, "seed {seed}: {rest:?}");
        let answered = rest.iter().filter(|step| matches!(step.answer, Answer::Found { devices: 1, .. }));
        assert_eq!(answered.count(), 1, "seed {seed}: {rest:?}");
        assert!(found.trace.is_sorted_by_key(|step| step.at));
        for step in rest {
            assert_eq!(step.asked, Asked::Storer);
            assert!(storers.iter().any(|storer| world.peer(*storer) == step.peer), "seed {seed}");
            assert!(matches!(step.answer, Answer::Found { .. } | Answer::Pending), "{step:?}");
            assert!(step.at + step.took <= first.took, "seed {seed}: {step:?} in {first:?}");
        }
        let again = look(&mut world, 8, "alice", TRACE);
        assert_eq!(again.trace.len(), 1, "seed {seed}: {:?}", again.trace);
        assert_eq!(again.trace[0].answer, Answer::Found { devices: 1, source: Source::Cache });
        assert_eq!(look(&mut world, 8, "alice", FRESH).trace, Vec::new());

        let absent = look(&mut world, 8, "nobody", TRACE);
        assert!(absent.devices.is_empty());
        assert_eq!(absent.trace[0].answer, Answer::Denied, "seed {seed}");
        // What follows are the standbys, and what they asked.
        let storers = absent.trace[1..].iter().take_while(|step| step.asked == Asked::Storer);
        let denied = storers.filter(|step| step.answer == Answer::Denied).count();
        assert_eq!(denied + usize::from(absent.denials > denied), absent.denials, "seed {seed}");
        // A superpeer is its own parent.
        let own = look(&mut world, parent, "alice", How { fresh: true, ..TRACE });
        assert!(!own.trace.is_empty() && own.trace.iter().all(|step| step.asked == Asked::Storer));
    }
    assert!(tried > 2);
}

/// Goal: a storer that holds back a newer version fools a plain look-up (control), not a cross-checked
/// one. Method: the first storer that answers gives the older record from then on.
#[test]
fn a_cross_check_sees_through_one_storer_that_lies() {
    let (mut tried, mut fooled) = (0, 0);
    for seed in 0..2 * SEEDS {
        for how in [How::default(), CROSS_CHECK] {
            let Some((mut world, parent, storers)) = with_distant_storers(seed, "alice") else { continue };
            let old = record_at(&mut world, storers[0], "alice");
            second_version(&mut world, Vec::new());
            let liar: Rc<Cell<Option<usize>>> = Rc::default();
            let lies = old.clone();
            world.tamper = Some(Box::new(move |from, to, mut frame| {
                if let Message::Got(got) = &mut frame.message
                    && to == parent
                    && liar.get().is_none_or(|liar| liar == from)
                {
                    liar.set(Some(from));
                    got.records = vec![Blob(lies.clone())];
                }
                Some(frame)
            }));
            let found = look(&mut world, 8, "alice", how);
            let newest = found.devices[0].seq > seq(&old);
            if how.cross_check {
                assert!(newest, "seed {seed}: {found:?}");
                assert_eq!(world.overlay(parent).counters().cross_checks, 1);
                tried += 1;
            } else {
                fooled += usize::from(!newest);
            }
        }
    }
    assert!(tried > 2 && fooled > 2, "{fooled} of {tried}");
}

/// Goal: a cross-check of a name that nobody has ends as absent, with one superpeer as with many.
/// Method: from all peers.
#[test]
fn a_cross_check_of_nobody_is_absent() {
    for seed in 0..SEEDS {
        let superpeers = [1, 2, 5][seed as usize % 3];
        let mut world = network(seed, superpeers, 2, 3);
        let (held, _) = world.authority.held("alice");
        world.register(superpeers, held);
        world.run_for(seconds(1));
        for index in 0..superpeers + 2 {
            assert!(look(&mut world, index, "nobody", CROSS_CHECK).devices.is_empty(), "seed {seed}");
            assert_eq!(look(&mut world, index, "alice", CROSS_CHECK).devices.len(), 1, "seed {seed}");
        }
    }
}

/// Goal: a storer that missed the newest version, and one that has nothing, get it from a look-up that
/// compares them. Method: puts to one storer are lost; look up; what it holds then.
#[test]
fn a_storer_that_is_behind_is_put_right_by_who_asks() {
    let mut tried = 0;
    for seed in 0..2 * SEEDS {
        let Some((mut world, parent, storers)) = with_distant_storers(seed, "alice") else { continue };
        let behind = storers[seed as usize % 3];
        let before = seq(&record_at(&mut world, behind, "alice"));
        second_version(&mut world, vec![behind]);
        let old = seq(&record_at(&mut world, behind, "alice"));
        if old > before {
            // A neighbour has compared itself with it meanwhile, as each does now and then.
            continue;
        }
        tried += 1;
        let found = look(&mut world, 8, "alice", CROSS_CHECK);
        assert!(found.devices[0].seq > old, "seed {seed}: control, it was behind");
        world.run_for(seconds(5));
        let now = seq(&record_at(&mut world, behind, "alice"));
        assert_eq!(now, found.devices[0].seq, "seed {seed}");
        assert_eq!(world.overlay(parent).counters().stale_repaired, 1, "seed {seed}");
    }
    assert!(tried > 2);
}

/// Goal: a storer that has nothing gets the record back from a look-up. Method: a storer loses its disk
/// and is not told by others (they refuse to move records); look up, then see what it holds.
#[test]
fn a_storer_that_lost_its_disk_gets_the_record_back() {
    let mut tried = 0;
    for seed in 0..2 * SEEDS {
        let Some((mut world, _, storers)) = with_distant_storers(seed, "alice") else { continue };
        let lost = storers[seed as usize % 3];
        world.crash(lost);
        world.wipe(lost);
        world.tamper = Some(Box::new(|_, _, mut frame| {
            if matches!(frame.message, Message::Digests(_) | Message::Pulled(_)) {
                let (reason, candidates) = (Reason::Unsupported.to_wire(), Vec::new());
                frame.message =
                    Message::Refused(Refused { reason, retry_after: None, candidates, newer: None });
            }
            (!matches!(frame.message, Message::Offer(_))).then_some(frame)
        }));
        world.start(lost, &(0..7).collect::<Vec<_>>());
        world.run_for(seconds(60));
        if world.overlay(lost).counters().records > 0 {
            // Its holder has checked on it meanwhile.
            continue;
        }
        tried += 1;
        assert_eq!(look(&mut world, 8, "alice", CROSS_CHECK).devices.len(), 1);
        world.run_for(seconds(10));
        assert_eq!(world.overlay(lost).counters().records, 1, "seed {seed}");
    }
    assert!(tried > 2);
}

/// Goal: who has seen a version is not taken back behind it, and tells its parent, which puts itself and
/// the storer right; who has not seen it, is fooled (control). Method: all storers answer the parent with
/// the old version once.
#[test]
fn a_rolled_back_record_is_not_believed_by_who_saw_the_newer() {
    let mut tried = 0;
    for seed in 0..SEEDS {
        for seen in [false, true] {
            let Some((mut world, parent, storers)) = with_distant_storers(seed, "alice") else { continue };
            tried += 1;
            let old = record_at(&mut world, storers[0], "alice");
            second_version(&mut world, Vec::new());
            if seen {
                look(&mut world, 8, "alice", FRESH);
            }
            let lies = old.clone();
            world.tamper = Some(Box::new(move |_, to, mut frame| {
                if let (Message::Got(got), true) = (&mut frame.message, to == parent) {
                    got.records = vec![Blob(lies.clone())];
                }
                Some(frame)
            }));
            let found = look(&mut world, 8, "alice", FRESH);
            assert_eq!(found.devices[0].seq > seq(&old), seen, "seed {seed}");
            world.run_for(seconds(5));
            world.tamper = None;
            assert_eq!(world.overlay(parent).counters().rejects, u64::from(seen), "seed {seed}");
            if seen {
                assert!(world.overlay(parent).counters().stale_repaired > 0, "seed {seed}");
                let cached = look(&mut world, 8, "alice", How::default());
                assert_eq!((cached.source, cached.devices[0].seq > seq(&old)), (Source::Cache, true));
                assert_eq!(world.overlay(parent).counters().rejects, 1, "seed {seed}: told once");
            }
        }
    }
    assert!(tried > 2);
}

/// Goal: nor after a restart; with a lost disk it is (control). Method: the reader starts anew, and all
/// storers answer its parent with the old version.
#[test]
fn a_restart_does_not_take_a_reader_back_behind_what_it_saw() {
    let mut tried = [0; 2];
    for seed in 0..4 * SEEDS {
        for kept in [false, true] {
            let Some((mut world, _, storers)) = with_distant_storers(seed, "alice") else { continue };
            let old = record_at(&mut world, storers[0], "alice");
            second_version(&mut world, Vec::new());
            look(&mut world, 8, "alice", FRESH);
            world.run_for(seconds(1));
            world.crash(8);
            if !kept {
                world.wipe(8);
            }
            world.start(8, &(0..7).collect::<Vec<_>>());
            world.run_for(seconds(5));
            let parent = world.parent(8).expect("attached");
            if storers.contains(&parent) || world.parent(7) == Some(parent) {
                continue;
            }
            tried[usize::from(kept)] += 1;
            let lies = old.clone();
            world.tamper = Some(Box::new(move |_, to, mut frame| {
                if let (Message::Got(got), true) = (&mut frame.message, to == parent) {
                    got.records = vec![Blob(lies.clone())];
                }
                Some(frame)
            }));
            let found = look(&mut world, 8, "alice", FRESH);
            assert_eq!(found.devices[0].seq > seq(&old), kept, "seed {seed}");
        }
    }
    assert!(tried.iter().all(|tried| *tried > 2), "{tried:?}");
}

/// Goal: an absence is remembered for a minute, passed over by a fresh look-up, and gone with a
/// registration at that parent. Method: count the walks by where the answers come from.
#[test]
fn an_absence_is_remembered_until_somebody_registers() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 2, 3);
        let parent = world.parent(7).expect("attached");
        let first = look(&mut world, 7, "nobody", How::default());
        assert_eq!((first.source, first.devices.len()), (Source::Overlay, 0), "seed {seed}");
        let second = look(&mut world, 7, "nobody", How::default());
        assert_eq!((second.source, second.denials), (Source::Cache, first.denials), "seed {seed}");
        assert_eq!(world.overlay(parent).counters().denials_cached, 1, "seed {seed}");
        assert_eq!(look(&mut world, 7, "nobody", FRESH).source, Source::Overlay, "seed {seed}");
        world.run_for(seconds(61));
        assert_eq!(look(&mut world, 7, "nobody", How::default()).source, Source::Overlay, "seed {seed}");
        // The parent of the one who registers knows at once, any other after a minute.
        let (held, _) = world.authority.held("nobody");
        world.register(6, held);
        if world.parent(6) != Some(parent) {
            world.run_for(seconds(61));
        }
        assert_eq!(look(&mut world, 7, "nobody", How::default()).devices.len(), 1, "seed {seed}");
    }
}

/// Goal: many who ask past the caches for a name that nobody has cost two walks, one for the first and one for all
/// that came while it was under way. Method: a superpeer is asked eight times at once; the walks it ended.
#[test]
fn many_who_ask_at_once_for_an_absent_name_share_a_walk() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 0, 3);
        let username = Username::parse("nobody").expect("a name");
        let before = world.overlay(0).counters().lookup_requests.count();
        let asked: Vec<_> = (0..8)
            .map(|_| world.tell(0, Command::Resolve { username: username.clone(), how: FRESH }))
            .collect();
        world.run_for(seconds(5));
        for command in asked {
            let absent = |reply: Reply| matches!(&reply, Reply::Resolved(found) if found.devices.is_empty());
            assert!(world.reply(command).is_some_and(absent), "seed {seed}");
        }
        assert_eq!(world.overlay(0).counters().lookup_requests.count() - before, 2, "seed {seed}");
    }
}

/// Goal: a remembered absence does not come back when what was registered after it has left the cache.
/// Method: a short ttl; parents that don't store the name.
#[test]
fn an_absence_ends_for_good_with_a_registration() {
    let mut tried = 0;
    for seed in 0..2 * SEEDS {
        let mut world = network(seed, 3, 2, 1);
        let parent = world.parent(4).expect("attached");
        assert!(look(&mut world, 4, "alice", How::default()).devices.is_empty());
        let (mut held, _) = world.authority.held("alice");
        held.ttl = seconds(30);
        world.register(3, held);
        if world.parent(3) != Some(parent) || world.overlay(parent).counters().records > 0 {
            continue;
        }
        tried += 1;
        world.run_for(seconds(35));
        assert_eq!(look(&mut world, 4, "alice", How::default()).devices.len(), 1, "seed {seed}");
    }
    assert!(tried > 2);
}

/// Goal: a storer that hangs costs one look-up a hedge and the next ones nothing; with it nothing is
/// called absent. Method: drop all that the storer asked first says; count what it is asked then.
#[test]
fn a_frozen_storer_is_routed_around() {
    let mut tried = 0;
    for seed in (0..4 * SEEDS).step_by(2) {
        let Some((mut world, parent, _)) = with_distant_storers(seed, "alice") else { continue };
        tried += 1;
        // The holder has looked itself up through a standby by then.
        world.run_for(SELF_CHECK_WAIT * 2);
        let (frozen, asked): (Rc<Cell<Option<usize>>>, Rc<Cell<usize>>) = Default::default();
        let (first, count) = (Rc::clone(&frozen), Rc::clone(&asked));
        world.tamper = Some(Box::new(move |from, to, frame| {
            if from == parent && matches!(frame.message, Message::Get(_)) {
                first.set(first.get().or(Some(to)));
                count.set(count.get() + usize::from(first.get() == Some(to)));
            }
            (first.get() != Some(from)).then_some(frame)
        }));
        assert_eq!(look(&mut world, 8, "alice", FRESH).devices.len(), 1, "seed {seed}");
        assert_eq!(asked.get(), 1, "seed {seed}");
        world.run_for(seconds(2));
        for _ in 0..3 {
            assert_eq!(look(&mut world, 8, "alice", FRESH).devices.len(), 1, "seed {seed}");
        }
        assert_eq!(asked.get(), 1, "seed {seed}: it is asked again");
        // Of three storers two are not more than two thirds.
        let hung = frozen.get().expect("one was asked");
        let name = (0..1_000).map(|number| format!("nobody-{number}")).find(|name| {
            let key = key(&world, name);
            let mut all: Vec<_> = (0..7)
                .map(|index| (world.place(index).expect("a superpeer").distance(&key), index))
                .collect();
            all.sort();
            all[..3].iter().any(|(_, index)| *index == hung)
        });
        let (username, how) = (username(&name.expect("one of them")), How::default());
        match world.ask(8, Command::Resolve { username, how }) {
            Reply::Failed(Failure::Timeout { .. }) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(tried > 2);
}

/// What a watch has told: devices, or `None` for unknown.
fn told(world: &World, watch: CommandId) -> Vec<Option<usize>> {
    let of = world.changes.iter().filter(|(command, _)| *command == watch);
    of.map(|(_, outcome)| outcome.as_ref().ok().map(|resolution| resolution.devices.len())).collect()
}

/// Goal: a watcher sees within moments: that nobody has the name, a registration, a second device at
/// another parent, a revocation; each once, and nothing else. Method: a second of virtual time after
/// each.
#[test]
fn a_watch_tells_each_change_once() {
    for seed in 0..SEEDS {
        // Every third watcher is a superpeer.
        let mut world = network(seed, 6, 4, 3);
        let watcher = if seed.is_multiple_of(3) { 2 } else { 9 };
        let watch = world.tell(watcher, Command::Watch(username("alice")));
        world.run_for(seconds(2));
        assert_eq!(told(&world, watch), [Some(0)], "seed {seed}");
        let (first, serial) = world.authority.held("alice");
        world.register(6, first);
        world.run_for(seconds(1));
        assert_eq!(told(&world, watch), [Some(0), Some(1)], "seed {seed}");
        let (second, _) = world.authority.held("alice");
        world.register(7, second);
        world.run_for(seconds(1));
        assert_eq!(told(&world, watch), [Some(0), Some(1), Some(2)], "seed {seed}");
        let epoch = world.authority.revoke("alice", serial, world.unix());
        assert!(matches!(world.ask(0, Command::Put(epoch)), Reply::Stored(_)), "seed {seed}");
        world.run_for(seconds(1));
        assert_eq!(told(&world, watch), [Some(0), Some(1), Some(2), Some(1)], "seed {seed}");
        world.run_for(seconds(700));
        assert_eq!(told(&world, watch).len(), 4, "seed {seed}");
    }
}

/// Goal: a watch goes on at the next parent. Method: the watcher's parent crashes; then a second device
/// registers.
#[test]
fn a_watch_survives_the_parent() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 4, 3);
        let watch = world.tell(9, Command::Watch(username("alice")));
        world.run_for(seconds(2));
        let parent = world.parent(9).expect("attached");
        let holders: Vec<usize> = (6..9).filter(|index| world.parent(*index) != Some(parent)).collect();
        let [one, two, ..] = holders[..] else { continue };
        let (first, _) = world.authority.held("alice");
        world.register(one, first);
        world.run_for(seconds(1));
        assert_eq!(told(&world, watch), [Some(0), Some(1)], "seed {seed}");
        world.crash(parent);
        world.run_for(seconds(10));
        let (second, _) = world.authority.held("alice");
        world.register(two, second);
        world.run_for(seconds(1));
        assert_eq!(told(&world, watch).last(), Some(&Some(2)), "seed {seed}: {:?}", told(&world, watch));
        assert!(!told(&world, watch).contains(&None), "seed {seed}: it flaps");
    }
}

/// Goal: a watcher hears that a device has expired. Method: a device with a short certificate that
/// vanishes.
#[test]
fn a_watch_tells_that_a_device_has_expired() {
    for seed in 0..2 {
        let mut world = network(seed, 4, 2, 3);
        let held = world.authority.held_again("alice", 7, seconds(1_800));
        world.register(4, held);
        let watch = world.tell(5, Command::Watch(username("alice")));
        world.run_for(seconds(2));
        world.crash(4);
        assert_eq!(told(&world, watch), [Some(1)], "seed {seed}");
        world.run_for(seconds(3_000));
        assert_eq!(told(&world, watch), [Some(1), Some(0)], "seed {seed}");
    }
}

/// Goal: an end is an end: the command is answered, the parent forgets, nothing more is told. Method:
/// unwatch, then register.
#[test]
fn an_ended_watch_tells_nothing_more() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 5, 2, 3);
        let watch = world.tell(6, Command::Watch(username("alice")));
        world.run_for(seconds(2));
        let parent = world.parent(6).expect("attached");
        assert_eq!(world.overlay(parent).counters().watches, 1, "seed {seed}");
        assert!(matches!(world.ask(6, Command::Unwatch(watch)), Reply::Done));
        assert!(matches!(world.reply(watch), Some(Reply::Done)), "seed {seed}");
        world.run_for(seconds(1));
        assert_eq!(world.overlay(parent).counters().watches, 0, "seed {seed}");
        let (held, _) = world.authority.held("alice");
        world.register(5, held);
        world.run_for(seconds(100));
        assert_eq!(told(&world, watch), [Some(0)], "seed {seed}");
        let other = world.tell(6, Command::Watch(username("alice")));
        world.run_for(seconds(1));
        assert!(matches!(world.ask(6, Command::Leave), Reply::Done));
        assert!(matches!(world.reply(other), Some(Reply::Done)), "seed {seed}");
    }
}

/// Goal: one child can't make its parent watch without bound, nor the local user itself. Method: more
/// keys than are allowed.
#[test]
fn watches_are_bounded() {
    let mut world = network(3, 5, 1, 3);
    let parent = world.parent(5).expect("attached");
    for number in 0..2 * WATCHES_PER_CHILD_MAX as u64 {
        let watch = Watch { key: Key::from_bytes([number as u8; 32]), secs: 600 };
        world.say(5, parent, &Frame { id: 1_000_000 + number, message: Message::Watch(watch) });
    }
    world.run_for(seconds(2));
    assert_eq!(world.overlay(parent).counters().watches, WATCHES_PER_CHILD_MAX as u64);
    // The link stays, the time does not.
    world.run_for(seconds(700));
    assert_eq!(world.overlay(parent).counters().watches, 0);
    for number in 0..LOCAL_WATCHES_MAX {
        world.tell(5, Command::Watch(username(&format!("name-{number}"))));
    }
    let one_more = world.ask(5, Command::Watch(username("one-more")));
    assert!(matches!(one_more, Reply::Failed(Failure::Refused(_))), "{one_more:?}");
}

/// Goal: what a parent pushes is believed only if it verifies. Method: it changes a bit of each record
/// that it pushes; the watch asks, and is answered well.
#[test]
fn a_forged_push_is_not_believed() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 5, 2, 3);
        let watch = world.tell(6, Command::Watch(username("alice")));
        world.run_for(seconds(1));
        let (held, _) = world.authority.held("alice");
        world.tamper = Some(Box::new(|_, to, mut frame| {
            if let (Message::Changed(changed), true) = (&mut frame.message, to == 6) {
                for blob in &mut changed.records {
                    let mut bytes = blob.0.to_vec();
                    *bytes.last_mut().expect("not empty") ^= 1;
                    blob.0 = bytes.into();
                }
            }
            Some(frame)
        }));
        world.register(5, held);
        world.run_for(seconds(2));
        assert_eq!(told(&world, watch), [Some(0), Some(1)], "seed {seed}");
        assert!(world.overlay(6).counters().lookups.invalid > 0, "seed {seed}");
    }
}

/// Goal: a second device at another parent is found by a plain look-up after a ttl at the latest.
/// Method: the first parent knows the first device from its registration.
#[test]
fn a_second_device_is_seen_after_a_ttl() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 2, 3);
        let (first, second) = (world.authority.held("alice").0, world.authority.held("alice").0);
        world.register(6, first);
        assert_eq!(world.resolve(6, "alice").devices.len(), 1);
        world.register(7, second);
        world.run_for(seconds(61));
        assert_eq!(world.resolve(6, "alice").devices.len(), 2, "seed {seed}");
    }
}
