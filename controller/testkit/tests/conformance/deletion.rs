//! Deletion: finalizers, grace, preconditions, propagation.

use serde_json::{Value, json};

use crate::kit::*;

fn held(name: &str) -> Value {
    let mut object = configmap(name, json!({"k": "1"}));
    object["metadata"]["finalizers"] = json!(["roompin.test/hold"]);
    object
}

#[tokio::test]
async fn a_delete_answers_with_success() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    let status = api.delete("v1/configmaps/a").await.ok();
    assert_eq!((&status["kind"], &status["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(status["details"]["uid"], made["metadata"]["uid"]);
    api.get("v1/configmaps/a").await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_finalizer_holds_the_object() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &held("a")).await.ok();
    let answer = api.delete("v1/configmaps/a").await.ok();
    assert_eq!(answer["kind"], "ConfigMap", "the object, for it is still there");
    assert!(answer["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(answer["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = api.delete("v1/configmaps/a").await.ok();
    assert_eq!(version(&again), version(&answer), "a second wish changes nothing");
    let changed = api.patch("v1/configmaps/a", MERGE, &json!({"data": {"k": "2"}})).await.ok();
    assert_eq!(changed["metadata"]["deletionTimestamp"], answer["metadata"]["deletionTimestamp"]);
    api.patch("v1/configmaps/a", MERGE, &json!({"metadata": {"deletionTimestamp": null}})).await.ok();
    assert!(api.get("v1/configmaps/a").await.ok()["metadata"]["deletionTimestamp"].is_string(), "it cannot be undone");
    api.post("v1/configmaps", &configmap("a", json!({}))).await.refused(409, "AlreadyExists");
    api.patch("v1/configmaps/a", MERGE, &json!({"metadata": {"finalizers": null}})).await.ok();
    api.get("v1/configmaps/a").await.refused(404, "NotFound");
}

#[tokio::test]
async fn no_finalizer_is_added_to_what_is_going() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &held("a")).await.ok();
    api.delete("v1/configmaps/a").await.ok();
    let more = json!({"metadata": {"finalizers": ["roompin.test/hold", "roompin.test/more"]}});
    let refused = api.patch("v1/configmaps/a", MERGE, &more).await.refused(422, "Invalid");
    assert!(message(&refused).contains("no new finalizers can be added if the object is being deleted"), "{refused}");
    assert!(causes(&refused).iter().any(|(field, _)| field == "metadata.finalizers"), "{refused}");
    api.patch("v1/configmaps/a", MERGE, &json!({"metadata": {"finalizers": []}})).await.ok();
    api.get("v1/configmaps/a").await.refused(404, "NotFound");
}

#[tokio::test]
async fn preconditions_guard_a_delete() {
    let h = start().await;
    let api = h.api();
    let old = api.post("v1/configmaps", &configmap("a", json!({"k": "1"}))).await.ok();
    let new = api.patch("v1/configmaps/a", MERGE, &json!({"data": {"k": "2"}})).await.ok();
    let on = |key: &str, value: &Value| json!({"preconditions": {key: value}});
    let stranger = json!("00000000-0000-4000-8000-000000000000");
    api.delete_with("v1/configmaps/a", &on("uid", &stranger)).await.refused(409, "Conflict");
    let stale = on("resourceVersion", &old["metadata"]["resourceVersion"]);
    api.delete_with("v1/configmaps/a", &stale).await.refused(409, "Conflict");
    let both = json!({"preconditions": {
        "uid": new["metadata"]["uid"], "resourceVersion": new["metadata"]["resourceVersion"],
    }});
    api.delete_with("v1/configmaps/a", &both).await.ok();
    api.get("v1/configmaps/a").await.refused(404, "NotFound");
}

#[tokio::test]
async fn an_unscheduled_pod_goes_at_once() {
    let h = start().await;
    let api = h.api();
    api.post("v1/pods", &pod("p")).await.ok();
    api.delete("v1/pods/p").await.ok();
    api.get("v1/pods/p").await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_finished_pod_goes_at_once() {
    let h = start().await;
    let api = h.api();
    for phase in ["Succeeded", "Failed"] {
        api.post("v1/pods", &bound_pod("p")).await.ok();
        api.patch("v1/pods/p/status", MERGE, &json!({"status": {"phase": phase}})).await.ok();
        api.delete("v1/pods/p").await.ok();
        api.get("v1/pods/p").await.refused(404, "NotFound");
    }
}

#[tokio::test]
async fn a_running_pod_has_its_grace() {
    let h = start().await;
    let api = h.api();
    let mut object = bound_pod("p");
    object["spec"]["terminationGracePeriodSeconds"] = json!(60);
    api.post("v1/pods", &object).await.ok();
    let going = api.delete("v1/pods/p").await.ok();
    assert_eq!((&going["kind"], &going["metadata"]["deletionGracePeriodSeconds"]), (&json!("Pod"), &json!(60)));
    let stamp = |object: &Value| -> jiff::Timestamp {
        object["metadata"]["deletionTimestamp"].as_str().expect("a time").parse().expect("a time")
    };
    let created: jiff::Timestamp = going["metadata"]["creationTimestamp"].as_str().expect("a time").parse().expect("a time");
    let ahead = stamp(&going).duration_since(created).as_secs();
    assert!((60..90).contains(&ahead), "it stands in the future: {ahead} s");

    let longer = api.delete_with("v1/pods/p", &json!({"gracePeriodSeconds": 600})).await.ok();
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 60, "grace is never made longer");
    let shorter = api.delete_with("v1/pods/p", &json!({"gracePeriodSeconds": 10})).await.ok();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 10);
    assert!(stamp(&shorter) < stamp(&going));

    api.delete("v1/pods/p?gracePeriodSeconds=0").await.ok();
    api.get("v1/pods/p").await.refused(404, "NotFound");
}

#[tokio::test]
async fn the_end_of_grace_spares_no_finalizer() {
    let h = start().await;
    let api = h.api();
    let mut object = bound_pod("p");
    object["metadata"]["finalizers"] = json!(["roompin.test/hold"]);
    api.post("v1/pods", &object).await.ok();
    api.delete("v1/pods/p").await.ok();
    api.delete_with("v1/pods/p", &json!({"gracePeriodSeconds": 0})).await.ok();
    let held = api.get("v1/pods/p").await.ok();
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 0);
    api.patch("v1/pods/p", MERGE, &json!({"metadata": {"finalizers": null}})).await.ok();
    api.get("v1/pods/p").await.refused(404, "NotFound");
}

#[tokio::test]
async fn propagation_is_a_finalizer() {
    let h = start().await;
    let api = h.api();
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        // Ours keeps it in sight where a collector would finish at once.
        api.post("v1/configmaps", &held(finalizer.to_lowercase().as_str())).await.ok();
        let path = format!("v1/configmaps/{}", finalizer.to_lowercase());
        let going = api.delete_with(&path, &json!({"propagationPolicy": policy})).await.ok();
        let finalizers = going["metadata"]["finalizers"].as_array().expect("finalizers");
        assert!(finalizers.contains(&json!(finalizer)), "{going}");
        assert!(going["metadata"]["deletionTimestamp"].is_string());
        api.patch(&path, MERGE, &json!({"metadata": {"finalizers": null}})).await.ok();
        api.get(&path).await.refused(404, "NotFound");
    }
    api.post("v1/configmaps", &configmap("background", json!({}))).await.ok();
    api.delete_with("v1/configmaps/background", &json!({"propagationPolicy": "Background"})).await.ok();
    api.get("v1/configmaps/background").await.refused(404, "NotFound");
    api.post("v1/configmaps", &configmap("wrong", json!({}))).await.ok();
    api.delete_with("v1/configmaps/wrong", &json!({"propagationPolicy": "Sideways"})).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let h = start().await;
    let api = h.api();
    for (name, role) in [("a", "x"), ("b", "x"), ("c", "y")] {
        api.post("v1/configmaps", &labelled(name, json!({"role": role}))).await.ok();
    }
    api.delete("v1/configmaps?labelSelector=role%3Dx").await.ok();
    assert_eq!(names(&api.get("v1/configmaps?labelSelector=role").await.ok()), ["c"]);
}
