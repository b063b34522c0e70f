//! Jicofo: one pod, whose restart ends every conference of the shard.

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy},
    core::v1::{Service, ServiceSpec},
};

use super::{
    Component, Object, env,
    labels::{name, of_shard, selector, shard_meta, shard_pods},
    pod::{self, Parts},
    prosody::{env_checksum, service_port},
};
use crate::validate::ShardModel;

const JICOFO: Component = Component::Jicofo;

pub(super) fn deployment(model: &ShardModel) -> Object {
    let ours = [
        // Without it the REST port is bound to loopback, and nobody could ask how many conferences there are.
        ("JICOFO_ENABLE_REST", "true"),
        ("JICOFO_ENABLE_HEALTH_CHECKS", "true"),
        ("JICOFO_ENABLE_BRIDGE_HEALTH_CHECKS", "true"),
        ("JICOFO_OCTO_REGION", model.region.as_str()),
        ("OCTO_BRIDGE_SELECTION_STRATEGY", "RegionBasedBridgeSelectionStrategy"),
    ];
    let mut env = env::component(model, JICOFO, &ours);
    env.push(env::secret("JICOFO_AUTH_PASSWORD", &model.secret, "JICOFO_AUTH_PASSWORD"));
    let mut annotations = pod::never_evict();
    annotations.extend([env_checksum(model)]);
    let template = pod::template(
        &model.jicofo,
        Parts {
            container: JICOFO.as_str(),
            labels: of_shard(model, JICOFO.as_str()),
            annotations,
            env,
            env_from: vec![env::from_shared(model)],
            ports: vec![pod::port("http", 8888)],
            volumes: pod::official_volumes("16Mi"),
            // Not /about/health: it fails while there is no bridge, and a shard that waits for one would never begin.
            readiness: Some(pod::tcp("http", pod::READY)),
            liveness: Some(pod::tcp("http", pod::LIVE)),
            startup: Some(pod::tcp("http", pod::START)),
            user: 1000,
            ..Default::default()
        },
    );
    Deployment {
        metadata: shard_meta(model, name(&model.name, JICOFO), JICOFO.as_str()),
        spec: Some(DeploymentSpec {
            replicas: Some(1),
            selector: selector(shard_pods(model, JICOFO)),
            // Two at once would both invite people into the same conferences.
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }),
            template,
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}

pub(super) fn service(model: &ShardModel) -> Object {
    Service {
        metadata: shard_meta(model, name(&model.name, JICOFO), JICOFO.as_str()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(shard_pods(model, JICOFO)),
            ports: Some(vec![service_port("http", 8888)]),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}
