//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use crate::{
    lease::{self, Leadership},
    metrics::Metrics,
};

/// Serves until `shutdown`.
pub(super) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    leadership: Leadership,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(leadership))
        .route("/metrics", get(show).with_state(metrics));
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
        tracing::error!(%error, "health and metrics are not served any more");
    }
}

/// A replica that does not lead is ready to: that is what it is for.
async fn ready(State(leadership): State<Leadership>) -> String {
    match leadership.state() {
        lease::State::Leading { .. } => "leading\n".to_owned(),
        lease::State::Following { holder: Some(holder) } => format!("following {holder}\n"),
        lease::State::Following { holder: None } => "nobody leads yet\n".to_owned(),
    }
}

async fn show(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.text())
}
