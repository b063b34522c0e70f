//! What a sidecar says: its body read, and what of it is worth writing down. Pure.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::missing;
use crate::{
    plan::report::{Busy, Report},
    rest::{
        instance::{Said, word},
        refusal::Problem,
    },
};

/// A report that says nothing new is written down again after this time: others must see that its instance lives.
pub const AGAIN: SignedDuration = SignedDuration::from_secs(45);
/// Load that differs by less is the same load.
const STRESS: f64 = 0.05;
/// No instance has more people on it, or more conferences.
const MANY: u64 = 1_000_000;

/// Who it says that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// `instanceId`.
    pub instance_id: Option<String>,
    /// `podName`, if the metadata has one.
    pub pod_name: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `version`.
    pub version: Option<String>,
    /// `publicIp`.
    pub public_ip: Option<String>,
}

impl Details {
    /// Reads InstanceDetails.
    ///
    /// # Errors
    /// Without an `instanceId`.
    pub fn of(body: &Value) -> Result<Self, Problem> {
        Self::at(body, "instanceId")
    }

    fn at(body: &Value, path: &str) -> Result<Self, Problem> {
        let field = |name: &str| word(body.get(name).and_then(Value::as_str));
        let id = field("instanceId").ok_or_else(|| missing(path))?;
        Ok(Self {
            instance_id: Some(id),
            pod_name: field("podName"),
            name: field("name"),
            version: field("version"),
            public_ip: field("publicIp"),
        })
    }
}

/// A StatsReport.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Whose.
    pub details: Details,
    /// The instance's own numbers; none when the sidecar could not get them.
    pub stats: Option<Report>,
    shutdown_status: bool,
    shutdown_error: bool,
    reconfigure_error: bool,
    reconfigure_complete: Option<String>,
    stats_error: bool,
}

impl Heard {
    /// Reads a StatsReport.
    ///
    /// # Errors
    /// Without an `instance.instanceId`.
    pub fn of(body: &Value) -> Result<Self, Problem> {
        let instance = body.get("instance").unwrap_or(&Value::Null);
        let switch = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or(false);
        let stats_error = switch("statsError");
        Ok(Self {
            details: Details::at(instance, "instance.instanceId")?,
            stats: body.get("stats").filter(|_| !stats_error).and_then(stats),
            shutdown_status: switch("shutdownStatus"),
            shutdown_error: switch("shutdownError"),
            reconfigure_error: switch("reconfigureError"),
            reconfigure_complete: word(body.get("reconfigureComplete").and_then(Value::as_str)),
            stats_error,
        })
    }

    /// It has done what it was asked at this date.
    #[must_use]
    pub fn reconfigured_since(&self, asked: &str) -> bool {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        match (self.reconfigure_complete.as_deref().and_then(time), time(asked)) {
            (Some(done), Some(asked)) => done >= asked,
            // It echoes the date, whatever that is.
            _ => self.reconfigure_complete.as_deref() == Some(asked),
        }
    }

    /// The report to write, if there is one and it is worth it.
    #[must_use]
    pub fn report(&self, before: Option<&Report>, now: Timestamp) -> Option<Report> {
        let mut report = self.stats.clone()?;
        report.at = Some(now);
        report.version = report.version.or_else(|| self.details.version.clone());
        worth(before, &report, now).then_some(report)
    }

    /// What it said of itself, over what it said before.
    #[must_use]
    pub fn said(&self, before: &Said) -> Said {
        let details = &self.details;
        Said {
            instance_id: details.instance_id.clone(),
            name: details.name.clone().or_else(|| before.name.clone()),
            version: details.version.clone().or_else(|| before.version.clone()),
            public_ip: details.public_ip.clone().or_else(|| before.public_ip.clone()),
            shutdown_status: self.shutdown_status,
            shutdown_error: self.shutdown_error,
            reconfigure_error: self.reconfigure_error,
            stats_error: self.stats_error,
            reconfigured: self.reconfigure_complete.clone().or_else(|| before.reconfigured.clone()),
        }
    }
}

/// The numbers of a bridge, a recorder or a gateway, each in its own words. None when there is nothing in them.
fn stats(stats: &Value) -> Option<Report> {
    let map = stats.as_object().filter(|map| !map.is_empty())?;
    let number = |name: &str| {
        let number = map.get(name)?;
        let number = number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(whole))?;
        Some(number.min(MANY))
    };
    let switch = |name: &str| map.get(name).and_then(Value::as_bool);
    let stress = map.get("stress_level").and_then(Value::as_f64).filter(|stress| stress.is_finite() && *stress >= 0.0);
    let endpoints = number("local_endpoints").or_else(|| {
        // Those that other bridges relay are not its own.
        let all = number("participants").or_else(|| number("endpoints"))?;
        Some(all.saturating_sub(number("octo_endpoints").unwrap_or(0)))
    });
    let status = map.get("status");
    let busy = status.and_then(|status| status.get("busyStatus")).and_then(Value::as_str);
    let health = status.and_then(|status| status.get("health")).and_then(|health| health.get("healthStatus"));
    let report = Report {
        at: None,
        stress: stress.map(|stress| stress.min(1000.0)),
        endpoints,
        conferences: number("conferences"),
        drain: switch("drain"),
        graceful_shutdown: switch("graceful_shutdown"),
        shutting_down: switch("shutting_down"),
        busy: match busy {
            Some("IDLE") => Some(Busy::Idle),
            Some("BUSY") => Some(Busy::Busy),
            Some("EXPIRED") => Some(Busy::Expired),
            _ => None,
        },
        healthy: match health.and_then(Value::as_str) {
            Some("HEALTHY") => Some(true),
            Some("UNHEALTHY") => Some(false),
            _ => switch("healthy"),
        },
        version: word(map.get("version").and_then(Value::as_str)),
    };
    (report != Report::default()).then_some(report)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, and is bounded next")]
fn whole(number: f64) -> u64 {
    number as u64
}

/// Whether a report says something that matters beside the one before.
fn worth(before: Option<&Report>, after: &Report, now: Timestamp) -> bool {
    let Some(before) = before else { return true };
    let age = before.at.map_or(SignedDuration::MAX, |at| now.duration_since(at));
    // A clock that was set back must not silence it.
    if age >= AGAIN || age.is_negative() {
        return true;
    }
    let apart = match (before.stress, after.stress) {
        (Some(before), Some(after)) => (before - after).abs() >= STRESS,
        (before, after) => before.is_some() != after.is_some(),
    };
    let empty = |report: &Report| report.endpoints.map(|number| number == 0);
    apart
        || empty(before) != empty(after)
        || (before.drain, before.graceful_shutdown, before.shutting_down)
            != (after.drain, after.graceful_shutdown, after.shutting_down)
        || (before.busy, before.healthy, &before.version) != (after.busy, after.healthy, &after.version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[allow(clippy::needless_pass_by_value, reason = "a test's helper takes what json! makes")]
    fn heard(stats: Value) -> Heard {
        Heard::of(&json!({"instance": {"instanceId": "meet-0-jvb-1", "instanceType": "JVB"}, "stats": stats})).unwrap()
    }

    #[test]
    fn the_three_kinds_say_the_same_in_their_own_words() {
        let bridge = heard(json!({
            "stress_level": 0.25, "participants": 30, "octo_endpoints": 10, "conferences": 4, "drain": false,
            "graceful_shutdown": false, "shutting_down": false, "version": "2.3.1", "healthy": true,
        }));
        let report = bridge.report(None, at(0)).unwrap();
        assert_eq!((report.stress, report.endpoints, report.conferences), (Some(0.25), Some(20), Some(4)));
        assert_eq!((report.drain, report.healthy, report.busy), (Some(false), Some(true), None));
        let recorder =
            heard(json!({"jibriId": "a", "status": {"busyStatus": "BUSY", "health": {"healthStatus": "UNHEALTHY"}}}));
        let report = recorder.report(None, at(0)).unwrap();
        assert_eq!((report.busy, report.healthy, report.stress), (Some(Busy::Busy), Some(false), None));
        let gateway =
            heard(json!({"stress_level": 1.5, "participants": 3, "conferences": 2, "graceful_shutdown": true}));
        let report = gateway.report(None, at(0)).unwrap();
        assert_eq!((report.stress, report.endpoints, report.graceful_shutdown), (Some(1.5), Some(3), Some(true)));
    }

    #[test]
    fn nothing_is_not_a_report() {
        for stats in
            [json!({}), json!(null), json!("x"), json!([1]), json!({"unknown": 1}), json!({"stress_level": -1})]
        {
            assert_eq!(heard(stats.clone()).report(None, at(0)), None, "{stats}");
        }
        let failed = Heard::of(&json!({
            "instance": {"instanceId": "a"}, "stats": {"stress_level": 0.5}, "statsError": true,
        }));
        assert_eq!(failed.unwrap().report(None, at(0)), None);
        assert_eq!(Heard::of(&json!({"instance": {}})).unwrap_err().path, "instance.instanceId");
        assert_eq!(Details::of(&json!({"instanceId": " "})).unwrap_err().path, "instanceId");
    }

    #[test]
    fn only_what_matters_is_written_again() {
        let before =
            heard(json!({"stress_level": 0.50, "participants": 5, "drain": false})).report(None, at(0)).unwrap();
        let again = |stats: Value, seconds: i64| heard(stats).report(Some(&before), at(seconds)).is_some();
        assert!(!again(json!({"stress_level": 0.52, "participants": 9, "drain": false}), 44));
        assert!(again(json!({"stress_level": 0.52, "participants": 9, "drain": false}), 45), "it lives");
        assert!(again(json!({"stress_level": 0.52, "participants": 9, "drain": false}), -5), "the clock was set back");
        assert!(again(json!({"stress_level": 0.56, "participants": 5, "drain": false}), 10), "load");
        assert!(again(json!({"stress_level": 0.50, "participants": 0, "drain": false}), 10), "empty");
        assert!(again(json!({"stress_level": 0.50, "participants": 5, "drain": true}), 10), "drain");
        assert!(again(json!({"participants": 5, "drain": false}), 10), "no load any more");
    }

    #[test]
    fn a_report_fits_into_its_annotation() {
        let long = "v".repeat(100_000);
        let heard = Heard::of(&json!({
            "instance": {"instanceId": long, "name": long, "version": long, "publicIp": long},
            "stats": {"stress_level": 1e300, "participants": u64::MAX, "conferences": 1e300, "version": long},
            "reconfigureComplete": long,
        }))
        .unwrap();
        let report = serde_json::to_string(&heard.report(None, at(0)).unwrap()).unwrap();
        assert!(report.len() <= crate::plan::report::REPORT_LIMIT, "{report}");
        let said = serde_json::to_string(&heard.said(&Said::default())).unwrap();
        assert!(said.len() <= 1024, "{said}");
    }

    #[test]
    fn a_reconfiguration_counts_from_its_request_on() {
        let done =
            |date: &str| Heard::of(&json!({"instance": {"instanceId": "a"}, "reconfigureComplete": date})).unwrap();
        let asked = "2026-11-21T18:00:00.000Z";
        assert!(done(asked).reconfigured_since(asked));
        assert!(done("2026-11-21T18:00:01.000Z").reconfigured_since(asked));
        assert!(!done("2026-11-21T17:59:59.000Z").reconfigured_since(asked));
        assert!(!done("").reconfigured_since(asked));
        assert!(done("soon").reconfigured_since("soon"));
    }
}
