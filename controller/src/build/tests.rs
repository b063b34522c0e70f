//! What is built for the published sample, for everything at once, and for anything that is valid.

mod every;
mod fleet;
mod rules;
mod sample;

use std::collections::{BTreeMap, BTreeSet};

use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{GroupKind, Jitsi, JitsiShard, JitsiShardSpec},
    validate::{self, Defaults},
};

const ALL_KINDS: Kinds = Kinds { pod_monitor: true, http_route: true };

fn jitsi_resource(text: &str) -> Jitsi {
    serde_saphyr::from_str(text).unwrap()
}

fn sample() -> Jitsi {
    jitsi_resource(include_str!("../../tests/data/sample.yaml"))
}

fn maximal() -> Jitsi {
    jitsi_resource(include_str!("../../tests/data/maximal.yaml"))
}

fn from_spec(spec: &Value) -> Jitsi {
    serde_json::from_value(json!({
        "apiVersion": "apps.jit.si/v1alpha1", "kind": "Jitsi",
        "metadata": { "name": "meet", "namespace": "video", "uid": "1" }, "spec": spec,
    }))
    .unwrap()
}

fn jitsi_model(jitsi: &Jitsi) -> JitsiModel {
    validate::jitsi(jitsi, &Defaults::default(), None).unwrap()
}

/// The first shard of a Jitsi, by the way that the controller goes.
fn shard_model(jitsi: &Jitsi) -> ShardModel {
    let whole = jitsi_model(jitsi);
    named_shard(&whole.shard_name(0), whole.shard_spec(whole.region(0)), Some(&whole))
}

fn named_shard(name: &str, spec: JitsiShardSpec, of: Option<&JitsiModel>) -> ShardModel {
    let mut shard = JitsiShard::new(name, spec);
    shard.metadata.namespace = Some(of.map_or("default", |of| &of.namespace).to_owned());
    shard.metadata.uid = Some("7".to_owned());
    shard.metadata.labels = of.map(|of| BTreeMap::from([("apps.jit.si/jitsi".to_owned(), of.name.clone())]));
    validate::shard(&shard, &Defaults::default(), None).unwrap()
}

fn secrets() -> Secrets {
    Secrets::generate(&mut StdRng::seed_from_u64(1))
}

fn jitsi_secrets() -> JitsiSecrets {
    JitsiSecrets::generate(&mut StdRng::seed_from_u64(2))
}

fn build_shard(model: &ShardModel, state: Option<ShardState>) -> ShardObjects {
    shard(ShardInput { model, secrets: &secrets(), state, in_use: true, kinds: ALL_KINDS })
}

fn build_jitsi(model: &JitsiModel) -> JitsiObjects {
    jitsi(JitsiInput { model, secrets: &jitsi_secrets(), kinds: ALL_KINDS })
}

/// Everything that a Jitsi with its first shard becomes.
fn everything(jitsi: &Jitsi) -> Vec<Object> {
    let mut all: Vec<Object> = build_jitsi(&jitsi_model(jitsi)).all().into_iter().cloned().collect();
    let model = shard_model(jitsi);
    let shard = build_shard(&model, Some(ShardState::Ready));
    all.extend(shard.all().into_iter().cloned());
    if shard.bridges.is_none() {
        all.push(bridges(&model));
    }
    if model.recorders.is_some() {
        all.push(recorder_of(&model));
    }
    all
}

/// A bridge's or gateway's pod, in the form of something that makes pods, so that the same rules can be asked of it.
fn as_workload(pod: &k8s_openapi::api::core::v1::Pod) -> Object {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    k8s_openapi::api::apps::v1::DaemonSet {
        metadata: pod.metadata.clone(),
        spec: Some(k8s_openapi::api::apps::v1::DaemonSetSpec {
            selector: labels::selector(labels.clone()),
            template: k8s_openapi::api::core::v1::PodTemplateSpec {
                metadata: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                    labels: Some(labels),
                    annotations: pod.metadata.annotations.clone(),
                    ..Default::default()
                }),
                spec: pod.spec.clone(),
            },
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}

fn recorder_of(model: &ShardModel) -> Object {
    let name = name(&model.name, Component::Jibri);
    as_workload(&recorder(model, GroupKind::Jibri, &RecorderPlace { name: &name, ..RecorderPlace::default() }).unwrap())
}

/// What bridges are made from, whatever makes them.
fn bridges(model: &ShardModel) -> Object {
    let place = Place { name: format!("{}-jvb-0", model.name), ..Place::default() };
    build_shard(model, None).bridges.unwrap_or_else(|| as_workload(&bridge(model, &place, true)))
}

fn names(objects: &[&Object]) -> Vec<String> {
    objects.iter().map(|object| format!("{} {}", object.kind(), object.name())).collect()
}

/// The main container of what makes pods.
fn container(object: &Object) -> Value {
    serde_json::to_value(object.pod_template().unwrap()).unwrap()["spec"]["containers"][0].clone()
}

/// A container's literal variables.
fn variables(object: &Object) -> BTreeMap<String, Value> {
    let list = container(object)["env"].as_array().cloned().unwrap_or_default();
    let mut all = BTreeMap::new();
    for one in list {
        let name = one["name"].as_str().unwrap().to_owned();
        let value = if one["value"].is_null() { one["valueFrom"].clone() } else { one["value"].clone() };
        assert!(all.insert(name.clone(), value).is_none(), "{name} is there twice");
    }
    all
}
