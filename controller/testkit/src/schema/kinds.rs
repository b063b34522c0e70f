//! The kinds Kubernetes itself serves: trees built from the JSON schemas that k8s-openapi carries.

use super::node::{Kind, Node, Others, Patch};
use super::topology;
use k8s_openapi::api::{apps, autoscaling, coordination, core, discovery, events, networking, policy, rbac};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The schema of one of Kubernetes' own types and the definitions it refers to.
fn generate<T: JsonSchema>() -> (String, Map<String, Value>) {
    let mut generator = SchemaGenerator::new(SchemaSettings::default());
    let _ = generator.subschema_for::<T>();
    (T::schema_name().into_owned(), generator.take_definitions(false))
}

/// Whether `status` of a built-in kind is written through its own subresource, and the kind's tree.
pub(super) fn builtin(group: &str, version: &str, kind: &str) -> Option<(Node, bool)> {
    let ((name, definitions), has_status) = match (group, version, kind) {
        ("", "v1", "Pod") => (generate::<core::v1::Pod>(), true),
        ("", "v1", "Service") => (generate::<core::v1::Service>(), true),
        ("", "v1", "Endpoints") => (generate::<core::v1::Endpoints>(), false),
        ("", "v1", "ConfigMap") => (generate::<core::v1::ConfigMap>(), false),
        ("", "v1", "Secret") => (generate::<core::v1::Secret>(), false),
        ("", "v1", "ServiceAccount") => (generate::<core::v1::ServiceAccount>(), false),
        ("", "v1", "Event") => (generate::<core::v1::Event>(), false),
        ("", "v1", "Namespace") => (generate::<core::v1::Namespace>(), true),
        ("", "v1", "Node") => (generate::<core::v1::Node>(), true),
        ("", "v1", "PersistentVolumeClaim") => (generate::<core::v1::PersistentVolumeClaim>(), true),
        ("apps", "v1", "Deployment") => (generate::<apps::v1::Deployment>(), true),
        ("apps", "v1", "StatefulSet") => (generate::<apps::v1::StatefulSet>(), true),
        ("apps", "v1", "DaemonSet") => (generate::<apps::v1::DaemonSet>(), true),
        ("apps", "v1", "ReplicaSet") => (generate::<apps::v1::ReplicaSet>(), true),
        ("discovery.k8s.io", "v1", "EndpointSlice") => (generate::<discovery::v1::EndpointSlice>(), false),
        ("coordination.k8s.io", "v1", "Lease") => (generate::<coordination::v1::Lease>(), false),
        ("policy", "v1", "PodDisruptionBudget") => (generate::<policy::v1::PodDisruptionBudget>(), true),
        ("networking.k8s.io", "v1", "Ingress") => (generate::<networking::v1::Ingress>(), true),
        ("networking.k8s.io", "v1", "NetworkPolicy") => (generate::<networking::v1::NetworkPolicy>(), false),
        ("rbac.authorization.k8s.io", "v1", "Role") => (generate::<rbac::v1::Role>(), false),
        ("rbac.authorization.k8s.io", "v1", "RoleBinding") => (generate::<rbac::v1::RoleBinding>(), false),
        ("rbac.authorization.k8s.io", "v1", "ClusterRole") => (generate::<rbac::v1::ClusterRole>(), false),
        ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding") => {
            (generate::<rbac::v1::ClusterRoleBinding>(), false)
        }
        ("events.k8s.io", "v1", "Event") => (generate::<events::v1::Event>(), false),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition") => {
            (generate::<apiextensions::v1::CustomResourceDefinition>(), true)
        }
        ("autoscaling", "v2", "HorizontalPodAutoscaler") => {
            (generate::<autoscaling::v2::HorizontalPodAutoscaler>(), true)
        }
        _ => return None,
    };
    let mut open = Vec::new();
    Some((definition(&name, &definitions, &mut open), has_status))
}

/// `metadata` as every object has it.
pub(super) fn object_meta() -> Node {
    let (name, definitions) = generate::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>();
    definition(&name, &definitions, &mut Vec::new())
}

/// The tree of the definition `name`. A definition that holds itself (a CRD's schema) takes anything from there on.
fn definition(name: &str, definitions: &Map<String, Value>, open: &mut Vec<String>) -> Node {
    if open.iter().any(|outer| outer == name) {
        return Node { name: Some(name.to_owned()), ..Node::any() };
    }
    let Some(schema) = definitions.get(name) else { return Node::any() };
    open.push(name.to_owned());
    let mut node = tree(schema, Some(name), definitions, open);
    open.pop();
    if name.ends_with("resource.Quantity") {
        node.kind = Kind::Quantity;
    }
    node.atomic |= topology::atomic_struct(name);
    node.name = Some(name.to_owned());
    node
}

fn tree(schema: &Value, owner: Option<&str>, definitions: &Map<String, Value>, open: &mut Vec<String>) -> Node {
    let Some(schema) = schema.as_object() else { return Node::any() };
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().unwrap_or(target);
        return definition(name, definitions, open);
    }
    let mut node = Node::scalar(schema);
    // Go's decoder takes null for any field and leaves the zero value.
    node.nullable = true;
    if let Some(Value::Object(fields)) = schema.get("properties") {
        for (name, field) in fields {
            let mut child = tree(field, None, definitions, open);
            if let Some(owner) = owner {
                topology::mark(owner, name, &mut child);
            }
            node.fields.insert(name.clone(), Arc::new(child));
        }
    }
    if let Some(others) = schema.get("additionalProperties").filter(|others| others.is_object()) {
        node.others = Others::Node(Arc::new(tree(others, None, definitions, open)));
    }
    node.items = schema.get("items").map(|items| Arc::new(tree(items, None, definitions, open)));
    // A raw JSON value (FieldsV1, a raw extension): an object without any named field takes everything.
    node.preserve = node.fields.is_empty() && matches!(node.others, Others::None);
    debug_assert!(node.patch == Patch::Replace);
    node
}
