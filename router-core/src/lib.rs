//! Where a room goes: keys, shards, placement, pins — decisions only.
//!
//! Nothing here opens a socket, reads a clock or draws a random number; time and chance are arguments, so that
//! every decision can be replayed.
//!
//! The way of a request: [`room::classify`] reads a request's target, [`room::KeyHasher`] turns the room's name
//! into a key, [`router::Router`] says where that key is or goes. The way of a change: a
//! [`registry::ShardInput`] into the router, [`registry::ShardEvent`]s out of it.

pub mod agent_check;
pub mod cluster;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub mod health;
pub mod pin;
pub mod placement;
pub mod registry;
pub mod room;
pub mod router;
pub mod shard;
pub mod shard_set;
mod table;
pub mod time;
