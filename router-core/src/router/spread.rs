//! The table for other replicas: lists, digests, and which rooms are in use.

use super::{Router, Slot};
use crate::{pin::Pin, room::RoomKey, shard_set::ShardSet, table::group::LEAVES, time::Timestamp};

/// How far a listing of the table has come. Pins come in chunks in the order of their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u128);

impl Router {
    /// The pins of one group (the keys with this first byte), or of one leaf in it (those with this second byte), in no
    /// order; ended ones too, but none whose time is past. A pin held by tunnels here counts as used now.
    ///
    /// A walk over the group either way: for many leaves ask [`Router::pins_of_leaves`], once.
    #[must_use]
    pub fn pins_of_group(&self, group: u8, leaf: Option<u8>, now: Timestamp) -> Vec<(RoomKey, Pin)> {
        self.pins_where(group, |at| leaf.is_none_or(|leaf| leaf == at), now)
    }

    /// The pins of several leaves of a group, as [`Router::pins_of_group`] has them, in the order of their keys.
    #[must_use]
    pub fn pins_of_leaves(&self, group: u8, leaves: &[u8], now: Timestamp) -> Vec<(RoomKey, Pin)> {
        let mut wanted = [false; LEAVES];
        leaves.iter().for_each(|&leaf| wanted[usize::from(leaf)] = true);
        let mut pins = self.pins_where(group, |leaf| wanted[usize::from(leaf)], now);
        pins.sort_unstable_by_key(|(key, _)| *key);
        pins
    }

    fn pins_where(&self, group: u8, leaf: impl Fn(u8) -> bool, now: Timestamp) -> Vec<(RoomKey, Pin)> {
        let held = self.table.group(group);
        // Loaded inside the lock: a shard is published before any slot names it.
        let (set, ttl) = (self.set.load(), self.ttl());
        let wanted = held.iter().filter(|(key, _)| leaf(key.leaf()));
        wanted.filter_map(|(key, slot)| Some((key, record(slot, &set, now, ttl)?))).collect()
    }

    /// The next pins of the whole table, at most `most` (but one at least), and where to go on; `None` at the end. They
    /// are the pins that [`Router::pins_of_group`] lists.
    ///
    /// A pin that is there from the first chunk to the last is listed exactly once, whatever comes and goes meanwhile.
    #[must_use]
    pub fn next_chunk(&self, cursor: Cursor, most: usize, now: Timestamp) -> (Vec<(RoomKey, Pin)>, Option<Cursor>) {
        let (most, from, ttl) = (most.max(1), RoomKey(cursor.0), self.ttl());
        let mut pins = Vec::new();
        for group in from.group()..=u8::MAX {
            let held = self.table.group(group);
            let set = self.set.load();
            let there = held.iter().filter(|(key, slot)| *key >= from && !slot.is_past(now, ttl));
            let mut keys: Vec<_> = there.map(|(key, _)| key).collect();
            let room = most - pins.len();
            let mut next = None;
            if keys.len() > room {
                next = Some(Cursor(keys.select_nth_unstable(room).1.0));
                keys.truncate(room);
            }
            let listed = keys.into_iter().filter_map(|key| {
                let slot = held.get(key)?;
                Some((key, record(slot, &set, now, ttl)?))
            });
            pins.extend(listed);
            if next.is_some() {
                return (pins, next);
            }
        }
        (pins, None)
    }

    /// For each of the 256 groups, XOR of the fingerprints of its pins: key, epoch, end, creation, decider and shard,
    /// but not the last use. Two replicas with equal digests have, but for a chance of 2⁻⁶⁴, equal pins.
    #[must_use]
    pub fn digest(&self) -> Vec<u64> {
        (0..=u8::MAX).map(|group| self.table.group(group).digest()).collect()
    }

    /// For each of the 256 leaves of a group, XOR of the fingerprints of its pins.
    #[must_use]
    pub fn leaves(&self, group: u8) -> Vec<u64> {
        self.table.group(group).leaves()
    }

    /// The rooms of a group that requests or tunnels of this replica used since this was last asked: key, epoch of the
    /// pin, and last use, which is now for those that tunnels hold.
    #[must_use]
    pub fn used_since(&self, group: u8, now: Timestamp) -> Vec<(RoomKey, u32, Timestamp)> {
        let held = self.table.group(group);
        let used = held.iter().filter(|(_, slot)| {
            let holds = slot.tunnels() > 0 && !slot.is_ended();
            if holds {
                slot.seen(now);
            }
            holds || (slot.take_used() && !slot.is_ended())
        });
        used.map(|(key, slot)| (key, slot.epoch(), slot.last_seen())).collect()
    }

    /// Another replica used a room; true if that is about the pin that is here, and its time is not past.
    pub fn seen(&self, key: RoomKey, epoch: u32, at: Timestamp, now: Timestamp) -> bool {
        // Whose clock is ahead makes no pin immortal.
        let at = at.min(now);
        let raise = |slot: &Slot| {
            let ours = slot.epoch() == epoch && !slot.is_ended();
            if ours {
                slot.seen(at);
            }
            ours && !slot.is_past(now, self.ttl())
        };
        self.table.read(key, raise).unwrap_or(false)
    }
}

/// A slot's record for others, unless its time is past. What tunnels hold is in use now.
pub(super) fn record(slot: &Slot, set: &ShardSet, now: Timestamp, ttl: u64) -> Option<Pin> {
    if slot.is_past(now, ttl) {
        return None;
    }
    let mut pin = slot.pin(set.name(slot.shard())?);
    if slot.tunnels() > 0 && !pin.ended {
        pin.last_seen = pin.last_seen.max(now);
    }
    Some(pin)
}
