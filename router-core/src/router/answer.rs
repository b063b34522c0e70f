//! What the router answers.

use crate::{pin::Pin, shard::ShardId};

/// Where a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// On this shard.
    Pinned(ShardId),
    /// Nowhere: nobody has decided, or the pin's time is over.
    Unknown,
    /// On a shard that is down or gone; the next decision moves it.
    Lost(ShardId),
    /// On a shard that is not discovered yet after a restart; worth waiting for.
    Awaited(ShardId),
}

/// Where a room goes, and how that came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The shard.
    pub shard: ShardId,
    /// How it came about.
    pub outcome: Outcome,
}

/// How a decision came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stood already.
    Found,
    /// The room had no shard and got this one.
    Made,
    /// The room was elsewhere.
    Moved {
        /// Where it was.
        from: ShardId,
    },
}

/// Why a room gets no shard now. All of them are a 503 for the client, worth a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No shard takes new rooms, but for those to avoid.
    #[error("no shard is ready for a room")]
    NoShard,
    /// The table holds as many pins as it may, and none is over.
    #[error("the table of pins is full")]
    TableFull,
    /// The room's shard is not discovered yet after a restart.
    #[error("the room's shard is not discovered yet")]
    Awaited,
    /// This replica has just started, and nobody who has the table could be asked.
    #[error("this replica does not know yet where rooms are")]
    Joining,
}

/// Why an operator's pin is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// No shard of this name is there.
    #[error("there is no shard of this name")]
    UnknownShard,
    /// The table holds as many pins as it may, and none is over.
    #[error("the table of pins is full")]
    TableFull,
}

/// A pin as the admin API and the snapshot see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinView {
    /// The record.
    pub pin: Pin,
    /// Its shard's number in this process.
    pub shard: ShardId,
    /// Open tunnels of the room through this replica.
    pub tunnels: u32,
}

/// What became of the pins of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// In the table now.
    pub restored: usize,
    /// Over by their time, or ended.
    pub expired: usize,
    /// Beyond the bound on pins or on shard names.
    pub refused: usize,
}

/// What became of a pin from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// What is here says the same, or ranks higher and is no other living shard.
    Unchanged,
    /// It is here now, and no living pin on another shard gave way to it.
    Taken,
    /// It is here now; a living pin on another shard gave way.
    Moved {
        /// Where the room was.
        from: ShardId,
        /// Where it is.
        to: ShardId,
        /// Open tunnels of the room through this replica, whichever shard they go to.
        tunnels: u32,
    },
    /// What is here ranks higher and stays, and the other is a living pin on another shard.
    Conflict {
        /// Where the room is.
        ours: ShardId,
        /// Where the other pin has it.
        theirs: ShardId,
        /// Open tunnels of the room through this replica, whichever shard they go to.
        tunnels: u32,
    },
    /// Not taken: its time to live has passed since anybody used it.
    Stale,
    /// Not taken: the room is unknown and the table full, or there are too many shard names.
    Full,
}

/// What is there after [`super::Router::insert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Where the room is, and how that came about here.
    pub decision: Decision,
    /// The room's pin.
    pub pin: Pin,
    /// How the inserted pin and an earlier one got along.
    pub merged: Merged,
}
