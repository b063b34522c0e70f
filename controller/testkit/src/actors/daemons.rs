//! DaemonSets: one pod on each node that fits, pinned there by affinity so that the scheduler still checks the room.

use std::time::Duration;

use serde_json::{Value, json};

use super::pods::PODS;
use super::scheduler::{admits, tolerates};
use super::world::{
    Trouble, World, controller_reference, deleting, finished, hash, items, name, path_of, portion, ready, text,
};
use super::{Actor, pods};

pub(super) const WHO: &str = "daemonset-controller";
const SETS: &str = "/apis/apps/v1/daemonsets";
const NODES: &str = "/api/v1/nodes";
const REVISION: &str = "/metadata/labels/controller-revision-hash";

pub(super) struct DaemonSets;

impl Actor for DaemonSets {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        for path in [SETS, PODS, NODES] {
            world.watch(path);
        }
        let nodes = world.list(NODES).await?;
        let all = world.list(PODS).await?;
        for set in world.list(SETS).await? {
            if !deleting(&set) {
                step(world, &set, &nodes, &all).await?;
            }
        }
        Ok(None)
    }
}

/// The node that a daemon's pod is meant for.
fn target(pod: &Value) -> &str {
    match text(pod, "/spec/nodeName") {
        "" => {
            const TERMS: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
            items(pod, TERMS).first().map_or("", |term| text(term, "/matchFields/0/values/0"))
        }
        bound => bound,
    }
}

async fn step(world: &World, set: &Value, nodes: &[Value], all: &[Value]) -> Result<(), Trouble> {
    let reference = controller_reference("apps/v1", "DaemonSet", set);
    let mine = pods::claim(world, set, &reference, all).await?;
    let update = hash(&set["spec"]["template"]);
    let mut template = json!({"spec": set["spec"]["template"]["spec"]});
    let mut tolerations = items(&template, "/spec/tolerations").to_vec();
    for key in ["not-ready", "unreachable"] {
        tolerations.push(json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute"}));
    }
    // Daemons run on cordoned nodes too.
    tolerations.push(json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}));
    template["spec"]["tolerations"] = json!(tolerations);
    let fits = |node: &Value| admits(&template, node) && tolerates(&template, node);
    let chosen: Vec<&Value> = nodes.iter().filter(|node| fits(node)).collect();

    for node in &chosen {
        let here: Vec<&Value> = mine.iter().filter(|pod| target(pod) == name(node)).collect();
        if let Some(ended) = here.iter().find(|pod| finished(pod) && !deleting(pod)) {
            pods::delete(world, ended).await?;
        } else if here.is_empty() {
            let mut pod = pods::from_template(&set["spec"]["template"], reference.clone());
            pod["metadata"]["generateName"] = json!(format!("{}-", name(set)));
            pod["metadata"]["labels"]["controller-revision-hash"] = json!(update);
            pod["spec"]["tolerations"] = json!(tolerations);
            pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
                "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name(node)]}]}],
            });
            pods::create(world, set, &pod).await?;
        }
    }
    let stray = |pod: &&Value| !deleting(pod) && chosen.iter().all(|node| name(node) != target(pod));
    for pod in mine.iter().filter(stray) {
        pods::delete(world, pod).await?;
    }
    if text(set, "/spec/updateStrategy/type") != "OnDelete" {
        roll(world, set, &mine, chosen.len(), &update).await?;
    }
    let count = |test: &dyn Fn(&Value) -> bool| mine.iter().filter(|pod| test(pod)).count();
    let ready_pods = count(&|pod| ready(pod) && !deleting(pod));
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"],
        "desiredNumberScheduled": chosen.len(),
        "currentNumberScheduled": count(&|pod| !deleting(pod)),
        "numberMisscheduled": 0,
        "numberReady": ready_pods,
    });
    let missing = chosen.len().saturating_sub(ready_pods);
    for (key, value) in [
        ("numberAvailable", ready_pods),
        ("numberUnavailable", missing),
        ("updatedNumberScheduled", count(&|pod| text(pod, REVISION) == update && !deleting(pod))),
    ] {
        if value > 0 {
            status[key] = json!(value);
        }
    }
    world.set_status(&path_of("/apis/apps/v1", "daemonsets", set), set, status).await
}

/// Deletes pods of an older template, as many at once as may be unavailable.
async fn roll(world: &World, set: &Value, mine: &[Value], nodes: usize, update: &str) -> Result<(), Trouble> {
    let nodes = i64::try_from(nodes).unwrap_or(i64::MAX);
    let most = portion(&set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], nodes, true).unwrap_or(1);
    let up = i64::try_from(mine.iter().filter(|pod| ready(pod) && !deleting(pod)).count()).unwrap_or(0);
    let mut may = (most - (nodes - up)).max(0);
    for pod in mine.iter().filter(|pod| text(pod, REVISION) != update && !deleting(pod)) {
        if !ready(pod) {
            pods::delete(world, pod).await?;
        } else if may > 0 {
            pods::delete(world, pod).await?;
            may -= 1;
        }
    }
    Ok(())
}
