//! Against the double, or against the cluster that `KUBECONFIG_TEST` names.

use std::sync::{Mutex, atomic::AtomicBool};

use k8s_openapi::serde_json::{Value, json};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use router_core::registry::ShardInput;
use testkit::{Fault, Harness, harness::on_the_double, skipped};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::{
    config::defaults,
    discovery::{DiscoveryEvent, FirstReport},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A source at work, and what it has said.
struct Scene {
    harness: Harness,
    told: Arc<Mutex<Vec<Vec<String>>>>,
    reports: Arc<Mutex<Vec<DiscoveryEvent>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scene {
    async fn start() -> Self {
        Self::in_harness(Harness::start().await).await
    }

    async fn in_harness(harness: Harness) -> Self {
        let source = KubernetesSource {
            namespace: Some(harness.namespace().to_owned()),
            selector: defaults::KUBERNETES_SELECTOR.into(),
            port: None,
            shard_label: defaults::SHARD_LABEL.into(),
            state_label: defaults::STATE_LABEL.into(),
            kubeconfig: None,
            hold_down: defaults::HOLD_DOWN,
            weight: 100,
            agent_port: None,
        };
        let (sender, mut inputs) = mpsc::channel(64);
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = told.clone();
        tokio::spawn(async move {
            while let Some(input) = inputs.recv().await {
                let ShardInput::Discovered { shards, .. } = input else { continue };
                let line = |shard: &ShardSpec| {
                    let ips: Vec<String> = shard.addresses.iter().map(ToString::to_string).collect();
                    format!("{} {} {}", shard.name, shard.state.as_str(), ips.join(","))
                };
                list.lock().unwrap().push(shards.iter().map(line).collect());
            }
        });
        let reports = Arc::new(Mutex::new(Vec::new()));
        let sink = reports.clone();
        let reporter = Reporter {
            source: "kubernetes".into(),
            inputs: sender,
            events: Arc::new(move |event| sink.lock().unwrap().push(event)),
            first: Arc::new(FirstReport { done: AtomicBool::new(false), unsettled: watch::Sender::new(1) }),
        };
        let client = harness.client_as("proxy").await;
        let task = tokio::spawn(Watcher::new(source, client, reporter, ProblemLog::default()).run());
        Self { harness, told, reports, task }
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.harness.client(), self.harness.namespace())
    }

    fn slices(&self) -> Api<EndpointSlice> {
        Api::namespaced(self.harness.client(), self.harness.namespace())
    }

    /// A shard: a Service without a selector, so that no controller of a real cluster fills it, and its slice.
    async fn add(&self, shard: &str, state: &str, pods: &[&str]) {
        let service = json!({
            "metadata": {"name": format!("{shard}-web"), "labels": {
                "apps.jit.si/shard": shard, "apps.jit.si/shard-state": state,
            }},
            "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]},
        });
        let service = serde_json::from_value(service).unwrap();
        self.services().create(&PostParams::default(), &service).await.unwrap();
        let slice = json!({
            "metadata": {"name": format!("{shard}-web-1"), "labels": {"kubernetes.io/service-name": format!("{shard}-web")}},
            "addressType": "IPv4",
            "endpoints": endpoints(pods, true),
            "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
        });
        let slice = serde_json::from_value(slice).unwrap();
        self.slices().create(&PostParams::default(), &slice).await.unwrap();
    }

    async fn label(&self, shard: &str, state: &Value) {
        let patch = json!({"metadata": {"labels": {"apps.jit.si/shard-state": state}}});
        let name = format!("{shard}-web");
        self.services().patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn endpoints(&self, shard: &str, pods: &[&str], ready: bool) {
        let patch = json!({"endpoints": endpoints(pods, ready)});
        let name = format!("{shard}-web-1");
        self.slices().patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    fn last(&self) -> Vec<String> {
        self.told.lock().unwrap().last().cloned().unwrap_or_default()
    }

    fn lists(&self) -> usize {
        self.told.lock().unwrap().len()
    }

    fn answers(&self) -> usize {
        let reports = self.reports.lock().unwrap();
        reports.iter().filter(|report| matches!(report, DiscoveryEvent::Answered { .. })).count()
    }

    fn failures(&self) -> Vec<&'static str> {
        let reports = self.reports.lock().unwrap();
        let kind = |report: &DiscoveryEvent| match report {
            DiscoveryEvent::Failed { error, .. } => Some(error.kind()),
            DiscoveryEvent::Answered { .. } => None,
        };
        reports.iter().filter_map(kind).collect()
    }

    async fn tells(&self, wanted: &[&str]) {
        let what = format!("told {wanted:?}");
        self.harness
            .eventually(
                &what,
                LIMIT,
                async || if self.last() == wanted { Ok(()) } else { Err(format!("{:?}", self.last())) },
            )
            .await;
    }
}

fn endpoints(pods: &[&str], ready: bool) -> Value {
    pods.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": ready, "serving": ready}})).collect()
}

#[tokio::test]
async fn labels_flip_addresses_move_and_shards_come_and_go() {
    let scene = Scene::start().await;
    scene.add("x-0", "ready", &["10.9.0.1"]).await;
    scene.add("x-1", "starting", &["10.9.1.1"]).await;
    scene.tells(&["x-0 ready 10.9.0.1:8000"]).await;
    scene.label("x-1", &json!("ready")).await;
    scene.tells(&["x-0 ready 10.9.0.1:8000", "x-1 ready 10.9.1.1:8000"]).await;
    scene.label("x-0", &json!("draining")).await;
    scene.tells(&["x-0 draining 10.9.0.1:8000", "x-1 ready 10.9.1.1:8000"]).await;
    scene.endpoints("x-1", &["10.9.1.2"], true).await;
    scene.tells(&["x-0 draining 10.9.0.1:8000", "x-1 ready 10.9.1.2:8000"]).await;
    // Out of the selector is gone, and back again is there.
    scene.label("x-0", &Value::Null).await;
    scene.tells(&["x-1 ready 10.9.1.2:8000"]).await;
    scene.label("x-0", &json!("ready")).await;
    scene.tells(&["x-0 ready 10.9.0.1:8000", "x-1 ready 10.9.1.2:8000"]).await;
    scene.services().delete("x-1-web", &DeleteParams::default()).await.unwrap();
    scene.tells(&["x-0 ready 10.9.0.1:8000"]).await;
    assert_eq!(scene.failures(), Vec::<&str>::new());
}

#[tokio::test]
async fn endpoints_that_flap_take_no_address_away() {
    let scene = Scene::start().await;
    scene.add("x-0", "ready", &["10.9.0.1", "10.9.0.2"]).await;
    scene.tells(&["x-0 ready 10.9.0.1:8000,10.9.0.2:8000"]).await;
    let before = scene.lists();
    for _ in 0..10 {
        scene.endpoints("x-0", &["10.9.0.1", "10.9.0.2"], false).await;
        tokio::time::sleep(2 * SETTLE).await;
        scene.endpoints("x-0", &["10.9.0.1", "10.9.0.2"], true).await;
        tokio::time::sleep(2 * SETTLE).await;
    }
    scene.endpoints("x-0", &[], true).await;
    tokio::time::sleep(4 * SETTLE).await;
    assert_eq!(scene.lists(), before, "nothing changed: {:?}", scene.told.lock().unwrap());
}

/// A Role for two resources in one namespace must be enough.
#[tokio::test]
async fn it_asks_for_nothing_but_services_and_endpointslices_of_one_namespace() {
    let scene = Scene::start().await;
    scene.add("x-0", "ready", &["10.9.0.1"]).await;
    scene.tells(&["x-0 ready 10.9.0.1:8000"]).await;
    let Some(server) = scene.harness.double() else {
        return skipped("the record of requests", "a real cluster keeps none for us");
    };
    let seen = server.requests();
    let seen: Vec<_> = seen.iter().filter(|seen| seen.who == "proxy").collect();
    assert!(seen.len() >= 4, "{seen:?}");
    for request in seen {
        assert_eq!(request.namespace.as_deref(), Some(scene.harness.namespace()), "{request:?}");
        assert!(["list", "watch"].contains(&request.verb.as_str()), "{request:?}");
        assert!(["services", "endpointslices"].contains(&request.resource.as_str()), "{request:?}");
    }
}

/// On the double's clock.
#[tokio::test(start_paused = true)]
async fn two_minutes_without_the_api_change_nothing_and_what_changed_meanwhile_is_seen() {
    if !on_the_double() {
        return skipped("an outage of the API", "it takes the double");
    }
    let scene = Scene::start().await;
    let faults = scene.harness.faults().unwrap();
    scene.add("x-0", "ready", &["10.9.0.1"]).await;
    scene.tells(&["x-0 ready 10.9.0.1:8000"]).await;
    let before = scene.lists();
    faults.outage(Some("proxy"), Duration::from_secs(120));
    scene.label("x-0", &json!("draining")).await;
    scene.add("x-1", "ready", &["10.9.1.1"]).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let answers = scene.answers();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!((scene.lists(), scene.answers()), (before, answers), "what it says is as old as the outage");
    assert!(scene.failures().contains(&"transport"), "{:?}", scene.failures());
    scene.tells(&["x-0 draining 10.9.0.1:8000", "x-1 ready 10.9.1.1:8000"]).await;
    assert!(scene.answers() > answers);
}

#[tokio::test(start_paused = true)]
async fn watches_survive_expired_history_lost_connections_and_silence() {
    if !on_the_double() {
        return skipped("expired history", "it takes the double");
    }
    let scene = Scene::start().await;
    let (server, faults) = (scene.harness.double().cloned().unwrap(), scene.harness.faults().unwrap());
    scene.add("x-0", "ready", &["10.9.0.1"]).await;
    scene.tells(&["x-0 ready 10.9.0.1:8000"]).await;
    for by_http in [false, true] {
        server.expire_by_http(by_http);
        // The watches break, and before they are back their place in history is forgotten.
        let refused = faults.add(Fault::server_error(503).by("proxy").verbs(&["watch"]));
        faults.drop_watches();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let state = if by_http { "ready" } else { "draining" };
        scene.label("x-0", &json!(state)).await;
        server.compact();
        faults.remove(refused);
        scene.tells(&[&format!("x-0 {state} 10.9.0.1:8000")]).await;
    }
    // A request for a watch that is never answered. The proxy's own client gives up after a minute (`connect`); the
    // double's does not, so here only the resync is left.
    let hang = faults.add(Fault::hang().by("proxy").verbs(&["watch"]));
    faults.drop_watches();
    tokio::time::sleep(Duration::from_secs(5)).await;
    faults.remove(hang);
    scene.label("x-0", &json!("down")).await;
    let seen = async {
        while scene.last() != ["x-0 down 10.9.0.1:8000"] {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(RESYNC + Duration::from_secs(60), seen).await.expect("listed anew");
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_named() {
    if !on_the_double() {
        return skipped("a refusal", "it takes the double");
    }
    let harness = Harness::start().await;
    let faults = harness.faults().unwrap();
    faults.add(Fault::server_error(403).by("proxy").on("endpointslices"));
    let scene = Scene::in_harness(harness).await;
    scene.add("x-0", "ready", &["10.9.0.1"]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((scene.lists(), scene.answers()), (0, 0), "half the picture is no picture");
    assert!(scene.failures().contains(&"response"), "{:?}", scene.failures());
}
