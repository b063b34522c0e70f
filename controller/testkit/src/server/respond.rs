//! Answers: the form that `Accept` asks for, and how an answer becomes HTTP.

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tower::BoxError;

use super::{failure::Failure, resource::Resource, table};

/// A response's body.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The form of objects in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Full,
    /// `PartialObjectMetadata`, or a list of them.
    Partial,
    Table,
}

/// The media types of an `Accept` header, each with its parameters.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<Vec<String>> {
    let text = headers.get(header::ACCEPT).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let types = text.split(',').map(str::trim).filter(|t| !t.is_empty());
    types.map(|t| t.split(';').map(|p| p.trim().to_owned()).collect()).collect()
}

impl View {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Failure> {
        let types = accepted(headers);
        if types.is_empty() {
            return Ok(Self::Full);
        }
        for parts in &types {
            let json = matches!(parts[0].as_str(), "application/json" | "*/*" | "application/*");
            let form = parts.iter().find_map(|p| p.strip_prefix("as="));
            match form {
                _ if !json => {}
                None => return Ok(Self::Full),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Ok(Self::Partial),
                Some("Table") if parts.iter().any(|p| p == "v=v1") => return Ok(Self::Table),
                Some(_) => {}
            }
        }
        Err(Failure::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/json;stream=watch",
        ))
    }

    /// One object in this form. `columns` is whether a table carries its column definitions.
    pub(crate) fn object(self, resource: &Resource, shown: Value, now: jiff::Timestamp, columns: bool) -> Value {
        match self {
            Self::Full => shown,
            Self::Partial => partial(&shown),
            Self::Table => {
                let revision = shown["metadata"]["resourceVersion"].clone();
                table::table(resource, &[shown], &json!({ "resourceVersion": revision }), now, columns)
            }
        }
    }

    /// A list in this form.
    pub(crate) fn list(self, resource: &Resource, items: &[Value], meta: &Value, now: jiff::Timestamp) -> Value {
        match self {
            Self::Full => {
                json!({ "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": meta, "items": items })
            }
            Self::Partial => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
                "items": items.iter().map(partial).collect::<Vec<_>>(),
            }),
            Self::Table => table::table(resource, items, meta, now, true),
        }
    }
}

fn partial(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Builds a response; the parts given are always valid ones.
fn build(code: u16, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Ok(value) = content_type.parse() {
        headers.insert(header::CONTENT_TYPE, value);
    }
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache, private"));
    response
}

pub(crate) fn json_as(code: u16, content_type: &str, value: &Value) -> Response<Body> {
    build(code, content_type, full(value.to_string() + "\n"))
}

pub(crate) fn json(code: u16, value: &Value) -> Response<Body> {
    json_as(code, "application/json", value)
}

pub(crate) fn text(code: u16, text: &'static str) -> Response<Body> {
    build(code, "text/plain; charset=utf-8", full(text))
}

/// An answer with the warnings that kubectl prints.
pub(crate) fn with_warnings(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = format!("299 - \"{quoted}\"").parse() {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

pub(crate) fn refusal(failure: &Failure) -> Response<Body> {
    let mut response = json(failure.code, &failure.status());
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

pub(crate) fn stream<S>(events: S) -> Response<Body>
where
    S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    use futures_util::TryStreamExt;
    let body = StreamBody::new(events.map_ok(Frame::data)).boxed_unsync();
    build(200, "application/json", body)
}
