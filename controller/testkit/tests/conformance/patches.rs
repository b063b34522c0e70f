//! Merge, strategic merge and JSON patches.

use serde_json::json;

use crate::kit::*;

#[tokio::test]
async fn a_merge_patch_sets_keeps_and_removes() {
    let h = start_with_things().await;
    let api = h.api();
    api.post("v1/configmaps", &configmap("a", json!({"keep": "1", "drop": "1", "change": "1"}))).await.ok();
    let patch = json!({"data": {"drop": null, "change": "2", "new": "3", "never": null}});
    let patched = api.patch("v1/configmaps/a", MERGE, &patch).await.ok();
    assert_eq!(patched["data"], json!({"keep": "1", "change": "2", "new": "3"}));

    let path = format!("{THINGS}/t");
    api.post(THINGS, &thing("t", json!({"plain": ["x", "y"], "nested": {"mode": "hand"}}))).await.ok();
    let patched = api.patch(&path, MERGE, &json!({"spec": {"plain": ["z"], "labels": {"a": "1"}}})).await.ok();
    assert_eq!(patched["spec"]["plain"], json!(["z"]), "a list is replaced whole");
    assert_eq!(patched["spec"]["labels"], json!({"a": "1"}));
    assert_eq!(patched["spec"]["nested"]["mode"], "hand");
}

#[tokio::test]
async fn a_strategic_patch_merges_lists_by_key() {
    let h = start().await;
    let api = h.api();
    let mut made = deployment("d");
    made["spec"]["template"]["spec"]["containers"] = json!([
        {"name": "one", "image": "none.invalid/one:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]},
        {"name": "two", "image": "none.invalid/two:1", "args": ["a", "b"]},
    ]);
    api.post("apps/v1/deployments", &made).await.ok();
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "one", "image": "none.invalid/one:2", "env": [{"name": "B", "value": "2"}, {"name": "A", "$patch": "delete"}]},
        {"name": "two", "args": ["c"]},
        {"name": "three", "image": "none.invalid/three:1"},
    ]}}}});
    let patched = api.patch("apps/v1/deployments/d", STRATEGIC, &patch).await.ok();
    let containers = patched["spec"]["template"]["spec"]["containers"].as_array().expect("containers");
    let of = |name: &str| containers.iter().find(|c| c["name"] == name).expect("the container");
    assert_eq!(containers.len(), 3);
    assert_eq!(of("one")["image"], "none.invalid/one:2");
    assert_eq!(of("one")["env"], json!([{"name": "B", "value": "2"}]));
    assert_eq!(of("two")["image"], "none.invalid/two:1");
    assert_eq!(of("two")["args"], json!(["c"]), "a list without a key is replaced");

    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "two", "$patch": "delete"}]}}}});
    let patched = api.patch("apps/v1/deployments/d", STRATEGIC, &patch).await.ok();
    assert_eq!(patched["spec"]["template"]["spec"]["containers"].as_array().expect("containers").len(), 2);

    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"$patch": "replace"}, {"name": "only", "image": "none.invalid/only:1"},
    ]}}}});
    let patched = api.patch("apps/v1/deployments/d", STRATEGIC, &patch).await.ok();
    let containers = patched["spec"]["template"]["spec"]["containers"].as_array().expect("containers");
    assert_eq!((containers.len(), &containers[0]["name"]), (1, &json!("only")));
}

#[tokio::test]
async fn a_strategic_patch_adds_to_finalizers() {
    let h = start().await;
    let api = h.api();
    let mut made = configmap("a", json!({}));
    made["metadata"]["finalizers"] = json!(["roompin.test/one"]);
    api.post("v1/configmaps", &made).await.ok();
    let patch = json!({"metadata": {"finalizers": ["roompin.test/two"]}});
    let patched = api.patch("v1/configmaps/a", STRATEGIC, &patch).await.ok();
    let finalizers = patched["metadata"]["finalizers"].as_array().expect("finalizers");
    assert!(finalizers.contains(&json!("roompin.test/one")) && finalizers.contains(&json!("roompin.test/two")));
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["roompin.test/one"]}});
    let patched = api.patch("v1/configmaps/a", STRATEGIC, &patch).await.ok();
    assert_eq!(patched["metadata"]["finalizers"], json!(["roompin.test/two"]));
}

#[tokio::test]
async fn custom_resources_take_no_strategic_patch() {
    let h = start_with_things().await;
    let api = h.api();
    api.post(THINGS, &thing("t", json!({}))).await.ok();
    let reply = api.patch(&format!("{THINGS}/t"), STRATEGIC, &json!({"spec": {"size": 2}})).await;
    reply.refused(415, "UnsupportedMediaType");
    api.patch("v1/configmaps/a", "text/plain", &json!({})).await.refused(415, "UnsupportedMediaType");
}

#[tokio::test]
async fn a_json_patch_adds_removes_replaces_and_tests() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &configmap("a", json!({"one": "1", "two": "2"}))).await.ok();
    let patch = json!([
        {"op": "test", "path": "/data/one", "value": "1"},
        {"op": "replace", "path": "/data/one", "value": "11"},
        {"op": "remove", "path": "/data/two"},
        {"op": "add", "path": "/data/three", "value": "3"},
        {"op": "copy", "from": "/data/three", "path": "/data/four"},
        {"op": "move", "from": "/data/three", "path": "/data/five"},
        {"op": "add", "path": "/metadata/annotations", "value": {"roompin.test/with-slash": "x"}},
    ]);
    let patched = api.patch("v1/configmaps/a", JSON_PATCH, &patch).await.ok();
    assert_eq!(patched["data"], json!({"one": "11", "four": "3", "five": "3"}));
    let patch = json!([{"op": "remove", "path": "/metadata/annotations/roompin.test~1with-slash"}]);
    let patched = api.patch("v1/configmaps/a", JSON_PATCH, &patch).await.ok();
    assert!(patched["metadata"].get("annotations").is_none_or(|a| a == &json!({})), "{patched}");
}

#[tokio::test]
async fn a_json_patch_whose_test_fails_changes_nothing() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps", &configmap("a", json!({"one": "1"}))).await.ok();
    let patch = json!([
        {"op": "replace", "path": "/data/one", "value": "2"},
        {"op": "test", "path": "/data/one", "value": "1"},
    ]);
    api.patch("v1/configmaps/a", JSON_PATCH, &patch).await.refused(422, "Invalid");
    let patch = json!([{"op": "remove", "path": "/data/nothing"}]);
    api.patch("v1/configmaps/a", JSON_PATCH, &patch).await.refused(422, "Invalid");
    let now = api.get("v1/configmaps/a").await.ok();
    assert_eq!(version(&now), version(&made));
}

#[tokio::test]
async fn a_json_test_takes_what_is_missing_for_null() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    let add = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["roompin.test/hold"]},
    ]);
    let patched = api.patch("v1/configmaps/a", JSON_PATCH, &add).await.ok();
    assert_eq!(patched["metadata"]["finalizers"], json!(["roompin.test/hold"]));
    api.patch("v1/configmaps/a", JSON_PATCH, &add).await.refused(422, "Invalid");
    let remove = json!([
        {"op": "test", "path": "/metadata/finalizers/0", "value": "roompin.test/hold"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
    ]);
    let patched = api.patch("v1/configmaps/a", JSON_PATCH, &remove).await.ok();
    assert!(patched["metadata"].get("finalizers").is_none(), "{patched}");
}

#[tokio::test]
async fn a_patch_that_is_no_patch_is_a_bad_request() {
    let h = start().await;
    let api = h.api();
    api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    api.patch("v1/configmaps/a", JSON_PATCH, &json!({"op": "add"})).await.refused(400, "BadRequest");
    let force = api.patch("v1/configmaps/a?force=true", MERGE, &json!({"data": {"k": "1"}})).await;
    let refused = force.refused(422, "Invalid");
    assert!(message(&refused).contains("force"), "{refused}");
}

#[tokio::test]
async fn a_patch_cannot_change_what_identifies_an_object() {
    let h = start().await;
    let api = h.api();
    let made = api.post("v1/configmaps", &configmap("a", json!({}))).await.ok();
    let past = json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 77}});
    let patched = api.patch("v1/configmaps/a", MERGE, &past).await;
    // Some servers ignore it and some refuse it; none does it.
    assert!(patched.code == 200 || patched.code == 422, "{} {}", patched.code, patched.body);
    let now = api.get("v1/configmaps/a").await.ok();
    assert_eq!(now["metadata"]["creationTimestamp"], made["metadata"]["creationTimestamp"]);
    let other = api.patch("v1/configmaps/a", MERGE, &json!({"metadata": {"name": "b"}})).await;
    assert!((400..500).contains(&other.code), "{} {}", other.code, other.body);
}
