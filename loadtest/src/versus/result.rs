//! What a comparison found out: written by `versus --json`, read by `report`.

use serde::{Deserialize, Serialize};

use crate::{
    machine::Machine,
    result::{ConferenceRun, IdleRun, RequestRun, TunnelRun},
};

/// A whole comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "versus")]
pub struct VersusRun {
    /// When it started, as HTTP dates are written.
    pub at: String,
    /// The command line that made it.
    pub command: String,
    /// Where it ran.
    pub machine: Machine,
    /// What was settled before it started.
    pub settings: Settings,
    /// The fixed rates of the half-load runs.
    pub half: HalfLoad,
    /// The proxies compared, ours first.
    pub subjects: Vec<SubjectRun>,
}

/// What was settled before a comparison started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Times that the proxies took turns.
    pub rounds: usize,
    /// Time measured in each run under load, after warming up.
    pub seconds: f64,
    /// Tunnels open under load, each with one message under way at peak load.
    pub tunnels: usize,
    /// Payload of a tunnel's message.
    pub message_bytes: usize,
    /// Kept-alive connections of sticky requests, each with one request under way at peak load.
    pub connections: usize,
    /// Rooms of sticky requests.
    pub rooms: usize,
    /// Stub shards behind each proxy.
    pub shards: usize,
    /// How long a shard thinks about a first request in the runs that count splits.
    pub split_delay_ms: u64,
    /// New rooms that our proxy's splits are counted over, for each number of replicas.
    pub split_rooms: usize,
    /// And those of the others.
    pub split_rooms_others: usize,
    /// The core of the proxy under test, and that all else has others; `None` when nothing was pinned.
    pub proxy_core: Option<usize>,
    /// What made it repeatable.
    pub seed: u64,
}

/// Half of the lowest median peak of all proxies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HalfLoad {
    /// Round trips per second.
    pub tunnels: f64,
    /// Requests per second.
    pub requests: f64,
}

/// What one proxy did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubjectRun {
    /// `roompin`, `haproxy-kubernetes` or `haproxy-hash`.
    pub id: String,
    /// Its name in tables.
    pub name: String,
    /// What its binary says of itself.
    pub version: String,
    /// One per turn.
    pub rounds: Vec<Round>,
    /// Memory over the number of tunnels; each in a process of its own.
    pub memory: Vec<IdleRun>,
    /// Splits by gap and replicas.
    pub splits: Vec<SplitRun>,
}

/// One turn under load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// As many round trips as it does.
    pub tunnels_peak: Measured<TunnelRun>,
    /// As many requests as it does.
    pub requests_peak: Measured<RequestRun>,
    /// Round trips at [`HalfLoad::tunnels`].
    pub tunnels_half: Measured<TunnelRun>,
    /// Requests at [`HalfLoad::requests`].
    pub requests_half: Measured<RequestRun>,
}

/// A run and what the proxy's core did meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured<R> {
    /// What the generator saw.
    pub run: R,
    /// The core, while it was measured. `None` when the proxy had no core of its own.
    pub core: Option<CoreUse>,
}

/// The whole core's time, whoever spent it: a process' own account leaves out what the kernel does for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoreUse {
    /// Share of the time that it was not idle (0..=1).
    pub busy: f64,
    /// Busy time per round trip or request, in µs.
    pub busy_us_per_operation: f64,
    /// Share of the time that the hypervisor gave to others (0..=1). More than a little spoils a run.
    pub stolen: f64,
}

/// Two participants of many rooms, the second a fixed time after the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitRun {
    /// Time between the two.
    pub gap_ms: u64,
    /// Processes of the proxy; the participants of a room come through different ones.
    pub replicas: usize,
    /// Rooms that were to be opened.
    pub asked: usize,
    /// Decisions that replicas of ours took without hearing from each other in time.
    #[serde(default)]
    pub late: Option<u64>,
    /// What came out.
    pub run: ConferenceRun,
}
