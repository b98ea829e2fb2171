//! Children that come, ask something, and go, each by its own draw.

use std::thread;
use std::time::{Duration, Instant};

use callbook_e2e::{Network, Peer};

use super::announcing;
use super::book::{End, Stay};

/// A name that is there.
pub(super) const NAME: &str = "somebody";

/// Lengths of sessions and absences, in seconds: on both sides of the buckets' bounds and never near one.
/// Absences are longer than a minute, except those of flaps.
const SESSIONS: [u64; 6] = [7, 8, 14, 16, 28, 33];
const ABSENCES: [u64; 2] = [64, 67];
const FLAPS: [u64; 2] = [12, 25];

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
        peer.wait("attached");
        let from = began.elapsed();
        let parent = peer.parent().unwrap_or_default();
        let session = draw.of(&SESSIONS);
        // In the middle, so that most are scraped before and after.
        thread::sleep((from + session / 2).saturating_sub(began.elapsed()));
        ask(peer, draw.below(1_000));
        thread::sleep((from + session).saturating_sub(began.elapsed()));
        let now = peer.parent().unwrap_or_default();
        let moved = now != parent;
        let (killed, flaps) = (draw.below(3) == 0, draw.below(2) == 0);
        let until = began.elapsed();
        let end = if killed { End::Lost } else { End::Goodbye };
        if killed {
            peer.kill();
        } else {
            peer.stop();
        }
        if moved {
            // When it did is not known; the middle is as good a guess as any.
            let middle = (from + until) / 2;
            stays.push(Stay { child, parent, from, until: middle, end: End::Lost });
            stays.push(Stay { child, parent: now, from: middle, until, end });
        } else {
            stays.push(Stay { child, parent, from, until, end });
        }
        thread::sleep(if killed && flaps { draw.of(&FLAPS) } else { draw.of(&ABSENCES) });
    }
    stays
}
