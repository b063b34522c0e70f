//! The bridges, recorders and gateways of one shard: look at every pod, ask it how it is, decide, act, report.
//!
//! Apart from [`super::shard`], which never touches these pods: prosody and jicofo change a few times a year, this loop
//! runs every [`LOOK`]. It writes only pods (with what hangs on them) and `status.groups`, under a field manager of its own.
//! What must outlive this process stands there; the rest ([`FleetMemory`]) is what the leader has heard in the last minutes.

mod act;
mod bridges;
mod gateways;
mod group;
mod memory;
mod nodes;
mod recorders;
mod sight;
mod status;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, ResourceExt, api::ListParams, core::DeserializeGuard, runtime::controller::Action};

pub use self::memory::FleetMemory;
use super::{Context, Error};
use crate::{
    api::{DRAIN_FINALIZER, GroupKind, GroupStatus, JitsiShard, SHARD_LABEL},
    apply::read,
    build,
    plan::group::GroupModel,
    validate::{self, ShardModel},
};

/// How often every pod is asked.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// The garbage collector deletes what the shard owns before the shard itself; nothing is made any more.
const FOREGROUND: &str = "foregroundDeletion";

/// Everything about a shard that the groups have in common.
pub(super) struct Tend<'a> {
    pub(super) context: &'a Context,
    pub(super) shard: &'a JitsiShard,
    pub(super) model: &'a ShardModel,
    /// All pods with the shard's label.
    pub(super) pods: &'a [Pod],
    /// The environment that pods read when they start is the one that the model means. While a change of it is held back
    /// for the sake of conferences, a pod must not claim to be made of what it has not read.
    pub(super) settled: bool,
    pub(super) now: Timestamp,
}

impl<'a> Tend<'a> {
    /// What the status says of a group so far.
    pub(super) fn before(&self, kind: GroupKind) -> Option<&'a GroupStatus> {
        self.shard.status.as_ref()?.groups.iter().find(|group| group.kind == kind)
    }

    /// The pods of one group that the shard itself controls: not those of a workload of Kubernetes' own.
    pub(super) fn pods_of(&self, kind: GroupKind) -> impl Iterator<Item = &'a Pod> + use<'a> {
        let (pods, shard) = (self.pods, self.shard);
        let uid = shard.metadata.uid.as_deref().unwrap_or_default();
        pods.iter().filter(move |pod| {
            let component = pod.labels().get("app.kubernetes.io/component").map(String::as_str);
            component == Some(kind.as_str())
                && pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
        })
    }
}

/// Looks after the groups of one shard.
///
/// # Errors
/// When something cannot be read or written. The next call goes on from there.
pub async fn reconcile(object: Arc<DeserializeGuard<JitsiShard>>, context: Arc<Context>) -> Result<Action, Error> {
    // What is wrong with it is said by the other loop.
    let Ok(cached) = &object.0 else { return Ok(Action::await_change()) };
    let (name, namespace) = (cached.name_any(), cached.namespace().unwrap_or_default());
    let shards: Api<JitsiShard> = Api::namespaced(context.client.clone(), &namespace);
    // Past the cache: its status is what the last look remembered.
    let Some(shard) = read("get the JitsiShard", shards.get_opt(&name)).await? else {
        context.fleet.forget(cached.metadata.uid.as_deref().unwrap_or_default());
        return Ok(Action::await_change());
    };
    if !is_tended(&shard) {
        return Ok(Action::await_change());
    }
    let Ok(model) = validate::shard(&shard, &context.defaults, None) else { return Ok(Action::await_change()) };
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let params = ListParams::default().labels(&format!("{SHARD_LABEL}={name}"));
    let pods = read("list pods", api.list(&params)).await?.items;
    let env: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let env = read("get the shared environment", env.get_opt(&build::env_name(&model))).await?;
    let ours = pods
        .iter()
        .any(|pod| pod.owner_references().iter().any(|owner| Some(&owner.uid) == shard.metadata.uid.as_ref()));
    if env.is_none() && !ours {
        // The other loop makes it in a moment. A pod that is made before has read something else, and would be replaced.
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    let settled = env.is_some_and(|map| map.data.unwrap_or_default() == build::shared_env(&model));
    let now = context.now();
    let tend = Tend { context: &context, shard: &shard, model: &model, pods: &pods, settled, now };

    // One group's trouble is not another's.
    let mut groups = Vec::new();
    let mut trouble = None;
    let mut due = Vec::new();
    match bridges::group(&tend).await {
        Ok(group) => due.extend(group),
        Err(error) => {
            groups.extend(tend.before(GroupKind::Jvb).cloned());
            trouble = Some(error);
        }
    }
    due.extend(gateways::group(&tend));
    let mut seen = Vec::new();
    for group in due {
        let look = group::look(&tend, &group).await;
        groups.push(look.status.clone());
        seen.push((group, look));
    }
    match recorders::tend(&tend).await {
        Ok(found) => groups.extend(found),
        Err(error) => {
            groups
                .extend([GroupKind::Jibri, GroupKind::SipJibri].iter().filter_map(|kind| tend.before(*kind)).cloned());
            trouble = trouble.or(Some(error));
        }
    }
    // What was decided is remembered before it is carried out.
    status::write(&tend, groups).await?;
    for (group, look) in &seen {
        if let Err(error) = act::carry_out(&tend, group, look).await {
            trouble = trouble.or(Some(error));
        }
    }
    if let Err(error) = bridges::tidy(&tend).await {
        trouble = trouble.or(Some(error));
    }
    trouble.map_or(Ok(Action::requeue(LOOK)), Err)
}

/// Until when a pod that is made now is not taken away by load, if somebody asked for that.
fn protect_until(numbers: &GroupModel, now: Timestamp) -> Option<Timestamp> {
    numbers.protect_launches_until.filter(|until| *until > now)?;
    now.checked_add(numbers.protected).ok()
}

/// A shard that drains keeps its groups: people are on it until the end. One that is on its way out has none.
fn is_tended(shard: &JitsiShard) -> bool {
    let paused = shard.spec.conduct.paused || shard.spec.conduct.suspend;
    let finalizers = shard.finalizers();
    let leaving = shard.metadata.deletion_timestamp.is_some();
    let held = finalizers.iter().any(|one| one == DRAIN_FINALIZER) && !finalizers.iter().any(|one| one == FOREGROUND);
    !paused && (!leaving || held)
}
