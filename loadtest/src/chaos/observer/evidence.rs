//! What the judge is told.

/// What is promised, in numbers.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Life of a pin after the room's last request, above one second. A room that nobody came to for longer is a new
    /// room.
    pub ttl_ms: u64,
    /// Most rooms that may be remembered, over all replicas; `None` where nothing is promised.
    pub bound: Option<usize>,
    /// Rooms beyond the bound that several replicas may let in at the same moment, each having space for one more.
    pub at_once: usize,
    /// After a partition, replicas may disagree for this long.
    pub agree_ms: u64,
    /// After a partition or a move, sessions may stay elsewhere for this long.
    pub settle_ms: u64,
    /// What happened to a shard may move its rooms this long after it is over: the time a probe takes to notice.
    pub notice_ms: u64,
    /// From when on a slow shard may be taken for dead.
    pub dead_slow_ms: u64,
    /// A room that is younger than this when a replica dies may be forgotten: its pin is not on disk yet. 0 where a
    /// replica's pins live on in the others.
    pub durable_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ttl_ms: 600_000,
            bound: None,
            at_once: 0,
            agree_ms: 2_000,
            settle_ms: 5_000,
            notice_ms: 5_000,
            dead_slow_ms: 800,
            durable_ms: 0,
        }
    }
}

/// How a shard was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a request of its own, which the proxy routed.
    Request,
    /// Through an open session.
    Session(u64),
}

/// A shard's answer.
#[derive(Clone, Copy, Debug)]
pub struct Contact<'a> {
    /// The room asked for.
    pub room: &'a str,
    /// The shard that answered.
    pub shard: &'a str,
    /// The replica between, from 1.
    pub replica: usize,
    /// How.
    pub how: How,
    /// When the request was sent.
    pub start_ms: u64,
    /// When the answer was there.
    pub end_ms: u64,
}

/// A request that no shard answered.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The room asked for.
    pub room: &'a str,
    /// The response's status, if there was one.
    pub status: Option<u16>,
    /// The replica asked, from 1.
    pub replica: usize,
    /// When it was sent.
    pub start_ms: u64,
    /// When it had failed.
    pub end_ms: u64,
}

/// What the script did. `Begins` and `Over` stand around the doing so that nothing is blamed on the proxy that may
/// have been the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A shard begins to die.
    ShardDies(String),
    /// It serves again.
    ShardLives(String),
    /// A shard becomes slower, or (zero) as before.
    ShardSlow(String, u64),
    /// The order to drain is known to all replicas.
    Draining(String),
    /// A shard is about to be ordered down.
    OrderedDown(String),
    /// All orders about it are about to be taken back (for draining), or are taken back (for down).
    OrdersBack(String),
    /// A shard is about to be taken off the list.
    Leaving(String),
    /// All replicas know that it is gone.
    Gone(String),
    /// A shard with this name is about to come (again).
    Comes(String),
    /// Somebody is about to be cut off.
    PartitionBegins,
    /// Nobody is cut off any more.
    PartitionOver,
    /// A replica is about to die or to be restarted.
    ReplicaDies,
    /// It is ready.
    ReplicaLives,
}
