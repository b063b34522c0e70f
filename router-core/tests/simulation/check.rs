//! What the design promises, checked.
//!
//! With every answer: a room is on one shard, unless it may move (invariants 1, 3, 4); with every new room: its shard
//! takes rooms (4); with every event: nobody waits too long for an answer; every second: the table's bound (5), and
//! what is over stays over. `settle.rs` has what is checked when all is well again.

use std::collections::BTreeSet;

use router_core::shard::ShardState;

use super::{
    clients::key,
    plan::{Class, Plan},
    world::{MS, Micros, SECOND, Slot, World},
};

/// What everybody was told about a room.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomTruth {
    shard: Option<usize>,
    /// Where it was before, and when it was last told to be elsewhere for the first time.
    before: Option<(usize, Micros)>,
    told_by: BTreeSet<Slot>,
    used: Micros,
    gone: bool,
}

pub(crate) struct Check {
    rooms: Vec<RoomTruth>,
    /// Since when the links have to come back.
    pub(crate) healing: bool,
    /// Sizes of the sides of each room when they began to.
    pub(crate) sides: Vec<Vec<(usize, u32)>>,
    /// A connection broke after that.
    pub(crate) broken: bool,
}

impl Check {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { rooms: vec![RoomTruth::default(); plan.rooms], healing: false, sides: Vec::new(), broken: false }
    }

    pub(crate) fn used(&mut self, room: usize, now: Micros) {
        self.rooms[room].used = now;
        self.rooms[room].gone = false;
    }

    pub(crate) fn used_at(&self, room: usize) -> Micros {
        self.rooms[room].used
    }
}

impl World {
    /// Time in which all replicas have heard of a move.
    const NEWS: Micros = 250 * MS;

    pub(crate) fn check_answer(&mut self, slot: Slot, client: usize, shard: usize) {
        let room = self.clients.room_of(client);
        let now = self.now;
        let truth = &mut self.check.rooms[room];
        let Some(official) = truth.shard else {
            truth.shard = Some(shard);
            truth.told_by.insert(slot);
            return;
        };
        if official == shard {
            truth.told_by.insert(slot);
            return;
        }
        let late = truth.before.is_some_and(|(before, at)| before == shard && now < at + Self::NEWS);
        if late {
            return;
        }
        let may_leave = self.shards[official].lost_until.is_some_and(|until| now <= until);
        if self.plan.strict && !may_leave {
            let others = format!("{:?}", truth.told_by);
            return self.fail(&format!(
                "split: replica {slot} sends room {room} to shard-{shard}, replicas {others} sent it to shard-{official}"
            ));
        }
        truth.before = Some((official, now));
        truth.shard = Some(shard);
        truth.told_by = BTreeSet::from([slot]);
        if may_leave {
            self.stats.moves += 1;
        } else {
            self.stats.splits += 1;
        }
    }

    /// A replica has decided a new room, or a room anew.
    pub(crate) fn check_new_room(&mut self, slot: Slot, shard: router_core::shard::ShardId) {
        let shard = self.shard_at(slot, shard);
        if let Some((at, Some(ShardState::Draining | ShardState::Down))) = self.shards[shard].ordered
            && self.plan.strict
            && self.now > at + SECOND
        {
            self.fail(&format!("replica {slot} puts a new room on shard-{shard}, which drains"));
        }
    }

    pub(crate) fn check_deadlines(&mut self) {
        while let Some(&(at, slot, ticket)) = self.clients.deadlines.front()
            && at < self.now
        {
            self.clients.deadlines.pop_front();
            if self.replicas[slot].alive && self.replicas[slot].waiting.contains_key(&ticket) {
                self.fail(&format!("replica {slot} has not answered ticket {ticket} in time"));
            }
        }
    }

    /// A replica has died with all it knew; what nobody else knows may be decided anew.
    pub(crate) fn check_what_died(&mut self, slot: Slot) {
        for room in 0..self.check.rooms.len() {
            if !self.check.rooms[room].told_by.contains(&slot) {
                continue;
            }
            let key = key(self.plan.seed, room);
            let known = self
                .living()
                .into_iter()
                .any(|other| self.replicas[other].router.lookup(key, self.clock(other)).is_some());
            if !known && self.check.rooms[room].told_by.len() == 1 {
                self.check.rooms[room].shard = None;
                self.check.rooms[room].told_by.clear();
            }
        }
    }

    pub(crate) fn check_bounds(&mut self) {
        for slot in self.living() {
            let held = self.clients.all.iter().filter(|client| client.place.is_some_and(|(at, _)| at == slot)).count();
            let len = self.replicas[slot].router.len();
            if len > self.plan.max_pins + held {
                self.fail(&format!("replica {slot} holds {len} pins, {} are allowed", self.plan.max_pins));
            }
        }
    }

    /// Pins end after their time, not before, and do not come back.
    pub(crate) fn check_the_gone(&mut self) {
        if self.plan.class != Class::Life {
            return;
        }
        for room in 0..self.check.rooms.len() {
            let key = key(self.plan.seed, room);
            let held = self.clients.tunnels(room).next();
            let mut there = Vec::new();
            for slot in self.living() {
                if self.replicas[slot].router.lookup(key, self.clock(slot)).is_some() {
                    there.push(slot);
                }
            }
            let truth = &mut self.check.rooms[room];
            if truth.gone && !there.is_empty() {
                return self.fail(&format!("room {room} was over, and is back at replicas {there:?}"));
            }
            if held.is_some() && there.is_empty() {
                return self.fail(&format!("room {room} is forgotten, and somebody sits there"));
            }
            if there.is_empty() && truth.shard.is_some() && truth.used + SECOND < self.now {
                truth.gone = true;
                truth.shard = None;
                let ttl = Micros::try_from(self.plan.ttl.as_micros()).expect("short");
                if self.now < truth.used + ttl - 2 * SECOND {
                    return self.fail(&format!("room {room} is over before its time"));
                }
            }
        }
    }

    /// Open tunnels are counted where they are.
    pub(crate) fn check_tunnel_counts(&mut self) {
        for slot in self.living() {
            for room in 0..self.check.rooms.len() {
                let key = key(self.plan.seed, room);
                let here = self.clients.tunnels(room).filter(|(_, at, _)| *at == slot).count();
                let counted = self.replicas[slot].router.lookup(key, self.clock(slot)).map_or(0, |view| view.tunnels);
                if u32::try_from(here) != Ok(counted) {
                    self.fail(&format!("replica {slot} counts {counted} tunnels of room {room}, there are {here}"));
                }
            }
        }
    }
}
