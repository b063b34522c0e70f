//! What the leader has heard lately. Nothing of it has to outlive the process: without it nothing is decided by load
//! until the periods are full again.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::nodes::Nodes;
use crate::{
    api::GroupKind,
    plan::{
        Note,
        group::{Sample, Samples},
        report::Report,
    },
};

/// What the leader has heard of the groups, by the shard's uid.
#[derive(Debug, Default)]
pub struct FleetMemory {
    groups: Mutex<BTreeMap<(String, GroupKind), Heard>>,
    pub(super) nodes: Nodes,
}

/// What was heard of one group.
#[derive(Debug, Default)]
struct Heard {
    /// Load of its instances, as far back as its periods reach.
    samples: Samples,
    /// The last answer of each pod, by uid, and when it was asked for.
    answers: BTreeMap<String, (Timestamp, Option<Report>)>,
    /// What was said to last when the group was last looked at, in words for machines.
    lasting: Vec<&'static str>,
    /// When the status of the group was last written.
    written: Option<Timestamp>,
}

impl FleetMemory {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, GroupKind), Heard>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: what was heard before somebody else led is not what happened meanwhile.
    pub fn clear(&self) {
        self.all().clear();
    }

    /// Forgets a shard.
    pub(super) fn forget(&self, shard: &str) {
        self.all().retain(|(uid, _), _| uid != shard);
    }

    /// Adds samples, and gives all that are younger than `keep`. The same report seen twice is one sample.
    pub(super) fn samples(
        &self,
        shard: &str,
        kind: GroupKind,
        new: Vec<Sample>,
        now: Timestamp,
        keep: Duration,
    ) -> Vec<Sample> {
        let mut all = self.all();
        let heard = all.entry((shard.to_owned(), kind)).or_default();
        for sample in new {
            heard.samples.push(sample);
        }
        heard.samples.prune(keep, now);
        heard.samples.list()
    }

    /// What this pod answered when it was last asked, if that is not longer ago than `fresh`. The inner None: nothing.
    pub(super) fn answer(
        &self,
        shard: &str,
        kind: GroupKind,
        pod: &str,
        now: Timestamp,
        fresh: Duration,
    ) -> Option<Option<Report>> {
        let all = self.all();
        let (at, report) = all.get(&(shard.to_owned(), kind))?.answers.get(pod)?;
        (age(now, *at) < fresh).then(|| report.clone())
    }

    /// Keeps what pods answered, and forgets the pods that are not among `there`.
    pub(super) fn keep(
        &self,
        shard: &str,
        kind: GroupKind,
        there: &[String],
        new: impl IntoIterator<Item = (String, Timestamp, Option<Report>)>,
    ) {
        let mut all = self.all();
        let answers = &mut all.entry((shard.to_owned(), kind)).or_default().answers;
        answers.extend(new.into_iter().map(|(pod, at, report)| (pod, (at, report))));
        answers.retain(|pod, _| there.contains(pod));
    }

    /// Those of these lasting notes that were not there at the last look. A new leader says each once more.
    pub(super) fn begun(&self, shard: &str, kind: GroupKind, lasting: &[Note]) -> Vec<Note> {
        let mut all = self.all();
        let heard = all.entry((shard.to_owned(), kind)).or_default();
        let new = lasting.iter().filter(|note| !heard.lasting.contains(&note.reason)).cloned().collect();
        heard.lasting = lasting.iter().map(|note| note.reason).collect();
        new
    }

    /// What this pod answered before says nothing any more: it was told something.
    pub(super) fn ask_again(&self, shard: &str, kind: GroupKind, pod: &str) {
        if let Some(heard) = self.all().get_mut(&(shard.to_owned(), kind)) {
            heard.answers.remove(pod);
        }
    }

    /// When the status of a group was last written by this leader.
    pub(super) fn written(&self, shard: &str, kind: GroupKind) -> Option<Timestamp> {
        self.all().get(&(shard.to_owned(), kind))?.written
    }

    /// The status of a group is written now.
    pub(super) fn set_written(&self, shard: &str, kind: GroupKind, now: Timestamp) {
        self.all().entry((shard.to_owned(), kind)).or_default().written = Some(now);
    }
}

/// How old; what is of the future is new.
pub(super) fn age(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}
