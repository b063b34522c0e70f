//! From what people wrote to what is meant: all defaults resolved, all names derived, all mistakes at once.
//!
//! The CRD's own rules refuse most mistakes at `kubectl apply`. This module says the rest (what spans fields, or needs to
//! know what exists), and repeats the rules whose breach would build nonsense, because a CRD can be older than
//! the controller.

mod check;
mod component;
mod edge;
mod model;
mod pod;
mod scaling;
mod shard;
mod time;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

pub use edge::jitsi;
pub use model::{
    BridgesModel, BucketModel, EdgeModel, GatewayModel, GatewayPodsModel, IngressModel, JitsiModel, NetworkModel,
    Owner, PodModel, ProxyModel, RecordersModel, ShardModel, Strategy, WebFile, WebModel,
};
pub use shard::{needs, shard};
pub use time::parse_time;

/// A mistake, with the place and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where: `spec.jvb.strategy.maxReplicas`.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.advice)
    }
}

/// All mistakes in one resource. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<Problem>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// What the controller itself brings: settings of its own, not of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Registry and folder of the Jitsi images.
    pub registry: String,
    /// Their tag.
    pub tag: String,
    /// Image whose entry point is roompin-proxy.
    pub proxy_image: String,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Where recorders report, and by what each is known. None: they are only asked.
    pub webhook: Option<crate::build::Webhook>,
    /// Recorders of somebody else's Deployments that are looked after too.
    pub adoption: Option<Adoption>,
    /// Signed tokens by which recorders may be known as well.
    pub webhook_tokens: Option<TokenRules>,
}

/// Recorders of somebody else's Deployments, as jibri-pod-controller looked after them.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// Which pods: a label selector that fits busy ones as well as idle ones.
    pub selector: kube::core::Selector,
    /// What a busy one is labelled with, so that its ReplicaSet lets go of it.
    pub busy_labels: BTreeMap<String, String>,
    /// Port of their API.
    pub port: u16,
    /// How often they are looked at.
    pub interval: std::time::Duration,
    /// Their webhooks count by the caller's address alone.
    pub unauthenticated: bool,
}

/// Signed tokens by which recorders may be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// By one of these keys.
    pub keys: Vec<crate::jwt::PublicKey>,
    /// And what else is asked of them.
    pub rules: crate::jwt::Rules,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            registry: "ghcr.io/jitsi".to_owned(),
            tag: "stable-11146-1".to_owned(),
            proxy_image: concat!("ghcr.io/roompin/roompin:", env!("CARGO_PKG_VERSION")).to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            webhook: None,
            adoption: None,
            webhook_tokens: None,
        }
    }
}

/// What exists of the Secrets and ConfigMaps that a resource refers to: their keys by name, as [`needs`] asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// Keys of each Secret that exists.
    pub secrets: BTreeMap<String, BTreeSet<String>>,
    /// Keys of each ConfigMap that exists.
    pub config_maps: BTreeMap<String, BTreeSet<String>>,
}

/// A Secret or ConfigMap that a resource refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Where the resource says so.
    pub path: String,
    /// A Secret or a ConfigMap.
    pub kind: NeedKind,
    /// Its name.
    pub name: String,
    /// Keys that it must have.
    pub keys: Vec<String>,
}

/// Kinds of object that a resource refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeedKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

#[cfg(test)]
mod tests;
