//! Pods and pod templates.

use super::{duplicate, forbidden, invalid, join, list, one_of, port, required, unique, word};
use crate::schema::Cause;
use crate::schema::format::dns_label;
use serde_json::{Value, json};

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// What is wrong with a pod spec that stands at `path`.
pub(super) fn spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    if !spec.is_object() {
        return;
    }
    let at = |name: &str| join(path, name);
    one_of(&spec["restartPolicy"], &at("restartPolicy"), &["Always", "Never", "OnFailure"], causes);
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    one_of(&spec["dnsPolicy"], &at("dnsPolicy"), &policies, causes);
    let volumes = list(&spec["volumes"]);
    for (index, volume) in volumes.iter().enumerate() {
        name(&volume["name"], &format!("{}[{index}].name", at("volumes")), causes);
        let kinds = volume.as_object().map_or(0, |fields| fields.keys().filter(|key| *key != "name").count());
        if kinds > 1 {
            let words = "may not specify more than 1 volume type";
            causes.push(forbidden(&format!("{}[{index}]", at("volumes")), words));
        }
    }
    unique(volumes, "name", &at("volumes"), causes);
    let containers = list(&spec["containers"]);
    if containers.is_empty() && !spec["containers"].is_null() {
        causes.push(required(&at("containers"), ""));
    }
    for field in ["initContainers", "containers"] {
        for (index, item) in list(&spec[field]).iter().enumerate() {
            container(spec, item, volumes, &format!("{}[{index}]", at(field)), causes);
        }
        unique(list(&spec[field]), "name", &at(field), causes);
    }
    let both = |item: &&Value| containers.iter().any(|other| other["name"] == item["name"]);
    for item in list(&spec["initContainers"]).iter().filter(both) {
        causes.push(duplicate(&at("initContainers"), &item["name"]));
    }
}

fn name(value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if word(value).is_empty() {
        causes.push(required(path, ""));
    } else if !dns_label(word(value), 63) {
        causes.push(invalid(path, value, LABEL));
    }
}

fn container(spec: &Value, container: &Value, volumes: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let at = |name: &str| join(path, name);
    if !container["name"].is_null() {
        name(&container["name"], &at("name"), causes);
    }
    if word(&container["image"]).is_empty() {
        causes.push(required(&at("image"), ""));
    }
    one_of(&container["imagePullPolicy"], &at("imagePullPolicy"), &["Always", "IfNotPresent", "Never"], causes);
    for (index, item) in list(&container["ports"]).iter().enumerate() {
        let path = format!("{}[{index}]", at("ports"));
        port(&item["containerPort"], &join(&path, "containerPort"), causes);
        port(&item["hostPort"], &join(&path, "hostPort"), causes);
        one_of(&item["protocol"], &join(&path, "protocol"), &["SCTP", "TCP", "UDP"], causes);
        let short =
            |name: &str| name.len() <= 15 && dns_label(name, 15) && name.contains(|c: char| c.is_ascii_lowercase());
        if let Some(name) = item["name"].as_str().filter(|name| !short(name)) {
            let words = if name.len() > 15 { "must be no more than 15 characters" } else { LABEL };
            causes.push(invalid(&join(&path, "name"), &item["name"], words));
        }
        let host = &item["hostPort"];
        if spec["hostNetwork"] == true && !host.is_null() && *host != item["containerPort"] {
            causes.push(invalid(
                &join(&path, "hostPort"),
                host,
                "must match `containerPort` when `hostNetwork` is true",
            ));
        }
    }
    unique(list(&container["ports"]), "name", &at("ports"), causes);
    let mounts = list(&container["volumeMounts"]);
    for (index, mount) in mounts.iter().enumerate() {
        let path = format!("{}[{index}]", at("volumeMounts"));
        if !volumes.iter().any(|volume| volume["name"] == mount["name"]) {
            let message = format!("Not found: {}", mount["name"]);
            causes.push(Cause { field: join(&path, "name"), message, reason: "FieldValueNotFound".to_owned() });
        }
        if mounts[..index].iter().any(|other| other["mountPath"] == mount["mountPath"]) {
            causes.push(invalid(&join(&path, "mountPath"), &mount["mountPath"], "must be unique"));
        }
    }
    for (index, variable) in list(&container["env"]).iter().enumerate() {
        let path = format!("{}[{index}]", at("env"));
        let both = !word(&variable["value"]).is_empty() && !variable["valueFrom"].is_null();
        if both {
            let words = "may not be specified when `value` is not empty";
            causes.push(invalid(&join(&path, "valueFrom"), &json!(""), words));
        }
    }
    if let Some(limits) = container["resources"]["limits"].as_object() {
        for name in container["resources"]["requests"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if name.contains('/') && !limits.contains_key(name) {
                causes.push(required(
                    &format!("{}[{name}]", at("resources.limits")),
                    "Limit must be set for non overcommitable resources",
                ));
            }
        }
    }
}

/// What may not change in a pod that runs. Its node may be set once, so that a test's scheduler can bind it by an update.
pub(super) fn update(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        let Some(fields) = spec.as_object_mut() else { return spec };
        for name in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"] {
            fields.remove(name);
        }
        if word(&old["nodeName"]).is_empty() {
            fields.remove("nodeName");
        }
        for list in ["containers", "initContainers"] {
            for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                container.as_object_mut().map(|container| container.remove("image"));
            }
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let words = "pod updates may not change fields other than `spec.containers[*].image`,\
                     `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                     existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                     previously negative)";
        causes.push(forbidden("spec", words));
    }
}
