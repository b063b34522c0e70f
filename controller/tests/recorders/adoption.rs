//! A Deployment of somebody else, looked after by labels alone, as by jibri-pod-controller.

use std::time::Duration;

use controller::validate::{Adoption, Defaults};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::json;

use super::kit::{Kit, MINUTE};

fn adoption(trust: bool) -> Defaults {
    let selector =
        LabelSelector { match_labels: Some([("app".to_owned(), "jibri".to_owned())].into()), match_expressions: None };
    Defaults {
        adoption: Some(Adoption {
            selector: selector.try_into().unwrap(),
            busy_labels: [("state".to_owned(), "busy".to_owned())].into(),
            port: 2222,
            interval: Duration::from_secs(30),
            unauthenticated: trust,
        }),
        ..Defaults::default()
    }
}

async fn deployed(kit: &Kit) {
    let deployment: Deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "jibri"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "jibri", "state": "idle"}},
            "template": {
                "metadata": {"labels": {"app": "jibri", "state": "idle"}},
                "spec": {"containers": [{"name": "jibri", "image": "jibri:1"}]},
            },
        },
    }))
    .unwrap();
    let api: Api<Deployment> = Api::namespaced(kit.harness.client(), kit.harness.namespace());
    api.create(&PostParams::default(), &deployment).await.unwrap();
}

async fn pods(kit: &Kit) -> Vec<Pod> {
    kit.pods().list(&ListParams::default().labels("app=jibri")).await.unwrap().items
}

/// `idle idle busy`, by the Deployment's own label; those that their ReplicaSet has let go of in brackets.
async fn are(kit: &Kit, wanted: &str) {
    kit.eventually(&format!("pods are '{wanted}'"), || async {
        let mut words: Vec<String> = pods(kit)
            .await
            .iter()
            .map(|pod| {
                let state = pod.labels()["state"].clone();
                if pod.owner_references().is_empty() { format!("({state})") } else { state }
            })
            .collect();
        words.sort();
        if words.join(" ") == wanted { Ok(()) } else { Err(words.join(" ")) }
    })
    .await;
}

async fn take(kit: &Kit) -> String {
    let all = pods(kit).await;
    let idle = all.iter().map(ResourceExt::name_any).find(|name| kit.jibris.status(name) == Some("IDLE"));
    let name = idle.unwrap();
    kit.jibris.set(&name, "BUSY", kit.now());
    name
}

async fn all_idle(kit: &Kit) {
    are(kit, "idle idle").await;
    kit.eventually("both run", || async {
        pods(kit).await.iter().all(|pod| kit.jibris.status(&pod.name_any()) == Some("IDLE"))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_gets_a_new_spare_for_each_that_records() {
    let kit = Kit::start(adoption(true), "app=jibri").await;
    let _controller = kit.run("one").await;
    deployed(&kit).await;
    all_idle(&kit).await;
    let taken = take(&kit).await;
    are(&kit, "(busy) idle idle").await;
    let pod = kit.pods().get(&taken).await.unwrap();
    assert_eq!(pod.annotations()["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
    let manager = |field: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        field.manager.as_deref() == Some("jibri-pod-controller") && field.operation.as_deref() == Some("Apply")
    };
    assert!(pod.managed_fields().iter().any(manager), "under the name that it had before");
    tokio::time::sleep(30 * MINUTE).await;
    are(&kit, "(busy) idle idle").await;
    kit.finish(&taken);
    are(&kit, "idle idle").await;
    assert!(!pods(&kit).await.iter().any(|pod| pod.name_any() == taken));
    assert_eq!(kit.cut(), Vec::<String>::new());
    assert!(kit.jibris.answers().keys().all(|status| *status == 200), "{:?}", kit.jibris.answers());
}

#[tokio::test(start_paused = true)]
async fn the_sweep_does_the_same_when_no_report_arrives() {
    let kit = Kit::start(adoption(true), "app=jibri").await;
    kit.jibris.lose_reports();
    let _controller = kit.run("one").await;
    deployed(&kit).await;
    all_idle(&kit).await;
    let (first, second) = (take(&kit).await, take(&kit).await);
    are(&kit, "(busy) (busy) idle idle").await;
    kit.finish(&first);
    are(&kit, "(busy) idle idle").await;
    // The other hangs: nobody hears it, and its kubelet gives it up.
    kit.jibris.change(&second, |jibri| jibri.silent = true);
    tokio::time::sleep(10 * MINUTE).await;
    are(&kit, "(busy) idle idle").await;
    kit.harness.actors().unwrap().kubelet().unwrap().set_ready(kit.harness.namespace(), &second, false);
    are(&kit, "idle idle").await;
}

#[tokio::test(start_paused = true)]
async fn without_leave_to_trust_addresses_reports_are_refused_and_the_sweep_goes_on() {
    let kit = Kit::start(adoption(false), "app=jibri").await;
    let _controller = kit.run("one").await;
    deployed(&kit).await;
    all_idle(&kit).await;
    let taken = take(&kit).await;
    are(&kit, "(busy) idle idle").await;
    kit.finish(&taken);
    are(&kit, "idle idle").await;
    let answers = kit.jibris.answers();
    assert!(answers.keys().all(|status| *status == 401), "{answers:?}");
}
