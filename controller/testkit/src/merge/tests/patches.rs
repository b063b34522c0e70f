use crate::merge::{json_patch, merge_patch, strategic};
use crate::schema::Schema;
use serde_json::{Value, json};

fn deployment(containers: &Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": containers}}}})
}

fn patched(live: &Value, patch: &Value) -> Value {
    strategic(live, patch, &Schema::builtin("apps", "v1", "Deployment").unwrap()).unwrap()
}

// https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
#[test]
fn the_documented_strategic_patch_adds_a_container_and_replaces_tolerations() {
    let live = json!({"spec": {"template": {"spec": {
        "containers": [{"name": "patch-demo-ctr", "image": "nginx"}],
        "tolerations": [{"effect": "NoSchedule", "key": "dedicated", "value": "test-team"}]}}}});
    let patch = json!({"spec": {"template": {"spec": {
        "containers": [{"name": "patch-demo-ctr-2", "image": "redis"}],
        "tolerations": [{"effect": "NoSchedule", "key": "disktype", "value": "ssd"}]}}}});
    let out = patched(&live, &patch);
    let spec = &out["spec"]["template"]["spec"];
    assert_eq!(
        spec["containers"],
        json!([{"name": "patch-demo-ctr", "image": "nginx"}, {"name": "patch-demo-ctr-2", "image": "redis"}])
    );
    assert_eq!(spec["tolerations"], patch["spec"]["template"]["spec"]["tolerations"]);
    // The page's merge patch replaces the list instead.
    let merged = merge_patch(&live, &patch);
    assert_eq!(merged["spec"]["template"]["spec"]["containers"], patch["spec"]["template"]["spec"]["containers"]);
}

// The same page, "retainKeys".
#[test]
fn retain_keys_drops_what_the_other_strategy_left() {
    let live = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "30%"}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(patched(&live, &patch), json!({"spec": {"strategy": {"type": "Recreate"}}}));
    let wrong = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate", "rollingUpdate": {}}}});
    let schema = Schema::builtin("apps", "v1", "Deployment").unwrap();
    assert_eq!(strategic(&live, &wrong, &schema).unwrap_err().code, 400);
}

#[test]
fn the_patch_directives_delete_and_replace() {
    let live = deployment(&json!([{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]));
    let delete = deployment(&json!([{"name": "b", "$patch": "delete"}]));
    assert_eq!(
        patched(&live, &delete),
        deployment(&json!([{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}]))
    );
    let replace_list = deployment(&json!([{"$patch": "replace"}, {"name": "c"}]));
    assert_eq!(patched(&live, &replace_list), deployment(&json!([{"name": "c"}])));
    let replace_item = deployment(&json!([{"name": "a", "$patch": "merge", "image": null}]));
    assert_eq!(
        patched(&live, &replace_item),
        deployment(&json!([{"name": "a", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]))
    );
    let gone = json!({"spec": {"template": {"$patch": "delete"}}});
    assert_eq!(patched(&live, &gone), json!({"spec": {}}));
    let whole = json!({"spec": {"$patch": "replace", "paused": true}});
    assert_eq!(patched(&live, &whole), json!({"spec": {"paused": true}}));
    let odd = json!({"spec": {"$patch": "odd"}});
    let schema = Schema::builtin("apps", "v1", "Deployment").unwrap();
    assert_eq!(strategic(&live, &odd, &schema).unwrap_err().code, 400);
    let keyless = deployment(&json!([{"image": "1"}]));
    assert!(strategic(&live, &keyless, &schema).unwrap_err().message.contains("merge key: name"));
}

#[test]
fn element_order_is_kept_as_asked_with_the_servers_own_in_between() {
    let live = deployment(&json!([{"name": "a"}, {"name": "srv"}, {"name": "b"}]));
    let patch = json!({"spec": {"template": {"spec": {
        "$setElementOrder/containers": [{"name": "b"}, {"name": "new"}, {"name": "a"}],
        "containers": [{"name": "new", "image": "n"}]}}}});
    let out = patched(&live, &patch);
    let names: Vec<&str> = out["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["srv", "b", "new", "a"]);
    let only_order =
        json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}}});
    let out = patched(&deployment(&json!([{"name": "a"}, {"name": "b"}])), &only_order);
    assert_eq!(out, deployment(&json!([{"name": "b"}, {"name": "a"}])));
}

#[test]
fn lists_of_words_are_joined_and_cut() {
    let live = json!({"metadata": {"finalizers": ["a/a", "b/b"]}});
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"], "finalizers": ["c/c", "b/b"]}});
    assert_eq!(patched(&live, &patch), json!({"metadata": {"finalizers": ["b/b", "c/c"]}}));
}

// RFC 7386, appendix A.
#[test]
fn the_rfcs_merge_patches() {
    for (live, patch, expected) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(merge_patch(&live, &patch), expected, "{live} with {patch}");
    }
}

#[test]
fn json_patches_of_the_finalizer_helper_work() {
    let bare = json!({"metadata": {"name": "x"}});
    let first = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]}]);
    let with = json_patch(&bare, &first).unwrap();
    assert_eq!(with["metadata"]["finalizers"], json!(["a/b"]));
    let failed = json_patch(&with, &first).unwrap_err();
    assert_eq!((failed.code, failed.reason), (422, "Invalid"));
    assert!(failed.message.contains("testing value /metadata/finalizers failed"), "{failed}");
    let remove = json!([
        {"op": "test", "path": "/metadata/finalizers/0", "value": "a/b"},
        {"op": "remove", "path": "/metadata/finalizers/0"}]);
    assert_eq!(json_patch(&with, &remove).unwrap()["metadata"]["finalizers"], json!([]));
}

#[test]
fn json_patch_operations_follow_the_rfc() {
    let live = json!({"a/b": [1, 2], "m~n": {"k": "v"}});
    let out = json_patch(
        &live,
        &json!([
            {"op": "add", "path": "/a~1b/1", "value": 9},
            {"op": "add", "path": "/a~1b/-", "value": 3},
            {"op": "replace", "path": "/m~0n/k", "value": null},
            {"op": "copy", "from": "/a~1b/0", "path": "/c"},
            {"op": "move", "from": "/c", "path": "/d"}]),
    );
    assert_eq!(out.unwrap(), json!({"a/b": [1, 9, 2, 3], "m~n": {"k": null}, "d": 1}));
    for bad in [
        json!([{"op": "remove", "path": "/none"}]),
        json!([{"op": "replace", "path": "/none", "value": 1}]),
        json!([{"op": "add", "path": "/none/deep", "value": 1}]),
        json!([{"op": "add", "path": "/a~1b/9", "value": 1}]),
        json!([{"op": "move", "from": "/m~0n", "path": "/m~0n/k"}]),
    ] {
        assert_eq!(json_patch(&live, &bad).unwrap_err().code, 422, "{bad}");
    }
    for bad in [json!({"op": "add"}), json!([{"op": "odd", "path": "/a"}]), json!([{"op": "remove", "path": "a"}])] {
        assert_eq!(json_patch(&live, &bad).unwrap_err().code, 400, "{bad}");
    }
}
