//! `serve`: the server in the foreground.
//!
//! Two runtimes: the host's driver and links on one worker thread, passwords' arithmetic and SQL on
//! others, so neither waits for the other. Ends with 0 on SIGINT, SIGTERM, or, when asked to, with stdin.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbook_host::{Handle, Host, Settings, StartError, StoreSetting, Transports};
use callbook_login::files::FolderLock;
use callbook_overlay::api::{Hellos, Notice, Parallelism, Role};
use callbook_overlay::network::Limits;
use callbook_overlay::sign::Signer as _;
use callbook_overlay::time::Unix;
use clap::Args;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::ready::Ready;
use super::stop::Stop;
use super::{DataArgs, machine, output};
use crate::authority::Authority;
use crate::clock;
use crate::database::Database;
use crate::folder::{Folder, Loaded};
use crate::limits::LOGIN_LEFT_MIN;
use crate::report::{Exit, FOLDER_HINT, Report, SCHEMA_VERSION};
use crate::service::{Parts, Service};
use crate::targets::Targets;
use crate::{publisher, serve};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Where /metrics, /healthz and /readyz are served; empty: nowhere.
    #[arg(long, env = "CALLBOOK_METRICS_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = metrics_listen)]
    metrics_listen: MetricsListen,
    /// Up to which lengths sessions are counted: growing seconds, such as 60,300,3600.
    #[arg(long, env = "CALLBOOK_METRICS_SESSION_BUCKETS", value_name = "SECONDS,…", value_parser = session_bounds)]
    metrics_session_buckets: Option<SessionBounds>,
    /// Stop when stdin closes: for a parent process that must leave nothing behind.
    #[arg(long, hide = true)]
    leave_with_stdin: bool,
}

#[derive(Debug, Clone, Copy)]
struct MetricsListen(Option<SocketAddr>);

#[derive(Debug, Clone)]
struct SessionBounds(Vec<Duration>);

fn session_bounds(text: &str) -> Result<SessionBounds, String> {
    callbook_host::read_session_bounds(text).map(SessionBounds)
}

fn metrics_listen(text: &str) -> Result<MetricsListen, String> {
    if text.is_empty() {
        return Ok(MetricsListen(None));
    }
    let address = text.parse().map_err(|_| "expected IP:PORT, such as 127.0.0.1:9464, or nothing")?;
    Ok(MetricsListen(Some(address)))
}

/// How long runtimes may take to end their last tasks. (guess)
const END: Duration = Duration::from_secs(2);

pub(super) fn run(args: &ServeArgs, json: bool) -> Result<(), Report> {
    let folder = Folder::new(output::absolute(&args.data.data));
    if !folder.network().exists() {
        // Says that there is no network, or why the folder can't be read.
        folder.load()?;
    }
    let _lock = FolderLock::take(folder.path())?;
    let loaded = folder.load()?;
    let overlay = callbook_host::runtime().map_err(machine)?;
    let service = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("callbook-login")
        .enable_all()
        .build()
        .map_err(machine)?;
    let outcome = service.block_on(serve(args, &folder, loaded, overlay.handle(), json));
    overlay.shutdown_timeout(END);
    service.shutdown_timeout(END);
    outcome
}

async fn serve(
    args: &ServeArgs,
    folder: &Folder,
    loaded: Loaded,
    overlay: &tokio::runtime::Handle,
    json: bool,
) -> Result<(), Report> {
    // Listens before anything else, so that a signal during the start ends it cleanly too.
    let mut stop = Stop::new(args.leave_with_stdin)?;
    let clock = clock::system();
    let authority = authority(&loaded, clock().unix)?;
    let database = folder.database().await?;
    let own = serve::certify_own(&authority, &database, &loaded.node.public().as_peer(), clock().unix)
        .await
        .map_err(|reason| Report::new("own_certificate", reason))?;
    let targets = Targets::new(loaded.network.to_network().limits == Limits::Lab);
    let mut settings = settings(args, folder, &loaded, Role::Superpeer(own.clone()));
    settings.routes = targets.route(Arc::clone(&clock));
    let host = overlay.spawn(callbook_host::start(settings)).await.map_err(|error| machine(error.into()))?;
    let Host { handle, login, .. } = host.map_err(|error| start_report(&error))?;

    let service = Arc::new(Service::new(Parts {
        authority: Arc::clone(&authority),
        keys: loaded.passwords,
        database: database.clone(),
        directory: Arc::new(handle.clone()),
        clock: Arc::clone(&clock),
        seed: seed()?,
        targets,
    }));
    let accounts =
        database.account_count().await.map_err(|error| Report::new("database", error.to_string()))?;
    service.metrics().set_accounts(accounts);
    match handle.registry().lock() {
        Ok(mut registry) => service.metrics().register(&mut registry),
        Err(_) => tracing::error!("the metrics registry is poisoned"),
    }

    let mut tasks = JoinSet::new();
    if let Some(login) = login {
        tasks.spawn(serve::calls(login, Arc::clone(&service)));
    }
    let directory = Arc::new(handle.clone());
    tasks.spawn(publisher::run(database.clone(), directory, service.revoked(), Arc::clone(&clock)));
    tasks.spawn(serve::keep_certified(authority, database.clone(), handle.clone(), own.not_after, clock));
    tasks.spawn(notices(handle.notices()));
    tasks.spawn(serve::measure(handle.clone(), Arc::clone(&service)));

    let ready = Ready::new(folder, &loaded.network, &loaded.settings, &handle, accounts);
    if json {
        output::json(&ready.to_json())
    } else {
        output::text(&ready.to_text())
    }
    let ended = tokio::select! {
        cause = stop.wait() => { tracing::info!(cause, "stopping"); Ok(()) }
        _ = tasks.join_next() => Err(Report::new("stopped", "the server stopped by itself")
            .hint("the reason is in the log; start it again with --log debug")),
    };
    finish(handle, tasks, &database).await;
    if ended.is_ok() && json {
        output::json(&serde_json::json!({ "schema_version": SCHEMA_VERSION, "event": "stopped" }));
    }
    ended
}

async fn finish(handle: Handle, mut tasks: JoinSet<()>, database: &Database) {
    handle.stop().await;
    tasks.shutdown().await;
    database.close().await;
}

fn settings(args: &ServeArgs, folder: &Folder, loaded: &Loaded, role: Role) -> Settings {
    Settings {
        key: *loaded.node.seed(),
        network: loaded.network.to_network(),
        listen: Some(loaded.settings.listen),
        advertise: loaded.settings.advertise,
        role,
        reluctant: true,
        store: StoreSetting::Path(folder.file("store.redb")),
        metrics_listen: args.metrics_listen.0,
        routes: callbook_host::axum::Router::new(),
        session_bounds: match &args.metrics_session_buckets {
            Some(SessionBounds(bounds)) => bounds.clone(),
            None => callbook_host::session_bounds(),
        },
        agent: concat!("callbook-bootstrap/", env!("CARGO_PKG_VERSION")).into(),
        parallelism: Parallelism::default(),
        hellos: Hellos::default(),
        children_max: callbook_overlay::limits::CHILDREN_MAX,
        tells_children: true,
        serves_login: true,
        transports: Transports::Both,
    }
}

/// The login key at work, if the clock and the network file allow it.
fn authority(loaded: &Loaded, now: Unix) -> Result<Arc<Authority>, Report> {
    let authority = Authority::new(loaded.network.to_network(), loaded.login.clone()).map_err(|error| {
        Report::new("login_key", error.to_string())
            .hint("restore login.key and network.toml from the same backup")
            .exit(Exit::Verification)
    })?;
    if let Err(refusal) = authority.check(now) {
        let created = loaded.network.facts().created;
        if now < created {
            let hours = created.since(now).as_secs() / 3600;
            return Err(Report::new(
                "clock",
                format!(
                    "this machine's clock is {hours} hours before the time at which the network was made"
                ),
            )
            .hint("set the clock (for example `timedatectl set-ntp true`), then start again"));
        }
        return Err(Report::new("login_key", refusal.to_string())
            .hint("if the clock is right, the network needs a new login key from its root key's owner"));
    }
    if authority.not_after() <= now + LOGIN_LEFT_MIN * 2 {
        tracing::warn!("the login key stops to issue certificates in less than two weeks");
    }
    Ok(Arc::new(authority))
}

fn start_report(error: &StartError) -> Report {
    let text = error.to_string();
    // The port is fixed at `init`, so the host's advice to choose another doesn't help here.
    let what = text.split("; ").next().unwrap_or(&text).to_owned();
    if let StartError::PortInUse { .. } = error {
        Report::new("port_in_use", what)
            .hint("stop the other process; the port is part of the signed network file and cannot be changed")
    } else if let StartError::Store(error) = error {
        let text = error.to_string();
        let (what, hint) = text.split_once("; ").unwrap_or((&text, FOLDER_HINT));
        Report::new("store", what).hint(hint)
    } else if let StartError::Metrics { .. } = error {
        Report::new("metrics_listen", what).hint("choose another address with --metrics-listen, or \"\"")
    } else {
        Report::new("listen", what)
            .hint("the address was fixed at init (server.toml, network.toml); this machine must have it")
    }
}

fn seed() -> Result<[u8; 32], Report> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Report::new("entropy", format!("no random bytes: {error}")))?;
    Ok(seed)
}

/// Logs what an operator should know.
async fn notices(mut notices: broadcast::Receiver<Notice>) {
    loop {
        match notices.recv().await {
            Ok(Notice::Skewed { seconds }) => {
                tracing::warn!(
                    seconds,
                    "this machine's clock differs from the neighbours'; nothing is written until it is mended"
                );
            }
            Ok(Notice::Equivocation(slot)) => tracing::warn!(?slot, "two different records of one version"),
            Ok(Notice::CertificateExpired) => {
                tracing::warn!("the server's own node certificate ended; it acts as a child");
            }
            Ok(other) => tracing::debug!(?other, "notice"),
            Err(broadcast::error::RecvError::Lagged(missed)) => tracing::debug!(missed, "notices missed"),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use callbook_login::network_file::{Draft, network_id};
    use callbook_login::opaque::ServerKeys;
    use callbook_overlay::certificate::{LOGIN_LIFE, LoginCertificate};
    use callbook_overlay::network::{Limits, Parameters, Scope};
    use callbook_overlay::sign::SecretKey;

    use super::*;

    #[test]
    fn a_wrong_clock_and_a_key_that_ends_are_told_apart() {
        // Goal: the operator learns whether to mend the clock or the key. Method: a network made at a
        // known time, looked at from before, in time, and near its login key's end.
        let [root, login, node] = [1, 2, 3].map(|seed| SecretKey::from_seed([seed; 32]));
        let created = Unix::from_secs(1_795_300_000);
        let roots = vec![root.public()];
        let id = network_id(&roots, "lab", created);
        let certificate =
            LoginCertificate { key: login.public(), not_before: created, not_after: created + LOGIN_LIFE };
        let network = Draft {
            name: "lab".into(),
            version: 1,
            created,
            scope: Scope::Local,
            limits: Limits::Lab,
            roots,
            login: vec![certificate.issue(&id, &root)],
            bootstrap: Vec::new(),
            protocol_min: 1,
            parameters: Parameters::default(),
        };
        let listen = "127.0.0.1:4001".parse().unwrap();
        let mut loaded = Loaded {
            network: network.sign(&root).unwrap(),
            settings: crate::folder::ServerSettings { listen, advertise: None },
            login,
            node,
            passwords: ServerKeys::generate(),
        };
        let hour = Duration::from_secs(3600);
        let code = |loaded: &Loaded, now| authority(loaded, now).map(|_| ()).map_err(|report| report.code);
        assert_eq!(code(&loaded, created - hour * 5), Err("clock"));
        assert_eq!(code(&loaded, created), Ok(()));
        assert_eq!(code(&loaded, created + hour * 24 * 80), Err("login_key"));
        loaded.login = SecretKey::from_seed([9; 32]);
        assert_eq!(authority(&loaded, created).map(|_| ()).unwrap_err().exit, Exit::Verification);
    }

    #[test]
    fn metrics_can_be_moved_and_switched_off() {
        // Goal: the forms of --metrics-listen. Method: examples.
        assert_eq!(metrics_listen("").unwrap().0, None);
        assert_eq!(metrics_listen("127.0.0.1:9").unwrap().0, Some("127.0.0.1:9".parse().unwrap()));
        assert!(metrics_listen("9464").is_err());
    }
}
