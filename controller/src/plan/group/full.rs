//! Full-scaling: other numbers for every group of a type in a region, with one request. Pure.
//!
//! This is the autoscaler's `PUT /groups/options/full-scaling`, which schedulers outside of the cluster call. The REST API
//! collects all groups that it can see ([`FullGroup`]), asks [`full_scaling`] what each becomes, writes the overrides
//! ([`FullChange::write`]) and answers with [`FullAnswer`]: 200 when all were written, 206 when only some were.

use serde::Serialize;

use crate::api::{DesiredWord, GroupKind, GroupSpec, OptionsSpec, ScalingSpec, TimeText};

/// Which way the number of instances may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It only rises.
    Up,
    /// It only falls.
    Down,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct FullRequest {
    /// Groups of this environment.
    pub environment: String,
    /// Groups in this region.
    pub region: String,
    /// Groups of this type.
    pub kind: GroupKind,
    /// Which way the number of instances may move. Bounds and the other numbers change either way.
    pub direction: Direction,
    /// The other numbers.
    pub options: OptionsSpec,
}

/// A group as it is now: the numbers in force, whatever layer they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullGroup {
    /// Its name in the REST API, such as `meet-0-jvb`.
    pub name: String,
    /// What it is made of.
    pub kind: GroupKind,
    /// Its environment.
    pub environment: String,
    /// Its region.
    pub region: String,
    /// [`super::GroupModel::scheduler`].
    pub scheduler: bool,
    /// It has a schedule of its own that counts ([`super::GroupModel::schedule`]).
    pub scheduled: bool,
    /// [`super::Options::min`], outside of any period of a schedule.
    pub min: i32,
    /// [`super::Options::max`], outside of any period of a schedule.
    pub max: i32,
    /// How many are asked for now (`status.groups[].desired`).
    pub desired: i32,
}

/// What a group becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct FullChange {
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub kind: GroupKind,
    /// At least.
    pub min: i32,
    /// At most.
    pub max: i32,
    /// How many. It is written even where it stays the same: like there, a full-scaling starts the grace period.
    pub desired: i32,
    /// The numbers that were given besides.
    options: OptionsSpec,
}

/// A group that the request meant and passes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What a request comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FullPlan {
    /// Groups that change, in the order in which they were given.
    pub changes: Vec<FullChange>,
    /// Groups that are passed by because a schedule of their own rules them.
    pub skipped: Vec<Skipped>,
}

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FullAnswer {
    /// How many groups were to change.
    pub groups_to_be_updated: usize,
    /// How many have been written.
    pub groups_updated: usize,
    /// Who was passed by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_groups: Vec<Skipped>,
}

/// What becomes of each group. Those of another type, region or environment are not looked at; those whose scheduler is
/// off, and those with a schedule of their own, are passed by.
#[must_use]
pub fn full_scaling(request: &FullRequest, groups: &[FullGroup]) -> FullPlan {
    let meant = groups.iter().filter(|group| {
        group.kind == request.kind && group.region == request.region && group.environment == request.environment
    });
    let mut plan = FullPlan::default();
    for group in meant {
        if group.scheduled {
            let reason = "Group uses scheduled scaling".to_owned();
            plan.skipped.push(Skipped { name: group.name.clone(), reason });
        } else if group.scheduler {
            plan.changes.push(change(request, group));
        }
    }
    plan
}

fn change(request: &FullRequest, group: &FullGroup) -> FullChange {
    let options = &request.options;
    let desired = match (options.desired_count, request.direction) {
        (Some(wanted), Direction::Up) => group.desired.max(wanted),
        (Some(wanted), Direction::Down) => group.desired.min(wanted),
        (None, _) => group.desired,
    };
    // Bounds give way to the number, not the other way round.
    let max = options.max_desired.unwrap_or(group.max).max(desired);
    let min = options.min_desired.unwrap_or(group.min).min(desired);
    FullChange { name: group.name.clone(), kind: group.kind, min, max, desired, options: options.clone() }
}

impl FullChange {
    /// Writes the change into a group's override; what it does not speak of stays. `said_at` is the time of the request, the
    /// same for all groups: it tells this word from the one before.
    pub fn write(&self, said_at: &str, spec: &mut GroupSpec) {
        spec.kind = self.kind;
        spec.min_desired = Some(self.min);
        spec.max_desired = Some(self.max);
        spec.desired = Some(DesiredWord { count: self.desired, said_at: said_at.to_owned() });
        let given = &self.options;
        let other = ScalingSpec {
            scale_up_quantity: given.scale_up_quantity,
            scale_down_quantity: given.scale_down_quantity,
            scale_up_threshold: given.scale_up_threshold,
            scale_down_threshold: given.scale_down_threshold,
            scale_period: given.scale_period.map(|seconds| TimeText(format!("{seconds}s"))),
            scale_up_periods_count: given.scale_up_periods_count,
            scale_down_periods_count: given.scale_down_periods_count,
            ..ScalingSpec::default()
        };
        if other == ScalingSpec::default() {
            return;
        }
        let scaling = spec.scaling.get_or_insert_default();
        macro_rules! take {
            ($($field:ident),*) => {
                $(if other.$field.is_some() { scaling.$field = other.$field; })*
            };
        }
        take!(scale_up_quantity, scale_down_quantity, scale_up_threshold, scale_down_threshold);
        take!(scale_period, scale_up_periods_count, scale_down_periods_count);
    }
}

impl FullAnswer {
    /// The answer after `written` of the planned changes were written.
    #[must_use]
    pub fn new(plan: FullPlan, written: usize) -> Self {
        Self { groups_to_be_updated: plan.changes.len(), groups_updated: written, skipped_groups: plan.skipped }
    }

    /// 200, or 206 when some could not be written.
    #[must_use]
    pub fn status(&self) -> u16 {
        if self.groups_updated == self.groups_to_be_updated { 200 } else { 206 }
    }
}

#[cfg(test)]
mod tests;
