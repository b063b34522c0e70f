//! The scheduler: the emptiest node where a pod fits. It looks at cordons, taints, node selectors and affinity, host
//! ports, CPU, memory, the number of pods, and required anti-affinity. Left out: preferences, preemption, volumes,
//! topology spread.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Actor;
use super::pods::PODS;
use super::world::{
    Trouble, World, condition, deleting, finished, items, name, namespace, number, path_of, selects, set_condition, text,
};

pub(super) const WHO: &str = "kube-scheduler";
const NODES: &str = "/api/v1/nodes";

pub(super) struct Scheduler;

impl Actor for Scheduler {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        world.watch(PODS);
        world.watch(NODES);
        let nodes = world.list(NODES).await?;
        let mut pods = world.list(PODS).await?;
        pods.retain(|pod| !finished(pod));
        let waits = |pod: &Value| {
            text(pod, "/spec/nodeName").is_empty()
                && text(pod, "/spec/schedulerName") == "default-scheduler"
                && items(pod, "/spec/schedulingGates").is_empty()
                && !deleting(pod)
        };
        for index in 0..pods.len() {
            if !waits(&pods[index]) {
                continue;
            }
            match place(&pods[index], &nodes, &pods) {
                Ok(node) => {
                    let target = json!({"apiVersion": "v1", "kind": "Node", "name": node});
                    let meta = json!({"name": name(&pods[index]), "uid": pods[index]["metadata"]["uid"]});
                    let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target});
                    let path = path_of("/api/v1", "pods", &pods[index]);
                    world.create(&format!("{path}/binding"), &body).await?;
                    pods[index]["spec"]["nodeName"] = json!(node);
                }
                Err(why) => refuse(world, &pods[index], &why).await?,
            }
        }
        Ok(None)
    }
}

async fn refuse(world: &World, pod: &Value, why: &str) -> Result<(), Trouble> {
    if condition(pod, "PodScheduled").is_some_and(|c| c["message"] == why) {
        return Ok(());
    }
    let mut status = pod["status"].clone();
    let mut conditions = items(pod, "/status/conditions").to_vec();
    set_condition(&mut conditions, &world.stamp(), "PodScheduled", false, "Unschedulable", why);
    status["conditions"] = json!(conditions);
    world.set_status(&path_of("/api/v1", "pods", pod), pod, status).await
}

/// The node for a pod, or why there is none, in the words of the real scheduler.
fn place(pod: &Value, nodes: &[Value], pods: &[Value]) -> Result<String, String> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut best: Option<(usize, &str)> = None;
    for node in nodes {
        let here: Vec<&Value> = pods.iter().filter(|p| text(p, "/spec/nodeName") == name(node)).collect();
        match obstacle(pod, node, &here, nodes, pods) {
            Some(reason) => *reasons.entry(reason).or_default() += 1,
            None if best.is_none_or(|(fewest, _)| here.len() < fewest) => best = Some((here.len(), name(node))),
            None => {}
        }
    }
    if let Some((_, node)) = best {
        return Ok(node.to_owned());
    }
    let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    Err(format!("0/{} nodes are available: {}.", nodes.len(), reasons.join(", ")))
}

fn obstacle(pod: &Value, node: &Value, here: &[&Value], nodes: &[Value], pods: &[Value]) -> Option<String> {
    if node["spec"]["unschedulable"] == true && !tolerates(pod, node) {
        return Some("node(s) were unschedulable".to_owned());
    }
    if !tolerates(pod, node) {
        return Some("node(s) had untolerated taint(s)".to_owned());
    }
    if !admits(pod, node) {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    let mine = host_ports(pod);
    if here.iter().any(|p| host_ports(p).iter().any(|theirs| mine.iter().any(|ours| clash(ours, theirs)))) {
        return Some("node(s) didn't have free ports for the requested pod ports".to_owned());
    }
    if number_of(&node["status"]["allocatable"]["pods"]).is_some_and(|most| here.len() as f64 >= most) {
        return Some("Too many pods".to_owned());
    }
    for resource in ["cpu", "memory"] {
        let room = number_of(&node["status"]["allocatable"][resource]).unwrap_or(f64::INFINITY);
        let taken: f64 = here.iter().map(|p| request(p, resource)).sum();
        let wish = request(pod, resource);
        if wish > 0.0 && taken + wish > room {
            return Some(format!("Insufficient {resource}"));
        }
    }
    if repelled(pod, node, nodes, pods) || pods.iter().any(|other| is_placed(other) && repels(other, pod, node, nodes)) {
        return Some("node(s) didn't match pod anti-affinity rules".to_owned());
    }
    None
}

fn is_placed(pod: &Value) -> bool {
    !text(pod, "/spec/nodeName").is_empty()
}

const ANTI: &str = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";

/// Whether one of the pod's own terms keeps it off this node.
fn repelled(pod: &Value, node: &Value, nodes: &[Value], pods: &[Value]) -> bool {
    items(pod, ANTI).iter().any(|term| {
        pods.iter().any(|other| is_placed(other) && meant(term, pod, other) && together(term, other, node, nodes))
    })
}

/// Whether a placed pod's terms keep this one off the node.
fn repels(placed: &Value, pod: &Value, node: &Value, nodes: &[Value]) -> bool {
    items(placed, ANTI).iter().any(|term| meant(term, placed, pod) && together(term, placed, node, nodes))
}

/// Whether a term of `of` means `other`: by labels, in its own namespace unless it names some.
fn meant(term: &Value, of: &Value, other: &Value) -> bool {
    let named = items(term, "/namespaces");
    let near = if named.is_empty() { namespace(of) == namespace(other) } else { named.iter().any(|n| n == namespace(other)) };
    near && selects(&term["labelSelector"], &other["metadata"]["labels"])
}

fn together(term: &Value, placed: &Value, node: &Value, nodes: &[Value]) -> bool {
    let key = text(term, "/topologyKey");
    let home = nodes.iter().find(|n| name(n) == text(placed, "/spec/nodeName"));
    home.is_some_and(|home| {
        let here = &node["metadata"]["labels"][key];
        here.is_string() && *here == home["metadata"]["labels"][key]
    })
}

/// Whether a node's taints and cordon let a pod in.
pub(super) fn tolerates(pod: &Value, node: &Value) -> bool {
    let tolerations = items(pod, "/spec/tolerations");
    let tolerated = |key: &str, value: &str, effect: &str| {
        tolerations.iter().any(|t| {
            let any_key = text(t, "/key").is_empty();
            let same_value = text(t, "/operator") == "Exists" || (!any_key && text(t, "/value") == value);
            (any_key || text(t, "/key") == key) && same_value && matches!(text(t, "/effect"), e if e.is_empty() || e == effect)
        })
    };
    let cordoned = node["spec"]["unschedulable"] == true;
    (!cordoned || tolerated("node.kubernetes.io/unschedulable", "", "NoSchedule"))
        && items(node, "/spec/taints").iter().all(|taint| {
            let effect = text(taint, "/effect");
            effect == "PreferNoSchedule" || tolerated(text(taint, "/key"), text(taint, "/value"), effect)
        })
}

/// Whether a pod's node selector and required node affinity take a node.
pub(super) fn admits(pod: &Value, node: &Value) -> bool {
    const TERMS: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let labels = &node["metadata"]["labels"];
    let fields = json!({"metadata.name": name(node)});
    let plain = json!({"matchLabels": pod["spec"]["nodeSelector"]});
    let terms = items(pod, TERMS);
    selects(&plain, labels)
        && (terms.is_empty()
            || terms.iter().any(|term| {
                selects(&json!({"matchExpressions": term["matchExpressions"]}), labels)
                    && selects(&json!({"matchExpressions": term["matchFields"]}), &fields)
            }))
}

/// A pod's host ports as (address, protocol, port).
fn host_ports(pod: &Value) -> Vec<(String, String, i64)> {
    let ports = items(pod, "/spec/containers").iter().flat_map(|c| items(c, "/ports"));
    let host_network = pod["spec"]["hostNetwork"] == true;
    ports
        .filter_map(|port| {
            let number = number(port, "/hostPort").or_else(|| number(port, "/containerPort").filter(|_| host_network))?;
            let or = |pointer: &str, other: &str| match text(port, pointer) {
                "" => other.to_owned(),
                given => given.to_owned(),
            };
            Some((or("/hostIP", "0.0.0.0"), or("/protocol", "TCP"), number))
        })
        .collect()
}

fn clash(a: &(String, String, i64), b: &(String, String, i64)) -> bool {
    (a.1 == b.1 && a.2 == b.2) && (a.0 == b.0 || a.0 == "0.0.0.0" || b.0 == "0.0.0.0")
}

/// What a pod asks of a resource: its containers together, or its largest init container.
fn request(pod: &Value, resource: &str) -> f64 {
    let of = |c: &Value| number_of(&c["resources"]["requests"][resource]).unwrap_or(0.0);
    let all: f64 = items(pod, "/spec/containers").iter().map(of).sum();
    items(pod, "/spec/initContainers").iter().map(of).fold(all, f64::max)
}

/// A quantity as a number: `500m`, `2`, `1Gi`, `3e2`.
fn number_of(quantity: &Value) -> Option<f64> {
    if let Some(number) = quantity.as_f64() {
        return Some(number);
    }
    let text = quantity.as_str()?;
    const UNITS: [(&str, f64); 11] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("m", 0.001),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("u", 1e-6),
        ("n", 1e-9),
    ];
    for (unit, factor) in UNITS {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|n| n * factor);
        }
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests;
