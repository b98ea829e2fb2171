//! Children that come, ask something, and go, each by its own draw.
//!
//! What is drawn comes from decks rather than dice, so that each run has about the same share of each length and
//! each end, and none of them is near a bound. What happens on its own beside it (a child that moves to another
//! parent, on a machine that is busy) is written down as it happens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callbook_e2e::{Network, Peer, http_get, until};
use serde_json::Value;

use super::announcing;
use super::book::{End, Stay, When};

/// A name that is there.
pub(super) const NAME: &str = "somebody";

/// Lengths of sessions and absences, in seconds: on both sides of the buckets' bounds and never near one.
/// Absences are longer than a minute, except those of flaps.
const SESSIONS: &[u64] = &[7, 14, 28];
const ABSENCES: &[u64] = &[64, 64, 82];
const FLAPS: &[u64] = &[12, 25];

/// What a child does at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Goodbye,
    Killed,
    /// Killed, and soon back.
    Flap,
}

const EXITS: &[Exit] =
    &[Exit::Goodbye, Exit::Flap, Exit::Goodbye, Exit::Killed, Exit::Goodbye, Exit::Goodbye];

/// How often a child's parents are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long a script may last at the most, as a multiple of what was asked for: until there were turns enough.
const STRETCH: u32 = 2;

/// A small generator of its own for each child. Source: `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or_default()
    }
}

/// Cards that are dealt once each before they are shuffled again.
struct Deck<T: 'static> {
    all: &'static [T],
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    fn new(all: &'static [T]) -> Self {
        Self { all, left: Vec::new() }
    }

    fn deal(&mut self, draw: &mut Draw) -> T {
        if self.left.is_empty() {
            self.left = self.all.to_vec();
        }
        self.left.swap_remove(draw.below(self.left.len()))
    }
}

/// How long the script lasts: so long, and until children have come and gone so often.
pub(super) struct Length {
    pub(super) began: Instant,
    pub(super) least: Duration,
    pub(super) turns: usize,
}

impl Length {
    fn is_over(&self, turns: &AtomicUsize) -> bool {
        let passed = self.began.elapsed();
        passed >= self.least && turns.load(Ordering::Relaxed) >= self.turns || passed >= self.least * STRETCH
    }
}

/// Runs all children for so long; their stays.
///
/// # Panics
/// A child does not do what it is told.
pub(super) fn run(network: &Network, (children, seed): (usize, u64), length: &Length) -> Vec<Stay> {
    let turns = AtomicUsize::new(0);
    let one = |number: usize| {
        let peer = network.peer(&format!("child-{number}"), &["--role", "child"]);
        let draw = Draw(seed << 8 | number as u64);
        let mut child = Child { number, peer, draw, began: length.began, stays: Vec::new() };
        child.live(|| length.is_over(&turns), || _ = turns.fetch_add(1, Ordering::Relaxed));
        child.stays
    };
    thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..children).map(|child| scope.spawn(move || one(child))).collect();
        let joined = running.into_iter().map(|child| match child.join() {
            Ok(stays) => stays,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    })
}

/// Looks a name up that is there, and one that is not.
pub(super) fn ask(peer: &Peer, number: usize) {
    drop(peer.ask(&["lookup", "--fresh", NAME]));
    drop(peer.ask(&["lookup", &format!("nobody-{number}")]));
}

/// Whom a child has told to be its parents, since when.
struct Parents {
    told: Vec<(String, When)>,
    /// When it was looked for the last time, or the child was started.
    looked: Duration,
}

impl Parents {
    /// Whether there is one by now.
    fn look(&mut self, peer: &Peer, began: Instant) -> bool {
        let looking = began.elapsed();
        let events = peer.process.as_ref().map(|process| process.events("attached")).unwrap_or_default();
        let when = When { earliest: self.looked, latest: began.elapsed() };
        for event in events.iter().skip(self.told.len()) {
            self.told.push((text(&event["peer"]), when));
        }
        self.looked = looking;
        !self.told.is_empty()
    }

    fn watch(&mut self, peer: &Peer, began: Instant, until: Duration) {
        while began.elapsed() < until {
            self.look(peer, began);
            thread::sleep(LOOK.min(until.saturating_sub(began.elapsed())));
        }
    }

    /// A move ends a stay as a loss does: the former parent is not told, unless it is asked to stand by, too.
    fn stays(self, child: usize, (until, end): (When, End), told: &[String]) -> Vec<Stay> {
        let ends: Vec<_> = self.told.iter().skip(1).map(|(_, since)| (*since, End::Lost)).collect();
        let ends = ends.into_iter().chain([(until, end)]);
        let stay =
            |((parent, from), (until, end))| Stay { child, parent, from, until, end, told: told.to_vec() };
        self.told.into_iter().zip(ends).map(stay).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether a child's end would be noticed at once: over QUIC, which it tries when TCP is slow, it would be half a
/// minute later, and a short absence never.
fn is_noticed(peer: &Peer) -> bool {
    let page = http_get(&text(&peer.ready()["metrics"]), "/metrics").body;
    let established =
        page.lines().filter(|line| line.starts_with("libp2p_swarm_connections_established_total{"));
    !established.filter(|line| line.contains("quic")).any(|line| !line.ends_with(" 0"))
}

/// A child, its process, and what became of it.
struct Child {
    number: usize,
    peer: Peer,
    draw: Draw,
    began: Instant,
    stays: Vec<Stay>,
}

impl Child {
    fn live(&mut self, is_over: impl Fn() -> bool, turn: impl Fn()) {
        let (mut sessions, mut absences) = (Deck::new(SESSIONS), Deck::new(ABSENCES));
        let (mut exits, mut flaps) = (Deck::new(EXITS), Deck::new(FLAPS));
        thread::sleep(Duration::from_secs(self.draw.below(30) as u64));
        while !is_over() {
            let session = Duration::from_secs(sessions.deal(&mut self.draw));
            let exit = exits.deal(&mut self.draw);
            let exit = self.stay(session, exit);
            turn();
            let absences = if exit == Exit::Flap { &mut flaps } else { &mut absences };
            thread::sleep(Duration::from_secs(absences.deal(&mut self.draw)));
        }
    }

    /// Comes, stays for so long, and goes; how.
    fn stay(&mut self, session: Duration, exit: Exit) -> Exit {
        let (peer, began) = (&mut self.peer, self.began);
        let mut parents = Parents { told: Vec::new(), looked: began.elapsed() };
        let command = announcing(peer);
        peer.start_with(command);
        until("a child attaches", || parents.look(peer, began).then_some(()));
        let from = began.elapsed();
        // In the middle, so that most are scraped before and after.
        parents.watch(peer, began, from + session / 2);
        ask(peer, self.draw.below(1_000));
        parents.watch(peer, began, from + session);
        let exit = if exit == Exit::Goodbye || is_noticed(peer) { exit } else { Exit::Goodbye };
        // Who is between two parents can't say goodbye to any.
        let told = until("a child has the parent that it told of", || {
            parents.look(peer, began);
            let status = peer.status();
            let last = parents.told.last().map(|(parent, _)| parent.as_str());
            let standbys = status["standbys"].as_array().map(Vec::as_slice).unwrap_or_default();
            let told = || standbys.iter().map(|standby| text(&standby["peer"])).collect::<Vec<_>>();
            (status["parent"]["peer"].as_str() == last).then(told)
        });
        let earliest = began.elapsed();
        let end = match exit {
            Exit::Goodbye => {
                peer.stop();
                End::Goodbye
            }
            Exit::Killed | Exit::Flap => {
                peer.kill();
                End::Lost
            }
        };
        let until = When { earliest, latest: began.elapsed() };
        self.stays.extend(parents.stays(self.number, (until, end), &told));
        exit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deck_deals_each_card_once_before_it_begins_anew() {
        // Goal: shares of what is drawn don't hang on chance. Method: three rounds of a deck, sorted.
        let (mut deck, mut draw) = (Deck::new(SESSIONS), Draw(7));
        for _ in 0..3 {
            let mut round: Vec<u64> = (0..SESSIONS.len()).map(|_| deck.deal(&mut draw)).collect();
            round.sort_unstable();
            assert_eq!(round, SESSIONS);
        }
    }
}
