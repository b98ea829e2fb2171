//! The newest records that we saw of each name: nobody can take us back behind them.
//!
//! A record that is older than the one remembered of its slot is replaced by it; a record that an
//! answer leaves out is not brought back, since a name may have lost the device. *Not here*: who is
//! told of an older one (`resolve`, `look`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::key::Key;
use crate::limits::{DEVICES_PER_NAME_MAX, NEWEST_MAX};
use crate::record::{Bundle, Record, Verdict, supersedes};

#[derive(Debug, Default)]
pub(super) struct Newest {
    names: BTreeMap<Key, Name>,
    turn: u64,
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
        }
    }

    /// Takes in the verified device records of a name.
    pub(super) fn see(&mut self, key: Key, bundle: &Bundle) {
        let name = self.name(key);
        for record in bundle.devices() {
            match name.devices.iter_mut().find(|seen| seen.slot() == record.slot()) {
                Some(seen) if seen.digest() == record.digest() => {}
                Some(seen) => {
                    if supersedes(record, seen) == Verdict::Newer {
                        *seen = record.clone();
                    }
                }
                None => {
                    if name.devices.len() >= DEVICES_PER_NAME_MAX {
                        // Devices come and go; those that are there now count.
                        name.devices.retain(|seen| bundle.devices().any(|now| now.slot() == seen.slot()));
                    }
                    if name.devices.len() < DEVICES_PER_NAME_MAX {
                        name.devices.push(record.clone());
                    }
                }
            }
        }
    }

    /// The name's place, used now; at the bound the one goes that was not used for longest.
    fn name(&mut self, key: Key) -> &mut Name {
        self.turn += 1;
        if self.names.len() >= NEWEST_MAX && !self.names.contains_key(&key) {
            let oldest = self.names.iter().min_by_key(|(_, name)| name.used).map(|(key, _)| *key);
            self.names.retain(|key, _| Some(*key) != oldest);
        }
        let name = self.names.entry(key).or_default();
        name.used = self.turn;
        name
    }
}
