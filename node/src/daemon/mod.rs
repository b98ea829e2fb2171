//! The daemon: from an empty folder to a ready block, and from a signal to a clean end.
//!
//! ```text
//! folder locked → node key → network → host started → superpeer certified, if it is to be one
//!   → socket listens → ready block → (seeds, held names, renewals, notices) … stop → leave → gone
//! ```
//! Driver and streams run on the host's one-worker runtime, everything else on a second one.

mod account;
mod announce;
mod api;
pub(crate) mod folder;
mod history;
mod lookup;
mod names;
mod page;
mod role;
mod server;
mod state;
mod status;
mod turns;
mod upkeep;
mod watching;

use std::io::Read;
use std::sync::Arc;

use callbook_host::{Host, StartError, StoreError};
use callbook_login::network_file::NetworkFile;
use callbook_overlay::api::{Command, Notice};
use libp2p::multiaddr::Protocol;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::watch;

use crate::cli::output::{Printer, shell_word};
use crate::config::Config;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};
use crate::view::{Event, Ready};
use crate::{cli, socket};
use folder::Folder;
use names::Names;
use page::Page;
use state::{Daemon, Parts};

/// Threads for the API and all that isn't the driver. A guess: little happens there.
const WORKERS: usize = 2;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// The user or the machine: it can't start.
pub(crate) fn run(config: &Config, printer: Printer, leave_with_stdin: bool) -> Outcome<()> {
    let no_runtime = |error| Problem::new(Code::Failed, format!("no runtime: {error}"));
    let driver = callbook_host::runtime().map_err(no_runtime)?;
    let rest = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("callbook")
        .enable_all()
        .build()
        .map_err(no_runtime)?;
    let outcome = rest.block_on(async {
        let (stop, stopped) = watch::channel(false);
        heed_signals(&stop)?;
        if leave_with_stdin {
            heed_stdin(stop.clone());
        }
        up(config, printer, driver.handle(), stopped).await
    });
    rest.shutdown_background();
    driver.shutdown_background();
    outcome
}

/// SIGINT and SIGTERM mean stop.
pub(crate) fn heed_signals(stop: &watch::Sender<bool>) -> Outcome<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)
            .map_err(|error| Problem::new(Code::Failed, format!("signals can't be heeded: {error}")))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                stop.send_replace(true);
            }
        });
    }
    Ok(())
}

/// The end of standard input means stop: whoever started us is gone.
pub(crate) fn heed_stdin(stop: watch::Sender<bool>) {
    std::thread::spawn(move || {
        let (mut input, mut byte) = (std::io::stdin().lock(), [0; 64]);
        while !matches!(input.read(&mut byte), Ok(0) | Err(_)) {}
        stop.send_replace(true);
    });
}

async fn up(
    config: &Config,
    printer: Printer,
    driver: &tokio::runtime::Handle,
    mut stopped: watch::Receiver<bool>,
) -> Outcome<()> {
    let folder = Folder::open(&config.data)?;
    let file = folder.network(config.network.as_deref())?;
    let names = Names::open(&folder.path)?;
    let plan = role::plan(config, &folder, &file, &names)?;
    let Host { handle, notices, .. } = start(driver, &plan, config, (&folder, &file)).await?;
    let (listener, place) = socket::listen(&folder.path).map_err(|error| socket_problem(&folder, &error))?;
    let (web, page) = match config.api_listen {
        Some(wanted) => {
            Page::listen(wanted, &folder.page_token()?).await.map(|(web, page)| (Some(web), Some(page)))?
        }
        None => (None, None),
    };
    let (socket, superpeer, children_max) = (place.path.clone(), plan.superpeer, config.children_max);
    let parts = Parts { handle, folder, names, file, socket, page, superpeer, children_max };
    let daemon = Arc::new(Daemon::new(parts));
    let prepared = tokio::select! {
        prepared = plan.certify(&daemon) => prepared,
        _ = stopped.wait_for(|stop| *stop) => Ok(()),
    };
    let outcome = match prepared {
        Ok(()) if *stopped.borrow() => Ok(()),
        Ok(()) => {
            let volunteer = plan.volunteers.then(|| tokio::spawn(role::volunteer(Arc::clone(&daemon))));
            let outcome = serve(&daemon, (listener, web), config, (notices, printer), stopped).await;
            volunteer.inspect(tokio::task::JoinHandle::abort);
            outcome
        }
        Err(problem) => Err(problem),
    };
    leave(&daemon).await;
    drop(place);
    if printer.json && outcome.is_ok() {
        printer.document(&Event::Stopped);
    }
    outcome
}

/// Everything between the ready block and the order to stop.
async fn serve(
    daemon: &Arc<Daemon>,
    (socket, web): (UnixListener, Option<TcpListener>),
    config: &Config,
    (notices, printer): (Receiver<Notice>, Printer),
    mut stopped: watch::Receiver<bool>,
) -> Outcome<()> {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(upkeep::register(Arc::clone(daemon)));
    tasks.spawn(upkeep::seeds(Arc::clone(daemon)));
    tasks.spawn(upkeep::renew(Arc::clone(daemon)));
    if config.metrics_announce {
        tasks.spawn(announce::announce(Arc::clone(daemon)));
    }
    tasks.spawn(upkeep::history(Arc::clone(daemon)));
    if let (Some(web), Some(page)) = (web, &daemon.page) {
        let router = page::router(Arc::clone(page), Arc::clone(daemon));
        tasks.spawn(api::serve(web, router, Arc::clone(daemon)));
    }
    let api = tokio::spawn(api::serve(socket, api::router(Arc::clone(daemon)), Arc::clone(daemon)));
    let ready = ready(daemon, config).await?;
    if printer.json {
        printer.document(&Event::Ready(Box::new(ready)));
    } else {
        printer.result(&ready, cli::text::ready);
    }
    // From the first one on: who has an address from the last time is attached before it is ready.
    tasks.spawn(upkeep::notices(Arc::clone(daemon), notices, printer));
    let mut asked = daemon.stop.subscribe();
    let mut host_notices = daemon.handle.notices();
    let host_ended = async {
        use tokio::sync::broadcast::error::RecvError;
        while !matches!(host_notices.recv().await, Err(RecvError::Closed)) {}
    };
    let outcome = tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => Ok(()),
        _ = asked.wait_for(|stop| *stop) => Ok(()),
        () = host_ended => Err(Problem::new(Code::Internal, "the overlay's driver has ended")
            .hint("the log says why; start the daemon again")),
    };
    tasks.abort_all();
    daemon.stop.send_replace(true);
    if let Err(error) = api.await {
        tracing::error!(%error, "the local API failed");
    }
    outcome
}

/// Says goodbye and stops the host; what is pending is on disk afterwards.
async fn leave(daemon: &Daemon) {
    // First, for a goodbye may end the connection to a login server that is our parent.
    announce::withdraw(daemon).await;
    if let Err(problem) = daemon.command(Command::Leave).await {
        tracing::debug!(%problem, "no goodbye was said");
    }
    daemon.handle.clone().stop().await;
}

/// Starts the host, first at the port of the last time if any will do.
async fn start(
    driver: &tokio::runtime::Handle,
    plan: &role::Plan,
    config: &Config,
    (folder, file): (&Folder, &NetworkFile),
) -> Outcome<Host> {
    let last = plan.listen.map(|listen| folder.last_listen(listen));
    let failed = |error| Problem::new(Code::Internal, format!("the host failed to start: {error}"));
    let first = driver.spawn(callbook_host::start(plan.settings(config, folder, file, last))).await;
    let host = match first.map_err(failed)? {
        Err(StartError::PortInUse { .. }) if last != plan.listen => {
            tracing::info!("the port of the last time is taken; listening on another one");
            let settings = plan.settings(config, folder, file, plan.listen);
            driver.spawn(callbook_host::start(settings)).await.map_err(failed)?
        }
        outcome => outcome,
    };
    let host = host.map_err(|error| start_problem(&error))?;
    let listeners = host.handle.listeners();
    let mut parts = listeners.iter().flat_map(|address| address.iter());
    let port = parts.find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    if let Some(port) = port.filter(|port| last.map(|last| last.port()) != Some(*port)) {
        folder.keep_port(port);
    }
    Ok(host)
}

fn start_problem(error: &StartError) -> Problem {
    let code = match error {
        StartError::PortInUse { .. } | StartError::NoFreePort(_) => Code::PortInUse,
        StartError::Metrics { reason, .. } if reason.kind() == std::io::ErrorKind::AddrInUse => {
            Code::PortInUse
        }
        StartError::Store(StoreError::Newer { .. }) => Code::StoreNewer,
        StartError::Store(StoreError::Corrupt { .. }) => Code::StoreCorrupt,
        StartError::Store(StoreError::Io { .. }) => Code::FolderUnwritable,
        StartError::Store(StoreError::InUse { .. }) => Code::FolderLocked,
        StartError::NotLocal { .. } | StartError::Wildcard(_) | StartError::NotAllowed { .. } => Code::Usage,
        StartError::Listen { .. }
        | StartError::Metrics { .. }
        | StartError::Store(_)
        | StartError::Transport(_)
        | _ => Code::Failed,
    };
    if let StartError::Wildcard(address) = error {
        return Problem::new(code, format!("listening on {address} tells others no address they could dial"))
            .hint("name the one address of this machine that others can reach: --listen IP:PORT");
    }
    let text = error.to_string();
    // The host's texts end in what to do, after a semicolon.
    match text.rsplit_once("; ") {
        Some((message, hint)) => Problem::new(code, message).hint(hint),
        None => Problem::new(code, text),
    }
}

fn socket_problem(folder: &Folder, error: &std::io::Error) -> Problem {
    Problem::new(Code::FolderUnwritable, format!("can't listen for commands: {error}"))
        .hint(format!("check that {} and $XDG_RUNTIME_DIR can be written", folder.path.display()))
}

async fn ready(daemon: &Daemon, config: &Config) -> Outcome<Ready> {
    let status = daemon.status().await?;
    // As whole path: the next command may be typed somewhere else.
    let data = match config.data_named {
        true => format!(" --data {}", shell_word(&daemon.folder.path)),
        false => String::new(),
    };
    let next = match status.names.first() {
        None => format!("callbook{data} enrol NAME"),
        Some(_) => format!("callbook{data} status"),
    };
    Ok(Ready {
        role: status.role,
        peer: status.peer,
        node_id: status.node_id,
        addresses: status.addresses,
        network: status.network,
        network_id: status.network_id,
        limits: status.limits,
        socket: status.socket,
        metrics: status.metrics,
        page: status.page,
        data: status.data,
        pid: status.pid,
        next,
        warnings: status.warnings,
    })
}
