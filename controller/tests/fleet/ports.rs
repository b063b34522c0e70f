//! Ports: one bridge per node, several per node, and a Service per bridge.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, api::ListParams};
use serde_json::json;
use testkit::{Actors, actors::NodeShape};

use super::{kit, scene::Scene};

fn nodes(number: usize) -> Actors {
    let nodes = (0..number).map(|n| NodeShape::named(format!("node-{n}"))).collect();
    Actors { nodes, ..Actors::all() }
}

fn node_and_port(pod: &Pod) -> (String, i32) {
    let spec = pod.spec.clone().unwrap();
    let port = spec.containers[0].ports.as_ref().unwrap().iter().find(|port| port.name.as_deref() == Some("media"));
    (spec.node_name.unwrap_or_default(), port.unwrap().host_port.unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn several_bridges_of_a_node_have_a_port_each() {
    if !kit::on_the_double() {
        return kit::skipped("this test", "it wants nodes of its own");
    }
    let spec = json!({"jvb": {"strategy": {"replicas": 4}, "ports": {"perNode": 2}}});
    let scene = Scene::start_with(nodes(2), spec).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1", "alone-jvb-2", "alone-jvb-3"]).await;
    let pods = scene.members().await;
    let places: BTreeSet<_> = pods.values().map(node_and_port).collect();
    let wanted = ["node-0", "node-1"].into_iter().flat_map(|node| [10_000, 10_001].map(|port| (node.to_owned(), port)));
    assert_eq!(places, wanted.collect());
    for pod in pods.values() {
        let env = pod.spec.as_ref().unwrap().containers[0].env.clone().unwrap();
        let port = env.iter().find(|one| one.name == "JVB_PORT").unwrap().value.clone().unwrap();
        assert_eq!(port, node_and_port(pod).1.to_string(), "it listens where it can be reached");
    }
    controller.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_no_node_fits_the_status_says_so() {
    if !kit::on_the_double() {
        return kit::skipped("this test", "it wants nodes of its own");
    }
    let scene = Scene::start_with(nodes(1), json!({"jvb": {"strategy": {"replicas": 2}}})).await;
    let controller = scene.run("one").await;
    scene
        .until("the condition is there", async || {
            let status = scene.shard().await.status.unwrap_or_default();
            let limited = status.conditions.iter().find(|one| one.type_ == "ScalingLimited").cloned();
            limited.is_some_and(|one| one.status == "True" && one.message.contains("jvb: no node fits for 1 of 2"))
        })
        .await;
    controller.end().await;
}

#[tokio::test(start_paused = true)]
async fn with_node_port_each_bridge_has_a_service_that_ends_with_it() {
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 2}, "exposure": "nodePort"}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    let services: Api<Service> = Api::namespaced(scene.kit.client(), scene.kit.namespace());
    let mut ports = BTreeSet::new();
    for (name, pod) in scene.members().await {
        let service = services.get(&name).await.unwrap();
        let spec = service.spec.unwrap();
        assert_eq!(spec.external_traffic_policy.as_deref(), Some("Local"));
        let port = spec.ports.unwrap()[0].node_port.unwrap();
        let env = pod.spec.as_ref().unwrap().containers[0].env.clone().unwrap();
        let address = env.iter().find(|one| one.name == "JVB_ADVERTISE_IPS").unwrap().value.clone().unwrap();
        assert_eq!(address, format!("$(ROOMPIN_HOST_IP)#{port}"));
        assert_eq!(service.metadata.owner_references.unwrap()[0].name, name);
        let wanted = spec.selector.unwrap();
        assert!(wanted.iter().all(|(key, value)| pod.metadata.labels.as_ref().unwrap().get(key) == Some(value)));
        ports.insert(port);
    }
    assert_eq!(ports.len(), 2, "each its own");
    scene.jvb(json!({"strategy": {"replicas": 1}})).await;
    scene
        .until("one Service is left", async || {
            let params = ListParams::default().labels("app.kubernetes.io/component=jvb");
            services.list(&params).await.unwrap().items.len() == 1 && scene.members().await.len() == 1
        })
        .await;
    scene.settled_without_cuts(&[]).await;
    controller.end().await;
}
