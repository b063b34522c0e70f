//! What holds for every look, whatever is meant, remembered and measured.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*};

use super::{Basis, Decision, GroupModel, Look, Memory, Options, Sample, decide, memory_of, remember};
use crate::api::{GroupKind, GroupStatus, OptionsSpec, PeriodSpec, ScheduleSpec};

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn seconds(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// Sensible numbers.
fn options() -> impl Strategy<Value = Options> {
    ((0..5, 0..8, 1..4, 1..4), (0.0..1.5, 0.0..1.5), (1_u64..90, 1_u32..5, 1_u32..5)).prop_map(
        |((min, more, up_quantity, down_quantity), (one, other), (period, up_periods, down_periods))| Options {
            min,
            max: min + more,
            up_quantity,
            down_quantity,
            up_threshold: one,
            down_threshold: other,
            period: Duration::from_secs(period),
            up_periods,
            down_periods,
        },
    )
}

fn basis() -> impl Strategy<Value = Basis> {
    prop_oneof![Just(Basis::Stress), Just(Basis::Availability)]
}

prop_compose! {
    fn group()(options in options(), basis in basis(), grace in 1_u64..600) -> GroupModel {
        GroupModel {
            kind: if basis == Basis::Stress { GroupKind::Jvb } else { GroupKind::Jibri },
            basis,
            options,
            spares: None,
            autoscale: true,
            launch: true,
            scheduler: true,
            reconfigure: true,
            grace: Duration::from_secs(grace),
            protected: Duration::ZERO,
            protect_launches_until: None,
            word: None,
            schedule: None,
        }
    }
}

/// Up to ten instances in the last ten minutes; values on a grid, so that thresholds are met often.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let value = (0..13).prop_map(|tenths| f64::from(tenths) / 10.0);
    vec((0..10, 0_i64..400, value), 0..200).prop_map(|list| {
        let sample = |(instance, age, value): (i32, i64, f64)| Sample {
            instance: instance.to_string(),
            at: seconds(-age),
            value,
        };
        list.into_iter().map(sample).collect()
    })
}

fn schedule() -> impl Strategy<Value = Option<ScheduleSpec>> {
    let number = || option::of(0..12);
    let period = (0..24, 0..24, number(), number(), number(), any::<bool>(), -1..2).prop_map(
        |(start_hour, end_hour, min_desired, max_desired, desired_count, inhibit_scale_down, priority)| PeriodSpec {
            name: format!("{start_hour} to {end_hour}"),
            day_of_week: (0..7).collect(),
            start_hour,
            end_hour,
            inhibit_scale_down,
            priority,
            scaling_options: OptionsSpec { min_desired, max_desired, desired_count, ..OptionsSpec::default() },
            ..PeriodSpec::default()
        },
    );
    let smooth = option::of((1..90).prop_map(|minutes| format!("{minutes}m").as_str().into()));
    option::of((vec(period, 0..4), smooth).prop_map(|(periods, smooth)| ScheduleSpec {
        enabled: true,
        smooth,
        periods,
        ..ScheduleSpec::default()
    }))
}

fn memory() -> impl Strategy<Value = Memory> {
    let time = || (-2000_i64..2000).prop_map(seconds);
    (
        option::of(0..15),
        option::of(Just("one".to_owned())),
        option::of(time()),
        option::of(Just("some".to_owned())),
        option::of(0..15),
        option::of((0..15, time())),
    )
        .prop_map(|(desired, heard, grace_until, period, base, edge)| Memory {
            desired,
            heard,
            grace_until,
            period,
            base,
            edge,
        })
}

fn look(model: &GroupModel, memory: &Memory, count: i32, busy: i32, samples: &[Sample], now: Timestamp) -> Decision {
    decide(&Look { model, memory, count, busy, samples, now })
}

/// Nothing but load can move it: the number fits, nobody said anything, nothing is scheduled, no grace.
fn settled(model: &GroupModel, desired: i32) -> Memory {
    Memory { desired: Some(desired.clamp(model.options.min, model.options.max)), ..Memory::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn it_is_never_past_its_bounds(
        mut model in group(),
        schedule in schedule(),
        spares in option::of(0..4),
        word in option::of((0..20, Just("two".to_owned()))),
        memory in memory(),
        count in 0..15,
        busy in 0..15,
        samples in samples(),
    ) {
        (model.schedule, model.spares, model.word) = (schedule, spares, word);
        let decision = look(&model, &memory, count, busy, &samples, now());
        prop_assert!(decision.options.min <= decision.desired && decision.desired <= decision.options.max, "{decision:?}");
        // The schedule may allow more. Otherwise only a smooth edge that comes down is over the maximum, never higher than it
        // was.
        if model.schedule.is_none() {
            prop_assert_eq!(decision.options.max, model.options.max);
        }
        if let Some(change) = &decision.change {
            prop_assert!(change.from != change.to && change.to == decision.desired);
        }
    }

    #[test]
    fn numbers_that_make_no_sense_do_no_harm(
        mut model in group(),
        (min, max, up, down) in (-3..5, -3..5, any::<i32>(), any::<i32>()),
        thresholds in (any::<f64>(), any::<f64>()),
        (period, periods) in (any::<u64>(), any::<u32>()),
        grace in any::<u64>(),
        memory in memory(),
        count in any::<i32>(),
        busy in any::<i32>(),
        samples in samples(),
    ) {
        model.options = Options {
            min,
            max,
            up_quantity: up,
            down_quantity: down,
            up_threshold: thresholds.0,
            down_threshold: thresholds.1,
            period: Duration::from_secs(period),
            up_periods: periods,
            down_periods: periods,
        };
        model.grace = Duration::from_secs(grace);
        let decision = look(&model, &memory, count, busy, &samples, now());
        prop_assert!(decision.desired >= 0 && decision.desired <= 15.max(decision.options.max));
    }

    #[test]
    fn more_load_never_asks_for_less(
        model in group(), desired in 0..12, samples in samples(), more in vec(0.0..0.5, 200), behind in 0..2,
    ) {
        let memory = settled(&model, desired);
        let count = memory.desired.unwrap() - behind;
        let busier: Vec<_> = samples
            .iter()
            .zip(&more)
            .map(|(sample, more)| Sample { value: sample.value + more, ..sample.clone() })
            .collect();
        let calm = look(&model, &memory, count, 0, &samples, now()).desired;
        let busy = look(&model, &memory, count, 0, &busier, now()).desired;
        match model.basis {
            Basis::Stress => prop_assert!(busy >= calm, "{calm} to {busy}"),
            // More of them are free.
            Basis::Availability => prop_assert!(busy <= calm, "{calm} to {busy}"),
        }
    }

    #[test]
    fn in_the_grace_period_load_changes_nothing(
        model in group(), desired in 0..12, samples in samples(), left in 1_i64..1000,
    ) {
        let memory = Memory { grace_until: Some(seconds(left)), ..settled(&model, desired) };
        let count = memory.desired.unwrap();
        let decision = look(&model, &memory, count, 0, &samples, now());
        prop_assert_eq!((decision.desired, decision.change, &decision.memory), (count, None, &memory));
    }

    #[test]
    fn an_outage_never_shrinks_and_never_grows(model in group(), desired in 0..12, samples in samples(), silent in 2_i64..5) {
        // Silent in the newest periods; one alone would be filled.
        let length = i64::try_from(model.options.period.as_secs()).unwrap();
        let samples: Vec<_> =
            samples.into_iter().filter(|sample| sample.at <= seconds(-length * silent)).collect();
        let memory = settled(&model, desired);
        let count = memory.desired.unwrap();
        prop_assert_eq!(look(&model, &memory, count, 0, &samples, now()).desired, count);
    }

    #[test]
    fn the_silence_of_some_never_makes_it_shrink_more(
        mut model in group(), desired in 1..10, level in 0.0..1.0, silent in 0_i32..10,
    ) {
        // All report the same; some do not report at all.
        model.basis = Basis::Stress;
        model.options.max = model.options.max.max(desired);
        let memory = settled(&model, desired);
        let count = memory.desired.unwrap();
        let report = |instances: i32| -> Vec<Sample> {
            let each = |instance: i32| (0..400).map(move |age| Sample {
                instance: instance.to_string(), at: seconds(-age), value: level,
            });
            (0..instances).flat_map(each).collect()
        };
        let all = look(&model, &memory, count, 0, &report(count), now()).desired;
        let some = look(&model, &memory, count, 0, &report((count - silent).max(0)), now()).desired;
        prop_assert!(some >= all.min(count), "{all} and {some} of {count}");
    }

    #[test]
    fn looking_again_changes_nothing(
        mut model in group(),
        schedule in schedule(),
        spares in option::of(0..4),
        word in option::of((0..20, Just("two".to_owned()))),
        memory in memory(),
        count in 0..15,
        busy in 0..15,
        samples in samples(),
    ) {
        (model.schedule, model.spares, model.word) = (schedule, spares, word);
        let mut memory = memory;
        // What the schedule and people say is taken in by the first look, what load says of that by the second.
        for _ in 0..2 {
            memory = look(&model, &memory, count, busy, &samples, now()).memory;
        }
        let third = look(&model, &memory, count, busy, &samples, now());
        prop_assert_eq!((&third.memory, &third.change), (&memory, &None));
        prop_assert!(third.notes.is_empty());
    }

    #[test]
    fn a_new_leader_decides_as_the_old_one(
        mut model in group(), schedule in schedule(), memory in memory(), count in 0..15, samples in samples(),
    ) {
        model.schedule = schedule;
        let old = look(&model, &memory, count, 0, &samples, now());
        let mut status = GroupStatus::default();
        remember(&old.memory, &mut status);
        let later = seconds(30);
        prop_assert_eq!(
            look(&model, &memory_of(&status), count, 0, &samples, later),
            look(&model, &old.memory, count, 0, &samples, later)
        );
    }
}
