//! A pin: the record that a room is on a shard, and which of two such records holds.

#[cfg(test)]
mod tests;

use std::cmp::{Ordering, Reverse};

use serde::{Deserialize, Serialize};

use crate::{shard::ShardName, time::Timestamp};

/// Which process decided: a random number that each start of a replica draws anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeciderId(pub u64);

/// The record that a room is on a shard, as replicas and snapshots exchange it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pin {
    /// Where the room is.
    pub shard: ShardName,
    /// Counts the decisions about this room; each is one more than the last one its maker knew.
    pub epoch: u32,
    /// Somebody ended it before its time.
    pub ended: bool,
    /// When it was decided.
    pub created: Timestamp,
    /// Who decided it.
    pub decider: DeciderId,
    /// The last request for the room.
    pub last_seen: Timestamp,
}

impl Pin {
    /// Which of two records about one room holds: the greater.
    ///
    /// The later epoch; within one, an end beats a life, and the first writer beats the second. The rest only makes
    /// the order total over all fields, which makes [`Pin::merge`] a maximum, hence commutative, associative and
    /// idempotent: replicas agree in whatever order records reach them. Causality rests on the epoch alone; skewed
    /// clocks decide no more than which of two simultaneous writers wins.
    #[must_use]
    pub fn rank(&self, other: &Self) -> Ordering {
        let of = |pin: &Self| (pin.epoch, pin.ended, Reverse(pin.created), Reverse(pin.decider));
        of(self)
            .cmp(&of(other))
            .then_with(|| other.shard.cmp(&self.shard))
            .then_with(|| self.last_seen.cmp(&other.last_seen))
    }

    /// The one of two records about one room that holds.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.rank(&other).is_lt() { other } else { self }
    }
}
