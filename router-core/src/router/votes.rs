//! What this replica thinks of the shards, for others; and operators' words, which all replicas share.

use super::Router;
use crate::{cluster::message::Order, registry::ShardEvent, shard::ShardName, time::Timestamp};

impl Router {
    /// An operator's word from elsewhere. The later one on a shard holds, in whatever order they come.
    pub fn order(&self, order: Order, now: Timestamp) -> Vec<ShardEvent> {
        let mut registry = self.registry();
        let events = registry.order(order, now);
        self.publish(&registry);
        events
    }

    /// The last word of operators on every shard that there is one on, words taken back included.
    #[must_use]
    pub fn orders(&self) -> Vec<Order> {
        self.registry().orders()
    }

    /// This replica's own findings, whatever the others say: the shard, whether its probes say down or its discovery
    /// says gone, and how many rooms are pinned to it here.
    ///
    /// No opinion on a shard that is only awaited. A shard that is gone stays in the list as long as rooms are pinned to
    /// it here or another replica says that it is up.
    #[must_use]
    pub fn opinions(&self, now: Timestamp) -> Vec<(ShardName, bool, u32)> {
        let registry = self.registry();
        let rooms = |id| self.table.rooms_on(id);
        registry.opinions(now, |id| rooms(id) > 0).map(|(id, name, down)| (name, down, rooms(id))).collect()
    }
}
