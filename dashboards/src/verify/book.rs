//! What the script did, by the definitions of the dashboards: written apart from the exporter, so that one
//! checks the other.
//!
//! The script knows only between which moments a child came or went, and on a busy machine those are apart. So
//! every figure is a range: whatever lies outside it did not happen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a lost child may be away for it to be a flap.
const FLAP: Duration = Duration::from_secs(60);

/// How much sooner or later than the script a superpeer may see who comes and goes. Guess: on a machine that is
/// busy with the test itself.
const LATE: Duration = Duration::from_secs(3);

/// How a stay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It said goodbye.
    Goodbye,
    /// It was killed.
    Lost,
    /// It went to another parent.
    Moved,
}

/// A child at a parent, from then until then (since the script began).
#[derive(Debug, Clone)]
pub(super) struct Stay {
    pub(super) child: usize,
    pub(super) parent: String,
    pub(super) from: When,
    pub(super) until: When,
    pub(super) end: End,
    /// Whom the child asked meanwhile to stand by: they know that it has another parent.
    pub(super) told: Vec<String>,
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { child, parent, from, until, end, told } = self;
        write!(f, "child {child} at {parent} from {from} until {until} ({end:?}), told {}", told.join(" "))
    }
}

/// When something happened: after the script had it done, and before the script saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct When {
    pub(super) earliest: Duration,
    pub(super) latest: Duration,
}

impl When {
    /// How long before `later` this was, at least and at most.
    fn before(self, later: Self) -> (Duration, Duration) {
        (later.earliest.saturating_sub(self.latest), later.latest.saturating_sub(self.earliest))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}–{:.2}", self.earliest.as_secs_f64(), self.latest.as_secs_f64())
    }
}

/// Between which bounds a figure lies, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Within {
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Within {
    fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let none = Self { least: f64::INFINITY, most: f64::NEG_INFINITY };
        figures.into_iter().fold(none, |Self { least, most }, figure| Self {
            least: least.min(figure),
            most: most.max(figure),
        })
    }

    /// How far outside a figure is.
    pub(super) fn beyond(&self, figure: f64) -> f64 {
        (self.least - figure).max(figure - self.most).max(0.0)
    }

    /// The same as a share of the nearer bound.
    pub(super) fn off(&self, figure: f64) -> f64 {
        let bound = if figure < self.least { self.least } else { self.most };
        if self.beyond(figure) > 0.0 { self.beyond(figure) / bound } else { 0.0 }
    }

    /// How far apart the bounds are, as a share of the upper one: what is compared with too wide a range is compared
    /// with nothing.
    pub(super) fn width(&self) -> f64 {
        if self.most == 0.0 { 0.0 } else { (self.most - self.least) / self.most }
    }

    /// The same multiplied.
    pub(super) fn times(&self, factor: f64) -> Self {
        Self { least: self.least * factor, most: self.most * factor }
    }

    /// The sum of both.
    pub(super) fn plus(&self, other: Self) -> Self {
        Self { least: self.least + other.least, most: self.most + other.most }
    }

    /// One range in relation to another.
    pub(super) fn over(&self, other: Self) -> Self {
        Self { least: self.least / other.most, most: self.most / other.least }
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most } = self;
        if most - least < 0.001 { write!(f, "{least:.3}") } else { write!(f, "{least:.3} to {most:.3}") }
    }
}

/// What has to be counted, if all that the script can't tell for certain went one way.
#[derive(Debug, Default)]
struct Account {
    new: u32,
    returning: u32,
    graceful: u32,
    lost: u32,
    /// Those of whom the former parent was told.
    moved: u32,
    flaps: u32,
    /// At least and at most, each in order; of those that moved apart.
    sessions: [Vec<f64>; 2],
    moves: [Vec<f64>; 2],
    downtimes: [Vec<f64>; 2],
}

impl Account {
    /// From all stays; `doubtful`: who may have flapped has.
    fn of(all: &[Stay], doubtful: bool) -> Self {
        let mut account = Self::default();
        let mut by_pair: BTreeMap<(&str, usize), Vec<&Stay>> = BTreeMap::new();
        for stay in all {
            by_pair.entry((&stay.parent, stay.child)).or_default().push(stay);
        }
        for stays in by_pair.values_mut() {
            stays.sort_by_key(|stay| stay.from.latest);
            account.new += 1;
            let mut begun = stays[0].from;
            for (index, stay) in stays.iter().enumerate() {
                let next = stays.get(index + 1);
                if stay.end != End::Goodbye && next.is_some_and(|next| flaps(all, (stay, next), doubtful)) {
                    account.flaps += 1;
                    continue;
                }
                let moved = has_moved(all, stay);
                let ended = if moved { &mut account.moves } else { &mut account.sessions };
                note(ended, begun.before(stay.until));
                match stay.end {
                    End::Goodbye => account.graceful += 1,
                    End::Moved | End::Lost if moved => account.moved += 1,
                    End::Moved | End::Lost => account.lost += 1,
                }
                if let Some(next) = next {
                    account.returning += 1;
                    note(&mut account.downtimes, stay.until.before(next.from));
                    begun = next.from;
                }
            }
        }
        let Self { sessions, downtimes, .. } = &mut account;
        for lengths in sessions.iter_mut().chain(downtimes) {
            lengths.sort_by(f64::total_cmp);
        }
        account
    }
}

fn note([least, most]: &mut [Vec<f64>; 2], (shortest, longest): (Duration, Duration)) {
    least.push(shortest.as_secs_f64());
    most.push(longest.as_secs_f64());
}

/// Whether who was lost and came back to the same parent has flapped.
fn flaps(all: &[Stay], (stay, next): (&Stay, &Stay), doubtful: bool) -> bool {
    let (shortest, longest) = stay.until.before(next.from);
    let soon = if doubtful { shortest < FLAP + LATE } else { longest + LATE < FLAP };
    soon && !told_between(all, stay, next)
}

/// Whether a parent from which a child was lost was told in time that it has another one: after a move, or after
/// it was killed and came back elsewhere.
fn has_moved(all: &[Stay], stay: &Stay) -> bool {
    let elsewhere = all.iter().filter(|other| other.child == stay.child && other.parent != stay.parent);
    let mut soon = elsewhere
        .filter(|other| stay.from.latest < other.from.latest && stay.until.before(other.from).0 < FLAP);
    stay.end != End::Goodbye && soon.any(|other| other.told.contains(&stay.parent))
}

/// Whether a parent was told between two stays of a child with it that the child has another one: who has moved
/// and comes back has not flapped.
fn told_between(all: &[Stay], stay: &Stay, next: &Stay) -> bool {
    let between = all.iter().filter(|other| other.child == stay.child && other.parent != stay.parent);
    let mut between =
        between.filter(|other| stay.from.latest < other.from.latest && other.from.latest < next.from.latest);
    between.any(|other| other.told.contains(&stay.parent))
}

/// What has to be measured.
#[derive(Debug)]
pub(super) struct Expected {
    /// If whoever may have flapped has, and has not.
    accounts: [Account; 2],
    /// Children online on average.
    pub(super) online: Within,
}

impl Expected {
    /// From all stays; all have ended for more than a minute when it is compared.
    pub(super) fn of(all: &[Stay], length: Duration) -> Self {
        let mean = |times: [f64; 2]| times.map(|sum| sum / length.as_secs_f64());
        let there = all.iter().fold([0.0; 2], |[least, most], stay| {
            let (shortest, longest) = stay.from.before(stay.until);
            [least + shortest.as_secs_f64(), most + longest.as_secs_f64()]
        });
        Self {
            accounts: [true, false].map(|doubtful| Account::of(all, doubtful)),
            online: Within::of(mean(there)),
        }
    }

    fn count(&self, count: impl Fn(&Account) -> u32) -> Within {
        Within::of(self.accounts.iter().map(|account| f64::from(count(account))))
    }

    /// Children that a superpeer had not seen before.
    pub(super) fn newcomers(&self) -> Within {
        self.count(|account| account.new)
    }

    /// Children that were back after a session had ended.
    pub(super) fn returning(&self) -> Within {
        self.count(|account| account.returning)
    }

    /// Goodbyes.
    pub(super) fn graceful(&self) -> Within {
        self.count(|account| account.graceful)
    }

    /// Sessions that ended without one, moves included: where they ended it may not be known why.
    pub(super) fn lost(&self) -> Within {
        self.count(|account| account.lost + account.moved)
    }

    /// Children that were killed and not soon back: how often this was done for certain.
    pub(super) fn killed(&self) -> u32 {
        self.accounts.iter().map(|account| account.lost).min().unwrap_or_default()
    }

    /// Sessions that ended because the child had told of another parent.
    pub(super) fn moved(&self) -> Within {
        self.count(|account| account.moved)
    }

    /// Of the sessions that ended, and did not go on at another parent: the share with a goodbye.
    pub(super) fn graceful_share(&self) -> Within {
        Within::of(
            self.accounts
                .iter()
                .map(|account| f64::from(account.graceful) / f64::from(account.graceful + account.lost)),
        )
    }

    /// The share of those that were at most so long.
    pub(super) fn up_to(&self, bound: f64) -> Within {
        Within::of(self.accounts.iter().flat_map(|account| {
            account.sessions.each_ref().map(|lengths| {
                lengths.iter().filter(|length| **length <= bound).count() as f64 / lengths.len() as f64
            })
        }))
    }

    /// The mean length of all that ended.
    pub(super) fn mean_session(&self) -> Within {
        Within::of(self.accounts.iter().flat_map(|account| {
            [0, 1].map(|end| {
                let all = || account.sessions[end].iter().chain(&account.moves[end]);
                all().sum::<f64>() / all().count() as f64
            })
        }))
    }

    /// Children that were lost and back at once.
    pub(super) fn flaps(&self) -> Within {
        self.count(|account| account.flaps)
    }

    /// Sessions that ended, moves not.
    pub(super) fn departures(&self) -> Within {
        self.count(|account| account.graceful + account.lost)
    }

    /// How often a child came or was back, and how often one went: whatever that counts as.
    pub(super) fn turns(&self) -> (u32, u32) {
        let [account, _] = &self.accounts;
        let Account { new, returning, graceful, lost, moved, flaps, .. } = account;
        (new + returning + flaps, graceful + lost + moved + flaps)
    }

    /// The length that a share of the sessions does not exceed.
    pub(super) fn session(&self, share: f64) -> Option<Within> {
        self.quantile(share, |account| &account.sessions)
    }

    /// The length that a share of the downtimes does not exceed.
    pub(super) fn downtime(&self, share: f64) -> Option<Within> {
        self.quantile(share, |account| &account.downtimes)
    }

    fn quantile(&self, share: f64, lengths: impl Fn(&Account) -> &[Vec<f64>; 2]) -> Option<Within> {
        let ends = self.accounts.iter().flat_map(|account| {
            let [least, most] = lengths(account);
            [quantile(least, share), quantile(most, share)]
        });
        let ends: Option<Vec<f64>> = ends.collect();
        let Within { least, most } = Within::of(ends?);
        let late = LATE.as_secs_f64() / 2.0;
        Some(Within { least: least - late, most: most + late })
    }
}

/// The smallest of them that so large a share do not exceed, none of none.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil().max(1.0);
    // A rank of a sample, so small.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to the length")]
    let index = rank as usize - 1;
    sorted.get(index).copied()
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [new, returning, graceful, lost, moved, flaps] =
            [self.newcomers(), self.returning(), self.graceful(), self.lost(), self.moved(), self.flaps()];
        let online = self.online;
        write!(
            f,
            "{new} new and {returning} returning, {graceful} goodbyes, {lost} lost ({moved} told of a move), \
             {flaps} flaps, {online} online"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> When {
        let moment = Duration::from_secs(secs);
        When { earliest: moment, latest: moment }
    }

    fn stay(child: usize, parent: &str, (from, until): (When, When), end: End) -> Stay {
        Stay { child, parent: parent.to_owned(), from, until, end, told: Vec::new() }
    }

    fn exactly(figures: [Within; 5]) -> [f64; 5] {
        assert!(figures.iter().all(|figure| figure.least == figure.most), "{figures:?}");
        figures.map(|figure| figure.least)
    }

    #[test]
    fn stays_add_up_by_the_definitions() {
        // Goal: the book that judges is right. Method: a flap, a return, a move, told by hand.
        let stays = [
            stay(0, "a", (at(0), at(10)), End::Lost),
            stay(0, "a", (at(30), at(40)), End::Goodbye),
            stay(0, "a", (at(140), at(150)), End::Lost),
            // Back at another parent: lost there, new here.
            stay(0, "b", (at(160), at(180)), End::Goodbye),
            stay(1, "a", (at(100), at(200)), End::Lost),
        ];
        let expected = Expected::of(&stays, Duration::from_secs(200));
        let counts = [
            expected.newcomers(),
            expected.returning(),
            expected.flaps(),
            expected.graceful(),
            expected.lost(),
        ];
        assert_eq!(exactly(counts), [3.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(expected.turns(), (5, 5));
        let [account, _] = &expected.accounts;
        assert_eq!(account.sessions, [[10.0, 20.0, 40.0, 100.0]; 2]);
        assert_eq!(account.downtimes, [[100.0]; 2]);
        assert_eq!(expected.online, Within { least: 0.75, most: 0.75 });
    }

    #[test]
    fn who_has_told_of_another_parent_has_not_flapped() {
        // Goal: a move there and back within a minute ends a session. Method: the same stays, told and not told (control).
        let counted = |told: &[&str]| {
            let mut stays = [
                stay(0, "a", (at(0), at(10)), End::Lost),
                stay(0, "b", (at(20), at(30)), End::Lost),
                stay(0, "a", (at(40), at(50)), End::Goodbye),
            ];
            stays[1].told = told.iter().map(|who| (*who).to_owned()).collect();
            let expected = Expected::of(&stays, Duration::from_secs(100));
            exactly([
                expected.flaps(),
                expected.returning(),
                expected.lost(),
                expected.newcomers(),
                expected.graceful(),
            ])
        };
        assert_eq!(counted(&["c"]), [1.0, 0.0, 1.0, 2.0, 1.0]);
        assert_eq!(counted(&["c", "a"]), [0.0, 1.0, 2.0, 2.0, 1.0]);
    }

    #[test]
    fn who_told_of_another_parent_has_moved_and_is_no_departure() {
        // Goal: moves stand apart from departures and their lengths. Method: one that is told (at once, or when a
        // killed child is back elsewhere), and one that is not.
        let told = |told: &[&str], end| {
            let mut stays = [
                stay(0, "a", (at(0), at(10)), end),
                stay(0, "b", (at(20), at(50)), End::Goodbye),
                stay(1, "a", (at(0), at(20)), End::Lost),
            ];
            stays[1].told = told.iter().map(|who| (*who).to_owned()).collect();
            Expected::of(&stays, Duration::from_secs(100))
        };
        for end in [End::Moved, End::Lost] {
            let expected = told(&["c", "a"], end);
            let counts = [
                expected.lost(),
                expected.moved(),
                expected.departures(),
                expected.graceful(),
                expected.flaps(),
            ];
            assert_eq!(exactly(counts), [2.0, 1.0, 2.0, 1.0, 0.0]);
            assert_eq!(expected.graceful_share(), Within { least: 0.5, most: 0.5 });
            assert_eq!(expected.up_to(25.0), Within { least: 0.5, most: 0.5 }, "the move is not in it");
            assert_eq!(expected.mean_session(), Within { least: 20.0, most: 20.0 });
            assert_eq!(expected.killed(), 1);
            let expected = told(&["c"], end);
            assert_eq!((exactly([expected.departures(); 5])[0], expected.killed()), (3.0, 2));
        }
    }

    #[test]
    fn what_is_not_known_exactly_lies_between_two_bounds() {
        // Goal: a slow machine makes no wrong figure. Method: two stays with slow beginnings and ends, told by hand.
        let when = |earliest, latest| When {
            earliest: Duration::from_secs(earliest),
            latest: Duration::from_secs(latest),
        };
        let stays = [
            stay(0, "a", (when(0, 1), when(18, 22)), End::Goodbye),
            stay(0, "a", (when(100, 103), when(110, 112)), End::Goodbye),
        ];
        let expected = Expected::of(&stays, Duration::from_secs(200));
        let [account, _] = &expected.accounts;
        assert_eq!(account.sessions, [[7.0, 17.0], [12.0, 22.0]]);
        assert_eq!(account.downtimes, [[78.0], [85.0]]);
        assert_eq!(expected.online, Within { least: 0.12, most: 0.17 });
        let median = expected.session(0.5).unwrap();
        assert!(median.least < 7.0 && median.most > 12.0 && median.least > 0.0 && median.most < 17.0);
        assert_eq!(Expected::of(&[], Duration::from_secs(1)).session(0.5), None);
    }

    #[test]
    fn who_may_have_flapped_has_or_has_not() {
        // Goal: an absence of about a minute is wrong neither way. Method: absences on both sides, and so wide that
        // both is possible.
        let counted = |earliest, latest| {
            let back = When { earliest: Duration::from_secs(earliest), latest: Duration::from_secs(latest) };
            let stays =
                [stay(0, "a", (at(0), at(100)), End::Lost), stay(0, "a", (back, at(300)), End::Goodbye)];
            let expected = Expected::of(&stays, Duration::from_secs(300));
            [expected.flaps(), expected.returning()].map(|figure| (figure.least, figure.most))
        };
        assert_eq!(counted(125, 130), [(1.0, 1.0), (0.0, 0.0)]);
        assert_eq!(counted(164, 166), [(0.0, 0.0), (1.0, 1.0)]);
        assert_eq!(counted(150, 170), [(0.0, 1.0), (0.0, 1.0)]);
        assert_eq!(counted(159, 159), [(0.0, 1.0), (0.0, 1.0)]);
    }

    #[test]
    fn a_figure_within_its_bounds_is_not_off() {
        // Goal: what is printed is how far it is off. Method: inside, below, above.
        let wanted = Within { least: 10.0, most: 20.0 };
        assert_eq!([10.0, 15.0, 20.0, 9.0, 22.0].map(|figure| wanted.off(figure)), [0.0, 0.0, 0.0, 0.1, 0.1]);
        assert_eq!((wanted.width(), Within { least: 0.0, most: 0.0 }.width()), (0.5, 0.0));
        let other = Within { least: 2.0, most: 5.0 };
        assert_eq!(wanted.over(other), Within { least: 2.0, most: 10.0 });
    }
}
