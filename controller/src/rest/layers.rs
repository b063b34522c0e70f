//! What every request passes: limits in size, time and number, and counting.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::time::Instant;

use super::Rest;

/// Requests under way at most.
pub const AT_ONCE: usize = 256;
/// After which a request is given up. Requests to Kubernetes have ten seconds each; more than two are seldom slow.
pub const TIMEOUT: Duration = Duration::from_secs(20);

fn later(code: StatusCode, why: &str) -> Response {
    (code, [(header::RETRY_AFTER, "5")], Json(json!({"save": false, "error": why}))).into_response()
}

/// Counts a request by the route that it found.
pub(super) async fn count(State(rest): State<Arc<Rest>>, request: Request, next: Next) -> Response {
    let method = match *request.method() {
        Method::GET => "get",
        Method::PUT => "put",
        Method::POST => "post",
        Method::DELETE => "delete",
        Method::HEAD => "head",
        _ => "other",
    };
    // The route as it is written down: names that callers make up do not become series.
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let metrics = &rest.metrics.rest;
    let start = Instant::now();
    let counted = Counted { rest: &rest, method };
    metrics.begins(method);
    let answer = next.run(request).await;
    std::mem::forget(counted);
    metrics.ends(method, &route, answer.status().as_u16(), start.elapsed());
    answer
}

/// A request whose caller went away is not under way any more.
struct Counted<'a> {
    rest: &'a Rest,
    method: &'static str,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.rest.metrics.rest.ends(self.method, "none", 499, Duration::ZERO);
    }
}

/// Not too many at a time, and none for too long.
pub(super) async fn limit(State(rest): State<Arc<Rest>>, request: Request, next: Next) -> Response {
    let Ok(_turn) = rest.turns.try_acquire() else {
        return later(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time");
    };
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => later(StatusCode::GATEWAY_TIMEOUT, "Kubernetes takes too long"),
    }
}
