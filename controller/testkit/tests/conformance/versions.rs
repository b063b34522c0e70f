//! Resource versions and what stands in the way of a write.

use serde_json::json;

use crate::kit::*;

#[tokio::test]
async fn versions_rise_over_all_kinds() {
    let h = start().await;
    let api = h.api();
    let a = api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    let pod = api.post("v1/pods", &pod("p")).await.ok();
    let b = api.post("v1/configmaps", &configmap("b", json!({}))).await.ok();
    assert!(version(&a) < version(&pod));
    assert!(version(&pod) < version(&b));
    let list = api.get("v1/configmaps").await.ok();
    assert!(version(&list) >= version(&b));
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_no_write() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps", &configmap("a", json!({"k": "1"}))).await.ok();
    let mut watch = api.watch("v1/configmaps", &format!("resourceVersion={}", version(&made))).await;
    let same = api.put("v1/configmaps/a", &made).await.ok();
    assert_eq!(version(&same), version(&made));
    let same = api.patch("v1/configmaps/a", MERGE, &json!({"data": {"k": "1"}})).await.ok();
    assert_eq!(version(&same), version(&made));
    let moved = api.patch("v1/configmaps/a", MERGE, &json!({"data": {"k": "2"}})).await.ok();
    assert!(version(&moved) > version(&made));
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), version(&object)), ("MODIFIED", version(&moved)), "the no-ops made no event");
}

#[tokio::test]
async fn a_stale_put_is_a_conflict() {
    let h = start().await;
    let api = h.api();
    let old = api.post("v1/configmaps", &configmap("a", json!({"k": "1"}))).await.ok();
    let mut new = old.clone();
    new["data"]["k"] = json!("2");
    api.put("v1/configmaps/a", &new).await.ok();
    let mut late = old;
    late["data"]["k"] = json!("3");
    let refused = api.put("v1/configmaps/a", &late).await.refused(409, "Conflict");
    assert!(message(&refused).contains("the object has been modified"), "{refused}");
    assert_eq!(refused["details"]["name"], "a");
    assert_eq!(refused["details"]["kind"], "configmaps");
    assert_eq!(api.get("v1/configmaps/a").await.ok()["data"]["k"], "2");
}

#[tokio::test]
async fn a_patch_may_carry_the_version_it_means() {
    let h = start().await;
    let api = h.api();
    let old = api.post("v1/configmaps", &configmap("a", json!({"k": "1"}))).await.ok();
    let with = |version: &str, value: &str| json!({"metadata": {"resourceVersion": version}, "data": {"k": value}});
    let at = version(&old).to_string();
    api.patch("v1/configmaps/a", MERGE, &with(&at, "2")).await.ok();
    api.patch("v1/configmaps/a", MERGE, &with(&at, "3")).await.refused(409, "Conflict");
    assert_eq!(api.get("v1/configmaps/a").await.ok()["data"]["k"], "2");
}

#[tokio::test]
async fn a_put_without_version_overwrites_most_built_in_kinds() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &configmap("a", json!({"k": "1"}))).await.ok();
    let put = api.put("v1/configmaps/a", &configmap("a", json!({"k": "2"}))).await.ok();
    assert_eq!(put["data"]["k"], "2");
    if h.since(23, "a PUT of a Service without its version") {
        let service = |port: u16| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": port}]}});
        let made = api.post("v1/services", &service(80)).await.ok();
        let put = api.put("v1/services/s", &service(81)).await.ok();
        assert_eq!(put["spec"]["ports"][0]["port"], 81);
        assert_eq!(put["spec"]["clusterIP"], made["spec"]["clusterIP"], "an allocated address survives such a write");
    }
    api.post("apps/v1/deployments", &deployment("d")).await.ok();
    let mut changed = deployment("d");
    changed["spec"]["minReadySeconds"] = json!(7);
    assert_eq!(api.put("apps/v1/deployments/d", &changed).await.ok()["spec"]["minReadySeconds"], 7);
}

#[tokio::test]
async fn a_put_without_version_is_invalid_for_custom_resources_and_leases() {
    let h = start_with_things().await;
    let api = h.api();
    api.post(THINGS, &thing("t", json!({"size": 1}))).await.ok();
    let put = api.put(&format!("{THINGS}/t"), &thing("t", json!({"size": 2}))).await;
    let refused = put.refused(422, "Invalid");
    assert!(message(&refused).contains("metadata.resourceVersion"), "{refused}");
    let lease = |holder: &str| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": holder}});
    api.post("coordination.k8s.io/v1/leases", &lease("a")).await.ok();
    api.put("coordination.k8s.io/v1/leases/l", &lease("b")).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    let refused = api.post("v1/configmaps", &configmap("a", json!({}))).await.refused(409, "AlreadyExists");
    assert_eq!(message(&refused), "configmaps \"a\" already exists");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let h = start_with_things().await;
    let api = h.api();
    let refused = api.get("v1/configmaps/a").await.refused(404, "NotFound");
    assert_eq!(message(&refused), "configmaps \"a\" not found");
    api.put("v1/configmaps/a", &configmap("a", json!({}))).await.refused(404, "NotFound");
    api.patch("v1/configmaps/a", MERGE, &json!({"data": {}})).await.refused(404, "NotFound");
    api.delete("v1/configmaps/a").await.refused(404, "NotFound");
    let refused = api.get(&format!("{THINGS}/a")).await.refused(404, "NotFound");
    assert_eq!(message(&refused), "things.conformance.roompin.test \"a\" not found");
    assert_eq!(api.get("nobody.roompin.test/v1/nothings").await.code, 404);
    let elsewhere = "/api/v1/namespaces/roompin-there-is-no-such/configmaps";
    let refused = api.post(elsewhere, &configmap("a", json!({}))).await.refused(404, "NotFound");
    assert_eq!(refused["details"]["kind"], "namespaces");
    assert_eq!(names(&api.get(elsewhere).await.ok()).len(), 0, "a list of a namespace that is not there is empty");
}

#[tokio::test]
async fn the_name_in_the_body_is_the_name_in_the_path() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    let mut other = made.clone();
    other["metadata"]["name"] = json!("b");
    api.put("v1/configmaps/a", &other).await.refused(400, "BadRequest");
    let mut other = configmap("c", json!({}));
    other["metadata"]["namespace"] = json!("another");
    api.post("v1/configmaps", &other).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn a_put_for_another_uid_is_a_conflict() {
    let h = start().await;
    let api = h.api();
    let mut made = api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    made["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    made["data"] = json!({"k": "1"});
    api.put("v1/configmaps/a", &made).await.refused(409, "Conflict");
}

#[tokio::test]
async fn the_last_event_of_an_object_has_a_version_of_its_own() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps", &configmap("a", json!({"k": "1"}))).await.ok();
    let mut watch = api.watch("v1/configmaps", &format!("resourceVersion={}", version(&made))).await;
    api.delete("v1/configmaps/a").await.ok();
    let (kind, object) = watch.event().await;
    assert_eq!((kind.as_str(), &object["metadata"]["name"]), ("DELETED", &json!("a")));
    assert!(version(&object) > version(&made));
    assert_eq!(object["data"]["k"], "1", "it shows the last state");
    let list = api.get("v1/configmaps").await.ok();
    assert!(version(&list) >= version(&object));
}

#[tokio::test]
async fn a_name_used_again_is_another_object() {
    let h = start().await;
    let api = h.api();
    let first = api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    api.delete("v1/configmaps/a").await.ok();
    let second = api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert!(version(&second) > version(&first));
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    let h = start().await;
    let api = h.api();
    let tried = api.post("v1/configmaps?dryRun=All", &configmap("a", json!({"k": "1"}))).await.ok();
    assert_eq!(tried["data"]["k"], "1");
    api.get("v1/configmaps/a").await.refused(404, "NotFound");
    let made = api.post("v1/configmaps", &configmap("a", json!({"k": "1"}))).await.ok();
    let tried = api.patch("v1/configmaps/a?dryRun=All", MERGE, &json!({"data": {"k": "2"}})).await.ok();
    assert_eq!(tried["data"]["k"], "2");
    api.delete("v1/configmaps/a?dryRun=All").await.ok();
    let now = api.get("v1/configmaps/a").await.ok();
    assert_eq!((&now["data"]["k"], version(&now)), (&json!("1"), version(&made)));
}
