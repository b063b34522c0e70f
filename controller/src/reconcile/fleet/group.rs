//! What bridges and gateways have in common: ask every pod, decide how many and which, show it, carry it out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Tend, sight};
use crate::{
    api::{GroupKind, GroupStatus},
    plan::{
        Note,
        bridges::{self, Bridge, FRESH, Memory, Plan, Rules, Stand, State},
        group::{GroupModel, Look, Options, Sample, decide, memory_of, remember},
        report::Report,
    },
    rest::audit,
};

/// An answer is not asked for again for so long, however often something changes meanwhile.
const PAUSE: Duration = Duration::from_secs(5);
/// Requests under way at a time.
const AT_ONCE: usize = 64;

/// One group, as it is meant.
pub(super) struct Group<'a> {
    pub(super) kind: GroupKind,
    pub(super) numbers: GroupModel,
    /// Annotations of the user's on its pods.
    pub(super) users: &'a BTreeMap<String, String>,
    /// The fingerprint of what its pods are made from.
    pub(super) revision: String,
    /// Shards that each of its pods serves besides its own.
    pub(super) serves: Vec<String>,
    /// The number comes later.
    pub(super) rules: Rules,
}

/// The numbers of a group that is not wanted any more: its pods go as all others do, each when nobody is on it.
pub(super) fn retired(numbers: &GroupModel) -> GroupModel {
    let options = Options { min: 0, max: 0, ..numbers.options };
    GroupModel { options, autoscale: false, launch: true, schedule: None, word: None, ..numbers.clone() }
}

/// One pod after it was asked.
pub(super) struct Member<'a> {
    pub(super) pod: &'a Pod,
    pub(super) bridge: Bridge,
    pub(super) state: State,
    pub(super) people: Option<u64>,
    /// What it answered this time.
    pub(super) answer: Option<Report>,
}

/// What a look at a group comes to.
pub(super) struct Seen<'a> {
    pub(super) members: Vec<Member<'a>>,
    pub(super) plan: Plan,
    pub(super) notes: Vec<Note>,
    pub(super) status: GroupStatus,
    /// What changed about the number, for the audit.
    pub(super) scaled: Option<audit::Entry>,
}

/// Looks at a group, and changes nothing.
pub(super) async fn look<'a>(tend: &Tend<'a>, group: &Group<'_>) -> Seen<'a> {
    let pods: Vec<&Pod> = tend.pods_of(group.kind).collect();
    let mut answers = ask(tend, group.kind, &pods).await;
    let names: Vec<&str> = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let nodes = tend.context.fleet.nodes.look(tend.context, &names, tend.now).await;
    let wanted = sight::Wanted { revision: &group.revision, serves: &group.serves, settled: tend.settled };
    let bridges: Vec<Bridge> = pods
        .iter()
        .map(|pod| {
            let answer = answers.get(pod.metadata.uid.as_deref().unwrap_or_default()).cloned();
            sight::bridge(pod, answer, &wanted, &nodes)
        })
        .collect();

    let samples = samples(tend, group, &bridges);
    let before = tend.before(group.kind);
    let memory = before.map(memory_of).unwrap_or_default();
    let decision = decide(&Look {
        model: &group.numbers,
        memory: &memory,
        count: bridges::counts(&bridges, tend.now).counted(),
        busy: 0,
        samples: &samples,
        now: tend.now,
    });
    let options = decision.options;
    // Nobody follows load in a fixed group, so its number says nothing about room: one more is for a replacement.
    let surge = i32::from(!group.numbers.autoscale && options.min == options.max);
    let rules = Rules {
        desired: decision.desired,
        max: options.max.max(decision.desired).saturating_add(surge),
        ..group.rules.clone()
    };
    let plan = bridges::plan(&rules, &bridges, tend.now);

    let mut status = GroupStatus {
        kind: group.kind,
        count: plan.counts.counted(),
        ready: plan.counts.active,
        starting: plan.counts.starting,
        draining: plan.counts.draining + plan.counts.stopping,
        stress: stress(&bridges, &plan.stands, tend.now),
        why: Some(
            plan.waiting
                .first()
                .map_or_else(|| decision.why.clone(), |what| format!("{}; waits for {what}", decision.why)),
        ),
        limited: limited(&rules, &plan, &bridges, options.max),
        ..GroupStatus::default()
    };
    remember(&decision.memory, &mut status);
    let members = pods
        .into_iter()
        .zip(bridges)
        .map(|(pod, bridge)| {
            let state = plan.stands.get(&bridge.name).copied().unwrap_or(State::Starting);
            let people = Stand { bridge: &bridge, state, fresh: fresh(&bridge, tend.now) }.people();
            Member { answer: answers.remove(&bridge.uid), pod, state, people, bridge }
        })
        .collect();
    let change = decision.change.as_ref();
    let scaled = change.map(|change| audit::Entry::scaled(change, plan.counts.counted(), &decision.why));
    let mut notes = decision.notes;
    notes.extend(tend.context.fleet.begun(uid_of(tend), group.kind, &plan.lasting));
    Seen { members, plan, notes, status, scaled }
}

fn uid_of<'a>(tend: &Tend<'a>) -> &'a str {
    let shard = tend.shard;
    shard.metadata.uid.as_deref().unwrap_or_default()
}

/// What a pod last said, if that says something about now.
fn fresh(bridge: &Bridge, now: Timestamp) -> Option<&Report> {
    let age = |report: &Report| report.at.and_then(|at| Duration::try_from(now.duration_since(at).abs()).ok());
    bridge.report.as_ref().filter(|report| age(report).is_some_and(|age| age <= FRESH))
}

/// Asks every pod that runs, unless it has just been asked. Who does not answer is not in the answer.
async fn ask(tend: &Tend<'_>, kind: GroupKind, pods: &[&Pod]) -> BTreeMap<String, Report> {
    let shard = uid_of(tend);
    let fleet = &tend.context.fleet;
    let mut known = BTreeMap::new();
    let mut due = Vec::new();
    for pod in pods {
        let uid = pod.uid().unwrap_or_default();
        match fleet.answer(shard, kind, &uid, tend.now, PAUSE) {
            Some(answer) => known.extend(answer.map(|answer| (uid, answer))),
            None => due.extend(sight::address(pod).map(|ip| (uid, ip))),
        }
    }
    let media = &*tend.context.media;
    let asked = stream::iter(due.into_iter().map(|(uid, ip)| async move {
        let answer = match kind {
            GroupKind::Jigasi => media.gateway(&ip).await,
            _ => media.bridge(&ip).await,
        };
        (uid, answer)
    }));
    let asked: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    let there: Vec<String> = pods.iter().filter_map(|pod| pod.uid()).collect();
    let mut new = Vec::new();
    for (uid, answer) in asked {
        let report = match answer {
            Ok(report) => Some(Report { at: Some(tend.now), ..report }),
            Err(why) => {
                tracing::debug!(pod = uid, why, "no report");
                None
            }
        };
        new.push((uid.clone(), tend.now, report.clone()));
        known.extend(report.map(|report| (uid, report)));
    }
    fleet.keep(shard, kind, &there, new);
    known
}

/// Load of those that take work, as far back as the periods reach.
fn samples(tend: &Tend<'_>, group: &Group<'_>, bridges: &[Bridge]) -> Vec<Sample> {
    // As the autoscaler has it: not of one that starts, and not of one on its way out.
    let works = |bridge: &&Bridge| bridge.pod == bridges::Pod::Ready && !bridge.deleting && !is_leaving(bridge);
    let new = bridges.iter().filter(works).filter_map(|bridge| {
        let report = bridge.report.as_ref()?;
        Some(Sample { instance: bridge.uid.clone(), at: report.at?, value: report.stress? })
    });
    let shard = uid_of(tend);
    tend.context.fleet.samples(shard, group.kind, new.collect(), tend.now, reach(&group.numbers))
}

/// It was told to drain or to end, by us or by somebody else.
fn is_leaving(bridge: &Bridge) -> bool {
    let says = |report: &Report| report.graceful_shutdown == Some(true) || report.shutting_down == Some(true);
    let Memory { drain_since, shutdown_since, .. } = bridge.memory;
    drain_since.is_some() || shutdown_since.is_some() || bridge.report.as_ref().is_some_and(says)
}

/// How far back the periods reach, whichever numbers are in force; one more for the gap in the oldest.
fn reach(numbers: &GroupModel) -> Duration {
    let options = numbers.options;
    let mut period = options.period;
    let mut count = options.up_periods.max(options.down_periods);
    for other in numbers.schedule.iter().flat_map(|schedule| &schedule.periods).map(|period| &period.scaling_options) {
        let seconds = other.scale_period.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
        period = period.max(Duration::from_secs(seconds));
        for periods in [other.scale_up_periods_count, other.scale_down_periods_count].into_iter().flatten() {
            count = count.max(periods.unsigned_abs());
        }
    }
    period.saturating_mul(count.saturating_add(2))
}

/// Mean stress of those that take work.
fn stress(bridges: &[Bridge], stands: &BTreeMap<String, State>, now: Timestamp) -> Option<String> {
    let working = bridges.iter().filter(|bridge| stands.get(&bridge.name) == Some(&State::Active));
    let all: Vec<f64> = working.filter_map(|bridge| fresh(bridge, now)?.stress).collect();
    #[allow(clippy::cast_precision_loss, reason = "a thousand at most")]
    let number = all.len() as f64;
    (!all.is_empty()).then(|| format!("{:.2}", all.iter().sum::<f64>() / number))
}

/// What keeps the group from having as many as it should.
fn limited(rules: &Rules, plan: &Plan, bridges: &[Bridge], max: i32) -> Option<String> {
    if plan.counts.counted() >= rules.desired {
        let unplaced = bridges.iter().filter(|one| matches!(one.pod, bridges::Pod::Unschedulable(_))).count();
        return (unplaced > 0).then(|| format!("no node fits for {unplaced} of {}", rules.desired));
    }
    if !rules.launch {
        return Some("launching is switched off".to_owned());
    }
    (plan.counts.living() >= max && plan.counts.living() > plan.counts.counted())
        .then(|| format!("those on their way out count towards the {max} that there may be"))
}
