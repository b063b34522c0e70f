//! Bridges: bare pods that the controller chooses among, or a DaemonSet.
//!
//! A Deployment would take away any of its pods, and start one anew that has ended by itself. With bare pods the emptiest
//! goes, its drain can be taken back, and `restartPolicy: OnFailure` lets it end when its last conference has ended.
//! A DaemonSet goes with its nodes: there only the hook before the stop keeps calls, which both have.

mod exposure;

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet},
        core::v1::{EnvVar, Lifecycle, LifecycleHandler, Pod, PodTemplateSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

pub use self::exposure::service as bridge_service;
use self::exposure::{address, media};
use super::{
    Component, Object, checksum, env,
    labels::{name, of_shard, selector, shard_meta, shard_pods},
    pod::{self, Parts},
    prosody::env_checksum,
};
use crate::{
    api::{ATTEMPT, DRAIN_ASKED, ExposureType, JITSI_LABEL, PROTECTED_UNTIL, SERVES, TEMPLATE_REVISION},
    validate::{ShardModel, Strategy},
};

const JVB: Component = Component::Jvb;

/// What is left of the grace period after the last conference: a minute in which jicofo moves leftovers, and the JVM's end.
pub(super) const AFTER_THE_LAST: i64 = 120;

/// For everybody who deletes or evicts the pod without asking the controller. Drain first, so that jicofo prefers others at
/// once; then the shutdown that ends the process by itself. The loop keeps the pod until the bridge has stopped answering.
const LEAVE: &str = "\
curl -s -m 5 -X POST http://localhost:8080/colibri/drain/enable
curl -s -m 5 -X POST -H 'Content-Type: application/json' -d '{\"graceful-shutdown\":\"true\"}' http://localhost:8080/colibri/shutdown
while curl -sf -m 5 -o /dev/null http://localhost:8080/about/version; do sleep 5; done
";

/// The workload of Kubernetes' own, where one is asked for.
pub(super) fn workload(model: &ShardModel) -> Option<Object> {
    matches!(model.bridges.strategy, Strategy::Daemonset).then(|| daemon_set(model))
}

fn daemon_set(model: &ShardModel) -> Object {
    DaemonSet {
        metadata: shard_meta(model, name(&model.name, JVB), JVB.as_str()),
        spec: Some(DaemonSetSpec {
            selector: selector(shard_pods(model, JVB)),
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDaemonSet {
                    max_surge: None,
                    max_unavailable: Some(IntOrString::Int(1)),
                }),
            }),
            template: template(model, &Place::default()),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}

/// What one bridge has to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Name of its pod; empty in a template.
    pub name: String,
    /// Its port for media: of its node, or of its Service on every node.
    pub port: Option<i32>,
    /// Shards that it serves besides its own.
    pub serves: Vec<String>,
    /// So many tries before this one failed at once.
    pub attempt: u32,
    /// It is not taken away by load until then.
    pub protected_until: Option<jiff::Timestamp>,
}

/// The pod of one bridge. `settled`: it will read the environment that the model means; otherwise it is made of something
/// that has no name, and gives way to another one later.
pub fn bridge(model: &ShardModel, place: &Place, settled: bool) -> Pod {
    let mut pod = bare(model, JVB, template(model, place), place, settled.then(|| bridge_revision(model)));
    if let (Some(labels), ExposureType::NodePort) = (&mut pod.metadata.labels, model.bridges.exposure) {
        labels.insert(exposure::POD_LABEL.to_owned(), place.name.clone());
    }
    pod
}

/// A pod of its own, with what has to be known about it written on it.
pub(super) fn bare(
    model: &ShardModel,
    component: Component,
    template: PodTemplateSpec,
    place: &Place,
    revision: Option<String>,
) -> Pod {
    let mut metadata = shard_meta(model, place.name.clone(), component.as_str());
    let ours = template.metadata.unwrap_or_default();
    metadata.labels = ours.labels;
    let mut annotations = ours.annotations.unwrap_or_default();
    annotations.insert(TEMPLATE_REVISION.to_owned(), revision.unwrap_or_else(|| UNSETTLED.to_owned()));
    if !place.serves.is_empty() {
        annotations.insert(SERVES.to_owned(), place.serves.join(","));
    }
    if place.attempt > 0 {
        annotations.insert(ATTEMPT.to_owned(), place.attempt.to_string());
    }
    if let Some(until) = place.protected_until {
        annotations.insert(PROTECTED_UNTIL.to_owned(), until.to_string());
    }
    // A wish about one pod is not one about all that are made from the same spec.
    annotations.remove(DRAIN_ASKED);
    metadata.annotations = Some(annotations);
    let mut spec = template.spec.unwrap_or_default();
    // One that has ended by itself has ended; one that was killed starts again where it was.
    spec.restart_policy = Some("OnFailure".to_owned());
    Pod { metadata, spec: Some(spec), status: None }
}

/// The revision of a pod that was made while its environment was held back.
const UNSETTLED: &str = "unsettled";

/// The fingerprint of what bridges are made from: without name, port, and the shards that come and go.
pub fn bridge_revision(model: &ShardModel) -> String {
    let template = template(model, &Place::default());
    checksum(&(template, model.bridges.exposure == ExposureType::NodePort))
}

/// The address of a bridge in jicofo's brewery.
pub fn brewery_address(model: &ShardModel, pod: &str) -> String {
    let shared = env::shared(model);
    let of = |key: &str| shared.get(key).map(String::as_str).unwrap_or_default();
    format!("{}@{}/{pod}", of("JVB_BREWERY_MUC"), of("XMPP_INTERNAL_MUC_DOMAIN"))
}

fn template(model: &ShardModel, place: &Place) -> PodTemplateSpec {
    let bridges = &model.bridges;
    // On the node it listens where it can be reached; behind a Service all listen at the same port.
    let own = if bridges.exposure == ExposureType::HostPort { place.port } else { None };
    let port = own.unwrap_or(bridges.port);
    let text = port.to_string();
    let switch = |on: bool| if on { "true" } else { "false" };
    let stun = bridges.stun.join(",");
    let servers: Vec<String> =
        [&model.name].into_iter().chain(&place.serves).map(|s| name(s, Component::Prosody)).collect();
    let servers = servers.join(",");
    let mut ours = vec![
        ("JVB_PORT", text.as_str()),
        ("COLIBRI_REST_ENABLED", "true"),
        ("SHUTDOWN_REST_ENABLED", "true"),
        ("JVB_OCTO_REGION", model.region.as_str()),
        ("JVB_DISABLE_STUN", switch(bridges.stun.is_empty())),
        // It asks a cloud's metadata service, which most clusters do not have and the others should not answer.
        ("DISABLE_AWS_HARVESTER", "true"),
    ];
    if !stun.is_empty() {
        ours.push(("JVB_STUN_SERVERS", stun.as_str()));
    }
    if bridges.shared && !place.serves.is_empty() {
        ours.push(("XMPP_SERVER", servers.as_str()));
    }
    let mut env: Vec<EnvVar> = env::component(model, JVB, &ours);
    address(&mut env, bridges, place.port);
    for (variable, path) in [
        ("JVB_INSTANCE_ID", "metadata.name"),
        ("JVB_MUC_NICKNAME", "metadata.name"),
        ("JVB_OCTO_RELAY_ID", "status.podIP"),
    ] {
        env::otherwise(&mut env, env::field(variable, path));
    }
    env.push(env::secret("JVB_AUTH_PASSWORD", &model.secret, "JVB_AUTH_PASSWORD"));

    let mut annotations = pod::never_evict();
    annotations.extend([env_checksum(model)]);
    pod::template(
        &bridges.pod,
        Parts {
            container: JVB.as_str(),
            labels: of_shard(model, JVB.as_str()),
            annotations,
            env,
            env_from: vec![env::from_shared(model)],
            ports: vec![media(bridges, port), pod::port("http", 8080)],
            volumes: pod::official_volumes("16Mi"),
            readiness: Some(pod::get("http", "/about/health", pod::READY)),
            // Not the health check: it fails for reasons that a restart does not cure, and a restart cuts calls.
            liveness: Some(pod::tcp("http", pod::LIVE)),
            startup: Some(pod::tcp("http", pod::START)),
            lifecycle: bridges.graceful.map(|_| Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    exec: Some(pod::command_of(&["/bin/sh", "-c", LEAVE])),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            grace: bridges
                .graceful
                .map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_add(AFTER_THE_LAST)),
            affinity: affinity(model),
            user: 1000,
            ..Default::default()
        },
    )
}

/// One bridge per node where it takes the node's port and only one may, and rather not beside a recorder, which needs the
/// CPU. Where several may, their ports keep them apart.
fn affinity(model: &ShardModel) -> k8s_openapi::api::core::v1::Affinity {
    let all = |component: Component| match &model.jitsi {
        Some(jitsi) => [
            (JITSI_LABEL.to_owned(), jitsi.clone()),
            ("app.kubernetes.io/component".to_owned(), component.as_str().to_owned()),
        ]
        .into(),
        None => shard_pods(model, component),
    };
    let bridges = pod::away_from(all(JVB));
    let recorders = pod::away_from(all(Component::Jibri));
    match model.bridges.exposure {
        ExposureType::HostPort if model.bridges.per_node == 1 => pod::anti(vec![bridges], vec![recorders]),
        _ => pod::anti(Vec::new(), vec![bridges, recorders]),
    }
}
