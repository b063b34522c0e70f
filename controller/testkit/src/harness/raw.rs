//! A small JSON client over [`kube::Client`]: the status code, the headers and the body as they came.
//!
//! The typed client hides what a conformance test wants to see (codes, warnings, fields that a type does not know).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

/// The content type of a server-side apply.
pub const APPLY: &str = "application/apply-patch+yaml";
/// The content type of a JSON merge patch.
pub const MERGE: &str = "application/merge-patch+json";
/// The content type of a strategic merge patch.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// The content type of a JSON patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// `Accept` for an object's metadata alone.
pub const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// `Accept` for a list's metadata alone.
pub const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// `Accept` for a table, as `kubectl get` asks for.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// What the server answered.
#[derive(Debug)]
pub struct Reply {
    /// What was asked, for a failed test's message.
    pub asked: String,
    /// HTTP status code.
    pub code: u16,
    /// Response headers.
    pub headers: HeaderMap,
    /// The body; `Null` when it is no JSON.
    pub body: Value,
}

impl Reply {
    /// The body of a request that must have succeeded.
    ///
    /// # Panics
    /// On any code but 2xx.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.code), "{}: {} {}", self.asked, self.code, self.body);
        self.body
    }

    /// The Status of a request that must have been refused with this code and, unless empty, this reason.
    ///
    /// # Panics
    /// On another code or reason.
    #[track_caller]
    pub fn refused(self, code: u16, reason: &str) -> Value {
        assert_eq!(self.code, code, "{}: {}", self.asked, self.body);
        assert_eq!(self.body["kind"], "Status", "{}: {}", self.asked, self.body);
        assert_eq!(self.body["status"], "Failure", "{}: {}", self.asked, self.body);
        if !reason.is_empty() {
            assert_eq!(self.body["reason"], reason, "{}: {}", self.asked, self.body);
        }
        self.body
    }

    /// The texts of the `Warning` headers.
    pub fn warnings(&self) -> Vec<String> {
        self.headers.get_all(header::WARNING).iter().filter_map(|w| w.to_str().ok()).map(str::to_owned).collect()
    }
}

/// The small JSON client. Paths that do not begin with `/` are short for one in its namespace:
/// `v1/pods/a` is `/api/v1/namespaces/NS/pods/a`, `apps/v1/deployments` is `/apis/apps/v1/namespaces/NS/deployments`.
#[derive(Clone)]
pub struct Raw {
    client: kube::Client,
    namespace: String,
}

/// The absolute path that a short one stands for.
pub fn in_namespace(namespace: &str, short: &str) -> String {
    if short.starts_with('/') {
        return short.to_owned();
    }
    match short.strip_prefix("v1/") {
        Some(rest) => format!("/api/v1/namespaces/{namespace}/{rest}"),
        None => {
            let mut parts = short.splitn(3, '/');
            let (group, version, rest) = (parts.next(), parts.next(), parts.next());
            format!(
                "/apis/{}/{}/namespaces/{namespace}/{}",
                group.unwrap_or_default(),
                version.unwrap_or_default(),
                rest.unwrap_or_default()
            )
        }
    }
}

impl Raw {
    /// A JSON client whose short paths are in `namespace`.
    pub fn new(client: kube::Client, namespace: impl Into<String>) -> Self {
        Self { client, namespace: namespace.into() }
    }

    /// One request. `headers` are added as they are.
    ///
    /// # Panics
    /// When the connection fails, for a test cannot go on then; use [`Raw::attempt`] where a fault is expected.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Reply {
        match self.attempt(method, path, headers, body).await {
            Ok(reply) => reply,
            Err(e) => panic!("{path}: {e}"),
        }
    }

    /// One request, whose connection may fail.
    pub async fn attempt(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, kube::Error> {
        let path = in_namespace(&self.namespace, path);
        let asked = format!("{method} {path}");
        let response = self.client.send(request(method, &path, headers, body)).await?;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        Ok(Reply {
            asked,
            code: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], None).await
    }

    /// GET with an `Accept` header.
    pub async fn get_as(&self, path: &str, accept: &str) -> Reply {
        self.send(Method::GET, path, &[("accept", accept)], None).await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path, &[], Some(body)).await
    }

    /// DELETE without options.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// DELETE with a `DeleteOptions` body.
    pub async fn delete_with(&self, path: &str, options: &Value) -> Reply {
        self.send(Method::DELETE, path, &[], Some(options)).await
    }

    /// PATCH with one of this module's content types.
    pub async fn patch(&self, path: &str, kind: &str, body: &Value) -> Reply {
        self.send(Method::PATCH, path, &[("content-type", kind)], Some(body)).await
    }

    /// Server-side apply as `manager`, without force.
    pub async fn apply(&self, path: &str, manager: &str, body: &Value) -> Reply {
        self.patch(&with_query(path, &format!("fieldManager={manager}")), APPLY, body).await
    }

    /// Server-side apply as `manager`, with force.
    pub async fn apply_force(&self, path: &str, manager: &str, body: &Value) -> Reply {
        self.patch(&with_query(path, &format!("fieldManager={manager}&force=true")), APPLY, body).await
    }

    /// A watch of the collection `path`; `query` is added to `watch=true`.
    pub async fn watch(&self, path: &str, query: &str) -> Watch {
        match self.try_watch(path, query, "application/json").await {
            Ok(watch) => watch,
            Err(reply) => panic!("{}: {} {}", reply.asked, reply.code, reply.body),
        }
    }

    /// A watch that the server may refuse: then its answer is returned as the error.
    ///
    /// # Panics
    /// When the connection fails.
    pub async fn try_watch(&self, path: &str, query: &str, accept: &str) -> Result<Watch, Box<Reply>> {
        match self.open_watch(path, query, accept).await {
            Ok(answer) => answer,
            Err(e) => panic!("{path}: {e}"),
        }
    }

    /// A watch, the server's refusal of it, or a broken connection.
    pub async fn open_watch(
        &self,
        path: &str,
        query: &str,
        accept: &str,
    ) -> Result<Result<Watch, Box<Reply>>, kube::Error> {
        let path = in_namespace(&self.namespace, &with_query(path, &format!("watch=true&{query}")));
        let asked = format!("WATCH {path}");
        // A server may gzip each event apart, which the client's decoder does not follow.
        let headers = [("accept", accept), ("accept-encoding", "identity")];
        let response = self.client.send(request(Method::GET, &path, &headers, None)).await?;
        let (head, body) = response.into_parts();
        if head.status == http::StatusCode::OK {
            return Ok(Ok(Watch { asked, body, buffer: BytesMut::new() }));
        }
        let bytes = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Err(Box::new(Reply { asked, code: head.status.as_u16(), headers: head.headers, body })))
    }
}

/// An open watch.
pub struct Watch {
    asked: String,
    body: Body,
    buffer: BytesMut,
}

impl Watch {
    /// The next event, `None` at the stream's end.
    ///
    /// # Panics
    /// When nothing comes within 20 s.
    pub async fn next(&mut self) -> Option<Value> {
        match self.within(Duration::from_secs(20)).await {
            Ok(event) => event,
            Err(()) => panic!("{}: no event within 20 s", self.asked),
        }
    }

    /// The next event's type and object.
    ///
    /// # Panics
    /// When the stream ends, or nothing comes within 20 s.
    pub async fn event(&mut self) -> (String, Value) {
        let asked = self.asked.clone();
        let Some(mut event) = self.next().await else { panic!("{asked}: the watch ended") };
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        (kind, event["object"].take())
    }

    /// The next event within `limit`: `Ok(None)` at the stream's end, `Err` when the time is over.
    pub async fn within(&mut self, limit: Duration) -> Result<Option<Value>, ()> {
        tokio::time::timeout(limit, self.line()).await.map_err(|_| ())
    }

    /// The next event, however long it takes; `None` at the stream's end.
    pub async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Bytes = self.buffer.split_to(end + 1).freeze();
                if let Ok(event) = serde_json::from_slice(&line) {
                    return Some(event);
                }
                continue;
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// `path` with one more piece of query.
pub fn with_query(path: &str, query: &str) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{query}")
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    let has = |name: &str| headers.iter().any(|(key, _)| *key == name);
    if !has("accept") {
        request = request.header("accept", "application/json");
    }
    if body.is_some() && !has("content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map_or_else(Body::empty, |value| Body::from(value.to_string().into_bytes()));
    request.body(body).unwrap_or_else(|e| panic!("{path} is no request: {e}"))
}
