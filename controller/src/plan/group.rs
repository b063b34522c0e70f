//! How many instances a group asks for: by load, by schedule, by somebody's word. Pure.
//!
//! The decision by load is jitsi-autoscaler's (`reference/prior-systems.md` §1.1); what is different, and why, stands at
//! [`decide`]'s module, and in `docs/parity.md`.
//!
//! - [`samples`](Samples): measurements of the last minutes, in the leader's memory.
//! - [`periods`]: what they come to, period by period.
//! - [`load`]: what the published rule makes of that.
//! - [`schedule`]: other numbers at certain times.
//! - [`decide`]: all of it together, with what is remembered in the status ([`memory_of`], [`remember`]).
//! - [`full`]: one request that changes many groups.

mod decision;
pub mod full;
pub mod load;
mod memory;
pub mod periods;
#[cfg(test)]
mod properties;
mod samples;
pub mod schedule;
#[cfg(test)]
mod vectors;

use std::time::Duration;

use jiff::Timestamp;

pub use self::{
    decision::decide,
    memory::{memory_of, remember},
    samples::{Samples, reach},
};
use super::Note;
use crate::api::GroupKind;

/// What a group's samples measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Load of each instance; the mean over instances counts. Bridges, gateways.
    Stress,
    /// 1 for a free instance, 0 for a busy one; the sum counts. Recorders.
    Availability,
}

/// The numbers that decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// At least.
    pub min: i32,
    /// At most.
    pub max: i32,
    /// Added at once.
    pub up_quantity: i32,
    /// Taken away at once.
    pub down_quantity: i32,
    /// See [`crate::api::ScalingSpec::scale_up_threshold`].
    pub up_threshold: f64,
    /// See [`crate::api::ScalingSpec::scale_down_threshold`].
    pub down_threshold: f64,
    /// Length of a period.
    pub period: Duration,
    /// So many of the newest periods must agree before it grows.
    pub up_periods: u32,
    /// So many of the newest periods must agree before it shrinks.
    pub down_periods: u32,
}

/// A group as it is meant: component, override of the shard, and defaults resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupModel {
    /// Which group.
    pub kind: GroupKind,
    /// What its samples measure.
    pub basis: Basis,
    /// The numbers outside of any period of the schedule.
    pub options: Options,
    /// Recorders with a fixed number of spares: so many free ones, whatever the periods say. None: by periods.
    pub spares: Option<i32>,
    /// The number follows load. Off for `static` groups.
    pub autoscale: bool,
    /// Instances are made and taken away.
    pub launch: bool,
    /// The schedule counts.
    pub scheduler: bool,
    /// Instances may be told to reconfigure.
    pub reconfigure: bool,
    /// After a change by load none follows for so long.
    pub grace: Duration,
    /// How long a protected launch is protected.
    pub protected: Duration,
    /// Launches until then are protected.
    pub protect_launches_until: Option<Timestamp>,
    /// Somebody's word: how many, and what tells it from the word before.
    pub word: Option<(i32, String)>,
    /// Other numbers at certain times.
    pub schedule: Option<crate::api::ScheduleSpec>,
}

/// What is kept from one look to the next, in the shard's status ([`crate::api::GroupStatus`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// How many were asked for. None: never looked at; then it is as many as there are, within the bounds.
    pub desired: Option<i32>,
    /// The last word that was taken in.
    pub heard: Option<String>,
    /// Nothing changes by load until then.
    pub grace_until: Option<Timestamp>,
    /// The active period of the schedule.
    pub period: Option<String>,
    /// What was asked for before that period changed it.
    pub base: Option<i32>,
    /// A smooth edge: the number from which it set out, and when.
    pub edge: Option<(i32, Timestamp)>,
}

/// One measurement of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Whose: the uid of its pod, as names come back.
    pub instance: String,
    /// When.
    pub at: Timestamp,
    /// Stress, or 1 for free and 0 for busy.
    pub value: f64,
}

/// One look at a group.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What is meant.
    pub model: &'a GroupModel,
    /// What is remembered.
    pub memory: &'a Memory,
    /// Instances that count: starting or working, not on their way out.
    pub count: i32,
    /// Recorders: those of them that are not free: busy ones, and those that were free or busy and do not answer. Starting ones
    /// are as good as free.
    pub busy: i32,
    /// Measurements, in any order; older ones than the periods need are passed over.
    pub samples: &'a [Sample],
    /// The time.
    pub now: Timestamp,
}

/// What is asked for now.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// How many, between the bounds in force.
    pub desired: i32,
    /// The numbers in force, the schedule's period included. While a smooth edge comes down, the maximum comes down with it.
    pub options: Options,
    /// What to remember.
    pub memory: Memory,
    /// Why, in words: `stress 0.82 ≥ 0.8 for 2 periods`.
    pub why: String,
    /// What changed, for the audit: what moved the number, from what to what.
    pub change: Option<Change>,
    /// For people.
    pub notes: Vec<Note>,
}

/// What moved the number.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Who.
    pub by: Mover,
    /// From.
    pub from: i32,
    /// To.
    pub to: i32,
    /// The value of each period that was looked at, newest first; None where nobody reported.
    pub periods: Vec<Option<f64>>,
}

/// Who moved the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mover {
    /// Load, upwards.
    Up,
    /// Load, downwards.
    Down,
    /// The schedule.
    Schedule,
    /// Somebody's word.
    Word,
    /// Bounds that were moved past it.
    Bounds,
}
