//! The garbage collector: an object whose owners are all gone goes too, by the owners' uids and within one namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::Actor;
use super::world::{Trouble, World, deleting, items, name, namespace, text, uid};

pub(super) const WHO: &str = "garbage-collector";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

#[derive(Default)]
pub(super) struct Collector {
    /// The definitions that were there when the collections were last asked for.
    known: BTreeSet<String>,
    collections: Vec<Collection>,
}

#[derive(Clone)]
struct Collection {
    prefix: String,
    plural: String,
    namespaced: bool,
}

impl Collection {
    fn path(&self) -> String {
        format!("{}/{}", self.prefix, self.plural)
    }
}

/// One object's metadata and where it is.
struct Held {
    path: String,
    meta: Value,
}

impl Held {
    fn has(&self, finalizer: &str) -> bool {
        items(&self.meta, "/metadata/finalizers").iter().any(|f| f == finalizer)
    }

    fn owners(&self) -> &[Value] {
        items(&self.meta, "/metadata/ownerReferences")
    }
}

impl Actor for Collector {
    async fn round(&mut self, world: &World) -> Result<Option<Duration>, Trouble> {
        self.discover(world).await?;
        let mut all = Vec::new();
        for collection in &self.collections {
            for meta in world.list_metadata(&collection.path()).await? {
                let path = if collection.namespaced {
                    super::world::path_of(&collection.prefix, &collection.plural, &meta)
                } else {
                    format!("{}/{}", collection.path(), name(&meta))
                };
                all.push(Held { path, meta });
            }
        }
        let by_uid: BTreeMap<&str, &Held> = all.iter().map(|held| (uid(&held.meta), held)).collect();
        for held in &all {
            if deleting(&held.meta) {
                finish(world, held, &all).await?;
            } else if !held.owners().is_empty() {
                judge(world, held, &by_uid, &all).await?;
            }
        }
        Ok(None)
    }
}

impl Collector {
    /// Asks which collections there are, again when a definition came or went.
    async fn discover(&mut self, world: &World) -> Result<(), Trouble> {
        world.watch(CRDS);
        let now: BTreeSet<String> = world.list_metadata(CRDS).await?.iter().map(|crd| uid(crd).to_owned()).collect();
        if !self.collections.is_empty() && now == self.known {
            return Ok(());
        }
        let mut prefixes = vec!["/api/v1".to_owned()];
        let groups = world.get("/apis").await?.unwrap_or_default();
        for group in items(&groups, "/groups") {
            prefixes.push(format!("/apis/{}", text(group, "/preferredVersion/groupVersion")));
        }
        let mut found = Vec::new();
        for prefix in prefixes {
            let resources = world.get(&prefix).await?.unwrap_or_default();
            for resource in items(&resources, "/resources") {
                let plural = text(resource, "/name");
                let can = |verb: &str| items(resource, "/verbs").iter().any(|v| v == verb);
                // Events live for an hour and own nothing.
                if !plural.contains('/') && plural != "events" && can("list") && can("delete") {
                    let namespaced = resource["namespaced"] == true;
                    found.push(Collection { prefix: prefix.clone(), plural: plural.to_owned(), namespaced });
                }
            }
        }
        for collection in &found {
            world.watch(&collection.path());
        }
        (self.collections, self.known) = (found, now);
        Ok(())
    }
}

/// The owner that a reference means, if it is there: the same uid, and not in another namespace.
fn owner<'a>(held: &Held, reference: &Value, by_uid: &BTreeMap<&str, &'a Held>) -> Option<&'a Held> {
    let owner = by_uid.get(text(reference, "/uid"))?;
    let home = namespace(&owner.meta);
    let reachable = home.is_empty() || home == namespace(&held.meta);
    (reachable && name(&owner.meta) == text(reference, "/name")).then_some(*owner)
}

async fn judge(world: &World, held: &Held, by_uid: &BTreeMap<&str, &Held>, all: &[Held]) -> Result<(), Trouble> {
    let waits = |o: &Held| deleting(&o.meta) && o.has(FOREGROUND);
    let mut solid = Vec::new();
    let (mut dangling, mut waiting) = (0, 0);
    for reference in held.owners() {
        match owner(held, reference, by_uid) {
            None => dangling += 1,
            Some(o) if waits(o) && reference["blockOwnerDeletion"] == true => waiting += 1,
            Some(_) => solid.push(reference.clone()),
        }
    }
    if !solid.is_empty() {
        if dangling + waiting > 0 {
            let version = &held.meta["metadata"]["resourceVersion"];
            let patch = json!({"metadata": {"resourceVersion": version, "ownerReferences": solid}});
            world.merge(&held.path, &patch).await?;
        }
        return Ok(());
    }
    // One that others depend on has to go in the foreground as well, or its owner would not wait for those.
    let has_dependents = all.iter().any(|other| other.owners().iter().any(|r| r["uid"] == uid(&held.meta)));
    let policy = match (waiting > 0 && has_dependents, held.has(ORPHAN), held.has(FOREGROUND)) {
        (true, ..) | (_, _, true) => "Foreground",
        (_, true, _) => "Orphan",
        _ => "Background",
    };
    world.delete(&held.path, &held.meta, json!({"propagationPolicy": policy})).await
}

/// Carries out the propagation policy of an object that is being deleted.
async fn finish(world: &World, held: &Held, all: &[Held]) -> Result<(), Trouble> {
    let depends = |other: &&Held| {
        let home = namespace(&held.meta);
        (home.is_empty() || home == namespace(&other.meta))
            && other.owners().iter().any(|r| r["uid"] == uid(&held.meta))
    };
    if held.has(ORPHAN) {
        for other in all.iter().filter(depends) {
            let left: Vec<_> = other.owners().iter().filter(|r| r["uid"] != uid(&held.meta)).cloned().collect();
            let left = if left.is_empty() { Value::Null } else { json!(left) };
            world.merge(&other.path, &json!({"metadata": {"ownerReferences": left}})).await?;
        }
        return let_go(world, held, ORPHAN).await;
    }
    if held.has(FOREGROUND) {
        let blocks = |other: &Held| {
            other.owners().iter().any(|r| r["uid"] == uid(&held.meta) && r["blockOwnerDeletion"] == true)
        };
        // Those that do not block are judged once the owner is gone.
        if !all.iter().filter(depends).any(blocks) {
            return let_go(world, held, FOREGROUND).await;
        }
        // The living ones that block are judged in this same round: their owner waits.
    }
    Ok(())
}

async fn let_go(world: &World, held: &Held, finalizer: &str) -> Result<(), Trouble> {
    let left: Vec<_> = items(&held.meta, "/metadata/finalizers").iter().filter(|f| **f != finalizer).cloned().collect();
    let version = &held.meta["metadata"]["resourceVersion"];
    let left = if left.is_empty() { Value::Null } else { json!(left) };
    world.merge(&held.path, &json!({"metadata": {"resourceVersion": version, "finalizers": left}})).await.map(drop)
}
