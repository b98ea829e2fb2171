//! Children, their parents and standbys: probing, fail-over, silence, lies of a parent, presence.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use callbook_overlay::Username;
use callbook_overlay::api::{Command, Failure, How, Parallelism, Presence, Reply};
use callbook_overlay::key::Key;
use callbook_overlay::limits::{RELUCTANT_FROM, REQUEST_TIMEOUT, RESERVATION_LIFE_MAX};
use callbook_overlay::wire::{Frame, Message, Reason, Refused, Resolve};

use crate::network::network;
use crate::world::World;

const SEEDS: u64 = 6;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Indexes of a child's standbys among the first `superpeers` peers.
fn standbys(world: &mut World, child: usize, superpeers: usize) -> Vec<usize> {
    let Reply::Status(status) = world.ask(child, Command::Status) else { panic!("no status") };
    let peers: Vec<_> = status.standbys.iter().map(|standby| standby.peer).collect();
    (0..superpeers).filter(|index| peers.contains(&world.peer(*index))).collect()
}

fn resolve_fresh(world: &mut World, index: usize, name: &str) -> callbook_overlay::api::CommandId {
    let username = Username::parse(name).expect("a name");
    world.tell(index, Command::Resolve { username, how: How { fresh: true, ..How::default() } })
}

/// How many attachments the superpeers of a world count.
fn attachments(world: &World, superpeers: impl Iterator<Item = usize>) -> u64 {
    superpeers.map(|index| world.overlay(index).counters().children).sum()
}

/// Goal: a child that starts is attached after a dial and two or three round trips. Method: links of the
/// world take up to 41 ms a way and a dial 21; a child that knows many superpeers.
#[test]
fn a_child_is_attached_soon_after_its_start() {
    for seed in 0..4 * SEEDS {
        let mut world = network(seed, 6, 0, 3);
        let child = world.add(false);
        world.start(child, &[0, 1, 2, 3, 4, 5]);
        world.run_for(millis(21 + 41 + 30 + 82 + 5));
        assert!(world.parent(child).is_some(), "seed {seed}");
        assert!(world.overlay(child).counters().asked.attach == 1, "seed {seed}");
    }
}

/// Goal: the login server's superpeer serves children only as long as few others are there (DESIGN §5). Method: a
/// network of it alone, then of so many others that it need not; a child that knows it alone is attached to it, and
/// later to one of the others, whom it names.
#[test]
fn the_login_servers_superpeer_takes_children_only_where_few_others_are() {
    for seed in 0..SEEDS {
        for others in [RELUCTANT_FROM - 1, RELUCTANT_FROM] {
            let mut world = network(seed, 1, 0, 3);
            let first = world.add(false);
            world.start(first, &[0]);
            world.run_for(seconds(5));
            assert_eq!(world.parent(first), Some(0), "seed {seed}: alone it serves");
            let more: Vec<usize> = (0..others).map(|_| world.add(true)).collect();
            more.iter().for_each(|index| world.start(*index, &[0]));
            world.run_for(seconds(20));
            let child = world.add(false);
            world.start(child, &[0]);
            world.run_for(seconds(10));
            let parent = world.parent(child).expect("a parent");
            assert!(others < RELUCTANT_FROM || parent != 0, "seed {seed}, {others} others");
            let counters = world.overlay(0).counters();
            assert_eq!(counters.refused.busy > 0, others == RELUCTANT_FROM, "seed {seed}");
            let (served, denied) = (&counters.served, &counters.denied);
            assert_eq!(
                denied.attach + denied.reserve,
                counters.refused.busy,
                "seed {seed}: each by its kind"
            );
            assert!(denied.attach <= served.attach && denied.get == 0, "seed {seed}");
        }
    }
}

/// Goal: a child whose parent has no place any more goes to a standby, to the other one if the first is gone, and is
/// never without a parent. Method: the parent refuses to renew the attachment and names nobody; both standbys are
/// there, or one of them.
#[test]
fn a_child_whose_parent_has_no_place_any_more_asks_one_standby_after_the_other() {
    for seed in 0..SEEDS {
        for dead in 0..2 {
            let mut world = network(seed, 6, 1, 3);
            world.run_for(seconds(20));
            let (parent, standby) = (world.parent(6).expect("attached"), standbys(&mut world, 6, 6));
            assert_eq!(standby.len(), 2, "seed {seed}");
            let lost = world.overlay(6).counters().failovers;
            world.tamper = Some(Box::new(move |from, _, mut frame| {
                if from == parent && matches!(frame.message, Message::Attached(_)) {
                    let (reason, candidates) = (Reason::Busy.to_wire(), Vec::new());
                    let refused = Refused { reason, retry_after: None, candidates, newer: None };
                    frame.message = Message::Refused(refused);
                }
                Some(frame)
            }));
            // The standbys are asked in the order in which they are kept; whichever is gone, the other one is there.
            world.run_for(seconds(270));
            let gone = standby[seed as usize % 2];
            if dead == 1 {
                world.crash(gone);
            }
            // The child may notice before that the one that is gone keeps no place any more, and find another.
            let (mut without, mut standby) = (0, standby);
            for _ in 0..60 {
                if world.parent(6) == Some(parent) {
                    standby = standbys(&mut world, 6, 6);
                }
                world.run_for(seconds(1));
                without += usize::from(world.parent(6).is_none());
            }
            let next = world.parent(6).expect("a parent");
            assert!(next != parent && without == 0, "seed {seed}: {without} s without a parent");
            assert!(standby.contains(&next) && (dead == 0 || next != gone), "seed {seed}: {next}");
            assert_eq!(world.overlay(6).counters().failovers, lost, "seed {seed}");
        }
    }
}

/// Goal: a parent's crash costs a child one step: a standby is its parent, and others find it there.
/// Method: crash the parent; no more is asked than the two standbys.
#[test]
fn a_standby_takes_the_place_of_a_parent_that_crashed() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 2, 3);
        let (held, _) = world.authority.held("alice");
        world.register(6, held);
        world.run_for(seconds(2));
        let (parent, standby) = (world.parent(6).expect("attached"), standbys(&mut world, 6, 6));
        assert_eq!(standby.len(), 2, "seed {seed}");
        let asked = world.overlay(6).counters().asked.attach;
        world.crash(parent);
        world.run_for(millis(400));
        let next = world.parent(6).unwrap_or_else(|| panic!("seed {seed}: no parent"));
        assert!(standby.contains(&next), "seed {seed}");
        let counters = world.overlay(6).counters();
        assert_eq!((counters.asked.attach - asked, counters.failovers), (2, 1), "seed {seed}");
        world.run_for(seconds(2));
        let Reply::Resolved(found) = world.try_resolve(7, "alice", true) else { panic!("seed {seed}") };
        assert_eq!(found.devices[0].payload.parent, Some(world.peer(next)), "seed {seed}");
        // The one that was not needed keeps its place for us, and another one was found.
        world.run_for(seconds(5));
        assert_eq!(standbys(&mut world, 6, 6).len(), 2, "seed {seed}");
    }
}

/// Goal: what a parent was asked for when it died is asked of the next one at once, not when a dial to the
/// dead one has failed. Method: a look-up and a registration are on their way; a dial of the dead parent
/// takes longer than is waited here. The put waits for a storer that may be the dead parent, as long as
/// for any request.
#[test]
fn what_a_dead_parent_was_asked_for_goes_to_the_next_one_at_once() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 2, 3);
        world.conditions.dial_timeout = seconds(5);
        let (held, _) = world.authority.held("alice");
        world.register(7, held);
        world.run_for(seconds(5));
        let parent = world.parent(6).expect("attached");
        let look_up = resolve_fresh(&mut world, 6, "alice");
        let (held, _) = world.authority.held("bob");
        let registration = world.tell(6, Command::Register(Box::new(held)));
        world.crash_unanswering(parent);
        world.run_for(seconds(1));
        match world.reply(look_up) {
            Some(Reply::Resolved(found)) => assert_eq!(found.devices.len(), 1, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
        world.run_for(REQUEST_TIMEOUT);
        let registered = world.reply(registration);
        assert!(matches!(registered, Some(Reply::Registered(_))), "seed {seed}: {registered:?}");
    }
}

/// Goal: however many standbys answer, a child has one attachment. Method: many children, a parent that
/// crashes; those who are left count their children.
#[test]
fn a_race_of_two_standbys_leaves_one_attachment() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 5, 12, 3);
        world.run_for(seconds(2));
        let parent = world.parent(5).expect("attached");
        world.crash(parent);
        world.run_for(seconds(3));
        let count = attachments(&world, (0..5).filter(|index| *index != parent));
        assert_eq!(count, 12, "seed {seed}");
        for child in 5..17 {
            assert!(world.parent(child).is_some_and(|next| next != parent), "seed {seed}");
        }
    }
}

/// Goal: a parent that does not say a word is left after 200 ms or four round trips, and the look-up
/// under way is answered by a standby. Method: all that the parent says to the child is lost.
#[test]
fn a_silent_parent_is_left_for_a_standby() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 6, 2, 3);
        let (held, _) = world.authority.held("alice");
        world.register(7, held);
        world.run_for(seconds(5));
        let parent = world.parent(6).expect("attached");
        world.tamper = Some(Box::new(move |from, to, frame| ((from, to) != (parent, 6)).then_some(frame)));
        let command = resolve_fresh(&mut world, 6, "alice");
        world.run_for(millis(1_200));
        match world.reply(command) {
            Some(Reply::Resolved(found)) => assert_eq!(found.devices.len(), 1, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
        assert_ne!(world.parent(6), Some(parent), "seed {seed}");
        assert_eq!(world.overlay(6).counters().failovers, 1, "seed {seed}");
        world.run_for(seconds(1));
        assert_eq!(attachments(&world, 0..6), 2, "seed {seed}");
    }
}

/// Goal: a parent that takes long but says so is kept. Method: no storer's answer arrives, so that the
/// parent can't answer; with its word that it is at work it stays, without it (control) it does not.
#[test]
fn a_slow_parent_that_says_so_is_kept() {
    for seed in 0..SEEDS {
        for says_so in [true, false] {
            let mut world = network(seed, 6, 1, 3);
            world.run_for(seconds(5));
            let parent = world.parent(6).expect("attached");
            world.tamper = Some(Box::new(move |_, _, frame| {
                let lost = match &frame.message {
                    Message::Got(_) => true,
                    Message::Working(_) => !says_so,
                    _ => false,
                };
                (!lost).then_some(frame)
            }));
            let _command = resolve_fresh(&mut world, 6, "nobody");
            world.run_for(millis(1_500));
            let kept = world.parent(6) == Some(parent);
            assert_eq!(kept, says_so, "seed {seed}");
            assert_eq!(world.overlay(6).counters().parents_silent == 0, says_so, "seed {seed}");
        }
    }
}

/// Goal: whoever speaks first, parent or standby, there is one attachment in the end, and the look-up is
/// answered. Method: the parent gets no answers from storers, and its word that it is at work is lost
/// for a little longer each time.
#[test]
fn a_parent_that_speaks_again_in_the_middle_leaves_one_attachment() {
    let mut outcomes = [0, 0, 0];
    for seed in 0..46 {
        let mut world = network(seed, 4, 1, 2);
        world.run_for(seconds(5));
        let parent = world.parent(4).expect("attached");
        let mute = Rc::new(Cell::new(true));
        let muted = Rc::clone(&mute);
        world.tamper = Some(Box::new(move |from, to, frame| {
            let lost = match &frame.message {
                Message::Got(_) => to == parent,
                Message::Working(_) => muted.get() && from == parent,
                _ => false,
            };
            (!lost).then_some(frame)
        }));
        let command = resolve_fresh(&mut world, 4, "nobody");
        world.run_for(millis(60 + seed * 10));
        mute.set(false);
        world.run_for(seconds(12));
        assert!(matches!(world.reply(command), Some(Reply::Resolved(_) | Reply::Failed(_))), "seed {seed}");
        assert_eq!(attachments(&world, 0..4), 1, "seed {seed}");
        let moved = world.parent(4) != Some(parent);
        let asked = world.overlay(4).counters().parents_silent > 0;
        outcomes[usize::from(moved) + usize::from(asked)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 0), "kept, asked and kept, moved: {outcomes:?}");
}

/// Goal: when a full parent dies, all its children find a place and nobody takes more than it may.
/// Method: small superpeers; the one with most children dies.
#[test]
fn the_children_of_a_full_parent_find_places_within_the_caps() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        world.children_max = 8;
        (0..25).for_each(|index| assert_eq!(world.add(index < 5), index));
        for index in 0..5 {
            world.start(index, &[0]);
        }
        world.run_for(seconds(10));
        (5..25).for_each(|index| world.start(index, &[0, 1, 2, 3, 4]));
        world.run_for(seconds(20));
        let children: Vec<u64> = (0..5).map(|index| world.overlay(index).counters().children).collect();
        assert_eq!(children.iter().sum::<u64>(), 20, "seed {seed}: {children:?}");
        assert!(
            children.iter().all(|count| *count <= 6),
            "seed {seed}: newcomers leave a quarter: {children:?}"
        );
        let fullest = (0..5).max_by_key(|index| children[*index]).expect("one of them");
        world.crash(fullest);
        for _ in 0..40 {
            world.run_for(millis(500));
            for index in (0..5).filter(|index| *index != fullest) {
                assert!(world.overlay(index).counters().children <= 8, "seed {seed}");
            }
        }
        assert_eq!(attachments(&world, (0..5).filter(|index| *index != fullest)), 20, "seed {seed}");
        for child in 5..25 {
            assert!(world.parent(child).is_some(), "seed {seed}: {child}");
        }
    }
}

/// Goal: who is full names others. Method: each superpeer takes one child; all children are told of the
/// same superpeer only.
#[test]
fn a_full_superpeer_leads_to_others() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 3, Parallelism::Hedged);
        world.children_max = 1;
        (0..8).for_each(|index| assert_eq!(world.add(index < 4), index));
        (0..4).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(10));
        (4..8).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(15));
        for child in 4..8 {
            assert!(world.parent(child).is_some(), "seed {seed}: {child}");
        }
        assert!((0..4).all(|index| world.overlay(index).counters().children == 1), "seed {seed}");
    }
}

/// Goal: a reservation ends by itself, and holds as long as it is renewed. Method: a child stays for
/// two hours and a half, in which it is renewed for ever longer, then its machine is gone.
#[test]
fn a_reservation_is_renewed_and_runs_out() {
    let mut world = network(3, 4, 1, 2);
    let reserved =
        |world: &World| -> u64 { (0..4).map(|index| world.overlay(index).counters().reservations).sum() };
    let mut dials = Vec::new();
    for _ in 0..30 {
        world.run_for(seconds(300));
        assert_eq!((reserved(&world), world.overlay(4).counters().standbys), (2, 2));
        assert_eq!(attachments(&world, 0..4), 1);
        dials.push(world.dials.iter().filter(|(from, _)| *from == 4).count());
    }
    // Each of the two is dialled at 5, 15, 35 and 75 minutes, then every 40.
    assert!((5..=8).contains(&(dials[29] - dials[5])), "{dials:?}");
    world.vanish(4);
    world.run_for(seconds(601));
    assert_eq!(attachments(&world, 0..4), 0);
    world.run_for(RESERVATION_LIFE_MAX - seconds(600));
    assert_eq!(reserved(&world), 0);
}

/// A network where the parent of the last child denies every name.
fn lied_to(seed: u64, with_standbys: bool) -> World {
    let mut world = World::new(seed, 3, Parallelism::Hedged);
    (0..8).for_each(|index| assert_eq!(world.add(index < 6), index));
    (0..6).for_each(|index| world.start(index, &[0]));
    world.run_for(seconds(10));
    if !with_standbys {
        world.tamper =
            Some(Box::new(|_, _, frame| (!matches!(frame.message, Message::Reserve(_))).then_some(frame)));
    }
    (6..8).for_each(|index| world.start(index, &[0, 1]));
    world.run_for(seconds(3));
    let parent = world.parent(7).expect("attached");
    let (held, _) = world.authority.held("alice");
    world.register(6, held);
    world.tamper = Some(Box::new(move |from, to, mut frame| {
        if let (Message::Resolved(resolved), true) = (&mut frame.message, (from, to) == (parent, 7)) {
            resolved.status = 1;
            resolved.records.clear();
            resolved.denials = 3;
        }
        (with_standbys || !matches!(frame.message, Message::Reserve(_))).then_some(frame)
    }));
    world
}

/// Goal: a parent can't hide a name. Method: it denies all; with standbys the name is found, without
/// (control) the lie is believed.
#[test]
fn a_parent_that_denies_a_name_is_not_believed() {
    for seed in 0..SEEDS {
        for with_standbys in [true, false] {
            let mut world = lied_to(seed, with_standbys);
            match world.try_resolve(7, "alice", true) {
                Reply::Resolved(found) => {
                    assert_eq!(found.devices.len(), usize::from(with_standbys), "seed {seed}");
                }
                other => panic!("seed {seed}: {other:?}"),
            }
            // What nobody has is absent all the same.
            assert!(world.resolve(7, "nobody").devices.is_empty(), "seed {seed}");
            let refuted = world.overlay(7).counters().absences_refuted;
            assert_eq!(refuted, u64::from(with_standbys), "seed {seed}");
        }
    }
}

/// Goal: an absence that nobody can confirm is unknown. Method: standbys that were there don't answer.
#[test]
fn an_absence_that_no_standby_confirms_is_unknown() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 5, 1, 3);
        world.run_for(seconds(3));
        let parent = world.parent(5).expect("attached");
        assert!(world.resolve(5, "nobody").devices.is_empty(), "seed {seed}");
        world.tamper = Some(Box::new(move |from, to, frame| {
            (to != 5 || from == parent || !matches!(frame.message, Message::Resolved(_))).then_some(frame)
        }));
        match world.try_resolve(5, "nobody", true) {
            Reply::Failed(Failure::Timeout { .. }) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
        assert_eq!(world.parent(5), Some(parent), "seed {seed}");
    }
}

/// Goal: a child looks whether its name is where the parent says it is. Method: standbys find it, then
/// deny it: it is published again.
#[test]
fn a_child_checks_its_own_names_through_a_standby() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 5, 1, 3);
        let (held, _) = world.authority.held("alice");
        world.register(5, held);
        world.run_for(seconds(5));
        let counters = world.overlay(5).counters();
        assert_eq!((counters.self_checks_ok, counters.self_checks_failed), (1, 0), "seed {seed}");
        assert_eq!((counters.registered.ok, counters.renewed.ok), (1, 0), "seed {seed}");
        world.tamper = Some(Box::new(move |_, to, mut frame| {
            if let (Message::Resolved(resolved), 5) = (&mut frame.message, to) {
                resolved.status = 1;
                resolved.records.clear();
            }
            Some(frame)
        }));
        world.run_for(seconds(960));
        let counters = world.overlay(5).counters();
        assert!(counters.self_checks_failed >= 1 && counters.self_checks_failed <= 7, "seed {seed}");
        let published = (counters.registered.ok, counters.renewed.ok);
        assert_eq!(published, (1, counters.self_checks_failed), "seed {seed}");
    }
}

/// Goal: a parent can't pass off one storer for all. Method: it claims that there is one, and shows its
/// word only.
#[test]
fn a_parent_that_claims_one_storer_is_not_believed() {
    for (seed, lies) in [(1, true), (2, true), (3, false)] {
        let mut world = network(seed, 5, 1, 3);
        world.run_for(seconds(12));
        world.tamper = Some(Box::new(move |_, _, mut frame| {
            if let (Message::Registered(registered), true) = (&mut frame.message, lies) {
                registered.of = 1;
                registered.acknowledgements.truncate(1);
            }
            Some(frame)
        }));
        let (held, _) = world.authority.held("alice");
        let registered = matches!(world.ask(5, Command::Register(Box::new(held))), Reply::Registered(_));
        assert_eq!(registered, !lies, "seed {seed}");
    }
}

/// Goal: superpeers resolve for their children, not for anybody. Method: a peer whose attachments are
/// lost on the way asks all the same; what a child asks (control) is served.
#[test]
fn a_stranger_is_not_resolved_for() {
    for stranger in [true, false] {
        let mut world = network(4, 3, 0, 2);
        let answers: Rc<RefCell<Vec<Message>>> = Rc::default();
        let log = Rc::clone(&answers);
        let id = 7_000_000;
        world.tamper = Some(Box::new(move |_, to, frame| {
            if (frame.id, to) == (id, 3) {
                log.borrow_mut().push(frame.message.clone());
            }
            let asks = matches!(frame.message, Message::Attach(_) | Message::Reserve(_));
            (!(asks && stranger)).then_some(frame)
        }));
        let child = world.add(false);
        world.start(child, &[0, 1, 2]);
        world.run_for(seconds(2));
        let to = (0..3).find(|index| world.linked(child, *index)).expect("it has dialled some");
        let message = Message::Resolve(Resolve { key: Key::from_bytes([1; 32]), flags: 0 });
        world.say(child, to, &Frame { id, message });
        world.run_for(seconds(1));
        let answers = answers.borrow();
        let served = answers.iter().any(|answer| matches!(answer, Message::Resolved(_)));
        assert_eq!(served, !stranger, "{answers:?}");
    }
}

fn presence(world: &mut World, index: usize, (parent, peer): (usize, usize)) -> Presence {
    let (parent, peer) = (world.peer(parent), world.peer(peer));
    match world.ask(index, Command::Presence { parent, peer }) {
        Reply::Presence(presence) => presence,
        other => panic!("{other:?}"),
    }
}

/// Goal: a parent tells of its children: there, gone with a goodbye, gone without a word. Method: asked
/// by another child, by the parent itself, by another superpeer, and by the child.
#[test]
fn presence_is_online_then_offline_or_unknown() {
    for seed in 0..SEEDS {
        let mut world = network(seed, 4, 3, 2);
        world.run_for(seconds(2));
        for (child, leaves) in [(4, true), (5, false)] {
            let parent = world.parent(child).expect("attached");
            let askers = [6, parent, (parent + 1) % 4];
            for asker in askers.iter().chain([&child]) {
                let told = presence(&mut world, *asker, (parent, child));
                assert!(matches!(told, Presence::Online { .. }), "seed {seed}, from {asker}: {told:?}");
            }
            let left = world.unix();
            if leaves {
                assert!(matches!(world.ask(child, Command::Leave), Reply::Done));
                world.run_for(millis(100));
                world.crash(child);
            } else {
                world.vanish(child);
                world.run_for(seconds(45));
            }
            let others: Vec<usize> = [5, 6].into_iter().filter(|other| *other != child).collect();
            let others = others.iter().filter(|other| world.parent(**other) == Some(parent)).count();
            assert_eq!(world.overlay(parent).counters().children, others as u64, "seed {seed}");
            for asker in askers {
                match (presence(&mut world, asker, (parent, child)), leaves) {
                    (Presence::Offline { since }, true) if since == left => {}
                    (Presence::Unknown, false) => {}
                    other => panic!("seed {seed}, from {asker}: {other:?}"),
                }
            }
            // A superpeer that has never been its parent knows nothing.
            let stranger = (parent + 1) % 4;
            assert_eq!(presence(&mut world, 6, (stranger, child)), Presence::Unknown, "seed {seed}");
        }
    }
}

/// Goal: nobody but the parent can tell of a child, and the parent only with the child's own word.
/// Method: answers are changed on their way, one part at a time; unchanged (control) they are believed.
#[test]
fn a_forged_presence_is_unknown() {
    for forgery in 0..6 {
        let mut world = network(5, 4, 3, 2);
        world.run_for(seconds(2));
        let parent = world.parent(4).expect("attached");
        let other = (0..4).find(|index| *index != parent).expect("another one");
        world.tamper = Some(Box::new(move |_, _, mut frame| {
            if let Message::PresenceTold(told) = &mut frame.message {
                match forgery {
                    1 => told.signature = [0; 64],
                    2 => told.child_signature = [0; 64],
                    3 => told.attachment.0 = bytes::Bytes::new(),
                    4 => {
                        // Another child's body under this one's name.
                        let mut body = told.body.0.to_vec();
                        body[6] ^= 1;
                        told.body.0 = body.into();
                    }
                    5 => return None,
                    _ => {}
                }
            }
            Some(frame)
        }));
        let told = presence(&mut world, 6, (parent, 4));
        assert_eq!(matches!(told, Presence::Online { .. }), forgery == 0, "forgery {forgery}: {told:?}");
        let told = presence(&mut world, other, (parent, 4));
        assert_eq!(matches!(told, Presence::Online { .. }), forgery == 0, "forgery {forgery}: {told:?}");
        let counted = world.overlay(6).counters().presence;
        assert_eq!(counted.online, u64::from(forgery == 0));
    }
}
