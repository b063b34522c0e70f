//! Parts of a shard that have more to say than their pods.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::LocalObjectReference;

use super::{
    BridgesModel, BucketModel, GatewayPodsModel, RecordersModel, Strategy, WebFile, WebModel,
    check::{self, Problems},
    pod::requests,
    scaling::{self, Component as Numbers},
    shard::Pods,
    time::parse_time,
};
use crate::{
    api::{
        BridgeSpec, BridgeStrategy, GatewayPodsSpec, GroupKind, GroupSpec, JwtSpec, RecorderSpec, ScalingSpec,
        StrategyType, TimeText, WebSpec,
    },
    plan::group::GroupModel,
};

/// How long a bridge waits for its conferences when nothing is said.
const GRACEFUL: Duration = Duration::from_secs(4 * 3600);
/// How long a recorder may take to end when nothing is said: as long as Jitsi's own script waits.
const RECORDING: Duration = Duration::from_secs(6 * 3600);
/// A STUN server of the Jitsi project, which the earlier operator asked too.
const STUN: &str = "meet-jit-si-turnrelay.jitsi.net:443";

pub(super) fn jwt_variables(jwt: &JwtSpec, problems: &mut Problems) -> BTreeMap<String, String> {
    problems.check(
        jwt.secret.is_some() != jwt.asap_key_server.is_some(),
        "spec.jwt",
        "write either 'secret' (a key that you share with the issuer) or 'asapKeyServer' (the address of its public keys)",
    );
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    set("ENABLE_AUTH", "1".to_owned());
    set("AUTH_TYPE", "jwt".to_owned());
    set("ENABLE_GUESTS", if jwt.guests { "1" } else { "0" }.to_owned());
    set("JWT_APP_ID", jwt.app_id.clone());
    set("JWT_ALLOW_EMPTY", if jwt.allow_empty { "1" } else { "0" }.to_owned());
    if let Some(server) = &jwt.asap_key_server {
        set("JWT_ASAP_KEYSERVER", server.clone());
    }
    if !jwt.accepted_issuers.is_empty() {
        set("JWT_ACCEPTED_ISSUERS", jwt.accepted_issuers.join(","));
    }
    if !jwt.accepted_audiences.is_empty() {
        set("JWT_ACCEPTED_AUDIENCES", jwt.accepted_audiences.join(","));
    }
    if let Some(url) = &jwt.auth_url {
        set("TOKEN_AUTH_URL", url.clone());
    }
    all
}

/// What a component that is not a recorder says of its numbers.
fn strategy(path: &str, spec: Option<&BridgeStrategy>, problems: &mut Problems) -> Strategy {
    let wanted = spec.cloned().unwrap_or_default();
    let replicas = wanted.replicas.unwrap_or(1);
    let max = wanted.max_replicas.filter(|max| *max > 0);
    problems.check(
        (0..=1000).contains(&replicas),
        &format!("{path}.strategy.replicas"),
        "write a number from 0 to 1000",
    );
    if max.is_some_and(|max| max < replicas) {
        problems.add(
            format!("{path}.strategy.maxReplicas"),
            format!("it is less than 'replicas'; write at least {replicas}, or leave it out"),
        );
    }
    let strategy = match wanted.kind.unwrap_or_default() {
        StrategyType::Static => Strategy::Static { replicas },
        StrategyType::Daemonset => Strategy::Daemonset,
        StrategyType::Autoscaled => {
            Strategy::Autoscaled { min: replicas, max: max.unwrap_or_else(|| tenfold(replicas)) }
        }
    };
    if max.is_some() && !matches!(strategy, Strategy::Autoscaled { .. }) {
        problems.warn(format!("{path}.strategy.maxReplicas"), "has no effect; it needs 'type: autoscaled'");
    }
    strategy
}

/// The largest number where none was given.
fn tenfold(replicas: i32) -> i32 {
    replicas.max(1).saturating_mul(10)
}

fn numbers(
    path: &str,
    kind: GroupKind,
    strategy: Strategy,
    scaling: Option<&ScalingSpec>,
    groups: &[GroupSpec],
    problems: &mut Problems,
) -> GroupModel {
    let (min, max, autoscale) = match strategy {
        Strategy::Static { replicas } => (replicas, replicas, false),
        Strategy::Daemonset => (0, 0, false),
        Strategy::Autoscaled { min, max } => (min, max, true),
    };
    let component = Numbers { path, kind, min, max, spares: None, autoscale, scaling };
    scaling::group(&component, of(kind, groups), problems)
}

fn of(kind: GroupKind, groups: &[GroupSpec]) -> Option<&GroupSpec> {
    groups.iter().find(|group| group.kind == kind)
}

pub(super) fn bridges(
    spec: Option<&BridgeSpec>,
    pods: &Pods<'_>,
    groups: &[GroupSpec],
    problems: &mut Problems,
) -> BridgesModel {
    let none = BridgeSpec::default();
    let jvb = spec.unwrap_or(&none);
    let strategy = strategy("spec.jvb", jvb.strategy.as_ref(), problems);
    let ports = jvb.ports.clone().unwrap_or_default();
    if ports.tcp.is_some() {
        problems.warn(
            "spec.jvb.ports.tcp",
            "has no effect: bridges have no TCP port for media; use 'turn' with 'tls: true'",
        );
    }
    let port = ports.udp.unwrap_or(10_000);
    problems.check((1..=65_535).contains(&port), "spec.jvb.ports.udp", "write a port from 1 to 65535");
    for address in jvb.advertise_ips.iter().filter(|text| !check::advertised(text)) {
        problems.add(
            "spec.jvb.advertiseIPs",
            format!("'{address}' is not an address; write '203.0.113.7' or '203.0.113.7#10000'"),
        );
    }
    let timeout = wait(jvb.graceful_shutdown_timeout.as_ref(), "spec.jvb.gracefulShutdownTimeout", GRACEFUL, problems);
    let group = numbers("spec.jvb", GroupKind::Jvb, strategy, jvb.scaling.as_ref(), groups, problems);
    let per_node = ports.per_node.unwrap_or(1);
    problems.check(
        (1..=100).contains(&per_node) && port + per_node <= 65_536,
        "spec.jvb.ports.perNode",
        "write a number of bridges per node from 1 to 100, so that 'udp' + 'perNode' stays within 65536",
    );
    BridgesModel {
        per_node,
        group,
        move_endpoints: jvb.move_endpoints.unwrap_or_default(),
        shared: jvb.shared,
        pod: pods.make("jvb", Some(&jvb.pod), requests("500m", "1Gi"), problems),
        strategy,
        port,
        exposure: jvb.exposure.unwrap_or_default(),
        stun: jvb
            .stun_servers
            .clone()
            .unwrap_or_else(|| if jvb.advertise_ips.is_empty() { vec![STUN.to_owned()] } else { Vec::new() }),
        advertise: jvb.advertise_ips.clone(),
        deadline: timeout,
        // Where nodes come and go by themselves, pods are taken away by others too.
        graceful: (jvb.graceful_shutdown || matches!(strategy, Strategy::Autoscaled { .. })).then_some(timeout),
    }
}

pub(super) fn recorders(
    kind: GroupKind,
    jibri: &RecorderSpec,
    pods: &Pods<'_>,
    groups: &[GroupSpec],
    problems: &mut Problems,
) -> RecordersModel {
    let path = if kind == GroupKind::Jibri { "spec.jibri" } else { "spec.sipJibri" };
    let replicas = jibri.replicas.unwrap_or(1);
    problems.check((0..=1000).contains(&replicas), &format!("{path}.replicas"), "write a number from 0 to 1000");
    let max = jibri.max_replicas.filter(|max| *max > 0).unwrap_or_else(|| tenfold(replicas));
    problems.check(
        max >= replicas,
        &format!("{path}.maxReplicas"),
        "it is less than 'replicas'; write at least as many, or leave it out",
    );
    let component = Numbers {
        path,
        kind,
        min: replicas,
        max,
        spares: jibri.scaling.is_none().then_some(replicas),
        autoscale: true,
        scaling: jibri.scaling.as_ref(),
    };
    RecordersModel {
        pod: pods.make("jibri", Some(&jibri.pod), requests("1", "2Gi"), problems),
        group: scaling::group(&component, of(kind, groups), problems),
        deadline: wait(jibri.recording_deadline.as_ref(), &format!("{path}.recordingDeadline"), RECORDING, problems),
        bucket: jibri.bucket.as_ref().map(|bucket| BucketModel {
            url: if bucket.host.contains("://") { bucket.host.clone() } else { format!("https://{}", bucket.host) },
            name: bucket.name.clone(),
            region: bucket.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            secret: bucket.secret.name.clone(),
        }),
        finalize: jibri.finalize_script.as_ref().map(|cm| cm.name.clone()),
    }
}

pub(super) fn gateways(
    spec: &GatewayPodsSpec,
    pods: &Pods<'_>,
    groups: &[GroupSpec],
    problems: &mut Problems,
) -> GatewayPodsModel {
    let strategy = strategy("spec.jigasi", spec.strategy.as_ref(), problems);
    if strategy == Strategy::Daemonset {
        problems.add("spec.jigasi.strategy.type", "write 'static' or 'autoscaled': a gateway is not tied to a node");
    }
    GatewayPodsModel {
        pod: pods.make("jigasi", Some(&spec.pod), requests("500m", "1Gi"), problems),
        group: numbers("spec.jigasi", GroupKind::Jigasi, strategy, spec.scaling.as_ref(), groups, problems),
        graceful: wait(
            spec.graceful_shutdown_timeout.as_ref(),
            "spec.jigasi.gracefulShutdownTimeout",
            GRACEFUL,
            problems,
        ),
        sip_secret: spec.sip_secret.as_ref().map(|secret| secret.name.clone()),
    }
}

fn wait(given: Option<&TimeText>, path: &str, otherwise: Duration, problems: &mut Problems) -> Duration {
    given.map_or(otherwise, |text| {
        parse_time(text).unwrap_or_else(|| {
            problems.add(path, "write a time from '1s' to '30d', such as '4h'");
            otherwise
        })
    })
}

/// The user's files: field, ConfigMap, and what becomes of it.
pub(super) fn web_files(web: &WebSpec) -> Vec<(&'static str, &LocalObjectReference, WebFile)> {
    [
        ("customConfigCM", &web.custom_config, "custom-config", "custom-config.js", "/config/custom-config.js"),
        (
            "customInterfaceConfigCM",
            &web.custom_interface_config,
            "custom-interface-config",
            "custom-interface_config.js",
            "/config/custom-interface_config.js",
        ),
        (
            "customTitleConfigCM",
            &web.custom_title,
            "custom-title",
            "custom-title.html",
            "/usr/share/jitsi-meet/title.html",
        ),
        ("customBodyConfigCM", &web.custom_body, "custom-body", "custom-body.html", "/usr/share/jitsi-meet/body.html"),
        (
            "customCloseConfigCM",
            &web.custom_close,
            "custom-close",
            "custom-close.html",
            "/usr/share/jitsi-meet/static/close3.html",
        ),
    ]
    .into_iter()
    .filter_map(|(field, reference, volume, key, path)| {
        let reference = reference.as_ref()?;
        Some((field, reference, WebFile { volume, config_map: reference.name.clone(), key, path }))
    })
    .collect()
}

pub(super) fn web(spec: Option<&WebSpec>, pods: &Pods<'_>, problems: &mut Problems) -> WebModel {
    let replicas = spec.and_then(|web| web.replicas).unwrap_or(1);
    problems.check((1..=100).contains(&replicas), "spec.web.replicas", "write a number of web pods from 1 to 100");
    WebModel {
        pod: pods.make("web", spec.map(|web| &web.pod), requests("50m", "64Mi"), problems),
        replicas,
        files: spec.map(|web| web_files(web).into_iter().map(|(_, _, file)| file).collect()).unwrap_or_default(),
    }
}
