//! One instance: its pod, what it last said, and what it was asked. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        DRAIN_SINCE, GroupKind, PROTECTED_UNTIL, RECONFIGURE_ASKED, REPORT, SHARD_LABEL, SHUTDOWN_ASKED, SHUTDOWN_SINCE,
    },
    plan::report::Report,
};

/// Annotation on a pod: what its sidecar said beside the report, as JSON of at most 1 KiB ([`Said`]).
pub const SIDECAR: &str = "apps.jit.si/sidecar";
/// Longest text of what a sidecar says of itself, in characters.
const WORD: usize = 128;

/// What a sidecar said of itself and of its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Said {
    /// The name that it gives its instance, where it is not the pod's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Its `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its address outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
    /// It carries out a shutdown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shutdown_status: bool,
    /// Its shutdown failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shutdown_error: bool,
    /// Its reconfiguration failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reconfigure_error: bool,
    /// It cannot get at the statistics of its instance.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stats_error: bool,
    /// When it last reconfigured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconfigured: Option<String>,
}

/// A short text, or none.
#[must_use]
pub fn word(text: Option<&str>) -> Option<String> {
    let text = text.map(str::trim).filter(|text| !text.is_empty())?;
    Some(text.chars().filter(|c| !c.is_control()).take(WORD).collect())
}

/// A pod as an instance.
pub struct Instance<'a>(pub &'a Pod);

impl Instance<'_> {
    fn note(&self, key: &str) -> Option<&str> {
        self.0.annotations().get(key).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn time(&self, key: &str) -> Option<Timestamp> {
        self.note(key)?.parse().ok()
    }

    /// Its shard.
    #[must_use]
    pub fn shard(&self) -> Option<&str> {
        self.0.labels().get(SHARD_LABEL).map(String::as_str)
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Option<GroupKind> {
        let component = self.0.labels().get("app.kubernetes.io/component")?;
        GroupKind::ALL.into_iter().find(|kind| kind.as_str() == component)
    }

    /// What it last said of its work.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        serde_json::from_str(self.note(REPORT)?).ok()
    }

    /// What its sidecar last said.
    #[must_use]
    pub fn said(&self) -> Said {
        self.note(SIDECAR).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// It shall end: it was asked to, or told to, or its pod is being deleted.
    #[must_use]
    pub fn shall_end(&self) -> bool {
        self.note(SHUTDOWN_ASKED).is_some()
            || self.note(SHUTDOWN_SINCE).is_some()
            || self.0.metadata.deletion_timestamp.is_some()
    }

    /// When it was asked or told to end.
    #[must_use]
    pub fn end_asked(&self) -> Option<Timestamp> {
        let deleted = self.0.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        [self.time(SHUTDOWN_ASKED), self.time(SHUTDOWN_SINCE), deleted].into_iter().flatten().min()
    }

    /// It is on its way out, though some of the ways lead back.
    #[must_use]
    pub fn leaves(&self) -> bool {
        let report = self.report().unwrap_or_default();
        self.shall_end()
            || self.note(DRAIN_SINCE).is_some()
            || self.said().shutdown_status
            || report.graceful_shutdown == Some(true)
            || report.shutting_down == Some(true)
    }

    /// The date of the request to reconfigure.
    #[must_use]
    pub fn reconfigure(&self) -> Option<&str> {
        self.note(RECONFIGURE_ASKED)
    }

    /// Load does not take it away.
    #[must_use]
    pub fn protected(&self, now: Timestamp) -> bool {
        self.time(PROTECTED_UNTIL).is_some_and(|until| until > now)
    }

    /// Its process has ended for good.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// When it ended, as far as its containers say.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        let statuses = self.0.status.as_ref()?.container_statuses.as_ref()?;
        let ends = statuses.iter().filter_map(|one| one.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
        ends.map(|time| time.0).max()
    }

    /// Where its pod stands.
    #[must_use]
    pub fn phase(&self) -> &str {
        self.0.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
    }

    /// Its pod is ready.
    #[must_use]
    pub fn ready(&self) -> bool {
        let conditions = self.0.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True")
    }

    /// The address of its pod.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.0.status.as_ref()?.pod_ip.as_deref().filter(|ip| !ip.is_empty())
    }

    /// All addresses from which it may call.
    #[must_use]
    pub fn addresses(&self) -> Vec<std::net::IpAddr> {
        let Some(status) = &self.0.status else { return Vec::new() };
        let more = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
        status.pod_ip.as_deref().into_iter().chain(more).filter_map(|ip| ip.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_drain_leads_back_and_is_no_order_to_end() {
        let with = |annotations: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "a", "annotations": annotations}})).unwrap()
        };
        let at = "2026-11-21T18:00:00Z";
        let draining = with(json!({DRAIN_SINCE: at}));
        assert!(Instance(&draining).leaves() && !Instance(&draining).shall_end());
        for asked in [SHUTDOWN_ASKED, SHUTDOWN_SINCE] {
            let pod = with(json!({asked: at}));
            assert!(Instance(&pod).shall_end());
            assert_eq!(Instance(&pod).end_asked(), Some(at.parse().unwrap()));
        }
        let quiet = with(json!({SHUTDOWN_ASKED: ""}));
        assert!(!Instance(&quiet).shall_end() && !Instance(&quiet).leaves());
    }
}
