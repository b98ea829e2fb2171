//! `watch`: what is told of a name, one event after the other.

use serde::{Deserialize, Serialize};

use super::{Device, Presence};
use crate::problem::Problem;

/// One line of `watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// When it was seen here.
    pub(crate) at: String,
    /// The name.
    pub(crate) name: String,
    /// What was seen.
    #[serde(flatten)]
    pub(crate) change: Change,
}

/// What has become of a name, or of one of its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Change {
    /// The name has devices: told first, and when it was absent or unknown before.
    Found {
        /// How many.
        count: usize,
    },
    /// The name has no device.
    Absent,
    /// Nobody can say; what was known stays so.
    Unknown {
        /// Why.
        error: Problem,
    },
    /// A device that was not there before (at first: each).
    DeviceAdded {
        /// Which.
        device: Box<Device>,
    },
    /// A device has another record.
    DeviceChanged {
        /// Which, as it is now.
        device: Box<Device>,
        /// What differs; empty if the record was merely signed again.
        changed: Vec<Facet>,
    },
    /// A device is gone.
    DeviceRemoved {
        /// Which, as it was.
        device: Box<Device>,
    },
    /// A device came, went, or can't be asked after any more.
    PresenceChanged {
        /// The device key.
        device: String,
        /// Its daemon.
        peer: String,
        /// As its parent says.
        presence: Presence,
    },
    /// The watch is over.
    Ended {
        /// Why.
        error: Problem,
    },
}

/// What may differ between two records of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Facet {
    /// Its daemon.
    Peer,
    /// Its parent.
    Parent,
    /// Where it listens.
    Addresses,
    /// Display name.
    Display,
    /// Typed entries.
    Entries,
}
