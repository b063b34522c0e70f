//! All controllers on their watches, as long as this replica leads.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, ObjectReference, Pod, Secret, Service},
};
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::{
        Controller,
        controller::{self, Action},
        watcher,
    },
};
use tokio::sync::watch;

use super::on;
use crate::{
    api::{Jitsi, JitsiShard, Phase},
    lease::Leadership,
    metrics::Seen,
    plan::Note,
    reconcile::{self, Context, Error, Kind},
};

/// Changes that come together are looked at together: a rollout is a dozen of them.
const TOGETHER: Duration = Duration::from_millis(200);

/// Why the controllers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Leadership or the process has ended.
    Over,
    /// The API has forgotten the place in history where a watch would go on. All of them begin again with a list.
    Forgotten,
}

/// All controllers, until leadership or the process ends and what they are doing is done.
pub(super) async fn run(
    context: &Arc<Context>,
    namespace: Option<&str>,
    leadership: Leadership,
    ended: watch::Receiver<bool>,
) -> End {
    let (forget, forgotten) = watch::channel(false);
    let stop = || {
        let (mut leadership, ended, forgotten) = (leadership.clone(), ended.clone(), forgotten.clone());
        async move {
            tokio::select! {
                biased;
                () = on(ended) => {}
                () = leadership.lost() => {}
                () = on(forgotten) => {}
            }
        }
    };
    let client = &context.client;
    let all = watcher::Config::default;
    let ours = || watcher::Config::default().labels("app.kubernetes.io/managed-by=roompin-controller");
    let jitsis = Controller::new(scoped::<DeserializeGuard<Jitsi>>(client, namespace), all())
        .owns(scoped::<DeserializeGuard<JitsiShard>>(client, namespace), all())
        .owns(scoped::<StatefulSet>(client, namespace), ours())
        .owns(scoped::<ConfigMap>(client, namespace), ours())
        .owns(scoped::<Secret>(client, namespace), ours())
        .owns(scoped::<Service>(client, namespace), ours())
        .with_config(controller::Config::default().debounce(TOGETHER))
        .graceful_shutdown_on(stop())
        .run(
            |object, context| {
                timed::<Jitsi, _>(context.clone(), object.object_ref(&()), reconcile::reconcile_jitsi(object, context))
            },
            |object, error, context| context.retry(&looked_at::<Jitsi>(&object.meta().uid), error),
            context.clone(),
        )
        .for_each(|result| heard(result, &forget));
    let shards = Controller::new(scoped::<DeserializeGuard<JitsiShard>>(client, namespace), all())
        .owns(scoped::<StatefulSet>(client, namespace), ours())
        .owns(scoped::<Deployment>(client, namespace), ours())
        .owns(scoped::<DaemonSet>(client, namespace), ours())
        .owns(scoped::<ConfigMap>(client, namespace), ours())
        .owns(scoped::<Secret>(client, namespace), ours())
        .owns(scoped::<Service>(client, namespace), ours())
        .with_config(controller::Config::default().debounce(TOGETHER))
        .graceful_shutdown_on(stop())
        .run(
            |object, context| async move {
                let (namespace, name) = (object.meta().namespace.clone(), object.meta().name.clone());
                let answer = timed::<JitsiShard, _>(
                    context.clone(),
                    object.object_ref(&()),
                    reconcile::reconcile_shard(object.clone(), context.clone()),
                )
                .await;
                let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
                context.metrics.shard(&namespace, &name, seen(&object));
                answer
            },
            |object, error, context| context.retry(&looked_at::<JitsiShard>(&object.meta().uid), error),
            context.clone(),
        )
        .for_each(|result| heard(result, &forget));
    // The same shards in a loop of their own, for what comes and goes with the load.
    let fleets = Controller::new(scoped::<DeserializeGuard<JitsiShard>>(client, namespace), all())
        .owns(scoped::<Pod>(client, namespace), ours())
        .with_config(controller::Config::default().debounce(TOGETHER))
        .graceful_shutdown_on(stop())
        .run(
            |object, context| {
                timed::<Fleet, _>(context.clone(), object.object_ref(&()), reconcile::reconcile_fleet(object, context))
            },
            |object, error, context| context.retry(&looked_at::<Fleet>(&object.meta().uid), error),
            context.clone(),
        )
        .for_each(|result| heard(result, &forget));
    tokio::join!(jitsis, shards, fleets);
    if *forgotten.borrow() { End::Forgotten } else { End::Over }
}

/// The groups of a shard, for metrics.
struct Fleet;

impl Kind for Fleet {
    const NAME: &'static str = "Fleet";
}

/// A shard as the watch showed it.
fn seen(object: &DeserializeGuard<JitsiShard>) -> Option<Seen> {
    let shard = object.0.as_ref().ok()?;
    let status = shard.status.clone().unwrap_or_default();
    // Its end is not shown by a reconcile of its own.
    let leaving = shard.metadata.deletion_timestamp.is_some() && status.phase != Some(Phase::Draining);
    (!leaving).then(|| Seen {
        phase: status.phase.unwrap_or_default(),
        draining_since: status.drain_started_at.map(|time| time.0.as_second()),
    })
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Under which name failures in a row are counted: one resource is looked at by more than one loop.
fn looked_at<K: Kind>(uid: &Option<String>) -> Option<String> {
    uid.as_ref().map(|uid| format!("{} {uid}", K::NAME))
}

async fn timed<K: Kind, F: Future<Output = Result<Action, Error>>>(
    context: Arc<Context>,
    about: ObjectReference,
    work: F,
) -> Result<Action, Error> {
    let start = tokio::time::Instant::now();
    let answer = work.await;
    let failure = answer.as_ref().err().map(Error::label);
    context.metrics.reconciled(K::NAME, start.elapsed(), failure);
    if let Err(Error::Apply(error)) = &answer
        && let Some(said) = error.refusal()
    {
        // Nobody who looks at the resource reads our log.
        let note = Note::warning("Refused", format!("{said}. It is tried again."));
        context.events.publish(&about, &[note]).await;
    }
    context.count(looked_at::<K>(&about.uid), answer.is_err());
    answer
}

/// What came out of one look, or out of a watch.
fn heard<K: std::fmt::Debug>(
    result: Result<(K, Action), controller::Error<Error, watcher::Error>>,
    forget: &watch::Sender<bool>,
) -> Ready<()> {
    match result {
        Ok((object, action)) => tracing::debug!(?object, ?action, "looked at"),
        // What it owned still went away when it was gone itself.
        Err(controller::Error::ObjectNotFound(object)) => tracing::debug!(%object, "is gone"),
        // Somebody else wrote in between, which is no trouble.
        Err(controller::Error::ReconcilerFailed(Error::Apply(error), object)) if error.is_conflict() => {
            tracing::debug!(%object, %error, "will be read again");
        }
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                text = format!("{text}: {inner}");
                source = inner.source();
            }
            tracing::warn!(error = text, "will be tried again");
            if is_gone(&error) {
                forget.send_replace(true);
            }
        }
    }
    ready(())
}

/// A 410 that comes as an answer: kube 5.0's watcher starts over on one that comes as an event, but asks for the same
/// forgotten place for ever after this one (`State::InitListed` in its `watcher.rs`).
fn is_gone(error: &controller::Error<Error, watcher::Error>) -> bool {
    let controller::Error::QueueError(watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error else {
        return false;
    };
    status.code == 410
}
