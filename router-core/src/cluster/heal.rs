//! Healing: a room that was pinned to two shards, on two sides of a partition, gets one of them back.
//!
//! The rank of pins makes all replicas agree at once. But rank knows nothing of people: so, before any tunnel is closed,
//! every replica tells all others how many of its people sit on which shard, and the first in rank lets the larger side
//! stay. All are told, because when a partition ends there is no common view yet of who is first.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Cluster, ClusterEvent, Lane, Node, Output, ReplicaId, ReplicaState, message::Message, owner};
use crate::{
    pin::{DeciderId, Pin},
    room::RoomKey,
    shard::{ShardId, ShardName, ShardState},
    time::Timestamp,
};

/// From a contest's beginning until its owner counts: a few round trips.
const COUNT_AFTER: Duration = Duration::from_millis(300);
/// From its beginning until it counts at the latest.
const COUNT_AT_LAST: Duration = Duration::from_secs(1);
/// Between two looks whether everybody is there.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// From its beginning until a replica that has heard no last word takes the rank's.
const GIVE_UP_AFTER: Duration = Duration::from_millis(1_200);
/// From its beginning until it is forgotten: the same two pins may meet again until all replicas have both.
const FORGET_AFTER: Duration = Duration::from_secs(5);
/// Rooms contested at a time; beyond it the rank alone decides.
const MAX_CONTESTS: usize = 100_000;
/// Pins of one contest that are remembered: one of each side, and some more.
const MAX_PINS: usize = 16;

/// Rooms under contest.
#[derive(Debug, Default)]
pub(super) struct Contests {
    rooms: BTreeMap<RoomKey, Contest>,
    /// When to look at a room again.
    timers: BTreeMap<Timestamp, Vec<RoomKey>>,
    /// What was counted here and nobody was told yet.
    counts: Vec<(RoomKey, ShardName, u32)>,
    /// When the last connection came or went.
    last_link: Timestamp,
}

#[derive(Debug)]
struct Contest {
    began: Timestamp,
    /// Of the pins that met.
    epoch: u32,
    /// The pins that met, by what tells them apart.
    pins: BTreeSet<(ShardName, DeciderId)>,
    /// Tunnels by shard and replica, as far as they are known here.
    tunnels: BTreeMap<(ShardName, ReplicaId), u32>,
    settled: Option<Timestamp>,
}

impl Contests {
    pub(super) fn count(&self) -> usize {
        self.rooms.len()
    }

    fn wake(&mut self, key: RoomKey, at: Timestamp) {
        self.timers.entry(at).or_default().push(key);
    }
}

impl Cluster {
    /// Two live pins of one room have met, of one epoch. Ours was on the shard in `sits`, with so many tunnels.
    pub(super) fn contest(&mut self, key: RoomKey, pins: [&Pin; 2], sits: (ShardId, u32), now: Timestamp) {
        let epoch = pins[0].epoch;
        let pins = pins.map(|pin| (pin.shard.clone(), pin.decider));
        match self.contests.rooms.get(&key) {
            None if self.contests.rooms.len() >= MAX_CONTESTS => return self.close_others(key, now),
            // Two replicas have settled it, each with its own count: the rank decides, which is the same for all.
            Some(contest) if contest.epoch < epoch => return self.finish(key, now),
            // The same two meet again, at other replicas or by repair.
            Some(contest) if contest.settled.is_some() && pins.iter().all(|pin| contest.pins.contains(pin)) => return,
            Some(contest) if contest.settled.is_none() => {}
            Some(_) | None => {
                self.begin(key, epoch, now);
                self.event(ClusterEvent::Conflict { key });
                self.push(key, now);
            }
        }
        if let Some(contest) = self.contests.rooms.get_mut(&key)
            && contest.pins.len() < MAX_PINS
        {
            contest.pins.extend(pins);
        }
        self.count_here(key, sits);
    }

    /// Another replica counts its people in contested rooms.
    pub(super) fn counted(&mut self, from: ReplicaId, counts: Vec<(RoomKey, ShardName, u32)>, now: Timestamp) {
        for (key, shard, tunnels) in counts {
            let known = self.contests.rooms.get(&key).is_some_and(|contest| match contest.settled {
                None => true,
                // A late word on what is settled, not the first one on something new.
                Some(at) => now.since(at) < COUNT_AT_LAST && contest.pins.iter().any(|(known, _)| *known == shard),
            });
            if !known {
                if self.contests.rooms.len() >= MAX_CONTESTS {
                    continue;
                }
                // The other pin may never come here, if it is the one that loses: count now.
                let here = self.router.get(key, now);
                self.begin(key, here.as_ref().map_or(0, |(pin, ..)| pin.epoch), now);
                if let Some((_, shard, tunnels)) = here.filter(|(.., tunnels)| *tunnels > 0) {
                    self.count_here(key, (shard, tunnels));
                }
            }
            self.census(key, shard, from, tunnels);
        }
    }

    /// Connections come and go: whoever counts waits for them.
    pub(super) fn links_changed(&mut self, now: Timestamp) {
        self.contests.last_link = now;
    }

    /// A connection is there: its other end may not have heard of what is contested.
    pub(super) fn tell_contests(&mut self, to: ReplicaId) {
        let open = self.contests.rooms.iter().filter(|(_, contest)| contest.settled.is_none());
        let ours = open.flat_map(|(&key, contest)| {
            let ours = contest.tunnels.iter().filter(|((_, replica), _)| *replica == self.me.id);
            ours.map(move |((shard, _), &tunnels)| (key, shard.clone(), tunnels))
        });
        let ours: Vec<_> = ours.collect();
        for counts in ours.chunks(super::spread::PINS_PER_MESSAGE) {
            self.urgent(to, Message::Census(counts.to_vec()));
        }
    }

    /// Tells everybody what was counted with the input under way.
    pub(super) fn flush_counts(&mut self) {
        let counts = std::mem::take(&mut self.contests.counts);
        for counts in counts.chunks(super::spread::PINS_PER_MESSAGE) {
            self.send_all(Lane::Urgent, &Message::Census(counts.to_vec()));
        }
    }

    /// Counts the people of this replica, once: later they may be on their way already.
    fn count_here(&mut self, key: RoomKey, (shard, tunnels): (ShardId, u32)) {
        let Some(shard) = self.router.shards().name(shard).cloned() else { return };
        let Some(contest) = self.contests.rooms.get_mut(&key) else { return };
        if !contest.tunnels.keys().any(|(_, replica)| *replica == self.me.id) {
            contest.tunnels.insert((shard.clone(), self.me.id), tunnels);
            self.contests.counts.push((key, shard, tunnels));
        }
    }

    /// The owner's last word.
    pub(super) fn settled(&mut self, pins: Vec<(RoomKey, Pin)>, now: Timestamp) {
        for (key, pin) in pins {
            self.merge(key, &pin, now);
            self.finish(key, now);
        }
    }

    /// Counts, gives up and forgets what is due.
    pub(super) fn heal_on(&mut self, now: Timestamp) {
        let later = self.contests.timers.split_off(&(now + Duration::from_millis(1)));
        let due = std::mem::replace(&mut self.contests.timers, later);
        let mut words = Vec::new();
        let linked = |node: Node| node.id == self.me.id || self.members.is_linked(node.id);
        let all_linked = self.members.live().all(|(node, _)| linked(node));
        for key in due.into_values().flatten() {
            let Some(contest) = self.contests.rooms.get(&key) else { continue };
            let age = now.since(contest.began);
            // While connections come back, those who are missing are waited for.
            let all_there = all_linked && now.since(self.contests.last_link) >= COUNT_AFTER || age >= COUNT_AT_LAST;
            if age >= FORGET_AFTER {
                self.contests.rooms.remove(&key);
            } else if contest.settled.is_some() {
            } else if age >= COUNT_AFTER && self.settles(key) {
                if all_there {
                    words.extend(self.settle(key, now));
                } else {
                    self.contests.wake(key, now + LOOK_AGAIN);
                }
            } else if age >= GIVE_UP_AFTER {
                self.finish(key, now);
            }
        }
        for pins in words.chunks(super::spread::PINS_PER_MESSAGE) {
            self.send_all(Lane::Urgent, &Message::Settled(pins.to_vec()));
        }
    }

    fn begin(&mut self, key: RoomKey, epoch: u32, now: Timestamp) {
        let (pins, tunnels) = (BTreeSet::new(), BTreeMap::new());
        self.contests.rooms.insert(key, Contest { began: now, epoch, pins, tunnels, settled: None });
        for after in [COUNT_AFTER, GIVE_UP_AFTER, FORGET_AFTER] {
            self.contests.wake(key, now + after);
        }
    }

    fn census(&mut self, key: RoomKey, shard: ShardName, replica: ReplicaId, tunnels: u32) {
        if let Some(contest) = self.contests.rooms.get_mut(&key) {
            contest.tunnels.insert((shard, replica), tunnels);
        }
    }

    /// Decides a contest: most people stay where they are.
    fn settle(&mut self, key: RoomKey, now: Timestamp) -> Option<(RoomKey, Pin)> {
        let (ranked, ..) = self.router.get(key, now)?;
        let contest = self.contests.rooms.get(&key)?;
        let mut totals: BTreeMap<&ShardName, u32> = BTreeMap::new();
        for ((shard, _), tunnels) in &contest.tunnels {
            *totals.entry(shard).or_default() += tunnels;
        }
        let ranked_total = totals.get(&ranked.shard).copied().unwrap_or(0);
        let shards = self.router.shards();
        let usable =
            |shard: &ShardName| shards.by_name(shard.as_str()).is_some_and(|shard| shard.state != ShardState::Down);
        let larger = totals.into_iter().filter(|&(shard, n)| n > ranked_total && usable(shard)).max_by_key(|&(_, n)| n);
        if let Some((shard, _)) = larger {
            let pin = Pin {
                shard: shard.clone(),
                epoch: ranked.epoch.saturating_add(1),
                created: now,
                decider: DeciderId(self.me.id.0),
                last_seen: now,
                ended: false,
            };
            self.router.merge(key, pin, now);
        }
        let (pin, ..) = self.router.get(key, now)?;
        self.finish(key, now);
        Some((key, pin))
    }

    /// The room's shard is certain: whoever sits elsewhere is sent there.
    fn finish(&mut self, key: RoomKey, now: Timestamp) {
        if let Some(contest) = self.contests.rooms.get_mut(&key) {
            contest.settled = Some(now);
        }
        if let Some(shard) = self.shard_of(key, now) {
            self.event(ClusterEvent::Settled { key, shard });
            self.close_others(key, now);
        }
    }

    fn close_others(&mut self, key: RoomKey, now: Timestamp) {
        if let Some(except) = self.shard_of(key, now) {
            self.out.push(Output::CloseTunnels { key, except: Some(except) });
        }
    }

    fn shard_of(&self, key: RoomKey, now: Timestamp) -> Option<ShardId> {
        self.router.get(key, now).map(|(_, shard, _)| shard)
    }

    /// Whether this replica settles a contest: the first in rank of those connected. When a partition ends, connections
    /// are there before the members know of each other.
    fn settles(&self, key: RoomKey) -> bool {
        let ready = |(id, state)| (state == ReplicaState::Ready).then_some(id);
        let me = (self.me.id, self.members.state());
        let able = self.members.linked().chain([me]).filter_map(ready);
        owner::order(key, able).first() == Some(&self.me.id)
    }
}
