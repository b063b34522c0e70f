//! The REST API that jitsi-autoscaler's users and sidecars know, and the webhooks of recorders.
//!
//! Every replica serves it. Groups are views on JitsiShards: reading shows them, writing patches `spec.groups` under a field
//! manager of its own, so that what GitOps owns is told and not fought over. What a sidecar says is written into annotations of
//! its own pod and nothing else.

pub mod webhook;

use std::sync::Arc;

use axum::Router;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, core::DeserializeGuard, runtime::reflector::Store};

use crate::{api::JitsiShard, metrics::Metrics, validate::Defaults};

/// Field manager of everything that comes in by REST.
pub const MANAGER: &str = "roompin-rest";

/// What all routes share.
pub struct Rest {
    /// The API. Every replica writes, leading or not: everything here is idempotent.
    pub client: Client,
    /// The namespace that is looked after; `None`: all.
    pub namespace: Option<String>,
    /// Pods of shards (those with the label [`crate::api::SHARD_LABEL`]), as a watch shows them.
    pub pods: Store<Pod>,
    /// Shards, as a watch shows them.
    pub shards: Store<DeserializeGuard<JitsiShard>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Images and the like.
    pub defaults: Defaults,
    /// The wall clock.
    pub clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Rest {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// All routes. The address of the caller is expected as an extension of type `ConnectInfo<SocketAddr>`.
pub fn router(rest: &Arc<Rest>) -> Router {
    Router::new().merge(webhook::router(rest.clone()))
}
