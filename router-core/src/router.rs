//! The one thing that the proxy asks: where does this room go?
//!
//! [`Router`] joins the shards, the sticky table and placement, and may be shared by all threads. Everything about one
//! room happens under the lock of that room's part of the table; inside it nothing is locked but what never waits
//! (an `ArcSwap` load, atomic counters). Registry changes are serialised by a lock of their own, which no request takes.
//!
//! What it promises, by the numbers of the design's invariants, which the tests cite:
//!
//! 1. Two requests for one room never go to two shards, however close together: one decides, the other finds.
//! 2. Replicas agree once they have exchanged their pins, in whatever order: every pin from elsewhere comes in through
//!    [`Router::merge`], which keeps the greater of two.
//! 3. A restart moves no room: restored pins wait for their shards to be discovered.
//! 4. A shard that is not ready gets no new room, and a room leaves its shard only when that is down or gone or an
//!    operator says so. (The maker of a pin that nobody else has used may take its decision back.)
//! 5. Memory is bounded: a full table refuses new rooms, and forgets none that is in use.

mod answer;
mod choose;
mod decide;
mod merge;
mod pins;
mod restore;
mod spread;
#[cfg(test)]
mod tests;
mod votes;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

pub use self::{
    answer::{Decision, Inserted, Merged, Outcome, PinError, PinView, Refusal, Restored, Route},
    spread::Cursor,
};
use crate::{
    cluster::ReplicaId,
    pin::DeciderId,
    placement,
    registry::{Registry, RegistrySettings, ShardEvent, ShardInput},
    room::RoomKey,
    shard::{ShardId, ShardState},
    shard_set::{Shard, ShardSet},
    table::{Table, slot::Slot},
    time::Timestamp,
};

/// What a router is told once.
#[derive(Clone, Copy, Debug)]
pub struct RouterSettings {
    /// How long a pin outlives the last request and the last tunnel.
    pub ttl: Duration,
    /// Most pins held at a time; each costs 58 bytes at worst.
    pub max_pins: usize,
    /// This process, as its pins name it.
    pub decider: DeciderId,
    /// How the shards' health is judged.
    pub registry: RegistrySettings,
    /// How long after a restore its pins wait for shards that nobody has discovered yet.
    pub restored_hold: Duration,
}

/// Where rooms are and where new ones go.
pub struct Router {
    table: Table,
    /// What requests read; replaced as a whole, under the registry's lock.
    set: ArcSwap<ShardSet>,
    registry: Mutex<Registry>,
    decider: DeciderId,
    restored_hold: Duration,
    /// Milliseconds.
    ttl: AtomicU64,
    max_pins: AtomicUsize,
    /// Before this no sweep of a full table pays, in milliseconds.
    next_sweep: AtomicU64,
}

/// What a room can expect of the shard that it is pinned to.
enum Standing {
    Usable,
    Awaited,
    Lost,
}

impl Router {
    /// Without shards and pins.
    #[must_use]
    pub fn new(settings: RouterSettings) -> Self {
        Self {
            table: Table::new(),
            set: ArcSwap::default(),
            registry: Mutex::new(Registry::new(settings.registry).of(ReplicaId(settings.decider.0))),
            decider: settings.decider,
            restored_hold: settings.restored_hold,
            ttl: AtomicU64::new(millis(settings.ttl)),
            max_pins: AtomicUsize::new(settings.max_pins),
            next_sweep: AtomicU64::new(0),
        }
    }

    /// The shards as of now.
    #[must_use]
    pub fn shards(&self) -> Arc<ShardSet> {
        self.set.load_full()
    }

    /// Takes what one source says about shards; the very next request is decided by it.
    pub fn handle(&self, input: ShardInput, now: Timestamp) -> Vec<ShardEvent> {
        let mut registry = self.registry();
        let events = registry.handle(input, now);
        self.publish(&registry);
        events
    }

    /// Judges the shards' health by other counts from now on; see [`Registry::set_settings`].
    pub fn set_registry(&self, settings: RegistrySettings) -> Vec<ShardEvent> {
        let mut registry = self.registry();
        let events = registry.set_settings(settings);
        self.publish(&registry);
        events
    }

    /// Takes other limits. Pins beyond a lower bound stay; only new ones are refused.
    pub fn set_limits(&self, ttl: Duration, max_pins: usize) {
        self.ttl.store(millis(ttl), Relaxed);
        self.max_pins.store(max_pins, Relaxed);
        self.sweep_pays();
    }

    /// The limits in force: a pin's time to live, and most pins held.
    #[must_use]
    pub fn limits(&self) -> (Duration, usize) {
        (Duration::from_millis(self.ttl()), self.max_pins.load(Relaxed))
    }

    /// Where a room is. The way of nearly every request: one access to the table under a shared lock, no allocation.
    #[must_use]
    pub fn route(&self, key: RoomKey, now: Timestamp) -> Route {
        let found = self.table.read(key, |slot| {
            if slot.is_over(now, self.ttl()) {
                return Route::Unknown;
            }
            let shard = slot.shard();
            match standing(self.set.load().get(shard), now) {
                Standing::Usable => {
                    slot.touch(now);
                    Route::Pinned(shard)
                }
                Standing::Awaited => {
                    slot.touch(now);
                    Route::Awaited(shard)
                }
                Standing::Lost => Route::Lost(shard),
            }
        });
        found.unwrap_or(Route::Unknown)
    }

    /// Where a room's page should come from: the room's shard, or the one that it would get now. Writes nothing, so
    /// that looking at a page neither pins a room nor keeps it.
    #[must_use]
    pub fn preview(&self, key: RoomKey, now: Timestamp) -> Option<ShardId> {
        let shard = self.table.read(key, |slot| (!slot.is_over(now, self.ttl())).then(|| slot.shard())).flatten();
        let set = self.set.load();
        shard
            .filter(|&id| matches!(standing(set.get(id), now), Standing::Usable))
            .or_else(|| self.place(key, &set, &[]))
    }

    /// Where a request without a room goes: a ready shard by chance, in proportion to the weights. The nonce is the
    /// caller's chance.
    #[must_use]
    pub fn any(&self, nonce: u64) -> Option<ShardId> {
        placement::by_chance(nonce, &self.set.load())
    }

    /// Rooms pinned to a shard, those included whose time is over but that nothing has swept yet.
    #[must_use]
    pub fn rooms_on(&self, shard: ShardId) -> u32 {
        self.table.rooms_on(shard)
    }

    /// Pins held, which is what the bound counts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no pin is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn place(&self, key: RoomKey, set: &ShardSet, avoid: &[ShardId]) -> Option<ShardId> {
        placement::place(key, set, |shard| self.table.rooms_on(shard), avoid)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Every change of the registry is complete when it returns; a panic elsewhere must not stop discovery.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the registry locked: what is published last is what was made last.
    fn publish(&self, registry: &Registry) {
        let (old, new) = (self.set.load(), registry.view());
        for (id, name) in new.names_from(old.name_count()) {
            self.table.name_hash(id, placement::seed(name));
        }
        self.set.store(new);
    }

    fn ttl(&self) -> u64 {
        self.ttl.load(Relaxed)
    }

    /// Something may be over earlier than the last sweep foresaw.
    fn sweep_pays(&self) {
        self.next_sweep.store(0, Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn standing(shard: Option<&Shard>, now: Timestamp) -> Standing {
    match shard {
        Some(shard) if shard.addresses.is_empty() && now < shard.awaited_until => Standing::Awaited,
        Some(shard) if !shard.addresses.is_empty() && shard.state != ShardState::Down => Standing::Usable,
        _ => Standing::Lost,
    }
}
