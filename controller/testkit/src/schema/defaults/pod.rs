//! Defaults of pods and pod templates.

use super::{each, existing, object, put};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// A pod: what a template gets, and what only pods get, some of it from admission plugins that every cluster runs.
pub(super) fn pod(pod: &mut Fields) {
    let Some(spec) = object(pod, "spec") else { return };
    put(spec, "enableServiceLinks", true);
    put(spec, "serviceAccountName", "default");
    put(spec, "priority", 0);
    put(spec, "preemptionPolicy", "PreemptLowerPriority");
    tolerations(spec);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["initContainers", "containers"] {
        for container in each(spec, list) {
            requests_from_limits(container);
            if host_network {
                for port in each(container, "ports") {
                    let number = port.get("containerPort").cloned().unwrap_or_default();
                    put(port, "hostPort", number);
                }
            }
        }
    }
    pod_spec(spec);
    if let Some(status) = object(pod, "status") {
        put(status, "phase", "Pending");
    }
}

fn tolerations(spec: &mut Fields) {
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerates = |item: &Value| {
            let effect = item.get("effect").and_then(Value::as_str).unwrap_or_default();
            let named = item.get("key").and_then(Value::as_str).unwrap_or_default();
            (effect.is_empty() || effect == "NoExecute") && (named.is_empty() || named == key)
        };
        if !list.iter().any(tolerates) {
            list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

fn requests_from_limits(container: &mut Fields) {
    let Some(resources) = existing(container, "resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    if let Some(requests) = object(resources, "requests") {
        for (name, limit) in limits {
            put(requests, &name, limit);
        }
    }
}

/// A pod template of a workload.
pub(super) fn template(spec: &mut Fields) {
    let Some(template) = object(spec, "template") else { return };
    if let Some(spec) = object(template, "spec") {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Fields) {
    put(spec, "restartPolicy", "Always");
    put(spec, "dnsPolicy", "ClusterFirst");
    put(spec, "schedulerName", "default-scheduler");
    put(spec, "terminationGracePeriodSeconds", 30);
    put(spec, "securityContext", json!({}));
    // The old name of the field is served along with the new one.
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        put(spec, "serviceAccount", account);
    } else if let Some(account) = spec.get("serviceAccount").cloned() {
        put(spec, "serviceAccountName", account);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, list).for_each(container);
    }
    each(spec, "volumes").for_each(volume);
}

fn container(container: &mut Fields) {
    if let Some(image) = container.get("image").and_then(Value::as_str) {
        let policy = pull_policy(image);
        put(container, "imagePullPolicy", policy);
    }
    put(container, "terminationMessagePath", "/dev/termination-log");
    put(container, "terminationMessagePolicy", "File");
    put(container, "resources", json!({}));
    for port in each(container, "ports") {
        put(port, "protocol", "TCP");
    }
    for variable in each(container, "env") {
        if let Some(source) = existing(variable, "valueFrom").and_then(|from| existing(from, "fieldRef")) {
            put(source, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = existing(container, name) {
            put(probe, "timeoutSeconds", 1);
            put(probe, "periodSeconds", 10);
            put(probe, "successThreshold", 1);
            put(probe, "failureThreshold", 3);
            handler(probe);
        }
    }
    if let Some(lifecycle) = existing(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(hook) = existing(lifecycle, name) {
                handler(hook);
            }
        }
    }
}

fn handler(handler: &mut Fields) {
    if let Some(get) = existing(handler, "httpGet") {
        put(get, "path", "/");
        put(get, "scheme", "HTTP");
    }
    if let Some(grpc) = existing(handler, "grpc") {
        put(grpc, "service", "");
    }
}

/// `Always` for `latest` and for no tag, else `IfNotPresent`.
fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None | Some((_, "latest" | "")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn volume(volume: &mut Fields) {
    if volume.keys().all(|key| key == "name") {
        put(volume, "emptyDir", json!({}));
    }
    for kind in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = existing(volume, kind) {
            put(source, "defaultMode", 420);
            downward(source);
            for part in each(source, "sources") {
                if let Some(token) = existing(part, "serviceAccountToken") {
                    put(token, "expirationSeconds", 3600);
                }
                if let Some(inner) = existing(part, "downwardAPI") {
                    downward(inner);
                }
            }
        }
    }
    if let Some(path) = existing(volume, "hostPath") {
        put(path, "type", "");
    }
    let claim = existing(volume, "ephemeral").and_then(|ephemeral| existing(ephemeral, "volumeClaimTemplate"));
    if let Some(spec) = claim.and_then(|claim| existing(claim, "spec")) {
        put(spec, "volumeMode", "Filesystem");
    }
}

fn downward(source: &mut Fields) {
    for item in each(source, "items") {
        if let Some(field) = existing(item, "fieldRef") {
            put(field, "apiVersion", "v1");
        }
    }
}
