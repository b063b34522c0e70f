//! The custom resource definitions as YAML: what `roompin-controller crds` prints and `deploy/crds` holds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::api::{Jitsi, JitsiShard};

/// Both definitions, in the order in which they are printed.
pub fn definitions() -> [CustomResourceDefinition; 2] {
    [Jitsi::crd(), JitsiShard::crd()]
}

/// Both definitions as one YAML stream.
///
/// # Errors
/// Only where a definition cannot be written as YAML, which would be a mistake of ours.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    let documents: Result<Vec<String>, _> = definitions().iter().map(document).collect();
    Ok(documents?.join("---\n"))
}

/// One definition as YAML, under the header that tells where it comes from.
///
/// # Errors
/// As [`yaml`].
pub fn document(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    Ok(format!(
        "# Printed by `roompin-controller crds`; change controller/src/api instead.\n{}",
        serde_saphyr::to_string(crd)?
    ))
}
