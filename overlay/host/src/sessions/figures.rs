//! What the book of sessions adds up to.

use std::num::NonZeroU32;
use std::time::Duration;

use callbook_overlay::api::Kin;
use callbook_overlay::time::Instant;

use super::{CLASS_WINDOW, Known, Reason, State, moment};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// In the order of [`Kin`], as words.
pub const KINS: [&str; 2] = ["child", "superpeer"];

/// In the order of [`Reason`], as words.
pub const REASONS: [&str; 5] = ["graceful", "timeout", "moved", "replaced", "banned"];

/// In the order of [`Figures::classes`], as words.
pub const CLASSES: [&str; 6] = ["online", "entered", "left", "oneoff", "dangling", "offline"];

/// Ages of sessions of which it is told how many of the present ones have them. Source: kademlia-exporter's
/// ladder, with two steps below it.
pub const UPTIMES: [(&str, Duration); 8] = [
    ("5m", Duration::from_secs(300)),
    ("1h", HOUR),
    ("3h", HOUR.saturating_mul(3)),
    ("6h", HOUR.saturating_mul(6)),
    ("12h", HOUR.saturating_mul(12)),
    ("24h", HOUR.saturating_mul(24)),
    ("48h", HOUR.saturating_mul(48)),
    ("96h", HOUR.saturating_mul(96)),
];

/// Times within which a peer was seen. Source: as [`UPTIMES`].
pub const WINDOWS: [(&str, Duration); 7] =
    [UPTIMES[1], UPTIMES[2], UPTIMES[3], UPTIMES[4], UPTIMES[5], UPTIMES[6], UPTIMES[7]];

/// Lengths, counted up to each bound.
#[derive(Debug, Clone)]
pub struct Lengths {
    /// One more than there are bounds: the last is above all.
    pub counts: Vec<u64>,
    /// Of all of them.
    pub sum: Duration,
}

impl Lengths {
    fn note(&mut self, bounds: &[Duration], length: Duration) {
        let place = bounds.partition_point(|bound| *bound < length);
        self.counts[place] += 1;
        self.sum += length;
    }
}

/// Totals since the start, and levels of now.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Up to which lengths are counted; growing.
    pub bounds: Vec<Duration>,
    /// By kin: new ones, and those that were seen before.
    pub arrivals: [(u64, u64); 2],
    /// By kin and reason.
    pub departures: [[u64; REASONS.len()]; 2],
    /// By kin.
    pub flaps: [u64; 2],
    /// By kin and reason.
    pub sessions: [[Lengths; REASONS.len()]; 2],
    /// By kin.
    pub downtimes: [Lengths; 2],
    /// Peers that came while the book was full.
    pub overlooked: u64,

    /// By kin.
    pub online: [u64; 2],
    /// Peers whose sessions are remembered.
    pub known: u64,
    /// By kin, then in the order of [`UPTIMES`].
    pub uptimes: [[u64; UPTIMES.len()]; 2],
    /// By kin, then in the order of [`WINDOWS`].
    pub windows: [[u64; WINDOWS.len()]; 2],
    /// By kin, then in the order of [`CLASSES`].
    pub classes: [[u64; CLASSES.len()]; 2],
}

impl Figures {
    /// Of nothing yet.
    #[must_use]
    pub fn new(bounds: Vec<Duration>) -> Self {
        let lengths = || Lengths { counts: vec![0; bounds.len() + 1], sum: Duration::ZERO };
        Self {
            arrivals: [(0, 0); 2],
            departures: [[0; REASONS.len()]; 2],
            flaps: [0; 2],
            sessions: std::array::from_fn(|_| std::array::from_fn(|_| lengths())),
            downtimes: std::array::from_fn(|_| lengths()),
            overlooked: 0,
            online: [0; 2],
            known: 0,
            uptimes: Default::default(),
            windows: Default::default(),
            classes: Default::default(),
            bounds,
        }
    }

    /// A peer is back after so long.
    pub fn returned(&mut self, kin: Kin, away: Duration) {
        self.arrivals[kin as usize].1 += 1;
        self.downtimes[kin as usize].note(&self.bounds, away);
    }

    /// A session has ended.
    pub fn departed(&mut self, kin: Kin, reason: Reason, length: Duration) {
        self.departures[kin as usize][reason as usize] += 1;
        self.sessions[kin as usize][reason as usize].note(&self.bounds, length);
    }

    /// Adds a peer to the levels.
    pub(super) fn add(&mut self, known: &Known, now: Instant) {
        self.known += 1;
        let kin = known.kin as usize;
        let there = known.is_there();
        if there {
            self.online[kin] += 1;
            let age = now.since(known.begun);
            let old = UPTIMES.iter().zip(&mut self.uptimes[kin]).filter(|((_, least), _)| age >= *least);
            old.for_each(|(_, count)| *count += 1);
        }
        let ago = if there { Duration::ZERO } else { now.since(known.ended) };
        let lately = WINDOWS.iter().zip(&mut self.windows[kin]).filter(|((_, most), _)| ago <= *most);
        lately.for_each(|(_, count)| *count += 1);
        self.classes[kin][class(known, now)] += 1;
    }
}

/// A peer's class: what it did within the window, and how it stands now.
fn class(known: &Known, now: Instant) -> usize {
    let since = |turn: &NonZeroU32| u64::from(moment(now).get() - turn.get());
    let turns = known.turns.iter().flatten().filter(|turn| since(turn) <= CLASS_WINDOW.as_secs()).count();
    // Whose coming is not counted yet has turned once more.
    let turns = turns + usize::from(matches!(known.state, State::New | State::Back));
    let name = match (turns, known.is_there()) {
        (0, true) => "online",
        (0, false) => "offline",
        (1, true) => "entered",
        (1, false) => "left",
        (2, false) => "oneoff",
        (_, _) => "dangling",
    };
    CLASSES.iter().position(|class| *class == name).unwrap_or_default()
}
