//! What a load run found out: written by `--json`, read by `report`.
//!
//! Plain data. Times are in the unit that a field's name ends with.

use serde::{Deserialize, Serialize};

/// A distribution of times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Latency {
    /// Times recorded.
    pub count: u64,
    /// Their mean, in µs.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
    /// `(percentile 0..=100, µs)`, rising in both, at most 100 points: for plots.
    pub curve: Vec<(f64, u64)>,
}

/// How load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The next message goes out when one has come back, so that a slow target slows the load down too.
    ClosedLoop {
        /// Messages under way at once, over all connections.
        in_flight: usize,
    },
    /// Messages go out by the clock. Their latency counts from when they were to go out and not from when they could,
    /// so that a stalled target does not hide its stall (coordinated omission).
    Rate {
        /// Messages per second, over all connections.
        per_second: f64,
    },
}

/// How participants come to their conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A tunnel: `/xmpp-websocket?room=`.
    #[serde(rename = "websocket")]
    WebSocket,
    /// A BOSH session: `POST /http-bind?room=` with session ids.
    Bosh,
    /// One request that names the room: `GET` or `POST /http-bind?room=`.
    Plain,
}

/// Round trips through tunnels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct TunnelRun {
    /// Address under load.
    pub target: String,
    /// Tunnels open.
    pub tunnels: usize,
    /// Payload of a message.
    pub message_bytes: usize,
    /// How load was offered.
    pub mode: Mode,
    /// Time measured, without opening and warming up.
    pub seconds: f64,
    /// Messages that came back in that time.
    pub round_trips: u64,
    /// The same per second.
    pub per_second: f64,
    /// Round-trip times.
    pub latency: Latency,
    /// Tunnels opened per second while opening them.
    pub connects_per_second: f64,
    /// Tunnels that failed or broke off, and messages that came back wrong.
    pub errors: u64,
    /// Processor time of the generator's thread while measuring, as a share of one core (0..=1).
    pub generator_cpu: f64,
}

/// Sticky requests over kept-alive connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct RequestRun {
    /// Address under load.
    pub target: String,
    /// Connections open.
    pub connections: usize,
    /// Rooms that requests are for.
    pub rooms: usize,
    /// How load was offered.
    pub mode: Mode,
    /// Time measured, without opening and warming up.
    pub seconds: f64,
    /// Requests answered in that time.
    pub requests: u64,
    /// The same per second.
    pub per_second: f64,
    /// From request to the end of its answer.
    pub latency: Latency,
    /// Connections that broke off, and answers that were no success or of no shard.
    pub errors: u64,
    /// Answers from another shard than the room's first one.
    pub wrong_shard: u64,
    /// Processor time of the generator's thread while measuring, as a share of one core (0..=1).
    pub generator_cpu: f64,
}

/// Conferences that people joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct ConferenceRun {
    /// Replicas that participants came through.
    pub targets: Vec<String>,
    /// Conferences held.
    pub rooms: usize,
    /// Participants of each.
    pub participants_per_room: usize,
    /// Time within which the participants of a room join; 0 is all at once.
    pub window_ms: u64,
    /// How they come.
    pub transport: Transport,
    /// Rooms whose participants were on different shards, as the shards say.
    pub splits: u64,
    /// The same as a share of the rooms held (0..=1).
    pub split_share: f64,
    /// From when a participant was to join until a shard has answered.
    pub joins: Latency,
    /// Participants cut off while they stayed.
    pub disconnects: u64,
    /// Times that all of a room went on to another shard.
    pub moved_rooms: u64,
    /// Requests and handshakes that failed.
    pub errors: u64,
    /// What made it repeatable.
    pub seed: u64,
}

/// The memory of idle tunnels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct IdleRun {
    /// Address that the tunnels go through.
    pub target: String,
    /// Tunnels opened between the two readings.
    pub tunnels: usize,
    /// The process' resident memory before.
    pub rss_before_kib: u64,
    /// And with all tunnels open and idle.
    pub rss_after_kib: u64,
    /// The difference for one tunnel, in bytes.
    pub bytes_per_tunnel: f64,
    /// How long opening them took.
    pub accept_seconds: f64,
}
