//! Certified nodes, and the tokens by which strangers become one.
//!
//! A node's nonce, and with it its place in the key space, is drawn once and kept: asking again for a
//! certificate never moves a node.

use callbook_overlay::certificate::NODE_LIFE;
use callbook_overlay::key::PeerId;
use callbook_overlay::time::Unix;
use sqlx::{Row as _, Sqlite, Transaction};

use super::{Database, DatabaseError, bytes, seconds};
use crate::limits::NODES_MAX;

/// What a node certificate says beside the node key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Fixes its place.
    pub nonce: [u8; 16],
    /// Valid from.
    pub not_before: Unix,
    /// Valid until.
    pub not_after: Unix,
}

/// By what right a node asks for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It had one before (or is the server's own).
    Renewal,
    /// It is the login server's own node.
    Own,
    /// A token, by its hash.
    Token([u8; 32]),
    /// An account vouches.
    Account(i64),
}

impl Database {
    /// Writes down that a node gets a certificate now, durably. `nonce` counts only for a new node.
    /// `None` when the grant doesn't hold.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn certify_node(
        &self,
        peer: &PeerId,
        grant: Grant,
        nonce: [u8; 16],
        now: Unix,
    ) -> Result<Option<Node>, DatabaseError> {
        let mut transaction = self.begin().await?;
        let granted = match grant {
            Grant::Own => true,
            Grant::Renewal => may_renew(&mut transaction, peer, now).await?,
            Grant::Token(hash) => use_token(&mut transaction, &hash, peer, now).await?,
            Grant::Account(account) => has_room(&mut transaction, account, peer, now).await?,
        };
        if !granted {
            return Ok(None);
        }
        let account = match grant {
            Grant::Account(account) => Some(account),
            Grant::Own | Grant::Renewal | Grant::Token(_) => None,
        };
        let not_after = now + NODE_LIFE;
        let row = sqlx::query(
            "INSERT INTO nodes (peer, account, nonce, issued, not_after) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (peer) DO UPDATE SET issued = excluded.issued, not_after = excluded.not_after \
             RETURNING nonce",
        )
        .bind(&peer.as_bytes()[..])
        .bind(account)
        .bind(&nonce[..])
        .bind(seconds(now))
        .bind(seconds(not_after))
        .fetch_one(&mut *transaction)
        .await?;
        let nonce = bytes(&row, "nonce")?;
        transaction.commit().await?;
        Ok(Some(Node { nonce, not_before: now, not_after }))
    }

    /// Whether a peer has a node certificate that is valid now.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn is_node(&self, peer: &PeerId, now: Unix) -> Result<bool, DatabaseError> {
        let row = sqlx::query("SELECT account FROM nodes WHERE peer = ? AND not_after > ?")
            .bind(&peer.as_bytes()[..])
            .bind(seconds(now))
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// Keeps a token's hash, durably.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn add_token(&self, hash: &[u8; 32], now: Unix, expires: Unix) -> Result<(), DatabaseError> {
        sqlx::query("INSERT INTO tokens (hash, created, expires) VALUES (?, ?, ?)")
            .bind(&hash[..])
            .bind(seconds(now))
            .bind(seconds(expires))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Whether a node had a certificate; one on an account also needs room among the account's live ones.
async fn may_renew(
    transaction: &mut Transaction<'static, Sqlite>,
    peer: &PeerId,
    now: Unix,
) -> Result<bool, DatabaseError> {
    let row = sqlx::query("SELECT account FROM nodes WHERE peer = ?")
        .bind(&peer.as_bytes()[..])
        .fetch_optional(&mut **transaction)
        .await?;
    match row.map(|row| row.try_get::<Option<i64>, _>("account")).transpose()? {
        None => Ok(false),
        Some(None) => Ok(true),
        Some(Some(account)) => has_room(transaction, account, peer, now).await,
    }
}

/// A token serves one node: the first that shows it in time, and that one again.
async fn use_token(
    transaction: &mut Transaction<'static, Sqlite>,
    hash: &[u8; 32],
    peer: &PeerId,
    now: Unix,
) -> Result<bool, DatabaseError> {
    let used = sqlx::query(
        "UPDATE tokens SET used_by = ?1 WHERE hash = ?2 AND (used_by = ?1 OR (used_by IS NULL AND expires > ?3))",
    )
    .bind(&peer.as_bytes()[..])
    .bind(&hash[..])
    .bind(seconds(now))
    .execute(&mut **transaction)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Whether an account may have (or already has) this node beside its other live ones.
async fn has_room(
    transaction: &mut Transaction<'static, Sqlite>,
    account: i64,
    peer: &PeerId,
    now: Unix,
) -> Result<bool, DatabaseError> {
    let row =
        sqlx::query("SELECT count(*) AS count FROM nodes WHERE account = ? AND peer <> ? AND not_after > ?")
            .bind(account)
            .bind(&peer.as_bytes()[..])
            .bind(seconds(now))
            .fetch_one(&mut **transaction)
            .await?;
    Ok(row.try_get::<i64, _>("count")? < NODES_MAX)
}
