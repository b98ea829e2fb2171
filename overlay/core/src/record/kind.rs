//! The kinds of record and each one's rules: who may write it, how long it may live, how many a key
//! may hold.
//!
//! Versions of every kind merge alike: the newest `(epoch, seq)` wins
//! ([`supersedes`](super::supersedes)). A new kind is one more line here and one more tag.
//!
//! Source: DESIGN §3. *Not here*: the checks themselves (`mod.rs`, `verify.rs`), quotas per neighbour
//! (`store`).

use core::time::Duration;

use crate::limits::{DEVICE_LIFE_MAX, DEVICES_PER_NAME_MAX, EPOCH_LIFE};
use crate::sign::Tag;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Where a device of a name is reachable.
    Device,
    /// Which certificates of a name no longer count.
    Epoch,
}

/// Who may write a kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The device key that the chain certifies for the name; each has a slot of its own.
    Device,
    /// A login key; there is one slot.
    Login,
}

/// The rules of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Who may write it.
    pub writer: Writer,
    /// From signing to expiry, at most.
    pub life_max: Duration,
    /// Records of this kind under one key, at most.
    pub per_key: usize,
    /// What its signature is for.
    pub tag: Tag,
}

impl Kind {
    /// Its number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.rules().tag as u8
    }

    /// The kind with this number; `None` for those of newer versions.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Device),
            2 => Some(Self::Epoch),
            _ => None,
        }
    }

    /// Its rules.
    #[must_use]
    pub const fn rules(self) -> Rules {
        match self {
            Self::Device => Rules {
                writer: Writer::Device,
                life_max: DEVICE_LIFE_MAX,
                per_key: DEVICES_PER_NAME_MAX,
                tag: Tag::Device,
            },
            Self::Epoch => Rules { writer: Writer::Login, life_max: EPOCH_LIFE, per_key: 1, tag: Tag::Epoch },
        }
    }
}

impl Writer {
    /// Certificates between a root key and this writer.
    #[must_use]
    pub const fn chain_count(self) -> usize {
        match self {
            Self::Device => 2,
            Self::Login => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    /// Goal: numbers on the wire read back as what was written. Method: both ways for every kind.
    #[test]
    fn a_kind_and_its_number_name_each_other() {
        for kind in [Kind::Device, Kind::Epoch] {
            assert_eq!(Kind::from_code(u64::from(kind.code())), Some(kind));
        }
        for unknown in [0, 3, 257, u64::MAX] {
            assert_eq!(Kind::from_code(unknown), None);
        }
    }
}
