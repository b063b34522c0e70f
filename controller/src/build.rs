//! From what is meant to Kubernetes objects. Pure: equal input makes equal objects, so that a caller can compare them with what
//! is there and write only differences.
//!
//! Objects hold just the fields that we mean to own. They are applied by server-side apply with force: what others own
//! stays theirs.

mod bridges;
mod env;
mod gateways;
mod jicofo;
mod labels;
mod monitors;
mod object;
mod pod;
mod policy;
mod prosody;
mod proxy;
mod recorders;
mod revision;
mod routes;
mod secrets;
mod web;

pub use bridges::{Place, brewery_address, bridge, bridge_revision, bridge_service};
pub use env::{env_name, shared as shared_env};
pub use gateways::{gateway, gateway_revision};
use kube::core::GroupVersionKind;
pub use labels::{Component, controller_selector, jitsi_selector, name};
pub use object::Object;
pub use recorders::{RecorderPlace, Webhook, eviction, of_kind as recorders_of, recorder, recorder_revision};
pub use revision::{checksum, signalling_revision};
pub use secrets::{ADMIN_TOKEN_KEY, JitsiSecrets, MESH_KEY_KEY, Secrets};

use crate::{
    api::ShardState,
    validate::{JitsiModel, ShardModel},
};

/// Kinds that a cluster may or may not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// `monitoring.coreos.com/v1 PodMonitor`.
    pub pod_monitor: bool,
    /// `gateway.networking.k8s.io/v1 HTTPRoute`.
    pub http_route: bool,
}

impl Kinds {
    /// The kind that `pod_monitor` is about.
    pub fn pod_monitor_gvk() -> GroupVersionKind {
        GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor")
    }

    /// The kind that `http_route` is about.
    pub fn http_route_gvk() -> GroupVersionKind {
        GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute")
    }
}

/// What a shard is built from besides its model.
#[derive(Clone, Copy, Debug)]
pub struct ShardInput<'a> {
    /// What is meant.
    pub model: &'a ShardModel,
    /// Passwords, generated once; not looked at when the user has a Secret of their own.
    pub secrets: &'a Secrets,
    /// What proxies are told. None until the shard answers: then they leave it alone.
    pub state: Option<ShardState>,
    /// There are conferences on it, or nobody knows. Then nothing may evict prosody and jicofo.
    pub in_use: bool,
    /// What the cluster knows.
    pub kinds: Kinds,
}

/// Everything that is one shard.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardObjects {
    /// Secret with passwords, unless the user has one.
    pub secret: Option<Object>,
    /// Environment that all components share.
    pub env: Object,
    /// Prosody: StatefulSet.
    pub prosody: Object,
    /// Jicofo: Deployment.
    pub jicofo: Object,
    /// Web servers: Deployment.
    pub web: Object,
    /// Bridges on every node: DaemonSet. Others are pods that come and go with the load.
    pub bridges: Option<Object>,
    /// What recorders read: ConfigMaps. Their pods are made one by one.
    pub recorders: Vec<Object>,
    /// Services of prosody, jicofo and web.
    pub services: Vec<Object>,
    /// NetworkPolicies and PodDisruptionBudgets.
    pub policies: Vec<Object>,
    /// PodMonitors.
    pub monitors: Vec<Object>,
}

impl ShardObjects {
    /// All of them, in the order in which they should be applied.
    pub fn all(&self) -> Vec<&Object> {
        let Self { secret, env, prosody, jicofo, web, bridges, recorders, services, policies, monitors } = self;
        let before = secret.iter().chain([env]).chain(services).chain(policies);
        before.chain([prosody, jicofo, web]).chain(bridges).chain(recorders).chain(monitors).collect()
    }

    /// Those that hang together through the shared environment: where a change of prosody or jicofo has to wait for the last
    /// conference to end, all of these wait.
    pub fn held_together(&self) -> Vec<&Object> {
        [&self.env, &self.prosody, &self.jicofo, &self.web]
            .into_iter()
            .chain(&self.bridges)
            .chain(&self.recorders)
            .collect()
    }
}

/// Builds one shard.
pub fn shard(input: ShardInput<'_>) -> ShardObjects {
    let ShardInput { model, secrets, state, in_use, kinds } = input;
    ShardObjects {
        secret: model.secret_is_ours.then(|| secrets::shard(model, secrets)),
        env: env::config_map(model),
        prosody: prosody::stateful_set(model),
        jicofo: jicofo::deployment(model),
        web: web::deployment(model),
        bridges: bridges::workload(model),
        recorders: recorders::objects(model),
        services: vec![prosody::service(model), jicofo::service(model), web::service(model, state)],
        policies: policy::shard(model, in_use),
        monitors: if model.metrics && kinds.pod_monitor { monitors::shard(model) } else { Vec::new() },
    }
}

/// What stands around the shards is built from.
#[derive(Clone, Copy, Debug)]
pub struct JitsiInput<'a> {
    /// What is meant.
    pub model: &'a JitsiModel,
    /// Mesh key and admin token, generated once.
    pub secrets: &'a JitsiSecrets,
    /// What the cluster knows.
    pub kinds: Kinds,
}

/// What stands around the shards. Empty for people who run their own proxies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JitsiObjects {
    /// Mesh key and admin token.
    pub secrets: Vec<Object>,
    /// ServiceAccount, Role and RoleBinding of the proxies.
    pub access: Vec<Object>,
    /// The proxies' configuration.
    pub config: Option<Object>,
    /// Services: the one in front, and the headless one for the mesh.
    pub services: Vec<Object>,
    /// The proxies: StatefulSet.
    pub proxies: Option<Object>,
    /// NetworkPolicy and PodDisruptionBudget.
    pub policies: Vec<Object>,
    /// Ingress and HTTPRoute.
    pub routes: Vec<Object>,
    /// PodMonitor.
    pub monitors: Vec<Object>,
}

impl JitsiObjects {
    /// All of them, in the order in which they should be applied.
    pub fn all(&self) -> Vec<&Object> {
        let Self { secrets, access, config, services, proxies, policies, routes, monitors } = self;
        let before = secrets.iter().chain(access).chain(config).chain(services).chain(policies);
        before.chain(proxies).chain(routes).chain(monitors).collect()
    }
}

/// Builds what stands around the shards.
pub fn jitsi(input: JitsiInput<'_>) -> JitsiObjects {
    let JitsiInput { model, secrets, kinds } = input;
    let Some(edge) = &model.edge else { return JitsiObjects::default() };
    JitsiObjects {
        secrets: secrets::jitsi(model, secrets),
        access: proxy::access(model),
        config: Some(proxy::config_map(model, &edge.proxy)),
        services: proxy::services(model, &edge.proxy),
        proxies: Some(proxy::stateful_set(model, &edge.proxy)),
        policies: policy::proxies(model),
        routes: routes::all(model, edge, kinds),
        monitors: if model.metrics && kinds.pod_monitor { monitors::proxies(model) } else { Vec::new() },
    }
}

#[cfg(test)]
mod tests;
