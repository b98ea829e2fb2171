//! Runs the overlay under libp2p: driver, clock, store, metrics.
//!
//! [`start`] opens the store, listens, and spawns one task that owns swarm and overlay (see
//! `driver`); what the rest of the process holds is a [`Handle`].
//!
//! ```text
//!  node, bootstrap ── Handle ──► driver ──► overlay (callbook-overlay)
//!  metrics listener ─ Handle ──►   │  └───► links (callbook-net), swarm (libp2p)
//!                                  └──────► store's thread (redb)
//! ```
//! Driver and connections run best on one thread (measured: a second worker makes every request slower
//! and the times erratic), so callers use [`runtime`] and put blocking work elsewhere.
//!
//! *Not here*: decisions of the protocol; identities, certificates and names.

mod behaviour;
mod clock;
mod doorbell;
mod driver;
mod drowsy;
mod error;
mod handle;
mod limits;
mod login;
pub mod metrics;
mod muxer;
mod numbers;
mod sessions;
mod settings;
mod store;
mod swarm;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use callbook_net::limits::RATE;
use callbook_net::{LinkCounts, multiaddr};
use callbook_overlay::Overlay;
use callbook_overlay::api::{Address, Config, Effects, Transport};
use callbook_overlay::network::{Limits, Network};
use callbook_overlay::sign::{Remembering, SecretKey, Signer};
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use prometheus_client::registry::Registry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};

pub use axum;
pub use error::{LoginError, StartError, Stopped, StoreError};
pub use handle::{Handle, Host, Watching};
pub use libp2p;
pub use login::LoginCall;
pub use numbers::Numbers;
pub use prometheus_client;
pub use settings::{Settings, StoreSetting, Transports};
pub use store::host_cache;

use crate::clock::Clock;
use crate::driver::{Driver, Parts};
use crate::handle::Facts;
use crate::limits::{LOCAL_MAX, LOGIN_CALLS_MAX, NOTICES_MAX, SESSION_BOUNDS_MAX};
use crate::metrics::{Exported, HostMetrics, serve};
use crate::sessions::Sessions;
use crate::store::Store;

/// A runtime as a host wants it: one worker thread.
///
/// What asks a host often should run on the same worker (spawned, not in `block_on`), so that a
/// question costs no switch of threads.
///
/// # Errors
/// The machine: no thread can be made.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name("callbook").enable_all().build()
}

/// The usual bounds of the lengths of sessions.
#[must_use]
pub fn session_bounds() -> Vec<Duration> {
    limits::SESSION_BOUNDS.map(Duration::from_secs).to_vec()
}

/// Reads bounds of the lengths of sessions: growing numbers of seconds, with commas between them.
///
/// # Errors
/// The user: they are not; the text says what to write.
pub fn read_session_bounds(text: &str) -> Result<Vec<Duration>, String> {
    let hint =
        || format!("write up to {SESSION_BOUNDS_MAX} growing numbers of seconds, such as 60,300,3600,86400");
    let secs: Vec<u64> =
        text.split(',').map(|word| word.trim().parse().map_err(|_| hint())).collect::<Result<_, _>>()?;
    let grow = secs.is_sorted_by(|one, next| one < next) && secs[0] > 0;
    if !grow || secs.len() > SESSION_BOUNDS_MAX {
        return Err(hint());
    }
    Ok(secs.into_iter().map(Duration::from_secs).collect())
}

/// Starts a host on the current runtime.
///
/// # Errors
/// The user or the machine: an address can't be listened on, or the store can't be opened.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn start(settings: Settings) -> Result<Host, StartError> {
    let Settings { key, network, agent, serves_login, .. } = &settings;
    let keypair =
        Keypair::ed25519_from_bytes(*key).map_err(|error| StartError::Transport(error.to_string()))?;
    let mut swarm = swarm::build(&keypair, &network.id, agent, *serves_login)?;
    let reach = listen(&mut swarm, &settings, keypair.public().to_peer_id())?;
    let metrics_listener = match settings.metrics_listen {
        Some(address) => Some(serve::bind(address).await?),
        None => None,
    };

    let (to_committed, committed) = mpsc::unbounded_channel();
    let (store, restored) = Store::open(settings.store.clone(), move |token| {
        // A driver that has stopped waits for nothing.
        to_committed.send(token).ok();
    })?;

    let links = Arc::new(LinkCounts::default());
    let listens = settings.listen.is_some();
    let exported = Arc::new(Exported::new(agent, listens, Arc::clone(&links), store.counts()));
    let mut registry = Registry::default();
    let clock = Clock::start();
    let metrics = HostMetrics::new(&mut registry, Arc::clone(&exported), clock.now().unix);

    let rate = (network.limits == Limits::Normal).then_some(RATE);
    let (overlay, first) = overlay(&settings, &reach, restored, &clock)?;
    let (local, from_local) = mpsc::channel(LOCAL_MAX);
    let (notices, from_first) = broadcast::channel(NOTICES_MAX);
    let (serving, login) = serves_login.then(|| mpsc::channel(LOGIN_CALLS_MAX)).unzip();
    let facts = Arc::new(Facts {
        peer: SecretKey::from_seed(*key).public().as_peer(),
        listeners: reach.dialable,
        metrics_address: metrics_listener.as_ref().map(|(_, address)| *address),
        registry: Arc::new(Mutex::new(registry)),
        joined: Arc::default(),
    });
    let handle = Handle { local, notices: notices.downgrade(), facts: Arc::clone(&facts) };
    let parts = Parts {
        swarm,
        overlay,
        clock,
        transports: settings.transports,
        rate,
        store,
        committed,
        local: from_local,
        notices,
        serving,
        metrics,
        sessions: Sessions::new(settings.session_bounds.clone()),
        links,
        facts,
    };
    let routes = settings.routes.clone();
    let serving = metrics_listener
        .map(|(listener, _)| tokio::spawn(serve::serve(listener, handle.downgrade(), exported, routes)));
    tokio::spawn(async move {
        Driver::new(parts).run(first).await;
        if let Some(task) = serving {
            task.abort();
        }
    });
    Ok(Host { handle, login, notices: from_first })
}

/// Where others can dial us.
#[derive(Debug, Default)]
struct Reach {
    addresses: Vec<Address>,
    /// Binary, for device records.
    multiaddrs: Vec<Bytes>,
    dialable: Vec<Multiaddr>,
}

fn listen(
    swarm: &mut libp2p::Swarm<behaviour::Behaviour>,
    settings: &Settings,
    peer: libp2p::PeerId,
) -> Result<Reach, StartError> {
    let Some(wanted) = settings.listen else { return Ok(Reach::default()) };
    if wanted.ip().is_unspecified() && settings.advertise.is_none() {
        return Err(StartError::Wildcard(wanted));
    }
    let bound: SocketAddr = swarm::listen(swarm, wanted, settings.transports)?;
    let address = Address { ip: settings.advertise.unwrap_or(bound.ip()), port: bound.port() };
    let dialable: Vec<Multiaddr> =
        [(settings.transports.quic(), Transport::Quic), (settings.transports.tcp(), Transport::Tcp)]
            .into_iter()
            .filter(|(used, _)| *used)
            .map(|(_, transport)| multiaddr(&address, transport))
            .map(|address| address.with(libp2p::multiaddr::Protocol::P2p(peer)))
            .collect();
    let multiaddrs = dialable.iter().map(|address| Bytes::from(address.to_vec())).collect();
    Ok(Reach { addresses: vec![address], multiaddrs, dialable })
}

fn overlay(
    settings: &Settings,
    reach: &Reach,
    restored: callbook_overlay::api::Restored,
    clock: &Clock,
) -> Result<(Overlay, Effects), StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StartError::Transport(format!("no entropy: {error}")))?;
    let network: Network = settings.network.clone();
    let config = Config {
        network,
        node: Box::new(SecretKey::from_seed(settings.key)),
        seed,
        role: settings.role.clone(),
        agent: settings.agent.clone(),
        addresses: reach.addresses.clone(),
        multiaddrs: reach.multiaddrs.clone(),
        reluctant: settings.reluctant,
        parallelism: settings.parallelism,
        hellos: settings.hellos,
        children_max: settings.children_max,
        tells_children: settings.tells_children,
        restored,
    };
    Ok(Overlay::new(config, Box::new(Remembering::default()), clock.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_sessions_are_growing_seconds() {
        // Goal: what is shown can be trusted to be what was asked for. Method: a good list, bad ones.
        let secs = |text: &str| {
            read_session_bounds(text).map(|bounds| bounds.iter().map(Duration::as_secs).collect())
        };
        assert_eq!(secs("5, 10,60"), Ok(vec![5, 10, 60]));
        let many = (1..=25).map(|secs| secs.to_string()).collect::<Vec<_>>().join(",");
        for text in ["5,5", "0", "10,5", "x", ",", "1,,2", &many] {
            assert!(secs(text).is_err(), "{text}");
        }
    }
}
