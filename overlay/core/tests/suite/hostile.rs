//! Peers that lie, forge, replay or talk nonsense: what may not happen all the same.
//!
//! *Not here*: records that are wrong in themselves (`forgery`), peers that crash (`turmoil`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use callbook_overlay::Username;
use callbook_overlay::api::{Command, Failure, How, Reply};
use callbook_overlay::key::{Digest, Key};
use callbook_overlay::record::Record;
use callbook_overlay::wire::{
    Acknowledgement, Closest, Frame, Get, Got, Hints, Known, Leave, Message, Put, PutDone, PutResult, Reason,
    Refused, Registered, Reject, Resolve, Resolved,
};

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 4;

/// Who said what to whom.
type Log<T> = Rc<RefCell<Vec<(usize, usize, T)>>>;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The record with one bit of its payload changed: it still reads well, and does not verify.
fn forged(bytes: &[u8]) -> Bytes {
    let record = Record::parse(bytes).expect("a record");
    let payload = record.payload();
    let at = bytes.windows(payload.len()).position(|window| window == payload).expect("its payload");
    let mut bytes = bytes.to_vec();
    bytes[at + payload.len() - 1] ^= 1;
    bytes.into()
}

fn forge(got: &mut Got) {
    for blob in &mut got.records {
        blob.0 = forged(&blob.0);
    }
}

/// A network of six superpeers and two children where `name` is stored by two superpeers, neither of
/// which is the parent of the second child.
fn with_distant_storers(seed: u64, name: &str) -> Option<(World, usize)> {
    let mut world = network(seed, 6, 2, 2);
    let (held, _) = world.authority.held(name);
    world.register(6, held);
    world.run_for(seconds(1));
    let parent = world.parent(7).expect("attached");
    (world.parent(6) != Some(parent) && world.overlay(parent).counters().records == 0)
        .then_some((world, parent))
}

/// Goal: who says for ever that it is taking its range over makes absences unknown, and slow only for a while.
/// Method: one of three superpeers says so to every look-up; whether look-ups of nobody end within two seconds,
/// in the first minute (control), after it, and ten minutes later.
#[test]
fn a_storer_that_is_never_ready_is_waited_for_no_longer_than_a_minute() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 3, 0, 3);
        world.run_for(seconds(70));
        world.tamper = Some(Box::new(|from, _, mut frame| {
            if let (Message::Got(_), 2) = (&frame.message, from) {
                let reason = Reason::Syncing.to_wire();
                let (candidates, newer) = (Vec::new(), None);
                frame.message = Message::Refused(Refused { reason, retry_after: None, candidates, newer });
            }
            Some(frame)
        }));
        let mut ends_soon = |number: u64, after: u64| {
            world.run_for(seconds(after));
            let username = Username::parse(&format!("nobody-{number}")).expect("a name");
            let how = How { fresh: true, ..How::default() };
            let id = world.tell(0, Command::Resolve { username, how });
            world.run_for(seconds(2));
            let soon = world.reply(id);
            world.run_for(seconds(18));
            let end = soon.as_ref().map_or_else(|| world.reply(id), |_| None);
            let unknown =
                matches!(soon.as_ref().or(end.as_ref()), Some(Reply::Failed(Failure::Timeout { .. })));
            assert!(unknown, "seed {seed}: {soon:?}, {end:?}");
            soon.is_some()
        };
        assert!(!ends_soon(1, 0), "seed {seed}: control");
        assert!(ends_soon(2, 60) && ends_soon(3, 60), "seed {seed}");
        assert!(!ends_soon(4, 600), "seed {seed}: it may be true this time");
    }
}

/// Goal: a storer that forges what it holds is found out, blamed, and the honest one's answer wins.
/// Method: the first storer that answers forges all its answers from then on.
#[test]
fn an_honest_storer_wins_over_one_that_forges() {
    let mut tried = 0;
    for seed in 0..4 * SEEDS {
        let Some((mut world, parent)) = with_distant_storers(seed, "alice") else { continue };
        tried += 1;
        let evil: Rc<Cell<Option<usize>>> = Rc::default();
        let first = Rc::clone(&evil);
        world.tamper = Some(Box::new(move |from, _, mut frame| {
            if let Message::Got(got) = &mut frame.message
                && first.get().is_none_or(|evil| evil == from)
            {
                first.set(Some(from));
                forge(got);
            }
            Some(frame)
        }));
        match world.try_resolve(7, "alice", false) {
            Reply::Resolved(found) => assert_eq!(found.devices.len(), 1, "seed {seed}"),
            other => panic!("seed {seed}, {evil:?}, {:?}: {other:?}", world.overlay(parent).counters()),
        }
        assert_eq!(world.overlay(7).counters().lookups.invalid, 1, "seed {seed}");
        assert_eq!(world.overlay(parent).counters().rejects, 1, "seed {seed}");
        // Blamed: it is not asked first again.
        for _ in 0..3 {
            assert!(matches!(world.try_resolve(7, "alice", true), Reply::Resolved(_)));
        }
        assert_eq!(world.overlay(7).counters().lookups.invalid, 1, "seed {seed}: asked again");
    }
    assert!(tried > 0);
}

/// Goal: forgers can't make a name absent. Method: all storers forge all their answers; the child
/// looks up several times, past caches and from them.
#[test]
fn forged_answers_never_make_a_name_absent() {
    let mut tried = 0;
    for seed in 0..4 * SEEDS {
        let Some((mut world, _)) = with_distant_storers(seed, "alice") else { continue };
        tried += 1;
        world.tamper = Some(Box::new(|_, _, mut frame| {
            if let Message::Got(got) = &mut frame.message {
                forge(got);
            }
            Some(frame)
        }));
        for fresh in [false, true, false, false] {
            match world.try_resolve(7, "alice", fresh) {
                Reply::Failed(Failure::Verification(_) | Failure::Timeout { .. }) => {}
                other => panic!("seed {seed}: {other:?}"),
            }
        }
    }
    assert!(tried > 0);
}

/// Goal: who has seen an epoch record is not shown a device that it revokes. Method: a child looks a name
/// up before and after a revocation; then every storer answers as it did before.
#[test]
fn a_revocation_once_seen_is_remembered() {
    for seed in 0..2 * SEEDS {
        let mut world = network(seed, 5, 3, 2);
        let (lost, serial) = world.authority.held("bob");
        let (kept, _) = world.authority.held("bob");
        world.register(5, lost);
        world.register(6, kept);
        world.run_for(seconds(1));
        let before: Rc<RefCell<Option<Got>>> = Rc::default();
        let (log, old) = (Rc::clone(&before), Rc::new(Cell::new(false)));
        let lie = Rc::clone(&old);
        world.tamper = Some(Box::new(move |_, _, mut frame| {
            if let Message::Got(got) = &mut frame.message {
                let mut log = log.borrow_mut();
                match &*log {
                    Some(before) if lie.get() => got.clone_from(before),
                    None if got.records.len() == 2 => *log = Some(got.clone()),
                    _ => {}
                }
            }
            Some(frame)
        }));
        assert!(matches!(world.try_resolve(7, "bob", true), Reply::Resolved(_)));
        let epoch = world.authority.revoke("bob", serial, world.unix());
        assert!(matches!(world.ask(0, Command::Put(epoch)), Reply::Stored(_)));
        world.run_for(seconds(1));
        for lying in [false, true] {
            old.set(lying);
            let Reply::Resolved(found) = world.try_resolve(7, "bob", true) else { panic!("seed {seed}") };
            assert_eq!(found.devices.len(), 1, "seed {seed}, lying: {lying}");
        }
    }
}

/// Goal: an answer with more records than a name may have is cut, and still reaches the child. Method:
/// storers repeat their record until the frame is full.
#[test]
fn a_storer_that_fills_its_frame_does_not_break_the_answer() {
    let mut tried = 0;
    for seed in 0..4 * SEEDS {
        let Some((mut world, _)) = with_distant_storers(seed, "alice") else { continue };
        tried += 1;
        world.tamper = Some(Box::new(|_, _, mut frame| {
            if let Message::Got(got) = &mut frame.message
                && let Some(first) = got.records.first().cloned()
            {
                // Each with another device key: the bytes of the certificate's key are free to choose.
                let writer = *Record::parse(&first.0).expect("a record").slot().writer.as_bytes();
                let at = first.0.windows(32).position(|window| window == writer).expect("its key");
                got.records = (0..65_000 / (first.0.len() + 3))
                    .map(|number| {
                        let mut bytes = first.0.to_vec();
                        bytes[at] = number as u8;
                        let mut blob = first.clone();
                        blob.0 = bytes.into();
                        blob
                    })
                    .collect();
            }
            Some(frame)
        }));
        match world.try_resolve(7, "alice", true) {
            Reply::Failed(Failure::Verification(_) | Failure::Timeout { asked: 2, .. }) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(tried > 0);
}

/// Goal: a parent can't make acknowledgements up. Method: signatures in `Registered` are replaced by
/// those of the parent's own making (zeros), or left out.
#[test]
fn made_up_acknowledgements_do_not_count() {
    for (seed, empty) in [(1, false), (2, true)] {
        let mut world = network(seed, 3, 1, 3);
        world.tamper = Some(Box::new(move |_, _, mut frame| {
            if let Message::Registered(registered) = &mut frame.message {
                registered.acknowledgements.iter_mut().for_each(|word| word.signature = [0; 64]);
                if empty {
                    *registered = Registered { of: 0, acknowledgements: Vec::<Acknowledgement>::new() };
                }
            }
            Some(frame)
        }));
        let (held, _) = world.authority.held("alice");
        match world.ask(3, Command::Register(Box::new(held))) {
            Reply::Failed(Failure::Timeout { answered: 0, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Goal: a register counts for one child and one parent. Method: what one child sent is said again by
/// another child, and to another parent.
#[test]
fn a_register_can_not_be_replayed_by_or_to_another() {
    let mut world = network(3, 3, 4, 3);
    let seen: Log<Frame> = Rc::default();
    let log = Rc::clone(&seen);
    world.tamper = Some(Box::new(move |from, to, frame| {
        log.borrow_mut().push((from, to, frame.clone()));
        Some(frame)
    }));
    let (held, _) = world.authority.held("alice");
    world.register(3, held);
    let register = |entry: &&(usize, usize, Frame)| matches!(entry.2.message, Message::Register(_));
    let (_, parent, mut frame) = seen.borrow().iter().find(register).cloned().expect("a register");
    let mut replays = 0;
    for child in 4..7 {
        let its_parent = world.parent(child).expect("attached");
        frame.id = 1_000_000 + child as u64;
        world.say(child, its_parent, &frame);
        world.run_for(seconds(2));
        let refused = seen.borrow().iter().any(|(from, to, answer)| {
            (*from, *to, answer.id) == (its_parent, child, frame.id)
                && matches!(&answer.message, Message::Refused(refused) if refused.reason == 4)
        });
        assert!(refused, "child {child}, parent {its_parent} of {parent}");
        replays += 1;
    }
    assert_eq!(replays, 3);
}

/// Goal: a child that attaches again and again makes its parent hold no more than one deadline for it.
/// Method: the same attach a thousand times; the parent's state is counted in its debug text.
#[test]
fn attaching_over_and_over_costs_the_parent_one_deadline() {
    let mut world = network(6, 1, 1, 1);
    let attach: Rc<RefCell<Option<Frame>>> = Rc::default();
    let log = Rc::clone(&attach);
    world.tamper = Some(Box::new(move |from, _, frame| {
        if from == 1 && matches!(frame.message, Message::Attach(_)) {
            *log.borrow_mut() = Some(frame.clone());
        }
        Some(frame)
    }));
    world.run_for(seconds(310));
    let frame = attach.borrow().clone().expect("the attachment was renewed");
    for _ in 0..200 {
        world.say(1, 0, &frame);
        world.run_for(Duration::from_millis(1));
    }
    world.run_for(seconds(1));
    assert_eq!(world.overlay(0).counters().children, 1);
    assert_eq!(format!("{:?}", world.overlay(0)).matches("Child(PeerId").count(), 1);
}

/// Goal: answers to nothing, answers of another kind, requests in any order and frames of later
/// versions break nothing. Method: all of them between all peers, then the usual work.
#[test]
fn frames_that_make_no_sense_break_nothing() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 3, 2, 2);
        let (held, _) = world.authority.held("alice");
        world.register(3, held);
        let key = Key::from_bytes([seed as u8; 32]);
        let digest = Digest::from_bytes([1; 32]);
        let odd = |number: u64| match number % 14 {
            0 => Message::Hints(Hints { hints: Vec::new(), shared: None, there: Known::default() }),
            1 => Message::Got(Got { records: Vec::new(), closer: Vec::new(), passed_over: false }),
            2 => Message::PutDone(PutDone { results: Vec::new(), others: Vec::new() }),
            3 => Message::Registered(Registered { of: 0, acknowledgements: Vec::new() }),
            4 => {
                let (records, hops, source) = (Vec::new(), 255, 77);
                Message::Resolved(Resolved {
                    status: 9,
                    records,
                    hops,
                    source,
                    denials: 255,
                    storers: 0,
                    trace: vec![],
                })
            }
            5 => Message::Unknown { kind: 77 },
            6 => Message::Unknown { kind: 128 },
            7 => Message::Unknown { kind: 9_999 },
            8 => Message::Closest(Closest {
                key,
                count: 255,
                known: Known::default(),
                remembered: Known::default(),
            }),
            9 => Message::Get(Get { key, known: Known::default() }),
            10 => Message::Put(Put { records: Vec::new() }),
            11 => Message::Resolve(Resolve { key, flags: 255 }),
            12 => Message::Reject(Reject { key, digest, reason: 200, newer: None }),
            _ => Message::Leave(Leave { unix_time: 0, signature: [0; 64] }),
        };
        for number in 0..200_u64 {
            let child = 3 + (number as usize / 14) % 2;
            let parent = world.parent(child).expect("attached");
            let (from, to) = if number % 2 == 0 { (parent, child) } else { (child, parent) };
            world.say(from, to, &Frame { id: world_id(number), message: odd(number / 2) });
            world.run_for(Duration::from_millis(1));
        }
        world.run_for(seconds(10));
        assert_eq!(world.resolve(4, "alice").devices.len(), 1, "seed {seed}");
    }
}

/// Ids that may meet requests under way, and some that can't.
fn world_id(number: u64) -> u64 {
    if number.is_multiple_of(3) { u64::MAX - number } else { number % 40 }
}

/// Goal: an answer of the wrong kind ends a request like silence. Method: every answer to a get, put or
/// resolve is replaced by another kind; commands are answered; after that all works.
#[test]
fn answers_of_another_kind_are_no_answers() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 3, 2, 3);
        world.tamper = Some(Box::new(|_, _, mut frame| {
            match frame.message {
                Message::Got(_) | Message::PutDone(_) => {
                    frame.message =
                        Message::Hints(Hints { hints: Vec::new(), shared: None, there: Known::default() });
                }
                Message::Resolved(_) | Message::Registered(_) => {
                    let result = PutResult { signature: None, refused: None, newer: None };
                    frame.message = Message::PutDone(PutDone { results: vec![result], others: Vec::new() });
                }
                _ => {}
            }
            Some(frame)
        }));
        for index in 0..5 {
            let (held, _) = world.authority.held(&format!("name-{index}"));
            assert!(matches!(world.ask(index, Command::Register(Box::new(held))), Reply::Failed(_)));
            assert!(matches!(world.try_resolve(index, "nobody", false), Reply::Failed(_)));
        }
        world.tamper = None;
        world.run_for(seconds(90));
        for index in 0..5 {
            assert_eq!(world.resolve(4 - index, &format!("name-{index}")).devices.len(), 1, "seed {seed}");
        }
    }
}

/// Goal: bytes from a peer never panic. Method: frames of a run, changed in one or two places and cut
/// short; those that can still be read are said.
#[test]
fn changed_frames_never_panic() {
    let mut world = network(7, 3, 2, 2);
    let seen: Log<Vec<u8>> = Rc::default();
    let log = Rc::clone(&seen);
    world.tamper = Some(Box::new(move |from, to, frame| {
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        log.borrow_mut().push((from, to, bytes));
        Some(frame)
    }));
    let (held, _) = world.authority.held("alice");
    world.register(3, held);
    assert!(!world.resolve(4, "alice").devices.is_empty());
    world.tamper = None;
    let frames = seen.borrow().clone();
    let (mut read, mut kinds) = (0, BTreeSet::new());
    for round in 0..3_000 {
        let (from, to, bytes) = &frames[round % frames.len()];
        let mut bytes = bytes.clone();
        for _ in 0..=round % 2 {
            let at = world.random() as usize % bytes.len();
            bytes[at] = world.random() as u8;
        }
        if round % 7 == 0 {
            bytes.truncate(world.random() as usize % bytes.len());
        }
        let Ok(frame) = Frame::read(bytes.into()) else { continue };
        if matches!(frame.message, Message::Open(_)) || world.parent(3).is_none() {
            world.run_for(seconds(1));
            continue;
        }
        (read, _) = (read + 1, kinds.insert(frame.message.kind()));
        if world.linked(*from, *to) {
            world.say(*from, *to, &frame);
        }
        world.run_for(Duration::from_millis(1));
    }
    assert!(read > 100 && kinds.len() > 8, "{read} of {kinds:?}");
    world.run_for(seconds(60));
    assert_eq!(world.resolve(4, "alice").devices.len(), 1);
}
