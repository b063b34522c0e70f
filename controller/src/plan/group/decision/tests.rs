//! Each mover alone, and each pair that meets. Load by itself is shown by the vectors (`tests/vectors`), bounds and grace by
//! the properties.

use std::time::Duration;

use super::*;
use crate::{
    api::{GroupKind, OptionsSpec, ScheduleSpec},
    plan::group::{GroupModel, Sample},
};

mod by_load;
mod by_schedule;
mod by_word;

/// Monday.
const EIGHT: &str = "2026-11-23T08:00:00Z";

fn at(minutes: i64) -> Timestamp {
    EIGHT.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn options() -> Options {
    Options {
        min: 2,
        max: 6,
        up_quantity: 1,
        down_quantity: 1,
        up_threshold: 0.6,
        down_threshold: 0.3,
        period: Duration::from_secs(60),
        up_periods: 2,
        down_periods: 4,
    }
}

/// Two to six bridges, by load.
pub(in crate::plan::group) fn bridges() -> GroupModel {
    GroupModel {
        kind: GroupKind::Jvb,
        basis: Basis::Stress,
        options: options(),
        spares: None,
        autoscale: true,
        launch: true,
        scheduler: true,
        reconfigure: true,
        grace: Duration::from_secs(480),
        protected: Duration::from_secs(600),
        protect_launches_until: None,
        word: None,
        schedule: None,
    }
}

/// A group over time: what one look remembers is what the next one knows, and instances come and go at once.
struct Group {
    model: GroupModel,
    memory: Memory,
    /// Otherwise as many as were asked for.
    count: Option<i32>,
    busy: i32,
    /// Each instance reports this every 20 seconds. None: nobody reports.
    load: Option<f64>,
    /// Only so many of them report.
    reporting: Option<i32>,
}

impl Group {
    fn new(model: GroupModel, desired: i32) -> Self {
        let memory = Memory { desired: Some(desired), ..Memory::default() };
        Self { model, memory, count: None, busy: 0, load: Some(0.45), reporting: None }
    }

    fn look(&mut self, minutes: i64) -> Decision {
        let now = at(minutes);
        let count = self.count.or(self.memory.desired).unwrap_or_default();
        let mut samples = Vec::new();
        for (instance, age) in (0..self.reporting.unwrap_or(count)).flat_map(|i| (0..20).map(move |age| (i, age * 20)))
        {
            if let Some(value) = self.load {
                let at = now - SignedDuration::from_secs(age);
                samples.push(Sample { instance: instance.to_string(), at, value });
            }
        }
        let look = Look { model: &self.model, memory: &self.memory, count, busy: self.busy, samples: &samples, now };
        let decision = decide(&look);
        self.memory = decision.memory.clone();
        assert_eq!(self.memory.desired, Some(decision.desired));
        decision
    }

    fn desired(&mut self, minutes: i64) -> i32 {
        self.look(minutes).desired
    }

    fn say(&mut self, count: i32, said_at: &str) {
        self.model.word = Some((count, said_at.to_owned()));
    }
}

fn moved(decision: &Decision) -> Option<(Mover, i32, i32)> {
    decision.change.as_ref().map(|change| (change.by, change.from, change.to))
}

fn reasons(decision: &Decision) -> Vec<&'static str> {
    decision.notes.iter().map(|note| note.reason).collect()
}

/// Every day from `start` to `end` o'clock, UTC.
fn period(name: &str, start: i32, end: i32, options: OptionsSpec) -> PeriodSpec {
    PeriodSpec {
        name: name.to_owned(),
        day_of_week: (0..7).collect(),
        start_hour: start,
        end_hour: end,
        scaling_options: options,
        ..PeriodSpec::default()
    }
}

fn schedule(smooth: Option<&str>, periods: &[PeriodSpec]) -> Option<ScheduleSpec> {
    Some(ScheduleSpec {
        enabled: true,
        smooth: smooth.map(Into::into),
        periods: periods.to_vec(),
        ..ScheduleSpec::default()
    })
}

fn number(count: i32) -> OptionsSpec {
    OptionsSpec { desired_count: Some(count), ..OptionsSpec::default() }
}
