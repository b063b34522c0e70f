//! Operators' words on shards: the last one holds, on every replica.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::MAX_SHARD_NAMES;
use crate::{
    cluster::{ReplicaId, message::Order},
    shard::{ShardName, ShardState},
    time::Timestamp,
};

/// Words by shard, also for shards that are gone or not discovered yet, and words taken back, so that no earlier one
/// comes back from a replica that missed it. At most [`MAX_SHARD_NAMES`].
#[derive(Debug, Default)]
pub(super) struct Orders(BTreeMap<ShardName, Order>);

impl Orders {
    pub(super) fn get(&self, shard: &ShardName) -> Option<&Order> {
        self.0.get(shard)
    }

    pub(super) fn all(&self) -> Vec<Order> {
        self.0.values().cloned().collect()
    }

    /// An operator speaks to this replica. What is spoken now holds, even if an earlier word came from a replica whose
    /// clock is ahead.
    pub(super) fn speak(&mut self, shard: ShardName, state: Option<ShardState>, now: Timestamp, by: ReplicaId) {
        let after = self.0.get(&shard).map_or(0, |known| known.at.0.saturating_add(1));
        let at = Timestamp(now.0.max(after));
        self.0.insert(shard.clone(), Order { shard, state, at, by });
    }

    /// A word from elsewhere: the larger `(at, by)` holds, which is commutative, associative and idempotent. One replica
    /// speaks once at a time; should it not, the stricter word holds.
    ///
    /// # Errors
    /// The shard's name, when there are too many orders.
    pub(super) fn take(&mut self, order: Order) -> Result<(), ShardName> {
        let rank = |order: &Order| (order.at, order.by, order.state);
        let full = self.0.len() >= MAX_SHARD_NAMES;
        match self.0.get_mut(&order.shard) {
            Some(known) if rank(known) < rank(&order) => *known = order,
            Some(_) => {}
            None if full => return Err(order.shard),
            None => _ = self.0.insert(order.shard.clone(), order),
        }
        Ok(())
    }
}
