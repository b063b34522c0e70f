//! EndpointSlices and disruption budgets over running pods.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::harness::raw::MERGE;
use testkit::{Behaviour, Exit, Harness, Kubelet};

use crate::{SOON, pods, start_anywhere, until, workload};

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"tier": "front"}},
        "spec": {"selector": {"app": "d"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })
}

async fn slice(h: &Harness) -> Option<Value> {
    let list =
        h.api().get("discovery.k8s.io/v1/endpointslices?labelSelector=kubernetes.io/service-name%3Dweb").await.ok();
    let items = list["items"].as_array().expect("items");
    assert!(items.len() < 2, "one mapping of ports is one slice");
    items.first().cloned()
}

/// The conditions of all endpoints as (ready, serving, terminating), sorted.
async fn conditions(h: &Harness) -> Vec<(bool, bool, bool)> {
    let Some(slice) = slice(h).await else { return Vec::new() };
    let endpoints = slice["endpoints"].as_array().cloned().unwrap_or_default();
    let flag = |e: &Value, key: &str| e["conditions"][key] == true;
    let mut all: Vec<_> =
        endpoints.iter().map(|e| (flag(e, "ready"), flag(e, "serving"), flag(e, "terminating"))).collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn a_slice_follows_its_pods() {
    let on_stop = Exit { after: Duration::from_secs(20), code: 0 };
    let Some(h) = start_anywhere(Kubelet::with_usual(Behaviour { on_stop, ..Behaviour::default() })).await else {
        return;
    };
    if !h.serves("discovery.k8s.io/v1").await {
        return;
    }
    let api = h.api();
    api.post("v1/services", &service()).await.ok();
    api.post("apps/v1/deployments", &workload("Deployment", "d", json!({"replicas": 2}))).await.ok();
    let up = (true, true, false);
    h.eventually("both are ready", SOON, || async { conditions(&h).await == [up, up] }).await;
    let now = slice(&h).await.expect("a slice");
    assert_eq!(now["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(now["metadata"]["labels"]["tier"], "front");
    assert_eq!(now["metadata"]["ownerReferences"][0]["kind"], "Service");
    let all = pods(&h, "d").await;
    let name = all[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let of = now["endpoints"].as_array().expect("endpoints").iter().find(|e| e["targetRef"]["name"] == name.as_str());
    assert_eq!(of.expect("its endpoint")["addresses"], json!([all[0]["status"]["podIP"]]));

    h.actors().expect("actors").kubelet().expect("a kubelet").set_ready(h.namespace(), &name, false);
    h.eventually("one is not", SOON, || async { conditions(&h).await == [(false, false, false), up] }).await;
    h.actors().expect("actors").kubelet().expect("a kubelet").set_ready(h.namespace(), &name, true);
    h.eventually("it is again", SOON, || async { conditions(&h).await == [up, up] }).await;

    api.patch("apps/v1/deployments/d", MERGE, &json!({"spec": {"replicas": 1}})).await.ok();
    h.eventually("one goes, still serving", SOON, || async { conditions(&h).await == [(false, true, true), up] }).await;
    h.eventually("one is left", SOON, || async { conditions(&h).await == [up] }).await;

    api.delete("v1/services/web").await.ok();
    h.eventually("the slice goes with its Service", SOON, || async { slice(&h).await.is_none() }).await;
}

#[tokio::test]
async fn a_budget_counts_what_is_healthy() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    if !h.serves("policy/v1").await {
        return;
    }
    let api = h.api();
    let path = "policy/v1/poddisruptionbudgets/b";
    api.post("apps/v1/deployments", &workload("Deployment", "d", json!({"replicas": 3}))).await.ok();
    let spec = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "d"}}});
    let budget =
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec});
    api.post("policy/v1/poddisruptionbudgets", &budget).await.ok();
    let counted = until(&h, path, "/status/disruptionsAllowed", json!(1)).await;
    assert_eq!((&counted["status"]["expectedPods"], &counted["status"]["desiredHealthy"]), (&json!(3), &json!(2)));
    let mut codes = Vec::new();
    for pod in pods(&h, "d").await {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        codes.push(api.post(&format!("v1/pods/{name}/eviction"), &eviction).await.code);
    }
    assert_eq!(codes, [201, 429, 429]);
    until(&h, path, "/status/disruptionsAllowed", json!(0)).await;
    until(&h, path, "/status/disruptionsAllowed", json!(1)).await;
    assert_eq!(pods(&h, "d").await.len(), 3);
}
