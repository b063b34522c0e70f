//! What becomes of an update, whichever verb brought it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{SERVERS_OWN, metadata};
use crate::{
    merge,
    server::{
        core::{Core, WriteOptions, Written},
        failure::{Cause, Failure},
        resource::Resource,
        store::Key,
    },
};

impl Core {
    /// Replaces `old` by `new`, within the rules. `record` is off when server-side apply has written `managedFields`.
    pub(crate) fn change(
        &mut self,
        resource: &Arc<Resource>,
        key: &Key,
        stored: &Arc<Value>,
        mut new: Value,
        options: &WriteOptions,
        record: bool,
    ) -> Result<Written, Failure> {
        let old = resource.show(stored);
        same_object(resource, key, &old, &new)?;
        let meta = metadata(&mut new);
        for field in SERVERS_OWN.iter().chain(&["namespace", "resourceVersion"]) {
            match old["metadata"].get(*field) {
                Some(value) => meta.insert((*field).to_owned(), value.clone()),
                None => meta.remove(*field),
            };
        }
        meta.remove("selfLink");
        let mut new = isolate(resource, &options.subresource, &old, new);
        resource.schema.prune(&mut new);
        resource.schema.default(&mut new);
        let now = self.time();
        let mut causes = new_finalizers(&old, &new);
        causes.extend(self.admit_update(resource, &old, &mut new, &options.subresource, &now));
        causes.splice(..0, resource.schema.validate(&new, Some(&old)));
        if !causes.is_empty() {
            return Err(Failure::invalid(resource.subject(), &key.1, &causes));
        }
        if record {
            let writer = self.writer(resource, options);
            merge::record_write(Some(&old), &mut new, &writer, &resource.schema);
        }
        let unchanged = |object| Ok(Written { object, created: false, warnings: Vec::new() });
        if same_but_times(&old, &new) {
            // A write that changes nothing: no event, no new revision.
            return if finished(&old) { self.finish(resource, key, options) } else { unchanged(old) };
        }
        if resource.generation && spec_differs(resource, &old, &new) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
            new["metadata"]["generation"] = generation.into();
        }
        if options.dry_run {
            return unchanged(new);
        }
        if finished(&new) {
            // The last finalizer went: the real server deletes without storing this state first.
            let last = self.remove_as(resource, key, resource.keep(new));
            return unchanged(resource.show(&last));
        }
        let stored = self.store.put(&resource.collection, key.clone(), resource.keep(new));
        self.after_write(resource, &stored);
        unchanged(resource.show(&stored))
    }

    fn finish(&mut self, resource: &Resource, key: &Key, options: &WriteOptions) -> Result<Written, Failure> {
        let last = self.fetch(resource, key)?;
        let last = if options.dry_run { last } else { self.remove_as(resource, key, Value::clone(&last)) };
        Ok(Written { object: resource.show(&last), created: false, warnings: Vec::new() })
    }
}

/// The write must be about the object that is there, and about its present version.
fn same_object(resource: &Resource, key: &Key, old: &Value, new: &Value) -> Result<(), Failure> {
    let sent = &new["metadata"];
    let name = sent["name"].as_str().unwrap_or_default();
    if name != key.1 {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.1
        )));
    }
    let namespace = sent["namespace"].as_str().unwrap_or_default();
    if resource.namespaced && !namespace.is_empty() && namespace != key.0 {
        return Err(Failure::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
            key.0
        )));
    }
    let (uid, have) = (sent["uid"].as_str().unwrap_or_default(), old["metadata"]["uid"].as_str().unwrap_or_default());
    if !uid.is_empty() && uid != have {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}");
        return Err(Failure::conflicting(resource.subject(), &key.1, &why));
    }
    let version = sent["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != "0" && Some(version) != old["metadata"]["resourceVersion"].as_str() {
        return Err(Failure::conflict(&resource.group, &resource.plural, &key.1));
    }
    Ok(())
}

/// A write through a subresource touches only its part; a write to the object leaves the status alone.
fn isolate(resource: &Resource, subresource: &str, old: &Value, mut new: Value) -> Value {
    if subresource == "status" {
        let mut result = old.clone();
        if let Some(fields) = result.as_object_mut() {
            match new.get("status") {
                Some(status) => fields.insert("status".to_owned(), status.clone()),
                None => fields.remove("status"),
            };
        }
        // The kubelet and node controllers label through status writes; other kinds ignore it.
        let copied: &[&str] = match resource.plural.as_str() {
            "pods" | "nodes" if !resource.custom => &["managedFields", "labels", "annotations", "finalizers"],
            _ => &["managedFields"],
        };
        for field in copied {
            match new["metadata"].get(*field) {
                Some(value) => metadata(&mut result).insert((*field).to_owned(), value.clone()),
                None => metadata(&mut result).remove(*field),
            };
        }
        return result;
    }
    if resource.status
        && let Some(fields) = new.as_object_mut()
    {
        match old.get("status") {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.remove("status"),
        };
    }
    new
}

fn new_finalizers(old: &Value, new: &Value) -> Vec<Cause> {
    if old["metadata"]["deletionTimestamp"].is_null() {
        return Vec::new();
    }
    let list = |o: &Value| o["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let had = list(old);
    let added: Vec<String> = list(new).iter().filter(|f| !had.contains(f)).map(ToString::to_string).collect();
    if added.is_empty() {
        return Vec::new();
    }
    let why = "no new finalizers can be added if the object is being deleted, found new finalizers []string";
    vec![Cause::forbidden("metadata.finalizers", &format!("{why}{{{}}}", added.join(", ")))]
}

/// Whether a deletion has nothing left to wait for.
pub(crate) fn finished(object: &Value) -> bool {
    let meta = &object["metadata"];
    !meta["deletionTimestamp"].is_null()
        && meta["finalizers"].as_array().is_none_or(Vec::is_empty)
        && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
        && object["kind"] != "Namespace"
}

/// Equal, but for the times in `managedFields`.
fn same_but_times(old: &Value, new: &Value) -> bool {
    fn timeless(object: &Value) -> Value {
        let mut entries = object["metadata"]["managedFields"].clone();
        for entry in entries.as_array_mut().into_iter().flatten() {
            entry.as_object_mut().and_then(|e| e.remove("time"));
        }
        entries
    }
    let rest = |object: &Value| {
        let mut object = object.clone();
        let meta = metadata(&mut object);
        meta.remove("managedFields");
        // An emptied map or list is stored as an absent one.
        meta.retain(|_, value| !matches!(value, Value::Null) && *value != json!({}) && *value != json!([]));
        object
    };
    timeless(old) == timeless(new) && rest(old) == rest(new)
}

/// Whether anything changed that `metadata.generation` counts.
fn spec_differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    let counted = |object: &Value| {
        let mut fields = object.as_object().cloned().unwrap_or_default();
        fields.retain(|name, value| {
            let aside = matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
            let status = name == "status" && resource.status;
            !aside && !status && !value.is_null()
        });
        fields
    };
    counted(old) != counted(new)
}
