//! What the server itself adds to, or forbids in, the kinds that it knows: allocation, immutable fields, admission.

mod pods;
mod services;
mod workloads;

use serde_json::{Value, json};

use super::{
    core::{Core, DEFINITIONS, NAMESPACES},
    crd,
    failure::Cause,
    resource::Resource,
    write,
};

impl Core {
    /// Completes a new object, and says what is wrong with it.
    pub(crate) fn admit_create(&mut self, resource: &Resource, new: &mut Value, now: &str) -> Vec<Cause> {
        match (resource.group.as_str(), resource.plural.as_str()) {
            ("", "namespaces") => {
                let name = new["metadata"]["name"].clone();
                new["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
                new["spec"]["finalizers"] = json!(["kubernetes"]);
                new["status"] = json!({ "phase": "Active" });
                Vec::new()
            }
            ("", "pods") => pods::create(new),
            ("", "services") => self.admit_service(None, new),
            ("", "persistentvolumeclaims") => {
                new["status"] = json!({ "phase": "Pending" });
                Vec::new()
            }
            ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => workloads::create(new),
            _ if resource.collection == DEFINITIONS => {
                write::prepare_definition(new, now);
                crd::causes(new)
            }
            _ => Vec::new(),
        }
    }

    /// Completes an update, and says what is wrong with it.
    pub(crate) fn admit_update(
        &mut self,
        resource: &Resource,
        old: &Value,
        new: &mut Value,
        subresource: &str,
        now: &str,
    ) -> Vec<Cause> {
        match (resource.group.as_str(), resource.plural.as_str()) {
            _ if resource.collection == NAMESPACES => {
                new["metadata"]["labels"]["kubernetes.io/metadata.name"] = new["metadata"]["name"].clone();
                new["spec"] = old["spec"].clone();
                Vec::new()
            }
            ("", "pods") if subresource.is_empty() => pods::update(old, new),
            ("", "services") if subresource.is_empty() => self.admit_service(Some(old), new),
            ("apps", plural) if subresource.is_empty() => workloads::update(plural, old, new),
            ("", "secrets" | "configmaps") => sealed(old, new),
            _ if resource.collection == DEFINITIONS && subresource.is_empty() => {
                write::prepare_definition(new, now);
                crd::causes(new)
            }
            _ => Vec::new(),
        }
    }
}

/// `immutable: true` holds for ever, and a Secret keeps its type.
fn sealed(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if old["immutable"] == true {
        if new["immutable"] != true {
            causes.push(Cause::forbidden("immutable", "field is immutable when `immutable` is set"));
        }
        for field in ["data", "stringData", "binaryData"] {
            if old[field] != new[field] {
                causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
            }
        }
    }
    if old["type"] != new["type"] {
        causes.push(Cause::invalid("type", &new["type"], "field is immutable"));
    }
    causes
}
