//! What a request changes of a group: bodies in, `spec.groups` out. Pure.

mod schedule;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::schedule::{partial, schedule};
use super::{
    fields::Fields,
    find::Found,
    refusal::{Problem, Refusal},
    view,
};
use crate::api::{DesiredWord, GroupSpec, ScalingSpec, TimeText};

/// What the resource takes.
const COUNT: std::ops::RangeInclusive<i64> = 0..=1000;
const QUANTITY: std::ops::RangeInclusive<i64> = 1..=1000;
const PERIODS: std::ops::RangeInclusive<i64> = 1..=100;
const PERIOD: std::ops::RangeInclusive<i64> = 1..=86_400;
const TIME: std::ops::RangeInclusive<i64> = 1..=30 * 86_400;
/// What the autoscaler says, letter by letter.
const BETWEEN: &str = "Desired count must be between min and max; min cannot be grater than max";

/// A time in the words of the resource.
fn time(seconds: i32) -> TimeText {
    // A number has at most six digits there.
    TimeText(if seconds <= 999_999 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) })
}

/// Somebody's word, told from the one before by its time.
fn word(own: &mut GroupSpec, found: &Found, count: i32, now: Timestamp) {
    let before = found.model.word.as_ref().map(|(_, said)| said.as_str());
    let mut said = format!("{now:.3}");
    if before == Some(said.as_str()) {
        said = format!("{:.3}", now + jiff::SignedDuration::from_millis(1));
    }
    own.desired = Some(DesiredWord { count, said_at: said });
}

fn scaling(own: &mut GroupSpec) -> &mut ScalingSpec {
    own.scaling.get_or_insert_default()
}

fn kept(own: &mut GroupSpec) -> &mut Map<String, Value> {
    let kept = own.kept.get_or_insert_with(|| Value::Object(Map::new()));
    if !kept.is_object() {
        *kept = Value::Object(Map::new());
    }
    match kept {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object"),
    }
}

fn keep(own: &mut GroupSpec, field: &str, value: Option<Value>) {
    if let Some(value) = value {
        kept(own).insert(field.to_owned(), value);
    }
}

/// The numbers that `PUT …/scaling-options` and a whole group share.
fn numbers(own: &mut GroupSpec, body: &mut Fields<'_>) {
    let scaling = scaling(own);
    macro_rules! take {
        ($field:ident, $read:expr) => {
            if let Some(value) = $read {
                scaling.$field = Some(value);
            }
        };
    }
    take!(scale_up_quantity, body.int("scaleUpQuantity", QUANTITY));
    take!(scale_down_quantity, body.int("scaleDownQuantity", QUANTITY));
    take!(scale_up_threshold, body.number("scaleUpThreshold"));
    take!(scale_down_threshold, body.number("scaleDownThreshold"));
    take!(scale_period, body.int("scalePeriod", PERIOD).map(time));
    take!(scale_up_periods_count, body.int("scaleUpPeriodsCount", PERIODS));
    take!(scale_down_periods_count, body.int("scaleDownPeriodsCount", PERIODS));
}

/// `PUT …/desired`.
///
/// # Errors
/// With everything that is wrong with the body.
pub fn desired(found: &Found, mut own: GroupSpec, body: &Value, now: Timestamp) -> Result<GroupSpec, Refusal> {
    let mut fields = Fields::of(body)?;
    let (min, max) = (fields.int("minDesired", COUNT), fields.int("maxDesired", COUNT));
    let count = fields.int("desiredCount", COUNT);
    fields.finish()?;
    let options = view::group(found).scaling_options;
    let base = &found.model.options;
    between(min.unwrap_or(base.min), max.unwrap_or(base.max), count.unwrap_or(options.desired_count), body)?;
    own.min_desired = min.or(own.min_desired);
    own.max_desired = max.or(own.max_desired);
    if let Some(count) = count {
        word(&mut own, found, count, now);
    }
    Ok(own)
}

fn between(min: i32, max: i32, count: i32, body: &Value) -> Result<(), Refusal> {
    if min <= count && count <= max { Ok(()) } else { Err(Refusal::invalid(Problem::body("", BETWEEN, Some(body)))) }
}

/// `PUT …/scaling-options`.
///
/// # Errors
/// With everything that is wrong with the body.
pub fn options(_: &Found, mut own: GroupSpec, body: &Value) -> Result<GroupSpec, Refusal> {
    let mut fields = Fields::of(body)?;
    numbers(&mut own, &mut fields);
    if let Some(grace) = fields.int("gracePeriodTTLSec", TIME) {
        scaling(&mut own).grace_period = Some(time(grace));
    }
    let guard = fields.int("cloudGuardGraceCount", 0..=1_000_000);
    fields.finish()?;
    if let Some(guard) = guard {
        nested(&mut own, "cloudGuardGraceCount", guard.into());
    }
    tidy(&mut own);
    Ok(own)
}

/// Keeps a number that belongs into `scalingOptions`.
fn nested(own: &mut GroupSpec, field: &str, value: Value) {
    let options = kept(own).entry("scalingOptions").or_insert_with(|| Value::Object(Map::new()));
    if let Some(map) = options.as_object_mut() {
        map.insert(field.to_owned(), value);
    }
}

/// `PUT …/scaling-activities`.
///
/// # Errors
/// With everything that is wrong with the body.
pub fn activities(found: &Found, mut own: GroupSpec, body: &Value) -> Result<GroupSpec, Refusal> {
    let mut fields = Fields::of(body)?;
    switches(&mut own, &mut fields, view::schedule(found).is_some_and(|schedule| schedule.enabled));
    fields.finish()?;
    tidy(&mut own);
    Ok(own)
}

fn switches(own: &mut GroupSpec, fields: &mut Fields<'_>, scheduled: bool) {
    let scaling = scaling(own);
    for (field, to) in [
        ("enableAutoScale", &mut scaling.enable_auto_scale),
        ("enableLaunch", &mut scaling.enable_launch),
        ("enableReconfiguration", &mut scaling.enable_reconfiguration),
    ] {
        if let Some(on) = fields.switch(field) {
            *to = Some(on);
        }
    }
    if let Some(on) = fields.switch("enableScheduler") {
        // There the switch keeps full-scaling away from a group that has a schedule of its own; here it would stop that
        // schedule.
        if scheduled {
            keep(own, "enableScheduler", Some(on.into()));
        } else {
            self::scaling(own).enable_scheduler = Some(on);
        }
    }
    for field in ["enableUntrackedThrottle", "enableCloudGuard"] {
        if let Some(on) = fields.switch(field) {
            keep(own, field, Some(on.into()));
        }
    }
}

/// `PUT …/instance-configuration`.
///
/// # Errors
/// With everything that is wrong with the body.
pub fn configuration(_: &Found, mut own: GroupSpec, body: &Value) -> Result<GroupSpec, Refusal> {
    let mut fields = Fields::of(body)?;
    let id = fields.text("instanceConfigurationId", 1024);
    if id.is_none() && !fields.has("instanceConfigurationId") {
        fields.wrong("instanceConfigurationId", "Invalid value");
    }
    fields.finish()?;
    keep(&mut own, "instanceConfigurationId", id.map(Value::from));
    Ok(own)
}

/// `POST …/actions/launch-protected`.
///
/// # Errors
/// With everything that is wrong with the body.
pub fn launch_protected(found: &Found, mut own: GroupSpec, body: &Value, now: Timestamp) -> Result<GroupSpec, Refusal> {
    let mut fields = Fields::of(body)?;
    let count = fields.needed_int("count", COUNT);
    let max = fields.int("maxDesired", COUNT);
    let protected = fields.int("protectedTTLSec", TIME);
    let tags = fields.texts("tags", 64);
    let configuration = fields.text("instanceConfigurationId", 1024);
    let options = view::group(found).scaling_options;
    let wanted = options.desired_count.saturating_add(count);
    if wanted > max.unwrap_or(options.max_desired) {
        fields.wrong(
            "count",
            &format!("Max desired value must be increased first if you want to launch {count} new instances."),
        );
    }
    fields.finish()?;
    if let Some(protected) = protected {
        scaling(&mut own).protected_time = Some(time(protected));
    }
    // As long as the launch takes; what is made then keeps its own protection.
    let span = protected.map_or(found.model.protected, |seconds| {
        std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    });
    let until = jiff::SignedDuration::try_from(span).ok().and_then(|span| now.checked_add(span).ok()).unwrap_or(now);
    own.protect_launches_until = Some(format!("{until:.0}"));
    own.max_desired = max.or(own.max_desired);
    own.tags.extend(tags.unwrap_or_default());
    keep(&mut own, "instanceConfigurationId", configuration.map(Value::from));
    word(&mut own, found, wanted, now);
    tidy(&mut own);
    Ok(own)
}

/// `PUT /groups/:name`: everything of a group at once. `before` is what this manager says of it so far.
///
/// # Errors
/// With everything that is wrong with the body.
pub fn whole(found: &Found, before: &GroupSpec, body: &Value, now: Timestamp) -> Result<GroupSpec, Refusal> {
    let mut own = GroupSpec { kind: found.kind, ..Default::default() };
    let mut fields = Fields::of(body)?;
    let kind = fields.text("type", 64).unwrap_or_default();
    // The groups.json that the autoscaler ships says `jvb`, which it does not understand itself.
    if !kind.eq_ignore_ascii_case(found.kind.autoscaler_type()) {
        fields.wrong(
            "type",
            &format!("Invalid type of instance: {kind}; this group is {}", found.kind.autoscaler_type()),
        );
    }
    let scheduled_before = view::schedule(found).is_some_and(|schedule| schedule.enabled);
    let scheduled = match body.get("scheduledScaling") {
        None | Some(Value::Null) => {
            scheduled_before && before.scaling.as_ref().is_none_or(|s| s.scheduled_scaling.is_none())
        }
        Some(given) => given.get("enabled").and_then(Value::as_bool).unwrap_or(false),
    };
    switches(&mut own, &mut fields, scheduled);
    let times = (fields.int("gracePeriodTTLSec", TIME), fields.int("protectedTTLSec", TIME));
    scaling(&mut own).grace_period = times.0.map(time);
    scaling(&mut own).protected_time = times.1.map(time);
    own.tags = fields.texts("tags", 64).unwrap_or_default();
    for field in ["id", "region", "environment", "compartmentId", "instanceConfigurationId", "cloud", "seleniumGridUrl"]
    {
        let text = fields.text(field, 1024);
        keep(&mut own, field, text.map(Value::from));
    }
    if !fields.has("scalingOptions") {
        fields.wrong("scalingOptions", BETWEEN);
    }
    let mut count = None;
    let outside = outside_of_periods(found, body);
    if let Some(mut part) = fields.part_as("scalingOptions", outside.as_ref()) {
        let (min, max) = (part.needed_int("minDesired", COUNT), part.needed_int("maxDesired", COUNT));
        let wanted = part.needed_int("desiredCount", COUNT);
        // Counted with what is in force.
        let told = |field: &str, otherwise: i32| {
            let given = body.get("scalingOptions").and_then(|options| options.get(field)).and_then(Value::as_i64);
            given.and_then(|given| i32::try_from(given).ok()).unwrap_or(otherwise)
        };
        if min > max || !(told("minDesired", min)..=told("maxDesired", max)).contains(&wanted) {
            part.wrong("desiredCount", BETWEEN);
        }
        (own.min_desired, own.max_desired, count) = (Some(min), Some(max), Some(wanted));
        numbers(&mut own, &mut part);
        let others = part.others(&[
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
        for (field, value) in others {
            nested(&mut own, &field, value);
        }
        fields.take(part);
    }
    if let Some(part) = fields.part("scheduledScaling") {
        schedule::read(&mut own, part, &mut fields);
    }
    let others = fields.others(&[
        "id",
        "name",
        "type",
        "region",
        "environment",
        "compartmentId",
        "instanceConfigurationId",
        "cloud",
        "tags",
        "enableAutoScale",
        "enableLaunch",
        "enableScheduler",
        "enableUntrackedThrottle",
        "enableReconfiguration",
        "enableCloudGuard",
        "gracePeriodTTLSec",
        "protectedTTLSec",
        "scalingOptions",
        "scheduledScaling",
        "seleniumGridUrl",
        // What is only shown.
        "scheduledScalingActivePeriod",
        "scheduledScalingBaseOptions",
        view::KEPT_PERIODS,
    ]);
    for (field, value) in others {
        keep(&mut own, &field, Some(value));
    }
    fields.finish()?;
    if let Some(count) = count {
        // The same number is no new word: writing a group back as it was read changes nothing.
        if count == view::desired(found) {
            own.desired.clone_from(&before.desired);
        } else {
            word(&mut own, found, count, now);
        }
    }
    own.protect_launches_until.clone_from(&before.protect_launches_until);
    tidy(&mut own);
    Ok(own)
}

/// The numbers of a body, taken for those outside of any period: while one counts, what is shown is what is in force, and
/// writing a group back as it was read must not make that last.
fn outside_of_periods(found: &Found, body: &Value) -> Option<Value> {
    let shown = view::group(found);
    let base = serde_json::to_value(shown.scheduled_scaling_base_options?).ok()?;
    let in_force = serde_json::to_value(shown.scaling_options).ok()?;
    let mut given = body.get("scalingOptions")?.clone();
    for (field, value) in given.as_object_mut()? {
        if field != "desiredCount"
            && Some(&*value) == in_force.get(field)
            && let Some(base) = base.get(field)
        {
            *value = base.clone();
        }
    }
    Some(given)
}

/// Leaves out what says nothing.
fn tidy(own: &mut GroupSpec) {
    if own.scaling == Some(ScalingSpec::default()) {
        own.scaling = None;
    }
    if own.kept.as_ref().is_some_and(|kept| kept.as_object().is_some_and(Map::is_empty)) {
        own.kept = None;
    }
}
