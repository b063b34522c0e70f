//! Subresources other than status: scale, binding, eviction.

use std::sync::Arc;

use http::Response;
use serde_json::{Value, json};

use super::{
    clock::seconds,
    core::{Core, WriteOptions},
    delete,
    failure::{Cause, Failure, Subject},
    json_path,
    query::Query,
    resource::{Resource, ScalePaths},
    respond::{self, Body},
    selector::{Labels, selector_text},
    store::Key,
    write::{PatchKind, patched, unsupported},
};

/// A request to a subresource.
pub(crate) struct Sub<'a> {
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) key: &'a Key,
    pub(crate) method: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) options: &'a WriteOptions,
    pub(crate) query: &'a Query,
}

fn parse(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::bad_request(format!("json: {error}")))
}

pub(crate) fn answer(core: &mut Core, sub: &Sub<'_>) -> Result<Response<Body>, Failure> {
    let name = sub.options.subresource.as_str();
    match (name, &sub.resource.scale) {
        ("scale", Some(paths)) => core.scale(sub, paths),
        ("binding" | "eviction", _) if sub.resource.actions.contains(&name) => {
            if sub.method != "POST" {
                return Err(Failure::method_not_allowed());
            }
            if name == "binding" { core.bind(sub) } else { core.evict(sub) }
        }
        _ => Ok(respond::text(404, "404 page not found\n")),
    }
}

/// The object as an `autoscaling/v1` Scale.
fn scale_of(resource: &Resource, object: &Value, paths: &ScalePaths) -> Value {
    let number = |path: &str| json_path::at(object, path).and_then(Value::as_i64).unwrap_or_default();
    let mut status = json!({ "replicas": number(&paths.status_replicas) });
    let selector = match &paths.selector {
        Some(path) => json_path::at(object, path).and_then(Value::as_str).unwrap_or_default().to_owned(),
        None if resource.custom => String::new(),
        None => selector_text(&object["spec"]["selector"]),
    };
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    let meta = &object["metadata"];
    let mut short = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !meta[field].is_null() {
            short[field] = meta[field].clone();
        }
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": short,
        "spec": { "replicas": number(&paths.spec_replicas) }, "status": status,
    })
}

impl Core {
    fn scale(&mut self, sub: &Sub<'_>, paths: &ScalePaths) -> Result<Response<Body>, Failure> {
        let stored = self.fetch(sub.resource, sub.key)?;
        let live = sub.resource.show(&stored);
        let scale = scale_of(sub.resource, &live, paths);
        let wanted = match sub.method {
            "GET" => return Ok(respond::json(200, &scale)),
            "PUT" => parse(sub.body)?,
            "PATCH" => match PatchKind::from_media_type(sub.content_type) {
                None => return Err(unsupported(sub.resource.custom)),
                // A Scale has no lists: its strategic form is a plain merge, and an apply sets one number.
                Some(PatchKind::Json) => patched(PatchKind::Json, &scale, &parse(sub.body)?, sub.resource)?,
                Some(_) => patched(PatchKind::Merge, &scale, &parse(sub.body)?, sub.resource)?,
            },
            _ => return Err(Failure::method_not_allowed()),
        };
        let subject = Subject { group: "autoscaling", plural: "scales", kind: "Scale" };
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas < 0 {
            let why = "must be greater than or equal to 0";
            let cause = Cause::invalid("spec.replicas", &replicas.into(), why);
            return Err(Failure::invalid(subject, &sub.key.1, &[cause]));
        }
        let version = wanted["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && Some(version) != live["metadata"]["resourceVersion"].as_str() {
            return Err(Failure::conflict(&sub.resource.group, &sub.resource.plural, &sub.key.1));
        }
        let mut new = live;
        json_path::set(&mut new, &paths.spec_replicas, replicas.into());
        let written = self.change(sub.resource, sub.key, &stored, new, sub.options, true)?;
        self.settle();
        Ok(respond::json(200, &scale_of(sub.resource, &written.object, paths)))
    }

    /// Places a pod on a node, as the scheduler does.
    fn bind(&mut self, sub: &Sub<'_>) -> Result<Response<Body>, Failure> {
        let binding = parse(sub.body)?;
        let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
        let stored = self.fetch(sub.resource, sub.key)?;
        let mut pod = Value::clone(&stored);
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            let why = format!("pod {} is being deleted, cannot be assigned to a host", sub.key.1);
            return Err(Failure::conflicting(sub.resource.subject(), &sub.key.1, &why));
        }
        if let Some(have) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
            let why = format!("pod {} is already assigned to node {have:?}", sub.key.1);
            return Err(Failure::conflicting(sub.resource.subject(), &sub.key.1, &why));
        }
        pod["spec"]["nodeName"] = node.into();
        let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|c| c["type"] != "PodScheduled");
        conditions.push(json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": self.time(),
        }));
        pod["status"]["conditions"] = conditions.into();
        if !sub.options.dry_run {
            self.store.put(&sub.resource.collection, sub.key.clone(), pod);
        }
        Ok(respond::json(201, &success()))
    }

    /// Deletes a pod if its disruption budget allows.
    fn evict(&mut self, sub: &Sub<'_>) -> Result<Response<Body>, Failure> {
        let eviction = parse(sub.body)?;
        let mut query = sub.query.clone();
        query.take_delete_body(&eviction["deleteOptions"])?;
        let pod = self.fetch(sub.resource, sub.key)?;
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
        let dry_run = sub.options.dry_run || query.dry_run;
        if !ended && pod["metadata"]["deletionTimestamp"].is_null() {
            self.within_budget(&sub.key.0, &pod, dry_run)?;
        }
        let deleted: delete::Deleted = self.delete(sub.resource, sub.key, &query.delete, dry_run)?;
        tracing::trace!(gone = deleted.gone, pod = sub.key.1, "evicted");
        self.settle();
        Ok(respond::json(201, &success()))
    }

    fn within_budget(&mut self, namespace: &str, pod: &Value, dry_run: bool) -> Result<(), Failure> {
        let budgets = self.store.collection("policy/poddisruptionbudgets").objects.iter();
        let mut ours = budgets.filter(|(key, budget)| {
            let selector = &budget["spec"]["selector"];
            key.0 == namespace && !selector.is_null() && Labels::from_object(selector).matches(pod)
        });
        let Some((key, budget)) = ours.next().map(|(k, b)| (k.clone(), b.clone())) else { return Ok(()) };
        if ours.next().is_some() {
            return Err(Failure::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        // As the real server: it trusts the status that the disruption controller wrote, and counts nothing itself.
        let (name, message) = (&key.1, "Cannot evict pod as it would violate the pod's disruption budget.");
        let refuse = |detail: String| {
            let causes = json!([{ "reason": "DisruptionBudget", "message": detail }]);
            Failure::new(429, "TooManyRequests", message).with_causes(causes)
        };
        let status = |field: &str| budget["status"][field].as_i64().unwrap_or_default();
        let (allowed, healthy, desired) =
            (status("disruptionsAllowed"), status("currentHealthy"), status("desiredHealthy"));
        // An unhealthy pod may go while the healthy ones suffice, or always if the budget says so.
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        if !is_ready(pod) && (always || (desired > 0 && healthy >= desired)) {
            return Ok(());
        }
        if status("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or_default() {
            let detail = format!("The disruption budget {name} is still being processed by the server.");
            return Err(refuse(detail).retry_after(10));
        }
        if allowed < 1 {
            let detail =
                format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
            return Err(refuse(detail));
        }
        if !dry_run {
            self.note_disruption(&key, &budget, pod, allowed - 1);
        }
        Ok(())
    }

    /// What the eviction writes into the budget's status: the disruption controller sees it there first.
    fn note_disruption(&mut self, key: &Key, budget: &Value, pod: &Value, allowed: i64) {
        let mut budget = budget.clone();
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let now = seconds(self.clock.now());
        budget["status"]["disruptedPods"][name] = now.into();
        budget["status"]["disruptionsAllowed"] = allowed.into();
        self.store.put("policy/poddisruptionbudgets", key.clone(), budget);
    }
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn success() -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 })
}
