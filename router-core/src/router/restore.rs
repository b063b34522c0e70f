//! Bringing pins back after a restart (invariant 3).

use std::{collections::HashMap, time::Duration};

use super::{Merged, Restored, Router};
use crate::{
    pin::Pin,
    room::RoomKey,
    shard::{ShardId, ShardName},
    time::Timestamp,
};

/// Pins read before their shards are published together.
const CHUNK: usize = 4096;

impl Router {
    /// Takes the pins of a snapshot. A pin that is there already stays unless the restored one ranks higher.
    ///
    /// Shards that nobody has discovered yet get a place, and their rooms wait for them for `restored_hold` from now.
    pub fn restore(&self, pins: impl IntoIterator<Item = (RoomKey, Pin)>, now: Timestamp) -> Restored {
        let mut ids = HashMap::new();
        let mut result = Restored::default();
        let mut pins = pins.into_iter();
        loop {
            let chunk: Vec<_> = pins.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            self.await_shards(&chunk, now, &mut ids);
            for (key, pin) in chunk {
                if self.is_over(&pin, now) {
                    result.expired += 1;
                    continue;
                }
                match self.merge(key, pin, now) {
                    Merged::Full => result.refused += 1,
                    Merged::Stale => result.expired += 1,
                    Merged::Unchanged | Merged::Taken | Merged::Moved { .. } | Merged::Conflict { .. } => {
                        result.restored += 1;
                    }
                }
            }
        }
        self.sweep_pays();
        result
    }

    /// Publishes places for the shards of all pins that are not over at once, which is much cheaper than one by one.
    fn await_shards(&self, pins: &[(RoomKey, Pin)], now: Timestamp, ids: &mut HashMap<ShardName, Option<ShardId>>) {
        let alive = pins.iter().map(|(_, pin)| pin).filter(|pin| !self.is_over(pin, now));
        let mut registry = self.registry();
        registry.keep_places(alive.map(|pin| &pin.shard), now + self.restored_hold, ids);
        self.publish(&registry);
    }

    fn is_over(&self, pin: &Pin, now: Timestamp) -> bool {
        pin.ended || now.since(pin.last_seen) >= Duration::from_millis(self.ttl())
    }
}
