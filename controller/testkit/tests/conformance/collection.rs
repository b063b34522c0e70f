//! Garbage collection: an object lives as long as one of its owners.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::*;

const SOON: Duration = Duration::from_secs(90);

/// A harness with a collector, or nothing where the other end has none.
async fn collecting() -> Option<Harness> {
    let h = start_with(Actors { garbage_collector: true, ..Actors::default() }).await;
    if !h.capabilities().garbage_collector {
        skipped("garbage collection", "no controller manager runs here");
        return None;
    }
    Some(h)
}

fn owner(of: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": of["metadata"]["name"], "uid": of["metadata"]["uid"]})
}

fn owned(name: &str, owners: &[Value]) -> Value {
    let mut object = configmap(name, json!({}));
    object["metadata"]["ownerReferences"] = json!(owners);
    object
}

async fn gone(h: &Harness, path: &str) {
    let api = h.api();
    h.eventually(&format!("{path} is gone"), SOON, || async { api.get(path).await.code == 404 }).await;
}

#[tokio::test]
async fn what_is_owned_goes_with_its_owner() {
    let Some(h) = collecting().await else { return };
    let api = h.api();
    let one = api.post("v1/configmaps", &configmap("one", json!({}))).await.ok();
    let two = api.post("v1/configmaps", &owned("two", &[owner(&one)])).await.ok();
    api.post("v1/configmaps", &owned("three", &[owner(&two)])).await.ok();
    api.post("v1/configmaps", &configmap("free", json!({}))).await.ok();
    api.delete("v1/configmaps/one").await.ok();
    gone(&h, "v1/configmaps/two").await;
    gone(&h, "v1/configmaps/three").await;
    api.get("v1/configmaps/free").await.ok();
}

#[tokio::test]
async fn a_custom_resource_owns_too() {
    let Some(h) = collecting().await else { return };
    let api = h.api();
    let one = api.post(THINGS, &thing("one", json!({}))).await.ok();
    let mut owner = owner(&one);
    owner["apiVersion"] = json!("conformance.roompin.test/v1");
    owner["kind"] = json!("Thing");
    api.post("v1/configmaps", &owned("two", &[owner])).await.ok();
    api.delete(&format!("{THINGS}/one")).await.ok();
    gone(&h, "v1/configmaps/two").await;
}

#[tokio::test]
async fn an_owner_is_its_uid() {
    let Some(h) = collecting().await else { return };
    let api = h.api();
    let one = api.post("v1/configmaps", &configmap("one", json!({}))).await.ok();
    let mut wrong = owner(&one);
    wrong["uid"] = json!("00000000-0000-4000-8000-000000000000");
    api.post("v1/configmaps", &owned("mistaken", &[wrong.clone()])).await.ok();
    api.post("v1/configmaps", &owned("right", &[owner(&one)])).await.ok();
    gone(&h, "v1/configmaps/mistaken").await;
    api.get("v1/configmaps/right").await.ok();
}

#[tokio::test]
async fn one_living_owner_is_enough() {
    let Some(h) = collecting().await else { return };
    let api = h.api();
    let one = api.post("v1/configmaps", &configmap("one", json!({}))).await.ok();
    let two = api.post("v1/configmaps", &configmap("two", json!({}))).await.ok();
    api.post("v1/configmaps", &owned("both", &[owner(&one), owner(&two)])).await.ok();
    api.delete("v1/configmaps/one").await.ok();
    h.eventually("the dead owner is struck out", SOON, || async {
        let seen = api.get("v1/configmaps/both").await.ok();
        seen["metadata"]["ownerReferences"] == json!([owner(&two)])
    })
    .await;
    api.delete("v1/configmaps/two").await.ok();
    gone(&h, "v1/configmaps/both").await;
}

#[tokio::test]
async fn orphans_are_left_in_peace() {
    let Some(h) = collecting().await else { return };
    let api = h.api();
    let one = api.post("v1/configmaps", &configmap("one", json!({}))).await.ok();
    api.post("v1/configmaps", &owned("two", &[owner(&one)])).await.ok();
    // The collector must know of the second before the first goes; a real one learns by a watch.
    tokio::time::sleep(Duration::from_secs(2)).await;
    api.delete_with("v1/configmaps/one", &json!({"propagationPolicy": "Orphan"})).await.ok();
    gone(&h, "v1/configmaps/one").await;
    let left = api.get("v1/configmaps/two").await.ok();
    assert!(left["metadata"].get("ownerReferences").is_none(), "{left}");
}

#[tokio::test]
async fn in_the_foreground_the_owner_goes_last() {
    let Some(h) = collecting().await else { return };
    let api = h.api();
    let one = api.post("v1/configmaps", &configmap("one", json!({}))).await.ok();
    let mut blocking = owner(&one);
    blocking["blockOwnerDeletion"] = json!(true);
    let mut two = owned("two", &[blocking]);
    two["metadata"]["finalizers"] = json!(["roompin.test/hold"]);
    api.post("v1/configmaps", &two).await.ok();
    tokio::time::sleep(Duration::from_secs(2)).await;
    api.delete_with("v1/configmaps/one", &json!({"propagationPolicy": "Foreground"})).await.ok();
    h.eventually("the owned one is being deleted", SOON, || async {
        api.get("v1/configmaps/two").await.ok()["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    h.holds("the owner waits", Duration::from_secs(3), || async { api.get("v1/configmaps/one").await.code == 200 }).await;
    api.patch("v1/configmaps/two", MERGE, &json!({"metadata": {"finalizers": null}})).await.ok();
    gone(&h, "v1/configmaps/two").await;
    gone(&h, "v1/configmaps/one").await;
}

#[tokio::test]
async fn an_owner_in_another_namespace_does_not_count() {
    let Some(mut h) = collecting().await else { return };
    let other = h.another_namespace().await;
    let api = h.api();
    let there = format!("/api/v1/namespaces/{other}/configmaps");
    let far = api.post(&there, &configmap("far", json!({}))).await.ok();
    api.post("v1/configmaps", &owned("near", &[owner(&far)])).await.ok();
    gone(&h, "v1/configmaps/near").await;
    api.get(&format!("{there}/far")).await.ok();
}
