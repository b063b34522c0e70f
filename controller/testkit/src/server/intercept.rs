//! What a test sees of each request, and where it puts faults.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;

use super::failure::Failure;

/// One request, in the words of an RBAC rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    /// Who asked: the identity given to `client_as`, or what the HTTP front could tell.
    pub who: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource's plural; empty for discovery, `/version` and the like.
    pub resource: String,
    /// `status`, `scale`, …; empty for the object itself.
    pub subresource: String,
    /// The namespace in the path, if any.
    pub namespace: Option<String>,
    /// The object's name: from the path, from a `metadata.name` field selector, or from the body of a create.
    pub name: Option<String>,
    /// The `fieldManager` parameter.
    pub field_manager: Option<String>,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// The path, without its query.
    pub path: String,
}

impl Seen {
    /// Whether this request may change something.
    pub fn writes(&self) -> bool {
        !self.resource.is_empty() && !self.dry_run && !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Serve it.
    Pass,
    /// Do nothing and answer this refusal.
    Fail(Failure),
    /// Do nothing and answer this.
    Answer(Response<Bytes>),
    /// Do nothing and never answer.
    Hang,
    /// Do nothing and break the connection.
    Refuse,
    /// Do it, then break the connection: the client cannot know that it was done.
    LoseAnswer,
    /// Do it, and never answer.
    LoseAnswerAndHang,
    /// Wait, then serve it.
    Delay(Duration),
    /// Serve it at once, and hold the answer back.
    DelayAnswer(Duration),
    /// For a watch: serve it, and break the connection after a time. Other requests pass.
    DropWatchAfter(Duration),
    /// For a watch: show every event this much later. Other requests pass.
    LagWatch(Duration),
}

/// Decides what becomes of each request before it is served.
pub trait Interceptor: Send + Sync + 'static {
    /// May take its time: the request waits for the verdict.
    fn before<'a>(&'a self, seen: &'a Seen) -> BoxFuture<'a, Verdict>;
}

/// A plain function is an interceptor that decides at once.
impl<F> Interceptor for F
where
    F: Fn(&Seen) -> Verdict + Send + Sync + 'static,
{
    fn before<'a>(&'a self, seen: &'a Seen) -> BoxFuture<'a, Verdict> {
        let verdict = self(seen);
        Box::pin(std::future::ready(verdict))
    }
}
