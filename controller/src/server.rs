//! The process: leadership, the controllers while it leads, health and metrics, and the way out.

mod control;
mod http;
mod secret;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;
use kube::{Client, Config};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    adopt,
    events::Events,
    lease::{Elector, KubeLease, Timing, kube_api},
    media::HttpMedia,
    metrics::Metrics,
    reconcile::{Context, FleetMemory},
    rest::{self, Rest},
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
    /// The REST API and webhooks.
    pub rest_listen: SocketAddr,
    /// How the REST API behaves.
    pub rest: rest::Settings,
    /// Metrics under the autoscaler's names too.
    pub autoscaler_metrics: bool,
    /// Images and the like.
    pub defaults: Defaults,
    /// How recorders reach the webhooks; `None`: they are only asked.
    pub webhook_url: Option<String>,
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the port is taken or the client cannot be made.
pub async fn run(
    options: Options,
    guard: rest::auth::Guard,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let client = Client::try_from(config.clone()).context("the API client cannot be made")?;
    let timing = Timing::default();
    let lease_client = Client::try_from(kube_api::client_config(&config, timing)).context("the lease's client")?;
    let listener =
        TcpListener::bind(options.listen).await.with_context(|| format!("{} cannot be listened on", options.listen))?;

    let rest_listener = TcpListener::bind(options.rest_listen)
        .await
        .with_context(|| format!("{} cannot be listened on for the REST API", options.rest_listen))?;

    let lease = KubeLease::new(lease_client, &options.lease_namespace, &options.lease_name);
    let (elector, leadership) = Elector::new(lease, options.identity.clone(), timing, Timestamp::now);
    let metrics = Arc::new(Metrics::with(options.autoscaler_metrics));
    let (end, ended) = watch::channel(false);
    let (stopped, writers_stopped) = tokio::sync::oneshot::channel::<()>();

    let http = tokio::spawn(http::serve(listener, metrics.clone(), leadership.clone(), on(ended.clone())));
    // Both those who make recorders and those who hear them have to know it.
    let mut defaults = options.defaults.clone();
    if let Some(url) = &options.webhook_url {
        let name = format!("{}-webhook", options.lease_name);
        defaults.webhook = secret::webhook(&client, &options.lease_namespace, &name, url).await;
    }
    rest::auth::announce(&guard);
    let (rest, filled) = Rest::new(rest::Parts {
        client: client.clone(),
        namespace: options.namespace.clone(),
        metrics: metrics.clone(),
        defaults: defaults.clone(),
        guard,
        settings: options.rest.clone(),
        clock: Box::new(Timestamp::now),
    });
    let filling = tokio::spawn(filled);
    let known = Arc::downgrade(&rest);
    metrics.know_groups(move || known.upgrade().map(|rest| rest.seen()).unwrap_or_default());
    let serving = tokio::spawn(rest::serve::serve(rest_listener, rest::router(&rest), on(ended.clone())));
    let electing = tokio::spawn(elector.run(async {
        let _ = writers_stopped.await;
    }));
    let context = Arc::new(Context {
        events: Events::new(client.clone(), Some(options.identity.clone()), leadership.clone()),
        media: Box::new(HttpMedia::new().context("the HTTP client")?),
        client,
        leadership: leadership.clone(),
        metrics: metrics.clone(),
        defaults,
        clock: Box::new(Timestamp::now),
        failures: std::sync::Mutex::default(),
        fleet: FleetMemory::default(),
    });
    let leading = tokio::spawn(lead(context, options.namespace.clone(), ended.clone()));

    shutdown.await;
    tracing::info!("leaving: what is being written is finished, then the lease is let go");
    rest.leave();
    let _ = end.send(true);
    let _ = leading.await;
    let _ = stopped.send(());
    let _ = electing.await;
    // What is under way is finished while the other replica may lead already.
    let _ = serving.await;
    filling.abort();
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
        // What was heard before somebody else led says nothing about the time between.
        context.fleet.clear();
        let end = tokio::select! {
            end = control::run(&context, namespace.as_deref(), leadership, ended.clone()) => end,
            never = adopt::sweep(&context, namespace.as_deref()) => match never {},
        };
        context.metrics.leads(false);
        if end == control::End::Forgotten {
            // So that a server in trouble is not asked in a loop.
            tokio::time::sleep(RELIST_PAUSE).await;
        }
    }
}

/// Before everything is listed anew.
const RELIST_PAUSE: Duration = Duration::from_secs(1);
/// How long the process may take to leave: what is under way has a timeout of its own.
pub const LEAVE: Duration = Duration::from_secs(25);
