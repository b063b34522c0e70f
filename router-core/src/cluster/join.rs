//! Joining: a replica takes over the table of another before it is ready, and hands it out to those who come later.
//!
//! Pins reach a joiner twice: those decided since its connections stand are pushed to it like to everybody, the older
//! ones come with the snapshot. Merging does not care for the order.

mod serving;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

#[allow(unused_imports, reason = "called by Cluster")]
pub(super) use self::serving::Serving;
use super::{ReplicaId, ReplicaState};
use crate::{placement::mix, time::Timestamp};

/// How long a joiner looks for somebody who has the table, once everybody expected is there.
const ALONE_AFTER: Duration = Duration::from_secs(1);
/// How long it looks at most: some of those expected may be dead.
const READY_AFTER: Duration = Duration::from_secs(5);
/// How long a snapshot may take that keeps coming. Nobody waits for the joiner: it claims from others meanwhile.
const READY_AT_LAST: Duration = Duration::from_secs(30);
/// Without a word for so long, another replica is asked, if there is one.
const SILENCE: Duration = Duration::from_secs(1);
/// Without a word for so long, the same one is asked again, from the start.
const LONG_SILENCE: Duration = Duration::from_secs(3);

/// What a joiner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinStep {
    /// Ask this replica for its snapshot.
    Ask(ReplicaId),
    /// Joining is over, with the table or without: be ready.
    Ready,
}

/// A snapshot that was asked for and may still come to its end.
#[derive(Debug)]
struct Asked {
    replica: ReplicaId,
    last_word: Timestamp,
    pins: u64,
}

/// A replica's way from its start to readiness.
#[derive(Debug)]
pub(super) struct Join {
    since: Timestamp,
    /// Replicas that discovery expects, this one perhaps among them.
    expected: usize,
    /// Those asked; the last one is waited for. A slow one that was given up may finish first all the same.
    asked: Vec<Asked>,
    tried: BTreeSet<ReplicaId>,
    done: bool,
}

impl Join {
    /// A replica that has just started.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, expected: 0, asked: Vec::new(), tried: BTreeSet::new(), done: false }
    }

    /// Discovery knows this many addresses; that of this replica may be one of them.
    pub(super) fn expect(&mut self, addresses: usize) {
        self.expected = addresses;
    }

    /// Whether as many others are connected as discovery expects.
    pub(super) fn is_expected_here(&self, linked: usize) -> bool {
        linked + 1 >= self.expected
    }

    /// Looks again. To be called with every tick, and when connections or states of replicas have changed. `linked` are
    /// the other replicas with a connection. Answers [`JoinStep::Ready`] once, and nothing from then on.
    pub(super) fn next(
        &mut self,
        me: ReplicaId,
        linked: impl Iterator<Item = (ReplicaId, ReplicaState)>,
        now: Timestamp,
    ) -> Option<JoinStep> {
        if self.done {
            return None;
        }
        let linked: Vec<_> = linked.collect();
        self.done = self.is_over(me, &linked, now);
        if self.done {
            return Some(JoinStep::Ready);
        }
        let replica = self.choose(me, &linked, now)?;
        self.asked.retain(|asked| asked.replica != replica);
        self.asked.push(Asked { replica, last_word: now, pins: 0 });
        self.tried.insert(replica);
        Some(JoinStep::Ask(replica))
    }

    /// So many pins came from a replica, in the bulk lane.
    pub(super) fn took(&mut self, from: ReplicaId, pins: usize, now: Timestamp) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.replica == from) {
            asked.last_word = now;
            asked.pins += pins as u64;
        }
    }

    /// A replica has sent its last pin, `pins` in all. Whether that makes the table complete, and the joiner ready.
    pub(super) fn end(&mut self, from: ReplicaId, pins: u64) -> bool {
        let Some(place) = self.asked.iter().position(|asked| asked.replica == from) else { return false };
        let whole = self.asked.remove(place).pins >= pins;
        let first = !self.done;
        self.done |= whole;
        whole && first
    }

    /// A connection is gone, and with it the snapshot that came over it.
    pub(super) fn link_down(&mut self, replica: ReplicaId) {
        self.asked.retain(|asked| asked.replica != replica);
    }

    /// Whom to ask now, if anybody.
    fn choose(&mut self, me: ReplicaId, linked: &[(ReplicaId, ReplicaState)], now: Timestamp) -> Option<ReplicaId> {
        let current = self.asked.last().map(|asked| (asked.replica, now.since(asked.last_word)));
        if current.is_some_and(|(_, silence)| silence < SILENCE) {
            return None;
        }
        // One on its way out has the table too; the only one that has it, when a lone replica is replaced.
        let has_table = |state| linked.iter().filter(move |peer| peer.1 == state).map(|peer| peer.0);
        let mut able: Vec<_> = has_table(ReplicaState::Ready).collect();
        if able.is_empty() {
            able.extend(has_table(ReplicaState::Draining));
        }
        // Several joiners are to ask several replicas.
        able.sort_unstable_by_key(|replica| mix(me.0 ^ mix(replica.0)));
        if let Some(replica) = able.iter().find(|replica| !self.tried.contains(replica)) {
            return Some(*replica);
        }
        let in_vain = current.is_none_or(|(_, silence)| silence >= LONG_SILENCE);
        let again = able.first().copied().filter(|_| in_vain)?;
        self.tried.clear();
        Some(again)
    }

    fn is_over(&self, me: ReplicaId, linked: &[(ReplicaId, ReplicaState)], now: Timestamp) -> bool {
        let age = now.since(self.since);
        let coming = |asked: &Asked| asked.pins > 0 && now.since(asked.last_word) < SILENCE;
        if age >= READY_AT_LAST || (age >= READY_AFTER && !self.asked.iter().any(coming)) {
            return true;
        }
        let nobody_has_it = linked.iter().all(|(_, state)| *state == ReplicaState::Joining);
        let all_there = self.is_expected_here(linked.len());
        let lowest = linked.iter().all(|(id, _)| me < *id);
        age >= ALONE_AFTER && nobody_has_it && all_there && lowest
    }
}
