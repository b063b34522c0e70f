//! Groups: what a component says, what is different for this shard, and the defaults under both.

use std::time::Duration;

use jiff::Timestamp;

use super::{check::Problems, time::parse_time};
use crate::{
    api::{GroupKind, GroupSpec, ScalingSpec, ScheduleSpec, TimeText},
    plan::group::{Basis, GroupModel, Options},
};

/// What a component says of its numbers.
pub(super) struct Component<'a> {
    /// Where: `spec.jvb`.
    pub(super) path: &'a str,
    pub(super) kind: GroupKind,
    pub(super) min: i32,
    pub(super) max: i32,
    /// Recorders with a fixed number of free ones.
    pub(super) spares: Option<i32>,
    /// It follows load unless switched off.
    pub(super) autoscale: bool,
    pub(super) scaling: Option<&'a ScalingSpec>,
}

/// The group as it is meant.
pub(super) fn group(component: &Component<'_>, different: Option<&GroupSpec>, problems: &mut Problems) -> GroupModel {
    let none = ScalingSpec::default();
    let below = component.scaling.unwrap_or(&none);
    let above = different.and_then(|group| group.scaling.as_ref()).unwrap_or(&none);
    let basis = if component.kind.is_recorder() { Basis::Availability } else { Basis::Stress };
    // The thresholds that jitsi-autoscaler ships for recorders. For bridges: jicofo takes 0.8 for too much, a bridge needs a
    // few minutes to come, and two thirds of what is left must carry on when one goes.
    let (up, down) = match basis {
        Basis::Stress => (0.6, 0.3),
        Basis::Availability => (1.0, 2.0),
    };
    let min = different.and_then(|group| group.min_desired).unwrap_or(component.min);
    let max = different.and_then(|group| group.max_desired).unwrap_or_else(|| component.max.max(min));
    problems.check(
        min <= max,
        &format!("{}.maxDesired", place(component.kind)),
        "it is less than the least number; write at least as many",
    );
    macro_rules! pick {
        ($field:ident) => {
            above.$field.clone().or_else(|| below.$field.clone())
        };
    }
    let mut time = |given: Option<TimeText>, field: &str, otherwise: u64| match given {
        None => Duration::from_secs(otherwise),
        Some(text) => parse_time(&text).unwrap_or_else(|| {
            problems.add(
                format!("{}.scaling.{field}", component.path),
                "write a time from '1s' to '30d', such as '60s' or '8m'",
            );
            Duration::from_secs(otherwise)
        }),
    };
    let (period, grace, protected) = (
        time(pick!(scale_period), "scalePeriod", 60),
        time(pick!(grace_period), "gracePeriod", 480),
        time(pick!(protected_time), "protectedTime", 600),
    );
    let count =
        |given: Option<i32>, otherwise: u32| given.and_then(|n| u32::try_from(n).ok()).unwrap_or(otherwise).max(1);
    let options = Options {
        min,
        max,
        up_quantity: pick!(scale_up_quantity).unwrap_or(1).max(1),
        down_quantity: pick!(scale_down_quantity).unwrap_or(1).max(1),
        up_threshold: pick!(scale_up_threshold).unwrap_or(up),
        down_threshold: pick!(scale_down_threshold).unwrap_or(down),
        period,
        up_periods: count(pick!(scale_up_periods_count), 2),
        down_periods: count(pick!(scale_down_periods_count), 4),
    };
    let apart = match basis {
        Basis::Stress => options.down_threshold < options.up_threshold,
        Basis::Availability => options.down_threshold >= options.up_threshold,
    };
    problems.check(
        apart,
        &format!("{}.scaling.scaleDownThreshold", component.path),
        match basis {
            Basis::Stress => "it must be less than scaleUpThreshold, or the group would grow and shrink in turns",
            Basis::Availability => {
                "it must not be less than scaleUpThreshold, or the group would grow and shrink in turns"
            }
        },
    );
    // Who writes thresholds or periods for this group means the rule that goes by them, not a fixed number of free ones.
    let by_periods = above.scale_up_threshold.is_some()
        || above.scale_down_threshold.is_some()
        || above.scale_period.is_some()
        || above.scale_up_periods_count.is_some()
        || above.scale_down_periods_count.is_some();
    GroupModel {
        kind: component.kind,
        basis,
        options,
        spares: component.spares.filter(|_| !by_periods),
        autoscale: component.autoscale && pick!(enable_auto_scale).unwrap_or(true),
        launch: pick!(enable_launch).unwrap_or(true),
        scheduler: pick!(enable_scheduler).unwrap_or(true),
        reconfigure: pick!(enable_reconfiguration).unwrap_or(true),
        grace,
        protected,
        protect_launches_until: different
            .and_then(|group| group.protect_launches_until.as_deref())
            .and_then(|text| moment(text, component.kind, "protectLaunchesUntil", problems)),
        word: different.and_then(|group| group.desired.as_ref()).map(|word| (word.count, word.said_at.clone())),
        schedule: schedule(pick!(scheduled_scaling), component, problems),
    }
}

fn place(kind: GroupKind) -> String {
    format!("spec.groups[{}]", kind.as_str())
}

fn moment(text: &str, kind: GroupKind, field: &str, problems: &mut Problems) -> Option<Timestamp> {
    let time = text.parse().ok();
    if time.is_none() {
        problems
            .add(format!("{}.{field}", place(kind)), format!("'{text}' is not a time; write '2026-11-21T18:30:00Z'"));
    }
    time
}

/// A schedule that can be carried out.
fn schedule(given: Option<ScheduleSpec>, component: &Component<'_>, problems: &mut Problems) -> Option<ScheduleSpec> {
    let schedule = given.filter(|schedule| schedule.enabled)?;
    let at = |field: &str| format!("{}.scaling.scheduledScaling.{field}", component.path);
    if let Some(zone) = &schedule.timezone
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        problems.add(at("timezone"), format!("'{zone}' is not a time zone; write one such as 'Europe/Paris'"));
    }
    if let Some(smooth) = &schedule.smooth
        && parse_time(smooth).is_none()
    {
        problems.add(at("smooth"), "write a time from '1s' to '30d', such as '30m'");
    }
    let mut names = std::collections::BTreeSet::new();
    for period in &schedule.periods {
        if !names.insert(&period.name) {
            problems.add(at("periods"), format!("there are two named '{}'; give each a name of its own", period.name));
        }
        let options = &period.scaling_options;
        if let (Some(min), Some(max)) = (options.min_desired, options.max_desired)
            && min > max
        {
            problems.add(at("periods"), format!("in '{}' minDesired is more than maxDesired", period.name));
        }
    }
    Some(schedule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorders(above: ScalingSpec) -> GroupModel {
        let component = Component {
            path: "spec.jibri",
            kind: GroupKind::Jibri,
            min: 2,
            max: 9,
            spares: Some(2),
            autoscale: true,
            scaling: None,
        };
        let different = GroupSpec { kind: GroupKind::Jibri, scaling: Some(above), ..GroupSpec::default() };
        let mut problems = Problems::default();
        group(&component, Some(&different), &mut problems)
    }

    #[test]
    fn thresholds_and_periods_of_an_override_take_the_place_of_spares() {
        assert_eq!(recorders(ScalingSpec::default()).spares, Some(2));
        let switched = ScalingSpec { enable_launch: Some(false), scale_up_quantity: Some(2), ..ScalingSpec::default() };
        assert_eq!(recorders(switched).spares, Some(2), "switches and quantities say nothing of periods");
        let model = recorders(ScalingSpec { scale_up_threshold: Some(1.5), ..ScalingSpec::default() });
        assert_eq!((model.spares, model.options.up_threshold, model.options.down_threshold), (None, 1.5, 2.0));
        let model = recorders(ScalingSpec { scale_period: Some("30s".into()), ..ScalingSpec::default() });
        assert_eq!((model.spares, model.options.period), (None, Duration::from_secs(30)));
    }
}
