//! `PUT …/scheduled-scaling`.

use serde_json::{Map, Value};

use super::{COUNT, PERIOD, PERIODS, QUANTITY, kept, tidy};
use crate::{
    api::{GroupSpec, OptionsSpec, PeriodSpec, ScheduleSpec, TimeText},
    rest::{fields::Fields, find::Found, refusal::Refusal, view::KEPT_PERIODS},
    validate::parse_time,
};

/// Periods of a schedule at most, as in the resource.
const MOST: usize = 100;

/// `PUT …/scheduled-scaling`, or `None` to take it away.
///
/// # Errors
/// With everything that is wrong with the body.
pub fn schedule(_: &Found, mut own: GroupSpec, body: Option<&Value>) -> Result<GroupSpec, Refusal> {
    match body {
        None => {
            if let Some(scaling) = &mut own.scaling {
                scaling.scheduled_scaling = None;
            }
            if let Some(Value::Object(map)) = &mut own.kept {
                map.remove(KEPT_PERIODS);
            }
        }
        Some(body) => {
            let part = Fields::of(body)?;
            let mut whole = Fields::of(body)?;
            read(&mut own, part, &mut whole);
            whole.finish()?;
        }
    }
    tidy(&mut own);
    Ok(own)
}

/// Reads a schedule; problems go to `to`.
pub(super) fn read<'a>(own: &mut GroupSpec, mut part: Fields<'a>, to: &mut Fields<'a>) {
    if !part.has("enabled") {
        part.wrong("enabled", "enabled must be a boolean");
    }
    let enabled = part.switch("enabled").unwrap_or(false);
    let timezone = part.text("timezone", 64);
    if timezone.as_ref().is_some_and(|zone| jiff::tz::TimeZone::get(zone).is_err()) {
        part.wrong("timezone", "timezone must be an IANA time zone such as Europe/Paris");
    }
    let smooth = part.text("smooth", 20);
    if smooth.as_ref().is_some_and(|text| parse_time(text).is_none()) {
        part.wrong("smooth", "write a time from '1s' to '30d', such as '30m'");
    }
    let mut more = Map::new();
    let mut periods: Vec<PeriodSpec> = Vec::new();
    let list = part.parts("periods");
    if list.len() > MOST {
        part.wrong("periods", "at most 100 periods");
    }
    for mut one in list.into_iter().take(MOST) {
        let (period, others) = period(&mut one);
        if periods.iter().any(|other| other.name == period.name) {
            one.wrong("name", "Period names must be unique");
        }
        if !others.is_empty() {
            more.insert(period.name.clone(), Value::Object(others));
        }
        periods.push(period);
        part.take(one);
    }
    to.take(part);
    own.scaling.get_or_insert_default().scheduled_scaling =
        Some(ScheduleSpec { enabled, timezone, smooth: smooth.map(TimeText), periods });
    if more.is_empty() {
        if let Some(Value::Object(map)) = &mut own.kept {
            map.remove(KEPT_PERIODS);
        }
    } else {
        kept(own).insert(KEPT_PERIODS.to_owned(), Value::Object(more));
    }
}

fn period(one: &mut Fields<'_>) -> (PeriodSpec, Map<String, Value>) {
    let name = one.text("name", 63).unwrap_or_default();
    if name.is_empty() {
        one.wrong("name", "Period name must be a non-empty string");
    }
    if !one.has("dayOfWeek") {
        one.wrong("dayOfWeek", "dayOfWeek must be a non-empty array");
    }
    let days = one.ints("dayOfWeek", 0..=6, "dayOfWeek values must be 0-6").unwrap_or_default();
    if one.has("dayOfWeek") && (days.is_empty() || days.len() > 7) {
        one.wrong("dayOfWeek", "dayOfWeek must be an array of 1 to 7 days");
    }
    for hour in ["startHour", "endHour"] {
        if !one.has(hour) {
            one.wrong(hour, &format!("{hour} must be 0-23"));
        }
    }
    if !one.has("priority") {
        one.wrong("priority", "priority must be a number");
    }
    let mut options = OptionsSpec::default();
    let mut others = Map::new();
    if let Some(mut part) = one.part("scalingOptions") {
        options = partial(&mut part);
        others = part.others(&[
            "minDesired",
            "maxDesired",
            "desiredCount",
            "scaleUpQuantity",
            "scaleDownQuantity",
            "scaleUpThreshold",
            "scaleDownThreshold",
            "scalePeriod",
            "scaleUpPeriodsCount",
            "scaleDownPeriodsCount",
        ]);
        one.take(part);
    }
    let period = PeriodSpec {
        name,
        day_of_week: days,
        start_hour: one.int("startHour", 0..=23).unwrap_or_default(),
        start_minute: one.int("startMinute", 0..=59),
        end_hour: one.int("endHour", 0..=23).unwrap_or_default(),
        end_minute: one.int("endMinute", 0..=59),
        priority: one.int("priority", -1_000_000_000..=1_000_000_000).unwrap_or_default(),
        inhibit_scale_down: one.switch("inhibitScaleDown").unwrap_or(false),
        scaling_options: options,
    };
    (period, others)
}

/// Numbers any of which may be left out.
pub fn partial(part: &mut Fields<'_>) -> OptionsSpec {
    OptionsSpec {
        min_desired: part.int("minDesired", COUNT),
        max_desired: part.int("maxDesired", COUNT),
        desired_count: part.int("desiredCount", COUNT),
        scale_up_quantity: part.int("scaleUpQuantity", QUANTITY),
        scale_down_quantity: part.int("scaleDownQuantity", QUANTITY),
        scale_up_threshold: part.number("scaleUpThreshold"),
        scale_down_threshold: part.number("scaleDownThreshold"),
        scale_period: part.int("scalePeriod", PERIOD),
        scale_up_periods_count: part.int("scaleUpPeriodsCount", PERIODS),
        scale_down_periods_count: part.int("scaleDownPeriodsCount", PERIODS),
    }
}
