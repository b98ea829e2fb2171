//! What the login server must not forget: accounts, devices, nodes, tokens, epoch records.
//!
//! SQLite in one file: write-ahead log, every commit forced to disk (`synchronous = FULL`), so what is
//! answered after a commit is durable. One connection: SQLite has one writer anyway, and a queue in
//! front of it is fair where its own lock is not. Older schemas migrate in one transaction, a newer one
//! is refused.
//!
//! *Not here*: what is allowed ([`crate::service`]), signatures ([`crate::authority`]).

mod accounts;
mod devices;
mod epochs;
mod nodes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use callbook_login::files;
use callbook_overlay::time::Unix;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, Transaction};

pub use accounts::{Account, Conflict, Enrolled, NewAccount};
pub use devices::{Device, Issued};
pub use epochs::{NewEpoch, PendingEpoch};
pub use nodes::{Grant, Node};

/// How long another process (`token create`) may hold the database. (guess)
const BUSY: Duration = Duration::from_secs(10);

/// The database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The user: the file can't be opened, is damaged, or the disk is full.
    #[error("the account database failed: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// The user: a newer program wrote the file.
    #[error("{} was written by a newer version (migration {found})", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// A migration that this program doesn't know.
        found: i64,
    },
    /// The user or us: an older file could not be brought up to date.
    #[error("the account database could not be migrated: {0}")]
    Migrate(MigrateError),
    /// Us, or a damaged file: a row doesn't hold what it should.
    #[error("the account database holds a `{0}` that cannot be read")]
    Damaged(&'static str),
}

/// The accounts of a network.
#[derive(Debug, Clone)]
pub struct Database {
    pool: SqlitePool,
}

impl Database {
    /// Opens the file, creating it if needed, and brings it up to date.
    ///
    /// # Errors
    /// The user: see [`DatabaseError`].
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        if !path.exists() {
            // SQLite gives its side files the mode of the file itself, and makes that for everybody.
            files::write_private(path, &[]).map_err(sqlx::Error::Io)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        match sqlx::migrate!("./migrations").run(&pool).await {
            Ok(()) => Ok(Self { pool }),
            Err(MigrateError::VersionMissing(found) | MigrateError::VersionTooNew(found, _)) => {
                Err(DatabaseError::Newer { path: path.to_owned(), found })
            }
            Err(error) => Err(DatabaseError::Migrate(error)),
        }
    }

    /// Writes what is in the log into the file, and closes it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that writes.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, DatabaseError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// A time as SQLite keeps it.
fn seconds(time: Unix) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn time(row: &SqliteRow, column: &'static str) -> Result<Unix, DatabaseError> {
    Ok(Unix::from_secs(row.try_get::<u64, _>(column)?))
}

fn bytes<const N: usize>(row: &SqliteRow, column: &'static str) -> Result<[u8; N], DatabaseError> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|_| DatabaseError::Damaged(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_database_is_private_and_a_newer_or_damaged_one_is_refused() {
        // Goal: file mode; an old program leaves a newer file alone; noise is an error, not a panic.
        // Method: a temporary folder, and a migration of the future written into the file.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.sqlite");
        let database = Database::open(&path).await.unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            assert!(!files::readable_by_others(&entry.unwrap().path()).unwrap());
        }
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (99, 'future', TRUE, x'00', 0)",
        )
        .execute(&database.pool)
        .await
        .unwrap();
        database.close().await;
        assert!(matches!(Database::open(&path).await, Err(DatabaseError::Newer { found: 99, .. })));

        let noise = folder.path().join("noise.sqlite");
        std::fs::write(&noise, vec![7; 10_000]).unwrap();
        assert!(matches!(Database::open(&noise).await, Err(DatabaseError::Sqlite(_))));
    }
}
