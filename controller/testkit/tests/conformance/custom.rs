//! Custom resources: defaults, pruning, and what their definition brings.

use serde_json::json;

use crate::kit::*;

#[tokio::test]
async fn defaults_are_filled_in() {
    let h = start_with_things().await;
    let api = h.api();
    let made = api.post(THINGS, &thing("t", json!({"parts": [{"name": "a"}, {"name": "b", "weight": 1}]}))).await.ok();
    assert_eq!(made["spec"]["replicas"], 1);
    assert_eq!(made["spec"]["nested"], json!({"mode": "auto"}), "a default inside a default");
    assert_eq!(made["spec"]["parts"], json!([{"name": "a", "weight": 10}, {"name": "b", "weight": 1}]));
    assert!(made["spec"].get("size").is_none(), "no default, no value");
    let patched = api.patch(&format!("{THINGS}/t"), MERGE, &json!({"spec": {"replicas": null}})).await.ok();
    assert_eq!(patched["spec"]["replicas"], 1, "a removed field gets its default again");
    assert_eq!(version(&patched), version(&made), "which changed nothing");
}

#[tokio::test]
async fn a_null_where_none_is_allowed_is_no_value() {
    let h = start_with_things().await;
    let api = h.api();
    let made = api.post(THINGS, &thing("t", json!({"replicas": null, "maybe": null}))).await.ok();
    assert_eq!(made["spec"]["replicas"], 1);
    assert_eq!(made["spec"].get("maybe"), Some(&json!(null)), "a nullable field keeps it");
}

#[tokio::test]
async fn unknown_fields_are_pruned() {
    let h = start_with_things().await;
    let api = h.api();
    let mut object = thing(
        "t",
        json!({"size": 1, "bogus": 1, "nested": {"mode": "hand", "bogus": {"a": 1}}, "parts": [{"name": "a", "bogus": 1}], "free": {"any": {"thing": [1, 2]}}}),
    );
    object["extra"] = json!({"a": 1});
    let made = api.post(THINGS, &object).await.ok();
    assert!(made.get("extra").is_none());
    assert!(made["spec"].get("bogus").is_none());
    assert_eq!(made["spec"]["nested"], json!({"mode": "hand"}));
    assert_eq!(made["spec"]["parts"], json!([{"name": "a", "weight": 10}]));
    assert_eq!(made["spec"]["free"], json!({"any": {"thing": [1, 2]}}), "where unknown fields are to be kept");
}

#[tokio::test]
async fn int_or_string_takes_both() {
    let h = start_with_things().await;
    let api = h.api();
    for (name, port) in [("a", json!(80)), ("b", json!("http"))] {
        let made = api.post(THINGS, &thing(name, json!({"port": port}))).await.ok();
        assert_eq!(made["spec"]["port"], port);
    }
    if !h.since(21, "int-or-string") {
        return;
    }
    api.post(THINGS, &thing("c", json!({"port": true}))).await.refused(422, "Invalid");
}

#[tokio::test]
async fn the_definition_shows_in_discovery() {
    let h = start_with_things().await;
    let api = h.api();
    let groups = api.get("/apis").await.ok();
    let groups = groups["groups"].as_array().expect("groups").clone();
    let ours = groups.iter().find(|g| g["name"] == "conformance.roompin.test").expect("our group");
    assert_eq!(ours["preferredVersion"]["version"], "v1");
    let list = api.get("/apis/conformance.roompin.test/v1").await.ok();
    assert_eq!(list["kind"], "APIResourceList");
    let resources = list["resources"].as_array().expect("resources");
    let of = |name: &str| resources.iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("{name} in {list}"));
    let things = of("things");
    assert_eq!((&things["kind"], &things["namespaced"]), (&json!("Thing"), &json!(true)));
    assert_eq!(things["shortNames"], json!(["thg"]));
    let verbs = things["verbs"].as_array().expect("verbs");
    for verb in ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"] {
        assert!(verbs.contains(&json!(verb)), "{verb} in {verbs:?}");
    }
    of("things/status");
    assert_eq!(of("things/scale")["kind"], "Scale");
}

#[tokio::test]
async fn built_in_kinds_show_in_discovery() {
    let h = start().await;
    let api = h.api();
    let core = api.get("/api/v1").await.ok();
    let names: Vec<_> = core["resources"].as_array().expect("resources").iter().map(|r| r["name"].clone()).collect();
    for name in [
        "pods",
        "pods/status",
        "pods/eviction",
        "pods/binding",
        "services",
        "configmaps",
        "secrets",
        "nodes",
        "namespaces",
    ] {
        assert!(names.contains(&json!(name)), "{name}");
    }
    for (path, name) in [
        ("/apis/apps/v1", "deployments/scale"),
        ("/apis/apps/v1", "statefulsets"),
        ("/apis/coordination.k8s.io/v1", "leases"),
        ("/apis/discovery.k8s.io/v1", "endpointslices"),
        ("/apis/policy/v1", "poddisruptionbudgets/status"),
        ("/apis/networking.k8s.io/v1", "ingresses"),
        ("/apis/networking.k8s.io/v1", "networkpolicies"),
        ("/apis/events.k8s.io/v1", "events"),
        ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    ] {
        if !h.serves(path.trim_start_matches("/apis/")).await {
            continue;
        }
        let list = api.get(path).await.ok();
        let resources = list["resources"].as_array().expect("resources");
        assert!(resources.iter().any(|r| r["name"] == name), "{name} in {path}");
    }
    assert!(api.get("/version").await.ok()["gitVersion"].is_string());
}
