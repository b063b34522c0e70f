//! What is to be done to replicas and shards, and when.
//!
//! A script is text, one step a line (a leading `- ` is allowed, so a list in YAML works too; `#` begins a comment):
//!
//! ```text
//! at 4s   kill replica-2 for 2s                      # for: then restart it
//! at 10s  restart replica-1
//! at 15s  partition replica-1 | replica-2, shard-1 for 6s
//! at 22s  pause replica-1 for 1s                     # the process stands still, its connections stay open
//! at 26s  slow shard-1 by 300ms for 4s
//! at 32s  drain shard-2
//! at 36s  add shard-4
//! at 38s  remove shard-2                             # from all replicas' lists; then the shard itself ends
//! at 40s  down shard-1                               # an order; `ready shard-1` takes it back
//! at 50s  flood 3000 rooms
//! until 60s
//! ```

mod builtin;
mod parse;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, time::Duration};

pub use builtin::{default_script, random_script};
pub use parse::ScriptError;

/// Longest run.
pub const MAX_LENGTH: Duration = Duration::from_secs(3_600);
/// Most steps of a script.
pub const MAX_STEPS: usize = 1_000;
/// Highest number of a replica or shard.
pub const MAX_NODES: usize = 64;
/// Most rooms of one flood.
pub const MAX_FLOOD: u32 = 100_000;

/// Somebody who can be killed, slowed or cut off. Numbers start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A proxy process.
    Replica(usize),
    /// A shard.
    Shard(usize),
    /// All participants.
    Clients,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(number) => write!(f, "replica-{number}"),
            Self::Shard(number) => write!(f, "shard-{number}"),
            Self::Clients => f.write_str("clients"),
        }
    }
}

/// One thing done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A replica or shard ends at once, like a crash.
    Kill(Node),
    /// A replica or shard starts again; one that runs ends in good order before.
    Restart(Node),
    /// A replica's process stands still.
    Pause(usize),
    /// It goes on.
    Resume(usize),
    /// Nothing passes between two sides any more, silently.
    Partition(Vec<Node>, Vec<Node>),
    /// It passes again.
    Heal(Vec<Node>, Vec<Node>),
    /// A replica's or shard's answers take this much longer; zero ends it.
    Slow(Node, Duration),
    /// A shard gets no new rooms.
    Drain(usize),
    /// A shard gets nobody.
    Down(usize),
    /// Takes [`Action::Drain`] or [`Action::Down`] back.
    Ready(usize),
    /// A new shard starts and is put on the replicas' lists.
    Add(usize),
    /// A shard is taken off the replicas' lists and ends.
    Remove(usize),
    /// As many new rooms as this get one request each.
    Flood(u32),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |nodes: &[Node]| nodes.iter().map(Node::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Kill(node) => write!(f, "kill {node}"),
            Self::Restart(node) => write!(f, "restart {node}"),
            Self::Pause(number) => write!(f, "pause replica-{number}"),
            Self::Resume(number) => write!(f, "resume replica-{number}"),
            Self::Partition(a, b) => write!(f, "partition {} | {}", side(a), side(b)),
            Self::Heal(a, b) => write!(f, "heal {} | {}", side(a), side(b)),
            Self::Slow(node, delay) => write!(f, "slow {node} by {}ms", delay.as_millis()),
            Self::Drain(number) => write!(f, "drain shard-{number}"),
            Self::Down(number) => write!(f, "down shard-{number}"),
            Self::Ready(number) => write!(f, "ready shard-{number}"),
            Self::Add(number) => write!(f, "add shard-{number}"),
            Self::Remove(number) => write!(f, "remove shard-{number}"),
            Self::Flood(rooms) => write!(f, "flood {rooms} rooms"),
        }
    }
}

/// An action and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, from the beginning.
    pub at: Duration,
    /// What.
    pub action: Action,
}

/// Steps in order of their times, and the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What is done.
    pub steps: Vec<Step>,
    /// When the run is over.
    pub until: Duration,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { at, action } in &self.steps {
            writeln!(f, "at {}ms {action}", at.as_millis())?;
        }
        writeln!(f, "until {}ms", self.until.as_millis())
    }
}

impl Script {
    /// Whether it can be carried out with this many replicas and shards at the start.
    ///
    /// # Errors
    /// The first step that names somebody who is not there then.
    pub fn check(&self, replicas: usize, shards: usize) -> Result<(), ScriptError> {
        let mut here: BTreeSet<usize> = (1..=shards).collect();
        for Step { action, .. } in &self.steps {
            let known = |node: &Node| match node {
                Node::Replica(number) => (1..=replicas).contains(number),
                Node::Shard(number) => here.contains(number),
                Node::Clients => true,
            };
            let fine = match action {
                Action::Kill(node) | Action::Restart(node) | Action::Slow(node, _) => known(node),
                Action::Pause(number) | Action::Resume(number) => known(&Node::Replica(*number)),
                Action::Partition(a, b) => a.iter().chain(b).all(known),
                Action::Drain(number) | Action::Down(number) | Action::Ready(number) => here.contains(number),
                Action::Add(number) => here.insert(*number),
                Action::Remove(number) => here.remove(number),
                // Who was cut off may be gone by now; the end of it is always in order.
                Action::Heal(..) | Action::Flood(_) => true,
            };
            if !fine {
                return Err(ScriptError::Nobody { action: action.to_string() });
            }
        }
        Ok(())
    }
}
