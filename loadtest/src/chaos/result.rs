//! What a chaos run found out: written by `--json`, read by `report`.
//!
//! Plain data. All `t_ms` count from the moment when the first participant came.

use serde::{Deserialize, Serialize};

/// One run of a script against one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct ChaosRun {
    /// What was tried: `roompin`, `haproxy`, `random`.
    pub target: String,
    /// How partitions were made: `namespaces` or `signals`.
    pub isolation: String,
    /// Replicas of the target.
    pub replicas: usize,
    /// Shards at the start.
    pub shards: usize,
    /// Conferences that last for the whole run.
    pub rooms: usize,
    /// Participants of each.
    pub participants_per_room: usize,
    /// Whether participants of one room come through all replicas, or each room keeps to one.
    pub spread: bool,
    /// What made it repeatable.
    pub seed: u64,
    /// Length of the run.
    pub seconds: f64,
    /// The script as it was carried out, one step a line.
    pub script: String,
    /// What was done, in order.
    pub events: Vec<ChaosEvent>,
    /// A point every 500 ms.
    pub series: Vec<ChaosPoint>,
    /// Broken promises, in order; at most [`ChaosRun::MAX_VIOLATIONS`].
    pub violations: Vec<Violation>,
    /// Broken promises, those included that `violations` has no space for.
    pub violations_total: u64,
    /// What went wrong with the run itself, such as a proxy that ended by itself or a step that could not be done.
    pub failures: Vec<String>,
    /// Decisions that replicas took without hearing from each other in time, where a proxy counts them: with a partition
    /// or a death that is right; without, it is a machine too slow for its clocks, and may split a room.
    #[serde(default)]
    pub late: Option<u64>,
    /// Sums over the run.
    pub totals: ChaosTotals,
}

impl ChaosRun {
    /// Most violations kept in words.
    pub const MAX_VIOLATIONS: usize = 1_000;

    /// Whether the run shows what it should. A run in which nobody met shows nothing, so it does not pass.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations_total == 0 && self.failures.is_empty() && self.totals.sessions > 0
    }
}

/// Something that was done to replicas or shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct ChaosEvent {
    /// When it began.
    pub t_ms: u64,
    /// When it was done: a restarted replica is ready, all replicas know the new list of shards.
    pub done_ms: u64,
    /// In words, such as `kill replica-2`.
    pub what: String,
}

/// The state at one moment, and what happened since the point before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct ChaosPoint {
    /// The moment.
    pub t_ms: u64,
    /// Participants in a session now.
    pub participants: u64,
    /// Rooms whose participants sit on different shards now.
    pub splits_alive: u64,
    /// Sessions lost since the point before.
    pub disconnects: u64,
    /// Rooms that went to another shard since the point before.
    pub moves: u64,
    /// Requests and handshakes that failed since the point before.
    pub errors: u64,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Violation {
    /// Its number in `design.md`, 1..=5.
    pub invariant: u8,
    /// When it was seen.
    pub t_ms: u64,
    /// The room; empty where it is about none.
    pub room: String,
    /// What was seen.
    pub text: String,
}

/// Sums over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct ChaosTotals {
    /// Rooms in which a shard answered.
    pub rooms: u64,
    /// Sessions opened: tunnels and BOSH.
    pub sessions: u64,
    /// Requests, handshakes, messages and polls that a shard answered.
    pub contacts: u64,
    /// Sessions lost.
    pub disconnects: u64,
    /// Times that a room went to another shard.
    pub moves: u64,
    /// Times that a room became split: participants on different shards at once, excused by a partition or not.
    pub splits: u64,
    /// Requests and handshakes that failed.
    pub errors: u64,
    /// Those of them that a proxy answered with 503.
    pub refused: u64,
}
