//! PATCH in its four forms.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{decodes, identify, strict};
use crate::{
    merge::{self, ApplyError, PatchError},
    server::{
        core::{Core, WriteOptions, Written},
        failure::{Cause, Failure},
        resource::Resource,
        store::Key,
    },
};

/// The form of a patch, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    pub(crate) fn from_media_type(header: &str) -> Option<Self> {
        match header.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// 415, with the forms that this resource takes.
pub(crate) fn unsupported(custom: bool) -> Failure {
    let strategic = if custom { "" } else { ", application/strategic-merge-patch+json" };
    Failure::new(
        415,
        "UnsupportedMediaType",
        format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json{strategic}, application/apply-patch+yaml"
        ),
    )
}

pub(crate) fn patch_failure(error: &PatchError) -> Failure {
    Failure::new(error.code, error.reason, error.message.clone())
}

fn apply_failure(error: ApplyError) -> Failure {
    match error {
        ApplyError::Refused(error) => patch_failure(&error),
        ApplyError::Conflict(conflict) => {
            let causes: Vec<Value> = conflict
                .causes
                .iter()
                .map(|c| json!({ "reason": "FieldManagerConflict", "message": c.message, "field": c.field }))
                .collect();
            Failure::new(409, "Conflict", conflict.message).with_causes(causes.into())
        }
    }
}

/// The patched document, for the three forms that need a live object.
pub(crate) fn patched(kind: PatchKind, live: &Value, patch: &Value, resource: &Resource) -> Result<Value, Failure> {
    match kind {
        PatchKind::Json => merge::json_patch(live, patch).map_err(|e| patch_failure(&e)),
        PatchKind::Strategic if resource.custom => Err(unsupported(true)),
        PatchKind::Strategic => merge::strategic(live, patch, &resource.schema).map_err(|e| patch_failure(&e)),
        PatchKind::Merge | PatchKind::Apply if !patch.is_object() => Err(Failure::bad_request(format!(
            "json: cannot unmarshal {patch} into Go value of type map[string]interface {{}}"
        ))),
        PatchKind::Merge | PatchKind::Apply => Ok(merge::merge_patch(live, patch)),
    }
}

impl Core {
    /// PATCH of an object or of its status.
    pub(crate) fn patch(
        &mut self,
        resource: &Arc<Resource>,
        key: &Key,
        kind: PatchKind,
        body: &[u8],
        force: bool,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let patch: Value = serde_json::from_slice(body)
            .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
        if kind == PatchKind::Apply {
            return self.apply(resource, key, patch, body, force, options);
        }
        let stored = self.fetch(resource, key)?;
        let live = resource.show(&stored);
        let mut new = patched(kind, &live, &patch, resource)?;
        identify(resource, &mut new)?;
        let unknown = resource.schema.unknown_fields(&new);
        let errors: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        decodes(resource, &new)?;
        let warnings = strict(resource, options.validation, &errors)?;
        let mut written = self.change(resource, key, &stored, new, options, true)?;
        written.warnings = warnings;
        Ok(written)
    }

    fn apply(
        &mut self,
        resource: &Arc<Resource>,
        key: &Key,
        mut applied: Value,
        body: &[u8],
        force: bool,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        if !applied.is_object() {
            return Err(Failure::bad_request("error decoding YAML: the document is not an object"));
        }
        check_applied(resource, key, &mut applied)?;
        decodes(resource, &applied)?;
        let errors = resource.schema.strict_errors(body, &applied);
        let warnings = strict(resource, options.validation, &errors)?;
        let asked = applied["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let part = owned_part(resource, &options.subresource, applied);
        let writer = self.writer(resource, options);
        let stored = self.store.get(&resource.collection, key).cloned();
        let written = match stored {
            None if options.subresource.is_empty() => {
                if !asked.is_empty() && asked != "0" {
                    return Err(Failure::conflict(&resource.group, &resource.plural, &key.1));
                }
                let new = merge::apply(None, &part, &writer, force, &resource.schema).map_err(apply_failure)?;
                self.insert(resource, &key.0, new, options, false)
            }
            None => Err(Failure::not_found(resource.subject(), &key.1)),
            Some(_) if asked == "0" => Err(Failure::already_exists(resource.subject(), &key.1)),
            Some(stored) => {
                let live = resource.show(&stored);
                if !asked.is_empty() && Some(asked.as_str()) != live["metadata"]["resourceVersion"].as_str() {
                    return Err(Failure::conflict(&resource.group, &resource.plural, &key.1));
                }
                let new = merge::apply(Some(&live), &part, &writer, force, &resource.schema).map_err(apply_failure)?;
                self.change(resource, key, &stored, new, options, false)
            }
        };
        written.map(|written| Written { warnings, ..written })
    }
}

/// Fills in and checks the identity of an applied document.
fn check_applied(resource: &Resource, key: &Key, applied: &mut Value) -> Result<(), Failure> {
    for field in ["apiVersion", "kind"] {
        if applied[field].as_str().is_none_or(str::is_empty) {
            let missing = if field == "kind" { "Kind" } else { field };
            return Err(Failure::bad_request(format!("Object '{missing}' is missing in '{applied}'")));
        }
    }
    identify(resource, applied)?;
    let meta = super::metadata(applied);
    if meta.get("managedFields").is_some_and(|m| m.as_array().is_none_or(|a| !a.is_empty())) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let name = meta.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !name.is_empty() && name != key.1 {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.1
        )));
    }
    meta.insert("name".to_owned(), key.1.clone().into());
    if resource.namespaced {
        let sent = meta.get("namespace").and_then(Value::as_str).unwrap_or_default();
        if !sent.is_empty() && sent != key.0 {
            return Err(Failure::bad_request(format!(
                "the namespace of the object ({sent}) does not match the namespace on the request ({})",
                key.0
            )));
        }
        meta.insert("namespace".to_owned(), key.0.clone().into());
    }
    Ok(())
}

/// What an apply may own here: never the status through the object, nothing else through the status.
fn owned_part(resource: &Resource, subresource: &str, mut applied: Value) -> Value {
    if let Some(fields) = applied.as_object_mut() {
        if subresource == "status" {
            fields.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
            if let Some(meta) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                meta.retain(|name, _| matches!(name.as_str(), "name" | "namespace" | "uid"));
            }
        } else if resource.status {
            fields.remove("status");
        }
        if let Some(meta) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("resourceVersion");
            meta.remove("managedFields");
        }
    }
    applied
}

/// Apply without a field manager.
pub(crate) fn manager_missing() -> Failure {
    let cause = Cause::required("fieldManager", "is required for apply patch");
    let subject = crate::server::failure::Subject { group: "meta.k8s.io", plural: "", kind: "PatchOptions" };
    Failure::invalid(subject, "", &[cause])
}
