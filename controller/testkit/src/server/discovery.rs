//! What a client asks before it asks for resources.

use http::{HeaderMap, Response};
use serde_json::json;

use super::{
    core::Core,
    respond::{self, Body},
};

pub(crate) fn answer(_core: &Core, path: &str, _headers: &HeaderMap) -> Response<Body> {
    match path {
        "/version" => respond::json(200, &json!({ "major": "1", "minor": "33", "gitVersion": "v1.33.0" })),
        "/healthz" | "/livez" | "/readyz" => respond::text(200, "ok"),
        _ => respond::text(404, "404 page not found\n"),
    }
}
