//! What a JitsiShard's status says.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::Step;
use crate::{
    api::{Counts, GroupKind, Phase, ShardState, ShardStatus},
    build::{Component, signalling_revision},
    observe,
    plan::{
        Note,
        drain::{self, Progress},
        shard::{self, Signalling, View},
    },
    status::{Fact, conditions, kinds},
};

impl Step<'_> {
    pub(super) fn status(
        &self,
        view: &View,
        drain: &drain::Outcome,
        state: Option<ShardState>,
        held: &Signalling,
    ) -> ShardStatus {
        let name = self.shard.name_any();
        // Of the groups where there are any, of workloads otherwise.
        let counts = |kind: GroupKind, component: Component| {
            let group = self.status_groups().find(|group| group.kind == kind);
            group
                .map(|group| Counts { desired: group.desired, ready: group.ready })
                .or_else(|| observe::counts(&self.live, &name, component))
        };
        let (bridges, recorders) = (counts(GroupKind::Jvb, Component::Jvb), counts(GroupKind::Jibri, Component::Jibri));
        let mut phase = shard::phase(view, &drain.progress);
        let mut waiting_for = match &drain.progress {
            Progress::Waiting(why) => Some(why.clone()),
            Progress::Drained | Progress::Overdue(_) => None,
            Progress::Idle if phase == Phase::Pending => Some("its objects to be made".to_owned()),
            Progress::Idle if !view.answers.all() && phase != Phase::Paused => {
                Some(format!("{} to have a ready pod", view.answers.missing()))
            }
            Progress::Idle => None,
        };
        if let (Signalling::Hold(why), true) = (held, waiting_for.is_none()) {
            waiting_for = Some(why.clone());
        }
        let mut facts = self.facts(view, drain, held, bridges.as_ref(), recorders.as_ref());
        if let Err(invalid) = &self.model
            && !view.draining
        {
            phase = Phase::Invalid;
            waiting_for = Some(format!("a spec that can be carried out: {invalid}"));
            facts[0] = Fact::new(kinds::READY, false, "Invalid", invalid.to_string());
        }
        let reports = self.reports.as_ref();
        let asked = |count: fn(&drain::ProxyShard) -> u64| {
            let reports = reports.filter(|reports| reports.proxies.iter().any(|proxy| proxy.ready))?;
            let answers: Option<Vec<_>> =
                reports.proxies.iter().filter(|proxy| proxy.ready).map(|proxy| proxy.answer.clone().ok()).collect();
            let most = answers?.iter().flatten().map(count).max().unwrap_or_default();
            i64::try_from(most).ok()
        };
        let applied = match (held, &self.model) {
            (Signalling::Apply, Ok(model)) if !view.paused => Some(signalling_revision(model)),
            _ => self.status.signalling_revision.clone(),
        };
        ShardStatus {
            observed_generation: self.shard.metadata.generation,
            phase: Some(phase),
            waiting_for,
            region: self.model.as_ref().ok().map(|model| model.region.clone()).or_else(|| self.status.region.clone()),
            conferences: reports.and_then(|reports| i64::try_from(*reports.conferences.as_ref().ok()?).ok()),
            rooms: asked(|shard| shard.rooms),
            tunnels: asked(|shard| shard.tunnels),
            bridges,
            recorders,
            // Those are the other loop's.
            groups: Vec::new(),
            state: state.or(self.status.state),
            drain_started_at: drain.memory.started.map(Time),
            drain_deadline_at: drain.deadline_at.map(Time),
            empty_since: drain.memory.quiet_since.map(Time),
            signalling_revision: applied,
            conditions: conditions(&self.status.conditions, facts, self.shard.metadata.generation, view.now),
        }
    }

    fn facts(
        &self,
        view: &View,
        drain: &drain::Outcome,
        held: &Signalling,
        bridges: Option<&Counts>,
        recorders: Option<&Counts>,
    ) -> Vec<Fact> {
        let up = view.answers.all();
        let silent = || format!("No pod of {} is ready.", view.answers.missing());
        let ready = match &drain.progress {
            Progress::Idle if up => Fact::new(kinds::READY, true, "Answers", "It takes conferences."),
            Progress::Idle => Fact::new(kinds::READY, false, "NoAnswer", silent()),
            Progress::Waiting(why) => {
                Fact::new(kinds::READY, false, "Draining", format!("It drains, waiting for {why}."))
            }
            Progress::Drained => Fact::new(kinds::READY, false, "Drained", "Nobody is on it any more."),
            Progress::Overdue(cut) => {
                Fact::new(kinds::READY, false, "DrainDeadlineExceeded", format!("Its deadline has passed, with {cut}."))
            }
        };
        let signalling = if up {
            Fact::new(kinds::SIGNALLING, true, "Answers", "Web, prosody and jicofo have ready pods.")
        } else {
            Fact::new(kinds::SIGNALLING, false, "NoAnswer", silent())
        };
        let some = |kind, what: &str, counts: Option<&Counts>| match counts {
            Some(counts) if counts.ready > 0 => {
                Fact::new(kind, true, "Available", format!("{} of {} {what} are ready.", counts.ready, counts.desired))
            }
            Some(counts) if counts.desired > 0 => {
                Fact::new(kind, false, "NoneReady", format!("None of {} {what} is ready.", counts.desired))
            }
            Some(_) => Fact::new(kind, false, "None", format!("There are no {what}.")),
            None => Fact::new(kind, None, "Unknown", format!("The {what} are not made yet.")),
        };
        let wants_recorders = self.model.as_ref().is_ok_and(|model| model.recorders.is_some());
        let recorders = if wants_recorders {
            some(kinds::RECORDERS, "recorders", recorders)
        } else {
            Fact::new(kinds::RECORDERS, true, "NotWanted", "Recording is off.")
        };
        let progressing = match (held, &drain.progress) {
            (Signalling::Hold(why), _) => {
                Fact::new(kinds::PROGRESSING, true, "HeldBack", format!("A change waits for {why}."))
            }
            (_, Progress::Waiting(_)) => Fact::new(kinds::PROGRESSING, true, "Draining", "It drains."),
            _ if !up && view.told.is_none() => Fact::new(kinds::PROGRESSING, true, "Starting", silent()),
            _ => Fact::new(kinds::PROGRESSING, false, "Settled", "Nothing is being changed."),
        };
        let paused = if view.paused {
            Fact::new(kinds::PAUSED, true, "Asked", "spec.paused: nothing is changed.")
        } else {
            Fact::new(kinds::PAUSED, false, "NotAsked", "It is looked after.")
        };
        let limits: Vec<String> = self
            .status_groups()
            .filter_map(|group| Some(format!("{}: {}", group.kind.as_str(), group.limited.as_ref()?)))
            .collect();
        let limited = if limits.is_empty() {
            Fact::new(kinds::LIMITED, false, "NotLimited", "Every group has room for what it needs.")
        } else {
            Fact::new(kinds::LIMITED, true, "Limited", format!("{}.", limits.join("; ")))
        };
        vec![ready, signalling, some(kinds::BRIDGES, "bridges", bridges), recorders, limited, progressing, paused]
    }

    pub(super) fn notes(&self, status: &ShardStatus) -> Vec<Note> {
        if status.phase == self.status.phase {
            return Vec::new();
        }
        match status.phase {
            Some(Phase::Ready) => vec![Note::normal("Ready", "It takes conferences.")],
            Some(Phase::Degraded) => {
                vec![Note::warning("NoAnswer", format!("No pod of {} is ready.", self.answers.missing()))]
            }
            Some(Phase::Invalid) => {
                vec![Note::warning("Invalid", status.waiting_for.clone().unwrap_or_default())]
            }
            _ => Vec::new(),
        }
    }
}
