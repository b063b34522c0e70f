//! Recorders: which are made, which is set apart because it records, and which go. Pure.
//!
//! A recorder is a bare pod that records once: starting → idle (a *spare*) → busy → expired → deleted. What must not be
//! forgotten stands on its pod: its label says whether it was last known to record, its annotation what it last said. So any
//! replica can note that it records, and a new leader goes on where the old one stopped.
//!
//! Two rules stand above all others. One that records is left alone until it says that it has finished, its process has ended,
//! or its node is gone. And silence is neither idle nor busy: a silent one is not counted as a spare, and is taken away only
//! when its kubelet, too, says that it is not well.

mod act;
pub mod mark;
mod sight;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

pub use self::{
    act::plan,
    sight::{Sight, Tally, look},
};
use super::{
    Note,
    bridges::Pod,
    report::{Busy, Report},
};

/// A recorder reports every minute. After three of them it is silent.
pub const SILENCE: Duration = Duration::from_secs(180);
/// A pod that has not become ready after that is stuck: pulling an image and starting Chrome take less.
pub const START: Duration = Duration::from_secs(600);
/// One that was well and is not any more gets that long to recover.
pub const UNWELL: Duration = Duration::from_secs(300);

/// One recorder's pod, as it stands in the API, with what it last said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorder {
    /// Name of the pod.
    pub name: String,
    /// Its uid: everything that is done to it is done to exactly this one.
    pub uid: String,
    /// When it was made.
    pub created: Timestamp,
    /// Where its pod stands.
    pub pod: Pod,
    /// Since when it has not been ready, as its kubelet says; None while it is ready.
    pub unready_since: Option<Timestamp>,
    /// It is being deleted by somebody.
    pub deleting: bool,
    /// It is made from the template that is meant now.
    pub current: bool,
    /// Its node is gone, and with it whatever it did.
    pub lost: bool,
    /// Its node has not been heard of for a while: what its kubelet said last means nothing.
    pub unreachable: bool,
    /// Its node takes no new pods: somebody empties it.
    pub cordoned: bool,
    /// What its label says: what it was last known to do.
    pub label: Option<Busy>,
    /// Its annotation: the last thing that it said to anybody.
    pub report: Option<Report>,
    /// What it said to us just now. None: it was asked and did not answer, or could not be asked.
    pub answer: Option<Report>,
    /// Until when it is not taken away by load.
    pub protected_until: Option<Timestamp>,
}

impl Recorder {
    fn is_ready(&self) -> bool {
        self.unready_since.is_none()
    }
}

/// How a group of recorders is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How many are asked for, busy ones included.
    pub desired: i32,
    /// More pods than that there never are.
    pub max: i32,
    /// Pods are made and taken away for the number's sake.
    pub launch: bool,
    /// A new pod is protected until then.
    pub protect_until: Option<Timestamp>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make a pod of this name.
    Create {
        /// Its name: `meet-0-jibri-3`, the lowest number that is free.
        name: String,
        /// It is protected until then.
        protected_until: Option<Timestamp>,
    },
    /// Note on its pod what it does: one that records is set apart and protected, one that is idle may be evicted.
    Mark {
        /// Name of the pod.
        name: String,
        /// Its uid.
        uid: String,
        /// What it does.
        busy: Busy,
    },
    /// Delete its pod.
    Delete {
        /// Name of the pod.
        name: String,
        /// Its uid.
        uid: String,
        /// Why, and how carefully.
        why: Why,
    },
    /// Something that people should find.
    Note(Note),
}

/// Why a recorder goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has recorded.
    Expired,
    /// Its process has ended.
    Ended,
    /// Its node is gone: nobody waits for its end.
    NodeGone,
    /// It never came up.
    Stuck,
    /// It neither reports nor answers, and its kubelet says that it is not well.
    Silent,
    /// It is idle, and one too many. Asked once more before it goes, because it may have been taken meanwhile.
    Surplus,
    /// It is idle, and made from an older template. Asked once more before it goes.
    Outdated,
}

impl Why {
    /// It is asked once more, and goes only if it still is idle and nobody has touched its pod since.
    #[must_use]
    pub fn careful(self) -> bool {
        matches!(self, Self::Surplus | Self::Outdated)
    }

    /// A word for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Ended => "ended",
            Self::NodeGone => "node_gone",
            Self::Stuck => "stuck",
            Self::Silent => "silent",
            Self::Surplus => "surplus",
            Self::Outdated => "outdated",
        }
    }
}

fn since(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}
