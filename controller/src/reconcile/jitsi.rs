//! One Jitsi: its shards, and what stands around them.

mod report;

use std::{collections::BTreeMap, sync::Arc};

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
    core::{DeserializeGuard, GroupVersionKind},
    runtime::controller::Action as Again,
};
use serde_json::{Value, json};

use super::{Context, Error, RESYNC, guarded, write_status};
use crate::{
    api::{JITSI_LABEL, Jitsi, JitsiShard, JitsiShardSpec, JitsiStatus, Phase, SHARD_LABEL, SIGNALLING_REVISION},
    apply::{self, Live, MANAGER, apply, prune, read, write},
    build::{self, JitsiInput, JitsiSecrets, signalling_revision},
    observe,
    plan::{
        Note,
        shards::{self, Action, Plan, Shard, Wanted},
    },
    status::{Fact, conditions, kinds},
    validate::{self, Invalid, JitsiModel},
};

/// Brings one Jitsi a step nearer to what it should be.
///
/// # Errors
/// When something cannot be read or written. The next call goes on from there.
pub async fn reconcile(object: Arc<DeserializeGuard<Jitsi>>, context: Arc<Context>) -> Result<Again, Error> {
    let cached = guarded(&context, &object).await?;
    let (name, namespace) = (cached.name_any(), cached.namespace().unwrap_or_default());
    let api: Api<Jitsi> = Api::namespaced(context.client.clone(), &namespace);
    let Some(jitsi) = read("get the Jitsi", api.get_opt(&name)).await? else { return Ok(Again::await_change()) };
    if jitsi.metadata.deletion_timestamp.is_some() {
        // What it owns goes with it.
        return Ok(Again::await_change());
    }
    let needs = validate::needs(&jitsi.spec.template);
    let existing = observe::existing(&context.client, &namespace, &needs).await?;
    match validate::jitsi(&jitsi, &context.defaults, Some(&existing)) {
        Err(invalid) => refuse(&context, &jitsi, &invalid).await,
        Ok(model) => Step::new(&context, &jitsi, model).await?.take().await,
    }
}

/// A Jitsi that cannot be: everything stays as it is, and its status says what to write instead.
async fn refuse(context: &Context, jitsi: &Jitsi, invalid: &Invalid) -> Result<Again, Error> {
    let old = jitsi.status.clone().unwrap_or_default();
    let facts = vec![Fact::new(kinds::READY, false, "Invalid", invalid.to_string())];
    let mut all = conditions(&old.conditions, facts, jitsi.metadata.generation, context.now());
    all.extend(old.conditions.iter().filter(|condition| condition.type_ != kinds::READY).cloned());
    let status = JitsiStatus {
        observed_generation: jitsi.metadata.generation,
        phase: Some(Phase::Invalid),
        waiting_for: Some(format!("a spec that can be carried out: {invalid}")),
        conditions: all,
        ..old.clone()
    };
    write_status(context, jitsi, jitsi.status.as_ref(), &status).await?;
    if old.phase != status.phase {
        context.events.publish(&jitsi.object_ref(&()), &[Note::warning("Invalid", invalid.to_string())]).await;
    }
    Ok(Again::requeue(RESYNC))
}

/// Everything that was read, for one pass.
struct Step<'a> {
    context: &'a Context,
    jitsi: &'a Jitsi,
    model: JitsiModel,
    kinds: build::Kinds,
    live: Live,
    /// All that are in the namespace: a name is taken, whoever owns it.
    all: Vec<JitsiShard>,
    /// Names of those that cannot be read. They are left alone, and must not keep the others from being looked after.
    unreadable: Vec<String>,
}

impl<'a> Step<'a> {
    async fn new(context: &'a Context, jitsi: &'a Jitsi, model: JitsiModel) -> Result<Self, Error> {
        let kinds = observe::kinds(&context.client).await?;
        let selector = format!("{JITSI_LABEL}={},!{SHARD_LABEL}", model.name);
        let mut live = Live::list(&context.client, &model.namespace, &apply::owned_kinds(kinds), &selector).await?;
        let secrets = ["mesh-key", "admin"]
            .map(|suffix| (GroupVersionKind::gvk("", "v1", "Secret"), format!("{}-proxy-{suffix}", model.name)));
        live.look_for(&context.client, &model.namespace, &secrets).await?;
        let api: Api<DeserializeGuard<JitsiShard>> = Api::namespaced(context.client.clone(), &model.namespace);
        let (mut all, mut unreadable) = (Vec::new(), Vec::new());
        for shard in read("list the JitsiShards", api.list(&ListParams::default())).await?.items {
            match shard.0 {
                Ok(shard) => all.push(shard),
                Err(invalid) => unreadable.extend(invalid.metadata.name),
            }
        }
        Ok(Self { context, jitsi, model, kinds, live, all, unreadable })
    }

    fn owns(&self, shard: &JitsiShard) -> bool {
        let uid = self.jitsi.uid().unwrap_or_default();
        shard.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
    }

    fn ordinal(&self, shard: &JitsiShard) -> Option<u32> {
        self.ordinal_in(&shard.name_any())
    }

    fn ordinal_in(&self, name: &str) -> Option<u32> {
        let number = name.strip_prefix(&self.model.name)?.strip_prefix('-')?;
        number.parse().ok().filter(|ordinal: &u32| ordinal.to_string() == number)
    }

    /// What a shard in this region should say, and the revision of its signalling.
    fn meant(&self, region: Option<&str>) -> (JitsiShardSpec, String) {
        let spec = self.model.shard_spec(region);
        let mut sample = JitsiShard::new(&self.model.shard_name(0), spec.clone());
        sample.metadata.namespace = Some(self.model.namespace.clone());
        // The template was validated with the Jitsi, of which the sample is one.
        let model = validate::shard(&sample, &self.context.defaults, None);
        let revision = model.as_ref().map_or_else(|_| signalling_revision(&self.model.sample), signalling_revision);
        (spec, revision)
    }

    /// A shard keeps its region as long as it is one that is wanted.
    fn region<'b>(&'b self, shard: &'b JitsiShard) -> Option<&'b str> {
        let own = shard.spec.template.region.as_deref();
        if self.model.regions.iter().any(|region| region.as_deref() == own) {
            own
        } else {
            self.model.region(self.ordinal(shard).map_or(0, |ordinal| ordinal as usize))
        }
    }

    /// The region of a shard that is made: the first in the row that none of the present ones stands for.
    fn region_of_new(&self, present: &mut Vec<Option<String>>) -> Option<String> {
        for place in 0..self.model.shards {
            let region = self.model.region(place).map(str::to_owned);
            match present.iter().position(|one| *one == region) {
                Some(found) => {
                    present.swap_remove(found);
                }
                None => return region,
            }
        }
        self.model.region(self.model.shards).map(str::to_owned)
    }

    fn view(&self) -> Vec<Shard> {
        let mut revisions: BTreeMap<Option<String>, (JitsiShardSpec, String)> = BTreeMap::new();
        self.all
            .iter()
            .filter(|shard| self.owns(shard) || self.ordinal(shard).is_some())
            .filter_map(|shard| {
                if !self.owns(shard) {
                    return None;
                }
                let region = self.region(shard).map(str::to_owned);
                let (spec, revision) =
                    revisions.entry(region.clone()).or_insert_with(|| self.meant(region.as_deref())).clone();
                let status = shard.status.clone().unwrap_or_default();
                let wanted = self.document(&shard.name_any(), (spec, revision.clone()));
                let found = serde_json::to_value(shard).unwrap_or_default();
                let label = shard.labels().get(SIGNALLING_REVISION);
                let runs = status.signalling_revision.as_ref().or(label);
                Some(Shard {
                    name: shard.name_any(),
                    ordinal: self.ordinal(shard),
                    drain: shard.spec.drain,
                    retire: shard.spec.retire,
                    deleting: shard.metadata.deletion_timestamp.is_some(),
                    phase: status.phase.filter(|_| status.observed_generation == shard.metadata.generation),
                    announced: status.state.is_some(),
                    current: runs == Some(&revision),
                    differs: !apply::contains(&found, &wanted),
                })
            })
            .collect()
    }

    async fn take(self) -> Result<Again, Error> {
        let (context, jitsi) = (self.context, self.jitsi);
        let view = self.view();
        let plan = if self.model.paused {
            Plan::default()
        } else {
            // A name that somebody else's shard has is taken too.
            let strangers = self.all.iter().filter(|shard| !self.owns(shard)).filter_map(|shard| self.ordinal(shard));
            let strangers = strangers.chain(self.unreadable.iter().filter_map(|name| self.ordinal_in(name)));
            shards::plan_beside(
                Wanted { shards: self.model.shards, at_once: !self.model.graceful_upgrade },
                &view,
                &strangers.collect(),
            )
        };
        self.pass_pause_on().await?;
        if !self.model.paused {
            self.surroundings().await?;
            self.carry_out(&plan).await?;
            context.events.publish(&jitsi.object_ref(&()), &plan.notes).await;
        }
        let status = self.status(&view, &plan);
        write_status(context, jitsi, jitsi.status.as_ref(), &status).await?;
        Ok(Again::requeue(RESYNC))
    }

    /// A paused Jitsi has paused shards, and the other way round.
    async fn pass_pause_on(&self) -> Result<(), Error> {
        let paused = self.model.paused;
        for shard in self.all.iter().filter(|shard| self.owns(shard) && shard.spec.conduct.paused != paused) {
            let name = shard.name_any();
            let patch = json!({"metadata": {"resourceVersion": shard.resource_version()}, "spec": {"paused": paused}});
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            let patch = Patch::Merge(&patch);
            write(
                &self.context.leadership,
                &format!("pause {name}: {paused}"),
                self.shards().patch(&name, &params, &patch),
            )
            .await?;
        }
        Ok(())
    }

    async fn surroundings(&self) -> Result<(), Error> {
        let secret = |suffix: &str| self.live.typed("Secret", &format!("{}-proxy-{suffix}", self.model.name));
        let secrets = JitsiSecrets::keep_or_generate(
            secret("mesh-key").as_ref(),
            secret("admin").as_ref(),
            &mut crate::random::generator(),
        );
        let objects = build::jitsi(JitsiInput { model: &self.model, secrets: &secrets, kinds: self.kinds });
        let (client, leadership, all) = (&self.context.client, &self.context.leadership, objects.all());
        let written = apply(client, leadership, &self.live, &all).await?;
        let deleted = prune(client, leadership, &self.live, &self.jitsi.uid().unwrap_or_default(), &all).await?;
        if written + deleted > 0 {
            tracing::info!(jitsi = self.model.name, written, deleted, "objects were put right");
        }
        Ok(())
    }

    async fn carry_out(&self, plan: &Plan) -> Result<(), Error> {
        let mut present: Vec<_> = self
            .all
            .iter()
            .filter(|shard| self.owns(shard) && !shard.spec.drain && shard.metadata.deletion_timestamp.is_none())
            .map(|shard| self.region(shard).map(str::to_owned))
            .collect();
        for action in &plan.actions {
            let named = |name: &String| self.all.iter().find(|shard| shard.name_any() == *name);
            match action {
                Action::Create(ordinal) => {
                    let region = self.region_of_new(&mut present);
                    let name = self.model.shard_name(*ordinal as usize);
                    self.put(&name, None, region.as_deref()).await?;
                }
                Action::Update(name) => {
                    let Some(shard) = named(name) else { continue };
                    self.put(name, Some(shard), self.region(shard)).await?;
                }
                Action::Drain(name) | Action::Undrain(name) => {
                    let Some(shard) = named(name) else { continue };
                    // Only this: what it is made of stays, it may be an old one.
                    let drain = matches!(action, Action::Drain(_));
                    let patch = json!({
                        "metadata": {"resourceVersion": shard.resource_version()},
                        "spec": {"drain": drain},
                    });
                    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                    let what = format!("drain {name}: {drain}");
                    let patch = Patch::Merge(&patch);
                    write(&self.context.leadership, &what, self.shards().patch(name, &params, &patch)).await?;
                }
                Action::Delete(name) => {
                    let Some(shard) = named(name) else { continue };
                    let params = DeleteParams {
                        preconditions: Some(Preconditions {
                            uid: shard.uid(),
                            resource_version: shard.resource_version(),
                        }),
                        ..DeleteParams::background()
                    };
                    let what = format!("delete {name}");
                    write(&self.context.leadership, &what, self.shards().delete(name, &params)).await?;
                }
            }
        }
        Ok(())
    }

    fn shards(&self) -> Api<JitsiShard> {
        Api::namespaced(self.context.client.clone(), &self.model.namespace)
    }

    /// A shard as it is applied. Whether it drains is written apart, so that it survives a change of the template.
    fn document(&self, name: &str, (spec, revision): (JitsiShardSpec, String)) -> Value {
        let owner = self.jitsi.controller_owner_ref(&());
        let mut spec = serde_json::to_value(spec).unwrap_or_default();
        // Written apart, as draining is.
        spec.as_object_mut().map(|spec| spec.remove("paused"));
        let mut document: Value = json!({
            "apiVersion": JitsiShard::api_version(&()),
            "kind": JitsiShard::kind(&()),
            "metadata": {
                "name": name,
                "labels": {
                    "app.kubernetes.io/name": "jitsi",
                    "app.kubernetes.io/instance": name,
                    "app.kubernetes.io/component": "shard",
                    "app.kubernetes.io/managed-by": "roompin-controller",
                    "app.kubernetes.io/part-of": "jitsi",
                    JITSI_LABEL: self.model.name,
                    SHARD_LABEL: name,
                    SIGNALLING_REVISION: revision,
                },
                "ownerReferences": [owner],
            },
            "spec": spec,
        });
        let checksum = build::checksum(&document);
        document["metadata"]["annotations"] = json!({ apply::CHECKSUM: checksum });
        document
    }

    /// Writes a shard as it should be: on the version that was read, or new.
    async fn put(&self, name: &str, old: Option<&JitsiShard>, region: Option<&str>) -> Result<(), Error> {
        let mut document = self.document(name, self.meant(region));
        if let Some(old) = old {
            document["metadata"]["resourceVersion"] = json!(old.resource_version());
        }
        let params = PatchParams::apply(MANAGER).force();
        let what = format!("apply JitsiShard {name}");
        let patch = Patch::Apply(&document);
        write(&self.context.leadership, &what, self.shards().patch(name, &params, &patch)).await?;
        Ok(())
    }
}
