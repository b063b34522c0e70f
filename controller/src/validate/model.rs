//! What is meant: nothing optional is left where there is a default.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    core::v1::{
        Affinity, Container, EnvFromSource, EnvVar, LocalObjectReference, ResourceRequirements, SecretKeySelector,
        Toleration, TopologySpreadConstraint, Volume, VolumeMount,
    },
    networking::v1::NetworkPolicyPeer,
};

use super::{Problem, time::write_time};
use crate::{
    api::{Conduct, ExposureType, GatewayParent, JitsiShardSpec, MoveEndpoints, ShardTemplate, TimeText},
    plan::group::GroupModel,
};

/// The resource that owns what is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its kind: `Jitsi` or `JitsiShard`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// The pods of one component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodModel {
    /// Image of the main container.
    pub image: String,
    /// When nodes pull it.
    pub pull_policy: String,
    /// Requests and limits of the main container.
    pub resources: ResourceRequirements,
    /// What the user adds to the affinity.
    pub affinity: Affinity,
    /// Whether the component's own affinity counts too.
    pub default_affinity: bool,
    /// Nodes that may run it.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that it tolerates.
    pub tolerations: Vec<Toleration>,
    /// How its pods are spread.
    pub spread: Vec<TopologySpreadConstraint>,
    /// Its priority class; None is the cluster's default.
    pub priority_class: Option<String>,
    /// Its service account; None is one without rights.
    pub service_account: Option<String>,
    /// The user's environment variables.
    pub env: Vec<EnvVar>,
    /// The user's sources of environment variables.
    pub env_from: Vec<EnvFromSource>,
    /// The user's volumes.
    pub volumes: Vec<Volume>,
    /// The user's mounts.
    pub mounts: Vec<VolumeMount>,
    /// The user's init containers.
    pub init: Vec<Container>,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// Secrets for private registries.
    pub pull_secrets: Vec<LocalObjectReference>,
}

/// How many bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// So many.
    Static {
        /// How many.
        replicas: i32,
    },
    /// One on every node that fits.
    Daemonset,
    /// By load.
    Autoscaled {
        /// At least.
        min: i32,
        /// At most.
        max: i32,
    },
}

/// Bridges.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgesModel {
    /// Their pods.
    pub pod: PodModel,
    /// How many.
    pub strategy: Strategy,
    /// UDP port.
    pub port: i32,
    /// How media reaches them.
    pub exposure: ExposureType,
    /// What they advertise instead of the node's or pod's own address.
    pub advertise: Vec<String>,
    /// STUN servers; none switches STUN off.
    pub stun: Vec<String>,
    /// How many may run on one node.
    pub per_node: i32,
    /// How many there are, and how that changes. Not looked at with a DaemonSet.
    pub group: GroupModel,
    /// What becomes of those who are on one that has to go.
    pub move_endpoints: MoveEndpoints,
    /// Each serves all shards of the Jitsi.
    pub shared: bool,
    /// How long a bridge that the controller takes away may keep its conferences.
    pub deadline: Duration,
    /// One that somebody else takes away keeps them too. None: not at all.
    pub graceful: Option<Duration>,
}

/// Gateways to telephones.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayPodsModel {
    /// Their pods.
    pub pod: PodModel,
    /// How many there are, and how that changes.
    pub group: GroupModel,
    /// How long one waits for its calls when it has to go.
    pub graceful: Duration,
    /// The Secret with the SIP account.
    pub sip_secret: Option<String>,
}

/// A bucket for recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketModel {
    /// With a scheme.
    pub url: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The Secret with ACCESS_KEY and SECRET_KEY.
    pub secret: String,
}

/// Recorders.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordersModel {
    /// Their pods.
    pub pod: PodModel,
    /// How many are kept free, how many there may be, and how that changes.
    pub group: GroupModel,
    /// How long one may take to end when it has to go.
    pub deadline: Duration,
    /// Where recordings go.
    pub bucket: Option<BucketModel>,
    /// The user's ConfigMap with `finalize.sh`.
    pub finalize: Option<String>,
}

/// A file of the user's in the web server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebFile {
    /// Name of the volume.
    pub volume: &'static str,
    /// The ConfigMap.
    pub config_map: String,
    /// Its key.
    pub key: &'static str,
    /// Where the server looks.
    pub path: &'static str,
}

/// Web servers.
#[derive(Clone, Debug, PartialEq)]
pub struct WebModel {
    /// Their pods.
    pub pod: PodModel,
    /// How many.
    pub replicas: i32,
    /// The user's files in them.
    pub files: Vec<WebFile>,
}

/// NetworkPolicies.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkModel {
    /// Who may read metrics.
    pub metrics_from: Vec<NetworkPolicyPeer>,
    /// Where the controller is.
    pub controller_from: Vec<NetworkPolicyPeer>,
}

/// One shard as it is meant.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardModel {
    /// Its name, which begins the names of everything in it.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The JitsiShard.
    pub owner: Owner,
    /// The Jitsi that it belongs to; None for one written by hand.
    pub jitsi: Option<String>,
    /// Host name that people open.
    pub domain: String,
    /// Region; `default` where none was given.
    pub region: String,
    /// Time zone.
    pub timezone: String,
    /// The user's environment variables for all components that read them.
    pub variables: BTreeMap<String, String>,
    /// The Secret with the accounts' passwords.
    pub secret: String,
    /// The controller makes that Secret.
    pub secret_is_ours: bool,
    /// The TURN server: name of the variables' prefix (`TURN` or `TURNS`), host, port.
    pub turn: Option<(&'static str, String, i32)>,
    /// Its shared secret.
    pub turn_secret: Option<SecretKeySelector>,
    /// Environment variables for admission by token.
    pub jwt: BTreeMap<String, String>,
    /// The key for them.
    pub jwt_secret: Option<SecretKeySelector>,
    /// Networks whose `X-Forwarded-For` prosody believes.
    pub trusted_proxies: Vec<String>,
    /// Bridges.
    pub bridges: BridgesModel,
    /// Recorders.
    pub recorders: Option<RecordersModel>,
    /// Recorders that dial out by SIP.
    pub sip_recorders: Option<RecordersModel>,
    /// Gateways to telephones.
    pub gateways: Option<GatewayPodsModel>,
    /// Web servers.
    pub web: WebModel,
    /// Prosody.
    pub prosody: PodModel,
    /// The user's ConfigMap with `jitsi-meet.cfg.lua`.
    pub prosody_config: Option<String>,
    /// Jicofo.
    pub jicofo: PodModel,
    /// PodMonitors are wanted.
    pub metrics: bool,
    /// NetworkPolicies; None without them.
    pub network: Option<NetworkModel>,
    /// It takes no new conferences.
    pub drain: bool,
    /// It goes first.
    pub retire: bool,
    /// Leave it alone.
    pub paused: bool,
    /// Do not restart prosody or jicofo under a conference.
    pub graceful_upgrade: bool,
    /// How long it may drain.
    pub drain_deadline: Duration,
    /// What is accepted and has no effect, or not the one that was meant.
    pub warnings: Vec<Problem>,
}

/// Proxies.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyModel {
    /// Their pods.
    pub pod: PodModel,
    /// How many.
    pub replicas: i32,
    /// Type of their Service.
    pub service_type: String,
    /// Its annotations.
    pub service_annotations: BTreeMap<String, String>,
    /// Its port on each node.
    pub node_port: Option<i32>,
    /// Its traffic policy.
    pub external_traffic_policy: Option<String>,
    /// The user's configuration, laid over ours.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// How long a proxy closes its tunnels.
    pub drain_window: Duration,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
}

/// An Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressModel {
    /// Its class.
    pub class: Option<String>,
    /// The Secret with the certificate.
    pub tls_secret: Option<String>,
    /// Host names.
    pub hosts: Vec<String>,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An HTTPRoute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayModel {
    /// Its Gateways.
    pub parents: Vec<GatewayParent>,
    /// Host names.
    pub hosts: Vec<String>,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What stands around the shards.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeModel {
    /// Proxies.
    pub proxy: ProxyModel,
    /// An Ingress.
    pub ingress: Option<IngressModel>,
    /// An HTTPRoute.
    pub gateway: Option<GatewayModel>,
}

/// A Jitsi as it is meant.
#[derive(Clone, Debug, PartialEq)]
pub struct JitsiModel {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Itself.
    pub owner: Owner,
    /// Host name that people open.
    pub domain: String,
    /// How many shards.
    pub shards: usize,
    /// Their regions, dealt in order; one entry at least, None where nothing was said.
    pub regions: Vec<Option<String>>,
    /// What each is made of.
    pub template: ShardTemplate,
    /// Leave it alone.
    pub paused: bool,
    /// Replace shards one at a time instead of restarting them.
    pub graceful_upgrade: bool,
    /// How long a shard may drain.
    pub drain_deadline: Duration,
    /// Proxies and the ways to them; None for people who run their own.
    pub edge: Option<EdgeModel>,
    /// PodMonitors are wanted.
    pub metrics: bool,
    /// NetworkPolicies; None without them.
    pub network: Option<NetworkModel>,
    /// One shard as a sample: what all of them would be built from.
    pub sample: Box<ShardModel>,
    /// What is accepted and has no effect, or not the one that was meant.
    pub warnings: Vec<Problem>,
}

impl JitsiModel {
    /// Name of the shard with this ordinal.
    pub fn shard_name(&self, ordinal: usize) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// The region of the shard at this place in the row.
    pub fn region(&self, place: usize) -> Option<&str> {
        self.regions.get(place % self.regions.len().max(1)).and_then(Option::as_deref)
    }

    /// The spec of a shard in this region: what its JitsiShard should say, draining and retiring aside. It is paused with its
    /// Jitsi.
    pub fn shard_spec(&self, region: Option<&str>) -> JitsiShardSpec {
        let mut template = self.template.clone();
        template.region = region.map(Into::into);
        JitsiShardSpec {
            template,
            drain: false,
            retire: false,
            groups: Vec::new(),
            conduct: Conduct {
                paused: self.paused,
                suspend: false,
                disable_graceful_upgrade: !self.graceful_upgrade,
                drain_deadline: Some(TimeText(write_time(self.drain_deadline))),
            },
        }
    }
}
