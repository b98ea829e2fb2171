//! Peers: what of each one the simulation knows, running or not.
//!
//! Peer 0 is the login server, a superpeer of its own kind. Each peer holds the name of its number. What a
//! peer needs only while it runs is dropped when it stops; a million of them have to fit.
//! *Not here*: what makes them start and stop (`world`, `churn`).

pub(crate) mod authority;
pub(crate) mod disk;

use bytes::Bytes;
use callbook_overlay::Overlay;
use callbook_overlay::api::{Address, LinkId};
use callbook_overlay::certificate::NodeCertificate;
use callbook_overlay::key::PeerId;
use callbook_overlay::time::Unix;

use self::disk::Disk;
use crate::time::{Micros, START_UNIX};

/// The login server's number.
pub(crate) const LOGIN: u32 = 0;

/// No peer's number.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Whether a peer acts as superpeer or child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Member of the overlay.
    Superpeer,
    /// Attached to one; nobody can dial it.
    Child,
}

/// How a peer stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It says goodbye.
    Leave,
    /// It is gone without a goodbye: by chance its process ends, or its machine vanishes.
    Crash,
    /// Its process ends: TCP connections are closed by its machine, dials are refused.
    End,
    /// Its machine is gone without a word, or its network: nobody closes anything, dials are not answered.
    Vanish,
}

/// What becomes of a dial to a peer that does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Down {
    /// Its machine says that nobody listens.
    Refuses,
    /// Nobody answers.
    Silent,
}

/// Of who is away when a run begins: the session before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    /// So many seconds ago it ended.
    pub(crate) ago: u32,
    /// So many seconds it had lasted.
    pub(crate) stayed: u32,
}

impl Past {
    /// When it ended.
    pub(crate) fn went(self) -> Unix {
        Unix::from_secs(START_UNIX - u64::from(self.ago))
    }
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) overlay: Option<Box<Overlay>>,
    pub(crate) id: PeerId,
    /// Of superpeers.
    pub(crate) certificate: Option<Box<NodeCertificate>>,
    pub(crate) disk: Option<Box<Disk>>,
    /// It is a child that can be dialled.
    pub(crate) volunteers: bool,
    /// Nothing can be written to it.
    pub(crate) full: bool,
    /// It was there before the run, and away when that began.
    pub(crate) past: Option<Past>,
    /// Superpeers that it knew then; until it comes.
    pub(crate) knew: Box<[u32]>,
    /// How often it has started: what was meant for an earlier life is dropped.
    pub(crate) life: u32,
    /// Counts its addresses.
    pub(crate) version: u32,
    /// The number of its last record when one was acknowledged last.
    pub(crate) acknowledged: u64,
    pub(crate) down: Down,
    /// Ours minus the true time, in seconds.
    pub(crate) skew: i32,
    /// Alike in all its sessions (`churn`).
    pub(crate) temper: f32,
    pub(crate) links: Vec<LinkId>,
    /// Its own open questions, as slots of the simulation's.
    pub(crate) open: Vec<u32>,
    /// Where it stands in the list of those that run.
    pub(crate) position: u32,
    pub(crate) started: Micros,
    /// This session began afresh, not in the middle as those at the beginning of a run.
    pub(crate) fresh: bool,
    /// When it asks the login server for seeds though it has enough; never, once that has told it some.
    pub(crate) seeds_due: Micros,
    /// It has had a parent since it started.
    pub(crate) attached: bool,
    /// The parent that it has now.
    pub(crate) parent: u32,
    /// Sent since measuring began.
    pub(crate) sent: u64,
    /// Requests served since measuring began, without hellos.
    pub(crate) served: u32,
}

impl Peer {
    pub(crate) fn new(id: PeerId, certificate: Option<NodeCertificate>) -> Self {
        Self {
            overlay: None,
            id,
            certificate: certificate.map(Box::new),
            disk: None,
            full: false,
            volunteers: false,
            past: None,
            knew: Box::default(),
            life: 0,
            version: 1,
            acknowledged: 0,
            down: Down::Silent,
            skew: 0,
            temper: 0.0,
            links: Vec::new(),
            open: Vec::new(),
            position: u32::MAX,
            started: 0,
            fresh: false,
            seeds_due: 0,
            attached: false,
            parent: NOBODY,
            sent: 0,
            served: 0,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.certificate.is_some() { Kind::Superpeer } else { Kind::Child }
    }

    pub(crate) fn runs(&self) -> bool {
        self.overlay.is_some()
    }
}

/// Where a peer listens. A superpeer keeps its address for life.
pub(crate) fn address(number: u32) -> Address {
    let [_, a, b, c] = number.to_be_bytes();
    Address { ip: [10, a, b, c].into(), port: 4_000 + (number >> 24) as u16 }
}

/// What stands for the addresses in a device record: who, and which of its addresses.
pub(crate) fn multiaddr(number: u32, version: u32) -> Bytes {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[4..].copy_from_slice(&version.to_be_bytes());
    Bytes::copy_from_slice(&bytes)
}

/// Who and which of its addresses, if it is one of ours.
pub(crate) fn read_multiaddr(bytes: &[u8]) -> Option<(u32, u32)> {
    let (number, version) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), u32::from_be_bytes(version.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::{multiaddr, read_multiaddr};

    #[test]
    fn an_address_tells_whose_it_is_and_which() {
        // Goal: the oracle can judge what it reads. Method: there and back, and something else.
        assert_eq!(read_multiaddr(&multiaddr(70_000, 3)), Some((70_000, 3)));
        assert_eq!((read_multiaddr(b"short"), read_multiaddr(b"much too long")), (None, None));
    }
}
