//! A shard with recorders on an API server, and a controller that looks after them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use controller::{
    api::JitsiShard,
    build::Webhook,
    crds,
    events::Events,
    lease::Leadership,
    metrics::Metrics,
    reconcile::{Context, FleetMemory},
    rest::{self, Rest},
    server::lead,
    validate::Defaults,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use testkit::{Actors, Harness, harness::on_the_double};
use tokio::{sync::watch, task::JoinHandle};

use super::jibri::Jibris;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(900);

pub(crate) struct Kit {
    pub(crate) harness: Harness,
    pub(crate) jibris: Jibris,
    pub(crate) defaults: Defaults,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What webhooks look into, kept up to date by a watch.
pub(crate) fn rest(
    client: Client,
    namespace: Option<&str>,
    defaults: Defaults,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
) -> (Arc<Rest>, Vec<JoinHandle<()>>) {
    let (rest, filled) = Rest::new(rest::Parts {
        client,
        namespace: namespace.map(str::to_owned),
        metrics: Arc::new(Metrics::new()),
        defaults,
        guard: rest::auth::Guard::Open,
        settings: rest::Settings::default(),
        clock,
    });
    (rest, vec![tokio::spawn(filled)])
}

impl Kit {
    /// With webhooks that arrive at a replica which does not lead.
    pub(crate) async fn start(defaults: Defaults, selector: &'static str) -> Self {
        if !on_the_double() {
            // A cluster is on nobody's clock.
            tokio::time::resume();
        }
        let harness = Harness::builder().crds(crds::definitions()).actors(Actors::all()).start().await;
        let webhook = Some(Webhook::new("http://roompin-controller.test.svc:9090", b"0123456789abcdef"));
        let mut kit =
            Self { harness, jibris: Jibris::default(), defaults: Defaults { webhook, ..defaults }, tasks: Vec::new() };
        let client = kit.harness.client_as("webhook").await;
        let (rest, tasks) = rest(client, Some(kit.harness.namespace()), kit.defaults.clone(), kit.clock());
        kit.tasks.extend(tasks);
        kit.jibris.route(rest::router(&rest));
        let clock = kit.clock();
        kit.tasks.push(tokio::spawn(kit.jibris.clone().live(kit.pods(), selector, clock)));
        kit
    }

    pub(crate) async fn recorders() -> Self {
        Self::start(Defaults::default(), "app.kubernetes.io/component in (jibri,sip-jibri)").await
    }

    pub(crate) fn clock(&self) -> Box<dyn Fn() -> Timestamp + Send + Sync> {
        match self.harness.double().cloned() {
            Some(double) => Box::new(move || double.now()),
            None => Box::new(Timestamp::now),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock())()
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.harness.client(), self.harness.namespace())
    }

    pub(crate) fn shards(&self) -> Api<JitsiShard> {
        Api::namespaced(self.harness.client(), self.harness.namespace())
    }

    pub(crate) async fn run(&self, who: &str) -> (watch::Sender<bool>, JoinHandle<()>) {
        let client = self.harness.client_as(who).await;
        let leadership = Leadership::always();
        let context = Arc::new(Context {
            events: Events::new(client.clone(), Some(who.to_owned()), leadership.clone()),
            client,
            leadership,
            media: Box::new(self.jibris.clone()),
            metrics: Arc::new(Metrics::new()),
            defaults: self.defaults.clone(),
            clock: self.clock(),
            failures: std::sync::Mutex::default(),
            fleet: FleetMemory::default(),
        });
        let (end, ended) = watch::channel(false);
        (end, tokio::spawn(lead(context, Some(self.harness.namespace().to_owned()), ended)))
    }

    /// A shard `x-0` of nothing special, with so many spares.
    pub(crate) async fn shard(&self, jibri: serde_json::Value) {
        let shard = json!({
            "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": {"name": "x-0"},
            "spec": {"domain": "meet.example.org", "jibri": jibri},
        });
        self.shards().patch("x-0", &PatchParams::apply("kubectl").force(), &Patch::Apply(&shard)).await.unwrap();
    }

    /// Recorders by name: what their label says, and a minus where they are being deleted.
    pub(crate) async fn recorder_labels(&self) -> BTreeMap<String, String> {
        let all = ListParams::default().labels("app.kubernetes.io/component in (jibri,sip-jibri)");
        let pods = self.pods().list(&all).await.unwrap();
        let word = |pod: &Pod| {
            let label = pod.labels().get("apps.jit.si/state").cloned().unwrap_or_default();
            if pod.metadata.deletion_timestamp.is_some() { format!("{label}-") } else { label }
        };
        pods.items.iter().map(|pod| (pod.name_any(), word(pod))).collect()
    }

    /// Waits until there are exactly these: `idle idle busy`.
    pub(crate) async fn are(&self, wanted: &str) {
        self.eventually(&format!("recorders are '{wanted}'"), || async {
            let all = self.recorder_labels().await;
            let mut words: Vec<_> = all.values().cloned().collect();
            words.sort();
            if words.join(" ") == wanted { Ok(()) } else { Err(format!("{all:?}")) }
        })
        .await;
    }

    /// They become so, and stay so. Looked at every few seconds: each look lists pods, and there are minutes of them.
    pub(crate) async fn stay(&self, wanted: &str, time: Duration) {
        self.are(wanted).await;
        // Short where time is real.
        let time = if on_the_double() { time } else { time.min(Duration::from_secs(25)) };
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let all = self.recorder_labels().await;
            let mut words: Vec<_> = all.values().cloned().collect();
            words.sort();
            assert_eq!(words.join(" "), wanted, "{all:?}");
        }
    }

    /// One that is idle is taken.
    pub(crate) async fn record(&self) -> String {
        let all = self.recorder_labels().await;
        let free = all.iter().find(|(name, label)| *label == "idle" && self.jibris.status(name) == Some("IDLE"));
        let name = free.unwrap_or_else(|| panic!("nobody is free: {all:?}")).0.clone();
        self.jibris.set(&name, "BUSY", self.now());
        name
    }

    pub(crate) fn finish(&self, name: &str) {
        self.jibris.set(name, "EXPIRED", self.now());
    }

    pub(crate) async fn eventually<F, Fut, T>(&self, what: &str, check: F) -> T
    where
        F: FnMut() -> Fut,
        Fut: Future,
        Fut::Output: testkit::harness::Answer<Value = T>,
    {
        self.harness.eventually(what, SOON, check).await
    }

    /// Pods that were deleted while they recorded, by the record of requests of everybody but the test.
    pub(crate) fn cut(&self) -> Vec<String> {
        if let Some(double) = self.harness.double() {
            for (at, seen) in double.take_timed_requests() {
                let ours = !matches!(seen.who.as_str(), "test" | "kubelet");
                if ours && seen.verb == "delete" && seen.resource == "pods" {
                    self.jibris.deleted(at, seen.name.as_deref().unwrap_or_default());
                }
            }
        }
        self.jibris.cut().into_iter().collect()
    }

    pub(crate) async fn reasons(&self) -> Vec<String> {
        let events: Api<k8s_openapi::api::events::v1::Event> =
            Api::namespaced(self.harness.client(), self.harness.namespace());
        events.list(&ListParams::default()).await.unwrap().into_iter().filter_map(|event| event.reason).collect()
    }
}
