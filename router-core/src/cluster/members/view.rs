//! What is asked of [`Members`].

use super::Members;
use crate::cluster::{Node, ReplicaId, ReplicaState};

impl Members {
    /// The live replicas, this one first.
    pub(in crate::cluster) fn live(&self) -> impl Iterator<Item = (Node, ReplicaState)> + '_ {
        let others = self.live.values().map(|node| (*node, self.state_of(node.id)));
        std::iter::once((self.me, self.state)).chain(others)
    }

    /// Whether a replica is live; this one always is.
    pub(in crate::cluster) fn is_live(&self, id: ReplicaId) -> bool {
        id == self.me.id || self.live.contains_key(&id)
    }

    /// Whether there is a connection to it.
    pub(in crate::cluster) fn is_linked(&self, id: ReplicaId) -> bool {
        self.links.contains_key(&id)
    }

    /// Those to whom there is a connection, with what they said of themselves: joining until they say otherwise.
    pub(in crate::cluster) fn linked(&self) -> impl Iterator<Item = (ReplicaId, ReplicaState)> + '_ {
        self.links.keys().map(|&id| (id, self.state_of(id)))
    }

    /// Those that may own rooms, this one included if it may.
    pub(in crate::cluster) fn ready(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.live().filter(|(_, state)| *state == ReplicaState::Ready).map(|(node, _)| node.id)
    }

    /// Whether a replica may own rooms.
    pub(in crate::cluster) fn is_ready(&self, id: ReplicaId) -> bool {
        if id == self.me.id {
            return self.state == ReplicaState::Ready;
        }
        self.is_live(id) && self.state_of(id) == ReplicaState::Ready
    }

    /// What this replica may be used for.
    pub(in crate::cluster) fn state(&self) -> ReplicaState {
        self.state
    }

    /// Sets what this replica may be used for. Telling the others is the caller's.
    pub(in crate::cluster) fn set_state(&mut self, state: ReplicaState) {
        self.state = state;
    }

    pub(super) fn state_of(&self, id: ReplicaId) -> ReplicaState {
        self.states.get(&id).copied().unwrap_or(ReplicaState::Joining)
    }
}
