//! What Kubernetes refuses in its own kinds beyond what types say: the checks a controller is likely to run into.

mod pod;

use super::Cause;
use super::limits::{duplicate, forbidden, invalid, join, not_supported, required};
use super::meta;
use serde_json::{Value, json};

/// Required fields of the published schemas that Go's decoder fills with an empty value instead.
const FILLED_BY_GO: &[(&str, &str)] = &[
    ("ClusterRole", "rules"),
    ("EndpointSlice", "endpoints"),
    ("NetworkPolicy", "spec.podSelector"),
    ("Role", "rules"),
];

/// Whether the schema asks for a field that the API server does not miss.
pub(super) fn pardoned(kind: &str, cause: &Cause) -> bool {
    cause.reason == "FieldValueRequired"
        && (cause.field.starts_with("status") || FILLED_BY_GO.contains(&(kind, cause.field.as_str())))
}

/// All reasons to refuse `new` that its types do not show.
pub(super) fn check(kind: &str, new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    match kind {
        "Pod" => {
            pod::spec(&new["spec"], "spec", causes);
            if let Some(old) = old {
                pod::update(&new["spec"], &old["spec"], causes);
            }
        }
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => workload(kind, new, old, causes),
        "Service" => service(&new["spec"], old.map(|old| &old["spec"]), causes),
        "Secret" | "ConfigMap" => data(kind, new, old, causes),
        "PodDisruptionBudget" => {
            let spec = &new["spec"];
            if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
                causes.push(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
            }
        }
        "RoleBinding" | "ClusterRoleBinding" if old.is_some_and(|old| old["roleRef"] != new["roleRef"]) => {
            causes.push(invalid("roleRef", &new["roleRef"], "cannot change roleRef"));
        }
        "PersistentVolumeClaim" => claim(&new["spec"], old.map(|old| &old["spec"]), causes),
        "Lease" => {
            positive(&new["spec"]["leaseDurationSeconds"], "spec.leaseDurationSeconds", causes);
            not_negative(&new["spec"]["leaseTransitions"], "spec.leaseTransitions", causes);
        }
        "Ingress" => ingress(&new["spec"], causes),
        "HorizontalPodAutoscaler" => positive(&new["spec"]["maxReplicas"], "spec.maxReplicas", causes),
        _ => {}
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn positive(value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.as_i64().is_some_and(|number| number < 1) {
        causes.push(invalid(path, value, "must be greater than 0"));
    }
}

fn not_negative(value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.as_i64().is_some_and(|number| number < 0) {
        causes.push(invalid(path, value, "must be greater than or equal to 0"));
    }
}

fn port(value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.as_i64().is_some_and(|number| !(1..=65_535).contains(&number)) {
        causes.push(invalid(path, value, "must be between 1 and 65535, inclusive"));
    }
}

fn one_of(value: &Value, path: &str, allowed: &[&str], causes: &mut Vec<Cause>) {
    if value.as_str().is_some_and(|word| !allowed.contains(&word)) {
        causes.push(not_supported(path, value, allowed.iter().copied()));
    }
}

/// Items whose `key` stands twice.
fn unique(items: &[Value], key: &str, path: &str, causes: &mut Vec<Cause>) {
    for (index, item) in items.iter().enumerate() {
        if !item[key].is_null() && items[..index].iter().any(|other| other[key] == item[key]) {
            causes.push(duplicate(&format!("{path}[{index}].{key}"), &item[key]));
        }
    }
}

fn workload(kind: &str, new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    not_negative(&spec["replicas"], "spec.replicas", causes);
    not_negative(&spec["minReadySeconds"], "spec.minReadySeconds", causes);
    let selector = &spec["selector"];
    let wanted = selector["matchLabels"].as_object();
    if selector.is_object()
        && wanted.is_none_or(serde_json::Map::is_empty)
        && list(&selector["matchExpressions"]).is_empty()
    {
        let words = format!("empty selector is invalid for {}", kind.to_lowercase());
        causes.push(invalid("spec.selector", selector, words));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    meta::labels(Some(labels), "spec.template.metadata.labels", causes);
    if wanted.into_iter().flatten().any(|(name, value)| labels.get(name) != Some(value)) {
        let words = "`selector` does not match template `labels`";
        causes.push(invalid("spec.template.metadata.labels", labels, words));
    }
    let pod_spec = &spec["template"]["spec"];
    // The pods of a StatefulSet are looked at when they are made: only then do its claims stand among their volumes.
    if kind != "StatefulSet" {
        pod::spec(pod_spec, "spec.template.spec", causes);
    }
    one_of(&pod_spec["restartPolicy"], "spec.template.spec.restartPolicy", &["Always"], causes);
    if kind == "Deployment" {
        let strategy = &spec["strategy"];
        one_of(&strategy["type"], "spec.strategy.type", &["Recreate", "RollingUpdate"], causes);
        if strategy["type"] == "Recreate" && !strategy["rollingUpdate"].is_null() {
            let words = "may not be specified when strategy `type` is 'Recreate'";
            causes.push(forbidden("spec.strategy.rollingUpdate", words));
        }
    }
    let Some(old) = old.map(|old| &old["spec"]) else { return };
    if kind != "StatefulSet" {
        if old["selector"] != *selector {
            causes.push(invalid("spec.selector", selector, "field is immutable"));
        }
        return;
    }
    const MUTABLE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        for name in MUTABLE {
            spec.as_object_mut().map(|fields| fields.remove(name));
        }
        spec
    };
    if fixed(spec) != fixed(old) {
        let words = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                     'minReadySeconds' are forbidden";
        causes.push(forbidden("spec", words));
    }
}

fn service(spec: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    one_of(&spec["type"], "spec.type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], causes);
    one_of(&spec["sessionAffinity"], "spec.sessionAffinity", &["ClientIP", "None"], causes);
    let ports = list(&spec["ports"]);
    if ports.is_empty() && spec["clusterIP"] != "None" && spec["type"] != "ExternalName" {
        causes.push(required("spec.ports", ""));
    }
    for (index, item) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        if ports.len() > 1 && word(&item["name"]).is_empty() {
            causes.push(required(&join(&path, "name"), ""));
        }
        port(&item["port"], &join(&path, "port"), causes);
        port(&item["targetPort"], &join(&path, "targetPort"), causes);
        one_of(&item["protocol"], &join(&path, "protocol"), &["SCTP", "TCP", "UDP"], causes);
        let same = |other: &Value| other["port"] == item["port"] && other["protocol"] == item["protocol"];
        if ports[..index].iter().any(same) {
            causes.push(duplicate(&path, &json!({"protocol": item["protocol"], "port": item["port"]})));
        }
    }
    unique(ports, "name", "spec.ports", causes);
    if let Some(old) = old
        && spec["type"] != "ExternalName"
        && old["type"] != "ExternalName"
        && !word(&old["clusterIP"]).is_empty()
        && old["clusterIP"] != spec["clusterIP"]
    {
        causes.push(invalid("spec.clusterIPs[0]", &json!([spec["clusterIP"]]), "may not change once set"));
    }
}

fn data(kind: &str, new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    for part in ["data", "binaryData"] {
        for (key, _) in new[part].as_object().into_iter().flatten() {
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if key.len() > 253 || !key.chars().all(good) || key == "." || key == ".." {
                let words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
                             'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                causes.push(invalid(&format!("{part}[{key}]"), &Value::from(key.as_str()), words));
            }
        }
    }
    let Some(old) = old else { return };
    if kind == "Secret" && old["type"] != new["type"] {
        causes.push(invalid("type", &new["type"], "field is immutable"));
    }
    if old["immutable"] == true {
        let words = "field is immutable when `immutable` is set";
        for part in ["immutable", "data", "binaryData"] {
            if old[part] != new[part] {
                causes.push(forbidden(part, words));
            }
        }
    }
}

fn claim(spec: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    if list(&spec["accessModes"]).is_empty() {
        causes.push(required("spec.accessModes", "at least 1 access mode is required"));
    }
    if spec["resources"]["requests"]["storage"].is_null() {
        causes.push(required("spec.resources[storage]", ""));
    }
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("resources");
            fields.remove("volumeAttributesClassName");
            // Set by the binder, once.
            if old.is_some_and(|old| old["volumeName"].is_null()) {
                fields.remove("volumeName");
            }
        }
        spec
    };
    if old.is_some_and(|old| fixed(old) != fixed(spec)) {
        let words = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                     claims";
        causes.push(forbidden("spec", words));
    }
}

fn ingress(spec: &Value, causes: &mut Vec<Cause>) {
    if list(&spec["rules"]).is_empty() && spec["defaultBackend"].is_null() {
        causes.push(invalid("spec", spec, "either `defaultBackend` or `rules` must be specified"));
    }
    for (index, rule) in list(&spec["rules"]).iter().enumerate() {
        for (number, path) in list(&rule["http"]["paths"]).iter().enumerate() {
            let at = format!("spec.rules[{index}].http.paths[{number}]");
            one_of(&path["pathType"], &join(&at, "pathType"), &["Exact", "ImplementationSpecific", "Prefix"], causes);
            let exact = path["pathType"] == "Exact" || path["pathType"] == "Prefix";
            if exact && !word(&path["path"]).starts_with('/') {
                causes.push(invalid(&join(&at, "path"), &Value::from(word(&path["path"])), "must be an absolute path"));
            }
        }
    }
}
