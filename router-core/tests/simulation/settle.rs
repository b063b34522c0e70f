//! When all is well again: do all replicas agree, does everybody sit where they should, is nothing left over?

use std::collections::{BTreeMap, BTreeSet};

use router_core::cluster::ReplicaState;

use super::{
    clients::key,
    faults::Fault,
    plan::Class,
    replica::shard_number,
    world::{Event, MS, SECOND, World, tell},
};

impl World {
    /// All ways are free; connections come back.
    pub(crate) fn healed(&mut self) {
        self.check.healing = true;
        self.check.sides = (0..self.plan.rooms)
            .map(|room| {
                let mut sides: BTreeMap<usize, u32> = BTreeMap::new();
                for (_, _, shard) in self.clients.tunnels(room) {
                    *sides.entry(shard).or_default() += 1;
                }
                sides.into_iter().collect()
            })
            .collect();
        self.links_changed();
    }

    /// The time that replicas have begins when all are connected.
    pub(crate) fn links_changed(&mut self) {
        if self.check.healing && self.all_linked() {
            self.check.healing = false;
            tell!(self, "*** all are connected");
            self.after(2 * SECOND, Event::Fault(Fault::Agree));
            self.after(5 * SECOND, Event::Fault(Fault::Seated));
        }
    }

    /// Where the replicas have a room; its last use does not count.
    fn opinions(&self, room: usize) -> BTreeMap<Option<(usize, u32)>, Vec<usize>> {
        let key = key(self.plan.seed, room);
        let mut opinions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for slot in self.living() {
            let view = self.replicas[slot].router.lookup(key, self.clock(slot));
            let opinion = view.map(|view| (shard_number(&view.pin.shard), view.pin.epoch));
            opinions.entry(opinion).or_default().push(slot);
        }
        opinions
    }

    pub(crate) fn check_agreement(&mut self) {
        // Where a connection stood and lost messages all the same, members find together by what they say every 5 s.
        let by_and_by = self.plan.class == Class::Wild && self.now < self.plan.end;
        for slot in self.living().into_iter().filter(|_| !by_and_by) {
            if self.replicas[slot].cluster.state() != ReplicaState::Ready {
                self.fail(&format!("replica {slot} is not ready"));
            }
            let live = self.replicas[slot].cluster.live().count();
            if live != self.living().len() {
                self.fail(&format!("replica {slot} sees {live} members"));
            }
        }
        if matches!(self.plan.class, Class::Full | Class::Life) {
            return;
        }
        for room in 0..self.plan.rooms {
            let mut opinions = self.opinions(room);
            if matches!(self.plan.class, Class::Churn | Class::Wild) {
                // What only the dead could have told all, repair tells by and by. Who does not know asks.
                opinions.remove(&None);
            }
            // What is being decided now is on its way to the others.
            if opinions.len() > 1 && self.check.used_at(room) + 300 * MS < self.now {
                self.fail(&format!("replicas do not agree on room {room} (shard, epoch): {opinions:?}"));
            }
        }
        if self.plan.class == Class::Heal && !self.plan.one_way && !self.check.broken {
            self.check_sides();
        }
    }

    /// The larger side of a room was not moved. That needs all to be heard: not if in a one-way partition one side has
    /// heard of the other's pins but not of its people, nor if more connections break while they are counted.
    fn check_sides(&mut self) {
        for room in 0..self.plan.rooms {
            let mut sides = self.check.sides[room].clone();
            if sides.len() < 2 {
                continue;
            }
            sides.sort_unstable_by_key(|(_, size)| std::cmp::Reverse(*size));
            let [(larger, n), (_, second), ..] = sides[..] else { continue };
            let now = self.opinions(room).into_keys().next().flatten();
            if n > second && now.is_none_or(|(shard, _)| shard != larger) {
                self.fail(&format!("room {room} had tunnels {sides:?}, and is now at {now:?}"));
            }
        }
    }

    pub(crate) fn check_seats(&mut self) {
        for room in 0..self.plan.rooms {
            let shards: BTreeSet<_> = self.clients.tunnels(room).map(|(_, _, shard)| shard).collect();
            if shards.len() > 1 {
                let seats: Vec<_> = self.clients.tunnels(room).collect();
                self.fail(&format!("room {room} still sits on several shards (client, replica, shard): {seats:?}"));
            }
            for (client, slot, shard) in self.clients.tunnels(room).collect::<Vec<_>>() {
                let view = self.replicas[slot].router.lookup(key(self.plan.seed, room), self.clock(slot));
                let pinned = view.map(|view| shard_number(&view.pin.shard));
                if pinned != Some(shard) {
                    self.fail(&format!("client {client} sits on shard-{shard}, room {room} is on {pinned:?}"));
                }
            }
        }
    }

    pub(crate) fn check_quiet(&mut self) {
        if matches!(self.plan.class, Class::Calm | Class::Churn | Class::Links | Class::Shards | Class::Wild) {
            self.check_agreement();
        }
        self.check_seats();
        self.check_tunnel_counts();
        if self.check.healing {
            self.fail("not all are connected");
        }
        for slot in self.living() {
            let waiting = self.replicas[slot].waiting.len();
            let left = self.replicas[slot].cluster.under_way();
            if waiting > 0 || left.claims > 0 || left.questions > 0 {
                self.fail(&format!("replica {slot} has {left:?} under way, and {waiting} requests wait"));
            }
            if left.contests > 0 {
                self.fail(&format!("replica {slot} has {left:?} under way"));
            }
        }
        if self.plan.class == Class::Life {
            for room in 0..self.plan.rooms {
                if !self.opinions(room).contains_key(&None) || self.opinions(room).len() > 1 {
                    let opinions = self.opinions(room);
                    self.fail(&format!("room {room} should be over: {opinions:?}"));
                }
            }
        }
    }
}
