//! The bridges, recorders and gateways of one shard: look at every pod, ask it how it is, decide, act, report.
//!
//! Apart from [`super::shard`], which never touches these pods: prosody and jicofo change a few times a year, this loop
//! runs every [`LOOK`]. It writes only pods (with what hangs on them) and `status.groups`, under a field manager of its own.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams, core::DeserializeGuard, runtime::controller::Action};

use super::{Context, Error, guarded};
use crate::{
    api::{GroupKind, GroupStatus, JitsiShard, SHARD_LABEL},
    apply::read,
    validate::{self, ShardModel},
};

/// How often every pod is asked.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// Everything about a shard that the groups have in common.
#[allow(dead_code, reason = "the groups come next")]
pub(super) struct Tend<'a> {
    pub(super) context: &'a Context,
    pub(super) shard: &'a JitsiShard,
    pub(super) model: &'a ShardModel,
    /// All pods with the shard's label.
    pub(super) pods: &'a [Pod],
    pub(super) now: Timestamp,
}

impl Tend<'_> {
    /// What the status says of a group so far.
    pub(super) fn before(&self, kind: GroupKind) -> Option<&GroupStatus> {
        self.shard.status.as_ref()?.groups.iter().find(|group| group.kind == kind)
    }
}

/// Looks after the groups of one shard.
///
/// # Errors
/// When something cannot be read or written. The next call goes on from there.
pub async fn reconcile(object: Arc<DeserializeGuard<JitsiShard>>, context: Arc<Context>) -> Result<Action, Error> {
    let shard = guarded(&context, &object).await?;
    let paused = shard.spec.conduct.paused || shard.spec.conduct.suspend;
    if shard.metadata.deletion_timestamp.is_some() || paused {
        return Ok(Action::await_change());
    }
    // What is wrong with it is said by the other loop.
    let Ok(model) = validate::shard(shard, &context.defaults, None) else { return Ok(Action::await_change()) };
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &model.namespace);
    let params = ListParams::default().labels(&format!("{SHARD_LABEL}={}", shard.name_any()));
    let pods = read("list pods", api.list(&params)).await?.items;
    let tend = Tend { context: &context, shard, model: &model, pods: &pods, now: (context.clock)() };
    let _ = (tend.before(GroupKind::Jvb), tend.pods, tend.now, tend.model);
    Ok(Action::requeue(LOOK))
}
