//! The process: leadership, the controllers while it leads, health and metrics, and the way out.

mod http;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Secret, Service},
};
use kube::{
    Api, Client, Config, Resource,
    core::DeserializeGuard,
    runtime::{
        Controller,
        controller::{self, Action},
        watcher,
    },
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    api::{Jitsi, JitsiShard, Phase},
    events::Events,
    lease::{Elector, KubeLease, Leadership, Timing, kube_api},
    media::HttpMedia,
    metrics::{Metrics, Seen},
    reconcile::{self, Context, Error, Kind},
    validate::Defaults,
};

/// What `run` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Look after this namespace; `None`: after all.
    pub namespace: Option<String>,
    /// Where the lease is.
    pub lease_namespace: String,
    /// Its name.
    pub lease_name: String,
    /// A name that no other process has.
    pub identity: String,
    /// Health and metrics.
    pub listen: SocketAddr,
    /// Images and the like.
    pub defaults: Defaults,
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the port is taken or the client cannot be made.
pub async fn run(options: Options, config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let client = Client::try_from(config.clone()).context("the API client cannot be made")?;
    let timing = Timing::default();
    let lease_client = Client::try_from(kube_api::client_config(&config, timing)).context("the lease's client")?;
    let listener =
        TcpListener::bind(options.listen).await.with_context(|| format!("{} cannot be listened on", options.listen))?;

    let lease = KubeLease::new(lease_client, &options.lease_namespace, &options.lease_name);
    let (elector, leadership) = Elector::new(lease, options.identity.clone(), timing, Timestamp::now);
    let metrics = Arc::new(Metrics::new());
    let (end, ended) = watch::channel(false);
    let (stopped, writers_stopped) = tokio::sync::oneshot::channel::<()>();

    let http = tokio::spawn(http::serve(listener, metrics.clone(), leadership.clone(), on(ended.clone())));
    let electing = tokio::spawn(elector.run(async {
        let _ = writers_stopped.await;
    }));
    let context = Arc::new(Context {
        events: Events::new(client.clone(), Some(options.identity.clone()), leadership.clone()),
        media: Box::new(HttpMedia::new().context("the HTTP client")?),
        client,
        leadership: leadership.clone(),
        metrics: metrics.clone(),
        defaults: options.defaults.clone(),
        clock: Box::new(Timestamp::now),
        failures: std::sync::Mutex::default(),
    });
    let leading = tokio::spawn(lead(context, options.namespace.clone(), ended.clone()));

    shutdown.await;
    tracing::info!("leaving: what is being written is finished, then the lease is let go");
    let _ = end.send(true);
    let _ = leading.await;
    let _ = stopped.send(());
    let _ = electing.await;
    let _ = http.await;
    Ok(())
}

async fn on(mut ended: watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

/// Runs the controllers as long as this replica leads, again and again.
pub async fn lead(context: Arc<Context>, namespace: Option<String>, ended: watch::Receiver<bool>) {
    loop {
        let mut leadership = context.leadership.clone();
        tokio::select! {
            biased;
            () = on(ended.clone()) => return,
            () = leadership.gained() => {}
        }
        context.metrics.leads(true);
        control(&context, namespace.as_deref(), leadership, ended.clone()).await;
        context.metrics.leads(false);
    }
}

/// Both controllers, until leadership or the process ends and what they are doing is done.
async fn control(
    context: &Arc<Context>,
    namespace: Option<&str>,
    leadership: Leadership,
    ended: watch::Receiver<bool>,
) {
    let stop = || {
        let (mut leadership, ended) = (leadership.clone(), ended.clone());
        async move {
            tokio::select! {
                biased;
                () = on(ended) => {}
                () = leadership.lost() => {}
            }
        }
    };
    let client = &context.client;
    let all = watcher::Config::default;
    let ours = || watcher::Config::default().labels("app.kubernetes.io/managed-by=roompin-controller");
    let jitsis = Controller::new(scoped::<DeserializeGuard<Jitsi>>(client, namespace), all())
        .owns(scoped::<JitsiShard>(client, namespace), all())
        .owns(scoped::<StatefulSet>(client, namespace), ours())
        .owns(scoped::<ConfigMap>(client, namespace), ours())
        .owns(scoped::<Secret>(client, namespace), ours())
        .owns(scoped::<Service>(client, namespace), ours())
        .graceful_shutdown_on(stop())
        .run(
            |object, context| {
                timed::<Jitsi, _>(
                    context.clone(),
                    object.meta().uid.clone(),
                    reconcile::reconcile_jitsi(object, context),
                )
            },
            |object, error, context| context.retry(&object.meta().uid, error),
            context.clone(),
        )
        .for_each(|result| async { log(result) });
    let shards = Controller::new(scoped::<DeserializeGuard<JitsiShard>>(client, namespace), all())
        .owns(scoped::<StatefulSet>(client, namespace), ours())
        .owns(scoped::<Deployment>(client, namespace), ours())
        .owns(scoped::<DaemonSet>(client, namespace), ours())
        .owns(scoped::<ConfigMap>(client, namespace), ours())
        .owns(scoped::<Secret>(client, namespace), ours())
        .owns(scoped::<Service>(client, namespace), ours())
        .graceful_shutdown_on(stop())
        .run(
            |object, context| async move {
                let (namespace, name) = (object.meta().namespace.clone(), object.meta().name.clone());
                let answer = timed::<JitsiShard, _>(
                    context.clone(),
                    object.meta().uid.clone(),
                    reconcile::reconcile_shard(object.clone(), context.clone()),
                )
                .await;
                let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
                context.metrics.shard(&namespace, &name, seen(&object));
                answer
            },
            |object, error, context| context.retry(&object.meta().uid, error),
            context.clone(),
        )
        .for_each(|result| async { log(result) });
    tokio::join!(jitsis, shards);
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

async fn timed<K: Kind, F: Future<Output = Result<Action, Error>>>(
    context: Arc<Context>,
    uid: Option<String>,
    work: F,
) -> Result<Action, Error> {
    let start = tokio::time::Instant::now();
    let answer = work.await;
    let failure = answer.as_ref().err().map(Error::label);
    context.metrics.reconciled(K::NAME, start.elapsed(), failure);
    context.count(uid, answer.is_err());
    answer
}

fn log<K: std::fmt::Debug>(result: Result<(K, Action), controller::Error<Error, watcher::Error>>) {
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
        }
    }
}

/// How long the process may take to leave: what is under way has a timeout of its own.
pub const LEAVE: Duration = Duration::from_secs(25);
