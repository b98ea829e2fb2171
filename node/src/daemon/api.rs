//! The local API: HTTP and JSON on the unix socket, which the command line uses and nothing else; what only
//! reads of it is there for the page, too (`page`).
//!
//! The socket's permissions say who may ask. A request that a browser made on behalf of a page is
//! refused. Errors are `application/problem+json`. *Not here*: what the requests do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::serve::Listener;
use callbook_overlay::api::How;
use callbook_overlay::name::Username;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::history::Span;
use super::state::Daemon;
use super::status::is_attached;
use crate::cli::args::{Condition, PRESENCE_INTERVAL};
use crate::exit::Code;
use crate::problem::{Outcome, Problem};
use crate::view::{Document, Page, Stopped, Waited};

/// Largest request body, in bytes. A guess: the largest record is a fraction of it.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest that one `wait` request stays open. A guess.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How often `wait` looks when no notice comes. A guess.
const WAIT_LOOK: Duration = Duration::from_millis(100);

/// How long answers in progress get when the daemon stops. A guess.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

type Shared = State<Arc<Daemon>>;

/// Serves until the daemon stops.
pub(super) async fn serve<L: Listener<Addr: std::fmt::Debug>>(
    listener: L,
    router: Router,
    daemon: Arc<Daemon>,
) {
    let mut stop = daemon.stop.subscribe();
    let mut stopped = daemon.stop.subscribe();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        if stop.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("the daemon is gone");
        }
    });
    let overdue = async {
        if stopped.wait_for(|stop| *stop).await.is_ok() {
            tokio::time::sleep(LAST_ANSWERS).await;
        }
    };
    tokio::select! {
        ended = serving.into_future() => {
            if let Err(error) = ended {
                tracing::error!(%error, "the local API ended");
            }
        }
        () = overdue => tracing::debug!("answers in progress were cut off"),
    }
}

/// What reads, and changes nothing.
pub(super) fn reads() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route("/v1/history", get(history))
        .route("/v1/names/{name}", get(resolve))
}

/// All of it, for the unix socket.
pub(super) fn router(daemon: Arc<Daemon>) -> Router {
    Router::new()
        .merge(reads())
        .route("/v1/ui", get(ui))
        .route("/v1/wait", get(wait))
        .route("/v1/enrol", post(enrol))
        .route("/v1/login", post(login))
        .route("/v1/names/{name}", put(register).delete(logout))
        .route("/v1/watch/{name}", get(watch))
        .route("/v1/down", post(down))
        .fallback(unknown)
        .layer(from_fn(refuse_pages))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(daemon)
}

/// Pages in a browser have no business here, whatever carries their requests to a socket.
async fn refuse_pages(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) || headers.contains_key(header::REFERER) {
        let problem = Problem::new(Code::SocketPermission, "requests of web pages are refused");
        return answer::<()>(Err(problem));
    }
    next.run(request).await
}

/// A document, or a problem.
pub(super) fn answer<T: Serialize>(outcome: Outcome<T>) -> Response {
    let (status, kind, body) = match outcome {
        Ok(content) => (StatusCode::OK, "application/json", serde_json::to_vec(&Document::new(content))),
        Err(problem) => (
            StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            "application/problem+json",
            serde_json::to_vec(&problem.to_http()),
        ),
    };
    match body {
        Ok(body) => (status, [(header::CONTENT_TYPE, kind)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A JSON body; the error never shows what it held, which may be a password.
fn read<T: DeserializeOwned>(body: &Bytes) -> Outcome<T> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "a field is missing, unknown or of the wrong type",
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => "it is not valid JSON",
        };
        Problem::new(Code::Usage, format!("the request's body can't be read: {what}"))
            .hint("docs/cli.md describes the local API")
    })
}

/// What a path or a query says, or a problem.
fn read_parts<T>(parts: Result<T, impl std::fmt::Display>) -> Outcome<T> {
    parts.map_err(|error| {
        Problem::new(Code::Usage, format!("the request can't be read: {error}"))
            .hint("docs/cli.md describes the local API")
    })
}

async fn status(State(daemon): Shared) -> Response {
    answer(daemon.status().await)
}

async fn peers(State(daemon): Shared) -> Response {
    answer(daemon.peers().await)
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Looking {
    span: Span,
}

async fn history(State(daemon): Shared, query: Result<Query<Looking>, QueryRejection>) -> Response {
    answer(read_parts(query).map(|Query(Looking { span })| daemon.history.columns(span)))
}

/// Where the page is, for who may use the socket.
async fn ui(State(daemon): Shared) -> Response {
    answer(daemon.page.as_ref().map(|page| Page { url: page.secret_url().to_owned() }).ok_or_else(|| {
        Problem::new(Code::Failed, "this daemon serves no page").hint(
            "start it with --api-listen 127.0.0.1:0 (it is the default; api.listen in the configuration)",
        )
    }))
}

/// Runs work that changes something to its end, also when whoever asked is gone.
async fn to_the_end<T: Serialize + Send + 'static>(
    work: impl Future<Output = Outcome<T>> + Send + 'static,
) -> Response {
    answer(tokio::spawn(work).await.unwrap_or_else(|error| {
        Err(Problem::new(Code::Internal, format!("a task of the daemon failed: {error}")))
    }))
}

async fn enrol(State(daemon): Shared, body: Bytes) -> Response {
    to_the_end(async move { daemon.enrol(read(&body)?).await }).await
}

async fn login(State(daemon): Shared, body: Bytes) -> Response {
    to_the_end(async move { daemon.login(read(&body)?).await }).await
}

async fn register(State(daemon): Shared, Path(name): Path<String>, body: Bytes) -> Response {
    to_the_end(async move { daemon.register(&name, read(&body)?).await }).await
}

#[derive(Deserialize)]
struct Logout {
    #[serde(default)]
    local: bool,
}

async fn logout(
    State(daemon): Shared,
    Path(name): Path<String>,
    query: Result<Query<Logout>, QueryRejection>,
) -> Response {
    to_the_end(async move {
        let Query(Logout { local }) = read_parts(query)?;
        daemon.logout(&name, local).await
    })
    .await
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Resolve {
    fresh: bool,
    cross_check: bool,
    trace: bool,
    presence: bool,
}

async fn resolve(
    State(daemon): Shared,
    Path(name): Path<String>,
    query: Result<Query<Resolve>, QueryRejection>,
) -> Response {
    match read_parts(query) {
        Ok(Query(Resolve { fresh, cross_check, trace, presence })) => {
            answer(daemon.resolve(&name, How { fresh, cross_check, trace }, presence).await)
        }
        Err(problem) => answer::<()>(Err(problem)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watch {
    /// 0: never.
    #[serde(default = "presence_interval_ms")]
    presence_ms: u64,
}

fn presence_interval_ms() -> u64 {
    u64::try_from(PRESENCE_INTERVAL.as_millis()).unwrap_or(u64::MAX)
}

/// One JSON document a line, for as long as whoever asked reads on.
async fn watch(
    State(daemon): Shared,
    Path(name): Path<String>,
    query: Result<Query<Watch>, QueryRejection>,
) -> Response {
    let outcome = match read_parts(query) {
        Ok(Query(Watch { presence_ms })) => {
            let presence = (presence_ms > 0).then(|| Duration::from_millis(presence_ms));
            daemon.watch(&name, presence).await
        }
        Err(problem) => Err(problem),
    };
    match outcome {
        Ok(lines) => ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response(),
        Err(problem) => answer::<()>(Err(problem)),
    }
}

async fn down(State(daemon): Shared) -> Response {
    tracing::info!("asked to stop");
    daemon.stop.send_replace(true);
    answer(Ok(Stopped { stopped: false, pid: std::process::id() }))
}

pub(super) async fn unknown() -> Response {
    let problem = Problem::new(Code::Usage, "the local API has no such path").hint("docs/cli.md lists them");
    answer::<()>(Err(problem))
}

#[derive(Deserialize)]
struct Wait {
    #[serde(rename = "for")]
    condition: Condition,
    timeout_ms: u64,
}

async fn wait(State(daemon): Shared, query: Result<Query<Wait>, QueryRejection>) -> Response {
    let Wait { condition, timeout_ms } = match read_parts(query) {
        Ok(Query(wait)) => wait,
        Err(problem) => return answer::<()>(Err(problem)),
    };
    let timeout = Duration::from_millis(timeout_ms).min(WAIT_MAX);
    let started = std::time::Instant::now();
    let mut stop = daemon.stop.subscribe();
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(timeout, until(&daemon, condition)) => outcome,
        _ = stop.wait_for(|stop| *stop) => Ok(Err(super::state::leaving())),
    };
    answer(match outcome {
        Ok(Ok(())) => {
            let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(Waited { condition: condition.word().to_owned(), waited_ms })
        }
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(missing(&daemon, condition).await),
    })
}

/// Until the condition holds, looked at whenever something happened.
async fn until(daemon: &Daemon, condition: Condition) -> Outcome<()> {
    let mut notices = daemon.handle.notices();
    while !holds(daemon, condition).await? {
        if let Ok(Err(tokio::sync::broadcast::error::RecvError::Closed)) =
            tokio::time::timeout(WAIT_LOOK, notices.recv()).await
        {
            return Err(super::state::leaving());
        }
    }
    Ok(())
}

async fn holds(daemon: &Daemon, condition: Condition) -> Outcome<bool> {
    let status = daemon.overlay_status().await?;
    Ok(match condition {
        Condition::Attached => is_attached(&status),
        Condition::Superpeer => status.node_id.is_some() && !status.syncing,
        Condition::Registered => {
            let mut published = daemon.names.all();
            published.retain(|(_, name)| name.publish);
            let acknowledged: BTreeSet<&Username> =
                status.names.iter().filter(|held| held.stored.is_some()).map(|held| &held.username).collect();
            !published.is_empty() && published.iter().all(|(username, _)| acknowledged.contains(username))
        }
    })
}

async fn missing(daemon: &Daemon, condition: Condition) -> Problem {
    if let Some(text) = daemon.troubled(super::state::CLOCK) {
        return Problem::new(Code::Timeout, text)
            .hint("set the clock right (NTP); the daemon goes on by itself");
    }
    let (message, hint) = match condition {
        Condition::Attached => ("not attached to any superpeer yet", "callbook peers shows who is known"),
        Condition::Superpeer if is_joined(daemon).await => (
            "it has not finished taking over its range",
            "wait longer: --timeout 2m; callbook peers shows who it can ask",
        ),
        Condition::Superpeer => (
            "it acts as a child",
            "a superpeer needs a token (callbook up --node-token FILE) or an account (callbook login)",
        ),
        Condition::Registered if daemon.names.all().iter().all(|(_, name)| !name.publish) => {
            ("this daemon publishes no name", "callbook enrol NAME, callbook login NAME or callbook register")
        }
        Condition::Registered => {
            ("a name is not acknowledged by a majority yet", "callbook status shows which")
        }
    };
    Problem::new(Code::Timeout, message).hint(hint)
}

async fn is_joined(daemon: &Daemon) -> bool {
    daemon.overlay_status().await.is_ok_and(|status| status.node_id.is_some())
}
