//! Bringing pins back after a restart (invariant 3).

use std::{collections::HashMap, sync::atomic::Ordering::Relaxed};

use dashmap::Entry;

use super::{Restored, Router, Slot};
use crate::{
    pin::Pin,
    room::RoomKey,
    shard::{ShardId, ShardName},
    time::Timestamp,
};

impl Router {
    /// Takes the pins of a snapshot. A pin that is there already stays unless the restored one ranks higher.
    ///
    /// Shards that nobody has discovered yet get a place, and their rooms wait for them for `restored_hold` from now.
    pub fn restore(&self, pins: impl IntoIterator<Item = (RoomKey, Pin)>, now: Timestamp) -> Restored {
        let mut ids = HashMap::new();
        let mut result = Restored::default();
        for (key, mut pin) in pins {
            // A clock set back since must not make a pin immortal, nor win it every merge.
            pin.last_seen = pin.last_seen.min(now);
            pin.created = pin.created.min(now);
            if Slot::known(&pin, ShardId(0)).is_over(now, self.ttl()) {
                result.expired += 1;
                continue;
            }
            let id = match ids.get(&pin.shard) {
                Some(&id) => id,
                None => {
                    let id = self.await_shard(&pin.shard, now);
                    ids.insert(pin.shard.clone(), id);
                    id
                }
            };
            match id {
                Some(id) if self.take_back(key, &pin, id) => result.restored += 1,
                _ => result.refused += 1,
            }
        }
        self.sweep_pays();
        result
    }

    fn await_shard(&self, name: &ShardName, now: Timestamp) -> Option<ShardId> {
        let mut registry = self.registry();
        let id = registry.keep_place(name, now + self.restored_hold);
        self.publish(&registry);
        id
    }

    fn take_back(&self, key: RoomKey, pin: &Pin, shard: ShardId) -> bool {
        match self.table.entry(key) {
            Entry::Vacant(vacant) => {
                if !self.table.reserve(self.max_pins.load(Relaxed)) {
                    return false;
                }
                self.table.came(shard);
                vacant.insert(Slot::known(pin, shard));
            }
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                let set = self.set.load();
                let known = set.name(held.shard()).map(|name| held.pin(name));
                if known.is_some_and(|known| known.rank(pin).is_ge()) {
                    return true;
                }
                if !held.is_ended() {
                    self.table.left(held.shard());
                }
                let tunnels = held.tunnels;
                *held = Slot::known(pin, shard);
                held.tunnels = tunnels;
                self.table.came(shard);
            }
        }
        true
    }
}
