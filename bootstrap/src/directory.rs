//! What the login server needs of the overlay: somewhere to publish, and superpeers to name.
//!
//! A trait, so that the service can be tested without a network. *Not here*: retrying
//! ([`crate::publisher`]).

use bytes::Bytes;
use callbook_host::Handle;
use callbook_overlay::api::{Command, Reply};
use futures::future::BoxFuture;

use crate::limits::SEED_FRESH;

/// The overlay, as the login server sees it.
pub trait Directory: Send + Sync + 'static {
    /// Publishes a record.
    ///
    /// # Errors
    /// The network: no majority of storers has acknowledged it; the text says why.
    fn put(&self, record: Bytes) -> BoxFuture<'_, Result<(), String>>;

    /// Superpeers that were heard from lately, as encoded hints, the server itself last.
    fn seeds(&self, count: usize) -> BoxFuture<'_, Vec<Bytes>>;
}

impl Directory for Handle {
    fn put(&self, record: Bytes) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match self.command(Command::Put(record)).await {
                Ok(Reply::Stored(_)) => Ok(()),
                Ok(Reply::Failed(failure)) => Err(failure.to_string()),
                Ok(other) => Err(format!("unexpected reply {other:?}")),
                Err(stopped) => Err(stopped.to_string()),
            }
        })
    }

    fn seeds(&self, count: usize) -> BoxFuture<'_, Vec<Bytes>> {
        Box::pin(async move {
            match self.command(Command::Sample { count, within: SEED_FRESH }).await {
                Ok(Reply::Seeds(hints)) => hints.iter().map(|hint| hint.to_bytes()).collect(),
                Ok(_) | Err(_) => Vec::new(),
            }
        })
    }
}
