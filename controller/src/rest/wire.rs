//! The documents on the wire, field by field as jitsi-autoscaler has them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::{PeriodSpec, ScheduleSpec};

/// A group.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its name, unless somebody gave it another.
    pub id: String,
    /// Shard and kind, `meet-0-jvb`.
    pub name: String,
    /// `JVB`, `jibri`, `sip-jibri` or `jigasi`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The shard's region, unless somebody gave it another name.
    pub region: String,
    /// The namespace, unless somebody gave it another name.
    pub environment: String,
    /// Kept, without a meaning here.
    pub compartment_id: String,
    /// Kept, without a meaning here.
    pub instance_configuration_id: String,
    /// `kubernetes`, unless somebody gave it another name.
    pub cloud: String,
    /// For queries.
    pub tags: BTreeMap<String, String>,
    /// It follows load.
    pub enable_auto_scale: bool,
    /// Instances are made and taken away.
    pub enable_launch: bool,
    /// Full-scaling may change it.
    pub enable_scheduler: bool,
    /// Kept, without a meaning here.
    pub enable_untracked_throttle: bool,
    /// Instances may be told to reconfigure.
    pub enable_reconfiguration: bool,
    /// Kept, without a meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_cloud_guard: Option<bool>,
    /// Seconds without a change after a change.
    #[serde(rename = "gracePeriodTTLSec")]
    pub grace: i64,
    /// Seconds for which a protected instance is not taken away.
    #[serde(rename = "protectedTTLSec")]
    pub protected: i64,
    /// The numbers in force.
    pub scaling_options: ScalingOptions,
    /// Other numbers at certain times.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Schedule>")]
    pub scheduled_scaling: Option<Value>,
    /// The name of the period that counts now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_scaling_active_period: Option<String>,
    /// The numbers outside of all periods, while one counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_scaling_base_options: Option<ScalingOptions>,
    /// Whatever else was written.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The numbers of a group.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingOptions {
    /// At least.
    pub min_desired: i32,
    /// At most.
    pub max_desired: i32,
    /// Asked for now.
    pub desired_count: i32,
    /// Added at once.
    pub scale_up_quantity: i32,
    /// Taken away at once.
    pub scale_down_quantity: i32,
    /// See the resource.
    pub scale_up_threshold: f64,
    /// See the resource.
    pub scale_down_threshold: f64,
    /// Seconds.
    pub scale_period: i64,
    /// So many periods must agree before it grows.
    pub scale_up_periods_count: i64,
    /// So many periods must agree before it shrinks.
    pub scale_down_periods_count: i64,
    /// `cloudGuardGraceCount`, `reservationScaleUpThreshold` and whatever else was written.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A schedule as it is answered: the resource's own, with what was kept of its periods.
#[derive(JsonSchema)]
#[serde(transparent)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct Schedule(ScheduleSpec);

/// `GET …/scheduled-scaling`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleAnswer {
    /// The schedule, or null.
    #[schemars(with = "Option<Schedule>")]
    pub scheduled_scaling: Option<Value>,
    /// The period that counts now, or null.
    #[schemars(with = "Option<PeriodSpec>")]
    pub active_period: Option<Value>,
    /// The time zone that counts; absent without a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_timezone: Option<String>,
}

/// `GET …/report`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupReport {
    /// Whose.
    pub group_name: String,
    /// Instances that have not ended.
    pub count: usize,
    /// Asked for.
    pub desired_count: i32,
    /// Starting.
    pub provisioning_count: usize,
    /// Free, or without anybody on it.
    pub available_count: usize,
    /// Recording, or with somebody on it.
    pub busy_count: usize,
    /// Recorders that have recorded.
    pub expired_count: usize,
    /// Pods that run or start.
    pub cloud_count: usize,
    /// Pods that run and of which nothing was heard.
    #[serde(rename = "unTrackedCount")]
    pub untracked_count: usize,
    /// Ended.
    pub shutdown_count: usize,
    /// On their way out.
    pub shutting_down_count: usize,
    /// Those whose way out failed.
    pub shutdown_error_count: usize,
    /// Those whose reconfiguration failed.
    pub reconfigure_error_count: usize,
    /// Those that shall reconfigure and have not yet.
    pub reconfigure_scheduled_count: usize,
    /// Those that are not taken away by load now.
    pub scale_down_protected_count: usize,
    /// One by one.
    pub instances: Vec<InstanceReport>,
}

/// One instance in a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceReport {
    /// Name of its pod.
    pub instance_id: String,
    /// The same.
    pub display_name: String,
    /// The name that its sidecar gives it, else that of its pod.
    pub instance_name: String,
    /// A word such as `IDLE` or `ONLINE`.
    pub scale_status: String,
    /// `PROVISIONING`, `RUNNING`, `TERMINATING` or `TERMINATED`.
    pub cloud_status: String,
    /// Its version, if it is known.
    pub version: String,
    /// Address of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    /// Address outside, if its sidecar says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
    /// It is on its way out.
    pub is_shutting_down: bool,
    /// When it ended, or false.
    pub shutdown_complete: Value,
    /// Load does not take it away now.
    pub is_scale_down_protected: bool,
    /// The date of the request to reconfigure, or empty.
    pub reconfigure_scheduled: String,
    /// When it last did, or empty.
    pub last_reconfigured: String,
    /// It failed to reconfigure.
    pub reconfigure_error: bool,
    /// It failed to shut down.
    pub shutdown_error: bool,
}

/// `GET …/group-audit`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupAudit {
    /// When instances were last made or taken away, or `unknown`.
    pub last_launcher_run: String,
    /// When the number last changed, or `unknown`.
    pub last_auto_scaler_run: String,
    /// When instances were last told to reconfigure, or `unknown`.
    pub last_reconfigure_request: String,
    /// The values of the periods at the last change by load, newest first; null where nobody reported.
    pub last_scale_metrics: Vec<Option<f64>>,
    /// Changes of the number, newest first.
    pub auto_scaler_action_items: Vec<AutoScalerItem>,
    /// Instances that were made and taken away, newest first.
    pub launcher_action_items: Vec<LauncherItem>,
}

/// A change of the number.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoScalerItem {
    /// When.
    pub timestamp: String,
    /// `increaseDesiredCount`, `decreaseDesiredCount` or `scheduledScaling`.
    pub action_type: String,
    /// Instances at that time.
    pub count: i32,
    /// From.
    pub old_desired_count: i32,
    /// To.
    pub new_desired_count: i32,
    /// The values of the periods, newest first; null where nobody reported.
    pub scale_metrics: Vec<Option<f64>>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Instances that were made or taken away.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LauncherItem {
    /// When.
    pub timestamp: String,
    /// `scaleUp` or `scaleDown`.
    pub action_type: String,
    /// Instances at that time.
    pub count: i32,
    /// Asked for.
    pub desired_count: i32,
    /// How many.
    pub scale_quantity: i32,
}

/// One instance in `GET …/instance-audit`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceAudit {
    /// Name of its pod.
    pub instance_id: String,
    /// When it was made, or `unknown`; so with all times here.
    pub request_to_launch: String,
    /// When it last said something.
    pub latest_status: String,
    /// When it was told to end.
    pub request_to_terminate: String,
    /// When it had ended.
    pub termination_confirmation: String,
    /// When it was told to reconfigure.
    pub request_to_reconfigure: String,
    /// When it had.
    pub reconfigure_complete: String,
    /// What it last said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_status_info: Option<Value>,
}

/// What a sidecar is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Command {
    /// End the instance.
    pub shutdown: bool,
    /// Reconfigure the instance if this date is new to it; empty: do not.
    pub reconfigure: String,
}
