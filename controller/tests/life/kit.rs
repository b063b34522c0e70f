//! A Jitsi on an API server, with people in it who are made up.

#[path = "people.rs"]
mod people;
#[path = "../fleet/stubs.rs"]
pub(crate) mod stubs;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use controller::{
    api::{Jitsi, JitsiShard, JitsiStatus, Phase},
    apply::{self, Live},
    build::Kinds,
    crds,
    events::Events,
    lease::{Elector, KubeLease, Leadership, Timing},
    metrics::Metrics,
    reconcile::{Context, FleetMemory},
    server::lead,
    validate::Defaults,
};
use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core, events::v1::Event};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;
use testkit::{Actors, ApiServer, Faults, Harness, Kubelet, harness::Raw};
pub(crate) use testkit::{harness::on_the_double, skipped};
use tokio::{sync::watch, task::JoinHandle};

use self::{people::Stub, stubs::Instances};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// Long enough for anything that does not wait for people.
const SOON: Duration = Duration::from_secs(600);

/// How long a test waits in a cluster for what must not happen.
const PATIENCE: Duration = Duration::from_secs(40);

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
    follower: JoinHandle<()>,
    writes: Mutex<Vec<(String, String)>>,
    counted: Mutex<BTreeMap<String, u32>>,
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.listener.abort();
        self.follower.abort();
        if std::env::var_os("LIFE_COUNT").is_some() {
            let all = self.count();
            println!("{} requests", all.iter().map(|(number, _)| number).sum::<u32>());
            for (number, what) in all.iter().take(40) {
                println!("{number:6} {what}");
            }
        }
    }
}

/// For a test that began with paused time: a cluster is on nobody's clock.
pub(crate) fn on_its_own_clock() {
    if !on_the_double() {
        tokio::time::resume();
    }
}

impl Kit {
    pub(crate) async fn start() -> Self {
        on_its_own_clock();
        Self::start_with(Actors::all()).await
    }

    /// With other actors than the usual ones.
    pub(crate) async fn start_with(actors: Actors) -> Self {
        let harness = Harness::builder().crds(crds::definitions()).actors(actors).start().await;
        let stub = Stub::default();
        let kubelet = harness.actors().and_then(|actors| actors.kubelet()).cloned();
        let following = stub.instances.clone().follow(harness.client(), harness.namespace().to_owned(), kubelet);
        let follower = tokio::spawn(following);
        let listener = tokio::spawn(stub.clone().listen(harness.client(), harness.namespace().to_owned()));
        Self { harness, stub, listener, follower, writes: Mutex::default(), counted: Mutex::default() }
    }

    /// The bridges and gateways.
    pub(crate) fn instances(&self) -> &Instances {
        &self.stub.instances
    }

    /// What scripts the pods, where anything does.
    pub(crate) fn kubelet(&self) -> Option<&Kubelet> {
        self.harness.actors()?.kubelet()
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

    pub(crate) fn api(&self) -> Raw {
        self.harness.api()
    }

    pub(crate) fn double(&self) -> &ApiServer {
        self.harness.double().unwrap()
    }

    pub(crate) fn events(&self) -> Api<core::v1::Event> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// A merge patch of the sample.
    pub(crate) async fn merge(&self, patch: serde_json::Value) {
        self.jitsis().patch("jitsi-sample", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub(crate) fn jitsis(&self) -> Api<Jitsi> {
        Api::namespaced(self.client(), self.namespace())
    }

    pub(crate) fn shards(&self) -> Api<JitsiShard> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// Lets time go by: all of it on the double's clock, some of it in a cluster.
    pub(crate) async fn pass(&self, time: Duration) {
        let most = if self.harness.is_double() { time } else { PATIENCE };
        tokio::time::sleep(time.min(most)).await;
    }

    /// Who holds the Lease of the election.
    pub(crate) async fn leader(&self) -> Option<String> {
        let leases: Api<Lease> = Api::namespaced(self.client(), self.namespace());
        leases.get_opt("roompin-controller").await.unwrap()?.spec?.holder_identity
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
            fleet: FleetMemory::default(),
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
        self.stub.set((self.clock())(), shard, Ok(number));
    }

    pub(crate) async fn silence(&self, shard: &str) {
        self.stub.set((self.clock())(), shard, Err("no answer in time".to_owned()));
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

    pub(crate) async fn reasons(&self) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client(), self.namespace());
        events.list(&ListParams::default()).await.unwrap().into_iter().filter_map(|event| event.reason).collect()
    }

    /// Takes the double's record in: writes, and what the deletion of a shard says about the people on it.
    fn gather(&self) {
        let Some(double) = self.harness.double() else { return };
        let mut writes = self.writes.lock().unwrap();
        for (at, seen) in double.take_timed_requests() {
            *self
                .counted
                .lock()
                .unwrap()
                .entry(format!("{} {} {}", seen.who, seen.verb, seen.resource))
                .or_insert(0) += 1;
            if !seen.writes() {
                continue;
            }
            // What the test itself deletes goes by the finalizer, and is seen going.
            if seen.verb == "delete" && seen.resource == "jitsishards" && seen.who != "test" {
                self.stub.deleted(at, seen.name.as_deref().unwrap_or_default());
            }
            writes.push((seen.who, format!("{} {}", seen.verb, seen.path)));
        }
    }

    /// The shards that went with somebody on them, by the record of requests and by the watch.
    pub(crate) fn cut(&self) -> BTreeSet<String> {
        self.gather();
        self.stub.cut()
    }

    /// Requests by who, verb and resource, the most frequent first.
    pub(crate) fn count(&self) -> Vec<(u32, String)> {
        self.gather();
        let mut all: Vec<_> =
            self.counted.lock().unwrap().iter().map(|(what, number)| (*number, what.clone())).collect();
        all.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        all
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

    /// All of it, as far as two clusters that saw the same must agree: no versions, times, addresses and passwords.
    pub(crate) async fn state(&self) -> BTreeMap<String, String> {
        // What has lost its owner goes a moment later.
        self.pass(MINUTE).await;
        let mut all = BTreeMap::new();
        for name in self.versions().await.into_keys() {
            let (kind, name) = name.split_once('/').unwrap();
            let group = apply::owned_kinds(Kinds::default()).into_iter().find(|gvk| gvk.kind == kind);
            let resource = match kind {
                "Jitsi" => ApiResource::erase::<Jitsi>(&()),
                "JitsiShard" => ApiResource::erase::<JitsiShard>(&()),
                _ => ApiResource::from_gvk(&group.unwrap()),
            };
            let api: Api<DynamicObject> = Api::namespaced_with(self.client(), self.namespace(), &resource);
            let mut object = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
            strip(&mut object);
            if kind == "Secret" {
                let keys: Vec<_> = object["data"].as_object().unwrap().keys().cloned().collect();
                object["data"] = json!(keys);
            }
            all.insert(format!("{kind}/{name}"), object.to_string().replace(self.namespace(), "NAMESPACE"));
        }
        all
    }

    /// One shard, then two, then one again when its conference has ended; from where `stage` says.
    pub(crate) async fn add_and_remove(&self, stage: &AtomicU32) {
        if stage.load(Relaxed) == 0 {
            self.ready(1).await;
            stage.store(1, Relaxed);
        }
        if stage.load(Relaxed) == 1 {
            self.scale(2).await;
            self.ready(2).await;
            stage.store(2, Relaxed);
        }
        if stage.load(Relaxed) == 2 {
            self.set_conferences("jitsi-sample-1", 1).await;
            self.scale(1).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
            stage.store(3, Relaxed);
        }
        self.set_conferences("jitsi-sample-1", 0).await;
        self.gone("jitsi-sample-1").await;
        self.ready(1).await;
    }
}

/// Takes out what differs from one cluster to the next.
fn strip(value: &mut serde_json::Value) {
    const VARIES: [&str; 12] = [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "generation",
        "status",
        "clusterIP",
        "clusterIPs",
        "nodePort",
        "healthCheckNodePort",
        "apps.jit.si/applied",
        "deployment.kubernetes.io/revision",
    ];
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|key, _| !VARIES.contains(&key.as_str()) && !key.ends_with("checksum"));
            map.values_mut().for_each(strip);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}
