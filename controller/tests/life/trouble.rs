//! What an API server does to a controller: it forgets history, and holds objects from before a definition was changed.

use std::time::Duration;

use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};
use testkit::Fault;

use super::kit::{self, Kit};

/// A place in history that is forgotten is refused with a plain HTTP 410 by some servers. kube's watcher asks for it for
/// ever then, and would never see the new shard.
#[tokio::test(start_paused = true)]
async fn a_forgotten_history_is_listed_anew() {
    if !kit::on_the_double() {
        return kit::skipped("forgotten history", "a cluster's history cannot be made to be forgotten");
    }
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.ready(1).await;
    let double = kit.double();
    double.expire_by_http(true);
    kit.faults().outage(Some("one"), Duration::from_secs(20));
    tokio::time::sleep(Duration::from_secs(5)).await;
    kit.scale(2).await;
    double.compact();
    kit.ready(2).await;
    controller.end().await;
}

/// Who looks at the resource is told what the API refuses, for the rest waits for it.
#[tokio::test(start_paused = true)]
async fn what_the_api_refuses_is_told() {
    if !kit::on_the_double() {
        return kit::skipped("a refusal", "only the double can be made to refuse");
    }
    let kit = Kit::start().await;
    let controller = kit.run("one").await;
    let refusal = kit.faults().add(Fault::server_error(403).by("one").on("poddisruptionbudgets").verbs(&["patch"]));
    kit.apply_sample().await;
    kit.eventually("an event says what is refused", async || {
        let told = kit.events().list(&ListParams::default()).await.unwrap();
        let notes: Vec<_> = told
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some("Refused"))
            .map(|event| (event.involved_object.name.unwrap_or_default(), event.message.unwrap_or_default()))
            .collect();
        let there = notes
            .iter()
            .any(|(name, note)| name == "jitsi-sample" && note.contains("PodDisruptionBudget jitsi-sample-proxy"));
        if there { Ok(()) } else { Err(format!("{notes:?}")) }
    })
    .await;
    kit.faults().remove(refusal);
    kit.ready(1).await;
    controller.end().await;
}

/// Objects that were stored under another definition cannot be read. They stall themselves and nobody else.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_stalls_nobody() {
    const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    if !kit::on_the_double() {
        return kit::skipped("a changed definition", "definitions are shared by all tests of a cluster");
    }
    let kit = Kit::start().await;
    let api = kit.api();
    let mut strict = Vec::new();
    for kind in ["jitsis", "jitsishards"] {
        let path = format!("{CRDS}/{kind}.apps.jit.si");
        let mut definition = api.get(&path).await.ok();
        strict.push((path.clone(), definition["spec"].clone()));
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        definition["spec"]["versions"][0]["subresources"] = Value::Null;
        definition["spec"]["versions"][0]["additionalPrinterColumns"] = Value::Null;
        definition["spec"]["versions"][0]["selectableFields"] = Value::Null;
        api.put(&path, &definition).await.ok();
    }
    let object = |kind: &str, name: &str| {
        json!({"apiVersion": "apps.jit.si/v1alpha1", "kind": kind, "metadata": {"name": name},
            "spec": {"domain": ["no", "text"], "shards": "three"}})
    };
    api.post("apps.jit.si/v1alpha1/jitsis", &object("Jitsi", "another")).await.ok();
    // It has a name that the sample would give to its first shard.
    api.post("apps.jit.si/v1alpha1/jitsishards", &object("JitsiShard", "jitsi-sample-0")).await.ok();
    for (path, spec) in strict {
        let mut definition = api.get(&path).await.ok();
        definition["spec"] = spec;
        api.put(&path, &definition).await.ok();
    }

    let controller = kit.run("one").await;
    kit.apply_sample().await;
    kit.ready(1).await;
    kit.scale(2).await;
    kit.ready(2).await;
    for name in ["jitsi-sample-1", "jitsi-sample-2"] {
        let shard = kit.shards().get(name).await.unwrap();
        assert_eq!(shard.status.unwrap().phase, Some(controller::api::Phase::Ready));
    }
    let broken = api.get("apps.jit.si/v1alpha1/jitsishards/jitsi-sample-0").await.ok();
    assert_eq!(broken["spec"]["shards"], "three", "it is left alone");
    let told = kit.events().list(&ListParams::default()).await.unwrap();
    for name in ["another", "jitsi-sample-0"] {
        let of_it = told.iter().filter(|event| event.involved_object.name.as_deref() == Some(name));
        let reasons: Vec<_> = of_it.map(|event| (event.name_any(), event.reason.clone())).collect();
        assert!(reasons.iter().any(|(_, reason)| reason.as_deref() == Some("Malformed")), "{name}: {reasons:?}");
    }
    controller.end().await;
}
