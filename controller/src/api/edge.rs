//! What stands around the shards: proxies, and the ways to them.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    PodSettings,
    schema::{self, HostName, ObjectName},
};

/// The proxies in front of the shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxySpec {
    /// Its pods.
    #[serde(flatten)]
    pub pod: PodSettings,

    /// There are proxies. On without it; off for people who run their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Number of proxies; 2 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 16").message("write a number of proxies from 1 to 16"))]
    pub replicas: Option<i32>,

    /// The Service in front of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ProxyServiceSpec>,

    /// Configuration of roompin-proxy, laid over what the controller writes: `{rooms: {ttl: 20m}}`.
    /// docs/configuration.md has the fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub config: Option<serde_json::Map<String, serde_json::Value>>,

    /// How long a proxy may take to close its tunnels when it stops; `20s` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_window: Option<schema::TimeText>,
}

/// The Service in front of the proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyServiceSpec {
    /// `ClusterIP` (the default), `NodePort` or `LoadBalancer`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self in ['ClusterIP', 'NodePort', 'LoadBalancer']").message("write 'ClusterIP', 'NodePort' or 'LoadBalancer'"))]
    pub kind: Option<String>,

    /// Its annotations; load balancers are often told by them what to be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::string_map")]
    pub annotations: BTreeMap<String, String>,

    /// Port on each node, for `NodePort` and `LoadBalancer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message("write a port from 1 to 65535"))]
    pub node_port: Option<i32>,

    /// `Cluster` or `Local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self in ['Cluster', 'Local']").message("write 'Cluster' or 'Local'"))]
    pub external_traffic_policy: Option<String>,
}

/// An Ingress for the proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// There is one.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub enabled: bool,

    /// With TLS, from the Secret `<domain>-tls` unless `tlsSecretName` names another.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub tls: bool,

    /// The Secret with the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_name: Option<ObjectName>,

    /// Its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,

    /// More host names than `domain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub hosts: Vec<HostName>,

    /// Its annotations, added to the long timeouts that WebSockets need.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::string_map")]
    pub annotations: BTreeMap<String, String>,
}

/// A Gateway API HTTPRoute for the proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.enabled) || !self.enabled || (has(self.parentRefs) && size(self.parentRefs) > 0)").message(
    "a route needs a Gateway: write 'parentRefs: [{name: NAME-OF-THE-GATEWAY}]'"
))]
pub struct GatewaySpec {
    /// There is one.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub enabled: bool,

    /// The Gateways that it belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub parent_refs: Vec<GatewayParent>,

    /// More host names than `domain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 15))]
    pub hosts: Vec<HostName>,

    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::string_map")]
    pub annotations: BTreeMap<String, String>,
}

/// A Gateway that a route belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayParent {
    /// Its name.
    pub name: ObjectName,

    /// Its namespace, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<ObjectName>,

    /// One of its listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,

    /// One of its ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message("write a port from 1 to 65535"))]
    pub port: Option<i32>,
}

/// NetworkPolicies around the components.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// There are some. On without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Who may read metrics. Without it: pods in any namespace labelled `app.kubernetes.io/name: prometheus`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<NetworkPolicyPeer>>")]
    pub metrics_from: Vec<NetworkPolicyPeer>,

    /// Where the controller runs, which asks bridges and jicofo. Without it: pods in any namespace labelled
    /// `app.kubernetes.io/name: roompin` and `app.kubernetes.io/component: controller`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<NetworkPolicyPeer>>")]
    pub controller_from: Vec<NetworkPolicyPeer>,
}
