//! The other side of joining: handing out the table, chunk by chunk, as fast as each joiner takes it but no faster than
//! the whole takes [`HANDOVER_TICKS`]: a joiner has some seconds, and rooms that open meanwhile want the processor too.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    cluster::{
        ReplicaId,
        message::Message,
        repair::{PinSource, estimate},
    },
    pin::Pin,
    room::RoomKey,
};

/// Joiners served at a time: each holds one group of the table (4,000 of a million pins) in memory.
const MAX_SERVED: usize = 4;
/// Joiners that wait. More are not answered, and ask elsewhere.
const MAX_WAITING: usize = 64;
/// Bytes of a chunk at most: the bulk lane takes no frame of more than 32 KiB.
const CHUNK: usize = 31 * 1024;

/// Ticks (10 ms each) that a table takes at least, unless it is small: of the 5 s that a joiner has, 3.
pub(super) const HANDOVER_TICKS: usize = 300;
/// Chunks in each tick that any table gets.
const LEAST_PER_TICK: usize = 6;

/// How far one joiner is.
#[derive(Debug, Default)]
struct Cursor {
    /// Chunks that may still go in this tick.
    allowance: usize,
    /// The bulk lane has room, but this tick's chunks are gone.
    held_back: bool,
    /// Chunks in a tick, by the size of the group read last.
    per_tick: usize,
    /// Pins read from the table that do not fit the last chunk.
    rest: Vec<(RoomKey, Pin)>,
    /// The next group to read; 256 at the end.
    group: u16,
    sent: u64,
}

/// The joiners that take this replica's table.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Serving {
    served: BTreeMap<ReplicaId, Cursor>,
    waiting: VecDeque<ReplicaId>,
}

impl Serving {
    /// A joiner asks. Who asks again starts again. Returns messages for the bulk lane: the first chunk, unless others
    /// come first.
    pub(in crate::cluster) fn request(&mut self, from: ReplicaId, table: &impl PinSource) -> Vec<(ReplicaId, Message)> {
        self.served.remove(&from);
        if !self.waiting.contains(&from) && self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(from);
        }
        self.admit(table)
    }

    /// The bulk lane to a replica has room: the next chunk, if the replica is being served.
    pub(in crate::cluster) fn drained(&mut self, to: ReplicaId, table: &impl PinSource) -> Vec<(ReplicaId, Message)> {
        let mut out = self.send(to, table);
        out.extend(self.admit(table));
        out
    }

    /// 10 ms have passed: more chunks may go.
    pub(in crate::cluster) fn tick(&mut self, table: &impl PinSource) -> Vec<(ReplicaId, Message)> {
        let mut ready = Vec::new();
        for (to, cursor) in &mut self.served {
            cursor.allowance = cursor.per_tick.max(LEAST_PER_TICK);
            if std::mem::take(&mut cursor.held_back) {
                ready.push(*to);
            }
        }
        let mut out: Vec<_> = ready.into_iter().flat_map(|to| self.send(to, table)).collect();
        out.extend(self.admit(table));
        out
    }

    /// A connection is gone; whoever waited may come in.
    pub(in crate::cluster) fn link_down(&mut self, to: ReplicaId, table: &impl PinSource) -> Vec<(ReplicaId, Message)> {
        self.served.remove(&to);
        self.waiting.retain(|waiting| *waiting != to);
        self.admit(table)
    }

    fn admit(&mut self, table: &impl PinSource) -> Vec<(ReplicaId, Message)> {
        let mut out = Vec::new();
        while self.served.len() < MAX_SERVED
            && let Some(next) = self.waiting.pop_front()
        {
            self.served.insert(next, Cursor { allowance: LEAST_PER_TICK, ..Cursor::default() });
            out.extend(self.send(next, table));
        }
        out
    }

    /// One chunk, and the end behind the last one; or nothing before the next tick.
    fn send(&mut self, to: ReplicaId, table: &impl PinSource) -> Vec<(ReplicaId, Message)> {
        let Some(cursor) = self.served.get_mut(&to) else { return Vec::new() };
        let Some(allowance) = cursor.allowance.checked_sub(1) else {
            cursor.held_back = true;
            return Vec::new();
        };
        cursor.allowance = allowance;
        let pins = cursor.chunk(table);
        cursor.sent += pins.len() as u64;
        let mut out = Vec::new();
        if !pins.is_empty() {
            out.push((to, Message::SnapshotPins(pins)));
        }
        if cursor.is_at_end() {
            out.push((to, Message::SnapshotEnd { pins: cursor.sent }));
            self.served.remove(&to);
        }
        out
    }
}

impl Cursor {
    fn is_at_end(&self) -> bool {
        self.rest.is_empty() && self.group > u16::from(u8::MAX)
    }

    /// Pins up to the size of a chunk; fewer only at the end.
    fn chunk(&mut self, table: &impl PinSource) -> Vec<(RoomKey, Pin)> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        loop {
            while let Some((key, pin)) = self.rest.pop() {
                bytes += estimate(&pin);
                if bytes > CHUNK {
                    self.rest.push((key, pin));
                    return chunk;
                }
                chunk.push((key, pin));
            }
            let Ok(group) = u8::try_from(self.group) else { return chunk };
            self.rest = table.pins_of_group(group);
            let bytes = self.rest.first().map_or(0, |(_, pin)| self.rest.len() * estimate(pin));
            self.per_tick = (bytes * 256).div_ceil(CHUNK * HANDOVER_TICKS);
            self.group += 1;
        }
    }
}
