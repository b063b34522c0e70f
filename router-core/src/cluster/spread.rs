//! Spreading: decisions at once, uses now and then, one's own condition every second.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Cluster, Lane, Output, ReplicaId,
    message::{Message, PROTOCOL, ShardReport, Status},
};
use crate::{
    pin::Pin,
    registry::{ShardInput, Votes},
    room::RoomKey,
    router::Merged,
    shard::{ShardName, ShardState},
    time::Timestamp,
};

/// Pins in one message: about 50 bytes each, and 300 with the longest of shard names: never more than a message may have.
pub(super) const PINS_PER_MESSAGE: usize = 190;
/// Uses in one message, 24 bytes each.
const USES_PER_MESSAGE: usize = 1_000;
/// Between two statuses at most.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Groups of the table, each announced once in a third of the time to live.
const GROUPS: u32 = 256;

/// What is on its way to the others, and what they have said of themselves.
#[derive(Debug)]
pub(super) struct Spread {
    /// Decisions of the input under way.
    pushes: Vec<(RoomKey, Pin)>,
    next_status: Timestamp,
    next_group: u8,
    next_scan: Timestamp,
    reports: BTreeMap<ReplicaId, Vec<ShardReport>>,
    votes: Vec<(ShardName, Votes)>,
    /// This replica's tunnels.
    tunnels: BTreeMap<ShardName, u32>,
}

impl Spread {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            pushes: Vec::new(),
            next_status: now,
            next_group: 0,
            next_scan: now,
            reports: BTreeMap::new(),
            votes: Vec::new(),
            tunnels: BTreeMap::new(),
        }
    }

    /// What a replica said of the shards counts no more.
    pub(super) fn forget(&mut self, replica: ReplicaId) {
        self.reports.remove(&replica);
    }

    pub(super) fn count_tunnels(&mut self, tunnels: Vec<(ShardName, u32)>) {
        self.tunnels = tunnels.into_iter().collect();
    }
}

impl Cluster {
    /// Tells everybody of a pin, with whatever else this input decides.
    pub(super) fn push(&mut self, key: RoomKey, now: Timestamp) {
        if let Some((pin, ..)) = self.router.get(key, now) {
            self.spread.pushes.push((key, pin));
        }
    }

    /// Sends what the input under way has decided.
    pub(super) fn flush(&mut self) {
        let pushes = std::mem::take(&mut self.spread.pushes);
        for pins in pushes.chunks(PINS_PER_MESSAGE) {
            self.send_all(Lane::Urgent, &Message::Pins(pins.to_vec()));
        }
        self.flush_counts();
    }

    /// Takes pins from elsewhere.
    pub(super) fn merge_all(&mut self, pins: Vec<(RoomKey, Pin)>, now: Timestamp) {
        for (key, pin) in pins {
            self.merge(key, &pin, now);
        }
    }

    /// Takes a pin from elsewhere; whatever wins, everybody who waits for the room hears of it.
    pub(super) fn merge(&mut self, key: RoomKey, pin: &Pin, now: Timestamp) {
        let before = self.router.get(key, now);
        match self.router.merge(key, pin.clone(), now) {
            Merged::Unchanged | Merged::Stale | Merged::Full => {}
            Merged::Taken => {
                let lived = before.is_some_and(|(before, ..)| !before.ended);
                if lived && pin.ended {
                    // An operator has ended the room elsewhere: its people here are to meet the others again.
                    self.out.push(Output::CloseTunnels { key, except: None });
                }
                self.arrived(key, now);
            }
            Merged::Moved { from, to, tunnels } => {
                match before {
                    Some((before, ..)) if before.epoch == pin.epoch => {
                        self.contest(key, [&before, pin], (from, tunnels), now);
                    }
                    // Decided anew by somebody who knew the old decision.
                    _ => self.out.push(Output::CloseTunnels { key, except: Some(to) }),
                }
                self.arrived(key, now);
            }
            Merged::Conflict { ours, tunnels, .. } => match before {
                Some((before, ..)) if before.epoch == pin.epoch => {
                    self.contest(key, [&before, pin], (ours, tunnels), now);
                }
                // The sender has missed something.
                _ => self.push(key, now),
            },
        }
    }

    /// Rooms are in use elsewhere.
    pub(super) fn seen(&mut self, uses: Vec<(RoomKey, u32, Timestamp)>, now: Timestamp) {
        for (key, epoch, at) in uses {
            self.router.seen(key, epoch, at, now);
        }
    }

    /// A replica tells how it is.
    pub(super) fn status(&mut self, from: ReplicaId, status: Status, now: Timestamp) {
        let Status { state, shards, orders, .. } = status;
        self.spread.reports.insert(from, shards);
        for order in orders {
            let events = self.router.order(order, now);
            self.shards_changed(events);
        }
        let effects = self.members.status(from, state);
        self.members_changed(effects, now);
        self.count_votes(now);
        self.look_for_owners(now);
    }

    /// An operator has spoken to this replica.
    pub(super) fn ordered(&mut self, shard: ShardName, state: Option<ShardState>, now: Timestamp) {
        // Through the registry, which dates it after every word that it knows: clocks differ.
        let events = self.router.handle(ShardInput::Operator { shard, state }, now);
        self.shards_changed(events);
        self.tell_status(now);
    }

    /// What is done with time alone.
    pub(super) fn spread_on(&mut self, now: Timestamp) {
        if self.spread.next_status <= now {
            self.tell_status(now);
            self.count_votes(now);
        }
        let pause = self.router.limits().0 / 3 / GROUPS;
        // After a long sleep one round is enough: each group is announced once.
        for _ in 0..GROUPS {
            if self.spread.next_scan > now {
                return;
            }
            let group = self.spread.next_group;
            let uses = self.router.used_since(group, now);
            for part in uses.chunks(USES_PER_MESSAGE) {
                self.send_all(Lane::Bulk, &Message::Seen(part.to_vec()));
            }
            self.spread.next_group = group.wrapping_add(1);
            self.spread.next_scan = self.spread.next_scan + pause;
        }
        self.spread.next_scan = now;
    }

    /// Tells all linked replicas how this one is.
    pub(super) fn tell_status(&mut self, now: Timestamp) {
        self.spread.next_status = now + STATUS_EVERY;
        let status = Message::Status(self.own_status(now));
        self.send_all(Lane::Urgent, &status);
    }

    pub(super) fn own_status(&self, now: Timestamp) -> Status {
        Status {
            protocol: PROTOCOL,
            state: self.members.state(),
            shards: self.reports(now),
            orders: self.router.orders(),
        }
    }

    /// Tells the registry what the ready replicas say of the shards, when that is news.
    fn count_votes(&mut self, now: Timestamp) {
        let speaks = |id: &ReplicaId| self.members.is_ready(*id);
        let others = self.spread.reports.iter().filter(|(id, _)| speaks(id)).flat_map(|(_, reports)| reports);
        let own = self.reports(now);
        let mut counts: BTreeMap<&ShardName, Votes> = BTreeMap::new();
        for report in others.chain(&own) {
            let votes = counts.entry(&report.shard).or_default();
            votes.down += u32::from(report.down);
            votes.voters += 1;
        }
        let alone = counts.values().all(|votes| votes.voters < 2);
        let votes: Vec<_> = if alone { Vec::new() } else { counts.into_iter().map(|(s, v)| (s.clone(), v)).collect() };
        if votes != self.spread.votes {
            self.spread.votes.clone_from(&votes);
            let events = self.router.handle(ShardInput::Voted { votes }, now);
            self.shards_changed(events);
        }
    }

    /// The shards as this replica sees them.
    fn reports(&self, now: Timestamp) -> Vec<ShardReport> {
        let tunnels = |shard: &ShardName| self.spread.tunnels.get(shard).copied().unwrap_or(0);
        let report = |(shard, down, _)| ShardReport { tunnels: tunnels(&shard), shard, down };
        self.router.opinions(now).into_iter().map(report).collect()
    }

    /// Tunnels to a shard through all replicas, this one's included.
    #[must_use]
    pub fn tunnels_on(&self, shard: &ShardName) -> u32 {
        let others = self.spread.reports.values().flatten().filter(|report| report.shard == *shard);
        let own = self.spread.tunnels.get(shard).copied().unwrap_or(0);
        others.map(|report| report.tunnels).fold(own, u32::saturating_add)
    }
}
