//! One shard, written by hand, with its groups.

use std::{collections::BTreeMap, time::Duration};

use controller::api::{DRAIN_SINCE, GroupKind, GroupStatus, JitsiShard, SHUTDOWN_SINCE, STATE_LABEL};
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::Actors;

use super::kit::{self, Kit, Running, stubs::State};

pub(crate) struct Scene {
    pub(crate) kit: Kit,
}

impl Scene {
    /// The shard `alone`, with this in its spec.
    pub(crate) async fn start(spec: Value) -> Self {
        Self::start_with(Actors::all(), spec).await
    }

    pub(crate) async fn start_with(actors: Actors, mut spec: Value) -> Self {
        kit::on_its_own_clock();
        let kit = Kit::start_with(actors).await;
        spec["domain"] = json!("meet.example.org");
        let shard = json!({"apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard",
            "metadata": {"name": "alone"}, "spec": spec});
        kit.shards().create(&PostParams::default(), &serde_json::from_value(shard).unwrap()).await.unwrap();
        Self { kit }
    }

    pub(crate) async fn run(&self, who: &str) -> Running {
        self.kit.run(who).await
    }

    /// A merge patch of the spec.
    pub(crate) async fn spec(&self, spec: Value) {
        let patch = json!({"spec": spec});
        self.kit.shards().patch("alone", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub(crate) async fn jvb(&self, jvb: Value) {
        self.spec(json!({"jvb": jvb})).await;
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.kit.client(), self.kit.namespace())
    }

    pub(crate) async fn pod(&self, name: &str) -> Pod {
        self.pods().get(name).await.unwrap()
    }

    pub(crate) async fn shard(&self) -> JitsiShard {
        self.kit.shards().get("alone").await.unwrap()
    }

    pub(crate) async fn group(&self, kind: GroupKind) -> Option<GroupStatus> {
        self.shard().await.status?.groups.into_iter().find(|group| group.kind == kind)
    }

    pub(crate) async fn annotate(&self, pod: &str, annotations: Value) {
        let patch = json!({"metadata": {"annotations": annotations}});
        self.pods().patch(pod, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Bridges and gateways, by name.
    pub(crate) async fn members(&self) -> BTreeMap<String, Pod> {
        let params = ListParams::default().labels("app.kubernetes.io/component in (jvb, jigasi)");
        let pods = self.pods().list(&params).await.unwrap();
        pods.items.into_iter().map(|pod| (pod.name_any(), pod)).collect()
    }

    pub(crate) async fn uids(&self) -> BTreeMap<String, String> {
        self.members().await.into_iter().map(|(name, pod)| (name, pod.uid().unwrap())).collect()
    }

    /// Their labels of state.
    async fn states(&self) -> BTreeMap<String, String> {
        let label = |pod: &Pod| pod.labels().get(STATE_LABEL).cloned().unwrap_or_default();
        self.members().await.iter().map(|(name, pod)| (name.clone(), label(pod))).collect()
    }

    pub(crate) async fn until<F, Fut>(&self, what: &str, check: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        self.kit.eventually(what, check).await;
    }

    /// Waits until exactly these are there, and all of them take work.
    pub(crate) async fn active(&self, names: &[&str]) {
        let wanted: BTreeMap<String, String> =
            names.iter().map(|name| ((*name).to_owned(), "active".to_owned())).collect();
        self.kit
            .eventually(&format!("{names:?} are active"), async || {
                let states = self.states().await;
                let known = names.iter().all(|name| self.kit.instances().get(name).is_some());
                if states == wanted && known { Ok(()) } else { Err(format!("{states:?}, known: {known}")) }
            })
            .await;
    }

    pub(crate) async fn label(&self, pod: &str, state: &str) {
        self.kit
            .eventually(&format!("{pod} is {state}"), async || {
                let states = self.states().await;
                if states.get(pod).map(String::as_str) == Some(state) { Ok(()) } else { Err(format!("{states:?}")) }
            })
            .await;
    }

    pub(crate) async fn one_with_label(&self, state: &str) -> String {
        self.kit
            .eventually(&format!("one is {state}"), async || {
                let states = self.states().await;
                states.iter().find(|(_, is)| *is == state).map(|(name, _)| name.clone()).ok_or(format!("{states:?}"))
            })
            .await
    }

    pub(crate) async fn gone(&self, pod: &str) {
        self.kit
            .eventually(&format!("{pod} is gone"), async || match self.pods().get_opt(pod).await {
                Ok(None) => Ok(()),
                Ok(Some(pod)) => Err(format!("{:?} {:?}", pod.metadata.annotations, pod.status.and_then(|s| s.phase))),
                Err(error) => Err(error.to_string()),
            })
            .await;
    }

    /// Long enough for the controller to have heard who is where.
    pub(crate) async fn heard(&self) {
        tokio::time::sleep(Duration::from_secs(22)).await;
    }

    /// A while in which nothing may happen: short where time is real.
    pub(crate) async fn pause(&self, time: Duration) {
        let time = if kit::on_the_double() { time } else { time.min(Duration::from_secs(25)) };
        tokio::time::sleep(time).await;
    }

    /// The texts of events with this reason.
    pub(crate) async fn events(&self, reason: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.kit.client(), self.kit.namespace());
        let all = events.list(&ListParams::default()).await.unwrap();
        let wanted = all.items.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
        wanted.filter_map(|event| event.note).collect()
    }

    /// Nobody was cut, these events were seen, and nothing is left draining.
    pub(crate) async fn settled_without_cuts(&self, reasons: &[&str]) {
        assert_eq!(self.kit.instances().cut(), Vec::<String>::new());
        let seen = self.kit.reasons().await;
        for reason in reasons {
            assert!(seen.iter().any(|one| one == reason), "no event {reason}: {seen:?}");
        }
        self.until("nothing is left draining", async || self.left().await.is_empty()).await;
    }

    /// What still drains or ends.
    pub(crate) async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (name, pod) in self.members().await {
            for key in [DRAIN_SINCE, SHUTDOWN_SINCE] {
                if pod.annotations().contains_key(key) {
                    left.push(format!("{name}: {key}"));
                }
            }
        }
        for one in self.kit.instances().all() {
            if one.drain || one.state != State::Running {
                left.push(format!("{}: {:?}, drain {}", one.name, one.state, one.drain));
            }
        }
        left
    }
}
