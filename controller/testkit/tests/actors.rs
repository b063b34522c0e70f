//! The double's actors: what they make of workloads, pods and nodes, under paused time. What its workload controllers do
//! is also asked of a real cluster's, if it has no nodes and so takes our scripted kubelet.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    reason = "all of this is tests, their helpers too, which take json! as it is written"
)]

#[path = "actors/kubelet.rs"]
mod kubelet;
#[path = "actors/traffic.rs"]
mod traffic;
#[path = "actors/workloads.rs"]
mod workloads;

use std::time::Duration;

use serde_json::{Value, json};
use testkit::harness::VARIABLE;
use testkit::{Actors, Harness, Kubelet, skipped};

const SOON: Duration = Duration::from_secs(120);

/// A harness with all actors under paused time; nothing where a real cluster is asked for.
async fn start(kubelet: Kubelet) -> Option<Harness> {
    if std::env::var_os(VARIABLE).is_some_and(|v| !v.is_empty()) {
        skipped("the double's actors", "they are not what a real cluster has");
        return None;
    }
    let harness = Harness::builder().actors(Actors::with_kubelet(kubelet)).start().await;
    tokio::time::pause();
    Some(harness)
}

/// The same, or a real cluster's controllers over a kubelet that follows the script.
async fn start_anywhere(kubelet: Kubelet) -> Option<Harness> {
    let harness = Harness::builder().actors(Actors::with_kubelet(kubelet)).start().await;
    if !harness.capabilities().scripted_pods {
        skipped("workloads", "it takes a cluster with controllers and without nodes, where pods follow a script");
        return None;
    }
    if harness.is_double() {
        tokio::time::pause();
    }
    Some(harness)
}

fn template(app: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": "none.invalid/none:1", "ports": [{"name": "http", "containerPort": 8080}]}]},
    })
}

fn workload(kind: &str, name: &str, extra: Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name)},
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

fn pod(name: &str, extra: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": template(name)["spec"]});
    for (key, value) in extra.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

async fn pods(h: &Harness, app: &str) -> Vec<Value> {
    let list = h.api().get(&format!("v1/pods?labelSelector=app%3D{app}")).await.ok();
    list["items"].as_array().cloned().unwrap_or_default()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

fn is_going(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

/// Waits for a field of an object to be `value`.
async fn until(h: &Harness, path: &str, pointer: &str, value: Value) -> Value {
    let api = h.api();
    let what = format!("{path}: {pointer} is {value}");
    h.eventually(&what, SOON, || async {
        let object = api.get(path).await.body;
        if object.pointer(pointer) == Some(&value) { Ok(object) } else { Err(format!("{}", object["status"])) }
    })
    .await
}
