//! This replica's place among the others: carries what happens to the state machine of `router-core`, and carries out
//! what it wants done.
//!
//! One task owns the state machine. Requests meet it only for rooms that the table does not know.

mod task;

use std::sync::Arc;

use router_core::{
    cluster::{Node, ReplicaState},
    room::RoomKey,
    router::{Decision, Refusal},
    shard::{ShardName, ShardState},
};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::task::{ClusterParts, start};

/// Questions that may wait for the task; beyond it requests wait their turn.
const INBOX: usize = 4096;

/// What the rest of the process asks of the cluster.
#[derive(Debug)]
enum Ask {
    /// Where an unknown or lost room goes.
    Room { key: RoomKey, answer: oneshot::Sender<Result<Decision, Refusal>> },
    /// An operator's word.
    Order { shard: ShardName, state: Option<ShardState> },
    /// Own no rooms any more.
    Leave,
    /// Say goodbye; answered when it is said.
    Quit(oneshot::Sender<()>),
}

/// A replica as `GET /v1/members` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) state: ReplicaState,
    /// There is a connection to it; always for this replica itself.
    pub(crate) linked: bool,
    /// It is this replica.
    pub(crate) own: bool,
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

    /// Tells all replicas what an operator wants.
    pub(crate) async fn order(&self, shard: ShardName, state: Option<ShardState>) {
        let _ = self.inbox.send(Ask::Order { shard, state }).await;
    }

    /// From now on this replica owns no rooms.
    pub(crate) async fn leave(&self) {
        let _ = self.inbox.send(Ask::Leave).await;
    }

    /// Says goodbye to the others.
    pub(crate) async fn quit(&self) {
        let (said, goodbye) = oneshot::channel();
        if self.inbox.send(Ask::Quit(said)).await.is_ok() {
            let _ = goodbye.await;
        }
    }

    /// The cluster as of the last second.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }
}
