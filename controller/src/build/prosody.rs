//! Prosody: one pod, whose restart ends every conference of the shard.

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy},
        core::v1::{Service, ServicePort, ServiceSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Component, Object, checksum, env,
    labels::{name, of_shard, selector, shard_meta, shard_pods},
    pod::{self, Parts},
};
use crate::validate::ShardModel;

const PROSODY: Component = Component::Prosody;
/// Annotation on pods that tells of a change in the shared environment, which they read only when they start.
pub(super) const ENV_CHECKSUM: &str = "apps.jit.si/env-checksum";

/// The annotation of a pod that reads the shared environment.
pub(super) fn env_checksum(model: &ShardModel) -> (String, String) {
    (ENV_CHECKSUM.to_owned(), checksum(&env::shared(model)))
}

pub(super) fn stateful_set(model: &ShardModel) -> Object {
    let metrics = if model.metrics { "true" } else { "false" };
    let trusted = model.trusted_proxies.join(",");
    let mut ours = vec![
        ("PROSODY_TRUSTED_PROXIES", trusted.as_str()),
        ("PROSODY_ENABLE_METRICS", metrics),
        // Only one network can be named; the NetworkPolicy says who may really come.
        ("PROSODY_METRICS_ALLOWED_CIDR", "0.0.0.0/0"),
    ];
    let turn_port = model.turn.as_ref().map(|(_, _, port)| port.to_string()).unwrap_or_default();
    if let Some((prefix, host, _)) = &model.turn {
        let names = if *prefix == "TURNS" { ("TURNS_HOST", "TURNS_PORT") } else { ("TURN_HOST", "TURN_PORT") };
        ours.extend([(names.0, host.as_str()), (names.1, turn_port.as_str())]);
    }
    let mut env = env::component(model, PROSODY, &ours);
    for password in ["JICOFO_AUTH_PASSWORD", "JVB_AUTH_PASSWORD"] {
        env.push(env::secret(password, &model.secret, password));
    }
    if model.recorders.is_some() || model.sip_recorders.is_some() {
        for password in ["JIBRI_XMPP_PASSWORD", "JIBRI_RECORDER_PASSWORD"] {
            env.push(env::secret(password, &model.secret, password));
        }
    }
    if model.gateways.is_some() {
        env.push(env::secret("JIGASI_XMPP_PASSWORD", &model.secret, "JIGASI_XMPP_PASSWORD"));
    }
    env.extend(model.turn_secret.clone().map(|selector| env::from_secret("TURN_CREDENTIALS", selector)));
    env.extend(model.jwt_secret.clone().map(|selector| env::from_secret("JWT_APP_SECRET", selector)));

    let mut volumes = pod::official_volumes("16Mi");
    volumes.push(pod::scratch("data", "/var/lib/prosody", None, false));
    if let Some(config_map) = &model.prosody_config {
        // Where the image keeps its template: what lies under /config/conf.d is overwritten at each start.
        let path = "/defaults/conf.d/jitsi-meet.cfg.lua";
        volumes.push(pod::file("prosody-config", config_map, "jitsi-meet.cfg.lua", path, None));
    }
    let mut annotations = pod::never_evict();
    annotations.extend([env_checksum(model)]);
    let template = pod::template(
        &model.prosody,
        Parts {
            container: PROSODY.as_str(),
            labels: of_shard(model, PROSODY.as_str()),
            annotations,
            env,
            env_from: vec![env::from_shared(model)],
            ports: vec![pod::port("c2s", 5222), pod::port("http", 5280)],
            volumes,
            readiness: Some(pod::get("http", "/http-bind", pod::READY)),
            liveness: Some(pod::tcp("c2s", pod::LIVE)),
            startup: Some(pod::tcp("c2s", pod::START)),
            user: 1000,
            ..Default::default()
        },
    );
    StatefulSet {
        metadata: shard_meta(model, name(&model.name, PROSODY), PROSODY.as_str()),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(name(&model.name, PROSODY)),
            selector: selector(shard_pods(model, PROSODY)),
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

/// A port of a Service, led to the port of the same name.
pub(super) fn service_port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}

pub(super) fn service(model: &ShardModel) -> Object {
    Service {
        metadata: shard_meta(model, name(&model.name, PROSODY), PROSODY.as_str()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(shard_pods(model, PROSODY)),
            ports: Some(vec![service_port("c2s", 5222), service_port("http", 5280)]),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}
