//! The columns of built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Head, since};
use crate::server::{resource::Resource, selector::selector_text};

const AGE: Head = ("Age", "string", false);
const CREATED: Head = ("Created At", "date", false);

pub(super) fn heads(resource: &Resource) -> Vec<Head> {
    let text = |name| (name, "string", false);
    let number = |name| (name, "integer", false);
    let wide = |name| (name, "string", true);
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => vec![
            text("Ready"),
            text("Status"),
            text("Restarts"),
            AGE,
            wide("IP"),
            wide("Node"),
            wide("Nominated Node"),
            wide("Readiness Gates"),
        ],
        ("", "services") => {
            vec![text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), AGE, wide("Selector")]
        }
        ("", "configmaps") => vec![number("Data"), AGE],
        ("", "secrets") => vec![text("Type"), number("Data"), AGE],
        ("", "namespaces") => vec![text("Status"), AGE],
        ("", "nodes") => vec![text("Status"), text("Roles"), AGE, text("Version")],
        ("", "serviceaccounts") => vec![number("Secrets"), AGE],
        ("", "endpoints") => vec![text("Endpoints"), AGE],
        (_, "events") => vec![text("Last Seen"), text("Type"), text("Reason"), text("Object"), text("Message")],
        ("", "persistentvolumeclaims") => vec![text("Status"), text("Volume"), text("Capacity"), AGE],
        ("apps", "deployments") => vec![
            text("Ready"),
            number("Up-to-date"),
            number("Available"),
            AGE,
            wide("Containers"),
            wide("Images"),
            wide("Selector"),
        ],
        ("apps", "statefulsets") => vec![text("Ready"), AGE, wide("Containers"), wide("Images")],
        ("apps", "replicasets") => vec![number("Desired"), number("Current"), number("Ready"), AGE],
        ("apps", "daemonsets") => vec![
            number("Desired"),
            number("Current"),
            number("Ready"),
            number("Up-to-date"),
            number("Available"),
            text("Node Selector"),
            AGE,
        ],
        ("policy", _) => vec![text("Min Available"), text("Max Unavailable"), number("Allowed Disruptions"), AGE],
        ("coordination.k8s.io", _) => vec![text("Holder"), AGE],
        ("networking.k8s.io", "ingresses") => vec![text("Class"), text("Hosts"), text("Address"), text("Ports"), AGE],
        ("networking.k8s.io", "networkpolicies") => vec![text("Pod-Selector"), AGE],
        ("discovery.k8s.io", _) => vec![text("AddressType"), text("Ports"), text("Endpoints"), AGE],
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => vec![text("Role"), AGE],
        ("rbac.authorization.k8s.io" | "apiextensions.k8s.io", _) => vec![CREATED],
        _ => vec![AGE],
    }
}

fn count(value: &Value) -> usize {
    value.as_object().map_or_else(|| value.as_array().map_or(0, Vec::len), serde_json::Map::len)
}

/// The texts at a path in each item of a list, joined as kubectl joins them.
fn join(list: &Value, none: &str, text: impl Fn(&Value) -> String) -> String {
    let all: Vec<String> = list.as_array().into_iter().flatten().map(text).filter(|t| !t.is_empty()).collect();
    if all.is_empty() { none.to_owned() } else { all.join(",") }
}

fn string(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn or_none(value: &Value) -> String {
    let text = string(value);
    if text.is_empty() { "<none>".to_owned() } else { text }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

pub(super) fn cells(resource: &Resource, o: &Value, now: Timestamp) -> Vec<Value> {
    let age = since(&o["metadata"]["creationTimestamp"], now);
    let (spec, status) = (&o["spec"], &o["status"]);
    let data = || count(&o["data"]) + count(&o["binaryData"]);
    let template = &spec["template"]["spec"]["containers"];
    let containers = || join(template, "<none>", |c| string(&c["name"]));
    let images = || join(template, "<none>", |c| string(&c["image"]));
    let cells = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => return pod(o, &age),
        ("", "services") => json!([
            spec["type"],
            or_none(&spec["clusterIP"]),
            external(o),
            ports(&spec["ports"]),
            age,
            labels(&spec["selector"]),
        ]),
        ("", "configmaps") => json!([data(), age]),
        ("", "secrets") => json!([o["type"], data(), age]),
        ("", "namespaces") => json!([status["phase"], age]),
        ("", "nodes") => json!([node(o), "<none>", age, string(&status["nodeInfo"]["kubeletVersion"])]),
        ("", "serviceaccounts") => json!([count(&o["secrets"]), age]),
        ("", "endpoints") => {
            json!([join(&o["subsets"], "<none>", |s| join(&s["addresses"], "", |a| string(&a["ip"]))), age,])
        }
        (_, "events") => return event(o, now),
        ("", "persistentvolumeclaims") => {
            json!([status["phase"], string(&spec["volumeName"]), string(&status["capacity"]["storage"]), age])
        }
        ("apps", "deployments") => json!([
            format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"])),
            number(&status["updatedReplicas"]),
            number(&status["availableReplicas"]),
            age,
            containers(),
            images(),
            selector_text(&spec["selector"]),
        ]),
        ("apps", "statefulsets") => json!([
            format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"])),
            age,
            containers(),
            images(),
        ]),
        ("apps", "replicasets") => {
            json!([number(&spec["replicas"]), number(&status["replicas"]), number(&status["readyReplicas"]), age,])
        }
        ("apps", "daemonsets") => json!([
            number(&status["desiredNumberScheduled"]),
            number(&status["currentNumberScheduled"]),
            number(&status["numberReady"]),
            number(&status["updatedNumberScheduled"]),
            number(&status["numberAvailable"]),
            labels(&spec["template"]["spec"]["nodeSelector"]),
            age,
        ]),
        ("policy", _) => {
            let or_na = |v: &Value| if v.is_null() { "N/A".to_owned() } else { string(v) };
            let allowed = number(&status["disruptionsAllowed"]);
            json!([or_na(&spec["minAvailable"]), or_na(&spec["maxUnavailable"]), allowed, age])
        }
        ("coordination.k8s.io", _) => json!([string(&spec["holderIdentity"]), age]),
        ("networking.k8s.io", "ingresses") => json!([
            or_none(&spec["ingressClassName"]),
            join(&spec["rules"], "*", |r| string(&r["host"])),
            join(&status["loadBalancer"]["ingress"], "", |i| string(&i["ip"])),
            if count(&spec["tls"]) > 0 { "80, 443" } else { "80" },
            age,
        ]),
        ("networking.k8s.io", "networkpolicies") => {
            let selector = selector_text(&spec["podSelector"]);
            json!([if selector.is_empty() { "<none>".to_owned() } else { selector }, age])
        }
        ("discovery.k8s.io", _) => json!([
            o["addressType"],
            join(&o["ports"], "<unset>", |p| string(&p["port"])),
            join(&o["endpoints"], "<unset>", |e| join(&e["addresses"], "", string)),
            age,
        ]),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            json!([format!("{}/{}", string(&o["roleRef"]["kind"]), string(&o["roleRef"]["name"])), age])
        }
        ("rbac.authorization.k8s.io" | "apiextensions.k8s.io", _) => json!([o["metadata"]["creationTimestamp"]]),
        _ => json!([age]),
    };
    cells.as_array().cloned().unwrap_or_default()
}

fn labels(map: &Value) -> String {
    let text = selector_text(&json!({ "matchLabels": map }));
    if text.is_empty() { "<none>".to_owned() } else { text }
}

fn ports(ports: &Value) -> String {
    join(ports, "<none>", |p| {
        let protocol = or_none(&p["protocol"]);
        match p["nodePort"].as_i64() {
            Some(node) if node > 0 => format!("{}:{node}/{protocol}", number(&p["port"])),
            _ => format!("{}/{protocol}", number(&p["port"])),
        }
    })
}

fn external(service: &Value) -> String {
    let given = join(&service["spec"]["externalIPs"], "", string);
    let none = if service["spec"]["type"] == "LoadBalancer" { "<pending>" } else { "<none>" };
    match service["spec"]["type"].as_str() {
        Some("ExternalName") => string(&service["spec"]["externalName"]),
        Some("LoadBalancer") => join(&service["status"]["loadBalancer"]["ingress"], none, |i| {
            if i["ip"].is_null() { string(&i["hostname"]) } else { string(&i["ip"]) }
        }),
        _ if given.is_empty() => none.to_owned(),
        _ => given,
    }
}

fn node(node: &Value) -> String {
    let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready = match conditions.find(|c| c["type"] == "Ready").map(|c| c["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    };
    let cordoned = if node["spec"]["unschedulable"] == true { ",SchedulingDisabled" } else { "" };
    format!("{ready}{cordoned}")
}

fn pod(pod: &Value, age: &str) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let containers = status["containerStatuses"].as_array().cloned().unwrap_or_default();
    let ready = containers.iter().filter(|c| c["ready"] == true).count();
    let restarts: i64 = containers.iter().map(|c| number(&c["restartCount"])).sum();
    let waiting = containers.iter().find_map(|c| c["state"]["waiting"]["reason"].as_str());
    let reason = status["reason"].as_str();
    let mut state = reason.or(waiting).or(status["phase"].as_str()).unwrap_or("Unknown");
    if state == "Succeeded" {
        state = "Completed";
    } else if state == "Failed" {
        state = "Error";
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        state = "Terminating";
    }
    let ready = format!("{ready}/{}", count(&spec["containers"]));
    vec![
        ready.into(),
        state.into(),
        restarts.to_string().into(),
        age.into(),
        or_none(&status["podIP"]).into(),
        or_none(&spec["nodeName"]).into(),
        or_none(&status["nominatedNodeName"]).into(),
        "<none>".into(),
    ]
}

fn event(o: &Value, now: Timestamp) -> Vec<Value> {
    let pick = |names: &[&str]| names.iter().map(|n| &o[*n]).find(|v| !v.is_null()).cloned().unwrap_or_default();
    let series = o["series"]["lastObservedTime"].clone();
    let last = if series.is_null() {
        pick(&["lastTimestamp", "deprecatedLastTimestamp", "eventTime", "firstTimestamp"])
    } else {
        series
    };
    let about = pick(&["involvedObject", "regarding"]);
    let object = format!("{}/{}", string(&about["kind"]).to_lowercase(), string(&about["name"]));
    let message = string(&pick(&["message", "note"])).trim().to_owned();
    vec![since(&last, now).into(), o["type"].clone(), o["reason"].clone(), object.into(), message.into()]
}
