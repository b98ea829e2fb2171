//! What the daemon's parts share: handle, names, network, and how to stop.
//!
//! The overlay's state is not here: whoever needs it asks the handle.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callbook_host::{Handle, Stopped};
use callbook_login::network_file::NetworkFile;
use callbook_overlay::api::{Command, Failure, Reply, Stored};
use callbook_overlay::name::Username;
use callbook_overlay::network::{Limits, Network, Scope};
use tokio::sync::{Notify, Semaphore, watch};

use super::folder::Folder;
use super::history::History;
use super::names::{Name, Names};
use super::page::Page;
use super::server::LoginServer;
use super::turns::Turns;
use super::watching::WATCHES_MAX;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// How long a request waits for a first acknowledgement. A guess: a parent is found within seconds.
const PUBLISH_WAIT: Duration = Duration::from_secs(15);

/// Passwords that are stretched at once. A guess: each takes a core and 64 MiB for a quarter of a second.
const STRETCHES_MAX: usize = 4;

/// What a clock that is off is remembered under.
pub(crate) const CLOCK: &str = "clock";

/// The daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// The overlay.
    pub(crate) handle: Handle,
    /// The login server.
    pub(crate) server: LoginServer,
    /// The data folder.
    pub(crate) folder: Folder,
    /// The names held.
    pub(crate) names: Names,
    /// Who may change which of them.
    pub(crate) turns: Turns,
    /// Passwords that may be stretched at once.
    pub(crate) stretches: Semaphore,
    /// The network file.
    pub(crate) file: NetworkFile,
    /// What the overlay has of it.
    pub(crate) network: Network,
    /// The local API.
    pub(crate) socket: PathBuf,
    /// The page, if there is one.
    pub(crate) page: Option<Arc<Page>>,
    /// How this peer fared.
    pub(crate) history: History,
    /// When this process came up.
    pub(crate) started: Instant,
    /// Whether it wants to be a superpeer.
    pub(crate) superpeer: AtomicBool,
    /// Children that it takes as one.
    pub(crate) children_max: usize,
    /// Rung when a name is held that may vouch for this node.
    pub(crate) vouched: Notify,
    /// Watches that may still begin.
    pub(crate) watches: Arc<Semaphore>,
    /// Whether the login server lists our metrics.
    pub(crate) announced: AtomicBool,
    /// Told true once to stop.
    pub(crate) stop: watch::Sender<bool>,
    /// What a person should look at, by what it is about.
    troubles: Mutex<BTreeMap<String, String>>,
}

/// All that a daemon is made of.
pub(crate) struct Parts {
    /// The overlay.
    pub(crate) handle: Handle,
    /// The data folder.
    pub(crate) folder: Folder,
    /// The names held.
    pub(crate) names: Names,
    /// The network file.
    pub(crate) file: NetworkFile,
    /// The local API.
    pub(crate) socket: PathBuf,
    /// The page, if there is one.
    pub(crate) page: Option<Page>,
    /// Whether it wants to be a superpeer.
    pub(crate) superpeer: bool,
    /// Children that it takes as one.
    pub(crate) children_max: usize,
}

impl Daemon {
    /// Puts the parts together.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { handle, folder, names, file, socket, page, superpeer, children_max } = parts;
        let network = file.to_network();
        let server = LoginServer::new(handle.clone(), network.id, &file.facts().bootstrap);
        let (stop, _) = watch::channel(false);
        Self {
            handle,
            server,
            folder,
            names,
            turns: Turns::default(),
            stretches: Semaphore::new(STRETCHES_MAX),
            file,
            network,
            socket,
            page: page.map(Arc::new),
            history: History::default(),
            started: Instant::now(),
            superpeer: AtomicBool::new(superpeer),
            children_max,
            vouched: Notify::new(),
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
            announced: AtomicBool::new(false),
            stop,
            troubles: Mutex::default(),
        }
    }

    /// Gives the overlay a command.
    pub(crate) async fn command(&self, command: Command) -> Outcome<Reply> {
        self.handle.command(command).await.map_err(|Stopped| leaving())
    }

    /// The overlay's state.
    pub(crate) async fn overlay_status(&self) -> Outcome<callbook_overlay::api::Status> {
        let reply = self.command(Command::Status).await?;
        if let Reply::Status(status) = reply { Ok(*status) } else { Err(unexpected(&reply)) }
    }

    /// Publishes a name, and waits for the first acknowledgement.
    ///
    /// # Errors
    /// Refused for good, or [`Code::RegistrationPending`]: the overlay goes on trying.
    pub(crate) async fn publish(&self, username: &Username, name: &Name) -> Outcome<Stored> {
        let mut notices = self.handle.notices();
        let reply = self.command(Command::Register(Box::new(name.held(username)))).await?;
        if let Reply::Registered(stored) = reply {
            return Ok(stored);
        }
        let Reply::Failed(failure) = reply else { return Err(unexpected(&reply)) };
        if !matches!(failure, Failure::Detached | Failure::Timeout { .. }) {
            return Err(failed(&failure));
        }
        tracing::debug!(%failure, "not registered yet");
        let acknowledged = async {
            loop {
                use callbook_overlay::api::Notice;
                use tokio::sync::broadcast::error::RecvError;
                match notices.recv().await {
                    Ok(Notice::Registered { username: whose, stored }) if whose == *username => {
                        return Ok(stored);
                    }
                    Ok(Notice::Rejected { username: whose, reason }) if whose == *username => {
                        return Err(Problem::new(Code::CertificateRefused, format!("refused: {reason}"))
                            .hint("log in again: callbook login NAME"));
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(leaving()),
                }
            }
        };
        tokio::time::timeout(PUBLISH_WAIT, acknowledged).await.unwrap_or_else(|_| {
            let message = format!("{username} is not registered yet: {failure}");
            Err(Problem::new(Code::RegistrationPending, message)
                .hint("the daemon goes on trying; wait for it: callbook wait --for registered"))
        })
    }

    /// Keeps a name on disk without holding up the runtime.
    pub(crate) async fn keep(self: &Arc<Self>, username: &Username, name: Name) -> Outcome<()> {
        let (daemon, username) = (Arc::clone(self), username.clone());
        run_blocking(move || daemon.names.keep(&username, name)).await?
    }

    /// Remembers something that a person should look at; `None`: it is mended.
    pub(crate) fn trouble(&self, about: &str, text: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match text {
            Some(text) => troubles.insert(about.to_owned(), text),
            None => troubles.remove(about),
        };
    }

    /// What there is to say about something, if it is not as it should be.
    pub(crate) fn troubled(&self, about: &str) -> Option<String> {
        self.troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(about).cloned()
    }

    /// What a person should look at.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let troubles = self.troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let lab = (self.network.limits == Limits::Lab).then(|| {
            "limits = lab: weak password stretch and no rate limits, for demos and tests only".to_owned()
        });
        lab.into_iter().chain(troubles.values().cloned()).collect()
    }

    /// `normal` or `lab`.
    pub(crate) fn limits(&self) -> String {
        match self.network.limits {
            Limits::Normal => "normal",
            Limits::Lab => "lab",
        }
        .to_owned()
    }

    /// `local` or `global`.
    pub(crate) fn scope(&self) -> String {
        match self.network.scope {
            Scope::Local => "local",
            Scope::Global => "global",
        }
        .to_owned()
    }

    /// Address of the metrics.
    pub(crate) fn metrics(&self) -> Option<String> {
        self.handle.metrics_address().map(|address: SocketAddr| format!("http://{address}/metrics"))
    }

    /// Where we listen.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.handle.listeners().iter().map(ToString::to_string).collect()
    }
}

/// Runs what blocks (a disk, Argon2) off the runtime's workers.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::new(Code::Internal, format!("a task of the daemon failed: {error}")))
}

/// The daemon is on its way out.
pub(crate) fn leaving() -> Problem {
    Problem::new(Code::NoDaemon, "the daemon is stopping").hint("start it again: callbook up")
}

/// What the overlay couldn't do.
pub(crate) fn failed(failure: &Failure) -> Problem {
    let (code, hint) = match failure {
        Failure::Detached => {
            (Code::Detached, "wait until it is: callbook wait --for attached; callbook status shows more")
        }
        Failure::Timeout { .. } => (Code::Timeout, "try again; callbook peers shows who answers"),
        Failure::Verification(_) => (
            Code::VerificationFailed,
            "somebody answers with something that its owner didn't sign; is the clock right?",
        ),
        Failure::Refused(_) => (Code::CertificateRefused, "log in again: callbook login NAME"),
        Failure::Invalid(_) => (Code::Usage, "make it shorter or simpler"),
        Failure::Leaving => return leaving(),
        Failure::Skewed { .. } => {
            (Code::ClockSkewed, "set the clock right (NTP); until then nothing is published")
        }
        _ => (Code::Failed, "see the daemon's log"),
    };
    Problem::new(code, failure.to_string()).hint(hint)
}

/// A reply other than the one that belongs to its command.
pub(crate) fn unexpected(reply: &Reply) -> Problem {
    if let Reply::Failed(failure) = reply {
        return failed(failure);
    }
    tracing::error!(?reply, "not the reply to its command");
    Problem::new(Code::Internal, "the overlay replied something else than it was asked")
}
