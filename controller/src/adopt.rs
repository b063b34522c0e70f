//! Recorders of somebody else's Deployments, looked after as jibri-pod-controller did: one that records is labelled, so that its
//! ReplicaSet lets go of it and makes another; one that has recorded is deleted. The Deployment's number of replicas is the
//! number of spares, and stays its owner's business.
//!
//! Labels are written by server-side apply under jibri-pod-controller's own field manager, so what that one wrote before is
//! simply taken over.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;

use crate::{
    api::REPORT,
    apply::{self, read, write},
    observe::recorder::{addresses, recorder},
    plan::{
        recorders::{self, Recorder, SILENCE, Sight, Why},
        report::{Busy, Report},
    },
    reconcile::Context,
    rest::webhook::pods,
    validate::Adoption,
};

/// jibri-pod-controller's field manager.
pub const MANAGER: &str = "jibri-pod-controller";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Recorders asked at a time.
const AT_ONCE: usize = 16;

/// Whether a pod is labelled as one that records.
pub(crate) fn is_isolated(pod: &Pod, adoption: &Adoption) -> bool {
    let labelled = adoption.busy_labels.iter().all(|(key, value)| pod.labels().get(key) == Some(value));
    labelled && pod.annotations().get(SAFE_TO_EVICT).map(String::as_str) == Some("false")
}

/// Labels a pod as one that records, whoever owns those labels. Only this very pod: the uid is a precondition.
pub(crate) async fn isolate(client: &Client, pod: &Pod, adoption: &Adoption, said: &Report) -> kube::Result<Pod> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let report = serde_json::to_string(said).unwrap_or_default();
    let document = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name_any(),
            "uid": pod.uid(),
            "labels": adoption.busy_labels,
            "annotations": {SAFE_TO_EVICT: "false", REPORT: report},
        },
    });
    api.patch(&pod.name_any(), &PatchParams::apply(MANAGER).force(), &Patch::Apply(&document)).await
}

/// The pod is not there any more.
pub(crate) fn is_not_found(error: &apply::Error) -> bool {
    matches!(error, apply::Error::Api { source, .. }
        if matches!(&**source, kube::Error::Api(status) if status.is_not_found()))
}

/// What is to be done with one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Isolate,
    Delete(Why),
}

/// What follows from what it is. Those that a ReplicaSet still holds are its own: only one that records is taken from it, and
/// one that has recorded is deleted, so that it makes another.
fn step(one: &Recorder, sight: Sight, isolated: bool, now: jiff::Timestamp) -> Option<Step> {
    match sight {
        Sight::Busy if !isolated => Some(Step::Isolate),
        Sight::Over(Why::Expired) => Some(Step::Delete(Why::Expired)),
        Sight::Over(why) if isolated => Some(Step::Delete(why)),
        // It was set apart, and began anew: nobody counts it any more.
        Sight::Spare if isolated => {
            let old = |at| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age > SILENCE);
            one.report.as_ref().and_then(|report| report.at).is_none_or(old).then_some(Step::Delete(Why::Surplus))
        }
        _ => None,
    }
}

/// Looks at all of them again and again, as long as this is not dropped.
pub async fn sweep(context: &Arc<Context>, namespace: Option<&str>) -> Infallible {
    let Some(adoption) = &context.defaults.adoption else { return std::future::pending().await };
    loop {
        if let Err(error) = round(context, namespace, adoption).await {
            // The original ended its process here. The next round may do better.
            tracing::warn!(%error, "recorders of Deployments cannot be looked after; it will be tried again");
        }
        tokio::time::sleep(adoption.interval).await;
    }
}

/// One look at all of them.
///
/// # Errors
/// When they cannot be listed.
pub async fn round(context: &Context, namespace: Option<&str>, adoption: &Adoption) -> Result<(), apply::Error> {
    let params = ListParams::default().labels(&adoption.selector.to_string());
    let list = read("list recorders", pods(&context.client, namespace).list(&params)).await?;
    // What is ours by label as well is looked after elsewhere.
    let foreign =
        list.items.into_iter().filter(|pod| !pod.owner_references().iter().any(|one| one.kind == "JitsiShard"));
    let mut tasks = Vec::new();
    for pod in foreign {
        tasks.push(tend(context, pod, adoption));
    }
    stream::iter(tasks).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    Ok(())
}

async fn tend(context: &Context, pod: Pod, adoption: &Adoption) {
    let isolated = is_isolated(&pod, adoption);
    let mut one = Recorder { label: isolated.then_some(Busy::Busy), ..recorder(&pod, None) };
    let now = (context.clock)();
    if let Some(ip) = addresses(&pod).first()
        && let Ok(report) = context.media.recorder(&ip.to_string(), adoption.port).await
    {
        one.answer = Some(Report { at: Some(now), ..report });
    }
    let (sights, _) = recorders::look(std::slice::from_ref(&one), now);
    let Some(step) = step(&one, sights[0], isolated, now) else { return };
    match act(context, &pod, adoption, &one, step).await {
        Ok(()) => tracing::info!(pod = one.name, ?step, "a recorder of a Deployment was found by the sweep"),
        Err(error) if error.is_conflict() || is_not_found(&error) => {}
        Err(error) => tracing::warn!(%error, pod = one.name, "a recorder of a Deployment stays as it is"),
    }
}

async fn act(
    context: &Context,
    pod: &Pod,
    adoption: &Adoption,
    one: &Recorder,
    step: Step,
) -> Result<(), apply::Error> {
    let Step::Delete(why) = step else {
        let said = one.answer.clone().unwrap_or_default();
        let isolated = isolate(&context.client, pod, adoption, &said);
        return write(&context.leadership, "isolate a recorder", isolated).await.map(drop);
    };
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default());
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: pod.uid(),
            resource_version: if why.careful() { pod.resource_version() } else { None },
        }),
        ..DeleteParams::default()
    };
    write(&context.leadership, &format!("delete Pod {}", one.name), api.delete(&one.name, &params)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_replica_set_keeps_what_is_its_own() {
        let now = Timestamp::from_second(10_000).unwrap();
        let says = |busy, ago| {
            Some(Report {
                at: now.checked_sub(jiff::SignedDuration::from_secs(ago)).ok(),
                busy: Some(busy),
                ..Report::default()
            })
        };
        let one = |report| Recorder { report, ..Recorder::default() };
        let at = |sight, isolated| step(&one(says(Busy::Busy, 10)), sight, isolated, now);
        assert_eq!(at(Sight::Busy, false), Some(Step::Isolate));
        assert_eq!(at(Sight::Busy, true), None);
        for isolated in [false, true] {
            assert_eq!(at(Sight::Over(Why::Expired), isolated), Some(Step::Delete(Why::Expired)));
            assert_eq!(at(Sight::Unknown, isolated), None);
            assert_eq!(at(Sight::Leaving, isolated), None);
        }
        for why in [Why::Ended, Why::Silent, Why::Stuck] {
            assert_eq!(at(Sight::Over(why), false), None, "its ReplicaSet sees to it");
            assert_eq!(at(Sight::Over(why), true), Some(Step::Delete(why)));
        }
        assert_eq!(at(Sight::Spare, false), None);
        assert_eq!(at(Sight::Spare, true), None, "it may just have been taken");
        assert_eq!(step(&one(says(Busy::Busy, 181)), Sight::Spare, true, now), Some(Step::Delete(Why::Surplus)));
    }
}
