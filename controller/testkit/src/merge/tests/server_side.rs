use crate::merge::{ApplyError, Writer, apply, is_noop, record_write};
use crate::schema::Schema;
use serde_json::{Value, json};

fn writer(manager: &str) -> Writer {
    at(manager, "2026-11-21T10:00:00Z")
}

fn at(manager: &str, time: &str) -> Writer {
    Writer { manager: manager.into(), subresource: None, time: time.into(), api_version: "v1".into() }
}

fn status(manager: &str) -> Writer {
    Writer { subresource: Some("status".into()), ..writer(manager) }
}

fn config_map() -> Schema {
    Schema::builtin("", "v1", "ConfigMap").unwrap()
}

fn deployment() -> Schema {
    Schema::builtin("apps", "v1", "Deployment").unwrap()
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "d"}, "data": data})
}

fn owned(object: &Value, manager: &str) -> Option<Value> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    entries.iter().find(|entry| entry["manager"] == manager).map(|entry| entry["fieldsV1"].clone())
}

fn applied(live: Option<&Value>, document: &Value, manager: &str, schema: &Schema) -> Value {
    apply(live, document, &writer(manager), false, schema).unwrap()
}

fn conflict(live: &Value, document: &Value, manager: &str, schema: &Schema) -> super::super::ApplyConflict {
    match apply(Some(live), document, &writer(manager), false, schema) {
        Err(ApplyError::Conflict(conflict)) => conflict,
        other => panic!("a conflict, not {other:?}"),
    }
}

// https://kubernetes.io/docs/reference/using-api/server-side-apply/, the first example.
#[test]
fn a_create_by_apply_is_tracked_as_the_documentation_shows() {
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "test-cm", "namespace": "default", "labels": {"test-label": "test"}},
        "data": {"key": "some value"}});
    let live = applied(None, &document, "kubectl", &config_map());
    assert_eq!(
        live["metadata"]["managedFields"],
        json!([{"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "2026-11-21T10:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:test-label": {}}}, "f:data": {"f:key": {}}}}])
    );
    assert_eq!(live["data"], json!({"key": "some value"}));
}

// The same page: kube-controller-manager updates the map and takes the value over; the next apply conflicts.
#[test]
fn an_update_takes_a_field_over_and_the_next_apply_conflicts() {
    let first = applied(None, &map(json!({"key": "some value"})), "kubectl", &config_map());
    let mut live = first.clone();
    live["data"]["key"] = json!("new value");
    record_write(Some(&first), &mut live, &writer("kube-controller-manager"), &config_map());
    assert_eq!(owned(&live, "kube-controller-manager"), Some(json!({"f:data": {"f:key": {}}})));
    assert_eq!(owned(&live, "kubectl"), None, "it owned nothing else");

    let refused = conflict(&live, &map(json!({"key": "some value"})), "kubectl", &config_map());
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"kube-controller-manager\" using v1: .data.key"
    );
    assert_eq!(refused.causes[0].field, ".data.key");
    assert_eq!(refused.causes[0].message, "conflict with \"kube-controller-manager\" using v1");

    let forced = apply(Some(&live), &map(json!({"key": "mine"})), &writer("kubectl"), true, &config_map()).unwrap();
    assert_eq!(forced["data"]["key"], "mine");
    assert_eq!(owned(&forced, "kube-controller-manager"), None);
    assert_eq!(owned(&forced, "kubectl"), Some(json!({"f:data": {"f:key": {}}})));
}

#[test]
fn several_conflicts_are_grouped_by_manager() {
    let live = applied(None, &map(json!({"a": "1", "b": "1"})), "one", &config_map());
    let refused = conflict(&live, &map(json!({"a": "2", "b": "2"})), "two", &config_map());
    assert_eq!(refused.message, "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b");
    assert_eq!(refused.causes.len(), 2);
}

#[test]
fn equal_values_are_shared_and_go_with_their_last_owner() {
    let schema = config_map();
    let live = applied(None, &map(json!({"a": "1", "b": "1"})), "one", &schema);
    let live = applied(Some(&live), &map(json!({"a": "1"})), "two", &schema);
    assert_eq!(owned(&live, "two"), Some(json!({"f:data": {"f:a": {}}})));
    let live = applied(Some(&live), &map(json!({"b": "1"})), "one", &schema);
    assert_eq!(live["data"], json!({"a": "1", "b": "1"}), "two still holds a");
    let live = applied(Some(&live), &map(json!({"c": "1"})), "two", &schema);
    assert_eq!(live["data"], json!({"b": "1", "c": "1"}), "nobody holds a");
}

#[test]
fn an_apply_that_changes_nothing_gives_back_the_very_same_object() {
    let schema = deployment();
    let document = deployment_document(json!({"replicas": 2}));
    let mut live = applied(None, &document, "ctl", &schema);
    schema.default(&mut live);
    let again = apply(Some(&live), &document, &at("ctl", "2027-01-01T00:00:00Z"), false, &schema).unwrap();
    assert_eq!(again, live);
    assert!(is_noop(&live, &again));
}

#[test]
fn a_write_that_changes_only_times_is_a_noop() {
    let a = map(json!({"a": "1"}));
    let mut old = a.clone();
    record_write(None, &mut old, &writer("x"), &config_map());
    let mut new = a;
    record_write(None, &mut new, &at("x", "2027-01-01T00:00:00Z"), &config_map());
    assert_ne!(old, new);
    assert!(is_noop(&old, &new));
    new["data"]["a"] = json!("2");
    assert!(!is_noop(&old, &new));
}

fn deployment_document(extra: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"app": "x"}}, "template": {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}],
            "env": [{"name": "A", "value": "1"}]}]}}});
    spec.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap());
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": spec})
}

#[test]
fn keyed_lists_are_owned_item_by_item_and_a_default_fills_in_a_missing_key() {
    let schema = deployment();
    let live = applied(None, &deployment_document(json!({})), "ctl", &schema);
    let expected = json!({"f:spec": {
        "f:selector": {},
        "f:template": {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {},
                "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}});
    assert_eq!(owned(&live, "ctl"), Some(expected));
}

#[test]
fn another_manager_adds_a_container_and_the_first_leaves_it_alone() {
    let schema = deployment();
    let mut live = applied(None, &deployment_document(json!({})), "ctl", &schema);
    schema.default(&mut live);
    let sidecar = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s:1"}]}}}});
    let mut both = applied(Some(&live), &sidecar, "mesh", &schema);
    schema.default(&mut both);
    let names = |object: &Value| -> Vec<String> {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        containers.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&both), ["c", "side"]);
    let again = applied(Some(&both), &deployment_document(json!({})), "ctl", &schema);
    assert_eq!(again, both);
    // The sidecar's manager abandons it: it goes as a whole, defaults and all.
    let bare = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"l": "1"}}});
    let without = applied(Some(&both), &bare, "mesh", &schema);
    assert_eq!(names(&without), ["c"]);
}

// The page's "Transferring ownership": replicas go from the user to the autoscaler.
#[test]
fn replicas_pass_to_an_autoscaler_without_a_moment_of_default() {
    let schema = deployment();
    let mut live = applied(None, &deployment_document(json!({"replicas": 3})), "user", &schema);
    schema.default(&mut live);
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(5);
    let hpa = Writer { subresource: Some("scale".into()), api_version: "apps/v1".into(), ..writer("hpa") };
    record_write(Some(&live), &mut scaled, &hpa, &schema);
    let entry = &scaled["metadata"]["managedFields"][1];
    assert_eq!((&entry["subresource"], &entry["fieldsV1"]), (&json!("scale"), &json!({"f:spec": {"f:replicas": {}}})));
    let refused = conflict(&scaled, &deployment_document(json!({"replicas": 3})), "user", &schema);
    assert!(refused.message.contains("conflict with \"hpa\" with subresource \"scale\" using apps/v1: .spec.replicas"));
    let released = applied(Some(&scaled), &deployment_document(json!({})), "user", &schema);
    assert_eq!(released["spec"]["replicas"], 5);
}

#[test]
fn an_abandoned_field_comes_back_as_its_default() {
    let schema = deployment();
    let mut live = applied(None, &deployment_document(json!({"replicas": 3, "minReadySeconds": 4})), "user", &schema);
    schema.default(&mut live);
    let mut next = applied(Some(&live), &deployment_document(json!({})), "user", &schema);
    assert_eq!(next["spec"].get("replicas"), None);
    assert_eq!(next["spec"].get("minReadySeconds"), None);
    schema.default(&mut next);
    assert_eq!(next["spec"]["replicas"], 1);
}

#[test]
fn atomic_values_are_one_field() {
    let schema = Schema::builtin("", "v1", "Service").unwrap();
    let service = |selector: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"selector": selector, "ports": [{"port": 80, "name": "http"}]}})
    };
    let live = applied(None, &service(json!({"a": "1", "b": "2"})), "one", &schema);
    assert_eq!(owned(&live, "one").unwrap()["f:spec"]["f:selector"], json!({}));
    let next = applied(Some(&live), &service(json!({"a": "1"})), "one", &schema);
    assert_eq!(next["spec"]["selector"], json!({"a": "1"}));
    let refused = conflict(&next, &service(json!({"z": "1"})), "two", &schema);
    assert_eq!(refused.causes[0].field, ".spec.selector");
}

#[test]
fn finalizers_are_a_set_and_owners_are_keyed_by_uid() {
    let schema = config_map();
    let with = |finalizers: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "finalizers": finalizers,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}})
    };
    let live = applied(None, &with(json!(["a/b"])), "one", &schema);
    assert_eq!(
        owned(&live, "one").unwrap()["f:metadata"],
        json!({"f:finalizers": {"v:\"a/b\"": {}}, "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}})
    );
    let live = applied(Some(&live), &with(json!(["c/d"])), "two", &schema);
    assert_eq!(live["metadata"]["finalizers"], json!(["a/b", "c/d"]));
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let live = applied(Some(&live), &bare, "one", &schema);
    assert_eq!(live["metadata"]["finalizers"], json!(["c/d"]));
    assert_eq!(live["metadata"]["name"], "m");
    let live = applied(Some(&live), &bare, "two", &schema);
    assert_eq!(live["metadata"], json!({"name": "m"}), "nothing left, not even managers");
}

#[test]
fn status_and_spec_have_managers_of_their_own() {
    let schema = deployment();
    let document = deployment_document(json!({"replicas": 2}));
    let live = applied(None, &document, "ctl", &schema);
    let with_status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 9}, "status": {"readyReplicas": 2,
            "conditions": [{"type": "Available", "status": "True"}]}});
    let next = apply(Some(&live), &with_status, &status("ctl"), false, &schema).unwrap();
    assert_eq!(next["spec"], live["spec"], "a status write leaves the spec alone");
    assert_eq!(next["status"]["readyReplicas"], 2);
    let entries = next["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let entry = entries.iter().find(|entry| entry["subresource"] == "status").unwrap();
    assert_eq!(
        entry["fieldsV1"],
        json!({"f:status": {"f:readyReplicas": {},
            "f:conditions": {"k:{\"type\":\"Available\"}": {".": {}, "f:type": {}, "f:status": {}}}}})
    );
    // And a main apply neither sets nor removes the status.
    let mut sneaky = document.clone();
    sneaky["status"] = json!({"readyReplicas": 7});
    let same = applied(Some(&next), &sneaky, "ctl", &schema);
    assert_eq!(same, next);
}

#[test]
fn an_update_owns_what_it_changed_and_no_more() {
    let schema = deployment();
    let mut old = deployment_document(json!({"replicas": 2}));
    schema.default(&mut old);
    record_write(None, &mut old, &writer("create"), &schema);
    let fields = owned(&old, "create").unwrap();
    assert_eq!(fields.get("f:metadata"), None, "name and namespace are nobody's");
    let container = &fields["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"];
    assert_eq!(container["f:imagePullPolicy"], json!({}), "defaults belong to who creates");
    assert_eq!(
        fields["f:spec"]["f:strategy"]["f:rollingUpdate"],
        json!({".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}})
    );
    assert_eq!(fields.get("f:status"), None);

    let mut new = old.clone();
    new["spec"]["replicas"] = json!(3);
    new["metadata"]["annotations"] = json!({"a": "b"});
    record_write(Some(&old), &mut new, &writer("edit"), &schema);
    assert_eq!(
        owned(&new, "edit"),
        Some(json!({"f:metadata": {"f:annotations": {".": {}, "f:a": {}}}, "f:spec": {"f:replicas": {}}}))
    );
    assert_eq!(owned(&new, "create").unwrap()["f:spec"].get("f:replicas"), None);

    let mut same = new.clone();
    record_write(Some(&new), &mut same, &at("third", "2028-01-01T00:00:00Z"), &schema);
    assert_eq!(same, new);

    let mut removed = new.clone();
    removed["metadata"].as_object_mut().unwrap().remove("annotations");
    record_write(Some(&new), &mut removed, &writer("third"), &schema);
    assert_eq!(owned(&removed, "edit"), Some(json!({"f:spec": {"f:replicas": {}}})));
    assert_eq!(owned(&removed, "third"), None, "removing owns nothing");
}

// "Clearing managedFields": one empty entry clears, an empty list does not.
#[test]
fn managed_fields_are_cleared_by_one_empty_entry_only() {
    let schema = config_map();
    let live = applied(None, &map(json!({"a": "1"})), "one", &schema);
    let mut kept = live.clone();
    kept["metadata"]["managedFields"] = json!([]);
    record_write(Some(&live), &mut kept, &writer("x"), &schema);
    assert_eq!(kept, live);
    let mut cleared = live.clone();
    cleared["metadata"]["managedFields"] = json!([{}]);
    record_write(Some(&live), &mut cleared, &writer("x"), &schema);
    assert_eq!(cleared["metadata"].get("managedFields"), None);
    // The first apply to an untracked object gives all of it to a manager of its own.
    let next = applied(Some(&cleared), &map(json!({"a": "1", "b": "2"})), "one", &schema);
    assert_eq!(owned(&next, "before-first-apply"), Some(json!({"f:data": {".": {}, "f:a": {}}})));
    let refused = conflict(&cleared, &map(json!({"a": "9"})), "one", &schema);
    assert_eq!(refused.causes[0].manager, "before-first-apply");
}

#[test]
fn what_does_not_fit_the_schema_is_refused() {
    let refuse = |document: &Value, schema: &Schema| match apply(None, document, &writer("x"), true, schema) {
        Err(ApplyError::Refused(error)) => (error.code, error.message),
        other => panic!("a refusal, not {other:?}"),
    };
    let (code, message) = refuse(&deployment_document(json!({"foo": 1})), &deployment());
    assert_eq!(code, 500);
    assert_eq!(
        message,
        "failed to create typed patch object (n/d; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"
    );
    let mut twice = deployment_document(json!({}));
    twice["spec"]["template"]["spec"]["containers"] = json!([{"name": "a"}, {"name": "a"}]);
    let (_, message) = refuse(&twice, &deployment());
    assert!(message.ends_with(".spec.template.spec.containers: duplicate entries for key [name=\"a\"]"), "{message}");
    let mut held = map(json!({}));
    held["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert_eq!(refuse(&held, &config_map()), (400, "metadata.managedFields must be nil".to_owned()));
}

#[test]
fn custom_resources_merge_as_their_schema_marks_them() {
    let schema = Schema::from_crd(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "plain": {"type": "array", "items": {"type": "string"}},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"}}}},
        "one": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}));
    let document = |spec: Value| json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x"}, "spec": spec});
    let first = json!({"plain": ["a"], "set": ["a"], "keyed": [{"name": "a", "v": 1}], "one": {"a": "1"},
        "free": {"deep": {"er": [1]}}});
    let live = applied(None, &document(first.clone()), "one", &schema);
    assert_eq!(
        owned(&live, "one"),
        Some(json!({"f:spec": {"f:plain": {}, "f:set": {"v:\"a\"": {}}, "f:one": {},
            "f:keyed": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:v": {}}},
            "f:free": {"f:deep": {".": {}, "f:er": {}}}}}))
    );
    let second = json!({"set": ["b"], "keyed": [{"name": "b"}], "free": {"other": 1}});
    let live = applied(Some(&live), &document(second), "two", &schema);
    assert_eq!(live["spec"]["set"], json!(["a", "b"]));
    assert_eq!(live["spec"]["free"], json!({"deep": {"er": [1]}, "other": 1}));
    let live = applied(Some(&live), &document(json!({})), "one", &schema);
    assert_eq!(live["spec"], json!({"set": ["b"], "keyed": [{"name": "b"}], "free": {"other": 1}}));
}
