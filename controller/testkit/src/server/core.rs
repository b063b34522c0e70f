//! The server's state, changed by one request at a time.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    clock::{Clock, seconds},
    failure::Failure,
    query::FieldValidation,
    registry::Registry,
    resource::Resource,
    store::{Key, Store},
};
use crate::merge::Writer;

pub(crate) const NAMESPACES: &str = "/namespaces";
pub(crate) const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// Random-looking names and uids, the same in every run with the same seed.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    pub(crate) fn uid(&mut self) -> String {
        let (a, b) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }

    /// The five letters that `generateName` appends.
    pub(crate) fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(LETTERS[usize::try_from(self.below(27)).unwrap_or_default()])).collect()
    }
}

/// How a write is to be done, whatever it writes.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    pub(crate) subresource: String,
}

/// What a write came to.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// The object as the written version shows it.
    pub(crate) object: Value,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) dice: Dice,
    /// Namespaces and definitions whose contents must go before they can.
    pub(crate) leaving: BTreeSet<(String, Key)>,
}

impl Core {
    pub(crate) fn new(epoch: Timestamp, seed: u64) -> Self {
        let mut core = Self {
            clock: Clock::starting_at(epoch),
            store: Store::default(),
            registry: Registry::default(),
            dice: Dice(seed),
            leaving: BTreeSet::new(),
        };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = core.new_namespace(name);
            core.store.put(NAMESPACES, (String::new(), name.to_owned()), namespace);
        }
        core
    }

    fn new_namespace(&mut self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": name, "uid": self.dice.uid(), "creationTimestamp": self.time(),
                "labels": { "kubernetes.io/metadata.name": name },
            },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active" },
        })
    }

    /// Now, as `metav1.Time`.
    pub(crate) fn time(&self) -> String {
        seconds(self.clock.now())
    }

    pub(crate) fn writer(&self, resource: &Resource, options: &WriteOptions) -> Writer {
        Writer {
            manager: options.manager.clone(),
            subresource: (!options.subresource.is_empty()).then(|| options.subresource.clone()),
            time: self.time(),
            api_version: resource.api_version(),
        }
    }

    /// The stored object, or 404.
    pub(crate) fn fetch(&self, resource: &Resource, key: &Key) -> Result<Arc<Value>, Failure> {
        let found = self.store.get(&resource.collection, key).cloned();
        found.ok_or_else(|| Failure::not_found(resource.subject(), &key.1))
    }

    /// What remains to be done after any write: definitions take effect, and leaving namespaces are emptied.
    pub(crate) fn settle(&mut self) {
        loop {
            let before = self.store.revision();
            for (collection, key) in self.leaving.clone() {
                if self.store.get(&collection, &key).is_none() {
                    self.leaving.remove(&(collection, key));
                } else if collection == NAMESPACES {
                    self.empty_namespace(&key);
                } else {
                    self.empty_definition(&key);
                }
            }
            if self.store.revision() == before {
                return;
            }
        }
    }

    fn empty_namespace(&mut self, key: &Key) {
        let mut left = false;
        for resource in self.registry.storing() {
            if !resource.namespaced {
                continue;
            }
            let inside: Vec<Key> =
                self.store.collection(&resource.collection).objects.keys().filter(|k| k.0 == key.1).cloned().collect();
            for inner in inside {
                self.delete_in_background(&resource, &inner);
                left |= self.store.get(&resource.collection, &inner).is_some();
            }
        }
        let Some(namespace) = self.store.get(NAMESPACES, key).cloned() else { return };
        let held = namespace["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if !left && !held {
            self.store.remove(NAMESPACES, key);
        }
    }

    fn empty_definition(&mut self, key: &Key) {
        let mut left = false;
        for resource in self.registry.of_definition(&key.1) {
            let all: Vec<Key> = self.store.collection(&resource.collection).objects.keys().cloned().collect();
            for inner in all {
                self.delete_in_background(&resource, &inner);
                left |= self.store.get(&resource.collection, &inner).is_some();
            }
        }
        let Some(definition) = self.store.get(DEFINITIONS, key).cloned() else { return };
        if left {
            return;
        }
        let mut definition = Value::clone(&definition);
        let finalizers = definition["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let rest: Vec<Value> = finalizers.iter().filter(|f| *f != super::crd::CLEANUP).cloned().collect();
        if rest.is_empty() {
            self.store.remove(DEFINITIONS, key);
            self.registry.forget(&key.1);
        } else if rest.len() < finalizers.len() {
            definition["metadata"]["finalizers"] = rest.into();
            self.store.put(DEFINITIONS, key.clone(), definition);
        }
    }
}
