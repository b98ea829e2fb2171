//! Who was here and for how long: churn as a superpeer sees it with its own eyes.
//!
//! ```text
//!             there                     lost                       60 s
//!  (unknown) ──────▶ open ─────────────────────────▶ pending ─────────────▶ gone: timeout
//!                     ▲ │ ▲                             │                    │
//!                     │ │ └── there, and stays: a flap ─┘                    │
//!                     │ └─ goodbye, moved, replaced, … ▶ gone: graceful, …    │
//!                     └────────────── there: returning, after a downtime ────┘
//! ```
//! A *session* is a run of observations of one PeerId without a confirmed end; it ends with the last
//! of them, not when the loss is noticed: what is silent is noticed late. A flap (lost, and back within [`FLAP`]) does not end it: it is counted, and kept out of the
//! lengths. What an observer does not see to its end (it becomes a child) counts for nothing.
//!
//! A child that moves to another parent is lost here (or *moved*, if it says so by asking us to stand by)
//! and new there: arrivals and departures are of this superpeer's neighbours, not of the network. Who fails
//! over asks both its standbys and takes the first, so an attachment that is given up within [`TRIED`] was
//! never one and leaves no trace: neither a session nor a flap.
//!
//! Sources: the states are Nebula's, without its visits (a closed link tells at once); flap is serf's;
//! classes are ProbeLab's, over the last [`CLASS_WINDOW`]. *Not here*: how it is exported
//! (`metrics::churn`).

mod figures;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use callbook_overlay::api::{Kin, Seen};
use callbook_overlay::key::PeerId;
use callbook_overlay::time::Instant;

pub use self::figures::{CLASSES, Figures, KINS, Lengths, REASONS, UPTIMES, WINDOWS};
use crate::limits::SESSIONS_KNOWN_MAX;

/// How soon who was lost has to be back for it to be a flap. Source: serf's `FlapTimeout` (specification).
pub(crate) const FLAP: Duration = Duration::from_secs(60);

/// How soon an attachment that is not wanted is given up. Guess: a round trip on a slow link, and a busy
/// child.
const TRIED: Duration = Duration::from_secs(10);

/// What classes look back on. Source: ProbeLab's weekly reports use a week; the issue asks for a day.
const CLASS_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It said goodbye.
    Graceful,
    /// It was lost, and not back in time.
    Timeout,
    /// It told of another parent.
    Moved,
    /// Another peer has its device key, or its address.
    Replaced,
    /// Too much that it said did not verify.
    Banned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its session is open, and younger than [`TRIED`]: its beginning has not been counted.
    New,
    Open,
    Pending,
    /// It was lost and is there again, for less than [`TRIED`]: no flap has been counted.
    Back,
    Gone,
}

/// A peer that was seen at some time.
#[derive(Debug, Clone, Copy)]
struct Known {
    state: State,
    kin: Kin,
    begun: Instant,
    /// When something came from it last, if it was lost or has gone.
    ended: Instant,
    /// When it was there again, if it was lost.
    back: Instant,
    /// When it came or went, the last times; the newest first. In seconds and one more, since there are
    /// many of these.
    turns: [Option<NonZeroU32>; 3],
}

impl Known {
    fn turn(&mut self, at: Instant) {
        self.turns = [Some(moment(at)), self.turns[0], self.turns[1]];
    }

    /// Counts it if it has stayed, and ends its session if it has been pending for too long.
    fn settle(&mut self, now: Instant, totals: &mut Figures) {
        match self.state {
            State::New if now.since(self.begun) >= TRIED => self.arrived(totals),
            State::Back if now.since(self.back) >= TRIED => self.arrived(totals),
            State::Pending if now.since(self.ended) >= FLAP => self.end(Reason::Timeout, now, totals),
            State::New | State::Open | State::Pending | State::Back | State::Gone => {}
        }
    }

    /// It is there to stay, or was there whatever comes next: its session's beginning counts, or its flap.
    fn arrived(&mut self, totals: &mut Figures) {
        match self.state {
            State::New => {
                // Who has gone at some time has turned then.
                if self.turns[0].is_some() {
                    totals.returned(self.kin, self.begun.since(self.ended));
                } else {
                    totals.arrivals[self.kin as usize].0 += 1;
                }
                self.turn(self.begun);
            }
            State::Back => {
                totals.flaps[self.kin as usize] += 1;
                self.turn(self.back);
            }
            State::Open | State::Pending | State::Gone => return,
        }
        self.state = State::Open;
    }

    fn there(&mut self, kin: Kin, now: Instant) {
        // A child may become a superpeer without leaving.
        self.kin = kin;
        match self.state {
            State::New | State::Open | State::Back => {}
            State::Pending => (self.state, self.back) = (State::Back, now),
            State::Gone => (self.state, self.begun) = (State::New, now),
        }
    }

    /// It may have been away for a while before that was noticed.
    fn lost(&mut self, kin: Kin, heard: Instant, totals: &mut Figures) {
        self.arrived(totals);
        if self.state == State::Open && self.kin == kin {
            (self.state, self.ended) = (State::Pending, heard.max(self.begun));
            self.turn(self.ended);
        }
    }

    fn end(&mut self, reason: Reason, now: Instant, totals: &mut Figures) {
        self.arrived(totals);
        match self.state {
            State::Open => {
                self.ended = now;
                self.turn(now);
            }
            State::Pending => {}
            State::New | State::Back | State::Gone => return,
        }
        self.state = State::Gone;
        totals.departed(self.kin, reason, self.ended.since(self.begun));
    }

    /// Another superpeer is its parent. If it has only just come, or come back, it only tried us; false if it has
    /// never been here but for that.
    fn moved(&mut self, now: Instant, totals: &mut Figures) -> bool {
        match self.state {
            State::New => self.state = State::Gone,
            State::Back => {
                self.state = State::Pending;
                self.end(Reason::Moved, now, totals);
            }
            State::Open | State::Pending | State::Gone => self.end(Reason::Moved, now, totals),
        }
        self.turns[0].is_some()
    }

    /// Whether it is there now, for all that is known.
    fn is_there(&self) -> bool {
        matches!(self.state, State::New | State::Open | State::Back)
    }
}

/// How many bytes a known peer takes at most: its entry and its byte of the table where the table has just doubled
/// (seven sixteenths are filled then). There is nothing else: no list of those that are due, who are few and looked for
/// when somebody asks.
pub const BYTES_PER_PEER: usize = (size_of::<(PeerId, Known)>() + 1) * 16 / 7;

fn moment(at: Instant) -> NonZeroU32 {
    let secs = u32::try_from(at.since(Instant::default()).as_secs()).unwrap_or(u32::MAX);
    NonZeroU32::MIN.saturating_add(secs)
}

/// The book of sessions.
///
/// What becomes of a peer as time passes is written down when it is seen again or somebody asks for figures.
#[derive(Debug)]
pub(crate) struct Sessions {
    known: HashMap<PeerId, Known>,
    totals: Figures,
}

impl Sessions {
    /// An empty book, whose lengths are counted up to each of these bounds.
    pub(crate) fn new(bounds: Vec<Duration>) -> Self {
        Self { known: HashMap::new(), totals: Figures::new(bounds) }
    }

    /// Writes down what was seen.
    pub(crate) fn seen(&mut self, peer: PeerId, seen: Seen, now: Instant) {
        if matches!(seen, Seen::Blind) {
            self.settle(now);
            self.known.clear();
            return;
        }
        let Some(known) = self.known.get_mut(&peer) else {
            if let Seen::There(kin) = seen {
                self.insert(peer, kin, now);
            }
            return;
        };
        let totals = &mut self.totals;
        known.settle(now, totals);
        match seen {
            Seen::There(kin) => known.there(kin, now),
            Seen::Left => known.end(Reason::Graceful, now, totals),
            Seen::Moved => {
                if !known.moved(now, totals) {
                    self.known.remove(&peer);
                }
            }
            Seen::Replaced => known.end(Reason::Replaced, now, totals),
            Seen::Banned => known.end(Reason::Banned, now, totals),
            Seen::Lost { kin, heard } => known.lost(kin, heard, totals),
            Seen::Blind => {}
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

    fn insert(&mut self, peer: PeerId, kin: Kin, now: Instant) {
        if self.known.len() >= SESSIONS_KNOWN_MAX {
            self.settle(now);
            let gone = self.known.iter().filter(|(_, known)| known.state == State::Gone);
            let Some(oldest) = gone.min_by_key(|(_, known)| known.ended).map(|(peer, _)| *peer) else {
                self.totals.overlooked += 1;
                return;
            };
            self.known.remove(&oldest);
        }
        let (state, turns) = (State::New, [None; 3]);
        self.known.insert(peer, Known { state, kin, begun: now, ended: now, back: now, turns });
    }

    fn settle(&mut self, now: Instant) {
        for known in self.known.values_mut() {
            known.settle(now, &mut self.totals);
        }
    }
}

#[cfg(test)]
mod tests;
