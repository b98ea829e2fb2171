//! Devices of accounts. A device has one serial number, kept over renewals, so one entry in the epoch
//! record revokes whatever was issued to it.

use callbook_overlay::certificate::DEVICE_LIFE;
use callbook_overlay::key::PublicKey;
use callbook_overlay::time::Unix;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::{Database, DatabaseError, bytes, seconds, time};
use crate::limits::DEVICES_MAX;

/// What a device certificate says beside name and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// The device's serial number.
    pub serial: u64,
    /// The account's epoch.
    pub epoch: u32,
    /// Valid from.
    pub not_before: Unix,
    /// Valid until.
    pub not_after: Unix,
}

/// A device of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its key.
    pub key: PublicKey,
    /// Its serial number.
    pub serial: u64,
    /// When its newest certificate was issued.
    pub issued: Unix,
    /// When that ends.
    pub not_after: Unix,
}

impl Database {
    /// Adds a device to an account (or renews it), durably. `None` when the account has as many as it
    /// may have.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn certify_device(
        &self,
        account: i64,
        device: &PublicKey,
        now: Unix,
    ) -> Result<Option<Issued>, DatabaseError> {
        let mut transaction = self.begin().await?;
        if !has_room(&mut transaction, account, device, now).await? {
            return Ok(None);
        }
        let issued = certify(&mut transaction, account, device, now).await?;
        transaction.commit().await?;
        Ok(Some(issued))
    }

    /// Renews a device's certificate, durably. `None` when it is not a live device of the account, or
    /// ended, and others have taken its place.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn renew_device(
        &self,
        account: i64,
        device: &PublicKey,
        now: Unix,
    ) -> Result<Option<Issued>, DatabaseError> {
        let mut transaction = self.begin().await?;
        let known =
            sqlx::query("SELECT serial FROM devices WHERE account = ? AND key = ? AND revoked_at IS NULL")
                .bind(account)
                .bind(&device.as_bytes()[..])
                .fetch_optional(&mut *transaction)
                .await?;
        if known.is_none() || !has_room(&mut transaction, account, device, now).await? {
            return Ok(None);
        }
        let issued = certify(&mut transaction, account, device, now).await?;
        transaction.commit().await?;
        Ok(Some(issued))
    }

    /// The devices of an account that are not revoked and not expired.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn devices(&self, account: i64, now: Unix) -> Result<Vec<Device>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT * FROM devices WHERE account = ? AND revoked_at IS NULL AND not_after > ? ORDER BY serial",
        )
        .bind(account)
        .bind(seconds(now))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(device).collect()
    }

    /// Whether a device may still speak for the account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn is_live(&self, account: i64, key: &PublicKey) -> Result<bool, DatabaseError> {
        let row =
            sqlx::query("SELECT serial FROM devices WHERE account = ? AND key = ? AND revoked_at IS NULL")
                .bind(account)
                .bind(&key.as_bytes()[..])
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.is_some())
    }
}

/// Whether the account may have this device beside its other live ones.
async fn has_room(
    transaction: &mut Transaction<'static, Sqlite>,
    account: i64,
    device: &PublicKey,
    now: Unix,
) -> Result<bool, DatabaseError> {
    let row = sqlx::query(
        "SELECT count(*) AS count FROM devices \
         WHERE account = ? AND key <> ? AND revoked_at IS NULL AND not_after > ?",
    )
    .bind(account)
    .bind(&device.as_bytes()[..])
    .bind(seconds(now))
    .fetch_one(&mut **transaction)
    .await?;
    Ok(row.try_get::<i64, _>("count")? < DEVICES_MAX)
}

/// Writes down that a device gets a certificate now; a new device gets a new serial number.
pub(super) async fn certify(
    transaction: &mut Transaction<'static, Sqlite>,
    account: i64,
    device: &PublicKey,
    now: Unix,
) -> Result<Issued, DatabaseError> {
    let not_after = now + DEVICE_LIFE;
    let row = sqlx::query(
        "INSERT INTO devices (account, key, issued, not_after) VALUES (?, ?, ?, ?) \
         ON CONFLICT (account, key) WHERE revoked_at IS NULL \
         DO UPDATE SET issued = excluded.issued, not_after = excluded.not_after \
         RETURNING serial, (SELECT epoch FROM accounts WHERE id = account) AS epoch",
    )
    .bind(account)
    .bind(&device.as_bytes()[..])
    .bind(seconds(now))
    .bind(seconds(not_after))
    .fetch_one(&mut **transaction)
    .await?;
    Ok(Issued { serial: row.try_get("serial")?, epoch: row.try_get("epoch")?, not_before: now, not_after })
}

fn device(row: &SqliteRow) -> Result<Device, DatabaseError> {
    Ok(Device {
        key: PublicKey::from_bytes(bytes(row, "key")?),
        serial: row.try_get("serial")?,
        issued: time(row, "issued")?,
        not_after: time(row, "not_after")?,
    })
}
