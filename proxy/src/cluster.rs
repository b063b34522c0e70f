//! This replica's place among the others: carries what happens to the state machine of `router-core`, and carries out
//! what it wants done.
//!
//! One task owns the state machine. Requests meet it only for rooms that the table does not know.

mod task;

use std::{sync::Arc, time::Duration};

use router_core::{
    cluster::{Node, ReplicaState},
    room::RoomKey,
    router::{Decision, Refusal},
    shard::{ShardName, ShardState},
};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::task::{ClusterParts, start};

/// Questions that may wait for the task; beyond it requests wait their turn.
const INBOX: usize = 4096;

/// What the rest of the process asks of the cluster.
#[derive(Debug)]
enum Ask {
    /// Where an unknown or lost room goes.
    Room { key: RoomKey, answer: oneshot::Sender<Result<Decision, Refusal>> },
    /// An operator's word on a shard; answered when the registry has it.
    Order { shard: ShardName, state: Option<ShardState>, taken: oneshot::Sender<()> },
    /// An operator has changed a room's pin in the table.
    Changed(RoomKey),
    /// How long claims wait from now on.
    ClaimTimeout(Duration),
    /// Own no rooms any more.
    Leave,
    /// Say goodbye; answered when it is said.
    Quit(oneshot::Sender<()>),
}

/// Longest that a goodbye may take: the mesh gives its links a second and a half.
const GOODBYE: Duration = Duration::from_secs(3);

/// A replica as `GET /v1/members` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) state: ReplicaState,
    /// The connection to it; none to this replica itself.
    pub(crate) link: Option<Link>,
    /// It is this replica.
    pub(crate) own: bool,
}

/// A connection to another replica, as it is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Version of the messages on it.
    pub(crate) version: u16,
    /// Bytes that wait to be sent.
    pub(crate) waiting: LaneBytes,
    /// How long the oldest urgent message has waited: what this replica decides reaches the other one so much later.
    pub(crate) lag: Duration,
}

/// Bytes by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LaneBytes {
    pub(crate) urgent: usize,
    pub(crate) bulk: usize,
}

/// What the cluster looks like from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) members: Vec<Member>,
    /// Tunnels by shard, over all replicas.
    pub(crate) tunnels: Vec<(ShardName, u32)>,
}

/// The way to the task. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ClusterHandle {
    inbox: mpsc::Sender<Ask>,
    view: watch::Receiver<Arc<View>>,
}

impl ClusterHandle {
    /// Where a room goes that the table does not know, or whose shard is lost. The state machine bounds the wait.
    ///
    /// # Errors
    /// When there is no place for it now.
    pub(crate) async fn want(&self, key: RoomKey) -> Result<Decision, Refusal> {
        let (answer, answered) = oneshot::channel();
        // Without the task this process is on its way out, and no place for a new room.
        self.inbox.send(Ask::Room { key, answer }).await.map_err(|_| Refusal::NoShard)?;
        answered.await.unwrap_or(Err(Refusal::NoShard))
    }

    /// Takes an operator's word on a shard, and tells all replicas.
    pub(crate) async fn order(&self, shard: ShardName, state: Option<ShardState>) {
        let (taken, answer) = oneshot::channel();
        if self.inbox.send(Ask::Order { shard, state, taken }).await.is_ok() {
            let _ = answer.await;
        }
    }

    /// Tells all replicas of a pin that an operator has changed.
    pub(crate) async fn changed(&self, key: RoomKey) {
        let _ = self.inbox.send(Ask::Changed(key)).await;
    }

    /// Takes another bound for the wait for claims.
    pub(crate) async fn set_claim_timeout(&self, timeout: Duration) {
        let _ = self.inbox.send(Ask::ClaimTimeout(timeout)).await;
    }

    /// From now on this replica owns no rooms.
    pub(crate) async fn leave(&self) {
        let _ = self.inbox.send(Ask::Leave).await;
    }

    /// Says goodbye to the others.
    pub(crate) async fn quit(&self) {
        let (said, goodbye) = oneshot::channel();
        if self.inbox.send(Ask::Quit(said)).await.is_ok() {
            let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        }
    }

    /// The cluster as of the last second.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }
}
