//! Keeps on disk what the overlay asks to be kept.
//!
//! The driver lays changes into one table in memory, where a later change of the same slot replaces an
//! earlier one that is still waiting; a thread of its own commits the whole table in one transaction:
//!
//! ```text
//!  driver ──persist──► pending changes ──┬─ durable: at once ──────────────► commit ──token──► driver
//!                                        └─ others: 200 ms after the first ─► commit
//! ```
//! So the order of the changes to one slot is kept, nothing waits for longer than a group commit, and
//! what a slow disk can pile up is bounded by the number of slots, which the overlay bounds. A commit
//! that fails keeps its changes, logs an error and is tried again; a durable effect waits as long.
//!
//! *Not here*: what is kept and for how long; the tables (see [`mod@file`]).

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use callbook_overlay::api::{Restored, Slot, Write};
use callbook_overlay::key::{Digest, Key, PeerId, PublicKey};
use callbook_overlay::time::Unix;
use callbook_overlay::wire::Hint;

use self::file::File;
use crate::error::StoreError;
use crate::limits::{COMMIT_RETRY, GROUP_COMMIT};
use crate::settings::StoreSetting;

/// The superpeers that a store remembers, for who wants to find its network again while no daemon uses it.
///
/// # Errors
/// The user: see [`StoreError`]; a daemon that runs holds the file.
pub fn host_cache(path: &Path) -> Result<Vec<Hint>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let (_, restored) = File::open(path)?;
    Ok(restored.contacts.iter().filter_map(|bytes| Hint::from_bytes(bytes).ok()).collect())
}

/// Names one durable change until its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Token(u64);

/// Changes that wait for their commit; `None` forgets.
#[derive(Debug, Default)]
struct Changes {
    records: BTreeMap<Slot, Option<Bytes>>,
    sequences: BTreeMap<(Key, PublicKey), u64>,
    contacts: BTreeMap<PeerId, Option<Bytes>>,
    anchors: Option<Vec<PeerId>>,
    met: BTreeMap<PeerId, Option<Unix>>,
    newest: BTreeMap<Slot, Option<Bytes>>,
    proofs: BTreeMap<Digest, Option<(Bytes, Bytes)>>,
}

#[derive(Debug, Default)]
struct Pending {
    changes: Changes,
    tokens: Vec<Token>,
    /// When the oldest change came.
    since: Option<Instant>,
    closing: bool,
}

/// What the store has done so far.
#[derive(Debug, Default)]
pub(crate) struct StoreCounts {
    pub(crate) commits: AtomicU64,
    pub(crate) commit_micros: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Whether the last commit failed.
    pub(crate) failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    counts: Arc<StoreCounts>,
}

/// The driver's end of the store.
#[derive(Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// `None`: in memory, nothing is written.
    thread: Option<thread::JoinHandle<()>>,
    next: u64,
}

impl Store {
    /// Opens the store and reads what the last run left.
    ///
    /// `committed` is called on the store's thread after the commit of each durable change.
    pub(crate) fn open(
        setting: StoreSetting,
        committed: impl Fn(Token) + Send + 'static,
    ) -> Result<(Self, Restored), StoreError> {
        let shared = Arc::new(Shared::default());
        let StoreSetting::Path(path) = setting else {
            return Ok((Self { shared, thread: None, next: 0 }, Restored::default()));
        };
        let (file, restored) = File::open(&path)?;
        let thread = thread::Builder::new()
            .name("callbook-store".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run(&file, &shared, &committed, &path)
            })
            .map_err(|reason| StoreError::Io { path: PathBuf::new(), reason })?;
        Ok((Self { shared, thread: Some(thread), next: 0 }, restored))
    }

    /// Lays changes in.
    ///
    /// # Shape
    /// `Some` when they are durable and not yet on disk: the token comes back when they are.
    pub(crate) fn persist(&mut self, writes: Vec<Write>, durable: bool) -> Option<Token> {
        self.thread.as_ref()?;
        let mut pending = lock(&self.shared.pending);
        for write in writes {
            pending.changes.add(write);
        }
        let first = pending.since.is_none();
        pending.since.get_or_insert_with(Instant::now);
        let token = durable.then(|| {
            self.next += 1;
            Token(self.next)
        });
        pending.tokens.extend(token);
        drop(pending);
        // Otherwise the thread already waits for the group's end.
        if first || durable {
            self.shared.wake.notify_one();
        }
        token
    }

    pub(crate) fn counts(&self) -> Arc<StoreCounts> {
        Arc::clone(&self.shared.counts)
    }

    /// Commits what is pending and closes the file. Blocks for as long as a commit takes.
    pub(crate) fn close(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        lock(&self.shared.pending).closing = true;
        self.shared.wake.notify_one();
        if thread.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Changes {
    fn add(&mut self, write: Write) {
        match write {
            Write::Record { slot, bytes } => {
                self.records.insert(slot, Some(bytes));
            }
            Write::Forget(slot) => {
                self.records.insert(slot, None);
            }
            Write::Sequence { key, device, seq } => {
                let held = self.sequences.entry((key, device)).or_insert(seq);
                *held = seq.max(*held);
            }
            Write::Contact { peer, bytes } => {
                self.contacts.insert(peer, Some(bytes));
            }
            Write::ForgetContact(peer) => {
                self.contacts.insert(peer, None);
                self.met.insert(peer, None);
            }
            Write::Met { peer, since } => {
                self.met.insert(peer, since);
            }
            Write::Anchors(anchors) => self.anchors = Some(anchors),
            Write::Newest { slot, bytes } => {
                self.newest.insert(slot, Some(bytes));
            }
            Write::ForgetNewest(slot) => {
                self.newest.insert(slot, None);
            }
            Write::Proof { pair, held, other } => {
                self.proofs.insert(pair, Some((held, other)));
            }
            Write::ForgetProof(pair) => {
                self.proofs.insert(pair, None);
            }
        }
    }

    /// Puts changes back whose commit failed; what came since is newer.
    fn put_back(&mut self, older: Self) {
        for (slot, change) in older.records {
            self.records.entry(slot).or_insert(change);
        }
        for (writer, seq) in older.sequences {
            let held = self.sequences.entry(writer).or_insert(seq);
            *held = seq.max(*held);
        }
        for (peer, change) in older.contacts {
            self.contacts.entry(peer).or_insert(change);
        }
        self.anchors = self.anchors.take().or(older.anchors);
        for (peer, change) in older.met {
            self.met.entry(peer).or_insert(change);
        }
        for (pair, change) in older.proofs {
            self.proofs.entry(pair).or_insert(change);
        }
        for (slot, change) in older.newest {
            self.newest.entry(slot).or_insert(change);
        }
    }
}

/// The store's thread.
fn run(file: &File, shared: &Shared, committed: &impl Fn(Token), path: &std::path::Path) {
    loop {
        let (changes, tokens, closing) = next_group(shared);
        let start = Instant::now();
        match file.commit(&changes) {
            Ok(()) => {
                let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                shared.counts.commits.fetch_add(1, Ordering::Relaxed);
                shared.counts.commit_micros.fetch_add(micros, Ordering::Relaxed);
                shared.counts.failing.store(false, Ordering::Relaxed);
                tokens.into_iter().for_each(committed);
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the store can't be written; trying again");
                shared.counts.failures.fetch_add(1, Ordering::Relaxed);
                shared.counts.failing.store(true, Ordering::Relaxed);
                let mut pending = lock(&shared.pending);
                pending.changes.put_back(changes);
                pending.tokens.extend(tokens);
                pending.since.get_or_insert(start);
                drop(pending);
                if !closing {
                    thread::sleep(COMMIT_RETRY);
                }
            }
        }
        if closing {
            return;
        }
    }
}

/// Waits for the end of a group: its time, a durable change, or the store's close.
fn next_group(shared: &Shared) -> (Changes, Vec<Token>, bool) {
    let mut pending = lock(&shared.pending);
    loop {
        let waited = pending.since.map(|since| since.elapsed());
        if pending.closing
            || !pending.tokens.is_empty()
            || waited.is_some_and(|waited| waited >= GROUP_COMMIT)
        {
            pending.since = None;
            let changes = std::mem::take(&mut pending.changes);
            let tokens = std::mem::take(&mut pending.tokens);
            return (changes, tokens, pending.closing);
        }
        pending = match waited {
            None => shared.wake.wait(pending).unwrap_or_else(PoisonError::into_inner),
            Some(waited) => {
                let left = GROUP_COMMIT.saturating_sub(waited);
                shared.wake.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// A panic elsewhere leaves the table of changes whole: each is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
