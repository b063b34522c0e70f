//! What can go wrong with a probe.

use std::{io, time::Duration};

use router_core::agent_check::AgentCheckError;

/// Why a probe failed. The text ends up in the admin API as the reason why a shard is down.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Not finished in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection broke.
    #[error("connection broke: {0}")]
    Io(io::Error),
    /// The peer closed before it had said enough.
    #[error("closed before the answer was complete")]
    Closed,
    /// The answer is longer than any sensible one.
    #[error("the answer exceeds {0} bytes")]
    TooLong(usize),
    /// The answer is not HTTP.
    #[error("not an HTTP answer: {0}")]
    NotHttp(httparse::Error),
    /// The answer has a status that is not expected.
    #[error("status {0}")]
    Status(u16),
    /// The agent's line does not follow the agent-check grammar.
    #[error("agent: {0}")]
    Agent(AgentCheckError),
}

impl ProbeError {
    /// One word from a closed set, for a metric label.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Connect(_) => "connect",
            Self::Io(_) => "io",
            Self::Closed => "closed",
            Self::TooLong(_) => "too_long",
            Self::NotHttp(_) => "not_http",
            Self::Status(_) => "status",
            Self::Agent(_) => "malformed",
        }
    }
}
