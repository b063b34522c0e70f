//! A pin in 32 bytes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Ended;
use crate::{
    pin::{DeciderId, Pin},
    placement::mix,
    room::{RoomKey, low_u64},
    shard::{ShardId, ShardName},
    time::Timestamp,
};

/// Somebody ended the pin.
const ENDED: u64 = 1;
/// Somebody besides the caller it was made for has been sent to its shard.
const SHARED: u64 = 2;
/// A request or a tunnel here has used it since other replicas were last told of its use.
const USED: u64 = 4;
/// An ended pin that stays for its time, because other replicas have to hear of its end.
const KEPT: u64 = 8;
/// Times are kept in 48 bits: milliseconds for 8,900 years.
const TIME_BITS: u32 = 48;
const LATEST: u64 = (1 << TIME_BITS) - 1;
const FLAG_BITS: u64 = 0xffff;

/// A [`Pin`] and the tunnels that hold it. With its 16-byte key it takes 48 bytes.
#[derive(Debug)]
pub(crate) struct Slot {
    decider: u64,
    /// Milliseconds above, the shard's id in the low 16 bits.
    created_shard: u64,
    /// Milliseconds above, flags in the low 16 bits. Atomic, so that requests for a known room share the lock.
    seen_flags: AtomicU64,
    epoch: u32,
    /// Open tunnels of the room through this replica, whichever shard they go to.
    tunnels: u32,
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

    /// A pin that others know too; `shard` is the id of its shard's name.
    pub(crate) fn known(pin: &Pin, shard: ShardId) -> Self {
        let flags = SHARED | if pin.ended { ENDED | KEPT } else { 0 };
        Self {
            decider: pin.decider.0,
            created_shard: packed(pin.created, u64::from(shard.0)),
            seen_flags: AtomicU64::new(packed(pin.last_seen, flags)),
            epoch: pin.epoch,
            tunnels: 0,
        }
    }

    /// Another record for the same room; the tunnels stay counted.
    pub(super) fn replace(&mut self, new: Self) {
        *self = Self { tunnels: self.tunnels, ..new };
    }

    pub(crate) fn pin(&self, name: &ShardName) -> Pin {
        Pin {
            shard: name.clone(),
            epoch: self.epoch,
            ended: self.is_ended(),
            created: self.created(),
            decider: DeciderId(self.decider),
            last_seen: self.last_seen(),
        }
    }

    /// A number for the record but for its last use, equal in all replicas that hold it. `shard` is the hash of its
    /// shard's name.
    pub(crate) fn fingerprint(&self, key: RoomKey, shard: u64) -> u64 {
        let state = (u64::from(self.epoch) << 1) | u64::from(self.is_ended());
        [low_u64(key.0 >> 64), low_u64(key.0), state, self.created().0, self.decider, shard]
            .into_iter()
            .fold(0, |hash, field| mix(hash ^ field))
    }

    pub(crate) fn shard(&self) -> ShardId {
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the id")]
        ShardId(self.created_shard as u16)
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn tunnels(&self) -> u32 {
        self.tunnels
    }

    fn created(&self) -> Timestamp {
        Timestamp(self.created_shard >> 16)
    }

    pub(crate) fn last_seen(&self) -> Timestamp {
        Timestamp(self.seen_flags.load(Relaxed) >> 16)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.has(ENDED)
    }

    fn has(&self, flag: u64) -> bool {
        self.seen_flags.load(Relaxed) & flag != 0
    }

    /// Only the caller that it was made for has been told of it.
    pub(crate) fn is_its_makers_alone(&self) -> bool {
        self.tunnels == 0 && !self.has(SHARED)
    }

    /// No tunnel, and no request for `ttl` milliseconds: as good as not there.
    pub(crate) fn is_past(&self, now: Timestamp, ttl: u64) -> bool {
        self.tunnels == 0 && now.0.saturating_sub(self.last_seen().0) >= ttl
    }

    /// It says nothing any more about where the room is: ended, or past.
    pub(crate) fn is_over(&self, now: Timestamp, ttl: u64) -> bool {
        self.is_ended() || self.is_past(now, ttl)
    }

    /// A sweep may remove it.
    pub(super) fn may_go(&self, now: Timestamp, ttl: u64, ended: Ended) -> bool {
        let kept = ended == Ended::Expendable && self.has(KEPT);
        self.is_past(now, ttl) || (self.tunnels == 0 && self.is_ended() && !kept)
    }

    /// A request was sent to its shard.
    ///
    /// Called under a shared lock, where flags of one kind only come and of another only go, and times only grow; the
    /// flags come first, so that whatever word is the later one has them.
    pub(crate) fn touch(&self, now: Timestamp) {
        let mut old = self.seen_flags.load(Relaxed);
        if old & (SHARED | USED) != SHARED | USED {
            old = self.seen_flags.fetch_or(SHARED | USED, Relaxed);
        }
        let new = packed(now, (old & FLAG_BITS) | SHARED | USED);
        if new > old {
            self.seen_flags.fetch_max(new, Relaxed);
        }
    }

    /// It was used elsewhere. Called under a shared lock.
    pub(crate) fn seen(&self, at: Timestamp) {
        let later = |old: u64| (at.0.min(LATEST) > old >> 16).then(|| packed(at, old & FLAG_BITS));
        // An error means that a later use is known.
        _ = self.seen_flags.fetch_update(Relaxed, Relaxed, later);
    }

    /// Whether it was used here since this was last asked. Called under a shared lock.
    pub(crate) fn take_used(&self) -> bool {
        self.has(USED) && self.seen_flags.fetch_and(!USED, Relaxed) & USED != 0
    }

    pub(super) fn tunnel_opened(&mut self, now: Timestamp) {
        self.tunnels = self.tunnels.saturating_add(1);
        self.touch(now);
    }

    pub(super) fn tunnel_closed(&mut self, now: Timestamp) {
        self.tunnels = self.tunnels.saturating_sub(1);
        self.touch(now);
    }

    /// Somebody ends it.
    pub(super) fn end(&mut self, now: Timestamp, kept: bool) {
        self.touch(now);
        *self.seen_flags.get_mut() |= ENDED | if kept { KEPT } else { 0 };
    }
}
