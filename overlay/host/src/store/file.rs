//! The store's file: a redb database with eight tables and a schema number.
//!
//! | table | key | value |
//! |---|---|---|
//! | `records` | key (32) ‖ kind (1) ‖ writer (32) | the record as it travels |
//! | `sequences` | key (32) ‖ device key (32) | the last sequence number used |
//! | `contacts` | PeerId (32) | an encoded hint |
//! | `anchors` | rank, from 0 | PeerId (32) |
//! | `met` | PeerId (32) | since when it has worked, in Unix seconds |
//! | `newest` | key (32) ‖ kind (1) ‖ writer (32) | the newest record that was seen there, as it travels |
//! | `proofs` | digest of the pair (32) | size of the first record (4, big-endian) ‖ both records |
//! | `meta` | `"schema"` | the schema number |
//!
//! A file of an older schema is brought forward by the [`MIGRATIONS`] in one transaction; a newer one
//! is refused. Every page is checked at the opening, so a damaged file is refused and not trusted.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use callbook_overlay::api::{Restored, Slot};
use callbook_overlay::key::{Key, PeerId, PublicKey};
use callbook_overlay::time::Unix;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableError,
    WriteTransaction,
};

use super::Changes;
use crate::error::StoreError;
use crate::limits::STORE_CACHE_BYTES;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const SEQUENCES: TableDefinition<'_, &[u8], u64> = TableDefinition::new("sequences");
const CONTACTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("contacts");
const ANCHORS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("anchors");
const MET: TableDefinition<'_, &[u8], u64> = TableDefinition::new("met");
const SEEN: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("newest");
const PROOFS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("proofs");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const SCHEMA: &str = "schema";

type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// The n-th brings a file from schema n to n + 1; a new file has schema 0.
const MIGRATIONS: [Migration; 5] = [create, add_anchors, add_newest, add_met, add_proofs];

/// The schema that this version reads and writes.
pub(super) const NEWEST: u64 = MIGRATIONS.len() as u64;

/// An open file.
#[derive(Debug)]
pub(super) struct File {
    database: Database,
}

impl File {
    /// Opens or makes the file, brings its schema forward and reads everything.
    pub(super) fn open(path: &Path) -> Result<(Self, Restored), StoreError> {
        // redb checks what it reads; where it trusts a page that is damaged all the same, it panics.
        catch_unwind(AssertUnwindSafe(|| open(path))).unwrap_or_else(|_| {
            Err(StoreError::Corrupt { path: path.to_owned(), reason: "reading it panicked".to_owned() })
        })
    }

    pub(super) fn commit(&self, changes: &Changes) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            keep(&transaction, RECORDS, &changes.records)?;
            keep(&transaction, SEEN, &changes.newest)?;
            let mut sequences = transaction.open_table(SEQUENCES)?;
            for ((key, device), seq) in &changes.sequences {
                let key = [key.as_bytes().as_slice(), device.as_bytes()].concat();
                let held = sequences.get(key.as_slice())?.map_or(0, |held| held.value());
                drop(sequences.insert(key.as_slice(), held.max(*seq))?);
            }
            let mut contacts = transaction.open_table(CONTACTS)?;
            for (peer, change) in &changes.contacts {
                match change {
                    Some(bytes) => drop(contacts.insert(peer.as_bytes().as_slice(), bytes.as_ref())?),
                    None => drop(contacts.remove(peer.as_bytes().as_slice())?),
                }
            }
            let mut proofs = transaction.open_table(PROOFS)?;
            for (pair, change) in &changes.proofs {
                match change {
                    Some(records) => {
                        drop(proofs.insert(pair.as_bytes().as_slice(), joined(records).as_slice())?)
                    }
                    None => drop(proofs.remove(pair.as_bytes().as_slice())?),
                }
            }
            let mut met = transaction.open_table(MET)?;
            for (peer, change) in &changes.met {
                match change {
                    Some(since) => drop(met.insert(peer.as_bytes().as_slice(), since.as_secs())?),
                    None => drop(met.remove(peer.as_bytes().as_slice())?),
                }
            }
            if let Some(peers) = &changes.anchors {
                let mut anchors = transaction.open_table(ANCHORS)?;
                anchors.retain(|_, _| false)?;
                for (rank, peer) in (0u64..).zip(peers) {
                    drop(anchors.insert(rank, peer.as_bytes().as_slice())?);
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

/// Lays changes of records into their table; `None` forgets.
fn keep(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, &[u8], &[u8]>,
    changes: &BTreeMap<Slot, Option<Bytes>>,
) -> Result<(), redb::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(table)?;
    for (slot, change) in changes {
        let key = slot_bytes(slot);
        match change {
            Some(bytes) => drop(table.insert(key.as_slice(), bytes.as_ref())?),
            None => drop(table.remove(key.as_slice())?),
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<(File, Restored), StoreError> {
    make_private(path).map_err(|reason| StoreError::Io { path: path.to_owned(), reason })?;
    let database = Database::builder()
        .set_cache_size(STORE_CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create(path)
        .map_err(|error| refused(path, error))?;
    let found = schema(&database).map_err(|error| damaged(path, &error))?;
    if found > NEWEST {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: NEWEST });
    }
    if found < NEWEST {
        migrate(&database, found).map_err(|error| damaged(path, &error))?;
    }
    let restored = read(&database).map_err(|error| damaged(path, &error))?;
    Ok((File { database }, restored))
}

/// Makes the file if it is missing; only its owner may read it, for redb would leave that to the umask.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // One of an earlier version.
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    drop(file);
    Ok(())
}

fn schema(database: &Database) -> Result<u64, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get(SCHEMA)?.map_or(0, |found| found.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn migrate(database: &Database, found: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        migration(&transaction)?;
    }
    drop(transaction.open_table(META)?.insert(SCHEMA, NEWEST)?);
    Ok(transaction.commit()?)
}

fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    drop(transaction.open_table(RECORDS)?);
    drop(transaction.open_table(SEQUENCES)?);
    drop(transaction.open_table(CONTACTS)?);
    Ok(())
}

fn add_anchors(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    drop(transaction.open_table(ANCHORS)?);
    Ok(())
}

fn add_newest(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    drop(transaction.open_table(SEEN)?);
    Ok(())
}

fn add_met(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    drop(transaction.open_table(MET)?);
    Ok(())
}

fn add_proofs(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    drop(transaction.open_table(PROOFS)?);
    Ok(())
}

fn read(database: &Database) -> Result<Restored, redb::Error> {
    let transaction = database.begin_read()?;
    let mut restored = Restored::default();
    for entry in transaction.open_table(RECORDS)?.iter()? {
        restored.records.push(Bytes::copy_from_slice(entry?.1.value()));
    }
    for entry in transaction.open_table(SEQUENCES)?.iter()? {
        let (key, seq) = entry?;
        let Ok(bytes) = <[u8; 64]>::try_from(key.value()) else {
            return Err(StorageError::Corrupted("a sequence's key is not 64 bytes".to_owned()).into());
        };
        let (mut key, mut device) = ([0; 32], [0; 32]);
        key.copy_from_slice(&bytes[..32]);
        device.copy_from_slice(&bytes[32..]);
        restored.sequences.push((Key::from_bytes(key), PublicKey::from_bytes(device), seq.value()));
    }
    for entry in transaction.open_table(CONTACTS)?.iter()? {
        restored.contacts.push(Bytes::copy_from_slice(entry?.1.value()));
    }
    for entry in transaction.open_table(ANCHORS)?.iter()? {
        restored.anchors.push(peer_id(entry?.1.value())?);
    }
    for entry in transaction.open_table(MET)?.iter()? {
        let (peer, since) = entry?;
        restored.met.push((peer_id(peer.value())?, Unix::from_secs(since.value())));
    }
    for entry in transaction.open_table(PROOFS)?.iter()? {
        restored.proofs.push(split(entry?.1.value())?);
    }
    for entry in transaction.open_table(SEEN)?.iter()? {
        restored.newest.push(Bytes::copy_from_slice(entry?.1.value()));
    }
    Ok(restored)
}

fn peer_id(bytes: &[u8]) -> Result<PeerId, StorageError> {
    let peer = <[u8; 32]>::try_from(bytes);
    let corrupted = |_| StorageError::Corrupted("a PeerId is not 32 bytes".to_owned());
    peer.map(PeerId::from_bytes).map_err(corrupted)
}

fn joined((held, other): &(Bytes, Bytes)) -> Vec<u8> {
    let size = u32::try_from(held.len()).unwrap_or(u32::MAX).to_be_bytes();
    [size.as_slice(), held, other].concat()
}

fn split(bytes: &[u8]) -> Result<(Bytes, Bytes), StorageError> {
    let corrupted = || StorageError::Corrupted("a proof is shorter than it says".to_owned());
    let (size, records) = bytes.split_first_chunk().ok_or_else(corrupted)?;
    let size = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
    let (held, other) = records.split_at_checked(size).ok_or_else(corrupted)?;
    Ok((Bytes::copy_from_slice(held), Bytes::copy_from_slice(other)))
}

fn slot_bytes(slot: &Slot) -> [u8; 65] {
    let mut bytes = [0; 65];
    bytes[..32].copy_from_slice(slot.key.as_bytes());
    bytes[32] = slot.kind;
    bytes[33..].copy_from_slice(slot.writer.as_bytes());
    bytes
}

fn refused(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    let damaged =
        |error: &DatabaseError| StoreError::Corrupt { path: path.clone(), reason: error.to_string() };
    if let DatabaseError::DatabaseAlreadyOpen = error {
        StoreError::InUse { path }
    } else if let DatabaseError::Storage(StorageError::Io(reason)) = error {
        if reason.kind() == io::ErrorKind::InvalidData {
            return damaged(&DatabaseError::Storage(StorageError::Io(reason)));
        }
        StoreError::Io { path, reason }
    } else {
        damaged(&error)
    }
}

fn damaged(path: &Path, error: &redb::Error) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
impl File {
    /// Makes the file what the version before the newest records left.
    pub(super) fn make_older(path: &Path) {
        let database = Database::create(path).unwrap();
        let transaction = database.begin_write().unwrap();
        assert!(transaction.delete_table(SEEN).unwrap() && transaction.delete_table(MET).unwrap());
        assert!(transaction.delete_table(PROOFS).unwrap());
        drop(transaction.open_table(META).unwrap().insert(SCHEMA, 2).unwrap());
        transaction.commit().unwrap();
    }

    /// Pretends that a later version has written the file.
    pub(super) fn stamp(path: &Path, schema: u64) {
        let database = Database::create(path).unwrap();
        let transaction = database.begin_write().unwrap();
        drop(transaction.open_table(META).unwrap().insert(SCHEMA, schema).unwrap());
        transaction.commit().unwrap();
    }
}
