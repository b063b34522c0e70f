//! Who may connect to what, and what may be evicted.

use k8s_openapi::{
    api::{
        networking::v1::{
            NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{
    Component, Object,
    labels::{jitsi_meta, name, proxy_pods, selector, shard_meta, shard_pods},
};
use crate::{
    api::{ExposureType, JITSI_LABEL, PROTECTED_LABEL, SHARD_LABEL},
    validate::{JitsiModel, NetworkModel, ShardModel},
};

type Labels = std::collections::BTreeMap<String, String>;

/// From whom, to which ports. From nobody in particular is from everybody.
type Rule = (Vec<NetworkPolicyPeer>, Vec<(Ports, &'static str)>);

/// One port, a range of them, or all.
#[derive(Clone, Copy)]
enum Ports {
    One(i32),
    Range(i32, i32),
    All,
}

const fn one(port: i32) -> Ports {
    Ports::One(port)
}

fn pods(labels: Labels) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(selector(labels)), ..Default::default() }
}

fn policy(metadata: ObjectMeta, of: Labels, rules: Vec<Rule>) -> Object {
    let rules = rules.into_iter().map(|(from, ports)| NetworkPolicyIngressRule {
        from: super::pod::some(from),
        ports: Some(
            ports
                .into_iter()
                .map(|(ports, protocol)| {
                    let (port, end_port) = match ports {
                        Ports::One(port) => (Some(port), None),
                        Ports::Range(first, last) => (Some(first), Some(last)),
                        Ports::All => (None, None),
                    };
                    NetworkPolicyPort {
                        port: port.map(IntOrString::Int),
                        protocol: Some(protocol.to_owned()),
                        end_port,
                    }
                })
                .collect(),
        ),
    });
    NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(of)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(rules.collect()),
            egress: None,
        }),
    }
    .into()
}

fn budget(metadata: ObjectMeta, of: Labels, max_unavailable: i32) -> Object {
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(selector(of)),
            max_unavailable: Some(IntOrString::Int(max_unavailable)),
            // One that never became ready protects nobody.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}

/// Keeps every pod on which somebody is. The label comes and goes with them; the eviction that is refused tells whoever
/// empties a node to wait, and the node's mark tells the controller to drain.
///
/// The pods are nobody's but a JitsiShard's, which has no scale: of such the API counts only a plain `minAvailable`.
fn protection(model: &ShardModel) -> Object {
    let pods = [(SHARD_LABEL, model.name.as_str()), (PROTECTED_LABEL, "true")];
    let pods = pods.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    PodDisruptionBudget {
        metadata: shard_meta(model, format!("{}-protected", model.name), "protection"),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(selector(pods)),
            min_available: Some(IntOrString::Int(i32::MAX)),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}

/// Policies of a shard.
pub(super) fn shard(model: &ShardModel, in_use: bool) -> Vec<Object> {
    let meta = |component: Component| shard_meta(model, name(&model.name, component), component.as_str());
    let mut all = Vec::new();
    if let Some(network) = &model.network {
        for (component, rules) in rules(model, network) {
            all.push(policy(meta(component), shard_pods(model, component), rules));
        }
    }
    // While people talk, prosody and jicofo may not be moved: whoever empties a node is told to wait, and drains the shard.
    let signalling = i32::from(!in_use);
    for component in [Component::Prosody, Component::Jicofo] {
        all.push(budget(meta(component), shard_pods(model, component), signalling));
    }
    all.push(budget(meta(Component::Web), shard_pods(model, Component::Web), 1));
    all.push(protection(model));
    all
}

fn recorders(model: &ShardModel) -> impl Iterator<Item = Component> {
    let both = [(Component::Jibri, model.recorders.is_some()), (Component::SipJibri, model.sip_recorders.is_some())];
    both.into_iter().filter(|(_, wanted)| *wanted).map(|(component, _)| component)
}

fn rules(model: &ShardModel, network: &NetworkModel) -> Vec<(Component, Vec<Rule>)> {
    let of = |component: Component| pods(shard_pods(model, component));
    let watchers = || if model.metrics { network.metrics_from.clone() } else { Vec::new() };
    let with = |mut from: Vec<NetworkPolicyPeer>, more: Vec<NetworkPolicyPeer>| {
        from.extend(more);
        from
    };
    let controller = || network.controller_from.clone();

    // Bridges that are shared come from the other shards too.
    let bridges = match &model.jitsi {
        Some(jitsi) if model.bridges.shared => pods(
            [(JITSI_LABEL, jitsi.as_str()), ("app.kubernetes.io/component", Component::Jvb.as_str())]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
        _ => of(Component::Jvb),
    };
    let mut clients = vec![of(Component::Jicofo), bridges];
    clients.extend(recorders(model).chain(model.gateways.is_some().then_some(Component::Jigasi)).map(of));
    let prosody: Vec<Rule> = vec![
        (clients, vec![(one(5222), "TCP")]),
        (with(vec![of(Component::Web)], watchers()), vec![(one(5280), "TCP")]),
    ];
    let media = match model.bridges.exposure {
        ExposureType::HostPort if model.bridges.per_node > 1 => {
            Ports::Range(model.bridges.port, model.bridges.port + model.bridges.per_node - 1)
        }
        _ => one(model.bridges.port),
    };
    let mut all = vec![
        (Component::Prosody, prosody),
        (Component::Jicofo, vec![(with(controller(), watchers()), vec![(one(8888), "TCP")])]),
        // Proxies can be anywhere, and it serves what everybody may see.
        (Component::Web, vec![(Vec::new(), vec![(one(8000), "TCP")])]),
        (
            Component::Jvb,
            vec![(Vec::new(), vec![(media, "UDP")]), (with(controller(), watchers()), vec![(one(8080), "TCP")])],
        ),
    ];
    for component in recorders(model) {
        all.push((component, vec![(with(controller(), watchers()), vec![(one(2222), "TCP")])]));
    }
    if model.gateways.is_some() {
        // Voices come from wherever the telephone company sends them, to ports that the account settles.
        let rules = vec![(Vec::new(), vec![(Ports::All, "UDP")]), (controller(), vec![(one(8788), "TCP")])];
        all.push((Component::Jigasi, rules));
    }
    all
}

/// Policies of the proxies.
pub(super) fn proxies(model: &JitsiModel) -> Vec<Object> {
    let meta = || jitsi_meta(model, name(&model.name, Component::Proxy), Component::Proxy.as_str());
    let mut all = Vec::new();
    if let Some(network) = &model.network {
        let mut admin = network.controller_from.clone();
        if model.metrics {
            admin.extend(network.metrics_from.clone());
        }
        let rules = vec![
            (Vec::new(), vec![(one(8080), "TCP")]),
            (vec![pods(proxy_pods(model))], vec![(one(7946), "TCP")]),
            (admin, vec![(one(9090), "TCP")]),
        ];
        all.push(policy(meta(), proxy_pods(model), rules));
    }
    all.push(budget(meta(), proxy_pods(model), 1));
    all
}
