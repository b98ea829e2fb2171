//! What a run measures.
//!
//! Counting begins when `Measures::begin` is called; look-ups count from when they were asked. *Not here*:
//! how figures are shown (`report`), which ones have a bar (`scenario`).

use callbook_overlay::api::Source;
use callbook_overlay::wire::Message;

use crate::oracle::Verdict;
use crate::peers::Kind;
use crate::time::{Micros, SECOND, secs};

/// Length of one step of the time line.
pub const STEP: Micros = 10 * SECOND;

/// Answers by what they were worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// As it should be.
    pub right: u64,
    /// An earlier address that a cache may still keep.
    pub old: u64,
    /// An earlier address, past its time.
    pub stale: u64,
    /// Not true.
    pub wrong: u64,
    /// No answer.
    pub unknown: u64,
}

impl Tally {
    /// Counts one answer.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Right => self.right += 1,
            Verdict::Old => self.old += 1,
            Verdict::Stale => self.stale += 1,
            Verdict::Wrong(_) => self.wrong += 1,
            Verdict::Unknown => self.unknown += 1,
        }
    }

    /// Answers as they may be: right ones, and those that a cache may still give.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.right + self.old
    }

    /// Earlier addresses, whether a cache may still give them or not.
    #[must_use]
    pub fn outdated(&self) -> u64 {
        self.old + self.stale
    }

    /// All answers.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.right + self.old + self.stale + self.wrong + self.unknown
    }
}

/// Look-ups that are counted together.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Those of names that somebody holds, by their first answers.
    pub existing: Tally,
    /// Those of names that nobody holds, likewise.
    pub absent: Tally,
    /// Those that were asked of names that somebody holds, and of others.
    pub asked: [u64; 2],
    /// Those of them whose asker stopped before the answer.
    pub void: [u64; 2],
    /// Those of names that somebody holds which have come to a right answer, at whatever try, and how long
    /// that took in microseconds: superpeers', children's.
    pub times: [Vec<u32>; 2],
    /// How many of superpeers' and of children's should have come to one: those asked whose asker has not stopped.
    pub due: [u64; 2],
}

/// In a sample of times: a look-up that has not come to a right answer, which took longer than any that has.
pub const NEVER: u32 = u32::MAX;

impl Group {
    /// All times, [`NEVER`] for each that has not come to a right answer.
    #[must_use]
    pub fn all_times(&self) -> Vec<u32> {
        [Kind::Superpeer, Kind::Child].map(|kind| self.times_of(kind)).concat()
    }

    /// Times of those that peers of a kind asked for, [`NEVER`] for each that has not come to a right answer.
    #[must_use]
    pub fn times_of(&self, kind: Kind) -> Vec<u32> {
        let mut times = self.times[of(kind)].clone();
        let due = (self.due[of(kind)] as usize).max(times.len());
        times.resize(due, NEVER);
        times
    }

    /// Those of names that somebody holds which should have been answered.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.asked[0] - self.void[0]
    }

    /// Good answers of all first answers, whatever was asked for.
    #[must_use]
    pub fn first(&self) -> (u64, u64) {
        (self.existing.good() + self.absent.good(), self.existing.all() + self.absent.all())
    }
}

/// Look-ups of the users.
pub const USERS: u8 = 0;
/// Look-ups of those that have just started.
pub const STARTERS: u8 = 1;
/// Look-ups that a scenario makes: the first of its groups.
pub const OWN: u8 = 2;
/// How many groups there are.
pub const GROUPS: usize = 6;

/// Messages of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    /// How many.
    pub count: u64,
    /// Bytes, headers included.
    pub bytes: u64,
}

/// What peers of one kind have sent.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// Bytes of all.
    pub bytes: u64,
    /// Messages, by their kind.
    pub kinds: Vec<Sent>,
    /// Bytes of their half of connections that came up.
    pub connections: u64,
    /// What was sent beside messages and connections, in the order of [`BESIDE`].
    pub beside: [Sent; 4],
}

impl Default for Traffic {
    fn default() -> Self {
        Self { bytes: 0, kinds: vec![Sent::default(); 256], connections: 0, beside: [Sent::default(); 4] }
    }
}

/// Peers of one kind over time.
#[derive(Debug, Clone, Copy, Default)]
struct There {
    count: u64,
    since: Micros,
    /// Peer-microseconds since counting began.
    spent: u128,
}

/// What has been measured so far.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    /// Since when it counts; `None` before.
    pub since: Option<Micros>,
    /// Look-ups by group.
    pub groups: [Group; GROUPS],
    /// Right answers by source: own, index, store, cache, overlay.
    pub sources: [u64; 5],
    /// Hops of right answers from the overlay, up to 7 and more.
    pub hops: [u64; 8],
    /// Times from a start to the first parent, in microseconds.
    pub attached: Vec<u32>,
    /// Registrations that were acknowledged.
    pub registered: u64,
    /// Registrations that failed at first.
    pub registrations_failed: u64,
    /// Answers that told an older address than the same peer had been told before.
    pub older: u64,
    /// Microseconds from each acknowledged change until one who watches the name was told.
    pub told_by_watches: Vec<u32>,
    /// Parents lost.
    pub detached: u64,
    /// Peers that started, and that stopped.
    pub started: u64,
    /// Peers that stopped.
    pub stopped: u64,
    /// Those of them whose machine vanished.
    pub vanished: u64,
    /// Dials, also those that failed.
    pub dials: u64,
    /// What superpeers have sent, and children.
    pub sent: [Traffic; 2],
    /// Answers over time since the run began, one step each.
    pub line: Vec<Tally>,
    there: [There; 2],
}

/// What is sent beside messages and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Dials that fail.
    FailedDials,
    /// Acknowledgements that travel alone.
    Acknowledgements,
    /// Signs of life of silent connections.
    KeepAlives,
    /// What the login server is asked for, and its answers.
    Login,
}

/// Words for [`Traffic::beside`].
pub const BESIDE: [&str; 4] =
    ["dials that fail", "acknowledgements alone", "keep-alives", "the login server"];

/// Index of a kind of peer in what is measured for both.
#[must_use]
pub fn of(kind: Kind) -> usize {
    match kind {
        Kind::Superpeer => 0,
        Kind::Child => 1,
    }
}

impl Measures {
    /// From now on it counts; what was counted is forgotten, but for the time line.
    pub(crate) fn begin(&mut self, now: Micros) {
        let line = core::mem::take(&mut self.line);
        let there = self.there.map(|there| There { since: now, spent: 0, ..there });
        *self = Self { since: Some(now), line, there, ..Self::default() };
    }

    /// So many peers of a kind run now.
    pub(crate) fn there(&mut self, kind: Kind, count: usize, now: Micros) {
        let there = &mut self.there[of(kind)];
        there.spent += u128::from(there.count) * u128::from(now - there.since);
        (there.count, there.since) = (count as u64, now);
    }

    /// Seconds that peers of a kind have run, all together, until `now`.
    #[must_use]
    pub fn seconds(&self, kind: Kind, now: Micros) -> f64 {
        let there = &self.there[of(kind)];
        let spent = there.spent + u128::from(there.count) * u128::from(now - there.since);
        spent as f64 / SECOND as f64
    }

    /// How many of a kind run.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.there[of(kind)].count
    }

    /// A frame was sent.
    pub(crate) fn sent(&mut self, kind: Kind, message: &Message, bytes: u32) {
        let traffic = &mut self.sent[of(kind)];
        let sent = &mut traffic.kinds[usize::from(message.kind().min(255))];
        sent.count += 1;
        sent.bytes += u64::from(bytes);
        traffic.bytes += u64::from(bytes);
    }

    /// Something beside messages was sent.
    pub(crate) fn sent_beside(&mut self, kind: Kind, what: Beside, bytes: u64) {
        let traffic = &mut self.sent[of(kind)];
        let sent = &mut traffic.beside[what as usize];
        sent.count += 1;
        sent.bytes += bytes;
        traffic.bytes += bytes;
    }

    /// A side of a connection was set up.
    pub(crate) fn sent_to_connect(&mut self, kind: Kind, bytes: u64) {
        let traffic = &mut self.sent[of(kind)];
        traffic.connections += bytes;
        traffic.bytes += bytes;
    }

    /// A look-up of a group begins; whether somebody holds the name.
    pub(crate) fn asked(&mut self, now: Micros, of: (u8, Kind), existing: bool) {
        if self.counts(now) {
            let group = &mut self.groups[usize::from(of.0)];
            group.asked[usize::from(!existing)] += 1;
            group.due[self::of(of.1)] += u64::from(existing);
        }
    }

    /// The asker of a look-up is gone; whether that has been answered before, with nothing.
    pub(crate) fn given_up(&mut self, asked: Micros, of: (u8, Kind), existing: bool, answered: bool) {
        if self.counts(asked) {
            let group = &mut self.groups[usize::from(of.0)];
            group.void[usize::from(!existing)] += u64::from(!answered);
            group.due[self::of(of.1)] -= u64::from(existing);
        }
    }

    /// A look-up of a group was answered for the first time; whether somebody holds the name.
    pub(crate) fn answered(&mut self, asked: Micros, group: u8, existing: bool, verdict: Verdict) {
        let step = (asked / STEP) as usize;
        if self.line.len() <= step {
            self.line.resize(step + 1, Tally::default());
        }
        self.line[step].add(verdict);
        if self.counts(asked) {
            let group = &mut self.groups[usize::from(group)];
            if existing { group.existing.add(verdict) } else { group.absent.add(verdict) }
        }
    }

    /// Whether what was begun then counts.
    pub(crate) fn counts(&self, began: Micros) -> bool {
        self.since.is_some_and(|since| began >= since)
    }

    /// A right answer about a name that somebody holds: how long it took and where it came from.
    pub(crate) fn right(&mut self, of: (u8, Kind), took: Micros, source: Source, hops: u8) {
        let (group, kind) = (usize::from(of.0), self::of(of.1));
        self.groups[group].times[kind].push(u32::try_from(took).unwrap_or(NEVER - 1));
        self.sources[source_index(source)] += 1;
        if source == Source::Overlay {
            self.hops[usize::from(hops.min(7))] += 1;
        }
    }

    /// Seconds of counting until `now`.
    #[must_use]
    pub fn length(&self, now: Micros) -> f64 {
        self.since.map_or(0.0, |since| secs(now - since))
    }
}

fn source_index(source: Source) -> usize {
    match source {
        Source::Own => 0,
        Source::Index => 1,
        Source::Store => 2,
        Source::Cache => 3,
        Source::Overlay => 4,
    }
}

/// Words for [`Measures::sources`].
pub const SOURCES: [&str; 5] = ["own", "index", "store", "cache", "overlay"];

/// Words for [`Traffic::kinds`].
#[must_use]
pub fn kind_word(kind: usize) -> &'static str {
    match kind {
        1 => "open",
        2 => "hello",
        3 => "closest",
        4 => "get",
        5 => "put",
        6 => "attach",
        7 => "register",
        8 => "resolve",
        9 => "reject",
        10 => "leave",
        11 => "reserve",
        12 => "watch",
        13 => "presence",
        14 => "digest",
        15 => "pull",
        16 => "offer",
        17 => "working",
        18 => "promote",
        19 => "elsewhere",
        20 => "who",
        21 => "survey",
        130 => "hello back",
        131 => "hints",
        132 => "got",
        133 => "put done",
        134 => "attached",
        135 => "registered",
        136 => "resolved",
        139 => "reserved",
        140 => "changed",
        141 => "presence told",
        142 => "digests",
        143 => "pulled",
        144 => "wanted",
        148 => "named",
        149 => "surveyed",
        255 => "refused",
        _ => "other",
    }
}

/// Whether messages of a kind serve to know others and to look names up; those to store them, and for children,
/// don't.
#[must_use]
pub fn is_for_look_ups(kind: usize) -> bool {
    matches!(
        kind_word(kind),
        "open"
            | "hello"
            | "hello back"
            | "who"
            | "named"
            | "survey"
            | "surveyed"
            | "closest"
            | "hints"
            | "get"
            | "got"
            | "resolve"
            | "resolved"
            | "leave"
            | "working"
            | "refused"
    )
}

/// The value that a share of the sample is not above; 0 of an empty one. Reorders the sample.
pub fn quantile(sample: &mut [u32], share: f64) -> u32 {
    if sample.is_empty() {
        return 0;
    }
    let at = ((sample.len() as f64 * share).ceil() as usize).clamp(1, sample.len()) - 1;
    *sample.select_nth_unstable(at).1
}

#[cfg(test)]
mod tests {
    use super::{Kind, Measures, NEVER, Source, Tally, USERS, Verdict, quantile};
    use crate::time::SECOND;

    #[test]
    fn peer_seconds_count_from_the_beginning_of_measuring() {
        // Goal: bytes per live peer have the right divisor. Method: peers that come and go, by hand.
        let mut measures = Measures::default();
        measures.there(Kind::Child, 10, 0);
        measures.begin(5 * SECOND);
        measures.there(Kind::Child, 4, 7 * SECOND);
        let spent = measures.seconds(Kind::Child, 8 * SECOND);
        assert!((spent - 24.0).abs() < 1e-9, "{spent}");
        assert_eq!(measures.count(Kind::Child), 4);
    }

    #[test]
    fn a_look_up_counts_if_it_was_asked_since_the_beginning() {
        // Goal: warm-up is left out, but for the time line. Method: one before, one after.
        let mut measures = Measures::default();
        measures.begin(20 * SECOND);
        measures.answered(15 * SECOND, USERS, true, Verdict::Unknown);
        measures.answered(20 * SECOND, USERS, true, Verdict::Right);
        assert_eq!(measures.groups[0].existing, Tally { right: 1, ..Tally::default() });
        assert_eq!(measures.line.iter().map(Tally::all).collect::<Vec<_>>(), [0, 1, 1]);
    }

    #[test]
    fn a_look_up_without_an_answer_took_longer_than_any() {
        // Goal: failures show in the percentiles. Method: of 100 look-ups 97 are right, one is unknown, one waits, and
        // the asker of one stops.
        let (mut measures, of) = (Measures::default(), (USERS, Kind::Child));
        measures.begin(0);
        (0..100).for_each(|_| measures.asked(1, of, true));
        (1..=97).for_each(|took| measures.right(of, took, Source::Overlay, 1));
        measures.answered(1, USERS, true, Verdict::Unknown);
        measures.given_up(1, of, true, false);
        let mut times = measures.groups[0].times_of(Kind::Child);
        assert_eq!(times.len(), 99);
        assert_eq!([0.5, 0.97, 0.99].map(|share| quantile(&mut times, share)), [50, 97, NEVER]);
        assert!(measures.groups[0].times_of(Kind::Superpeer).is_empty());
    }

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        // Goal: no off by one. Method: a hundred numbers.
        let mut sample: Vec<u32> = (1..=100).rev().collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&mut sample, share)), [1, 50, 99, 100]);
        assert_eq!(quantile(&mut [], 0.5), 0);
    }
}
