//! Children that come, ask something, and go, each by its own draw.
//!
//! What is drawn comes from decks rather than dice, so that each run has about the same share of each length and
//! each end, and none of them is near a bound. What happens on its own beside it (a child that moves to another
//! parent, on a machine that is busy) is written down as it happens.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use callbook_e2e::{Network, Peer, http_get, until};
use serde_json::Value;

use super::book::{End, Expected, Stay, When};

/// A name that is there.
pub(super) const NAME: &str = "somebody";

/// Lengths of sessions and absences, in seconds: on both sides of the buckets' bounds and never near one.
/// Absences are longer than a minute, except those of flaps.
///
/// Of sessions about 38 % last 7 s, 63 % at most 14 s, 88 % at most 28 s, and those with a flap longer (an eighth), so that no
/// quartile is near a bound either.
const SESSIONS: &[u64] = &[7, 7, 7, 14, 14, 28, 28];
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

/// Half of them would be flaps, but whoever is killed and back finds its former parent again in one of four cases
/// (measured: 4 of 16); in the others it has moved, or is lost to it.
const EXITS: &[Exit] = &[
    Exit::Goodbye,
    Exit::Flap,
    Exit::Goodbye,
    Exit::Flap,
    Exit::Killed,
    Exit::Flap,
    Exit::Goodbye,
    Exit::Flap,
];

/// How much oftener than it has to what is rare happens before the script ends: what counts as a loss may turn out
/// to be something else when a child is back, of which the book does not know yet.
const MARGIN: u32 = 2;

/// How often a child's parents are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long a script may last at the most, as a multiple of what was asked for: until there were turns enough.
const STRETCH: f64 = 1.5;

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

/// How long the script lasts: so long, and until children have come and gone so often, and flapped and been lost
/// often enough; but no child comes once more after [`STRETCH`] times as long.
pub(super) struct Length {
    pub(super) began: Instant,
    pub(super) least: Duration,
    pub(super) turns: usize,
    /// Each.
    pub(super) rare: u32,
}

/// What children have done so far: the book by which all is judged later, so that nothing ends before it has enough.
#[derive(Default)]
struct Done {
    turns: usize,
    stays: Vec<Stay>,
}

impl Done {
    fn note(&mut self, stays: Vec<Stay>) {
        self.turns += 1;
        self.stays.extend(stays);
    }

    /// How many flaps and losses there were for certain. Whoever is away now may be back soon, which makes a flap or
    /// a move of the loss.
    fn rare(&self) -> (f64, f64) {
        // Only the average that is not asked for here is of a length.
        let expected = Expected::of(&self.stays, Duration::from_secs(1));
        let last: BTreeMap<usize, End> = self.stays.iter().map(|stay| (stay.child, stay.end)).collect();
        let open = last.values().filter(|end| **end == End::Lost).count() as f64;
        (expected.flaps().least, f64::from(expected.killed()) - open)
    }
}

impl Length {
    fn is_over(&self, passed: Duration, done: &Done) -> bool {
        if passed < self.least || passed >= self.least.mul_f64(STRETCH) {
            return passed >= self.least;
        }
        let (flaps, losses) = done.rare();
        done.turns >= self.turns && flaps.min(losses) >= f64::from(self.rare + MARGIN)
    }
}

fn locked(done: &Mutex<Done>) -> MutexGuard<'_, Done> {
    done.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs all children for so long; their stays.
///
/// # Panics
/// A child does not do what it is told.
pub(super) fn run(network: &Network, (children, seed): (usize, u64), length: &Length) -> Vec<Stay> {
    let done = Mutex::new(Done::default());
    let one = |number: usize| {
        let peer = network.peer(&format!("child-{number}"), &["--role", "child"]);
        let draw = Draw(seed << 8 | number as u64);
        let mut child = Child { number, peer, draw, began: length.began };
        let is_over = || length.is_over(length.began.elapsed(), &locked(&done));
        child.live(is_over, |stays| locked(&done).note(stays));
    };
    thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..children).map(|child| scope.spawn(move || one(child))).collect();
        for child in running {
            if let Err(panic) = child.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let mut stays = std::mem::take(&mut locked(&done).stays);
    // Each child's own are in order.
    stays.sort_by_key(|stay| stay.child);
    stays
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
        let ends: Vec<_> = self.told.iter().skip(1).map(|(_, since)| (*since, End::Moved)).collect();
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

/// A child and its process.
struct Child {
    number: usize,
    peer: Peer,
    draw: Draw,
    began: Instant,
}

impl Child {
    fn live(&mut self, is_over: impl Fn() -> bool, note: impl Fn(Vec<Stay>)) {
        let (mut sessions, mut absences) = (Deck::new(SESSIONS), Deck::new(ABSENCES));
        let (mut exits, mut flaps) = (Deck::new(EXITS), Deck::new(FLAPS));
        thread::sleep(Duration::from_secs(self.draw.below(30) as u64));
        while !is_over() {
            let session = Duration::from_secs(sessions.deal(&mut self.draw));
            let exit = exits.deal(&mut self.draw);
            let (exit, stays) = self.stay(session, exit);
            note(stays);
            let absences = if exit == Exit::Flap { &mut flaps } else { &mut absences };
            thread::sleep(Duration::from_secs(absences.deal(&mut self.draw)));
        }
    }

    /// Comes, stays for so long, and goes; how, and what is to be written down.
    fn stay(&mut self, session: Duration, exit: Exit) -> (Exit, Vec<Stay>) {
        let (peer, began) = (&mut self.peer, self.began);
        let mut parents = Parents { told: Vec::new(), looked: began.elapsed() };
        peer.start();
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
        (exit, parents.stays(self.number, (until, end), &told))
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

    /// A stay of ten seconds.
    fn stay(child: usize, parent: &str, from: u64, end: End, told: &[&str]) -> Stay {
        let at = |secs| When { earliest: Duration::from_secs(secs), latest: Duration::from_secs(secs) };
        let told = told.iter().map(|who| (*who).to_owned()).collect();
        Stay { child, parent: parent.to_owned(), from: at(from), until: at(from + 10), end, told }
    }

    #[test]
    fn only_what_has_really_happened_counts() {
        // Goal: who is to flap, and does not, does not end the script. Method: one child killed and back, each way,
        // and one that is still away.
        let counted = |stays: &[Stay]| {
            let mut done = Done::default();
            stays.iter().for_each(|stay| done.note(vec![stay.clone()]));
            assert_eq!(done.turns, stays.len());
            done.rare()
        };
        let killed = || stay(0, "a", 0, End::Lost, &[]);
        let back = |parent, from, told: &[&str]| stay(0, parent, from, End::Goodbye, told);
        assert_eq!(counted(&[]), (0.0, 0.0));
        assert_eq!(counted(&[killed()]), (0.0, 0.0), "it may be back, or not");
        assert_eq!(counted(&[killed(), back("a", 22, &[])]), (1.0, 0.0));
        assert_eq!(counted(&[killed(), back("a", 69, &[])]), (0.0, 0.0), "within three seconds of a minute");
        assert_eq!(counted(&[killed(), back("a", 90, &[])]), (0.0, 1.0));
        assert_eq!(counted(&[killed(), back("b", 22, &[])]), (0.0, 1.0));
        assert_eq!(counted(&[killed(), back("b", 22, &["a"])]), (0.0, 0.0), "a move");
        let elsewhere = |told: &[&str]| [killed(), back("b", 22, told), back("a", 45, &[])];
        assert_eq!(counted(&elsewhere(&[])), (1.0, 0.0));
        assert_eq!(counted(&elsewhere(&["a"])), (0.0, 0.0));
        let another = stay(1, "a", 0, End::Lost, &[]);
        assert_eq!(counted(&[killed(), another, back("a", 22, &[])]), (1.0, 0.0), "the other is still away");
    }

    #[test]
    fn the_script_goes_on_until_there_is_enough_or_time_is_up() {
        // Goal: neither too few of what is rare nor an endless script. Method: books with just enough of each, and
        // with one less, at moments on both sides of both bounds.
        let began = Instant::now();
        let length = Length { began, least: Duration::from_secs(100), turns: 40, rare: 8 };
        let over = |flaps: usize, losses: usize, turns: usize| {
            let mut done = Done::default();
            for (child, back) in
                (0..flaps).map(|child| (child, 22)).chain((flaps..flaps + losses).map(|child| (child, 90)))
            {
                done.note(vec![stay(child, "a", 0, End::Lost, &[])]);
                done.note(vec![stay(child, "a", back, End::Goodbye, &[])]);
            }
            done.turns = turns;
            [99, 100, 149, 150].map(|passed| length.is_over(Duration::from_secs(passed), &done))
        };
        assert_eq!(over(10, 10, 40), [false, true, true, true]);
        for (flaps, losses, turns) in [(9, 10, 40), (10, 9, 40), (10, 10, 39), (0, 0, 1_000)] {
            assert_eq!(over(flaps, losses, turns), [false, false, false, true]);
        }
    }
}
