//! Runs every file of `tests/vectors/*.json`, and of the folder that `ROOMPIN_VECTORS` names besides.
//!
//! A file is a list of vectors; the format stands in `tests/vectors/README.md`. Every look of a vector is decided twice: by the
//! published rule alone, as it is written in `prior-systems.md` §1.1, and by [`decide`]. Where they differ, the vector says so
//! in `ours`.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    Basis, GroupModel, Look, Memory, Mover, Options, Sample, decide,
    load::{Empty, Verdict, verdict},
    periods::periods,
};
use crate::api::{GroupKind, OptionsSpec, PeriodSpec, ScheduleSpec};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vector {
    name: String,
    #[serde(rename = "how")]
    _how: String,
    r#type: String,
    scaling_options: OptionsSpec,
    #[serde(rename = "gracePeriodTTLSec")]
    grace: u64,
    #[serde(default)]
    inhibit_scale_down: bool,
    /// By instance: second and value.
    samples: BTreeMap<String, Vec<(f64, f64)>>,
    looks: Vec<LookAt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookAt {
    /// Second.
    at: f64,
    /// Instances that are there; otherwise as many as were asked for.
    count: Option<i32>,
    /// Newest first; null where nobody reported, which is published as 0.
    values: Option<Vec<Option<f64>>>,
    decision: String,
    desired: i32,
    ours: Option<Ours>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ours {
    decision: String,
    desired: i32,
}

fn second(seconds: f64) -> Timestamp {
    let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds of a trace")]
    let millis = (seconds * 1000.0).round() as i64;
    start + SignedDuration::from_millis(millis)
}

fn kind(autoscaler_type: &str) -> (GroupKind, Basis) {
    match autoscaler_type {
        "JVB" | "nomad" | "whisper" | "stress" | "selenium-grid" => (GroupKind::Jvb, Basis::Stress),
        "jigasi" => (GroupKind::Jigasi, Basis::Stress),
        "jibri" | "availability" => (GroupKind::Jibri, Basis::Availability),
        "sip-jibri" => (GroupKind::SipJibri, Basis::Availability),
        other => panic!("there is no type '{other}'"),
    }
}

fn options(given: &OptionsSpec) -> Options {
    let count = |number: Option<i32>| u32::try_from(number.unwrap()).unwrap();
    Options {
        min: given.min_desired.unwrap(),
        max: given.max_desired.unwrap(),
        up_quantity: given.scale_up_quantity.unwrap(),
        down_quantity: given.scale_down_quantity.unwrap(),
        up_threshold: given.scale_up_threshold.unwrap(),
        down_threshold: given.scale_down_threshold.unwrap(),
        period: Duration::from_secs(count(given.scale_period).into()),
        up_periods: count(given.scale_up_periods_count),
        down_periods: count(given.scale_down_periods_count),
    }
}

/// The published rule over time: the number that is asked for, and the grace key.
struct Published {
    desired: i32,
    grace_until: Option<Timestamp>,
}

impl Published {
    fn look(
        &mut self,
        vector: &Vector,
        options: &Options,
        basis: Basis,
        count: i32,
        values: &[Option<f64>],
        now: Timestamp,
    ) -> &'static str {
        if self.grace_until.is_some_and(|until| now < until) {
            return "grace";
        }
        let (word, desired) =
            match verdict(options, basis, self.desired, count, values, vector.inhibit_scale_down, Empty::Zero) {
                Verdict::Nobody => return "nobody",
                Verdict::Wait => return "wait",
                Verdict::Stay => return "stay",
                Verdict::Up(desired) => ("up", desired),
                Verdict::Down(desired) => ("down", desired),
            };
        self.desired = desired;
        self.grace_until = Some(now + SignedDuration::try_from(Duration::from_secs(vector.grace)).unwrap());
        word
    }
}

fn run(vector: &Vector) -> Vec<String> {
    let (kind, basis) = kind(&vector.r#type);
    let options = options(&vector.scaling_options);
    let start = vector.scaling_options.desired_count.unwrap();
    let schedule = vector.inhibit_scale_down.then(|| ScheduleSpec {
        enabled: true,
        periods: vec![PeriodSpec {
            name: "always".to_owned(),
            day_of_week: (0..7).collect(),
            inhibit_scale_down: true,
            ..PeriodSpec::default()
        }],
        ..ScheduleSpec::default()
    });
    let model = GroupModel {
        kind,
        basis,
        options,
        spares: None,
        autoscale: true,
        launch: true,
        scheduler: true,
        reconfigure: true,
        grace: Duration::from_secs(vector.grace),
        protected: Duration::ZERO,
        protect_launches_until: None,
        word: None,
        schedule,
    };
    let mut memory = Memory {
        desired: Some(start),
        period: vector.inhibit_scale_down.then(|| "always".to_owned()),
        ..Memory::default()
    };
    let mut published = Published { desired: start, grace_until: None };
    let mut wrong = Vec::new();
    for look_at in &vector.looks {
        let now = second(look_at.at);
        let samples: Vec<Sample> = vector
            .samples
            .iter()
            .flat_map(|(instance, list)| {
                list.iter().map(|(at, value)| Sample { instance: instance.clone(), at: second(*at), value: *value })
            })
            .filter(|sample| sample.at <= now)
            .collect();
        let number = options.up_periods.max(options.down_periods);
        let values: Vec<_> =
            periods(&samples, basis, options.period, number, now).iter().map(|period| period.value).collect();
        let place = format!("{}, at {}", vector.name, look_at.at);
        let close = |wanted: &[Option<f64>]| {
            wanted.len() == values.len()
                && wanted.iter().zip(&values).all(|(wanted, got)| match (wanted, got) {
                    (Some(wanted), Some(got)) => (wanted - got).abs() < 1e-9,
                    (wanted, got) => wanted == got,
                })
        };
        if let Some(wanted) = &look_at.values
            && !close(wanted)
        {
            wrong.push(format!("{place}: the periods are {values:?}, not {wanted:?}"));
        }
        let count = look_at.count.unwrap_or(published.desired);
        let word = published.look(vector, &options, basis, count, &values, now);
        if (word, published.desired) != (look_at.decision.as_str(), look_at.desired) {
            wrong.push(format!(
                "{place}: published is {word} {}, not {} {}",
                published.desired, look_at.decision, look_at.desired
            ));
        }
        let count = look_at.count.or(memory.desired).unwrap();
        let ours = decide(&Look { model: &model, memory: &memory, count, busy: 0, samples: &samples, now });
        memory = ours.memory.clone();
        let word = match ours.change.as_ref().map(|change| change.by) {
            Some(Mover::Up) => "up",
            Some(Mover::Down) => "down",
            Some(Mover::Bounds) => "bounds",
            Some(Mover::Schedule | Mover::Word) => "another",
            None => "none",
        };
        let wanted = match &look_at.ours {
            Some(ours) => (ours.decision.as_str(), ours.desired),
            None if matches!(look_at.decision.as_str(), "up" | "down") => (look_at.decision.as_str(), look_at.desired),
            None => ("none", look_at.desired),
        };
        if (word, ours.desired) != wanted {
            wrong.push(format!(
                "{place}: ours is {word} {} ({}), not {} {}",
                ours.desired, ours.why, wanted.0, wanted.1
            ));
        }
    }
    wrong
}

#[test]
fn every_vector_decides_as_derived_by_hand() {
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors"))];
    folders.extend(std::env::var_os("ROOMPIN_VECTORS").map(PathBuf::from));
    let (mut names, mut looks, mut wrong) = (Vec::new(), 0, Vec::new());
    for folder in folders {
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{} has no vectors", folder.display());
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let vectors: Vec<Vector> =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            for vector in vectors {
                assert!(!vector.looks.is_empty(), "{} has no looks", vector.name);
                looks += vector.looks.len();
                wrong.extend(run(&vector));
                names.push(vector.name);
            }
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two vectors have the same name");
    assert!(count >= 30 && looks >= count, "{count} vectors");
    println!("{count} vectors, {looks} looks");
    assert!(wrong.is_empty(), "{} of {looks} looks:\n{}", wrong.len(), wrong.join("\n"));
}
