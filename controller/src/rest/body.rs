//! A JSON body of bounded length. One that is empty is an empty object, as there.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use super::refusal::{Problem, Refusal};

/// Longest body, bytes.
pub const LIMIT: usize = 256 * 1024;

/// A JSON document.
#[derive(Clone, Debug)]
pub struct Body(pub Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    (StatusCode::PAYLOAD_TOO_LARGE, format!("a body may have {LIMIT} bytes")).into_response()
                }
                _ => Refusal::invalid(Problem::body("", "the body cannot be read", None)).into_response(),
            }
        })?;
        if bytes.is_empty() {
            return Ok(Self(Value::Object(Map::new())));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Refusal::invalid(Problem::body("", format!("not JSON: {error}"), None)).into_response())
    }
}
