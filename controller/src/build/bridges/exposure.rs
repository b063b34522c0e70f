//! How media reaches a bridge.

use k8s_openapi::{
    api::core::v1::{ContainerPort, EnvVar, Service, ServicePort, ServiceSpec},
    apimachinery::pkg::{apis::meta::v1::OwnerReference, util::intstr::IntOrString},
};

use super::{
    super::{
        env,
        labels::{of_shard, shard_meta},
    },
    JVB,
};
use crate::{
    api::ExposureType,
    validate::{BridgesModel, ShardModel},
};

/// Label with the name of the pod, for the Service that leads to this one alone.
pub(super) const POD_LABEL: &str = "apps.jit.si/pod";
/// The node's address, for use in another variable.
const HOST: &str = "ROOMPIN_HOST_IP";

pub(super) fn media(bridges: &BridgesModel, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some("media".to_owned()),
        container_port: port,
        host_port: matches!(bridges.exposure, ExposureType::HostPort).then_some(port),
        protocol: Some("UDP".to_owned()),
        ..Default::default()
    }
}

/// What the bridge tells clients: addresses, each with the port where that is not the one it listens at.
pub(super) fn address(env: &mut Vec<EnvVar>, bridges: &BridgesModel, port: Option<i32>) {
    const VARIABLE: &str = "JVB_ADVERTISE_IPS";
    let behind = if bridges.exposure == ExposureType::NodePort { port } else { None };
    let with = |address: &str| match behind {
        Some(port) if !address.contains('#') => format!("{address}#{port}"),
        _ => address.to_owned(),
    };
    let plain = |value: String| EnvVar { name: VARIABLE.to_owned(), value: Some(value), value_from: None };
    if !bridges.advertise.is_empty() {
        let all: Vec<_> = bridges.advertise.iter().map(|address| with(address)).collect();
        env::otherwise(env, plain(all.join(",")));
    } else if behind.is_some() {
        // A variable can only be used by those after it.
        env::otherwise(env, env::field(HOST, "status.hostIP"));
        env::otherwise(env, plain(with(&format!("$({HOST})"))));
    } else {
        let path = if bridges.exposure == ExposureType::PodIp { "status.podIP" } else { "status.hostIP" };
        env::otherwise(env, env::field(VARIABLE, path));
    }
}

/// The Service of one bridge, made before its pod: the pod has to know its port. The API chooses one unless there is one
/// to keep.
///
/// The shard only owns it until the pod is there and takes it over; then both end together.
pub fn service(model: &ShardModel, name: &str) -> Service {
    let mut metadata = shard_meta(model, name.to_owned(), JVB.as_str());
    for owner in metadata.owner_references.iter_mut().flatten() {
        let OwnerReference { controller, block_owner_deletion, .. } = owner;
        (*controller, *block_owner_deletion) = (None, None);
    }
    let mut selector = of_shard(model, JVB.as_str());
    selector.retain(|key, _| key == crate::api::SHARD_LABEL || key == "app.kubernetes.io/component");
    selector.insert(POD_LABEL.to_owned(), name.to_owned());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some("NodePort".to_owned()),
            selector: Some(selector),
            // Only the node of the bridge answers, so the client's address stays and nothing takes a detour.
            external_traffic_policy: Some("Local".to_owned()),
            // It has to be found before it is ready: clients are told of it when it is in the brewery.
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some("media".to_owned()),
                port: model.bridges.port,
                target_port: Some(IntOrString::String("media".to_owned())),
                protocol: Some("UDP".to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        status: None,
    }
}
