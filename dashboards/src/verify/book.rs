//! What the script did, by the definitions of the dashboards: written apart from the exporter, so that one
//! checks the other.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a lost child may be away for it to be a flap.
const FLAP: Duration = Duration::from_secs(60);

/// How a stay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It said goodbye.
    Goodbye,
    /// It was killed, or moved to another parent.
    Lost,
}

/// A child at a parent, from then until then (since the script began).
#[derive(Debug, Clone)]
pub(super) struct Stay {
    pub(super) child: usize,
    pub(super) parent: String,
    pub(super) from: Duration,
    pub(super) until: Until,
    pub(super) end: End,
    /// Whom the child asked meanwhile to stand by: they know that it has another parent.
    pub(super) told: Vec<String>,
}

/// When a stay ended: after it was told to, and before its process had gone. On a busy machine that is not
/// the same.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Until {
    pub(super) earliest: Duration,
    pub(super) latest: Duration,
}

impl Until {
    /// Known exactly.
    pub(super) fn at(moment: Duration) -> Self {
        Self { earliest: moment, latest: moment }
    }
}

/// Between which bounds a figure lies, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Within {
    pub(super) least: f64,
    pub(super) most: f64,
}

impl From<u32> for Within {
    fn from(count: u32) -> Self {
        Self { least: count.into(), most: count.into() }
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most } = self;
        if most - least < 0.001 { write!(f, "{least:.3}") } else { write!(f, "{least:.3} to {most:.3}") }
    }
}

/// Lengths, as short and as long as each may have been; both in order, so that a quantile lies between the two.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    least: Vec<f64>,
    most: Vec<f64>,
}

impl Lengths {
    fn push(&mut self, least: Duration, most: Duration) {
        self.least.push(least.as_secs_f64());
        self.most.push(most.as_secs_f64());
    }

    fn sort(&mut self) {
        self.least.sort_by(f64::total_cmp);
        self.most.sort_by(f64::total_cmp);
    }

    /// The smallest length that so large a share do not exceed, none of none.
    pub(super) fn quantile(&self, share: f64) -> Option<Within> {
        let rank = (share * self.least.len() as f64).ceil().max(1.0);
        // A rank of a sample, so small.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to the length")]
        let index = rank as usize - 1;
        Some(Within { least: *self.least.get(index)?, most: *self.most.get(index)? })
    }
}

/// What has to be measured.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) new: u32,
    pub(super) returning: u32,
    pub(super) graceful: u32,
    pub(super) timeout: u32,
    pub(super) flaps: u32,
    pub(super) sessions: Lengths,
    pub(super) downtimes: Lengths,
    /// Children online on average.
    pub(super) online: Within,
}

impl Expected {
    /// From all stays; all have ended for more than a minute when it is compared.
    pub(super) fn of(all: &[Stay], length: Duration) -> Self {
        let mut expected = Self::default();
        let mut by_pair: BTreeMap<(&str, usize), Vec<&Stay>> = BTreeMap::new();
        for stay in all {
            by_pair.entry((&stay.parent, stay.child)).or_default().push(stay);
        }
        for stays in by_pair.values_mut() {
            stays.sort_by_key(|stay| stay.from);
            expected.new += 1;
            let mut begun = stays[0].from;
            for (index, stay) in stays.iter().enumerate() {
                let next = stays.get(index + 1);
                let away = |since: Duration| next.map(|next| next.from.saturating_sub(since));
                let soon = away(stay.until.latest).is_some_and(|away| away < FLAP);
                if stay.end == End::Lost && soon && !next.is_some_and(|next| told_between(all, stay, next)) {
                    expected.flaps += 1;
                    continue;
                }
                let counter = match stay.end {
                    End::Goodbye => &mut expected.graceful,
                    End::Lost => &mut expected.timeout,
                };
                *counter += 1;
                let Until { earliest, latest } = stay.until;
                expected.sessions.push(earliest.saturating_sub(begun), latest.saturating_sub(begun));
                if let (Some(next), Some(least), Some(most)) = (next, away(latest), away(earliest)) {
                    expected.returning += 1;
                    expected.downtimes.push(least, most);
                    begun = next.from;
                }
            }
        }
        let online = |until: fn(&Until) -> Duration| {
            let there = all.iter().map(|stay| until(&stay.until).saturating_sub(stay.from).as_secs_f64());
            there.sum::<f64>() / length.as_secs_f64()
        };
        expected.online =
            Within { least: online(|until| until.earliest), most: online(|until| until.latest) };
        expected.sessions.sort();
        expected.downtimes.sort();
        expected
    }

    pub(super) fn departures(&self) -> u32 {
        self.graceful + self.timeout
    }
}

/// Whether a parent was told between two stays of a child with it that the child has another one: who has moved
/// and comes back has not flapped.
fn told_between(all: &[Stay], stay: &Stay, next: &Stay) -> bool {
    let between = all.iter().filter(|other| other.child == stay.child && other.parent != stay.parent);
    let mut between = between.filter(|other| stay.from < other.from && other.from < next.from);
    between.any(|other| other.told.contains(&stay.parent))
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { new, returning, graceful, timeout, flaps, online, .. } = self;
        write!(
            f,
            "{new} new and {returning} returning, {graceful} goodbyes, {timeout} lost, {flaps} flaps, {online} online"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_add_up_by_the_definitions() {
        // Goal: the book that judges is right. Method: a flap, a return, a move, told by hand.
        let stay = |child, parent: &str, from, until, end| Stay {
            child,
            parent: parent.to_owned(),
            from: Duration::from_secs(from),
            until: Until::at(Duration::from_secs(until)),
            end,
            told: Vec::new(),
        };
        let stays = [
            stay(0, "a", 0, 10, End::Lost),
            stay(0, "a", 30, 40, End::Goodbye),
            stay(0, "a", 140, 150, End::Lost),
            // Back at another parent: lost there, new here.
            stay(0, "b", 160, 180, End::Goodbye),
            stay(1, "a", 100, 200, End::Lost),
        ];
        let expected = Expected::of(&stays, Duration::from_secs(200));
        assert_eq!((expected.new, expected.returning, expected.flaps), (3, 1, 1));
        assert_eq!((expected.graceful, expected.timeout), (2, 2));
        assert_eq!(expected.sessions.least, [10.0, 20.0, 40.0, 100.0]);
        assert_eq!(expected.sessions.most, expected.sessions.least);
        assert_eq!(expected.downtimes.least, [100.0]);
        assert!((expected.online.least - 0.75).abs() < 1e-9 && expected.online.most - 0.75 < 1e-9);
    }

    #[test]
    fn who_has_told_of_another_parent_has_not_flapped() {
        // Goal: a move there and back within a minute ends a session. Method: the same stays, told and not told (control).
        let counted = |told: &[&str]| {
            let stay = |parent: &str, from, end, told: &[&str]| Stay {
                child: 0,
                parent: parent.to_owned(),
                from: Duration::from_secs(from),
                until: Until::at(Duration::from_secs(from + 10)),
                end,
                told: told.iter().map(|who| (*who).to_owned()).collect(),
            };
            let stays = [
                stay("a", 0, End::Lost, &[]),
                stay("b", 20, End::Lost, told),
                stay("a", 40, End::Goodbye, &["b"]),
            ];
            let expected = Expected::of(&stays, Duration::from_secs(100));
            (expected.flaps, expected.returning, expected.timeout)
        };
        assert_eq!(counted(&["c"]), (1, 0, 1));
        assert_eq!(counted(&["c", "a"]), (0, 1, 2));
    }

    #[test]
    fn what_is_not_known_exactly_lies_between_two_bounds() {
        // Goal: a slow end makes no wrong figure. Method: two stays whose ends took two and four seconds, told by hand.
        let stay = |from, earliest, latest| {
            let [from, earliest, latest] = [from, earliest, latest].map(Duration::from_secs);
            let (until, told) = (Until { earliest, latest }, Vec::new());
            Stay { child: 0, parent: "a".to_owned(), from, until, end: End::Goodbye, told }
        };
        let expected = Expected::of(&[stay(0, 8, 12), stay(100, 110, 112)], Duration::from_secs(200));
        let quantile = |lengths: &Lengths, share| lengths.quantile(share).map(|it| (it.least, it.most));
        assert_eq!(quantile(&expected.sessions, 0.5), Some((8.0, 12.0)));
        assert_eq!(quantile(&expected.sessions, 0.75), Some((10.0, 12.0)));
        assert_eq!(quantile(&expected.downtimes, 0.5), Some((88.0, 92.0)));
        assert_eq!(quantile(&Lengths::default(), 0.5), None);
        assert!((expected.online.least - 0.09).abs() < 1e-9 && (expected.online.most - 0.12).abs() < 1e-9);
    }
}
