//! The status of PodDisruptionBudgets. For a share or `maxUnavailable` the wanted number is read from the pods'
//! ReplicaSets and StatefulSets; other controllers' scale is left out, as an error in the status says.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Actor;
use super::pods::PODS;
use super::world::{
    Trouble, World, controller_of, deleting, finished, items, name, namespace, number, path_of, portion, ready, selects,
    set_condition, text,
};

pub(super) const WHO: &str = "disruption-controller";
const BUDGETS: &str = "/apis/policy/v1/poddisruptionbudgets";
const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";
const STATEFUL_SETS: &str = "/apis/apps/v1/statefulsets";

pub(super) struct Budgets;

impl Actor for Budgets {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        for path in [BUDGETS, PODS, REPLICA_SETS, STATEFUL_SETS] {
            world.watch(path);
        }
        let pods = world.list(PODS).await?;
        let mut scales = BTreeMap::new();
        for path in [REPLICA_SETS, STATEFUL_SETS] {
            for set in world.list(path).await? {
                scales.insert(text(&set, "/metadata/uid").to_owned(), number(&set, "/spec/replicas").unwrap_or(1));
            }
        }
        for budget in world.list(BUDGETS).await? {
            let status = count(world, &budget, &pods, &scales);
            world.set_status(&path_of("/apis/policy/v1", "poddisruptionbudgets", &budget), &budget, status).await?;
        }
        Ok(None)
    }
}

fn count(world: &World, budget: &Value, pods: &[Value], scales: &BTreeMap<String, i64>) -> Value {
    let taken = |pod: &&Value| {
        namespace(pod) == namespace(budget) && selects(&budget["spec"]["selector"], &pod["metadata"]["labels"])
    };
    let mine: Vec<&Value> = pods.iter().filter(taken).filter(|pod| !finished(pod)).collect();
    let mut gone: serde_json::Map<String, Value> = budget["status"]["disruptedPods"].as_object().cloned().unwrap_or_default();
    // An evicted pod counts as gone until it is.
    gone.retain(|evicted, _| mine.iter().any(|pod| name(pod) == evicted && !deleting(pod)));
    let healthy = mine.iter().filter(|pod| ready(pod) && !deleting(pod) && !gone.contains_key(name(pod))).count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let number_of_pods = i64::try_from(mine.len()).unwrap_or(i64::MAX);
    let (expected, desired) = wish(budget, &mine, scales, number_of_pods);
    let mut status = json!({
        "observedGeneration": budget["metadata"]["generation"],
        "currentHealthy": healthy, "desiredHealthy": desired.unwrap_or(0), "expectedPods": expected,
    });
    let allowed = desired.map_or(0, |desired| if expected > 0 { (healthy - desired).max(0) } else { 0 });
    status["disruptionsAllowed"] = json!(allowed);
    if !gone.is_empty() {
        status["disruptedPods"] = json!(gone);
    }
    let mut conditions = items(budget, "/status/conditions").to_vec();
    let reason = match (desired, allowed) {
        (None, _) => "SyncFailed",
        (_, 0) => "InsufficientPods",
        _ => "SufficientPods",
    };
    set_condition(&mut conditions, &world.stamp(), "DisruptionAllowed", allowed > 0, reason, "");
    for condition in &mut conditions {
        condition["message"] = json!(text(condition, "/message"));
        condition["observedGeneration"] = budget["metadata"]["generation"].clone();
    }
    status["conditions"] = json!(conditions);
    status
}

/// How many pods there should be, and how many of them must stay; nothing where that cannot be told.
fn wish(budget: &Value, mine: &[&Value], scales: &BTreeMap<String, i64>, pods: i64) -> (i64, Option<i64>) {
    let (least, most) = (&budget["spec"]["minAvailable"], &budget["spec"]["maxUnavailable"]);
    if let Some(least) = least.as_i64() {
        return (pods, Some(least));
    }
    let mut owners: BTreeMap<&str, Option<i64>> = BTreeMap::new();
    for pod in mine {
        let owner = controller_of(pod).map_or("", |r| text(r, "/uid"));
        owners.insert(owner, scales.get(owner).copied());
    }
    let Some(expected) = owners.into_values().sum::<Option<i64>>() else { return (pods, None) };
    let desired = if most.is_null() {
        portion(least, expected, true)
    } else {
        portion(most, expected, true).map(|most| (expected - most).max(0))
    };
    (expected, desired)
}
