//! The pod that a report is about, and whether it comes from there.

use std::{net::IpAddr, sync::Arc};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    core::SelectorExt,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::task::JoinHandle;

use super::{Hooks, Refusal, Target};
use crate::{
    api::{GroupKind, SHARD_LABEL},
    apply::read,
    observe::recorder::addresses,
    rest::Rest,
    validate::Adoption,
};

/// Who made a recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This controller.
    Ours,
    /// A Deployment of somebody else.
    Adopted,
}

/// The recorders of somebody else's Deployments, as a watch shows them.
pub(super) struct Adopted {
    pods: Store<Pod>,
    task: JoinHandle<()>,
}

impl Drop for Adopted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Pods of the namespace that is looked after, or of all.
pub(crate) fn pods(client: &Client, namespace: Option<&str>) -> Api<Pod> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

impl Adopted {
    /// Watches them for as long as webhooks are taken.
    pub(super) fn watch(rest: &Rest, adoption: &Adoption) -> Self {
        let (store, writer) = reflector::store();
        let config = watcher::Config::default().labels(&adoption.selector.to_string());
        let events = watcher(pods(&rest.client, rest.namespace.as_deref()), config).modify(|pod| {
            // What is long and of no use here.
            pod.metadata.managed_fields = None;
            pod.spec = None;
        });
        let events = events.default_backoff().reflect(writer);
        let task = tokio::spawn(events.for_each(|event| {
            if let Err(error) = event {
                tracing::warn!(%error, "recorders of Deployments cannot be watched; it will be tried again");
            }
            std::future::ready(())
        }));
        Self { pods: store, task }
    }
}

/// The pod, if it is a recorder and the report comes from its address.
pub(super) async fn find(hooks: &Hooks, target: &Target<'_>, peer: IpAddr) -> Result<(Arc<Pod>, Whose), Refusal> {
    let rest = &hooks.rest;
    let namespace = match (target.namespace, rest.namespace.as_deref()) {
        (Some(given), Some(ours)) if given != ours => return Err(Refusal::Namespace),
        (Some(given), _) => Some(given),
        (None, ours) => ours,
    };
    let Some(namespace) = namespace else {
        // The path does not say where: the address does.
        let named = |pod: &Pod| pod.metadata.name.as_deref() == Some(target.pod) && addresses(pod).contains(&peer);
        return stores(hooks)
            .find_map(|store| store.find(named))
            .ok_or(Refusal::Address)
            .and_then(|pod| judge(hooks, pod, peer));
    };
    let key = ObjectRef::new(target.pod).within(namespace);
    let cached = stores(hooks).find_map(|store| store.get(&key));
    let first = cached.map_or(Err(Refusal::NoPod), |pod| judge(hooks, pod, peer));
    // What is shown may be a moment old: a pod that has just come, or got its address, is looked up.
    let Err(refusal @ (Refusal::NoPod | Refusal::Address)) = first else { return first };
    if !hooks.limits.look_up(peer) {
        return Err(refusal);
    }
    let api: Api<Pod> = Api::namespaced(rest.client.clone(), namespace);
    let found = read("get a recorder", api.get_opt(target.pod)).await.map_err(|error| {
        tracing::warn!(%error, "a webhook's pod cannot be looked up");
        Refusal::Unwritten
    })?;
    let second = found.map_or(Err(Refusal::NoPod), |pod| judge(hooks, Arc::new(pod), peer));
    if second.is_err() {
        hooks.limits.refuse(peer);
    }
    second
}

fn stores(hooks: &Hooks) -> impl Iterator<Item = &Store<Pod>> {
    [&hooks.rest.pods].into_iter().chain(hooks.adopted.as_ref().map(|adopted| &adopted.pods))
}

fn judge(hooks: &Hooks, pod: Arc<Pod>, peer: IpAddr) -> Result<(Arc<Pod>, Whose), Refusal> {
    let whose = whose(&pod, hooks.rest.defaults.adoption.as_ref()).ok_or(Refusal::NotRecorder)?;
    if addresses(&pod).contains(&peer) { Ok((pod, whose)) } else { Err(Refusal::Address) }
}

/// Whether it is a recorder, and whose.
pub(crate) fn whose(pod: &Pod, adoption: Option<&Adoption>) -> Option<Whose> {
    let labels = pod.labels();
    let is = |key: &str, value: &str| labels.get(key).map(String::as_str) == Some(value);
    let kind = [GroupKind::Jibri, GroupKind::SipJibri];
    let of_kind = kind.iter().any(|kind| is("app.kubernetes.io/component", kind.as_str()));
    let owned = pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.kind == "JitsiShard");
    if of_kind && owned && labels.contains_key(SHARD_LABEL) && is("app.kubernetes.io/managed-by", "roompin-controller")
    {
        return Some(Whose::Ours);
    }
    adoption.filter(|adoption| adoption.selector.matches(labels)).map(|_| Whose::Adopted)
}
