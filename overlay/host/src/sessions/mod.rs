//! Who was here and for how long: churn as a superpeer sees it with its own eyes.
//!
//! ```text
//!             there                     lost                       60 s
//!  (unknown) ──────▶ open ─────────────────────────▶ pending ─────────────▶ gone: timeout
//!                     ▲ │ ▲                             │                    │
//!                     │ │ └──────── there: a flap ──────┘                    │
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
//! never one and leaves no trace.
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
    /// When it came or went, the last times; the newest first. In seconds and one more, since there are
    /// many of these.
    turns: [Option<NonZeroU32>; 3],
}

impl Known {
    fn turn(&mut self, at: Instant) {
        self.turns = [Some(moment(at)), self.turns[0], self.turns[1]];
    }
}

/// How many bytes a known peer takes at most: its entry and its byte of the table where the table has just doubled
/// (seven sixteenths are filled then). Who has come or was lost within the last minute takes up to 76 more.
pub const BYTES_PER_PEER: usize = (size_of::<(PeerId, Known)>() + 1) * 16 / 7;

fn moment(at: Instant) -> NonZeroU32 {
    let secs = u32::try_from(at.since(Instant::default()).as_secs()).unwrap_or(u32::MAX);
    NonZeroU32::MIN.saturating_add(secs)
}

/// The book of sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    known: HashMap<PeerId, Known>,
    /// Who is new, by when it came.
    new: BTreeSet<(Instant, PeerId)>,
    /// Who is pending, by when it was lost.
    pending: BTreeSet<(Instant, PeerId)>,
    totals: Figures,
}

impl Sessions {
    /// An empty book, whose lengths are counted up to each of these bounds.
    pub(crate) fn new(bounds: Vec<Duration>) -> Self {
        let (new, pending) = (BTreeSet::new(), BTreeSet::new());
        Self { known: HashMap::new(), new, pending, totals: Figures::new(bounds) }
    }

    /// Writes down what was seen.
    pub(crate) fn seen(&mut self, peer: PeerId, seen: Seen, now: Instant) {
        self.settle(now);
        match seen {
            Seen::There(kin) => self.there(peer, kin, now),
            Seen::Left => self.ended(&peer, Reason::Graceful, now),
            Seen::Moved => self.moved(&peer, now),
            Seen::Replaced => self.ended(&peer, Reason::Replaced, now),
            Seen::Banned => self.ended(&peer, Reason::Banned, now),
            Seen::Lost { kin, heard } => self.lost(peer, kin, heard),
            Seen::Blind => {
                self.known.clear();
                self.new.clear();
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
            State::New | State::Open => {}
            State::Pending => {
                self.pending.remove(&(known.ended, peer));
                known.state = State::Open;
                known.turn(now);
                self.totals.flaps[kin as usize] += 1;
            }
            State::Gone => {
                (known.state, known.begun) = (State::New, now);
                self.new.insert((now, peer));
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
        self.known.insert(peer, Known { state: State::New, kin, begun: now, ended: now, turns: [None; 3] });
        self.new.insert((now, peer));
    }

    /// It may have been away for a while before that was noticed.
    fn lost(&mut self, peer: PeerId, kin: Kin, heard: Instant) {
        self.arrived(&peer);
        let Some(known) = self.known.get_mut(&peer) else { return };
        if known.state == State::Open && known.kin == kin {
            let ended = heard.max(known.begun);
            (known.state, known.ended) = (State::Pending, ended);
            known.turn(ended);
            self.pending.insert((ended, peer));
        }
    }

    /// It is there to stay, or was there whatever comes next: its session's beginning counts.
    fn arrived(&mut self, peer: &PeerId) {
        let Some(known) = self.known.get_mut(peer).filter(|known| known.state == State::New) else { return };
        self.new.remove(&(known.begun, *peer));
        known.state = State::Open;
        // Who has gone at some time has turned then.
        if known.turns[0].is_some() {
            self.totals.returned(known.kin, known.begun.since(known.ended));
        } else {
            self.totals.arrivals[known.kin as usize].0 += 1;
        }
        known.turn(known.begun);
    }

    /// Another superpeer is its parent. If it was new, it only tried us.
    fn moved(&mut self, peer: &PeerId, now: Instant) {
        let Some(known) = self.known.get_mut(peer) else { return };
        if known.state != State::New {
            return self.ended(peer, Reason::Moved, now);
        }
        self.new.remove(&(known.begun, *peer));
        known.state = State::Gone;
        if known.turns[0].is_none() {
            self.known.remove(peer);
        }
    }

    fn ended(&mut self, peer: &PeerId, reason: Reason, now: Instant) {
        self.arrived(peer);
        let Some(known) = self.known.get_mut(peer) else { return };
        match known.state {
            State::Open => {
                known.ended = now;
                known.turn(now);
            }
            State::Pending => {
                self.pending.remove(&(known.ended, *peer));
            }
            State::New | State::Gone => return,
        }
        known.state = State::Gone;
        self.totals.departed(known.kin, reason, known.ended.since(known.begun));
    }

    /// Counts who has stayed, and ends what has been pending for too long.
    fn settle(&mut self, now: Instant) {
        while let Some((came, peer)) = self.new.first().copied()
            && now.since(came) >= TRIED
        {
            self.arrived(&peer);
        }
        while let Some((lost, peer)) = self.pending.first().copied()
            && now.since(lost) >= FLAP
        {
            self.ended(&peer, Reason::Timeout, now);
        }
    }
}

#[cfg(test)]
mod tests;
