//! What the book adds up to: levels as of now, and totals since this census started.
//!
//! Levels (who is there, for how long, in which class) are read from the book's sessions; totals (arrivals,
//! departures, lengths) are counted as visits change them, so that they only grow while the process runs.
//! Children are known by number alone: they are in the network's size, and not among those who are online, whom a
//! sum over superpeers counts already.
//!
//! *Not here*: how they are exported (`callbook_host::metrics::observer`).

use std::collections::BTreeMap;
use std::time::Duration;

use callbook_host::metrics::observer::{
    CLASSES, METHODS, Observation, Reason as Exported, UPTIMES, VISITS, WINDOWS,
};
use callbook_overlay::api::Kin;
use callbook_overlay::key::PeerId;
use callbook_overlay::time::Unix;

use super::book::{SessionRow, WalkRow};
use super::estimate::Size;
use super::limits::KEPT_IN_VIEW;
use super::sessions::{Change, FLAP, Reason, Session, State};
use super::since;
use super::survival::{Length, Survival};
use super::walk::Found;

/// What classes look back on. Source: ProbeLab's weekly reports use a week; issue 5 asks for a day.
pub(super) const CLASS_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A departure that may still turn out to be a flap is not counted: kept until then.
#[derive(Debug, Default)]
pub(super) struct Departures(Vec<(PeerId, Unix, Reason, Duration)>);

/// Counts what visits have changed.
pub(super) fn count(
    seen: &mut Observation,
    late: &mut Departures,
    found: &Found,
    changes: &[(PeerId, Change)],
    now: Unix,
) {
    for visit in &found.visits {
        let word = visit.result.as_ref().map_or_else(|failure| failure.word(), |_| "reached");
        if let Some(place) = VISITS.iter().position(|known| *known == word) {
            seen.visits[place] += 1;
        }
    }
    seen.bad_hints += found.bad_hints;
    seen.overlooked += found.overlooked;
    let superpeer = Kin::Superpeer as usize;
    for (peer, change) in changes {
        match change {
            Change::New => seen.figures.arrivals[superpeer].0 += 1,
            Change::Returned(away) => seen.figures.returned(Kin::Superpeer, *away),
            Change::Recovered => seen.recovered += 1,
            Change::Flapped => {
                seen.figures.flaps[superpeer] += 1;
                // Its departure was none.
                late.0.retain(|(gone, ..)| gone != peer);
            }
            Change::Departed(reason, length) => late.0.push((*peer, now, *reason, *length)),
            Change::Noticed | Change::Doubted => {}
        }
    }
    let (open, over): (Vec<_>, Vec<_>) =
        late.0.drain(..).partition(|(_, at, reason, _)| *reason == Reason::Timeout && now.since(*at) <= FLAP);
    late.0 = open;
    for (_, _, reason, length) in over {
        let exported = match reason {
            Reason::Graceful => Exported::Graceful,
            Reason::Timeout => Exported::Timeout,
            Reason::Replaced => Exported::Replaced,
            // Nobody saw it go.
            Reason::Unobserved => continue,
        };
        seen.figures.departed(Kin::Superpeer, exported, length);
    }
}

/// Sets all levels from the book.
pub(super) fn set_levels(seen: &mut Observation, rows: &[SessionRow], walk: Option<&WalkRow>, now: Unix) {
    let of = by_peer(rows);
    let superpeer = Kin::Superpeer as usize;
    let figures = &mut seen.figures;
    figures.known = of.len() as u64;
    figures.online[superpeer] = 0;
    (figures.uptimes, figures.windows, figures.classes) = Default::default();
    for sessions in of.values() {
        let Some(last) = sessions.last() else { continue };
        if last.state == State::Open {
            figures.online[superpeer] += 1;
            let age = now.since(last.first);
            let old =
                UPTIMES.iter().zip(&mut figures.uptimes[superpeer]).filter(|((_, least), _)| age >= *least);
            old.for_each(|(_, count)| *count += 1);
        }
        let ago = if last.state == State::Open { Duration::ZERO } else { now.since(last.last) };
        let lately =
            WINDOWS.iter().zip(&mut figures.windows[superpeer]).filter(|((_, most), _)| ago <= *most);
        lately.for_each(|(_, count)| *count += 1);
        figures.classes[superpeer][class(sessions, now)] += 1;
    }
    let survival = Survival::of(&lengths(rows, since(now, KEPT_IN_VIEW)));
    seen.survival = UPTIMES.map(|(_, age)| survival.at(age.as_secs_f64()));
    if let Some(walk) = walk {
        seen.superpeers = [walk.reached, walk.unreached];
        seen.telling = walk.telling;
        set_sizes(seen, walk);
        if walk.complete {
            seen.last_success = walk.ended;
        }
    }
}

/// What there are too few to estimate from is no number, rather than none of them.
fn set_sizes(seen: &mut Observation, walk: &WalkRow) {
    const UNKNOWN: Size = Size { mean: f64::NAN, deviation: f64::NAN };
    let counted = Size { mean: walk.reached as f64, deviation: 0.0 };
    let mean = if walk.telling == 0 { f64::NAN } else { walk.children as f64 / walk.telling as f64 };
    let guessed = [walk.density, walk.recapture].map(|size| size.known().unwrap_or(UNKNOWN));
    let sizes: [Size; METHODS.len()] = [counted, guessed[0], guessed[1]];
    seen.sizes[Kin::Superpeer as usize] = sizes.map(|size| (size.mean, size.deviation));
    seen.sizes[Kin::Child as usize] = sizes.map(|size| (size.mean * mean, size.deviation * mean));
}

/// Each superpeer's sessions, in order.
pub(super) fn by_peer(rows: &[SessionRow]) -> BTreeMap<PeerId, Vec<Session>> {
    let mut of = BTreeMap::<PeerId, Vec<Session>>::new();
    rows.iter().for_each(|row| of.entry(row.peer).or_default().push(row.session));
    of
}

/// The lengths of those sessions whose beginning was observed, at a time or after it. Of those that began before,
/// only the long ones are seen still: with them, sessions would seem longer than they are.
pub(super) fn lengths(rows: &[SessionRow], from: Unix) -> Vec<Length> {
    let begun = rows.iter().map(|row| row.session);
    begun
        .filter(|session| session.begun && session.first >= from)
        .map(|session| {
            let ended = matches!(session.state, State::Closed(reason) if reason != Reason::Unobserved);
            (session.length().as_secs_f64(), ended)
        })
        .collect()
}

/// A superpeer's class, as an index into [`CLASSES`]: what it did within the window, and how it stands.
pub(super) fn class(sessions: &[Session], now: Unix) -> usize {
    let within = |at: Unix| now.since(at) <= CLASS_WINDOW;
    let turns = |session: &Session| {
        let left = matches!(session.state, State::Closed(reason) if reason != Reason::Unobserved);
        usize::from(session.begun && within(session.first))
            + usize::from(left && session.closed.is_some_and(within))
    };
    let turned: usize = sessions.iter().map(turns).sum();
    let word = match (turned, sessions.last().is_some_and(Session::goes_on)) {
        (0, true) => "online",
        (0, false) => "offline",
        (1, true) => "entered",
        (1, false) => "left",
        (2, false) => "oneoff",
        (_, _) => "dangling",
    };
    CLASSES.iter().position(|class| *class == word).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::sessions::visited;
    use super::super::walk::Failure;
    use super::*;

    const HOUR: u64 = 3_600;

    fn at(hours: u64) -> Unix {
        Unix::from_secs(10_000_000 + hours * HOUR)
    }

    /// The sessions of one that is visited each half hour from `from` to `until`, and there in these hours.
    fn sessions(there: &[(u64, u64)], until: u64, watched_from: u64) -> Vec<Session> {
        let mut all: Vec<Session> = Vec::new();
        for half in 0..=2 * until {
            let now = at(0) + Duration::from_secs(half * HOUR / 2);
            let is_there = there.iter().any(|(from, until)| (2 * from..2 * until).contains(&half));
            let result = if is_there { Ok(()) } else { Err(Failure::Silent) };
            let outcome = visited(all.last(), result, now, half >= 2 * watched_from);
            if let Some(changed) = outcome.last {
                *all.last_mut().unwrap() = changed;
            }
            all.extend(outcome.begun);
        }
        all
    }

    #[test]
    fn classes_say_what_a_peer_did_within_a_day() {
        // Goal: the six classes. Method: two days of visits to six superpeers, looked at in the end.
        for (word, there) in [
            ("online", &[(0, 99)][..]),
            ("entered", &[(40, 99)][..]),
            ("left", &[(0, 30)][..]),
            ("oneoff", &[(30, 32)][..]),
            ("dangling", &[(0, 30), (40, 99)][..]),
            ("offline", &[(0, 5)][..]),
        ] {
            let sessions = sessions(there, 48, 1);
            assert_eq!(CLASSES[class(&sessions, at(48))], word, "{sessions:?}");
        }
    }

    #[test]
    fn levels_count_those_that_are_there_and_survival_those_whose_beginning_was_seen() {
        // Goal: online, uptimes, windows; who was there from before is not in the lengths. Method: three
        // superpeers: from before, since an hour and a half, gone for two hours after one.
        let mut rows = Vec::new();
        for (number, there) in [(1, (0, 99)), (2, (3, 99)), (3, (1, 2))] {
            let peer = PeerId::from_bytes([number; 32]);
            let seen = sessions(&[there], 4, 1);
            rows.extend(seen.into_iter().map(|session| SessionRow { peer, agent: String::new(), session }));
        }
        let now = at(4) + Duration::from_secs(HOUR / 2);
        let mut seen = Observation::new(Vec::new());
        let walk = WalkRow {
            began: at(4),
            ended: at(4),
            complete: true,
            reached: 2,
            unreached: 1,
            telling: 1,
            children: 7,
            density: Size { mean: 3.0, deviation: 1.0 },
            recapture: Size::default(),
        };
        set_levels(&mut seen, &rows, Some(&walk), now);
        assert_eq!((seen.figures.known, seen.figures.online), (3, [0, 2]));
        assert_eq!(seen.figures.uptimes[Kin::Superpeer as usize][..4], [2, 2, 1, 0], "5 min, 1 h, 3 h, 6 h");
        assert_eq!(seen.figures.windows[Kin::Superpeer as usize][..3], [2, 3, 3], "1 h, 3 h, 6 h");
        let [children, superpeers] = &seen.sizes;
        assert_eq!(superpeers[..2], [(2.0, 0.0), (3.0, 1.0)]);
        assert_eq!(children[..2], [(14.0, 0.0), (21.0, 7.0)]);
        let unknown = [superpeers[2], children[2]];
        assert!(unknown.iter().all(|(mean, deviation)| mean.is_nan() && deviation.is_nan()), "{unknown:?}");
        let mut lengths = lengths(&rows, at(0));
        lengths.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert_eq!(lengths, [(1_800.0, true), (3_600.0, false)]);
        assert_eq!(seen.survival[1], 0.5, "half of them lasted for more than an hour, or will");
        assert_eq!(seen.last_success, at(4));
    }

    #[test]
    fn those_that_stayed_from_before_make_sessions_no_longer() {
        // Goal: survival is that of sessions, whatever the time that is looked at. Method: twenty days on each of
        // which ten came, of whom nine left after an hour; looked at over a day, as the book tells of it.
        let mut rows = Vec::new();
        for (day, number) in (0..20).flat_map(|day| (0..10).map(move |number| (day, number))) {
            let mut session = visited(None, Ok(()), at(24 * day), true).begun.unwrap();
            for hours in 1..=24 * (20 - day) {
                let result = if number > 0 && hours > 1 { Err(Failure::Refused) } else { Ok(()) };
                // At a day's last hour the next day has not begun.
                let now = at(24 * day + hours) - Duration::from_secs(1);
                session = visited(Some(&session), result, now, true).last.unwrap_or(session);
            }
            let peer = PeerId::from_bytes([10 * day as u8 + number; 32]);
            rows.push(SessionRow { peer, agent: String::new(), session });
        }
        let from = at(24 * 19);
        rows.retain(|row| row.session.visited >= from);
        let share = |from: Unix| (Survival::of(&lengths(&rows, from)).at(HOUR as f64) * 100.0).round();
        assert_eq!((rows.len(), share(from)), (29, 10.0));
        assert_eq!(share(at(0)), 69.0, "what it was with those from before");
    }

    #[test]
    fn a_departure_counts_once_it_is_no_flap() {
        // Goal: a flap leaves no departure and no length. Method: two departures, one of which is taken back.
        let (mut seen, mut late) = (Observation::new(Vec::new()), Departures::default());
        let gone = Change::Departed(Reason::Timeout, Duration::from_secs(5));
        let found = Found::default();
        let [one, other] = [1, 2].map(|number| PeerId::from_bytes([number; 32]));
        count(&mut seen, &mut late, &found, &[(one, gone), (other, gone)], at(0));
        count(&mut seen, &mut late, &found, &[(one, Change::Flapped)], at(0) + Duration::from_secs(30));
        let departures = |seen: &Observation| seen.figures.departures[Kin::Superpeer as usize][1];
        assert_eq!(departures(&seen), 0);
        count(&mut seen, &mut late, &found, &[], at(0) + Duration::from_secs(61));
        assert_eq!((departures(&seen), seen.figures.flaps), (1, [0, 1]));
        let unseen = Change::Departed(Reason::Unobserved, Duration::from_secs(5));
        count(&mut seen, &mut late, &found, &[(one, unseen), (other, Change::New)], at(1));
        assert_eq!((departures(&seen), seen.figures.arrivals[1]), (1, (1, 0)));
    }
}
