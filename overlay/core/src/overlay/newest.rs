//! The newest records that we saw of each name: nobody can take us back behind them.
//!
//! A record that is older than the one remembered of its slot is replaced by it; a record that an
//! answer leaves out is not brought back, since a name may have lost the device. What is remembered is
//! on disk too, until it expires or makes room, so that a restart forgets nothing. *Not here*: who is
//! told of an older one (`resolve`, `look`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::api::Write;
use crate::invalid::Invalid;
use crate::key::Key;
use crate::limits::{DEVICES_PER_NAME_MAX, NEWEST_MAX};
use crate::record::{Bundle, Record, Verdict, supersedes};
use crate::time::Unix;

#[derive(Debug, Default)]
pub(super) struct Newest {
    names: BTreeMap<Key, Name>,
    turn: u64,
    /// Not on disk yet: what has changed since it was asked for last.
    writes: Vec<Write>,
}

#[derive(Debug, Default)]
struct Name {
    epoch: Option<Record>,
    devices: Vec<Record>,
    used: u64,
}

impl Newest {
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.names.contains_key(key)
    }

    pub(super) fn epoch(&self, key: &Key) -> Option<&Record> {
        self.names.get(key)?.epoch.as_ref()
    }

    /// Whether it is of a name that we know, and not what we saw of its slot already.
    pub(super) fn is_new(&self, record: &Record) -> bool {
        let name = self.names.get(&record.header().key);
        name.is_some_and(|name| !name.devices.iter().any(|seen| seen.digest() == record.digest()))
    }

    /// What we saw of a record's slot, if that is newer.
    pub(super) fn newer(&self, record: &Record) -> Option<&Record> {
        let devices = &self.names.get(&record.header().key)?.devices;
        devices.iter().find(|seen| supersedes(seen, record) == Verdict::Newer && seen.slot() == record.slot())
    }

    /// Takes in a verified epoch record.
    pub(super) fn remember(&mut self, epoch: &Record) {
        let name = self.name(epoch.header().key);
        if name.epoch.as_ref().is_none_or(|seen| supersedes(epoch, seen) == Verdict::Newer) {
            name.epoch = Some(epoch.clone());
            self.writes.push(keep(epoch));
        }
    }

    /// Takes in the verified device records of a name.
    pub(super) fn see(&mut self, key: Key, bundle: &Bundle) {
        let mut writes = Vec::new();
        let name = self.name(key);
        for record in bundle.devices() {
            match name.devices.iter_mut().find(|seen| seen.slot() == record.slot()) {
                Some(seen) if seen.digest() == record.digest() => {}
                Some(seen) => {
                    if supersedes(record, seen) == Verdict::Newer {
                        *seen = record.clone();
                        writes.push(keep(record));
                    }
                }
                None => {
                    if name.devices.len() >= DEVICES_PER_NAME_MAX {
                        // Devices come and go; those that are there now count.
                        let there = |seen: &Record| bundle.devices().any(|now| now.slot() == seen.slot());
                        let gone = name.devices.extract_if(.., |seen| !there(seen));
                        writes.extend(gone.map(forget));
                    }
                    if name.devices.len() < DEVICES_PER_NAME_MAX {
                        name.devices.push(record.clone());
                        writes.push(keep(record));
                    }
                }
            }
        }
        self.writes.append(&mut writes);
    }

    /// What the last run left on disk; of what it has left too much, some goes.
    ///
    /// Nothing is verified now: that is done when it counts, and a start must not wait for it.
    pub(super) fn restore(&mut self, records: Vec<Record>) {
        for record in records {
            if record.certificate().is_none() {
                self.remember(&record);
            } else {
                self.see(record.header().key, &Bundle::new([record]));
            }
        }
        // The others are there already.
        self.writes.retain(|write| matches!(write, Write::ForgetNewest(_)));
    }

    /// Forgets what has expired.
    pub(super) fn sweep(&mut self, now: Unix) {
        let over = |record: &Record| matches!(record.check_header(now), Err(Invalid::Expired(_)));
        let writes = &mut self.writes;
        self.names.retain(|_, name| {
            let before = writes.len();
            let devices = name.devices.extract_if(.., |seen| over(seen));
            writes.extend(devices.chain(name.epoch.take_if(|epoch| over(epoch))).map(forget));
            before == writes.len() || name.epoch.is_some() || !name.devices.is_empty()
        });
    }

    /// What has to be written down since this was called last.
    pub(super) fn take_writes(&mut self) -> Vec<Write> {
        core::mem::take(&mut self.writes)
    }

    /// The name's place, used now; at the bound the one goes that was not used for longest.
    fn name(&mut self, key: Key) -> &mut Name {
        self.turn += 1;
        if self.names.len() >= NEWEST_MAX && !self.names.contains_key(&key) {
            let oldest = self.names.iter().min_by_key(|(_, name)| name.used).map(|(key, _)| *key);
            let oldest = oldest.and_then(|key| self.names.remove(&key));
            let records = oldest.into_iter().flat_map(|name| name.devices.into_iter().chain(name.epoch));
            self.writes.extend(records.map(forget));
        }
        let name = self.names.entry(key).or_default();
        name.used = self.turn;
        name
    }
}

fn keep(record: &Record) -> Write {
    Write::Newest { slot: record.slot(), bytes: record.bytes().clone() }
}

fn forget(record: Record) -> Write {
    Write::ForgetNewest(record.slot())
}

#[cfg(test)]
pub(super) mod tests {
    use alloc::vec;

    use super::Newest;
    use crate::api::Write;
    use crate::certificate::{LOGIN_LIFE, LoginCertificate};
    use crate::key::{Key, NetworkId};
    use crate::limits::NEWEST_MAX;
    use crate::network::{Limits, Network, Parameters, Scope};
    use crate::record::{EpochDraft, EpochPayload, Record, sign_epoch};
    use crate::sign::{SecretKey, Signer};
    use crate::time::Unix;

    pub(in crate::overlay) fn epoch(key: Key, minimum: u32, seq: u64) -> Record {
        let (root, login) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let (id, now) = (NetworkId::from_bytes([3; 32]), Unix::from_secs(1_800_000_000));
        let certificate =
            LoginCertificate { key: login.public(), not_before: now, not_after: now + LOGIN_LIFE };
        let chain = [certificate.issue(&id, &root)];
        let network = Network {
            id,
            version: 1,
            roots: vec![root.public()],
            login: chain.to_vec(),
            secret: None,
            scope: Scope::Local,
            limits: Limits::Lab,
            parameters: Parameters::default(),
        };
        let payload = EpochPayload { minimum, revoked: vec![] };
        let draft = EpochDraft { key, payload: &payload, seq, now, chain: &chain };
        sign_epoch(draft, &network, &login).expect("a valid record")
    }

    #[test]
    fn an_older_epoch_record_does_not_replace_a_newer_one() {
        // The higher epoch wins over the higher number, in either order of arrival.
        let key = Key::from_bytes([9; 32]);
        let (old, new) = (epoch(key, 1, 5), epoch(key, 2, 1));
        for order in [[&old, &new], [&new, &old]] {
            let mut newest = Newest::default();
            order.into_iter().for_each(|record| newest.remember(record));
            assert_eq!(newest.epoch(&key), Some(&new));
        }
    }

    #[test]
    fn what_is_on_disk_is_what_is_remembered() {
        // Goal: what was written, and not forgotten, is what a restart remembers; nothing is written
        // twice, and what has expired goes. Method: an epoch record, a newer one, as many names as there
        // is room for, and the writes played back.
        use std::collections::BTreeMap;
        let key = |number: u16| Key::from_bytes(core::array::from_fn(|at| number.to_be_bytes()[at % 2]));
        let mut newest = Newest::default();
        let mut disk = BTreeMap::new();
        newest.remember(&epoch(key(0), 1, 1));
        for number in 0..=u16::try_from(NEWEST_MAX).expect("few") {
            newest.remember(&epoch(key(number), 2, 1));
            newest.remember(&epoch(key(number), 1, 7));
        }
        let writes = newest.take_writes();
        assert_eq!(writes.len(), 1 + NEWEST_MAX + 1 + 1);
        for write in writes {
            if let Write::Newest { slot, bytes } = write {
                disk.insert(slot, bytes);
            } else {
                let Write::ForgetNewest(slot) = write else { panic!("{write:?}") };
                assert!(disk.remove(&slot).is_some());
            }
        }
        let read = |bytes: &bytes::Bytes| Record::parse(bytes).expect("a record");
        let mut again = Newest::default();
        again.restore(disk.values().map(read).collect());
        assert_eq!(again.take_writes(), []);
        assert_eq!((again.names.len(), again.knows(&key(0))), (NEWEST_MAX, false));
        let seen = |newest: &Newest| newest.epoch(&key(9)).map(|record| record.header().epoch);
        assert_eq!((seen(&newest), seen(&again)), (Some(2), Some(2)));
        again.sweep(Unix::from_secs(1_800_000_000));
        assert_eq!(again.take_writes(), []);
        again.sweep(Unix::from_secs(1_801_000_000));
        assert_eq!((again.take_writes().len(), again.names.len()), (NEWEST_MAX, 0));
    }

    #[test]
    fn at_the_bound_the_name_that_was_not_used_for_longest_goes() {
        // One more name than there is room for; the first one is used again before.
        let key = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Key::from_bytes(bytes)
        };
        let mut newest = Newest::default();
        for number in 0..NEWEST_MAX {
            newest.see(key(number), &crate::record::Bundle::default());
        }
        newest.see(key(0), &crate::record::Bundle::default());
        newest.see(key(NEWEST_MAX), &crate::record::Bundle::default());
        assert!(newest.knows(&key(0)) && newest.knows(&key(NEWEST_MAX)) && !newest.knows(&key(1)));
    }
}
