//! Bridges and gateways that are made up, as state machines on the test's clock (the component's own source is the model):
//!
//! - JVB: running → graceful shutdown (no way back) → at zero local people shutting down, for a minute → its process ends
//!   with 0. `drain` is a mark that comes and goes, and refuses nothing. The process's death takes everybody with it.
//! - jigasi: running → graceful shutdown (no way back) → its process ends with its last call.
//! - jicofo's move: everybody goes to another bridge that does not drain, if there is one.

#![allow(dead_code, reason = "not every test binary asks for everything")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use controller::{
    media::{BridgeMedia, FocusMedia, GatewayMedia},
    plan::report::Report,
};
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use testkit::Kubelet;
use tokio::time::Instant;

/// How long a bridge takes from its last conference to its end.
const SHUTTING_DOWN: Duration = Duration::from_secs(60);
/// How often the machines move on.
const TICK: Duration = Duration::from_millis(500);

/// Where the process stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Running,
    Graceful,
    ShuttingDown(Instant),
    Ended,
}

/// One process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) drain: bool,
    /// People on a bridge, calls on a gateway.
    pub(crate) people: u64,
    pub(crate) stress: f64,
    /// It does not answer.
    pub(crate) silent: bool,
    /// Its container outlives its process, as some images' did.
    pub(crate) zombie: bool,
    ip: String,
    component: String,
    since: Option<Instant>,
}

/// What was said to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) pod: String,
    pub(crate) word: &'static str,
}

#[derive(Default)]
struct World {
    /// By uid of the pod.
    instances: BTreeMap<String, Instance>,
    told: Vec<Told>,
    /// Pods that went with people on them.
    cut: Vec<String>,
    /// The load of each new instance.
    stress: f64,
}

/// All instances of a namespace.
#[derive(Clone, Default)]
pub(crate) struct Instances(Arc<Mutex<World>>);

impl Instances {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Follows the pods of a namespace until it is dropped, and moves the machines on.
    pub(crate) async fn follow(self, client: Client, namespace: String, kubelet: Option<Kubelet>) {
        let api: Api<Pod> = Api::namespaced(client, &namespace);
        let selector = "app.kubernetes.io/component in (jvb, jigasi)";
        loop {
            tokio::time::sleep(TICK).await;
            let Ok(pods) = api.list(&ListParams::default().labels(selector)).await else { continue };
            for name in self.step(&pods.items) {
                if let Some(kubelet) = &kubelet {
                    kubelet.exit(&namespace, &name, 0);
                }
            }
        }
    }

    /// One step of all machines; the names of those whose process ends now.
    fn step(&self, pods: &[Pod]) -> Vec<String> {
        let mut world = self.world();
        let now = Instant::now();
        let mut there = BTreeMap::new();
        for pod in pods {
            let status = pod.status.clone().unwrap_or_default();
            let (Some(uid), Some(ip)) = (pod.uid(), status.pod_ip) else { continue };
            let running = status.phase.as_deref() == Some("Running");
            there.insert(uid.clone(), running);
            if running && !world.instances.contains_key(&uid) {
                let component = pod.labels()["app.kubernetes.io/component"].clone();
                let stress = world.stress;
                let new =
                    Instance { name: pod.name_any(), ip, component, stress, since: Some(now), ..Instance::default() };
                world.instances.insert(uid, new);
            }
        }
        let mut ended = Vec::new();
        let mut cut = Vec::new();
        world.instances.retain(|uid, one| {
            match one.state {
                State::Graceful if one.people == 0 && one.component == "jigasi" => {
                    one.state = State::ShuttingDown(now - SHUTTING_DOWN);
                }
                State::Graceful if one.people == 0 => one.state = State::ShuttingDown(now),
                _ => {}
            }
            if let State::ShuttingDown(since) = one.state
                && now - since >= SHUTTING_DOWN
            {
                one.state = State::Ended;
                if !one.zombie {
                    ended.push(one.name.clone());
                }
            }
            let runs = there.get(uid).copied().unwrap_or(false);
            if !runs && one.people > 0 {
                cut.push(one.name.clone());
                one.people = 0;
            }
            there.contains_key(uid)
        });
        world.cut.extend(cut);
        ended
    }

    /// Changes one instance, by the name of its pod.
    pub(crate) fn set(&self, pod: &str, change: impl FnOnce(&mut Instance)) {
        let mut world = self.world();
        let found = world.instances.values_mut().find(|one| one.name == pod);
        change(found.unwrap_or_else(|| panic!("there is no {pod}")));
    }

    pub(crate) fn get(&self, pod: &str) -> Option<Instance> {
        self.world().instances.values().find(|one| one.name == pod).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Instance> {
        self.world().instances.values().cloned().collect()
    }

    /// The load of all, and of those to come.
    pub(crate) fn load(&self, stress: f64) {
        let mut world = self.world();
        world.stress = stress;
        world.instances.values_mut().for_each(|one| one.stress = stress);
    }

    /// What was said to this pod so far.
    pub(crate) fn told(&self, pod: &str) -> Vec<&'static str> {
        self.world().told.iter().filter(|told| told.pod == pod).map(|told| told.word).collect()
    }

    /// Everything that was said.
    pub(crate) fn words(&self) -> Vec<Told> {
        self.world().told.clone()
    }

    /// Pods that went with people on them.
    pub(crate) fn cut(&self) -> Vec<String> {
        self.world().cut.clone()
    }

    fn with<T>(
        &self,
        ip: &str,
        work: impl FnOnce(&mut Instance, &mut Vec<Told>) -> Result<T, String>,
    ) -> BoxFuture<'static, Result<T, String>>
    where
        T: Send + 'static,
    {
        let mut world = self.world();
        let World { instances, told, .. } = &mut *world;
        let found = instances.values_mut().find(|one| one.ip == ip && one.state != State::Ended);
        let answer = match found {
            Some(one) if one.silent => Err("no answer in time".to_owned()),
            Some(one) => work(one, told),
            None => Err("no connection".to_owned()),
        };
        Box::pin(async move { answer })
    }

    fn say(one: &Instance, told: &mut Vec<Told>, word: &'static str) {
        told.push(Told { pod: one.name.clone(), word });
    }
}

impl BridgeMedia for Instances {
    fn bridge<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<Report, String>> {
        self.with(ip, |one, _| {
            Ok(Report {
                stress: Some(one.stress),
                endpoints: Some(one.people),
                conferences: Some(one.people.div_ceil(4)),
                drain: Some(one.drain),
                graceful_shutdown: Some(one.state != State::Running),
                shutting_down: Some(matches!(one.state, State::ShuttingDown(_))),
                healthy: Some(true),
                version: Some("2.3".to_owned()),
                ..Report::default()
            })
        })
    }

    fn drain<'a>(&'a self, ip: &'a str, drain: bool) -> BoxFuture<'a, Result<(), String>> {
        self.with(ip, |one, told| {
            Self::say(one, told, if drain { "drain" } else { "undrain" });
            one.drain = drain;
            Ok(())
        })
    }

    fn shutdown<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<(), String>> {
        self.with(ip, |one, told| {
            Self::say(one, told, "shutdown");
            if one.state == State::Running {
                one.state = State::Graceful;
            }
            Ok(())
        })
    }
}

impl GatewayMedia for Instances {
    fn gateway<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<Report, String>> {
        self.with(ip, |one, _| {
            Ok(Report {
                stress: Some(one.stress),
                endpoints: Some(one.people),
                conferences: Some(one.people),
                graceful_shutdown: Some(one.state != State::Running),
                ..Report::default()
            })
        })
    }

    fn stop_gateway<'a>(&'a self, ip: &'a str) -> BoxFuture<'a, Result<(), String>> {
        self.shutdown(ip)
    }
}

impl FocusMedia for Instances {
    fn move_all<'a>(&'a self, _: &'a str, bridge: &'a str) -> BoxFuture<'a, Result<u64, String>> {
        let mut world = self.world();
        let name = bridge.rsplit('/').next().unwrap().to_owned();
        world.told.push(Told { pod: name.clone(), word: "move" });
        let taker =
            world.instances.iter().find(|(_, one)| one.name != name && !one.drain && one.state == State::Running);
        let taker = taker.map(|(uid, _)| uid.clone());
        let mut moved = 0;
        if let (Some(taker), Some(from)) = (taker, world.instances.values_mut().find(|one| one.name == name)) {
            moved = std::mem::take(&mut from.people);
            world.instances.get_mut(&taker).unwrap().people += moved;
        }
        Box::pin(async move { Ok(moved) })
    }
}
