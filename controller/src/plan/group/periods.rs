//! What samples come to, period by period: exactly as jitsi-autoscaler does it (`prior-systems.md` §1.1, steps 3 and 4).
//!
//! Period *i* holds the samples whose age is in [*i*·P, (*i*+1)·P). Each instance counts with the mean of its samples, so one
//! that reports more often does not count for more; then the instances are summed (recorders: how many are free) or averaged
//! (stress).
//!
//! An instance that is silent in one period, but was heard in the next older one and in the next newer one (for the newest
//! period there is no newer one), counts there with its last sample of the older one. Two silent periods in a row are not
//! filled, and the oldest period never is, as nothing older is looked at. What is filled in does not count as heard, so one
//! gap never fills the next.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{Basis, Sample};

/// What the samples of a period come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// The sum or the mean; None where nobody reported, which is not the same as no load.
    pub value: Option<f64>,
    /// How many instances it comes from.
    pub instances: usize,
}

/// Sum and number of an instance's samples in a period, and its last one.
#[derive(Clone, Copy, Default)]
struct Heard {
    sum: f64,
    number: f64,
    last: Option<(Timestamp, f64)>,
}

/// The newest `number` periods, the newest one first. Samples from the future are passed over, and older ones too.
#[must_use]
pub fn periods(samples: &[Sample], basis: Basis, length: Duration, number: u32, now: Timestamp) -> Vec<Period> {
    let number = usize::try_from(number).unwrap_or(usize::MAX).clamp(1, MOST);
    // Nanoseconds of a time between the years -9999 and 9999, and of a length of days, fit with ease.
    let length = i128::try_from(length.as_nanos()).unwrap_or(i128::MAX).max(1);
    let mut heard: Vec<BTreeMap<&str, Heard>> = vec![BTreeMap::new(); number];
    for sample in samples {
        let age = now.as_nanosecond() - sample.at.as_nanosecond();
        let Some(period) = usize::try_from(age.div_euclid(length)).ok().and_then(|index| heard.get_mut(index)) else {
            continue;
        };
        let entry = period.entry(&sample.instance).or_default();
        entry.sum += sample.value;
        entry.number += 1.0;
        if entry.last.is_none_or(|(at, _)| at <= sample.at) {
            entry.last = Some((sample.at, sample.value));
        }
    }
    (0..number).map(|index| come_to(&heard, index, basis)).collect()
}

/// More periods than that nobody asks for.
const MOST: usize = 1000;

fn come_to(heard: &[BTreeMap<&str, Heard>], index: usize, basis: Basis) -> Period {
    let own = heard[index].values().map(|entry| entry.sum / entry.number);
    let newer = index.checked_sub(1).map(|newer| &heard[newer]);
    let filled = heard.get(index + 1).into_iter().flatten().filter_map(|(instance, older)| {
        let silent = !heard[index].contains_key(instance);
        let again = newer.is_none_or(|newer| newer.contains_key(instance));
        (silent && again).then_some(older.last?.1)
    });
    let (mut sum, mut instances) = (0.0, 0_usize);
    for value in own.chain(filled) {
        sum += value;
        instances += 1;
    }
    let value = match basis {
        _ if instances == 0 => None,
        Basis::Availability => Some(sum),
        #[allow(clippy::cast_precision_loss, reason = "a number of instances")]
        Basis::Stress => Some(sum / instances as f64),
    };
    Period { value, instances }
}

#[cfg(test)]
mod tests;
