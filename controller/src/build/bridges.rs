//! Bridges as Deployment or DaemonSet.
//!
//! With `gracefulShutdown` a bridge that has to go tells jicofo so, and waits until its last conference has ended. That is
//! as good as it gets with a workload of Kubernetes' own: which bridge goes is not ours to choose.

use k8s_openapi::{
    api::{
        apps::v1::{
            DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, Deployment, DeploymentSpec, DeploymentStrategy,
            RollingUpdateDaemonSet, RollingUpdateDeployment,
        },
        core::v1::{ContainerPort, EnvVar, Lifecycle, LifecycleHandler, PodTemplateSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Component, Object, env,
    labels::{name, of_shard, selector, shard_meta, shard_pods},
    pod::{self, Parts},
    prosody::env_checksum,
};
use crate::{
    api::{ExposureType, JITSI_LABEL},
    validate::{ShardModel, Strategy},
};

const JVB: Component = Component::Jvb;

/// What is left of the grace period after the last conference: a minute in which jicofo moves leftovers, and the JVM's end.
const AFTER_THE_LAST: i64 = 120;

/// Drain first, so that jicofo prefers others at once; then the shutdown that ends the process by itself. The loop keeps
/// the pod until the bridge has stopped answering.
const LEAVE: &str = "\
curl -s -m 5 -X POST http://localhost:8080/colibri/drain/enable
curl -s -m 5 -X POST -H 'Content-Type: application/json' -d '{\"graceful-shutdown\":\"true\"}' http://localhost:8080/colibri/shutdown
while curl -sf -m 5 -o /dev/null http://localhost:8080/about/version; do sleep 5; done
";

/// The bridges of a shard.
pub(super) fn workload(model: &ShardModel) -> Object {
    match fixed(model.bridges.strategy) {
        Fixed::Count(replicas) => deployment(model, replicas),
        Fixed::EveryNode => daemon_set(model),
    }
}

/// A strategy that needs nobody to decide anything.
enum Fixed {
    Count(i32),
    EveryNode,
}

/// `autoscaled` is a matter of bare pods that the controller chooses among (issue 6, which replaces this function). Until
/// then it is as many bridges as it would have at the least.
fn fixed(strategy: Strategy) -> Fixed {
    match strategy {
        Strategy::Static { replicas } | Strategy::Autoscaled { min: replicas, .. } => Fixed::Count(replicas),
        Strategy::Daemonset => Fixed::EveryNode,
    }
}

fn deployment(model: &ShardModel, replicas: i32) -> Object {
    Deployment {
        metadata: shard_meta(model, name(&model.name, JVB), JVB.as_str()),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: selector(shard_pods(model, JVB)),
            // A port of the node cannot be had twice: the old one first.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(0)),
                    max_unavailable: Some(IntOrString::String("50%".to_owned())),
                }),
            }),
            template: template(model),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
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
            template: template(model),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}

/// The pod of one bridge; issue 6 makes bare pods of it.
pub(super) fn template(model: &ShardModel) -> PodTemplateSpec {
    let bridges = &model.bridges;
    let port = bridges.port.to_string();
    let switch = |on: bool| if on { "true" } else { "false" };
    let stun = bridges.stun.join(",");
    let advertise = bridges.advertise.join(",");
    let mut ours = vec![
        ("JVB_PORT", port.as_str()),
        ("COLIBRI_REST_ENABLED", "true"),
        ("SHUTDOWN_REST_ENABLED", switch(bridges.graceful.is_some())),
        ("JVB_OCTO_REGION", model.region.as_str()),
        ("JVB_DISABLE_STUN", switch(bridges.stun.is_empty())),
        // It asks a cloud's metadata service, which most clusters do not have and the others should not answer.
        ("DISABLE_AWS_HARVESTER", "true"),
    ];
    if !stun.is_empty() {
        ours.push(("JVB_STUN_SERVERS", stun.as_str()));
    }
    if !advertise.is_empty() {
        ours.push(("JVB_ADVERTISE_IPS", advertise.as_str()));
    }
    let mut env: Vec<EnvVar> = env::component(model, JVB, &ours);
    let address = match bridges.exposure {
        ExposureType::HostPort | ExposureType::NodePort => "status.hostIP",
        ExposureType::PodIp => "status.podIP",
    };
    for (variable, path) in [
        ("JVB_ADVERTISE_IPS", address),
        ("JVB_INSTANCE_ID", "metadata.name"),
        ("JVB_MUC_NICKNAME", "metadata.name"),
        ("JVB_OCTO_RELAY_ID", "status.podIP"),
    ] {
        env::otherwise(&mut env, env::field(variable, path));
    }
    env.push(env::secret("JVB_AUTH_PASSWORD", &model.secret, "JVB_AUTH_PASSWORD"));

    let mut annotations = pod::never_evict();
    annotations.extend([env_checksum(model)]);
    let media = ContainerPort {
        name: Some("media".to_owned()),
        container_port: bridges.port,
        host_port: matches!(bridges.exposure, ExposureType::HostPort).then_some(bridges.port),
        protocol: Some("UDP".to_owned()),
        ..Default::default()
    };
    pod::template(
        &bridges.pod,
        Parts {
            container: JVB.as_str(),
            labels: of_shard(model, JVB.as_str()),
            annotations,
            env,
            env_from: vec![env::from_shared(model)],
            ports: vec![media, pod::port("http", 8080)],
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

/// One bridge per node where it takes the node's port, and rather not beside a recorder, which needs the CPU.
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
        ExposureType::HostPort => pod::anti(vec![bridges], vec![recorders]),
        ExposureType::PodIp | ExposureType::NodePort => pod::anti(Vec::new(), vec![bridges, recorders]),
    }
}
