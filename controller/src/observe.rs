//! Reading what exists, past any cache: decisions about calls are made on what the API says now.

pub mod recorder;

use futures_util::future::join_all;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Pod, Secret, Service},
};
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    api::{Counts, JITSI_LABEL, Jitsi, JitsiShard, SHARD_LABEL, SHARD_STATE_LABEL, ShardState},
    apply::{Error, Live, read},
    build::{Component, Kinds, name},
    media::Media,
    plan::{
        drain::{ProxyReport, Reports},
        shard::Answers,
    },
    validate::{Existing, Need, NeedKind},
};

/// The Jitsi that a shard belongs to.
#[derive(Clone, Debug)]
pub enum OwnerState {
    /// None: the shard was written by hand.
    None,
    /// It is there.
    Alive(Box<Jitsi>),
    /// It is gone or going, and the shard goes with it.
    Gone,
}

/// Looks for the Jitsi that controls this shard.
///
/// # Errors
/// When the API does not say.
pub async fn owner(client: &Client, shard: &JitsiShard) -> Result<OwnerState, Error> {
    let owner = shard.owner_references().iter().find(|owner| owner.kind == "Jitsi" && owner.controller == Some(true));
    let Some(owner) = owner else { return Ok(OwnerState::None) };
    let api: Api<Jitsi> = Api::namespaced(client.clone(), &shard.namespace().unwrap_or_default());
    Ok(match read("get the Jitsi", api.get_opt(&owner.name)).await? {
        Some(jitsi) if jitsi.uid().as_deref() == Some(&owner.uid) && jitsi.metadata.deletion_timestamp.is_none() => {
            OwnerState::Alive(Box::new(jitsi))
        }
        _ => OwnerState::Gone,
    })
}

/// What there is of the Secrets and ConfigMaps that a resource refers to.
///
/// # Errors
/// When the API does not say.
pub async fn existing(client: &Client, namespace: &str, needs: &[Need]) -> Result<Existing, Error> {
    let mut existing = Existing::default();
    for need in needs {
        match need.kind {
            NeedKind::Secret => {
                let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
                if let Some(secret) = read("get a Secret", api.get_opt(&need.name)).await? {
                    let keys = secret.data.unwrap_or_default().into_keys().collect();
                    existing.secrets.insert(need.name.clone(), keys);
                }
            }
            NeedKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                if let Some(map) = read("get a ConfigMap", api.get_opt(&need.name)).await? {
                    let text = map.data.unwrap_or_default().into_keys();
                    let keys = text.chain(map.binary_data.unwrap_or_default().into_keys()).collect();
                    existing.config_maps.insert(need.name.clone(), keys);
                }
            }
        }
    }
    Ok(existing)
}

/// Kinds that come with other software.
///
/// # Errors
/// When the API does not say.
pub async fn kinds(client: &Client) -> Result<Kinds, Error> {
    let groups = read("list the API groups", client.list_api_groups()).await?;
    let known = |name: &str| groups.groups.iter().any(|group| group.name == name);
    let mut kinds = Kinds::default();
    if known("monitoring.coreos.com") {
        let list = read("list monitoring kinds", client.list_api_group_resources("monitoring.coreos.com/v1")).await;
        kinds.pod_monitor = list.is_ok_and(|list| list.resources.iter().any(|kind| kind.kind == "PodMonitor"));
    }
    if known("gateway.networking.k8s.io") {
        let list = read("list gateway kinds", client.list_api_group_resources("gateway.networking.k8s.io/v1")).await;
        kinds.http_route = list.is_ok_and(|list| list.resources.iter().any(|kind| kind.kind == "HTTPRoute"));
    }
    Ok(kinds)
}

/// Which parts of a shard have a pod that is ready, by their workloads' status.
#[must_use]
pub fn answers(live: &Live, shard: &str) -> Answers {
    let deployment = |component| {
        let found: Option<Deployment> = live.typed("Deployment", &name(shard, component));
        found.and_then(|found| found.status?.ready_replicas).unwrap_or_default() > 0
    };
    let prosody: Option<StatefulSet> = live.typed("StatefulSet", &name(shard, Component::Prosody));
    Answers {
        web: deployment(Component::Web),
        prosody: prosody.and_then(|found| found.status?.ready_replicas).unwrap_or_default() > 0,
        jicofo: deployment(Component::Jicofo),
    }
}

/// How many pods a component has and should have.
#[must_use]
pub fn counts(live: &Live, shard: &str, component: Component) -> Option<Counts> {
    let name = name(shard, component);
    if let Some(found) = live.typed::<Deployment>("Deployment", &name) {
        let desired = found.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        return Some(Counts {
            desired,
            ready: found.status.and_then(|status| status.ready_replicas).unwrap_or_default(),
        });
    }
    if let Some(found) = live.typed::<StatefulSet>("StatefulSet", &name) {
        let desired = found.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        return Some(Counts {
            desired,
            ready: found.status.and_then(|status| status.ready_replicas).unwrap_or_default(),
        });
    }
    let found = live.typed::<DaemonSet>("DaemonSet", &name)?;
    let status = found.status.unwrap_or_default();
    Some(Counts { desired: status.desired_number_scheduled, ready: status.number_ready })
}

/// What the shard's web Service tells proxies now.
#[must_use]
pub fn told(live: &Live, shard: &str) -> Option<ShardState> {
    let service: Service = live.typed("Service", &name(shard, Component::Web))?;
    match service.labels().get(SHARD_STATE_LABEL)?.as_str() {
        "ready" => Some(ShardState::Ready),
        "draining" => Some(ShardState::Draining),
        "down" => Some(ShardState::Down),
        _ => None,
    }
}

/// Asks jicofo.
///
/// # Errors
/// When the API does not say which pods there are. A jicofo that does not answer is an error inside.
pub async fn conferences(
    client: &Client,
    media: &dyn Media,
    namespace: &str,
    shard: &str,
) -> Result<Result<u64, String>, Error> {
    let pods = pods(client, namespace, &format!("{SHARD_LABEL}={shard},app.kubernetes.io/component=jicofo")).await?;
    let addresses: Vec<_> = pods.iter().filter_map(address).collect();
    if addresses.is_empty() {
        return Ok(Err("it has no running pod".to_owned()));
    }
    let answers = join_all(addresses.iter().map(|ip| media.conferences(ip))).await;
    // While one replaces another there may be two. None may be overlooked.
    Ok(answers.into_iter().sum())
}

/// Asks jicofo and all proxies about a shard.
///
/// # Errors
/// When the API does not say which pods there are.
pub async fn reports(
    client: &Client,
    media: &dyn Media,
    namespace: &str,
    shard: &str,
    jitsi: Option<&Jitsi>,
) -> Result<Reports, Error> {
    let conferences = conferences(client, media, namespace, shard).await?;
    let Some(jitsi) = jitsi else {
        return Ok(Reports { conferences, proxies: Vec::new(), proxies_expected: false });
    };
    let selector = format!("{JITSI_LABEL}={},app.kubernetes.io/component=proxy", jitsi.name_any());
    let pods = pods(client, namespace, &selector).await?;
    let proxies = join_all(pods.iter().filter_map(|pod| Some((pod, address(pod)?))).map(|(pod, ip)| async move {
        ProxyReport { pod: pod.name_any(), ready: ready(pod), answer: media.shard(&ip, shard).await }
    }));
    let wanted = jitsi.spec.proxy.as_ref();
    let proxies_expected = wanted.and_then(|proxy| proxy.enabled).unwrap_or(true)
        && wanted.and_then(|proxy| proxy.replicas).unwrap_or(1) > 0;
    Ok(Reports { conferences, proxies: proxies.await, proxies_expected })
}

async fn pods(client: &Client, namespace: &str, selector: &str) -> Result<Vec<Pod>, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    Ok(read("list pods", api.list(&ListParams::default().labels(selector))).await?.items)
}

/// The address of a pod that runs, or may still run.
fn address(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    status.pod_ip.clone().filter(|ip| !over && !ip.is_empty())
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|list| list.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}
