//! The settings that all components share.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{LocalObjectReference, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{PodModel, check::Problems, check::variable};
use crate::api::PodSettings;

/// Names of volumes that the controller makes; a user's may not be called so.
const OURS: &[&str] = &[
    "run",
    "tmp",
    "config",
    "storage",
    "data",
    "shm",
    "recordings",
    "settings",
    "mesh-key",
    "admin-token",
    "custom-config",
    "custom-interface-config",
    "custom-title",
    "custom-body",
    "custom-close",
    "prosody-config",
    "finalize",
];

/// Where the image of a component comes from when it names none.
pub(super) struct Source<'a> {
    pub(super) image: String,
    pub(super) pull_policy: &'a str,
    pub(super) pull_secrets: &'a [LocalObjectReference],
    /// The image is one of docker-jitsi-meet, of which only new ones run as we start them.
    pub(super) official: bool,
}

/// What a component asks for when the user says nothing: requests only, for a limit could cut a call.
pub(super) fn requests(cpu: &str, memory: &str) -> ResourceRequirements {
    let quantities = [("cpu", cpu), ("memory", memory)].map(|(k, v)| (k.to_owned(), Quantity(v.to_owned())));
    ResourceRequirements { requests: Some(BTreeMap::from(quantities)), ..Default::default() }
}

pub(super) fn pod(
    path: &str,
    settings: &PodSettings,
    source: Source<'_>,
    resources: ResourceRequirements,
    problems: &mut Problems,
) -> PodModel {
    let image = settings.image.clone().filter(|image| !image.is_empty()).unwrap_or(source.image);
    if source.official {
        modern(&format!("{path}.image"), &image, problems);
    }
    for (list, word) in [(&settings.pod_labels, "podLabels"), (&settings.pod_annotations, "podAnnotations")] {
        for key in list.keys().filter(|key| reserved(key)) {
            problems.add(
                format!("{path}.{word}"),
                format!("'{key}' is set by the controller; choose a key outside apps.jit.si and app.kubernetes.io"),
            );
        }
    }
    for name in settings.env.iter().map(|env| &env.name).filter(|name| !variable(name)) {
        problems.add(format!("{path}.env"), format!("'{name}' cannot be the name of an environment variable"));
    }
    let mut volumes = BTreeSet::new();
    for volume in &settings.volumes {
        if OURS.contains(&volume.name.as_str()) {
            problems.add(
                format!("{path}.volumes"),
                format!("the controller has a volume '{}' of its own; call yours otherwise", volume.name),
            );
        }
        if !volumes.insert(volume.name.as_str()) {
            problems.add(format!("{path}.volumes"), format!("there are two volumes '{}'; rename one", volume.name));
        }
    }
    for mount in &settings.volume_mounts {
        if !volumes.contains(mount.name.as_str()) && !OURS.contains(&mount.name.as_str()) {
            problems.add(
                format!("{path}.volumeMounts"),
                format!("there is no volume '{}'; add it to {path}.volumes", mount.name),
            );
        }
    }
    PodModel {
        image,
        pull_policy: settings.image_pull_policy.clone().unwrap_or_else(|| source.pull_policy.to_owned()),
        resources: settings.resources.clone().unwrap_or(resources),
        affinity: settings.affinity.clone().unwrap_or_default(),
        default_affinity: !settings.disable_default_affinity,
        node_selector: settings.node_selector.clone(),
        tolerations: settings.tolerations.clone(),
        spread: settings.topology_spread_constraints.clone(),
        priority_class: settings.priority_class_name.clone(),
        service_account: settings.service_account_name.as_ref().map(ToString::to_string),
        env: settings.env.clone(),
        env_from: settings.env_from.clone(),
        volumes: settings.volumes.clone(),
        mounts: settings.volume_mounts.clone(),
        init: settings.init_containers.clone(),
        annotations: settings.pod_annotations.clone(),
        labels: settings.pod_labels.clone(),
        pull_secrets: source.pull_secrets.to_vec(),
    }
}

/// Selectors and proxies rely on these.
fn reserved(key: &str) -> bool {
    key.starts_with("apps.jit.si/")
        || matches!(
            key,
            "app.kubernetes.io/name"
                | "app.kubernetes.io/instance"
                | "app.kubernetes.io/component"
                | "app.kubernetes.io/managed-by"
                | "app.kubernetes.io/part-of"
        )
}

/// Images before stable-11146 start as root, write to their root folder and listen on port 80: nothing that we build fits them.
fn modern(path: &str, image: &str, problems: &mut Problems) {
    let tag = image.rsplit_once('/').map_or(image, |(_, last)| last).split_once(':').map(|(_, tag)| tag);
    let number = tag.and_then(|tag| tag.strip_prefix("stable-")).map(|rest| rest.split('-').next().unwrap_or(rest));
    if number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number < 11_146) {
        problems.add(path, format!("'{image}' is too old to run without root rights; write stable-11146-1 or later"));
    }
}

/// The user's variables for all components.
pub(super) fn variables(path: &str, variables: &BTreeMap<String, String>, problems: &mut Problems) {
    for (name, value) in variables {
        if !variable(name) {
            problems.add(format!("{path}.{name}"), "write a name of A-Z, 0-9 and '_', not beginning with a digit");
        }
        if name.ends_with("_PASSWORD") && !value.is_empty() {
            problems.warn(
                format!("{path}.{name}"),
                "a password in the resource can be read by everybody who may read the resource; write it to a Secret and name that in existingSecret",
            );
        }
    }
}
