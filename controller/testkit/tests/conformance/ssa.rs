//! Server-side apply: who owns what, conflicts, force, and fields that are given up.

use serde_json::{Value, json};

use crate::kit::*;

const A: &str = "v1/configmaps/a";

fn conflicts(refused: &Value) -> Vec<String> {
    let causes = refused["details"]["causes"].as_array().cloned().unwrap_or_default();
    for cause in &causes {
        assert_eq!(cause["reason"], "FieldManagerConflict", "{refused}");
    }
    causes.iter().map(|c| c["field"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn an_apply_creates_what_is_not_there() {
    let h = start().await;
    let api = h.api();
    let reply = api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await;
    assert_eq!(reply.code, 201);
    let made = reply.ok();
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("one"), &json!("Apply")));
    assert_eq!((&entry["apiVersion"], &entry["fieldsType"]), (&json!("v1"), &json!("FieldsV1")));
    assert_eq!(entry["fieldsV1"], json!({"f:data": {"f:k": {}}}));
    let reply = api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await;
    assert_eq!(reply.code, 200);
    assert_eq!(version(&reply.ok()), version(&made), "the same again is no write");
}

#[tokio::test]
async fn an_apply_says_who_applies() {
    let h = start().await;
    let api = h.api();
    let body = configmap("a", json!({"k": "1"}));
    let refused = api.patch(A, testkit::harness::raw::APPLY, &body).await.refused(422, "Invalid");
    assert!(message(&refused).contains("fieldManager"), "{refused}");
    let mut recorded = body.clone();
    recorded["metadata"]["managedFields"] = json!([{"manager": "one", "operation": "Apply"}]);
    api.apply(A, "one", &recorded).await.refused(400, "BadRequest");
    let mut other = body;
    other["metadata"]["name"] = json!("b");
    let reply = api.apply(A, "one", &other).await;
    assert!((400..500).contains(&reply.code), "another name than the path's: {} {}", reply.code, reply.body);
    api.get(A).await.refused(404, "NotFound");
}

#[tokio::test]
async fn two_managers_with_two_wishes_are_in_conflict() {
    let h = start().await;
    let api = h.api();
    api.apply(A, "one", &configmap("a", json!({"k": "1", "l": "1"}))).await.ok();
    let refused = api.apply(A, "two", &configmap("a", json!({"k": "2", "m": "2"}))).await.refused(409, "Conflict");
    assert_eq!(conflicts(&refused), [".data.k"]);
    assert!(message(&refused).contains("Apply failed with 1 conflict"), "{refused}");
    assert!(message(&refused).contains("conflict with \"one\""), "{refused}");
    assert_eq!(api.get(A).await.ok()["data"], json!({"k": "1", "l": "1"}), "nothing of it was done");

    let forced = api.apply_force(A, "two", &configmap("a", json!({"k": "2", "m": "2"}))).await.ok();
    assert_eq!(forced["data"], json!({"k": "2", "l": "1", "m": "2"}));
    assert_eq!(fields_of(&forced, "one", ""), json!({"f:data": {"f:l": {}}}), "the loser no longer owns it");
    assert_eq!(fields_of(&forced, "two", ""), json!({"f:data": {"f:k": {}, "f:m": {}}}));
}

#[tokio::test]
async fn a_manager_that_lost_all_is_forgotten() {
    let h = start().await;
    let api = h.api();
    api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await.ok();
    let forced = api.apply_force(A, "two", &configmap("a", json!({"k": "2"}))).await.ok();
    assert_eq!(managers(&forced), ["two Apply"]);
}

#[tokio::test]
async fn equal_wishes_are_shared() {
    let h = start().await;
    let api = h.api();
    api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await.ok();
    let shared = api.apply(A, "two", &configmap("a", json!({"k": "1"}))).await.ok();
    assert_eq!(managers(&shared), ["one Apply", "two Apply"]);
    // One of two owners cannot change it alone.
    let refused = api.apply(A, "one", &configmap("a", json!({"k": "2"}))).await.refused(409, "Conflict");
    assert_eq!(conflicts(&refused), [".data.k"]);
    // Nor does it go while one still wants it.
    let left = api.apply(A, "one", &configmap("a", json!({}))).await.ok();
    assert_eq!(left["data"], json!({"k": "1"}));
    let gone = api.apply(A, "two", &configmap("a", json!({}))).await.ok();
    assert!(gone["data"].get("k").is_none(), "{gone}");
}

#[tokio::test]
async fn what_is_no_longer_applied_is_removed() {
    let h = start_with_things().await;
    let api = h.api();
    let path = format!("{THINGS}/t");
    let mut full = thing("t", json!({"size": 5, "labels": {"a": "1", "b": "1"}, "nested": {"mode": "hand"}}));
    full["metadata"]["labels"] = json!({"x": "1", "y": "1"});
    api.apply(&path, "one", &full).await.ok();
    let mut less = thing("t", json!({"labels": {"a": "1"}}));
    less["metadata"]["labels"] = json!({"x": "1"});
    let now = api.apply(&path, "one", &less).await.ok();
    assert_eq!(now["metadata"]["labels"], json!({"x": "1"}));
    assert_eq!(now["spec"]["labels"], json!({"a": "1"}));
    assert!(now["spec"].get("size").is_none(), "{now}");
    assert_eq!(now["spec"]["nested"]["mode"], "auto", "a removed field falls back to its default");
}

#[tokio::test]
async fn what_others_own_stays() {
    let h = start().await;
    let api = h.api();
    api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await.ok();
    api.apply(A, "two", &configmap("a", json!({"l": "2"}))).await.ok();
    api.patch(&format!("{A}?fieldManager=hand"), MERGE, &json!({"data": {"m": "3"}})).await.ok();
    let now = api.apply(A, "one", &configmap("a", json!({"n": "4"}))).await.ok();
    assert_eq!(now["data"], json!({"l": "2", "m": "3", "n": "4"}));
    assert_eq!(managers(&now), ["hand Update", "one Apply", "two Apply"]);
}

#[tokio::test]
async fn an_update_takes_what_it_changes() {
    let h = start().await;
    let api = h.api();
    api.apply(A, "one", &configmap("a", json!({"k": "1", "l": "1"}))).await.ok();
    let edited = api.patch(&format!("{A}?fieldManager=hand"), MERGE, &json!({"data": {"k": "2"}})).await.ok();
    assert_eq!(fields_of(&edited, "one", ""), json!({"f:data": {"f:l": {}}}));
    let refused = api.apply(A, "one", &configmap("a", json!({"k": "1", "l": "1"}))).await.refused(409, "Conflict");
    assert_eq!(conflicts(&refused), [".data.k"]);
    assert!(message(&refused).contains("conflict with \"hand\" using v1"), "{refused}");
    let forced = api.apply_force(A, "one", &configmap("a", json!({"k": "1", "l": "1"}))).await.ok();
    assert_eq!(forced["data"]["k"], "1", "force puts it right");
    assert_eq!(managers(&forced), ["one Apply"]);
}

#[tokio::test]
async fn an_update_owns_only_what_it_changes() {
    let h = start().await;
    let api = h.api();
    let mut made = api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await.ok();
    made["data"]["l"] = json!("2");
    let put = api.put(&format!("{A}?fieldManager=hand"), &made).await.ok();
    assert_eq!(fields_of(&put, "one", ""), json!({"f:data": {"f:k": {}}}), "an unchanged field stays with its owner");
    let now = api.apply(A, "one", &configmap("a", json!({}))).await.ok();
    assert_eq!(now["data"], json!({"l": "2"}));
}

#[tokio::test]
async fn a_removed_field_belongs_to_nobody() {
    let h = start().await;
    let api = h.api();
    api.apply(A, "one", &configmap("a", json!({"k": "1", "l": "1"}))).await.ok();
    let cut = api.patch(&format!("{A}?fieldManager=hand"), MERGE, &json!({"data": {"k": null}})).await.ok();
    assert_eq!(fields_of(&cut, "one", ""), json!({"f:data": {"f:l": {}}}));
    let back = api.apply(A, "one", &configmap("a", json!({"k": "1", "l": "1"}))).await.ok();
    assert_eq!(back["data"]["k"], "1", "and its old owner may bring it back without force");
}

#[tokio::test]
async fn a_second_wish_of_the_same_manager_is_no_conflict() {
    let h = start().await;
    let api = h.api();
    api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await.ok();
    let now = api.apply(A, "one", &configmap("a", json!({"k": "2"}))).await.ok();
    assert_eq!(now["data"]["k"], "2");
}

#[tokio::test]
async fn several_conflicts_are_all_named() {
    let h = start().await;
    let api = h.api();
    api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await.ok();
    api.apply(A, "two", &configmap("a", json!({"l": "1"}))).await.ok();
    let refused = api.apply(A, "three", &configmap("a", json!({"k": "3", "l": "3"}))).await.refused(409, "Conflict");
    let mut fields = conflicts(&refused);
    fields.sort();
    assert_eq!(fields, [".data.k", ".data.l"]);
    assert!(message(&refused).contains("Apply failed with 2 conflicts"), "{refused}");
}

#[tokio::test]
async fn status_is_owned_apart() {
    let h = start_with_things().await;
    let api = h.api();
    let (path, status) = (format!("{THINGS}/t"), format!("{THINGS}/t/status"));
    let mut both = thing("t", json!({"size": 1}));
    both["status"] = json!({"phase": "Forged"});
    let made = api.apply(&path, "one", &both).await.ok();
    assert!(made.get("status").is_none(), "{made}");
    if !h.since(22, "managed fields of each subresource") {
        return;
    }
    assert_eq!(fields_of(&made, "one", ""), json!({"f:spec": {"f:size": {}}}), "nor does it own what was dropped");

    let mut said = json!({"apiVersion": both["apiVersion"], "kind": "Thing", "metadata": {"name": "t"}});
    said["status"] = json!({"phase": "Ready", "conditions": [{"type": "Ready", "status": "True"}]});
    let now = api.apply(&status, "one", &said).await.ok();
    assert_eq!((&now["status"]["phase"], &now["spec"]["size"]), (&json!("Ready"), &json!(1)));
    assert_eq!(managers(&now), ["one Apply", "one Apply status"]);
    assert_eq!(generation(&now), 1);

    // The same manager at the main door gives up nothing behind the other.
    let now = api.apply(&path, "one", &thing("t", json!({"size": 2}))).await.ok();
    assert_eq!((&now["status"]["phase"], &now["spec"]["size"]), (&json!("Ready"), &json!(2)));
    let now = api.apply(&status, "one", &said).await.ok();
    assert_eq!(now["spec"]["size"], 2);
    said["status"].as_object_mut().expect("a status").remove("phase");
    let now = api.apply(&status, "one", &said).await.ok();
    assert!(now["status"].get("phase").is_none());
    assert_eq!(now["status"]["conditions"][0]["type"], "Ready");

    api.apply(&format!("{THINGS}/absent/status"), "one", &thing("absent", json!({}))).await.refused(404, "NotFound");
}

#[tokio::test]
async fn an_apply_may_insist_on_a_version() {
    let h = start().await;
    let api = h.api();
    let old = api.apply(A, "one", &configmap("a", json!({"k": "1"}))).await.ok();
    api.apply(A, "one", &configmap("a", json!({"k": "2"}))).await.ok();
    let mut late = configmap("a", json!({"k": "3"}));
    late["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    api.apply(A, "one", &late).await.refused(409, "Conflict");
    assert_eq!(api.get(A).await.ok()["data"]["k"], "2");
}

#[tokio::test]
async fn a_dry_apply_writes_nothing() {
    let h = start().await;
    let api = h.api();
    let tried = api.apply(&format!("{A}?dryRun=All"), "one", &configmap("a", json!({"k": "1"}))).await.ok();
    assert_eq!(tried["data"]["k"], "1");
    api.get(A).await.refused(404, "NotFound");
}
