//! Why a host does not start or does not answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Why a host could not start. Every text says what failed, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The user: another process listens there.
    #[error(
        "cannot listen on {address} ({protocol}): the port is in use; stop the other process, or choose \
         another port with --listen"
    )]
    PortInUse {
        /// Where.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
    },
    /// The user: the address is not one of this machine.
    #[error(
        "cannot listen on {address} ({protocol}): this machine does not have that address; give one that it \
         has with --listen, and a public one that is forwarded to it with --advertise"
    )]
    NotLocal {
        /// Where.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
    },
    /// The user: ports below 1024 need a privilege.
    #[error(
        "cannot listen on {address} ({protocol}): permission denied; choose a port above 1023 with --listen"
    )]
    NotAllowed {
        /// Where.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
    },
    /// The user or the machine: listening failed otherwise.
    #[error("cannot listen on {address} ({protocol}): {reason}; choose another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
        /// What the system says.
        reason: String,
    },
    /// The user: nobody can dial a wildcard.
    #[error(
        "listening on {0} tells others no address they could dial; add --advertise with the address of this \
         machine"
    )]
    Wildcard(SocketAddr),
    /// The machine: too few free ports.
    #[error("no port of {0} is free for both TCP and UDP; choose one with --listen, or stop what holds them")]
    NoFreePort(IpAddr),
    /// The user: the metrics address does not work.
    #[error(
        "cannot serve metrics on {address}: {reason}; choose another address with metrics.listen, or none to \
         switch it off"
    )]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        reason: io::Error,
    },
    /// The store's file; see there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine: no entropy, or the transport could not be set up.
    #[error("cannot set up the network transport: {0}; this is a fault of this machine or of callbook")]
    Transport(String),
}

/// Why the store's file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The user: an older callbook on a newer file.
    #[error(
        "the store {path} has schema {found}, and this version of callbook knows up to {known}: it was \
         written by a newer callbook; run that version, or move the file away to start with an empty store"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// The newest that this version knows.
        known: u64,
    },
    /// The machine: the file is damaged, or no store at all.
    #[error(
        "the store {path} is damaged or no store of callbook: {reason}; restore it from a backup, or move it \
         away to start with an empty store (records of others are fetched again, own names are registered \
         again)"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The user: two processes on one file.
    #[error("the store {path} is in use by another process; stop that process, or use another data folder")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The machine: the file can't be read or written.
    #[error("cannot open the store {path}: {reason}; check that its folder exists and is writable")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

/// Us or the user: the host has stopped, so there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer has stopped")]
pub struct Stopped;

/// Why a login request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The user: no address of a login server that can be dialled, or none that names its PeerId.
    #[error("the network file names no login server with its PeerId")]
    NoServer,
    /// Us: the request is too large to send.
    #[error("the login request is larger than 64 KiB")]
    TooLarge,
    /// The network: the server could not be reached.
    #[error("the login server can't be reached: {0}")]
    Unreachable(String),
    /// The network or the peer: the connection broke; whether the request was heard is unknown.
    #[error("the connection to the login server broke before its answer came")]
    Interrupted,
    /// The network or the peer: no answer in time.
    #[error("the login server did not answer in time")]
    Timeout,
    /// The peer: it is no login server of this network, or refused to answer.
    #[error("the login server refused the request: {0}")]
    Refused(String),
    /// Us: the host has stopped.
    #[error("the peer has stopped")]
    Stopped,
}
