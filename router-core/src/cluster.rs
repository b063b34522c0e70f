//! Replicas that share the sticky table: one state machine for membership, claims, spreading, repair and healing.
//!
//! [`Cluster::handle`] takes one [`Input`] and the time and returns what is to be done. It opens no socket; the edge
//! carries messages between replicas and tells what became of connections.

mod claim;
mod drive;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod heal;
mod join;
mod members;
pub mod message;
mod owner;
mod repair;
mod spread;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use self::{
    claim::Claims,
    heal::Contests,
    join::{Join, Serving},
    members::Members,
    message::Message,
    repair::Repair,
    spread::Spread,
};
use crate::{
    registry::ShardEvent,
    room::RoomKey,
    router::{Decision, Refusal, Router},
    shard::{ShardId, ShardName, ShardState},
    time::Timestamp,
};

/// A replica: one process from its start to its end. Random, and the same number as its pins' [`crate::pin::DeciderId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A replica as others know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its number.
    pub id: ReplicaId,
    /// Where its mesh port is dialled.
    pub address: SocketAddr,
    /// When it started; of two with one address the later one is the living one.
    pub started: Timestamp,
}

/// What a replica may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// Still taking over the table: owns no room.
    Joining,
    /// Owns its share of rooms.
    Ready,
    /// On its way out: owns no room any more.
    Draining,
}

impl ReplicaState {
    /// The word in logs, metrics and the admin API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// Which queue of a connection a message waits in. Bulk never delays urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Claims, liveness, decisions.
    Urgent,
    /// Snapshots and repair.
    Bulk,
}

/// What happens to a replica.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time has passed; every 10 ms, for claims are timed by it.
    Tick,
    /// An authenticated connection to a replica is there.
    LinkUp(Node),
    /// It is gone.
    LinkDown(ReplicaId),
    /// A message came over it.
    Received {
        /// The replica at its other end.
        from: ReplicaId,
        /// What it says.
        message: Message,
    },
    /// A request asks for a room that is unknown, or whose shard is lost; [`Output::Answer`] with the ticket follows, once.
    Wanted {
        /// The room.
        key: RoomKey,
        /// Names the request.
        ticket: u64,
    },
    /// Addresses at which peers are expected.
    Peers(Vec<SocketAddr>),
    /// An operator's word on a shard, spoken to this replica.
    Ordered {
        /// The shard.
        shard: ShardName,
        /// `None` takes an earlier word back.
        state: Option<ShardState>,
    },
    /// An operator has pinned, moved or ended a room at this replica, whose table has it already.
    Changed {
        /// The room.
        key: RoomKey,
    },
    /// Tunnels of this replica by shard; now and then, for others to see.
    Tunnels(Vec<(ShardName, u32)>),
    /// The bulk lane to a replica has room for another chunk.
    BulkDrained(ReplicaId),
    /// Urgent messages to a replica were dropped, because it takes them too slowly.
    Overflowed(ReplicaId),
    /// This replica is told to leave: it owns no rooms from now on.
    Leave,
    /// It leaves now.
    Quit,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message over the connection to a replica, if there is one.
    Send {
        /// The replica.
        to: ReplicaId,
        /// In which queue.
        lane: Lane,
        /// What to say.
        message: Message,
    },
    /// Connect to a member to which there is no connection.
    Dial(SocketAddr),
    /// A request's answer.
    Answer {
        /// From [`Input::Wanted`].
        ticket: u64,
        /// Where the room is.
        result: Result<Decision, Refusal>,
    },
    /// End the room's tunnels on other shards: its people are elsewhere.
    CloseTunnels {
        /// The room.
        key: RoomKey,
        /// Where they may stay; `None` when the room's pin was ended and it is nowhere.
        except: Option<ShardId>,
    },
    /// Shards changed by what other replicas say.
    Shards(Vec<ShardEvent>),
    /// Something for metrics and logs.
    Event(ClusterEvent),
}

/// Something worth counting.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterEvent {
    /// A claim of this replica's requests has ended.
    Claimed {
        /// How.
        outcome: ClaimOutcome,
        /// How long its first request waited.
        waited: Duration,
    },
    /// This replica has decided where a room goes.
    Decided(Decision),
    /// The second in rank did not confirm a decision in time; it was taken all the same.
    Unconfirmed,
    /// Two live pins of one room met.
    Conflict {
        /// The room.
        key: RoomKey,
    },
    /// A contested room has its shard.
    Settled {
        /// The room.
        key: RoomKey,
        /// Its shard.
        shard: ShardId,
    },
    /// A replica is seen for the first time, or again.
    MemberUp(Node),
    /// A replica is gone: silent, or with a goodbye.
    MemberDown(Node),
    /// A replica has changed its state, this one included.
    MemberState(ReplicaId, ReplicaState),
    /// A repair with a replica found so many groups of the table different.
    Different {
        /// The replica.
        with: ReplicaId,
        /// Groups of 256.
        groups: u32,
    },
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimOutcome {
    /// This replica owned the room.
    Own,
    /// The owner answered.
    Owner,
    /// Another replica answered, because the owner did not.
    Successor,
    /// Nobody answered in time; this replica decided.
    Fallback,
    /// The room cannot be placed now.
    Refused,
}

/// What a replica is told once about sharing.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSettings {
    /// Longest that a request waits for others before this replica decides alone.
    pub claim_timeout: Duration,
    /// Chance: who is probed and repaired with next.
    pub seed: u64,
}

/// What a replica has begun and not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Rooms that somebody waits for.
    pub claims: usize,
    /// Questions to other replicas, without an answer as yet.
    pub questions: usize,
    /// Rooms that were found on two shards, those settled a moment ago included.
    pub contests: usize,
}

/// One replica's share of the protocol. See the module.
pub struct Cluster {
    me: Node,
    router: Arc<Router>,
    settings: ClusterSettings,
    members: Members,
    join: Join,
    /// Since when a joiner has the table.
    has_table: Option<Timestamp>,
    serving: Serving,
    repair: Repair,
    claims: Claims,
    contests: Contests,
    spread: Spread,
    out: Vec<Output>,
}

impl Cluster {
    /// A replica that knows nobody yet, with the table that its requests use.
    #[must_use]
    pub fn new(me: Node, router: Arc<Router>, settings: ClusterSettings, now: Timestamp) -> Self {
        Self {
            me,
            router,
            settings,
            members: Members::new(me, settings.seed, now),
            join: Join::new(now),
            has_table: None,
            serving: Serving::default(),
            repair: Repair::new(me.id, settings.seed, now),
            claims: Claims::default(),
            contests: Contests::default(),
            spread: Spread::new(now),
            out: Vec::new(),
        }
    }

    /// Takes one input and returns what is to be done, in this order.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Output> {
        match input {
            Input::Tick => self.tick(now),
            Input::LinkUp(node) => self.link_up(node, now),
            Input::LinkDown(id) => self.link_down(id, now),
            Input::Received { from, message } => self.received(from, message, now),
            Input::Wanted { key, ticket } => self.wanted(key, ticket, now),
            Input::Peers(addresses) => {
                // Some lists have this replica's own address and some have not.
                let others = addresses.iter().filter(|address| **address != self.me.address).count();
                self.join.expect(others + 1);
            }
            Input::Ordered { shard, state } => self.ordered(shard, state, now),
            Input::Changed { key } => self.push(key, now),
            Input::Tunnels(tunnels) => self.spread.count_tunnels(tunnels),
            Input::BulkDrained(id) => self.bulk_drained(id, now),
            Input::Overflowed(id) => self.repair.overflowed(id),
            Input::Leave => self.leave(now),
            Input::Quit => self.quit(now),
        }
        self.flush();
        std::mem::take(&mut self.out)
    }

    /// Claims that begin from now on wait so long for others.
    pub fn set_claim_timeout(&mut self, claim_timeout: Duration) {
        self.settings.claim_timeout = claim_timeout;
    }

    /// What this replica may be used for.
    #[must_use]
    pub fn state(&self) -> ReplicaState {
        self.members.state()
    }

    /// What is under way: for tests and metrics. All of it is nothing again when all is quiet.
    #[must_use]
    pub fn under_way(&self) -> UnderWay {
        let (claims, questions) = self.claims.counts();
        UnderWay { claims, questions, contests: self.contests.count() }
    }

    /// The replicas that are live as this one sees it, itself included.
    pub fn live(&self) -> impl Iterator<Item = (Node, ReplicaState)> + '_ {
        self.members.live()
    }
}
