//! What the conformance tests share: a harness under paused time, small documents, and one custom resource.

use serde_json::{Value, json};
pub(crate) use testkit::harness::raw::{JSON_PATCH, MERGE, PARTIAL, PARTIAL_LIST, STRATEGIC, TABLE};
pub(crate) use testkit::{Actors, Harness, skipped};

/// The collection of the suite's custom resource.
pub(crate) const THINGS: &str = "conformance.roompin.test/v1/things";

/// A harness without actors; the double's time is paused, so that waiting costs nothing.
pub(crate) async fn start() -> Harness {
    started(Harness::builder()).await
}

/// A harness with the suite's custom resource.
pub(crate) async fn start_with_things() -> Harness {
    started(Harness::builder().crd(things_crd())).await
}

/// A harness with these actors on the double.
pub(crate) async fn start_with(actors: Actors) -> Harness {
    started(Harness::builder().crd(things_crd()).actors(actors)).await
}

async fn started(builder: testkit::harness::Builder) -> Harness {
    let harness = builder.start().await;
    if harness.is_double() {
        tokio::time::pause();
    }
    harness
}

pub(crate) fn configmap(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(crate) fn labelled(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}})
}

pub(crate) fn thing(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "conformance.roompin.test/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

/// A pod that no real scheduler touches, so that nobody else writes to it.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "schedulerName": "nobody",
            "containers": [{"name": "main", "image": "none.invalid/none:1"}],
        },
    })
}

/// A pod on a node that does not exist: nobody runs it, and a delete has to wait for its grace.
pub(crate) fn bound_pod(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["nodeName"] = json!("no-such-node");
    pod
}

/// A Deployment that makes no pods in a real cluster: it is paused before its first ReplicaSet.
pub(crate) fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "paused": true,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "none.invalid/none:1"}]},
            },
        },
    })
}

pub(crate) fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().expect("a resourceVersion").parse().expect("a number")
}

pub(crate) fn generation(object: &Value) -> u64 {
    object["metadata"]["generation"].as_u64().expect("a generation")
}

pub(crate) fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items");
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

/// The causes of a refusal as (field, reason).
pub(crate) fn causes(status: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    causes.iter().map(|c| (text(&c["field"]), text(&c["reason"]))).collect()
}

pub(crate) fn message(status: &Value) -> &str {
    status["message"].as_str().unwrap_or_default()
}

/// The managers of an object as "manager operation subresource".
pub(crate) fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<String> = entries
        .iter()
        .map(|e| {
            let part = |key: &str| e[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", part("manager"), part("operation"), part("subresource")).trim_end().to_owned()
        })
        .collect();
    all.sort();
    all
}

/// The `fieldsV1` of one applying manager; `Null` when it has none.
pub(crate) fn fields_of(object: &Value, manager: &str, subresource: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let mine = entries.iter().find(|e| {
        e["manager"] == manager
            && e["operation"] == "Apply"
            && e["subresource"].as_str().unwrap_or_default() == subresource
    });
    mine.map_or(Value::Null, |e| e["fieldsV1"].clone())
}

/// A custom resource that has one of everything that the suite looks at.
fn things_crd() -> Value {
    let rule = |rule: &str, message: &str| json!({"rule": rule, "message": message});
    let spec = json!({
        "type": "object",
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 100},
            "replicas": {"type": "integer", "format": "int32", "default": 1},
            "colour": {"type": "string", "enum": ["red", "green"]},
            "code": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
            "fixed": {"type": "string", "maxLength": 20, "x-kubernetes-validations": [rule("self == oldSelf", "fixed cannot be changed")]},
            "low": {"type": "integer"},
            "high": {"type": "integer"},
            "port": {"x-kubernetes-int-or-string": true},
            "when": {"type": "string", "format": "date-time"},
            "maybe": {"type": "string", "nullable": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "plain": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
            "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "parts": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object", "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "weight": {"type": "integer", "default": 10},
                        "note": {"type": "string"},
                    },
                },
            },
            "nested": {
                "type": "object", "default": {},
                "properties": {
                    "mode": {"type": "string", "default": "auto"},
                    "deep": {"type": "object", "required": ["must"], "properties": {"must": {"type": "string"}}},
                },
            },
        },
        "x-kubernetes-validations": [
            rule("!has(self.low) || !has(self.high) || self.low <= self.high", "low must not be above high"),
            {"rule": "!has(self.size) || self.size != 13", "messageExpression": "'size ' + string(self.size) + ' brings bad luck'", "reason": "FieldValueForbidden", "fieldPath": ".size"},
        ],
    });
    let status = json!({
        "type": "object",
        "properties": {
            "replicas": {"type": "integer"},
            "selector": {"type": "string"},
            "phase": {"type": "string"},
            "conditions": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object", "required": ["type", "status"],
                    "properties": {"type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"}},
                },
            },
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.conformance.roompin.test"},
        "spec": {
            "group": "conformance.roompin.test",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing", "shortNames": ["thg"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
            }],
        },
    })
}
