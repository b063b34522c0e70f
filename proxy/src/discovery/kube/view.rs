//! From Services and EndpointSlices to shards: pure, so that every oddity can be tested without a cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use k8s_openapi::api::{
    core::v1::Service,
    discovery::v1::{Endpoint, EndpointPort, EndpointSlice},
};
use router_core::shard::{ShardName, ShardSpec, ShardState};

use super::SERVICE_LABEL;
use crate::{
    config::{KubernetesSource, ServicePort},
    discovery::DiscoveryError,
};

/// Shards taken from one source; the rest is named in an error.
const MAX_SHARDS: usize = 4096;
/// Addresses of one shard.
const MAX_ADDRESSES: usize = 64;
/// A state label with this value: the shard is being built and is not to be used yet.
const STARTING: &str = "starting";

/// What the objects come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) shards: BTreeMap<ShardName, ShardSpec>,
    pub(super) problems: Vec<DiscoveryError>,
}

/// Reads the shards off the objects.
///
/// A shard whose Service has no endpoint keeps the addresses of `before` as long as the Service exists: that its web
/// server is away is for probes to find, and no reason to move its rooms. One that never had any is left out.
pub(super) fn shards(
    services: &[Arc<Service>],
    slices: &[Arc<EndpointSlice>],
    source: &KubernetesSource,
    before: &BTreeMap<ShardName, ShardSpec>,
) -> View {
    let mut view = View::default();
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let name = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL));
        if let (Some(name), Some(namespace)) = (name, slice.metadata.namespace.as_deref()) {
            by_service.entry((namespace, name)).or_default().push(slice);
        }
    }
    let mut services: Vec<&Service> = services.iter().map(AsRef::as_ref).collect();
    services.sort_by_key(|service| (&service.metadata.namespace, &service.metadata.name));
    for service in services {
        let meta = &service.metadata;
        let (Some(name), Some(namespace)) = (meta.name.as_deref(), meta.namespace.as_deref()) else { continue };
        let slices = by_service.get(&(namespace, name)).map(Vec::as_slice).unwrap_or_default();
        match shard(service, name, slices, source, before) {
            Ok(Found { shard: Some(shard), problem }) => {
                view.problems.extend(problem);
                add(&mut view, shard);
            }
            Ok(Found { shard: None, problem }) => view.problems.extend(problem),
            Err(problem) => view.problems.push(problem),
        }
    }
    if view.shards.len() > MAX_SHARDS {
        view.problems.push(DiscoveryError::TooMany { found: view.shards.len(), taken: MAX_SHARDS });
        view.shards = std::mem::take(&mut view.shards).into_iter().take(MAX_SHARDS).collect();
    }
    view
}

struct Found {
    shard: Option<ShardSpec>,
    problem: Option<DiscoveryError>,
}

fn shard(
    service: &Service,
    service_name: &str,
    slices: &[&EndpointSlice],
    source: &KubernetesSource,
    before: &BTreeMap<ShardName, ShardSpec>,
) -> Result<Found, DiscoveryError> {
    let label = |key: &str| service.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let name = label(&source.shard_label).unwrap_or(service_name);
    let odd = |why: String| DiscoveryError::Name { target: format!("service {service_name}"), why };
    let name = ShardName::new(name).map_err(|error| odd(error.to_string()))?;
    let known = before.get(&name);
    let (state, mut problem) = match label(&source.state_label) {
        Some(STARTING) => return Ok(Found { shard: None, problem: None }),
        None => (ShardState::Ready, None),
        Some(word) => match state(word) {
            Some(state) => (state, None),
            None => {
                let kept = known.map_or(ShardState::Ready, |shard| shard.state);
                let why = format!(
                    "label {} is {word:?}, not ready, draining, down or starting; taken as {}",
                    source.state_label,
                    kept.as_str()
                );
                (kept, Some(DiscoveryError::State { target: format!("service {service_name}"), why }))
            }
        },
    };
    let mut addresses = addresses(service, slices, source.port.as_ref());
    if addresses.len() > MAX_ADDRESSES {
        problem = Some(DiscoveryError::TooMany { found: addresses.len(), taken: MAX_ADDRESSES });
        addresses = addresses.into_iter().take(MAX_ADDRESSES).collect();
    }
    let addresses: Vec<SocketAddr> = match (addresses.is_empty(), known) {
        (false, _) => addresses.into_iter().collect(),
        (true, Some(known)) => known.addresses.clone(),
        (true, None) => {
            let problem = Some(DiscoveryError::NoAddress { target: format!("service {service_name}") });
            return Ok(Found { shard: None, problem });
        }
    };
    let shard = ShardSpec { name, addresses, weight: source.weight, state, agent_port: source.agent_port };
    Ok(Found { shard: Some(shard), problem })
}

/// Our words, and HAProxy's for those who come from there.
fn state(word: &str) -> Option<ShardState> {
    match word {
        "ready" => Some(ShardState::Ready),
        "draining" | "drain" => Some(ShardState::Draining),
        "down" | "maint" => Some(ShardState::Down),
        _ => None,
    }
}

/// Two Services of one shard are one shard with the addresses of both, in the stricter state.
fn add(view: &mut View, shard: ShardSpec) {
    let Some(known) = view.shards.get_mut(&shard.name) else {
        view.shards.insert(shard.name.clone(), shard);
        return;
    };
    known.state = known.state.max(shard.state);
    let both: BTreeSet<SocketAddr> = known.addresses.drain(..).chain(shard.addresses).collect();
    known.addresses = both.into_iter().take(MAX_ADDRESSES).collect();
}

/// The endpoints that serve, in a stable order. As kube-proxy does it: ready ones, else those that are being ended but
/// still serve.
fn addresses(service: &Service, slices: &[&EndpointSlice], wanted: Option<&ServicePort>) -> BTreeSet<SocketAddr> {
    let mut ready = BTreeSet::new();
    let mut leaving = BTreeSet::new();
    for slice in slices {
        let Some(port) = port(service, slice.ports.as_deref().unwrap_or_default(), wanted) else { continue };
        for endpoint in &slice.endpoints {
            let to = match serving(endpoint) {
                Serving::Ready => &mut ready,
                Serving::Leaving => &mut leaving,
                Serving::No => continue,
            };
            // Kubernetes: all addresses of an endpoint are the same pod's.
            let address = endpoint.addresses.first().and_then(|address| address.parse::<IpAddr>().ok());
            to.extend(address.map(|ip| SocketAddr::new(ip, port)));
        }
    }
    if ready.is_empty() { leaving } else { ready }
}

enum Serving {
    Ready,
    Leaving,
    No,
}

/// An absent condition means ready (`discovery/v1`, EndpointConditions).
fn serving(endpoint: &Endpoint) -> Serving {
    let Some(conditions) = &endpoint.conditions else { return Serving::Ready };
    match (conditions.ready.unwrap_or(true), conditions.serving, conditions.terminating) {
        (true, ..) => Serving::Ready,
        (false, Some(true), Some(true)) => Serving::Leaving,
        _ => Serving::No,
    }
}

/// The port on the pods. A number is the Service's port first, and the pods' own second.
fn port(service: &Service, ports: &[EndpointPort], wanted: Option<&ServicePort>) -> Option<u16> {
    let tcp = |port: &&EndpointPort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    let named = |name: &str| ports.iter().filter(tcp).find(|port| port.name.as_deref().unwrap_or("") == name);
    let found = match wanted {
        Some(ServicePort::Name(name)) => named(name),
        Some(ServicePort::Number(number)) => {
            let number = i32::from(*number);
            let declared = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
            let mut declared = declared.filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
            match declared.find(|port| port.port == number) {
                Some(declared) => named(declared.name.as_deref().unwrap_or("")),
                None => ports.iter().filter(tcp).find(|port| port.port == Some(number)),
            }
        }
        None => named("http").or_else(|| ports.iter().find(tcp)),
    };
    found.and_then(|port| port.port).and_then(|port| u16::try_from(port).ok()).filter(|&port| port > 0)
}

#[cfg(test)]
mod tests;
