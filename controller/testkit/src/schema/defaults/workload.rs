//! Defaults of the apps group and of autoscalers.

use super::{each, existing, object, pod, put};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// A Deployment, StatefulSet, DaemonSet or ReplicaSet.
pub(super) fn workload(kind: &str, workload: &mut Fields) {
    let Some(spec) = object(workload, "spec") else { return };
    match kind {
        "Deployment" => deployment(spec),
        "StatefulSet" => stateful_set(spec),
        "DaemonSet" => daemon_set(spec),
        _ => put(spec, "replicas", 1),
    }
    pod::template(spec);
    if let Some(status) = object(workload, "status") {
        match kind {
            // These counts are no optional fields: they are there from the start.
            "StatefulSet" => {
                put(status, "replicas", 0);
                put(status, "availableReplicas", 0);
            }
            "ReplicaSet" => put(status, "replicas", 0),
            "DaemonSet" => {
                for count in ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"] {
                    put(status, count, 0);
                }
            }
            _ => {}
        }
    }
}

fn deployment(spec: &mut Fields) {
    put(spec, "replicas", 1);
    put(spec, "revisionHistoryLimit", 10);
    put(spec, "progressDeadlineSeconds", 600);
    let Some(strategy) = object(spec, "strategy") else { return };
    put(strategy, "type", "RollingUpdate");
    if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate")
        && let Some(rolling) = object(strategy, "rollingUpdate")
    {
        put(rolling, "maxUnavailable", "25%");
        put(rolling, "maxSurge", "25%");
    }
}

fn stateful_set(spec: &mut Fields) {
    put(spec, "replicas", 1);
    put(spec, "revisionHistoryLimit", 10);
    put(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = object(spec, "updateStrategy") {
        put(strategy, "type", "RollingUpdate");
        if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate")
            && let Some(rolling) = object(strategy, "rollingUpdate")
        {
            put(rolling, "partition", 0);
        }
    }
    if let Some(retention) = object(spec, "persistentVolumeClaimRetentionPolicy") {
        put(retention, "whenDeleted", "Retain");
        put(retention, "whenScaled", "Retain");
    }
    for claim in each(spec, "volumeClaimTemplates") {
        put(claim, "apiVersion", "v1");
        put(claim, "kind", "PersistentVolumeClaim");
        super::objects::claim(claim);
    }
}

fn daemon_set(spec: &mut Fields) {
    put(spec, "revisionHistoryLimit", 10);
    let Some(strategy) = object(spec, "updateStrategy") else { return };
    put(strategy, "type", "RollingUpdate");
    if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate")
        && let Some(rolling) = object(strategy, "rollingUpdate")
    {
        put(rolling, "maxUnavailable", 1);
        put(rolling, "maxSurge", 0);
    }
}

/// A HorizontalPodAutoscaler.
pub(super) fn autoscaler(autoscaler: &mut Fields) {
    let Some(spec) = object(autoscaler, "spec") else { return };
    put(spec, "minReplicas", 1);
    let cpu = json!({"type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
    put(spec, "metrics", json!([cpu]));
    let Some(behavior) = existing(spec, "behavior") else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    if let Some(up) = object(behavior, "scaleUp") {
        put(up, "stabilizationWindowSeconds", 0);
        put(up, "selectPolicy", "Max");
        put(up, "policies", json!([pods, percent]));
    }
    if let Some(down) = object(behavior, "scaleDown") {
        put(down, "selectPolicy", "Max");
        put(down, "policies", json!([percent]));
    }
}
