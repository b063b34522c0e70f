//! Bringing pins back after a restart (invariant 3).

use std::{collections::HashMap, sync::atomic::Ordering::Relaxed, time::Duration};

use dashmap::Entry;

use super::{Restored, Router, Slot};
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
            let chunk: Vec<_> = pins.by_ref().take(CHUNK).map(|pin| not_later(pin, now)).collect();
            if chunk.is_empty() {
                break;
            }
            self.await_shards(&chunk, now, &mut ids);
            for (key, pin) in chunk {
                let id = ids.get(&pin.shard).copied().flatten();
                match id {
                    _ if self.is_over(&pin, now) => result.expired += 1,
                    Some(id) if self.take_back(key, &pin, id) => result.restored += 1,
                    _ => result.refused += 1,
                }
            }
        }
        self.sweep_pays();
        result
    }

    /// Publishes places for the shards of all pins that are not over, before any of these pins is in the table.
    fn await_shards(&self, pins: &[(RoomKey, Pin)], now: Timestamp, ids: &mut HashMap<ShardName, Option<ShardId>>) {
        let alive = pins.iter().map(|(_, pin)| pin).filter(|pin| !self.is_over(pin, now));
        let mut registry = self.registry();
        registry.keep_places(alive.map(|pin| &pin.shard), now + self.restored_hold, ids);
        self.publish(&registry);
    }

    fn is_over(&self, pin: &Pin, now: Timestamp) -> bool {
        pin.ended || now.since(pin.last_seen) >= Duration::from_millis(self.ttl())
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

/// A clock set back since must not make a pin immortal.
fn not_later((key, pin): (RoomKey, Pin), now: Timestamp) -> (RoomKey, Pin) {
    let (created, last_seen) = (pin.created.min(now), pin.last_seen.min(now));
    (key, Pin { created, last_seen, ..pin })
}
