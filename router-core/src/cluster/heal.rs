//! Healing: a room that was pinned to two shards, on two sides of a partition, gets one of them back.
//!
//! The rank of pins makes all replicas agree at once. But rank knows nothing of people: so, before any tunnel is closed,
//! the room's owner asks how many people sit on either shard, and lets the larger side stay.

use std::{collections::BTreeMap, time::Duration};

use super::{Cluster, ClusterEvent, Lane, Output, ReplicaId, message::Message, owner};
use crate::{
    pin::{DeciderId, Pin},
    room::RoomKey,
    shard::{ShardId, ShardName, ShardState},
    time::Timestamp,
};

/// From a contest's beginning until its owner counts: a few round trips.
const COUNT_AFTER: Duration = Duration::from_millis(300);
/// From its beginning until a replica that has heard no last word takes the rank's.
const GIVE_UP_AFTER: Duration = Duration::from_millis(1_200);
/// From its beginning until it is forgotten: the same two pins may meet again until all replicas have both.
const FORGET_AFTER: Duration = Duration::from_secs(5);
/// Rooms contested at a time; beyond it the rank alone decides.
const MAX_CONTESTS: usize = 100_000;

/// Rooms under contest.
#[derive(Debug, Default)]
pub(super) struct Contests {
    rooms: BTreeMap<RoomKey, Contest>,
    /// When to look at a room again.
    timers: BTreeMap<Timestamp, Vec<RoomKey>>,
}

#[derive(Debug)]
struct Contest {
    began: Timestamp,
    /// Tunnels by shard and replica, as far as they are known here.
    tunnels: BTreeMap<(ShardName, ReplicaId), u32>,
    settled: bool,
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
    /// Two live pins of one room have met: ours was on the shard in `sits` with so many tunnels; `loser` is the pin that
    /// is not in the table now.
    pub(super) fn contest(&mut self, key: RoomKey, loser: Pin, sits: (ShardId, u32), now: Timestamp) {
        let known = self.contests.rooms.contains_key(&key);
        if !known && self.contests.rooms.len() >= MAX_CONTESTS {
            return self.out.push(Output::CloseTunnels { key, except: self.shard_of(key, now).unwrap_or(sits.0) });
        }
        let Some(shard) = self.router.shards().name(sits.0).cloned() else { return };
        self.begin(key, now);
        self.census(key, shard.clone(), self.me.id, sits.1);
        if self.owner_of(key) != Some(self.me.id)
            && let Some(owner) = self.owner_of(key)
        {
            self.urgent(owner, Message::Census(vec![(key, shard, sits.1)]));
        }
        if !known {
            self.event(ClusterEvent::Conflict { key });
            // Everybody must see both pins, or those who have only one would never look for tunnels on the other's shard.
            let winner = self.router.get(key, now).map(|(pin, ..)| pin);
            self.push_pins(winner.into_iter().chain([loser]).map(|pin| (key, pin)));
        }
    }

    /// Another replica counts its people in contested rooms that this one owns.
    pub(super) fn counted(&mut self, from: ReplicaId, counts: Vec<(RoomKey, ShardName, u32)>, now: Timestamp) {
        for (key, shard, tunnels) in counts {
            if self.contests.rooms.contains_key(&key) || self.contests.rooms.len() < MAX_CONTESTS {
                self.begin(key, now);
                self.census(key, shard, from, tunnels);
            }
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
        for key in due.into_values().flatten() {
            let Some(contest) = self.contests.rooms.get(&key) else { continue };
            let age = now.since(contest.began);
            if age >= FORGET_AFTER {
                self.contests.rooms.remove(&key);
            } else if contest.settled {
            } else if self.owner_of(key) == Some(self.me.id) {
                words.extend(self.settle(key, now));
            } else if age >= GIVE_UP_AFTER {
                self.finish(key, now);
            }
        }
        for pins in words.chunks(super::spread::PINS_PER_MESSAGE) {
            self.to_all(Lane::Urgent, &Message::Settled(pins.to_vec()));
        }
    }

    fn begin(&mut self, key: RoomKey, now: Timestamp) {
        if let std::collections::btree_map::Entry::Vacant(place) = self.contests.rooms.entry(key) {
            place.insert(Contest { began: now, tunnels: BTreeMap::new(), settled: false });
            for after in [COUNT_AFTER, GIVE_UP_AFTER, FORGET_AFTER] {
                self.contests.wake(key, now + after);
            }
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
            contest.settled = true;
        }
        if let Some(shard) = self.shard_of(key, now) {
            self.event(ClusterEvent::Settled { key, shard });
            self.out.push(Output::CloseTunnels { key, except: shard });
        }
    }

    fn shard_of(&self, key: RoomKey, now: Timestamp) -> Option<ShardId> {
        self.router.get(key, now).map(|(_, shard, _)| shard)
    }

    fn owner_of(&self, key: RoomKey) -> Option<ReplicaId> {
        owner::order(key, self.members.ready()).into_iter().next()
    }
}
