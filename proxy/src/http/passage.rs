//! One request on its way through pingora.

use std::time::{Duration, Instant};

use router_core::shard::ShardId;

use crate::{edge::Routed, front::forwarded::Origin};

/// What the front door knows of a request, and what the hooks add.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) routed: Routed,
    pub(crate) origin: Origin,
    pub(crate) client: std::net::SocketAddr,
    /// When the head was complete.
    pub(crate) started: Instant,
    /// Connects begun, over all shards.
    pub(crate) attempts: u32,
    /// Shards that did not accept a connection.
    pub(crate) tried: Vec<ShardId>,
    /// When the connect under way began.
    pub(crate) connecting: Option<Instant>,
    /// How long the last connect took; zero for a pooled connection.
    pub(crate) connect: Option<Duration>,
    /// From the decision to the shard's response head.
    pub(crate) response: Option<Duration>,
}

impl Passage {
    pub(crate) fn new(routed: Routed, origin: Origin, client: std::net::SocketAddr, started: Instant) -> Self {
        Self {
            routed,
            origin,
            client,
            started,
            attempts: 0,
            tried: Vec::new(),
            connecting: None,
            connect: None,
            response: None,
        }
    }
}
