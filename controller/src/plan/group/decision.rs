//! The decision: what is remembered, what is meant and what is measured in; how many instances from now on out.
//!
//! Who may move the number, in this order; the first one that does gives the reason:
//!
//! 1. The schedule, where a period begins or ends ([`super::schedule`]).
//! 2. Somebody's word, once.
//! 3. A smooth edge of the schedule, step by step.
//! 4. Bounds that were moved past the number.
//! 5. Load: spares for recorders, else the published rule ([`super::load`]), with the differences below.
//!
//! The schedule and a word start the grace period, and so does load itself; while it runs, load decides nothing.
//!
//! Different from what is published, and meant to be:
//!
//! - A period in which nobody reported agrees with nothing. There it counts as no load and nobody free.
//! - Bridges and gateways are not taken away on the word of a few: in the newest period at least half of those that count
//!   must have reported. There the silent ones leave the count after five minutes; here a pod is a pod.
//! - A group of none rises to its least number. There it stays empty until somebody asks.
//! - Bounds that are moved count at once, in both directions. There the number goes on outside of them until load moves it.
//! - A group that was never looked at begins with as many as there are, within its bounds: who has lost his memory cuts nobody.

use jiff::{SignedDuration, Timestamp};

use super::{
    Basis, Change, Decision, Look, Memory, Mover, Options,
    load::{Empty, Verdict, verdict},
    periods::{Period, periods},
    schedule,
};
use crate::{api::PeriodSpec, plan::Note};

/// How many instances the group asks for now.
///
/// The caller keeps [`Decision::memory`] in the status ([`super::remember`]) before it carries the number out.
#[must_use]
pub fn decide(look: &Look<'_>) -> Decision {
    let mut course = Course::begin(look);
    course.boundary();
    course.word();
    course.edge();
    course.bounds();
    course.load();
    course.end()
}

/// A decision in the making.
struct Course<'a> {
    look: &'a Look<'a>,
    /// The active period of the schedule.
    active: Option<&'a PeriodSpec>,
    /// The numbers in force.
    options: Options,
    /// The number before, and now.
    before: i32,
    desired: i32,
    /// Where a smooth edge is; until it has arrived, the maximum is no lower.
    level: Option<i32>,
    memory: Memory,
    moved: Option<Mover>,
    periods: Vec<Option<f64>>,
    why: Option<String>,
    notes: Vec<Note>,
}

impl<'a> Course<'a> {
    fn begin(look: &'a Look<'a>) -> Self {
        let model = look.model;
        let schedule = model.schedule.as_ref().filter(|_| model.scheduler);
        let active = schedule.and_then(|schedule| schedule::active(schedule, look.now));
        let mut options =
            active.map_or(model.options, |period| schedule::overlay(&model.options, &period.scaling_options));
        options.min = options.min.max(0);
        options.max = options.max.max(options.min);
        let before = look.memory.desired.unwrap_or_else(|| look.count.clamp(options.min, options.max));
        Self {
            look,
            active,
            options,
            before,
            desired: before,
            level: None,
            memory: look.memory.clone(),
            moved: None,
            periods: Vec::new(),
            why: None,
            notes: Vec::new(),
        }
    }

    /// A period of the schedule has begun or ended.
    fn boundary(&mut self) {
        let name = self.active.map(|period| period.name.clone());
        if self.memory.period == name {
            return;
        }
        let left = std::mem::replace(&mut self.memory.period, name.clone());
        if self.number().is_some() && self.memory.base.is_none() {
            self.memory.base = Some(self.desired);
        }
        let to = self.within(self.number().or(self.memory.base).unwrap_or(self.desired));
        let text = match (left, name) {
            (None, Some(came)) => format!("period '{came}' of the schedule has begun"),
            (Some(left), None) => format!("period '{left}' of the schedule has ended"),
            (Some(left), Some(came)) => format!("period '{came}' of the schedule has begun, after '{left}'"),
            (None, None) => return,
        };
        let from = self.desired;
        self.memory.edge = None;
        let over = self.smooth().filter(|_| to < from);
        let effect = match over {
            Some(over) => {
                self.memory.edge = Some((from, self.look.now));
                format!("from {from} down to {to} within {}", crate::plan::span(over))
            }
            None if to == from => format!("still {to}"),
            None => format!("from {from} to {to}"),
        };
        if over.is_none() {
            self.moved(Mover::Schedule, to, text.clone());
        }
        self.why.get_or_insert(text.clone());
        self.note("SchedulePeriod", &format!("{text}: {effect}"));
        self.grace();
    }

    /// Somebody has said how many.
    fn word(&mut self) {
        let Some((count, said)) = &self.look.model.word else { return };
        if self.memory.heard.as_ref() == Some(said) {
            return;
        }
        self.memory.heard = Some(said.clone());
        self.leave_edge();
        let (from, to) = (self.desired, self.within(*count));
        let mut text = format!("{count} asked for");
        if to != *count {
            text.push_str(&format!(", {} to {} allowed", self.options.min, self.options.max));
        }
        self.moved(Mover::Word, to, text.clone());
        self.why = Some(text.clone());
        self.note("DesiredTaken", &format!("{text}: from {from} to {to}"));
        self.grace();
    }

    /// A smooth edge goes on.
    fn edge(&mut self) {
        if let Some((from, since)) = self.memory.edge {
            let to = self.within(self.number().or(self.memory.base).unwrap_or(self.options.max));
            self.level = self.smooth().and_then(|over| schedule::falling(from, to, since, over, self.look.now));
            if self.level.is_none() {
                self.memory.edge = None;
            }
            let level = self.level.unwrap_or(to);
            if self.desired > level {
                self.moved(Mover::Schedule, level, format!("smooth edge of the schedule, from {from} to {to}"));
            }
        }
        if self.memory.edge.is_none() && self.number().is_none() {
            // It has been restored, or nothing is to be restored any more.
            self.memory.base = None;
        }
    }

    /// The number is outside of its bounds.
    fn bounds(&mut self) {
        let max = self.options.max.max(self.level.unwrap_or_default());
        let (from, to) = (self.desired, self.desired.clamp(self.options.min, max));
        if from != to {
            let text = format!("{} to {max} allowed", self.options.min);
            self.moved(Mover::Bounds, to, text.clone());
            self.note("BoundsMoved", &format!("{text}: from {from} to {to}"));
        }
    }

    fn load(&mut self) {
        if self.memory.grace_until.is_some_and(|until| until <= self.look.now) {
            self.memory.grace_until = None;
        }
        if !self.look.model.autoscale {
            self.because(|_| "autoscaling is off".to_owned());
        } else if let Some(spares) = self.look.model.spares {
            self.spares(spares);
        } else if self.moved.is_some() {
            // One move at a time.
        } else if let Some(until) = self.memory.grace_until {
            self.because(|_| format!("no change by load until {until}"));
        } else {
            self.by_load();
        }
    }

    /// Recorders with a fixed number of free ones. More at once, even in the grace period: whoever wants to record next
    /// should not wait for it.
    fn spares(&mut self, spares: i32) {
        let wanted = self.look.busy.saturating_add(spares).max(self.number().unwrap_or_default());
        let to = self.within(wanted);
        let short = if to < wanted { format!(", {to} allowed") } else { String::new() };
        let reason = format!("{} busy and {spares} spare{short}", self.look.busy);
        if self.desired < to {
            self.moved(Mover::Up, to, reason);
        } else if self.desired == to {
            self.because(|_| reason);
        } else if let Some(until) = self.memory.grace_until {
            self.because(|_| format!("no change by load until {until}"));
        } else if self.inhibited() {
            self.because(|_| "the schedule's period keeps it from shrinking".to_owned());
        } else if self.level.is_none() && self.moved.is_none() {
            self.moved(Mover::Down, to, reason);
        }
    }

    /// The published rule.
    fn by_load(&mut self) {
        let (look, options) = (self.look, self.options);
        let number = options.up_periods.max(options.down_periods);
        let found = periods(look.samples, look.model.basis, options.period, number, look.now);
        let values: Vec<_> = found.iter().map(|period| period.value).collect();
        let verdict =
            verdict(&options, look.model.basis, self.desired, look.count, &values, self.inhibited(), Empty::Unknown);
        match verdict {
            Verdict::Nobody => self.because(|_| "there is no instance yet".to_owned()),
            Verdict::Wait => {
                self.because(|course| format!("{} asked for, not all are there yet, or too many", course.desired));
            }
            Verdict::Stay if values.contains(&None) => {
                self.because(|_| "nobody reported in one of the periods: load decides nothing".to_owned());
            }
            Verdict::Stay => self.because(|_| "load is within its thresholds".to_owned()),
            Verdict::Down(_) if self.silent(&found) => {
                self.because(|_| "less than half of the instances report: nothing is taken away".to_owned());
            }
            Verdict::Up(to) => {
                self.leave_edge();
                self.by_periods(Mover::Up, to, &values, options.up_periods);
            }
            Verdict::Down(to) => self.by_periods(Mover::Down, to, &values, options.down_periods),
        }
    }

    fn by_periods(&mut self, by: Mover, to: i32, values: &[Option<f64>], number: u32) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let newest = values.first().copied().flatten().unwrap_or_default();
        let options = &self.options;
        let reason = match (self.look.model.basis, by) {
            (Basis::Stress, Mover::Up) => format!("stress {newest:.3} ≥ {}", options.up_threshold),
            (Basis::Stress, _) => format!("stress {newest:.3} < {}", options.down_threshold),
            (Basis::Availability, Mover::Up) => format!("{newest:.3} free < {}", options.up_threshold),
            (Basis::Availability, _) => format!("{newest:.3} free > {}", options.down_threshold),
        };
        let text = format!("{reason} for {}", crate::plan::count(number as u64, "period"));
        let from = self.desired;
        let to = self.within(to);
        self.periods = values.iter().take(number).copied().collect();
        self.moved(by, to, text.clone());
        if from != to {
            let word = if by == Mover::Up { "ScaledUp" } else { "ScaledDown" };
            self.note(word, &format!("{text}: from {from} to {to}"));
        }
        self.grace();
    }

    /// Too few have reported to take any away. A sum of free ones needs no such rule: who is silent is not free.
    fn silent(&self, found: &[Period]) -> bool {
        let reported = found.first().map_or(0, |period| period.instances);
        let count = usize::try_from(self.look.count).unwrap_or_default();
        self.look.model.basis == Basis::Stress && reported.saturating_mul(2) < count
    }

    /// The number that the active period gives.
    fn number(&self) -> Option<i32> {
        self.active.and_then(|period| period.scaling_options.desired_count)
    }

    fn smooth(&self) -> Option<std::time::Duration> {
        self.look.model.schedule.as_ref().and_then(schedule::smooth)
    }

    fn inhibited(&self) -> bool {
        self.active.is_some_and(|period| period.inhibit_scale_down)
    }

    fn within(&self, number: i32) -> i32 {
        number.clamp(self.options.min, self.options.max)
    }

    /// Somebody knows better than the schedule where the number should go.
    fn leave_edge(&mut self) {
        self.memory.edge = None;
        self.level = None;
        if self.number().is_none() {
            self.memory.base = None;
        }
    }

    fn grace(&mut self) {
        let grace = self.look.model.grace;
        let until = SignedDuration::try_from(grace)
            .ok()
            .and_then(|grace| self.look.now.checked_add(grace).ok())
            .unwrap_or(Timestamp::MAX);
        self.memory.grace_until = (!grace.is_zero()).then(|| whole(until));
    }

    fn moved(&mut self, by: Mover, to: i32, why: String) {
        if to != self.desired {
            self.desired = to;
            self.moved.get_or_insert(by);
            self.why.get_or_insert(why);
        }
    }

    /// The reason why nothing moves, where there is no other.
    fn because(&mut self, why: impl FnOnce(&Self) -> String) {
        if self.why.is_none() {
            self.why = Some(why(self));
        }
    }

    fn note(&mut self, reason: &'static str, text: &str) {
        self.notes.push(Note::normal(reason, format!("{}: {text}", self.look.model.kind.as_str())));
    }

    fn end(mut self) -> Decision {
        self.memory.desired = Some(self.desired);
        self.options.max = self.options.max.max(self.level.unwrap_or_default());
        let (from, to) = (self.before, self.desired);
        let change = self.moved.filter(|_| from != to).map(|by| Change {
            by,
            from,
            to,
            periods: std::mem::take(&mut self.periods),
        });
        Decision {
            desired: self.desired,
            options: self.options,
            memory: self.memory,
            why: self.why.unwrap_or_else(|| "as before".to_owned()),
            change,
            notes: self.notes,
        }
    }
}

/// The next whole second: a status with fractions of one is hard to read.
fn whole(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    let up = if time.subsec_nanosecond() > 0 { second.saturating_add(1) } else { second };
    Timestamp::from_second(up).unwrap_or(time)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::bridges;
