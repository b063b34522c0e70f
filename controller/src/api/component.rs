//! The components of a shard, and what can be said about the pods of each.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ScalingSpec,
    schema::{self, ObjectName, TimeText},
};

/// What can be said about the pods of any component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// The whole image, such as `ghcr.io/jitsi/jvb:stable-11146-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// When nodes pull it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self in ['Always', 'IfNotPresent', 'Never']").message("write 'Always', 'IfNotPresent' or 'Never'"))]
    pub image_pull_policy: Option<String>,

    /// Requests and limits of the main container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,

    /// Added to the default affinity of the component. Checked when the pods are made: its schema would be half of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub affinity: Option<Affinity>,

    /// Only `affinity` counts, nothing is added to it.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub disable_default_affinity: bool,

    /// Nodes that may run it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::string_map")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints that it tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<Toleration>>")]
    pub tolerations: Vec<Toleration>,

    /// How its pods are spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<TopologySpreadConstraint>>")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,

    /// Its priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,

    /// Its service account. The components of a shard need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<ObjectName>,

    /// Environment variables of this component; they override all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<EnvVar>>")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,

    /// Environment variables from ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<EnvFromSource>>")]
    pub env_from: Vec<EnvFromSource>,

    /// More volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_objects")]
    pub volumes: Vec<Volume>,

    /// Where the main container sees them. One at a path that the controller uses itself takes its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<VolumeMount>>")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["mountPath".into()]))]
    pub volume_mounts: Vec<VolumeMount>,

    /// Containers that run first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::named_objects")]
    pub init_containers: Vec<Container>,

    /// Annotations of its pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::string_map")]
    pub pod_annotations: BTreeMap<String, String>,

    /// Labels of its pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::string_map")]
    pub pod_labels: BTreeMap<String, String>,
}

/// Bridges (JVB).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BridgeSpec {
    /// Its pods.
    #[serde(flatten)]
    pub pod: PodSettings,

    /// How many bridges there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<BridgeStrategy>,

    /// Ports for media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<BridgePorts>,

    /// How media reaches a bridge: `hostPort` (the default) takes the port on the node, so one bridge per node;
    /// `nodePort` gives each bridge a Service of its own; `podIP` is for clusters whose pods can be reached from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<ExposureType>,

    /// Addresses that bridges tell clients, instead of the node's own. `203.0.113.7` or `203.0.113.7#10000`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "advertiseIPs")]
    pub advertise_ips: Vec<String>,

    /// STUN servers by which a bridge finds its public address, as `host:port`. `[]` asks none; without it a public
    /// one is asked, unless `advertiseIPs` says the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_strings")]
    pub stun_servers: Option<Vec<String>>,

    /// A bridge that somebody else than the controller deletes or evicts waits for its conferences too. Always so with
    /// `autoscaled`. The controller itself drains every bridge that it takes away.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub graceful_shutdown: bool,

    /// How long a bridge that has to go waits for its conferences, such as `4h` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_shutdown_timeout: Option<TimeText>,

    /// What becomes of those who are still on a bridge that has to go: they are waited for (the default), or moved to
    /// other bridges by jicofo, at the deadline or at once. Moving costs everybody a moment of silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_endpoints: Option<MoveEndpoints>,

    /// How an `autoscaled` group grows and shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingSpec>,

    /// Every bridge serves all shards of its Jitsi, instead of its own alone. All shards must have one password then:
    /// `existingSecret` is required.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub shared: bool,
}

/// When jicofo moves people away from a bridge that has to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MoveEndpoints {
    /// They are waited for, and cut at the deadline.
    #[default]
    Never,
    /// At the deadline.
    AtDeadline,
    /// As soon as it drains.
    AtOnce,
}

fn optional_strings(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "nullable": true, "items": { "type": "string" } })
}

/// How many bridges there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.replicas) || !has(self.maxReplicas) || self.maxReplicas == 0 || self.maxReplicas >= self.replicas").message(
    "'maxReplicas' is less than 'replicas': write at least as many, or leave one of them out"
))]
pub struct BridgeStrategy {
    /// `static`: as many as `replicas`. `daemonset`: one on every node that fits. `autoscaled`: from `replicas` to
    /// `maxReplicas`, by load.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<StrategyType>,

    /// Number of bridges, or the least number of them. 1 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number of bridges from 0 to 1000"))]
    pub replicas: Option<i32>,

    /// The largest number of bridges; 0 or absent is 10 times `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number of bridges from 0 to 1000"))]
    pub max_replicas: Option<i32>,
}

/// Kinds of bridge strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StrategyType {
    /// As many as asked for.
    #[default]
    Static,
    /// One on every node that fits.
    Daemonset,
    /// As many as the load needs.
    Autoscaled,
}

/// How media reaches a bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExposureType {
    /// On a port of the node.
    #[default]
    #[serde(rename = "hostPort")]
    HostPort,
    /// On the pod's own address.
    #[serde(rename = "podIP")]
    PodIp,
    /// On a port of every node, by a Service of its own.
    #[serde(rename = "nodePort")]
    NodePort,
}

/// Ports for media.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BridgePorts {
    /// UDP port; 10000 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message("write a port from 1 to 65535"))]
    pub udp: Option<i32>,

    /// How many bridges may run on one node with `hostPort`: each takes one port of `udp`, `udp` + 1, … 1 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("write a number of bridges per node from 1 to 100"))]
    pub per_node: Option<i32>,

    /// Accepted for the sake of older resources. Bridges have had no TCP port for media for years; TURN over TLS does
    /// that job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<i32>,
}

/// Recorders (jibri).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecorderSpec {
    /// Its pods.
    #[serde(flatten)]
    pub pod: PodSettings,

    /// There are recorders.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub enabled: bool,

    /// Number of free recorders that are kept ready; 1 without it. Each records one conference at a time, and one that
    /// begins to record is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number of recorders from 0 to 1000"))]
    pub replicas: Option<i32>,

    /// The largest number of recorders, busy ones included; 0 or absent is 10 times `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number of recorders from 0 to 1000"))]
    pub max_replicas: Option<i32>,

    /// The number of recorders follows the share of free ones by jitsi-autoscaler's rules, instead of a fixed number of
    /// spares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingSpec>,

    /// How long a recorder may take to end when it has to go, such as `6h` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_deadline: Option<TimeText>,

    /// Where finished recordings are uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketSpec>,

    /// A ConfigMap with the key `finalize.sh`, run with the folder of each finished recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "finalizeScriptCM")]
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub finalize_script: Option<LocalObjectReference>,
}

/// A bucket for recordings, reached with the S3 protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketSpec {
    /// Its server, such as `s3.fr-par.scw.cloud` or `https://minio.example.org:9000`.
    #[schemars(length(min = 1, max = 2048))]
    pub host: String,

    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its region, for the signature; `us-east-1` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,

    /// A Secret with the keys ACCESS_KEY and SECRET_KEY.
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub secret: LocalObjectReference,
}

/// The web server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebSpec {
    /// Its pods.
    #[serde(flatten)]
    pub pod: PodSettings,

    /// Number of pods per shard; 1 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("write a number of web pods from 1 to 100"))]
    pub replicas: Option<i32>,

    /// A ConfigMap with the key `custom-config.js`, appended to config.js.
    #[serde(default, rename = "customConfigCM", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub custom_config: Option<LocalObjectReference>,

    /// A ConfigMap with the key `custom-interface_config.js`, appended to interface_config.js.
    #[serde(default, rename = "customInterfaceConfigCM", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub custom_interface_config: Option<LocalObjectReference>,

    /// A ConfigMap with the key `custom-title.html`, in place of title.html.
    #[serde(default, rename = "customTitleConfigCM", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub custom_title: Option<LocalObjectReference>,

    /// A ConfigMap with the key `custom-body.html`, in place of body.html.
    #[serde(default, rename = "customBodyConfigCM", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub custom_body: Option<LocalObjectReference>,

    /// A ConfigMap with the key `custom-close.html`, in place of the page after a conference.
    #[serde(default, rename = "customCloseConfigCM", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub custom_close: Option<LocalObjectReference>,
}

/// The XMPP server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProsodySpec {
    /// Its pod.
    #[serde(flatten)]
    pub pod: PodSettings,

    /// A ConfigMap with the key `jitsi-meet.cfg.lua`, in place of prosody's own template of that name.
    #[serde(default, rename = "customProsodyConfigCM", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub custom_config: Option<LocalObjectReference>,
}

/// The conference focus (jicofo).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FocusSpec {
    /// Its pod.
    #[serde(flatten)]
    pub pod: PodSettings,
}

/// Gateways to telephones (jigasi).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayPodsSpec {
    /// Its pods.
    #[serde(flatten)]
    pub pod: PodSettings,

    /// There are some.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub enabled: bool,

    /// How many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<BridgeStrategy>,

    /// How an `autoscaled` group grows and shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingSpec>,

    /// How long one that has to go waits for its calls, such as `4h` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_shutdown_timeout: Option<TimeText>,

    /// The SIP account: a Secret with the keys JIGASI_SIP_URI, JIGASI_SIP_PASSWORD, and if need be JIGASI_SIP_SERVER,
    /// JIGASI_SIP_PORT and JIGASI_SIP_TRANSPORT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<LocalObjectReference>")]
    pub sip_secret: Option<LocalObjectReference>,
}
