//! Publishes epoch records until the overlay has acknowledged them.
//!
//! What is pending stands in the database, so a revocation survives a restart between the answer to
//! `revoke` and its arrival in the overlay. Woken by each revocation; after a failure it tries again
//! with growing pauses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::database::Database;
use crate::directory::Directory;

/// Pauses after a failure: the first, and the longest. (guess)
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Records taken from the database at once. (guess)
const BATCH: u32 = 64;

/// Publishes for ever; never returns.
pub async fn run(database: Database, directory: Arc<dyn Directory>, wake: Arc<Notify>, clock: Clock) {
    let mut pause = PAUSE.0;
    loop {
        match round(&database, directory.as_ref(), &clock).await {
            Round::Idle => {
                pause = PAUSE.0;
                wake.notified().await;
            }
            Round::Progress => pause = PAUSE.0,
            Round::Failed => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

enum Round {
    /// Nothing was pending.
    Idle,
    /// Everything that was taken up is published.
    Progress,
    /// Something has to be tried again.
    Failed,
}

async fn round(database: &Database, directory: &dyn Directory, clock: &Clock) -> Round {
    let pending = match database.pending_epochs(clock().unix, BATCH).await {
        Ok(pending) if pending.is_empty() => return Round::Idle,
        Ok(pending) => pending,
        Err(error) => {
            tracing::error!(%error, "pending epoch records can't be read");
            return Round::Failed;
        }
    };
    let mut outcome = Round::Progress;
    for epoch in pending {
        if let Err(reason) = directory.put(Bytes::from(epoch.record.clone())).await {
            tracing::debug!(reason, seq = epoch.seq, "an epoch record is not published yet");
            outcome = Round::Failed;
        } else if let Err(error) = database.epoch_acknowledged(&epoch).await {
            tracing::error!(%error, "an acknowledgement can't be written down");
            outcome = Round::Failed;
        } else {
            tracing::debug!(seq = epoch.seq, "an epoch record is published");
        }
    }
    outcome
}
