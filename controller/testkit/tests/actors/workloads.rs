//! Deployments, StatefulSets, DaemonSets, and the scheduler under them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::harness::raw::{MERGE, STRATEGIC};
use testkit::{Behaviour, Kubelet, skipped};

use crate::{SOON, is_going, is_ready, pod, pods, start, start_anywhere, until, workload};

fn image(version: u32) -> Value {
    let containers = json!([{"name": "main", "image": format!("none.invalid/none:{version}")}]);
    json!({"spec": {"template": {"spec": {"containers": containers}}}})
}

#[tokio::test]
async fn a_deployment_becomes_available() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    let api = h.api();
    api.post("apps/v1/deployments", &workload("Deployment", "d", json!({"replicas": 3}))).await.ok();
    let done = until(&h, "apps/v1/deployments/d", "/status/availableReplicas", json!(3)).await;
    assert_eq!(done["status"]["observedGeneration"], 1);
    let all = pods(&h, "d").await;
    let nodes: BTreeSet<_> = all.iter().map(|p| p["spec"]["nodeName"].to_string()).collect();
    assert_eq!((all.len(), nodes.len()), (3, 3), "they are spread");
    let addresses: BTreeSet<_> = all.iter().map(|p| p["status"]["podIP"].to_string()).collect();
    assert_eq!(addresses.len(), 3);
    api.delete_with(&format!("v1/pods/{}", all[0]["metadata"]["name"].as_str().expect("a name")), &json!({}))
        .await
        .ok();
    h.eventually("a new one takes its place", SOON, || async {
        let now = pods(&h, "d").await;
        now.len() == 3
            && now.iter().all(is_ready)
            && now.iter().all(|p| p["metadata"]["uid"] != all[0]["metadata"]["uid"])
    })
    .await;
    api.patch("apps/v1/deployments/d", MERGE, &json!({"spec": {"replicas": 1}})).await.ok();
    until(&h, "apps/v1/deployments/d", "/status/replicas", json!(1)).await;
    h.eventually("two are gone", SOON, || async { pods(&h, "d").await.len() == 1 }).await;
}

#[tokio::test]
async fn a_rolling_update_keeps_enough() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    let api = h.api();
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    api.post("apps/v1/deployments", &workload("Deployment", "d", json!({"replicas": 2, "strategy": strategy})))
        .await
        .ok();
    until(&h, "apps/v1/deployments/d", "/status/availableReplicas", json!(2)).await;
    api.patch("apps/v1/deployments/d", STRATEGIC, &image(2)).await.ok();
    let mut least = usize::MAX;
    let mut most = 0;
    loop {
        let now = pods(&h, "d").await;
        let staying: Vec<_> = now.iter().filter(|p| !is_going(p)).collect();
        least = least.min(staying.iter().filter(|p| is_ready(p)).count());
        most = most.max(staying.len());
        if now.len() == 2
            && now.iter().all(|p| is_ready(p) && p["spec"]["containers"][0]["image"] == "none.invalid/none:2")
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((least, most), (2, 3));
    let done = until(&h, "apps/v1/deployments/d", "/status/updatedReplicas", json!(2)).await;
    assert_eq!(done["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    let sets = api.get("apps/v1/replicasets").await.ok();
    assert_eq!(sets["items"].as_array().expect("sets").len(), 2, "the old set is kept, empty");
}

#[tokio::test]
async fn recreate_never_runs_two_templates() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    let api = h.api();
    let extra = json!({"replicas": 2, "strategy": {"type": "Recreate"}});
    api.post("apps/v1/deployments", &workload("Deployment", "d", extra)).await.ok();
    until(&h, "apps/v1/deployments/d", "/status/availableReplicas", json!(2)).await;
    api.patch("apps/v1/deployments/d", STRATEGIC, &image(2)).await.ok();
    loop {
        let now = pods(&h, "d").await;
        let images: BTreeSet<_> = now.iter().map(|p| p["spec"]["containers"][0]["image"].to_string()).collect();
        assert!(images.len() < 2, "{images:?}");
        if now.len() == 2 && images.contains("\"none.invalid/none:2\"") && now.iter().all(is_ready) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_rollout_that_cannot_finish_says_so() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    let api = h.api();
    h.actors()
        .expect("actors")
        .kubelet()
        .expect("a kubelet")
        .script("app=d", Behaviour { no_image: true, ..Behaviour::default() });
    let extra = json!({"replicas": 1, "progressDeadlineSeconds": 60});
    api.post("apps/v1/deployments", &workload("Deployment", "d", extra)).await.ok();
    h.eventually("the deadline is exceeded", Duration::from_secs(300), || async {
        let now = api.get("apps/v1/deployments/d").await.ok();
        let conditions = now["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded")
    })
    .await;
}

#[tokio::test]
async fn a_pod_without_its_label_is_let_go_and_replaced() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    let api = h.api();
    api.post("apps/v1/deployments", &workload("Deployment", "d", json!({"replicas": 1}))).await.ok();
    until(&h, "apps/v1/deployments/d", "/status/availableReplicas", json!(1)).await;
    let one = pods(&h, "d").await.remove(0);
    let path = format!("v1/pods/{}", one["metadata"]["name"].as_str().expect("a name"));
    api.patch(&path, MERGE, &json!({"metadata": {"labels": {"app": "busy"}}})).await.ok();
    h.eventually("another takes its place", SOON, || async { pods(&h, "d").await.iter().any(is_ready) }).await;
    let free = api.get(&path).await.ok();
    assert!(free["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty), "{free}");
    assert!(is_ready(&free) && !is_going(&free));
}

#[tokio::test]
async fn a_stateful_set_goes_in_order() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    let api = h.api();
    let extra = json!({"replicas": 3, "serviceName": "s"});
    api.post("apps/v1/statefulsets", &workload("StatefulSet", "s", extra)).await.ok();
    loop {
        let now = pods(&h, "s").await;
        for (at, pod) in now.iter().enumerate() {
            assert_eq!(pod["metadata"]["name"], format!("s-{at}"));
            assert!(at + 1 == now.len() || is_ready(pod), "the one before is ready first");
        }
        if now.len() == 3 && now.iter().all(is_ready) {
            assert_eq!(now[2]["spec"]["hostname"], "s-2");
            if h.since(28, "the label of a pod's index") {
                assert_eq!(now[2]["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "2");
            }
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until(&h, "apps/v1/statefulsets/s", "/status/readyReplicas", json!(3)).await;
    let before: Vec<_> = pods(&h, "s").await.iter().map(|p| p["metadata"]["uid"].clone()).collect();
    api.patch("apps/v1/statefulsets/s", STRATEGIC, &image(2)).await.ok();
    h.eventually("all are replaced", SOON, || async {
        let now = pods(&h, "s").await;
        assert!(now.iter().filter(|p| is_going(p) || !is_ready(p)).count() <= 1, "one at a time");
        now.len() == 3 && now.iter().all(|p| is_ready(p) && !before.contains(&p["metadata"]["uid"]))
    })
    .await;
    api.patch("apps/v1/statefulsets/s", MERGE, &json!({"spec": {"replicas": 1}})).await.ok();
    h.eventually("the highest go", SOON, || async { pods(&h, "s").await.len() == 1 }).await;
    assert_eq!(pods(&h, "s").await[0]["metadata"]["name"], "s-0");
}

#[tokio::test]
async fn a_parallel_stateful_set_waits_for_nobody() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    let api = h.api();
    h.actors()
        .expect("actors")
        .kubelet()
        .expect("a kubelet")
        .script("app=s", Behaviour { ready_after: None, ..Behaviour::default() });
    let extra = json!({"replicas": 3, "serviceName": "s", "podManagementPolicy": "Parallel"});
    api.post("apps/v1/statefulsets", &workload("StatefulSet", "s", extra)).await.ok();
    h.eventually("all are there", SOON, || async {
        pods(&h, "s").await.iter().filter(|p| p["status"]["phase"] == "Running").count() == 3
    })
    .await;
}

#[tokio::test]
async fn a_daemon_runs_on_every_node() {
    let Some(h) = start_anywhere(Kubelet::default()).await else { return };
    let api = h.api();
    api.post("apps/v1/daemonsets", &workload("DaemonSet", "d", json!({}))).await.ok();
    until(&h, "apps/v1/daemonsets/d", "/status/numberReady", json!(3)).await;
    let nodes: BTreeSet<_> = pods(&h, "d").await.iter().map(|p| p["spec"]["nodeName"].to_string()).collect();
    assert_eq!(nodes.len(), 3);
    if !h.is_double() {
        return skipped("a node more", "nodes are shared by all tests of a cluster");
    }
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-d"}});
    api.post("/api/v1/nodes", &node).await.ok();
    until(&h, "apps/v1/daemonsets/d", "/status/numberReady", json!(4)).await;
    let selector = json!({"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-b"}}}}});
    api.patch("apps/v1/daemonsets/d", STRATEGIC, &selector).await.ok();
    h.eventually("one is left", SOON, || async {
        let now = pods(&h, "d").await;
        now.len() == 1 && now[0]["spec"]["nodeName"] == "node-b" && is_ready(&now[0])
    })
    .await;
}

#[tokio::test]
async fn a_host_port_is_worth_a_node() {
    let Some(h) = start(Kubelet::default()).await else { return };
    let api = h.api();
    for n in 0..4 {
        let mut object = pod(&format!("p{n}"), json!({}));
        object["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 10000, "hostPort": 10000, "protocol": "UDP"}]);
        api.post("v1/pods", &object).await.ok();
        if n < 3 {
            until(&h, &format!("v1/pods/p{n}"), "/status/phase", json!("Running")).await;
        }
    }
    let waiting = until(&h, "v1/pods/p3", "/status/conditions/0/reason", json!("Unschedulable")).await;
    let message = waiting["status"]["conditions"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("0/3 nodes are available: 3 node(s) didn't have free ports"), "{message}");
    api.delete("v1/pods/p1").await.ok();
    until(&h, "v1/pods/p3", "/status/phase", json!("Running")).await;
}
