//! What the local API answers: the structs behind the commands' text and JSON.
//!
//! One struct for both, so that neither can tell what the other doesn't. docs/cli.md describes the
//! fields; they are only ever added. Each carries `schema_version` where it is a whole document.

mod demo;
mod history;
mod lookup;
mod watch;

pub(crate) use demo::{Act, Bulk, Demo, DemoLookup, Percentiles, Phases, Rehomed};
pub(crate) use history::History;
pub(crate) use lookup::{Answered, Device, Lookup, Lookups, Presence, Step};
pub(crate) use watch::{Change, Facet, Seen};

use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Version of every JSON document.
pub(crate) const SCHEMA: u32 = 1;

fn schema() -> u32 {
    SCHEMA
}

/// A document: its fields after the version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Document<T> {
    /// Always [`SCHEMA`].
    #[serde(default = "schema")]
    pub(crate) schema_version: u32,
    /// The rest.
    #[serde(flatten)]
    pub(crate) content: T,
}

impl<T> Document<T> {
    /// Wraps.
    pub(crate) fn new(content: T) -> Self {
        Self { schema_version: SCHEMA, content }
    }
}

/// An error as a document.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failed<'a> {
    /// What went wrong.
    pub(crate) error: &'a Problem,
}

/// `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Of the program.
    pub(crate) version: String,
    /// The daemon's process.
    pub(crate) pid: u32,
    /// Since the daemon started.
    pub(crate) uptime_secs: u64,
    /// `superpeer` or `child`: what it acts as.
    pub(crate) role: String,
    /// Its PeerId.
    pub(crate) peer: String,
    /// Superpeer: its place.
    pub(crate) node_id: Option<String>,
    /// Superpeer: end of its certificate.
    pub(crate) node_certificate_until: Option<String>,
    /// A child has a parent; a superpeer has a stream to another one.
    pub(crate) attached: bool,
    /// Child: its parent.
    pub(crate) parent: Option<Parent>,
    /// Child: superpeers that keep a place for it, should the parent go.
    #[serde(default)]
    pub(crate) standbys: Vec<Parent>,
    /// Superpeer: has not finished taking over its range.
    #[serde(default)]
    pub(crate) syncing: bool,
    /// The network's name.
    pub(crate) network: String,
    /// Its id.
    pub(crate) network_id: String,
    /// Version of its file.
    pub(crate) network_version: u64,
    /// `local` or `global`.
    pub(crate) scope: String,
    /// `normal` or `lab`.
    pub(crate) limits: String,
    /// Where this peer listens.
    pub(crate) addresses: Vec<String>,
    /// The local API.
    pub(crate) socket: String,
    /// Address of the metrics.
    pub(crate) metrics: Option<String>,
    /// Address of the page, without its token.
    #[serde(default)]
    pub(crate) page: Option<String>,
    /// The data folder.
    pub(crate) data: String,
    /// Known to be alive, itself included if it is one.
    pub(crate) superpeers: usize,
    /// With an open stream.
    pub(crate) superpeer_links: usize,
    /// Attached to it.
    pub(crate) children: usize,
    /// As superpeer it takes so many.
    #[serde(default)]
    pub(crate) children_max: usize,
    /// Stored for others.
    pub(crate) records: usize,
    /// Its clock minus its neighbours'.
    pub(crate) skew_secs: i64,
    /// Names it holds.
    pub(crate) names: Vec<HeldName>,
    /// What a person should look at.
    pub(crate) warnings: Vec<String>,
}

/// A child's parent, or one that stands by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parent {
    /// Who.
    pub(crate) peer: String,
    /// Where.
    pub(crate) address: Option<String>,
    /// Smoothed; none while there is no link to it, as with most that stand by.
    pub(crate) round_trip_ms: Option<f64>,
}

/// A name that the daemon holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HeldName {
    /// The name.
    pub(crate) name: String,
    /// The device key.
    pub(crate) device: String,
    /// Acknowledged by a majority.
    pub(crate) registered: bool,
    /// By so many,
    pub(crate) stored: Option<usize>,
    /// of so many.
    pub(crate) of: Option<usize>,
    /// Version of its record.
    pub(crate) seq: Option<u64>,
    /// When its record expires.
    pub(crate) record_until: Option<String>,
    /// When its certificate expires.
    pub(crate) certificate_until: String,
}

/// `peers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Peers {
    /// Neighbours and known superpeers.
    pub(crate) peers: Vec<Peer>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Who.
    pub(crate) peer: String,
    /// `superpeer`, `parent`, `child` or `other`.
    pub(crate) relation: String,
    /// Where a superpeer listens.
    pub(crate) addresses: Vec<String>,
    /// Whether a stream is open.
    pub(crate) linked: bool,
    /// Once measured.
    pub(crate) round_trip_ms: Option<f64>,
    /// What it says it runs.
    pub(crate) agent: String,
}

/// `ui`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Page {
    /// With the token.
    pub(crate) url: String,
}

/// `wait`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Waited {
    /// For what.
    #[serde(rename = "for")]
    pub(crate) condition: String,
    /// How long.
    pub(crate) waited_ms: u64,
}

/// Body of `POST /v1/enrol` and `/v1/login`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// Whom.
    pub(crate) name: String,
    /// Never leaves the daemon.
    pub(crate) password: Password,
    /// Display name of the first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display: Option<String>,
    /// Publish at once.
    pub(crate) register: bool,
}

/// A password: overwritten when dropped, never shown.
pub(crate) struct Password(pub(crate) zeroize::Zeroizing<String>);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Serialize for Password {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(zeroize::Zeroizing::new(text)))
    }
}

/// `enrol` and `login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Enrolled {
    /// The name.
    pub(crate) name: String,
    /// This device's key.
    pub(crate) device: String,
    /// When its certificate expires.
    pub(crate) certificate_until: String,
    /// `None` if that was not asked for.
    pub(crate) registered: Option<Stored>,
}

/// How many storers acknowledged.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// So many
    pub(crate) stored: usize,
    /// of so many.
    pub(crate) of: usize,
}

/// Body of `PUT /v1/names/{name}`; what is left out keeps its value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publish {
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display: Option<String>,
    /// Typed entries in zone-file form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entries: Option<Vec<String>>,
    /// How long caches may keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_secs: Option<u64>,
}

/// `register`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Registered {
    /// The name.
    pub(crate) name: String,
    /// This device's key.
    pub(crate) device: String,
    /// Acknowledgement.
    #[serde(flatten)]
    pub(crate) stored: Stored,
}

/// `logout`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoggedOut {
    /// The name.
    pub(crate) name: String,
    /// Whether the login server revoked the certificate.
    pub(crate) revoked: bool,
}

/// `down`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stopped {
    /// True once the daemon is gone.
    pub(crate) stopped: bool,
    /// Its process.
    pub(crate) pid: u32,
}

/// One line of `up --json`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The socket answers.
    Ready(Box<Ready>),
    /// A parent accepted us.
    Attached {
        /// Who.
        peer: String,
    },
    /// The parent is gone.
    Detached {
        /// Who.
        peer: String,
    },
    /// We act as a superpeer.
    Joined {
        /// Our place.
        node_id: String,
    },
    /// A name is acknowledged.
    Registered {
        /// Which.
        name: String,
        /// By how many.
        #[serde(flatten)]
        stored: Stored,
    },
    /// A name can't be published any more.
    Rejected {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The clock is off.
    Skewed {
        /// Ours minus theirs.
        seconds: i64,
    },
    /// We act as a child again.
    CertificateExpired,
    /// Goodbye was said.
    Stopped,
}

/// The ready block.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ready {
    /// `superpeer` or `child`.
    pub(crate) role: String,
    /// PeerId.
    pub(crate) peer: String,
    /// Superpeer: its place.
    pub(crate) node_id: Option<String>,
    /// Where it listens.
    pub(crate) addresses: Vec<String>,
    /// The network's name.
    pub(crate) network: String,
    /// Its id.
    pub(crate) network_id: String,
    /// `normal` or `lab`.
    pub(crate) limits: String,
    /// The local API.
    pub(crate) socket: String,
    /// Address of the metrics.
    pub(crate) metrics: Option<String>,
    /// Address of the page, without its token.
    #[serde(default)]
    pub(crate) page: Option<String>,
    /// The data folder.
    pub(crate) data: String,
    /// This process.
    pub(crate) pid: u32,
    /// What to type next.
    pub(crate) next: String,
    /// What a person should look at.
    pub(crate) warnings: Vec<String>,
}

/// `config show`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    /// The file, if there is one.
    pub(crate) file: Option<String>,
    /// All settings.
    pub(crate) settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    /// As in the file.
    pub(crate) key: String,
    /// Its value; `None` when there is none.
    pub(crate) value: Option<String>,
    /// `flag`, `env`, `file` or `default`.
    pub(crate) origin: String,
}
