//! Deciding without doing it yet: what a replica proposes to another one before anybody hears of it.

use std::sync::atomic::Ordering::Relaxed;

use super::{Refusal, Router, Slot, Standing, spread::record, standing};
use crate::{pin::Pin, room::RoomKey, shard::ShardId, time::Timestamp};

impl Router {
    /// What is known of a room, ended or not, but not if its time is past: the record, its shard's number, and the open
    /// tunnels through this replica. Keeps nothing alive.
    #[must_use]
    pub fn get(&self, key: RoomKey, now: Timestamp) -> Option<(Pin, ShardId, u32)> {
        let look = |slot: &Slot| {
            let pin = record(slot, &self.set.load(), now, self.ttl())?;
            Some((pin, slot.shard(), slot.tunnels()))
        };
        self.table.read(key, look).flatten()
    }

    /// A room's living pin, if its shard is neither down nor gone; it may be awaited. Keeps nothing alive.
    #[must_use]
    pub fn usable(&self, key: RoomKey, now: Timestamp) -> Option<Pin> {
        let (pin, shard, _) = self.get(key, now)?;
        let lost = matches!(standing(self.set.load().get(shard), now), Standing::Lost);
        (!pin.ended && !lost).then_some(pin)
    }

    /// The pin that [`Router::decide`] would make now, without making it: to be proposed, then passed to
    /// [`Router::insert`]. For a room that has a usable pin, that one.
    ///
    /// Choices that are not inserted yet count neither as load nor against the bound.
    ///
    /// # Errors
    /// As [`Router::decide`].
    pub fn choose(&self, key: RoomKey, now: Timestamp) -> Result<Pin, Refusal> {
        let set = self.set.load();
        let known = self.table.read(key, |slot| {
            let live = if slot.is_ended() { None } else { record(slot, &set, now, self.ttl()) };
            (slot.epoch(), slot.shard(), live)
        });
        let epoch = match &known {
            None => 1,
            Some((epoch, shard, live)) => {
                match (live, standing(set.get(*shard), now)) {
                    (Some(pin), Standing::Usable) => return Ok(pin.clone()),
                    (Some(_), Standing::Awaited) => return Err(Refusal::Awaited),
                    (Some(_), Standing::Lost) | (None, _) => {}
                }
                epoch.saturating_add(1)
            }
        };
        let shard = self.place(key, &set, &[]).and_then(|id| set.name(id)).ok_or(Refusal::NoShard)?;
        let full = || self.table.len() >= self.max_pins.load(Relaxed);
        if known.is_none() && full() && !self.reclaim(now) && full() {
            return Err(Refusal::TableFull);
        }
        let (created, decider) = (now, self.decider);
        Ok(Pin { shard: shard.clone(), epoch, ended: false, created, decider, last_seen: now })
    }
}
