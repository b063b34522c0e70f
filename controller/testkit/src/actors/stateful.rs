//! StatefulSets: pods by ordinal, one after the other or all at once. Left out: ControllerRevision objects and the
//! retention policy of claims; revisions are a hash of the template.

use std::time::Duration;

use serde_json::{Value, json};

use super::pods::PODS;
use super::world::{
    Trouble, World, controller_reference, deleting, finished, hash, items, name, namespace, number, path_of, ready, text,
};
use super::{Actor, pods};

pub(super) const WHO: &str = "statefulset-controller";
const SETS: &str = "/apis/apps/v1/statefulsets";
const REVISION: &str = "/metadata/labels/controller-revision-hash";

pub(super) struct StatefulSets;

impl Actor for StatefulSets {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        world.watch(SETS);
        world.watch(PODS);
        let all = world.list(PODS).await?;
        let mut due = None;
        for set in world.list(SETS).await? {
            if !deleting(&set) {
                due = due.max(step(world, &set, &all).await?);
            }
        }
        Ok(due)
    }
}

/// The ordinal in a pod's name.
fn ordinal(set: &Value, pod: &Value) -> Option<i64> {
    name(pod).strip_prefix(name(set))?.strip_prefix('-')?.parse().ok()
}

async fn step(world: &World, set: &Value, all: &[Value]) -> Result<Option<Duration>, Trouble> {
    let reference = controller_reference("apps/v1", "StatefulSet", set);
    let mut mine = pods::claim(world, set, &reference, all).await?;
    mine.retain(|pod| ordinal(set, pod).is_some());
    mine.sort_by_key(|pod| ordinal(set, pod));
    let first = number(set, "/spec/ordinals/start").unwrap_or(0);
    let wanted = number(set, "/spec/replicas").unwrap_or(1);
    let update = format!("{}-{}", name(set), hash(&set["spec"]["template"]));
    let current = match text(set, "/status/currentRevision") {
        "" => update.clone(),
        known => known.to_owned(),
    };
    let rest = number(set, "/spec/minReadySeconds").unwrap_or(0);
    manage(world, set, &reference, &mine, first..first + wanted, &update).await?;

    let count = |test: &dyn Fn(&Value) -> bool| mine.iter().filter(|pod| test(pod)).count();
    let updated = count(&|pod| text(pod, REVISION) == update && !deleting(pod));
    let ready_pods = count(&ready);
    let available = count(&|pod| pods::available(world, pod, rest));
    let done = i64::try_from(updated).unwrap_or(0) == wanted && mine.len() == updated && ready_pods == updated;
    let current = if done { update.clone() } else { current };
    let on_current = count(&|pod| text(pod, REVISION) == current && !deleting(pod));
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": mine.len(), "availableReplicas": available,
        "currentRevision": current, "updateRevision": update, "collisionCount": 0,
    });
    for (key, count) in [("readyReplicas", ready_pods), ("updatedReplicas", updated), ("currentReplicas", on_current)] {
        if count > 0 {
            status[key] = json!(count);
        }
    }
    world.set_status(&path_of("/apis/apps/v1", "statefulsets", set), set, status).await?;
    Ok((available < ready_pods).then_some(Duration::from_secs(1)))
}

/// Creates, deletes or replaces what is next. In order, one pod at a time, each waiting for the one before.
async fn manage(
    world: &World,
    set: &Value,
    reference: &Value,
    mine: &[Value],
    range: std::ops::Range<i64>,
    update: &str,
) -> Result<(), Trouble> {
    let in_order = text(set, "/spec/podManagementPolicy") != "Parallel";
    let rest = number(set, "/spec/minReadySeconds").unwrap_or(0);
    let partition = number(set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    for at in range.clone() {
        match mine.iter().find(|pod| ordinal(set, pod) == Some(at)) {
            // A pod that ended is made anew under its name.
            Some(pod) if finished(pod) => {
                pods::delete(world, pod).await?;
                if in_order {
                    return Ok(());
                }
            }
            Some(pod) if in_order && (deleting(pod) || !pods::available(world, pod, rest)) => {
                // A pod that never gets ready by the old template must not stop a new one from coming.
                let broken = !deleting(pod) && at >= partition && text(pod, REVISION) != update && !ready(pod);
                if broken && text(set, "/spec/updateStrategy/type") != "OnDelete" {
                    pods::delete(world, pod).await?;
                }
                return Ok(());
            }
            Some(_) => {}
            None => {
                claim_volumes(world, set, at).await?;
                pods::create(world, set, &pod_at(set, reference, at, update)).await?;
                if in_order {
                    return Ok(());
                }
            }
        }
    }
    for pod in mine.iter().rev().filter(|pod| ordinal(set, pod).is_some_and(|at| !range.contains(&at))) {
        if !deleting(pod) {
            pods::delete(world, pod).await?;
        }
        if in_order {
            return Ok(());
        }
    }
    if text(set, "/spec/updateStrategy/type") == "OnDelete" {
        return Ok(());
    }
    // From the highest down, one at a time, whatever the management policy.
    for pod in mine.iter().rev().filter(|pod| ordinal(set, pod).is_some_and(|at| at >= partition && range.contains(&at))) {
        if text(pod, REVISION) != update && !deleting(pod) {
            return pods::delete(world, pod).await;
        }
        if deleting(pod) || !pods::available(world, pod, rest) {
            return Ok(());
        }
    }
    Ok(())
}

fn pod_at(set: &Value, reference: &Value, at: i64, update: &str) -> Value {
    let mut pod = pods::from_template(&set["spec"]["template"], reference.clone());
    let pod_name = format!("{}-{at}", name(set));
    pod["metadata"]["name"] = json!(pod_name);
    pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(pod_name);
    pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(at.to_string());
    pod["metadata"]["labels"]["controller-revision-hash"] = json!(update);
    pod["spec"]["hostname"] = json!(pod_name);
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    let claims = items(set, "/spec/volumeClaimTemplates");
    if !claims.is_empty() {
        let mut volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        volumes.retain(|v| claims.iter().all(|c| name(c) != text(v, "/name")));
        for claim in claims {
            let claimed = format!("{}-{pod_name}", name(claim));
            volumes.push(json!({"name": name(claim), "persistentVolumeClaim": {"claimName": claimed}}));
        }
        pod["spec"]["volumes"] = json!(volumes);
    }
    pod
}

async fn claim_volumes(world: &World, set: &Value, at: i64) -> Result<(), Trouble> {
    for template in items(set, "/spec/volumeClaimTemplates") {
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": format!("{}-{}-{at}", name(template), name(set))}, "spec": template["spec"],
        });
        claim["metadata"]["labels"] = set["spec"]["selector"]["matchLabels"].clone();
        world.create(&format!("/api/v1/namespaces/{}/persistentvolumeclaims", namespace(set)), &claim).await?;
    }
    Ok(())
}
