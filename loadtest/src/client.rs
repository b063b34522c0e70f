//! Participants' clients: what each kind of connection sends through a proxy, and which shard answered.

mod bosh;
mod browser;
mod tunnel;

#[cfg(test)]
mod tests;

pub use bosh::BoshSession;
pub use browser::Browser;
pub use tunnel::Tunnel;

use std::time::Duration;

use reqwest::{StatusCode, header::HeaderMap};

use crate::stub::{JITSI_HEADER, SHARD_HEADER};

/// Longest time for one request, one handshake or one echo.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a participant's step failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request got no response.
    #[error("{what}: {}", cause(source))]
    Http {
        /// The request.
        what: &'static str,
        /// The client's words.
        source: reqwest::Error,
    },
    /// A response other than success.
    #[error("{what}: status {status}")]
    Status {
        /// The request.
        what: &'static str,
        /// What came.
        status: StatusCode,
    },
    /// The TCP connection failed.
    #[error("connect: {0}")]
    Connect(#[from] std::io::Error),
    /// The tunnel failed, or its handshake.
    #[error("{what}: {source}")]
    Tunnel {
        /// The step.
        what: &'static str,
        /// The client's words.
        source: Box<tokio_tungstenite::tungstenite::Error>,
    },
    /// Nothing came within [`TIMEOUT`].
    #[error("{0}: no answer within 5 s")]
    Timeout(&'static str),
    /// The response does not say which stub sent it, so it was none.
    #[error("{0}: no stub shard answered")]
    Nameless(&'static str),
    /// `X-Jitsi-Shard`, which real clients believe, is missing or names another shard.
    #[error("{what}: shard {shard} answered, but X-Jitsi-Shard says {claimed:?}")]
    Misnamed {
        /// The request.
        what: &'static str,
        /// Who answered.
        shard: String,
        /// What the header said.
        claimed: Option<String>,
    },
    /// The tunnel gave back something else than was sent.
    #[error("the echo differs from what was sent")]
    Echo,
    /// The shard ended the BOSH session.
    #[error("BOSH: session ended ({0})")]
    Session(String),
    /// A body above the limit.
    #[error("{0}: the body is too large")]
    TooLarge(&'static str),
}

/// The innermost cause: reqwest's own words only say that a request failed.
fn cause(error: &reqwest::Error) -> &dyn std::error::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// The stub that sent these headers.
///
/// # Errors
/// When none did, or when `X-Jitsi-Shard` disagrees.
fn shard_of(what: &'static str, headers: &HeaderMap) -> Result<String, ClientError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let shard = text(SHARD_HEADER).ok_or(ClientError::Nameless(what))?;
    let claimed = text(JITSI_HEADER);
    if claimed.as_ref() == Some(&shard) { Ok(shard) } else { Err(ClientError::Misnamed { what, shard, claimed }) }
}
