//! Carries a plan out, action by action, each write under leadership.
//!
//! What is to be remembered is written before anybody is told. When something about a pod fails, the rest about the same pod is
//! left for the next look, which sees what became of it; what concerns others goes on.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};

use super::{
    Error, Tend, bridges as making,
    group::{Group, Member, Seen},
    sight,
};
use crate::{
    api::GroupKind,
    apply::{self, MANAGER, TIMEOUT, write},
    build::{self, Place},
    plan::{
        Note,
        bridges::{Action, Memory},
    },
    rest::audit::{self, Entry},
};

/// One group's plan under way.
struct Work<'a> {
    tend: &'a Tend<'a>,
    group: &'a Group<'a>,
    api: Api<Pod>,
    members: BTreeMap<String, &'a Member<'a>>,
    /// Versions of pods that were written since they were read.
    versions: BTreeMap<String, String>,
    notes: Vec<Note>,
}

/// Carries out what was decided.
///
/// # Errors
/// The first of those that there were; everything that does not depend on it is done.
pub(super) async fn carry_out(tend: &Tend<'_>, group: &Group<'_>, seen: &Seen<'_>) -> Result<(), Error> {
    let namespace = tend.shard.namespace().unwrap_or_default();
    let mut work = Work {
        tend,
        group,
        api: Api::namespaced(tend.context.client.clone(), &namespace),
        members: seen.members.iter().map(|member| (member.bridge.name.clone(), member)).collect(),
        versions: BTreeMap::new(),
        notes: seen.notes.clone(),
    };
    let mut trouble: Option<Error> = None;
    let mut left = BTreeSet::new();
    for action in &seen.plan.actions {
        if action.name().is_some_and(|name| left.contains(name)) {
            continue;
        }
        if let Err(error) = work.act(action).await {
            if lost(&error) {
                return Err(error);
            }
            tracing::debug!(%error, ?action, "left for the next look");
            left.extend(action.name().map(str::to_owned));
            trouble = trouble.or(Some(error));
        }
    }
    let entries = happened(seen, &left);
    audit::record(tend.context, tend.shard, group.kind, tend.now, &entries).await;
    let deleted = seen.plan.actions.iter().filter(|action| matches!(action, Action::Delete { .. }));
    left.extend(deleted.filter_map(|action| action.name().map(str::to_owned)));
    for member in seen.members.iter().filter(|member| !left.contains(&member.bridge.name)) {
        if let Err(error) = work.show(member).await {
            if lost(&error) {
                return Err(error);
            }
            trouble = trouble.or(Some(error));
        }
    }
    let notes = std::mem::take(&mut work.notes);
    tend.context.events.publish(&tend.shard.object_ref(&()), &notes).await;
    trouble.map_or(Ok(()), Err)
}

/// What the audit keeps of a look: the number that changed, and who was made, chosen to go, and deleted.
fn happened(seen: &Seen<'_>, left: &BTreeSet<String>) -> Vec<Entry> {
    let (mut made, mut retired, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for action in &seen.plan.actions {
        match action {
            Action::Create { name, .. } if !left.contains(name) => made.push(name.clone()),
            Action::Remember { name, memory, .. } if !left.contains(name) && memory.drain_since.is_some() => {
                let before = seen.members.iter().find(|member| member.bridge.name == *name);
                if before.is_some_and(|member| member.bridge.memory.drain_since.is_none()) {
                    retired.push(name.clone());
                }
            }
            Action::Delete { name, .. } if !left.contains(name) => ended.push(name.clone()),
            _ => {}
        }
    }
    let (count, desired) = (seen.status.count, seen.status.desired);
    let mut entries: Vec<_> = seen.scaled.clone().into_iter().collect();
    if !made.is_empty() {
        entries.push(Entry::Launched { instances: made, count, desired });
    }
    if !retired.is_empty() {
        entries.push(Entry::Retired { instances: retired, count, desired });
    }
    if !ended.is_empty() {
        entries.push(Entry::Ended { instances: ended });
    }
    entries
}

fn lost(error: &Error) -> bool {
    matches!(error, Error::Apply(error) if error.is_lost())
}

impl Work<'_> {
    async fn act(&mut self, action: &Action) -> Result<(), Error> {
        let media = &*self.tend.context.media;
        let gateway = self.group.kind == GroupKind::Jigasi;
        match action {
            Action::Create { name, port, attempt, protected_until } => {
                let place = Place {
                    name: name.clone(),
                    port: *port,
                    serves: self.group.serves.clone(),
                    attempt: *attempt,
                    protected_until: *protected_until,
                };
                self.create(place).await
            }
            Action::Remember { name, uid, memory } => {
                let mut memory = memory.clone();
                if gateway {
                    // A gateway's drain is its end already: it knows no other.
                    memory.shutdown_since = memory.shutdown_since.or(memory.drain_since);
                }
                self.remember(name, uid, &memory).await
            }
            // A gateway is told once; what it was told cannot be taken back.
            Action::Drain { name } | Action::Shutdown { name } if gateway => {
                let ip = self.address(name)?;
                self.tell(name, "end", media.stop_gateway(&ip)).await
            }
            Action::Undrain { .. } | Action::Move { .. } if gateway => Ok(()),
            Action::Drain { name } => {
                let ip = self.address(name)?;
                self.tell(name, "drain", media.drain(&ip, true)).await
            }
            Action::Undrain { name } => {
                let ip = self.address(name)?;
                self.tell(name, "not drain", media.drain(&ip, false)).await
            }
            Action::Shutdown { name } => {
                let ip = self.address(name)?;
                self.tell(name, "end", media.shutdown(&ip)).await
            }
            Action::Move { name } => self.move_away(name).await,
            Action::Delete { name, uid, grace } => self.delete(name, uid, *grace).await,
            Action::Note { note, .. } => {
                self.notes.push(note.clone());
                Ok(())
            }
        }
    }

    fn address(&self, name: &str) -> Result<String, Error> {
        let ip = self.members.get(name).and_then(|member| sight::address(member.pod));
        ip.ok_or_else(|| Error::Untold { pod: name.to_owned(), why: "it has no address".to_owned() })
    }

    /// Tells one pod something, and forgets what it said before.
    async fn tell(&self, name: &str, what: &str, word: impl Future<Output = Result<(), String>>) -> Result<(), Error> {
        if let Some(member) = self.members.get(name) {
            let shard = self.tend.shard.metadata.uid.as_deref().unwrap_or_default();
            self.tend.context.fleet.ask_again(shard, self.group.kind, &member.bridge.uid);
        }
        tracing::info!(pod = name, what, "is told");
        let what = format!("tell {name} to {what}");
        let answer = self.tend.context.leadership.write(TIMEOUT, word).await;
        let answer = answer.map_err(|source| apply::Error::Refused { what: what.clone(), source })?;
        answer.map_err(|why| Error::Untold { pod: name.to_owned(), why })
    }

    /// Asks jicofo to move everybody away. That it cannot harms nobody: they are waited for, or the deadline comes.
    async fn move_away(&self, name: &str) -> Result<(), Error> {
        let address = build::brewery_address(self.tend.model, name);
        for pod in self.tend.pods {
            let focus = pod.labels().get("app.kubernetes.io/component").map(String::as_str) == Some("jicofo");
            let Some(ip) = sight::address(pod).filter(|_| focus) else { continue };
            let asked = self.tend.context.media.move_all(&ip, &address);
            let answer = self.tend.context.leadership.write(TIMEOUT, asked).await;
            let what = format!("move everybody away from {name}");
            match answer.map_err(|source| apply::Error::Refused { what, source })? {
                Ok(number) => tracing::info!(pod = name, number, "people are being moved away"),
                Err(why) => tracing::warn!(pod = name, why, "jicofo does not move people away"),
            }
        }
        Ok(())
    }

    async fn create(&mut self, mut place: Place) -> Result<(), Error> {
        let (tend, settled) = (self.tend, self.tend.settled);
        let pod = match (self.group.kind, &tend.model.gateways) {
            (GroupKind::Jigasi, Some(gateways)) => build::gateway(tend.model, gateways, &place, settled),
            (GroupKind::Jigasi, None) => return Ok(()),
            _ => {
                making::prepare(tend, &mut place).await?;
                build::bridge(tend.model, &place, settled)
            }
        };
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let what = format!("create Pod {}", place.name);
        let made = match write(&tend.context.leadership, &what, self.api.create(&params, &pod)).await {
            Ok(made) => made,
            // A rival made it, or an earlier try of ours whose answer was lost.
            Err(apply::Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_already_exists()) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let reason = if self.group.kind == GroupKind::Jvb { "BridgeCreated" } else { "GatewayCreated" };
        self.notes.push(Note::normal(reason, format!("{} is made.", place.name)));
        if self.group.kind == GroupKind::Jvb {
            making::hand_over(tend, &made).await?;
        }
        Ok(())
    }

    async fn remember(&mut self, name: &str, uid: &str, memory: &Memory) -> Result<(), Error> {
        self.patch(name, uid, json!({"annotations": sight::memory(memory)})).await
    }

    async fn show(&mut self, member: &Member<'_>) -> Result<(), Error> {
        let Member { pod, bridge, state, people, answer } = member;
        let Some(metadata) = sight::shown(pod, bridge, *state, *people, self.group.users, answer.as_ref()) else {
            return Ok(());
        };
        let (name, uid) = (bridge.name.clone(), bridge.uid.clone());
        self.patch(&name, &uid, metadata).await
    }

    /// Patches the metadata of exactly the pod that was read, at the version that was read.
    async fn patch(&mut self, name: &str, uid: &str, mut metadata: Value) -> Result<(), Error> {
        metadata["uid"] = json!(uid);
        metadata["resourceVersion"] = json!(self.version(name));
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"metadata": metadata}));
        let patched = self.api.patch(name, &params, &patch);
        match write(&self.tend.context.leadership, &format!("patch Pod {name}"), patched).await {
            Ok(pod) => {
                self.versions.extend(pod.resource_version().map(|version| (name.to_owned(), version)));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn version(&self, name: &str) -> Option<String> {
        self.versions.get(name).cloned().or_else(|| self.members.get(name)?.pod.resource_version())
    }

    async fn delete(&self, name: &str, uid: &str, grace: u32) -> Result<(), Error> {
        let params = DeleteParams {
            grace_period_seconds: Some(grace),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: self.version(name) }),
            ..DeleteParams::background()
        };
        let deleted = self.api.delete(name, &params);
        match write(&self.tend.context.leadership, &format!("delete Pod {name}"), deleted).await {
            Ok(_) => {
                tracing::info!(pod = name, "is deleted");
                Ok(())
            }
            Err(apply::Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_not_found()) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
