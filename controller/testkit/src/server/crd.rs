//! CustomResourceDefinitions: their checks, their status, and the resources that they add.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    failure::Cause,
    resource::{Column, Resource, ScalePaths},
};
use crate::schema::Schema;

/// Keeps a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// The resources that a definition serves, one for each served version.
pub(crate) fn resources(definition: &Value) -> Vec<Resource> {
    let spec = &definition["spec"];
    let versions = spec["versions"].as_array().into_iter().flatten();
    versions.filter(|v| v["served"] == true).map(|v| resource(spec, v)).collect()
}

fn resource(spec: &Value, version: &Value) -> Resource {
    let names = &spec["names"];
    let (group, kind, plural) = (text(&spec["group"]), text(&names["kind"]), text(&names["plural"]));
    let name = text(&version["name"]);
    let status = version["subresources"]["status"].is_object();
    let scale = &version["subresources"]["scale"];
    let schema = Schema::from_crd(&version["schema"]["openAPIV3Schema"]);
    Resource {
        singular: names["singular"].as_str().map_or_else(|| kind.to_lowercase(), str::to_owned),
        list_kind: names["listKind"].as_str().map_or_else(|| format!("{kind}List"), str::to_owned),
        namespaced: spec["scope"] == "Namespaced",
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        status,
        scale: scale.is_object().then(|| ScalePaths {
            spec_replicas: text(&scale["specReplicasPath"]),
            status_replicas: text(&scale["statusReplicasPath"]),
            selector: scale["labelSelectorPath"].as_str().map(str::to_owned),
        }),
        actions: &[],
        generation: true,
        unconditional: false,
        answers_deleted: false,
        custom: true,
        columns: version["additionalPrinterColumns"].as_array().into_iter().flatten().map(column).collect(),
        selectable: version["selectableFields"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|f| text(&f["jsonPath"]))
            .collect(),
        schema: Arc::new(schema.with_kind(&group, &name, &kind).with_status(status)),
        collection: format!("{group}/{plural}"),
        version: name,
        group,
        kind,
        plural,
    }
}

fn column(column: &Value) -> Column {
    Column {
        name: text(&column["name"]),
        kind: text(&column["type"]),
        format: text(&column["format"]),
        description: text(&column["description"]),
        priority: column["priority"].as_i64().unwrap_or_default(),
        path: text(&column["jsonPath"]),
    }
}

/// Fills in what the server derives from a definition, on create and on every change.
pub(crate) fn prepare(definition: &mut Value, now: &str) {
    let kind = text(&definition["spec"]["names"]["kind"]);
    let spec = &mut definition["spec"];
    if spec["names"]["singular"].is_null() {
        spec["names"]["singular"] = kind.to_lowercase().into();
    }
    if spec["names"]["listKind"].is_null() {
        spec["names"]["listKind"] = format!("{kind}List").into();
    }
    if spec["conversion"].is_null() {
        spec["conversion"] = json!({ "strategy": "None" });
    }
    let names = spec["names"].clone();
    let mut stored = texts(&definition["status"]["storedVersions"]);
    for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
        let name = text(&version["name"]);
        if version["storage"] == true && !stored.contains(&name) {
            stored.push(name);
        }
    }
    let since = definition["status"]["conditions"][0]["lastTransitionTime"].as_str().unwrap_or(now).to_owned();
    let condition = |kind: &str, reason: &str, message: &str| json!({ "type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since });
    definition["status"] = json!({
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": names,
        "storedVersions": stored,
    });
}

/// What is wrong with a definition, beyond its schema.
pub(crate) fn causes(definition: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = &definition["spec"];
    let name = &definition["metadata"]["name"];
    if text(name) != format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"])) {
        causes.push(Cause::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
    }
    if !matches!(spec["scope"].as_str(), Some("Namespaced" | "Cluster")) {
        causes.push(Cause::new(
            "spec.scope",
            "FieldValueNotSupported",
            format!("Unsupported value: {}: supported values: \"Cluster\", \"Namespaced\"", spec["scope"]),
        ));
    }
    let versions = spec["versions"].as_array().cloned().unwrap_or_default();
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &spec["versions"], why));
    }
    for (i, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{i}].schema.openAPIV3Schema");
        let schema = &version["schema"]["openAPIV3Schema"];
        if !schema.is_object() {
            causes.push(Cause::required(&at, "schemas are required"));
        } else if schema["type"] != "object" {
            causes.push(Cause::invalid(&format!("{at}.type"), &schema["type"], "must be object at the root"));
        }
    }
    causes
}
