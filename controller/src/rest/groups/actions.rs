//! `POST …/actions/…`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Answer, Name, pods};
use crate::{
    api::{GroupSpec, RECONFIGURE_ASKED},
    rest::{Rest, audit, body::Body, change, find, instance::Instance, refusal::Refusal, report::iso, sidecar, write},
};

pub(super) async fn launch_protected(State(rest): State<Arc<Rest>>, Path(name): Name, body: Body) -> Answer {
    let now = rest.now();
    write::change(&rest, &name, |found, own| change::launch_protected(found, own, &body.0, now)).await?;
    Ok(Json(json!({"launch": "OK"})))
}

/// Takes back what was written by REST, everywhere; how many are asked for now stays.
pub(super) async fn reset(State(rest): State<Arc<Rest>>) -> Answer {
    let mut shards: Vec<_> = find::all(&rest).await?.into_iter().map(|found| found.shard).collect();
    shards.dedup_by_key(|shard| shard.uid());
    for shard in &shards {
        write::change_shard(&rest, shard, |own| {
            own.into_iter()
                .map(|group| GroupSpec { kind: group.kind, desired: group.desired, ..Default::default() })
                .collect()
        })
        .await?;
    }
    Ok(Json(json!({"reset": "OK"})))
}

/// Asks every instance to reconfigure itself.
pub(super) async fn reconfigure(State(rest): State<Arc<Rest>>, Path(name): Name) -> Answer {
    let found = find::group(&rest, &name).await?;
    if !found.model.reconfigure {
        return Err(Refusal::Disabled("Reconfiguration disabled for group".to_owned()));
    }
    let now = rest.now();
    let mut told = Vec::new();
    let mut failed = None;
    for pod in pods(&rest, &found).await? {
        if Instance(&pod).ended() || pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        match sidecar::annotate(&rest, &pod, json!({ RECONFIGURE_ASKED: iso(now) })).await {
            Ok(()) => told.push(pod),
            Err(error) => failed = Some(error),
        }
    }
    if !told.is_empty() {
        let entry = audit::Entry::ReconfigureAsked { instances: told.iter().map(ResourceExt::name_any).collect() };
        let item = audit::Item { at: now, entry };
        if let Err(error) = audit::append(&rest.client, None, &found.shard, found.kind, &[item]).await {
            tracing::warn!(%error, "the audit cannot be written");
        }
    }
    if let Some(error) = failed {
        return Err(Refusal::Failed(format!("Failed to trigger reconfiguration: {error}")));
    }
    let instances: Vec<_> = told.iter().map(|pod| details(&found, pod)).collect();
    Ok(Json(json!({"save": "OK", "instances": instances})))
}

/// InstanceDetails.
fn details(found: &find::Found, pod: &Pod) -> Value {
    json!({
        "instanceId": pod.name_any(),
        "instanceType": found.kind.autoscaler_type(),
        "group": found.name,
        "privateIp": Instance(pod).address(),
    })
}
