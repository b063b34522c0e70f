//! PodMonitors for the Prometheus operator, where the cluster knows that kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicObject};
use serde_json::json;

use super::{
    Component, Kinds, Object,
    labels::{jitsi_meta, name, proxy_pods, shard_meta, shard_pods},
};
use crate::validate::{JitsiModel, ShardModel};

type Labels = std::collections::BTreeMap<String, String>;

fn monitor(metadata: ObjectMeta, of: &Labels, port: &str) -> Object {
    let data = json!({ "spec": {
        "selector": { "matchLabels": of },
        "podMetricsEndpoints": [{ "port": port, "path": "/metrics" }],
        // Series then say which shard they are of.
        "podTargetLabels": ["apps.jit.si/jitsi", "apps.jit.si/shard", "app.kubernetes.io/component"],
    } });
    let mut object = DynamicObject::new("", &ApiResource::from_gvk(&Kinds::pod_monitor_gvk())).data(data);
    object.metadata = metadata;
    object.into()
}

pub(super) fn shard(model: &ShardModel) -> Vec<Object> {
    let mut components = vec![Component::Prosody, Component::Jicofo, Component::Jvb];
    if model.recorders.is_some() {
        components.push(Component::Jibri);
    }
    if model.sip_recorders.is_some() {
        components.push(Component::SipJibri);
    }
    components
        .into_iter()
        .map(|component| {
            let metadata = shard_meta(model, name(&model.name, component), component.as_str());
            monitor(metadata, &shard_pods(model, component), "http")
        })
        .collect()
}

pub(super) fn proxies(model: &JitsiModel) -> Vec<Object> {
    let metadata = jitsi_meta(model, name(&model.name, Component::Proxy), Component::Proxy.as_str());
    vec![monitor(metadata, &proxy_pods(model), "admin")]
}
