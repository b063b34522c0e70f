//! A Jitsi on an API server, with people in it who are made up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use controller::{
    api::{Jitsi, JitsiShard, JitsiStatus, Phase, SHARD_LABEL, SHARD_STATE_LABEL, ShardState},
    apply::{self, Live},
    build::Kinds,
    crds,
    events::Events,
    lease::{Elector, KubeLease, Leadership, Timing},
    media::Media,
    metrics::Metrics,
    plan::drain::ProxyShard,
    reconcile::Context,
    server::lead,
    validate::Defaults,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    events::v1::Event,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;
use testkit::{Actors, Faults, Harness};
use tokio::{sync::watch, task::JoinHandle};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// Long enough for anything that does not wait for people.
const SOON: Duration = Duration::from_secs(600);

/// What is on the shards, as jicofo and the proxies say.
#[derive(Default)]
struct People {
    conferences: BTreeMap<String, Result<u64, String>>,
    discovery: BTreeMap<String, ShardState>,
    shard_of: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Stub(Arc<Mutex<People>>);

impl Media for Stub {
    fn conferences<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<u64, String>> {
        let people = self.0.lock().unwrap();
        let shard = people.shard_of.get(ip).cloned().ok_or_else(|| "no connection".to_owned());
        let answer = shard.and_then(|shard| people.conferences.get(&shard).cloned().unwrap_or(Ok(0)));
        Box::pin(async move { answer })
    }

    fn shard<'a>(&'a self, _: &'a str, shard: &'a str) -> BoxFuture<'a, Result<Option<ProxyShard>, String>> {
        let people = self.0.lock().unwrap();
        let on_it = people.conferences.get(shard).cloned().unwrap_or(Ok(0)).unwrap_or_default();
        let known = people.discovery.get(shard).copied();
        let answer = known.map(|discovery| ProxyShard { discovery, rooms: on_it, tunnels: 3 * on_it });
        Box::pin(async move { Ok(answer) })
    }
}

/// Watches labels as proxies do, two seconds late.
async fn listen(stub: Stub, client: Client, namespace: String) {
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    loop {
        let labelled = services.list(&ListParams::default().labels(SHARD_STATE_LABEL)).await;
        let focus = pods.list(&ListParams::default().labels("app.kubernetes.io/component=jicofo")).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (Ok(labelled), Ok(focus)) = (labelled, focus) else { continue };
        let mut people = stub.0.lock().unwrap();
        people.discovery = labelled
            .iter()
            .filter_map(|service| {
                let state = match service.labels()[SHARD_STATE_LABEL].as_str() {
                    "ready" => ShardState::Ready,
                    "draining" => ShardState::Draining,
                    _ => ShardState::Down,
                };
                Some((service.labels().get(SHARD_LABEL)?.clone(), state))
            })
            .collect();
        people.shard_of = focus
            .iter()
            .filter_map(|pod| Some((pod.status.as_ref()?.pod_ip.clone()?, pod.labels().get(SHARD_LABEL)?.clone())))
            .collect();
    }
}

pub(crate) struct Running {
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    release: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Running {
    /// As by SIGTERM.
    pub(crate) async fn end(mut self) {
        let _ = self.end.send(true);
        let mut tasks = self.tasks.drain(..);
        tasks.next().unwrap().await.unwrap();
        if let Some(release) = self.release.take() {
            let _ = release.send(());
        }
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// As by SIGKILL.
    pub(crate) fn kill(self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

pub(crate) struct Kit {
    harness: Harness,
    stub: Stub,
    listener: JoinHandle<()>,
    writes: Mutex<Vec<(String, String)>>,
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

pub(crate) fn on_the_double() -> bool {
    std::env::var_os(testkit::harness::VARIABLE).is_none()
}

pub(crate) fn skip(why: &str) {
    println!("skipped: {why}");
}

impl Kit {
    pub(crate) async fn start() -> Self {
        let harness = Harness::builder().crds(crds::definitions()).actors(Actors::all()).start().await;
        let stub = Stub::default();
        let listener = tokio::spawn(listen(stub.clone(), harness.client(), harness.namespace().to_owned()));
        Self { harness, stub, listener, writes: Mutex::default() }
    }

    pub(crate) fn client(&self) -> Client {
        self.harness.client()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.harness.namespace()
    }

    pub(crate) fn faults(&self) -> &Faults {
        self.harness.faults().unwrap()
    }

    pub(crate) fn jitsis(&self) -> Api<Jitsi> {
        Api::namespaced(self.client(), self.namespace())
    }

    pub(crate) fn shards(&self) -> Api<JitsiShard> {
        Api::namespaced(self.client(), self.namespace())
    }

    fn clock(&self) -> Box<dyn Fn() -> Timestamp + Send + Sync> {
        match self.harness.double().cloned() {
            Some(double) => Box::new(move || double.now()),
            None => Box::new(Timestamp::now),
        }
    }

    async fn context(&self, who: &str, leadership: Leadership) -> Arc<Context> {
        let client = self.harness.client_as(who).await;
        Arc::new(Context {
            events: Events::new(client.clone(), Some(who.to_owned()), leadership.clone()),
            client,
            leadership,
            media: Box::new(self.stub.clone()),
            metrics: Arc::new(Metrics::new()),
            defaults: Defaults::default(),
            clock: self.clock(),
            failures: Mutex::default(),
        })
    }

    /// A controller that leads without asking.
    pub(crate) async fn run(&self, who: &str) -> Running {
        let (end, ended) = watch::channel(false);
        let context = self.context(who, Leadership::always()).await;
        let tasks = vec![tokio::spawn(lead(context, Some(self.namespace().to_owned()), ended))];
        Running { end, tasks, release: None }
    }

    /// A controller that takes part in the election.
    pub(crate) async fn run_elected(&self, who: &str) -> Running {
        let client = self.harness.client_as(who).await;
        let lease = KubeLease::new(client, self.namespace(), "roompin-controller");
        let (elector, leadership) = Elector::new(lease, who.to_owned(), Timing::default(), self.clock_plain());
        let (release, released) = tokio::sync::oneshot::channel();
        let (end, ended) = watch::channel(false);
        let context = self.context(who, leadership).await;
        let tasks = vec![
            tokio::spawn(lead(context, Some(self.namespace().to_owned()), ended)),
            tokio::spawn(elector.run(async {
                let _ = released.await;
            })),
        ];
        Running { end, tasks, release: Some(release) }
    }

    fn clock_plain(&self) -> impl Fn() -> Timestamp + Send + 'static {
        let clock = self.clock();
        move || clock()
    }

    pub(crate) async fn eventually<F, Fut, T>(&self, what: &str, check: F) -> T
    where
        F: FnMut() -> Fut,
        Fut: Future,
        Fut::Output: testkit::harness::Answer<Value = T>,
    {
        self.harness.eventually(what, SOON, check).await
    }

    pub(crate) async fn apply_sample(&self) {
        let sample: serde_json::Value = serde_saphyr::from_str(include_str!("../data/sample.yaml")).unwrap();
        let params = PatchParams::apply("kubectl");
        self.jitsis().patch("jitsi-sample", &params, &Patch::Apply(&sample)).await.unwrap();
    }

    pub(crate) async fn scale(&self, shards: i32) {
        let patch = json!({"spec": {"replicas": shards}});
        self.jitsis().patch_scale("jitsi-sample", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Waits until exactly so many shards are ready and nothing is left to do.
    pub(crate) async fn ready(&self, shards: i32) {
        let jitsis = self.jitsis();
        self.eventually(&format!("{shards} shards are ready"), || async {
            let jitsi = jitsis.get("jitsi-sample").await.map_err(|error| error.to_string())?;
            let generation = jitsi.metadata.generation;
            let status: JitsiStatus = jitsi.status.unwrap_or_default();
            let done = status.phase == Some(Phase::Ready)
                && (status.ready_shards, status.shards) == (shards, shards)
                && status.observed_generation == generation;
            if done { Ok(()) } else { Err(serde_json::to_string(&status).unwrap()) }
        })
        .await;
    }

    pub(crate) async fn phase(&self, shard: &str, phase: Phase) {
        let shards = self.shards();
        self.eventually(&format!("{shard} is {phase:?}"), || async {
            let found = shards.get(shard).await.map_err(|error| error.to_string())?;
            let status = found.status.unwrap_or_default();
            if status.phase == Some(phase) { Ok(()) } else { Err(serde_json::to_string(&status).unwrap()) }
        })
        .await;
    }

    pub(crate) async fn gone(&self, shard: &str) {
        let shards = self.shards();
        self.eventually(&format!("{shard} is gone"), || async {
            match shards.get_opt(shard).await {
                Ok(None) => Ok(()),
                Ok(Some(found)) => Err(serde_json::to_string(&found.status).unwrap()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    pub(crate) async fn set_conferences(&self, shard: &str, number: u64) {
        self.stub.0.lock().unwrap().conferences.insert(shard.to_owned(), Ok(number));
    }

    pub(crate) async fn silence(&self, shard: &str) {
        self.stub.0.lock().unwrap().conferences.insert(shard.to_owned(), Err("no answer in time".to_owned()));
    }

    /// Everything of ours that stands there, with its version.
    pub(crate) async fn versions(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let kinds = apply::owned_kinds(Kinds::default());
        let live =
            Live::list(&self.client(), self.namespace(), &kinds, "app.kubernetes.io/part-of=jitsi").await.unwrap();
        for kind in kinds.iter().map(|kind| kind.kind.as_str()) {
            for object in live.of_kind(kind) {
                let object: &DynamicObject = object;
                // Their status is written by others all the time: what we mean is counted by the generation.
                let workload = matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "PodDisruptionBudget");
                let version = match object.metadata.generation {
                    Some(generation) if workload => format!("generation {generation}"),
                    _ => object.resource_version().unwrap(),
                };
                all.insert(format!("{kind}/{}", object.name_any()), version);
            }
        }
        for shard in self.shards().list(&ListParams::default()).await.unwrap() {
            all.insert(format!("JitsiShard/{}", shard.name_any()), shard.resource_version().unwrap());
        }
        for jitsi in self.jitsis().list(&ListParams::default()).await.unwrap() {
            all.insert(format!("Jitsi/{}", jitsi.name_any()), jitsi.resource_version().unwrap());
        }
        all
    }

    pub(crate) async fn names(&self) -> BTreeSet<String> {
        self.versions().await.into_keys().collect()
    }

    pub(crate) async fn reasons(&self) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client(), self.namespace());
        events.list(&ListParams::default()).await.unwrap().into_iter().filter_map(|event| event.reason).collect()
    }

    fn gather(&self) {
        let Some(double) = self.harness.double() else { return };
        let mut writes = self.writes.lock().unwrap();
        writes.extend(
            double
                .take_requests()
                .into_iter()
                .filter(|seen| seen.writes())
                .map(|seen| (seen.who, format!("{} {}", seen.verb, seen.path))),
        );
    }

    pub(crate) fn forget_requests(&self) {
        self.gather();
        self.writes.lock().unwrap().clear();
    }

    /// What this client has written. Against a cluster that is not known, and versions tell.
    pub(crate) fn writes_of(&self, who: &str) -> Vec<String> {
        self.gather();
        self.writes.lock().unwrap().iter().filter(|(by, _)| by == who).map(|(_, what)| what.clone()).collect()
    }

    /// One shard, then two, then one again, as far as the controller lives; says whether it died.
    pub(crate) async fn live_through_add_and_remove(&self, who: &str) -> bool {
        self.apply_sample().await;
        let scenario = async {
            self.ready(1).await;
            self.scale(2).await;
            self.ready(2).await;
            self.scale(1).await;
            self.gone("jitsi-sample-1").await;
            self.ready(1).await;
        };
        tokio::select! {
            biased;
            () = self.faults().crashed(who) => true,
            () = scenario => false,
        }
    }

    /// The same from wherever it stopped.
    pub(crate) async fn finish_add_and_remove(&self) {
        let spec = self.jitsis().get("jitsi-sample").await.unwrap().spec;
        self.ready(spec.shards).await;
        if spec.shards == 1 && self.reasons().await.iter().all(|reason| reason != "ShardDraining") {
            self.scale(2).await;
            self.ready(2).await;
        }
        self.scale(1).await;
        self.ready(1).await;
    }
}
