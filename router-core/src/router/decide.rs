//! Deciding where a room goes.

use std::sync::atomic::Ordering::Relaxed;

use dashmap::Entry;

use super::{Decision, Outcome, Refusal, Router, Slot, Standing, standing};
use crate::{room::RoomKey, shard::ShardId, time::Timestamp};

/// Milliseconds between sweeps of a full table at least: a sweep of a million pins takes some ten.
const SWEEP_PAUSE: u64 = 200;

impl Router {
    /// Where a room goes: where it is, or where placement puts it, and then it is there. Atomic per room: of callers at
    /// one time one decides and the others find (invariant 1).
    ///
    /// A room leaves its shard only if that is down or gone (invariant 4): `avoid`, the shards that this request
    /// failed to reach, bears on new rooms and on moves only.
    ///
    /// # Errors
    /// When the room has no shard and cannot get one now; nothing has changed then.
    pub fn decide(&self, key: RoomKey, now: Timestamp, avoid: &[ShardId]) -> Result<Decision, Refusal> {
        self.decide_or_reclaim(key, now, avoid, false)
    }

    /// The question of a caller to whom [`Router::decide`] said `Made` or `Moved` and who could then not connect to that
    /// shard: `failed` are all shards that it could not reach. As long as nobody else was sent to the shard for this
    /// room and no tunnel holds it there, nobody can be split from anybody, and the room moves on; else it stays.
    ///
    /// # Errors
    /// As [`Router::decide`].
    pub fn decide_again(&self, key: RoomKey, now: Timestamp, failed: &[ShardId]) -> Result<Decision, Refusal> {
        self.decide_or_reclaim(key, now, failed, true)
    }

    fn decide_or_reclaim(
        &self,
        key: RoomKey,
        now: Timestamp,
        avoid: &[ShardId],
        by_maker: bool,
    ) -> Result<Decision, Refusal> {
        match self.try_decide(key, now, avoid, by_maker) {
            Err(Refusal::TableFull) if self.reclaim(now) => self.try_decide(key, now, avoid, by_maker),
            answer => answer,
        }
    }

    fn try_decide(&self, key: RoomKey, now: Timestamp, avoid: &[ShardId], by_maker: bool) -> Result<Decision, Refusal> {
        let entry = self.table.entry(key);
        // Read inside the lock: of two decisions about one room, the later one sees no older shards.
        let set = self.set.load();
        let place = || self.place(key, &set, avoid).ok_or(Refusal::NoShard);
        let mut slot = match entry {
            Entry::Occupied(slot) => slot,
            Entry::Vacant(vacant) => {
                let shard = place()?;
                if !self.table.reserve(self.max_pins.load(Relaxed)) {
                    return Err(Refusal::TableFull);
                }
                self.table.came(shard);
                vacant.insert(Slot::made(shard, 1, self.decider, now));
                return Ok(Decision { shard, outcome: Outcome::Made });
            }
        };
        let slot = slot.get_mut();
        let at = slot.shard();
        if slot.is_over(now, self.ttl()) {
            let shard = place()?;
            self.put(slot, shard, now);
            return Ok(Decision { shard, outcome: Outcome::Made });
        }
        let movable = by_maker && avoid.contains(&at) && slot.is_its_makers_alone();
        match standing(set.get(at), now) {
            Standing::Awaited => {
                slot.touch(now);
                Err(Refusal::Awaited)
            }
            Standing::Usable if !movable => {
                slot.touch(now);
                Ok(Decision { shard: at, outcome: Outcome::Found })
            }
            Standing::Usable | Standing::Lost => {
                let shard = place()?;
                self.put(slot, shard, now);
                Ok(Decision { shard, outcome: Outcome::Moved { from: at } })
            }
        }
    }

    /// Decides a slot anew, and keeps count. The slot's place is locked.
    pub(super) fn put(&self, slot: &mut Slot, shard: ShardId, now: Timestamp) {
        if !slot.is_ended() {
            self.table.left(slot.shard());
        }
        slot.redecide(shard, self.decider, now);
        self.table.came(shard);
    }

    /// Makes room in a full table by sweeping it, if that can pay; true if it did.
    ///
    /// Nobody holds a lock of the table here. At most one caller sweeps at a time, and none before the next pin is over.
    pub(super) fn reclaim(&self, now: Timestamp) -> bool {
        let due = self.next_sweep.load(Relaxed);
        let pause = now.0.saturating_add(SWEEP_PAUSE);
        if now.0 < due || self.next_sweep.compare_exchange(due, pause, Relaxed, Relaxed).is_err() {
            return false;
        }
        let swept = self.table.sweep(now, self.ttl());
        // Unless somebody said meanwhile that a sweep pays.
        let next = swept.next.0.max(pause);
        _ = self.next_sweep.compare_exchange(pause, next, Relaxed, Relaxed);
        swept.removed > 0
    }
}
