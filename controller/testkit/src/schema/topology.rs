//! How the lists and objects of Kubernetes' own types merge, as its published OpenAPI says.
//!
//! Written by hand from `x-kubernetes-list-type`, `x-kubernetes-list-map-keys`, `x-kubernetes-map-type`,
//! `x-kubernetes-patch-strategy` and `x-kubernetes-patch-merge-key`. A list that is not named here is atomic and is
//! replaced by a strategic merge patch.

use super::node::{ListType, Node, Patch};
use serde_json::Value;

/// (definition's last words, field, keys for apply, key for strategic merge). No keys: a set.
type ListRow = (&'static str, &'static str, &'static [&'static str], Option<&'static str>);

/// The lists that merge by key.
const KEYED: &[ListRow] = &[
    ("ObjectMeta", "ownerReferences", &["uid"], Some("uid")),
    ("core.v1.Container", "env", &["name"], Some("name")),
    ("core.v1.Container", "ports", &["containerPort", "protocol"], Some("containerPort")),
    ("core.v1.Container", "volumeDevices", &["devicePath"], Some("devicePath")),
    ("core.v1.Container", "volumeMounts", &["mountPath"], Some("mountPath")),
    ("core.v1.EphemeralContainer", "env", &["name"], Some("name")),
    ("core.v1.EphemeralContainer", "ports", &["containerPort", "protocol"], Some("containerPort")),
    ("core.v1.EphemeralContainer", "volumeDevices", &["devicePath"], Some("devicePath")),
    ("core.v1.EphemeralContainer", "volumeMounts", &["mountPath"], Some("mountPath")),
    ("core.v1.PodSpec", "containers", &["name"], Some("name")),
    ("core.v1.PodSpec", "ephemeralContainers", &["name"], Some("name")),
    ("core.v1.PodSpec", "initContainers", &["name"], Some("name")),
    ("core.v1.PodSpec", "hostAliases", &["ip"], Some("ip")),
    ("core.v1.PodSpec", "imagePullSecrets", &["name"], Some("name")),
    ("core.v1.PodSpec", "resourceClaims", &["name"], Some("name")),
    ("core.v1.PodSpec", "schedulingGates", &["name"], Some("name")),
    ("core.v1.PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], Some("topologyKey")),
    ("core.v1.PodSpec", "volumes", &["name"], Some("name")),
    ("core.v1.PodStatus", "conditions", &["type"], Some("type")),
    ("core.v1.PodStatus", "podIPs", &["ip"], Some("ip")),
    ("core.v1.PodStatus", "resourceClaimStatuses", &["name"], Some("name")),
    ("core.v1.ResourceRequirements", "claims", &["name"], None),
    ("core.v1.ContainerStatus", "volumeMounts", &["mountPath"], Some("mountPath")),
    ("core.v1.ContainerStatus", "allocatedResourcesStatus", &["name"], Some("name")),
    ("core.v1.ResourceStatus", "resources", &["resourceID"], None),
    ("core.v1.ServiceSpec", "ports", &["port", "protocol"], Some("port")),
    ("core.v1.ServiceStatus", "conditions", &["type"], Some("type")),
    ("core.v1.ServiceAccount", "secrets", &["name"], Some("name")),
    ("core.v1.NamespaceStatus", "conditions", &["type"], Some("type")),
    ("core.v1.NodeStatus", "conditions", &["type"], Some("type")),
    ("core.v1.NodeStatus", "addresses", &["type"], Some("type")),
    ("core.v1.PersistentVolumeClaimStatus", "conditions", &["type"], Some("type")),
    ("apps.v1.DeploymentStatus", "conditions", &["type"], Some("type")),
    ("apps.v1.StatefulSetStatus", "conditions", &["type"], Some("type")),
    ("apps.v1.DaemonSetStatus", "conditions", &["type"], Some("type")),
    ("apps.v1.ReplicaSetStatus", "conditions", &["type"], Some("type")),
    ("autoscaling.v2.HorizontalPodAutoscalerStatus", "conditions", &["type"], Some("type")),
    ("policy.v1.PodDisruptionBudgetStatus", "conditions", &["type"], Some("type")),
    ("apiextensions.v1.CustomResourceDefinitionStatus", "conditions", &["type"], None),
];

/// The lists that are sets; true where a strategic merge patch joins them.
const SETS: &[(&str, &str, bool)] = &[
    ("ObjectMeta", "finalizers", true),
    ("core.v1.NodeSpec", "podCIDRs", true),
    ("discovery.v1.Endpoint", "addresses", false),
];

/// Lists that apply takes as one value, and a strategic merge patch merges by key all the same.
const ATOMIC_BUT_PATCHED: &[(&str, &str, &str)] = &[("core.v1.PodStatus", "hostIPs", "ip")];

/// Objects of which a strategic merge patch may name the fields to keep.
const RETAIN_KEYS: &[(&str, &str)] =
    &[("apps.v1.DeploymentSpec", "strategy"), ("core.v1.PodSpec", "volumes"), ("core.v1.PodSpec", "resourceClaims")];

/// Structs that merge as one value wherever they stand.
const ATOMIC_STRUCTS: &[&str] = &[
    "meta.v1.LabelSelector",
    "meta.v1.OwnerReference",
    "meta.v1.FieldsV1",
    "core.v1.ConfigMapKeySelector",
    "core.v1.EndpointAddress",
    "core.v1.EndpointPort",
    "core.v1.LocalObjectReference",
    "core.v1.NodeSelector",
    "core.v1.NodeSelectorTerm",
    "core.v1.ObjectFieldSelector",
    "core.v1.ObjectReference",
    "core.v1.ResourceFieldSelector",
    "core.v1.SecretKeySelector",
    "core.v1.SecretReference",
    "core.v1.TypedLocalObjectReference",
    "discovery.v1.EndpointPort",
    "networking.v1.ServiceBackendPort",
    "rbac.v1.RoleRef",
    "rbac.v1.Subject",
];

/// Maps that merge as one value.
const ATOMIC_MAPS: &[(&str, &str)] = &[("core.v1.PodSpec", "nodeSelector"), ("core.v1.ServiceSpec", "selector")];

/// Key fields that have a default in the published OpenAPI, so that an apply may leave them out.
const KEY_DEFAULTS: &[(&str, &str, &str)] = &[
    ("core.v1.ContainerPort", "protocol", "TCP"),
    ("core.v1.ServicePort", "protocol", "TCP"),
    ("core.v1.LocalObjectReference", "name", ""),
];

fn is(definition: &str, row: &str) -> bool {
    definition.strip_suffix(row).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether the struct `definition` merges as one value.
pub(super) fn atomic_struct(definition: &str) -> bool {
    ATOMIC_STRUCTS.iter().any(|row| is(definition, row))
}

/// Writes into `node`, the field `field` of the struct `definition`, how it merges.
pub(super) fn mark(definition: &str, field: &str, node: &mut Node) {
    for (owner, name, keys, patch) in KEYED.iter().filter(|row| row.1 == field) {
        if is(definition, owner) && *name == field {
            node.list = ListType::Map(keys.iter().map(ToString::to_string).collect());
            node.patch = patch.map_or(Patch::Replace, |key| Patch::MergeBy(key.to_owned()));
        }
    }
    for (owner, name, joined) in SETS {
        if is(definition, owner) && *name == field {
            node.list = ListType::Set;
            node.patch = if *joined { Patch::Merge } else { Patch::Replace };
        }
    }
    for (owner, name, key) in ATOMIC_BUT_PATCHED {
        if is(definition, owner) && *name == field {
            node.patch = Patch::MergeBy((*key).to_owned());
        }
    }
    node.retain_keys |= RETAIN_KEYS.iter().any(|(owner, name)| is(definition, owner) && *name == field);
    node.atomic |= ATOMIC_MAPS.iter().any(|(owner, name)| is(definition, owner) && *name == field);
    for (owner, name, default) in KEY_DEFAULTS {
        if is(definition, owner) && *name == field {
            node.default = Some(Value::from(*default));
        }
    }
}
