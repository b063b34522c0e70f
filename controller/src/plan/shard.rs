//! One shard: what proxies are told about it, where it stands, and what must wait for its conferences.

use std::time::Duration;

use jiff::Timestamp;

use super::drain::Progress;
use crate::api::{Phase, ShardState};

/// How long a shard that answered may be silent before proxies are told that it is down. They notice by their own
/// probes what is worth noticing sooner; moving all rooms for a container that restarts would help nobody.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Which parts have a pod that is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The web server.
    pub web: bool,
    /// The XMPP server.
    pub prosody: bool,
    /// The conference focus.
    pub jicofo: bool,
}

impl Answers {
    /// People can meet there.
    #[must_use]
    pub fn all(self) -> bool {
        self.web && self.prosody && self.jicofo
    }

    /// The parts that do not answer: `prosody and jicofo`.
    #[must_use]
    pub fn missing(self) -> String {
        let parts = [(self.web, "web"), (self.prosody, "prosody"), (self.jicofo, "jicofo")];
        let missing: Vec<_> = parts.iter().filter(|(answers, _)| !answers).map(|(_, name)| *name).collect();
        match missing.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
            None => String::new(),
        }
    }
}

/// What is known about a shard.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Which parts answer.
    pub answers: Answers,
    /// What its Service says now.
    pub told: Option<ShardState>,
    /// Since when not all parts answer, if that was seen before.
    pub silent_since: Option<Timestamp>,
    /// It is to drain.
    pub draining: bool,
    /// The controller shall leave it alone.
    pub paused: bool,
    /// Its objects are all there.
    pub complete: bool,
    /// The time.
    pub now: Timestamp,
}

/// What to tell the proxies; `None`: nothing yet.
#[must_use]
pub fn state(view: &View) -> Option<ShardState> {
    if view.draining {
        return Some(ShardState::Draining);
    }
    if view.answers.all() {
        return Some(ShardState::Ready);
    }
    match view.told {
        None => None,
        Some(ShardState::Down) => Some(ShardState::Down),
        Some(ShardState::Ready | ShardState::Draining) => {
            let silent = view
                .silent_since
                .map_or(Duration::ZERO, |since| Duration::try_from(view.now.duration_since(since)).unwrap_or_default());
            Some(if silent >= SILENCE { ShardState::Down } else { ShardState::Ready })
        }
    }
}

/// Where it stands.
#[must_use]
pub fn phase(view: &View, progress: &Progress) -> Phase {
    if view.paused {
        Phase::Paused
    } else if progress.is_over() {
        Phase::Drained
    } else if view.draining {
        Phase::Draining
    } else if view.answers.all() {
        Phase::Ready
    } else if view.told.is_some() {
        Phase::Degraded
    } else if view.complete {
        Phase::Starting
    } else {
        Phase::Pending
    }
}

/// Whether a change of prosody or jicofo is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signalling {
    /// There is none, or it harms nobody.
    Apply,
    /// It waits; these words say for what.
    Hold(String),
}

/// What decides about a change of prosody or jicofo.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The revision that runs; `None` when nothing does.
    pub running: Option<&'a str>,
    /// The revision that is wanted.
    pub wanted: &'a str,
    /// `disableGracefulUpgrade`.
    pub at_once: bool,
    /// A Jitsi owns the shard, and will replace it by another one.
    pub owned: bool,
    /// It was shown to proxies at some time. Before that nobody can be on it.
    pub announced: bool,
    /// What jicofo says.
    pub conferences: Option<&'a Result<u64, String>>,
}

/// Whether prosody and jicofo may be restarted for what the spec says now.
#[must_use]
pub fn signalling(change: &Change<'_>) -> Signalling {
    let Some(running) = change.running else { return Signalling::Apply };
    if running == change.wanted || change.at_once || !change.announced {
        return Signalling::Apply;
    }
    if change.owned {
        return Signalling::Hold("its Jitsi to replace it: prosody or jicofo would have to restart".to_owned());
    }
    match change.conferences {
        Some(Ok(0)) => Signalling::Apply,
        Some(Ok(number)) => Signalling::Hold(format!(
            "{} to end before prosody or jicofo restart with what the spec says now",
            super::count(*number, "conference")
        )),
        Some(Err(why)) => {
            Signalling::Hold(format!("jicofo to say that it has no conference ({why}) before it or prosody restart"))
        }
        None => Signalling::Hold("jicofo to be asked for conferences before it or prosody restart".to_owned()),
    }
}
