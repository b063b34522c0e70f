//! Objects, the revisions that changed them, and the log that watches read.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use tokio::time::Instant;

/// Namespace (empty for cluster-wide kinds) and name.
pub(crate) type Key = (String, String);

/// How many changes of one collection are kept for watches; older revisions then answer 410.
const LOG: usize = 20_000;

/// One write.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) at: Instant,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Value>>,
    /// The object after the write; after a delete, its last state with the delete's own revision.
    pub(crate) after: Arc<Value>,
    pub(crate) gone: bool,
}

/// The objects of one kind.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) objects: BTreeMap<Key, Arc<Value>>,
    pub(crate) log: VecDeque<Change>,
    /// The last change that is no longer in the log.
    pub(crate) forgotten: u64,
}

impl Collection {
    /// The objects as they stood at `revision`. Forgotten revisions are the caller's to refuse.
    fn at(&self, revision: u64) -> BTreeMap<Key, Arc<Value>> {
        let mut objects = self.objects.clone();
        for change in self.log.iter().rev().take_while(|c| c.revision > revision) {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        objects
    }
}

/// All collections under one revision counter.
#[derive(Debug)]
pub(crate) struct Store {
    collections: BTreeMap<String, Collection>,
    empty: Collection,
    revision: u64,
    compacted: u64,
}

impl Default for Store {
    fn default() -> Self {
        // Not 1: a client that mistakes a small number for a revision should stumble.
        Self { collections: BTreeMap::new(), empty: Collection::default(), revision: 100, compacted: 0 }
    }
}

impl Store {
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn collection(&self, name: &str) -> &Collection {
        self.collections.get(name).unwrap_or(&self.empty)
    }

    pub(crate) fn collections(&self) -> impl Iterator<Item = (&String, &Collection)> {
        self.collections.iter()
    }

    pub(crate) fn get(&self, collection: &str, key: &Key) -> Option<&Arc<Value>> {
        self.collections.get(collection)?.objects.get(key)
    }

    /// The oldest revision from which this collection can still be told.
    pub(crate) fn oldest(&self, collection: &str) -> u64 {
        self.compacted.max(self.collection(collection).forgotten)
    }

    /// The collection at a revision; `None` when that is forgotten.
    pub(crate) fn snapshot(&self, collection: &str, revision: u64) -> Option<Cow<'_, BTreeMap<Key, Arc<Value>>>> {
        if revision < self.oldest(collection) {
            return None;
        }
        let held = self.collection(collection);
        let changed_since = held.log.back().is_some_and(|last| last.revision > revision);
        Some(if changed_since { Cow::Owned(held.at(revision)) } else { Cow::Borrowed(&held.objects) })
    }

    /// Stores an object under a new revision.
    pub(crate) fn put(&mut self, collection: &str, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(object);
        let held = self.collections.entry(collection.to_owned()).or_default();
        let before = held.objects.insert(key.clone(), object.clone());
        let (revision, after) = (self.revision, object.clone());
        held.append(Change { revision, at: Instant::now(), key, before, after, gone: false });
        object
    }

    /// Removes an object; the delete takes a revision of its own.
    pub(crate) fn remove(&mut self, collection: &str, key: &Key) -> Option<Arc<Value>> {
        let last = Value::clone(self.get(collection, key)?);
        Some(self.remove_as(collection, key, last))
    }

    /// Removes an object, telling watches this last state of it.
    pub(crate) fn remove_as(&mut self, collection: &str, key: &Key, mut last: Value) -> Arc<Value> {
        self.revision += 1;
        last["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let (revision, after) = (self.revision, Arc::new(last));
        let held = self.collections.entry(collection.to_owned()).or_default();
        let before = held.objects.remove(key);
        held.append(Change {
            revision,
            at: Instant::now(),
            key: key.clone(),
            before,
            after: after.clone(),
            gone: true,
        });
        after
    }

    /// Forgets every change so far, as etcd's compaction does.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        for collection in self.collections.values_mut() {
            collection.forgotten = collection.log.back().map_or(collection.forgotten, |last| last.revision);
            collection.log.clear();
        }
    }
}

impl Collection {
    fn append(&mut self, change: Change) {
        self.log.push_back(change);
        if self.log.len() > LOG {
            self.forgotten = self.log.pop_front().map_or(self.forgotten, |old| old.revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> Key {
        ("ns".to_owned(), name.to_owned())
    }

    #[test]
    fn a_snapshot_undoes_what_came_later() {
        let mut store = Store::default();
        store.put("x", key("a"), json!({ "v": 1 }));
        let then = store.revision();
        store.put("x", key("a"), json!({ "v": 2 }));
        store.put("x", key("b"), json!({ "v": 3 }));
        store.remove("x", &key("a"));
        let old = store.snapshot("x", then).unwrap();
        assert_eq!(old.len(), 1);
        assert_eq!(old[&key("a")]["v"], 1);
        assert_eq!(store.revision(), then + 3, "a delete takes a revision too");
        store.compact();
        assert!(store.snapshot("x", then).is_none());
        assert_eq!(store.snapshot("x", store.revision()).unwrap().len(), 1);
    }
}
