//! What visits say about a superpeer's sessions.
//!
//! ```text
//!            reached              failed, retries left           failed, none left (or no use)
//!  (none) ──────────▶ open ◀──────────────────────▶ pending ─────────────────────────────────▶ closed
//!                      ▲           reached: recovered                                            │
//!                      └───── reached within 60 s: a flap, the same session goes on ─────────────┤
//!  (a new session) ◀──────── reached later: returning, after a downtime ─────────────────────────┘
//! ```
//! A *session* is a run of visits that reached one PeerId without a confirmed failure. It lasts from the first
//! to the last visit that did; when a failed one was made says nothing about when it ended. How many failures
//! are forgiven grows with what it has lasted. Who is not visited for [`BLIND`] was not observed: what it did
//! meanwhile is not known, so its session ends *unobserved*, which is the end of watching and no departure,
//! and the beginning of the next one is none that was seen.
//!
//! Source: Nebula, migration 000020 (states, retries, next visit); serf (flaps). *Not here*: where they are kept
//! (`book`), what they add up to (`figures`, `survival`).

use std::time::Duration;

use callbook_overlay::time::Unix;

use super::walk::Failure;

/// How soon who was closed has to be back for it to be a flap. Source: serf's `FlapTimeout` (specification).
pub(super) const FLAP: Duration = Duration::from_secs(60);

/// Who is not visited for so long was not observed. A guess: several of the usual intervals between walks.
pub(super) const BLIND: Duration = Duration::from_secs(60 * 60);

/// Shortest and longest time to the next visit. Source: Nebula, migration 000020.
const NEXT_VISIT: (u64, u64) = (60, 15 * 60);

/// Time between two visits of one whose departure may be a flap. A guess: three times before that is decided.
const FLAP_VISIT: Duration = Duration::from_secs(20);

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Reached by the last visit.
    Open,
    /// Not reached by the last visits; that may pass.
    Pending,
    /// Over.
    Closed(Reason),
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is no superpeer any more, and says so itself.
    Graceful,
    /// Too many visits did not reach it.
    Timeout,
    /// Somebody else is at its address.
    Replaced,
    /// We did not look for too long.
    Unobserved,
}

impl Reason {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Graceful, Self::Timeout, Self::Replaced, Self::Unobserved];

    /// As it is written down.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Graceful => "graceful",
            Self::Timeout => "timeout",
            Self::Replaced => "replaced",
            Self::Unobserved => "unobserved",
        }
    }
}

/// One session of one superpeer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    /// The first visit that reached it.
    pub(super) first: Unix,
    /// The last one.
    pub(super) last: Unix,
    /// The last visit, whatever came of it.
    pub(super) visited: Unix,
    /// Where it stands.
    pub(super) state: State,
    /// Since when it is closed; the last visit that failed.
    pub(super) closed: Option<Unix>,
    /// Whether its beginning was observed: it was not there before, and we looked.
    pub(super) begun: bool,
    /// Visits in a row that did not reach it.
    pub(super) failures: u32,
    /// Times that it was pending and came back.
    pub(super) recovered: u32,
    /// Times that it was closed and back at once.
    pub(super) flaps: u32,
    /// When it should be visited again.
    pub(super) next_visit: Unix,
}

impl Session {
    fn begin(at: Unix, begun: bool) -> Self {
        Self {
            first: at,
            last: at,
            visited: at,
            state: State::Open,
            closed: None,
            begun,
            failures: 0,
            recovered: 0,
            flaps: 0,
            next_visit: next_visit(at, at),
        }
    }

    /// Its length as far as it was seen.
    pub(super) fn length(&self) -> Duration {
        self.last.since(self.first)
    }

    /// Whether it goes on.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.state, State::Open | State::Pending)
    }

    /// Whether it is closed, and would go on if it were reached now.
    fn may_flap(&self, now: Unix) -> bool {
        let closed = self.closed.unwrap_or(self.last);
        self.state == State::Closed(Reason::Timeout) && now.since(closed) <= FLAP
    }

    /// Whether it is time to look again, by now.
    pub(super) fn is_due(&self, now: Unix) -> bool {
        self.next_visit <= now && (self.goes_on() || self.may_flap(now))
    }

    /// When it is time to look again; `None` if nothing depends on that.
    pub(super) fn due(&self, now: Unix) -> Option<Unix> {
        (self.goes_on() || self.may_flap(now)).then_some(self.next_visit)
    }

    fn close(&mut self, reason: Reason, at: Unix) {
        (self.state, self.closed, self.next_visit) = (State::Closed(reason), Some(at), at + FLAP_VISIT);
    }
}

/// What a visit has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A session has begun of a superpeer that was never seen before.
    New,
    /// A session has begun of one that was away for so long.
    Returned(Duration),
    /// One is there that has been so for who knows how long.
    Noticed,
    /// It was pending, and is not.
    Recovered,
    /// It was closed, and its session goes on.
    Flapped,
    /// It was not reached, and may be yet.
    Doubted,
    /// Its session is over.
    Departed(Reason, Duration),
}

/// What becomes of a superpeer's sessions by a visit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    /// The last session, changed.
    pub(super) last: Option<Session>,
    /// A session that has begun.
    pub(super) begun: Option<Session>,
    /// What that means, in order.
    pub(super) changes: Vec<Change>,
}

/// How often a visit may fail before a session is closed that has lasted so long.
///
/// Source: Nebula, migration 000020.
pub(super) fn retries(uptime: Duration) -> u32 {
    match uptime.as_secs() / 3_600 {
        0 => 0,
        1..6 => 1,
        6..24 => 2,
        _ => 3,
    }
}

fn next_visit(last: Unix, now: Unix) -> Unix {
    let (least, most) = NEXT_VISIT;
    let wait = now.since(last).as_secs().saturating_mul(6) / 5;
    now + Duration::from_secs(wait.clamp(least, most))
}

/// Takes a visit in. `last` is the superpeer's last session; `watched` is whether anybody who was there before
/// would have been seen.
pub(super) fn visited(
    last: Option<&Session>,
    result: Result<(), Failure>,
    at: Unix,
    watched: bool,
) -> Outcome {
    match (last, result) {
        (None, Ok(())) => {
            let change = if watched { Change::New } else { Change::Noticed };
            let begun = Some(Session::begin(at, watched));
            Outcome { last: None, begun, changes: vec![change] }
        }
        (None, Err(_)) => Outcome::default(),
        (Some(last), result) if last.goes_on() && at.since(last.visited) > BLIND => {
            let mut ended = *last;
            ended.close(Reason::Unobserved, last.visited);
            let begun = result.ok().map(|()| Session::begin(at, false));
            let mut changes = vec![Change::Departed(Reason::Unobserved, ended.length())];
            changes.extend(begun.map(|_| Change::Noticed));
            Outcome { last: Some(ended), begun, changes }
        }
        (Some(last), Ok(())) if last.goes_on() => reached(*last, at),
        (Some(last), Ok(())) => back(*last, at, watched),
        (Some(last), Err(failure)) if last.goes_on() => missed(*last, failure, at),
        (Some(last), Err(_)) if last.may_flap(at) => {
            let looked = Session { visited: at, next_visit: at + FLAP_VISIT, ..*last };
            Outcome { last: Some(looked), ..Outcome::default() }
        }
        (Some(_), Err(_)) => Outcome::default(),
    }
}

fn reached(mut session: Session, at: Unix) -> Outcome {
    let changes = if session.state == State::Pending { vec![Change::Recovered] } else { Vec::new() };
    session.recovered += u32::from(session.state == State::Pending);
    session.next_visit = next_visit(session.last, at);
    (session.state, session.failures) = (State::Open, 0);
    (session.last, session.visited) = (at.max(session.last), at);
    Outcome { last: Some(session), begun: None, changes }
}

fn back(mut session: Session, at: Unix, watched: bool) -> Outcome {
    if session.may_flap(at) {
        (session.state, session.closed, session.failures) = (State::Open, None, 0);
        (session.last, session.visited, session.next_visit) = (at, at, next_visit(session.last, at));
        session.flaps += 1;
        return Outcome { last: Some(session), begun: None, changes: vec![Change::Flapped] };
    }
    let seen = watched && session.state != State::Closed(Reason::Unobserved);
    let change = if seen { Change::Returned(at.since(session.last)) } else { Change::Noticed };
    Outcome { last: None, begun: Some(Session::begin(at, seen)), changes: vec![change] }
}

fn missed(mut session: Session, failure: Failure, at: Unix) -> Outcome {
    session.visited = at;
    session.failures += 1;
    session.next_visit = next_visit(session.last, at);
    let (reason, forgiven) = match failure {
        Failure::Refused | Failure::Silent => (Reason::Timeout, retries(session.length())),
        // What trying again can't mend.
        Failure::NoAddress => (Reason::Timeout, 0),
        Failure::Replaced => (Reason::Replaced, 0),
        Failure::Demoted => (Reason::Graceful, 0),
    };
    let change = if session.failures > forgiven {
        session.close(reason, at);
        Change::Departed(reason, session.length())
    } else {
        session.state = State::Pending;
        Change::Doubted
    };
    Outcome { last: Some(session), begun: None, changes: vec![change] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    fn at(secs: u64) -> Unix {
        Unix::from_secs(1_000_000 + secs)
    }

    /// Visits every half hour until `end`, from 0 on.
    fn lasting(end: u64) -> Session {
        let mut session = visited(None, Ok(()), at(0), true).begun.unwrap();
        for secs in (1..=end / 1_800).map(|half| half * 1_800) {
            session = visited(Some(&session), Ok(()), at(secs), true).last.unwrap();
        }
        session
    }

    #[test]
    fn failures_are_forgiven_by_what_a_session_has_lasted() {
        // Goal: no retry below an hour, one below six, two below a day, then three; the length is that to the
        // last visit that reached it. Method: sessions of these lengths, each missed until it is closed.
        for (hours, forgiven) in [(0, 0), (1, 1), (5, 1), (6, 2), (23, 2), (24, 3), (100, 3)] {
            let mut session = lasting(hours * HOUR);
            for failure in 1..=forgiven + 1 {
                let result = Err(Failure::Silent);
                let outcome = visited(Some(&session), result, at(hours * HOUR + failure * 300), true);
                session = outcome.last.unwrap();
                let wanted = match failure > forgiven {
                    true => Change::Departed(Reason::Timeout, Duration::from_secs(hours * HOUR)),
                    false => Change::Doubted,
                };
                assert_eq!(outcome.changes, [wanted], "{hours} h, failure {failure}");
            }
            assert!(!session.goes_on());
        }
    }

    #[test]
    fn who_is_back_while_pending_has_not_been_away() {
        // Goal: a failure that passes does not end a session, and does not count later. Method: miss once, reach,
        // miss once, reach.
        let mut session = lasting(2 * HOUR);
        for round in 1..=2 {
            let missed = visited(Some(&session), Err(Failure::Refused), at(2 * HOUR + round * 600), true);
            assert_eq!(missed.last.unwrap().state, State::Pending);
            let outcome = visited(missed.last.as_ref(), Ok(()), at(2 * HOUR + round * 600 + 300), true);
            assert_eq!(outcome.changes, [Change::Recovered]);
            session = outcome.last.unwrap();
            assert_eq!((session.state, session.recovered), (State::Open, round as u32));
        }
        assert_eq!(session.length(), Duration::from_secs(2 * HOUR + 1_500));
    }

    #[test]
    fn what_trying_again_cannot_mend_ends_a_session_at_once() {
        // Goal: no retries for another PeerId, no address, or one that is no superpeer. Method: an old session.
        for (failure, reason) in [
            (Failure::Replaced, Reason::Replaced),
            (Failure::NoAddress, Reason::Timeout),
            (Failure::Demoted, Reason::Graceful),
        ] {
            let outcome = visited(Some(&lasting(48 * HOUR)), Err(failure), at(48 * HOUR + 60), true);
            assert_eq!(outcome.changes, [Change::Departed(reason, Duration::from_secs(48 * HOUR))]);
        }
    }

    #[test]
    fn who_is_back_at_once_has_flapped_and_who_is_back_later_has_returned() {
        // Goal: 60 s after the departure decide; a downtime begins with the last visit that reached the peer.
        // Method: the same session, with returns at the bound and after it.
        let closed = visited(Some(&lasting(600)), Err(Failure::Refused), at(700), true).last.unwrap();
        let outcome = visited(Some(&closed), Ok(()), at(760), true);
        assert_eq!((outcome.changes, outcome.begun), (vec![Change::Flapped], None));
        let session = outcome.last.unwrap();
        assert_eq!((session.first, session.last, session.flaps), (at(0), at(760), 1));
        let outcome = visited(Some(&closed), Ok(()), at(761), true);
        assert_eq!(outcome.changes, [Change::Returned(at(761).since(closed.last))]);
        assert!(outcome.last.is_none() && outcome.begun.unwrap().begun);
    }

    #[test]
    fn who_was_closed_is_looked_at_again_while_that_may_be_a_flap() {
        // Goal: a flap between two walks is seen at all. Method: one that is closed, visited whenever it is due.
        let session = visited(Some(&lasting(600)), Err(Failure::Refused), at(700), true).last.unwrap();
        let (mut visits, mut last) = (Vec::new(), session);
        for secs in 701..2_000 {
            assert_eq!(last.due(at(secs)).is_some_and(|due| due <= at(secs)), last.is_due(at(secs)));
            if last.is_due(at(secs)) {
                visits.push(secs);
                let outcome = visited(Some(&last), Err(Failure::Refused), at(secs), true);
                assert_eq!((outcome.changes, outcome.begun), (vec![], None));
                last = outcome.last.unwrap();
                assert_eq!((last.closed, last.state), (session.closed, session.state));
            }
        }
        assert_eq!(visits, [720, 740, 760]);
        let outcome = visited(Some(&session), Ok(()), at(720), true);
        assert_eq!(outcome.changes, [Change::Flapped]);
        let gone = visited(Some(&lasting(600)), Err(Failure::Demoted), at(700), true).last.unwrap();
        assert!(!gone.is_due(at(720)), "it said so itself");
    }

    #[test]
    fn what_was_not_observed_is_neither_an_arrival_nor_a_departure() {
        // Goal: a census that starts, or slept, invents nothing. Method: the first walk; visits more than an
        // hour apart, one that reaches and one that doesn't.
        let first = visited(None, Ok(()), at(0), false);
        assert_eq!(first.changes, [Change::Noticed]);
        assert!(!first.begun.unwrap().begun);
        let session = lasting(HOUR);
        let late = at(2 * HOUR + 1);
        let outcome = visited(Some(&session), Ok(()), late, false);
        let gone = Change::Departed(Reason::Unobserved, Duration::from_secs(HOUR));
        assert_eq!(outcome.changes, [gone, Change::Noticed]);
        assert!(!outcome.begun.unwrap().begun);
        let outcome = visited(Some(&session), Err(Failure::Silent), late, false);
        assert_eq!((outcome.changes, outcome.begun), (vec![gone], None));
        let again = visited(outcome.last.as_ref(), Ok(()), at(3 * HOUR), true);
        assert_eq!(again.changes, [Change::Noticed], "nobody saw when it went");
    }

    #[test]
    fn visits_grow_rare_from_one_minute_to_fifteen() {
        // Goal: 1.2 times what has passed, within the bounds. Method: each visit when it is due.
        let mut session = visited(None, Ok(()), at(0), true).begun.unwrap();
        let mut waits = Vec::new();
        for _ in 0..20 {
            let now = session.next_visit;
            waits.push(now.since(session.last).as_secs());
            session = visited(Some(&session), Ok(()), now, true).last.unwrap();
        }
        assert_eq!(waits[..4], [60, 72, 86, 103]);
        assert_eq!(waits[19], 900);
    }
}
