//! When a draining shard may go: nobody is on it, and nobody can come.
//!
//! Proxies are told by a label on the shard's web Service. From then on the shard is watched: it is *quiet* when every
//! proxy has taken the word in and keeps no room or tunnel there, and jicofo has no conference. Quiet twice in a row, at least
//! [`QUIET`] apart, is *drained*. Who does not answer never counts as quiet. At the deadline the shard goes all the same, and
//! an event says what was cut.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Note, count, span};
use crate::api::ShardState;

/// How long a shard must be seen quiet, between the first look and the last.
pub const QUIET: Duration = Duration::from_secs(15);
/// How often a draining shard is looked at.
pub const LOOK: Duration = Duration::from_secs(5);

/// What one proxy says about the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyReport {
    /// The proxy's pod.
    pub pod: String,
    /// Kubernetes sends requests to it. One that is not ready and does not answer is not waited for.
    pub ready: bool,
    /// What it said, or why it said nothing. `Ok(None)`: it does not know the shard, so it sends nobody there.
    pub answer: Result<Option<ProxyShard>, String>,
}

/// A shard in a proxy's words (`GET /v1/shards`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyShard {
    /// What its discovery says, whatever health and operators say besides.
    pub discovery: ShardState,
    /// Pinned rooms.
    pub rooms: u64,
    /// Open tunnels, through all proxies that share pins with it.
    pub tunnels: u64,
}

/// What jicofo and the proxies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reports {
    /// Conferences in jicofo, or why it cannot be asked.
    pub conferences: Result<u64, String>,
    /// All proxies that could send somebody to the shard.
    pub proxies: Vec<ProxyReport>,
    /// Proxies are expected to be there. Without one there is nobody to confirm.
    pub proxies_expected: bool,
}

/// What is kept from one look to the next, in the shard's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Since when it drains.
    pub started: Option<Timestamp>,
    /// Since when it has been seen quiet.
    pub quiet_since: Option<Timestamp>,
    /// What its deadline cut has been told.
    pub over: bool,
}

/// One look at a shard.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The shard is to drain: its spec says so, or it is being deleted.
    pub wanted: bool,
    /// The state that its Service carried *before* the reports were asked for.
    pub told: Option<ShardState>,
    /// It was shown to proxies at some time.
    pub announced: bool,
    /// How long it may keep conferences.
    pub deadline: Duration,
    /// What jicofo and the proxies say. `None`: not asked, as nothing depends on it yet.
    pub reports: Option<&'a Reports>,
    /// The time.
    pub now: Timestamp,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It does not drain.
    Idle,
    /// Not yet; these words say for what.
    Waiting(String),
    /// Nobody is on it and nobody can come.
    Drained,
    /// The deadline has passed; these words say what is on it.
    Overdue(String),
}

impl Progress {
    /// It may be deleted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Drained | Self::Overdue(_))
    }
}

/// What a look brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// To be kept. It must be stored *before* a shard that is taken back is shown as ready.
    pub memory: Memory,
    /// How far it is.
    pub progress: Progress,
    /// When it goes at the latest.
    pub deadline_at: Option<Timestamp>,
    /// To be told.
    pub notes: Vec<Note>,
}

/// Takes one look.
#[must_use]
pub fn look(memory: Memory, look: &Look<'_>) -> Outcome {
    if !look.wanted {
        let notes = match memory.started {
            Some(_) => vec![Note::normal("DrainCancelled", "It is wanted again and takes conferences.")],
            None => Vec::new(),
        };
        return Outcome { memory: Memory::default(), progress: Progress::Idle, deadline_at: None, notes };
    }
    let mut notes = Vec::new();
    let started = memory.started.unwrap_or_else(|| {
        notes.push(Note::normal(
            "Draining",
            format!(
                "It takes no new conferences and goes when the last one has ended, in {} at the latest.",
                span(look.deadline)
            ),
        ));
        look.now
    });
    let limit = SignedDuration::try_from(look.deadline).unwrap_or(SignedDuration::MAX);
    let deadline_at = started.checked_add(limit).unwrap_or(Timestamp::MAX);

    let mut quiet_since = None;
    let progress = if !look.announced && look.told.is_none() {
        // No proxy ever heard of it, so nobody was ever on it.
        Progress::Drained
    } else {
        match obstacle(look) {
            None => {
                let since = memory.quiet_since.filter(|since| *since <= look.now).unwrap_or(look.now);
                quiet_since = Some(since);
                let quiet = Duration::try_from(look.now.duration_since(since)).unwrap_or_default();
                if quiet >= QUIET {
                    Progress::Drained
                } else {
                    Progress::Waiting(format!("it to stay empty for another {}", span(QUIET - quiet)))
                }
            }
            Some(obstacle) if look.now >= deadline_at => Progress::Overdue(obstacle.cut),
            Some(obstacle) => Progress::Waiting(obstacle.waiting),
        }
    };
    let mut over = memory.over;
    if !over && progress.is_over() {
        over = true;
        notes.push(match &progress {
            Progress::Overdue(cut) => Note::warning(
                "DrainDeadlineExceeded",
                format!("It drained for {} and goes now, with {cut}.", span(look.deadline)),
            ),
            _ => Note::normal("Drained", "Nobody is on it any more."),
        });
    }
    // Over and then not any more: somebody came all the same (an operator's pin, say). Told again when it ends.
    over &= progress.is_over();
    Outcome {
        memory: Memory { started: Some(started), quiet_since, over },
        progress,
        deadline_at: Some(deadline_at),
        notes,
    }
}

struct Obstacle {
    /// Behind "waiting for".
    waiting: String,
    /// Behind "it goes now, with".
    cut: String,
}

/// What keeps the shard from being quiet, all of it.
fn obstacle(look: &Look<'_>) -> Option<Obstacle> {
    if !matches!(look.told, Some(ShardState::Draining | ShardState::Down)) {
        return Some(Obstacle {
            waiting: "its Service to be marked as draining".to_owned(),
            cut: "proxies that were not told".to_owned(),
        });
    }
    let Some(reports) = look.reports else {
        return Some(Obstacle {
            waiting: "reports of jicofo and the proxies".to_owned(),
            cut: "an unknown number of conferences".to_owned(),
        });
    };
    let (mut waiting, mut cut) = (Vec::new(), Vec::new());
    match &reports.conferences {
        Ok(0) => {}
        Ok(number) => {
            waiting.push(format!("{} to end", count(*number, "conference")));
            cut.push(count(*number, "conference"));
        }
        Err(why) => {
            waiting.push(format!("jicofo to answer ({why})"));
            cut.push("an unknown number of conferences, as jicofo does not answer".to_owned());
        }
    }
    let (mut silent, mut untold) = (Vec::new(), Vec::new());
    let (mut rooms, mut tunnels) = (0, 0);
    for proxy in &reports.proxies {
        match &proxy.answer {
            Err(why) if proxy.ready => silent.push(format!("{} ({why})", proxy.pod)),
            Err(_) | Ok(None) => {}
            Ok(Some(shard)) => {
                if shard.discovery == ShardState::Ready {
                    untold.push(proxy.pod.as_str());
                }
                // Each counts what all have: the largest number is the newest.
                rooms = rooms.max(shard.rooms);
                tunnels = tunnels.max(shard.tunnels);
            }
        }
    }
    if !silent.is_empty() {
        waiting.push(format!("proxies to answer: {}", silent.join(", ")));
        cut.push(format!(
            "{} that did not answer",
            count(silent.len() as u64, "prox").replace("proxs", "proxies").replace("1 prox", "1 proxy")
        ));
    }
    if reports.proxies_expected && !reports.proxies.iter().any(|proxy| proxy.answer.is_ok()) && silent.is_empty() {
        waiting.push("a proxy to confirm that it sends nobody there".to_owned());
        cut.push("no proxy to ask".to_owned());
    }
    if !untold.is_empty() {
        waiting.push(format!("proxies to take the drain in: {}", untold.join(", ")));
    }
    if rooms > 0 || tunnels > 0 {
        waiting.push(format!("{} and {} at the proxies to end", count(rooms, "room"), count(tunnels, "tunnel")));
        cut.push(format!("{} and {} at the proxies", count(rooms, "room"), count(tunnels, "tunnel")));
    }
    if waiting.is_empty() {
        return None;
    }
    if cut.is_empty() {
        cut.push("proxies that may still send people there".to_owned());
    }
    Some(Obstacle { waiting: waiting.join(", "), cut: cut.join(", ") })
}

#[cfg(test)]
mod tests;
