//! People: they ask for a room, sit on a tunnel to its shard, and come back when it ends.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use rand::RngExt;
use router_core::{cluster::Input, pin::Pin, room::RoomKey, router::Route, shard::ShardId};

use super::{
    plan::{Arrival, Plan},
    replica::shard_name,
    world::{Event, Host, MS, Micros, SECOND, Slot, World, tell},
};

/// Answers have to be there after the claim's time, a tick, and a little.
const ANSWERED_WITHIN: Micros = (150 + 25 + 10 + 5) * MS;

#[derive(Debug)]
pub(crate) struct Client {
    plan: Arrival,
    /// Grows with every new start.
    life: u32,
    /// The replica and the shard that it was sent to.
    pub(crate) place: Option<(Slot, usize)>,
    /// A tunnel is open to that place.
    pub(crate) open: bool,
    done: bool,
}

pub(crate) struct Clients {
    pub(crate) all: Vec<Client>,
    pub(crate) by_room: Vec<Vec<usize>>,
    pub(crate) rooms: BTreeMap<RoomKey, usize>,
    pub(crate) deadlines: VecDeque<(Micros, Slot, u64)>,
    /// What processes left on their disks.
    pub(crate) snapshots: BTreeMap<Host, Vec<(RoomKey, Pin)>>,
}

/// The key of a room: as scattered as a hash.
pub(crate) fn key(seed: u64, room: usize) -> RoomKey {
    let mut halves = [0; 2];
    for (n, half) in (0..).zip(&mut halves) {
        // The finalizer of splitmix64.
        let mut x = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0x2545_f491_4f6c_dd1d) ^ ((room as u64) * 2 + n);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *half = x ^ (x >> 31);
    }
    RoomKey((u128::from(halves[0]) << 64) | u128::from(halves[1]))
}

impl Clients {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut by_room = vec![Vec::new(); plan.rooms];
        for (n, arrival) in plan.arrivals.iter().enumerate() {
            by_room[arrival.room].push(n);
        }
        let client = |plan: &Arrival| Client { plan: plan.clone(), life: 0, place: None, open: false, done: false };
        Self {
            all: plan.arrivals.iter().map(client).collect(),
            by_room,
            rooms: (0..plan.rooms).map(|room| (key(plan.seed, room), room)).collect(),
            deadlines: VecDeque::new(),
            snapshots: BTreeMap::new(),
        }
    }

    pub(crate) fn arrivals(&self) -> Vec<(Micros, usize, Option<Host>)> {
        self.all.iter().enumerate().map(|(n, client)| (client.plan.at, n, client.plan.host)).collect()
    }

    pub(crate) fn room_of(&self, client: usize) -> usize {
        self.all[client].plan.room
    }

    /// Open tunnels of a room: client, replica and shard.
    pub(crate) fn tunnels(&self, room: usize) -> impl Iterator<Item = (usize, Slot, usize)> + '_ {
        let open = |&client: &usize| {
            let Client { place, open: true, .. } = self.all[client] else { return None };
            place.map(|(slot, shard)| (client, slot, shard))
        };
        self.by_room[room].iter().filter_map(open)
    }
}

impl World {
    /// A client asks, as the proxy does.
    pub(crate) fn request(&mut self, client: usize, host: Option<Host>) {
        // At the end nobody comes any more, so that all can be answered.
        if self.clients.all[client].done || self.now + 300 * MS > self.plan.end {
            return;
        }
        if let Some(until) = self.clients.all[client].plan.until {
            if until <= self.now {
                self.clients.all[client].done = true;
                return;
            }
            self.at(until, Event::Leaves { client });
        }
        let open = |slot: &Slot| !self.replicas[*slot].leaving;
        let wished = host.and_then(|host| self.hosts[host]).filter(open);
        let able: Vec<_> = self.living().into_iter().filter(open).collect();
        let by_chance = (!able.is_empty()).then(|| able[self.rng.random_range(0..able.len())]);
        let Some(slot) = wished.or(by_chance) else { return self.come_back(client, 100 * MS..500 * MS) };
        let room = self.clients.room_of(client);
        let key = key(self.plan.seed, room);
        let now = self.clock(slot);
        let route = self.replicas[slot].router.route(key, now);
        tell!(self, "client {client} asks replica {slot} for room {room} = {key}: {route:?}");
        self.check.used(room, self.now);
        match route {
            Route::Pinned(shard) => self.told_where(slot, client, shard),
            Route::Awaited(_) => self.come_back(client, 400 * MS..900 * MS),
            Route::Unknown | Route::Lost(_) => {
                let replica = &mut self.replicas[slot];
                replica.tickets += 1;
                let ticket = replica.tickets;
                replica.waiting.insert(ticket, client);
                self.clients.deadlines.push_back((self.now + ANSWERED_WITHIN, slot, ticket));
                self.input(slot, Input::Wanted { key, ticket });
            }
        }
    }

    /// A client knows where its room is.
    pub(crate) fn told_where(&mut self, slot: Slot, client: usize, shard: ShardId) {
        let number = self.shard_at(slot, shard);
        self.stats.answers += 1;
        self.check_answer(slot, client, number);
        if self.shards[number].down {
            return self.come_back(client, 300 * MS..800 * MS);
        }
        if self.clients.all[client].plan.stays {
            let connects = self.rng.random_range(MS..30 * MS);
            let the = &mut self.clients.all[client];
            the.place = Some((slot, number));
            the.life += 1;
            let life = the.life;
            self.after(connects, Event::Opened { client, life });
        }
    }

    pub(crate) fn opened(&mut self, client: usize, life: u32) {
        let the = &self.clients.all[client];
        if the.life != life || the.done {
            return;
        }
        let Some((slot, shard)) = the.place else { return };
        if self.shards[shard].down {
            return self.come_back(client, 300 * MS..800 * MS);
        }
        let (key, now) = (key(self.plan.seed, the.plan.room), self.clock(slot));
        let router = &self.replicas[slot].router;
        let shards = router.shards();
        let Some(known) = shards.by_name(shard_name(shard).as_str()) else {
            return self.come_back(client, 50 * MS..500 * MS);
        };
        if router.tunnel_opened(key, known.id, now) {
            self.clients.all[client].open = true;
        } else {
            tell!(self, "client {client} came too late for shard-{shard} through replica {slot}");
            router.tunnel_closed(key, known.id, now);
            self.come_back(client, 50 * MS..500 * MS);
        }
    }

    /// Its tunnel, if it has one, ends.
    fn close(&mut self, client: usize) {
        let the = &mut self.clients.all[client];
        the.life += 1;
        let Some((slot, shard)) = the.place.take() else { return };
        if std::mem::take(&mut the.open) && self.replicas[slot].alive {
            let key = key(self.plan.seed, the.plan.room);
            self.check.used(the.plan.room, self.now);
            let now = self.clock(slot);
            let router = &self.replicas[slot].router;
            if let Some(shard) = router.shards().by_name(shard_name(shard).as_str()).map(|shard| shard.id) {
                router.tunnel_closed(key, shard, now);
            }
        }
    }

    pub(crate) fn come_back(&mut self, client: usize, within: Range<Micros>) {
        self.close(client);
        let after = self.rng.random_range(within);
        self.after(after, Event::Request { client, host: None });
    }

    pub(crate) fn client_leaves(&mut self, client: usize) {
        self.close(client);
        self.clients.all[client].done = true;
    }

    /// A replica sends the people of a room away who sit on other shards.
    pub(crate) fn close_tunnels(&mut self, slot: Slot, key: RoomKey, except: Option<usize>) {
        let Some(&room) = self.clients.rooms.get(&key) else { return };
        let elsewhere: Vec<_> =
            self.clients.tunnels(room).filter(|&(_, at, shard)| at == slot && Some(shard) != except).collect();
        for (client, _, shard) in elsewhere {
            tell!(self, "client {client} is sent away from shard-{shard} through replica {slot}");
            self.stats.closed += 1;
            self.come_back(client, 50 * MS..500 * MS);
        }
    }

    /// A replica is no more; who was there comes back elsewhere.
    pub(crate) fn replica_is_gone(&mut self, slot: Slot) {
        let waiting: Vec<_> = std::mem::take(&mut self.replicas[slot].waiting).into_values().collect();
        let here = |(n, client): (usize, &Client)| client.place.is_some_and(|(at, _)| at == slot).then_some(n);
        let here: Vec<_> = self.clients.all.iter().enumerate().filter_map(here).collect();
        for client in waiting.into_iter().chain(here) {
            self.come_back(client, 50 * MS..500 * MS);
        }
        self.check_what_died(slot);
    }

    /// A replica that leaves ends its tunnels by and by.
    pub(crate) fn send_people_away(&mut self, slot: Slot) {
        for client in 0..self.clients.all.len() {
            if self.clients.all[client].place.is_some_and(|(at, _)| at == slot) {
                self.come_back(client, 50 * MS..500 * MS);
            }
        }
    }

    /// A shard is dead, and the tunnels to it with it.
    pub(crate) fn shard_ends(&mut self, shard: usize) {
        for client in 0..self.clients.all.len() {
            if self.clients.all[client].place.is_some_and(|(_, at)| at == shard) {
                self.come_back(client, 200 * MS..SECOND);
            }
        }
    }
}
