//! What the workload controllers have in common: making pods from a template, and choosing which to delete.

use serde_json::{Value, json};

use super::world::{Trouble, World, controller_of, deleting, finished, name, namespace, path_of, ready, selects, text, time, uid};

pub(super) const PODS: &str = "/api/v1/pods";

/// A pod from a workload's template, owned by it.
pub(super) fn from_template(template: &Value, owner_reference: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": template["spec"]});
    for key in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][key].is_null() {
            pod["metadata"][key] = template["metadata"][key].clone();
        }
    }
    pod["metadata"]["ownerReferences"] = json!([owner_reference]);
    pod
}

/// Creates a pod in the owner's namespace.
pub(super) async fn create(world: &World, owner: &Value, pod: &Value) -> Result<Option<Value>, Trouble> {
    world.create(&format!("/api/v1/namespaces/{}/pods", namespace(owner)), pod).await
}

/// Deletes a pod with its own grace.
pub(super) async fn delete(world: &World, pod: &Value) -> Result<(), Trouble> {
    world.delete(&path_of("/api/v1", "pods", pod), pod, json!({})).await
}

/// Whether a workload owns a pod.
pub(super) fn owns(owner: &Value, pod: &Value) -> bool {
    controller_of(pod).is_some_and(|r| r["uid"] == uid(owner))
}

/// The living pods of a workload. A pod of it whose labels no longer match is let go, and a free one that matches is
/// taken in, as the real controllers do.
pub(super) async fn claim(
    world: &World,
    owner: &Value,
    reference: &Value,
    pods: &[Value],
) -> Result<Vec<Value>, Trouble> {
    let mut mine = Vec::new();
    for pod in pods.iter().filter(|pod| namespace(pod) == namespace(owner)) {
        let matches = selects(&owner["spec"]["selector"], &pod["metadata"]["labels"]);
        let path = path_of("/api/v1", "pods", pod);
        let with = |owners: Vec<Value>| {
            json!({"metadata": {"resourceVersion": pod["metadata"]["resourceVersion"], "ownerReferences": owners}})
        };
        let owners = pod["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        match (owns(owner, pod), matches) {
            (true, true) => mine.push(pod.clone()),
            (true, false) if !deleting(pod) => {
                let left = owners.into_iter().filter(|r| r["uid"] != uid(owner)).collect();
                world.merge(&path, &with(left)).await?;
            }
            (false, true) if controller_of(pod).is_none() && !deleting(pod) && !deleting(owner) && !finished(pod) => {
                let more = owners.into_iter().chain([reference.clone()]).collect();
                mine.extend(world.merge(&path, &with(more)).await?);
            }
            _ => {}
        }
    }
    Ok(mine)
}

/// Whether a pod counts towards the replicas.
pub(super) fn active(pod: &Value) -> bool {
    !deleting(pod) && !finished(pod)
}

/// Whether a pod has been ready for `seconds`.
pub(super) fn available(world: &World, pod: &Value, seconds: i64) -> bool {
    if !ready(pod) {
        return false;
    }
    let since = super::world::condition(pod, "Ready").and_then(|c| time(c, "/lastTransitionTime"));
    seconds == 0 || since.is_some_and(|since| world.now().duration_since(since).as_secs() >= seconds)
}

/// Puts the pods that a scale-down takes first at the front: without a node, not running, not ready, cheap to delete,
/// young.
pub(super) fn sort_for_deletion(pods: &mut [Value]) {
    pods.sort_by_key(|pod| {
        let cost = pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
        let cost: i64 = cost.and_then(|c| c.parse().ok()).unwrap_or(0);
        let age = time(pod, "/metadata/creationTimestamp").map_or(0, |at| -at.as_second());
        (
            !text(pod, "/spec/nodeName").is_empty(),
            text(pod, "/status/phase") == "Running",
            ready(pod),
            cost,
            age,
            name(pod).to_owned(),
        )
    });
}
