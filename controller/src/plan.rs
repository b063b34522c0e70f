//! What to do, decided without I/O: what is there and what is wanted in, actions and words out.
//!
//! - [`shards`]: which shards a Jitsi has, gets and loses.
//! - [`drain`]: when a shard is empty and may go.
//! - [`shard`]: what one shard tells proxies, where it stands, and what must wait.
//! - [`group`]: how many bridges, recorders and gateways are asked for.
//! - [`bridges`]: which bridge is made, drained, ended.
//! - [`recorders`]: which recorder is made, set apart, deleted.
//! - [`report`]: what an instance says of itself.
//!
//! Between two looks nothing is kept here. What has to be remembered (since when a shard drains, since when it is empty) stands
//! in the status of the resource, so another replica goes on where this one stopped.

pub mod bridges;
pub mod drain;
pub mod group;
pub mod recorders;
pub mod report;
pub mod shard;
pub mod shards;
#[cfg(test)]
mod simulation;

/// Something that people should find in `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Something went wrong or was lost, rather than just happened.
    pub warning: bool,
    /// One word in CamelCase, for machines.
    pub reason: &'static str,
    /// A sentence.
    pub text: String,
}

impl Note {
    /// Something that happened.
    #[must_use]
    pub fn normal(reason: &'static str, text: impl Into<String>) -> Self {
        Self { warning: false, reason, text: text.into() }
    }

    /// Something that went wrong.
    #[must_use]
    pub fn warning(reason: &'static str, text: impl Into<String>) -> Self {
        Self { warning: true, reason, text: text.into() }
    }
}

/// `1 conference`, `2 conferences`.
pub(crate) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// A time span as people write it: `4h`, `1h30m`, `45s`.
pub(crate) fn span(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}
