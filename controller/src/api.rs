//! The custom resources: what people write, and what they read back.
//!
//! `Jitsi` is a deployment of any number of shards behind proxies, `JitsiShard` is one shard. Both carry the same
//! [`ShardTemplate`], so that a shard can be written by hand with the words one already knows. The fields of the
//! operator that came before keep their names and meaning; everything else is optional.
//!
//! Nothing here knows a default that is more than "absent": [`crate::validate`] resolves those, in one place. The one
//! exception is `shards`, because the scale subresource needs the field to be there.

mod component;
mod edge;
mod scaling;
pub(crate) mod schema;
mod status;
mod template;

pub use component::{
    BridgePorts, BridgeSpec, BridgeStrategy, BucketSpec, ExposureType, FocusSpec, GatewayPodsSpec, MoveEndpoints,
    PodSettings, ProsodySpec, RecorderSpec, StrategyType, WebSpec,
};
pub use edge::{GatewayParent, GatewaySpec, IngressSpec, NetworkPolicySpec, ProxyServiceSpec, ProxySpec};
use kube::{CustomResource, KubeSchema};
pub use scaling::{DesiredWord, GroupKind, GroupSpec, GroupStatus, OptionsSpec, PeriodSpec, ScalingSpec, ScheduleSpec};
pub use schema::{HostName, ObjectName, RegionName, TimeText};
use serde::{Deserialize, Serialize};
pub use status::{Condition, Counts, JitsiStatus, Phase, ShardState, ShardStatus, ShardSummary};
pub use template::{ImageSpec, JwtSpec, ShardTemplate, TurnSpec};

/// API group of both resources, and prefix of our labels and annotations.
pub const GROUP: &str = "apps.jit.si";
/// Version of both resources.
pub const VERSION: &str = "v1alpha1";
/// Finalizer that holds a shard until nobody is in a conference on it.
pub const DRAIN_FINALIZER: &str = "apps.jit.si/drain";
/// Label with the name of the Jitsi.
pub const JITSI_LABEL: &str = "apps.jit.si/jitsi";
/// Label with the name of the shard.
pub const SHARD_LABEL: &str = "apps.jit.si/shard";
/// Label on a shard's web Service from which proxies learn its state: `ready`, `draining` or `down`.
pub const SHARD_STATE_LABEL: &str = "apps.jit.si/shard-state";
/// Label with the shard's region, for people and for schedulers.
pub const REGION_LABEL: &str = "apps.jit.si/region";
/// Label on a JitsiShard, and annotation on pods, with what may not change under a conference.
pub const SIGNALLING_REVISION: &str = "apps.jit.si/signalling-revision";

/// Label on a pod that we look after: where it stands. Bridges: `active`, `draining`, `stopping`. Recorders: `idle`, `busy`,
/// `expired`.
pub const STATE_LABEL: &str = "apps.jit.si/state";
/// Label that the disruption budget selects: `true` while somebody would be cut by an eviction.
pub const PROTECTED_LABEL: &str = "apps.jit.si/protected";
/// Annotation on a pod: the fingerprint of what it was made from.
pub const TEMPLATE_REVISION: &str = "apps.jit.si/template-revision";
/// Annotation on a bridge: since when it drains (RFC 3339), written before it is told.
pub const DRAIN_SINCE: &str = "apps.jit.si/drain-since";
/// Annotation on a bridge: why it drains, in a word such as `ScaleDown` or `NodeCordoned`.
pub const DRAIN_REASON: &str = "apps.jit.si/drain-reason";
/// Annotation on a draining bridge: since when it has been seen empty (RFC 3339).
pub const QUIET_SINCE: &str = "apps.jit.si/quiet-since";
/// Annotation on a bridge: when it was told to shut down, from which there is no way back (RFC 3339).
pub const SHUTDOWN_SINCE: &str = "apps.jit.si/shutdown-since";
/// Annotation on a pod: until when it is not taken away by load (RFC 3339).
pub const PROTECTED_UNTIL: &str = "apps.jit.si/protected-until";
/// Annotation on a pod, written by people: `true` drains this one, and keeps it drained.
pub const DRAIN_ASKED: &str = "apps.jit.si/drain";
/// Annotation on a bridge: the shards that it serves besides its own, separated by commas.
pub const SERVES: &str = "apps.jit.si/serves";
/// Annotation on a pod: so many tries before this one failed at once.
pub const ATTEMPT: &str = "apps.jit.si/attempt";
/// Annotation on a pod: what it, or its sidecar, last told us, as JSON of at most 2 KiB ([`crate::plan::report::Report`]).
pub const REPORT: &str = "apps.jit.si/report";
/// Annotation on a pod: the sidecar shall end its instance (RFC 3339 of the request).
pub const SHUTDOWN_ASKED: &str = "apps.jit.si/shutdown-requested";
/// Annotation on a pod: the sidecar shall reconfigure its instance (ISO 8601 of the request).
pub const RECONFIGURE_ASKED: &str = "apps.jit.si/reconfigure-requested";

/// A Jitsi Meet of N shards behind proxies that keep every conference together.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "apps.jit.si",
    version = "v1alpha1",
    kind = "Jitsi",
    plural = "jitsis",
    shortname = "jit",
    category = "roompin",
    category = "all",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    status = "JitsiStatus",
    doc = "A Jitsi Meet of any number of shards behind proxies that keep every conference together.",
    scale(
        spec_replicas_path = ".spec.shards",
        status_replicas_path = ".status.shards",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Domain",
        type_ = "string",
        json_path = ".spec.domain",
        description = "Host name that people open"
    ),
    printcolumn(
        name = "Shards",
        type_ = "integer",
        json_path = ".spec.shards",
        description = "Shards asked for"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.readyShards",
        description = "Shards that take conferences"
    ),
    printcolumn(
        name = "Draining",
        type_ = "integer",
        json_path = ".status.drainingShards",
        description = "Shards on their way out",
        priority = 1
    ),
    printcolumn(
        name = "Proxies",
        type_ = "integer",
        json_path = ".status.proxies.ready",
        description = "Proxies that are ready",
        priority = 1
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "Where it stands"),
    printcolumn(
        name = "Waiting for",
        type_ = "string",
        json_path = ".status.waitingFor",
        description = "What has to happen next"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 40").message(
        "the name begins the names of Services and pods: write at most 40 of a-z, 0-9 and '-', beginning with a letter, such as 'meet'"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct JitsiSpec {
    /// What every shard is made of.
    #[serde(flatten)]
    pub template: ShardTemplate,

    /// How many shards. `kubectl scale jitsi/NAME --replicas=N` sets it. A shard that is too many is drained first.
    #[serde(default = "one")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 100").message("write a number of shards from 0 to 100"))]
    pub shards: i32,

    /// Regions of the shards, dealt in order: `[eu, us]` with four shards makes eu, us, eu, us. Without it all
    /// shards are in `region`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub shard_regions: Vec<RegionName>,

    /// The proxies in front of the shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxySpec>,

    /// An Ingress for the proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,

    /// A Gateway API HTTPRoute for the proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,

    /// How the controller treats it.
    #[serde(flatten)]
    pub conduct: Conduct,
}

/// One shard: a signalling stack (web, prosody, jicofo) with its own bridges and recorders.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "apps.jit.si",
    version = "v1alpha1",
    kind = "JitsiShard",
    plural = "jitsishards",
    shortname = "jsh",
    category = "roompin",
    category = "all",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    status = "ShardStatus",
    doc = "One shard of a Jitsi Meet: web, prosody and jicofo with their own bridges and recorders. Made by a Jitsi, or written by hand.",
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "Where it stands"
    ),
    printcolumn(
        name = "Region",
        type_ = "string",
        json_path = ".status.region",
        description = "Region of its bridges"
    ),
    printcolumn(
        name = "Conferences",
        type_ = "integer",
        json_path = ".status.conferences",
        description = "Conferences that jicofo reports"
    ),
    printcolumn(
        name = "JVB",
        type_ = "integer",
        json_path = ".status.bridges.ready",
        description = "Bridges that are ready"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".status.groups[?(@.kind==\"jvb\")].desired",
        description = "Bridges asked for"
    ),
    printcolumn(
        name = "Draining",
        type_ = "integer",
        json_path = ".status.groups[?(@.kind==\"jvb\")].draining",
        description = "Bridges on their way out"
    ),
    printcolumn(
        name = "Stress",
        type_ = "string",
        json_path = ".status.groups[?(@.kind==\"jvb\")].stress",
        description = "Mean stress of the bridges"
    ),
    printcolumn(
        name = "Jibri-Idle",
        type_ = "integer",
        json_path = ".status.groups[?(@.kind==\"jibri\")].idle",
        description = "Recorders that are free"
    ),
    printcolumn(
        name = "Jibri-Busy",
        type_ = "integer",
        json_path = ".status.groups[?(@.kind==\"jibri\")].busy",
        description = "Recorders that record"
    ),
    printcolumn(
        name = "Waiting for",
        type_ = "string",
        json_path = ".status.waitingFor",
        description = "What has to happen next"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 44").message(
        "the name begins the names of Services and pods: write at most 44 of a-z, 0-9 and '-', beginning with a letter, such as 'meet-0'"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct JitsiShardSpec {
    /// What the shard is made of.
    #[serde(flatten)]
    pub template: ShardTemplate,

    /// Take no new conferences, and go when the last one has ended. A Jitsi sets it when it scales down and clears
    /// it when it scales up again. On a shard written by hand it only drains; delete the shard to remove it.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub drain: bool,

    /// This shard goes first when the Jitsi scales down.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub retire: bool,

    /// What is different in groups of this shard, whatever the template says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into()]))]
    #[schemars(length(max = 4))]
    pub groups: Vec<GroupSpec>,

    /// How the controller treats it.
    #[serde(flatten)]
    pub conduct: Conduct,
}

/// How the controller treats a resource, whatever it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conduct {
    /// The controller leaves everything as it is and only reports.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub paused: bool,

    /// The same as `paused`, under the name that it had in the earlier operator.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub suspend: bool,

    /// Apply changes of prosody and jicofo at once, and cut the conferences that are running. Without it shards are
    /// replaced one at a time, each drained first.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub disable_graceful_upgrade: bool,

    /// How long a draining shard may keep its conferences, such as `4h` (the default) or `1h30m`. Then it goes, and an
    /// event says what was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_deadline: Option<TimeText>,
}

fn one() -> i32 {
    1
}
