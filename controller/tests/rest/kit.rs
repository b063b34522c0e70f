//! A shard with pods on an API server, and the REST API in front of it. No controller runs: what it would write is written here.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{Request, StatusCode, header},
};
use controller::{
    api::JitsiShard,
    crds,
    metrics::Metrics,
    rest::{Parts, Rest, Settings, auth::Guard, router},
    validate::Defaults,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::Harness;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// The body of a request that was carried out.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The messages of a 400.
    pub(crate) fn errors(&self) -> Vec<String> {
        assert_eq!(self.status, 400, "{self:?}");
        let errors = self.json()["errors"].as_array().unwrap().clone();
        let word =
            |error: &Value| error.as_str().map_or_else(|| error["msg"].as_str().unwrap().to_owned(), str::to_owned);
        errors.iter().map(word).collect()
    }
}

pub(crate) struct Kit {
    pub(crate) harness: Harness,
    pub(crate) rest: Arc<Rest>,
    pub(crate) metrics: Arc<Metrics>,
    router: Router,
    filling: JoinHandle<()>,
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.filling.abort();
    }
}

pub(crate) const NODE_PEER: &str = "192.0.2.1:40000";

impl Kit {
    /// Open to all, and whoever calls may speak for any instance.
    pub(crate) async fn open() -> Self {
        Self::with(Guard::Open, Settings { ownership: false }, false).await
    }

    pub(crate) async fn with(guard: Guard, settings: Settings, autoscaler: bool) -> Self {
        if !testkit::harness::on_the_double() {
            // A cluster is on nobody's clock.
            tokio::time::resume();
        }
        let harness = Harness::builder().crds(crds::definitions()).start().await;
        let metrics = Arc::new(Metrics::with(autoscaler));
        let double = harness.double().cloned();
        let (rest, filled) = Rest::new(Parts {
            client: harness.client_as("rest").await,
            namespace: Some(harness.namespace().to_owned()),
            metrics: metrics.clone(),
            defaults: Defaults::default(),
            guard,
            settings,
            clock: Box::new(move || double.as_ref().map_or_else(Timestamp::now, testkit::ApiServer::now)),
        });
        let known = Arc::downgrade(&rest);
        metrics.know_groups(move || known.upgrade().map(|rest| rest.seen()).unwrap_or_default());
        let filling = tokio::spawn(filled);
        let router = router(&rest);
        let kit = Self { harness, rest, metrics, router, filling };
        kit.rest.ready().await;
        kit
    }

    #[allow(dead_code, reason = "schemathesis.rs serves it over a socket")]
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) fn client(&self) -> Client {
        self.harness.client()
    }

    pub(crate) fn shards(&self) -> Api<JitsiShard> {
        Api::namespaced(self.client(), self.harness.namespace())
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client(), self.harness.namespace())
    }

    /// `meet-0` with bridges that follow load, recorders and gateways.
    pub(crate) async fn shard(&self) {
        self.shard_named("meet-0").await;
    }

    pub(crate) async fn shard_named(&self, name: &str) {
        let shard = json!({
            "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": {"name": name},
            "spec": {
                "domain": "meet.example.org", "region": "eu",
                "jvb": {"strategy": {"type": "autoscaled", "replicas": 2, "maxReplicas": 10}},
                "jibri": {"enabled": true, "replicas": 1, "maxReplicas": 5},
                "jigasi": {"enabled": true, "strategy": {"type": "autoscaled", "replicas": 1, "maxReplicas": 4}},
            },
        });
        self.shards().patch(name, &PatchParams::apply("kubectl"), &Patch::Apply(shard)).await.unwrap();
        self.harness
            .eventually("the watch shows the shard", Duration::from_secs(30), || async {
                self.rest.shard(self.harness.namespace(), name).is_some()
            })
            .await;
    }

    /// What the controller writes about a group.
    pub(crate) async fn status(&self, groups: Value) {
        let document = json!({
            "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard", "metadata": {"name": "meet-0"},
            "status": {"groups": groups},
        });
        let params = PatchParams::apply("roompin-controller-fleet").force();
        self.shards().patch_status("meet-0", &params, &Patch::Apply(document)).await.unwrap();
    }

    /// A pod of `meet-0` that runs at this address.
    pub(crate) async fn pod(&self, name: &str, component: &str, ip: &str) -> Pod {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {
                "apps.jit.si/shard": "meet-0", "app.kubernetes.io/component": component,
                "app.kubernetes.io/managed-by": "roompin-controller",
            }},
            "spec": {"containers": [{"name": component, "image": "example.org/x"}], "nodeName": "node-1"},
        }))
        .unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        let pod = self.pods().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        self.seen(&pod).await;
        pod
    }

    /// Waits until the watch shows at least this version of a pod.
    pub(crate) async fn seen(&self, pod: &Pod) {
        let (name, version) = (pod.name_any(), pod.resource_version());
        self.harness
            .eventually(&format!("the watch shows {name}"), Duration::from_secs(30), || async {
                self.rest.pods.state().iter().any(|one| one.name_any() == name && one.resource_version() == version)
            })
            .await;
    }

    /// Writes annotations of a pod, as the controller does.
    pub(crate) async fn annotate(&self, name: &str, annotations: Value) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let pod = self.pods().patch(name, &PatchParams::default(), &patch).await.unwrap();
        self.seen(&pod).await;
    }

    pub(crate) async fn annotation(&self, name: &str, key: &str) -> Option<String> {
        let pod = self.pods().get(name).await.unwrap();
        // What the API has is what the next call sees.
        self.seen(&pod).await;
        pod.annotations().get(key).cloned()
    }

    pub(crate) async fn send(&self, peer: &str, request: Request<Body>) -> Answer {
        let mut request = request;
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let text = String::from_utf8(to_bytes(answer.into_body(), 1 << 22).await.unwrap().to_vec()).unwrap();
        Answer { status, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(NODE_PEER, Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call_from(NODE_PEER, method, path, body).await
    }

    pub(crate) async fn call_from(&self, peer: &str, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        self.send(peer, request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, body).await
    }

    pub(crate) async fn group(&self, name: &str) -> Value {
        self.get(&format!("/groups/{name}")).await.ok()["instanceGroup"].clone()
    }

    /// A line of `/metrics`.
    pub(crate) fn metric(&self, line: &str) {
        let text = self.metrics.text();
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
}

/// A fixture, as §1.1 of the reference has it.
pub(crate) fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Compares; a value `"*"` in what is wanted stands for any text, `"@"` for any time in ISO 8601.
pub(crate) fn same(wanted: &Value, got: &Value, at: &str) {
    match (wanted, got) {
        (Value::String(star), Value::String(_)) if star == "*" => {}
        (Value::String(star), Value::String(time)) if star == "@" => {
            assert!(time.parse::<Timestamp>().is_ok() && time.ends_with('Z'), "{at}: {time}");
        }
        (Value::Object(wanted), Value::Object(got)) => {
            let keys =
                |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(keys(wanted), keys(got), "{at}");
            for (key, value) in wanted {
                same(value, &got[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(wanted), Value::Array(got)) => {
            assert_eq!(wanted.len(), got.len(), "{at}: {got:?}");
            for (index, value) in wanted.iter().enumerate() {
                same(value, &got[index], &format!("{at}[{index}]"));
            }
        }
        _ => assert_eq!(wanted, got, "{at}"),
    }
}
