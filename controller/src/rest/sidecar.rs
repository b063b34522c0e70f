//! What sidecars of instances call: `/sidecar/{poll,status,stats,shutdown}`.
//!
//! The instance is a pod of ours, found by its name or by the address that calls. What it says goes into annotations of that
//! pod; what it is told comes from there. Any replica can answer, and a new leader knows what was said before it led.

pub mod heard;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use self::heard::{Details, Heard as Said};
use super::{
    Rest, audit,
    auth::Caller,
    body::Body,
    instance::{Instance, SIDECAR},
    refusal::{Problem, Refusal},
    report::iso,
    wire::Command,
};
use crate::{
    api::{RECONFIGURE_ASKED, REPORT, SHUTDOWN_ASKED},
    apply::{self, read},
    metrics::Heard,
};

pub(super) fn router() -> Router<Arc<Rest>> {
    Router::new()
        .route("/sidecar/poll", post(poll))
        .route("/sidecar/status", post(status))
        .route("/sidecar/stats", post(stats))
        .route("/sidecar/shutdown", post(shutdown))
}

/// Who calls.
enum Who {
    /// This pod.
    Pod(Arc<Pod>),
    /// None of ours.
    Unknown,
}

/// Finds the pod, and whether the caller may speak for it.
fn who(rest: &Rest, route: &str, details: &Details, caller: &Caller) -> Result<Who, Refusal> {
    let pods = rest.pods.state();
    let names = [details.instance_id.as_deref(), details.pod_name.as_deref(), details.name.as_deref()];
    let mut candidates: Vec<&Arc<Pod>> = Vec::new();
    for name in names.into_iter().flatten() {
        if candidates.is_empty() {
            candidates = pods.iter().filter(|pod| pod.metadata.name.as_deref() == Some(name)).collect();
        }
    }
    let from = |pod: &Pod| caller.address.is_some_and(|address| calls_from(pod, address));
    let pod = match candidates.as_slice() {
        // It may have another name for itself: then its address says who it is.
        [] => caller.address.and_then(|address| at(&pods, address)),
        [one] => Some(*one),
        // The same name in several namespaces.
        several => several.iter().copied().find(|pod| from(pod)).or(several.first().copied()),
    };
    let Some(pod) = pod else {
        rest.metrics.rest.heard(route, Heard::Unknown);
        return Ok(Who::Unknown);
    };
    let speaks = caller.subject.as_deref() == pod.metadata.name.as_deref() || from(pod);
    if rest.settings.ownership && !speaks {
        rest.metrics.rest.heard(route, Heard::Refused);
        return Err(Refusal::Forbidden(format!(
            "neither the token's subject nor the caller's address is that of {}",
            pod.name_any()
        )));
    }
    Ok(Who::Pod(pod.clone()))
}

/// A pod on its node's network calls from the node's address.
fn calls_from(pod: &Pod, address: IpAddr) -> bool {
    Instance(pod).addresses().contains(&address)
}

/// The only pod that runs at this address. On a node's network there may be several, and none is known by it.
fn at(pods: &[Arc<Pod>], address: IpAddr) -> Option<&Arc<Pod>> {
    let mut there = pods.iter().filter(|pod| !Instance(pod).ended() && calls_from(pod, address));
    let first = there.next()?;
    let own_network = !first.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    (there.next().is_none() && own_network).then_some(first)
}

fn command(pod: &Pod) -> Command {
    let this = Instance(pod);
    Command { shutdown: this.shall_end(), reconfigure: this.reconfigure().unwrap_or_default().to_owned() }
}

const NOTHING: Command = Command { shutdown: false, reconfigure: String::new() };

async fn poll(State(rest): State<Arc<Rest>>, caller: Caller, body: Body) -> Result<Json<Command>, Refusal> {
    rest.in_sync()?;
    let details = Details::of(&body.0).map_err(Refusal::invalid)?;
    Ok(Json(match who(&rest, "poll", &details, &caller)? {
        Who::Pod(pod) => {
            rest.metrics.rest.heard("poll", Heard::Same);
            command(&pod)
        }
        Who::Unknown => NOTHING,
    }))
}

async fn status(State(rest): State<Arc<Rest>>, caller: Caller, body: Body) -> Result<Json<Command>, Refusal> {
    rest.in_sync()?;
    let said = Said::of(&body.0).map_err(Refusal::invalid)?;
    let Who::Pod(pod) = who(&rest, "status", &said.details, &caller)? else { return Ok(Json(NOTHING)) };
    let mut command = command(&pod);
    // It is told what it shall do even if what it said cannot be kept.
    let (reconfigured, written) = tell(&rest, &pod, &said).await;
    if let Err(error) = count(&rest, "status", written) {
        tracing::warn!(%error, pod = pod.name_any(), "what a sidecar said cannot be written");
    }
    if reconfigured {
        command.reconfigure.clear();
    }
    Ok(Json(command))
}

async fn stats(State(rest): State<Arc<Rest>>, caller: Caller, body: Body) -> Result<Response, Refusal> {
    rest.in_sync()?;
    let said = Said::of(&body.0).map_err(Refusal::invalid)?;
    let Who::Pod(pod) = who(&rest, "stats", &said.details, &caller)? else { return Ok(saved(Ok(()))) };
    let (_, written) = tell(&rest, &pod, &said).await;
    Ok(saved(count(&rest, "stats", written)))
}

/// An instance wants to end.
async fn shutdown(State(rest): State<Arc<Rest>>, caller: Caller, body: Body) -> Result<Response, Refusal> {
    rest.in_sync()?;
    let details = Details::of(&body.0).map_err(Refusal::invalid)?;
    let Who::Pod(pod) = who(&rest, "shutdown", &details, &caller)? else { return Ok(saved(Ok(()))) };
    if pod.annotations().get(SHUTDOWN_ASKED).is_some_and(|at| !at.is_empty()) {
        return Ok(saved(count(&rest, "shutdown", Ok(Heard::Same))));
    }
    let written = annotate(&rest, &pod, json!({ SHUTDOWN_ASKED: iso(rest.now()) })).await;
    Ok(saved(count(&rest, "shutdown", written.map(|()| Heard::Written))))
}

fn saved(outcome: Result<(), apply::Error>) -> Response {
    match outcome {
        Ok(()) => Json(json!({"save": "OK"})).into_response(),
        Err(error) => {
            tracing::warn!(%error, "what a sidecar said cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"save": "ERROR"}))).into_response()
        }
    }
}

fn count(rest: &Rest, route: &str, written: Result<Heard, apply::Error>) -> Result<(), apply::Error> {
    match written {
        Ok(heard) => {
            rest.metrics.rest.heard(route, heard);
            Ok(())
        }
        // The pod went in between.
        Err(apply::Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_not_found() || status.is_conflict()) =>
        {
            rest.metrics.rest.heard(route, Heard::Unknown);
            Ok(())
        }
        Err(error) => {
            rest.metrics.rest.heard(route, Heard::Failed);
            Err(error)
        }
    }
}

/// Writes down what was said, if it is new. Also: it has reconfigured itself as it was asked to.
async fn tell(rest: &Rest, pod: &Pod, said: &Said) -> (bool, Result<Heard, apply::Error>) {
    let this = Instance(pod);
    let now = rest.now();
    let asked = this.reconfigure();
    let done = asked.is_some_and(|asked| said.reconfigured_since(asked));
    let mut changes = serde_json::Map::new();
    if let Some(report) = said.report(this.report().as_ref(), now) {
        changes.insert(REPORT.to_owned(), text(&report));
    }
    let before = this.said();
    let after = said.said(&before);
    if after != before {
        changes.insert(SIDECAR.to_owned(), text(&after));
    }
    let mut outcome = Ok(if changes.is_empty() { Heard::Same } else { Heard::Written });
    if !changes.is_empty() {
        outcome = annotate(rest, pod, Value::Object(changes)).await.map(|()| Heard::Written);
    }
    if done && let Some(asked) = asked {
        // Only this request: a later one may have come in between.
        match forget_reconfigure(rest, pod, asked).await {
            Ok(()) => note_reconfigured(rest, pod).await,
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    (done, outcome)
}

fn text(value: &impl serde::Serialize) -> Value {
    Value::String(serde_json::to_string(value).unwrap_or_default())
}

/// Writes annotations of exactly this pod.
pub(super) async fn annotate(rest: &Rest, pod: &Pod, annotations: Value) -> Result<(), apply::Error> {
    let api: Api<Pod> = Api::namespaced(rest.client.clone(), &pod.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"uid": pod.uid(), "annotations": annotations}});
    let params = PatchParams { field_manager: Some(super::MANAGER.to_owned()), ..PatchParams::default() };
    read("annotate the pod", api.patch(&pod.name_any(), &params, &Patch::Merge(&patch))).await.map(|_| ())
}

async fn forget_reconfigure(rest: &Rest, pod: &Pod, asked: &str) -> Result<(), apply::Error> {
    let api: Api<Pod> = Api::namespaced(rest.client.clone(), &pod.namespace().unwrap_or_default());
    let path = format!("/metadata/annotations/{}", RECONFIGURE_ASKED.replace('~', "~0").replace('/', "~1"));
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": pod.uid()},
        {"op": "test", "path": path, "value": asked},
        {"op": "remove", "path": path},
    ]);
    let Ok(operations) = serde_json::from_value(operations) else { return Ok(()) };
    let params = PatchParams { field_manager: Some(super::MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::<Pod>::Json(operations);
    match read("annotate the pod", api.patch(&pod.name_any(), &params, &patch)).await {
        // It asks for something newer by now.
        Err(apply::Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_invalid()) => {
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

async fn note_reconfigured(rest: &Rest, pod: &Pod) {
    let this = Instance(pod);
    let (Some(shard), Some(kind)) = (this.shard(), this.kind()) else { return };
    let Some(shard) = rest.shard(&pod.namespace().unwrap_or_default(), shard) else { return };
    let entry = audit::Entry::Reconfigured { instances: vec![pod.name_any()] };
    let item = audit::Item { at: rest.now(), entry };
    if let Err(error) = audit::append(&rest.client, None, &shard, kind, &[item]).await {
        tracing::warn!(%error, "the audit cannot be written");
    }
}

/// A field that must be there.
fn missing(path: &str) -> Problem {
    Problem::body(path, format!("{path} must be a non-empty string"), None)
}
