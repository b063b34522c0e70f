//! One day: what there is, what goes wrong, and the order in which things happen.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{cluster::Machine, people::Meeting};
use crate::{
    api::{GroupKind, MoveEndpoints},
    plan::{
        bridges::{Bridge, Rules},
        group::{self, Basis, GroupModel, Options, Sample},
    },
};

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;
/// From here on nobody comes any more.
pub(super) const EVENING: i64 = 18 * 3600;
/// From here on nothing goes wrong any more.
pub(super) const NIGHT: i64 = 19 * 3600;
/// Nobody meets for longer than this.
pub(super) const LONGEST: i64 = 3 * 3600;

/// What happened in a day.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) looks: u64,
    pub(super) made: u64,
    pub(super) drains: u64,
    pub(super) undrains: u64,
    pub(super) ended: u64,
    pub(super) cut: u64,
    pub(super) cut_people: u64,
    pub(super) lost: u64,
    pub(super) failed_writes: u64,
    pub(super) leaders: u64,
    pub(super) reversals: u64,
    pub(super) moves: u64,
}

/// How often what goes wrong. Parts of 1000: per write, or per look.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) write_lost: u32,
    pub(super) answer_lost: u32,
    pub(super) stale: u32,
    pub(super) leader_dies: u32,
    pub(super) outage: u32,
    pub(super) poll_lost: u32,
    pub(super) node_dies: u32,
    pub(super) cordon: u32,
    pub(super) process_dies: u32,
    pub(super) unready: u32,
    pub(super) jump: u32,
    pub(super) template: u32,
    pub(super) word: u32,
    pub(super) asked: u32,
    pub(super) protect: u32,
    pub(super) by_hand: u32,
    /// Of pods that are made.
    pub(super) never_ready: u32,
    pub(super) never_answers: u32,
    pub(super) never_ends: u32,
    pub(super) fails_at_once: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) cordoned: bool,
    pub(super) dead: Option<i64>,
    /// When it comes back, or is uncordoned.
    pub(super) back: i64,
}

/// What the API showed: bridges, and the versions of their pods.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) bridges: Vec<Bridge>,
    pub(super) versions: Vec<u64>,
    /// It was so at the look before, and is not any more.
    pub(super) old: bool,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) loud: bool,
    pub(super) rng: StdRng,
    /// Seconds since the day began, by the true clock.
    pub(super) now: i64,
    pub(super) totals: Totals,
    /// What did not hold.
    pub(super) failed: Option<String>,
    pub(super) faults: Faults,
    pub(super) nodes: Vec<Node>,
    pub(super) pods: Vec<Machine>,
    pub(super) meetings: Vec<Meeting>,
    pub(super) template: u32,
    pub(super) made: u64,
    /// When pods were made, of late.
    pub(super) births: Vec<i64>,
    pub(super) version: u64,
    /// What was to be seen at the look before.
    pub(super) before: View,
    pub(super) sees_old: bool,
    pub(super) decided_at: i64,
    pub(super) rules: Rules,
    pub(super) model: GroupModel,
    /// In the shard's status.
    pub(super) memory: group::Memory,
    /// In the leader's head.
    pub(super) samples: Vec<Sample>,
    /// The leader's clock, against the true one.
    pub(super) skew: i64,
    /// How far clocks have jumped forward so far.
    pub(super) jumped: i64,
    pub(super) outage_until: i64,
    /// Nodes or bridges failed; somebody asked for something: until then there may be none that takes work.
    pub(super) excused_until: i64,
    pub(super) without_since: Option<i64>,
    pub(super) last_direction: i32,
    /// When something changed that may change what is to be done.
    pub(super) changed: i64,
    /// Meetings per second at the height of the day, and the shape of the day.
    pub(super) peak: f64,
    pub(super) noon: i64,
    pub(super) second: f64,
}

impl World {
    pub(super) fn new(seed: u64, loud: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let max = rng.random_range(2..=8);
        let min = rng.random_range(1..=2.min(max));
        let steady = rng.random_range(0..6) == 0;
        let some = |rng: &mut StdRng, most: u32| if rng.random_bool(0.5) { rng.random_range(1..=most) } else { 0 };
        let faults = Faults {
            write_lost: some(&mut rng, 150),
            answer_lost: some(&mut rng, 150),
            stale: some(&mut rng, 200),
            leader_dies: some(&mut rng, 15),
            outage: some(&mut rng, 4),
            poll_lost: some(&mut rng, 200),
            node_dies: some(&mut rng, 3),
            cordon: some(&mut rng, 3),
            process_dies: some(&mut rng, 3),
            unready: some(&mut rng, 5),
            jump: some(&mut rng, 4),
            template: some(&mut rng, 2),
            word: some(&mut rng, 5),
            asked: some(&mut rng, 2),
            protect: some(&mut rng, 5),
            by_hand: some(&mut rng, 2),
            never_ready: some(&mut rng, 200),
            never_answers: some(&mut rng, 150),
            never_ends: some(&mut rng, 300),
            fails_at_once: some(&mut rng, 1000),
        };
        let faults = if rng.random_range(0..10) == 0 { Faults::default() } else { faults };
        let nodes = usize::try_from(max + rng.random_range(-1..=2)).expect("a small number").max(1);
        let deadline = [600, 1800, 7200][rng.random_range(0..3)];
        let ports = [None, Some((10_000, 10_000)), Some((10_000, 10_001))][rng.random_range(0..3)];
        let policy = [MoveEndpoints::Never, MoveEndpoints::AtDeadline, MoveEndpoints::AtOnce][rng.random_range(0..3)];
        let rules = Rules {
            prefix: "x-jvb".to_owned(),
            desired: min,
            max: if steady { min + 1 } else { max },
            launch: true,
            drain_deadline: Duration::from_secs(deadline),
            stop_deadline: Duration::from_secs(180),
            move_endpoints: policy,
            ports,
            protect_until: None,
        };
        let options = Options {
            min,
            max: if steady { min } else { max },
            up_quantity: rng.random_range(1..=2),
            down_quantity: 1,
            up_threshold: 0.6,
            down_threshold: 0.3,
            period: Duration::from_secs(120),
            up_periods: 2,
            down_periods: 4,
        };
        let model = GroupModel {
            kind: GroupKind::Jvb,
            basis: Basis::Stress,
            options,
            spares: None,
            autoscale: !steady,
            launch: true,
            scheduler: false,
            reconfigure: false,
            grace: Duration::from_secs([300, 480][rng.random_range(0..2)]),
            protected: Duration::from_secs(600),
            protect_launches_until: None,
            word: None,
            schedule: None,
        };
        // Meetings of 8 for 25 minutes, 100 people to a bridge.
        let full = f64::from(max) * 100.0 / 8.0 / 1500.0;
        let peak = full * rng.random_range(0.3..0.9);
        let (noon, second) = (rng.random_range(7..12) * 3600, rng.random_range(0.0..0.9));
        Self {
            seed,
            loud,
            now: 0,
            totals: Totals::default(),
            failed: None,
            faults,
            nodes: vec![Node::default(); nodes],
            pods: Vec::new(),
            meetings: Vec::new(),
            template: 0,
            made: 0,
            births: Vec::new(),
            version: 0,
            before: View::default(),
            sees_old: false,
            decided_at: 0,
            rules,
            model,
            memory: group::Memory::default(),
            samples: Vec::new(),
            skew: 0,
            jumped: 0,
            outage_until: 0,
            excused_until: 1800,
            without_since: None,
            last_direction: 0,
            changed: 0,
            peak,
            noon,
            second,
            rng,
        }
    }

    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.loud {
            println!("{:02}:{:02}:{:02} {}", self.now / 3600, self.now / 60 % 60, self.now % 60, what());
        }
    }

    /// The time by the leader's clock. The epoch is far enough away for clocks that go wrong.
    pub(super) fn clock(&self) -> Timestamp {
        stamp(self.now + self.skew)
    }

    /// It happens, so many times in a thousand, while things go wrong at all.
    pub(super) fn happens(&mut self, parts: u32) -> bool {
        parts > 0 && self.now < NIGHT && self.rng.random_range(0..1000) < parts
    }

    /// The whole day.
    pub(super) fn live(mut self) -> Result<Totals, String> {
        while self.now < DAY && self.failed.is_none() {
            self.trouble();
            let step = if self.is_calm() { 60 } else { [10, 10, 20, 60][self.rng.random_range(0..4)] };
            // People come and go before the leader has looked, and between its look and its deeds.
            let early = self.rng.random_range(1..step);
            self.pass(early);
            self.look(step - early);
            self.check();
        }
        if self.failed.is_none() {
            self.say(|| format!("in the end: {} asked for, {:#?}", self.rules.desired, self.pods));
            self.check_end();
        }
        self.failed.map_or(Ok(self.totals), Err)
    }

    /// Time passes for nodes, pods, and people.
    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.cluster();
        self.people(seconds);
    }

    /// What goes wrong between two looks.
    fn trouble(&mut self) {
        if self.now >= NIGHT {
            for node in &mut self.nodes {
                node.back = node.back.min(self.now);
            }
            for pod in &mut self.pods {
                pod.asked = false;
            }
            return;
        }
        let faults = self.faults.clone();
        if self.happens(faults.outage) {
            self.outage_until = self.now + self.rng.random_range(30..3000);
            self.say(|| "no bridge can be asked".to_owned());
        }
        if self.happens(faults.jump) {
            let to = match self.rng.random_range(0..3) {
                0 => self.rng.random_range(-5..=5),
                1 => self.rng.random_range(-60..=60),
                _ => self.rng.random_range(-4000..=4000),
            };
            self.set_skew(to);
        }
        if self.happens(faults.template) {
            self.template += 1;
            self.changed = self.now;
            self.say(|| "another template".to_owned());
        }
        if self.happens(faults.word) && self.model.autoscale {
            let count = self.rng.random_range(self.model.options.min..=self.model.options.max);
            self.model.word = Some((count, self.now.to_string()));
            self.say(|| format!("somebody asks for {count}"));
        }
        if self.happens(faults.protect) {
            self.rules.protect_until = Some(self.clock() + SignedDuration::from_secs(900));
        }
        for place in 0..self.pods.len() {
            if self.happens(faults.asked) {
                self.pods[place].asked ^= true;
                self.excuse(1800);
            }
            if self.happens(faults.by_hand) {
                let drains = self.rng.random_bool(0.7);
                if let Some(process) = self.pods[place].answering() {
                    if drains {
                        process.drain = Some(self.now);
                    } else {
                        process.graceful = true;
                    }
                    self.excuse(1800);
                    let name = self.pods[place].name.clone();
                    self.say(|| format!("somebody {} {name} by hand", if drains { "drains" } else { "stops" }));
                }
            }
        }
        self.trouble_of_nodes(&faults);
    }

    pub(super) fn excuse(&mut self, seconds: i64) {
        self.excused_until = self.excused_until.max(self.now + seconds);
        self.changed = self.now;
    }

    pub(super) fn set_skew(&mut self, to: i64) {
        self.jumped += (to - self.skew).max(0);
        self.say(|| format!("the leader's clock is off by {to}"));
        self.skew = to;
    }

    fn is_calm(&self) -> bool {
        self.pods.iter().all(Machine::is_settled) && self.pods.len() == usize::try_from(self.rules.desired).unwrap_or(0)
    }
}

pub(super) fn stamp(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365) + SignedDuration::from_secs(seconds)
}
