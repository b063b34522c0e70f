//! Pins from elsewhere: other replicas, a snapshot, this replica's own claims.

use std::{
    cmp::Ordering::{Greater, Less},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use super::{Decision, Inserted, Merged, Outcome, Refusal, Router, Slot};
use crate::{
    pin::Pin,
    room::RoomKey,
    shard::ShardId,
    table::place::{Full, Place},
    time::Timestamp,
};

impl Router {
    /// Takes a pin from elsewhere, if it is greater than what is here ([`Pin::rank`]): the only door for such pins.
    ///
    /// Commutative, associative and idempotent, so that replicas agree in whatever order pins reach them (invariant 2).
    /// A pin that differs in its last use alone brings the later one. A pin whose time has passed is refused, for here
    /// it may have been forgotten already, and must not come back; what is here and past counts as not here. Nobody
    /// uses a room in the future: such a time becomes `now`. Tunnels stay counted.
    ///
    /// A shard without a name here gets one, and its rooms wait for it as after a restart.
    pub fn merge(&self, key: RoomKey, pin: Pin, now: Timestamp) -> Merged {
        let pin = not_later(pin, now);
        if now.since(pin.last_seen) >= Duration::from_millis(self.ttl()) {
            return Merged::Stale;
        }
        let Some(shard) = self.number(&pin, now) else {
            return Merged::Full;
        };
        let take = || self.take(&mut self.table.place(key), &pin, shard, now);
        match take() {
            Merged::Full if self.reclaim(now) => take(),
            merged => merged,
        }
    }

    /// Takes the pin that was chosen or granted for a request of this replica, unless a greater one is here by now, and
    /// says what is here then. Who asks is about to use it, so it counts as used now.
    ///
    /// If an end that the granter has not heard of outranks the pin, the room comes to the pin's shard one epoch after
    /// the end; the caller must tell others of the pin returned.
    ///
    /// # Errors
    /// [`Refusal::TableFull`] when the room is unknown and the table full.
    pub fn insert(&self, key: RoomKey, pin: Pin, now: Timestamp) -> Result<Inserted, Refusal> {
        let pin = not_later(Pin { last_seen: now, ..pin }, now);
        let shard = self.number(&pin, now).ok_or(Refusal::TableFull)?;
        match self.try_insert(key, &pin, shard, now) {
            Err(Refusal::TableFull) if self.reclaim(now) => self.try_insert(key, &pin, shard, now),
            answer => answer,
        }
    }

    fn try_insert(&self, key: RoomKey, pin: &Pin, shard: ShardId, now: Timestamp) -> Result<Inserted, Refusal> {
        let mut place = self.table.place(key);
        let before = place.slot().filter(|slot| !slot.is_over(now, self.ttl())).map(Slot::shard);
        let merged = self.take(&mut place, pin, shard, now);
        if place.slot().is_none_or(Slot::is_ended) {
            // Vacant means full, which this tells.
            self.put(&mut place, shard, now).map_err(|Full| Refusal::TableFull)?;
        }
        let slot = place.slot().ok_or(Refusal::TableFull)?;
        slot.touch(now);
        let outcome = match before {
            None => Outcome::Made,
            Some(at) if at == slot.shard() => Outcome::Found,
            Some(from) => Outcome::Moved { from },
        };
        let set = self.set.load();
        let pin = set.name(slot.shard()).map_or_else(|| pin.clone(), |name| slot.pin(name));
        Ok(Inserted { decision: Decision { shard: slot.shard(), outcome }, pin, merged })
    }

    /// The pin enters the room's place, or not. Its times are checked; `shard` is the number of its shard.
    fn take(&self, place: &mut Place<'_>, pin: &Pin, shard: ShardId, now: Timestamp) -> Merged {
        let set = self.set.load();
        let held = place.slot().filter(|slot| !slot.is_past(now, self.ttl()));
        let known = held.and_then(|slot| Some((slot.pin(set.name(slot.shard())?), slot.shard(), slot.tunnels())));
        let put = |place: &mut Place<'_>| place.put(Slot::known(pin, shard), self.max_pins.load(Relaxed));
        let Some((ours, at, tunnels)) = known else {
            return if put(place).is_ok() { Merged::Taken } else { Merged::Full };
        };
        let apart = at != shard && !ours.ended && !pin.ended;
        let same_use = Pin { last_seen: pin.last_seen, ..ours.clone() };
        match same_use.rank(pin) {
            Greater if apart => Merged::Conflict { ours: at, theirs: shard, tunnels },
            Less => match put(place) {
                Err(Full) => Merged::Full,
                Ok(()) if apart => Merged::Moved { from: at, to: shard, tunnels },
                Ok(()) => Merged::Taken,
            },
            Greater => Merged::Unchanged,
            std::cmp::Ordering::Equal => {
                place.slot().inspect(|slot| slot.seen(pin.last_seen));
                Merged::Unchanged
            }
        }
    }

    /// The number of a pin's shard. A living pin's shard that nobody has discovered yet gets a place, published before
    /// any slot names it. `None` when there are too many names.
    fn number(&self, pin: &Pin, now: Timestamp) -> Option<ShardId> {
        if let Some(shard) = self.set.load().by_name(pin.shard.as_str()) {
            return Some(shard.id);
        }
        let mut registry = self.registry();
        let id = if pin.ended {
            registry.number(&pin.shard)
        } else {
            registry.keep_place(&pin.shard, now + self.restored_hold)
        };
        self.publish(&registry);
        id
    }
}

/// A clock ahead of ours must make no pin immortal. When it was made is left as its maker said, right or wrong: that is
/// part of its rank, in which all replicas must agree.
fn not_later(pin: Pin, now: Timestamp) -> Pin {
    let last_seen = pin.last_seen.min(now);
    Pin { last_seen, ..pin }
}
