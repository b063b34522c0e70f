//! Deployments, ReplicaSets, StatefulSets and DaemonSets: selectors that must fit and may not change.

use serde_json::Value;

use crate::server::{failure::Cause, selector::Labels};

const STATEFUL: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(super) fn create(new: &Value) -> Vec<Cause> {
    fits(new)
}

fn fits(new: &Value) -> Vec<Cause> {
    let selector = Labels::from_object(&new["spec"]["selector"]);
    if new["spec"]["selector"].is_null() {
        return Vec::new();
    }
    if selector.is_empty() {
        return vec![Cause::invalid(
            "spec.selector",
            &new["spec"]["selector"],
            "empty selector is invalid for deployment",
        )];
    }
    if selector.matches(&new["spec"]["template"]) {
        return Vec::new();
    }
    let labels = &new["spec"]["template"]["metadata"]["labels"];
    vec![Cause::invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")]
}

pub(super) fn update(plural: &str, old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = fits(new);
    if plural == "statefulsets" {
        let fixed = |object: &Value| {
            let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
            spec.retain(|name, value| !STATEFUL.contains(&name.as_str()) && !value.is_null());
            spec
        };
        if fixed(old) != fixed(new) {
            causes.push(Cause::forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                 'minReadySeconds' are forbidden",
            ));
        }
    } else if old["spec"]["selector"] != new["spec"]["selector"] {
        causes.push(Cause::invalid("spec.selector", &new["spec"]["selector"], "field is immutable"));
    }
    causes
}
