//! `lookup`: names, their devices, whether these are there, and how the answer was found.

use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// `lookup`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lookups {
    /// One per name asked for, in that order.
    pub(crate) names: Vec<Lookup>,
}

/// What became of one name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lookup {
    /// As asked for.
    pub(crate) name: String,
    /// The outcome in a word.
    pub(crate) outcome: Answered,
    /// Where the name is reachable.
    pub(crate) devices: Vec<Device>,
    /// Sequential requests after the parent.
    pub(crate) hops: u8,
    /// Where the answer came from.
    pub(crate) source: Option<String>,
    /// Denials counted.
    pub(crate) denials: usize,
    /// As the daemon measured it, without the presences.
    pub(crate) ms: f64,
    /// Every request in the order of its start; empty unless it was asked for.
    #[serde(default)]
    pub(crate) trace: Vec<Step>,
    /// Why nobody else could say: then these are this daemon's own devices, and there may be others.
    #[serde(default)]
    pub(crate) partial: Option<Problem>,
    /// Unless it was found.
    pub(crate) error: Option<Problem>,
}

/// The outcome of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answered {
    /// There are devices.
    Found,
    /// Surely none.
    Absent,
    /// Nobody could say.
    Unknown,
    /// Answers didn't pass verification.
    Unverified,
    /// Something else failed.
    Failed,
    /// Not a username.
    Invalid,
}

/// One device under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// The device key.
    pub(crate) device: String,
    /// The daemon's PeerId.
    pub(crate) peer: String,
    /// Its parent; itself if it is a superpeer.
    pub(crate) parent: Option<String>,
    /// Where it listens.
    pub(crate) addresses: Vec<String>,
    /// Display name.
    pub(crate) display: String,
    /// Typed entries in zone-file form.
    pub(crate) entries: Vec<String>,
    /// Version of the record.
    pub(crate) seq: u64,
    /// Since it was signed.
    pub(crate) age_secs: u64,
    /// When it was signed.
    pub(crate) signed_at: String,
    /// When it expires.
    pub(crate) valid_until: String,
    /// Whether it is there; `None` if nobody asked.
    #[serde(default)]
    pub(crate) presence: Option<Presence>,
}

/// Whether a device is there, as its parent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum Presence {
    /// Its parent hears it.
    Online {
        /// How long ago, last.
        heard_secs: u64,
    },
    /// It said goodbye.
    Offline {
        /// When.
        since: String,
    },
    /// Its parent doesn't answer, or doesn't know.
    Unknown,
}

/// One request of a look-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// When, since the look-up began.
    pub(crate) at_ms: f64,
    /// Who was asked.
    pub(crate) peer: String,
    /// Where it listens, if that is known.
    pub(crate) address: Option<String>,
    /// As what: `parent`, `standby` or `storer`.
    pub(crate) asked: String,
    /// How long the answer took, or was waited for.
    pub(crate) took_ms: f64,
    /// What it said: `found`, `denied`, `syncing`, `unknown`, `refused`, `silent`, `unreachable` or
    /// `invalid`.
    pub(crate) answer: String,
    /// Of how many devices, if it found any.
    pub(crate) devices: Option<usize>,
    /// From where a parent had them.
    pub(crate) source: Option<String>,
}
