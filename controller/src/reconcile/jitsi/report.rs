//! What a Jitsi's status says.

use kube::ResourceExt;

use super::Step;
use crate::{
    api::{Counts, JitsiShard, JitsiStatus, Phase, ShardSummary},
    build::{Component, jitsi_selector},
    observe,
    plan::shards::{Plan, Shard},
    status::{Fact, conditions, holds, kinds},
};

impl Step<'_> {
    pub(super) fn status(&self, view: &[Shard], plan: &Plan) -> JitsiStatus {
        let old = self.jitsi.status.clone().unwrap_or_default();
        let owned: Vec<_> = self.all.iter().filter(|shard| self.owns(shard)).collect();
        let number = |pick: &dyn Fn(&Shard) -> bool| {
            i32::try_from(view.iter().filter(|shard| pick(shard)).count()).unwrap_or(i32::MAX)
        };
        let leaving = |shard: &Shard| shard.drain || shard.deleting;
        // A paused shard's phase says that it is paused; its conditions still tell whether it takes conferences.
        let takes = |shard: &Shard| {
            let mut all = owned.iter().filter(|one| one.name_any() == shard.name).filter_map(|one| one.status.as_ref());
            all.any(|status| holds(&status.conditions, kinds::READY))
        };
        let ready = number(&|shard| {
            let up = shard.phase == Some(Phase::Ready) || (self.model.paused && takes(shard));
            up && !leaving(shard)
        });
        let settled = plan.actions.is_empty() && plan.waiting_for.is_none();
        let enough = usize::try_from(ready).unwrap_or_default() >= self.model.shards;
        let phase = match (self.model.paused, settled, enough) {
            (true, _, _) => Phase::Paused,
            (_, true, true) => Phase::Ready,
            (_, _, _) if ready == 0 && old.ready_shards == 0 && self.model.shards > 0 => Phase::Starting,
            (_, _, _) if ready == 0 && self.model.shards > 0 => Phase::Degraded,
            _ => Phase::Progressing,
        };
        let waiting_for = if self.model.paused {
            None
        } else if let (true, None) = (!plan.actions.is_empty(), &plan.waiting_for) {
            Some("its shards to follow what was just decided".to_owned())
        } else {
            plan.waiting_for.clone()
        };
        let proxies: Option<Counts> = observe::counts(&self.live, &self.model.name, Component::Proxy);
        let summaries: Vec<ShardSummary> = owned
            .iter()
            .map(|shard| {
                let status = shard.status.clone().unwrap_or_default();
                let name = shard.name_any();
                ShardSummary {
                    up_to_date: view.iter().any(|one| one.name == name && one.current && !one.differs),
                    name,
                    phase: status.phase,
                    region: status.region,
                    conferences: status.conferences,
                }
            })
            .collect();
        // Unknown on one is unknown in sum.
        let conferences = summaries.iter().map(|summary| summary.conferences).sum::<Option<i64>>();
        let revision = Some(env!("CARGO_PKG_VERSION").to_owned());
        JitsiStatus {
            observed_generation: self.jitsi.metadata.generation,
            phase: Some(phase),
            waiting_for: waiting_for.clone(),
            shards: i32::try_from(owned.len()).unwrap_or(i32::MAX),
            ready_shards: ready,
            draining_shards: number(&leaving),
            updated_shards: number(&|shard| shard.current && !shard.differs),
            conferences,
            selector: Some(jitsi_selector(&self.model.name)),
            proxies,
            shard_statuses: summaries,
            last_applied_revision: if phase == Phase::Ready { revision.clone() } else { old.last_applied_revision },
            last_attempted_revision: revision,
            conditions: conditions(
                &old.conditions,
                self.facts(&owned, phase, ready, waiting_for.as_deref()),
                self.jitsi.metadata.generation,
                self.context.now(),
            ),
        }
    }

    fn facts(&self, owned: &[&JitsiShard], phase: Phase, ready: i32, waiting: Option<&str>) -> Vec<Fact> {
        let wanted = self.model.shards;
        let sentence = match waiting {
            Some(waiting) => format!("{ready} of {wanted} shards are ready; waiting for {waiting}."),
            None => format!("{ready} of {wanted} shards are ready."),
        };
        let all_ready = usize::try_from(ready).unwrap_or_default() >= wanted;
        let of_shards = |kind: &'static str| {
            let holding = owned.iter().filter(|shard| {
                let conditions = shard.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
                conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
            });
            let number = holding.count();
            let holds = number > 0 || wanted == 0;
            let reason = if holds { "Available" } else { "NoneAvailable" };
            Fact::new(kind, holds, reason, format!("So it is on {number} of {} shards.", owned.len()))
        };
        vec![
            Fact::new(kinds::READY, all_ready, if all_ready { "ShardsReady" } else { "ShardsMissing" }, sentence),
            of_shards(kinds::SIGNALLING),
            of_shards(kinds::BRIDGES),
            of_shards(kinds::RECORDERS),
            match (phase, waiting) {
                (Phase::Paused, _) | (_, None) => {
                    Fact::new(kinds::PROGRESSING, false, "Settled", "Nothing is being changed.")
                }
                (_, Some(waiting)) => {
                    Fact::new(kinds::PROGRESSING, true, "Changing", format!("Waiting for {waiting}."))
                }
            },
            if self.model.paused {
                Fact::new(kinds::PAUSED, true, "Asked", "spec.paused: nothing is changed.")
            } else {
                Fact::new(kinds::PAUSED, false, "NotAsked", "It is looked after.")
            },
        ]
    }
}
