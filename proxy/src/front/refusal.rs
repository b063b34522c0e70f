//! Everything the proxy itself says no to, and the one place that turns it into HTTP.

use router_core::room::NameTooLong;
use thiserror::Error;

use super::head::HeadError;
use crate::metrics::FrontRefusal;

/// Why a request is answered by the proxy and not by a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// Malformed, or open to two readings.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The head did not arrive in time.
    #[error("the request head took too long")]
    HeadTimeout,
    /// The head has no end within the limit.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// A room name beyond [`router_core::room::MAX_RAW_NAME`].
    #[error("{0}")]
    NameTooLong(#[from] NameTooLong),
    /// No shard takes new rooms.
    #[error("no shard is ready; try again")]
    NoShard,
    /// `rooms.max_pins` is reached.
    #[error("too many rooms; try again")]
    TableFull,
    /// The room's shard is known but not found yet, just after a start.
    #[error("the room's shard is not back yet; try again")]
    Awaited,
    /// This replica has just started, and nobody who knows all rooms could be asked.
    #[error("this proxy does not know all rooms yet; try again")]
    Joining,
    /// The room's shard, or every shard tried, does not accept connections.
    #[error("the shard cannot be reached; try again")]
    Unreachable,
    /// A shard did not answer in time.
    #[error("the shard did not answer in time")]
    ShardTimeout,
    /// A shard answered with something that is not HTTP, or broke off.
    #[error("the shard's answer is broken")]
    ShardBroken,
}

/// Seconds until a client should try again: probes need a few to see a change.
pub(crate) const RETRY_AFTER: &str = "2";

impl Refusal {
    /// The HTTP status.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Head(HeadError::TooManyFields) | Self::HeadTooLarge => 431,
            Self::Head(HeadError::Version) => 505,
            Self::Head(HeadError::Connect) => 405,
            Self::Head(_) => 400,
            Self::HeadTimeout => 408,
            Self::NameTooLong(_) => 414,
            Self::NoShard | Self::TableFull | Self::Awaited | Self::Joining | Self::Unreachable => 503,
            Self::ShardTimeout => 504,
            Self::ShardBroken => 502,
        }
    }

    /// Whether trying again soon makes sense.
    pub(crate) fn retry(self) -> bool {
        self.status() == 503
    }

    /// The label in `roompin_front_refusals_total`.
    pub(crate) fn label(self) -> FrontRefusal {
        match self {
            Self::Head(HeadError::UpgradeWithBody) => FrontRefusal::UpgradeWithBody,
            Self::Head(_) => FrontRefusal::BadRequest,
            Self::HeadTimeout => FrontRefusal::HeadTimeout,
            Self::HeadTooLarge => FrontRefusal::HeadTooLarge,
            Self::NameTooLong(_) => FrontRefusal::NameTooLong,
            Self::NoShard => FrontRefusal::NoShard,
            Self::TableFull => FrontRefusal::TableFull,
            Self::Awaited => FrontRefusal::Awaited,
            Self::Joining => FrontRefusal::Joining,
            Self::Unreachable => FrontRefusal::Unreachable,
            Self::ShardTimeout => FrontRefusal::ShardTimeout,
            Self::ShardBroken => FrontRefusal::ShardBroken,
        }
    }

    /// The whole answer, after which the connection is closed.
    pub(crate) fn answer(self) -> Vec<u8> {
        let status = self.status();
        let phrase = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
        let retry = if self.retry() { format!("Retry-After: {RETRY_AFTER}\r\n") } else { String::new() };
        let text = format!("{self}\n");
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\n{retry}Connection: close\r\n\r\n{text}",
            phrase = phrase.unwrap_or_default(),
            length = text.len(),
        )
        .into_bytes()
    }
}

impl From<router_core::router::Refusal> for Refusal {
    fn from(refusal: router_core::router::Refusal) -> Self {
        use router_core::router::Refusal as Core;
        match refusal {
            Core::NoShard => Self::NoShard,
            Core::TableFull => Self::TableFull,
            Core::Awaited => Self::Awaited,
            Core::Joining => Self::Joining,
        }
    }
}
