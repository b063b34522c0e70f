//! Repair: two replicas find out in which rooms their tables differ, and tell each other.
//!
//! One asks: it sends a fingerprint for each of the 256 groups of its table ([`Message::Digest`]). The other answers
//! with the fingerprints within groups that differ ([`Message::Leaves`]), or, mostly, not at all. The asker sends its
//! pins in each leaf that differs ([`Message::LeafPins`]), and the other answers with what it knows better. So the one
//! that answers holds no state, and equal tables cost one message of 2 KiB.

mod exchange;
#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

pub(super) use self::exchange::estimate;
use self::exchange::{Exchange, GROUPS, answer};
use super::{ReplicaId, message::Message};
use crate::{pin::Pin, room::RoomKey, time::Timestamp};

/// Between two repairs with somebody by chance, in milliseconds: 5 s ± 20 %.
const PAUSE: std::ops::Range<u64> = 4_000..6_000;
/// Groups of one answer at most: 64 KiB of fingerprints, a quarter of what the bulk lane holds. The asker asks again for
/// more.
const GROUPS_PER_ROUND: usize = 32;
/// Exchanges that send pins at a time. The others compare later, and by then have less to say.
const MAX_SENDING: usize = 4;
/// Replicas that may be owed a repair.
const MAX_OWED: usize = 256;

/// The table, as repair and snapshots read it.
pub(super) trait PinSource {
    /// A fingerprint for each of the 256 groups.
    fn digest(&self) -> Vec<u64>;
    /// A fingerprint for each of a group's 256 leaves.
    fn leaves(&self, group: u8) -> Vec<u64>;
    /// All pins of a group.
    fn pins_of_group(&self, group: u8) -> Vec<(RoomKey, Pin)>;
    /// All pins of a leaf.
    fn pins_of_leaf(&self, group: u8, leaf: u8) -> Vec<(RoomKey, Pin)> {
        let mut pins = self.pins_of_group(group);
        pins.retain(|(key, _)| exchange::leaf(*key) == leaf);
        pins
    }
}

/// What repair wants done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RepairEffect {
    /// Send this in the bulk lane.
    Send {
        /// To whom.
        to: ReplicaId,
        /// What.
        message: Message,
    },
    /// The sender of a digest differs in so many groups.
    Different {
        /// The sender.
        with: ReplicaId,
        /// Groups, 1 to 256.
        groups: u32,
    },
}

/// What a message of a repair leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Repaired {
    /// What is to be done.
    pub(super) effects: Vec<RepairEffect>,
    /// Pins to be merged.
    pub(super) pins: Vec<(RoomKey, Pin)>,
}

/// The repairs that this replica has asked for, and when it asks next.
#[derive(Debug)]
pub(super) struct Repair {
    me: ReplicaId,
    rng: SmallRng,
    next: Timestamp,
    /// Those to be asked as soon as may be.
    owed: BTreeSet<ReplicaId>,
    exchanges: BTreeMap<ReplicaId, Exchange>,
}

impl Repair {
    /// A replica that has asked nobody yet.
    pub(super) fn new(me: ReplicaId, seed: u64, now: Timestamp) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let next = now + Duration::from_millis(rng.random_range(PAUSE));
        Self { me, rng, next, owed: BTreeSet::new(), exchanges: BTreeMap::new() }
    }

    /// A connection is there: what was pushed while it was not is owed. One of the two asks, the one with the lower id.
    pub(super) fn link_up(&mut self, peer: ReplicaId) {
        if self.me < peer {
            self.overflowed(peer);
        }
    }

    /// A connection is gone.
    pub(super) fn link_down(&mut self, peer: ReplicaId) {
        self.owed.remove(&peer);
        self.exchanges.remove(&peer);
    }

    /// Messages to a replica were dropped.
    pub(super) fn overflowed(&mut self, peer: ReplicaId) {
        if self.owed.len() < MAX_OWED {
            self.owed.insert(peer);
        }
    }

    /// Time has passed. `peers` are the linked replicas that are not joining; while this one is, there are none.
    pub(super) fn tick(
        &mut self,
        peers: impl Iterator<Item = ReplicaId>,
        table: &impl PinSource,
        now: Timestamp,
    ) -> Vec<RepairEffect> {
        let mut out = Vec::new();
        let stalled = self.exchanges.iter().filter(|(_, exchange)| exchange.is_stalled(now));
        self.owed.extend(stalled.map(|(peer, _)| *peer));
        self.exchanges.retain(|_, exchange| !exchange.is_over(now));
        self.go_on(table, now, &mut out);
        let free: Vec<_> = peers.filter(|peer| !self.exchanges.contains_key(peer)).collect();
        let mut asked: Vec<_> = free.iter().copied().filter(|peer| self.owed.remove(peer)).collect();
        if self.next <= now {
            self.next = now + Duration::from_millis(self.rng.random_range(PAUSE));
            if asked.is_empty() && !free.is_empty() {
                asked.push(free[self.rng.random_range(0..free.len())]);
            }
        }
        for to in asked {
            self.exchanges.insert(to, Exchange::new(now));
            out.push(RepairEffect::Send { to, message: Message::Digest(table.digest()) });
        }
        out
    }

    /// A message has come: those of repair are dealt with, of others nothing comes. The table is the one before the
    /// returned pins are merged.
    pub(super) fn received(
        &mut self,
        from: ReplicaId,
        message: Message,
        table: &impl PinSource,
        now: Timestamp,
    ) -> Repaired {
        let mut out = Repaired::default();
        match message {
            Message::Digest(theirs) => out.effects = self.compare(from, &theirs, table),
            Message::Leaves { group, leaves } => {
                if let Some(exchange) = self.exchanges.get_mut(&from) {
                    exchange.differs(group, leaves, now);
                    self.go_on(table, now, &mut out.effects);
                }
            }
            Message::LeafPins { group, leaf, pins, answer: true } => {
                let ours = table.pins_of_leaf(group, leaf);
                let send = |message| RepairEffect::Send { to: from, message };
                out.effects.extend(answer(group, leaf, ours, &pins).map(send));
                out.pins = pins;
            }
            Message::LeafPins { group, leaf, pins, answer: false } => {
                if let Some(exchange) = self.exchanges.get_mut(&from) {
                    exchange.answered(group, leaf, &pins, now);
                    self.go_on(table, now, &mut out.effects);
                }
                out.pins = pins;
            }
            _ => {}
        }
        out
    }

    /// Answers a digest.
    fn compare(&mut self, from: ReplicaId, theirs: &[u64], table: &impl PinSource) -> Vec<RepairEffect> {
        let ours = table.digest();
        if theirs.len() != GROUPS || ours.len() != GROUPS {
            return Vec::new();
        }
        let all = 0..=u8::MAX;
        let mut groups: Vec<u8> = all.filter(|g| ours[usize::from(*g)] != theirs[usize::from(*g)]).collect();
        if groups.is_empty() {
            return Vec::new();
        }
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let mut out = vec![RepairEffect::Different { with: from, groups: count }];
        // From a random one on: with pins under way some groups always differ, and none is to wait for ever.
        let start = self.rng.random_range(0..groups.len());
        groups.rotate_left(start);
        groups.truncate(GROUPS_PER_ROUND);
        let leaves = groups.into_iter().map(|group| Message::Leaves { group, leaves: table.leaves(group) });
        out.extend(leaves.map(|message| RepairEffect::Send { to: from, message }));
        out
    }

    /// Sends what the windows of the exchanges leave room for.
    fn go_on(&mut self, table: &impl PinSource, now: Timestamp, out: &mut Vec<RepairEffect>) {
        let mut sending = self.exchanges.values().filter(|exchange| exchange.is_sending()).count();
        for (&to, exchange) in &mut self.exchanges {
            let was = exchange.is_sending();
            if !was && sending >= MAX_SENDING {
                continue;
            }
            let messages = exchange.go_on(table, now);
            out.extend(messages.into_iter().map(|message| RepairEffect::Send { to, message }));
            sending = sending - usize::from(was) + usize::from(exchange.is_sending());
        }
    }
}
