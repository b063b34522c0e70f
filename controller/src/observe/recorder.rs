//! What a recorder's pod says of it.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::ResourceExt;

use crate::{
    api::{PROTECTED_UNTIL, REPORT, STATE_LABEL, TEMPLATE_REVISION},
    plan::{
        bridges,
        recorders::Recorder,
        report::{Busy, REPORT_LIMIT, Report},
    },
};

/// A recorder, from its pod alone. `revision` is that of the template that is meant; None: any is.
#[must_use]
pub fn recorder(pod: &Pod, revision: Option<&str>) -> Recorder {
    let made = pod.annotations().get(TEMPLATE_REVISION).map(String::as_str);
    let time = |name: &str| pod.annotations().get(name).and_then(|text| text.parse::<Timestamp>().ok());
    Recorder {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        created: pod.creation_timestamp().map(|time| time.0).unwrap_or_default(),
        pod: stage(pod),
        unready_since: unready_since(pod),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        current: revision.is_none_or(|revision| made == Some(revision)),
        label: label(pod),
        report: report(pod),
        protected_until: time(PROTECTED_UNTIL),
        ..Recorder::default()
    }
}

/// What its label says.
#[must_use]
pub fn label(pod: &Pod) -> Option<Busy> {
    match pod.labels().get(STATE_LABEL)?.as_str() {
        "idle" => Some(Busy::Idle),
        "busy" => Some(Busy::Busy),
        "expired" => Some(Busy::Expired),
        _ => None,
    }
}

/// What its annotation says that it last said.
#[must_use]
pub fn report(pod: &Pod) -> Option<Report> {
    let text = pod.annotations().get(REPORT).filter(|text| text.len() <= REPORT_LIMIT)?;
    serde_json::from_str(text).ok()
}

/// All addresses of a pod that runs, or may still run.
#[must_use]
pub fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return Vec::new();
    }
    let more = status.pod_ips.iter().flatten().map(|ip| &ip.ip);
    let all = status.pod_ip.iter().chain(more).filter_map(|text| text.parse::<IpAddr>().ok());
    all.map(|ip| ip.to_canonical()).collect()
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|one| one.type_ == kind)
}

fn since(condition: &PodCondition) -> Timestamp {
    condition.last_transition_time.as_ref().map(|time| time.0).unwrap_or_default()
}

fn stage(pod: &Pod) -> bridges::Pod {
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Succeeded") => bridges::Pod::Succeeded,
        Some("Failed") => bridges::Pod::Failed,
        _ if unready_since(pod).is_none() => bridges::Pod::Ready,
        Some("Running") => bridges::Pod::Starting(unready_since(pod).unwrap_or_default()),
        _ => match condition(pod, "PodScheduled") {
            Some(scheduled) if scheduled.status == "True" => bridges::Pod::Starting(since(scheduled)),
            Some(scheduled) if scheduled.reason.as_deref() == Some("Unschedulable") => {
                bridges::Pod::Unschedulable(since(scheduled))
            }
            _ => bridges::Pod::Pending,
        },
    }
}

/// Since when its containers have not been ready. Not the pod's own readiness: that is taken from it when its node is silent,
/// and then says nothing about the recorder. Its containers' is the last word of its kubelet.
fn unready_since(pod: &Pod) -> Option<Timestamp> {
    match condition(pod, "ContainersReady") {
        Some(ready) if ready.status == "True" => None,
        Some(unready) => Some(since(unready)),
        None => Some(pod.creation_timestamp().map(|time| time.0).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "a test's helper takes what json! makes")]
    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "x-0-jibri-0", "uid": "u", "creationTimestamp": "2026-11-21T10:00:00Z",
                "labels": {"apps.jit.si/state": "busy"},
                "annotations": {"apps.jit.si/template-revision": "abc", "apps.jit.si/protected-until": "2026-11-21T11:00:00Z",
                    "apps.jit.si/report": "{\"at\":\"2026-11-21T10:30:00Z\",\"busy\":\"BUSY\",\"healthy\":true}"}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_read() {
        let ready = |status: &str| {
            json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-21T10:20:00Z"},
                {"type": "ContainersReady", "status": status, "lastTransitionTime": "2026-11-21T10:10:00Z"}])
        };
        let one = recorder(&pod(json!({"phase": "Running", "conditions": ready("True")})), Some("abc"));
        assert_eq!((one.pod, one.unready_since, one.current), (bridges::Pod::Ready, None, true));
        assert_eq!((one.label, one.report.and_then(|report| report.busy)), (Some(Busy::Busy), Some(Busy::Busy)));
        assert_eq!(one.protected_until, Some("2026-11-21T11:00:00Z".parse().unwrap()));
        let one = recorder(&pod(json!({"phase": "Running", "conditions": ready("False")})), Some("other"));
        assert_eq!((one.pod, one.current), (bridges::Pod::Starting("2026-11-21T10:10:00Z".parse().unwrap()), false));
        assert_eq!(one.unready_since, Some("2026-11-21T10:10:00Z".parse().unwrap()));
        let nowhere = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "lastTransitionTime": "2026-11-21T10:01:00Z"}]});
        assert_eq!(
            recorder(&pod(nowhere), None).pod,
            bridges::Pod::Unschedulable("2026-11-21T10:01:00Z".parse().unwrap())
        );
        assert_eq!(recorder(&pod(json!({"phase": "Failed"})), None).pod, bridges::Pod::Failed);
    }

    #[test]
    fn every_address_counts_and_none_of_one_that_has_ended() {
        let of = |phase: &str| {
            addresses(&pod(
                json!({"phase": phase, "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}),
            ))
        };
        assert_eq!(of("Running").len(), 3);
        assert!(of("Running").contains(&"fd00::1".parse().unwrap()));
        assert!(of("Succeeded").is_empty());
    }
}
