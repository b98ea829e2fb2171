//! Serves metrics and health over HTTP, on a listener of their own.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/metrics` | all metrics, as OpenMetrics text | the driver does not answer |
//! | `/healthz` | the driver answers and the store can be written | otherwise |
//! | `/readyz` | a child is attached, a superpeer has joined | otherwise |
//! | others | as the process has set them ([`Settings::routes`](crate::Settings::routes)) | |

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use callbook_overlay::api::{Command, Reply};
use prometheus_client::encoding::text::encode;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{Exported, Scrape};
use crate::clock::Clock;
use crate::error::StartError;
use crate::handle::{Handle, WeakHandle};

/// What OpenMetrics text is called. Source: OpenMetrics 1.0 (specification).
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long the driver may take to answer. Guess: it answers within a batch.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Served {
    handle: WeakHandle,
    exported: Arc<Exported>,
}

/// Binds the listener.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |reason| StartError::Metrics { address, reason };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until it is aborted; `routes` are the process's own.
pub(crate) async fn serve(
    listener: TcpListener,
    handle: WeakHandle,
    exported: Arc<Exported>,
    routes: Router,
) {
    let counting = Arc::clone(&exported);
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .with_state(Served { handle, exported })
        .merge(routes)
        .layer(from_fn_with_state(counting, counted));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the metrics listener failed");
    }
}

async fn counted(State(exported): State<Arc<Exported>>, request: Request, next: Next) -> Response {
    let (path, since) = (request.uri().path().to_owned(), Clock::monotonic());
    let response = next.run(request).await;
    exported.http.count(&path, response.status(), since.elapsed());
    response
}

const STOPPING: &str = "stopping\n";
const SILENT: &str = "the driver does not answer\n";

async fn scrape(handle: &Handle) -> Option<Scrape> {
    timeout(PATIENCE, handle.scrape()).await.ok()?.ok()
}

pub(super) fn unavailable(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

async fn metrics(State(served): State<Served>) -> Response {
    let Some(handle) = served.handle.upgrade() else { return unavailable(STOPPING) };
    let Some(scrape) = scrape(&handle).await else { return unavailable(SILENT) };
    served.exported.update(scrape);
    let mut text = String::new();
    let encoded = encode(&mut text, &handle.registry().lock().unwrap_or_else(PoisonError::into_inner));
    match encoded {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            unavailable("the metrics can't be written\n")
        }
    }
}

async fn health(State(served): State<Served>) -> Response {
    let Some(handle) = served.handle.upgrade() else { return unavailable(STOPPING) };
    if scrape(&handle).await.is_none() {
        unavailable(SILENT)
    } else if served.exported.store_is_failing() {
        unavailable("the store can't be written\n")
    } else {
        "ok\n".into_response()
    }
}

async fn ready(State(served): State<Served>) -> Response {
    let Some(handle) = served.handle.upgrade() else { return unavailable(STOPPING) };
    let asked = timeout(PATIENCE, handle.command(Command::Status)).await;
    let Ok(Ok(Reply::Status(status))) = asked else { return unavailable(SILENT) };
    let joined = handle.facts.joined.load(Ordering::Relaxed);
    match (status.node_id, status.parent) {
        (Some(_), _) if joined => "joined\n".into_response(),
        (Some(_), _) => unavailable("not joined yet\n"),
        (None, Some(_)) => "attached\n".into_response(),
        (None, None) => unavailable("not attached to any superpeer\n"),
    }
}
