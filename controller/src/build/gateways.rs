//! Gateways to telephones (jigasi): bare pods, as bridges are.
//!
//! A gateway registers with the SIP account and waits for calls. It has no mark that can be taken back: told to end, it is
//! passed over by jicofo and ends with its last call.

use k8s_openapi::api::core::v1::{EnvFromSource, Lifecycle, LifecycleHandler, Pod, PodTemplateSpec, SecretEnvSource};

use super::{
    Component,
    bridges::{AFTER_THE_LAST, Place, bare},
    checksum, env,
    labels::{of_shard, shard_pods},
    pod::{self, Parts},
    prosody::env_checksum,
};
use crate::validate::{GatewayPodsModel, ShardModel};

const JIGASI: Component = Component::Jigasi;

/// For everybody who deletes or evicts the pod without asking the controller.
const LEAVE: &str = "\
curl -s -m 5 -X POST -H 'Content-Type: application/json' -d '{\"graceful-shutdown\":\"true\"}' http://localhost:8788/about/shutdown
while curl -s -m 5 -o /dev/null http://localhost:8788/about/health; do sleep 5; done
";

/// The pod of one gateway. `settled` is as for bridges.
pub fn gateway(model: &ShardModel, gateways: &GatewayPodsModel, place: &Place, settled: bool) -> Pod {
    let revision = settled.then(|| gateway_revision(model, gateways));
    bare(model, JIGASI, template(model, gateways), place, revision)
}

/// The fingerprint of what gateways are made from.
pub fn gateway_revision(model: &ShardModel, gateways: &GatewayPodsModel) -> String {
    checksum(&template(model, gateways))
}

fn template(model: &ShardModel, gateways: &GatewayPodsModel) -> PodTemplateSpec {
    let ours = [("SHUTDOWN_REST_ENABLED", "true"), ("JIGASI_XMPP_USER", "jigasi")];
    let mut variables = env::component(model, JIGASI, &ours);
    variables.push(env::secret("JIGASI_XMPP_PASSWORD", &model.secret, "JIGASI_XMPP_PASSWORD"));
    let account = gateways.sip_secret.as_ref().map(|name| EnvFromSource {
        secret_ref: Some(SecretEnvSource { name: name.clone(), optional: None }),
        ..Default::default()
    });
    let mut annotations = pod::never_evict();
    annotations.extend([env_checksum(model)]);
    let grace = i64::try_from(gateways.graceful.as_secs()).unwrap_or(i64::MAX).saturating_add(AFTER_THE_LAST);
    pod::template(
        &gateways.pod,
        Parts {
            container: JIGASI.as_str(),
            labels: of_shard(model, JIGASI.as_str()),
            annotations,
            env: variables,
            env_from: [env::from_shared(model)].into_iter().chain(account).collect(),
            ports: vec![pod::port("http", 8788)],
            volumes: pod::official_volumes("64Mi"),
            readiness: Some(pod::get("http", "/about/health", pod::READY)),
            // A restart cuts calls, and does not cure an account that cannot register.
            liveness: Some(pod::tcp("http", pod::LIVE)),
            startup: Some(pod::tcp("http", pod::START)),
            lifecycle: Some(Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    exec: Some(pod::command_of(&["/bin/sh", "-c", LEAVE])),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            grace: Some(grace),
            affinity: pod::rather_away_from(shard_pods(model, JIGASI)),
            user: 1000,
            ..Default::default()
        },
    )
}
