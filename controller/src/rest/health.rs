//! `/health`, as load balancers and people ask it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    routing::get,
};
use kube::{Api, api::ListParams};
use tokio::time::Instant;

use super::{DEEP, Rest, scoped};
use crate::{api::JitsiShard, apply::read};

pub(super) fn router() -> Router<Arc<Rest>> {
    Router::new().route("/health", get(health))
}

async fn health(
    State(rest): State<Arc<Rest>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> (StatusCode, &'static str) {
    if rest.leaving.load(Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down");
    }
    // `?deep` without a value is asked too; there it does not count.
    if !query.contains_key("deep") {
        return (StatusCode::OK, "healthy!");
    }
    if rest.in_sync().is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready yet");
    }
    if answers(&rest).await {
        (StatusCode::OK, "deeply healthy")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "unhealthy")
    }
}

/// Whether Kubernetes answers. Anybody may ask, so it is not asked each time.
async fn answers(rest: &Rest) -> bool {
    if let Some((at, answer)) = *rest.deep.lock().unwrap_or_else(PoisonError::into_inner)
        && at.elapsed() < DEEP
    {
        return answer;
    }
    let shards: Api<JitsiShard> = scoped(&rest.client, rest.namespace.as_deref());
    let answer = read("list JitsiShards", shards.list_metadata(&ListParams::default().limit(1))).await.is_ok();
    *rest.deep.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), answer));
    answer
}
