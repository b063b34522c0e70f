//! What bodies may be.

use serde_json::{Value, json};

#[allow(clippy::needless_pass_by_value, reason = "each is made where it is given")]
fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 1000})
}

fn seconds() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 2_592_000})
}

fn word() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 63})
}

/// Numbers any of which may be left out.
fn numbers() -> Value {
    let (quantity, periods) = (
        json!({"type": "integer", "minimum": 1, "maximum": 1000}),
        json!({"type": "integer", "minimum": 1, "maximum": 100}),
    );
    let threshold = json!({"type": "number", "minimum": 0, "maximum": 1_000_000_000});
    json!({
        "minDesired": count(), "maxDesired": count(), "desiredCount": count(),
        "scaleUpQuantity": quantity, "scaleDownQuantity": quantity,
        "scaleUpThreshold": threshold, "scaleDownThreshold": threshold,
        "scalePeriod": {"type": "integer", "minimum": 1, "maximum": 86_400},
        "scaleUpPeriodsCount": periods, "scaleDownPeriodsCount": periods,
    })
}

/// InstanceDetails.
pub(super) fn details() -> Value {
    object(
        &["instanceId"],
        json!({
            "instanceId": {"type": "string", "pattern": "^[A-Za-z0-9][-.A-Za-z0-9]{0,62}$"},
            "instanceType": {"type": "string"}, "cloud": {"type": "string"},
            "region": {"type": "string"}, "group": {"type": "string"}, "name": {"type": "string"},
            "version": {"type": "string"}, "publicIp": {"type": "string"}, "privateIp": {"type": "string"},
        }),
    )
}

/// StatsReport.
pub(super) fn stats() -> Value {
    object(
        &["instance"],
        json!({
            "instance": details(),
            "stats": {"type": "object", "properties": {
                "stress_level": {"type": "number"}, "participants": {"type": "integer"},
                "conferences": {"type": "integer"}, "graceful_shutdown": {"type": "boolean"},
                "status": {"type": "object", "properties": {
                    "busyStatus": {"enum": ["IDLE", "BUSY", "EXPIRED"]},
                    "health": {"type": "object", "properties": {"healthStatus": {"enum": ["HEALTHY", "UNHEALTHY"]}}},
                }},
            }},
            "timestamp": {"type": "number"}, "shutdownStatus": {"type": "boolean"}, "shutdownError": {"type": "boolean"},
            "reconfigureError": {"type": "boolean"}, "statsError": {"type": "boolean"}, "reconfigureComplete": {"type": "string"},
        }),
    )
}

/// A whole group.
pub(super) fn group() -> Value {
    let mut options = object(&["minDesired", "maxDesired", "desiredCount"], numbers());
    options["additionalProperties"] = json!(true);
    object(
        &["name", "type", "scalingOptions"],
        json!({
            "name": {"type": "string"}, "type": {"enum": ["JVB", "jibri", "sip-jibri", "jigasi"]},
            "id": {"type": "string"}, "region": {"type": "string"}, "environment": {"type": "string"},
            "compartmentId": {"type": "string"}, "instanceConfigurationId": {"type": "string"}, "cloud": {"type": "string"},
            "tags": {"type": "object", "maxProperties": 64, "additionalProperties": {"type": "string", "maxLength": 1024}},
            "enableAutoScale": {"type": "boolean"}, "enableLaunch": {"type": "boolean"}, "enableScheduler": {"type": "boolean"},
            "enableUntrackedThrottle": {"type": "boolean"}, "enableReconfiguration": {"type": "boolean"},
            "enableCloudGuard": {"type": "boolean"}, "gracePeriodTTLSec": seconds(), "protectedTTLSec": seconds(),
            "scalingOptions": options, "scheduledScaling": schedule(),
        }),
    )
}

/// `{minDesired?, maxDesired?, desiredCount?}`.
pub(super) fn desired() -> Value {
    object(&[], json!({"minDesired": count(), "maxDesired": count(), "desiredCount": count()}))
}

/// Quantities, thresholds, periods.
pub(super) fn options() -> Value {
    let mut properties = numbers();
    properties["gracePeriodTTLSec"] = seconds();
    properties["cloudGuardGraceCount"] = json!({"type": "integer", "minimum": 0, "maximum": 1_000_000});
    object(&[], properties)
}

/// What is switched on.
pub(super) fn activities() -> Value {
    let switch = json!({"type": "boolean"});
    object(
        &[],
        json!({
            "enableAutoScale": switch, "enableLaunch": switch, "enableScheduler": switch,
            "enableUntrackedThrottle": switch, "enableReconfiguration": switch,
        }),
    )
}

/// `{instanceConfigurationId}`.
pub(super) fn configuration() -> Value {
    object(&["instanceConfigurationId"], json!({"instanceConfigurationId": {"type": "string", "maxLength": 1024}}))
}

/// A schedule.
pub(super) fn schedule() -> Value {
    let (hour, minute) = (
        json!({"type": "integer", "minimum": 0, "maximum": 23}),
        json!({"type": "integer", "minimum": 0, "maximum": 59}),
    );
    let period = object(
        &["name", "dayOfWeek", "startHour", "endHour", "priority"],
        json!({
            "name": word(),
            "dayOfWeek": {"type": "array", "minItems": 1, "maxItems": 7, "items": {"type": "integer", "minimum": 0, "maximum": 6}},
            "startHour": hour, "startMinute": minute, "endHour": hour, "endMinute": minute,
            "priority": {"type": "integer", "minimum": -1_000_000_000, "maximum": 1_000_000_000},
            "inhibitScaleDown": {"type": "boolean"}, "scalingOptions": object(&[], numbers()),
        }),
    );
    object(
        &["enabled", "periods"],
        json!({
            "enabled": {"type": "boolean"}, "timezone": {"type": "string", "examples": ["Europe/Paris"]},
            "smooth": {"type": "string", "pattern": "^[1-9][0-9]{0,3}(s|m)$"},
            "periods": {"type": "array", "maxItems": 100, "items": period},
        }),
    )
}

/// `POST …/launch-protected`.
pub(super) fn launch() -> Value {
    object(
        &["count"],
        json!({
            "count": count(), "protectedTTLSec": seconds(), "maxDesired": count(),
            "instanceConfigurationId": {"type": "string", "maxLength": 1024},
            "tags": {"type": "object", "maxProperties": 64, "additionalProperties": {"type": "string", "maxLength": 1024}},
        }),
    )
}

/// `PUT /groups/options/full-scaling`.
pub(super) fn full() -> Value {
    object(
        &["environment", "region", "instanceType", "direction"],
        json!({
            "environment": {"type": "string"}, "region": {"type": "string"},
            "instanceType": {"enum": ["JVB", "jibri", "sip-jibri", "jigasi"]}, "direction": {"enum": ["up", "down"]},
            "options": object(&[], numbers()),
        }),
    )
}
