//! Server-side apply inside lists: by key, as a set, or as one piece.

use serde_json::{Value, json};

use crate::kit::*;

const D: &str = "apps/v1/deployments/d";

/// What a second manager applies to a Deployment: some containers and nothing else.
fn containers(list: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": list}}},
    })
}

fn container<'a>(deployment: &'a Value, name: &str) -> Option<&'a Value> {
    let all = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
    all.iter().find(|c| c["name"] == name)
}

#[tokio::test]
async fn containers_merge_by_name() {
    let h = start().await;
    let api = h.api();
    api.apply(D, "one", &deployment("d")).await.ok();
    let side = json!([{"name": "side", "image": "none.invalid/side:1"}]);
    let both = api.apply(D, "two", &containers(side)).await.ok();
    assert_eq!(container(&both, "main").expect("still there")["image"], "none.invalid/none:1");
    assert_eq!(container(&both, "side").expect("added")["image"], "none.invalid/side:1");
    let again = api.apply(D, "one", &deployment("d")).await.ok();
    assert!(container(&again, "side").is_some(), "another's container stays");
    assert_eq!(generation(&again), generation(&both));
    let fields = fields_of(&both, "two", "");
    let mine = &fields["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"side\"}"];
    assert_eq!(mine, &json!({".": {}, "f:image": {}, "f:name": {}}), "{fields}");
    let bare = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
    let without = api.apply(D, "two", &bare).await.ok();
    assert!(container(&without, "side").is_none() && container(&without, "main").is_some(), "{without}");
}

#[tokio::test]
async fn env_and_ports_merge_by_their_keys() {
    let h = start().await;
    let api = h.api();
    let mut mine = deployment("d");
    let main = &mut mine["spec"]["template"]["spec"]["containers"][0];
    main["env"] = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]);
    main["ports"] = json!([{"containerPort": 80, "name": "http"}]);
    api.apply(D, "one", &mine).await.ok();
    let extra = json!([{
        "name": "main",
        "env": [{"name": "C", "value": "3"}],
        "ports": [{"containerPort": 80, "protocol": "UDP", "name": "quic"}],
    }]);
    let both = api.apply(D, "two", &containers(extra)).await.ok();
    let main = container(&both, "main").expect("there");
    let mut env: Vec<_> = main["env"].as_array().expect("env").iter().map(|e| e["name"].clone()).collect();
    env.sort_by_key(ToString::to_string);
    assert_eq!(env, [json!("A"), json!("B"), json!("C")]);
    assert_eq!(main["ports"].as_array().expect("ports").len(), 2, "one port in two protocols: {main}");

    let clash = json!([{"name": "main", "env": [{"name": "A", "value": "2"}]}]);
    let refused = api.apply(D, "three", &containers(clash)).await.refused(409, "Conflict");
    let field = ".spec.template.spec.containers[name=\"main\"].env[name=\"A\"].value";
    assert!(causes(&refused).contains(&(field.to_owned(), "FieldManagerConflict".to_owned())), "{refused}");

    mine["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "B", "value": "1"}]);
    let now = api.apply(D, "one", &mine).await.ok();
    let main = container(&now, "main").expect("there");
    let mut env: Vec<_> = main["env"].as_array().expect("env").iter().map(|e| e["name"].clone()).collect();
    env.sort_by_key(ToString::to_string);
    assert_eq!(env, [json!("B"), json!("C")], "mine is removed, the other's stays");
}

#[tokio::test]
async fn service_ports_merge_by_port_and_protocol() {
    let h = start().await;
    let api = h.api();
    let by_default = h.since(21, "the default protocol in an apply of a Service");
    let service = |mut ports: Value| {
        if !by_default {
            ports[0]["protocol"] = json!("TCP");
        }
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}})
    };
    api.apply("v1/services/s", "one", &service(json!([{"name": "a", "port": 80}]))).await.ok();
    let both =
        api.apply("v1/services/s", "two", &service(json!([{"name": "b", "port": 81, "protocol": "TCP"}]))).await.ok();
    assert_eq!(both["spec"]["ports"].as_array().expect("ports").len(), 2);
    let again = api.apply("v1/services/s", "one", &service(json!([{"name": "a", "port": 80}]))).await.ok();
    assert_eq!(version(&again), version(&both), "filled-in fields are no change");
    let moved = api.apply("v1/services/s", "one", &service(json!([{"name": "a", "port": 90}]))).await.ok();
    let mut ports: Vec<_> =
        moved["spec"]["ports"].as_array().expect("ports").iter().filter_map(|p| p["port"].as_u64()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [81, 90]);
}

#[tokio::test]
async fn an_unkeyed_list_is_one_piece() {
    let h = start_with_things().await;
    let api = h.api();
    let path = format!("{THINGS}/t");
    api.apply(&path, "one", &thing("t", json!({"plain": ["a", "b"]}))).await.ok();
    let refused = api.apply(&path, "two", &thing("t", json!({"plain": ["a"]}))).await.refused(409, "Conflict");
    assert!(causes(&refused).contains(&(".spec.plain".to_owned(), "FieldManagerConflict".to_owned())), "{refused}");
    let now = api.apply_force(&path, "two", &thing("t", json!({"plain": ["c"]}))).await.ok();
    assert_eq!(now["spec"]["plain"], json!(["c"]));
}

#[tokio::test]
async fn a_set_is_owned_value_by_value() {
    let h = start_with_things().await;
    let api = h.api();
    let path = format!("{THINGS}/t");
    api.apply(&path, "one", &thing("t", json!({"set": ["a", "b"]}))).await.ok();
    let both = api.apply(&path, "two", &thing("t", json!({"set": ["b", "c"]}))).await.ok();
    let set = |object: &Value| {
        let mut all: Vec<String> =
            object["spec"]["set"].as_array().expect("a set").iter().map(ToString::to_string).collect();
        all.sort();
        all.join(",")
    };
    assert_eq!(set(&both), "\"a\",\"b\",\"c\"");
    let less = api.apply(&path, "one", &thing("t", json!({}))).await.ok();
    assert_eq!(set(&less), "\"b\",\"c\"");
    assert_eq!(fields_of(&less, "two", "")["f:spec"]["f:set"], json!({"v:\"b\"": {}, "v:\"c\"": {}}));
}

#[tokio::test]
async fn a_map_list_of_a_custom_resource_merges_by_key() {
    let h = start_with_things().await;
    let api = h.api();
    let path = format!("{THINGS}/t");
    api.apply(&path, "one", &thing("t", json!({"parts": [{"name": "a", "weight": 1}, {"name": "b"}]}))).await.ok();
    let both =
        api.apply(&path, "two", &thing("t", json!({"parts": [{"name": "b", "note": "n"}, {"name": "c"}]}))).await.ok();
    let part = |object: &Value, name: &str| {
        object["spec"]["parts"].as_array().and_then(|all| all.iter().find(|p| p["name"] == name).cloned())
    };
    assert_eq!(part(&both, "a"), Some(json!({"name": "a", "weight": 1})));
    assert_eq!(part(&both, "b"), Some(json!({"name": "b", "weight": 10, "note": "n"})));
    assert_eq!(part(&both, "c"), Some(json!({"name": "c", "weight": 10})));
    let less = api.apply(&path, "one", &thing("t", json!({"parts": [{"name": "a", "weight": 1}]}))).await.ok();
    assert!(part(&less, "b").is_some(), "the other still wants it");
    let less = api.apply(&path, "two", &thing("t", json!({"parts": [{"name": "c"}]}))).await.ok();
    assert!(part(&less, "b").is_none());
}

#[tokio::test]
async fn conditions_have_an_owner_each() {
    let h = start_with_things().await;
    let api = h.api();
    let path = format!("{THINGS}/t/status");
    api.post(THINGS, &thing("t", json!({}))).await.ok();
    let say = |kind: &str, status: &str| {
        json!({
            "apiVersion": "conformance.roompin.test/v1", "kind": "Thing", "metadata": {"name": "t"},
            "status": {"conditions": [{"type": kind, "status": status}]},
        })
    };
    api.apply(&path, "one", &say("Available", "True")).await.ok();
    let both = api.apply(&path, "two", &say("Progressing", "False")).await.ok();
    assert_eq!(both["status"]["conditions"].as_array().expect("conditions").len(), 2);
    let refused = api.apply(&path, "two", &say("Available", "False")).await.refused(409, "Conflict");
    let field = ".status.conditions[type=\"Available\"].status";
    assert!(causes(&refused).contains(&(field.to_owned(), "FieldManagerConflict".to_owned())), "{refused}");
}

#[tokio::test]
async fn finalizers_and_owners_are_shared() {
    let h = start().await;
    let api = h.api();
    let path = "v1/configmaps/a";
    let owners: Vec<Value> = {
        let mut all = Vec::new();
        for name in ["o1", "o2"] {
            let made = api.post("v1/configmaps", &configmap(name, json!({}))).await.ok();
            all.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made["metadata"]["uid"]}));
        }
        all
    };
    let say = |finalizer: &str, owner: &Value| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "finalizers": [finalizer], "ownerReferences": [owner]},
        })
    };
    api.apply(path, "one", &say("roompin.test/one", &owners[0])).await.ok();
    let both = api.apply(path, "two", &say("roompin.test/two", &owners[1])).await.ok();
    assert_eq!(both["metadata"]["finalizers"].as_array().expect("finalizers").len(), 2);
    assert_eq!(both["metadata"]["ownerReferences"].as_array().expect("owners").len(), 2);
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let now = api.apply(path, "one", &bare).await.ok();
    assert_eq!(now["metadata"]["finalizers"], json!(["roompin.test/two"]));
    assert_eq!(now["metadata"]["ownerReferences"], json!([owners[1]]));
    api.apply(path, "two", &bare).await.ok();
}

#[tokio::test]
async fn replicas_may_be_left_to_another() {
    let h = start().await;
    let api = h.api();
    let mut mine = deployment("d");
    mine["spec"].as_object_mut().expect("a spec").remove("replicas");
    let made = api.apply(D, "controller", &mine).await.ok();
    assert_eq!(made["spec"]["replicas"], 1);
    assert!(fields_of(&made, "controller", "")["f:spec"].get("f:replicas").is_none(), "a default is nobody's wish");
    api.patch(&format!("{D}/scale?fieldManager=scaler"), MERGE, &json!({"spec": {"replicas": 3}})).await.ok();
    let now = api.apply(D, "controller", &mine).await.ok();
    assert_eq!(now["spec"]["replicas"], 3);
}
