//! Groups of instances that grow and shrink: the bridges, recorders and gateways of one shard.
//!
//! Words and meanings are those of jitsi-autoscaler, so that its users find what they know: a *group* is what the
//! autoscaler calls so, `scalePeriod`, thresholds and quantities decide as they do there.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{self, TimeText};

/// What a group is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    /// Bridges.
    #[default]
    Jvb,
    /// Recorders.
    Jibri,
    /// Recorders that dial out by SIP.
    SipJibri,
    /// Gateways to telephones.
    Jigasi,
}

impl GroupKind {
    /// All of them, in the order in which they are looked after.
    pub const ALL: [Self; 4] = [Self::Jvb, Self::Jibri, Self::SipJibri, Self::Jigasi];

    /// The word in names of pods, and the value of `app.kubernetes.io/component`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jvb => "jvb",
            Self::Jibri => "jibri",
            Self::SipJibri => "sip-jibri",
            Self::Jigasi => "jigasi",
        }
    }

    /// The autoscaler's word, `type` of a group there.
    #[must_use]
    pub fn autoscaler_type(self) -> &'static str {
        match self {
            Self::Jvb => "JVB",
            Self::Jibri => "jibri",
            Self::SipJibri => "sip-jibri",
            Self::Jigasi => "jigasi",
        }
    }

    /// Busy with one thing or free, rather than more or less loaded.
    #[must_use]
    pub fn is_recorder(self) -> bool {
        matches!(self, Self::Jibri | Self::SipJibri)
    }
}

/// How a group grows and shrinks. What is absent has a default, or the value of the layer below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingSpec {
    /// How many instances are added at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1000").message("write a number from 1 to 1000"))]
    pub scale_up_quantity: Option<i32>,

    /// How many are taken away at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1000").message("write a number from 1 to 1000"))]
    pub scale_down_quantity: Option<i32>,

    /// Bridges and gateways: the mean stress from which on the group grows. Recorders: the number of free ones under
    /// which it grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up_threshold: Option<f64>,

    /// Bridges and gateways: the mean stress under which the group shrinks. Recorders: the number of free ones over which
    /// it shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_threshold: Option<f64>,

    /// The length of a period over which samples are averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_period: Option<TimeText>,

    /// So many of the newest periods must all say that the group is too small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("write a number from 1 to 100"))]
    pub scale_up_periods_count: Option<i32>,

    /// So many of the newest periods must all say that the group is too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("write a number from 1 to 100"))]
    pub scale_down_periods_count: Option<i32>,

    /// After a change, none follows for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<TimeText>,

    /// How long an instance that was launched protected is not taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_time: Option<TimeText>,

    /// Off: the number asked for changes only by hand or by schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_auto_scale: Option<bool>,

    /// Off: no instance is made and none is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_launch: Option<bool>,

    /// Off: the schedule has no effect, and full-scaling passes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_scheduler: Option<bool>,

    /// Off: instances are not told to reconfigure themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_reconfiguration: Option<bool>,

    /// Other numbers at certain times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_scaling: Option<ScheduleSpec>,
}

/// Other numbers at certain times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSpec {
    /// It counts.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub enabled: bool,

    /// Time zone of its hours, such as `Europe/Paris`. UTC without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub timezone: Option<String>,

    /// At the edges of a period the number asked for moves in steps over this time, instead of all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smooth: Option<TimeText>,

    /// Times of the week. Where two overlap, the higher priority counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub periods: Vec<PeriodSpec>,
}

/// A time of the week. From its start up to, not including, its end; over midnight when the end is before the start; all day when
/// both are the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodSpec {
    /// Its name, in events and reports.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// Days on which it starts: 0 is Sunday.
    #[schemars(length(max = 7))]
    #[x_kube(validation = Rule::new("self.all(day, day >= 0 && day <= 6)").message("write days from 0 (Sunday) to 6 (Saturday)"))]
    pub day_of_week: Vec<i32>,

    /// Hour of its start, 0 to 23.
    #[x_kube(validation = Rule::new("self >= 0 && self <= 23").message("write an hour from 0 to 23"))]
    pub start_hour: i32,

    /// Minute of its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 59").message("write a minute from 0 to 59"))]
    pub start_minute: Option<i32>,

    /// Hour of its end, 0 to 23.
    #[x_kube(validation = Rule::new("self >= 0 && self <= 23").message("write an hour from 0 to 23"))]
    pub end_hour: i32,

    /// Minute of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 59").message("write a minute from 0 to 59"))]
    pub end_minute: Option<i32>,

    /// Where periods overlap, the highest counts.
    #[serde(default)]
    pub priority: i32,

    /// While it lasts, the group does not shrink by load.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub inhibit_scale_down: bool,

    /// What is different while it lasts.
    #[serde(default)]
    pub scaling_options: OptionsSpec,
}

/// Numbers of a group, any of which may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptionsSpec {
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number from 0 to 1000"))]
    pub min_desired: Option<i32>,

    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number from 0 to 1000"))]
    pub max_desired: Option<i32>,

    /// How many are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number from 0 to 1000"))]
    pub desired_count: Option<i32>,

    /// How many are added at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1000").message("write a number from 1 to 1000"))]
    pub scale_up_quantity: Option<i32>,

    /// How many are taken away at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1000").message("write a number from 1 to 1000"))]
    pub scale_down_quantity: Option<i32>,

    /// See `scaleUpThreshold` of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up_threshold: Option<f64>,

    /// See `scaleDownThreshold` of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_threshold: Option<f64>,

    /// Length of a period in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 86400").message("write seconds from 1 to 86400"))]
    pub scale_period: Option<i32>,

    /// See `scaleUpPeriodsCount` of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("write a number from 1 to 100"))]
    pub scale_up_periods_count: Option<i32>,

    /// See `scaleDownPeriodsCount` of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("write a number from 1 to 100"))]
    pub scale_down_periods_count: Option<i32>,
}

/// What is different in one group of one shard: written by people, or by the REST API under a field manager of its own.
/// A Jitsi never writes it, so it stays when the Jitsi's own spec changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupSpec {
    /// Which group of the shard.
    pub kind: GroupKind,

    /// Other bounds; they count over those of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number from 0 to 1000"))]
    pub min_desired: Option<i32>,

    /// Other bounds; they count over those of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number from 0 to 1000"))]
    pub max_desired: Option<i32>,

    /// Other numbers; they count over those of the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingSpec>,

    /// Somebody's word on how many there should be now. Load and schedule may change the number later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<DesiredWord>,

    /// Instances made until then are protected for `protectedTime`: RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub protect_launches_until: Option<String>,

    /// Tags of the group, for queries of the REST API.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::string_map")]
    pub tags: std::collections::BTreeMap<String, String>,

    /// Fields of the autoscaler's groups that have no meaning in Kubernetes, kept so that they can be read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub kept: Option<Value>,
}

/// A number that somebody asked for, once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredWord {
    /// How many.
    #[x_kube(validation = Rule::new("self >= 0 && self <= 1000").message("write a number from 0 to 1000"))]
    pub count: i32,

    /// What makes this word another than the one before: the time it was said, in RFC 3339.
    #[schemars(length(min = 1, max = 40))]
    pub said_at: String,
}

/// A group as the controller last saw it, and what it must remember.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Which group.
    pub kind: GroupKind,

    /// How many are asked for now.
    #[serde(default)]
    pub desired: i32,

    /// How many there are that count towards it: those starting and those that take work.
    #[serde(default)]
    pub count: i32,

    /// How many take work.
    #[serde(default)]
    pub ready: i32,

    /// How many are starting.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub starting: i32,

    /// How many are on their way out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub draining: i32,

    /// Recorders: how many are free.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub idle: i32,

    /// Recorders: how many record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub busy: i32,

    /// Mean stress of those that take work, to two digits. Absent while nobody reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stress: Option<String>,

    /// The active period of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,

    /// The number from which a smooth edge set out, and when: `5 2026-11-21T08:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,

    /// What was asked for before the active period changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<i32>,

    /// Until when nothing changes by load: RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<String>,

    /// The last word of somebody that was taken in (`saidAt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<String>,

    /// What keeps it from having as many as it should. Absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<String>,

    /// Why it is as it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(value: &i32) -> bool {
    *value == 0
}
