//! The proxies: a StatefulSet, its configuration, and what it needs to see shards and each other.

use k8s_openapi::api::{
    apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy},
    core::v1::{
        ConfigMap, ConfigMapVolumeSource, SecretVolumeSource, Service, ServiceAccount, ServicePort, ServiceSpec, Volume,
    },
    rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use serde_json::{Map, Value, json};

use super::{
    Component, Object, checksum, env,
    labels::{jitsi_meta, name, of_jitsi, proxy_pods, selector},
    pod::{self, Parts},
    prosody::service_port,
    secrets::{ADMIN_TOKEN_KEY, MESH_KEY_KEY, admin_name, mesh_key_name},
};
use crate::{
    api::{JITSI_LABEL, SHARD_LABEL, SHARD_STATE_LABEL},
    validate::{JitsiModel, ProxyModel},
};

const PROXY: Component = Component::Proxy;
/// uid of the proxy's image, which is not one of docker-jitsi-meet.
const USER: i64 = 65_532;
/// Not ready, but serving, until load balancers have noticed.
const DRAIN_DELAY: u64 = 5;
/// What is left after drain_delay and drain_window.
const LEEWAY: u64 = 15;

fn own(model: &JitsiModel) -> String {
    name(&model.name, PROXY)
}

fn mesh(model: &JitsiModel) -> String {
    format!("{}-mesh", own(model))
}

fn config_name(model: &JitsiModel) -> String {
    format!("{}-config", own(model))
}

/// roompin-proxy's configuration: what follows from the resource, under what the user lays over it.
fn config(model: &JitsiModel, proxy: &ProxyModel) -> Value {
    let mut ours = json!({
        "listen": "0.0.0.0:8080",
        "shards": { "kubernetes": [{
            "namespace": model.namespace,
            "selector": format!("{SHARD_STATE_LABEL},{JITSI_LABEL}={}", model.name),
            "port": "http",
            "shard_label": SHARD_LABEL,
            "state_label": SHARD_STATE_LABEL,
        }] },
        "probes": { "http": { "path": "/" } },
        "admin": { "address": "0.0.0.0:9090", "token_file": format!("/etc/roompin/admin/{ADMIN_TOKEN_KEY}") },
        "snapshot": { "path": "/var/lib/roompin/pins.snapshot" },
        "cluster": {
            "listen": "0.0.0.0:7946",
            "peers": [format!("{}.{}.svc.{}:7946", mesh(model), model.namespace, proxy.cluster_domain)],
            "key_file": format!("/etc/roompin/mesh/{MESH_KEY_KEY}"),
        },
        "shutdown": {
            "drain_delay": format!("{DRAIN_DELAY}s"),
            "drain_window": format!("{}s", proxy.drain_window.as_secs()),
        },
        "log": { "format": "json" },
    });
    if let Some(ours) = ours.as_object_mut() {
        lay_over(ours, &proxy.config);
    }
    ours
}

fn lay_over(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => lay_over(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// As YAML for people to read; JSON, which is YAML too, should that ever fail.
fn text(config: &Value) -> String {
    serde_saphyr::to_string(config).unwrap_or_else(|_| config.to_string())
}

pub(super) fn config_map(model: &JitsiModel, proxy: &ProxyModel) -> Object {
    ConfigMap {
        metadata: jitsi_meta(model, config_name(model), PROXY.as_str()),
        data: Some([("roompin.yaml".to_owned(), text(&config(model, proxy)))].into()),
        ..Default::default()
    }
    .into()
}

/// Proxies watch the Services of shards and where they lead, in their own namespace, and nothing else.
pub(super) fn access(model: &JitsiModel) -> Vec<Object> {
    let meta = || jitsi_meta(model, own(model), PROXY.as_str());
    let words = |list: &[&str]| Some(list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let rule = |group: &str, resource: &str| PolicyRule {
        api_groups: words(&[group]),
        resources: words(&[resource]),
        verbs: vec!["get".to_owned(), "list".to_owned(), "watch".to_owned()],
        ..Default::default()
    };
    vec![
        ServiceAccount { metadata: meta(), automount_service_account_token: Some(false), ..Default::default() }.into(),
        Role { metadata: meta(), rules: Some(vec![rule("", "services"), rule("discovery.k8s.io", "endpointslices")]) }
            .into(),
        RoleBinding {
            metadata: meta(),
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "Role".to_owned(),
                name: own(model),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: own(model),
                namespace: Some(model.namespace.clone()),
                api_group: None,
            }]),
        }
        .into(),
    ]
}

pub(super) fn services(model: &JitsiModel, proxy: &ProxyModel) -> Vec<Object> {
    let mut front = jitsi_meta(model, own(model), PROXY.as_str());
    front.annotations = (!proxy.service_annotations.is_empty()).then(|| proxy.service_annotations.clone());
    let port =
        ServicePort { node_port: proxy.node_port, app_protocol: Some("http".to_owned()), ..service_port("http", 80) };
    vec![
        Service {
            metadata: front,
            spec: Some(ServiceSpec {
                type_: Some(proxy.service_type.clone()),
                selector: Some(proxy_pods(model)),
                ports: Some(vec![port]),
                external_traffic_policy: proxy.external_traffic_policy.clone(),
                ..Default::default()
            }),
            ..Default::default()
        }
        .into(),
        Service {
            metadata: jitsi_meta(model, mesh(model), "proxy-mesh"),
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".to_owned()),
                cluster_ip: Some("None".to_owned()),
                // A proxy is ready only when it has taken over the pins of the others, whom it finds by this name.
                publish_not_ready_addresses: Some(true),
                selector: Some(proxy_pods(model)),
                ports: Some(vec![service_port("mesh", 7946), service_port("admin", 9090)]),
                ..Default::default()
            }),
            ..Default::default()
        }
        .into(),
    ]
}

/// A Secret as files that only the proxy's group may read.
fn secret(volume: &str, secret: String) -> Volume {
    let source = SecretVolumeSource { secret_name: Some(secret), default_mode: Some(0o440), ..Default::default() };
    Volume { name: volume.to_owned(), secret: Some(source), ..Default::default() }
}

pub(super) fn stateful_set(model: &JitsiModel, proxy: &ProxyModel) -> Object {
    let settings = Volume {
        name: "settings".to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: config_name(model), ..Default::default() }),
        ..Default::default()
    };
    let volumes = vec![
        (settings, vec![pod::mount("settings", "/etc/roompin/config")]),
        (secret("mesh-key", mesh_key_name(model)), vec![pod::mount("mesh-key", "/etc/roompin/mesh")]),
        (secret("admin-token", admin_name(model)), vec![pod::mount("admin-token", "/etc/roompin/admin")]),
        // Outlives a crash of the process, not the pod; the other replicas know the pins too.
        pod::scratch("data", "/var/lib/roompin", Some("1Gi"), false),
    ];
    let mut annotations = pod::may_evict("data");
    annotations.insert("apps.jit.si/config-checksum".to_owned(), checksum(&config(model, proxy)));
    let grace = DRAIN_DELAY + proxy.drain_window.as_secs() + LEEWAY;
    let args = ["run", "--config", "/etc/roompin/config/roompin.yaml"].map(str::to_owned).to_vec();
    let template = pod::template(
        &proxy.pod,
        Parts {
            container: PROXY.as_str(),
            labels: of_jitsi(model, PROXY.as_str()),
            annotations,
            env: vec![env::field("ROOMPIN_ADVERTISE", "status.podIP")],
            ports: vec![pod::port("http", 8080), pod::port("admin", 9090), pod::port("mesh", 7946)],
            volumes,
            readiness: Some(pod::get("admin", "/readyz", pod::READY)),
            liveness: Some(pod::get("admin", "/healthz", pod::LIVE)),
            grace: i64::try_from(grace).ok(),
            affinity: pod::rather_away_from(proxy_pods(model)),
            args: Some(args),
            token: true,
            service_account: Some(own(model)),
            user: USER,
            ..Default::default()
        },
    );
    StatefulSet {
        metadata: jitsi_meta(model, own(model), PROXY.as_str()),
        spec: Some(StatefulSetSpec {
            replicas: Some(proxy.replicas),
            service_name: Some(mesh(model)),
            selector: selector(proxy_pods(model)),
            // All start at once; they are updated one after the other.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: None,
            }),
            template,
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}
