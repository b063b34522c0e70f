//! The admin port: health, metrics, and the API with which an operator looks at shards and rooms and moves them.
//!
//! `docs/admin.md` describes it for operators.

mod api;
mod auth;
mod health;
mod server;
#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use axum::{
    Router as Routes,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use router_core::{
    registry::ShardEvent,
    room::{KeyHasher, RoomKey},
    router::Router,
    shard::ShardId,
};
use tokio::{net::TcpListener, sync::Semaphore};

pub use self::health::Readiness;
use self::{api::ApiError, auth::Token};
use crate::{
    clock::Clock,
    metrics::{self, Metrics},
};

/// Largest request body; the only one there is has one shard's name.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// From the head to the answer. Listing a million pins takes well under a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Walks over the whole table, and scrapes, at once.
const MAX_SCANS: usize = 2;

/// What the admin port needs to know of upgraded connections.
pub trait Tunnels: Send + Sync {
    /// Tunnels open to a shard.
    fn open_on(&self, shard: ShardId) -> usize;
    /// The room's name as its tunnels know it: the table holds only hashes.
    fn name_of(&self, room: RoomKey) -> Option<String>;
    /// Starts to close the room's tunnels (Close 1012, jittered) but for those on `except`; tells how many.
    fn close_room(&self, room: RoomKey, except: Option<ShardId>) -> usize;
    /// Starts to close all tunnels to a shard (Close 1012, spread over a few seconds); tells how many.
    fn close_shard(&self, shard: ShardId) -> usize;
}

/// Called with what an operator's order changed, so that it is acted on like any other change of shards.
pub type OnShardEvents = Arc<dyn Fn(&[ShardEvent]) + Send + Sync>;

/// What the handlers work on. Clones share everything.
#[derive(Clone)]
pub struct AdminState {
    router: Arc<Router>,
    metrics: Arc<Metrics>,
    hasher: KeyHasher,
    clock: Clock,
    /// Exchanged on reload.
    token: Arc<ArcSwapOption<Token>>,
    readiness: Readiness,
    tunnels: Arc<dyn Tunnels>,
    on_shard_events: OnShardEvents,
    scans: Arc<Semaphore>,
}

/// The parts of an [`AdminState`].
pub struct AdminParts {
    /// Decisions and pins.
    pub router: Arc<Router>,
    /// Shown on `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Hashes room names as requests are hashed.
    pub hasher: KeyHasher,
    /// The process' clock.
    pub clock: Clock,
    /// Bearer token for writes, without white space around it; `None` only on loopback.
    pub token: Option<String>,
    /// Shown on `/readyz`.
    pub readiness: Readiness,
    /// Upgraded connections.
    pub tunnels: Arc<dyn Tunnels>,
    /// See [`OnShardEvents`].
    pub on_shard_events: OnShardEvents,
}

impl From<AdminParts> for AdminState {
    fn from(parts: AdminParts) -> Self {
        Self {
            router: parts.router,
            metrics: parts.metrics,
            hasher: parts.hasher,
            clock: parts.clock,
            token: Arc::new(ArcSwapOption::from_pointee(parts.token.as_deref().map(Token::new))),
            readiness: parts.readiness,
            tunnels: parts.tunnels,
            on_shard_events: parts.on_shard_events,
            scans: Arc::new(Semaphore::new(MAX_SCANS)),
        }
    }
}

impl AdminState {
    /// Asks for another token from now on; `None` only on loopback.
    pub fn set_token(&self, token: Option<&str>) {
        self.token.store(token.map(|token| Arc::new(Token::new(token))));
    }

    /// Runs work that walks the whole table, or reads files, off the worker threads and not too often at once.
    async fn scan<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> Result<T, ApiError> {
        let place = Arc::clone(&self.scans).acquire_owned().await;
        let state = self.clone();
        let scan = move || {
            let _place = place;
            work(&state)
        };
        let failed = |_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "this request failed; the log says more");
        tokio::task::spawn_blocking(scan).await.map_err(failed)
    }
}

/// All routes.
fn routes(state: AdminState) -> Routes {
    let v1 = Routes::new()
        .route("/v1/shards", get(api::shards::list))
        .route("/v1/shards/{name}/{order}", post(api::shards::order))
        .route("/v1/rooms", get(api::rooms::list))
        .route("/v1/rooms/{*room}", get(api::rooms::show).put(api::rooms::put).delete(api::rooms::delete))
        .layer(middleware::from_fn_with_state(state.clone(), auth::guard));
    Routes::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(scrape))
        .merge(v1)
        .fallback(api::unknown_path)
        .method_not_allowed_fallback(api::unknown_method)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn(in_time))
        .with_state(state)
}

/// Serves the admin port until `shutdown` completes. It should be the last thing to stop, so that `/readyz` and
/// `/metrics` tell about a shutdown to its end.
pub async fn serve(listener: TcpListener, state: AdminState, shutdown: impl Future<Output = ()>) {
    server::serve(listener, routes(state), shutdown).await;
}

/// `GET /metrics`
async fn scrape(State(state): State<AdminState>) -> Result<Response, ApiError> {
    let text = state
        .scan(|state| {
            state.metrics.set_ready(state.readiness.is_ready());
            state.metrics.sample(&state.router);
            state.metrics.encode()
        })
        .await?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

async fn in_time(request: Request, next: Next) -> Result<Response, ApiError> {
    let late = |_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "this took too long; try again");
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.map_err(late)
}
