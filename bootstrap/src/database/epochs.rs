//! Epoch records: which certificates of an account no longer count.
//!
//! Revoking a device, counting the record's `seq` up, and keeping the signed record is one transaction:
//! after a crash the record is there to be published, and no `seq` is used twice.

use callbook_overlay::key::PublicKey;
use callbook_overlay::limits::{EPOCH_LIFE, REVOKED_SERIALS_MAX};
use callbook_overlay::name::Username;
use callbook_overlay::record::{EpochPayload, Record};
use callbook_overlay::time::Unix;
use sqlx::{Row as _, Sqlite, Transaction};

use super::{Database, DatabaseError, seconds};
use crate::limits::REVOKED_KEPT;

/// What an epoch record is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEpoch {
    /// Minimum epoch and revoked serials.
    pub payload: EpochPayload,
    /// Higher than any before.
    pub seq: u64,
    /// The time of signing.
    pub now: Unix,
}

/// An epoch record that the overlay has not acknowledged yet.
#[derive(Debug, Clone)]
pub struct PendingEpoch {
    /// Whose.
    pub account: i64,
    /// Which.
    pub seq: u64,
    /// The record as it travels.
    pub record: Vec<u8>,
}

impl Database {
    /// Revokes a device and keeps the epoch record that says so, durably. `false` when it is not a live
    /// device of the account; a device that is already revoked counts as revoked.
    ///
    /// # Errors
    /// [`DatabaseError`]; `sign` failing rolls everything back.
    pub async fn revoke_device(
        &self,
        username: &Username,
        device: &PublicKey,
        now: Unix,
        sign: impl FnOnce(&NewEpoch) -> Option<Record> + Send,
    ) -> Result<bool, DatabaseError> {
        let mut transaction = self.begin().await?;
        let Some(account) = sqlx::query("SELECT id FROM accounts WHERE username = ?")
            .bind(username.as_str())
            .fetch_optional(&mut *transaction)
            .await?
        else {
            return Ok(false);
        };
        let account: i64 = account.try_get("id")?;
        let revoked = sqlx::query(
            "UPDATE devices SET revoked_at = ? WHERE account = ? AND key = ? AND revoked_at IS NULL",
        )
        .bind(seconds(now))
        .bind(account)
        .bind(&device.as_bytes()[..])
        .execute(&mut *transaction)
        .await?;
        if revoked.rows_affected() == 0 {
            let row = sqlx::query("SELECT serial FROM devices WHERE account = ? AND key = ?")
                .bind(account)
                .bind(&device.as_bytes()[..])
                .fetch_optional(&mut *transaction)
                .await?;
            return Ok(row.is_some());
        }
        let epoch = next_epoch(&mut transaction, account, now).await?;
        let record = sign(&epoch).ok_or(DatabaseError::Damaged("epoch"))?;
        keep(&mut transaction, account, &epoch, &record).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Epoch records to publish, oldest first, at most so many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn pending_epochs(&self, now: Unix, count: u32) -> Result<Vec<PendingEpoch>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT account, seq, record FROM epochs WHERE acknowledged = 0 AND signed > ? ORDER BY signed LIMIT ?",
        )
        .bind(seconds(Unix::from_secs(now.as_secs().saturating_sub(EPOCH_LIFE.as_secs()))))
        .bind(count)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(PendingEpoch {
                    account: row.try_get("account")?,
                    seq: row.try_get("seq")?,
                    record: row.try_get("record")?,
                })
            })
            .collect()
    }

    /// Writes down that the overlay holds an epoch record; a newer one stays pending.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn epoch_acknowledged(&self, epoch: &PendingEpoch) -> Result<(), DatabaseError> {
        sqlx::query("UPDATE epochs SET acknowledged = 1 WHERE account = ? AND seq = ?")
            .bind(epoch.account)
            .bind(i64::try_from(epoch.seq).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// What the next epoch record of an account has to say. More serials than a record can hold raise the
/// epoch instead: all devices of the account then need a renewal.
async fn next_epoch(
    transaction: &mut Transaction<'static, Sqlite>,
    account: i64,
    now: Unix,
) -> Result<NewEpoch, DatabaseError> {
    let since = seconds(Unix::from_secs(now.as_secs().saturating_sub(REVOKED_KEPT.as_secs())));
    let rows =
        sqlx::query("SELECT serial FROM devices WHERE account = ? AND revoked_at >= ? ORDER BY serial")
            .bind(account)
            .bind(since)
            .fetch_all(&mut **transaction)
            .await?;
    let mut revoked: Vec<u64> = rows.iter().map(|row| row.try_get("serial")).collect::<Result<_, _>>()?;
    if revoked.len() > REVOKED_SERIALS_MAX {
        sqlx::query("UPDATE accounts SET epoch = epoch + 1 WHERE id = ?")
            .bind(account)
            .execute(&mut **transaction)
            .await?;
        // Their certificates carry an older epoch, so the serials needn't be listed ever again.
        sqlx::query("UPDATE devices SET revoked_at = 0 WHERE account = ? AND revoked_at IS NOT NULL")
            .bind(account)
            .execute(&mut **transaction)
            .await?;
        revoked.clear();
    }
    let row = sqlx::query(
        "SELECT epoch, coalesce((SELECT seq FROM epochs WHERE account = id), 0) AS seq FROM accounts WHERE id = ?",
    )
    .bind(account)
    .fetch_one(&mut **transaction)
    .await?;
    let payload = EpochPayload { minimum: row.try_get("epoch")?, revoked };
    Ok(NewEpoch { payload, seq: row.try_get::<u64, _>("seq")? + 1, now })
}

async fn keep(
    transaction: &mut Transaction<'static, Sqlite>,
    account: i64,
    epoch: &NewEpoch,
    record: &Record,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "INSERT INTO epochs (account, seq, record, signed, acknowledged) VALUES (?, ?, ?, ?, 0) \
         ON CONFLICT (account) DO UPDATE SET seq = excluded.seq, record = excluded.record, \
         signed = excluded.signed, acknowledged = 0",
    )
    .bind(account)
    .bind(i64::try_from(epoch.seq).unwrap_or(i64::MAX))
    .bind(&record.bytes()[..])
    .bind(seconds(epoch.now))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
