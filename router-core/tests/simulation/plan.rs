//! What will happen in a world, drawn from its seed before it begins.

use std::{ops::Range, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use router_core::shard::ShardState;

use super::{
    faults::Fault,
    world::{Host, MS, Micros, SECOND},
};

/// What a world is about, and so what is promised in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Nothing but first requests at one time.
    Calm,
    /// Replicas crash, leave, come and are restarted, one at a time.
    Churn,
    /// Two replicas lose their connection; others reach both.
    Links,
    /// Shards go down for all, or for a few; operators drain them.
    Shards,
    /// A partition, and its end.
    Heal,
    /// Everything at any time; at the end all is well again.
    Wild,
    /// Tables too small.
    Full,
    /// Pins come to their end.
    Life,
}

/// Somebody who comes to a room.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Micros,
    pub(crate) room: usize,
    /// Through which replica, if it is there.
    pub(crate) host: Option<Host>,
    /// Stays; others only ask.
    pub(crate) stays: bool,
    pub(crate) until: Option<Micros>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) class: Class,
    /// No answers may name two shards for a room.
    pub(crate) strict: bool,
    pub(crate) hosts: usize,
    /// Replicas that discovery knows at the beginning.
    pub(crate) expected: usize,
    pub(crate) shards: usize,
    pub(crate) rooms: usize,
    /// A partition lets one direction through.
    pub(crate) one_way: bool,
    /// Milliseconds by which clocks are off at most.
    pub(crate) skew: u64,
    pub(crate) ttl: Duration,
    pub(crate) max_pins: usize,
    /// How long a connection may be silent.
    pub(crate) silence: Range<Micros>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) faults: Vec<(Micros, Fault)>,
    pub(crate) end: Micros,
}

/// All replicas are ready by then.
const BOOTED: Micros = 2 * SECOND;
/// Between two changes of the members that do not overlap.
const APART: Micros = 3_500 * MS;

struct Drawing {
    rng: SmallRng,
    plan: Plan,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let class = match seed % 20 {
            0..=6 => Class::Calm,
            7..=10 => Class::Churn,
            11..=12 => Class::Links,
            13..=14 => Class::Shards,
            15..=16 => Class::Heal,
            17 => Class::Wild,
            18 => Class::Full,
            _ if seed % 40 == 19 => Class::Life,
            _ => Class::Wild,
        };
        let few = if rng.random_range(0..10) == 0 { rng.random_range(6..=9) } else { rng.random_range(2..=5) };
        let hosts = match class {
            Class::Calm if rng.random_range(0..20) == 0 => rng.random_range(6..=20),
            Class::Wild if rng.random_range(0..30) == 0 => rng.random_range(6..=20),
            Class::Links | Class::Shards => few.max(3),
            Class::Life => few.min(3),
            _ => few,
        };
        let mut plan = Self::empty(seed, class, hosts);
        plan.shards = rng.random_range(3..=8);
        if class == Class::Life {
            (plan.skew, plan.ttl) = (1_000, Duration::from_secs(12));
        }
        if class == Class::Full {
            plan.max_pins = rng.random_range(10..40);
        }
        let mut drawing = Drawing { rng, plan };
        match class {
            Class::Calm | Class::Full => drawing.calm(),
            Class::Churn => drawing.churn(),
            Class::Links => drawing.links(),
            Class::Shards => drawing.shards(),
            Class::Heal => drawing.heal(),
            Class::Wild => drawing.wild(),
            Class::Life => drawing.life(),
        }
        drawing.plan
    }

    /// Replicas that start, and nothing else.
    pub(crate) fn empty(seed: u64, class: Class, hosts: usize) -> Self {
        let plan = Self {
            seed,
            class,
            strict: matches!(class, Class::Calm | Class::Churn | Class::Links | Class::Shards | Class::Life),
            hosts,
            expected: hosts,
            shards: 5,
            rooms: 0,
            one_way: false,
            skew: 5_000,
            ttl: Duration::from_secs(120),
            max_pins: 10_000,
            silence: 800 * MS..8 * SECOND,
            arrivals: Vec::new(),
            faults: Vec::new(),
            end: 0,
        };
        let mut drawing = Drawing { rng: SmallRng::seed_from_u64(!seed), plan };
        drawing.boot();
        drawing.plan
    }
}

impl Drawing {
    fn boot(&mut self) {
        for host in 0..self.plan.hosts {
            let at = self.rng.random_range(0..300 * MS);
            self.fault(at, Fault::Start { host, restored: false });
        }
    }

    fn fault(&mut self, at: Micros, fault: Fault) {
        self.plan.faults.push((at, fault));
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn host(&mut self) -> Host {
        self.rng.random_range(0..self.plan.hosts)
    }

    /// A new room at a time: first requests within 20 ms of each other, others until later.
    fn room(&mut self, at: Micros, firsts: usize, later: usize, until: Micros) {
        let room = self.plan.rooms;
        self.plan.rooms += 1;
        let first = self.host();
        for n in 0..firsts {
            let gap = if self.percent(30) { 0 } else { self.rng.random_range(0..20 * MS) };
            let host = Some((first + n) % self.plan.hosts);
            let stays = self.percent(60);
            self.plan.arrivals.push(Arrival { at: at + gap, room, host, stays, until: None });
        }
        for _ in 0..later {
            // At once behind the first ones, or any time.
            let until = if self.percent(40) { until.min(at + 80 * MS) } else { until };
            let at = if until > at { self.rng.random_range(at..until) } else { at };
            let (host, stays) = (Some(self.host()), self.percent(40));
            self.plan.arrivals.push(Arrival { at, room, host, stays, until: None });
        }
    }

    fn rooms(&mut self, count: usize, when: Range<Micros>, until: Micros) {
        for _ in 0..count {
            let at = self.rng.random_range(when.clone());
            let (firsts, later) = (self.rng.random_range(2..=4), self.rng.random_range(0..=2));
            self.room(at, firsts, later, until);
        }
    }

    fn calm(&mut self) {
        let count = self.rng.random_range(30..120);
        self.rooms(count, BOOTED..BOOTED + SECOND, BOOTED + 1_200 * MS);
        self.plan.end = BOOTED + 1_800 * MS;
    }

    fn churn(&mut self) {
        let mut at = BOOTED + 500 * MS;
        let mut absent: Vec<Host> = Vec::new();
        let changes = self.rng.random_range(1..=4);
        for _ in 0..changes {
            let present: Vec<_> = (0..self.plan.hosts).filter(|host| !absent.contains(host)).collect();
            let victim = present[self.rng.random_range(0..present.len())];
            match self.rng.random_range(0..8) {
                // A restart: of a process that dies, and of one that is told to.
                5 if present.len() > 1 => {
                    let silent = self.percent(30);
                    self.fault(at, Fault::Crash { host: victim, silent });
                    let back = at + self.rng.random_range(50 * MS..1_500 * MS);
                    let restored = self.percent(50);
                    self.fault(back, Fault::Start { host: victim, restored });
                }
                6 | 7 if present.len() > 1 => {
                    self.fault(at, Fault::Leave { host: victim });
                    let quits = at + self.rng.random_range(300 * MS..1_200 * MS);
                    self.fault(quits, Fault::Quit { host: victim });
                    let back = quits + self.rng.random_range(50 * MS..1_000 * MS);
                    let restored = self.percent(50);
                    self.fault(back, Fault::Start { host: victim, restored });
                    let count = self.rng.random_range(5..15);
                    self.rooms(count, quits - 10 * MS..back + 200 * MS, at + APART);
                }
                0 if present.len() > 1 => {
                    self.fault(at, Fault::Crash { host: victim, silent: false });
                    absent.push(victim);
                }
                1 if present.len() > 1 => {
                    self.fault(at, Fault::Crash { host: victim, silent: true });
                    absent.push(victim);
                }
                2 if present.len() > 1 => {
                    self.fault(at, Fault::Leave { host: victim });
                    let quits = at + self.rng.random_range(300 * MS..SECOND);
                    self.fault(quits, Fault::Quit { host: victim });
                    absent.push(victim);
                }
                _ => {
                    let back = absent.pop();
                    let host = back.unwrap_or(self.plan.hosts);
                    self.plan.hosts = self.plan.hosts.max(host + 1);
                    let restored = back.is_some() && self.percent(50);
                    self.fault(at, Fault::Start { host, restored });
                }
            }
            // Just before, and while not everybody knows.
            let count = self.rng.random_range(10..30);
            self.rooms(count, at - 7 * MS..at + 3 * MS, at + APART);
            let count = self.rng.random_range(10..30);
            self.rooms(count, at - 30 * MS..at + 150 * MS, at + APART);
            let count = self.rng.random_range(5..25);
            self.rooms(count, at..at + 2_500 * MS, at + APART);
            let count = self.rng.random_range(5..20);
            self.rooms(count, at + 600 * MS..at + 1_400 * MS, at + APART);
            at += APART;
        }
        self.plan.end = at + 1_500 * MS;
    }

    fn links(&mut self) {
        let mut at = BOOTED + 200 * MS;
        for _ in 0..self.rng.random_range(1..=2) {
            let a = self.host();
            let b = (a + self.rng.random_range(1..self.plan.hosts)) % self.plan.hosts;
            let lasts = self.rng.random_range(50 * MS..2 * SECOND);
            self.fault(at, Fault::Block { ways: vec![(a, b), (b, a)], reset: true });
            self.fault(at + lasts, Fault::Unblock);
            let count = self.rng.random_range(10..40);
            self.rooms(count, at - 20 * MS..at + lasts + 100 * MS, at + APART);
            let count = self.rng.random_range(10..30);
            self.rooms(count, at - 8 * MS..at + 5 * MS, at + APART);
            at += APART;
        }
        self.plan.end = at + 2 * SECOND;
    }

    fn shards(&mut self) {
        let mut at = BOOTED + 400 * MS;
        self.rooms(15, BOOTED..at, at + 4 * SECOND);
        for _ in 0..self.rng.random_range(1..=2) {
            let shard = self.rng.random_range(0..self.plan.shards);
            let lasts = self.rng.random_range(SECOND..4 * SECOND);
            match self.rng.random_range(0..3) {
                0 => {
                    self.fault(at, Fault::ShardDown { shard });
                    self.fault(at + lasts, Fault::ShardUp { shard });
                }
                1 => {
                    // A minority finds it down, and stays one.
                    let most = (self.plan.hosts - 1) / 2;
                    let first = self.host();
                    for n in 0..self.rng.random_range(1..=most) {
                        let host = (first + n) % self.plan.hosts;
                        self.fault(at, Fault::Blind { host, shard });
                        self.fault(at + lasts, Fault::Sees { host, shard });
                    }
                }
                _ => {
                    let (host, again) = (self.host(), self.host());
                    self.fault(at, Fault::Order { host, shard, state: Some(ShardState::Draining) });
                    self.fault(at + lasts, Fault::Order { host: again, shard, state: None });
                }
            }
            let count = self.rng.random_range(15..40);
            self.rooms(count, at..at + 4 * SECOND, at + 5 * SECOND);
            at += 5 * SECOND;
        }
        self.plan.end = at + 3 * SECOND;
    }

    /// Two sides of the hosts.
    fn sides(&mut self) -> Vec<(Host, Host)> {
        let hosts = self.plan.hosts;
        let mut side: Vec<bool> = (0..hosts).map(|_| self.rng.random_range(0..2) == 0).collect();
        let (a, b) = (self.host(), self.rng.random_range(1..hosts));
        side[a] = true;
        side[(a + b) % hosts] = false;
        let one_way = self.percent(20);
        self.plan.one_way |= one_way;
        let mut ways = Vec::new();
        for a in 0..hosts {
            for b in 0..hosts {
                if side[a] && !side[b] {
                    ways.push((a, b));
                    if !one_way {
                        ways.push((b, a));
                    }
                }
            }
        }
        ways
    }

    fn heal(&mut self) {
        let before = self.rng.random_range(2..10);
        self.rooms(before, BOOTED..BOOTED + 500 * MS, BOOTED + 4 * SECOND);
        let at = BOOTED + 600 * MS;
        let lasts = self.rng.random_range(SECOND..6 * SECOND);
        let heals = at + lasts;
        let (ways, reset) = (self.sides(), self.percent(50));
        self.fault(at, Fault::Block { ways, reset });
        for _ in 0..self.rng.random_range(10..40) {
            let room = self.plan.rooms;
            self.plan.rooms += 1;
            for _ in 0..self.rng.random_range(1..=6) {
                // Those who come late are left out, for who is counted must not change while they are counted.
                let arrives = self.rng.random_range(at..(heals - 600 * MS));
                let (host, stays) = (Some(self.host()), self.percent(85));
                self.plan.arrivals.push(Arrival { at: arrives, room, host, stays, until: None });
            }
        }
        self.fault(heals, Fault::Heal);
        let after = self.rng.random_range(2..10);
        self.rooms(after, heals + 3_500 * MS..heals + 5 * SECOND, heals + 5_500 * MS);
        self.plan.end = heals + 9 * SECOND;
    }

    fn life(&mut self) {
        let count = self.rng.random_range(10..25);
        self.rooms(count, BOOTED..BOOTED + 4 * SECOND, BOOTED + 5 * SECOND);
        let last = BOOTED + 24 * SECOND;
        for n in 0..self.plan.arrivals.len() {
            self.plan.arrivals[n].until = Some(self.rng.random_range(BOOTED + 5 * SECOND..last));
        }
        if self.plan.hosts == 3 && self.percent(50) {
            let (at, host) = (self.rng.random_range(BOOTED..last), self.host());
            self.fault(at, Fault::Crash { host, silent: false });
            self.fault(at + 5 * SECOND, Fault::Start { host, restored: true });
        }
        // Time to live, two announcements, clocks.
        self.plan.end = last + (12 + 8 + 4) * SECOND;
    }

    fn wild(&mut self) {
        let calm = BOOTED + self.rng.random_range(3 * SECOND..8 * SECOND);
        for _ in 0..self.rng.random_range(2..=8) {
            let at = self.rng.random_range(0..calm);
            let lasts = self.rng.random_range(20 * MS..4 * SECOND);
            let (host, other) = (self.host(), self.host());
            let shard = self.rng.random_range(0..self.plan.shards);
            match self.rng.random_range(0..10) {
                8 if host != other => {
                    let lasts = lasts.min(calm - at);
                    self.fault(at, Fault::Overflow { host, other, lasts });
                }
                0 => {
                    let silent = self.percent(40);
                    let restored = self.percent(50);
                    self.fault(at, Fault::Crash { host, silent });
                    self.fault((at + lasts).min(calm), Fault::Start { host, restored });
                }
                1 => {
                    self.fault(at, Fault::Leave { host });
                    let quits = (at + self.rng.random_range(0..SECOND)).min(calm);
                    self.fault(quits, Fault::Quit { host });
                    self.fault((quits + lasts).min(calm), Fault::Start { host, restored: false });
                }
                2 | 3 => {
                    let (ways, reset) = (self.sides(), self.percent(50));
                    self.fault(at, Fault::Block { ways, reset });
                    self.fault((at + lasts).min(calm), Fault::Unblock);
                }
                4 if host != other => {
                    let reset = self.percent(50);
                    self.fault(at, Fault::Block { ways: vec![(host, other)], reset });
                    self.fault((at + lasts).min(calm), Fault::Unblock);
                }
                5 if host != other => {
                    let extra = self.rng.random_range(10 * MS..200 * MS);
                    self.fault(at, Fault::Slow { ways: vec![(host, other), (other, host)], extra });
                }
                6 => {
                    self.fault(at, Fault::ShardDown { shard });
                    self.fault((at + lasts).min(calm), Fault::ShardUp { shard });
                }
                7 => {
                    self.fault(at, Fault::Blind { host, shard });
                    self.fault((at + lasts).min(calm), Fault::Sees { host, shard });
                }
                _ => {
                    let state = if self.percent(70) { Some(ShardState::Draining) } else { None };
                    self.fault(at, Fault::Order { host, shard, state });
                    self.fault((at + lasts).min(calm), Fault::Order { host: other, shard, state: None });
                }
            }
        }
        let count = self.rng.random_range(20..60);
        let begin = if self.percent(30) { 100 * MS } else { SECOND };
        self.rooms(count, begin..calm, calm);
        self.fault(calm, Fault::Calm);
        self.fault(calm + MS, Fault::Heal);
        self.plan.end = calm + 12 * SECOND;
    }
}
