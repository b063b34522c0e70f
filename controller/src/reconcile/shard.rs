//! One JitsiShard.
//!
//! The order of writes matters, because the controller may die after any of them:
//! 1. the finalizer, before there is anything to drain;
//! 2. the status with what the drain has to remember, before proxies are told that a shard is back;
//! 3. the objects, with the word for the proxies on the web Service;
//! 4. the finalizer's end, on exactly the version of the shard that was found empty.

mod report;

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{DeserializeGuard, GroupVersionKind},
    runtime::controller::Action,
};
use serde_json::json;

use super::{Context, Error, RESYNC, guarded, write_status};
use crate::{
    api::{
        DRAIN_FINALIZER, GroupKind, GroupStatus, JitsiShard, Phase, SHARD_LABEL, SHARD_STATE_LABEL, ShardState,
        ShardStatus,
    },
    apply::{self, Live, MANAGER, apply, prune, read, write},
    build::{self, Component, Secrets, ShardInput, name, signalling_revision},
    observe::{self, OwnerState},
    plan::{
        drain::{self, Memory, Progress, Reports},
        shard::{self, Answers, Change, Signalling, View},
    },
    status::{false_since, kinds},
    validate::{self, Invalid, ShardModel},
};

/// How long a shard may drain whose spec cannot be read.
const DEADLINE: Duration = Duration::from_secs(4 * 3600);
/// How often conferences are counted while nothing depends on it.
const COUNT: Duration = Duration::from_secs(60);

/// Brings one shard a step nearer to what it should be.
///
/// # Errors
/// When something cannot be read or written. The next call goes on from there.
pub async fn reconcile(object: Arc<DeserializeGuard<JitsiShard>>, context: Arc<Context>) -> Result<Action, Error> {
    let cached = guarded(&context, &object).await?;
    let (name, namespace) = (cached.name_any(), cached.namespace().unwrap_or_default());
    let api: Api<JitsiShard> = Api::namespaced(context.client.clone(), &namespace);
    let Some(shard) = read("get the JitsiShard", api.get_opt(&name)).await? else {
        return Ok(Action::await_change());
    };
    let deleting = shard.metadata.deletion_timestamp.is_some();
    let held = shard.finalizers().iter().any(|finalizer| finalizer == DRAIN_FINALIZER);
    if deleting && !held {
        return Ok(Action::await_change());
    }
    let owner = observe::owner(&context.client, &shard).await?;
    if deleting && matches!(owner, OwnerState::Gone) {
        // With its Jitsi the proxies go: nobody can reach it any more.
        release(&context, &api, &shard, shard.resource_version()).await?;
        return Ok(Action::await_change());
    }
    if !held {
        let finalizers: Vec<_> = shard.finalizers().iter().cloned().chain([DRAIN_FINALIZER.to_owned()]).collect();
        set_finalizers(&context, &api, &shard, shard.resource_version(), &finalizers).await?;
        // The change brings us back here.
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    Step::new(&context, &api, shard, owner).await?.take().await
}

/// Everything that was read, for one pass.
struct Step<'a> {
    context: &'a Context,
    api: &'a Api<JitsiShard>,
    shard: JitsiShard,
    owner: OwnerState,
    kinds: build::Kinds,
    live: Live,
    model: Result<ShardModel, Invalid>,
    status: ShardStatus,
    told: Option<ShardState>,
    answers: Answers,
    reports: Option<Reports>,
}

impl<'a> Step<'a> {
    async fn new(
        context: &'a Context,
        api: &'a Api<JitsiShard>,
        shard: JitsiShard,
        owner: OwnerState,
    ) -> Result<Self, Error> {
        let (name, namespace) = (shard.name_any(), shard.namespace().unwrap_or_default());
        let kinds = observe::kinds(&context.client).await?;
        let selector = format!("{SHARD_LABEL}={name}");
        let mut live = Live::list(&context.client, &namespace, &apply::owned_kinds(kinds), &selector).await?;
        let needs = validate::needs(&shard.spec.template);
        let existing = observe::existing(&context.client, &namespace, &needs).await?;
        let model = validate::shard(&shard, &context.defaults, Some(&existing));
        let part = |group: &str, kind: &str, part| (GroupVersionKind::gvk(group, "v1", kind), build::name(&name, part));
        let mut crucial = vec![
            part("", "Service", Component::Web),
            part("apps", "Deployment", Component::Web),
            part("apps", "Deployment", Component::Jicofo),
            part("apps", "StatefulSet", Component::Prosody),
        ];
        if let Ok(model) = &model {
            crucial.push((GroupVersionKind::gvk("", "v1", "Secret"), model.secret.clone()));
        }
        live.look_for(&context.client, &namespace, &crucial).await?;
        let status = shard.status.clone().unwrap_or_default();
        let told = observe::told(&live, &name);
        let answers = observe::answers(&live, &name);
        let jitsi = match &owner {
            OwnerState::Alive(jitsi) => Some(&**jitsi),
            OwnerState::None | OwnerState::Gone => None,
        };
        // The reports come after the label was read, so they are about what it says.
        let reports = if told.is_some() {
            Some(observe::reports(&context.client, &*context.media, &namespace, &name, jitsi).await?)
        } else {
            None
        };
        Ok(Self { context, api, shard, owner, kinds, live, model, status, told, answers, reports })
    }

    async fn take(self) -> Result<Action, Error> {
        let (context, shard) = (self.context, &self.shard);
        let (name, now) = (shard.name_any(), context.now());
        let deleting = shard.metadata.deletion_timestamp.is_some();
        let paused = shard.spec.conduct.paused || shard.spec.conduct.suspend;
        let wanted = !paused && (shard.spec.drain || deleting);
        let announced = self.told.is_some() || self.status.state.is_some();
        let memory = Memory {
            started: self.status.drain_started_at.as_ref().map(|time| time.0),
            quiet_since: self.status.empty_since.as_ref().map(|time| time.0),
            over: self.status.phase == Some(Phase::Drained),
        };
        let mut drain = drain::look(
            memory,
            &drain::Look {
                wanted,
                told: self.told,
                announced,
                deadline: self.model.as_ref().map_or(DEADLINE, |model| model.drain_deadline),
                reports: self.reports.as_ref(),
                now,
            },
        );
        let view = View {
            answers: self.answers,
            told: self.told,
            silent_since: false_since(&self.status.conditions, kinds::SIGNALLING),
            draining: wanted,
            paused,
            complete: self.live.get("StatefulSet", &build::name(&name, Component::Prosody)).is_some(),
            now,
        };
        // What no proxy ever heard of need not hear of it for its end.
        let state = if wanted && !announced { None } else { shard::state(&view) };
        let signalling = self.signalling(announced);
        let status = self.status(&view, &drain, state, &signalling);
        let mut notes = std::mem::take(&mut drain.notes);
        notes.extend(self.notes(&status));

        // The groups are the other loop's: neither a change of ours nor ours to write.
        let before = shard.status.clone().map(|before| ShardStatus { groups: Vec::new(), ..before });
        let written = write_status(context, shard, before.as_ref(), &status).await?;
        context.events.publish(&shard.object_ref(&()), &notes).await;
        if !paused {
            self.write_objects(state, &signalling).await?;
            if deleting && drain.progress.is_over() {
                release(context, self.api, shard, written).await?;
                return Ok(Action::await_change());
            }
        }
        Ok(Action::requeue(match (&drain.progress, status.phase) {
            (Progress::Waiting(_), _) => drain::LOOK,
            (_, Some(Phase::Degraded)) => shard::SILENCE / 2,
            (_, Some(Phase::Ready)) => COUNT,
            _ => RESYNC,
        }))
    }

    fn signalling(&self, announced: bool) -> Signalling {
        let Ok(model) = &self.model else { return Signalling::Apply };
        let wanted = signalling_revision(model);
        shard::signalling(&Change {
            // Without its workloads nothing runs, whatever was applied once.
            running: self.status.signalling_revision.as_deref().filter(|_| self.answers != Answers::default()),
            wanted: &wanted,
            at_once: !model.graceful_upgrade,
            owned: matches!(self.owner, OwnerState::Alive(_)),
            announced,
            conferences: self.reports.as_ref().map(|reports| &reports.conferences),
        })
    }

    async fn write_objects(&self, state: Option<ShardState>, held: &Signalling) -> Result<(), Error> {
        let (context, name) = (self.context, self.shard.name_any());
        let Ok(model) = &self.model else { return self.tell(state).await };
        let there = self.live.typed("Secret", &model.secret);
        let secrets = Secrets::keep_or_generate(there.as_ref(), &mut crate::random::generator());
        // Nobody is known to be absent unless somebody said so.
        let in_use = self.told.is_some() && self.reports.as_ref().is_none_or(|reports| reports.conferences != Ok(0));
        let objects = build::shard(ShardInput { model, secrets: &secrets, state, in_use, kinds: self.kinds });
        let together = objects.held_together();
        let keeps = |object: &build::Object| {
            let waits = matches!(held, Signalling::Hold(_)) && together.iter().any(|one| **one == *object);
            waits && self.live.get(&object.kind(), object.name()).is_some()
        };
        let all = objects.all();
        let old = self.old_bridges(model);
        let due: Vec<_> = all.iter().copied().filter(|object| !keeps(object)).collect();
        let (client, leadership) = (&context.client, &context.leadership);
        let written = apply(client, leadership, &self.live, &due).await?;
        let deleted = if matches!(held, Signalling::Hold(_)) {
            0
        } else {
            let mut kept = all;
            kept.extend(&old);
            prune(client, leadership, &self.live, &self.shard.uid().unwrap_or_default(), &kept).await?
        };
        if written + deleted > 0 {
            tracing::info!(shard = name, written, deleted, "objects were put right");
        }
        Ok(())
    }

    /// The workload of Kubernetes' own that had the bridges before, as long as there is none to take its place: one at
    /// least is ready, or none can be because it holds their nodes. Then it goes, and its pods wait for their conferences
    /// if they were told to.
    fn old_bridges(&self, model: &ShardModel) -> Vec<build::Object> {
        let mut groups = self.status_groups();
        let replaced = groups.any(|group| {
            group.kind == GroupKind::Jvb && (group.ready > 0 || group.limited.is_some() || group.desired == 0)
        });
        if replaced || model.bridges.strategy == validate::Strategy::Daemonset {
            return Vec::new();
        }
        let name = name(&model.name, Component::Jvb);
        let kinds = ["Deployment", "DaemonSet"].into_iter();
        kinds.filter_map(|kind| self.live.get(kind, &name)).cloned().map(build::Object::from).collect()
    }

    /// What the other loop says of the groups.
    fn status_groups(&self) -> impl Iterator<Item = &GroupStatus> {
        self.status.groups.iter()
    }

    /// Only the word for the proxies: all that can be done for a shard whose spec cannot be carried out.
    async fn tell(&self, state: Option<ShardState>) -> Result<(), Error> {
        let service = name(&self.shard.name_any(), Component::Web);
        let (Some(state), true) = (state, self.live.get("Service", &service).is_some()) else { return Ok(()) };
        if self.told == Some(state) {
            return Ok(());
        }
        let api: Api<k8s_openapi::api::core::v1::Service> =
            Api::namespaced(self.context.client.clone(), &self.shard.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({"metadata": {"labels": {SHARD_STATE_LABEL: state.as_str()}}}));
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patched = api.patch(&service, &params, &patch);
        write(&self.context.leadership, "label the web Service", patched).await?;
        Ok(())
    }
}

/// Lets go of a shard that is being deleted, if it still is the version that was looked at.
async fn release(
    context: &Context,
    api: &Api<JitsiShard>,
    shard: &JitsiShard,
    version: Option<String>,
) -> Result<(), Error> {
    let left: Vec<_> = shard.finalizers().iter().filter(|one| *one != DRAIN_FINALIZER).cloned().collect();
    set_finalizers(context, api, shard, version, &left).await
}

async fn set_finalizers(
    context: &Context,
    api: &Api<JitsiShard>,
    shard: &JitsiShard,
    version: Option<String>,
    finalizers: &[String],
) -> Result<(), Error> {
    let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}}));
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let name = shard.name_any();
    match write(&context.leadership, "write the finalizers", api.patch(&name, &params, &patch)).await {
        Ok(_) => Ok(()),
        Err(apply::Error::Api { source, .. }) if matches!(&*source, kube::Error::Api(status) if status.is_not_found()) => {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
