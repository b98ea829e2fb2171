use std::time::Duration;

use super::super::sessions::FLAP;
use super::super::town::{Town, now};
use super::super::walk::Failure;
use super::*;

fn after(minutes: u64) -> Unix {
    now() + Duration::from_secs(60 * minutes)
}

/// What a walk finds that ends then, and of whom these don't answer.
fn found(town: &Town, at: Unix, dead: &[PeerId]) -> Found {
    let visit = |peer: PeerId| {
        let hint = town.superpeers[&peer].0.clone();
        let (round_trip, agent) = (Duration::from_millis(1), "town/1".to_owned());
        let reached = Reached { round_trip, agent, load: 0, children: Some(2), hint };
        let result = if dead.contains(&peer) { Err(Failure::Refused) } else { Ok(reached) };
        Visit { peer, at, result }
    };
    Found { visits: town.peers().into_iter().map(visit).collect(), complete: true, ..Found::default() }
}

fn row(at: Unix) -> WalkRow {
    let size = Size { mean: 3.25, deviation: 0.5 };
    WalkRow {
        began: at,
        ended: at,
        complete: true,
        reached: 3,
        unreached: 0,
        telling: 3,
        children: 6,
        density: size,
        recapture: size,
    }
}

async fn walk(book: &mut Book, town: &Town, at: Unix, dead: &[PeerId]) -> Vec<Change> {
    let changes = book.take_in(&found(town, at, dead), Some(&row(at))).await.unwrap();
    changes.into_iter().map(|(_, change)| change).collect()
}

#[tokio::test]
async fn sessions_go_on_over_a_restart_and_a_killed_census_loses_no_written_walk() {
    // Goal: the book is what was last written. Method: walks, of which the book is dropped without being closed;
    // then the same file with another book.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.sqlite");
    let town = Town::of(3);
    let peers = town.peers();
    let mut book = Book::open(&path).await.unwrap();
    assert_eq!(walk(&mut book, &town, after(0), &[]).await, [Change::Noticed; 3]);
    assert!(walk(&mut book, &town, after(10), &[]).await.is_empty());
    let gone = Change::Departed(Reason::Timeout, Duration::from_secs(600));
    assert_eq!(walk(&mut book, &town, after(20), &peers[..1]).await, [gone]);
    drop(book);

    let mut book = Book::open(&path).await.unwrap();
    assert_eq!(book.targets(after(21)).count(), 3, "one that has gone lately is visited too");
    let away = Change::Returned(Duration::from_secs(20 * 60));
    assert_eq!(walk(&mut book, &town, after(30), &[]).await, [away]);
    assert_eq!(book.walks(after(5)).await.unwrap(), [row(after(10)), row(after(20)), row(after(30))]);
    let rows = book.sessions(now()).await.unwrap();
    assert_eq!(rows.len(), 4);
    let of: Vec<Session> = rows.iter().filter(|row| row.peer == peers[0]).map(|row| row.session).collect();
    let [old, new] = of[..] else { panic!("{of:?}") };
    assert_eq!((old.first, old.last, old.closed), (after(0), after(10), Some(after(20))));
    assert_eq!((old.state, old.begun, new.begun), (State::Closed(Reason::Timeout), false, true));
    assert_eq!((new.first, new.state), (after(30), State::Open));
    assert_eq!(rows[0].agent, "town/1");
}

#[tokio::test]
async fn who_is_due_is_told_and_one_that_flapped_has_one_session() {
    // Goal: visits between walks, and a departure that is taken back. Method: three superpeers; one is missed and
    // back within the time of a flap.
    let folder = tempfile::tempdir().unwrap();
    let town = Town::of(3);
    let peers = town.peers();
    let mut book = Book::open(&folder.path().join("sessions.sqlite")).await.unwrap();
    walk(&mut book, &town, after(0), &[]).await;
    assert_eq!((book.next_due(now()), book.due(now()).count()), (Some(after(1)), 0));
    assert_eq!(book.due(after(1)).count(), 3);
    walk(&mut book, &town, after(1), &peers[..1]).await;
    let soon = after(1) + FLAP / 3;
    assert_eq!(book.next_due(after(1)), Some(soon));
    assert_eq!(book.due(soon).map(|target| target.peer).collect::<Vec<_>>(), peers[..1]);
    let flapped = walk(&mut book, &town, after(1) + FLAP, &[]).await;
    assert_eq!(flapped, [Change::Flapped]);
    let rows = book.sessions(now()).await.unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows.iter().map(|row| row.session.flaps).sum::<u32>(), 1);
}

#[tokio::test]
async fn a_census_that_is_cut_off_takes_nobody_for_gone() {
    // Goal: an uplink that fails invents no mass departure, also beside a superpeer of our own; hosts that say that
    // nobody is there are believed, and so is silence in the end. Method: eight superpeers, of which so many are
    // silent, or refused, at this time.
    let folder = tempfile::tempdir().unwrap();
    let town = Town::of(8);
    let peers = town.peers();
    let mut book = Book::open(&folder.path().join("sessions.sqlite")).await.unwrap();
    let silent = |count: usize, at: Unix, failure: Failure| {
        let mut found = found(&town, at, &peers[..count]);
        let failed = found.visits.iter_mut().filter(|visit| visit.result.is_err());
        failed.for_each(|visit| visit.result = Err(failure));
        found
    };
    assert!(!book.is_blind(&silent(8, after(0), Failure::Silent)), "nobody was there before");
    walk(&mut book, &town, after(0), &[]).await;
    for (count, failure, wanted) in [
        (5, Failure::Silent, false),
        (6, Failure::Silent, true),
        (7, Failure::Silent, true),
        (8, Failure::Refused, false),
        (0, Failure::Silent, false),
    ] {
        assert_eq!(book.is_blind(&silent(count, after(15), failure)), wanted, "{count} {failure:?}");
    }
    // A round of visits between walks, of some of them.
    let round = |visits: &[bool]| {
        let mut found = found(&town, after(15), &[]);
        found.visits.truncate(visits.len());
        for (visit, silent) in found.visits.iter_mut().zip(visits) {
            visit.result = if *silent { Err(Failure::Silent) } else { visit.result.clone() };
        }
        (book.is_doubtful(&found), book.is_blind(&found))
    };
    assert_eq!(round(&[true]), (true, false), "one alone may be anything");
    assert_eq!(round(&[true, true, false]), (true, true));
    assert_eq!(round(&[true, false, false, false]), (false, false), "one of four is gone");
    assert_eq!(round(&[false, false]), (false, false));
    let late = silent(7, after(61), Failure::Silent);
    assert!(!book.is_blind(&late));
    let changes = book.take_in(&late, Some(&row(after(61)))).await.unwrap();
    let unseen =
        changes.iter().filter(|(_, change)| matches!(change, Change::Departed(Reason::Unobserved, _)));
    assert_eq!(unseen.count(), 8);
}

#[tokio::test]
async fn who_was_never_reached_has_no_session_and_no_row() {
    // Goal: what is only told of is not kept. Method: a walk in which one never answers.
    let folder = tempfile::tempdir().unwrap();
    let town = Town::of(2);
    let mut book = Book::open(&folder.path().join("sessions.sqlite")).await.unwrap();
    walk(&mut book, &town, after(0), &town.peers()[..1]).await;
    assert_eq!(book.targets(after(1)).count(), 1);
    assert_eq!(book.sessions(now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_book_is_private_and_a_newer_or_damaged_one_is_refused() {
    // Goal: no panic, and no loss. Method: the file's mode; a migration of the future; noise.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.sqlite");
    let book = Book::open(&path).await.unwrap();
    assert!(!files::readable_by_others(&path).unwrap());
    let future = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (99, 'future', TRUE, x'00', 0)";
    sqlx::query(future).execute(&book.pool).await.unwrap();
    book.close().await;
    assert_eq!(Book::open(&path).await.unwrap_err().code, Code::StoreNewer);
    let noise = folder.path().join("noise.sqlite");
    std::fs::write(&noise, vec![7; 10_000]).unwrap();
    assert_eq!(Book::open(&noise).await.unwrap_err().code, Code::StoreCorrupt);
}
