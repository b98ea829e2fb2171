//! What the rest of a process holds of a running host.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use callbook_overlay::Username;
use callbook_overlay::api::{Command, Failure, Notice, Reply, Resolution};
use callbook_overlay::key::PeerId;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::error::{LoginError, Stopped};
use crate::limits::LOGIN_BYTES_MAX;
use crate::login::LoginCall;
use crate::metrics::Scrape;
use crate::numbers::Numbers;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Local {
    Command(Command, oneshot::Sender<Reply>),
    /// Tell every change of a name.
    Watch(Username, Watcher),
    /// A watch may have lost its last listener.
    Unwatch,
    Login(LoginRequest),
    /// All numbers, for a scrape.
    Scrape(oneshot::Sender<Scrape>),
    Stop(oneshot::Sender<()>),
}

#[derive(Debug)]
pub(crate) struct LoginRequest {
    pub(crate) server: libp2p::PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) request: Bytes,
    pub(crate) reply: oneshot::Sender<Result<Bytes, LoginError>>,
}

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) peer: PeerId,
    pub(crate) listeners: Vec<Multiaddr>,
    pub(crate) metrics_address: Option<SocketAddr>,
    pub(crate) registry: Arc<Mutex<Registry>>,
    /// Whether the overlay has been joined as a superpeer.
    pub(crate) joined: Arc<AtomicBool>,
}

/// The latest that is known of a watched name.
pub(crate) type Watcher = watch::Sender<Option<Result<Resolution, Failure>>>;

/// A watch on a name; it ends when this is dropped.
#[derive(Debug)]
pub struct Watching {
    /// `None` once it has been given up, so that the host sees it closed.
    changes: Option<watch::Receiver<Option<Result<Resolution, Failure>>>>,
    local: mpsc::Sender<Local>,
}

impl Watching {
    /// Waits for the next change, at first for what there is now; of several only the last is told.
    /// `None` once the host stops.
    pub async fn next(&mut self) -> Option<Result<Resolution, Failure>> {
        let changes = self.changes.as_mut()?;
        changes.changed().await.ok()?;
        changes.borrow_and_update().clone()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.changes = None;
        // A host that is too busy to hear it notices at the next change.
        self.local.try_send(Local::Unwatch).ok();
    }
}

/// A running host, and the login requests that it takes.
#[derive(Debug)]
pub struct Host {
    /// To ask the host for anything.
    pub handle: Handle,
    /// Login requests of other peers; `None` unless [`Settings::serves_login`](crate::Settings).
    pub login: Option<mpsc::Receiver<LoginCall>>,
    /// The notices from the first one on, which may come at once: later listeners may be too late for it.
    pub notices: broadcast::Receiver<Notice>,
}

/// Asks a running host; cheap to clone. The host stops when the last handle is gone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) local: mpsc::Sender<Local>,
    pub(crate) notices: broadcast::WeakSender<Notice>,
    pub(crate) facts: Arc<Facts>,
}

impl Handle {
    /// Gives the overlay a command and waits for its reply.
    ///
    /// # Errors
    /// The host has stopped.
    pub async fn command(&self, command: Command) -> Result<Reply, Stopped> {
        let (sender, reply) = oneshot::channel();
        self.local.send(Local::Command(command, sender)).await.map_err(|_| Stopped)?;
        reply.await.map_err(|_| Stopped)
    }

    /// Watches a name.
    ///
    /// # Errors
    /// The host has stopped.
    pub async fn watch(&self, username: Username) -> Result<Watching, Stopped> {
        let (watcher, changes) = watch::channel(None);
        self.local.send(Local::Watch(username, watcher)).await.map_err(|_| Stopped)?;
        Ok(Watching { changes: Some(changes), local: self.local.clone() })
    }

    /// Sends a login request to a login server and waits for its answer.
    ///
    /// # Shape
    /// Each address ends in `/p2p/…`; those of several servers are tried server by server, in order.
    ///
    /// # Errors
    /// No server could be reached, or it did not answer.
    pub async fn login(&self, server: &[Multiaddr], request: Bytes) -> Result<Bytes, LoginError> {
        if request.len() as u64 > LOGIN_BYTES_MAX {
            return Err(LoginError::TooLarge);
        }
        let mut outcome = Err(LoginError::NoServer);
        for (server, addresses) in by_server(server) {
            let (reply, answer) = oneshot::channel();
            let ask = LoginRequest { server, addresses, request: request.clone(), reply };
            self.local.send(Local::Login(ask)).await.map_err(|_| LoginError::Stopped)?;
            outcome = answer.await.map_err(|_| LoginError::Stopped)?;
            // Only a server that certainly did not hear the request may be followed by another.
            if !matches!(outcome, Err(LoginError::Unreachable(_))) {
                break;
            }
        }
        outcome
    }

    /// Who this peer is.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.facts.peer
    }

    /// Where others can dial this peer, each with `/p2p/…`; empty if it does not listen.
    #[must_use]
    pub fn listeners(&self) -> Vec<Multiaddr> {
        self.facts.listeners.clone()
    }

    /// Where metrics and health are served, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.facts.metrics_address
    }

    /// What a person wants to see over time, as it is now.
    ///
    /// # Errors
    /// The host has stopped.
    pub async fn numbers(&self) -> Result<Numbers, Stopped> {
        Ok(Numbers::of(&self.scrape().await?))
    }

    /// The notices from now on; a slow listener misses some, a stopped host ends them.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.upgrade().map_or_else(|| broadcast::channel(1).1, |notices| notices.subscribe())
    }

    /// The registry that `/metrics` shows, for metrics of the caller's own.
    #[must_use]
    pub fn registry(&self) -> Arc<Mutex<Registry>> {
        Arc::clone(&self.facts.registry)
    }

    /// Says goodbye to the neighbours, writes what is pending to disk, and stops.
    ///
    /// Returns once all of that is done, also if the host had stopped before.
    pub async fn stop(self) {
        let (sender, done) = oneshot::channel();
        if self.local.send(Local::Stop(sender)).await.is_ok() && done.await.is_err() {
            tracing::debug!("the host had stopped before it was asked to");
        }
    }

    pub(crate) fn downgrade(&self) -> WeakHandle {
        WeakHandle {
            local: self.local.downgrade(),
            notices: self.notices.clone(),
            facts: Arc::clone(&self.facts),
        }
    }

    pub(crate) async fn scrape(&self) -> Result<Scrape, Stopped> {
        let (sender, scrape) = oneshot::channel();
        self.local.send(Local::Scrape(sender)).await.map_err(|_| Stopped)?;
        scrape.await.map_err(|_| Stopped)
    }
}

/// A handle that does not keep its host running.
#[derive(Debug, Clone)]
pub(crate) struct WeakHandle {
    local: mpsc::WeakSender<Local>,
    notices: broadcast::WeakSender<Notice>,
    facts: Arc<Facts>,
}

impl WeakHandle {
    /// `None` once the host stops.
    pub(crate) fn upgrade(&self) -> Option<Handle> {
        let (notices, facts) = (self.notices.clone(), Arc::clone(&self.facts));
        Some(Handle { local: self.local.upgrade()?, notices, facts })
    }
}

/// Addresses grouped by the peer they end in, in the order of its first; those without one are left out.
fn by_server(addresses: &[Multiaddr]) -> Vec<(libp2p::PeerId, Vec<Multiaddr>)> {
    let mut servers: Vec<(libp2p::PeerId, Vec<Multiaddr>)> = Vec::new();
    for address in addresses {
        let mut bare = address.clone();
        let Some(Protocol::P2p(peer)) = bare.pop() else { continue };
        match servers.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, known)) => known.push(bare),
            None => servers.push((peer, vec![bare])),
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_grouped_by_server_and_nameless_ones_left_out() {
        // Goal: the first server is asked at all its addresses before the second. Method: interleaved
        // addresses of two peers, and one without a peer.
        let peers = [[1; 32], [2; 32]]
            .map(|seed| libp2p::identity::Keypair::ed25519_from_bytes(seed).unwrap().public().to_peer_id());
        let address = |port: u16, peer: libp2p::PeerId| -> Multiaddr {
            format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}").parse().unwrap()
        };
        let mixed = [
            address(1, peers[0]),
            address(2, peers[1]),
            "/ip4/127.0.0.1/tcp/3".parse().unwrap(),
            address(4, peers[0]),
        ];
        let servers = by_server(&mixed);
        let ports: Vec<_> = servers.iter().map(|(peer, addresses)| (*peer, addresses.len())).collect();
        assert_eq!(ports, [(peers[0], 2), (peers[1], 1)]);
    }
}
