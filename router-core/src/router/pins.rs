//! The lives of pins: tunnels, operators, lists and the end.

use super::{Outcome, PinError, PinView, Router, Slot};
use crate::{
    pin::Pin,
    room::RoomKey,
    shard::{ShardId, ShardName},
    shard_set::ShardSet,
    table::{Ended, place::Full},
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
        let mut place = self.table.place(key);
        let here = match place.slot() {
            Some(slot) => !slot.is_ended() && slot.shard() == shard,
            None => {
                let made = Slot::made(shard, 1, self.decider, now);
                place.put(made, usize::MAX).is_ok()
            }
        };
        place.tunnel_opened(now);
        here
    }

    /// A tunnel of this room to this shard is closed; without others, the pin has its time to live from now on.
    ///
    /// Tunnels are counted by room alone: one to a shard that the room has left since holds the pin as well.
    pub fn tunnel_closed(&self, key: RoomKey, _shard: ShardId, now: Timestamp) {
        let mut place = self.table.place(key);
        place.tunnel_closed(now);
        if place.slot().is_some_and(|slot| slot.tunnels() == 0 && slot.is_ended()) {
            self.sweep_pays();
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
        let mut place = self.table.place(key);
        let live = place.slot().filter(|slot| !slot.is_over(now, self.ttl())).map(Slot::shard);
        if live != Some(shard) {
            self.put(&mut place, shard, now).map_err(|Full| PinError::TableFull)?;
        }
        // An operator's word is nobody's to take back by `decide_again`.
        place.slot().inspect(|slot| slot.touch(now));
        Ok(match live {
            None => Outcome::Made,
            Some(at) if at == shard => Outcome::Found,
            Some(from) => Outcome::Moved { from },
        })
    }

    /// An operator ends a room's pin; true if there was one. The next request decides anew.
    ///
    /// Tunnels stay counted, for they still have to be closed. This is for a replica that shares its pins with nobody;
    /// one that does tells the others by [`Router::end`].
    pub fn unpin(&self, key: RoomKey, now: Timestamp) -> bool {
        let mut place = self.table.place(key);
        let Some(slot) = place.slot() else {
            return false;
        };
        let (was_there, held) = (!slot.is_over(now, self.ttl()), slot.tunnels() > 0);
        if held {
            place.end(now, false);
        } else {
            place.remove();
        }
        was_there
    }

    /// An operator ends a room's pin, and other replicas are to hear of it: the record, if there was one to end.
    ///
    /// The ended record stays in the table for its time to live, so that no copy of it elsewhere revives the pin; only
    /// a full table forgets it before.
    pub fn end(&self, key: RoomKey, now: Timestamp) -> Option<Pin> {
        let mut place = self.table.place(key);
        place.slot().filter(|slot| !slot.is_over(now, self.ttl()))?;
        place.end(now, true);
        self.sweep_pays();
        let slot = place.slot()?;
        Some(slot.pin(self.set.load().name(slot.shard())?))
    }

    /// A room's pin, looked at without keeping it.
    #[must_use]
    pub fn lookup(&self, key: RoomKey, now: Timestamp) -> Option<PinView> {
        let look = |slot: &Slot| if slot.is_over(now, self.ttl()) { None } else { view(slot, &self.set.load()) };
        self.table.read(key, look).flatten()
    }

    /// Visits all pins, in no order; neither ended nor expired ones. A part of the table is locked while its pins are
    /// visited, so `f` must be quick and must not call this router.
    pub fn for_each_pin(&self, now: Timestamp, mut f: impl FnMut(RoomKey, PinView)) {
        (0..=u8::MAX).for_each(|group| self.for_each_pin_of(group, now, &mut f));
    }

    /// Visits the pins of one group, as [`Router::for_each_pin`] does: for those who have to wait between groups.
    pub fn for_each_pin_of(&self, group: u8, now: Timestamp, mut f: impl FnMut(RoomKey, PinView)) {
        let (held, ttl) = (self.table.group(group), self.ttl());
        // Loaded inside the lock: a shard is published before any pin names it.
        let set = self.set.load();
        let there = held.iter().filter(|(_, slot)| !slot.is_over(now, ttl));
        there.filter_map(|(key, slot)| Some((key, view(slot, &set)?))).for_each(|(key, view)| f(key, view));
    }

    /// Removes the pins whose time is over, and says how many.
    pub fn expire(&self, now: Timestamp) -> usize {
        self.table.sweep(now, self.ttl(), Ended::Expendable).removed
    }

    /// Removes the pins of one group whose time is over, and says how many. To be called for all 256 now and then: a
    /// walk over a million pins at once would keep requests waiting.
    pub fn expire_group(&self, group: u8, now: Timestamp) -> usize {
        self.table.sweep_group(group, now, self.ttl(), Ended::Expendable).removed
    }
}

fn view(slot: &Slot, set: &ShardSet) -> Option<PinView> {
    let shard = slot.shard();
    let name = set.name(shard)?;
    Some(PinView { pin: slot.pin(name), shard, tunnels: slot.tunnels() })
}
