//! Folders and files of a pod.

use k8s_openapi::{
    api::core::v1::{ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, Volume, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};

pub(in crate::build) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..Default::default() }
}

/// A scratch folder.
pub(in crate::build) fn scratch(
    name: &str,
    path: &str,
    limit: Option<&str>,
    memory: bool,
) -> (Volume, Vec<VolumeMount>) {
    let source = EmptyDirVolumeSource {
        medium: memory.then(|| "Memory".to_owned()),
        size_limit: limit.map(|limit| Quantity(limit.to_owned())),
    };
    (Volume { name: name.to_owned(), empty_dir: Some(source), ..Default::default() }, vec![mount(name, path)])
}

/// What every official image needs.
pub(in crate::build) fn official_volumes(tmp: &str) -> Vec<(Volume, Vec<VolumeMount>)> {
    vec![
        scratch("run", "/run", Some("256Mi"), false),
        scratch("tmp", "/tmp", Some(tmp), false),
        scratch("config", "/config", Some("256Mi"), false),
    ]
}

/// One file of a ConfigMap. As a subPath, because the scripts of the images look for files and pass over the links that a
/// whole ConfigMap consists of.
pub(in crate::build) fn file(
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
