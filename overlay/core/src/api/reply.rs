//! What commands are answered with.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Address;
use crate::key::{Key, PeerId, PublicKey};
use crate::name::Username;
use crate::record::DevicePayload;
use crate::time::Unix;
use crate::wire::Hint;

/// The answer to a command.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Done; nothing to tell.
    Done,
    /// The own record is durable here and held by a majority.
    Registered(Stored),
    /// The record is held by a majority.
    Stored(Stored),
    /// The look-up ended with an answer.
    Resolved(Resolution),
    /// State of this peer.
    Status(Box<Status>),
    /// Neighbours.
    Peers(Vec<Neighbour>),
    /// A sample of superpeers.
    Seeds(Vec<Hint>),
    /// Whether a device is there.
    Presence(Presence),
    /// It did not work.
    Failed(Failure),
}

/// How many storers hold a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// So many have validated and stored it.
    pub stored: usize,
    /// Of so many that should.
    pub of: usize,
}

/// What became of a look-up.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The devices of the name; empty when the name is absent.
    pub devices: Vec<Device>,
    /// Sequential requests after the parent (0 unless `source` is the overlay).
    pub hops: u8,
    /// Where the answer came from.
    pub source: Source,
    /// Denials counted, for an absent name.
    pub denials: usize,
    /// Every step in the order of its start, if it was asked for.
    pub trace: Vec<Step>,
    /// Why nobody else could say: then these are our own devices, and there may be others.
    pub partial: Option<Failure>,
}

/// One request of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Who was asked.
    pub peer: PeerId,
    /// Where it listens, if we know.
    pub address: Option<Address>,
    /// What it was asked as.
    pub asked: Asked,
    /// When, since the look-up began (at the parent: since it was asked).
    pub at: Duration,
    /// How long the answer took, or how long it was waited for.
    pub took: Duration,
    /// What it said.
    pub answer: Answer,
}

/// In which role a peer was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The child's parent.
    Parent,
    /// A child's standby, to confirm an absence.
    Standby,
    /// One of the closest superpeers.
    Storer,
}

/// What a peer answered in a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Records of so many devices, and from where if it was a parent.
    Found {
        /// How many.
        devices: usize,
        /// Where a parent has them from.
        source: Source,
    },
    /// Nothing there (a parent: denied by enough storers).
    Denied,
    /// So many superpeers around the key that the look-up did not know: one that was asked where it was stuck.
    Named {
        /// How many.
        superpeers: usize,
    },
    /// It has not finished taking over its range.
    Syncing,
    /// It could not tell.
    Unknown,
    /// It refused.
    Refused,
    /// Nothing in time.
    Silent,
    /// Nothing yet when the answers of others were enough.
    Pending,
    /// It can't be reached.
    Unreachable,
    /// What it said did not verify.
    Invalid,
}

/// Whether a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Its parent hears it.
    Online {
        /// How long ago, last.
        heard: Duration,
    },
    /// It said goodbye.
    Offline {
        /// When.
        since: Unix,
    },
    /// Its parent does not answer, or has never heard of it.
    Unknown,
}

/// One device under a name.
#[derive(Debug, Clone)]
pub struct Device {
    /// The device key.
    pub key: PublicKey,
    /// The opened payload.
    pub payload: DevicePayload,
    /// Version of the record.
    pub seq: u64,
    /// When it was signed.
    pub not_before: Unix,
    /// When it expires.
    pub not_after: Unix,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A name of this daemon.
    Own,
    /// The parent's child.
    Index,
    /// The parent is a storer.
    Store,
    /// The parent's cache.
    Cache,
    /// Storers were asked.
    Overlay,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The network: nobody could be reached yet.
    #[error("not attached to any superpeer")]
    Detached,
    /// The network: too few answers came in time.
    #[error("no answer in time: {answered} of {asked} storers answered")]
    Timeout {
        /// Answers that counted.
        answered: usize,
        /// Storers asked.
        asked: usize,
    },
    /// The peer: what it answered did not pass verification, three times over.
    #[error("the answer did not pass verification: {0}")]
    Verification(String),
    /// The peer refused.
    #[error("refused: {0}")]
    Refused(String),
    /// Us or the user: the record handed in is not valid.
    #[error("the record is not valid: {0}")]
    Invalid(String),
    /// The user, or the network: our clock and the neighbours' differ too much to sign anything.
    #[error("the clock differs from the neighbours' by {seconds} s")]
    Skewed {
        /// Ours minus theirs, in seconds.
        seconds: i64,
    },
    /// The peer is leaving.
    #[error("the peer is shutting down")]
    Leaving,
}

/// State of this peer, for `status`, `/readyz` and `wait`.
#[derive(Debug, Clone)]
pub struct Status {
    /// Who we are.
    pub peer: PeerId,
    /// Superpeer: our place.
    pub node_id: Option<Key>,
    /// Superpeer: until when our certificate is valid.
    pub node_certificate_until: Option<Unix>,
    /// Child: our parent.
    pub parent: Option<Parent>,
    /// Child: superpeers that have reserved a place for us.
    pub standbys: Vec<Parent>,
    /// Superpeer: has not finished taking over its range.
    pub syncing: bool,
    /// Superpeers known to be alive, ourselves included if we are one.
    pub superpeers: usize,
    /// Peers that are online, by what the loads of neighbours let guess: superpeers, and as many children for
    /// each as the neighbours have, who are taken to have as many places as we have.
    pub peers: usize,
    /// Superpeers with an open link.
    pub superpeer_links: usize,
    /// Children attached.
    pub children: usize,
    /// Records stored for others.
    pub records: usize,
    /// Names held by this peer.
    pub names: Vec<HeldStatus>,
    /// Clock skew against the median of the neighbours, in seconds (ours minus theirs).
    pub skew_secs: i64,
}

/// A child's parent, or one that stands by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Who.
    pub peer: PeerId,
    /// Where we know it to listen.
    pub address: Option<Address>,
    /// Smoothed round trip, while there is a link to it.
    pub round_trip: Option<Duration>,
}

/// A held name's state.
#[derive(Debug, Clone)]
pub struct HeldStatus {
    /// The name.
    pub username: Username,
    /// Its key.
    pub key: Key,
    /// The device key.
    pub device: PublicKey,
    /// Sequence number of the newest record.
    pub seq: u64,
    /// The newest acknowledgement by a majority; `None` until then.
    pub stored: Option<Stored>,
    /// When the newest record expires.
    pub record_until: Unix,
    /// When the device certificate expires.
    pub certificate_until: Unix,
}

/// A neighbour, for `peers`.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// Who.
    pub peer: PeerId,
    /// What it is to us.
    pub relation: Relation,
    /// Where a superpeer listens.
    pub addresses: Vec<Address>,
    /// Whether a stream is open.
    pub linked: bool,
    /// Smoothed round trip, once measured.
    pub round_trip: Option<Duration>,
    /// What it runs.
    pub agent: String,
}

/// What a neighbour is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// A superpeer that we know.
    Superpeer,
    /// Our parent.
    Parent,
    /// A child attached to us.
    Child,
    /// Neither.
    Other,
}
