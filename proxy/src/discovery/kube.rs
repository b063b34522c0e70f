//! Shards found in Kubernetes: watches Services by label, and the EndpointSlices that hold their addresses.
//!
//! - A Service is a shard. Its name and state are labels of the Service; [`view`] turns objects into shards.
//! - The watches survive what an API server does: they resume, list anew after a 410, and are retried with growing
//!   pauses while it is away. Meanwhile everything stays as it was, and `roompin_discovery_answered_timestamp_seconds`
//!   stands still, because a small question of our own every few seconds finds out whether the server answers.
//! - Reading Services and EndpointSlices in one namespace is all it needs: a Role, not a ClusterRole.

mod view;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, reflector, watcher},
};
use router_core::shard::{ShardName, ShardSpec};
use tokio::time::{Instant, MissedTickBehavior};

use self::view::View;
use super::{DiscoveryError, Reporter, problems::ProblemLog};
use crate::config::KubernetesSource;

/// Pause between attempts to set the client up: a service account's files may not be mounted yet.
const SETUP_RETRY: Duration = Duration::from_secs(5);
/// After a change, how long others that belong to it may follow: a label flips, endpoints move.
const SETTLE: Duration = Duration::from_millis(50);
/// How often the API server is asked whether it is there.
const CONTACT: Duration = Duration::from_secs(10);
/// Longest that this question, or a connect, may take.
const CONTACT_TIMEOUT: Duration = Duration::from_secs(5);
/// Life of one watch in seconds; a connection that died silently is noticed 5 s later.
const WATCH_SECS: u32 = 60;
/// Label by which an EndpointSlice names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Watches one selector until aborted, or until nobody listens.
pub(super) async fn run(source: KubernetesSource, reporter: Reporter) {
    let mut log = ProblemLog::default();
    let client = loop {
        match connect(&source).await {
            Ok(client) => break client,
            Err(error) => {
                log.report(vec![error.to_string()], &reporter);
                reporter.failed(error);
                reporter.settled();
                tokio::time::sleep(SETUP_RETRY).await;
            }
        }
    };
    Watcher::new(source, client, reporter, log).run().await;
}

/// A client for the cluster that `kubeconfig` names, or for the one that this process runs in.
async fn connect(source: &KubernetesSource) -> Result<Client, DiscoveryError> {
    let failed = |why: String| DiscoveryError::Setup { name: "the Kubernetes API".into(), why };
    let mut config = match &source.kubeconfig {
        None => Config::incluster()
            .map_err(|error| failed(format!("{error}; outside of a cluster give shards.kubernetes[].kubeconfig")))?,
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| failed(error.to_string()))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(|error| failed(error.to_string()))?
        }
    };
    config.connect_timeout = Some(CONTACT_TIMEOUT);
    Client::try_from(config).map_err(|error| failed(error.to_string()))
}

/// What a source remembers while it runs.
struct Watcher {
    services: Api<Service>,
    slices: Api<EndpointSlice>,
    source: KubernetesSource,
    reporter: Reporter,
    log: ProblemLog,
    /// What stands in the way at the moment: the watches' last errors and that of the last question.
    failing: BTreeMap<&'static str, DiscoveryError>,
    /// The shards as told last. A Service without endpoints keeps the addresses it had.
    told: BTreeMap<ShardName, ShardSpec>,
    /// Nothing has been told yet.
    first: bool,
    /// Problems of single Services.
    oddities: Vec<DiscoveryError>,
}

/// One thing that happened on a watch.
enum Seen {
    Changed(&'static str),
    Failed(&'static str, watcher::Error),
}

impl Watcher {
    fn new(source: KubernetesSource, client: Client, reporter: Reporter, log: ProblemLog) -> Self {
        let namespace = source.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Self {
            services: Api::namespaced(client.clone(), &namespace),
            slices: Api::namespaced(client, &namespace),
            source,
            reporter,
            log,
            failing: BTreeMap::new(),
            told: BTreeMap::new(),
            first: true,
            oddities: Vec::new(),
        }
    }

    async fn run(mut self) {
        let (services, writer) = reflector::store();
        let config = watcher::Config::default().timeout(WATCH_SECS);
        let service_events =
            observe("services", self.services.clone(), config.clone().labels(&self.source.selector), writer);
        let (slices, writer) = reflector::store();
        let slice_events = observe("endpointslices", self.slices.clone(), config.labels(SERVICE_LABEL), writer);
        let mut events = stream::select(service_events, slice_events);

        let mut contact = tokio::time::interval(CONTACT);
        contact.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tell_at: Option<Instant> = None;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Seen::Changed(watch)) => {
                        self.failing.remove(watch);
                        tell_at.get_or_insert_with(|| Instant::now() + SETTLE);
                    }
                    Some(Seen::Failed(watch, error)) => self.failed(watch, watch_error(watch, &error)),
                    // A watch never ends by itself.
                    None => return,
                },
                () = at(tell_at) => {
                    tell_at = None;
                    // Half the picture would look like shards without addresses.
                    if listed(&services) && listed(&slices) && !self.tell(&services.state(), &slices.state()).await {
                        return;
                    }
                }
                _ = contact.tick() => self.ask().await,
            }
        }
    }

    /// Finds out whether the API server answers, since a quiet watch does not tell.
    async fn ask(&mut self) {
        let question = ListParams::default().labels(&self.source.selector).limit(1);
        let answer = tokio::time::timeout(CONTACT_TIMEOUT, self.services.list_metadata(&question)).await;
        match answer {
            Ok(Ok(_)) => {
                self.failing.remove("contact");
                self.report();
                // Before the first list this would read as "there are no shards".
                if !self.first {
                    self.reporter.answered(self.told.len());
                }
            }
            Ok(Err(error)) => self.failed("contact", api_error("services", &error)),
            Err(_) => self.failed("contact", DiscoveryError::Timeout { query: "list services".into() }),
        }
    }

    fn failed(&mut self, what: &'static str, error: DiscoveryError) {
        self.reporter.failed(error.clone());
        self.failing.insert(what, error);
        self.report();
        self.reporter.settled();
    }

    /// Passes the present picture on when it differs from the last. `false` when nobody listens any more.
    async fn tell(&mut self, services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> bool {
        let View { shards, problems } = view::shards(services, slices, &self.source, &self.told);
        for problem in &problems {
            if !self.oddities.contains(problem) {
                self.reporter.failed(problem.clone());
            }
        }
        self.oddities = problems;
        self.report();
        if std::mem::take(&mut self.first) || shards != self.told {
            let list: Vec<ShardSpec> = shards.values().cloned().collect();
            self.told = shards;
            if !self.reporter.list(list, self.source.hold_down).await {
                return false;
            }
        }
        self.reporter.answered(self.told.len());
        self.reporter.settled();
        true
    }

    fn report(&mut self) {
        let problems = self.failing.values().chain(&self.oddities).map(ToString::to_string).collect();
        self.log.report(problems, &self.reporter);
    }
}

/// A watch that keeps `writer`'s store current.
fn observe<K>(
    name: &'static str,
    api: Api<K>,
    config: watcher::Config,
    writer: reflector::store::Writer<K>,
) -> impl Stream<Item = Seen> + Unpin
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let events = watcher(api, config).default_backoff().reflect(writer);
    Box::pin(events.map(move |event| match event {
        Ok(_) => Seen::Changed(name),
        Err(error) => Seen::Failed(name, error),
    }))
}

/// Whether the first list is complete.
fn listed<K>(store: &reflector::Store<K>) -> bool
where
    K: reflector::Lookup<DynamicType = ()> + Clone + 'static,
{
    store.wait_until_ready().now_or_never().is_some()
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn watch_error(watch: &'static str, error: &watcher::Error) -> DiscoveryError {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => api_error(watch, error),
        other => DiscoveryError::Transport { query: format!("watch {watch}"), why: other.to_string() },
    }
}

fn api_error(resource: &str, error: &kube::Error) -> DiscoveryError {
    match error {
        kube::Error::Api(status) => {
            let advice = if status.is_forbidden() { "; give the proxy's Role get, list and watch on it" } else { "" };
            let code = format!("{} {}{advice}", status.code, status.message);
            DiscoveryError::Api { resource: resource.to_owned(), code }
        }
        other => DiscoveryError::Transport { query: format!("watch {resource}"), why: other.to_string() },
    }
}
