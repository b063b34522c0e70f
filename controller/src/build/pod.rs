//! Pods of the official images, as little as they need and no more.
//!
//! They run as uid 1000 with a read-only root. s6 wants a writable `/run` from which it can execute, and `/tmp`; an
//! emptyDir at `/config` holds what the scripts of the images look for there. Without `allowPrivilegeEscalation: false` s6 tries
//! to become somebody else and fails.

mod affinity;
mod probe;
mod volume;

use std::collections::BTreeMap;

pub(super) use affinity::{anti, away_from, rather_away_from};
use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, Container, ContainerPort, EnvFromSource, EnvVar, Lifecycle, PodSecurityContext,
        PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
pub(super) use probe::{LIVE, Pace, READY, START, command_of, exec, get, tcp};
pub(super) use volume::{file, mount, official_volumes, scratch};

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
            affinity: affinity::affinity(model, parts.affinity),
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
