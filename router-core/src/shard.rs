//! Shards: their names, and the one state that three sources agree on.

use std::{fmt, net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The stable name of a shard: never an address or a slot number.
///
/// Pins, metrics and the `X-Jitsi-Shard` header carry it, so it is limited to what all of them accept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShardName(Arc<str>);

/// Why a text cannot be a shard's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardNameError {
    /// Empty, or longer than [`ShardName::MAX_LEN`] bytes.
    #[error("a shard name has 1 to {max} characters, this one has {0}", max = ShardName::MAX_LEN)]
    Length(usize),
    /// A character outside `A–Z a–z 0–9 . _ -`.
    #[error("a shard name consists of letters, digits, '.', '_' and '-', not {0:?}")]
    Character(char),
}

impl ShardName {
    /// Longest name in bytes: that of a DNS name.
    pub const MAX_LEN: usize = 253;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the name is empty, too long, or has a character that a header or a metric label would not carry.
    pub fn new(name: &str) -> Result<Self, ShardNameError> {
        if name.is_empty() || name.len() > Self::MAX_LEN {
            return Err(ShardNameError::Length(name.len()));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.chars().find(|&c| !fits(c)) {
            Some(c) => Err(ShardNameError::Character(c)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ShardName {
    type Error = ShardNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<ShardName> for String {
    fn from(name: ShardName) -> Self {
        name.0.as_ref().into()
    }
}

/// A shard's number within this process: dense, never reused, never sent to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// What a shard may be used for. Ordered by strictness, so the strictest of several is their maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// New rooms are welcome.
    #[default]
    Ready,
    /// Only rooms that are pinned here already.
    Draining,
    /// Nobody.
    Down,
}

impl ShardState {
    /// The word used in configuration, metrics and the admin API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

/// A shard as a discovery source describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSpec {
    /// Its stable name.
    pub name: ShardName,
    /// Where its web server listens; equal choices, never empty.
    pub addresses: Vec<SocketAddr>,
    /// Share of new rooms relative to the other shards, 1 to 256 (HAProxy's range); 0 means no new rooms.
    pub weight: u16,
    /// The state that discovery asks for.
    pub state: ShardState,
    /// Port of an agent check (signal-sidecar: 6060) on the shard's addresses, if it has one.
    pub agent_port: Option<u16>,
}
