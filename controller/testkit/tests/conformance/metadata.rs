//! Names, labels, and what the server writes into an object's metadata.

use serde_json::json;

use crate::kit::*;

#[tokio::test]
async fn the_server_gives_identity() {
    let h = start().await;
    let api = h.api();
    let mut object = configmap("a", json!({}));
    object["metadata"]["uid"] = json!("mine");
    object["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    let made = api.post("v1/configmaps", &object).await.ok();
    let uid = made["metadata"]["uid"].as_str().expect("a uid");
    assert_eq!((uid.len(), uid.matches('-').count()), (36, 4), "{uid}");
    let created = made["metadata"]["creationTimestamp"].as_str().expect("a time");
    assert_eq!((created.len(), created.ends_with('Z')), (20, true), "whole seconds, UTC: {created}");
    assert_ne!(created, "2001-01-01T00:00:00Z");
    assert_eq!(made["metadata"]["namespace"], h.namespace());
    let read = api.get("v1/configmaps/a").await.ok();
    assert_eq!(read, made, "a read shows what the write answered");
}

#[tokio::test]
async fn generated_names() {
    let h = start().await;
    let api = h.api();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}});
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let made = api.post("v1/configmaps", &object).await.ok();
        let name = made["metadata"]["name"].as_str().expect("a name").to_owned();
        assert_eq!(name.len(), 7, "five letters are added: {name}");
        assert!(name.starts_with("x-"));
        assert_eq!(made["metadata"]["generateName"], "x-");
        assert!(seen.insert(name));
    }
    let nameless = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
    let refused = api.post("v1/configmaps", &nameless).await.refused(422, "Invalid");
    assert!(message(&refused).contains("name or generateName is required"), "{refused}");
}

#[tokio::test]
async fn names_and_labels_have_rules() {
    let h = start().await;
    let api = h.api();
    for name in ["Upper", "under_score", "-first", "last-", "a..b"] {
        let refused = api.post("v1/configmaps", &configmap(name, json!({}))).await.refused(422, "Invalid");
        assert!(causes(&refused).iter().any(|(field, _)| field == "metadata.name"), "{refused}");
    }
    api.post("v1/configmaps", &configmap("with.dot", json!({}))).await.ok();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "with.dot"}, "spec": {"ports": [{"port": 80}]}});
    api.post("v1/services", &service).await.refused(422, "Invalid");
    for labels in [json!({"a": "with space"}), json!({"-a": "x"}), json!({"a": "x".repeat(64)})] {
        let refused = api.post("v1/configmaps", &labelled("l", labels)).await.refused(422, "Invalid");
        assert!(causes(&refused).iter().any(|(field, _)| field == "metadata.labels"), "{refused}");
    }
    let mut unqualified = configmap("f", json!({}));
    unqualified["metadata"]["finalizers"] = json!(["not a name"]);
    api.post("v1/configmaps", &unqualified).await.refused(422, "Invalid");
}

#[tokio::test]
async fn owners_must_be_named_whole() {
    let h = start().await;
    let api = h.api();
    let mut object = configmap("a", json!({}));
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": ""}]);
    api.post("v1/configmaps", &object).await.refused(422, "Invalid");
    let owner = |uid: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": uid, "controller": true});
    object["metadata"]["ownerReferences"] =
        json!([owner("00000000-0000-4000-8000-000000000001"), owner("00000000-0000-4000-8000-000000000002")]);
    api.post("v1/configmaps", &object).await.refused(422, "Invalid");
}

#[tokio::test]
async fn managed_fields_tell_who_wrote_what() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps?fieldManager=maker", &configmap("a", json!({"k": "1"}))).await.ok();
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("maker"), &json!("Update")));
    assert_eq!((&entry["apiVersion"], &entry["fieldsType"]), (&json!("v1"), &json!("FieldsV1")));
    assert_eq!(entry["fieldsV1"]["f:data"]["f:k"], json!({}));
    assert!(entry["time"].is_string());
    api.patch("v1/configmaps/a?fieldManager=editor", MERGE, &json!({"data": {"l": "2"}})).await.ok();
    let now = api.get("v1/configmaps/a").await.ok();
    assert_eq!(managers(&now), ["editor Update", "maker Update"]);
}
