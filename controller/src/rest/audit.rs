//! What happened to groups and instances, kept in the cluster: a ConfigMap `<shard>-audit`, owned by the shard and gone with it.
//!
//! Bounded: [`LIMIT`] items for each group, none older than two days, [`BYTES`] in all. One look writes it once at most, and
//! only when something happened.

mod answer;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::ConfigMap,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::answer::{group_audit, instance_audit};
use crate::{
    api::{GroupKind, JitsiShard, SHARD_LABEL},
    apply::{self, read},
    lease::Leadership,
    plan::group::{Change, Mover},
    reconcile::Context,
};

/// Items of a group at most.
pub const LIMIT: usize = 200;
/// All of them together, bytes.
pub const BYTES: usize = 256 * 1024;
/// None is older.
const KEPT: SignedDuration = SignedDuration::from_hours(48);
/// Longest text in an item, in characters.
const WORD: usize = 160;
/// Somebody else may write in between this often.
const TRIES: usize = 5;

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Entry {
    /// The number asked for changed.
    Scaled {
        /// `up`, `down`, `schedule`, `word` or `bounds`.
        by: String,
        /// Instances at that time.
        count: i32,
        /// From.
        from: i32,
        /// To.
        to: i32,
        /// The values of the periods, newest first.
        #[serde(default)]
        periods: Vec<Option<f64>>,
        /// Why, in words.
        #[serde(default)]
        why: String,
    },
    /// Instances were made.
    Launched {
        /// Their names.
        instances: Vec<String>,
        /// Instances before.
        count: i32,
        /// Asked for.
        desired: i32,
    },
    /// Instances were chosen to go: they drain or were told to end.
    Retired {
        /// Their names.
        instances: Vec<String>,
        /// Instances before.
        count: i32,
        /// Asked for.
        desired: i32,
    },
    /// Instances have ended and are deleted.
    Ended {
        /// Their names.
        instances: Vec<String>,
    },
    /// Instances were told to reconfigure.
    ReconfigureAsked {
        /// Their names.
        instances: Vec<String>,
    },
    /// One has reconfigured.
    Reconfigured {
        /// Its name.
        instances: Vec<String>,
    },
}

impl Entry {
    /// A change of the number.
    #[must_use]
    pub fn scaled(change: &Change, count: i32, why: &str) -> Self {
        let by = match change.by {
            Mover::Up => "up",
            Mover::Down => "down",
            Mover::Schedule => "schedule",
            Mover::Word => "word",
            Mover::Bounds => "bounds",
        };
        Self::Scaled {
            by: by.to_owned(),
            count,
            from: change.from,
            to: change.to,
            periods: change.periods.clone(),
            why: why.chars().take(WORD).collect(),
        }
    }

    /// The instances that it is about.
    #[must_use]
    pub fn instances(&self) -> &[String] {
        match self {
            Self::Scaled { .. } => &[],
            Self::Launched { instances, .. }
            | Self::Retired { instances, .. }
            | Self::Ended { instances }
            | Self::ReconfigureAsked { instances }
            | Self::Reconfigured { instances } => instances,
        }
    }
}

/// Writes down what happened to a group, as the leader saw it. What cannot be written is logged: nothing depends on it.
pub async fn record(context: &Context, shard: &JitsiShard, kind: GroupKind, at: Timestamp, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    let (mut launched, mut retired, mut transitions) = (0, 0, 0);
    for entry in entries {
        match entry {
            Entry::Launched { instances, .. } => launched += instances.len() as u64,
            Entry::Retired { instances, .. } => retired += instances.len() as u64,
            Entry::Scaled { by, .. } if by == "schedule" => transitions += 1,
            _ => {}
        }
    }
    let group = format!("{}-{}", shard.name_any(), kind.as_str());
    context.metrics.rest.moved(&group, launched, retired, transitions);
    let items: Vec<_> = entries.iter().cloned().map(|entry| Item { at, entry }).collect();
    if let Err(error) = append(&context.client, Some(&context.leadership), shard, kind, &items).await
        && !error.is_lost()
    {
        tracing::warn!(%error, shard = shard.name_any(), "the audit cannot be written");
    }
}

/// Adds items to a group's audit. With a leadership, only while it lasts.
///
/// # Errors
/// When it cannot be written.
pub async fn append(
    client: &Client,
    leadership: Option<&Leadership>,
    shard: &JitsiShard,
    kind: GroupKind,
    items: &[Item],
) -> Result<(), apply::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &shard.namespace().unwrap_or_default());
    let name = name(shard);
    let mut last = None;
    for _ in 0..TRIES {
        let live = read("get the audit", api.get_opt(&name)).await?;
        let mut data = live.as_ref().and_then(|map| map.data.clone()).unwrap_or_default();
        let mut ring = parse(data.get(kind.as_str()));
        ring.extend_from_slice(items);
        let newest = items.iter().map(|item| item.at).max().unwrap_or_default();
        let text = fit(ring, newest, room(&data, kind));
        data.insert(kind.as_str().to_owned(), text.clone());
        let written = match &live {
            None => {
                let params = PostParams { field_manager: Some(apply::MANAGER.to_owned()), ..Default::default() };
                let map = document(shard, &name, data);
                write(leadership, "create the audit", api.create(&params, &map)).await.map(|_| ())
            }
            Some(live) => {
                let patch = json!({
                    "metadata": {"resourceVersion": live.resource_version()},
                    "data": {kind.as_str(): text},
                });
                let params = PatchParams { field_manager: Some(apply::MANAGER.to_owned()), ..Default::default() };
                write(leadership, "write the audit", api.patch(&name, &params, &Patch::Merge(&patch))).await.map(|_| ())
            }
        };
        match written {
            Err(error) if error.is_conflict() => last = Some(error),
            other => return other,
        }
    }
    last.map_or(Ok(()), Err)
}

async fn write<T>(
    leadership: Option<&Leadership>,
    what: &str,
    work: impl Future<Output = kube::Result<T>>,
) -> Result<T, apply::Error> {
    match leadership {
        Some(leadership) => apply::write(leadership, what, work).await,
        None => read(what, work).await,
    }
}

/// What happened to a group, oldest first.
///
/// # Errors
/// When it cannot be read.
pub async fn items(client: &Client, shard: &JitsiShard, kind: GroupKind) -> Result<Vec<Item>, apply::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &shard.namespace().unwrap_or_default());
    let live = read("get the audit", api.get_opt(&name(shard))).await?;
    Ok(live.and_then(|map| map.data).map(|data| parse(data.get(kind.as_str()))).unwrap_or_default())
}

fn name(shard: &JitsiShard) -> String {
    format!("{}-audit", shard.name_any())
}

/// Somebody may have edited it: what cannot be read begins anew.
fn parse(text: Option<&String>) -> Vec<Item> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// What is left for one group beside the others.
fn room(data: &BTreeMap<String, String>, kind: GroupKind) -> usize {
    let others: usize =
        data.iter().filter(|(key, _)| *key != kind.as_str()).map(|(key, text)| key.len() + text.len()).sum();
    // Each has a quarter for sure.
    (BYTES.saturating_sub(others)).max(BYTES / 4)
}

/// The newest of them that fit.
fn fit(mut ring: Vec<Item>, newest: Timestamp, room: usize) -> String {
    ring.retain(|item| newest.duration_since(item.at) <= KEPT);
    ring.sort_by_key(|item| item.at);
    loop {
        let over = ring.len().saturating_sub(LIMIT);
        ring.drain(..over);
        let text = serde_json::to_string(&ring).unwrap_or_default();
        if text.len() <= room || ring.is_empty() {
            return text;
        }
        // An eighth at a time: it ends soon, however long they are.
        ring.drain(..ring.len().div_ceil(8));
    }
}

fn document(shard: &JitsiShard, name: &str, data: BTreeMap<String, String>) -> ConfigMap {
    let labels = [
        ("app.kubernetes.io/name", "roompin"),
        ("app.kubernetes.io/component", "audit"),
        (SHARD_LABEL, &shard.name_any()),
    ];
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            // Not as its controller: what a shard controls and does not mean is pruned.
            owner_references: Some(vec![OwnerReference {
                api_version: JitsiShard::api_version(&()).into_owned(),
                kind: JitsiShard::kind(&()).into_owned(),
                name: shard.name_any(),
                uid: shard.uid().unwrap_or_default(),
                ..Default::default()
            }]),
            ..Default::default()
        },
        data: Some(data),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
