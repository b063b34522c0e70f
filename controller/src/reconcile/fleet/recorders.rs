//! Recorders of both kinds: every pod is looked at and asked, what it does is noted on it, and what is missing or over is put right.
//!
//! The leader does this for all of them. What a recorder itself reports is noted by whichever replica hears it
//! ([`crate::rest::webhook`]); here is the sweeper that finds what was never reported.

mod act;

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};

use super::{Error, Tend};
use crate::{
    api::{GroupKind, GroupStatus},
    build,
    media::recorder::PORT,
    observe::recorder::{addresses, recorder},
    plan::{
        group::{self, Basis, Sample},
        recorders::{self, Action, Recorder, Rules, SILENCE, Sight, Tally},
        report::Report,
    },
};

/// Recorders asked at a time.
const AT_ONCE: usize = 16;
/// What the status says while nobody can be heard.
const DEAF: &str = "no recorder reports or answers";

/// Looks after both kinds of recorders.
pub(super) async fn tend(tend: &Tend<'_>) -> Result<Vec<GroupStatus>, Error> {
    let mut groups = Vec::new();
    for kind in [GroupKind::Jibri, GroupKind::SipJibri] {
        groups.extend(tend_kind(tend, kind).await?);
    }
    Ok(groups)
}

async fn tend_kind(tend: &Tend<'_>, kind: GroupKind) -> Result<Option<GroupStatus>, Error> {
    let wanted = build::recorders_of(tend.model, kind);
    let found = observe(tend, kind).await;
    if wanted.is_none() && found.is_empty() {
        return Ok(None);
    }
    let (sights, tally) = recorders::look(&found, tend.now);
    let (rules, status, mut notes) = match wanted {
        Some(recorders) => decide(tend, &recorders.group, &found, &sights, tally),
        // They are not wanted any more: who records may end, the others go.
        None => (Rules { desired: 0, max: 0, launch: true, protect_until: None }, None, Vec::new()),
    };
    let prefix = build::name(&tend.model.name, kind.into());
    let mut actions = recorders::plan(&prefix, &found, &sights, tally, &rules, tend.now);
    let told = tend.before(kind).is_some_and(|before| before.why.as_deref() == Some(DEAF));
    actions.retain(|action| !matches!(action, Action::Note(note) if told && note.reason == "RecordersUnreachable"));
    let acted = act::act(tend, kind, &found, actions, &mut notes).await;
    tend.context.events.publish(&tend.shard.object_ref(&()), &notes).await;
    acted?;
    Ok(status)
}

/// All pods of this kind, with what they answer.
async fn observe(tend: &Tend<'_>, kind: GroupKind) -> Vec<Recorder> {
    let revision = build::recorder_revision(tend.model, kind);
    // While a change is held back, nothing is old: what would take its place would read the old environment too.
    let revision = revision.as_deref().filter(|_| tend.settled);
    let now = tend.now;
    let mut asked = Vec::new();
    for pod in tend.pods_of(kind) {
        asked.push(ask(tend, pod, revision));
    }
    let mut found: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let node_of = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let places: BTreeMap<_, _> =
        tend.pods_of(kind).filter_map(|pod| Some((pod.uid().unwrap_or_default(), node_of(pod)?))).collect();
    let names: Vec<_> = places.values().map(String::as_str).collect();
    let nodes = tend.context.fleet.nodes.look(tend.context, &names, now).await;
    for one in &mut found {
        let Some(node) = places.get(&one.uid).and_then(|name| nodes.get(name)) else { continue };
        (one.lost, one.cordoned) = (node.gone, node.cordoned);
        one.unreachable = node.silent_since.is_some();
    }
    let (memory, shard) = (&tend.context.fleet, tend.shard.uid().unwrap_or_default());
    for one in &mut found {
        // One answer that is missing is no silence: what it answered a moment ago still counts, as a report does.
        let before = memory.answer(&shard, kind, &one.uid, now, SILENCE).flatten();
        let newer = |before: &Report| one.report.as_ref().is_none_or(|report| report.at < before.at);
        if let Some(before) = before.filter(newer) {
            one.report = Some(before);
        }
    }
    let there: Vec<_> = found.iter().map(|one| one.uid.clone()).collect();
    let answers = found.iter().filter_map(|one| Some((one.uid.clone(), now, Some(one.answer.clone()?))));
    memory.keep(&shard, kind, &there, answers.collect::<Vec<_>>());
    found
}

async fn ask(tend: &Tend<'_>, pod: &Pod, revision: Option<&str>) -> Recorder {
    let mut one = recorder(pod, revision);
    let address = addresses(pod).first().copied().filter(|_| !one.deleting);
    if let Some(ip) = address
        && let Ok(report) = tend.context.media.recorder(&ip.to_string(), PORT).await
    {
        one.answer = Some(Report { at: Some(tend.now), ..report });
    }
    one
}

/// How many there should be, and what the status says.
fn decide(
    tend: &Tend<'_>,
    model: &group::GroupModel,
    found: &[Recorder],
    sights: &[Sight],
    tally: Tally,
) -> (Rules, Option<GroupStatus>, Vec<crate::plan::Note>) {
    let kind = model.kind;
    let before = tend.before(kind);
    let memory = before.map(group::memory_of).unwrap_or_default();
    let samples = samples(tend, model, found, sights);
    let decision = group::decide(&group::Look {
        model,
        memory: &memory,
        count: tally.count(),
        busy: tally.taken(),
        samples: &samples,
        now: tend.now,
    });
    let rules = Rules {
        desired: decision.desired,
        max: decision.options.max,
        launch: model.launch,
        protect_until: model
            .protect_launches_until
            .filter(|until| tend.now < *until)
            .and_then(|_| tend.now.checked_add(model.protected).ok()),
    };
    let mut status = GroupStatus {
        kind,
        count: tally.count(),
        ready: tally.spare + tally.busy,
        starting: tally.starting,
        draining: tally.leaving,
        idle: tally.spare,
        busy: tally.busy,
        why: Some(if tally.deaf { DEAF.to_owned() } else { decision.why }),
        ..GroupStatus::default()
    };
    group::remember(&decision.memory, &mut status);
    (rules, Some(status), decision.notes)
}

/// What was free and what was not, in the periods that count. Of silent ones nothing is known, so they are not in it.
fn samples(tend: &Tend<'_>, model: &group::GroupModel, found: &[Recorder], sights: &[Sight]) -> Vec<Sample> {
    if model.spares.is_some() || model.basis != Basis::Availability {
        return Vec::new();
    }
    let value = |sight: &Sight| match sight {
        Sight::Spare => Some(1.0),
        Sight::Busy | Sight::Unwell => Some(0.0),
        Sight::Starting | Sight::Unknown | Sight::Leaving | Sight::Over(_) => None,
    };
    let new = found
        .iter()
        .zip(sights)
        .filter(|(one, _)| one.answer.is_some())
        .filter_map(|(one, sight)| Some(Sample { instance: one.uid.clone(), at: tend.now, value: value(sight)? }));
    let periods = model.options.up_periods.max(model.options.down_periods).saturating_add(1);
    let keep = model.options.period.saturating_mul(periods).max(Duration::from_secs(60));
    let shard = tend.shard.uid().unwrap_or_default();
    tend.context.fleet.samples(&shard, model.kind, new.collect(), tend.now, keep)
}

/// The pods of this look by uid.
fn by_uid(found: &[Recorder]) -> BTreeMap<&str, &Recorder> {
    found.iter().map(|one| (one.uid.as_str(), one)).collect()
}
