//! Pods: what admission adds, and the few fields of a pod's spec that may change.

use serde_json::{Value, json};

use crate::server::failure::Cause;

const MAY_CHANGE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
    additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
    previously negative)";

/// The ServiceAccount, Priority and DefaultTolerationSeconds admission plugins, and the first status.
pub(super) fn create(pod: &mut Value) -> Vec<Cause> {
    let spec = &mut pod["spec"];
    if spec["serviceAccountName"].as_str().is_none_or(str::is_empty) {
        spec["serviceAccountName"] = "default".into();
    }
    spec["serviceAccount"] = spec["serviceAccountName"].clone();
    if spec["priority"].is_null() {
        spec["priority"] = 0.into();
    }
    if spec["preemptionPolicy"].is_null() {
        spec["preemptionPolicy"] = "PreemptLowerPriority".into();
    }
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated =
            |t: &Value| (t["key"] == key || t["key"].is_null()) && t["effect"].as_str() != Some("NoSchedule");
        if !tolerations.iter().any(tolerated) {
            tolerations
                .push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
        }
    }
    spec["tolerations"] = tolerations.into();
    pod["status"] = json!({ "phase": "Pending", "qosClass": quality(&pod["spec"]) });
    Vec::new()
}

/// The pod's quality of service class.
fn quality(spec: &Value) -> &'static str {
    let all = || ["containers", "initContainers"].into_iter().flat_map(|f| spec[f].as_array().into_iter().flatten());
    let some = |c: &Value, f: &str| c["resources"][f].as_object().is_some_and(|m| !m.is_empty());
    if !all().any(|c| some(c, "requests") || some(c, "limits")) {
        return "BestEffort";
    }
    let guaranteed = all().all(|c| {
        let (limits, requests) = (&c["resources"]["limits"], &c["resources"]["requests"]);
        ["cpu", "memory"].iter().all(|r| {
            let limit = &limits[*r];
            !limit.is_null() && (requests[*r].is_null() || requests[*r] == *limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// Everything but images, deadlines and added tolerations is fixed once a pod exists.
pub(super) fn update(old: &Value, new: &mut Value) -> Vec<Cause> {
    let (before, after) = (&old["spec"], &new["spec"]);
    let mut causes = Vec::new();
    let gates = |spec: &Value| spec["schedulingGates"].as_array().cloned().unwrap_or_default();
    let (had, has) = (gates(before), gates(after));
    if has.iter().any(|g| !had.contains(g)) {
        causes
            .push(Cause::forbidden("spec.schedulingGates", "only deletion is allowed, but found new scheduling gate"));
    }
    let kept = before["tolerations"].as_array().cloned().unwrap_or_default();
    let now = after["tolerations"].as_array().cloned().unwrap_or_default();
    let lost = kept.iter().any(|t| !now.contains(t));
    if lost || fixed(before) != fixed(after) {
        causes.push(Cause::forbidden("spec", MAY_CHANGE));
    }
    causes
}

/// A spec without the fields that may change.
fn fixed(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            container["image"] = Value::Null;
        }
    }
    let grace = spec["terminationGracePeriodSeconds"].as_i64();
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|name, value| {
            let free = matches!(name.as_str(), "activeDeadlineSeconds" | "tolerations" | "schedulingGates");
            !free && !value.is_null()
        });
        if grace.is_some_and(|g| g < 0) {
            fields.insert("terminationGracePeriodSeconds".to_owned(), 1.into());
        }
    }
    spec
}
