//! A pod's status as the kubelet writes it.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::actors::world::{condition, items, set_condition, text};

/// What the containers do.
#[derive(Clone, Copy)]
pub(super) enum State {
    Waiting(&'static str),
    Running(Timestamp),
    Ended(i32, Timestamp),
}

/// What there is to say about a pod.
pub(super) struct Report<'a> {
    pub(super) state: State,
    pub(super) ready: bool,
    pub(super) restarts: u32,
    pub(super) last_exit: Option<(i32, Timestamp)>,
    pub(super) address: &'a str,
    pub(super) host: &'a str,
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn ended(code: i32, at: Timestamp) -> Value {
    let reason = if code == 0 { "Completed" } else { "Error" };
    json!({"terminated": {"exitCode": code, "reason": reason, "finishedAt": stamp(at)}})
}

/// The status that follows from the old one and the report.
pub(super) fn of(pod: &Value, report: &Report<'_>, now: &Value) -> Value {
    let mut status = pod["status"].clone();
    if !status["startTime"].is_string() {
        status["startTime"] = now.clone();
    }
    status["hostIP"] = json!(report.host);
    status["hostIPs"] = json!([{"ip": report.host}]);
    if !matches!(report.state, State::Waiting("ContainerCreating" | "ImagePullBackOff")) {
        status["podIP"] = json!(report.address);
        status["podIPs"] = json!([{"ip": report.address}]);
    }
    status["phase"] = json!(match report.state {
        // A pod that has run once stays Running between its runs.
        State::Waiting("CrashLoopBackOff") | State::Running(_) => "Running",
        State::Waiting(_) => "Pending",
        State::Ended(0, _) => "Succeeded",
        State::Ended(..) => "Failed",
    });
    status["containerStatuses"] = json!(containers(pod, report));
    let inits = items(pod, "/spec/initContainers");
    if !inits.is_empty() {
        // They are over at once.
        let over = inits.iter().map(|init| {
            json!({
                "name": init["name"], "image": init["image"], "imageID": "", "ready": true, "started": false,
                "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
            })
        });
        status["initContainerStatuses"] = json!(over.collect::<Vec<_>>());
    }
    status["conditions"] = json!(conditions(pod, report, now));
    status
}

fn containers(pod: &Value, report: &Report<'_>) -> Vec<Value> {
    let running = matches!(report.state, State::Running(_));
    let state = match report.state {
        State::Waiting(reason) => json!({"waiting": {"reason": reason}}),
        State::Running(since) => json!({"running": {"startedAt": stamp(since)}}),
        State::Ended(code, at) => ended(code, at),
    };
    let last = match (report.state, report.last_exit) {
        (State::Running(_) | State::Waiting(_), Some((code, at))) => ended(code, at),
        _ => json!({}),
    };
    let one = |container: &Value| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "",
            "ready": report.ready, "started": running, "restartCount": report.restarts,
            "state": state, "lastState": last,
        })
    };
    items(pod, "/spec/containers").iter().map(one).collect()
}

fn conditions(pod: &Value, report: &Report<'_>, now: &Value) -> Vec<Value> {
    let mut conditions = items(pod, "/status/conditions").to_vec();
    let why = match (report.ready, report.state) {
        (true, _) => "",
        (false, State::Ended(0, _)) => "PodCompleted",
        (false, State::Ended(..)) => "PodFailed",
        (false, _) => "ContainersNotReady",
    };
    let initialised = if matches!(report.state, State::Ended(0, _)) { "PodCompleted" } else { "" };
    // A pod with gates is ready only when others say so too.
    let open = items(pod, "/spec/readinessGates")
        .iter()
        .all(|gate| condition(pod, text(gate, "/conditionType")).is_some_and(|c| c["status"] == "True"));
    let gated = if report.ready && !open { "ReadinessGatesNotReady" } else { why };
    set_condition(&mut conditions, now, "PodScheduled", true, "", "");
    set_condition(&mut conditions, now, "Initialized", true, initialised, "");
    set_condition(&mut conditions, now, "ContainersReady", report.ready, why, "");
    set_condition(&mut conditions, now, "Ready", report.ready && open, gated, "");
    conditions
}
