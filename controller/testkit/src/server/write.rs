//! Create and update: the way that every write takes to the store.

mod change;
mod patch;

pub(crate) use change::finished;
pub(crate) use patch::{PatchKind, manager_missing, patched, unsupported};

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    core::{Core, DEFINITIONS, NAMESPACES, WriteOptions, Written},
    crd,
    failure::Failure,
    query::FieldValidation,
    resource::Resource,
    store::Key,
};
use crate::merge;

/// Metadata that only the server writes.
const SERVERS_OWN: [&str; 5] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// A name's length with `generateName`: the base is cut so that five letters fit a DNS label.
const BASE: usize = 58;

/// Parses a body into a document of this resource, or says why it is none.
pub(crate) fn document(resource: &Resource, body: &[u8]) -> Result<Value, Failure> {
    let mut document: Value = serde_json::from_slice(body).map_err(|error| {
        let what =
            format!("{} in version {:?} cannot be handled as a {}", resource.kind, resource.version, resource.kind);
        Failure::bad_request(format!("{what}: json: {error}"))
    })?;
    if !document.is_object() {
        return Err(Failure::bad_request(format!(
            "couldn't get version/kind; json parse error: not an object: {document}"
        )));
    }
    identify(resource, &mut document)?;
    Ok(document)
}

/// Checks `apiVersion` and `kind`, filling in what a client left out.
fn identify(resource: &Resource, document: &mut Value) -> Result<(), Failure> {
    let (version, kind) = (resource.api_version(), resource.kind.clone());
    match document["apiVersion"].as_str() {
        None | Some("") => document["apiVersion"] = version.into(),
        Some(sent) if sent != version => {
            return Err(Failure::bad_request(format!(
                "the API version in the data ({sent}) does not match the expected API version ({version})"
            )));
        }
        Some(_) => {}
    }
    match document["kind"].as_str() {
        None | Some("") => document["kind"] = kind.into(),
        Some(sent) if sent != kind => {
            return Err(Failure::bad_request(format!(
                "{sent} in version {:?} cannot be handled as a {kind}: no kind {sent:?} is registered here",
                resource.version
            )));
        }
        Some(_) => {}
    }
    if !document["metadata"].is_object() {
        document["metadata"] = json!({});
    }
    Ok(())
}

/// Refuses or warns about fields that the schema does not know, then drops them.
fn strict(resource: &Resource, validation: FieldValidation, errors: &[String]) -> Result<Vec<String>, Failure> {
    match validation {
        FieldValidation::Strict if !errors.is_empty() => {
            let list = errors.join(", ");
            Err(Failure::bad_request(if resource.custom {
                format!("strict decoding error: {list}")
            } else {
                let (kind, version) = (&resource.kind, &resource.version);
                format!("{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {list}")
            }))
        }
        FieldValidation::Warn => Ok(errors.to_vec()),
        _ => Ok(Vec::new()),
    }
}

fn decodes(resource: &Resource, document: &Value) -> Result<(), Failure> {
    resource.schema.decode(document).map_err(|error| Failure::new(error.code, "BadRequest", error.message))?;
    micro_times(resource, document)
}

/// Fields of type MicroTime take exactly six digits of a second, and are kept as given.
fn micro_times(resource: &Resource, document: &Value) -> Result<(), Failure> {
    const LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";
    let paths: &[&str] = match (resource.group.as_str(), resource.plural.as_str()) {
        ("coordination.k8s.io", "leases") => &["/spec/acquireTime", "/spec/renewTime"],
        ("" | "events.k8s.io", "events") => &["/eventTime", "/series/lastObservedTime"],
        _ => &[],
    };
    for time in paths.iter().filter_map(|path| document.pointer(path)).filter_map(Value::as_str) {
        let fraction = time.split_once('.').map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).count());
        if fraction != Some(6) || time.parse::<jiff::Timestamp>().is_err() {
            let (kind, version) = (&resource.kind, &resource.version);
            return Err(Failure::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: parsing time {time:?} as {LAYOUT:?}: \
                 cannot parse {time:?} as {LAYOUT:?}"
            )));
        }
    }
    Ok(())
}

/// Takes a metadata map out of a document that is known to be an object.
fn metadata(document: &mut Value) -> &mut Map<String, Value> {
    if !document["metadata"].is_object() {
        document["metadata"] = json!({});
    }
    match &mut document["metadata"] {
        Value::Object(map) => map,
        _ => unreachable!("just made an object"),
    }
}

impl Core {
    /// POST of a body to a collection.
    pub(crate) fn create(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let document = document(resource, body)?;
        decodes(resource, &document)?;
        let errors = resource.schema.strict_errors(body, &document);
        let warnings = strict(resource, options.validation, &errors)?;
        if document["metadata"]["resourceVersion"].as_str().is_some_and(|rv| !rv.is_empty()) {
            return Err(Failure::new(500, "", "resourceVersion should not be set on objects to be created"));
        }
        let mut written = self.insert(resource, namespace, document, options, true)?;
        written.warnings = warnings;
        Ok(written)
    }

    /// Stores a new object. `record` is off when server-side apply has already written `managedFields`.
    fn insert(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        mut new: Value,
        options: &WriteOptions,
        record: bool,
    ) -> Result<Written, Failure> {
        let sent = new["metadata"]["namespace"].as_str().unwrap_or_default();
        if !sent.is_empty() && sent != namespace {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Failure::bad_request(why));
        }
        let meta = metadata(&mut new);
        for field in SERVERS_OWN.iter().chain(&["selfLink", "resourceVersion"]) {
            meta.remove(*field);
        }
        if resource.namespaced {
            meta.insert("namespace".to_owned(), namespace.into());
        } else {
            meta.remove("namespace");
        }
        self.generate_name(resource, namespace, metadata(&mut new));
        let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.open_namespace(resource, namespace, &name)?;
        if resource.status && !keeps_posted_status(resource) {
            new.as_object_mut().and_then(|o| o.remove("status"));
        }
        resource.schema.prune(&mut new);
        resource.schema.default(&mut new);
        let now = self.time();
        let meta = metadata(&mut new);
        meta.insert("uid".to_owned(), self.dice.uid().into());
        meta.insert("creationTimestamp".to_owned(), now.clone().into());
        if resource.generation {
            meta.insert("generation".to_owned(), 1.into());
        }
        let mut causes = self.admit_create(resource, &mut new, &now);
        causes.splice(..0, resource.schema.validate(&new, None));
        if !causes.is_empty() {
            return Err(Failure::invalid(resource.subject(), &name, &causes));
        }
        let key = (namespace.to_owned(), name);
        // After validation, as the real server: an invalid object is refused even when its name is taken.
        if self.store.get(&resource.collection, &key).is_some() {
            return Err(Failure::already_exists(resource.subject(), &key.1));
        }
        if record {
            let writer = self.writer(resource, options);
            merge::record_write(None, &mut new, &writer, &resource.schema);
        }
        let created = |object| Written { object, created: true, warnings: Vec::new() };
        if options.dry_run {
            return Ok(created(new));
        }
        let stored = self.store.put(&resource.collection, key, resource.keep(new));
        self.after_write(resource, &stored);
        Ok(created(resource.show(&stored)))
    }

    fn generate_name(&mut self, resource: &Resource, namespace: &str, meta: &mut Map<String, Value>) {
        let named = meta.get("name").and_then(Value::as_str).is_some_and(|n| !n.is_empty());
        let base = meta.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
        if named || base.is_empty() {
            return;
        }
        let base: String = base.chars().take(BASE).collect();
        // The real server also tries eight times before it answers AlreadyExists.
        for _ in 0..8 {
            let name = format!("{base}{}", self.dice.suffix());
            meta.insert("name".to_owned(), name.clone().into());
            if self.store.get(&resource.collection, &(namespace.to_owned(), name)).is_none() {
                return;
            }
        }
    }

    /// New content needs a namespace that exists and is not leaving.
    fn open_namespace(&self, resource: &Resource, namespace: &str, name: &str) -> Result<(), Failure> {
        if !resource.namespaced {
            return Ok(());
        }
        let missing = || {
            let subject = super::failure::Subject { group: "", plural: "namespaces", kind: "Namespace" };
            Failure::not_found(subject, namespace)
        };
        let found = self.store.get(NAMESPACES, &(String::new(), namespace.to_owned())).ok_or_else(missing)?;
        if found["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = json!([{
            "reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {namespace} is being terminated"),
        }]);
        Err(Failure::forbidden(resource.subject(), name, &why).with_causes(cause))
    }

    /// PUT of a body to an object or to its status.
    pub(crate) fn replace(
        &mut self,
        resource: &Arc<Resource>,
        key: &Key,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let document = document(resource, body)?;
        decodes(resource, &document)?;
        let errors = resource.schema.strict_errors(body, &document);
        let warnings = strict(resource, options.validation, &errors)?;
        let old = self.fetch(resource, key)?;
        let version = document["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if (version.is_empty() || version == "0") && !resource.unconditional {
            let why = "must be specified for an update";
            let cause = super::failure::Cause::new(
                "metadata.resourceVersion",
                "FieldValueInvalid",
                format!("Invalid value: 0x0: {why}"),
            );
            return Err(Failure::invalid(resource.subject(), &key.1, &[cause]));
        }
        let mut written = self.change(resource, key, &old, document, options, true)?;
        written.warnings = warnings;
        Ok(written)
    }

    /// What a write of this kind sets in motion at once.
    pub(crate) fn after_write(&mut self, resource: &Resource, stored: &Value) {
        if resource.collection == DEFINITIONS {
            self.registry.learn(stored);
        }
    }
}

/// Kinds whose strategy does not clear a posted status.
fn keeps_posted_status(resource: &Resource) -> bool {
    resource.is("", "nodes") || resource.collection == DEFINITIONS
}

/// The kind-specific part of a definition's preparation.
pub(crate) fn prepare_definition(definition: &mut Value, now: &str) {
    crd::prepare(definition, now);
    let meta = metadata(definition);
    let leaving = meta.contains_key("deletionTimestamp");
    let finalizers = meta.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !leaving
        && !list.iter().any(|f| f == crd::CLEANUP)
    {
        list.push(crd::CLEANUP.into());
    }
}
