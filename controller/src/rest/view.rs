//! A group as the autoscaler shows it. Pure.

use kube::ResourceExt;
use serde_json::{Map, Value};

use super::{
    find::Found,
    wire::{Group, ScalingOptions, ScheduleAnswer},
};
use crate::{
    api::{GroupSpec, OptionsSpec, PeriodSpec, ScheduleSpec},
    plan::group::Options,
};

/// Where fields of the schedule's periods that mean nothing here are kept: by name of the period.
pub const KEPT_PERIODS: &str = "scheduledScalingPeriods";

/// What is written in `spec.groups` about this group, by whomever.
#[must_use]
pub fn written(found: &Found) -> GroupSpec {
    let written = found.shard.spec.groups.iter().find(|group| group.kind == found.kind);
    written.cloned().unwrap_or_else(|| GroupSpec { kind: found.kind, ..Default::default() })
}

/// The group.
#[must_use]
pub fn group(found: &Found) -> Group {
    let written = written(found);
    let kept = match written.kept {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let model = &found.model;
    let text =
        |field: &str, otherwise: String| kept.get(field).and_then(Value::as_str).map_or(otherwise, str::to_owned);
    let switch = |field: &str| kept.get(field).and_then(Value::as_bool);
    let shard = &found.shard;
    let region = shard.spec.template.region.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
    let base = options(&model.options, desired(found));
    let active = active(found);
    let scheduled = schedule(found).is_some_and(|schedule| schedule.enabled);
    let known = [
        "id",
        "region",
        "environment",
        "compartmentId",
        "instanceConfigurationId",
        "cloud",
        "enableUntrackedThrottle",
        "enableCloudGuard",
        "enableScheduler",
        "scalingOptions",
        KEPT_PERIODS,
    ];
    let mut in_force = active.as_ref().map_or_else(|| base.clone(), |period| over(&base, &period.scaling_options));
    in_force.desired_count = base.desired_count;
    if let Some(Value::Object(others)) = kept.get("scalingOptions") {
        in_force.others = others.clone();
    }
    Group {
        id: text("id", found.name.clone()),
        name: found.name.clone(),
        kind: found.kind.autoscaler_type().to_owned(),
        region: text("region", region),
        environment: text("environment", found.namespace()),
        compartment_id: text("compartmentId", found.namespace()),
        instance_configuration_id: text("instanceConfigurationId", format!("JitsiShard/{}", shard.name_any())),
        cloud: text("cloud", "kubernetes".to_owned()),
        tags: written.tags,
        enable_auto_scale: written.scaling.as_ref().and_then(|own| own.enable_auto_scale).unwrap_or(model.autoscale),
        enable_launch: model.launch,
        // There a group with a schedule of its own is passed by: the two exclude each other.
        enable_scheduler: if scheduled { switch("enableScheduler").unwrap_or(false) } else { model.scheduler },
        enable_untracked_throttle: switch("enableUntrackedThrottle").unwrap_or(true),
        enable_reconfiguration: model.reconfigure,
        enable_cloud_guard: switch("enableCloudGuard"),
        grace: seconds(model.grace),
        protected: seconds(model.protected),
        scaling_options: in_force,
        scheduled_scaling: schedule_answer(found, &kept),
        scheduled_scaling_active_period: active.as_ref().map(|period| period.name.clone()),
        scheduled_scaling_base_options: active.map(|_| ScalingOptions {
            desired_count: found.status().and_then(|status| status.base).unwrap_or(base.desired_count),
            ..base
        }),
        others: kept.into_iter().filter(|(key, _)| !known.contains(&key.as_str())).collect(),
    }
}

/// How many are asked for, with a word that was not taken in yet.
#[must_use]
pub fn desired(found: &Found) -> i32 {
    let status = found.status();
    match &found.model.word {
        Some((count, said)) if status.and_then(|status| status.heard.as_ref()) != Some(said) => *count,
        _ => status.map_or(found.model.options.min, |status| status.desired),
    }
}

/// The schedule as it is written, switched on or not.
#[must_use]
pub fn schedule(found: &Found) -> Option<ScheduleSpec> {
    let own = written(found).scaling.and_then(|scaling| scaling.scheduled_scaling);
    own.or_else(|| {
        let template = &found.shard.spec.template;
        let scaling = match found.kind {
            crate::api::GroupKind::Jvb => template.jvb.as_ref().and_then(|jvb| jvb.scaling.as_ref()),
            crate::api::GroupKind::Jibri => template.jibri.as_ref().and_then(|jibri| jibri.scaling.as_ref()),
            crate::api::GroupKind::SipJibri => template.sip_jibri.as_ref().and_then(|jibri| jibri.scaling.as_ref()),
            crate::api::GroupKind::Jigasi => template.jigasi.as_ref().and_then(|jigasi| jigasi.scaling.as_ref()),
        };
        scaling.and_then(|scaling| scaling.scheduled_scaling.clone())
    })
}

/// The period that counts now, as the controller last saw it.
fn active(found: &Found) -> Option<PeriodSpec> {
    let name = found.status()?.period.as_ref()?;
    found.model.schedule.as_ref()?.periods.iter().find(|period| &period.name == name).cloned()
}

/// `GET …/scheduled-scaling`.
#[must_use]
pub fn schedule_view(found: &Found) -> ScheduleAnswer {
    let kept = match written(found).kept {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let schedule = schedule(found);
    ScheduleAnswer {
        scheduled_scaling: schedule_answer(found, &kept),
        active_period: active(found).map(|period| period_answer(&period, &kept)),
        resolved_timezone: schedule.map(|schedule| schedule.timezone.unwrap_or_else(|| "UTC".to_owned())),
    }
}

fn schedule_answer(found: &Found, kept: &Map<String, Value>) -> Option<Value> {
    let schedule = schedule(found)?;
    let mut answer = serde_json::to_value(&schedule).unwrap_or_default();
    answer["enabled"] = schedule.enabled.into();
    answer["periods"] = schedule.periods.iter().map(|period| period_answer(period, kept)).collect();
    Some(answer)
}

fn period_answer(period: &PeriodSpec, kept: &Map<String, Value>) -> Value {
    let mut answer = serde_json::to_value(period).unwrap_or_default();
    let more = kept.get(KEPT_PERIODS).and_then(|all| all.get(&period.name)).and_then(Value::as_object);
    if let (Some(more), Some(options)) = (more, answer["scalingOptions"].as_object_mut()) {
        options.extend(more.clone());
    }
    answer
}

fn seconds(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// The numbers outside of all periods.
fn options(options: &Options, desired_count: i32) -> ScalingOptions {
    ScalingOptions {
        min_desired: options.min,
        max_desired: options.max,
        desired_count,
        scale_up_quantity: options.up_quantity,
        scale_down_quantity: options.down_quantity,
        scale_up_threshold: options.up_threshold,
        scale_down_threshold: options.down_threshold,
        scale_period: seconds(options.period),
        scale_up_periods_count: options.up_periods.into(),
        scale_down_periods_count: options.down_periods.into(),
        others: Map::new(),
    }
}

/// With what a period has different.
fn over(base: &ScalingOptions, period: &OptionsSpec) -> ScalingOptions {
    ScalingOptions {
        min_desired: period.min_desired.unwrap_or(base.min_desired),
        max_desired: period.max_desired.unwrap_or(base.max_desired),
        desired_count: base.desired_count,
        scale_up_quantity: period.scale_up_quantity.unwrap_or(base.scale_up_quantity),
        scale_down_quantity: period.scale_down_quantity.unwrap_or(base.scale_down_quantity),
        scale_up_threshold: period.scale_up_threshold.unwrap_or(base.scale_up_threshold),
        scale_down_threshold: period.scale_down_threshold.unwrap_or(base.scale_down_threshold),
        scale_period: period.scale_period.map_or(base.scale_period, i64::from),
        scale_up_periods_count: period.scale_up_periods_count.map_or(base.scale_up_periods_count, i64::from),
        scale_down_periods_count: period.scale_down_periods_count.map_or(base.scale_down_periods_count, i64::from),
        others: Map::new(),
    }
}
