//! Who was here and for how long: churn as a superpeer sees it with its own eyes.
//!
//! ```text
//!             there                     lost                       60 s
//!  (unknown) ──────▶ open ─────────────────────────▶ pending ─────────────▶ gone: timeout
//!                     ▲ │ ▲                             │                    │
//!                     │ │ └──────── there: a flap ──────┘                    │
//!                     │ └─ goodbye, replaced, banned ─▶ gone: graceful, …    │
//!                     └────────────── there: returning, after a downtime ────┘
//! ```
//! A *session* is a run of observations of one PeerId without a confirmed end; it ends with the last
//! of them. A flap (lost, and back within [`FLAP`]) does not end it: it is counted, and kept out of the
//! lengths. What an observer does not see to its end (it becomes a child) counts for nothing.
//!
//! A child that moves to another parent is lost here and new there: arrivals and departures are of this
//! superpeer's neighbours, not of the network.
//!
//! Sources: the states are Nebula's, without its visits (a closed link tells at once); flap is serf's;
//! classes are ProbeLab's, over the last [`CLASS_WINDOW`]. *Not here*: how it is exported
//! (`metrics::churn`).

mod figures;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::time::Duration;

use callbook_overlay::api::{Kin, Seen};
use callbook_overlay::key::PeerId;
use callbook_overlay::time::Instant;

pub(crate) use self::figures::{CLASSES, Figures, KINS, Lengths, REASONS, UPTIMES, WINDOWS};
use crate::limits::SESSIONS_KNOWN_MAX;

/// How soon who was lost has to be back for it to be a flap. Source: serf's `FlapTimeout` (specification).
pub(crate) const FLAP: Duration = Duration::from_secs(60);

/// What classes look back on. Source: ProbeLab's weekly reports use a week; the issue asks for a day.
const CLASS_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Graceful,
    Timeout,
    Replaced,
    Banned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Pending,
    Gone,
}

/// A peer that was seen at some time.
#[derive(Debug, Clone, Copy)]
struct Known {
    state: State,
    kin: Kin,
    begun: Instant,
    /// When it was lost, or gone.
    ended: Instant,
    /// When it came or went, the last times; the newest first. In seconds and one more, since there are
    /// many of these.
    turns: [Option<NonZeroU32>; 3],
}

impl Known {
    fn turn(&mut self, at: Instant) {
        self.turns = [Some(moment(at)), self.turns[0], self.turns[1]];
    }
}

fn moment(at: Instant) -> NonZeroU32 {
    let secs = u32::try_from(at.since(Instant::default()).as_secs()).unwrap_or(u32::MAX);
    NonZeroU32::MIN.saturating_add(secs)
}

/// The book of sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    known: HashMap<PeerId, Known>,
    /// Who is pending, by when it was lost.
    pending: BTreeSet<(Instant, PeerId)>,
    totals: Figures,
}

impl Sessions {
    /// An empty book, whose lengths are counted up to each of these bounds.
    pub(crate) fn new(bounds: Vec<Duration>) -> Self {
        Self { known: HashMap::new(), pending: BTreeSet::new(), totals: Figures::new(bounds) }
    }

    /// Writes down what was seen.
    pub(crate) fn seen(&mut self, peer: PeerId, seen: Seen, now: Instant) {
        self.settle(now);
        match seen {
            Seen::There(kin) => self.there(peer, kin, now),
            Seen::Left => self.ended(&peer, Reason::Graceful, now),
            Seen::Replaced => self.ended(&peer, Reason::Replaced, now),
            Seen::Banned => self.ended(&peer, Reason::Banned, now),
            Seen::Lost(kin) => self.lost(peer, kin, now),
            Seen::Blind => {
                self.known.clear();
                self.pending.clear();
            }
        }
    }

    /// All figures as of now.
    pub(crate) fn figures(&mut self, now: Instant) -> Figures {
        self.settle(now);
        let mut figures = self.totals.clone();
        for known in self.known.values() {
            figures.add(known, now);
        }
        figures
    }

    fn there(&mut self, peer: PeerId, kin: Kin, now: Instant) {
        let Some(known) = self.known.get_mut(&peer) else { return self.new_one(peer, kin, now) };
        // A child may become a superpeer without leaving.
        known.kin = kin;
        match known.state {
            State::Open => {}
            State::Pending => {
                self.pending.remove(&(known.ended, peer));
                known.state = State::Open;
                known.turn(now);
                self.totals.flaps[kin as usize] += 1;
            }
            State::Gone => {
                let away = now.since(known.ended);
                (known.state, known.begun) = (State::Open, now);
                known.turn(now);
                self.totals.returned(kin, away);
            }
        }
    }

    fn new_one(&mut self, peer: PeerId, kin: Kin, now: Instant) {
        if self.known.len() >= SESSIONS_KNOWN_MAX {
            let gone = self.known.iter().filter(|(_, known)| known.state == State::Gone);
            let Some(oldest) = gone.min_by_key(|(_, known)| known.ended).map(|(peer, _)| *peer) else {
                self.totals.overlooked += 1;
                return;
            };
            self.known.remove(&oldest);
        }
        let turns = [Some(moment(now)), None, None];
        self.known.insert(peer, Known { state: State::Open, kin, begun: now, ended: now, turns });
        self.totals.arrivals[kin as usize].0 += 1;
    }

    fn lost(&mut self, peer: PeerId, kin: Kin, now: Instant) {
        let Some(known) = self.known.get_mut(&peer) else { return };
        if known.state == State::Open && known.kin == kin {
            (known.state, known.ended) = (State::Pending, now);
            known.turn(now);
            self.pending.insert((now, peer));
        }
    }

    fn ended(&mut self, peer: &PeerId, reason: Reason, now: Instant) {
        let Some(known) = self.known.get_mut(peer) else { return };
        match known.state {
            State::Open => {
                known.ended = now;
                known.turn(now);
            }
            State::Pending => {
                self.pending.remove(&(known.ended, *peer));
            }
            State::Gone => return,
        }
        known.state = State::Gone;
        self.totals.departed(known.kin, reason, known.ended.since(known.begun));
    }

    /// Ends what has been pending for too long.
    fn settle(&mut self, now: Instant) {
        while let Some((lost, peer)) = self.pending.first().copied()
            && now.since(lost) >= FLAP
        {
            self.ended(&peer, Reason::Timeout, now);
        }
    }
}

#[cfg(test)]
mod tests;
