//! EndpointSlices of Services with a selector: addresses, and whether each is ready, serving, terminating. Left out:
//! IPv6, topology hints, and the older Endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Actor;
use super::pods::PODS;
use super::world::{
    Trouble, World, controller_reference, deleting, finished, hash, items, name, namespace, number, path_of, ready,
    selects, text,
};

pub(super) const WHO: &str = "endpointslice-controller";
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// As many endpoints as the real one puts into one slice.
const MOST: usize = 100;

pub(super) struct EndpointSlices;

impl Actor for EndpointSlices {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        for path in [SERVICES, PODS, SLICES] {
            world.watch(path);
        }
        let pods = world.list(PODS).await?;
        let slices = world.list(SLICES).await?;
        for service in world.list(SERVICES).await? {
            let selected = service["spec"]["selector"].as_object().is_some_and(|s| !s.is_empty());
            if selected && !deleting(&service) && text(&service, "/spec/type") != "ExternalName" {
                reconcile(world, &service, &pods, &slices).await?;
            }
        }
        Ok(None)
    }
}

async fn reconcile(world: &World, service: &Value, pods: &[Value], slices: &[Value]) -> Result<(), Trouble> {
    let mut wanted = desired(service, pods);
    let mine = slices.iter().filter(|slice| {
        namespace(slice) == namespace(service)
            && text(slice, "/metadata/labels/kubernetes.io~1service-name") == name(service)
            && text(slice, "/metadata/labels/endpointslice.kubernetes.io~1managed-by") == MANAGER
    });
    for slice in mine {
        let path = path_of("/apis/discovery.k8s.io/v1", "endpointslices", slice);
        match wanted.remove(name(slice)) {
            None => world.delete(&path, slice, json!({})).await?,
            Some(new) => {
                let mut next = slice.clone();
                for key in ["endpoints", "ports"] {
                    next[key] = new[key].clone();
                }
                next["metadata"]["labels"] = new["metadata"]["labels"].clone();
                if next != *slice {
                    world.replace(&path, &next).await?;
                }
            }
        }
    }
    for slice in wanted.into_values() {
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", namespace(service));
        world.create(&path, &slice).await?;
    }
    Ok(())
}

/// The slices that a Service should have, by name: one for each mapping of its ports, at most [`MOST`] endpoints each.
fn desired(service: &Value, pods: &[Value]) -> BTreeMap<String, Value> {
    let selector = json!({"matchLabels": service["spec"]["selector"]});
    let mut by_ports: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in pods {
        let taken = namespace(pod) == namespace(service) && selects(&selector, &pod["metadata"]["labels"]);
        if taken && !finished(pod) && !text(pod, "/status/podIP").is_empty() {
            let ports = ports(service, pod);
            let entry = by_ports.entry(ports.to_string()).or_insert_with(|| (ports, Vec::new()));
            entry.1.push(endpoint(service, pod));
        }
    }
    if by_ports.is_empty() {
        // A Service without pods has an empty slice.
        by_ports.insert(String::new(), (json!([]), Vec::new()));
    }
    let headless = service["spec"]["clusterIP"] == "None";
    let mut all = BTreeMap::new();
    for (index, (ports, mut endpoints)) in by_ports.into_values().enumerate() {
        endpoints.sort_by_key(|e| text(e, "/targetRef/name").to_owned());
        let pages: Vec<&[Value]> = if endpoints.is_empty() { vec![&[]] } else { endpoints.chunks(MOST).collect() };
        for (page, endpoints) in pages.into_iter().enumerate() {
            // A stable name, so that a flapping pod changes a slice instead of replacing it.
            let mark = hash(&json!([service["metadata"]["uid"], index, page]));
            let slice_name = format!("{}-{}", name(service), &mark[..5]);
            let mut labels = service["metadata"]["labels"].clone();
            labels["kubernetes.io/service-name"] = json!(name(service));
            labels["endpointslice.kubernetes.io/managed-by"] = json!(MANAGER);
            if headless {
                labels["service.kubernetes.io/headless"] = json!("");
            }
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {
                    "name": slice_name, "labels": labels,
                    "ownerReferences": [controller_reference("v1", "Service", service)],
                },
                "endpoints": endpoints, "ports": ports,
            });
            all.insert(slice_name, slice);
        }
    }
    all
}

fn endpoint(service: &Value, pod: &Value) -> Value {
    let (serving, terminating) = (ready(pod), deleting(pod));
    let published = service["spec"]["publishNotReadyAddresses"] == true;
    let mut endpoint = json!({
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": published || (serving && !terminating), "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": pod["metadata"]["uid"],
        },
    });
    if !text(pod, "/spec/nodeName").is_empty() {
        endpoint["nodeName"] = pod["spec"]["nodeName"].clone();
    }
    let subdomain = text(pod, "/spec/subdomain");
    if !subdomain.is_empty() && subdomain == name(service) && !text(pod, "/spec/hostname").is_empty() {
        endpoint["hostname"] = pod["spec"]["hostname"].clone();
    }
    endpoint
}

/// The Service's ports as one pod serves them: a named target is the container's port of that name.
fn ports(service: &Value, pod: &Value) -> Value {
    let mut all = Vec::new();
    for port in items(service, "/spec/ports") {
        let protocol = if port["protocol"].is_string() { port["protocol"].clone() } else { json!("TCP") };
        let target = match &port["targetPort"] {
            Value::Number(number) => number.as_i64(),
            Value::String(wanted) => items(pod, "/spec/containers")
                .iter()
                .flat_map(|c| items(c, "/ports"))
                .find(|p| p["name"] == *wanted && (p["protocol"] == protocol || !p["protocol"].is_string()))
                .and_then(|p| number(p, "/containerPort")),
            _ => number(port, "/port"),
        };
        if let Some(target) = target {
            let mut entry = json!({"name": text(port, "/name"), "port": target, "protocol": protocol});
            if port["appProtocol"].is_string() {
                entry["appProtocol"] = port["appProtocol"].clone();
            }
            all.push(entry);
        }
    }
    json!(all)
}
