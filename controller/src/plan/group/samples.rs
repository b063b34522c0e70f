//! Measurements of the last minutes, of all instances of a group, in bounded memory.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{GroupModel, Sample, schedule::overlay};

/// So many instances of a group are measured at most. Bounds end at 1000 (`maxDesired`), and some are on their way out.
const INSTANCES: usize = 2000;
/// So many samples are kept of each: 100 minutes, if one comes every 10 seconds.
const EACH: usize = 600;

/// The measurements of one group. Where it lives, it is the leader's alone: after a change of leader it begins empty, and
/// nothing is decided by load until the periods are full again.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    instances: BTreeMap<String, VecDeque<(Timestamp, f64)>>,
}

impl Samples {
    /// Takes a measurement in. The same one again (a report that is read twice) changes nothing. What is no number, or less
    /// than nothing, is refused; so is one of a new instance when there are too many. True when it was taken.
    ///
    /// [`Sample::instance`] should be the uid of the pod: names come back, and the load of a bridge that is gone says
    /// nothing of its successor.
    pub fn push(&mut self, sample: Sample) -> bool {
        let Sample { instance, at, value } = sample;
        let room = self.instances.len() < INSTANCES;
        if !value.is_finite() || value < 0.0 || (!room && !self.instances.contains_key(&instance)) {
            return false;
        }
        let ring = self.instances.entry(instance).or_default();
        // Nearly always the newest one; reports of several replicas may overtake each other.
        let place = ring.iter().rposition(|(other, _)| *other <= at);
        if place.is_some_and(|index| ring[index].0 == at) {
            return false;
        }
        ring.insert(place.map_or(0, |index| index + 1), (at, value));
        if ring.len() > EACH {
            thin(ring);
        }
        true
    }

    /// Forgets an instance, such as one that drains: it counts no more.
    pub fn forget(&mut self, instance: &str) {
        self.instances.remove(instance);
    }

    /// Forgets all instances but those.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.instances.retain(|instance, _| keep(instance));
    }

    /// Forgets what is older than that ([`reach`]), or so far in the future that it will not be needed soon.
    pub fn prune(&mut self, keep: Duration, now: Timestamp) {
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        for ring in self.instances.values_mut() {
            ring.retain(|(at, _)| now.duration_since(*at).abs() < keep);
        }
        self.instances.retain(|_, ring| !ring.is_empty());
    }

    /// All of them, for [`super::Look::samples`].
    #[must_use]
    pub fn list(&self) -> Vec<Sample> {
        let of = |(instance, ring): (&String, &VecDeque<(Timestamp, f64)>)| {
            let instance = instance.clone();
            ring.iter()
                .map(|(at, value)| Sample { instance: instance.clone(), at: *at, value: *value })
                .collect::<Vec<_>>()
        };
        self.instances.iter().flat_map(of).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instances.values().map(VecDeque::len).sum()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }
}

/// How far back the periods of a group reach, those of its schedule included: a boundary must not find half a memory.
#[must_use]
pub fn reach(model: &GroupModel) -> Duration {
    let others = model.schedule.iter().flat_map(|schedule| &schedule.periods);
    others
        .map(|period| overlay(&model.options, &period.scaling_options))
        .chain([model.options])
        .map(|options| options.period.saturating_mul(options.up_periods.max(options.down_periods)))
        .max()
        .unwrap_or_default()
}

/// Drops the one that says least: whose neighbours are closest to each other. Long periods keep their whole length that way,
/// evenly; their means come from fewer samples.
fn thin(ring: &mut VecDeque<(Timestamp, f64)>) {
    let gap = |index: &usize| ring[index + 1].0.duration_since(ring[index - 1].0);
    if let Some(index) = (1..ring.len().saturating_sub(1)).min_by_key(gap) {
        ring.remove(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{OptionsSpec, PeriodSpec, ScheduleSpec};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn sample(instance: &str, seconds: i64, value: f64) -> Sample {
        Sample { instance: instance.to_owned(), at: at(seconds), value }
    }

    #[test]
    fn a_report_that_is_read_twice_counts_once() {
        let mut samples = Samples::default();
        assert!(samples.push(sample("a", 10, 0.5)));
        assert!(!samples.push(sample("a", 10, 0.5)));
        assert!(samples.push(sample("b", 10, 0.5)));
        assert_eq!(samples.len(), 2);
    }

    #[test]
    fn reports_that_overtake_each_other_are_put_in_order() {
        let mut samples = Samples::default();
        for seconds in [30, 10, 20, 10, 40] {
            samples.push(sample("a", seconds, 0.1));
        }
        let times: Vec<_> = samples.list().into_iter().map(|sample| sample.at).collect();
        assert_eq!(times, [at(10), at(20), at(30), at(40)]);
    }

    #[test]
    fn what_is_no_load_is_refused() {
        let mut samples = Samples::default();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1] {
            assert!(!samples.push(sample("a", 1, value)));
        }
        assert!(samples.is_empty());
    }

    #[test]
    fn old_ones_go_and_so_do_those_of_another_clock() {
        let mut samples = Samples::default();
        for seconds in [-300, -299, 0, 299, 300] {
            samples.push(sample("a", seconds, 0.1));
        }
        samples.push(sample("gone", -1000, 0.1));
        samples.prune(Duration::from_secs(300), at(0));
        assert_eq!(samples.list(), [sample("a", -299, 0.1), sample("a", 0, 0.1), sample("a", 299, 0.1)]);
    }

    #[test]
    fn the_longest_window_at_the_end_of_time_does_no_harm() {
        let mut samples = Samples::default();
        samples.push(sample("a", 0, 0.1));
        samples.prune(Duration::MAX, at(60));
        assert_eq!(samples.len(), 1);
        samples.prune(Duration::from_secs(300), Timestamp::MAX);
        assert!(samples.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_whole_time_is_kept() {
        let mut samples = Samples::default();
        let last = 4_000;
        for seconds in 0..=last {
            samples.push(sample("a", seconds, 0.5));
        }
        assert_eq!(samples.len(), EACH);
        let times: Vec<_> = samples.list().iter().map(|sample| sample.at.as_second() - at(0).as_second()).collect();
        assert_eq!((times[0], times[EACH - 1]), (0, last));
        let widest = times.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert!(widest <= 4 * last / 600, "{widest} s");
        for instance in 0..INSTANCES + 10 {
            samples.push(sample(&format!("i{instance}"), 0, 0.5));
        }
        assert_eq!(samples.instances.len(), INSTANCES);
        assert!(samples.push(sample("a", 200_000, 0.5)), "who is known is heard on");
    }

    #[test]
    fn one_that_goes_is_forgotten() {
        let mut samples = Samples::default();
        for instance in ["a", "b", "c"] {
            samples.push(sample(instance, 0, 0.5));
        }
        samples.forget("a");
        samples.retain(|instance| instance != "b");
        assert_eq!(samples.list(), [sample("c", 0, 0.5)]);
    }

    #[test]
    fn the_longest_look_of_all_periods_counts() {
        let mut model = crate::plan::group::decision::bridges();
        assert_eq!(reach(&model), Duration::from_secs(240));
        let period = |options: OptionsSpec| PeriodSpec { scaling_options: options, ..PeriodSpec::default() };
        model.schedule = Some(ScheduleSpec {
            periods: vec![
                period(OptionsSpec { scale_period: Some(120), ..OptionsSpec::default() }),
                period(OptionsSpec { scale_up_periods_count: Some(7), ..OptionsSpec::default() }),
            ],
            ..ScheduleSpec::default()
        });
        assert_eq!(reach(&model), Duration::from_secs(480), "four of two minutes, rather than seven of one");
    }
}
