//! The sticky table: which room is on which shard, how many rooms each shard has, and the bound on all of it.
//!
//! 256 groups by the first byte of the key, each behind a lock of its own, so that one group can be listed,
//! swept or compared with another replica's without a walk over all. No function here holds a group while it asks for
//! another one, so no order of locks exists that could be broken.

pub(crate) mod group;
mod index;
pub(crate) mod place;
pub(crate) mod slot;
mod slots;
#[cfg(test)]
mod tests;

use std::sync::{
    PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use self::{group::Group, place::Place, slot::Slot};
use crate::{registry::MAX_SHARD_NAMES, room::RoomKey, shard::ShardId, time::Timestamp};

/// Groups of the table: enough that writers rarely meet, and that a walk over one (4,000 of a million pins) is quick.
pub(crate) const GROUPS: usize = 256;

/// A group in cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Part(RwLock<Group>);

/// What a sweep found.
pub(crate) struct Swept {
    /// Pins removed.
    pub(crate) removed: usize,
    /// When the next of those that stay will be over, unless somebody asks for it before.
    pub(crate) next: Timestamp,
}

/// Which of the ended pins a sweep takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Those that no other replica needs to hear of, and the others when their time is over.
    Expendable,
    /// All: room is needed.
    All,
}

pub(crate) struct Table {
    parts: Box<[Part]>,
    /// Slots held, those reserved included.
    held: AtomicUsize,
    /// By shard: rooms pinned there, those over but not yet swept included, ended ones not.
    rooms: Box<[AtomicU32]>,
    /// By shard: the hash of its name, its share in fingerprints. Set before any slot names the shard.
    seeds: Box<[AtomicU64]>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            parts: (0..GROUPS).map(|_| Part::default()).collect(),
            held: AtomicUsize::new(0),
            rooms: (0..MAX_SHARD_NAMES).map(|_| AtomicU32::new(0)).collect(),
            seeds: (0..MAX_SHARD_NAMES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Looks at a room's slot under its group's shared lock. `f` must not call this table.
    pub(crate) fn read<T>(&self, key: RoomKey, f: impl FnOnce(&Slot) -> T) -> Option<T> {
        self.group(key.group()).get(key).map(f)
    }

    /// The place of one key, locked against everybody else.
    pub(crate) fn place(&self, key: RoomKey) -> Place<'_> {
        Place::new(self, key, self.group_mut(key.group()))
    }

    /// One group, to be looked at. Meanwhile nothing in it changes but times and flags.
    pub(crate) fn group(&self, group: u8) -> RwLockReadGuard<'_, Group> {
        // Nothing panics inside a lock; if it did, the rooms of this group should live on all the same.
        self.parts[usize::from(group)].0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn group_mut(&self, group: u8) -> RwLockWriteGuard<'_, Group> {
        self.parts[usize::from(group)].0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Slots held.
    pub(crate) fn len(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Takes room for one more slot, unless `max` are held. Who gets it must insert one.
    fn reserve(&self, max: usize) -> bool {
        let one_more = |held: usize| (held < max).then_some(held + 1);
        self.held.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }

    /// A slot was removed.
    fn release(&self) {
        self.held.fetch_sub(1, Relaxed);
    }

    /// Rooms on a shard.
    pub(crate) fn rooms_on(&self, shard: ShardId) -> u32 {
        self.rooms.get(usize::from(shard.0)).map_or(0, |n| n.load(Relaxed))
    }

    /// A room came to a shard. Called with the room's place locked, as is [`Table::left`].
    fn came(&self, shard: ShardId) {
        if let Some(rooms) = self.rooms.get(usize::from(shard.0)) {
            rooms.fetch_add(1, Relaxed);
        }
    }

    /// A room left a shard that it came to.
    fn left(&self, shard: ShardId) {
        if let Some(rooms) = self.rooms.get(usize::from(shard.0)) {
            rooms.fetch_sub(1, Relaxed);
        }
    }

    /// A shard has this hash of its name, now and for ever. Before any slot names the shard.
    pub(crate) fn name_hash(&self, shard: ShardId, hash: u64) {
        if let Some(seed) = self.seeds.get(usize::from(shard.0)) {
            seed.store(hash, Relaxed);
        }
    }

    /// What a slot adds to its leaf of the digest.
    fn fingerprint(&self, key: RoomKey, slot: &Slot) -> u64 {
        let seed = self.seeds.get(usize::from(slot.shard().0)).map_or(0, |seed| seed.load(Relaxed));
        slot.fingerprint(key, seed)
    }

    /// Removes what is over. Locks one group at a time.
    pub(crate) fn sweep(&self, now: Timestamp, ttl: u64, ended: Ended) -> Swept {
        let mut all = Swept { removed: 0, next: Timestamp(now.0.saturating_add(ttl)) };
        for group in 0..=u8::MAX {
            let swept = self.sweep_group(group, now, ttl, ended);
            all = Swept { removed: all.removed + swept.removed, next: all.next.min(swept.next) };
        }
        all
    }

    /// Removes what is over in one group.
    pub(crate) fn sweep_group(&self, group: u8, now: Timestamp, ttl: u64, ended: Ended) -> Swept {
        let mut next = Timestamp(now.0.saturating_add(ttl));
        let removed = self.group_mut(group).sweep(
            |slot| {
                let goes = slot.may_go(now, ttl, ended);
                if !goes && slot.tunnels() == 0 {
                    next = next.min(Timestamp(slot.last_seen().0.saturating_add(ttl)));
                }
                goes
            },
            |key, slot| {
                if !slot.is_ended() {
                    self.left(slot.shard());
                }
                self.release();
                self.fingerprint(key, slot)
            },
        );
        Swept { removed, next }
    }
}
