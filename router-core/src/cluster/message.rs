//! What replicas say to each other.

mod codec;

pub use self::codec::{DecodeError, MAX_MESSAGE};

use crate::{
    cluster::{ReplicaId, ReplicaState},
    pin::Pin,
    room::RoomKey,
    shard::{ShardName, ShardState},
    time::Timestamp,
};

/// Version of the messages. A release speaks its own and the one before.
pub const PROTOCOL: u16 = 1;

/// One message. `docs/cluster.md` tells what each is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A datagram of the membership protocol.
    Gossip(Vec<u8>),
    /// How the sender is; on a new connection, at every change, and every second.
    Status(Status),
    /// Asks for a room's pin, and for one to be made if there is none.
    Claim {
        /// Names the question on this connection.
        id: u32,
        /// The room.
        key: RoomKey,
        /// The shard that the room is pinned to, if the asker finds it down or gone.
        lost: Option<ShardName>,
        /// Asked on behalf of another replica: to be decided, not passed on.
        relayed: bool,
    },
    /// Answers a claim.
    Granted {
        /// The claim's.
        id: u32,
        /// The room's pin.
        pin: Pin,
    },
    /// Answers a claim.
    Refused {
        /// The claim's.
        id: u32,
        /// Why there is no pin.
        why: ClaimRefusal,
    },
    /// Tells the second in rank of a decision before anybody else hears of it.
    Propose {
        /// Names the proposal on this connection.
        id: u32,
        /// The room.
        key: RoomKey,
        /// The decision.
        pin: Pin,
    },
    /// Answers a proposal: taken down, go ahead.
    Accepted {
        /// The proposal's.
        id: u32,
    },
    /// Answers a proposal: there is a pin already.
    Existing {
        /// The proposal's.
        id: u32,
        /// That pin.
        pin: Pin,
    },
    /// Pins, to be merged.
    Pins(Vec<(RoomKey, Pin)>),
    /// Rooms in use: key, epoch of the pin, last use.
    Seen(Vec<(RoomKey, u32, Timestamp)>),
    /// To the owner of contested rooms: the sender's tunnels by shard.
    Census(Vec<(RoomKey, ShardName, u32)>),
    /// The owner's last word on contested rooms.
    Settled(Vec<(RoomKey, Pin)>),
    /// Repair, first step: a fingerprint for each of the 256 groups of the table.
    Digest(Vec<u64>),
    /// Repair, second step: the 256 fingerprints within a group that differs.
    Leaves {
        /// The group.
        group: u8,
        /// Its leaves' fingerprints.
        leaves: Vec<u64>,
    },
    /// Repair, third step: all pins of a leaf that differs.
    LeafPins {
        /// The group.
        group: u8,
        /// The leaf in it.
        leaf: u8,
        /// Its pins.
        pins: Vec<(RoomKey, Pin)>,
        /// Whether the sender wants the receiver's in return.
        answer: bool,
    },
    /// A joiner asks for the whole table.
    SnapshotRequest,
    /// A part of it, to be merged. Decisions pushed meanwhile come as [`Message::Pins`] and are no part of it.
    SnapshotPins(Vec<(RoomKey, Pin)>),
    /// That was all of it.
    SnapshotEnd {
        /// Pins sent.
        pins: u64,
    },
    /// The sender leaves on purpose.
    Goodbye,
}

/// How a replica is, and what it thinks of the shards.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The newest protocol that it speaks.
    pub protocol: u16,
    /// What it may be used for.
    pub state: ReplicaState,
    /// Shards that it has an opinion on.
    pub shards: Vec<ShardReport>,
    /// Operators' words that it knows.
    pub orders: Vec<Order>,
}

/// One shard as one replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardReport {
    /// The shard.
    pub shard: ShardName,
    /// Its probes say down, or its discovery says gone.
    pub down: bool,
    /// Tunnels through this replica.
    pub tunnels: u32,
}

/// An operator's word on a shard; the one with the larger `(at, by)` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The shard.
    pub shard: ShardName,
    /// `None` takes an earlier word back.
    pub state: Option<ShardState>,
    /// When it was spoken.
    pub at: Timestamp,
    /// To which replica.
    pub by: ReplicaId,
}

/// Why a claim is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimRefusal {
    /// No shard takes new rooms.
    NoShard,
    /// The table is full.
    TableFull,
    /// The room's shard is expected back.
    Awaited,
    /// The asked replica is joining: ask another.
    NotReady,
}
