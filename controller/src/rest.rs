//! The REST API that jitsi-autoscaler's users and sidecars know, and the webhooks of recorders.
//!
//! Every replica serves it. Groups are views on JitsiShards: reading shows them, writing patches `spec.groups` under a field
//! manager of its own, so that what GitOps owns is told and not fought over. What a sidecar says is written into annotations of
//! its own pod and nothing else.

pub mod audit;
pub mod auth;
pub mod body;
pub mod change;
pub mod fields;
pub mod find;
mod groups;
mod health;
pub mod instance;
pub mod layers;
pub mod openapi;
pub mod refusal;
pub mod report;
pub mod serve;
pub mod sidecar;
pub mod view;
pub mod webhook;
pub mod wire;
pub mod write;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher,
    },
};
use tokio::sync::Semaphore;

use self::{auth::Guard, refusal::Refusal};
use crate::{
    api::{JitsiShard, SHARD_LABEL},
    metrics::{GroupSeen, Metrics},
    validate::Defaults,
};

/// Field manager of everything that comes in by REST.
pub const MANAGER: &str = "roompin-rest";

/// How the API behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A sidecar may speak only for its own instance: the subject of its token is the pod's name, or it calls from the pod's
    /// address.
    pub ownership: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ownership: true }
    }
}

/// What all routes share.
pub struct Rest {
    /// The API. Every replica writes, leading or not: everything here is idempotent.
    pub client: Client,
    /// The namespace that is looked after; `None`: all.
    pub namespace: Option<String>,
    /// Pods of shards (those with the label [`SHARD_LABEL`]), as a watch shows them.
    pub pods: Store<Pod>,
    /// Shards, as a watch shows them.
    pub shards: Store<DeserializeGuard<JitsiShard>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Images and the like.
    pub defaults: Defaults,
    /// Who may call.
    pub guard: Guard,
    /// How it behaves.
    pub settings: Settings,
    /// The wall clock.
    pub clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    turns: Semaphore,
    leaving: std::sync::atomic::AtomicBool,
    deep: Mutex<Option<(tokio::time::Instant, bool)>>,
}

/// What a [`Rest`] is made of.
pub struct Parts {
    /// The API.
    pub client: Client,
    /// The namespace that is looked after; `None`: all.
    pub namespace: Option<String>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Images and the like.
    pub defaults: Defaults,
    /// Who may call.
    pub guard: Guard,
    /// How it behaves.
    pub settings: Settings,
    /// The wall clock.
    pub clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Rest {
    /// The state, and the watches that fill it, which never end by themselves.
    pub fn new(parts: Parts) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let Parts { client, namespace, metrics, defaults, guard, settings, clock } = parts;
        let (pods, pods_writer) = reflector::store();
        let (shards, shards_writer) = reflector::store();
        let filled = {
            let labelled = watcher::Config::default().labels(SHARD_LABEL);
            // Who owns which field takes as much room as the pod itself, and is not looked at.
            let pods = watcher(scoped::<Pod>(&client, namespace.as_deref()), labelled)
                .default_backoff()
                .modify(|pod| pod.metadata.managed_fields = None)
                .reflect(pods_writer);
            let all = watcher::Config::default();
            let shards = watcher(scoped::<DeserializeGuard<JitsiShard>>(&client, namespace.as_deref()), all)
                .default_backoff()
                .modify(|shard| shard.meta_mut().managed_fields = None)
                .reflect(shards_writer);
            async move {
                let pods = pods.for_each(async |event| heard("pods", event.err()));
                let shards = shards.for_each(async |event| heard("shards", event.err()));
                tokio::join!(pods, shards);
            }
        };
        let rest = Arc::new(Self {
            client,
            namespace,
            pods,
            shards,
            metrics,
            defaults,
            guard,
            settings,
            clock,
            turns: Semaphore::new(layers::AT_ONCE),
            leaving: false.into(),
            deep: Mutex::default(),
        });
        (rest, filled)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Waits until both watches have shown what there is.
    pub async fn ready(&self) {
        let _ = self.pods.wait_until_ready().await;
        let _ = self.shards.wait_until_ready().await;
    }

    /// Whether both watches have shown what there is: before, no pod is known, and none may be called unknown.
    ///
    /// # Errors
    /// When not.
    pub fn in_sync(&self) -> Result<(), Refusal> {
        use futures_util::FutureExt;
        match self.ready().now_or_never() {
            Some(()) => Ok(()),
            None => Err(Refusal::Unavailable("the first look at the cluster is not over yet".to_owned())),
        }
    }

    /// A shard, as the watch shows it.
    #[must_use]
    pub fn shard(&self, namespace: &str, name: &str) -> Option<JitsiShard> {
        let shards = self.shards.state();
        let is = |guard: &&Arc<DeserializeGuard<JitsiShard>>| {
            guard.meta().name.as_deref() == Some(name) && guard.meta().namespace.as_deref() == Some(namespace)
        };
        shards.iter().find(is).and_then(|guard| guard.0.as_ref().ok().cloned())
    }

    /// All groups, as the watch shows them, for metrics.
    #[must_use]
    pub fn seen(&self) -> Vec<GroupSeen> {
        let mut seen = Vec::new();
        for guard in self.shards.state() {
            let Ok(shard) = &guard.0 else { continue };
            for model in find::of_shard(self, shard).unwrap_or_default() {
                let status = shard.status.as_ref().map(|status| status.groups.as_slice()).unwrap_or_default();
                let status = status.iter().find(|group| group.kind == model.kind).cloned().unwrap_or_default();
                seen.push(GroupSeen {
                    namespace: shard.metadata.namespace.clone().unwrap_or_default(),
                    shard: shard.metadata.name.clone().unwrap_or_default(),
                    kind: model.kind,
                    name: find::name(self, shard, model.kind),
                    min: model.options.min,
                    max: model.options.max,
                    status,
                    periods: model.schedule.iter().flat_map(|s| s.periods.iter().map(|p| p.name.clone())).collect(),
                });
            }
        }
        seen
    }

    /// The process ends: `/health` says so.
    pub fn leave(&self) {
        self.leaving.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn heard(what: &str, error: Option<watcher::Error>) {
    if let Some(error) = error {
        tracing::warn!(%error, what, "a watch of the REST API broke off; it goes on");
    }
}

/// All routes. The address of the caller is expected as an extension of type `ConnectInfo<SocketAddr>`.
pub fn router(rest: &Arc<Rest>) -> Router {
    let guarded = Router::new()
        .merge(groups::router())
        .merge(sidecar::router())
        .route_layer(middleware::from_fn_with_state(rest.clone(), auth::require));
    let open = Router::new().merge(openapi::router()).merge(health::router());
    Router::new()
        .merge(guarded)
        .merge(open)
        .with_state(rest.clone())
        .merge(webhook::router(rest.clone()))
        .layer(DefaultBodyLimit::max(body::LIMIT))
        .layer(middleware::from_fn_with_state(rest.clone(), layers::limit))
        .layer(middleware::from_fn_with_state(rest.clone(), layers::count))
}

/// How long an answer of `/health?deep` counts.
const DEEP: Duration = Duration::from_secs(5);
