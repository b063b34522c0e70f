//! The nodes of the double.

use serde_json::{Value, json};

use super::world::{Trouble, World};

pub(super) const WHO: &str = "node-maker";

/// What one node offers.
#[derive(Clone, Debug)]
pub struct NodeShape {
    /// The node's name.
    pub name: String,
    /// Its CPUs, as a quantity.
    pub cpu: String,
    /// Its memory, as a quantity.
    pub memory: String,
    /// How many pods it takes.
    pub pods: u32,
    /// Labels beside the usual ones.
    pub labels: Vec<(String, String)>,
}

impl NodeShape {
    /// A node of 8 CPUs and 32 GiB.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), cpu: "8".into(), memory: "32Gi".into(), pods: 110, labels: Vec::new() }
    }

    fn object(&self, index: usize, net: &str) -> Value {
        let mut labels = json!({
            "kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        });
        for (key, value) in &self.labels {
            labels[key] = json!(value);
        }
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "status": self.status(index, net),
        })
    }

    fn status(&self, index: usize, net: &str) -> Value {
        let room = json!({"cpu": self.cpu, "memory": self.memory, "pods": self.pods.to_string()});
        json!({
            "capacity": room,
            "allocatable": room,
            "addresses": [
                {"type": "InternalIP", "address": format!("{net}.{}", index + 1)},
                {"type": "Hostname", "address": self.name},
            ],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        })
    }
}

/// The label of a node that is only an object in a real cluster.
pub(crate) const HOLLOW: &str = "roompin-test/hollow";
/// Where the double's nodes are: on the loopback.
pub(super) const LOOPBACK: &str = "127.1.0";
/// Where hollow nodes are: among the addresses for benchmarks. A real server takes no loopback address as an endpoint.
pub(super) const NOWHERE: &str = "198.19.255";

/// The nodes of a real cluster that has none.
pub(super) fn hollow() -> Vec<NodeShape> {
    let shape = |name| NodeShape { labels: vec![(HOLLOW.into(), "true".into())], ..NodeShape::named(name) };
    ["roompin-hollow-a", "roompin-hollow-b", "roompin-hollow-c"].map(shape).into()
}

/// Makes the nodes, three when none is named.
pub(super) async fn make(world: &World, shapes: &[NodeShape], net: &str) -> Result<(), Trouble> {
    let usual = ["node-a", "node-b", "node-c"].map(NodeShape::named);
    let shapes = if shapes.is_empty() { &usual[..] } else { shapes };
    for (index, shape) in shapes.iter().enumerate() {
        let path = format!("/api/v1/nodes/{}", shape.name);
        world.create("/api/v1/nodes", &shape.object(index, net)).await?;
        // A create may drop the status.
        let status = json!({"status": shape.status(index, net)});
        let made = world.merge(&format!("{path}/status"), &status).await?;
        // A real server holds a new node back from pods, until the controller of nodes has seen it ready.
        if made.is_some_and(|node| node["spec"]["taints"].is_array()) {
            world.merge(&path, &json!({"spec": {"taints": null}})).await?;
        }
    }
    Ok(())
}
