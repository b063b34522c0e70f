//! What sources say to the registry, and what it says has changed.

use std::{sync::Arc, time::Duration};

use super::Votes;
use crate::{
    agent_check::AgentReply,
    shard::{ShardName, ShardSpec, ShardState},
};

/// How a shard was probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// A TCP connection.
    Tcp,
    /// An HTTP request with an expected status.
    Http,
    /// The connection to the agent. A failure changes nothing, as in HAProxy: what counts is what the agent says.
    Agent,
}

/// One thing that one source says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardInput {
    /// The whole list of one discovery source, in place of its last one.
    Discovered {
        /// The source's name.
        source: Arc<str>,
        /// All its shards. One without an address counts as not listed.
        shards: Vec<ShardSpec>,
        /// How long a shard that the source ceases to list stays as it was, from the first list without it.
        hold_down: Duration,
    },
    /// The result of one probe.
    Probed {
        /// The shard.
        shard: ShardName,
        /// The kind of probe.
        probe: ProbeKind,
        /// What went wrong, if anything.
        result: Result<(), String>,
    },
    /// What a shard's agent said.
    Agent {
        /// The shard.
        shard: ShardName,
        /// Its words.
        reply: AgentReply,
    },
    /// What an operator orders. It outlives the shard: an order holds when the shard is gone and comes back.
    Operator {
        /// The shard, which must have been known once.
        shard: ShardName,
        /// The order; `None` takes it back.
        state: Option<ShardState>,
    },
    /// How the cluster's replicas vote on shards, this one among them; in place of the last votes. A shard without a
    /// vote is this replica's to judge, as all are without a cluster.
    Voted {
        /// By shard.
        votes: Vec<(ShardName, Votes)>,
    },
    /// Time passes: removes what outlived its hold-down.
    Tick,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardEvent {
    /// A shard is there.
    Added(ShardName),
    /// A shard is gone, or a place that was kept for one named by pins.
    Gone(ShardName),
    /// A shard's state changed.
    Changed {
        /// The shard.
        shard: ShardName,
        /// The state it had.
        from: ShardState,
        /// The state it has.
        to: ShardState,
        /// Why, in words for a human.
        why: String,
    },
    /// A shard has other addresses; its pins stay.
    Readdressed(ShardName),
    /// A shard's effective weight changed, in hundredths.
    Reweighted {
        /// The shard.
        shard: ShardName,
        /// The weight it had.
        from: u32,
        /// The weight it has.
        to: u32,
    },
    /// A shard or an order that could not be taken; said once, not with each repetition of a list.
    Refused {
        /// The shard.
        shard: ShardName,
        /// Why, in words for a human.
        why: String,
    },
}

/// Counts of checks in a row, as `(rise, fall)`.
///
/// `None` is for a kind of probe that is switched off: nothing of it counts, not even what it found before, because
/// nobody is left to take that back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// For TCP probes.
    pub tcp: Option<(u32, u32)>,
    /// For HTTP probes.
    pub http: Option<(u32, u32)>,
    /// For what agents say about their health.
    pub agent: Option<(u32, u32)>,
}

/// HAProxy's defaults: `rise 2 fall 3` for health checks, and an agent is believed at once.
impl Default for RegistrySettings {
    fn default() -> Self {
        Self { tcp: Some((2, 3)), http: Some((2, 3)), agent: Some((1, 1)) }
    }
}
