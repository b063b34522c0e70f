//! A Jitsi: its shards, and what stands around them.

use std::time::Duration;

use kube::ResourceExt;

use super::{
    Defaults, EdgeModel, Existing, GatewayModel, IngressModel, Invalid, JitsiModel, Owner, ProxyModel,
    check::{self, Problems},
    needs,
    pod::{self, Source, requests},
    shard::{self, Names},
    time::parse_time,
};
use crate::api::{HostName, Jitsi, JitsiSpec, ProxySpec};

/// What the controller writes into the proxies' configuration and a user may not.
const OURS: &[&str] = &["listen", "admin", "shards", "cluster", "snapshot"];

/// What a Jitsi is meant to be. `existing` is what there is of its [`needs`]; None skips that check.
///
/// # Errors
/// All mistakes at once, those of the shards included.
pub fn jitsi(jitsi: &Jitsi, defaults: &Defaults, existing: Option<&Existing>) -> Result<JitsiModel, Invalid> {
    let mut problems = Problems::default();
    let spec = &jitsi.spec;
    let name = jitsi.name_any();
    problems.check(
        check::dns_label(&name, 40),
        "metadata.name",
        "write at most 40 of a-z, 0-9 and '-', beginning with a letter, such as 'meet'",
    );
    problems.check((0..=100).contains(&spec.shards), "spec.shards", "write a number of shards from 0 to 100");
    for region in spec.shard_regions.iter().filter(|region| !check::label_value(region)) {
        problems.add("spec.shardRegions", format!("'{region}' cannot be a region; write 'europe' or 'eu-west-1'"));
    }
    let (paused, graceful_upgrade, drain_deadline) = shard::conduct(&spec.conduct, &mut problems);
    let owner = Owner { kind: "Jitsi".to_owned(), name: name.clone(), uid: jitsi.uid().unwrap_or_default() };
    let namespace = jitsi.namespace().unwrap_or_else(|| "default".to_owned());
    let sample = shard::template(
        &spec.template,
        Names {
            name: format!("{name}-0"),
            namespace: namespace.clone(),
            owner: Owner { kind: "JitsiShard".to_owned(), ..Owner::default() },
            jitsi: Some(name.clone()),
        },
        &[],
        defaults,
        &mut problems,
    );
    let edge = edge(spec, defaults, &mut problems);
    if let Some(existing) = existing {
        problems.met(&needs(&spec.template), existing);
    }
    let regions = if spec.shard_regions.is_empty() {
        vec![spec.template.region.as_ref().map(ToString::to_string)]
    } else {
        spec.shard_regions.iter().map(|region| Some(region.to_string())).collect()
    };
    Ok(JitsiModel {
        warnings: problems.finish()?,
        domain: spec.template.domain.to_string(),
        shards: usize::try_from(spec.shards).unwrap_or_default(),
        regions,
        template: spec.template.clone(),
        paused,
        graceful_upgrade,
        drain_deadline,
        edge,
        metrics: spec.template.metrics,
        network: shard::network(spec.template.network_policy.as_ref()),
        sample: Box::new(sample),
        name,
        namespace,
        owner,
    })
}

fn edge(spec: &JitsiSpec, defaults: &Defaults, problems: &mut Problems) -> Option<EdgeModel> {
    let none = ProxySpec::default();
    let wanted = spec.proxy.as_ref().unwrap_or(&none);
    let ingress = spec.ingress.as_ref().filter(|ingress| ingress.enabled);
    let gateway = spec.gateway.as_ref().filter(|gateway| gateway.enabled);
    if !wanted.enabled.unwrap_or(true) {
        for (there, word) in [(ingress.is_some(), "ingress"), (gateway.is_some(), "gateway")] {
            problems.check(
                !there,
                &format!("spec.{word}"),
                "it leads to the proxies, and 'proxy.enabled' is false; switch one of the two",
            );
        }
        return None;
    }
    Some(EdgeModel {
        proxy: proxy(wanted, spec, defaults, problems),
        ingress: ingress.map(|ingress| IngressModel {
            class: ingress.class_name.clone(),
            tls_secret: ingress.tls.then(|| {
                ingress
                    .tls_secret_name
                    .as_ref()
                    .map_or_else(|| format!("{}-tls", spec.template.domain), ToString::to_string)
            }),
            hosts: hosts(spec, &ingress.hosts, "spec.ingress.hosts", problems),
            annotations: ingress.annotations.clone(),
        }),
        gateway: gateway.map(|gateway| {
            problems.check(
                !gateway.parent_refs.is_empty(),
                "spec.gateway.parentRefs",
                "a route needs a Gateway: write 'parentRefs: [{name: NAME-OF-THE-GATEWAY}]'",
            );
            GatewayModel {
                parents: gateway.parent_refs.clone(),
                hosts: hosts(spec, &gateway.hosts, "spec.gateway.hosts", problems),
                annotations: gateway.annotations.clone(),
            }
        }),
    })
}

/// The domain first, and no name twice.
fn hosts(spec: &JitsiSpec, more: &[HostName], path: &str, problems: &mut Problems) -> Vec<String> {
    let mut all = vec![spec.template.domain.to_string()];
    for host in more {
        problems.check(check::host_name(host), path, "write host names in lower case, such as 'www.example.org'");
        if !all.iter().any(|there| *there == **host) {
            all.push(host.to_string());
        }
    }
    all
}

fn proxy(wanted: &ProxySpec, spec: &JitsiSpec, defaults: &Defaults, problems: &mut Problems) -> ProxyModel {
    let replicas = wanted.replicas.unwrap_or(2);
    problems.check((1..=16).contains(&replicas), "spec.proxy.replicas", "write a number of proxies from 1 to 16");
    let config = wanted.config.clone().unwrap_or_default();
    for key in OURS.iter().filter(|key| config.contains_key(**key)) {
        problems.add(format!("spec.proxy.config.{key}"), "the controller writes this section; leave it out");
    }
    let drain_window = match &wanted.drain_window {
        None => Duration::from_secs(20),
        Some(text) => parse_time(text).filter(|time| time.as_secs() <= 3600).unwrap_or_else(|| {
            problems.add("spec.proxy.drainWindow", "write a time from '1s' to '1h', such as '20s'");
            Duration::from_secs(20)
        }),
    };
    let service = wanted.service.clone().unwrap_or_default();
    let service_type = service.kind.unwrap_or_else(|| "ClusterIP".to_owned());
    if service_type == "ClusterIP" {
        for (there, word) in [
            (service.node_port.is_some(), "nodePort"),
            (service.external_traffic_policy.is_some(), "externalTrafficPolicy"),
        ] {
            problems.check(
                !there,
                &format!("spec.proxy.service.{word}"),
                "it needs 'type: NodePort' or 'type: LoadBalancer'; write that, or leave it out",
            );
        }
    }
    let source = Source {
        image: defaults.proxy_image.clone(),
        pull_policy: "IfNotPresent",
        pull_secrets: &spec.template.image_pull_secrets,
        official: false,
    };
    ProxyModel {
        pod: pod::pod("spec.proxy", &wanted.pod, source, requests("100m", "128Mi"), problems),
        replicas,
        service_type,
        service_annotations: service.annotations,
        node_port: service.node_port,
        external_traffic_policy: service.external_traffic_policy,
        config,
        drain_window,
        cluster_domain: defaults.cluster_domain.clone(),
    }
}
