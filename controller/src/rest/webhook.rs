//! Webhooks of recorders: `/webhook/<pod>/v1/status`. They have an authentication of their own.

use std::sync::Arc;

use axum::Router;

use super::Rest;

/// The routes of webhooks.
pub fn router(_rest: Arc<Rest>) -> Router {
    Router::new()
}
