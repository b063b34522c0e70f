//! A pod of the API as the plan sees it, and what it has to show for itself: labels and annotations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, Pod, PodCondition};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::nodes;
use crate::{
    api::{
        ATTEMPT, DRAIN_ASKED, DRAIN_REASON, DRAIN_SINCE, PROTECTED_LABEL, PROTECTED_UNTIL, QUIET_SINCE, REPORT, SERVES,
        SHUTDOWN_SINCE, STATE_LABEL, TEMPLATE_REVISION,
    },
    plan::{
        bridges::{self, Bridge, Memory, State},
        report::{REPORT_LIMIT, Report},
    },
};

/// Cluster autoscalers ask it.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// What a pod is compared with.
pub(super) struct Wanted<'a> {
    pub(super) revision: &'a str,
    pub(super) serves: &'a [String],
    /// Nothing is outdated while what is meant is held back.
    pub(super) settled: bool,
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.annotations().get(key).map(String::as_str)
}

fn time(pod: &Pod, key: &str) -> Option<Timestamp> {
    annotation(pod, key)?.parse().ok()
}

/// What the pod's annotation says that it said.
pub(super) fn report(pod: &Pod) -> Option<Report> {
    let text = annotation(pod, REPORT).filter(|text| text.len() <= REPORT_LIMIT)?;
    serde_json::from_str(text).ok()
}

/// The address of a pod whose processes run, or may still run.
pub(super) fn address(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let runs = status.phase.as_deref() == Some("Running");
    status.pod_ip.clone().filter(|ip| runs && !ip.is_empty())
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|one| one.type_ == kind)
}

fn stands(pod: &Pod, created: Timestamp) -> bridges::Pod {
    let status = pod.status.clone().unwrap_or_default();
    let since = |kind: &str| condition(pod, kind).and_then(|one| Some(one.last_transition_time.as_ref()?.0));
    match status.phase.as_deref() {
        Some("Succeeded") => bridges::Pod::Succeeded,
        Some("Failed") => bridges::Pod::Failed,
        None | Some("Pending") => {
            let stuck = condition(pod, "PodScheduled")
                .filter(|one| one.status == "False" && one.reason.as_deref() == Some("Unschedulable"));
            match stuck {
                Some(_) => bridges::Pod::Unschedulable(since("PodScheduled").unwrap_or(created)),
                None => bridges::Pod::Pending,
            }
        }
        Some(_) => {
            let then = since("Ready").unwrap_or(created);
            // Its own process, not one that a user put beside it: people may be on a bridge whose neighbour crashes.
            let waits = process(pod).is_some_and(|state| {
                let waiting = state.waiting.as_ref();
                waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
            });
            if condition(pod, "Ready").is_some_and(|one| one.status == "True") {
                bridges::Pod::Ready
            } else if waits {
                bridges::Pod::Crashing(then)
            } else {
                bridges::Pod::Starting(then)
            }
        }
    }
}

/// How the process of the instance itself is: that of the first container.
fn process(pod: &Pod) -> Option<&ContainerState> {
    let name = &pod.spec.as_ref()?.containers.first()?.name;
    let all = pod.status.as_ref()?.container_statuses.as_ref()?;
    all.iter().find(|one| one.name == *name)?.state.as_ref()
}

/// Since when that process runs.
fn started(pod: &Pod) -> Option<Timestamp> {
    Some(process(pod)?.running.as_ref()?.started_at.as_ref()?.0)
}

fn media_port(pod: &Pod) -> Option<i32> {
    let ports = pod.spec.as_ref()?.containers.first()?.ports.as_ref()?;
    ports.iter().find(|port| port.name.as_deref() == Some("media"))?.host_port
}

/// One pod, with what it answered just now.
pub(super) fn bridge(
    pod: &Pod,
    answer: Option<Report>,
    wanted: &Wanted<'_>,
    nodes: &BTreeMap<String, nodes::Sight>,
) -> Bridge {
    let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let stands = stands(pod, created);
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let sight = node.as_ref().and_then(|node| nodes.get(node)).copied().unwrap_or_default();
    let written = report(pod);
    let serves: Vec<&str> = annotation(pod, SERVES).unwrap_or_default().split(',').collect();
    let revision = annotation(pod, TEMPLATE_REVISION) == Some(wanted.revision)
        && wanted.serves.iter().all(|shard| serves.contains(&shard.as_str()));
    let known = pod.labels().get(STATE_LABEL).map(String::as_str);
    Bridge {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        created,
        attempt: annotation(pod, ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or_default(),
        started: started(pod),
        served: stands == bridges::Pod::Ready
            || answer.is_some()
            || written.is_some()
            || matches!(known, Some("active" | "draining" | "stopping")),
        pod: stands,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        current: !wanted.settled || revision,
        cordoned: sight.cordoned,
        lost: if sight.gone { Some(created) } else { sight.silent_since },
        node,
        port: media_port(pod),
        memory: Memory {
            drain_since: time(pod, DRAIN_SINCE),
            reason: annotation(pod, DRAIN_REASON).map(str::to_owned),
            quiet_since: time(pod, QUIET_SINCE),
            shutdown_since: time(pod, SHUTDOWN_SINCE),
            protected_until: time(pod, PROTECTED_UNTIL),
        },
        asked: annotation(pod, DRAIN_ASKED) == Some("true"),
        // Whichever is newer: its sidecar may reach us where we do not reach it.
        report: match (answer, written) {
            (Some(answer), Some(written)) if written.at > answer.at => Some(written),
            (Some(answer), _) => Some(answer),
            (None, written) => written,
        },
    }
}

/// The annotations for a memory; null takes one away.
pub(super) fn memory(memory: &Memory) -> Value {
    let time = |time: &Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        DRAIN_SINCE: time(&memory.drain_since),
        DRAIN_REASON: memory.reason,
        QUIET_SINCE: time(&memory.quiet_since),
        SHUTDOWN_SINCE: time(&memory.shutdown_since),
        PROTECTED_UNTIL: time(&memory.protected_until),
    })
}

/// Somebody would be cut by an eviction, or nobody knows.
pub(super) fn is_protected(bridge: &Bridge, state: State, people: Option<u64>) -> bool {
    let over = matches!(state, State::Ended | State::Lost);
    bridge.served && !over && people != Some(0)
}

/// What a pod has to show, as a merge patch of its metadata; None when it shows it already.
pub(super) fn shown(
    pod: &Pod,
    bridge: &Bridge,
    state: State,
    people: Option<u64>,
    users: &BTreeMap<String, String>,
    answer: Option<&Report>,
) -> Option<Value> {
    let protected = is_protected(bridge, state, people);
    let mut labels = Map::new();
    let mut set = |key: &str, value: Option<&str>| {
        if pod.labels().get(key).map(String::as_str) != value {
            labels.insert(key.to_owned(), json!(value));
        }
    };
    set(STATE_LABEL, Some(state.as_str()));
    set(PROTECTED_LABEL, protected.then_some("true"));
    let mut annotations = Map::new();
    let over = state == State::Ended || (state == State::Stopping && people == Some(0));
    let safe = if over { "true" } else { "false" };
    // What the user says about it counts.
    if !users.contains_key(SAFE_TO_EVICT) && annotation(pod, SAFE_TO_EVICT) != Some(safe) {
        annotations.insert(SAFE_TO_EVICT.to_owned(), json!(safe));
    }
    if let Some(answer) = answer.filter(|answer| is_news(report(pod).as_ref(), answer)) {
        let text = serde_json::to_string(answer).unwrap_or_default();
        annotations.insert(REPORT.to_owned(), json!(text));
    }
    if labels.is_empty() && annotations.is_empty() {
        return None;
    }
    Some(json!({"labels": labels, "annotations": annotations}))
}

/// How old what stands there may get while numbers change.
const NEWS: std::time::Duration = std::time::Duration::from_secs(45);

/// What matters to others has changed: a flag, the last one who left, the first who came; or any number, after a while.
fn is_news(before: Option<&Report>, now: &Report) -> bool {
    let Some(before) = before else { return true };
    let flags = |report: &Report| {
        let Report { drain, graceful_shutdown, shutting_down, healthy, version, .. } = report.clone();
        (drain, graceful_shutdown, shutting_down, healthy, version, report.endpoints.map(|number| number > 0))
    };
    let stress = |report: &Report| report.stress.unwrap_or_default();
    if flags(before) != flags(now) || (stress(before) - stress(now)).abs() >= 0.1 {
        return true;
    }
    let same = Report { at: None, ..before.clone() } == Report { at: None, ..now.clone() };
    !same && before.at.zip(now.at).is_none_or(|(before, now)| super::memory::age(now, before) >= NEWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(own: &Value, beside: &Value) -> Bridge {
        let pod = serde_json::from_value(json!({
            "metadata": { "name": "x-jvb-0", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "containers": [{ "name": "jvb" }, { "name": "agent" }] },
            "status": { "phase": "Running", "containerStatuses": [
                { "name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 9, "state": beside },
                { "name": "jvb", "image": "", "imageID": "", "ready": true, "restartCount": 1, "state": own },
            ] },
        }));
        let wanted = Wanted { revision: "r", serves: &[], settled: true };
        bridge(&pod.expect("a pod"), None, &wanted, &BTreeMap::new())
    }

    /// People are on a bridge whose neighbour in the pod crashes: it must not be taken for one without a process.
    #[test]
    fn only_its_own_process_counts() {
        let runs = json!({ "running": { "startedAt": "2026-01-01T00:05:00Z" } });
        let crashes = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        let (fine, broken) = (seen(&runs, &crashes), seen(&crashes, &runs));
        assert!(matches!(fine.pod, bridges::Pod::Starting(_)), "{:?}", fine.pod);
        assert_eq!(fine.started, "2026-01-01T00:05:00Z".parse().ok());
        assert!(matches!(broken.pod, bridges::Pod::Crashing(_)), "{:?}", broken.pod);
        assert_eq!(broken.started, None);
    }
}
