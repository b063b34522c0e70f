//! Numbers for shard names.

use std::collections::HashMap;

use crate::shard::{ShardId, ShardName};

/// Most names one process ever gives a number to. A cluster has dozens; the bound is against a source that invents
/// a new name with every answer.
pub const MAX_SHARD_NAMES: usize = 4096;

/// Gives every name a number, for the process' life: a pin holds two bytes instead of a name, and a shard that is
/// gone and comes back finds its pins.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<ShardName>,
    ids: HashMap<ShardName, ShardId>,
}

impl Names {
    /// The name's number, a new one if need be; `None` beyond [`MAX_SHARD_NAMES`].
    pub(super) fn intern(&mut self, name: &ShardName) -> Option<ShardId> {
        if let Some(&id) = self.ids.get(name) {
            return Some(id);
        }
        if self.all.len() >= MAX_SHARD_NAMES {
            return None;
        }
        let id = ShardId(u16::try_from(self.all.len()).ok()?);
        self.all.push(name.clone());
        self.ids.insert(name.clone(), id);
        Some(id)
    }

    pub(super) fn knows(&self, name: &ShardName) -> bool {
        self.ids.contains_key(name)
    }

    pub(super) fn id(&self, name: &ShardName) -> Option<ShardId> {
        self.ids.get(name).copied()
    }

    /// All names in the order of their numbers.
    pub(super) fn all(&self) -> &[ShardName] {
        &self.all
    }
}
