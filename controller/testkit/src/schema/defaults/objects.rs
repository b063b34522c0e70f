//! Defaults of the smaller kinds.

use super::{each, existing, object, put};
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// `type` and the write-only `stringData`, folded into `data`.
pub(super) fn secret(secret: &mut Fields) {
    put(secret, "type", "Opaque");
    if let Some(Value::Object(plain)) = secret.remove("stringData")
        && let Some(data) = object(secret, "data")
    {
        for (name, text) in plain {
            let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
            data.insert(name, serde_json::to_value(bytes).unwrap_or_default());
        }
    }
}

pub(super) fn claim(claim: &mut Fields) {
    if let Some(spec) = object(claim, "spec") {
        put(spec, "volumeMode", "Filesystem");
    }
    if let Some(status) = object(claim, "status") {
        put(status, "phase", "Pending");
    }
}

pub(super) fn namespace(namespace: &mut Fields) {
    let name = namespace.get("metadata").and_then(|metadata| metadata.get("name")).cloned();
    if let (Some(name), Some(labels)) =
        (name, existing(namespace, "metadata").and_then(|metadata| object(metadata, "labels")))
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
    if let Some(spec) = object(namespace, "spec") {
        put(spec, "finalizers", json!(["kubernetes"]));
    }
    if let Some(status) = object(namespace, "status") {
        put(status, "phase", "Active");
    }
}

pub(super) fn network_policy(policy: &mut Fields) {
    let Some(spec) = object(policy, "spec") else { return };
    let has_egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    let types = if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    put(spec, "policyTypes", types);
    for direction in ["ingress", "egress"] {
        for rule in each(spec, direction) {
            for port in each(rule, "ports") {
                put(port, "protocol", "TCP");
            }
        }
    }
}

pub(super) fn ingress(ingress: &mut Fields) {
    if let Some(status) = object(ingress, "status") {
        put(status, "loadBalancer", json!({}));
    }
}

pub(super) fn rbac(kind: &str, object: &mut Fields) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if !kind.ends_with("Binding") {
        return;
    }
    if let Some(role) = existing(object, "roleRef")
        && role.get("apiGroup").and_then(Value::as_str).unwrap_or_default().is_empty()
    {
        role.insert("apiGroup".to_owned(), json!(GROUP));
    }
    for subject in each(object, "subjects") {
        if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
            put(subject, "apiGroup", GROUP);
        }
    }
}

pub(super) fn crd(crd: &mut Fields) {
    let Some(spec) = existing(crd, "spec") else { return };
    if let Some(conversion) = object(spec, "conversion") {
        put(conversion, "strategy", "None");
    }
    if let Some(names) = existing(spec, "names") {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        put(names, "singular", kind.to_lowercase());
        put(names, "listKind", format!("{kind}List"));
    }
}
