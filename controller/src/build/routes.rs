//! The ways to the proxies: Ingress and HTTPRoute.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};
use kube::core::{ApiResource, DynamicObject};
use serde_json::json;

use super::{
    Component, Kinds, Object,
    labels::{jitsi_meta, name},
};
use crate::validate::{EdgeModel, GatewayModel, IngressModel, JitsiModel};

/// A tunnel is silent for as long as nobody says anything: an hour, as the operator that came before had it.
const PATIENCE: [&str; 2] =
    ["nginx.ingress.kubernetes.io/proxy-read-timeout", "nginx.ingress.kubernetes.io/proxy-send-timeout"];

pub(super) fn all(model: &JitsiModel, edge: &EdgeModel, kinds: Kinds) -> Vec<Object> {
    let ingress = edge.ingress.as_ref().map(|wanted| ingress(model, wanted));
    let route = edge.gateway.as_ref().filter(|_| kinds.http_route).map(|wanted| route(model, wanted));
    ingress.into_iter().chain(route).collect()
}

fn ingress(model: &JitsiModel, wanted: &IngressModel) -> Object {
    let service = name(&model.name, Component::Proxy);
    let mut metadata = jitsi_meta(model, format!("{}-web", model.name), "ingress");
    let mut annotations: BTreeMap<String, String> =
        PATIENCE.iter().map(|key| ((*key).to_owned(), "3600".to_owned())).collect();
    annotations.extend(wanted.annotations.clone());
    metadata.annotations = Some(annotations);
    let rules = wanted.hosts.iter().map(|host| IngressRule {
        host: Some(host.clone()),
        http: Some(HTTPIngressRuleValue {
            paths: vec![HTTPIngressPath {
                path: Some("/".to_owned()),
                path_type: "Prefix".to_owned(),
                backend: IngressBackend {
                    service: Some(IngressServiceBackend {
                        name: service.clone(),
                        port: Some(ServiceBackendPort { name: Some("http".to_owned()), number: None }),
                    }),
                    resource: None,
                },
            }],
        }),
    });
    Ingress {
        spec: Some(IngressSpec {
            ingress_class_name: wanted.class.clone(),
            rules: Some(rules.collect()),
            tls: wanted.tls_secret.as_ref().map(|secret| {
                vec![IngressTLS { hosts: Some(wanted.hosts.clone()), secret_name: Some(secret.clone()) }]
            }),
            default_backend: None,
        }),
        metadata,
        ..Default::default()
    }
    .into()
}

fn route(model: &JitsiModel, wanted: &GatewayModel) -> Object {
    let mut metadata = jitsi_meta(model, format!("{}-web", model.name), "route");
    metadata.annotations = (!wanted.annotations.is_empty()).then(|| wanted.annotations.clone());
    let backend =
        json!({ "group": "", "kind": "Service", "name": name(&model.name, Component::Proxy), "port": 80, "weight": 1 });
    let parents: Vec<_> = wanted
        .parents
        .iter()
        .map(|parent| {
            let mut one = serde_json::to_value(parent).unwrap_or_default();
            if let Some(map) = one.as_object_mut() {
                map.insert("group".to_owned(), json!("gateway.networking.k8s.io"));
                map.insert("kind".to_owned(), json!("Gateway"));
            }
            one
        })
        .collect();
    let data = json!({ "spec": {
        "parentRefs": parents,
        "hostnames": wanted.hosts,
        "rules": [{
            "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
            // BOSH holds a request for a minute; some gateways give up after a quarter of that.
            "timeouts": { "request": "0s" },
            "backendRefs": [backend],
        }],
    } });
    let kind = ApiResource::from_gvk(&Kinds::http_route_gvk());
    let mut object = DynamicObject::new("", &kind).data(data);
    object.metadata = metadata;
    object.into()
}
