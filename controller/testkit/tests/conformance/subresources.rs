//! `status` and `scale`, and when the generation moves.

use serde_json::json;

use crate::kit::*;

#[tokio::test]
async fn status_has_a_door_of_its_own() {
    let h = start_with_things().await;
    let api = h.api();
    let (path, status) = (format!("{THINGS}/t"), format!("{THINGS}/t/status"));
    let mut object = thing("t", json!({"size": 1}));
    object["status"] = json!({"phase": "Forged"});
    let made = api.post(THINGS, &object).await.ok();
    assert!(made.get("status").is_none(), "a create takes no status: {made}");
    assert_eq!(generation(&made), 1);

    let patched = api.patch(&status, MERGE, &json!({"status": {"phase": "Ready"}, "spec": {"size": 9}})).await.ok();
    assert_eq!((&patched["status"]["phase"], &patched["spec"]["size"]), (&json!("Ready"), &json!(1)));
    assert_eq!(generation(&patched), 1, "status moves no generation");
    assert!(version(&patched) > version(&made));

    let mut put = patched.clone();
    put["status"]["phase"] = json!("Forged");
    let put = api.put(&path, &put).await.ok();
    assert_eq!(put["status"]["phase"], "Ready", "the main door takes no status");
    assert_eq!(version(&put), version(&patched), "so nothing was written");

    let mut put = patched.clone();
    put["status"]["phase"] = json!("Draining");
    put["spec"]["size"] = json!(9);
    put["metadata"]["labels"] = json!({"a": "b"});
    let put = api.put(&status, &put).await.ok();
    assert_eq!((&put["status"]["phase"], &put["spec"]["size"]), (&json!("Draining"), &json!(1)));
    assert!(put["metadata"].get("labels").is_none(), "nor the status door labels: {put}");

    let read = api.get(&status).await.ok();
    assert_eq!(read["status"]["phase"], "Draining");
    api.put(&status, &patched).await.refused(409, "Conflict");
}

#[tokio::test]
async fn generation_counts_changes_of_the_spec() {
    let h = start_with_things().await;
    let api = h.api();
    let path = format!("{THINGS}/t");
    api.post(THINGS, &thing("t", json!({"size": 1}))).await.ok();
    let patched = api.patch(&path, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    assert_eq!(generation(&patched), 1);
    let patched = api.patch(&path, MERGE, &json!({"spec": {"size": 1}})).await.ok();
    assert_eq!(generation(&patched), 1);
    let patched = api.patch(&path, MERGE, &json!({"spec": {"size": 2}})).await.ok();
    assert_eq!(generation(&patched), 2);
    let patched = api.patch(&path, MERGE, &json!({"metadata": {"generation": 50}})).await.ok();
    assert_eq!(generation(&patched), 2);

    let made = api.post("apps/v1/deployments", &deployment("d")).await.ok();
    assert_eq!(generation(&made), 1);
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(generation(&api.patch("apps/v1/deployments/d", MERGE, &labels).await.ok()), 1);
    let spec = json!({"spec": {"minReadySeconds": 3}});
    assert_eq!(generation(&api.patch("apps/v1/deployments/d", MERGE, &spec).await.ok()), 2);
    let status = json!({"status": {"observedGeneration": 2}});
    assert_eq!(generation(&api.patch("apps/v1/deployments/d/status", MERGE, &status).await.ok()), 2);
}

#[tokio::test]
async fn a_wish_to_delete_counts_too() {
    let h = start_with_things().await;
    let api = h.api();
    let mut object = thing("t", json!({"size": 1}));
    object["metadata"]["finalizers"] = json!(["roompin.test/hold"]);
    api.post(THINGS, &object).await.ok();
    api.delete(&format!("{THINGS}/t")).await.ok();
    assert_eq!(generation(&api.get(&format!("{THINGS}/t")).await.ok()), 2);
    api.patch(&format!("{THINGS}/t"), MERGE, &json!({"metadata": {"finalizers": null}})).await.ok();
}

#[tokio::test]
async fn scale_of_a_custom_resource() {
    let h = start_with_things().await;
    let api = h.api();
    let (path, scale) = (format!("{THINGS}/t"), format!("{THINGS}/t/scale"));
    api.post(THINGS, &thing("t", json!({"replicas": 2}))).await.ok();
    let status = json!({"status": {"replicas": 1, "selector": "app=t"}});
    let now = api.patch(&format!("{path}/status"), MERGE, &status).await.ok();
    let mut read = api.get(&scale).await.ok();
    assert_eq!((&read["kind"], &read["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!(read["spec"]["replicas"], 2);
    assert_eq!((&read["status"]["replicas"], &read["status"]["selector"]), (&json!(1), &json!("app=t")));
    assert_eq!(version(&read), version(&now));
    assert_eq!(read["metadata"]["uid"], now["metadata"]["uid"]);

    read["spec"]["replicas"] = json!(4);
    let put = api.put(&scale, &read).await.ok();
    assert_eq!(put["spec"]["replicas"], 4);
    let now = api.get(&path).await.ok();
    assert_eq!((&now["spec"]["replicas"], generation(&now)), (&json!(4), 2));
    api.put(&scale, &read).await.refused(409, "Conflict");

    let patched = api.patch(&scale, MERGE, &json!({"spec": {"replicas": 5}})).await.ok();
    assert_eq!((&patched["kind"], &patched["spec"]["replicas"]), (&json!("Scale"), &json!(5)));
    assert_eq!(api.get(&path).await.ok()["spec"]["replicas"], 5);
    api.patch(&scale, MERGE, &json!({"spec": {"replicas": -1}})).await.refused(422, "Invalid");
}

#[tokio::test]
async fn scale_of_a_deployment() {
    let h = start().await;
    let api = h.api();
    api.post("apps/v1/deployments", &deployment("d")).await.ok();
    let patched = api.patch("apps/v1/deployments/d/scale", MERGE, &json!({"spec": {"replicas": 3}})).await.ok();
    assert_eq!((&patched["kind"], &patched["spec"]["replicas"]), (&json!("Scale"), &json!(3)));
    assert_eq!(patched["status"]["selector"], "app=d");
    let now = api.get("apps/v1/deployments/d").await.ok();
    assert_eq!((&now["spec"]["replicas"], generation(&now)), (&json!(3), 2));
}

#[tokio::test]
async fn a_kind_without_a_subresource_has_no_such_door() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    assert_eq!(api.get("v1/configmaps/a/status").await.code, 404);
    assert_eq!(api.get("v1/configmaps/a/scale").await.code, 404);
}

#[tokio::test]
async fn a_new_pod_is_pending_whatever_it_says() {
    let h = start().await;
    let api = h.api();
    let mut forged = pod("p");
    forged["status"] = json!({"phase": "Running", "podIP": "127.9.9.9"});
    let made = api.post("v1/pods", &forged).await.ok();
    assert_eq!(made["status"]["phase"], "Pending");
    assert!(made["status"].get("podIP").is_none());
    let up = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let patched = api.patch("v1/pods/p/status", STRATEGIC, &up).await.ok();
    assert_eq!(patched["status"]["phase"], "Running");
    let more = json!({"status": {"conditions": [{"type": "Extra", "status": "True"}]}});
    let patched = api.patch("v1/pods/p/status", STRATEGIC, &more).await.ok();
    let conditions = patched["status"]["conditions"].as_array().expect("conditions");
    let mut types: Vec<_> = conditions.iter().filter_map(|c| c["type"].as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["Extra", "Ready"], "conditions merge by type");
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let h = start().await;
    let api = h.api();
    api.post("v1/pods", &pod("p")).await.ok();
    let to = |node: &str| json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    api.post("v1/pods/p/binding", &to("no-such-node")).await.ok();
    let bound = api.get("v1/pods/p").await.ok();
    assert_eq!(bound["spec"]["nodeName"], "no-such-node");
    let conditions = bound["status"]["conditions"].as_array().expect("conditions");
    assert!(conditions.iter().any(|c| c["type"] == "PodScheduled" && c["status"] == "True"), "{bound}");
    api.post("v1/pods/p/binding", &to("another-node")).await.refused(409, "Conflict");
}
