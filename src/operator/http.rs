//! `/metrics`, `/healthz` and `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::controllers::stores::Stores;
use crate::telemetry::Telemetry;

/// A watch without a sign of life for this long is dead: twice the server's timeout, and a minute for a new list.
const DEAD_AFTER_SECONDS: i64 = 460;

/// What the endpoints tell.
struct State {
    stores: Stores,
    telemetry: Arc<Telemetry>,
}

/// Serves until `cancel`.
pub async fn serve(
    listen: SocketAddr,
    stores: Stores,
    telemetry: Arc<Telemetry>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let state = Arc::new(State { stores, telemetry });
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(state);
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the HTTP endpoints ended");
        }
    });
    Ok(())
}

async fn metrics(state: axum::extract::State<Arc<State>>) -> impl IntoResponse {
    let now = jiff::Timestamp::now().as_millisecond();
    for progress in state.stores.progress() {
        state.telemetry.set_watch_age(&progress.kind, progress.age_seconds(now).unwrap_or(-1));
    }
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], state.telemetry.text())
}

/// Alive: no watch has been silent for longer than it can be.
async fn healthz(state: axum::extract::State<Arc<State>>) -> impl IntoResponse {
    let now = jiff::Timestamp::now().as_millisecond();
    let dead: Vec<&str> = state
        .stores
        .progress()
        .iter()
        .filter(|progress| progress.age_seconds(now).is_some_and(|age| age > DEAD_AFTER_SECONDS))
        .map(|progress| progress.kind.as_str())
        .collect();
    if dead.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("no sign of life from the watches of {}\n", dead.join(", ")))
    }
}

/// Ready: every kind was listed. Followers are ready too, their caches are warm.
async fn readyz(state: axum::extract::State<Arc<State>>) -> impl IntoResponse {
    if state.stores.are_complete() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the first lists are not complete\n")
    }
}
