//! The world: time, events in their order, and who they happen to.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use router_core::{
    cluster::{Input, Lane, ReplicaId},
    time::Timestamp,
};

use super::{
    check::Check,
    clients::Clients,
    faults::Fault,
    net::Net,
    plan::Plan,
    replica::{Replica, ShardTruth},
};

/// Microseconds.
pub(crate) type Micros = u64;
pub(crate) const MS: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000_000;

/// As the proxy does.
pub(crate) const TICK: Micros = 10 * MS;

/// True time at the world's beginning, in milliseconds; clocks are up to 5 s off.
const EPOCH: u64 = 1_750_000_000_000;

/// Number of a process from its start to its end; no number comes twice.
pub(crate) type Slot = usize;
/// Number of a place where one process at a time runs.
pub(crate) type Host = usize;

#[derive(Debug)]
pub(crate) enum Event {
    Tick(Slot),
    Second,
    Deliver { conn: usize, from: usize, lane: Lane, bytes: Vec<u8> },
    Connect(Slot, Slot),
    Up { conn: usize, end: usize },
    Down { conn: usize, end: usize },
    KeepAlive { conn: usize },
    Request { client: usize, host: Option<Host> },
    Opened { client: usize, life: u32 },
    Leaves { client: usize },
    Probe { host: Host, shard: usize },
    Fault(Fault),
}

#[derive(Debug)]
struct Scheduled {
    at: Micros,
    count: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.count).cmp(&(self.at, self.count))
    }
}

/// What came to pass, in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stats {
    pub(crate) events: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) answers: u64,
    pub(crate) refusals: u64,
    pub(crate) decided: u64,
    pub(crate) fallbacks: u64,
    pub(crate) unconfirmed: u64,
    /// Answers that name two shards for one room, where that may be.
    pub(crate) splits: u64,
    pub(crate) moves: u64,
    pub(crate) conflicts: u64,
    pub(crate) closed: u64,
}

impl Stats {
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.answers += other.answers;
        self.refusals += other.refusals;
        self.decided += other.decided;
        self.fallbacks += other.fallbacks;
        self.unconfirmed += other.unconfirmed;
        self.splits += other.splits;
        self.moves += other.moves;
        self.conflicts += other.conflicts;
        self.closed += other.closed;
    }
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: SmallRng,
    pub(crate) now: Micros,
    count: u64,
    queue: BinaryHeap<Scheduled>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) slots: BTreeMap<ReplicaId, Slot>,
    pub(crate) hosts: Vec<Option<Slot>>,
    /// Off true time, in milliseconds, by host.
    pub(crate) skew: Vec<i64>,
    pub(crate) net: Net,
    pub(crate) shards: Vec<ShardTruth>,
    pub(crate) clients: Clients,
    pub(crate) check: Check,
    pub(crate) stats: Stats,
    pub(crate) failure: Option<String>,
    pub(crate) told: bool,
}

/// Tells what happens, if anybody listens.
macro_rules! tell {
    ($world:expr, $($what:tt)*) => {
        if $world.told {
            println!("{:>10.3} ms  {}", $world.now as f64 / 1e3, format!($($what)*));
        }
    };
}
pub(crate) use tell;

impl World {
    pub(crate) fn new(plan: Plan, told: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(plan.seed ^ 0x5eed);
        let most = i64::try_from(plan.skew).expect("a few thousand");
        let skew = (0..plan.hosts).map(|_| rng.random_range(-most..=most)).collect();
        let mut world = Self {
            rng,
            now: 0,
            count: 0,
            queue: BinaryHeap::new(),
            replicas: Vec::new(),
            slots: BTreeMap::new(),
            hosts: vec![None; plan.hosts],
            skew,
            net: Net::default(),
            shards: (0..plan.shards).map(|_| ShardTruth::default()).collect(),
            clients: Clients::new(&plan),
            check: Check::new(&plan),
            stats: Stats::default(),
            failure: None,
            told,
            plan,
        };
        for (at, fault) in world.plan.faults.clone() {
            world.at(at, Event::Fault(fault));
        }
        for (at, client, host) in world.clients.arrivals() {
            world.at(at, Event::Request { client, host });
        }
        world.at(SECOND, Event::Second);
        world
    }

    pub(crate) fn run(mut self) -> (Stats, Result<(), String>) {
        self.run_on();
        if self.failure.is_none() {
            self.check_quiet();
        }
        let result = self.failure.take().map_or(Ok(()), Err);
        (self.stats, result)
    }

    /// To the end, without the checks that belong there.
    pub(crate) fn run_on(&mut self) {
        tell!(self, "{:?}", self.plan);
        let end = self.plan.end;
        while self.failure.is_none()
            && let Some(next) = self.queue.pop()
        {
            if next.at > end {
                break;
            }
            self.now = next.at;
            self.stats.events += 1;
            self.step(next.event);
            self.check_deadlines();
        }
        self.now = end;
    }

    /// Schedules an event for a time from the beginning, not before now.
    pub(crate) fn at(&mut self, at: Micros, event: Event) {
        self.count += 1;
        self.queue.push(Scheduled { at: at.max(self.now), count: self.count, event });
    }

    pub(crate) fn after(&mut self, after: Micros, event: Event) {
        self.at(self.now + after, event);
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// The first failure counts.
    pub(crate) fn fail(&mut self, why: &str) {
        tell!(self, "FAILURE: {why}");
        self.failure.get_or_insert_with(|| format!("at {:.3} ms: {why}", self.now as f64 / 1e3));
    }

    /// A replica's clock.
    pub(crate) fn clock(&self, slot: Slot) -> Timestamp {
        self.clock_at(self.replicas[slot].host)
    }

    pub(crate) fn clock_at(&self, host: Host) -> Timestamp {
        let skew = self.skew[host];
        Timestamp((EPOCH + self.now / MS).checked_add_signed(skew).expect("far from zero"))
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Tick(slot) => {
                if self.replicas[slot].alive {
                    self.after(TICK, Event::Tick(slot));
                    self.input(slot, Input::Tick);
                }
            }
            Event::Second => self.second(),
            Event::Deliver { conn, from, lane, bytes } => self.arrived(conn, from, lane, bytes),
            Event::Connect(a, b) => self.connect(a, b),
            Event::Up { conn, end } => self.link_is_up(conn, end),
            Event::Down { conn, end } => self.link_is_down(conn, end),
            Event::KeepAlive { conn } => self.keep_alive(conn),
            Event::Request { client, host } => self.request(client, host),
            Event::Opened { client, life } => self.opened(client, life),
            Event::Leaves { client } => self.client_leaves(client),
            Event::Probe { host, shard } => self.probe(host, shard),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    fn second(&mut self) {
        self.after(SECOND, Event::Second);
        for slot in self.living() {
            let now = self.clock(slot);
            self.replicas[slot].router.expire(now);
        }
        self.check_bounds();
        self.check_the_gone();
    }

    pub(crate) fn living(&self) -> Vec<Slot> {
        self.hosts.iter().flatten().copied().collect()
    }
}
