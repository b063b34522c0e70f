//! Carrying out what was decided, one pod at a time. What fails is done in the next look; the rest is done all the same.

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};

use super::{super::status::MANAGER, Error, PORT, Recorder, Tend, by_uid};
use crate::{
    api::GroupKind,
    apply::{self, read, write},
    build::{self, RecorderPlace},
    observe::recorder::{addresses, label, report},
    plan::{
        Note,
        recorders::{Action, Why, mark},
        report::{Busy, Report},
    },
    rest::audit::{self, Entry},
};

/// Pods written at a time.
const AT_ONCE: usize = 8;

/// Notes first, then deletes, then creates. The first error is what is told.
pub(super) async fn act(
    tend: &Tend<'_>,
    kind: GroupKind,
    found: &[Recorder],
    actions: Vec<Action>,
    notes: &mut Vec<Note>,
) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(tend.context.client.clone(), &tend.model.namespace);
    let mut marks = Vec::new();
    let (mut deletes, mut creates) = (Vec::new(), Vec::new());
    for action in actions {
        match action {
            Action::Mark { uid, busy, .. } => marks.push((uid, busy)),
            Action::Delete { name, uid, why } => deletes.push((name, uid, why)),
            Action::Create { name, protected_until } => creates.push((name, protected_until)),
            Action::Note(note) => notes.push(note),
        }
    }
    let mut trouble = mark_all(tend, &api, found, &marks, notes).await.err();
    let (mut ended, mut made) = (Vec::new(), Vec::new());
    for (name, uid, why) in deletes {
        match delete(tend, &api, &name, &uid, why).await {
            Ok(true) => {
                tracing::info!(recorder = name, why = why.label(), "a recorder is deleted");
                ended.push(name);
            }
            Ok(false) => tracing::debug!(recorder = name, why = why.label(), "a recorder stays, it has changed"),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    for (name, protected_until) in creates {
        let webhook = tend.context.defaults.webhook.as_ref();
        let place = RecorderPlace { name: &name, webhook, protected_until, unsettled: !tend.settled };
        let Some(pod) = build::recorder(tend.model, kind, &place) else { continue };
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let created = api.create(&params, &pod);
        match write(&tend.context.leadership, &format!("create Pod {name}"), created).await {
            Ok(_) => {
                notes.push(Note::normal("RecorderCreated", format!("Recorder {name} is made.")));
                made.push(name);
            }
            // Somebody else was quicker: the next look sees what it is.
            Err(error) if error.is_conflict() => {}
            Err(error) => trouble = trouble.or(Some(error.into())),
        }
    }
    let count = i32::try_from(found.len()).unwrap_or(i32::MAX);
    let desired = tend.before(kind).map_or(count, |group| group.desired);
    let mut entries = Vec::new();
    if !made.is_empty() {
        entries.push(Entry::Launched { instances: made, count, desired });
    }
    if !ended.is_empty() {
        entries.push(Entry::Ended { instances: ended });
    }
    audit::record(tend.context, tend.shard, kind, tend.now, &entries).await;
    trouble.map_or(Ok(()), Err)
}

/// Notes on each pod what it does and what it answered, where that is news.
async fn mark_all(
    tend: &Tend<'_>,
    api: &Api<Pod>,
    found: &[Recorder],
    marks: &[(String, Busy)],
    notes: &mut Vec<Note>,
) -> Result<(), Error> {
    let known = by_uid(found);
    let written: std::collections::BTreeMap<_, _> =
        tend.pods.iter().map(|pod| (pod.uid().unwrap_or_default(), report(pod))).collect();
    let mut patches = Vec::new();
    for one in found.iter().filter(|one| !one.deleting) {
        let busy = marks.iter().find(|(uid, _)| *uid == one.uid).map(|(_, busy)| *busy);
        // Only news: that it is still there is seen by asking it, and its own reports say so to everybody.
        let old = written.get(&one.uid).and_then(Option::as_ref);
        let said = one.answer.as_ref().filter(|answer| old.is_none_or(|old| mark::differs(old, answer)));
        if busy.is_some() || said.is_some() {
            patches.push(mark_one(tend, api, one, busy, said));
        }
    }
    let answers: Vec<_> = stream::iter(patches).buffered(AT_ONCE).collect().await;
    let mut trouble = None;
    for (one, busy, answer) in answers {
        match answer {
            Ok(_) if busy == Some(Busy::Busy) => {
                let before = known.get(one.uid.as_str()).and_then(|one| one.label);
                tracing::info!(recorder = one.name, ?before, "a recorder records");
                notes.push(Note::normal(
                    "RecorderIsolated",
                    format!("Recorder {} records, and is left alone.", one.name),
                ));
            }
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => trouble = trouble.or(Some(error.into())),
        }
    }
    trouble.map_or(Ok(()), Err)
}

async fn mark_one<'a>(
    tend: &Tend<'_>,
    api: &Api<Pod>,
    one: &'a Recorder,
    busy: Option<Busy>,
    said: Option<&Report>,
) -> (&'a Recorder, Option<Busy>, Result<Pod, apply::Error>) {
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(mark::patch(&one.uid, busy, said));
    let what = format!("label Pod {}", one.name);
    let answer = write(&tend.context.leadership, &what, api.patch(&one.name, &params, &patch)).await;
    (one, busy, answer)
}

/// Deletes exactly this pod. One that only is too many is looked at and asked once more, and goes only if nobody has written
/// on its pod since. Should it be taken in the moment that is left, its hook before the stop lets it record to the end.
async fn delete(tend: &Tend<'_>, api: &Api<Pod>, name: &str, uid: &str, why: Why) -> Result<bool, Error> {
    let mut version = None;
    if why.careful() {
        let Some(pod) = read("get a recorder", api.get_opt(name)).await? else { return Ok(false) };
        let same = pod.uid().as_deref() == Some(uid) && pod.metadata.deletion_timestamp.is_none();
        if !same || !is_free(tend, &pod).await {
            return Ok(false);
        }
        version = pod.resource_version();
    }
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: version }),
        // Its node is gone: there is nobody to see it off.
        grace_period_seconds: (why == Why::NodeGone).then_some(0),
        ..DeleteParams::default()
    };
    match write(&tend.context.leadership, &format!("delete Pod {name}"), api.delete(name, &params)).await {
        Ok(_) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// It says that it is idle; or it never said a word, and does not answer, because it has not come up.
async fn is_free(tend: &Tend<'_>, pod: &Pod) -> bool {
    if label(pod) == Some(Busy::Busy) {
        return false;
    }
    let address = addresses(pod).first().copied();
    let answer = match address {
        Some(ip) => tend.context.media.recorder(&ip.to_string(), PORT).await.ok(),
        None => None,
    };
    match answer {
        Some(report) => report.busy == Some(Busy::Idle),
        None => label(pod).is_none() && report(pod).is_none(),
    }
}

/// It is not there any more, or is another one by now, or somebody has written on it: the next look sees what is.
fn is_gone(error: &apply::Error) -> bool {
    let not_found = matches!(error, apply::Error::Api { source, .. }
        if matches!(&**source, kube::Error::Api(status) if status.is_not_found()));
    not_found || error.is_conflict()
}
