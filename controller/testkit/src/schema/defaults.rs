//! What the API server fills in: CRD defaults, and the defaults of Kubernetes' own kinds.
//!
//! The built-in ones are those a client meets. A controller that compares before it writes must bear with all of them.

mod objects;
mod pod;
mod quantity;
mod service;
mod workload;

use super::node::{Kind, Node, Others};
use serde_json::{Map, Value};

pub(super) use quantity::holds as is_quantity;

/// Fills in the defaults that a structural schema gives.
pub(super) fn structural(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, child) in &node.fields {
                let Some(default) = &child.default else { continue };
                // A null that may not be one makes way for the default.
                if fields.get(name).is_none_or(|field| field.is_null() && !child.nullable) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, field) in fields.iter_mut() {
                match (node.fields.get(name), &node.others) {
                    (Some(child), _) => structural(child, field),
                    (None, Others::Node(child)) => {
                        if let (true, false, Some(default)) = (field.is_null(), child.nullable, &child.default) {
                            *field = default.clone();
                        }
                        structural(child, field);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            let Some(child) = &node.items else { return };
            for item in items {
                if let (true, false, Some(default)) = (item.is_null(), child.nullable, &child.default) {
                    *item = default.clone();
                }
                structural(child, item);
            }
        }
        _ => {}
    }
}

/// Fields that Go leaves out when they are false or 0, because they are no pointers there.
const DROPPED_WHEN_ZERO: &[&str] = &[
    "availableReplicas",
    "currentReplicas",
    "fullyLabeledReplicas",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "paused",
    "publishNotReadyAddresses",
    "readOnly",
    "readyReplicas",
    "stdin",
    "stdinOnce",
    "tty",
    "unavailableReplicas",
    "unschedulable",
    "updatedReplicas",
];

/// Fields that Go leaves out when they are empty strings.
const DROPPED_WHEN_BLANK: &[&str] = &[
    "clusterIP",
    "deletionTimestamp",
    "externalName",
    "externalTrafficPolicy",
    "generateName",
    "hostIP",
    "hostname",
    "loadBalancerIP",
    "message",
    "namespace",
    "nodeName",
    "priorityClassName",
    "reason",
    "serviceAccount",
    "serviceAccountName",
    "subPath",
    "subPathExpr",
    "subdomain",
    "workingDir",
];

/// What becomes of a built-in object that goes through Go's types and back: nulls and empty lists and maps vanish,
/// quantities take their canonical form.
pub(super) fn through_go(node: &Node, value: &mut Value) {
    match value {
        // Raw JSON (a default in a CRD's schema, say) is kept as it came.
        Value::Object(_) if node.preserve => {}
        Value::Object(fields) => {
            let required = &node.limits.required;
            fields.retain(|name, field| {
                let optional = !required.contains(name);
                let child = node.fields.get(name);
                let is_map = child.is_some_and(|child| matches!(child.others, Others::Node(_)));
                match field {
                    Value::Null => false,
                    Value::Array(items) => {
                        !(items.is_empty() && child.is_some_and(|child| child.kind == Kind::Array) && optional)
                    }
                    Value::Object(entries) => !(entries.is_empty() && is_map && optional),
                    Value::Bool(false) => !(optional && DROPPED_WHEN_ZERO.contains(&name.as_str())),
                    Value::Number(number) => {
                        !(optional && number.as_i64() == Some(0) && DROPPED_WHEN_ZERO.contains(&name.as_str()))
                    }
                    Value::String(text) => {
                        !(optional && text.is_empty() && child.is_some() && blank_goes(node, name.as_str()))
                    }
                    Value::Bool(true) => true,
                }
            });
            for (name, field) in fields.iter_mut() {
                if let Some(child) = node.field(name) {
                    through_go(child, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(child) = &node.items {
                items.iter_mut().for_each(|item| through_go(child, item));
            }
        }
        Value::Number(_) | Value::String(_) if node.kind == Kind::Quantity => {
            if let Some(canonical) = quantity::canonical(value) {
                *value = Value::String(canonical);
            }
        }
        _ => {}
    }
}

fn blank_goes(owner: &Node, field: &str) -> bool {
    let owner = owner.name.as_deref().unwrap_or_default();
    DROPPED_WHEN_BLANK.contains(&field)
        || (field == "value" && owner.ends_with("core.v1.EnvVar"))
        || (field == "name" && (owner.ends_with("core.v1.ContainerPort") || owner.ends_with("core.v1.ServicePort")))
}

/// The defaults of one of Kubernetes' own kinds.
pub(super) fn builtin(group: &str, kind: &str, object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    match (group, kind) {
        ("", "Pod") => pod::pod(object),
        ("", "Service") => service::service(object),
        ("", "Endpoints") => service::endpoints(object),
        ("discovery.k8s.io", "EndpointSlice") => service::endpoint_slice(object),
        ("apps", _) => workload::workload(kind, object),
        ("autoscaling", _) => workload::autoscaler(object),
        ("", "Secret") => objects::secret(object),
        ("", "PersistentVolumeClaim") => objects::claim(object),
        ("", "Namespace") => objects::namespace(object),
        ("networking.k8s.io", "NetworkPolicy") => objects::network_policy(object),
        ("networking.k8s.io", "Ingress") => objects::ingress(object),
        ("rbac.authorization.k8s.io", _) => objects::rbac(kind, object),
        ("apiextensions.k8s.io", _) => objects::crd(object),
        _ => {}
    }
}

/// Sets `name` where nothing stands.
fn put(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    if !fields.contains_key(name) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// The object at `name`, made if nothing stands there.
fn object<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    fields.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

/// The object at `name`, if one stands there.
fn existing<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    fields.get_mut(name)?.as_object_mut()
}

/// The objects in the list at `name`.
fn each<'a>(fields: &'a mut Map<String, Value>, name: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let items = fields.get_mut(name).and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
    items.iter_mut().filter_map(Value::as_object_mut)
}
