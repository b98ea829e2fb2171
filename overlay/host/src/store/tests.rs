//! The store keeps, refuses and acknowledges as it says.

use std::path::Path;
use std::sync::mpsc;

use bytes::Bytes;
use callbook_overlay::api::{Restored, Slot, Write};
use callbook_overlay::key::{Digest, Key, PeerId, PublicKey};
use callbook_overlay::time::Unix;

use super::file::{File, NEWEST};
use super::{Store, Token};
use crate::error::StoreError;
use crate::settings::StoreSetting;

fn open(path: &Path) -> Result<(Store, Restored, mpsc::Receiver<Token>), StoreError> {
    let (sender, committed) = mpsc::channel();
    let (store, restored) =
        Store::open(StoreSetting::Path(path.to_owned()), move |token| sender.send(token).unwrap())?;
    Ok((store, restored, committed))
}

fn slot(number: u8) -> Slot {
    Slot { key: Key::from_bytes([number; 32]), kind: 1, writer: PublicKey::from_bytes([number; 32]) }
}

fn record(number: u8, bytes: &'static [u8]) -> Write {
    Write::Record { slot: slot(number), bytes: Bytes::from_static(bytes) }
}

#[test]
fn what_was_written_is_there_after_a_reopen() {
    // Goal: records, sequences and contacts survive a clean stop; later changes win, forgotten things
    // are gone, a sequence never goes down. Method: two sessions of changes, then a third reads.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (key, device) = (Key::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]));
    let (near, far) = (PeerId::from_bytes([3; 32]), PeerId::from_bytes([4; 32]));

    let (mut store, restored, _) = open(&path).unwrap();
    assert!(restored.records.is_empty() && restored.sequences.is_empty() && restored.contacts.is_empty());
    let writes = vec![
        record(1, b"old"),
        record(2, b"to go"),
        Write::Sequence { key, device, seq: 7 },
        Write::Contact { peer: near, bytes: Bytes::from_static(b"near") },
        Write::Contact { peer: far, bytes: Bytes::from_static(b"far") },
        record(1, b"new"),
    ];
    assert_eq!(store.persist(writes, false), None);
    store.close();

    let (mut store, _, _) = open(&path).unwrap();
    let writes =
        vec![Write::Forget(slot(2)), Write::ForgetContact(far), Write::Sequence { key, device, seq: 5 }];
    assert_eq!(store.persist(writes, false), None);
    store.close();

    let (store, restored, _) = open(&path).unwrap();
    assert_eq!(restored.records, [Bytes::from_static(b"new")]);
    assert_eq!(restored.sequences, [(key, device, 7)]);
    assert_eq!(restored.contacts, [Bytes::from_static(b"near")]);
    store.close();
}

fn seen(number: u8, bytes: &'static [u8]) -> Write {
    Write::Newest { slot: slot(number), bytes: Bytes::from_static(bytes) }
}

#[test]
fn what_was_seen_of_others_is_kept_apart_from_what_is_stored() {
    // Goal: the newest records seen, and since when superpeers have worked, survive a stop; forgotten
    // ones are gone, and no record that was seen is taken for a stored one. Method: both kinds in the same
    // slots.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (mut store, _, _) = open(&path).unwrap();
    let peer = |number: u8| PeerId::from_bytes([number; 32]);
    let met =
        |number: u8, since: Option<u64>| Write::Met { peer: peer(number), since: since.map(Unix::from_secs) };
    let writes = vec![seen(1, b"old"), seen(2, b"to go"), record(1, b"stored"), seen(1, b"new")];
    assert_eq!(store.persist(writes, false), None);
    let proof = |number: u8, held: &'static [u8], other: &'static [u8]| Write::Proof {
        pair: Digest::from_bytes([number; 32]),
        held: Bytes::from_static(held),
        other: Bytes::from_static(other),
    };
    let writes = vec![proof(1, b"one", b"another"), proof(2, b"to", b"go")];
    assert_eq!(store.persist(writes, false), None);
    let writes = vec![met(1, Some(10)), met(2, Some(20)), met(3, Some(30)), met(1, Some(11))];
    assert_eq!(store.persist(writes, false), None);
    store.close();
    let (mut store, _, _) = open(&path).unwrap();
    let mut writes = vec![Write::ForgetNewest(slot(2)), Write::Forget(slot(1))];
    writes.extend([met(2, None), Write::ForgetContact(peer(3))]);
    writes.push(Write::ForgetProof(Digest::from_bytes([2; 32])));
    assert_eq!(store.persist(writes, false), None);
    store.close();
    let (store, restored, _) = open(&path).unwrap();
    assert_eq!(restored.newest, [Bytes::from_static(b"new")]);
    assert_eq!(restored.records, [] as [Bytes; 0]);
    assert_eq!(restored.proofs, [(Bytes::from_static(b"one"), Bytes::from_static(b"another"))]);
    assert_eq!(restored.met, [(peer(1), Unix::from_secs(11))]);
    store.close();
}

#[test]
fn a_file_of_the_version_before_is_brought_forward() {
    // Goal: an older file opens with all that it holds, and keeps what only this version writes. Method:
    // take the youngest table and the schema number back.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (mut store, _, _) = open(&path).unwrap();
    assert_eq!(store.persist(vec![record(1, b"kept")], false), None);
    store.close();
    File::make_older(&path);
    let (mut store, restored, _) = open(&path).unwrap();
    assert_eq!(restored.records, [Bytes::from_static(b"kept")]);
    assert_eq!(store.persist(vec![seen(1, b"seen")], false), None);
    store.close();
    let (store, restored, _) = open(&path).unwrap();
    assert_eq!(restored.newest, [Bytes::from_static(b"seen")]);
    store.close();
}

#[test]
fn a_durable_change_is_on_disk_when_its_token_comes() {
    // Goal: the token of a durable change means that it survives. Method: wait for the token, copy the
    // file as a crash would leave it (the store is still open), and read the copy.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (mut store, _, committed) = open(&path).unwrap();
    let token = store.persist(vec![record(1, b"kept")], true).unwrap();
    assert_eq!(committed.recv().unwrap(), token);
    let copy = folder.path().join("crashed.redb");
    std::fs::copy(&path, &copy).unwrap();
    let (_, restored, _) = open(&copy).unwrap();
    assert_eq!(restored.records, [Bytes::from_static(b"kept")]);
    store.close();
}

#[test]
fn other_changes_are_committed_without_being_asked() {
    // Goal: a change that is not durable reaches the disk too. Method: wait until the count of commits
    // rises without a durable change or a close.
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _, _) = open(&folder.path().join("store.redb")).unwrap();
    assert_eq!(store.persist(vec![record(1, b"soon")], false), None);
    let counts = store.counts();
    while counts.commits.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    store.close();
}

#[test]
fn a_newer_schema_is_refused() {
    // Goal: an older version does not touch what a newer one wrote. Method: stamp a newer number.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    open(&path).unwrap().0.close();
    File::stamp(&path, NEWEST + 1);
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found, .. } if found == NEWEST + 1), "{error}");
    assert!(error.to_string().contains("newer callbook"), "{error}");
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    // Goal: neither garbage nor a store with damaged pages is trusted; the text names the file. Method:
    // a text file, and a real store whose pages behind the header are overwritten.
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.redb");
    std::fs::write(&garbage, "this is no store\n".repeat(1_000)).unwrap();
    let damaged = folder.path().join("damaged.redb");
    let (mut store, _, _) = open(&damaged).unwrap();
    assert_eq!(store.persist(vec![record(1, &[7; 1_000])], false), None);
    store.close();
    let mut bytes = std::fs::read(&damaged).unwrap();
    for byte in bytes.iter_mut().skip(4_096) {
        *byte ^= 0x55;
    }
    std::fs::write(&damaged, bytes).unwrap();
    for path in [&garbage, &damaged] {
        let error = open(path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_file_in_use_and_a_missing_folder_are_told_apart() {
    // Goal: each cause has its own message. Method: open twice; open in a folder that is not there.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path).unwrap_err(), StoreError::InUse { .. }));
    first.0.close();
    let missing = folder.path().join("missing").join("store.redb");
    assert!(matches!(open(&missing).unwrap_err(), StoreError::Io { .. }));
}

#[test]
fn in_memory_nothing_waits() {
    // Goal: without a file a durable change needs no token. Method: ask for one.
    let (mut store, _) = Store::open(StoreSetting::Memory, |_| ()).unwrap();
    assert_eq!(store.persist(vec![record(1, b"gone")], true), None);
}
