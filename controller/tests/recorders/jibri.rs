//! Recorders that are made up: each pod with an address is one, idle until somebody records, expired when that has ended.
//! They answer when they are asked, and report on every change and once a minute, as jibri does.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode},
};
use controller::{
    media::{BridgeMedia, FocusMedia, GatewayMedia, Media},
    plan::{drain::ProxyShard, report::Report},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;
use tower::ServiceExt;

/// What one recorder does, and what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Jibri {
    pub(crate) status: &'static str,
    pub(crate) healthy: bool,
    /// Nobody hears it.
    pub(crate) silent: bool,
    address: IpAddr,
    uid: String,
    /// Where it reports; None: nowhere.
    path: Option<String>,
    due: Timestamp,
    /// What it did, and since when.
    history: Vec<(Timestamp, &'static str)>,
}

#[derive(Default)]
struct All {
    recorders: BTreeMap<String, Jibri>,
    router: Option<Router>,
    /// Answers to reports.
    answers: BTreeMap<u16, u32>,
    /// Reports get lost.
    lossy: bool,
    /// Pods that were deleted while they recorded.
    cut: BTreeSet<String>,
}

/// All recorders of a test.
#[derive(Clone, Default)]
pub(crate) struct Jibris(Arc<Mutex<All>>);

impl Jibris {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap()
    }

    /// Where reports go.
    pub(crate) fn route(&self, router: Router) {
        self.all().router = Some(router);
    }

    /// From now on no report arrives.
    pub(crate) fn lose_reports(&self) {
        self.all().lossy = true;
    }

    pub(crate) fn answers(&self) -> BTreeMap<u16, u32> {
        self.all().answers.clone()
    }

    pub(crate) fn change(&self, pod: &str, change: impl FnOnce(&mut Jibri)) {
        change(self.all().recorders.get_mut(pod).unwrap());
    }

    /// jicofo takes it, or it has finished: reported at once.
    pub(crate) fn set(&self, pod: &str, status: &'static str, now: Timestamp) {
        self.change(pod, |jibri| {
            jibri.status = status;
            jibri.due = now;
            jibri.history.push((now, status));
        });
    }

    pub(crate) fn status(&self, pod: &str) -> Option<&'static str> {
        self.all().recorders.get(pod).map(|jibri| jibri.status)
    }

    /// A request to delete a pod.
    pub(crate) fn deleted(&self, at: Timestamp, pod: &str) {
        let mut all = self.all();
        let Some(jibri) = all.recorders.get(pod) else { return };
        let then = jibri.history.iter().rev().find(|(since, _)| *since <= at);
        if then.is_some_and(|(_, status)| *status == "BUSY") {
            all.cut.insert(pod.to_owned());
        }
    }

    pub(crate) fn cut(&self) -> BTreeSet<String> {
        self.all().cut.clone()
    }

    /// Pods come, get an address, and go; recorders report when their time has come.
    pub(crate) async fn live(self, api: Api<Pod>, selector: &'static str, now: impl Fn() -> Timestamp) {
        loop {
            let params = ListParams::default().labels(selector);
            if let Ok(list) = api.list(&params).await {
                // Whose pod is gone reports no more; what it did is remembered.
                let there: BTreeSet<_> = list.items.iter().filter_map(ResourceExt::uid).collect();
                self.all().recorders.values_mut().filter(|jibri| !there.contains(&jibri.uid)).for_each(|jibri| {
                    jibri.path = None;
                });
                for pod in &list.items {
                    self.meet(pod, now());
                }
            }
            self.report(now()).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn meet(&self, pod: &Pod, now: Timestamp) {
        let status = pod.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
        let Some(address) = status.pod_ip.and_then(|ip| ip.parse().ok()) else { return };
        let uid = pod.uid().unwrap();
        let env = pod.spec.as_ref().and_then(|spec| spec.containers[0].env.clone()).unwrap_or_default();
        let subscriber = env.into_iter().find(|one| one.name == "JIBRI_WEBHOOK_SUBSCRIBERS").and_then(|one| one.value);
        let path = subscriber.and_then(|url| Some(format!("/webhook{}", url.split_once("/webhook")?.1)));
        let path = path.or_else(|| pod.labels().get("app").map(|_| format!("/webhook/{}", pod.name_any())));
        let mut all = self.all();
        let known = all.recorders.get(&pod.name_any()).is_some_and(|jibri| jibri.uid == uid);
        if ready && !known {
            let jibri = Jibri {
                status: "IDLE",
                healthy: true,
                silent: false,
                address,
                uid,
                path,
                due: now,
                history: vec![(now, "IDLE")],
            };
            all.recorders.insert(pod.name_any(), jibri);
        }
    }

    async fn report(&self, now: Timestamp) {
        let due: Vec<(String, Jibri)> = {
            let mut all = self.all();
            let due = all.recorders.iter_mut().filter(|(_, jibri)| jibri.due <= now);
            due.map(|(name, jibri)| {
                jibri.due = now + jiff::SignedDuration::from_secs(60);
                (name.clone(), jibri.clone())
            })
            .collect()
        };
        let (router, lossy) = {
            let all = self.all();
            (all.router.clone(), all.lossy)
        };
        let Some(router) = router.filter(|_| !lossy) else { return };
        for (name, jibri) in due {
            let Some(path) = jibri.path.as_ref().filter(|_| !jibri.silent) else { continue };
            let answer = post(&router, &format!("{path}/v1/status"), jibri.address, &body(&name, &jibri)).await;
            *self.all().answers.entry(answer.as_u16()).or_default() += 1;
        }
    }
}

/// What jibri sends.
fn body(name: &str, jibri: &Jibri) -> String {
    let health = if jibri.healthy { "HEALTHY" } else { "UNHEALTHY" };
    json!({"jibriId": name, "status": {"busyStatus": jibri.status, "health": {"healthStatus": health, "details": {}}}})
        .to_string()
}

/// A report from an address, without a wire between.
pub(crate) async fn post(router: &Router, path: &str, from: IpAddr, body: &str) -> StatusCode {
    let peer = ConnectInfo(SocketAddr::new(from, 40_000));
    let request = Request::post(path).extension(peer).body(Body::from(body.to_owned())).unwrap();
    router.clone().oneshot(request).await.unwrap().status()
}

impl Media for Jibris {
    fn conferences<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async { Ok(0) })
    }

    fn shard<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<ProxyShard>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn recorder<'a>(&'a self, ip: &'a str, _: u16) -> BoxFuture<'a, Result<Report, String>> {
        let all = self.all();
        let found = all.recorders.values().find(|jibri| jibri.address.to_string() == ip && !jibri.silent);
        let answer = found.map(|jibri| {
            let text = body("x", jibri);
            serde_json::from_str::<controller::media::recorder::Health>(&text).unwrap().report()
        });
        Box::pin(async move { answer.ok_or_else(|| "no answer in time".to_owned()) })
    }
}

impl BridgeMedia for Jibris {
    fn bridge<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Report, String>> {
        Box::pin(async { Ok(Report { endpoints: Some(0), stress: Some(0.1), ..Report::default() }) })
    }

    fn drain<'a>(&'a self, _: &'a str, _: bool) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn shutdown<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

impl GatewayMedia for Jibris {
    fn gateway<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Report, String>> {
        Box::pin(async { Err("there is none".to_owned()) })
    }

    fn stop_gateway<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err("there is none".to_owned()) })
    }
}

impl FocusMedia for Jibris {
    fn move_all<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async { Ok(0) })
    }
}
