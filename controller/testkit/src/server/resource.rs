//! One kind of object that the server serves, and the table of those it is born with.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::failure::Subject;
use crate::schema::Schema;

/// Where a scale subresource finds its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: String,
    pub(crate) status_replicas: String,
    /// A text field in custom resources; built-ins print `.spec.selector`.
    pub(crate) selector: Option<String>,
}

/// One of a custom resource's printer columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) path: String,
}

/// A kind in one version.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// Has a status subresource.
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// Subresources that take a POST: binding, eviction.
    pub(crate) actions: &'static [&'static str],
    /// Keeps `metadata.generation`.
    pub(crate) generation: bool,
    /// Accepts a PUT without a resourceVersion.
    pub(crate) unconditional: bool,
    /// A completed delete answers the object, not a `Status`.
    pub(crate) answers_deleted: bool,
    pub(crate) custom: bool,
    pub(crate) columns: Vec<Column>,
    pub(crate) selectable: Vec<String>,
    pub(crate) schema: Arc<Schema>,
    /// The collection that holds it: the two event APIs share one.
    pub(crate) collection: String,
}

impl Resource {
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { group: &self.group, plural: &self.plural, kind: &self.kind }
    }

    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    pub(crate) fn is_pod(&self) -> bool {
        self.is("", "pods")
    }

    /// Whether a field selector may name this path.
    pub(crate) fn selects_by(&self, path: &str) -> bool {
        if path == "metadata.name" || (path == "metadata.namespace" && self.namespaced) {
            return true;
        }
        let extra: &[&str] = match (self.group.as_str(), self.plural.as_str()) {
            ("", "pods") => &[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ],
            ("", "events") => &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ],
            ("events.k8s.io", "events") => &[
                "regarding.kind",
                "regarding.namespace",
                "regarding.name",
                "regarding.uid",
                "regarding.apiVersion",
                "regarding.resourceVersion",
                "regarding.fieldPath",
                "reason",
                "reportingController",
                "type",
            ],
            ("", "nodes") => &["spec.unschedulable"],
            ("", "namespaces") => &["status.phase"],
            ("", "secrets") => &["type"],
            ("", "services") => &["spec.clusterIP", "spec.type"],
            ("apps", "replicasets") => &["status.replicas"],
            _ => &[],
        };
        extra.contains(&path) || self.selectable.iter().any(|s| s.trim_start_matches('.') == path)
    }

    /// The stored object as this version shows it.
    pub(crate) fn show(&self, stored: &Value) -> Value {
        let mut shown = stored.clone();
        if self.group == "events.k8s.io" {
            super::events::to_new(&mut shown);
        }
        shown["apiVersion"] = self.api_version().into();
        shown["kind"] = self.kind.clone().into();
        shown
    }

    /// An object of this version as it is stored.
    pub(crate) fn keep(&self, mut shown: Value) -> Value {
        if self.group == "events.k8s.io" {
            super::events::to_core(&mut shown);
        }
        shown
    }
}

/// The table's row: group, version, kind, plural, short names, and marks.
/// Marks: `N` namespaced, `s` status, `g` generation, `c` scale, `r` PUT needs a resourceVersion, `a` in category all,
/// `d` a delete answers the object.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const BUILT_IN: &[Row] = &[
    ("", "v1", "ConfigMap", "configmaps", "cm", "N"),
    ("", "v1", "Endpoints", "endpoints", "ep", "N"),
    ("", "v1", "Event", "events", "ev", "N"),
    ("", "v1", "Namespace", "namespaces", "ns", "s"),
    ("", "v1", "Node", "nodes", "no", "s"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "Nsd"),
    ("", "v1", "Pod", "pods", "po", "Nsad"),
    ("", "v1", "Secret", "secrets", "", "N"),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", "Nd"),
    ("", "v1", "Service", "services", "svc", "Nsad"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd,crds", "sgr"),
    ("apps", "v1", "DaemonSet", "daemonsets", "ds", "Nsga"),
    ("apps", "v1", "Deployment", "deployments", "deploy", "Nsgca"),
    ("apps", "v1", "ReplicaSet", "replicasets", "rs", "Nsgca"),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", "Nsgca"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "Nsa"),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", "Nr"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", "Ng"),
    ("events.k8s.io", "v1", "Event", "events", "ev", "N"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", "Nsg"),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "", "g"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", "Ng"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "Nsgr"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", ""),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", ""),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", "N"),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", "N"),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", "g"),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", ""),
];

/// Schemas of built-ins are costly to make and never change, so one process makes them once.
static MADE: OnceLock<Vec<Arc<Resource>>> = OnceLock::new();

/// Everything the server serves before any CustomResourceDefinition exists.
pub(crate) fn built_in() -> Vec<Arc<Resource>> {
    MADE.get_or_init(|| BUILT_IN.iter().map(|row| Arc::new(from_row(row))).collect()).clone()
}

/// A kind that has no schema of its own takes any document.
fn schema(group: &str, version: &str, kind: &str) -> Schema {
    let open = || Schema::from_crd(&json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }));
    Schema::builtin(group, version, kind).unwrap_or_else(|| open().with_kind(group, version, kind))
}

fn from_row(&(group, version, kind, plural, short, marks): &Row) -> Resource {
    let has = |mark: char| marks.contains(mark);
    let paths = || ScalePaths {
        spec_replicas: ".spec.replicas".to_owned(),
        status_replicas: ".status.replicas".to_owned(),
        selector: None,
    };
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        namespaced: has('N'),
        short_names: short.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
        categories: if has('a') { vec!["all".to_owned()] } else { Vec::new() },
        status: has('s'),
        scale: has('c').then(paths),
        actions: if plural == "pods" { &["binding", "eviction"] } else { &[] },
        generation: has('g'),
        unconditional: !has('r'),
        answers_deleted: has('d'),
        custom: false,
        columns: Vec::new(),
        selectable: Vec::new(),
        schema: Arc::new(schema(group, version, kind)),
        collection: if plural == "events" { "events".to_owned() } else { format!("{group}/{plural}") },
    }
}
