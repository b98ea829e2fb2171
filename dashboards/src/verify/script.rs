//! Children that come, ask something, and go, each by its own draw.

use std::thread;
use std::time::{Duration, Instant};

use callbook_e2e::{Network, Peer, until};

use super::announcing;
use super::book::{End, Stay, Until};

/// A name that is there.
pub(super) const NAME: &str = "somebody";

/// Lengths of sessions and absences, in seconds: on both sides of the buckets' bounds and never near one.
/// Absences are longer than a minute, except those of flaps.
const SESSIONS: [u64; 6] = [7, 8, 14, 16, 28, 33];
const ABSENCES: [u64; 2] = [64, 67];
const FLAPS: [u64; 2] = [12, 25];

/// How often a child's parents are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A small generator of its own for each child. Source: `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of(&mut self, seconds: &[u64]) -> Duration {
        let index = usize::try_from(self.below(seconds.len() as u64)).unwrap_or_default();
        Duration::from_secs(seconds[index])
    }
}

/// Runs all children for so long; their stays.
///
/// # Panics
/// A child does not do what it is told.
pub(super) fn run(
    network: &Network,
    (children, seed): (usize, u64),
    (began, length): (Instant, Duration),
) -> Vec<Stay> {
    let one = |child: usize| {
        let mut peer = network.peer(&format!("child-{child}"), &["--role", "child"]);
        live(&mut peer, (child, Draw(seed << 8 | child as u64)), (began, length))
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..children).map(|child| scope.spawn(move || one(child))).collect();
        let joined = running.into_iter().map(|child| match child.join() {
            Ok(stays) => stays,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    })
}

/// Looks a name up that is there, and one that is not.
pub(super) fn ask(peer: &Peer, number: u64) {
    drop(peer.ask(&["lookup", "--fresh", NAME]));
    drop(peer.ask(&["lookup", &format!("nobody-{number}")]));
}

/// Whom a child has told to be its parents, since when.
#[derive(Default)]
struct Parents(Vec<(String, Duration)>);

impl Parents {
    /// Whether there is one by now.
    fn look(&mut self, peer: &Peer, began: Instant) -> bool {
        let events = peer.process.as_ref().map(|process| process.events("attached")).unwrap_or_default();
        for event in events.iter().skip(self.0.len()) {
            self.0.push((event["peer"].as_str().unwrap_or_default().to_owned(), began.elapsed()));
        }
        !self.0.is_empty()
    }

    fn watch(&mut self, peer: &Peer, began: Instant, until: Duration) {
        while began.elapsed() < until {
            self.look(peer, began);
            thread::sleep(LOOK.min(until.saturating_sub(began.elapsed())));
        }
    }

    /// A move ends a stay as a loss does: the former parent is not told, unless it is asked to stand by, too.
    fn stays(self, child: usize, (until, end): (Until, End), told: &[String]) -> Vec<Stay> {
        let ends: Vec<_> = self.0.iter().skip(1).map(|(_, since)| (Until::at(*since), End::Lost)).collect();
        let ends = ends.into_iter().chain([(until, end)]);
        let stay =
            |((parent, from), (until, end))| Stay { child, parent, from, until, end, told: told.to_vec() };
        self.0.into_iter().zip(ends).map(stay).collect()
    }
}

/// Whom a child has asked to stand by.
fn told(peer: &Peer) -> Vec<String> {
    let status = peer.status();
    let standbys = status["standbys"].as_array().map(Vec::as_slice).unwrap_or_default();
    standbys.iter().filter_map(|standby| standby["peer"].as_str().map(str::to_owned)).collect()
}

fn live(
    peer: &mut Peer,
    (child, mut draw): (usize, Draw),
    (began, length): (Instant, Duration),
) -> Vec<Stay> {
    let mut stays = Vec::new();
    thread::sleep(Duration::from_secs(draw.below(30)));
    while began.elapsed() < length {
        let command = announcing(peer);
        peer.start_with(command);
        let mut parents = Parents::default();
        until("a child attaches", || parents.look(peer, began).then_some(()));
        let from = began.elapsed();
        let session = draw.of(&SESSIONS);
        // In the middle, so that most are scraped before and after.
        parents.watch(peer, began, from + session / 2);
        ask(peer, draw.below(1_000));
        parents.watch(peer, began, from + session);
        let (killed, flaps) = (draw.below(3) == 0, draw.below(2) == 0);
        let told = told(peer);
        parents.look(peer, began);
        let earliest = began.elapsed();
        let end = if killed { End::Lost } else { End::Goodbye };
        if killed {
            peer.kill();
        } else {
            peer.stop();
        }
        let until = Until { earliest, latest: began.elapsed() };
        stays.extend(parents.stays(child, (until, end), &told));
        thread::sleep(if killed && flaps { draw.of(&FLAPS) } else { draw.of(&ABSENCES) });
    }
    stays
}
