//! The book of a census: superpeers, their sessions, and walks, in a SQLite file.
//!
//! `DATA/census/sessions.sqlite`, beside a lock that lets one census at a time write. What a walk has found is
//! written in one transaction when it ends: a census that is killed forgets the walk it was on, and nothing else.
//! What is not written yet is not told either. Reading (`export`, `report`) needs no lock.
//!
//! *Not here*: what a visit means (`sessions`).

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use callbook_login::files;
use callbook_overlay::key::PeerId;
use callbook_overlay::time::Unix;
use callbook_overlay::wire::Hint;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, Transaction};

use super::estimate::Size;
use super::limits::ROUND_MIN;
use super::sessions::{BLIND, Change, Reason, Session, State, visited};
use super::walk::{Failure, Found, Reached, Target, Visit};
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// How long another process may hold the file. A guess: an export reads for longer, and holds nobody up.
const BUSY: Duration = Duration::from_secs(10);

/// For how long a superpeer that has gone is still visited in each walk, whether or not anybody names it. A
/// guess: the longest that superpeers themselves remember one that has gone (DESIGN §4).
const REVISITED: Duration = Duration::from_secs(24 * 60 * 60);

/// Sessions that are kept; the oldest closed ones go first. A guess: some 200 MB, and years of a network of
/// thousands.
const SESSIONS_KEPT_MAX: i64 = 1_000_000;

/// A superpeer of the book.
#[derive(Debug)]
struct Entry {
    id: i64,
    hint: Hint,
    last: Option<(i64, Session)>,
}

impl Entry {
    fn target(&self) -> Target {
        Target { listed: true, ..Target::of(self.hint.clone()) }
    }
}

/// What visits have changed, and of whom.
pub(super) type Changes = Vec<(PeerId, Change)>;

/// A walk that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WalkRow {
    /// When it began.
    pub(super) began: Unix,
    /// When it ended.
    pub(super) ended: Unix,
    /// Everybody was seen.
    pub(super) complete: bool,
    /// Superpeers that were reached.
    pub(super) reached: u64,
    /// Superpeers that were not.
    pub(super) unreached: u64,
    /// Of those reached, how many told of their children.
    pub(super) telling: u64,
    /// How many children these have.
    pub(super) children: u64,
    /// The number of superpeers by density.
    pub(super) density: Size,
    /// The number of superpeers by capture and recapture.
    pub(super) recapture: Size,
}

/// A session with whose it is.
#[derive(Debug, Clone)]
pub(super) struct SessionRow {
    /// The superpeer.
    pub(super) peer: PeerId,
    /// Its software, as it said last.
    pub(super) agent: String,
    /// The session.
    pub(super) session: Session,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Book {
    pool: SqlitePool,
    superpeers: HashMap<PeerId, Entry>,
    /// The end of the last walk.
    walked: Option<Unix>,
    /// The end of the last walk that saw everybody.
    complete: Option<Unix>,
}

impl Book {
    /// Opens the file, creating it if needed, and brings it up to date.
    ///
    /// # Errors
    /// The user: it can't be opened, is damaged, or newer than this program.
    pub(super) async fn open(path: &Path) -> Outcome<Self> {
        if !path.exists() {
            files::write_private(path, &[]).map_err(|error| failed(&sqlx::Error::Io(error)))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await.map_err(|error| failed(&error))?;
        match sqlx::migrate!("./migrations").run(&pool).await {
            Ok(()) => {}
            Err(MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) => {
                let message = format!("{} was written by a newer version", path.display());
                return Err(Problem::new(Code::StoreNewer, message).hint("update this program"));
            }
            Err(error) => return Err(failed(&error)),
        }
        let mut book = Self { pool, superpeers: HashMap::new(), walked: None, complete: None };
        book.read().await.map_err(|error| failed(&error))?;
        Ok(book)
    }

    /// Writes what is in the log into the file, and closes it.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    async fn read(&mut self) -> sqlx::Result<()> {
        let rows = sqlx::query(
            "SELECT superpeers.id AS superpeer, peer, hint, sessions.* FROM superpeers \
             LEFT JOIN sessions ON sessions.id = \
             (SELECT max(id) FROM sessions WHERE sessions.superpeer = superpeers.id)",
        );
        for row in rows.fetch_all(&self.pool).await? {
            // A hint that can't be read any more is told again by somebody.
            let Ok(hint) = Hint::from_bytes(row.try_get::<&[u8], _>("hint")?) else { continue };
            let last = match row.try_get::<Option<i64>, _>("id")? {
                Some(id) => Some((id, session(&row)?)),
                None => None,
            };
            // The first of two columns of one name is ours.
            self.superpeers.insert(hint.peer(), Entry { id: row.try_get(0)?, hint, last });
        }
        let walks =
            "SELECT max(ended) AS walked, max(ended) FILTER (WHERE complete = 1) AS complete FROM walks";
        let walks = sqlx::query(walks).fetch_one(&self.pool).await?;
        self.walked = walks.try_get::<Option<i64>, _>("walked")?.map(unix);
        self.complete = walks.try_get::<Option<i64>, _>("complete")?.map(unix);
        Ok(())
    }

    /// Whom to visit in a walk that begins now: those that are there, and those that were lately.
    pub(super) fn targets(&self, now: Unix) -> impl Iterator<Item = Target> {
        let lately = move |session: &Session| session.goes_on() || now.since(session.last) <= REVISITED;
        let due = move |entry: &&Entry| entry.last.as_ref().is_none_or(|(_, session)| lately(session));
        self.superpeers.values().filter(due).map(Entry::target)
    }

    /// Whom to visit before the next walk, by now.
    pub(super) fn due(&self, now: Unix) -> impl Iterator<Item = Target> {
        let due = move |entry: &&Entry| entry.last.as_ref().is_some_and(|(_, last)| last.is_due(now));
        self.superpeers.values().filter(due).map(Entry::target)
    }

    /// When somebody is due.
    pub(super) fn next_due(&self, now: Unix) -> Option<Unix> {
        let sessions = self.superpeers.values().filter_map(|entry| entry.last.as_ref());
        sessions.filter_map(|(_, last)| last.due(now)).min()
    }

    /// Whether what was found says more of us than of them: of those who were there within [`BLIND`], two
    /// thirds are silent. An uplink is lost more often than most of a network at once; if that is what happened,
    /// their sessions end unobserved in the end.
    pub(super) fn is_blind(&self, found: &Found) -> bool {
        let (count, silent) = self.silent(found);
        count >= 3 && silent * 3 >= count * 2
    }

    /// Whether so few were visited that somebody's silence says nothing yet.
    pub(super) fn is_doubtful(&self, found: &Found) -> bool {
        let (count, silent) = self.silent(found);
        count < ROUND_MIN && silent > 0
    }

    /// How many were visited who were there lately, and how many of them are silent.
    fn silent(&self, found: &Found) -> (usize, usize) {
        let there = |visit: &&Visit| {
            let last = self.superpeers.get(&visit.peer).and_then(|entry| entry.last);
            last.is_some_and(|(_, last)| last.goes_on() && visit.at.since(last.visited) <= BLIND)
        };
        let (mut count, mut silent) = (0_usize, 0);
        for visit in found.visits.iter().filter(there) {
            count += 1;
            silent += usize::from(matches!(visit.result, Err(Failure::Silent)));
        }
        (count, silent)
    }

    /// When the last walk ended.
    pub(super) fn walked(&self) -> Option<Unix> {
        self.walked
    }

    /// Takes in what was found, all or nothing; what that has changed.
    ///
    /// # Errors
    /// The user: the disk is full, or the file damaged.
    pub(super) async fn take_in(&mut self, found: &Found, walk: Option<&WalkRow>) -> Outcome<Changes> {
        self.written(found, walk).await.map_err(|error| failed(&error))
    }

    async fn written(&mut self, found: &Found, walk: Option<&WalkRow>) -> sqlx::Result<Changes> {
        let mut writing = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut changes = Vec::new();
        let mut entries = Vec::new();
        for visit in &found.visits {
            let watched = self.complete.is_some_and(|ended| visit.at.since(ended) <= BLIND);
            let known = self.superpeers.get(&visit.peer);
            let last = known.and_then(|entry| entry.last);
            let before = last.as_ref().map(|(_, session)| session);
            let result = visit.result.as_ref().map(|_| ()).map_err(|failure| *failure);
            let outcome = visited(before, result, visit.at, watched);
            changes.extend(outcome.changes.into_iter().map(|change| (visit.peer, change)));
            let Some((id, hint)) = keep_superpeer(&mut writing, known, visit).await? else { continue };
            let mut last = last;
            if let (Some((row, _)), Some(changed)) = (last, outcome.last) {
                update_session(&mut writing, row, &changed).await?;
                last = Some((row, changed));
            }
            if let Some(begun) = outcome.begun {
                last = Some((insert_session(&mut writing, id, &begun).await?, begun));
            }
            entries.push((visit.peer, Entry { id, hint, last }));
        }
        if let Some(walk) = walk {
            insert_walk(&mut writing, walk).await?;
            prune(&mut writing).await?;
        }
        writing.commit().await?;
        self.superpeers.extend(entries);
        self.walked = walk.map(|walk| walk.ended).or(self.walked);
        self.complete = walk.filter(|walk| walk.complete).map(|walk| walk.ended).or(self.complete);
        Ok(changes)
    }

    /// All sessions that were seen after a time, by superpeer and beginning.
    ///
    /// # Errors
    /// The user: the file is damaged.
    pub(super) async fn sessions(&self, since: Unix) -> Outcome<Vec<SessionRow>> {
        let rows = sqlx::query(
            "SELECT peer, agent, sessions.* FROM sessions JOIN superpeers ON superpeers.id = superpeer \
             WHERE visited >= ? ORDER BY superpeer, first",
        );
        let rows = rows.bind(seconds(since)).fetch_all(&self.pool).await;
        let read = |row: &SqliteRow| {
            let peer = row.try_get::<&[u8], _>("peer")?.try_into();
            let peer = peer.map_err(|_| sqlx::Error::Decode("a node key of 32 bytes".into()))?;
            Ok(SessionRow {
                peer: PeerId::from_bytes(peer),
                agent: row.try_get("agent")?,
                session: session(row)?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(|error| failed(&error))
    }

    /// All walks that ended after a time, in order.
    ///
    /// # Errors
    /// The user: the file is damaged.
    pub(super) async fn walks(&self, since: Unix) -> Outcome<Vec<WalkRow>> {
        let rows = sqlx::query("SELECT * FROM walks WHERE ended >= ? ORDER BY ended");
        let rows = rows.bind(seconds(since)).fetch_all(&self.pool).await;
        rows.and_then(|rows| rows.iter().map(walk_row).collect()).map_err(|error| failed(&error))
    }
}

/// Writes what a visit told of a superpeer. One that was never reached is not kept.
async fn keep_superpeer(
    writing: &mut Transaction<'_, Sqlite>,
    known: Option<&Entry>,
    visit: &Visit,
) -> sqlx::Result<Option<(i64, Hint)>> {
    match (&visit.result, known) {
        (Ok(reached), _) => {
            let Reached { round_trip, agent, children, hint, .. } = reached;
            let row = sqlx::query(
                "INSERT INTO superpeers (peer, hint, agent, children, round_trip_micros) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT (peer) DO UPDATE SET hint = excluded.hint, agent = excluded.agent, \
                 children = excluded.children, round_trip_micros = excluded.round_trip_micros, failure = NULL \
                 RETURNING id",
            )
            .bind(&visit.peer.as_bytes()[..])
            .bind(hint.to_bytes().to_vec())
            .bind(agent)
            .bind(children.map(i64::from))
            .bind(i64::try_from(round_trip.as_micros()).unwrap_or(i64::MAX))
            .fetch_one(&mut **writing)
            .await?;
            Ok(Some((row.try_get("id")?, hint.clone())))
        }
        (Err(failure), Some(entry)) => {
            let update = sqlx::query("UPDATE superpeers SET failure = ? WHERE id = ?");
            update.bind(failure.word()).bind(entry.id).execute(&mut **writing).await?;
            Ok(Some((entry.id, entry.hint.clone())))
        }
        (Err(_), None) => Ok(None),
    }
}

async fn update_session(
    writing: &mut Transaction<'_, Sqlite>,
    row: i64,
    session: &Session,
) -> sqlx::Result<()> {
    let (state, reason) = words(session.state);
    sqlx::query(
        "UPDATE sessions SET last = ?, visited = ?, state = ?, reason = ?, closed = ?, failures = ?, \
         recovered = ?, flaps = ?, next_visit = ? WHERE id = ?",
    )
    .bind(seconds(session.last))
    .bind(seconds(session.visited))
    .bind(state)
    .bind(reason)
    .bind(session.closed.map(seconds))
    .bind(session.failures)
    .bind(session.recovered)
    .bind(session.flaps)
    .bind(seconds(session.next_visit))
    .bind(row)
    .execute(&mut **writing)
    .await?;
    Ok(())
}

async fn insert_session(
    writing: &mut Transaction<'_, Sqlite>,
    superpeer: i64,
    session: &Session,
) -> sqlx::Result<i64> {
    let row = sqlx::query(
        "INSERT INTO sessions (superpeer, first, last, visited, state, begun, failures, recovered, flaps, \
         next_visit) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?) RETURNING id",
    )
    .bind(superpeer)
    .bind(seconds(session.first))
    .bind(seconds(session.last))
    .bind(seconds(session.visited))
    .bind(words(session.state).0)
    .bind(session.begun)
    .bind(seconds(session.next_visit))
    .fetch_one(&mut **writing)
    .await?;
    row.try_get("id")
}

async fn insert_walk(writing: &mut Transaction<'_, Sqlite>, walk: &WalkRow) -> sqlx::Result<()> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO walks (began, ended, complete, reached, unreached, telling, children, density, \
         density_deviation, recapture, recapture_deviation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(seconds(walk.began))
    .bind(seconds(walk.ended))
    .bind(walk.complete)
    .bind(count(walk.reached))
    .bind(count(walk.unreached))
    .bind(count(walk.telling))
    .bind(count(walk.children))
    .bind(walk.density.mean)
    .bind(walk.density.deviation)
    .bind(walk.recapture.mean)
    .bind(walk.recapture.deviation)
    .execute(&mut **writing)
    .await?;
    Ok(())
}

/// Forgets the oldest closed sessions beyond the bound, and walks beyond the same.
async fn prune(writing: &mut Transaction<'_, Sqlite>) -> sqlx::Result<()> {
    for (table, closed) in [("sessions", "AND state = 'closed'"), ("walks", "")] {
        let count = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT count(*) AS count FROM {table}")));
        let count: i64 = count.fetch_one(&mut **writing).await?.try_get("count")?;
        if count > SESSIONS_KEPT_MAX {
            let forget = format!(
                "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE 1 {closed} ORDER BY id LIMIT ?)"
            );
            let forget = sqlx::query(sqlx::AssertSqlSafe(forget)).bind(count - SESSIONS_KEPT_MAX);
            forget.execute(&mut **writing).await?;
        }
    }
    let forget = "DELETE FROM superpeers WHERE id NOT IN (SELECT superpeer FROM sessions)";
    sqlx::query(forget).execute(&mut **writing).await?;
    Ok(())
}

fn words(state: State) -> (&'static str, Option<&'static str>) {
    match state {
        State::Open => ("open", None),
        State::Pending => ("pending", None),
        State::Closed(reason) => ("closed", Some(reason.word())),
    }
}

fn session(row: &SqliteRow) -> sqlx::Result<Session> {
    let reason: Option<&str> = row.try_get("reason")?;
    let reason = Reason::ALL.into_iter().find(|known| Some(known.word()) == reason);
    let state = match (row.try_get("state")?, reason) {
        ("open", _) => State::Open,
        ("pending", _) => State::Pending,
        ("closed", Some(reason)) => State::Closed(reason),
        (_, _) => {
            return Err(sqlx::Error::Decode("a session is open, pending, or closed for a reason".into()));
        }
    };
    Ok(Session {
        first: time(row, "first")?,
        last: time(row, "last")?,
        visited: time(row, "visited")?,
        state,
        closed: row.try_get::<Option<i64>, _>("closed")?.map(unix),
        begun: row.try_get("begun")?,
        failures: row.try_get("failures")?,
        recovered: row.try_get("recovered")?,
        flaps: row.try_get("flaps")?,
        next_visit: time(row, "next_visit")?,
    })
}

fn walk_row(row: &SqliteRow) -> sqlx::Result<WalkRow> {
    let count = |column| row.try_get::<i64, _>(column).map(|count| u64::try_from(count).unwrap_or_default());
    let size = |mean, deviation| -> sqlx::Result<Size> {
        Ok(Size { mean: row.try_get(mean)?, deviation: row.try_get(deviation)? })
    };
    Ok(WalkRow {
        began: time(row, "began")?,
        ended: time(row, "ended")?,
        complete: row.try_get("complete")?,
        reached: count("reached")?,
        unreached: count("unreached")?,
        telling: count("telling")?,
        children: count("children")?,
        density: size("density", "density_deviation")?,
        recapture: size("recapture", "recapture_deviation")?,
    })
}

fn seconds(time: Unix) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn unix(seconds: i64) -> Unix {
    Unix::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn time(row: &SqliteRow, column: &'static str) -> sqlx::Result<Unix> {
    row.try_get(column).map(unix)
}

fn failed(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(Code::StoreCorrupt, format!("the census's book failed: {error}")).hint(
        "is the disk full? a damaged file can be moved away (DATA/census): the next walk makes a new one",
    )
}

#[cfg(test)]
mod tests;
