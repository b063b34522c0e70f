//! Who broke which promise. No clock, no network: the same record always gets the same judgement.

use std::collections::BTreeMap;

use super::{
    evidence::{Contact, Happening, How, Refused, Rules},
    past::{ShardPast, Spans},
    room::Room,
};
use crate::chaos::result::{ChaosPoint, ChaosRun, ChaosTotals, Violation};

/// A crash or restart of a replica is taken for the cause of what happens to a room this long after it.
const RESTART_EFFECT_MS: u64 = 10_000;
/// A difference found this long after a partition is taken for its consequence.
const HEAL_EFFECT_MS: u64 = 30_000;

/// How well the end of a pin's life is known from outside.
const SLACK_MS: u64 = 1_000;
/// Two answers within this time are at once, for a room that is in use.
const AT_ONCE_MS: u64 = 3_000;

/// The record and its judgement.
#[derive(Debug)]
pub struct Judge {
    rules: Rules,
    rooms: BTreeMap<String, Room>,
    shards: BTreeMap<String, ShardPast>,
    partitions: Spans,
    replicas: Spans,
    next_session: u64,
    /// More rooms were answered than may be remembered; said once until there are fewer again.
    over_bound: bool,
    violations: Vec<Violation>,
    violations_total: u64,
    totals: ChaosTotals,
    /// The totals at the last sample.
    sampled: ChaosTotals,
}

impl Judge {
    /// A judge who has seen nothing.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let rules = Rules { ttl_ms: rules.ttl_ms.max(2 * SLACK_MS), ..rules };
        Self {
            rules,
            rooms: BTreeMap::new(),
            shards: BTreeMap::new(),
            partitions: Spans::default(),
            replicas: Spans::default(),
            next_session: 0,
            over_bound: false,
            violations: Vec::new(),
            violations_total: 0,
            totals: ChaosTotals::default(),
            sampled: ChaosTotals::default(),
        }
    }

    /// Something was done.
    pub fn happened(&mut self, happening: Happening, now: u64) {
        let dead_slow = self.rules.dead_slow_ms;
        match happening {
            Happening::ShardDies(name) => self.shard(name).unusable.begin("dead", now),
            Happening::ShardLives(name) => self.shard(name).unusable.end("dead", now),
            Happening::ShardSlow(name, by) if by >= dead_slow => self.shard(name).unusable.begin("slow", now),
            Happening::ShardSlow(name, _) => self.shard(name).unusable.end("slow", now),
            Happening::Draining(name) => self.shard(name).draining.begin(now),
            Happening::OrderedDown(name) => self.shard(name).unusable.begin("ordered", now),
            Happening::OrdersBack(name) => {
                let shard = self.shard(name);
                shard.draining.end(now);
                shard.unusable.end("ordered", now);
            }
            Happening::Leaving(name) => self.shard(name).unusable.begin("gone", now),
            Happening::Gone(name) => self.shard(name).gone.begin(now),
            Happening::Comes(name) => {
                let shard = self.shard(name);
                shard.gone.end(now);
                shard.draining.end(now);
                shard.unusable.end("gone", now);
            }
            Happening::PartitionBegins => self.partitions.begin(now),
            Happening::PartitionOver => self.partitions.end(now),
            Happening::ReplicaDies => self.replicas.begin(now),
            Happening::ReplicaLives => self.replicas.end(now),
        }
    }

    fn shard(&mut self, name: String) -> &mut ShardPast {
        self.shards.entry(name).or_default()
    }

    /// A session was opened on `shard`; its number.
    pub fn opened(&mut self, room: &str, shard: &str, now: u64) -> u64 {
        self.next_session += 1;
        self.totals.sessions += 1;
        let room = self.rooms.entry(room.to_owned()).or_default();
        room.sessions.insert(self.next_session, (shard.to_owned(), now));
        let was_split = std::mem::replace(&mut room.split, false);
        room.split = room.is_split(now);
        self.totals.splits += u64::from(room.split && !was_split);
        self.next_session
    }

    /// A session ended: lost, or left.
    pub fn closed(&mut self, room: &str, session: u64, lost: bool, now: u64) {
        self.totals.disconnects += u64::from(lost);
        if let Some(room) = self.rooms.get_mut(room) {
            room.sessions.remove(&session);
            room.split = room.is_split(now);
        }
    }

    /// A shard answered.
    pub fn contact(&mut self, contact: &Contact<'_>) {
        self.totals.contacts += 1;
        let Contact { shard, start_ms: start, end_ms: end, how, .. } = *contact;
        // Out of the map while it is judged, so that the judge may look at the others.
        let mut room = self.rooms.remove(contact.room).unwrap_or_default();
        self.totals.rooms += u64::from(room.last_seen == 0 && room.seen.is_empty());
        if let How::Session(id) = how
            && let Some((_, seen)) = room.sessions.get_mut(&id)
        {
            *seen = end;
        }
        self.judge(&mut room, contact);
        room.saw(shard, end);
        debug_assert!(start <= end, "invariant: an answer comes after its request");
        self.rooms.insert(contact.room.to_owned(), room);
    }

    fn judge(&mut self, room: &mut Room, contact: &Contact<'_>) {
        let Contact { shard, start_ms: start, end_ms: end, how, .. } = *contact;
        // When exactly a proxy forgets, nobody outside knows: around that time, both old and new are right.
        let ttl = self.rules.ttl_ms;
        let may_be_over = |home: &str| room.is_over(start, if home == shard { ttl + SLACK_MS } else { ttl - SLACK_MS });
        let Some(home) = room.home.clone().filter(|home| !may_be_over(home)) else {
            room.settle(shard, end);
            room.disputed = false;
            room.tolerated.clear();
            self.placed(contact);
            self.bounded(contact);
            return;
        };
        let allowance = if how == How::Request { self.rules.agree_ms } else { self.rules.settle_ms };
        if self.partitions.touch(start.saturating_sub(allowance), end) {
            // Once settled, whoever is still elsewhere has time to come, and unsettles nothing.
            let settled =
                !self.partitions.is_open() && room.settled.is_some_and(|at| self.partitions.last_end(end) == Some(at));
            room.disputed |= home != shard && !settled;
            return;
        }
        if std::mem::take(&mut room.disputed) {
            // The first word after the partition: that is where everybody has to be.
            self.totals.moves += u64::from(home != shard);
            room.settled = self.partitions.last_end(end);
            room.settle(shard, end);
            return;
        }
        if home == shard || room.tolerated.get(shard).is_some_and(|until| *until >= start) {
            return;
        }
        let since = room.home_seen.min(start.saturating_sub(self.rules.notice_ms));
        let too_young = self.replicas.begun_within(room.home_since, room.home_since + self.rules.durable_ms);
        if too_young || self.shards.get(&home).is_some_and(|past| past.unusable.touch(since, end)) {
            self.totals.moves += 1;
            // Whoever has not noticed yet may stay for a while.
            room.tolerated.insert(home, end + self.rules.settle_ms);
            room.settle(shard, end);
            self.placed(contact);
            return;
        }
        self.totals.moves += 1;
        let (invariant, text) = self.reason(room, &home, contact);
        room.tolerated.insert(shard.to_owned(), u64::MAX);
        self.violated(invariant, end, contact.room, text);
    }

    /// Which promise it breaks that a room with a usable home is answered by another shard.
    fn reason(&self, room: &Room, home: &str, contact: &Contact<'_>) -> (u8, String) {
        let Contact { shard, replica, start_ms: start, end_ms: end, .. } = *contact;
        let seen = match contact.how {
            How::Request => format!("replica-{replica} sent a request to {shard}"),
            How::Session(_) => format!("a session through replica-{replica} is on {shard}"),
        };
        let restart_effect = start.saturating_sub(RESTART_EFFECT_MS).min(room.home_seen);
        if let Some(healed) = room.settled.filter(|healed| end < healed + HEAL_EFFECT_MS) {
            let after = end - healed.min(end);
            (2, format!("{seen}, {after} ms after a partition; agreed was {home}"))
        } else if self.is_full(end) && end.saturating_sub(room.home_since) > AT_ONCE_MS {
            (5, format!("{seen} although the room is in use on {home}: forgotten in a full table"))
        } else if self.replicas.touch(restart_effect, end) {
            (3, format!("{seen} after a replica's restart; the room was on {home}"))
        } else if self.shards.get(home).is_some_and(|past| past.draining.touch(room.home_seen, end)) {
            (4, format!("{seen}; the room was on {home}, which drains and keeps its rooms"))
        } else if room.sits_on(home, end) || end.saturating_sub(room.home_seen) <= AT_ONCE_MS {
            (1, format!("{seen} while others are on {home}"))
        } else {
            (4, format!("{seen}; the room was on {home}, which nothing has happened to"))
        }
    }

    /// A room came to a shard: was it one that may be come to?
    fn placed(&mut self, contact: &Contact<'_>) {
        let Contact { room, shard, replica, start_ms: start, end_ms: end, .. } = *contact;
        let Some(past) = self.shards.get(shard) else { return };
        if past.gone.open_before(start) {
            let text = format!("replica-{replica} placed it on {shard}, which is gone");
            self.violated(4, end, room, text);
        } else if past.draining.open_before(start) {
            let text = format!("replica-{replica} placed it on {shard}, which is draining");
            self.violated(4, end, room, text);
        }
    }

    /// One more room is remembered: is there space for it?
    fn bounded(&mut self, contact: &Contact<'_>) {
        let Some(bound) = self.rules.bound else { return };
        // This one is out of the map.
        let remembered = self.remembered(contact.end_ms) + 1;
        let was_over = std::mem::replace(&mut self.over_bound, remembered > bound + self.rules.at_once);
        if self.over_bound && !was_over {
            let text = format!("new room number {remembered} was not refused, and the bound is {bound}");
            self.violated(5, contact.end_ms, contact.room, text);
        }
    }

    /// Rooms that a proxy has to remember.
    fn remembered(&self, now: u64) -> usize {
        // Whose time is nearly over, the proxy may have forgotten.
        let ttl = self.rules.ttl_ms - SLACK_MS;
        self.rooms.values().filter(|room| room.home.is_some() && !room.is_over(now, ttl)).count()
    }

    fn is_full(&self, now: u64) -> bool {
        self.rules.bound.is_some_and(|bound| self.remembered(now) + 1 >= bound)
    }

    /// A request failed.
    pub fn refused(&mut self, refused: &Refused<'_>) {
        let Refused { room: name, status, replica, start_ms: start, end_ms: end } = *refused;
        self.totals.errors += 1;
        self.totals.refused += u64::from(status == Some(503));
        let Some(status) = status else { return };
        if self.rules.bound.is_none() || !self.is_full(end) {
            return;
        }
        let room = self.rooms.get(name).filter(|room| !room.is_over(start, self.rules.ttl_ms - SLACK_MS));
        let Some(home) = room.and_then(|room| room.home.clone()) else {
            if status != 503 {
                let text = format!("replica-{replica} refused a new room with {status}; 503 is what a full table says");
                self.violated(5, end, name, text);
            }
            return;
        };
        let from = start.saturating_sub(self.rules.notice_ms);
        let excused = self.shards.get(&home).is_some_and(|past| past.unusable.touch(from, end))
            || self.partitions.touch(from, end)
            || self.replicas.touch(from, end);
        if status == 503 && !excused {
            let text = format!("replica-{replica} refused a room that is in use on {home}");
            self.violated(5, end, name, text);
        }
    }

    /// The state at this moment, with what happened since the last sample.
    pub fn sample(&mut self, now: u64) -> ChaosPoint {
        for room in self.rooms.values_mut() {
            room.collapse(now);
            room.split = room.is_split(now);
        }
        let (totals, before) = (self.totals, std::mem::replace(&mut self.sampled, self.totals));
        ChaosPoint {
            t_ms: now,
            participants: self.rooms.values().map(|room| room.sessions.len() as u64).sum(),
            splits_alive: self.rooms.values().filter(|room| room.split).count() as u64,
            disconnects: totals.disconnects - before.disconnects,
            moves: totals.moves - before.moves,
            errors: totals.errors - before.errors,
        }
    }

    /// Sums so far.
    #[must_use]
    pub fn totals(&self) -> ChaosTotals {
        self.totals
    }

    /// Broken promises in words, the first [`ChaosRun::MAX_VIOLATIONS`] of them.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many there were.
    #[must_use]
    pub fn violations_total(&self) -> u64 {
        self.violations_total
    }

    fn violated(&mut self, invariant: u8, t_ms: u64, room: &str, text: String) {
        self.violations_total += 1;
        if self.violations.len() < ChaosRun::MAX_VIOLATIONS {
            self.violations.push(Violation { invariant, t_ms, room: room.to_owned(), text });
        }
    }
}
