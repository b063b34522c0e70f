//! What follows from a report that is believed. Written on exactly the pod that was meant, whoever leads.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};

use super::{Hooks, Refusal, Whose};
use crate::{
    adopt,
    apply::read,
    observe::recorder::{label, report},
    plan::{
        recorders::mark,
        report::{Busy, Report},
    },
    rest::MANAGER,
};

/// Notes what it does, or deletes it when it has recorded. The answer says which.
pub(super) async fn carry_out(hooks: &Hooks, pod: &Pod, whose: Whose, said: Report) -> Result<&'static str, Refusal> {
    let now = hooks.rest.now();
    let said = Report { at: Some(now), ..said };
    if pod.metadata.deletion_timestamp.is_some() {
        return Ok("leaving");
    }
    match (said.busy, whose) {
        (Some(Busy::Expired), _) => delete(hooks, pod).await,
        (_, Whose::Ours) => note(hooks, pod, &said).await,
        (Some(Busy::Busy), Whose::Adopted) => {
            let Some(adoption) = &hooks.rest.defaults.adoption else { return Err(Refusal::NotRecorder) };
            if adopt::is_isolated(pod, adoption) && !mark::is_due(report(pod).as_ref(), &said, now) {
                return Ok("same");
            }
            let isolated = adopt::isolate(&hooks.rest.client, pod, adoption, &said);
            settled(read("isolate a recorder", isolated).await, "busy")
        }
        // Its ReplicaSet looks after it.
        (_, Whose::Adopted) => Ok("idle"),
    }
}

async fn note(hooks: &Hooks, pod: &Pod, said: &Report) -> Result<&'static str, Refusal> {
    let (now, before) = (hooks.rest.now(), label(pod));
    let busy = said.busy.unwrap_or(Busy::Idle);
    if busy == Busy::Idle && before == Some(Busy::Busy) {
        // Reports can overtake each other. That it is free again is found by asking it.
        return Ok("held");
    }
    let news = (before != Some(busy)).then_some(busy);
    if news.is_none() && !mark::is_due(report(pod).as_ref(), said, now) {
        return Ok("same");
    }
    let api: Api<Pod> = Api::namespaced(hooks.rest.client.clone(), &pod.namespace().unwrap_or_default());
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(mark::patch(&pod.uid().unwrap_or_default(), news, Some(said)));
    let word = if busy == Busy::Busy { "busy" } else { "idle" };
    settled(read("note what a recorder does", api.patch(&pod.name_any(), &params, &patch)).await, word)
}

async fn delete(hooks: &Hooks, pod: &Pod) -> Result<&'static str, Refusal> {
    let api: Api<Pod> = Api::namespaced(hooks.rest.client.clone(), &pod.namespace().unwrap_or_default());
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    settled(read("delete a recorder that has recorded", api.delete(&pod.name_any(), &params)).await, "expired")
}

/// A pod that is gone, or another one by now, needs nothing any more.
fn settled<T>(answer: Result<T, crate::apply::Error>, word: &'static str) -> Result<&'static str, Refusal> {
    match answer {
        Ok(_) => Ok(word),
        Err(error) if error.is_conflict() || adopt::is_not_found(&error) => Ok("gone"),
        Err(error) => {
            tracing::warn!(%error, "a report cannot be noted");
            Err(Refusal::Unwritten)
        }
    }
}
