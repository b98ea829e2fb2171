//! Superpeers know each other: who joins, leaves, dies, is slandered or lost for a while.
//!
//! *Not here*: what they store (`moving`), their children.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use callbook_overlay::api::{Address, Command, Hellos, Parallelism, Relation, Reply};
use callbook_overlay::certificate::NODE_LIFE;
use callbook_overlay::key::PeerId;
use callbook_overlay::limits::{
    BAD_HINTS_MAX, GONE_FOR, GROUP_NARROW_MAX, IDLE_CLOSE_SUPERPEER, UNVERIFIED_DIALS_BURST,
    UNVERIFIED_DIALS_PER_SEC,
};
use callbook_overlay::network::Scope;
use callbook_overlay::sign::{SecretKey, Signer, Tag, to_sign};
use callbook_overlay::wire::{Brief, Briefs, Frame, Hello, Hint, Message, Statement};

use crate::world::{Authority, Tamper, World};

const SEEDS: u64 = 3;

/// Few streams, so that most superpeers have none to each other.
const FEW: Option<(usize, usize)> = Some((4, 4));

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many superpeers that were told of the first one only, after four minutes: with few streams, and
/// so few hellos, gossip is slow.
fn superpeers(seed: u64, count: usize, streams: Option<(usize, usize)>) -> World {
    superpeers_that_say_hello(seed, count, streams, Hellos::Stretching)
}

fn superpeers_that_say_hello(
    seed: u64,
    count: usize,
    streams: Option<(usize, usize)>,
    hellos: Hellos,
) -> World {
    let mut world = World::new(seed, 3, Parallelism::Hedged);
    (world.streams, world.hellos) = (streams, hellos);
    (0..count).for_each(|index| assert_eq!(world.add(true), index));
    (0..count).for_each(|index| world.start(index, &[0]));
    world.run_for(seconds(240));
    world
}

/// The superpeers that know `about`.
fn who_knows(world: &mut World, about: usize, among: impl Iterator<Item = usize>) -> Vec<usize> {
    let peer = world.peer(about);
    let knows = |index: &usize| match world.ask(*index, Command::Peers) {
        Reply::Peers(peers) => {
            peers.iter().any(|other| other.peer == peer && other.relation == Relation::Superpeer)
        }
        other => panic!("{other:?}"),
    };
    among.filter(knows).collect()
}

fn all_but(count: usize, one: usize) -> impl Iterator<Item = usize> + Clone {
    (0..count).filter(move |index| *index != one)
}

/// What a hello that is on its way says may be changed.
fn in_hellos(mut change: impl FnMut(usize, usize, &mut Hello) + 'static) -> Option<Tamper> {
    Some(Box::new(move |from, to, mut frame| {
        if let Message::Hello(hello) | Message::HelloBack(hello) = &mut frame.message {
            change(from, to, hello);
        }
        Some(frame)
    }))
}

/// The node key of a peer of the world.
fn node_key(index: usize) -> SecretKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(index as u64 + 1).to_be_bytes());
    SecretKey::from_seed(seed)
}

fn statement(world: &World, about: usize, alive: bool, key: &SecretKey) -> Statement {
    let (peer, unix_time) = (world.peer(about), world.unix().as_secs());
    let body = [peer.as_bytes().as_slice(), &unix_time.to_be_bytes()].concat();
    let tag = if alive { Tag::Alive } else { Tag::Leave };
    let signature = key.sign(&to_sign(tag, &world.authority.network.id, &body));
    Statement { peer, unix_time, alive, signature }
}

/// Goal: superpeers come to know all others, though each was told of one only and has streams to few.
/// Method: thirty that start at once, with the usual number of streams and with few.
#[test]
fn superpeers_that_start_from_one_seed_know_each_other() {
    for seed in 0..SEEDS {
        for streams in [None, FEW] {
            let world = superpeers(seed, 30, streams);
            for index in 0..30 {
                let counters = world.overlay(index).counters();
                assert_eq!(counters.superpeers, 30, "seed {seed}, {streams:?}, at {index}");
                assert!(streams.is_none() || counters.links < 29, "seed {seed}, at {index}");
            }
        }
    }
}

/// Goal: a goodbye reaches also those who have no link, within seconds; who comes back is known again.
/// Method: one of thirty leaves; then it starts again from its disk. Control: without rumours in hellos some know it still.
#[test]
fn one_that_leaves_is_gone_from_all_maps_until_it_comes_back() {
    const LEAVER: usize = 7;
    for seed in 0..SEEDS {
        let mut kept = Vec::new();
        for control in [false, true] {
            let mut world = superpeers(seed, 30, FEW);
            let strangers = all_but(30, LEAVER).filter(|index| !world.linked(*index, LEAVER)).count();
            assert!(strangers > 5, "seed {seed}: too many links to tell anything");
            if control {
                world.tamper = in_hellos(|_, _, hello| {
                    hello.statements.clear();
                    hello.suspects = Briefs::default();
                });
            }
            assert!(matches!(world.ask(LEAVER, Command::Leave), Reply::Done));
            world.run_for(seconds(1));
            world.crash(LEAVER);
            world.run_for(seconds(29));
            kept.push(who_knows(&mut world, LEAVER, all_but(30, LEAVER)).len());
            if !control {
                world.start(LEAVER, &[]);
                world.run_for(seconds(60));
                let knows = who_knows(&mut world, LEAVER, all_but(30, LEAVER));
                assert_eq!(knows.len(), 29, "seed {seed}: {knows:?} only");
                assert_eq!(world.overlay(LEAVER).counters().superpeers, 30, "seed {seed}");
            }
        }
        assert!(kept[0] == 0 && kept[1] > 1, "seed {seed}: {kept:?}");
    }
}

/// Goal: who dies and is back before all have heard of its death is known to all again, without denying what was true.
/// Method: one of thirty vanishes and starts again while its death gets around; who hears of it is counted. Control: slandered
/// later, within the five minutes in which it greets as one that is back, it does deny it.
#[test]
fn one_that_is_back_while_its_death_is_told_denies_nothing() {
    const VICTIM: usize = 7;
    let mut heard = 0;
    for seed in 0..2 * SEEDS {
        let mut world = superpeers(seed, 30, FEW);
        world.crash(VICTIM);
        world.run_for(seconds(3));
        world.start(VICTIM, &[]);
        let (victim, told) = (Brief::of(&world.peer(VICTIM)), Rc::new(Cell::new(0)));
        let count = Rc::clone(&told);
        world.tamper = in_hellos(move |_, to, hello| {
            count.set(count.get() + usize::from(to == VICTIM && hello.suspects.0.contains(&victim)));
        });
        world.run_for(seconds(120));
        heard += told.get();
        assert_eq!(world.overlay(VICTIM).counters().refutations, 0, "seed {seed}");
        let knows = who_knows(&mut world, VICTIM, all_but(30, VICTIM));
        assert_eq!(knows.len(), 29, "seed {seed}: {knows:?} only");
        world.tamper = in_hellos(move |_, to, hello| {
            if to == VICTIM {
                hello.suspects = Briefs(vec![victim]);
            }
        });
        world.run_for(seconds(60));
        assert!(world.overlay(VICTIM).counters().refutations > 0, "seed {seed}: it let itself be slandered");
    }
    assert!(heard > 0, "it was never told that it is suspected");
}

/// Goal: slander removes nobody. Method: one superpeer tells in every hello that another has failed, or
/// that it leaves, without a signature of its own; hellos don't grow rare, so that there are some. Control: with the victim's signature it is believed.
#[test]
fn a_superpeer_that_is_slandered_stays() {
    const VICTIM: usize = 7;
    const LIAR: usize = 5;
    for seed in 0..SEEDS {
        let mut world = superpeers_that_say_hello(seed, 30, FEW, Hellos::Classic);
        let (victim, lie) = (world.peer(VICTIM), statement(&world, VICTIM, false, &node_key(LIAR)));
        world.tamper = in_hellos(move |from, _, hello| {
            if from == LIAR {
                hello.suspects = Briefs(vec![Brief::of(&victim)]);
                hello.statements = vec![lie.clone()];
            }
        });
        for _ in 0..20 {
            world.run_for(seconds(6));
            let knows = who_knows(&mut world, VICTIM, all_but(30, VICTIM));
            assert_eq!(knows.len(), 29, "seed {seed}: {knows:?}");
        }
        let bad = (0..30).map(|index| world.overlay(index).counters().bad_hints).sum::<u64>();
        assert!(bad > 0, "seed {seed}: nobody heard the lie");

        let word = statement(&world, VICTIM, false, &node_key(VICTIM));
        let said = Rc::new(Cell::new(0));
        let count = Rc::clone(&said);
        world.tamper = in_hellos(move |from, _, hello| {
            hello.statements.retain(|statement| !statement.alive);
            if from == LIAR {
                hello.statements = vec![word.clone()];
                count.set(count.get() + 1);
            }
        });
        let knew = (0..15).map(|_| {
            world.run_for(seconds(2));
            who_knows(&mut world, VICTIM, all_but(30, VICTIM)).len()
        });
        let least = knew.min();
        assert!(said.get() > 0 && least < Some(29), "seed {seed}: its own word is not believed");
    }
}

/// Goal: who was thought dead and lives says so and is back. Method: a superpeer has lost one (it was
/// told a wrong word of the victim, see above); the victim hears of it and denies it.
#[test]
fn a_denial_brings_a_superpeer_back() {
    const VICTIM: usize = 7;
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 20, FEW);
        let word = statement(&world, VICTIM, false, &node_key(VICTIM));
        let told = Rc::new(Cell::new(0));
        let count = Rc::clone(&told);
        world.tamper = in_hellos(move |_, to, hello| {
            if count.get() < 6 && to != VICTIM {
                hello.statements = vec![word.clone()];
                count.set(count.get() + 1);
            }
        });
        world.run_for(seconds(120));
        assert_eq!(told.get(), 6);
        let knows = who_knows(&mut world, VICTIM, all_but(20, VICTIM));
        assert_eq!(knows.len(), 19, "seed {seed}: {knows:?}");
        let heard: u64 = (0..20).map(|index| world.overlay(index).counters().statements_heard).sum();
        assert!(world.overlay(VICTIM).counters().refutations > 0, "seed {seed}: {heard} heard the word");
    }
}

/// Goal: a dead superpeer leaves every map and stays out, though somebody goes on naming it; finding
/// that out costs few dials. Method: one crashes or vanishes; one of the others puts its hint into all
/// its hellos for ten minutes.
#[test]
fn a_dead_superpeer_disappears_everywhere_and_does_not_come_back() {
    const DEAD: usize = 7;
    const STALE: usize = 5;
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 30, FEW);
        let (dead, hint) = (world.peer(DEAD), world.hint(DEAD).expect("a superpeer"));
        world.tamper = in_hellos(move |from, _, hello| {
            if from == STALE {
                hello.gossip.push(hint.clone());
                hello.news.0.push(Brief::of(&dead));
            }
        });
        world.run_for(seconds(30));
        if seed.is_multiple_of(2) {
            world.crash(DEAD)
        } else {
            world.vanish(DEAD)
        }
        world.run_for(seconds(180));
        world.dials.clear();
        for _ in 0..20 {
            let knows = who_knows(&mut world, DEAD, all_but(30, DEAD));
            assert!(knows.is_empty(), "seed {seed}: {knows:?}");
            world.run_for(seconds(30));
        }
        let dials = world.dials.iter().filter(|(_, peer)| *peer == dead).count() as u64;
        assert!(dials <= 29 * (600 / GONE_FOR.as_secs() + 600 / 15), "seed {seed}: {dials} dials");
        let told: u64 = all_but(30, DEAD).map(|index| world.overlay(index).counters().suspects_told).sum();
        assert!((1..=29).contains(&told), "seed {seed}: told {told} times");
    }
}

/// Goal: two halves of a network that lost each other for ten minutes find each other again, all of
/// them. Method: no frame crosses; the links between the halves die, and so do new ones; then all do.
#[test]
fn two_halves_find_each_other_again() {
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 16, Some((3, 3)));
        let parted = Rc::new(Cell::new(true));
        let cut = Rc::clone(&parted);
        world.tamper =
            Some(Box::new(move |from, to, frame| (!cut.get() || (from < 8) == (to < 8)).then_some(frame)));
        world.run_for(seconds(600));
        for index in 0..16 {
            let (half, known) =
                (if index < 8 { 0..8 } else { 8..16 }, world.overlay(index).counters().superpeers);
            assert_eq!(known, 8, "seed {seed}, at {index}");
            for other in half.filter(|other| *other != index) {
                assert_eq!(who_knows(&mut world, other, [index].into_iter()), [index], "seed {seed}");
            }
        }
        parted.set(false);
        world.run_for(seconds(90));
        for index in 0..16 {
            assert_eq!(world.overlay(index).counters().superpeers, 16, "seed {seed}, at {index}");
        }
    }
}

/// Goal: who asks for superpeers gets few of one address group on a global network. Method: most of
/// forty are in one /24; take a sample, and look at what a child is told. Control: on a local network
/// most of the sample is from there.
#[test]
fn seeds_and_candidates_are_spread_over_address_groups() {
    let crowd = |address: &Address| address.ip.to_string().starts_with("203.0.113.");
    let counted = move |hints: &[Hint]| hints.iter().filter(|hint| hint.addresses.iter().any(crowd)).count();
    for scope in [Scope::Global, Scope::Local] {
        let mut world = World::new(3, 3, Parallelism::Hedged);
        world.authority.network.scope = scope;
        for index in 0..40_u8 {
            world.add(true);
            let ip = if index < 30 { [203, 0, 113, index] } else { [198, index, index, 1] };
            world.set_address(usize::from(index), Address { ip: ip.into(), port: 1_000 });
        }
        world.add(false);
        (0..40).for_each(|index| world.start(index, &[0]));
        world.run_for(seconds(30));
        let (told, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (count, top) = (Rc::clone(&told), Rc::clone(&most));
        world.tamper = in_hellos(move |_, to, hello| {
            if to == 40 {
                count.set(count.get() + hello.gossip.len());
                // The first is the parent's own.
                let others = hello.gossip.get(1..).unwrap_or_default();
                top.set(top.get().max(counted(others)));
            }
        });
        world.start(40, &[0]);
        world.run_for(seconds(60));
        let Reply::Seeds(sample) = world.ask(0, Command::Sample { count: 20, within: seconds(300) }) else {
            panic!("no sample")
        };
        assert!(told.get() > 0);
        let sampled = counted(&sample[..sample.len() - 1]);
        if scope == Scope::Global {
            assert!(sampled <= GROUP_NARROW_MAX && sample.len() > 5, "{sampled} of {}", sample.len());
            assert!(most.get() <= GROUP_NARROW_MAX, "{} told", most.get());
        } else {
            assert!(sampled > GROUP_NARROW_MAX, "the control is too weak");
        }
    }
}

/// Goal: anchors are those that work, survive a restart and are dialled first. Method: look at the
/// disks after a while, crash a superpeer and start it again without seeds; the dials tell.
#[test]
fn anchors_are_written_restored_and_dialled_first() {
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 10, FEW);
        let child = world.add(false);
        world.start(child, &[0, 1]);
        world.run_for(seconds(30));
        let parent = world.parent(child).expect("attached");
        assert!(world.anchors(child).contains(&world.peer(parent)), "seed {seed}");
        let anchors: BTreeSet<PeerId> = world.anchors(3).into_iter().collect();
        assert_eq!(anchors.len(), 4, "seed {seed}");
        world.crash(3);
        world.run_for(seconds(5));
        world.dials.clear();
        world.start(3, &[]);
        let first: BTreeSet<PeerId> =
            world.dials.iter().filter(|(from, _)| *from == 3).take(4).map(|(_, peer)| *peer).collect();
        assert_eq!(first, anchors, "seed {seed}");
    }
}

/// Goal: the host cache forgets whom nobody has seen for a day, and nobody else. Method: one of four
/// superpeers dies; look at the disks hour by hour.
#[test]
fn the_host_cache_forgets_who_has_been_gone_for_a_day() {
    let mut world = superpeers(1, 4, None);
    let (dead, alive) = (world.peer(3), world.peer(2));
    assert!(world.has_contact(0, &dead));
    world.crash(3);
    for hour in 1..=26 {
        world.run_for(seconds(3_600));
        assert!(world.has_contact(0, &alive));
        assert!(hour >= 24 || world.has_contact(0, &dead), "forgotten after {hour} hours");
    }
    assert!(!world.has_contact(0, &dead));
}

/// Hellos that name peers that don't exist, certified by `authority`.
fn made_up(authority: &Authority, from: u64, count: u64) -> Frame {
    let gossip = (from..from + count).map(|number| {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let peer = SecretKey::from_seed(seed).public().as_peer();
        let address = Address { ip: [127, 0, 0, 1].into(), port: 9_999 };
        Hint { certificate: authority.node(peer, number, NODE_LIFE), addresses: vec![address] }
    });
    let hello = Hello {
        load: 0,
        heard: 0,
        network_version: 1,
        unix_time: 1_800_000_000,
        gossip: gossip.collect(),
        statements: Vec::new(),
        news: Briefs::default(),
        suspects: Briefs::default(),
        interval: 10,
    };
    Frame { id: 1, message: Message::Hello(hello) }
}

/// Goal: nobody makes a superpeer knock at many strangers' doors. Method: hundreds of hints that verify
/// and lead nowhere, in hellos of one neighbour; count the dials of the next seconds.
#[test]
fn a_flood_of_hints_leads_to_few_dials() {
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 4, None);
        world.dials.clear();
        for round in 0..30 {
            let hello = made_up(&world.authority, round * 20, 20);
            world.say(1, 0, &hello);
        }
        world.run_for(seconds(20));
        let dials = world.dials.iter().filter(|(from, _)| *from == 0).count() as u64;
        assert!(dials >= UNVERIFIED_DIALS_BURST / 2, "seed {seed}: {dials}");
        assert!(dials <= UNVERIFIED_DIALS_BURST + 21 * UNVERIFIED_DIALS_PER_SEC, "seed {seed}: {dials}");
        // Those that are there are not given up for it.
        for index in 1..4 {
            assert_eq!(who_knows(&mut world, index, [0].into_iter()), [0], "seed {seed}");
        }
    }
}

/// Goal: who goes on telling what does not verify loses its link, and others don't. Method: hints
/// certified by nobody in hellos of one neighbour, as many as are borne, then one more.
#[test]
fn a_liar_loses_its_link() {
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 4, None);
        let mut strangers = Authority::new(3);
        strangers.network.id = callbook_overlay::key::NetworkId::from_bytes([8; 32]);
        for round in 0..u64::from(BAD_HINTS_MAX) {
            let hello = made_up(&strangers, round, 1);
            world.say(1, 0, &hello);
        }
        world.run_for(seconds(1));
        let counters = world.overlay(0).counters();
        assert_eq!((counters.bad_hints, counters.bad_links), (u64::from(BAD_HINTS_MAX), 0), "seed {seed}");
        let hello = made_up(&strangers, 99, 1);
        world.say(1, 0, &hello);
        world.run_for(seconds(1));
        assert_eq!(world.overlay(0).counters().bad_links, 1, "seed {seed}");
        assert_eq!(world.overlay(0).counters().superpeers, 4, "seed {seed}");
    }
}

/// Goal: streams that neither side needs end, and those that are needed stay. Method: with few streams
/// to keep, look at the links a quarter of an hour after a join of all by all, and again minutes later.
#[test]
fn streams_that_nobody_needs_are_closed_and_the_others_stay() {
    for seed in 0..SEEDS {
        let mut world = superpeers(seed, 30, FEW);
        world.run_for(IDLE_CLOSE_SUPERPEER);
        let links = |world: &World| {
            let pairs = (0..30).flat_map(|from| (0..from).map(move |to| (from, to)));
            pairs.filter(|(from, to)| world.linked(*from, *to)).collect::<BTreeSet<_>>()
        };
        let before = links(&world);
        assert!(before.len() <= 300, "seed {seed}: {} links", before.len());
        // Some are there for a moment only, or as long as they are used.
        world.run_for(IDLE_CLOSE_SUPERPEER + seconds(60));
        let before: BTreeSet<_> = links(&world).intersection(&before).copied().collect();
        assert!((0..30).all(|index| world.overlay(index).counters().links >= 8), "seed {seed}");
        world.run_for(seconds(300));
        let kept = links(&world).intersection(&before).count();
        assert!(kept * 10 >= before.len() * 9, "seed {seed}: {kept} of {} stayed", before.len());
    }
}
