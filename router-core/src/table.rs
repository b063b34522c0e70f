//! The sticky table: which room is on which shard, how many rooms each shard has, and the bound on all of it.
//!
//! A `DashMap` of 256 parts, each behind its own lock. No function here holds a part while it asks for another one,
//! so no order of locks exists that could be broken.

pub(crate) mod slot;
#[cfg(test)]
mod tests;

use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
};

use dashmap::{DashMap, Entry, mapref::one::Ref, mapref::one::RefMut};

use self::slot::Slot;
use crate::{
    registry::MAX_SHARD_NAMES,
    room::{RoomKey, low_u64},
    shard::ShardId,
    time::Timestamp,
};

/// Parts of the table: enough that writers rarely meet, and that growing one part (4,000 of a million pins) is quick.
const PARTS: usize = 256;

/// A room key is a keyed hash already: uniform, and out of an outsider's control. Its low half is the hash.
#[derive(Default)]
pub(crate) struct KeyBits(u64);

impl Hasher for KeyBits {
    fn write_u128(&mut self, key: u128) {
        self.0 = low_u64(key);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Map = DashMap<RoomKey, Slot, BuildHasherDefault<KeyBits>>;

/// What a sweep found.
pub(crate) struct Swept {
    /// Pins removed.
    pub(crate) removed: usize,
    /// When the next of those that stay will be over, unless somebody asks for it before.
    pub(crate) next: Timestamp,
}

pub(crate) struct Table {
    pins: Map,
    /// Slots in `pins`, those reserved included. `DashMap::len` would lock all parts.
    held: AtomicUsize,
    /// By shard: rooms pinned there, those over but not yet swept included, ended ones not.
    rooms: Box<[AtomicU32]>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            pins: DashMap::with_hasher_and_shard_amount(BuildHasherDefault::default(), PARTS),
            held: AtomicUsize::new(0),
            rooms: (0..MAX_SHARD_NAMES).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    pub(crate) fn get(&self, key: RoomKey) -> Option<Ref<'_, RoomKey, Slot>> {
        self.pins.get(&key)
    }

    pub(crate) fn get_mut(&self, key: RoomKey) -> Option<RefMut<'_, RoomKey, Slot>> {
        self.pins.get_mut(&key)
    }

    /// The place of one key, locked against everybody else.
    pub(crate) fn entry(&self, key: RoomKey) -> Entry<'_, RoomKey, Slot> {
        self.pins.entry(key)
    }

    /// Slots held.
    pub(crate) fn len(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Takes room for one more slot, unless `max` are held. Who gets it must insert one.
    pub(crate) fn reserve(&self, max: usize) -> bool {
        let one_more = |held: usize| (held < max).then_some(held + 1);
        self.held.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }

    /// A slot was removed.
    pub(crate) fn release(&self) {
        self.held.fetch_sub(1, Relaxed);
    }

    /// Rooms on a shard.
    pub(crate) fn rooms_on(&self, shard: ShardId) -> u32 {
        self.rooms.get(usize::from(shard.0)).map_or(0, |n| n.load(Relaxed))
    }

    /// A room came to a shard. Called with the room's place locked, as is [`Table::left`].
    pub(crate) fn came(&self, shard: ShardId) {
        if let Some(rooms) = self.rooms.get(usize::from(shard.0)) {
            rooms.fetch_add(1, Relaxed);
        }
    }

    /// A room left a shard that it came to.
    pub(crate) fn left(&self, shard: ShardId) {
        if let Some(rooms) = self.rooms.get(usize::from(shard.0)) {
            rooms.fetch_sub(1, Relaxed);
        }
    }

    /// Removes what is over. Locks one part at a time.
    pub(crate) fn sweep(&self, now: Timestamp, ttl: u64) -> Swept {
        let mut swept = Swept { removed: 0, next: Timestamp(now.0.saturating_add(ttl)) };
        self.pins.retain(|_, slot| {
            if slot.tunnels > 0 {
                return true;
            }
            if !slot.is_over(now, ttl) {
                let over = slot.last_seen().0.saturating_add(ttl);
                swept.next = swept.next.min(Timestamp(over));
                return true;
            }
            if !slot.is_ended() {
                self.left(slot.shard());
            }
            self.release();
            swept.removed += 1;
            false
        });
        swept
    }

    /// Visits all slots, one part locked at a time.
    pub(crate) fn for_each(&self, mut f: impl FnMut(RoomKey, &Slot)) {
        for entry in &self.pins {
            f(*entry.key(), entry.value());
        }
    }
}
