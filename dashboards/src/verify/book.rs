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
    pub(super) until: Duration,
    pub(super) end: End,
}

/// What has to be measured.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) new: u32,
    pub(super) returning: u32,
    pub(super) graceful: u32,
    pub(super) timeout: u32,
    pub(super) flaps: u32,
    /// In seconds, in order.
    pub(super) sessions: Vec<f64>,
    pub(super) downtimes: Vec<f64>,
    /// Children online on average.
    pub(super) online: f64,
}

impl Expected {
    /// From all stays; all have ended for more than a minute when it is compared.
    pub(super) fn of(stays: &[Stay], length: Duration) -> Self {
        let mut expected = Self::default();
        let mut by_pair: BTreeMap<(&str, usize), Vec<&Stay>> = BTreeMap::new();
        for stay in stays {
            by_pair.entry((&stay.parent, stay.child)).or_default().push(stay);
        }
        for stays in by_pair.values_mut() {
            stays.sort_by_key(|stay| stay.from);
            expected.new += 1;
            let mut begun = stays[0].from;
            for (index, stay) in stays.iter().enumerate() {
                let next = stays.get(index + 1);
                let away = next.map(|next| next.from.saturating_sub(stay.until));
                if stay.end == End::Lost && away.is_some_and(|away| away < FLAP) {
                    expected.flaps += 1;
                    continue;
                }
                let counter = match stay.end {
                    End::Goodbye => &mut expected.graceful,
                    End::Lost => &mut expected.timeout,
                };
                *counter += 1;
                expected.sessions.push((stay.until - begun).as_secs_f64());
                if let (Some(next), Some(away)) = (next, away) {
                    expected.returning += 1;
                    expected.downtimes.push(away.as_secs_f64());
                    begun = next.from;
                }
            }
        }
        let there: f64 = stays.iter().map(|stay| (stay.until - stay.from).as_secs_f64()).sum();
        expected.online = there / length.as_secs_f64();
        expected.sessions.sort_by(f64::total_cmp);
        expected.downtimes.sort_by(f64::total_cmp);
        expected
    }

    pub(super) fn departures(&self) -> u32 {
        self.graceful + self.timeout
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { new, returning, graceful, timeout, flaps, online, .. } = self;
        write!(
            f,
            "{new} new and {returning} returning, {graceful} goodbyes, {timeout} lost, {flaps} flaps, {online:.2} online"
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
            until: Duration::from_secs(until),
            end,
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
        assert_eq!(expected.sessions, [10.0, 20.0, 40.0, 100.0]);
        assert_eq!(expected.downtimes, [100.0]);
        assert!((expected.online - 0.75).abs() < 1e-9);
    }
}
