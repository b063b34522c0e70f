//! A shard: what it needs, and what it is meant to be.

use std::time::Duration;

use k8s_openapi::{
    api::{
        core::v1::{LocalObjectReference, ResourceRequirements},
        networking::v1::NetworkPolicyPeer,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::ResourceExt;

use super::{
    Defaults, Existing, Invalid, Need, NeedKind, NetworkModel, Owner, PodModel, ShardModel,
    check::{self, Problems},
    component::{bridges, gateways, jwt_variables, recorders, web, web_files},
    pod::{self, Source, requests},
    time::parse_time,
};
use crate::api::{
    Conduct, GroupKind, GroupSpec, JITSI_LABEL, JitsiShard, NetworkPolicySpec, PodSettings, ShardTemplate,
};

/// How long a shard may drain when nothing is said.
const DRAIN_DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// The Secrets and ConfigMaps that a shard refers to.
pub fn needs(template: &ShardTemplate) -> Vec<Need> {
    let mut all = Vec::new();
    let recorders = || {
        let both = [("spec.jibri", &template.jibri), ("spec.sipJibri", &template.sip_jibri)];
        both.into_iter().filter_map(|(path, jibri)| Some((path, jibri.as_ref().filter(|jibri| jibri.enabled)?)))
    };
    let gateways = template.jigasi.as_ref().filter(|jigasi| jigasi.enabled);
    if let Some(name) = &template.existing_secret {
        let mut keys = vec!["JICOFO_AUTH_PASSWORD".to_owned(), "JVB_AUTH_PASSWORD".to_owned()];
        if recorders().next().is_some() {
            keys.extend(["JIBRI_XMPP_PASSWORD".to_owned(), "JIBRI_RECORDER_PASSWORD".to_owned()]);
        }
        if gateways.is_some() {
            keys.push("JIGASI_XMPP_PASSWORD".to_owned());
        }
        all.push(Need { path: "spec.existingSecret".to_owned(), kind: NeedKind::Secret, name: name.to_string(), keys });
    }
    if let Some(selector) = template.turn.as_ref().and_then(|turn| turn.secret.as_ref()) {
        all.push(check::secret_key("spec.turn.secret", selector));
    }
    if let Some(selector) = template.jwt.as_ref().and_then(|jwt| jwt.secret.as_ref()) {
        all.push(check::secret_key("spec.jwt.secret", selector));
    }
    if let Some(secret) = gateways.and_then(|jigasi| jigasi.sip_secret.as_ref()) {
        all.push(Need {
            path: "spec.jigasi.sipSecret".to_owned(),
            kind: NeedKind::Secret,
            name: secret.name.clone(),
            keys: vec!["JIGASI_SIP_URI".to_owned(), "JIGASI_SIP_PASSWORD".to_owned()],
        });
    }
    for (path, jibri) in recorders() {
        if let Some(bucket) = &jibri.bucket {
            all.push(Need {
                path: format!("{path}.bucket.secret"),
                kind: NeedKind::Secret,
                name: bucket.secret.name.clone(),
                keys: vec!["ACCESS_KEY".to_owned(), "SECRET_KEY".to_owned()],
            });
        }
        if let Some(script) = &jibri.finalize_script {
            all.push(check::config_map(&format!("{path}.finalizeScriptCM"), script, "finalize.sh"));
        }
    }
    if let Some(config) = template.prosody.as_ref().and_then(|prosody| prosody.custom_config.as_ref()) {
        all.push(check::config_map("spec.prosody.customProsodyConfigCM", config, "jitsi-meet.cfg.lua"));
    }
    for (field, reference, file) in template.web.iter().flat_map(web_files) {
        all.push(check::config_map(&format!("spec.web.{field}"), reference, file.key));
    }
    all
}

/// What a shard is meant to be. `existing` is what there is of its [`needs`]; None skips that check.
///
/// # Errors
/// All mistakes at once.
pub fn shard(shard: &JitsiShard, defaults: &Defaults, existing: Option<&Existing>) -> Result<ShardModel, Invalid> {
    let mut problems = Problems::default();
    let name = shard.name_any();
    problems.check(
        check::dns_label(&name, 44),
        "metadata.name",
        "write at most 44 of a-z, 0-9 and '-', beginning with a letter, such as 'meet-0'",
    );
    let owner = Owner { kind: "JitsiShard".to_owned(), name: name.clone(), uid: shard.uid().unwrap_or_default() };
    let mut model = template(
        &shard.spec.template,
        Names {
            name,
            namespace: shard.namespace().unwrap_or_else(|| "default".to_owned()),
            owner,
            jitsi: shard.labels().get(JITSI_LABEL).cloned(),
        },
        &shard.spec.groups,
        defaults,
        &mut problems,
    );
    model.drain = shard.spec.drain;
    model.retire = shard.spec.retire;
    (model.paused, model.graceful_upgrade, model.drain_deadline) = conduct(&shard.spec.conduct, &mut problems);
    if let Some(existing) = existing {
        problems.met(&needs(&shard.spec.template), existing);
    }
    model.warnings = problems.finish()?;
    Ok(model)
}

/// Paused, graceful upgrades, drain deadline.
pub(super) fn conduct(conduct: &Conduct, problems: &mut Problems) -> (bool, bool, Duration) {
    let deadline = match &conduct.drain_deadline {
        None => DRAIN_DEADLINE,
        Some(text) => parse_time(text).unwrap_or_else(|| {
            problems.add("spec.drainDeadline", "write a time from '1s' to '30d', such as '30m', '4h' or '1h30m'");
            DRAIN_DEADLINE
        }),
    };
    (conduct.paused || conduct.suspend, !conduct.disable_graceful_upgrade, deadline)
}

/// Who the shard is.
pub(super) struct Names {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) owner: Owner,
    pub(super) jitsi: Option<String>,
}

/// Makes the pods of one component after another.
pub(super) struct Pods<'a> {
    registry: String,
    tag: String,
    pull_policy: String,
    pull_secrets: &'a [LocalObjectReference],
}

impl Pods<'_> {
    pub(super) fn make(
        &self,
        component: &str,
        settings: Option<&PodSettings>,
        resources: ResourceRequirements,
        problems: &mut Problems,
    ) -> PodModel {
        let source = Source {
            image: format!("{}/{component}:{}", self.registry, self.tag),
            pull_policy: &self.pull_policy,
            pull_secrets: self.pull_secrets,
            official: true,
        };
        let none = PodSettings::default();
        pod::pod(&format!("spec.{component}"), settings.unwrap_or(&none), source, resources, problems)
    }
}

pub(super) fn template(
    spec: &ShardTemplate,
    names: Names,
    groups: &[GroupSpec],
    defaults: &Defaults,
    problems: &mut Problems,
) -> ShardModel {
    problems.check(
        check::host_name(&spec.domain),
        "spec.domain",
        "write only the host name in lower case, such as 'meet.example.org', without 'https://', port or path",
    );
    if let Some(region) = &spec.region {
        problems.check(check::label_value(region), "spec.region", "write a region such as 'europe' or 'eu-west-1'");
    }
    let timezone = spec.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
    problems.check(
        !timezone.is_empty() && timezone.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c)),
        "spec.timezone",
        "write a time zone such as 'Europe/Paris'",
    );
    pod::variables("spec.variables", &spec.variables, problems);
    for network in spec.trusted_proxies.iter().filter(|text| !check::network(text)) {
        problems
            .add("spec.trustedProxies", format!("'{network}' is neither an address nor a network; write '10.0.0.0/8'"));
    }

    let image = spec.image.clone().unwrap_or_default();
    let pods = Pods {
        registry: image.registry.unwrap_or_else(|| defaults.registry.clone()).trim_end_matches('/').to_owned(),
        tag: image.tag.unwrap_or_else(|| defaults.tag.clone()),
        pull_policy: image.pull_policy.unwrap_or_else(|| "IfNotPresent".to_owned()),
        pull_secrets: &spec.image_pull_secrets,
    };
    let turn = spec.turn.as_ref();
    let prosody = spec.prosody.as_ref();
    if spec.jvb.as_ref().is_some_and(|jvb| jvb.shared) {
        problems.check(
            spec.existing_secret.is_some(),
            "spec.jvb.shared",
            "a bridge has one password for all shards that it serves, but each shard gets a password of its own; write \
             'existingSecret' with one that all shards use",
        );
    }
    ShardModel {
        secret: spec.existing_secret.as_ref().map_or_else(|| format!("{}-secrets", names.name), ToString::to_string),
        secret_is_ours: spec.existing_secret.is_none(),
        domain: spec.domain.to_string(),
        region: spec.region.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string),
        timezone,
        variables: spec.variables.clone(),
        turn: turn.map(|turn| {
            let (prefix, port) = if turn.tls { ("TURNS", 5349) } else { ("TURN", 3478) };
            (prefix, turn.host.to_string(), turn.port.unwrap_or(port))
        }),
        turn_secret: turn.and_then(|turn| turn.secret.clone()),
        jwt: spec.jwt.as_ref().map(|jwt| jwt_variables(jwt, problems)).unwrap_or_default(),
        jwt_secret: spec.jwt.as_ref().and_then(|jwt| jwt.secret.clone()),
        trusted_proxies: if spec.trusted_proxies.is_empty() {
            private_networks()
        } else {
            spec.trusted_proxies.clone()
        },
        bridges: bridges(spec.jvb.as_ref(), &pods, groups, problems),
        recorders: spec
            .jibri
            .as_ref()
            .filter(|jibri| jibri.enabled)
            .map(|jibri| recorders(GroupKind::Jibri, jibri, &pods, groups, problems)),
        sip_recorders: spec
            .sip_jibri
            .as_ref()
            .filter(|jibri| jibri.enabled)
            .map(|jibri| recorders(GroupKind::SipJibri, jibri, &pods, groups, problems)),
        gateways: spec
            .jigasi
            .as_ref()
            .filter(|jigasi| jigasi.enabled)
            .map(|jigasi| gateways(jigasi, &pods, groups, problems)),
        web: web(spec.web.as_ref(), &pods, problems),
        prosody: pods.make("prosody", prosody.map(|p| &p.pod), requests("100m", "256Mi"), problems),
        prosody_config: prosody.and_then(|p| p.custom_config.as_ref()).map(|cm| cm.name.clone()),
        jicofo: pods.make("jicofo", spec.jicofo.as_ref().map(|j| &j.pod), requests("100m", "512Mi"), problems),
        metrics: spec.metrics,
        network: network(spec.network_policy.as_ref()),
        drain: false,
        retire: false,
        paused: false,
        graceful_upgrade: true,
        drain_deadline: DRAIN_DEADLINE,
        warnings: Vec::new(),
        name: names.name,
        namespace: names.namespace,
        owner: names.owner,
        jitsi: names.jitsi,
    }
}

fn private_networks() -> Vec<String> {
    ["127.0.0.1", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]
        .map(str::to_owned)
        .to_vec()
}

/// NetworkPolicies, on unless switched off.
pub(super) fn network(spec: Option<&NetworkPolicySpec>) -> Option<NetworkModel> {
    let none = NetworkPolicySpec::default();
    let spec = spec.unwrap_or(&none);
    spec.enabled.unwrap_or(true).then(|| NetworkModel {
        metrics_from: peers(&spec.metrics_from, &[("app.kubernetes.io/name", "prometheus")]),
        controller_from: peers(
            &spec.controller_from,
            &[("app.kubernetes.io/name", "roompin"), ("app.kubernetes.io/component", "controller")],
        ),
    })
}

/// Those given, or else pods with these labels in any namespace.
fn peers(given: &[NetworkPolicyPeer], otherwise: &[(&str, &str)]) -> Vec<NetworkPolicyPeer> {
    if !given.is_empty() {
        return given.to_vec();
    }
    let labels = otherwise.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    vec![NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(LabelSelector { match_labels: Some(labels), ..Default::default() }),
        ip_block: None,
    }]
}
