//! Which role the daemon starts in, and how it gets the certificate that a superpeer needs.
//!
//! | wanted | certificate at hand | else a token | else |
//! |---|---|---|---|
//! | auto | superpeer | certified, then superpeer | child; one with an old certificate asks for a new one |
//! | superpeer | superpeer | certified, then superpeer | on an account that is held, else refused |
//! | child | child | child | child |

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use callbook_host::{Settings, StoreSetting, Transports};
use callbook_login::key_file;
use callbook_login::network_file::NetworkFile;
use callbook_overlay::api::{Command, Parallelism, Reply, Role};
use callbook_overlay::name::Username;
use callbook_overlay::network::Scope;
use callbook_overlay::sign::{SecretKey, Signer, Strict};

use super::folder::Folder;
use super::names::Names;
use super::state::{Daemon, unexpected};
use crate::clock::wall;
use crate::config::{Config, RoleChoice};
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// What to start as. (Not `Debug`: it may carry a token.)
pub(super) struct Plan {
    key: SecretKey,
    role: Role,
    certify: Option<Certify>,
    /// Where to listen, if anywhere.
    pub(super) listen: Option<SocketAddr>,
    /// Whether it wants to be a superpeer.
    pub(super) superpeer: bool,
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
    let mut plan = Plan { key, role: Role::Child, certify: None, listen: config.listen, superpeer: false };
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
        (None, None, _) => return Ok(plan),
    }
    plan.superpeer = true;
    if plan.listen.is_none() {
        plan.listen = Some(match network.scope {
            Scope::Local => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            Scope::Global => {
                return Err(Problem::new(Code::Usage, "a superpeer must listen where others can reach it")
                    .hint("name the address: callbook up --listen IP:PORT"));
            }
        });
    }
    Ok(plan)
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
            agent: concat!("callbook/", env!("CARGO_PKG_VERSION")).to_owned(),
            parallelism: Parallelism::default(),
            children_max: callbook_overlay::limits::CHILDREN_MAX,
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
