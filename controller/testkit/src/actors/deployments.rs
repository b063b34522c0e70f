//! Deployments: a ReplicaSet per template, rolled over within the bounds or recreated. Left out: rollback.

use std::time::Duration;

use serde_json::{Value, json};

use super::pods::PODS;
use super::replicas::SETS;
use super::world::{
    Trouble, World, controller_reference, deleting, finished, hash, items, name, namespace, number, path_of, portion,
    set_condition, text, time,
};
use super::{Actor, pods};

pub(super) const WHO: &str = "deployment-controller";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const REVISION: &str = "deployment.kubernetes.io/revision";

pub(super) struct Deployments;

impl Actor for Deployments {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        for path in [DEPLOYMENTS, SETS, PODS] {
            world.watch(path);
        }
        let sets = world.list(SETS).await?;
        let pods = world.list(PODS).await?;
        let mut due = None;
        for deployment in world.list(DEPLOYMENTS).await? {
            if !deleting(&deployment) {
                due = due.max(Rollout::of(world, &deployment, &sets, &pods).step().await?);
            }
        }
        Ok(due)
    }
}

fn replicas(object: &Value) -> i64 {
    number(object, "/spec/replicas").unwrap_or(1)
}

fn status(object: &Value, key: &str) -> i64 {
    object["status"][key].as_i64().unwrap_or(0)
}

fn revision(object: &Value) -> i64 {
    object["metadata"]["annotations"][REVISION].as_str().and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// One Deployment and what belongs to it.
struct Rollout<'a> {
    world: &'a World,
    deployment: &'a Value,
    hash: String,
    /// The ReplicaSet of today's template.
    new: Option<Value>,
    /// The others, youngest first.
    old: Vec<Value>,
    /// Pods of any of them that have not ended.
    living_old_pods: usize,
}

impl<'a> Rollout<'a> {
    fn of(world: &'a World, deployment: &'a Value, sets: &[Value], all_pods: &[Value]) -> Self {
        let hash = hash(&deployment["spec"]["template"]);
        let mut mine: Vec<Value> = sets.iter().filter(|set| pods::owns(deployment, set)).cloned().collect();
        mine.sort_by_key(|set| -revision(set));
        let (new, old): (Vec<_>, Vec<_>) =
            mine.into_iter().partition(|set| text(set, "/metadata/labels/pod-template-hash") == hash);
        let of_old = |pod: &&Value| old.iter().any(|set| pods::owns(set, pod)) && !finished(pod);
        let living_old_pods = all_pods.iter().filter(of_old).count();
        Self { world, deployment, hash, new: new.into_iter().next(), old, living_old_pods }
    }

    async fn step(mut self) -> Result<Option<Duration>, Trouble> {
        if self.deployment["spec"]["paused"] == true {
            if let Some(new) = self.new.clone() {
                self.scale(&new, replicas(self.deployment)).await?;
            }
            return self.report(true).await;
        }
        let recreate = text(self.deployment, "/spec/strategy/type") == "Recreate";
        if recreate {
            for set in self.old.clone() {
                self.scale(&set, 0).await?;
            }
            if self.living_old_pods > 0 {
                return self.report(false).await;
            }
        }
        self.make_new(recreate).await?;
        if !recreate {
            self.roll().await?;
        }
        self.forget_oldest().await?;
        self.report(false).await
    }

    /// Today's ReplicaSet is there and carries the youngest revision.
    async fn make_new(&mut self, recreate: bool) -> Result<(), Trouble> {
        let wanted = replicas(self.deployment);
        let latest = self.old.iter().map(revision).max().unwrap_or(0);
        if let Some(new) = &self.new {
            let mark = if revision(new) > latest { revision(new) } else { latest + 1 };
            let note = json!({"metadata": {"annotations": {REVISION: mark.to_string()}}});
            if revision(new) != mark {
                let path = path_of("/apis/apps/v1", "replicasets", new);
                self.new = self.world.merge(&path, &note).await?.or(self.new.take());
            }
            self.mark_deployment(mark).await?;
            if recreate && let Some(new) = self.new.clone() {
                self.scale(&new, wanted).await?;
            }
            return Ok(());
        }
        let mut template = self.deployment["spec"]["template"].clone();
        template["metadata"]["labels"]["pod-template-hash"] = json!(self.hash);
        let mut selector = self.deployment["spec"]["selector"].clone();
        selector["matchLabels"]["pod-template-hash"] = json!(self.hash);
        let others: i64 = self.old.iter().map(replicas).sum();
        let first = if recreate { wanted } else { wanted.min((wanted + self.surge() - others).max(0)) };
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{}-{}", name(self.deployment), self.hash),
                "labels": template["metadata"]["labels"],
                "annotations": {REVISION: (latest + 1).to_string()},
                "ownerReferences": [controller_reference("apps/v1", "Deployment", self.deployment)],
            },
            "spec": {
                "replicas": first, "selector": selector, "template": template,
                "minReadySeconds": number(self.deployment, "/spec/minReadySeconds").unwrap_or(0),
            },
        });
        let path = format!("/apis/apps/v1/namespaces/{}/replicasets", namespace(self.deployment));
        self.new = self.world.create(&path, &set).await?;
        self.mark_deployment(latest + 1).await
    }

    async fn mark_deployment(&self, mark: i64) -> Result<(), Trouble> {
        if revision(self.deployment) != mark {
            let note = json!({"metadata": {"annotations": {REVISION: mark.to_string()}}});
            self.world.merge(&path_of("/apis/apps/v1", "deployments", self.deployment), &note).await?;
        }
        Ok(())
    }

    fn surge(&self) -> i64 {
        let value = &self.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"];
        portion(value, replicas(self.deployment), true).unwrap_or(1)
    }

    /// How many may be unavailable; one where both bounds are nothing, or it would never move.
    fn unavailable(&self) -> i64 {
        let value = &self.deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"];
        let most = portion(value, replicas(self.deployment), false).unwrap_or(0);
        if most == 0 && self.surge() == 0 { 1 } else { most.min(replicas(self.deployment)) }
    }

    /// One step of a rolling update: grow the new within the surge, shrink the old as far as enough are available.
    async fn roll(&mut self) -> Result<(), Trouble> {
        let Some(new) = self.new.clone() else { return Ok(()) };
        let wanted = replicas(self.deployment);
        let total: i64 = self.old.iter().chain([&new]).map(replicas).sum();
        let have = replicas(&new);
        let grown = if have > wanted { wanted } else { wanted.min(have + (wanted + self.surge() - total).max(0)) };
        if grown != have {
            self.scale(&new, grown).await?;
            return Ok(());
        }
        let least = wanted - self.unavailable();
        let new_missing = have - status(&new, "availableReplicas");
        let spare = (total - least - new_missing).max(0);
        // What is not available costs nothing to take away.
        for set in self.old.clone() {
            let sick = (replicas(&set) - status(&set, "availableReplicas")).clamp(0, spare);
            if sick > 0 {
                self.scale(&set, replicas(&set) - sick).await?;
                return Ok(());
            }
        }
        let available: i64 = self.old.iter().chain([&new]).map(|set| status(set, "availableReplicas")).sum();
        let mut take = (available - least).max(0).min(spare);
        for set in self.old.clone().into_iter().rev() {
            let cut = replicas(&set).min(take);
            if cut > 0 {
                self.scale(&set, replicas(&set) - cut).await?;
                take -= cut;
            }
        }
        Ok(())
    }

    async fn scale(&mut self, set: &Value, to: i64) -> Result<(), Trouble> {
        if replicas(set) == to {
            return Ok(());
        }
        let body = json!({"metadata": {"resourceVersion": set["metadata"]["resourceVersion"]}, "spec": {"replicas": to}});
        self.world.merge(&path_of("/apis/apps/v1", "replicasets", set), &body).await.map(drop)
    }

    async fn forget_oldest(&self) -> Result<(), Trouble> {
        let keep = usize::try_from(number(self.deployment, "/spec/revisionHistoryLimit").unwrap_or(10)).unwrap_or(10);
        let empty = |set: &&Value| replicas(set) == 0 && status(set, "replicas") == 0 && !deleting(set);
        for set in self.old.iter().filter(empty).skip(keep) {
            self.world.delete(&path_of("/apis/apps/v1", "replicasets", set), set, json!({})).await?;
        }
        Ok(())
    }

    async fn report(&self, paused: bool) -> Result<Option<Duration>, Trouble> {
        let wanted = replicas(self.deployment);
        let all = || self.old.iter().chain(&self.new);
        let sum = |key: &str| all().map(|set| status(set, key)).sum::<i64>();
        let (total, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
        let updated = self.new.as_ref().map_or(0, |set| status(set, "replicas"));
        let mut now = json!({"observedGeneration": self.deployment["metadata"]["generation"]});
        let missing = (all().map(replicas).sum::<i64>() - available).max(0);
        for (key, count) in [
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", missing),
        ] {
            if count > 0 {
                now[key] = json!(count);
            }
        }
        let mut conditions = items(self.deployment, "/status/conditions").to_vec();
        let stamp = self.world.stamp();
        let enough = available >= wanted - self.unavailable_for_status();
        let (reason, message) = if enough {
            ("MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set_condition(&mut conditions, &stamp, "Available", enough, reason, message);
        let done = updated == wanted && total == wanted && available == wanted;
        let mut due = None;
        if done {
            set_condition(&mut conditions, &stamp, "Progressing", true, "NewReplicaSetAvailable", "");
        } else if !paused {
            let late = self.late(&now, &mut due);
            let reason = if late { "ProgressDeadlineExceeded" } else { "ReplicaSetUpdated" };
            set_condition(&mut conditions, &stamp, "Progressing", !late, reason, "");
        }
        // As the real one does, every step forward is dated, so that the deadline counts from the last of them.
        let moved = ["replicas", "updatedReplicas", "availableReplicas", "observedGeneration"]
            .iter()
            .any(|key| now[key] != self.deployment["status"][key]);
        for condition in &mut conditions {
            let old = condition["lastUpdateTime"].clone();
            condition["lastUpdateTime"] =
                if old.is_null() || (moved && condition["type"] == "Progressing") { stamp.clone() } else { old };
        }
        now["conditions"] = json!(conditions);
        let path = path_of("/apis/apps/v1", "deployments", self.deployment);
        self.world.set_status(&path, self.deployment, now).await?;
        Ok(due)
    }

    fn unavailable_for_status(&self) -> i64 {
        if text(self.deployment, "/spec/strategy/type") == "Recreate" { 0 } else { self.unavailable() }
    }

    /// Whether nothing has moved for the progress deadline; else `due` says when that will be.
    fn late(&self, now: &Value, due: &mut Option<Duration>) -> bool {
        let limit = number(self.deployment, "/spec/progressDeadlineSeconds").unwrap_or(600);
        let progressing = super::world::condition(self.deployment, "Progressing");
        let since = progressing.and_then(|c| time(c, "/lastUpdateTime")).unwrap_or_else(|| self.world.now());
        let moved = now["updatedReplicas"] != self.deployment["status"]["updatedReplicas"]
            || now["observedGeneration"] != self.deployment["status"]["observedGeneration"];
        let left = limit - self.world.now().duration_since(since).as_secs();
        if moved || left > 0 {
            *due = Some(Duration::from_secs(u64::try_from(left.max(1)).unwrap_or(1)));
            return false;
        }
        true
    }
}
