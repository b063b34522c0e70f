//! Where a new room goes: weighted rendezvous hashing with bounded loads.
//!
//! - Rendezvous (highest random weight) hashing: Thaler and Ravishankar, "Using name-based mappings to increase hit
//!   rates", IEEE/ACM ToN 6(1), 1998. A shard that comes or goes moves only the rooms it gains or loses.
//! - Weights: the score `-ln(u) / w` gives each shard a share proportional to its weight (Schindelhauer and
//!   Schomaker, "Weighted distributed hash tables", SPAA 2005), and a changed weight disturbs no other pair.
//! - Bounded loads: Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018; here the
//!   bound is 1.25 × the mean, each shard's mean in proportion to its weight.
//!
//! Two processes with the same view choose the same shard: scores depend on names and keys alone, and the logarithm
//! is our own, made of operations that IEEE 754 defines to the last bit, which the libraries' `ln` is not.

mod score;
#[cfg(test)]
mod tests;

pub(crate) use self::score::mix;
use crate::{
    room::RoomKey,
    shard::{ShardId, ShardName},
    shard_set::{Shard, ShardSet},
};

/// The load bound as a fraction of the mean: 5/4.
const BOUND: (u128, u128) = (5, 4);

/// Hash of a shard's name: its share in every rendezvous. The same in every process, whatever its ids.
pub(crate) fn seed(name: &ShardName) -> u64 {
    let hash = blake3::hash(name.as_str().as_bytes());
    let bytes = hash.as_bytes();
    bytes.iter().take(8).fold(0, |n, &byte| (n << 8) | u64::from(byte))
}

/// The shards that take new rooms, the best for this room first.
pub fn order(key: RoomKey, shards: &ShardSet) -> impl Iterator<Item = ShardId> {
    ranked(key, shards, &[]).into_iter().map(|shard| shard.id)
}

/// The shard for a new room: the first in [`order`] that has room below 1.25 × the mean load, the new room counted,
/// in proportion to its weight; `None` when no shard outside `avoid` takes rooms.
///
/// Loads may change while this runs; then the bound holds for what was read.
pub fn place(key: RoomKey, shards: &ShardSet, load: impl Fn(ShardId) -> u32, avoid: &[ShardId]) -> Option<ShardId> {
    let ranked = ranked(key, shards, avoid);
    let rooms: u128 = ranked.iter().map(|s| u128::from(load(s.id))).sum();
    let weights: u128 = ranked.iter().map(|s| u128::from(s.weight)).sum();
    let fits = |shard: &&&Shard| {
        // load < ceil(5/4 · (rooms + 1) · weight / weights), in whole numbers.
        let share = BOUND.0 * (rooms + 1) * u128::from(shard.weight);
        u128::from(load(shard.id)) < share.div_ceil(BOUND.1 * weights)
    };
    // The bounds add up to more than the rooms, so some shard fits, unless loads grew in between.
    ranked.iter().find(fits).or(ranked.first()).map(|shard| shard.id)
}

/// One shard by chance, in proportion to the weights. Equal nonces choose equally.
pub(crate) fn by_chance(nonce: u64, shards: &ShardSet) -> Option<ShardId> {
    let open = || shards.iter().filter(|s| s.takes_rooms());
    let weights: u64 = open().map(|s| u64::from(s.weight)).sum();
    let mut point = mix(nonce).checked_rem(weights)?;
    let hit = open().find(|s| {
        let width = u64::from(s.weight);
        let inside = point < width;
        point = point.saturating_sub(width);
        inside
    });
    hit.map(|s| s.id)
}

fn ranked<'a>(key: RoomKey, shards: &'a ShardSet, avoid: &[ShardId]) -> Vec<&'a Shard> {
    let open = shards.iter().filter(|s| s.takes_rooms() && !avoid.contains(&s.id));
    let mut scored: Vec<_> = open.map(|s| (score::score(key, s.seed, s.weight), s)).collect();
    // Stable, and shards come in the order of their names: a tie falls the same way everywhere.
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    scored.into_iter().map(|(_, shard)| shard).collect()
}
