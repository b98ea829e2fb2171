//! What a host is started with.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use callbook_overlay::api::{Hellos, Parallelism, Role};
use callbook_overlay::network::Network;

/// All that [`start`](crate::start) needs to know. (Not `Debug`: it carries the node key.)
pub struct Settings {
    /// Seed of the Ed25519 node key: who this peer is.
    pub key: [u8; 32],
    /// The network to join.
    pub network: Network,
    /// Where to listen, on TCP and UDP; port 0 picks one that is free for both. `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// The address that others are told, if it is not the one listened on.
    pub advertise: Option<IpAddr>,
    /// How to act at first.
    pub role: Role,
    /// A login server: takes children only while the network is small.
    pub reluctant: bool,
    /// Where records are kept.
    pub store: StoreSetting,
    /// Where to serve metrics and health; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// What else that listener serves.
    pub routes: Router,
    /// Up to which lengths sessions and downtimes are counted, in the metrics; growing. Usually
    /// [`session_bounds`](crate::session_bounds).
    pub session_bounds: Vec<Duration>,
    /// Software name and version, as told to neighbours.
    pub agent: String,
    /// How a look-up spreads its requests.
    pub parallelism: Parallelism,
    /// How often neighbours are told that we are there.
    pub hellos: Hellos,
    /// Children that are taken as a superpeer.
    pub children_max: usize,
    /// Whether everybody is told how many they are.
    pub tells_children: bool,
    /// Whether to take login requests; they come out of [`Host::login`](crate::Host::login).
    pub serves_login: bool,
    /// Which transports to listen on and to dial.
    pub transports: Transports,
}

/// Where records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSetting {
    /// In this file, which is made if it is missing; its folder is not.
    Path(PathBuf),
    /// In memory alone; nothing survives.
    Memory,
}

/// Which transports are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transports {
    /// Both, as the overlay asks; what a product uses.
    #[default]
    Both,
    /// TCP alone, for benches and tests.
    TcpOnly,
    /// QUIC alone, for benches and tests.
    QuicOnly,
}

impl Transports {
    pub(crate) fn tcp(self) -> bool {
        self != Self::QuicOnly
    }

    pub(crate) fn quic(self) -> bool {
        self != Self::TcpOnly
    }
}
