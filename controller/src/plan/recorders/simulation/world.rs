//! Recorders, nodes, the API and jicofo, made up.

use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::super::{Action, Busy, Pod, Recorder, Report, Rules, Why, look, mark, plan};

/// Seconds of one step, and of one look of the leader.
pub(super) const STEP: u64 = 10;

/// What is different from run to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) steps: u64,
    spares: i32,
    max: i32,
    nodes: u32,
    /// Recordings begun, per step.
    demand: f64,
    /// How bad the weather is.
    trouble: f64,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
        let spares = rng.random_range(0..=4);
        Self {
            steps: rng.random_range(150..450),
            spares,
            max: (spares + rng.random_range(0..=6)).max(1),
            nodes: rng.random_range(1..=4),
            demand: rng.random_range(0.0..0.2),
            trouble: [0.0, 0.2, 1.0][rng.random_range(0..3)],
        }
    }
}

macro_rules! counts {
    ($($name:ident),+ $(,)?) => {
        /// What happened in the runs.
        #[derive(Clone, Copy, Debug, Default)]
        pub(super) struct Counts { $(pub(super) $name: u64,)+ }
        impl Counts {
            pub(super) fn add(&mut self, other: &Self) { $(self.$name += other.$name;)+ }
            pub(super) fn all(&self) -> Vec<(&'static str, u64)> { vec![$((stringify!($name), self.$name),)+] }
        }
    };
}
counts!(
    recordings,
    finished,
    lost_with_node,
    lost_hung,
    deleted,
    surplus,
    outdated,
    raced,
    silent,
    hung,
    node_losses,
    lost_webhooks,
    api_faults,
    leaders,
    at_max,
    templates,
);

/// What a recorder really does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Starting { ready_at: u64 },
    Idle,
    Busy { until: u64 },
    Expired,
    Hung,
    Ended { failed: bool },
}

/// A pod, as the API has it, and what is behind it.
#[derive(Clone, Debug)]
struct One {
    name: String,
    uid: String,
    node: u32,
    created: u64,
    template: u32,
    life: Life,
    /// Nobody outside of its node hears it until then.
    cut_off_until: u64,
    /// Its kubelet's word.
    unready_since: Option<u64>,
    deleting: Option<u64>,
    version: u64,
    label: Option<Busy>,
    report: Option<Report>,
    next_report: u64,
}

pub(super) struct World {
    rng: StdRng,
    plan: Plan,
    now: u64,
    pods: Vec<One>,
    /// When each node comes back, if it is gone.
    nodes: Vec<Option<u64>>,
    /// Nobody leads until then.
    headless_until: u64,
    next_uid: u64,
    template: u32,
    calm: bool,
    /// Its story is told.
    told: bool,
    pub(super) counts: Counts,
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap()
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            plan,
            now: 0,
            pods: Vec::new(),
            nodes: vec![None; plan.nodes as usize],
            headless_until: 0,
            next_uid: 0,
            template: 0,
            calm: false,
            told: std::env::var_os("ROOMPIN_SEED").is_some(),
            counts: Counts::default(),
        }
    }

    fn chance(&mut self, often: f64) -> bool {
        let often = if self.calm { 0.0 } else { often * self.plan.trouble };
        self.rng.random_bool(often.min(1.0))
    }

    pub(super) fn step(&mut self, busy: bool) -> Result<(), String> {
        self.now += STEP;
        self.calm = !busy;
        self.weather();
        self.live()?;
        if busy {
            self.people();
        }
        self.webhooks()?;
        if self.now >= self.headless_until {
            self.lead()?;
        }
        let pods = self.pods.iter().filter(|one| !matches!(one.life, Life::Ended { .. })).count();
        if pods > usize::try_from(self.plan.max).unwrap() {
            return Err(format!("at {}: {pods} pods, {} at most", self.now, self.plan.max));
        }
        self.counts.at_max += u64::from(pods == usize::try_from(self.plan.max).unwrap());
        Ok(())
    }

    fn weather(&mut self) {
        let now = self.now;
        if self.chance(0.004) {
            self.headless_until = now + self.rng.random_range(10..90);
            self.counts.leaders += 1;
        }
        if self.rng.random_bool(0.003) && !self.calm {
            self.template += 1;
            self.counts.templates += 1;
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_some_and(|back| now >= back) {
                self.nodes[node] = None;
            } else if self.nodes[node].is_none() && self.chance(0.001) {
                self.nodes[node] = Some(now + self.rng.random_range(60..900));
                self.counts.node_losses += 1;
                for one in &mut self.pods {
                    if one.node as usize == node && !matches!(one.life, Life::Ended { .. }) {
                        self.counts.lost_with_node += u64::from(matches!(one.life, Life::Busy { .. }));
                        // Nothing of it runs any more, and the API does not know yet.
                        one.life = Life::Hung;
                        one.cut_off_until = u64::MAX;
                    }
                }
            }
        }
        for n in 0..self.pods.len() {
            let running = !matches!(self.pods[n].life, Life::Ended { .. } | Life::Hung);
            if running && self.chance(0.002) {
                self.pods[n].cut_off_until = now + self.rng.random_range(60..1200);
                self.counts.silent += 1;
            }
            if running && self.chance(0.0005) {
                self.counts.lost_hung += u64::from(matches!(self.pods[n].life, Life::Busy { .. }));
                self.pods[n].life = Life::Hung;
                self.counts.hung += 1;
            }
            if running && self.chance(0.0003) {
                let failed = self.rng.random_bool(0.5);
                self.counts.lost_hung += u64::from(matches!(self.pods[n].life, Life::Busy { .. }));
                self.pods[n].life = Life::Ended { failed };
            }
        }
    }

    fn is_gone(&self, node: u32) -> bool {
        self.nodes[node as usize].is_some()
    }

    /// Recorders come up, finish, and go; kubelets see how they are.
    fn live(&mut self) -> Result<(), String> {
        let now = self.now;
        for n in 0..self.pods.len() {
            let gone = self.is_gone(self.pods[n].node);
            let one = &mut self.pods[n];
            match one.life {
                Life::Starting { ready_at } if now >= ready_at && !gone => one.life = Life::Idle,
                Life::Busy { until } if now >= until => {
                    one.life = Life::Expired;
                    one.next_report = now;
                    self.counts.finished += 1;
                }
                _ => {}
            }
            let well = matches!(one.life, Life::Idle | Life::Busy { .. });
            if well {
                one.unready_since = None;
            } else if one.unready_since.is_none() {
                one.unready_since = Some(now);
            }
        }
        let nodes = self.nodes.clone();
        self.pods.retain(|one| {
            let Some(since) = one.deleting else { return true };
            // The hook before the stop: one that records is left until it has finished, the others end at once.
            let over = match one.life {
                Life::Busy { .. } => false,
                _ => now >= since + 10,
            };
            // A node that is gone sees nobody off.
            !over || nodes[one.node as usize].is_some()
        });
        Ok(())
    }

    /// jicofo takes any recorder that says it is idle, whether this controller hears that one or not.
    fn people(&mut self) {
        if !self.rng.random_bool(self.plan.demand) {
            return;
        }
        let free: Vec<_> = (0..self.pods.len())
            .filter(|n| self.pods[*n].life == Life::Idle && self.pods[*n].deleting.is_none())
            .collect();
        if free.is_empty() {
            return;
        }
        let chosen = free[self.rng.random_range(0..free.len())];
        self.record(chosen);
    }

    fn record(&mut self, n: usize) {
        let length = self.rng.random_range(60..5400);
        self.pods[n].life = Life::Busy { until: self.now + length };
        self.pods[n].next_report = self.now;
        self.counts.recordings += 1;
    }

    fn says(one: &One, now: u64) -> Option<Report> {
        let busy = match one.life {
            Life::Idle => Busy::Idle,
            Life::Busy { .. } => Busy::Busy,
            Life::Expired => Busy::Expired,
            Life::Starting { .. } | Life::Hung | Life::Ended { .. } => return None,
        };
        (now >= one.cut_off_until).then(|| Report {
            at: Some(at(now)),
            busy: Some(busy),
            healthy: Some(true),
            ..Report::default()
        })
    }

    fn webhooks(&mut self) -> Result<(), String> {
        for n in 0..self.pods.len() {
            if self.now < self.pods[n].next_report {
                continue;
            }
            self.pods[n].next_report = self.now + 60;
            let Some(said) = Self::says(&self.pods[n], self.now) else { continue };
            if self.chance(0.15) {
                self.counts.lost_webhooks += 1;
                continue;
            }
            let one = &mut self.pods[n];
            if one.deleting.is_some() {
                continue;
            }
            match said.busy {
                Some(Busy::Expired) => {
                    let (name, uid) = (one.name.clone(), one.uid.clone());
                    self.delete(&name, &uid, Why::Expired, None)?;
                }
                Some(Busy::Idle) if one.label == Some(Busy::Busy) => {}
                busy => {
                    if one.label != busy || mark::is_due(one.report.as_ref(), &said, at(self.now)) {
                        one.label = busy;
                        one.report = Some(said);
                        one.version += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// What the leader sees of one pod.
    fn seen(&mut self, n: usize) -> Recorder {
        let deaf = self.chance(0.03);
        let one = &self.pods[n];
        let answer = if deaf || one.deleting.is_some() { None } else { Self::says(one, self.now) };
        Recorder {
            name: one.name.clone(),
            uid: one.uid.clone(),
            created: at(one.created),
            pod: match one.life {
                Life::Ended { failed: true } => Pod::Failed,
                Life::Ended { failed: false } => Pod::Succeeded,
                _ if one.unready_since.is_none() => Pod::Ready,
                _ => Pod::Starting(at(one.created)),
            },
            unready_since: one.unready_since.map(at),
            deleting: one.deleting.is_some(),
            current: one.template == self.template,
            lost: self.is_gone(one.node),
            label: one.label,
            report: one.report.clone(),
            answer,
            ..Recorder::default()
        }
    }

    fn lead(&mut self) -> Result<(), String> {
        if self.chance(0.05) {
            self.counts.api_faults += 1;
            return Ok(());
        }
        let seen: Vec<_> = (0..self.pods.len()).map(|n| self.seen(n)).collect();
        let (sights, tally) = look(&seen, at(self.now));
        let desired = (tally.taken() + self.plan.spares).min(self.plan.max);
        let rules = Rules { desired, max: self.plan.max, launch: true, protect_until: None };
        let actions = plan("x", &seen, &sights, tally, &rules, at(self.now));
        if self.told {
            println!("{:6} {tally:?} of {desired}: {actions:?}", self.now);
        }
        // Between the look and the writes people go on.
        if !self.calm && self.rng.random_bool(0.3) {
            self.people();
        }
        for action in actions {
            // Some writes fail; some are done although they seem to fail, which is no different here.
            if self.chance(0.05) {
                self.counts.api_faults += 1;
                continue;
            }
            match action {
                Action::Create { name, .. } => self.create(name),
                Action::Mark { uid, busy, .. } => {
                    if let Some(one) = self.pods.iter_mut().find(|one| one.uid == uid) {
                        one.label = Some(busy);
                        one.version += 1;
                    }
                }
                Action::Delete { name, uid, why } if why.careful() => self.ask_and_delete(&name, &uid, why)?,
                Action::Delete { name, uid, why } => self.delete(&name, &uid, why, None)?,
                Action::Note(_) => {}
            }
        }
        Ok(())
    }

    fn create(&mut self, name: String) {
        // A rival, or an answer that was lost, made it before.
        if self.pods.iter().any(|one| one.name == name) {
            return;
        }
        self.next_uid += 1;
        let there: Vec<_> = (0..self.plan.nodes).filter(|node| !self.is_gone(*node)).collect();
        // Where there is no node it waits, and one that never starts is the same to everybody.
        let node = if there.is_empty() { 0 } else { there[self.rng.random_range(0..there.len())] };
        let slow = self.chance(0.02);
        let takes = if slow { 3000 } else { self.rng.random_range(20..120) };
        self.pods.push(One {
            name,
            uid: format!("uid-{}", self.next_uid),
            node,
            created: self.now,
            template: self.template,
            life: Life::Starting { ready_at: self.now + takes },
            cut_off_until: 0,
            unready_since: Some(self.now),
            deleting: None,
            version: 0,
            label: None,
            report: None,
            next_report: 0,
        });
    }

    /// As the edge does it: read again, ask again, delete only what nobody has written on since.
    fn ask_and_delete(&mut self, name: &str, uid: &str, why: Why) -> Result<(), String> {
        let Some(one) = self.pods.iter().find(|one| one.uid == uid && one.deleting.is_none()) else { return Ok(()) };
        let version = one.version;
        let free = one.label != Some(Busy::Busy)
            && match Self::says(one, self.now) {
                Some(report) => report.busy == Some(Busy::Idle),
                None => one.label.is_none() && one.report.is_none(),
            };
        if !free {
            return Ok(());
        }
        // The moment that is left.
        if !self.calm && self.rng.random_bool(0.05) {
            let taken = self.pods.iter().position(|one| one.uid == uid && one.life == Life::Idle);
            if let Some(n) = taken {
                self.record(n);
                self.counts.raced += 1;
                // Its report may be heard first; then the delete meets another version.
                if self.rng.random_bool(0.5) {
                    self.webhooks()?;
                }
            }
        }
        self.delete(name, uid, why, Some(version))
    }

    /// The API's part, and the judge.
    fn delete(&mut self, name: &str, uid: &str, why: Why, version: Option<u64>) -> Result<(), String> {
        let Some(n) = self.pods.iter().position(|one| one.name == name) else { return Ok(()) };
        let gone = self.is_gone(self.pods[n].node);
        let one = &mut self.pods[n];
        if one.uid != uid || version.is_some_and(|version| version != one.version) {
            return Ok(());
        }
        let recording = matches!(one.life, Life::Busy { .. });
        // One that was taken in the last moment records to the end, by its hook before the stop. Nobody knew.
        let raced = why.careful() && one.label != Some(Busy::Busy);
        if recording && !gone && !raced {
            return Err(format!("at {}: {name} is deleted ({}) while it records: {one:?}", self.now, why.label()));
        }
        match why {
            Why::NodeGone => {
                if !gone {
                    return Err(format!("at {}: {name} is forced away from a node that is there", self.now));
                }
                self.pods.remove(n);
            }
            _ => one.deleting = Some(one.deleting.unwrap_or(self.now)),
        }
        self.counts.deleted += 1;
        self.counts.surplus += u64::from(why == Why::Surplus);
        self.counts.outdated += u64::from(why == Why::Outdated);
        Ok(())
    }

    /// In peace there are as many spares as asked for, all of them new, and nothing else.
    pub(super) fn settled(&self) -> Result<(), String> {
        let count = |life: Life| self.pods.iter().filter(|one| one.life == life && one.deleting.is_none()).count();
        let wanted = usize::try_from(self.plan.spares.min(self.plan.max)).unwrap();
        if count(Life::Idle) != wanted || self.pods.len() != wanted {
            return Err(format!("{wanted} spares are wanted: {:#?}", self.pods));
        }
        if self.counts.recordings != self.counts.finished + self.counts.lost_with_node + self.counts.lost_hung {
            return Err(format!("a recording was cut: {:?}", self.counts));
        }
        if self.pods.iter().any(|one| one.template != self.template || one.label != Some(Busy::Idle)) {
            return Err(format!("an old one is left, or one without its label: {:#?}", self.pods));
        }
        Ok(())
    }

    pub(super) fn line(&self) -> String {
        let one = |one: &One| {
            format!("{}:{:?}/{:?}{}", one.name, one.life, one.label, if one.deleting.is_some() { "-" } else { "" })
        };
        format!("{:6} {}", self.now, self.pods.iter().map(one).collect::<Vec<_>>().join(" "))
    }
}
