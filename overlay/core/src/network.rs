//! The fixed facts of one network, as the signed `network.toml` states them.
//!
//! *Not here*: reading and signing that file (the login server's crate), protocol versions
//! ([`wire`](crate::wire)).

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::key::{Key, NetworkId, PublicKey, name_key};
use crate::name::Username;

/// Which addresses count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// One machine or one local network: private and loopback addresses count.
    #[default]
    Local,
    /// The internet: only global addresses count.
    Global,
}

/// Which limits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limits {
    /// Those for the open world.
    #[default]
    Normal,
    /// For demos and tests on one machine: cheap password stretch, no rate and per-child limits.
    Lab,
}

/// The parameters of the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Contacts in a k-bucket.
    pub k: usize,
    /// Storers of a record.
    pub r: usize,
    /// Requests of a look-up in flight.
    pub alpha: usize,
    /// Equal answers that `--cross-check` waits for.
    pub beta: usize,
    /// Disjoint paths of a look-up in conflict.
    pub d: usize,
}

impl Default for Parameters {
    /// Source: DESIGN §2 (specification): k 20, r 20, α 3, β 3, d 8; k and α from Kademlia (paper).
    fn default() -> Self {
        Self { k: 20, r: 20, alpha: 3, beta: 3, d: 8 }
    }
}

/// One network.
#[derive(Clone)]
pub struct Network {
    /// Its name in signatures and protocols, for ever.
    pub id: NetworkId,
    /// Version of the network file; never goes down.
    pub version: u64,
    /// Root keys: they certify login keys.
    pub roots: Vec<PublicKey>,
    /// Login certificates as they travel, each signed by a root key.
    pub login: Vec<Bytes>,
    /// A private network's secret, without which names can't be turned into keys.
    pub secret: Option<[u8; 32]>,
    /// Which addresses count.
    pub scope: Scope,
    /// Which limits hold.
    pub limits: Limits,
    /// The parameters of the overlay.
    pub parameters: Parameters,
}

impl Network {
    /// Where the records of a name are.
    #[must_use]
    pub fn name_key(&self, username: &Username) -> Key {
        name_key(&self.id, self.secret.as_ref(), username)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("secret", &self.secret.map(|_| "…"))
            .field("scope", &self.scope)
            .field("limits", &self.limits)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}
