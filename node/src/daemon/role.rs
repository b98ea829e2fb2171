//! Which role the daemon takes, and how it gets the certificate that a superpeer needs.
//!
//! | wanted | certificate at hand | else a token | else |
//! |---|---|---|---|
//! | auto | superpeer | certified, then superpeer | child; one with an old certificate asks for a new one; on `scope = local` it may volunteer |
//! | superpeer | superpeer | certified, then superpeer | on an account that is held, else refused |
//! | child | child | child | child |
//!
//! A volunteer is a child that others can reach and whose account can vouch for it: it becomes a
//! superpeer when, once attached, it knows fewer than [`SUPERPEERS_ENOUGH`], or fewer than one for
//! [`PEERS_PER_SUPERPEER`] peers that are online, as the overlay guesses from the loads of its neighbours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use callbook_host::{Settings, StoreSetting, Transports};
use callbook_login::key_file;
use callbook_login::network_file::NetworkFile;
use callbook_overlay::api::{Command, Parallelism, Reply, Role};
use callbook_overlay::name::Username;
use callbook_overlay::network::Scope;
use callbook_overlay::sign::{SecretKey, Signer, Strict};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::sync::broadcast::error::RecvError;

use super::folder::Folder;
use super::names::Names;
use super::state::{Daemon, leaving, unexpected};
use crate::clock::wall;
use crate::config::{Config, RoleChoice};
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// With so many superpeers known, nobody volunteers; specification (DESIGN §5).
const SUPERPEERS_ENOUGH: usize = 24;

/// Nor if there is one for so many peers that are online; specification (DESIGN §5).
const PEERS_PER_SUPERPEER: usize = 100;

/// First and longest pause before a volunteer asks the login server again. Guesses.
const VOLUNTEER_RETRY: Duration = Duration::from_secs(5);
const VOLUNTEER_RETRY_MAX: Duration = Duration::from_secs(300);

/// How often a volunteer looks whether it is attached when no notice says so. A guess.
const LOOK: Duration = Duration::from_secs(1);

/// Where a superpeer listens that was not told, if the network is one machine's.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What to start as. (Not `Debug`: it may carry a token.)
pub(super) struct Plan {
    key: SecretKey,
    role: Role,
    certify: Option<Certify>,
    /// Where to listen, if anywhere.
    pub(super) listen: Option<SocketAddr>,
    /// Whether it wants to be a superpeer.
    pub(super) superpeer: bool,
    /// Whether it becomes one by itself if one is needed.
    pub(super) volunteers: bool,
}

/// How to get a node certificate. (Not `Debug`, as above.)
enum Certify {
    /// With the operator's token.
    Token([u8; 32]),
    /// On an account.
    Vouch(Username),
    /// Because there was one; without it, `required` says whether that is the end.
    Renew { required: bool },
}

/// Decides.
///
/// # Errors
/// The user: a superpeer was asked for, but nothing gives it a certificate or an address.
pub(super) fn plan(config: &Config, folder: &Folder, file: &NetworkFile, names: &Names) -> Outcome<Plan> {
    let key = folder.node_key()?;
    let (role, certify, listen) = (Role::Child, None, config.listen);
    let mut plan = Plan { key, role, certify, listen, superpeer: false, volunteers: false };
    if config.role == RoleChoice::Child {
        return Ok(plan);
    }
    let network = file.to_network();
    let stored = folder.node_certificate().filter(|certificate| {
        certificate.node == plan.key.public().as_peer() && certificate.not_before <= certificate.not_after
    });
    let valid = |certificate: &callbook_overlay::certificate::NodeCertificate| {
        certificate
            .verify(&network, wall(), &Strict)
            .inspect_err(|error| tracing::info!(%error, "the stored node certificate doesn't count any more"))
            .is_ok()
    };
    let required = config.role == RoleChoice::Superpeer;
    let vouch = names.all().into_iter().next().map(|(username, _)| username);
    match (stored, &config.node_token, vouch) {
        (Some(certificate), _, _) if valid(&certificate) => plan.role = Role::Superpeer(certificate),
        (_, Some(token), _) => plan.certify = Some(Certify::Token(read_token(token)?)),
        (Some(_), None, _) => plan.certify = Some(Certify::Renew { required }),
        (None, None, Some(username)) if required => plan.certify = Some(Certify::Vouch(username)),
        (None, None, None) if required => {
            return Err(Problem::new(
                Code::Usage,
                "a superpeer needs a certificate, and nothing gives it one",
            )
            .hint(
                "get a token from the network's operator (--node-token FILE), or log in as a child first",
            ));
        }
        (None, None, _) => {
            if network.scope == Scope::Local && is_reachable(config.listen, &file.facts().bootstrap) {
                plan.volunteers = true;
                plan.listen = config.listen.or(Some(LOOPBACK));
            }
            return Ok(plan);
        }
    }
    plan.superpeer = true;
    if plan.listen.is_none() {
        plan.listen = Some(match network.scope {
            Scope::Local => LOOPBACK,
            Scope::Global => {
                return Err(Problem::new(Code::Usage, "a superpeer must listen where others can reach it")
                    .hint("name the address: callbook up --listen IP:PORT"));
            }
        });
    }
    Ok(plan)
}

/// Whether the network's other peers can dial us: at an address that we were given, or on the machine
/// that all of the network is on.
fn is_reachable(listen: Option<SocketAddr>, servers: &[String]) -> bool {
    let on_this_machine = servers.iter().all(|server| {
        let address: Option<Multiaddr> = server.parse().ok();
        let first = address.as_ref().and_then(|address| address.iter().next());
        match first {
            Some(Protocol::Ip4(ip)) => ip.is_loopback(),
            Some(Protocol::Ip6(ip)) => ip.is_loopback(),
            Some(_) | None => false,
        }
    });
    on_this_machine || listen.is_some_and(|listen| !listen.ip().is_loopback())
}

impl Plan {
    /// What the host is started with.
    pub(super) fn settings(
        &self,
        config: &Config,
        folder: &Folder,
        file: &NetworkFile,
        listen: Option<SocketAddr>,
    ) -> Settings {
        Settings {
            key: *self.key.seed(),
            network: file.to_network(),
            listen,
            advertise: None,
            role: self.role.clone(),
            reluctant: false,
            store: StoreSetting::Path(folder.path.join("store.redb")),
            metrics_listen: config.metrics_listen,
            routes: callbook_host::axum::Router::new(),
            session_bounds: config.session_bounds.clone(),
            agent: concat!("callbook/", env!("CARGO_PKG_VERSION")).to_owned(),
            parallelism: Parallelism::default(),
            hellos: config.hellos,
            children_max: config.children_max,
            tells_children: config.census_children,
            serves_login: false,
            transports: Transports::Both,
        }
    }

    /// Gets the certificate, if one is missing, and becomes a superpeer.
    ///
    /// # Errors
    /// Refused, or the login server is out of reach.
    pub(super) async fn certify(&self, daemon: &Arc<Daemon>) -> Outcome<()> {
        let Some(certify) = &self.certify else { return Ok(()) };
        let (server, network) = (&daemon.server, &daemon.network);
        let certified = match certify {
            Certify::Token(token) => server.certify_node(Some(*token), None, network).await,
            Certify::Renew { .. } => server.certify_node(None, None, network).await,
            Certify::Vouch(username) => {
                let name = daemon.names.find(username);
                let vouch = name.as_ref().map(|name| (username, &name.device));
                server.certify_node(None, vouch, network).await
            }
        };
        match certified {
            Ok(certificate) => act(daemon, certificate).await,
            Err(problem) if matches!(certify, Certify::Renew { required: false }) => {
                tracing::warn!(%problem, "no node certificate yet; acting as child");
                Ok(())
            }
            Err(mut problem) => {
                problem.message = format!("no node certificate: {}", problem.message);
                Err(problem)
            }
        }
    }
}

/// Waits until it is known whether the network needs one more superpeer, and an account can vouch for
/// it; then becomes one. Asked again after each login, and while the login server can't be reached.
pub(super) async fn volunteer(daemon: Arc<Daemon>) {
    let mut pause = VOLUNTEER_RETRY;
    loop {
        let Some((username, name)) = daemon.names.all().into_iter().next() else {
            daemon.vouched.notified().await;
            continue;
        };
        let (superpeers, enough) = match attached(&daemon).await {
            Ok(told) => told,
            Err(problem) => return tracing::debug!(%problem, "no volunteer any more"),
        };
        if superpeers >= enough {
            tracing::info!(superpeers, "there are superpeers enough; staying a child");
            daemon.vouched.notified().await;
            continue;
        }
        let vouch = Some((&username, &name.device));
        let certified = match daemon.server.certify_node(None, vouch, &daemon.network).await {
            Ok(certificate) => act(&daemon, certificate).await,
            Err(problem) => Err(problem),
        };
        match certified {
            Ok(()) => {
                tracing::info!(superpeers, "one more superpeer is of use here; acting as one");
                daemon.superpeer.store(true, Ordering::Relaxed);
                return;
            }
            Err(problem) if problem.code == Code::LoginUnreachable => {
                tracing::info!(%problem, "no node certificate yet; staying a child");
                let retry = tokio::time::sleep(pause);
                pause = (pause * 2).min(VOLUNTEER_RETRY_MAX);
                tokio::select! { () = retry => {}, () = daemon.vouched.notified() => {} }
            }
            Err(problem) => {
                tracing::info!(%problem, "no node certificate; staying a child");
                daemon.vouched.notified().await;
            }
        }
    }
}

/// max(24, N/100), N being the peers that are online.
fn superpeers_enough(peers: usize) -> usize {
    (peers / PEERS_PER_SUPERPEER).max(SUPERPEERS_ENOUGH)
}

/// Waits for a parent; returns how many superpeers are known then, and how many are enough.
async fn attached(daemon: &Daemon) -> Outcome<(usize, usize)> {
    let mut notices = daemon.handle.notices();
    loop {
        let status = daemon.overlay_status().await?;
        if status.parent.is_some() {
            return Ok((status.superpeers, superpeers_enough(status.peers)));
        }
        // Whatever is noticed or missed: the status says whether we are attached.
        if let Ok(Err(RecvError::Closed)) = tokio::time::timeout(LOOK, notices.recv()).await {
            return Err(leaving());
        }
    }
}

/// Keeps a certificate and acts on it.
pub(super) async fn act(
    daemon: &Daemon,
    certificate: callbook_overlay::certificate::NodeCertificate,
) -> Outcome<()> {
    daemon.folder.keep_node_certificate(&certificate)?;
    let reply = daemon.command(Command::Act(Role::Superpeer(certificate))).await?;
    if matches!(reply, Reply::Done) { Ok(()) } else { Err(unexpected(&reply)) }
}

fn read_token(path: &Path) -> Outcome<[u8; 32]> {
    const HINT: &str = "the operator makes one with: callbook-bootstrap token create --node FILE";
    let token = key_file::read_secret(path, key_file::NODE_TOKEN)
        .map_err(|error| Problem::new(Code::FileUnreadable, error.to_string()).hint(HINT))?;
    token.as_slice().try_into().map_err(|_| {
        Problem::new(Code::FileCorrupt, format!("{} is no node token", path.display())).hint(HINT)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superpeers_are_enough_when_there_is_one_for_a_hundred_peers_and_at_least_24() {
        // Around the point where the hundredth part takes over.
        assert_eq!([0, 2_499, 2_500, 10_000].map(superpeers_enough), [24, 24, 25, 100]);
    }

    #[test]
    fn only_who_can_be_dialled_from_where_the_network_is_may_volunteer() {
        // Goal: nobody advertises a loopback address to other machines. Method: both places of the network
        // with no, a loopback and another address.
        let here = vec!["/ip4/127.0.0.1/udp/1/quic-v1".to_owned(), "/ip6/::1/tcp/1".to_owned()];
        let elsewhere = vec!["/ip4/192.0.2.1/tcp/1".to_owned()];
        let listens = [None, Some("127.0.0.1:1"), Some("192.0.2.7:1")];
        let listens = listens.map(|listen| listen.map(|listen| listen.parse().unwrap()));
        assert_eq!(listens.map(|listen| is_reachable(listen, &here)), [true, true, true]);
        assert_eq!(listens.map(|listen| is_reachable(listen, &elsewhere)), [false, false, true]);
    }
}
