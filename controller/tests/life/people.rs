//! Conferences that are made up, the proxies that hear of shards, and a record of who was on a shard when it went.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use controller::{
    api::{JitsiShard, SHARD_LABEL, SHARD_STATE_LABEL, ShardState},
    media::{BridgeMedia, FocusMedia, GatewayMedia, Media},
    plan::{
        drain::ProxyShard,
        report::{Busy, Report},
    },
};
use futures_util::{StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher},
};
use tokio::time::Instant;

use super::stubs::Instances;

/// How late proxies hear of a label.
const LATE: Duration = Duration::from_secs(2);

/// What is on the shards, as jicofo and the proxies say.
#[derive(Default)]
struct People {
    conferences: BTreeMap<String, Result<u64, String>>,
    /// What was set, and when.
    history: Vec<(Timestamp, String, Result<u64, String>)>,
    /// Shards that went although somebody was, or may have been, on them.
    cut: BTreeSet<String>,
    discovery: BTreeMap<String, ShardState>,
    shard_of: BTreeMap<String, String>,
}

/// jicofo, the proxies, and what makes up the groups.
#[derive(Clone, Default)]
pub(super) struct Stub {
    people: Arc<Mutex<People>>,
    pub(super) instances: Instances,
}

impl BridgeMedia for Stub {
    fn bridge<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<Report, String>> {
        self.instances.bridge(ip)
    }

    fn drain<'a>(&'a self, ip: &'a str, drain: bool) -> BoxFuture<'a, Result<(), String>> {
        self.instances.drain(ip, drain)
    }

    fn shutdown<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<(), String>> {
        self.instances.shutdown(ip)
    }
}

impl GatewayMedia for Stub {
    fn gateway<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<Report, String>> {
        self.instances.gateway(ip)
    }

    fn stop_gateway<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<(), String>> {
        self.instances.stop_gateway(ip)
    }
}

impl FocusMedia for Stub {
    fn move_all<'a>(&'a self, ip: &'a str, bridge: &'a str) -> BoxFuture<'a, Result<u64, String>> {
        self.instances.move_all(ip, bridge)
    }
}

impl Media for Stub {
    fn conferences<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<u64, String>> {
        let people = self.people();
        let shard = people.shard_of.get(ip).cloned().ok_or_else(|| "no connection".to_owned());
        let answer = shard.and_then(|shard| people.conferences.get(&shard).cloned().unwrap_or(Ok(0)));
        Box::pin(async move { answer })
    }

    fn shard<'a>(&'a self, _: &'a str, shard: &'a str) -> BoxFuture<'a, Result<Option<ProxyShard>, String>> {
        let people = self.people();
        let on_it = people.conferences.get(shard).cloned().unwrap_or(Ok(0)).unwrap_or_default();
        let known = people.discovery.get(shard).copied();
        let answer = known.map(|discovery| ProxyShard { discovery, rooms: on_it, tunnels: 3 * on_it });
        Box::pin(async move { Ok(answer) })
    }

    /// All of them are free; tests of their own follow what they do.
    fn recorder<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, Result<Report, String>> {
        let free = Report { busy: Some(Busy::Idle), healthy: Some(true), ..Report::default() };
        Box::pin(async move { Ok(free) })
    }
}

impl Stub {
    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap()
    }

    pub(super) fn set(&self, now: Timestamp, shard: &str, answer: Result<u64, String>) {
        let mut people = self.people();
        people.history.push((now, shard.to_owned(), answer.clone()));
        people.conferences.insert(shard.to_owned(), answer);
    }

    /// Notes a request to delete a shard.
    pub(super) fn deleted(&self, at: Timestamp, shard: &str) {
        let mut people = self.people();
        let then = people.history.iter().rev().find(|(since, name, _)| name == shard && *since <= at);
        if !matches!(then, None | Some((_, _, Ok(0)))) {
            people.cut.insert(shard.to_owned());
        }
    }

    /// The shards so far that went with somebody on them.
    pub(super) fn cut(&self) -> BTreeSet<String> {
        self.people().cut.clone()
    }

    /// Watches labels and pods as proxies do, a little late, and the end of shards at once.
    pub(super) async fn listen(self, client: Client, namespace: String) {
        let (services, writer) = reflector::store();
        let labelled = watcher::Config::default().labels(SHARD_STATE_LABEL);
        let of_services = watcher(Api::<Service>::namespaced(client.clone(), &namespace), labelled);
        let of_services = of_services.default_backoff().reflect(writer).map(|_| None);
        let (pods, writer) = reflector::store();
        let focus = watcher::Config::default().labels("app.kubernetes.io/component=jicofo");
        let of_pods = watcher(Api::<Pod>::namespaced(client.clone(), &namespace), focus);
        let of_pods = of_pods.default_backoff().reflect(writer).map(|_| None);
        let of_shards = watcher(Api::<JitsiShard>::namespaced(client, &namespace), watcher::Config::default());
        let of_shards = of_shards.default_backoff().map(|event| match event {
            Ok(watcher::Event::Delete(shard)) => Some(shard.name_any()),
            _ => None,
        });
        let mut changes = stream::select_all([of_services.boxed(), of_pods.boxed(), of_shards.boxed()]);
        let mut due: Option<Instant> = None;
        loop {
            tokio::select! {
                change = changes.next() => {
                    due.get_or_insert_with(|| Instant::now() + LATE);
                    if let Some(Some(gone)) = change {
                        let mut people = self.people();
                        if !matches!(people.conferences.get(&gone), None | Some(Ok(0))) {
                            people.cut.insert(gone);
                        }
                    }
                }
                () = async { tokio::time::sleep_until(due.unwrap()).await }, if due.is_some() => {
                    due = None;
                    self.hear(&services.state(), &pods.state());
                }
            }
        }
    }

    fn hear(&self, services: &[Arc<Service>], pods: &[Arc<Pod>]) {
        let mut people = self.people();
        let state = |service: &Service| match service.labels()[SHARD_STATE_LABEL].as_str() {
            "ready" => ShardState::Ready,
            "draining" => ShardState::Draining,
            _ => ShardState::Down,
        };
        people.discovery = services
            .iter()
            .filter_map(|service| Some((service.labels().get(SHARD_LABEL)?.clone(), state(service))))
            .collect();
        people.shard_of = pods
            .iter()
            .filter_map(|pod| Some((pod.status.as_ref()?.pod_ip.clone()?, pod.labels().get(SHARD_LABEL)?.clone())))
            .collect();
    }
}
