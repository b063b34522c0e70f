//! Bridges (and gateways): which are made, which go, and how each goes. Pure.
//!
//! A bridge is a bare pod. Its life: starting → active → draining → stopping → ended → deleted. What must not be forgotten
//! stands in annotations of its pod, written *before* the bridge is told, so that the next leader goes on where this one
//! stopped.

use std::time::Duration;

use jiff::Timestamp;

use super::{Note, report::Report};

/// One pod, as it stands in the API, with what it last said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bridge {
    /// Name of the pod.
    pub name: String,
    /// Its uid: everything that is done to it is done to exactly this one.
    pub uid: String,
    /// When it was made.
    pub created: Timestamp,
    /// Where its pod stands.
    pub pod: Pod,
    /// It is being deleted by somebody.
    pub deleting: bool,
    /// It is made from the template that is meant now.
    pub current: bool,
    /// The node it is on.
    pub node: Option<String>,
    /// That node takes no new pods: somebody empties it.
    pub cordoned: bool,
    /// That node is gone, or has not been heard of for a while.
    pub lost: bool,
    /// The port for media: on the node, or of its Service.
    pub port: Option<i32>,
    /// What it remembers.
    pub memory: Memory,
    /// Somebody wants it drained by an annotation.
    pub asked: bool,
    /// What it last said. None: nothing yet, or nothing for so long that it means nothing.
    pub report: Option<Report>,
}

/// Where a pod stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pod {
    /// No node yet; since when no node fits, if the scheduler says so.
    #[default]
    Pending,
    /// No node fits, since then.
    Unschedulable(Timestamp),
    /// It runs, and is not ready.
    Starting,
    /// It runs and is ready.
    Ready,
    /// Its process has ended by itself.
    Succeeded,
    /// Its process has failed for good.
    Failed,
}

/// What a bridge remembers, in annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Since when it drains ([`crate::api::DRAIN_SINCE`]).
    pub drain_since: Option<Timestamp>,
    /// Why ([`crate::api::DRAIN_REASON`]).
    pub reason: Option<String>,
    /// Since when it has been seen empty ([`crate::api::QUIET_SINCE`]).
    pub quiet_since: Option<Timestamp>,
    /// When it was told to shut down ([`crate::api::SHUTDOWN_SINCE`]).
    pub shutdown_since: Option<Timestamp>,
    /// Until when it is not taken away by load ([`crate::api::PROTECTED_UNTIL`]).
    pub protected_until: Option<Timestamp>,
}

/// How a group of bridges is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How many are asked for.
    pub desired: i32,
    /// More pods than that there never are, draining ones included.
    pub max: i32,
    /// Pods are made and taken away for the number's sake.
    pub launch: bool,
    /// How long one may drain.
    pub drain_deadline: Duration,
    /// How long one may take to end after it was told to, before it is deleted.
    pub stop_deadline: Duration,
    /// What becomes of those who are on a bridge that drains.
    pub move_endpoints: crate::api::MoveEndpoints,
    /// Ports that may be taken on a node, or None when ports are not ours to deal.
    pub ports: Option<(i32, i32)>,
    /// A new pod is protected until then.
    pub protect_until: Option<Timestamp>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make a pod of this name, at this port of its node.
    Create {
        /// Its name: `meet-0-jvb-3`, the lowest number that is free.
        name: String,
        /// Port for media, where ports are dealt by us.
        port: Option<i32>,
        /// It is protected until then.
        protected_until: Option<Timestamp>,
    },
    /// Write what it has to remember. Done before everything else that concerns this bridge.
    Remember {
        /// Name of the pod.
        name: String,
        /// Its uid.
        uid: String,
        /// All that it remembers from now on.
        memory: Memory,
    },
    /// Tell it to drain (again, if it does not say that it does).
    Drain {
        /// Name of the pod.
        name: String,
    },
    /// Tell it not to drain any more.
    Undrain {
        /// Name of the pod.
        name: String,
    },
    /// Ask jicofo to move everybody away from it.
    Move {
        /// Name of the pod.
        name: String,
    },
    /// Tell it to end when the last one has left. There is no way back.
    Shutdown {
        /// Name of the pod.
        name: String,
    },
    /// Delete its pod.
    Delete {
        /// Name of the pod.
        name: String,
        /// Its uid.
        uid: String,
        /// Its node is gone: nobody waits for its end.
        force: bool,
    },
    /// Something that people should find.
    Note(Note),
}
