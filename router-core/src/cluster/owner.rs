//! Who decides a room's first shard: rendezvous order over replicas.

#[cfg(test)]
mod tests;

use super::ReplicaId;
use crate::{
    placement::mix,
    room::{RoomKey, low_u64},
};

/// The replicas in the order in which they own a room; the first decides, the second confirms.
///
/// Whoever leaves takes its place along and leaves the others in their order. Integers only, so that all replicas
/// agree; each replica comes first for an equal share of the rooms.
pub(super) fn order(key: RoomKey, replicas: impl Iterator<Item = ReplicaId>) -> Vec<ReplicaId> {
    let mut scored: Vec<_> = replicas.map(|replica| (score(key, replica), replica)).collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().map(|(_, replica)| replica).collect()
}

/// The lowest wins.
fn score(key: RoomKey, replica: ReplicaId) -> u64 {
    // The number is mixed on its own first: a hash of key and name places the room's shard, and a replica whose
    // number is close to a shard's must not follow it.
    let seed = mix(replica.0);
    mix(mix(low_u64(key.0) ^ seed).wrapping_add(low_u64(key.0 >> 64)))
}
