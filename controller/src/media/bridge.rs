//! Bridges: how loaded they are, and the words that they hear.
//!
//! `drain` is a mark for jicofo and can be taken back; after `shutdown` a bridge takes no new conference and ends with its
//! last one, and there is no way back.

use futures_util::future::BoxFuture;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::http::{HttpMedia, success};
use crate::plan::report::Report;

/// Where bridges are asked and told. Tests bring their own.
pub trait BridgeMedia {
    /// What the bridge of the pod with this address says of itself. The time is left to the caller.
    fn bridge<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<Report, String>>;

    /// Sets or takes back the mark that nobody new shall be sent there.
    fn drain<'a>(&'a self, ip: &'a str, drain: bool) -> BoxFuture<'a, Result<(), String>>;

    /// Tells it to end with its last conference.
    fn shutdown<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// What both kinds of servers want to hear before they end.
pub(super) const GRACEFUL: &str = r#"{"graceful-shutdown":"true"}"#;

impl BridgeMedia for HttpMedia {
    fn bridge<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<Report, String>> {
        Box::pin(async move {
            let at = (ip, self.ports.bridge);
            let (status, body) = self.send(Method::GET, at, "/colibri/stats", &[], None).await?;
            if status != StatusCode::NOT_FOUND {
                success(status)?;
                let stats: Stats = serde_json::from_slice(&body).map_err(|_| UNREADABLE.to_owned())?;
                return stats.report();
            }
            // Somebody has switched the statistics off; the metrics are always there.
            let (status, body) = self.send(Method::GET, at, "/metrics", &[], None).await?;
            success(status)?;
            metrics(&String::from_utf8_lossy(&body))
        })
    }

    fn drain<'a>(&'a self, ip: &'a str, drain: bool) -> BoxFuture<'a, Result<(), String>> {
        let path = if drain { "/colibri/drain/enable" } else { "/colibri/drain/disable" };
        Box::pin(self.post(ip, self.ports.bridge, path, None))
    }

    fn shutdown<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.post(ip, self.ports.bridge, "/colibri/shutdown", Some(GRACEFUL)))
    }
}

const UNREADABLE: &str = "its answer cannot be read";

/// `GET /colibri/stats`, as far as it counts. What is absent is unknown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stats {
    stress_level: Option<f64>,
    conferences: Option<u64>,
    local_endpoints: Option<u64>,
    participants: Option<u64>,
    endpoints: Option<u64>,
    octo_endpoints: Option<u64>,
    drain: Option<bool>,
    graceful_shutdown: Option<bool>,
    shutting_down: Option<bool>,
    healthy: Option<bool>,
    version: Option<String>,
}

impl Stats {
    fn report(self) -> Result<Report, String> {
        // Without the number of relayed ones all count: too many rather than too few.
        let all = self.participants.or(self.endpoints);
        let local = self.local_endpoints.or_else(|| Some(all?.saturating_sub(self.octo_endpoints.unwrap_or(0))));
        sensible(Report {
            at: None,
            stress: self.stress_level,
            endpoints: local,
            conferences: self.conferences,
            drain: self.drain,
            graceful_shutdown: self.graceful_shutdown,
            shutting_down: self.shutting_down,
            busy: None,
            healthy: self.healthy,
            version: self.version,
        })
    }
}

/// A report that says something at all, without numbers that are none.
pub(super) fn sensible(mut report: Report) -> Result<Report, String> {
    report.stress = report.stress.filter(|stress| stress.is_finite() && *stress >= 0.0);
    report.version = report.version.map(|version| version.chars().take(64).collect());
    if report == Report::default() { Err("its answer says nothing".to_owned()) } else { Ok(report) }
}

/// The same from a page of metrics.
fn metrics(page: &str) -> Result<Report, String> {
    let value = |name: &str| {
        page.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest = match rest.strip_prefix('{') {
                Some(labelled) => labelled.split_once('}')?.1,
                None => rest,
            };
            // Another family may begin with the same letters.
            rest.starts_with(' ').then(|| rest.split_whitespace().next()?.parse::<f64>().ok()).flatten()
        })
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in bounds")]
    let number = |name: &str| value(name).filter(|v| (0.0..1e9).contains(v)).map(|v| v.ceil() as u64);
    let flag = |name: &str| value(name).map(|v| v != 0.0);
    sensible(Report {
        at: None,
        stress: value("jitsi_jvb_stress"),
        endpoints: number("jitsi_jvb_local_endpoints"),
        conferences: number("jitsi_jvb_conferences"),
        drain: flag("jitsi_jvb_drain_mode"),
        graceful_shutdown: flag("jitsi_jvb_graceful_shutdown"),
        shutting_down: flag("jitsi_jvb_shutting_down"),
        busy: None,
        healthy: flag("jitsi_jvb_healthy"),
        version: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(text: &str) -> Result<Report, String> {
        serde_json::from_str::<Stats>(text).map_err(|error| error.to_string())?.report()
    }

    #[test]
    fn what_is_absent_is_unknown_and_never_zero() {
        let report = stats(r#"{"stress_level": 0.25}"#).unwrap();
        assert_eq!(report, Report { stress: Some(0.25), ..Report::default() });
        assert!(stats("{}").is_err());
        assert!(stats(r#"{"participants": "many"}"#).is_err());
        assert!(stats(r#"{"participants": -1}"#).is_err());
        assert_eq!(stats(r#"{"stress_level": -1, "conferences": 0}"#).unwrap().stress, None);
    }

    #[test]
    fn relayed_people_are_on_another_bridge() {
        let endpoints = |text| stats(text).unwrap().endpoints;
        assert_eq!(endpoints(r#"{"participants": 7, "octo_endpoints": 5}"#), Some(2));
        assert_eq!(endpoints(r#"{"participants": 7, "local_endpoints": 3}"#), Some(3));
        assert_eq!(endpoints(r#"{"participants": 7}"#), Some(7));
        assert_eq!(endpoints(r#"{"octo_endpoints": 5, "conferences": 1}"#), None);
    }

    #[test]
    fn metrics_say_the_same() {
        let page = "# HELP jitsi_jvb_stress Stress.\n# TYPE jitsi_jvb_stress gauge\njitsi_jvb_stress 0.5\n\
            jitsi_jvb_stress_other 9\njitsi_jvb_local_endpoints{region=\"eu\"} 12.0 1700000000\n\
            jitsi_jvb_drain_mode 1.0\njitsi_jvb_graceful_shutdown 0\njitsi_jvb_conferences NaN\n";
        let report = metrics(page).unwrap();
        assert_eq!(
            report,
            Report {
                stress: Some(0.5),
                endpoints: Some(12),
                drain: Some(true),
                graceful_shutdown: Some(false),
                ..Report::default()
            }
        );
        assert!(metrics("go_threads 3\n").is_err());
        assert!(metrics("jitsi_jvb_stressed 3\n").is_err());
    }
}
