//! Where a room goes: keys, shards, placement, pins — decisions only.
//!
//! Nothing here opens a socket, reads a clock or draws a random number; time and chance are arguments, so that
//! every decision can be replayed.

pub mod shard;
pub mod time;
