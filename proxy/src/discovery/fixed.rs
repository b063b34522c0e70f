//! Shards listed by hand: told once, removed at once when a reload drops them.

use std::time::Duration;

use router_core::shard::ShardSpec;

use super::Reporter;

/// Tells the list and ends. There is no hold-down: what an operator deletes is meant to go.
pub(super) async fn run(shards: Vec<ShardSpec>, reporter: Reporter) {
    let count = shards.len();
    if reporter.list(shards, Duration::ZERO).await {
        reporter.answered(count);
    }
    reporter.settled();
}
