//! The one way to change the table.

use std::sync::RwLockWriteGuard;

use super::{Table, group::Group, slot::Slot};
use crate::{room::RoomKey, time::Timestamp};

/// The table holds as many slots as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The place of one room, whose group is locked against everybody else while this lives.
///
/// Everything that changes a slot's record goes through here, so the digest, the rooms of each shard and the count of
/// slots follow by construction.
pub(crate) struct Place<'a> {
    table: &'a Table,
    key: RoomKey,
    group: RwLockWriteGuard<'a, Group>,
}

impl<'a> Place<'a> {
    pub(super) fn new(table: &'a Table, key: RoomKey, group: RwLockWriteGuard<'a, Group>) -> Self {
        Self { table, key, group }
    }

    /// What is there.
    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.group.get(self.key)
    }

    /// Puts a record there, in place of what was; open tunnels stay counted. A room that had no place takes one more,
    /// unless `max` are taken.
    pub(crate) fn put(&mut self, slot: Slot, max: usize) -> Result<(), Full> {
        let table = self.table;
        let new = table.fingerprint(self.key, &slot);
        let (comes_to, comes) = (slot.shard(), !slot.is_ended());
        let Some(held) = self.group.get_mut(self.key) else {
            if !table.reserve(max) {
                return Err(Full);
            }
            if !self.group.add(self.key, slot) {
                table.release();
                return Err(Full);
            }
            self.group.toggle(self.key, new);
            if comes {
                table.came(comes_to);
            }
            return Ok(());
        };
        let old = table.fingerprint(self.key, held);
        if !held.is_ended() {
            table.left(held.shard());
        }
        held.replace(slot);
        self.group.toggle(self.key, old ^ new);
        if comes {
            table.came(comes_to);
        }
        Ok(())
    }

    /// Ends what is there; `kept` for others to hear of it.
    pub(crate) fn end(&mut self, now: Timestamp, kept: bool) {
        let Some(held) = self.group.get_mut(self.key) else {
            return;
        };
        let old = self.table.fingerprint(self.key, held);
        if !held.is_ended() {
            self.table.left(held.shard());
        }
        held.end(now, kept);
        let new = self.table.fingerprint(self.key, held);
        self.group.toggle(self.key, old ^ new);
    }

    /// Removes what is there.
    pub(crate) fn remove(&mut self) {
        let Some(held) = self.group.get(self.key) else {
            return;
        };
        let old = self.table.fingerprint(self.key, held);
        if !held.is_ended() {
            self.table.left(held.shard());
        }
        self.group.remove(self.key);
        self.group.toggle(self.key, old);
        self.table.release();
    }

    /// A tunnel of the room is open.
    pub(crate) fn tunnel_opened(&mut self, now: Timestamp) {
        if let Some(held) = self.group.get_mut(self.key) {
            held.tunnel_opened(now);
        }
    }

    /// A tunnel of the room is closed.
    pub(crate) fn tunnel_closed(&mut self, now: Timestamp) {
        if let Some(held) = self.group.get_mut(self.key) {
            held.tunnel_closed(now);
        }
    }
}
