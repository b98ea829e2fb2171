//! Accounts: who has which name and password file.

use callbook_login::opaque::Stretch;
use callbook_overlay::key::PublicKey;
use callbook_overlay::name::Username;
use callbook_overlay::time::Unix;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::devices::{Issued, certify};
use super::{Database, DatabaseError, bytes, seconds, time};
use crate::limits::ENROL_RETRY;
use crate::usernames::skeleton;

/// An active account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its row.
    pub id: i64,
    /// OPAQUE's password file.
    pub password_file: Vec<u8>,
    /// How its password is stretched.
    pub stretch: Stretch,
    /// The epoch that its certificates carry.
    pub epoch: u32,
}

/// What an account is made of.
#[derive(Debug)]
pub struct NewAccount<'a> {
    /// Its name.
    pub username: &'a Username,
    /// OPAQUE's password file.
    pub password_file: &'a [u8],
    /// Hash of the upload that the file came from.
    pub upload_digest: [u8; 32],
    /// How its password is stretched.
    pub stretch: Stretch,
    /// Its first device.
    pub device: PublicKey,
}

/// A name is somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// This very name.
    Name,
    /// One that looks like it.
    LookAlike,
}

/// What became of an enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolled {
    /// There is a new account, and this is its first device.
    New(Issued),
    /// The same enrolment had arrived before; its device is certified again.
    Again(Issued),
    /// The name is not free.
    Conflict(Conflict),
}

impl Database {
    /// The active account of that name.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn account(&self, username: &Username) -> Result<Option<Account>, DatabaseError> {
        let row = sqlx::query("SELECT * FROM accounts WHERE username = ? AND status = 'active'")
            .bind(username.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(account).transpose()
    }

    /// How many accounts there are.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn account_count(&self) -> Result<i64, DatabaseError> {
        let row = sqlx::query("SELECT count(*) AS count FROM accounts WHERE status = 'active'")
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get("count")?)
    }

    /// Whether a name is free, also of look-alikes.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn conflict(&self, username: &Username) -> Result<Option<Conflict>, DatabaseError> {
        let row = sqlx::query("SELECT username FROM accounts WHERE username = ?1 OR skeleton = ?2")
            .bind(username.as_str())
            .bind(skeleton(username))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| conflict(&row, username)).transpose()
    }

    /// Makes an account and its first device, durably.
    ///
    /// # Errors
    /// [`DatabaseError`]. A name that is not free is none.
    pub async fn enrol(&self, new: &NewAccount<'_>, now: Unix) -> Result<Enrolled, DatabaseError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query("SELECT * FROM accounts WHERE username = ?1 OR skeleton = ?2")
            .bind(new.username.as_str())
            .bind(skeleton(new.username))
            .fetch_optional(&mut *transaction)
            .await?;
        let (id, enrolled): (i64, fn(Issued) -> Enrolled) = match row {
            Some(row) if is_retry(&row, new, now)? => (row.try_get("id")?, Enrolled::Again),
            Some(row) => return Ok(Enrolled::Conflict(conflict(&row, new.username)?)),
            None => (insert(&mut transaction, new, now).await?, Enrolled::New),
        };
        let issued = certify(&mut transaction, id, &new.device, now).await?;
        transaction.commit().await?;
        Ok(enrolled(issued))
    }
}

async fn insert(
    transaction: &mut Transaction<'static, Sqlite>,
    new: &NewAccount<'_>,
    now: Unix,
) -> Result<i64, DatabaseError> {
    let row = sqlx::query(
        "INSERT INTO accounts (username, skeleton, password_file, stretch_version, stretch_memory_kib, \
         stretch_passes, stretch_lanes, first_device, upload_digest, created) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(new.username.as_str())
    .bind(skeleton(new.username))
    .bind(new.password_file)
    .bind(new.stretch.version)
    .bind(new.stretch.memory_kib)
    .bind(new.stretch.passes)
    .bind(new.stretch.lanes)
    .bind(&new.device.as_bytes()[..])
    .bind(&new.upload_digest[..])
    .bind(seconds(now))
    .fetch_one(&mut **transaction)
    .await?;
    Ok(row.try_get("id")?)
}

/// Whether the account in `row` was made a moment ago by this very enrolment.
fn is_retry(row: &SqliteRow, new: &NewAccount<'_>, now: Unix) -> Result<bool, DatabaseError> {
    Ok(row.try_get::<&str, _>("username")? == new.username.as_str()
        && row.try_get::<&str, _>("status")? == "active"
        && bytes::<32>(row, "first_device")? == *new.device.as_bytes()
        && bytes::<32>(row, "upload_digest")? == new.upload_digest
        && now.since(time(row, "created")?) <= ENROL_RETRY)
}

fn conflict(row: &SqliteRow, username: &Username) -> Result<Conflict, DatabaseError> {
    let same = row.try_get::<&str, _>("username")? == username.as_str();
    Ok(if same { Conflict::Name } else { Conflict::LookAlike })
}

fn account(row: &SqliteRow) -> Result<Account, DatabaseError> {
    Ok(Account {
        id: row.try_get("id")?,
        password_file: row.try_get("password_file")?,
        stretch: Stretch {
            version: row.try_get("stretch_version")?,
            memory_kib: row.try_get("stretch_memory_kib")?,
            passes: row.try_get("stretch_passes")?,
            lanes: row.try_get("stretch_lanes")?,
        },
        epoch: row.try_get("epoch")?,
    })
}
