//! Deletion: finalizers, grace, preconditions and propagation.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    clock::seconds,
    core::{Core, DEFINITIONS, NAMESPACES},
    failure::Failure,
    query::DeleteOptions,
    resource::Resource,
    store::Key,
    write::finished,
};

/// What a delete came to.
#[derive(Debug)]
pub(crate) struct Deleted {
    pub(crate) object: Arc<Value>,
    /// Whether it is gone, rather than waiting for finalizers or grace.
    pub(crate) gone: bool,
}

impl Core {
    /// DELETE of one object.
    pub(crate) fn delete(
        &mut self,
        resource: &Resource,
        key: &Key,
        options: &DeleteOptions,
        dry_run: bool,
    ) -> Result<Deleted, Failure> {
        let stored = self.fetch(resource, key)?;
        let meta = &stored["metadata"];
        for (field, label, asked) in
            [("uid", "UID", &options.uid), ("resourceVersion", "ResourceVersion", &options.resource_version)]
        {
            let have = meta[field].as_str().unwrap_or_default();
            if let Some(asked) = asked
                && asked != have
            {
                let why =
                    format!("Precondition failed: {label} in precondition: {asked}, {label} in object meta: {have}");
                return Err(Failure::conflicting(resource.subject(), &key.1, &why));
            }
        }
        let mut object = Value::clone(&stored);
        let changed = self.mark(resource, &mut object, options);
        if finished(&object) && !dry_run {
            return Ok(Deleted { object: self.remove_as(resource, key, object), gone: true });
        }
        if dry_run {
            return Ok(Deleted { gone: finished(&object), object: Arc::new(object) });
        }
        let object = if changed { self.store.put(&resource.collection, key.clone(), object) } else { stored };
        if resource.collection == NAMESPACES || resource.collection == DEFINITIONS {
            self.leaving.insert((resource.collection.clone(), key.clone()));
        }
        Ok(Deleted { object, gone: false })
    }

    /// Writes the deletion into the object. Says whether that changed anything.
    fn mark(&self, resource: &Resource, object: &mut Value, options: &DeleteOptions) -> bool {
        let before = object.clone();
        let now = self.clock.now();
        finalizers(object, options.propagation.as_deref());
        let graced = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
        let already = !object["metadata"]["deletionTimestamp"].is_null();
        let grace = if resource.is_pod() { pod_grace(object, options.grace) } else { 0 };
        let meta = &mut object["metadata"];
        match graced {
            // Grace may be shortened and nothing else; without a wish, a second delete changes nothing.
            Some(had) if already => {
                let asked = if options.grace.is_some() || !resource.is_pod() { grace } else { had };
                if asked < had {
                    let ends: Option<jiff::Timestamp> = meta["deletionTimestamp"].as_str().and_then(|t| t.parse().ok());
                    let sooner = SignedDuration::from_secs(had - asked);
                    let ends = ends.and_then(|t| t.checked_sub(sooner).ok()).unwrap_or(now);
                    meta["deletionTimestamp"] = seconds(ends).into();
                    meta["deletionGracePeriodSeconds"] = asked.into();
                }
            }
            _ => {
                let ends = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
                meta["deletionTimestamp"] = seconds(ends).into();
                meta["deletionGracePeriodSeconds"] = grace.into();
                if let Some(generation) = meta["generation"].as_i64() {
                    meta["generation"] = (generation + 1).into();
                }
                if resource.collection == NAMESPACES {
                    object["status"]["phase"] = "Terminating".into();
                    object["metadata"].as_object_mut().and_then(|m| m.remove("deletionGracePeriodSeconds"));
                }
            }
        }
        *object != before
    }

    /// Takes an object out of the store in this last state.
    pub(crate) fn remove_as(&mut self, resource: &Resource, key: &Key, last: Value) -> Arc<Value> {
        let gone = self.store.remove_as(&resource.collection, key, last);
        if resource.collection == DEFINITIONS {
            self.registry.forget(&key.1);
        }
        gone
    }

    /// A delete on the server's own account: of what lies in a leaving namespace or under a leaving definition.
    pub(crate) fn delete_in_background(&mut self, resource: &Resource, key: &Key) {
        let marked =
            self.store.get(&resource.collection, key).is_none_or(|o| !o["metadata"]["deletionTimestamp"].is_null());
        if !marked {
            // No precondition is given, and the object was just there.
            let _ = self.delete(resource, key, &DeleteOptions::default(), false);
        }
    }
}

/// The grace that a pod gets: none before it runs anywhere or after it ended.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let placed = pod["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
    if !placed || matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return 0;
    }
    let grace = asked.or(pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30);
    if grace < 0 { 1 } else { grace }
}

/// Foreground and orphan deletion are finalizers that the garbage collector takes off.
fn finalizers(object: &mut Value, propagation: Option<&str>) {
    let Some(policy) = propagation else { return };
    let mut list = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    list.retain(|f| f != "orphan" && f != "foregroundDeletion");
    match policy {
        "Foreground" => list.push("foregroundDeletion".into()),
        "Orphan" => list.push("orphan".into()),
        _ => {}
    }
    if list.is_empty() {
        object["metadata"].as_object_mut().and_then(|m| m.remove("finalizers"));
    } else {
        object["metadata"]["finalizers"] = list.into();
    }
}

/// The answer to a completed delete of a kind that does not answer its object.
pub(crate) fn success(resource: &Resource, object: &Value) -> Value {
    let mut details = json!({
        "name": object["metadata"]["name"], "kind": resource.plural, "uid": object["metadata"]["uid"],
    });
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
