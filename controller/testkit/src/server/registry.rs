//! Which resources exist now: the built-in ones and those that CustomResourceDefinitions add.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{crd, resource, resource::Resource};

#[derive(Debug)]
pub(crate) struct Registry {
    built_in: Vec<Arc<Resource>>,
    /// By the definition's name.
    custom: BTreeMap<String, Vec<Arc<Resource>>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { built_in: resource::built_in(), custom: BTreeMap::new() }
    }
}

impl Registry {
    /// Every resource in every served version.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.built_in.iter().chain(self.custom.values().flatten())
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.all().find(|r| r.plural == plural && r.group == group && r.version == version)
    }

    /// One resource for each collection.
    pub(crate) fn storing(&self) -> Vec<Arc<Resource>> {
        let mut by_collection: BTreeMap<&str, &Arc<Resource>> = BTreeMap::new();
        for resource in self.all() {
            by_collection.entry(&resource.collection).or_insert(resource);
        }
        by_collection.into_values().cloned().collect()
    }

    pub(crate) fn of_definition(&self, name: &str) -> Vec<Arc<Resource>> {
        self.custom.get(name).into_iter().flatten().take(1).cloned().collect()
    }

    /// Takes a definition, or takes its change.
    pub(crate) fn learn(&mut self, definition: &Value) {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.custom.insert(name, crd::resources(definition).into_iter().map(Arc::new).collect());
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.custom.remove(name);
    }
}
