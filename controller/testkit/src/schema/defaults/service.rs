//! Defaults of Services and endpoints. Addresses and node ports are allocated by the server, not here.

use super::{each, object, put};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

pub(super) fn service(service: &mut Fields) {
    let Some(spec) = object(service, "spec") else { return };
    put(spec, "type", "ClusterIP");
    put(spec, "sessionAffinity", "None");
    if spec.get("sessionAffinity").and_then(Value::as_str) == Some("ClientIP")
        && let Some(client) = object(spec, "sessionAffinityConfig").and_then(|config| object(config, "clientIP"))
    {
        put(client, "timeoutSeconds", 10_800);
    }
    for port in each(spec, "ports") {
        put(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        let missing = match port.get("targetPort") {
            None => true,
            Some(target) => *target == json!(0) || *target == json!(""),
        };
        if missing {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        put(spec, "internalTrafficPolicy", "Cluster");
        put(spec, "ipFamilyPolicy", "SingleStack");
        put(spec, "ipFamilies", json!(["IPv4"]));
        if let Some(address) = spec.get("clusterIP").cloned() {
            put(spec, "clusterIPs", json!([address]));
        }
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        put(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        put(spec, "allocateLoadBalancerNodePorts", true);
    }
    if let Some(status) = object(service, "status") {
        put(status, "loadBalancer", json!({}));
    }
}

pub(super) fn endpoints(endpoints: &mut Fields) {
    for subset in each(endpoints, "subsets") {
        for port in each(subset, "ports") {
            put(port, "protocol", "TCP");
        }
    }
}

pub(super) fn endpoint_slice(slice: &mut Fields) {
    for port in each(slice, "ports") {
        put(port, "name", "");
        put(port, "protocol", "TCP");
    }
}
