//! The lives of pins: tunnels, operators, lists and the end.

use std::sync::atomic::Ordering::Relaxed;

use dashmap::Entry;

use super::{Outcome, PinError, PinView, Router, Slot};
use crate::{
    room::RoomKey,
    shard::{ShardId, ShardName},
    shard_set::ShardSet,
    time::Timestamp,
};

impl Router {
    /// A tunnel of this room to this shard is open, and holds the pin until [`Router::tunnel_closed`]. Each call must be
    /// followed by one of those.
    ///
    /// True if the room is on that shard; false if it was moved or unpinned since the caller was sent there, which
    /// means that the tunnel should be closed.
    ///
    /// A room unknown by now is pinned to the shard again, for somebody sits there; those few may exceed the bound on
    /// pins by the number of tunnels being opened.
    pub fn tunnel_opened(&self, key: RoomKey, shard: ShardId, now: Timestamp) -> bool {
        match self.table.entry(key) {
            Entry::Occupied(mut slot) => {
                let slot = slot.get_mut();
                slot.tunnels = slot.tunnels.saturating_add(1);
                slot.touch(now);
                !slot.is_ended() && slot.shard() == shard
            }
            Entry::Vacant(vacant) => {
                self.table.reserve(usize::MAX);
                self.table.came(shard);
                let mut slot = Slot::made(shard, 1, self.decider, now);
                slot.tunnels = 1;
                vacant.insert(slot);
                true
            }
        }
    }

    /// A tunnel of this room to this shard is closed; without others, the pin has its time to live from now on.
    ///
    /// Tunnels are counted by room alone: one to a shard that the room has left since holds the pin as well.
    pub fn tunnel_closed(&self, key: RoomKey, _shard: ShardId, now: Timestamp) {
        if let Some(mut slot) = self.table.get_mut(key) {
            slot.tunnels = slot.tunnels.saturating_sub(1);
            slot.touch(now);
            if slot.tunnels == 0 && slot.is_ended() {
                self.sweep_pays();
            }
        }
    }

    /// An operator pins a room, whatever the shard's state.
    ///
    /// # Errors
    /// When no such shard is there, or the room would be new and the table is full.
    pub fn pin(&self, key: RoomKey, shard: &ShardName, now: Timestamp) -> Result<Outcome, PinError> {
        let found = self.set.load().by_name(shard.as_str()).map(|s| s.id);
        let shard = found.ok_or(PinError::UnknownShard)?;
        match self.try_pin(key, shard, now) {
            Err(PinError::TableFull) if self.reclaim(now) => self.try_pin(key, shard, now),
            answer => answer,
        }
    }

    fn try_pin(&self, key: RoomKey, shard: ShardId, now: Timestamp) -> Result<Outcome, PinError> {
        let mut slot = match self.table.entry(key) {
            Entry::Occupied(slot) => slot,
            Entry::Vacant(vacant) => {
                if !self.table.reserve(self.max_pins.load(Relaxed)) {
                    return Err(PinError::TableFull);
                }
                self.table.came(shard);
                vacant.insert(Slot::made(shard, 1, self.decider, now)).touch(now);
                return Ok(Outcome::Made);
            }
        };
        let slot = slot.get_mut();
        let (at, over) = (slot.shard(), slot.is_over(now, self.ttl()));
        if over || at != shard {
            self.put(slot, shard, now);
        }
        // An operator's word is nobody's to take back by `decide_again`.
        slot.touch(now);
        Ok(match () {
            () if over => Outcome::Made,
            () if at == shard => Outcome::Found,
            () => Outcome::Moved { from: at },
        })
    }

    /// An operator ends a room's pin; true if there was one. The next request decides anew.
    ///
    /// Tunnels stay counted, for they still have to be closed.
    pub fn unpin(&self, key: RoomKey, now: Timestamp) -> bool {
        let Entry::Occupied(mut slot) = self.table.entry(key) else {
            return false;
        };
        let was_there = !slot.get().is_over(now, self.ttl());
        if !slot.get().is_ended() {
            self.table.left(slot.get().shard());
        }
        if slot.get().tunnels > 0 {
            slot.get_mut().end(now);
        } else {
            slot.remove();
            self.table.release();
        }
        was_there
    }

    /// A room's pin, looked at without keeping it.
    #[must_use]
    pub fn lookup(&self, key: RoomKey, now: Timestamp) -> Option<PinView> {
        let slot = self.table.get(key).filter(|slot| !slot.is_over(now, self.ttl()))?;
        view(&slot, &self.set.load())
    }

    /// Visits all pins, in no order; neither ended nor expired ones. A part of the table is locked while its pins are
    /// visited, so `f` must be quick and must not call this router.
    pub fn for_each_pin(&self, now: Timestamp, mut f: impl FnMut(RoomKey, PinView)) {
        let ttl = self.ttl();
        self.table.for_each(|key, slot| {
            if slot.is_over(now, ttl) {
                return;
            }
            // Loaded inside the lock: a shard is published before any pin names it.
            if let Some(view) = view(slot, &self.set.load()) {
                f(key, view);
            }
        });
    }

    /// Removes the pins whose time is over, and says how many. To be called now and then.
    pub fn expire(&self, now: Timestamp) -> usize {
        self.table.sweep(now, self.ttl()).removed
    }
}

fn view(slot: &Slot, set: &ShardSet) -> Option<PinView> {
    let shard = slot.shard();
    let name = set.name(shard)?;
    Some(PinView { pin: slot.pin(name), shard, tunnels: slot.tunnels })
}
