//! A pin in 32 bytes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    pin::{DeciderId, Pin},
    shard::{ShardId, ShardName},
    time::Timestamp,
};

/// Somebody ended the pin.
const ENDED: u64 = 1;
/// Somebody besides the caller it was made for has been sent to its shard.
const SHARED: u64 = 2;
/// Times are kept in 48 bits: milliseconds for 8,900 years.
const TIME_BITS: u32 = 48;
const LATEST: u64 = (1 << TIME_BITS) - 1;

/// A [`Pin`] and the tunnels that hold it. With its 16-byte key it takes 48 bytes, so that a million pins, at the
/// table's worst load factor, stay around 100 MB.
#[derive(Debug)]
pub(crate) struct Slot {
    decider: u64,
    /// Milliseconds above, the shard's id in the low 16 bits.
    created_shard: u64,
    /// Milliseconds above, flags in the low 16 bits. Atomic, so that requests for a known room share the lock.
    seen_flags: AtomicU64,
    epoch: u32,
    /// Open tunnels of the room through this replica, whichever shard they go to.
    pub(crate) tunnels: u32,
}

fn packed(time: Timestamp, low: u64) -> u64 {
    (time.0.min(LATEST) << 16) | low
}

impl Slot {
    /// A pin made now.
    pub(crate) fn made(shard: ShardId, epoch: u32, decider: DeciderId, now: Timestamp) -> Self {
        Self {
            decider: decider.0,
            created_shard: packed(now, u64::from(shard.0)),
            seen_flags: AtomicU64::new(packed(now, 0)),
            epoch,
            tunnels: 0,
        }
    }

    /// A pin that is known from elsewhere; `shard` is the id of its shard's name.
    pub(crate) fn known(pin: &Pin, shard: ShardId) -> Self {
        let flags = SHARED | if pin.ended { ENDED } else { 0 };
        Self {
            decider: pin.decider.0,
            created_shard: packed(pin.created, u64::from(shard.0)),
            seen_flags: AtomicU64::new(packed(pin.last_seen, flags)),
            epoch: pin.epoch,
            tunnels: 0,
        }
    }

    /// The same room decided anew: one epoch on, its tunnels kept.
    pub(crate) fn redecide(&mut self, shard: ShardId, decider: DeciderId, now: Timestamp) {
        let tunnels = self.tunnels;
        *self = Self::made(shard, self.epoch.saturating_add(1), decider, now);
        self.tunnels = tunnels;
    }

    pub(crate) fn pin(&self, name: &ShardName) -> Pin {
        Pin {
            shard: name.clone(),
            epoch: self.epoch,
            ended: self.is_ended(),
            created: Timestamp(self.created_shard >> 16),
            decider: self.decider(),
            last_seen: self.last_seen(),
        }
    }

    pub(crate) fn shard(&self) -> ShardId {
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the id")]
        ShardId(self.created_shard as u16)
    }

    pub(crate) fn decider(&self) -> DeciderId {
        DeciderId(self.decider)
    }

    pub(crate) fn last_seen(&self) -> Timestamp {
        Timestamp(self.seen_flags.load(Relaxed) >> 16)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.seen_flags.load(Relaxed) & ENDED != 0
    }

    /// Only the caller that it was made for has been told of it.
    pub(crate) fn is_its_makers_alone(&self) -> bool {
        self.tunnels == 0 && self.seen_flags.load(Relaxed) & SHARED == 0
    }

    /// Its time has come: ended, or no tunnel and no request for `ttl` milliseconds.
    pub(crate) fn is_over(&self, now: Timestamp, ttl: u64) -> bool {
        let seen_flags = self.seen_flags.load(Relaxed);
        let idle = now.0.saturating_sub(seen_flags >> 16);
        seen_flags & ENDED != 0 || (self.tunnels == 0 && idle >= ttl)
    }

    /// A request was sent to its shard.
    ///
    /// Called under a shared lock: flags only ever gain SHARED there, and the times of concurrent callers only grow,
    /// so the maximum of the packed words is the later time with the flag set.
    pub(crate) fn touch(&self, now: Timestamp) {
        let old = self.seen_flags.load(Relaxed);
        let new = packed(now, (old & 0xffff) | SHARED);
        if new > old {
            self.seen_flags.fetch_max(new, Relaxed);
        } else if old & SHARED == 0 {
            // The caller's clock is behind: the time stays, the flag counts all the same.
            self.seen_flags.fetch_or(SHARED, Relaxed);
        }
    }

    /// Somebody ends it.
    pub(crate) fn end(&mut self, now: Timestamp) {
        self.touch(now);
        *self.seen_flags.get_mut() |= ENDED;
    }
}
