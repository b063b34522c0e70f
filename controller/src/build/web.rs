//! The web server, and the Service by which proxies find the shard.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{Service, ServiceSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Component, Object, env,
    labels::{name, of_shard, selector, shard_meta, shard_pods},
    pod::{self, Parts},
    prosody::{env_checksum, service_port},
};
use crate::{
    api::{REGION_LABEL, SHARD_STATE_LABEL, ShardState},
    validate::ShardModel,
};

const WEB: Component = Component::Web;

pub(super) fn deployment(model: &ShardModel) -> Object {
    let bosh = format!("http://{}:5280", name(&model.name, Component::Prosody));
    let ours = [("DISABLE_HTTPS", "1"), ("ENABLE_HTTP_REDIRECT", "false"), ("XMPP_BOSH_URL_BASE", bosh.as_str())];
    let mut volumes = pod::official_volumes("16Mi");
    volumes.push(pod::scratch("storage", "/storage", Some("256Mi"), false));
    volumes
        .extend(model.web.files.iter().map(|file| pod::file(file.volume, &file.config_map, file.key, file.path, None)));
    let mut annotations = pod::may_evict("run,tmp,config,storage");
    annotations.extend([env_checksum(model)]);
    let template = pod::template(
        &model.web.pod,
        Parts {
            container: WEB.as_str(),
            labels: of_shard(model, WEB.as_str()),
            annotations,
            env: env::component(model, WEB, &ours),
            env_from: vec![env::from_shared(model)],
            ports: vec![pod::port("http", 8000)],
            volumes,
            readiness: Some(pod::get("http", "/", pod::READY)),
            liveness: Some(pod::tcp("http", pod::LIVE)),
            affinity: pod::rather_away_from(shard_pods(model, WEB)),
            user: 1000,
            ..Default::default()
        },
    );
    Deployment {
        metadata: shard_meta(model, name(&model.name, WEB), WEB.as_str()),
        spec: Some(DeploymentSpec {
            replicas: Some(model.web.replicas),
            selector: selector(shard_pods(model, WEB)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                // Tunnels run through it: the new one first.
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template,
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}

/// Proxies read the shard's name and state from its labels; without a state they leave it alone.
pub(super) fn service(model: &ShardModel, state: Option<ShardState>) -> Object {
    let mut metadata = shard_meta(model, name(&model.name, WEB), WEB.as_str());
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(REGION_LABEL.to_owned(), model.region.clone());
    if let Some(state) = state {
        labels.insert(SHARD_STATE_LABEL.to_owned(), state.as_str().to_owned());
    }
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(shard_pods(model, WEB)),
            ports: Some(vec![{
                let mut port = service_port("http", 80);
                port.app_protocol = Some("http".to_owned());
                port
            }]),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}
