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
use crate::{api::PROTECTED_LABEL, validate::{JitsiModel, NetworkModel, ShardModel, Strategy}};

type Labels = std::collections::BTreeMap<String, String>;

/// From whom, to which ports. From nobody in particular is from everybody.
type Rule = (Vec<NetworkPolicyPeer>, Vec<(i32, &'static str)>);

fn pods(labels: Labels) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(selector(labels)), ..Default::default() }
}

fn policy(metadata: ObjectMeta, of: Labels, rules: Vec<Rule>) -> Object {
    let rules = rules.into_iter().map(|(from, ports)| NetworkPolicyIngressRule {
        from: super::pod::some(from),
        ports: Some(
            ports
                .into_iter()
                .map(|(port, protocol)| NetworkPolicyPort {
                    port: Some(IntOrString::Int(port)),
                    protocol: Some(protocol.to_owned()),
                    end_port: None,
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
    // A DaemonSet has no scale, so a budget could not be counted; kubectl drain passes over its pods anyway.
    if !matches!(model.bridges.strategy, Strategy::Daemonset) {
        all.push(budget(meta(Component::Jvb), shard_pods(model, Component::Jvb), 1));
    }
    for component in recorders(model) {
        let mut busy = shard_pods(model, component);
        busy.insert(PROTECTED_LABEL.to_owned(), "true".to_owned());
        all.push(guard(meta(component), busy));
    }
    all
}

fn recorders(model: &ShardModel) -> impl Iterator<Item = Component> {
    let both = [(Component::Jibri, model.recorders.is_some()), (Component::SipJibri, model.sip_recorders.is_some())];
    both.into_iter().filter(|(_, wanted)| *wanted).map(|(component, _)| component)
}

/// Pods that nobody may evict, as long as they have these labels. Who makes them has no scale, so the budget is a number
/// that is never reached.
fn guard(metadata: ObjectMeta, of: Labels) -> Object {
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(selector(of)),
            min_available: Some(IntOrString::Int(i32::MAX)),
            ..Default::default()
        }),
        ..Default::default()
    }
    .into()
}

fn rules(model: &ShardModel, network: &NetworkModel) -> Vec<(Component, Vec<Rule>)> {
    let of = |component: Component| pods(shard_pods(model, component));
    let watchers = || if model.metrics { network.metrics_from.clone() } else { Vec::new() };
    let with = |mut from: Vec<NetworkPolicyPeer>, more: Vec<NetworkPolicyPeer>| {
        from.extend(more);
        from
    };
    let controller = || network.controller_from.clone();

    let prosody: Vec<Rule> = vec![
        (
            with(vec![of(Component::Jicofo), of(Component::Jvb)], recorders(model).map(of).collect()),
            vec![(5222, "TCP")],
        ),
        (with(vec![of(Component::Web)], watchers()), vec![(5280, "TCP")]),
    ];
    let mut all = vec![
        (Component::Prosody, prosody),
        (Component::Jicofo, vec![(with(controller(), watchers()), vec![(8888, "TCP")])]),
        // Proxies can be anywhere, and it serves what everybody may see.
        (Component::Web, vec![(Vec::new(), vec![(8000, "TCP")])]),
        (
            Component::Jvb,
            vec![
                (Vec::new(), vec![(model.bridges.port, "UDP")]),
                (with(controller(), watchers()), vec![(8080, "TCP")]),
            ],
        ),
    ];
    for component in recorders(model) {
        all.push((component, vec![(with(controller(), watchers()), vec![(2222, "TCP")])]));
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
            (Vec::new(), vec![(8080, "TCP")]),
            (vec![pods(proxy_pods(model))], vec![(7946, "TCP")]),
            (admin, vec![(9090, "TCP")]),
        ];
        all.push(policy(meta(), proxy_pods(model), rules));
    }
    all.push(budget(meta(), proxy_pods(model), 1));
    all
}
