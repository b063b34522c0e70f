//! A Kubernetes API server in this process: a store behind a `tower::Service`, and optionally behind loopback HTTP.
//!
//! It keeps time by tokio's clock, so a test under `tokio::time::pause()` moves leases, graces and timestamps alike.
//! It runs no controllers: nothing schedules pods, collects garbage or fills Deployments unless a test starts an actor
//! for it. See the modules below for what each part takes care to do as kube-apiserver does.

mod admit;
mod clock;
mod core;
mod crd;
mod delete;
mod discovery;
mod events;
mod failure;
mod front;
mod intercept;
mod json_path;
mod list;
mod query;
mod registry;
mod resource;
mod respond;
mod route;
mod selector;
mod serve;
mod store;
mod sub;
mod table;
mod watch;
mod write;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::Value;
use tower::{BoxError, Service};

use self::core::Core;
pub use self::{
    failure::Failure,
    front::Front,
    intercept::{Interceptor, Seen, Verdict},
    respond::Body,
};

/// How many requests are remembered; of more, the older half is forgotten.
const REMEMBERED: usize = 1_000_000;

/// How a connection that breaks looks to a client.
fn reset() -> BoxError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection was reset").into()
}

#[derive(Debug, Default)]
struct Settings {
    lag: Duration,
    expires_by_http: bool,
}

pub(crate) struct Shared {
    core: Mutex<Core>,
    changed: tokio::sync::watch::Sender<u64>,
    dropped: tokio::sync::watch::Sender<u64>,
    settings: Mutex<Settings>,
    seen: Mutex<Vec<(Timestamp, Seen)>>,
    interceptor: RwLock<Option<Arc<dyn Interceptor>>>,
}

/// A panic in one test thread must not hide behind a poisoned lock in another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    fn lag(&self) -> Duration {
        lock(&self.settings).lag
    }

    fn expires_by_http(&self) -> bool {
        lock(&self.settings).expires_by_http
    }

    fn interceptor(&self) -> Option<Arc<dyn Interceptor>> {
        self.interceptor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Wakes the watches if something was written.
    fn announce(&self) {
        let revision = self.core().store.revision();
        self.changed.send_if_modified(|known| std::mem::replace(known, revision) != revision);
    }

    fn record(&self, seen: &Seen) {
        if seen.resource.is_empty() {
            return;
        }
        let now = self.core().clock.now();
        let mut all = lock(&self.seen);
        if all.len() >= REMEMBERED {
            all.drain(..REMEMBERED / 2);
        }
        all.push((now, seen.clone()));
    }
}

/// A handle to one server; clones are the same server.
#[derive(Clone)]
pub struct ApiServer(Arc<Shared>);

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl Default for ApiServer {
    fn default() -> Self {
        Self::new()
    }
}

impl ApiServer {
    /// An empty cluster, whose clock starts at the present.
    pub fn new() -> Self {
        Self::starting_at(Timestamp::now(), 0)
    }

    /// An empty cluster at another time, with another seed for uids, generated names and allocations.
    pub fn starting_at(epoch: Timestamp, seed: u64) -> Self {
        Self(Arc::new(Shared {
            core: Mutex::new(Core::new(epoch, seed)),
            changed: tokio::sync::watch::Sender::new(0),
            dropped: tokio::sync::watch::Sender::new(0),
            settings: Mutex::default(),
            seen: Mutex::default(),
            interceptor: RwLock::default(),
        }))
    }

    /// A client with no name of its own. Must be called inside a tokio runtime.
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        self.client_as("test", default_namespace)
    }

    /// A client whose requests are seen as `who`. Must be called inside a tokio runtime.
    pub fn client_as(&self, who: &str, default_namespace: &str) -> kube::Client {
        kube::Client::new(self.service(who), default_namespace)
    }

    /// The bare service, for clients with layers of their own.
    pub fn service(&self, who: &str) -> ApiService {
        ApiService { shared: self.0.clone(), who: who.to_owned() }
    }

    /// The server's wall clock.
    pub fn now(&self) -> Timestamp {
        self.0.core().clock.now()
    }

    /// The newest resourceVersion.
    pub fn revision(&self) -> u64 {
        self.0.core().store.revision()
    }

    /// Every request for a resource so far, discovery left out.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.0.seen).iter().map(|(_, seen)| seen.clone()).collect()
    }

    /// Takes and forgets the requests seen so far.
    pub fn take_requests(&self) -> Vec<Seen> {
        self.take_timed_requests().into_iter().map(|(_, seen)| seen).collect()
    }

    /// Takes and forgets the requests seen so far, each with its time by the server's clock.
    pub fn take_timed_requests(&self) -> Vec<(Timestamp, Seen)> {
        std::mem::take(&mut lock(&self.0.seen))
    }

    /// Lets `interceptor` decide about every request from now on.
    pub fn set_interceptor(&self, interceptor: Arc<dyn Interceptor>) {
        *self.0.interceptor.write().unwrap_or_else(PoisonError::into_inner) = Some(interceptor);
    }

    /// Serves every request again.
    pub fn clear_interceptor(&self) {
        *self.0.interceptor.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Forgets all history: watches and pages from older revisions get 410.
    pub fn compact(&self) {
        self.0.core().store.compact();
    }

    /// Whether a watch from a forgotten revision is refused with HTTP 410, instead of an ERROR event.
    pub fn expire_by_http(&self, yes: bool) {
        lock(&self.0.settings).expires_by_http = yes;
    }

    /// Breaks the connection of every open watch.
    pub fn drop_watches(&self) {
        self.0.dropped.send_modify(|generation| *generation += 1);
    }

    /// From now on watches show each event this much later than it happened.
    pub fn lag_watches(&self, lag: Duration) {
        lock(&self.0.settings).lag = lag;
        // Watches that wait for a later moment look again.
        self.0.changed.send_modify(|_| {});
    }

    /// Every object there is, as stored, in the order of collections, namespaces and names.
    pub fn objects(&self) -> Vec<Value> {
        let core = self.0.core();
        core.store.collections().flat_map(|(_, c)| c.objects.values()).map(|o| Value::clone(o)).collect()
    }

    /// One object as stored, by its plural name; no request is recorded.
    pub fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let collection = if plural == "events" { "events".to_owned() } else { format!("{group}/{plural}") };
        let core = self.0.core();
        core.store.get(&collection, &(namespace.to_owned(), name.to_owned())).map(|o| Value::clone(o))
    }
}

/// The server as one client reaches it.
#[derive(Clone)]
pub struct ApiService {
    shared: Arc<Shared>,
    who: String,
}

impl std::fmt::Debug for ApiService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiService").field("who", &self.who).finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(serve::serve(self.shared.clone(), self.who.clone(), request))
    }
}
