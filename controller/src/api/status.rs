//! What the controller reports.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GroupStatus, schema};

/// Where a Jitsi or a shard stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing is there yet.
    #[default]
    Pending,
    /// Its objects are there, and some do not answer yet.
    Starting,
    /// It takes conferences.
    Ready,
    /// It was ready, and something does not answer.
    Degraded,
    /// A Jitsi whose shards are being added, removed or replaced.
    Progressing,
    /// It takes no new conferences, and goes when the last one has ended.
    Draining,
    /// It has no conferences and takes none.
    Drained,
    /// The controller leaves it alone because it was told to.
    Paused,
    /// What was asked for cannot be done.
    Invalid,
}

impl Phase {
    /// The word as people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Ready => "Ready",
            Self::Degraded => "Degraded",
            Self::Progressing => "Progressing",
            Self::Draining => "Draining",
            Self::Drained => "Drained",
            Self::Paused => "Paused",
            Self::Invalid => "Invalid",
        }
    }
}

/// What proxies are told about a shard, as the value of [`super::SHARD_STATE_LABEL`]. Absent until it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// Takes new conferences.
    Ready,
    /// Keeps its conferences, gets no new ones.
    Draining,
    /// Gets nobody.
    Down,
}

impl ShardState {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

/// How many there should be and are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Asked for.
    pub desired: i32,
    /// Ready.
    pub ready: i32,
}

/// Status of a Jitsi.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JitsiStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// What has to happen next, in words. Absent when nothing has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,

    /// Shards that exist, draining ones included.
    #[serde(default)]
    pub shards: i32,

    /// Shards that take conferences.
    #[serde(default)]
    pub ready_shards: i32,

    /// Shards on their way out.
    #[serde(default)]
    pub draining_shards: i32,

    /// Shards that are made of what the spec says now.
    #[serde(default)]
    pub updated_shards: i32,

    /// Conferences on all shards, as far as jicofo could be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conferences: Option<i64>,

    /// Selector of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Counts>,

    /// The shards one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub shard_statuses: Vec<ShardSummary>,

    /// Version of the controller that last brought everything to where it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,

    /// Version of the controller that last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,

    /// Conditions, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<Condition>>")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// One shard in the status of its Jitsi.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardSummary {
    /// Its name.
    pub name: String,

    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// Its region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,

    /// Conferences on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conferences: Option<i64>,

    /// It is made of what the spec says now.
    #[serde(default)]
    pub up_to_date: bool,
}

/// Status of a shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// What has to happen next, in words. Absent when nothing has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,

    /// Region of its bridges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,

    /// Conferences that jicofo reports. Absent while it cannot be asked: that is not zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conferences: Option<i64>,

    /// Rooms that proxies keep here. Absent while one of them cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<i64>,

    /// Tunnels that proxies keep here. Absent while one of them cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<i64>,

    /// Bridges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridges: Option<Counts>,

    /// Recorders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorders: Option<Counts>,

    /// Groups of bridges, recorders and gateways. Written under a field manager of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into()]))]
    pub groups: Vec<GroupStatus>,

    /// What proxies are told about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ShardState>,

    /// Since when it drains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_started_at: Option<Time>,

    /// When it goes, conferences or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_deadline_at: Option<Time>,

    /// Since when nobody has been on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_since: Option<Time>,

    /// Revision of prosody and jicofo that was last applied: what may not change under a conference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signalling_revision: Option<String>,

    /// Conditions, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact::<Vec<Condition>>")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
