//! Where a bridge stands, and what is known of who is on it.

use std::time::Duration;

use jiff::Timestamp;

use super::{Bridge, Counts, Pod};
use crate::plan::report::Report;

/// A report that is older says nothing about now. A sidecar reports every 60 s.
pub const FRESH: Duration = Duration::from_secs(90);
/// A bridge that has not become ready for so long is replaced.
pub const STUCK: Duration = Duration::from_secs(900);
/// A process that has neither been ready nor answered for so long since its start serves nobody.
const SETTLED: Duration = Duration::from_secs(120);
/// A clock may be so much ahead of another. What claims to be later than that was not written by a clock.
pub(super) const AHEAD: Duration = Duration::from_secs(3600);

/// Where a bridge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not ready yet, or not any more.
    Starting,
    /// It takes work.
    Active,
    /// It takes work only if no other does, and may be taken back.
    Draining,
    /// It ends, and cannot be taken back.
    Stopping,
    /// It has not been ready for so long that nobody counts on it.
    Stuck,
    /// Its node is gone, and it does not answer.
    Lost,
    /// Its process has ended.
    Ended,
}

impl State {
    /// The word in the label [`crate::api::STATE_LABEL`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Stuck => "stuck",
            Self::Lost => "lost",
            Self::Ended => "ended",
        }
    }
}

/// A bridge, and what this look makes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stand<'a> {
    /// The bridge.
    pub bridge: &'a Bridge,
    /// Where it stands.
    pub state: State,
    /// What it says, if that is new enough to mean something.
    pub fresh: Option<&'a Report>,
}

impl Stand<'_> {
    /// How many are on it, if it can be known.
    #[must_use]
    pub fn people(&self) -> Option<u64> {
        if self.nobody() { Some(0) } else { self.fresh.and_then(|report| report.endpoints) }
    }

    /// None of its processes runs: nobody can be on it, whatever it said before.
    #[must_use]
    pub fn nobody(&self) -> bool {
        matches!(
            self.bridge.pod,
            Pod::Pending | Pod::Unschedulable(_) | Pod::Crashing(_) | Pod::Succeeded | Pod::Failed
        )
    }

    /// People may be on it: it was ready once, or has said something. That it was ready is seen even when nobody looked then: it
    /// has not been ready since a time after its process started.
    #[must_use]
    pub fn served(&self) -> bool {
        let was_ready = match (self.bridge.pod, self.bridge.started) {
            (Pod::Starting(then), Some(started)) => then > started,
            _ => false,
        };
        self.bridge.served || was_ready
    }

    /// It is made as is meant now, and may stay where it is.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.bridge.current && !self.bridge.cordoned
    }

    /// It counts towards what is asked for.
    #[must_use]
    pub fn counted(&self) -> bool {
        matches!(self.state, State::Starting | State::Active)
    }

    /// It takes room.
    #[must_use]
    pub fn living(&self) -> bool {
        self.state != State::Ended
    }
}

/// It may be deleted at once: nobody can be on it, or it has neither been ready nor answered all the time since its start.
pub(super) fn vacant(stand: &Stand<'_>, now: Timestamp) -> bool {
    let settled = matches!(stand.bridge.pod, Pod::Starting(then) if since(then, now) >= SETTLED);
    stand.nobody() || (settled && !stand.served())
}

/// How long ago that was; nothing when it has not come yet.
pub(super) fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// Judges one bridge.
pub(super) fn stand(bridge: &Bridge, now: Timestamp) -> Stand<'_> {
    let fresh = bridge
        .report
        .as_ref()
        .filter(|report| report.at.is_some_and(|at| since(at, now) <= FRESH && since(now, at) <= FRESH));
    let ends = fresh.is_some_and(|report| report.graceful_shutdown == Some(true) || report.shutting_down == Some(true));
    let state = if matches!(bridge.pod, Pod::Succeeded | Pod::Failed) {
        State::Ended
    } else if bridge.lost.is_some() && fresh.is_none() {
        State::Lost
    } else if bridge.deleting || bridge.memory.shutdown_since.is_some() || ends {
        State::Stopping
    } else if bridge.memory.drain_since.is_some() {
        State::Draining
    } else {
        match bridge.pod {
            Pod::Starting(then) | Pod::Crashing(then) if since(then, now) >= STUCK => State::Stuck,
            Pod::Ready => State::Active,
            _ => State::Starting,
        }
    };
    Stand { bridge, state, fresh }
}

/// Counts them.
pub(super) fn counts(stands: &[Stand<'_>]) -> Counts {
    let mut counts = Counts::default();
    for stand in stands {
        *match stand.state {
            State::Starting => &mut counts.starting,
            State::Active => &mut counts.active,
            State::Draining => &mut counts.draining,
            State::Stopping => &mut counts.stopping,
            State::Stuck => &mut counts.stuck,
            State::Lost => &mut counts.lost,
            State::Ended => &mut counts.ended,
        } += 1;
    }
    counts
}
