//! Which role the daemon takes, and how it gets the certificate that a superpeer needs.
//!
//! | wanted | certificate at hand | else a token | else |
//! |---|---|---|---|
//! | auto | superpeer, volunteers | certified, then superpeer | child; one with an old certificate asks for a new one; on `scope = local` it may volunteer |
//! | superpeer | superpeer | certified, then superpeer | on an account that is held, else refused |
//! | child | child | child | child |
//!
//! A volunteer is a peer that others can reach and whose account can vouch for it: it becomes a superpeer when
//! its parent says that one more is needed, and a child again when there are superpeers enough without it; the
//! overlay decides both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use callbook_host::{Settings, StoreSetting, Transports};
use callbook_login::key_file;
use callbook_login::network_file::NetworkFile;
use callbook_overlay::api::{Command, Notice, Parallelism, Reply, Role};
use callbook_overlay::name::Username;
use callbook_overlay::network::Scope;
use callbook_overlay::sign::{SecretKey, Signer, Strict};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::sync::broadcast::error::RecvError;

use super::folder::Folder;
use super::names::Names;
use super::state::{Daemon, unexpected};
use crate::clock::wall;
use crate::config::{Config, RoleChoice};
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

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
        (Some(certificate), token, _) if valid(&certificate) => {
            plan.role = Role::Superpeer(certificate);
            // Who was given a token is to be one.
            plan.volunteers = !required && token.is_none();
        }
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

/// Volunteers as soon as an account can vouch for this peer; becomes a superpeer when one more is needed, and hears
/// when it is one no more. If the login server can't be reached the parent asks again, or another child.
pub(super) async fn volunteer(daemon: Arc<Daemon>) {
    let mut notices = daemon.handle.notices();
    while daemon.names.all().is_empty() {
        daemon.vouched.notified().await;
    }
    if let Err(problem) = daemon.command(Command::Volunteer(true)).await {
        return tracing::debug!(%problem, "no volunteer any more");
    }
    loop {
        match notices.recv().await {
            Ok(Notice::SuperpeerNeeded) => match join(&daemon).await {
                Ok(()) => {
                    tracing::info!("one more superpeer is needed; acting as one");
                    daemon.superpeer.store(true, Ordering::Relaxed);
                }
                Err(problem) => tracing::info!(%problem, "no node certificate; staying a child"),
            },
            Ok(Notice::SteppedDown) => daemon.superpeer.store(false, Ordering::Relaxed),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// With the certificate that is at hand, or a new one that an account vouches for.
async fn join(daemon: &Daemon) -> Outcome<()> {
    let kept = daemon.folder.node_certificate();
    if let Some(kept) = kept.filter(|kept| kept.verify(&daemon.network, wall(), &Strict).is_ok()) {
        return act(daemon, kept).await;
    }
    let name = daemon.names.all().into_iter().next();
    let vouch = name.as_ref().map(|(username, name)| (username, &name.device));
    let certificate = daemon.server.certify_node(None, vouch, &daemon.network).await?;
    act(daemon, certificate).await
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
