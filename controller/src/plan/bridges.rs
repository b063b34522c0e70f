//! Bridges (and gateways): which are made, which go, and how each goes. Pure.
//!
//! A bridge is a bare pod. Its life: starting → active → draining → stopping → ended → deleted. What must not be forgotten
//! stands in annotations of its pod, written *before* the bridge is told, so that the next leader goes on where this one
//! stopped. Nothing else is kept from one look to the next.
//!
//! What holds, whatever happens (`simulation` shows it):
//! 1. A bridge on which people are, or may be, is deleted only after it was given [`Rules::drain_deadline`] to drain and
//!    [`Rules::stop_deadline`] to end. Who does not answer is not empty.
//! 2. There are never more pods than [`Rules::max`] that have not ended. Numbers of pods stay below `max`, so that even two
//!    controllers with old views cannot make one too many: one of them finds the name taken.
//! 3. The last bridge that takes work is not drained for the number's, the template's or a cordon's sake while anybody may be
//!    on it: the new one comes first.
//! 4. A bridge is taken back before a new one is made, as long as it has not been told to end.
//! 5. Who drains without a reason written down is undrained: nothing is left draining.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{Note, report::Report};

mod choose;
mod life;
mod make;
#[cfg(test)]
mod simulation;
mod stand;
#[cfg(test)]
mod tests;
mod words;
pub use stand::{FRESH, STUCK, Stand, State};

/// Why a bridge drains: words of [`Memory::reason`].
pub mod reason {
    /// There are more than are asked for.
    pub const SCALE_DOWN: &str = "ScaleDown";
    /// It was made from another template than is meant now.
    pub const OUTDATED: &str = "Outdated";
    /// The same, while nothing newer could come up beside it and nobody was on it.
    pub const IN_PLACE: &str = "ReplacedInPlace";
    /// Its node takes no new pods.
    pub const CORDONED: &str = "NodeCordoned";
    /// Somebody asked for it by annotation.
    pub const ASKED: &str = "Asked";
    /// It has not been ready for long, and may have people on it.
    pub const UNREADY: &str = "NotReady";
    /// Somebody else told it to end.
    pub const STOPPED: &str = "StoppedByHand";
}

/// One pod, as it stands in the API, with what it last said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bridge {
    /// Name of the pod.
    pub name: String,
    /// Its uid: everything that is done to it is done to exactly this one.
    pub uid: String,
    /// When it was made.
    pub created: Timestamp,
    /// So many tries before this one failed at once ([`Action::Create`] says what to write down; absent is 0).
    pub attempt: u32,
    /// Where its pod stands.
    pub pod: Pod,
    /// Since when the process in it runs (`startedAt` of its container): one that was started again has forgotten what it was
    /// told.
    pub started: Option<Timestamp>,
    /// It has been ready once, or has reported something: people may be on it. To be told from: it is ready now, its state
    /// label was ever set to `active`, or it carries a report.
    pub served: bool,
    /// It is being deleted by somebody.
    pub deleting: bool,
    /// It is made from the template that is meant now.
    pub current: bool,
    /// The node it is on.
    pub node: Option<String>,
    /// That node takes no new pods: somebody empties it. A node that cannot be read is not cordoned.
    pub cordoned: bool,
    /// Since when its node is gone, or has not been heard of. A node that is known not to exist any more: since the pod was
    /// made.
    pub lost: Option<Timestamp>,
    /// The port for media: on the node, or of its Service.
    pub port: Option<i32>,
    /// What it remembers.
    pub memory: Memory,
    /// Somebody wants it drained by an annotation.
    pub asked: bool,
    /// What it last said, however long ago; how old it may be to count is decided here.
    pub report: Option<Report>,
}

/// Where a pod stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pod {
    /// None of its containers runs yet (`status.phase: Pending`): nobody can be on it.
    #[default]
    Pending,
    /// The same, and the scheduler says that no node fits, since then.
    Unschedulable(Timestamp),
    /// It runs, and is not ready since then (when its Ready condition last changed).
    Starting(Timestamp),
    /// Its process ends again and again, and does not run now (`CrashLoopBackOff`); not ready since then.
    Crashing(Timestamp),
    /// It runs and is ready.
    Ready,
    /// Its process has ended by itself.
    Succeeded,
    /// Its process has failed for good, or the node refused it.
    Failed,
}

/// What a bridge remembers, in annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Since when it drains ([`crate::api::DRAIN_SINCE`]).
    pub drain_since: Option<Timestamp>,
    /// Why ([`crate::api::DRAIN_REASON`]): one of [`reason`].
    pub reason: Option<String>,
    /// Since when it has been seen empty ([`crate::api::QUIET_SINCE`]).
    pub quiet_since: Option<Timestamp>,
    /// When it was told to shut down ([`crate::api::SHUTDOWN_SINCE`]).
    pub shutdown_since: Option<Timestamp>,
    /// Until when it is not taken away by load ([`crate::api::PROTECTED_UNTIL`]).
    pub protected_until: Option<Timestamp>,
}

/// How a group of bridges is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Names are this, a dash and a number: `meet-0-jvb`.
    pub prefix: String,
    /// How many are asked for.
    pub desired: i32,
    /// More pods than that there never are, draining ones included. A `static` group needs room for a replacement: give it
    /// one more than is asked for.
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
///
/// Actions are carried out in their order. When one about a bridge fails, or finds that the pod is not the one that was read
/// (compare `uid` and `resourceVersion` in `Remember` and `Delete`), what follows about the same bridge is left for the next
/// look; what concerns others goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make a pod of this name, at this port of its node. That somebody else has made it already is fine.
    Create {
        /// Its name: `meet-0-jvb-3`, the lowest number that is free.
        name: String,
        /// Port for media, where ports are dealt by us.
        port: Option<i32>,
        /// To be written down at the pod, for [`Bridge::attempt`].
        attempt: u32,
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
        /// Seconds it gets to end (`gracePeriodSeconds`). 0: its node is gone, nobody waits for its end. The pod's own grace
        /// is hours long, so it is always given.
        grace: u32,
    },
    /// Something that people should find. It has happened with this look: not said again at the next one.
    Note {
        /// The pod that it is about. When an action about it failed, this is not said.
        about: Option<String>,
        /// What to say.
        note: Note,
    },
}

impl Action {
    /// The pod that it is about.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Create { name, .. }
            | Self::Remember { name, .. }
            | Self::Drain { name }
            | Self::Undrain { name }
            | Self::Move { name }
            | Self::Shutdown { name }
            | Self::Delete { name, .. } => Some(name),
            Self::Note { about, .. } => about.as_deref(),
        }
    }
}

/// How many there are, each pod counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not ready yet, or not any more; those that count towards what is asked for.
    pub starting: i32,
    /// They take work.
    pub active: i32,
    /// They take work only if no other does, and may be taken back.
    pub draining: i32,
    /// They end, and cannot be taken back; those that are being deleted included.
    pub stopping: i32,
    /// They have not been ready for so long that nobody counts on them.
    pub stuck: i32,
    /// Their nodes are gone.
    pub lost: i32,
    /// They have ended.
    pub ended: i32,
}

impl Counts {
    /// Those that count towards what is asked for: starting or active.
    #[must_use]
    pub fn counted(&self) -> i32 {
        self.starting + self.active
    }

    /// Those that take room, to be compared with [`Rules::max`].
    #[must_use]
    pub fn living(&self) -> i32 {
        self.starting + self.active + self.draining + self.stopping + self.stuck + self.lost
    }
}

/// What one look at a group of bridges comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// How many there are now, before anything is done.
    pub counts: Counts,
    /// Where each stands now, by name: for labels, and for people.
    pub stands: BTreeMap<String, State>,
    /// What is waited for, in words, the most important first: for the status. Empty when all is as asked for.
    pub waiting: Vec<String>,
    /// What holds until it is over, such as `RolloutBlocked`: an event once when it begins, not at every look.
    pub lasting: Vec<Note>,
}

/// How many there are: what the decision about the number wants to know before the plan is made with it.
#[must_use]
pub fn counts(bridges: &[Bridge], now: Timestamp) -> Counts {
    let stands: Vec<Stand<'_>> = bridges.iter().map(|bridge| stand::stand(bridge, now)).collect();
    stand::counts(&stands)
}

/// One look.
#[must_use]
pub fn plan(rules: &Rules, bridges: &[Bridge], now: Timestamp) -> Plan {
    let stands: Vec<Stand<'_>> = bridges.iter().map(|bridge| stand::stand(bridge, now)).collect();
    let counts = stand::counts(&stands);
    let choice = choose::choose(rules, &stands, counts, now);
    let mut actions: Vec<Action> = stands
        .iter()
        .zip(&choice.orders)
        .flat_map(|(stand, order)| life::step(rules, &choice, stand, *order, now))
        .collect();
    let ended: BTreeSet<&str> =
        stands.iter().filter(|stand| stand.state == State::Ended).map(|stand| stand.bridge.name.as_str()).collect();
    let gone = actions
        .iter()
        .filter(|action| matches!(action, Action::Delete { .. }))
        .filter_map(|action| ended.get(action.name()?).copied())
        .collect();
    let made = make::make(rules, &stands, &gone, choice.create, now);
    actions.extend(made);
    Plan {
        actions,
        counts,
        stands: stands.iter().map(|stand| (stand.bridge.name.clone(), stand.state)).collect(),
        waiting: words::waiting(rules, &stands, &choice, now),
        lasting: choice.lasting,
    }
}
