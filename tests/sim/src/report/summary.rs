//! The figures that every run has.
//!
//! *Not here*: bars (`scenario`).

use super::{Figure, memory};
use crate::measures::{BESIDE, Group, NEVER, SOURCES, USERS, is_for_look_ups, kind_word, of, quantile};
use crate::oracle::Verdict;
use crate::peers::Kind;
use crate::world::{Load, World};

/// Kinds of messages that are listed, those with most bytes.
const KINDS: usize = 16;

/// How a run went as a program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Seconds of real time.
    pub seconds: f64,
    /// Bytes in memory before the first peer, with all superpeers, with the records of before the run, and with all
    /// peers.
    pub memory: [u64; 4],
    /// Superpeers that ran, copies that were stored, and children that ran at the latter three moments.
    pub peers: [u64; 3],
}

/// All that is worth telling of a run.
#[must_use]
pub fn figures(world: &World, cost: &Cost) -> Vec<Figure> {
    let mut all = Vec::new();
    look_ups(world, &mut all);
    bytes(world, &mut all);
    peers(world, &mut all);
    loads(&world.loads(), &mut all);
    program(world, cost, &mut all);
    all
}

/// Milliseconds of a time in a sample; infinite for what has not come to an end.
#[must_use]
pub fn millis(micros: u32) -> f64 {
    if micros == NEVER { f64::INFINITY } else { f64::from(micros) / 1_000.0 }
}

/// p50, p90 and p99 of a sample of times.
pub fn times(what: &str, mut sample: Vec<u32>, all: &mut Vec<Figure>) {
    if sample.is_empty() {
        return;
    }
    for (word, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        all.push(Figure::number(format!("{what} {word}"), millis(quantile(&mut sample, share)), "ms"));
    }
}

fn look_ups(world: &World, all: &mut Vec<Figure>) {
    let measures = &world.measures;
    let users: &Group = &measures.groups[usize::from(USERS)];
    all.push(Figure::share("look-ups right", users.first()));
    let (existing, absent) = (users.existing, users.absent);
    all.push(Figure::share("existing names right", (existing.right, existing.all())));
    all.push(Figure::share("existing names old, by a cache", (existing.old, existing.all())));
    all.push(Figure::share("existing names stale", (existing.stale, existing.all())));
    all.push(Figure::share("existing names wrong", (existing.wrong, existing.all())));
    all.push(Figure::share("existing names unknown", (existing.unknown, existing.all())));
    all.push(Figure::share("absent names right", (absent.right, absent.all())));
    all.push(Figure::number("look-ups whose asker stopped", users.void.iter().sum::<u64>() as f64, ""));
    times("look-up of a child", users.times_of(Kind::Child), all);
    times("look-up of a superpeer", users.times_of(Kind::Superpeer), all);
    let found: u64 = measures.sources.iter().sum();
    for (word, count) in SOURCES.iter().zip(measures.sources) {
        all.push(Figure::share(format!("answers from {word}"), (count, found)));
    }
    let walked: u64 = measures.hops.iter().sum();
    let hops: u64 = measures.hops.iter().enumerate().map(|(hops, count)| hops as u64 * count).sum();
    all.push(Figure::number("hops in the overlay", hops as f64 / walked.max(1) as f64, ""));
    times("start to first parent", world.times_to_attach(), all);
    if !measures.told_by_watches.is_empty() {
        all.push(Figure::number("changes told by watches", measures.told_by_watches.len() as f64, ""));
        times("change to who watches", measures.told_by_watches.clone(), all);
    }
}

/// Seconds that peers of these kinds have run, all together.
fn seconds(world: &World, kinds: &[Kind]) -> f64 {
    kinds.iter().map(|kind| world.measures.seconds(*kind, world.now())).sum::<f64>().max(1.0)
}

const BOTH: [Kind; 2] = [Kind::Superpeer, Kind::Child];

/// Bytes a second that a live peer sends, all peers together.
#[must_use]
pub fn sent_per_peer(world: &World) -> f64 {
    world.measures.sent.iter().map(|sent| sent.bytes).sum::<u64>() as f64 / seconds(world, &BOTH)
}

/// Bytes a second that a live peer sends to know others and to look names up, connections left out: what protocols
/// that store nothing send, too.
#[must_use]
pub fn sent_for_look_ups(world: &World) -> f64 {
    let kinds = world.measures.sent.iter().flat_map(|sent| sent.kinds.iter().enumerate());
    let bytes: u64 = kinds.filter(|(kind, _)| is_for_look_ups(*kind)).map(|(_, sent)| sent.bytes).sum();
    bytes as f64 / seconds(world, &BOTH)
}

/// Bytes a second that a live peer of a kind sends.
#[must_use]
pub fn sent_by(world: &World, kind: Kind) -> f64 {
    world.measures.sent[of(kind)].bytes as f64 / seconds(world, &[kind])
}

fn bytes(world: &World, all: &mut Vec<Figure>) {
    all.push(Figure::number("sent by a peer", sent_per_peer(world), "B/s"));
    for (kind, word) in [(Kind::Superpeer, "superpeer"), (Kind::Child, "child")] {
        let (sent, seconds) = (&world.measures.sent[of(kind)], seconds(world, &[kind]));
        if sent.bytes == 0 {
            continue;
        }
        let mut add = |what: String, bytes: u64| {
            all.push(Figure::number(what, bytes as f64 / seconds, "B/s"));
        };
        add(format!("sent by a {word}"), sent.bytes);
        add(format!("{word}: for connections"), sent.connections);
        for (what, sent) in BESIDE.iter().zip(sent.beside) {
            add(format!("{word}: for {what}"), sent.bytes);
        }
        let mut kinds: Vec<_> = sent.kinds.iter().enumerate().filter(|(_, sent)| sent.count > 0).collect();
        kinds.sort_by_key(|(_, sent)| core::cmp::Reverse(sent.bytes));
        for (kind, sent) in kinds.into_iter().take(KINDS) {
            let mean = sent.bytes as f64 / sent.count as f64;
            add(format!("{word}: {} ({mean:.0} B each)", kind_word(kind)), sent.bytes);
        }
    }
}

fn peers(world: &World, all: &mut Vec<Figure>) {
    let (measures, length) = (&world.measures, world.measures.length(world.now()).max(1.0));
    for (what, kind) in [("superpeers", Kind::Superpeer), ("children", Kind::Child)] {
        all.push(Figure::number(format!("{what} there"), measures.seconds(kind, world.now()) / length, ""));
    }
    let (remembered, names) = world.names();
    all.push(Figure::number("names with a record", names as f64, ""));
    all.push(Figure::number("names with a record from before the run", f64::from(remembered), ""));
    all.push(Figure::number("starts", measures.started as f64 / length, "/s"));
    all.push(Figure::number("stops", measures.stopped as f64 / length, "/s"));
    all.push(Figure::share("stops without a word", (measures.vanished, measures.stopped)));
    all.push(Figure::number("dials", measures.dials as f64 / length, "/s"));
    all.push(Figure::number("parents lost", measures.detached as f64 / length, "/s"));
    all.push(Figure::number("registrations acknowledged", measures.registered as f64 / length, "/s"));
    all.push(Figure::number("registrations failed at first", measures.registrations_failed as f64, ""));
}

/// The greatest of a sample over its mean.
#[must_use]
pub fn unevenness(sample: impl Iterator<Item = f64>) -> f64 {
    let (mut most, mut sum, mut count) = (0.0f64, 0.0, 0.0);
    for value in sample {
        most = most.max(value);
        sum += value;
        count += 1.0;
    }
    if sum > 0.0 { most * count / sum } else { 0.0 }
}

fn loads(loads: &[Load], all: &mut Vec<Figure>) {
    let of = |value: fn(&Load) -> f64| unevenness(loads.iter().map(value));
    all.push(Figure::number("children, most/mean", of(|load| load.children as f64), ""));
    all.push(Figure::number("requests served, most/mean", of(|load| f64::from(load.served)), ""));
    all.push(Figure::number("bytes sent, most/mean", of(|load| load.sent as f64), ""));
    all.push(Figure::number("records, most/mean", of(|load| load.records as f64), ""));
}

fn program(world: &World, cost: &Cost, all: &mut Vec<Figure>) {
    let seconds = cost.seconds.max(1e-9);
    all.push(Figure::number("real time", cost.seconds, "s"));
    all.push(Figure::number("events", world.events() as f64, ""));
    all.push(Figure::number("turns a second", world.turns() as f64 / seconds, "/s"));
    let turn = 1e6 * seconds / world.turns().max(1) as f64;
    all.push(Figure::number("microseconds a turn", turn, "µs"));
    let per = |bytes: u64, before: u64, count: u64| bytes.saturating_sub(before) as f64 / count.max(1) as f64;
    let [none, superpeers, past, everybody] = cost.memory;
    all.push(Figure::number("memory of a superpeer", per(superpeers, none, cost.peers[0]) / 1_024.0, "KiB"));
    let copy = per(past, superpeers, cost.peers[1]);
    all.push(Figure::number("memory of a copy of a record", copy, "B"));
    let what = "memory of a child and of its parent for it";
    all.push(Figure::number(what, per(everybody, past, cost.peers[2]) / 1_024.0, "KiB"));
    all.push(Figure::number("memory at most", memory::peak() as f64 / 1_048_576.0, "MiB"));
}

/// The first mistakes of the network, one a line.
#[must_use]
pub fn mistakes(world: &World) -> Vec<String> {
    let shown = world.mistakes.iter().take(12);
    let line = |mistake: &crate::world::Mistake| {
        let word = match mistake.verdict {
            Verdict::Stale => String::from("stale"),
            Verdict::Wrong(wrong) => format!("{wrong:?}"),
            Verdict::Right | Verdict::Old | Verdict::Unknown => String::from("?"),
        };
        format!(
            "{:.3} s: {word}: {:?} told to {} from {:?}; acknowledged at {:.3} s; {} superpeers hold it, {} of the closest",
            crate::time::secs(mistake.at),
            mistake.wanted,
            mistake.asker,
            mistake.source,
            crate::time::secs(mistake.since),
            mistake.held_by,
            mistake.held_by_closest
        )
    };
    shown.map(line).collect()
}
