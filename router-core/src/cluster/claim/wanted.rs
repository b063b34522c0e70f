//! The rooms that somebody waits for, and the questions about them that are on their way.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    time::Duration,
};

use crate::{cluster::ReplicaId, pin::Pin, room::RoomKey, shard::ShardName, time::Timestamp};

/// Rooms asked for at a time; beyond it requests are refused.
pub(in crate::cluster) const MAX_WANTED: usize = 10_000;
/// Requests that wait for one room.
pub(in crate::cluster) const MAX_WAITERS: usize = 1_000;
/// How long a decision waits to be confirmed by a replica that may be dead. With a tick and a round trip it is less than
/// [`patience`], so that nobody gives up on an owner that is about to answer.
pub(in crate::cluster) fn confirm(claim_timeout: Duration) -> Duration {
    (claim_timeout / 6).max(Duration::from_millis(25))
}

/// How long one replica is waited for before the next is asked: of 150 ms in all, 50 ms. Who allows more in all, because
/// replicas are far apart, means each of them.
pub(in crate::cluster) fn patience(claim_timeout: Duration) -> Duration {
    (claim_timeout / 3).max(Duration::from_millis(50))
}

/// How long a replica may be dead before that is known, and more.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Who waits for a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Waiter {
    /// A request of this replica.
    Request { ticket: u64 },
    /// A claim of another replica.
    Claim { from: ReplicaId, id: u32 },
    /// A decision that another replica wants confirmed.
    Proposal { from: ReplicaId, id: u32 },
}

/// What is being done about a wanted room.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cluster) enum Step {
    /// Nothing yet.
    Begin,
    /// A replica has been asked.
    Asking { replica: ReplicaId, id: u32 },
    /// This replica has decided, and waits for the second in rank to confirm.
    Proposing { replica: ReplicaId, id: u32, pin: Pin },
}

/// A room that somebody waits for.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Wanted {
    pub(in crate::cluster) waiters: Vec<Waiter>,
    pub(in crate::cluster) since: Timestamp,
    /// When this replica decides by itself, whoever owns the room.
    pub(in crate::cluster) deadline: Timestamp,
    /// When the current step has taken too long.
    pub(in crate::cluster) until: Timestamp,
    pub(in crate::cluster) tried: Vec<ReplicaId>,
    pub(in crate::cluster) lost: Option<ShardName>,
    /// To be decided here: somebody else has passed it on already.
    pub(in crate::cluster) relayed: bool,
    pub(in crate::cluster) step: Step,
}

/// Others' decisions that this replica took down, while their makers may still die before they tell everybody.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Accepted(VecDeque<(Timestamp, ReplicaId, RoomKey)>);

impl Accepted {
    pub(in crate::cluster) fn note(&mut self, from: ReplicaId, key: RoomKey, now: Timestamp) {
        let old = |&(at, ..): &(Timestamp, ReplicaId, RoomKey)| now.since(at) >= REMEMBERED;
        while self.0.len() >= MAX_WANTED || self.0.front().is_some_and(old) {
            self.0.pop_front();
        }
        self.0.push_back((now, from, key));
    }

    /// Those of one replica, which is gone.
    pub(in crate::cluster) fn take(&mut self, from: ReplicaId, now: Timestamp) -> Vec<RoomKey> {
        let fresh = |&(at, of, key): &(Timestamp, ReplicaId, RoomKey)| {
            (of == from && now.since(at) < REMEMBERED).then_some(key)
        };
        let keys = self.0.iter().filter_map(fresh).collect();
        self.0.retain(|(_, of, _)| *of != from);
        keys
    }
}

/// All rooms that somebody waits for.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Claims {
    pub(in crate::cluster) wanted: BTreeMap<RoomKey, Wanted>,
    pub(in crate::cluster) accepted: Accepted,
    /// Questions on their way, by the number they carry.
    questions: BTreeMap<u32, RoomKey>,
    timers: BinaryHeap<Reverse<(Timestamp, RoomKey)>>,
    last_id: u32,
}

impl Claims {
    /// Rooms wanted, and questions on their way.
    pub(in crate::cluster) fn counts(&self) -> (usize, usize) {
        (self.wanted.len(), self.questions.len())
    }

    /// A number for a question about `key`.
    pub(in crate::cluster) fn question(&mut self, key: RoomKey) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.questions.insert(self.last_id, key);
        self.last_id
    }

    /// The room of an answer, if the question is still open.
    pub(in crate::cluster) fn answered(&mut self, id: u32) -> Option<RoomKey> {
        let key = self.questions.remove(&id)?;
        let open = match &self.wanted.get(&key)?.step {
            Step::Begin => None,
            Step::Asking { id, .. } | Step::Proposing { id, .. } => Some(*id),
        };
        (open == Some(id)).then_some(key)
    }

    /// Forgets a question that is not waited for any more.
    pub(in crate::cluster) fn drop_question(&mut self, step: &Step) {
        if let Step::Asking { id, .. } | Step::Proposing { id, .. } = step {
            self.questions.remove(id);
        }
    }

    /// Wakes `key` at `at`.
    pub(in crate::cluster) fn wake(&mut self, key: RoomKey, at: Timestamp) {
        self.timers.push(Reverse((at, key)));
    }

    /// The next room whose time has come.
    pub(in crate::cluster) fn due(&mut self, now: Timestamp) -> Option<RoomKey> {
        while let Some(&Reverse((at, key))) = self.timers.peek() {
            if at > now {
                return None;
            }
            self.timers.pop();
            // Rooms that were answered meanwhile, or have a later timer, wait no more for this one.
            if self.wanted.get(&key).is_some_and(|wanted| wanted.until <= now || wanted.deadline <= now) {
                return Some(key);
            }
        }
        None
    }

    /// The rooms about which nothing is being done.
    pub(in crate::cluster) fn idle(&self) -> Vec<RoomKey> {
        let idle = |wanted: &Wanted| wanted.step == Step::Begin;
        self.wanted.iter().filter(|(_, wanted)| idle(wanted)).map(|(&key, _)| key).collect()
    }

    /// The rooms whose step waits for `replica`.
    pub(in crate::cluster) fn waiting_for(&self, replica: ReplicaId) -> Vec<RoomKey> {
        let waits = |wanted: &Wanted| match &wanted.step {
            Step::Begin => false,
            Step::Asking { replica: other, .. } | Step::Proposing { replica: other, .. } => *other == replica,
        };
        self.wanted.iter().filter(|(_, wanted)| waits(wanted)).map(|(&key, _)| key).collect()
    }
}
