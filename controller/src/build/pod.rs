//! Pods of the official images, as little as they need and no more.
//!
//! They run as uid 1000 with a read-only root. s6 wants a writable `/run` from which it can execute, and `/tmp`; an
//! emptyDir at `/config` holds what the scripts of the images look for there. Without `allowPrivilegeEscalation: false` s6 tries
//! to become somebody else and fails.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, Container, EmptyDirVolumeSource, EnvFromSource, EnvVar, NodeAffinity, PodAffinity,
        PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext, Volume,
        VolumeMount,
    },
    api::core::v1::{
        ConfigMapVolumeSource, ContainerPort, ExecAction, HTTPGetAction, KeyToPath, Lifecycle, PodAffinityTerm,
        TCPSocketAction, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::labels::selector;
use crate::validate::PodModel;

type Labels = BTreeMap<String, String>;

/// What makes one pod different from another.
#[derive(Default)]
pub(super) struct Parts {
    /// Name of the main container.
    pub(super) container: &'static str,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    /// Our variables; the user's of the same name replace them.
    pub(super) env: Vec<EnvVar>,
    pub(super) env_from: Vec<EnvFromSource>,
    pub(super) ports: Vec<ContainerPort>,
    /// Our volumes and where they are mounted; a mount of the user's at the same path replaces ours.
    pub(super) volumes: Vec<(Volume, Vec<VolumeMount>)>,
    pub(super) readiness: Option<Probe>,
    pub(super) liveness: Option<Probe>,
    pub(super) startup: Option<Probe>,
    pub(super) lifecycle: Option<Lifecycle>,
    pub(super) grace: Option<i64>,
    pub(super) affinity: Affinity,
    pub(super) args: Option<Vec<String>>,
    /// The pod talks to the API and gets a token for it.
    pub(super) token: bool,
    pub(super) service_account: Option<String>,
    /// What the image cannot do without, beyond what the restricted Pod Security standard allows.
    pub(super) add_capabilities: Vec<String>,
    /// Numeric user of the image.
    pub(super) user: i64,
}

pub(super) fn template(model: &PodModel, parts: Parts) -> PodTemplateSpec {
    let mut volumes: Vec<Volume> = Vec::new();
    let mut mounts: Vec<VolumeMount> = Vec::new();
    for (volume, places) in parts.volumes {
        let free = |place: &VolumeMount| !model.mounts.iter().any(|users| users.mount_path == place.mount_path);
        let places: Vec<VolumeMount> = places.into_iter().filter(free).collect();
        // A volume of ours stays when the user mounts it elsewhere.
        if !places.is_empty() || model.mounts.iter().any(|users| users.name == volume.name) {
            volumes.push(volume);
        }
        mounts.extend(places);
    }
    volumes.extend(model.volumes.iter().cloned());
    mounts.extend(model.mounts.iter().cloned());

    let mut env = parts.env;
    env.retain(|ours| !model.env.iter().any(|users| users.name == ours.name));
    env.extend(model.env.iter().cloned());
    // The user's own sources come last and win over the shared one.
    let env_from: Vec<EnvFromSource> = parts.env_from.into_iter().chain(model.env_from.iter().cloned()).collect();

    let mut labels = model.labels.clone();
    labels.extend(parts.labels);
    let mut annotations = parts.annotations;
    annotations.extend(model.annotations.iter().map(|(key, value)| (key.clone(), value.clone())));

    let container = Container {
        name: parts.container.to_owned(),
        image: Some(model.image.clone()),
        image_pull_policy: Some(model.pull_policy.clone()),
        args: parts.args,
        env: some(env),
        env_from: some(env_from),
        ports: some(parts.ports),
        resources: Some(model.resources.clone()),
        volume_mounts: some(mounts),
        readiness_probe: parts.readiness,
        liveness_probe: parts.liveness,
        startup_probe: parts.startup,
        lifecycle: parts.lifecycle,
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: some(parts.add_capabilities) }),
            ..Default::default()
        }),
        ..Default::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..Default::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container],
            init_containers: some(model.init.clone()),
            volumes: some(volumes),
            affinity: affinity(model, parts.affinity),
            node_selector: (!model.node_selector.is_empty()).then(|| model.node_selector.clone()),
            tolerations: some(model.tolerations.clone()),
            topology_spread_constraints: some(model.spread.clone()),
            priority_class_name: model.priority_class.clone(),
            service_account_name: model.service_account.clone().or(parts.service_account),
            automount_service_account_token: Some(parts.token),
            // Kubernetes would add variables named after Services, and JVB_PORT would be one of them.
            enable_service_links: Some(false),
            image_pull_secrets: some(model.pull_secrets.clone()),
            termination_grace_period_seconds: parts.grace,
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(parts.user),
                run_as_group: Some(parts.user),
                fs_group: Some(parts.user),
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}

/// Empty lists are left out: to server-side apply an empty list is a claim.
pub(super) fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The component's affinity, with the user's added to it.
fn affinity(model: &PodModel, mut ours: Affinity) -> Option<Affinity> {
    let users = model.affinity.clone();
    if !model.default_affinity {
        ours = users;
    } else if users != Affinity::default() {
        ours = Affinity {
            node_affinity: merge(ours.node_affinity, users.node_affinity, |a, b| NodeAffinity {
                required_during_scheduling_ignored_during_execution: b
                    .required_during_scheduling_ignored_during_execution
                    .or(a.required_during_scheduling_ignored_during_execution),
                preferred_during_scheduling_ignored_during_execution: join(
                    a.preferred_during_scheduling_ignored_during_execution,
                    b.preferred_during_scheduling_ignored_during_execution,
                ),
            }),
            pod_affinity: merge(ours.pod_affinity, users.pod_affinity, |a, b| PodAffinity {
                required_during_scheduling_ignored_during_execution: join(
                    a.required_during_scheduling_ignored_during_execution,
                    b.required_during_scheduling_ignored_during_execution,
                ),
                preferred_during_scheduling_ignored_during_execution: join(
                    a.preferred_during_scheduling_ignored_during_execution,
                    b.preferred_during_scheduling_ignored_during_execution,
                ),
            }),
            pod_anti_affinity: merge(ours.pod_anti_affinity, users.pod_anti_affinity, |a, b| PodAntiAffinity {
                required_during_scheduling_ignored_during_execution: join(
                    a.required_during_scheduling_ignored_during_execution,
                    b.required_during_scheduling_ignored_during_execution,
                ),
                preferred_during_scheduling_ignored_during_execution: join(
                    a.preferred_during_scheduling_ignored_during_execution,
                    b.preferred_during_scheduling_ignored_during_execution,
                ),
            }),
        };
    }
    (ours != Affinity::default()).then_some(ours)
}

fn merge<T>(a: Option<T>, b: Option<T>, both: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

fn join<T>(a: Option<Vec<T>>, b: Option<Vec<T>>) -> Option<Vec<T>> {
    some(a.into_iter().chain(b).flatten().collect())
}

/// Keep away from pods with these labels, on the same node.
pub(super) fn away_from(labels: Labels) -> PodAffinityTerm {
    PodAffinityTerm {
        label_selector: Some(selector(labels)),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..Default::default()
    }
}

/// Prefer another node than that of pods with these labels.
pub(super) fn rather_away_from(labels: Labels) -> Affinity {
    anti(Vec::new(), vec![away_from(labels)])
}

pub(super) fn anti(required: Vec<PodAffinityTerm>, preferred: Vec<PodAffinityTerm>) -> Affinity {
    let preferred =
        preferred.into_iter().map(|term| WeightedPodAffinityTerm { weight: 100, pod_affinity_term: term }).collect();
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: some(required),
            preferred_during_scheduling_ignored_during_execution: some(preferred),
        }),
        ..Default::default()
    }
}

pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..Default::default() }
}

/// A scratch folder.
pub(super) fn scratch(name: &str, path: &str, limit: Option<&str>, memory: bool) -> (Volume, Vec<VolumeMount>) {
    let source = EmptyDirVolumeSource {
        medium: memory.then(|| "Memory".to_owned()),
        size_limit: limit.map(|limit| Quantity(limit.to_owned())),
    };
    (Volume { name: name.to_owned(), empty_dir: Some(source), ..Default::default() }, vec![mount(name, path)])
}

/// What every official image needs.
pub(super) fn official_volumes(tmp: &str) -> Vec<(Volume, Vec<VolumeMount>)> {
    vec![
        scratch("run", "/run", Some("256Mi"), false),
        scratch("tmp", "/tmp", Some(tmp), false),
        scratch("config", "/config", Some("256Mi"), false),
    ]
}

/// One file of a ConfigMap. As a subPath, because the scripts of the images look for files and pass over the links that a
/// whole ConfigMap consists of.
pub(super) fn file(
    volume: &str,
    config_map: &str,
    key: &str,
    path: &str,
    mode: Option<i32>,
) -> (Volume, Vec<VolumeMount>) {
    let source = ConfigMapVolumeSource {
        name: config_map.to_owned(),
        items: Some(vec![KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None }]),
        default_mode: mode,
        optional: None,
    };
    let place = VolumeMount { sub_path: Some(key.to_owned()), read_only: Some(true), ..mount(volume, path) };
    (Volume { name: volume.to_owned(), config_map: Some(source), ..Default::default() }, vec![place])
}

pub(super) fn port(name: &str, number: i32) -> ContainerPort {
    // The protocol is part of the key of this list: leaving it to the default would make a second entry in the eyes of
    // server-side apply.
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}

/// How often and how patiently.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) period: i32,
    pub(super) failures: i32,
}

/// Readiness: quick, so that proxies hear of a start early.
pub(super) const READY: Pace = Pace { period: 5, failures: 3 };
/// Liveness: slow, because killing a component costs conferences.
pub(super) const LIVE: Pace = Pace { period: 20, failures: 9 };
/// Start: as long as a pull of slow disks takes.
pub(super) const START: Pace = Pace { period: 5, failures: 60 };

fn paced(pace: Pace) -> Probe {
    Probe {
        period_seconds: Some(pace.period),
        failure_threshold: Some(pace.failures),
        timeout_seconds: Some(5),
        ..Default::default()
    }
}

pub(super) fn tcp(port: &str, pace: Pace) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::String(port.to_owned()), host: None }),
        ..paced(pace)
    }
}

pub(super) fn get(port: &str, path: &str, pace: Pace) -> Probe {
    let action =
        HTTPGetAction { path: Some(path.to_owned()), port: IntOrString::String(port.to_owned()), ..Default::default() };
    Probe { http_get: Some(action), ..paced(pace) }
}

pub(super) fn exec(command: &[&str], pace: Pace) -> Probe {
    Probe { exec: Some(command_of(command)), ..paced(pace) }
}

pub(super) fn command_of(command: &[&str]) -> ExecAction {
    ExecAction { command: Some(command.iter().map(|word| (*word).to_owned()).collect()) }
}

/// Cluster autoscalers leave a node alone on which such a pod runs.
pub(super) fn never_evict() -> Labels {
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Cluster autoscalers may move such a pod; its scratch folders are worth nothing.
pub(super) fn may_evict(volumes: &str) -> Labels {
    Labels::from([("cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes".to_owned(), volumes.to_owned())])
}
