//! Nodes that are emptied or lost, and a controller that may not read them.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Node};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testkit::Fault;

use super::{
    kit::{self, MINUTE},
    scene::Scene,
};

async fn node_of(scene: &Scene, pod: &str) -> String {
    scene.pod(pod).await.spec.unwrap().node_name.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_bridge_on_a_cordoned_node_gives_way_to_one_elsewhere() {
    if !kit::on_the_double() {
        return kit::skipped("this test", "nodes of a cluster are not ours to cordon");
    }
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 1}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0"]).await;
    let bridges = scene.kit.instances();
    bridges.set("alone-jvb-0", |one| one.people = 2);
    let nodes: Api<Node> = Api::all(scene.kit.client());
    let node = node_of(&scene, "alone-jvb-0").await;
    let cordon = json!({"spec": {"unschedulable": true}});
    nodes.patch(&node, &PatchParams::default(), &Patch::Merge(&cordon)).await.unwrap();
    scene.label("alone-jvb-1", "active").await;
    scene.label("alone-jvb-0", "draining").await;
    assert_ne!(node_of(&scene, "alone-jvb-1").await, node);
    tokio::time::sleep(5 * MINUTE).await;
    assert!(scene.pods().get_opt("alone-jvb-0").await.unwrap().is_some(), "people are on it");
    bridges.set("alone-jvb-0", |one| one.people = 0);
    scene.gone("alone-jvb-0").await;
    scene.settled_without_cuts(&[]).await;
    controller.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_bridge_whose_node_is_gone_is_replaced() {
    if !kit::on_the_double() {
        return kit::skipped("this test", "nodes of a cluster are not ours to delete");
    }
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 2}}})).await;
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    let before = scene.uids().await;
    let node = node_of(&scene, "alone-jvb-0").await;
    scene.kit.kubelet().unwrap().silence(&node, true);
    scene.kit.instances().set("alone-jvb-0", |one| one.silent = true);
    let nodes: Api<Node> = Api::all(scene.kit.client());
    nodes.delete(&node, &DeleteParams::default()).await.unwrap();
    scene
        .until("two work, and the lost one is gone", async || {
            let group = scene.group(controller::api::GroupKind::Jvb).await.unwrap_or_default();
            let now = scene.uids().await;
            group.ready == 2 && now.len() == 2 && !now.values().any(|uid| *uid == before["alone-jvb-0"])
        })
        .await;
    controller.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_may_not_read_nodes_works_all_the_same() {
    if !kit::on_the_double() {
        return kit::skipped("this test", "refusals need the double");
    }
    let scene = Scene::start(json!({"jvb": {"strategy": {"replicas": 2}}})).await;
    scene.kit.faults().add(Fault::server_error(403).on("nodes").by("one"));
    let controller = scene.run("one").await;
    scene.active(&["alone-jvb-0", "alone-jvb-1"]).await;
    scene.jvb(json!({"strategy": {"replicas": 1}})).await;
    scene.until("one is left", async || scene.members().await.len() == 1).await;
    scene.settled_without_cuts(&[]).await;
    controller.end().await;
}

/// What an earlier version made goes when there is something in its place.
#[tokio::test(start_paused = true)]
async fn an_old_deployment_of_bridges_goes_when_it_is_replaced() {
    let scene = Scene::start(json!({"paused": true, "jvb": {"strategy": {"replicas": 1}}})).await;
    let shard = scene.shard().await;
    let labels = json!({"app.kubernetes.io/managed-by": "roompin-controller", "app.kubernetes.io/component": "jvb",
        "apps.jit.si/shard": "alone", "app.kubernetes.io/part-of": "jitsi"});
    let old: Deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "alone-jvb", "labels": labels, "ownerReferences": [{
            "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "name": "alone", "uid": shard.metadata.uid,
            "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "jvb", "image": "jvb:1"}]}}},
    }))
    .unwrap();
    let deployments: Api<Deployment> = Api::namespaced(scene.kit.client(), scene.kit.namespace());
    deployments.create(&PostParams::default(), &old).await.unwrap();
    scene
        .until("it runs", async || {
            let status = deployments.get("alone-jvb").await.unwrap().status.unwrap_or_default();
            status.ready_replicas == Some(1)
        })
        .await;
    let controller = scene.run("one").await;
    scene.spec(json!({"paused": false})).await;
    scene.label("alone-jvb-0", "active").await;
    scene.until("it is gone", async || deployments.get_opt("alone-jvb").await.unwrap().is_none()).await;
    scene.until("its pods too", async || scene.members().await.len() == 1).await;
    controller.end().await;
}
