//! What must hold for objects that an apiserver would take all the same.

use serde_json::{Value, json};

/// A kind that comes with other software, without its schema.
pub(crate) fn foreign(group: &str, plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

/// What Pod Security `restricted` would object to in the pods of a workload.
pub(crate) fn restricted(object: &Value) -> Vec<String> {
    let pod = &object["spec"]["template"]["spec"];
    if pod.is_null() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let mut must = |right: bool, what: String| {
        if !right {
            wrong.push(what);
        }
    };
    let whole = &pod["securityContext"];
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        must(pod[forbidden] != json!(true), format!("{forbidden} is on"));
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        must(kinds.iter().any(|kind| !volume[kind].is_null()), format!("volume {}", volume["name"]));
    }
    for container in ["containers", "initContainers"].iter().flat_map(|list| pod[list].as_array().into_iter().flatten())
    {
        let (own, name) = (&container["securityContext"], &container["name"]);
        let either = |field: &str| if own[field].is_null() { &whole[field] } else { &own[field] };
        must(*either("runAsNonRoot") == json!(true), format!("{name} may run as root"));
        must(*either("runAsUser") != json!(0), format!("{name} runs as root"));
        must(either("seccompProfile")["type"] == "RuntimeDefault", format!("{name} has no seccomp profile"));
        must(own["allowPrivilegeEscalation"] == json!(false), format!("{name} may gain privileges"));
        must(own["capabilities"]["drop"] == json!(["ALL"]), format!("{name} keeps capabilities"));
        // Not of the standard, but promised.
        must(own["readOnlyRootFilesystem"] == json!(true), format!("{name} may write its image"));
        let host = container["ports"].as_array().into_iter().flatten().any(|port| !port["hostPort"].is_null());
        must(!host, format!("{name} takes a port of the node"));
    }
    wrong
}

/// Selectors that select nothing of the set, or everything there is.
pub(crate) fn selectors(objects: &[Value]) -> Vec<String> {
    let pods: Vec<&Value> = objects.iter().map(|object| &object["spec"]["template"]["metadata"]["labels"]).collect();
    let fits = |wanted: &Value| {
        let wanted = wanted.as_object();
        wanted.is_some_and(|wanted| {
            !wanted.is_empty()
                && pods.iter().any(|labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
        })
    };
    let selector = |object: &Value| match object["kind"].as_str() {
        Some("Service") => Some(object["spec"]["selector"].clone()),
        Some("Deployment" | "StatefulSet" | "PodDisruptionBudget" | "PodMonitor") => {
            Some(object["spec"]["selector"]["matchLabels"].clone())
        }
        _ => None,
    };
    objects
        .iter()
        .filter_map(|object| Some((object, selector(object)?)))
        .filter(|(_, wanted)| !fits(wanted))
        .map(|(object, wanted)| format!("{} {} selects {wanted}", object["kind"], object["metadata"]["name"]))
        .collect()
}
