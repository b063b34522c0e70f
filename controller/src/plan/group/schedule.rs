//! Other numbers at certain times: which period is active, and what it changes.
//!
//! Days and hours are those of the schedule's time zone. When clocks are set forward, a time that the night leaves out is the
//! moment at which clocks are set; when they are set back, a start counts at the first of the two times and an end at the
//! second. So a period is always one piece, and rather too long than too short. (jitsi-autoscaler compares what the clock shows:
//! a period that ends in the doubled hour ends, begins once more, and ends again.)
//!
//! A period's numbers lie over the group's own for as long as it is active: nothing is copied, so nothing has to be restored,
//! and who edits the group meanwhile is not overruled afterwards. Only `desiredCount` is different: it counts at the moment in
//! which the period begins, load may change it then, and at the end the number from before comes back.
//!
//! Smooth edges: where the number would fall at the edge of a period, it falls in even steps over the time `smooth` instead.
//! Upwards it always goes at once: people who come at nine need bridges at nine, and a period can begin earlier. While the
//! number comes down, the bound comes down with it.

use std::time::Duration;

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};

use super::Options;
use crate::{
    api::{OptionsSpec, PeriodSpec, ScheduleSpec},
    validate::parse_time,
};

/// The period that is active: of those that are, the one with the highest priority; of several, the first.
#[must_use]
pub fn active(schedule: &ScheduleSpec, now: Timestamp) -> Option<&PeriodSpec> {
    if !schedule.enabled {
        return None;
    }
    // What is no time zone was refused long before; UTC is better than no answer.
    let zone = schedule.timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let mut best: Option<&PeriodSpec> = None;
    for period in schedule.periods.iter().filter(|period| lasts(period, &zone, now)) {
        if best.is_none_or(|best| period.priority > best.priority) {
            best = Some(period);
        }
    }
    best
}

/// The period is active, on its own account.
fn lasts(period: &PeriodSpec, zone: &TimeZone, now: Timestamp) -> bool {
    let today = zone.to_datetime(now).date();
    // A period that began yesterday may last until now. A day that clocks lengthen still ends within the next one.
    [Some(today), today.yesterday().ok()]
        .into_iter()
        .flatten()
        .filter(|day| period.day_of_week.contains(&i32::from(day.weekday().to_sunday_zero_offset())))
        .any(|day| span(period, day, zone).is_some_and(|(start, end)| start <= now && now < end))
}

/// From when to when a period lasts that begins on this day.
fn span(period: &PeriodSpec, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let (start, end) = (clock(period.start_hour, period.start_minute)?, clock(period.end_hour, period.end_minute)?);
    let tomorrow = day.tomorrow().ok()?;
    let (from, to) = match start.cmp(&end) {
        std::cmp::Ordering::Less => (day.to_datetime(start), day.to_datetime(end)),
        std::cmp::Ordering::Greater => (day.to_datetime(start), tomorrow.to_datetime(end)),
        // All of the day, whatever hour both are.
        std::cmp::Ordering::Equal => (day.to_datetime(Time::midnight()), tomorrow.to_datetime(Time::midnight())),
    };
    Some((moment(zone, from, Twice::First)?, moment(zone, to, Twice::Last)?))
}

fn clock(hour: i32, minute: Option<i32>) -> Option<Time> {
    Time::new(i8::try_from(hour).ok()?, i8::try_from(minute.unwrap_or(0)).ok()?, 0, 0).ok()
}

/// Which of two equal times of the clock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twice {
    First,
    Last,
}

/// When the clock shows this.
fn moment(zone: &TimeZone, shown: jiff::civil::DateTime, twice: Twice) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(shown);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => ambiguous.unambiguous().ok(),
        AmbiguousOffset::Fold { .. } if twice == Twice::First => ambiguous.earlier().ok(),
        AmbiguousOffset::Fold { .. } => ambiguous.later().ok(),
        // `earlier` is a moment before the clock is set forward: the next change is that one.
        AmbiguousOffset::Gap { .. } => {
            zone.following(ambiguous.earlier().ok()?).next().map(|transition| transition.timestamp())
        }
    }
}

/// The numbers in force while a period lasts. Where its bounds do not fit the others, they are stretched, as the autoscaler
/// does: its own number first, then the bound that it gives itself.
#[must_use]
pub fn overlay(base: &Options, period: &OptionsSpec) -> Options {
    let count =
        |given: Option<i32>, otherwise: u32| given.and_then(|n| u32::try_from(n).ok()).unwrap_or(otherwise).max(1);
    let mut options = Options {
        min: period.min_desired.unwrap_or(base.min),
        max: period.max_desired.unwrap_or(base.max),
        up_quantity: period.scale_up_quantity.unwrap_or(base.up_quantity).max(1),
        down_quantity: period.scale_down_quantity.unwrap_or(base.down_quantity).max(1),
        up_threshold: period.scale_up_threshold.unwrap_or(base.up_threshold),
        down_threshold: period.scale_down_threshold.unwrap_or(base.down_threshold),
        period: period
            .scale_period
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(base.period, |seconds| Duration::from_secs(seconds.max(1))),
        up_periods: count(period.scale_up_periods_count, base.up_periods),
        down_periods: count(period.scale_down_periods_count, base.down_periods),
    };
    if let Some(desired) = period.desired_count {
        options.max = options.max.max(desired);
    }
    if options.min > options.max {
        // One of them is the period's own: that one counts. When both are, the maximum does.
        if period.max_desired.is_some() { options.min = options.max } else { options.max = options.min }
    }
    options
}

/// Over how long the number falls at edges. None: at once.
#[must_use]
pub fn smooth(schedule: &ScheduleSpec) -> Option<Duration> {
    schedule.smooth.as_ref().and_then(|text| parse_time(text)).filter(|time| !time.is_zero())
}

/// Where a number that falls from `from` to `to` has come: evenly, and never lower than it should be. None: it has arrived.
pub(super) fn falling(from: i32, to: i32, since: Timestamp, over: Duration, now: Timestamp) -> Option<i32> {
    let over = i128::try_from(over.as_nanos()).ok()?;
    let passed = (now.as_nanosecond() - since.as_nanosecond()).max(0);
    if from <= to || passed >= over {
        return None;
    }
    // Rounded up: what is left of a step is still there.
    let left = (i128::from(from) - i128::from(to)) * (over - passed);
    let left = left / over + i128::from(left % over != 0);
    i32::try_from(i128::from(to) + left).ok().filter(|level| *level > to)
}

#[cfg(test)]
mod tests;
