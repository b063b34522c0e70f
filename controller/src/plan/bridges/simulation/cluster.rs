//! Nodes and pods: the scheduler, the kubelet, and the processes in the pods.

use rand::RngExt;

use super::world::{Faults, Node, World};
use crate::plan::{
    bridges::{Memory, Pod},
    report::Report,
};

/// A bridge's process.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) drain: Option<i64>,
    pub(super) graceful: bool,
    /// When it exits.
    pub(super) exit: Option<i64>,
    pub(super) people: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No node fits, since then.
    Nodeless(i64),
    /// It has a node, and runs from then on.
    Coming(i64),
    /// It runs.
    Running,
    /// Its process has died, and is started again then.
    Down(i64),
    Succeeded,
    Failed,
}

/// A pod with what is in it.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) uid: u64,
    pub(super) version: u64,
    pub(super) created: i64,
    pub(super) template: u32,
    pub(super) attempt: u32,
    pub(super) port: Option<i32>,
    pub(super) node: Option<usize>,
    pub(super) phase: Phase,
    /// It is ready from then on.
    pub(super) ready_at: i64,
    pub(super) unready_since: i64,
    pub(super) was_ready: bool,
    pub(super) started: Option<i64>,
    pub(super) killed_at: Option<i64>,
    pub(super) memory: Memory,
    pub(super) asked: bool,
    pub(super) served: bool,
    pub(super) report: Option<Report>,
    pub(super) process: Option<Process>,
    pub(super) never_answers: bool,
    pub(super) never_ends: bool,
    // For the checks.
    pub(super) drained_at: Option<(i64, i64)>,
    pub(super) stopped_at: Option<(i64, i64)>,
    pub(super) cancelled: Option<(i64, String)>,
}

impl Machine {
    pub(super) fn lives(&self) -> bool {
        !matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    pub(super) fn healthy(&self, now: i64) -> bool {
        self.process.as_ref().is_some_and(|process| process.exit.is_none()) && now >= self.ready_at
    }

    pub(super) fn answering(&mut self) -> Option<&mut Process> {
        self.process.as_mut().filter(|_| !self.never_answers)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.phase == Phase::Running && self.memory.drain_since.is_none() && self.killed_at.is_none()
    }

    /// As the API shows it, by a clock that is off by so much.
    pub(super) fn shown(&self, now: i64, crashes: bool) -> Pod {
        use super::world::stamp;
        match self.phase {
            Phase::Nodeless(then) => Pod::Unschedulable(stamp(then)),
            Phase::Coming(_) => Pod::Pending,
            Phase::Down(_) if crashes => Pod::Crashing(stamp(self.unready_since)),
            Phase::Running if now >= self.ready_at => Pod::Ready,
            Phase::Running | Phase::Down(_) => Pod::Starting(stamp(self.unready_since)),
            Phase::Succeeded => Pod::Succeeded,
            Phase::Failed => Pod::Failed,
        }
    }
}

impl World {
    pub(super) fn trouble_of_nodes(&mut self, faults: &Faults) {
        for node in 0..self.nodes.len() {
            if self.happens(faults.node_dies) && self.nodes[node].dead.is_none() && self.rng.random_bool(0.3) {
                self.nodes[node].dead = Some(self.now);
                self.nodes[node].back = self.now + self.rng.random_range(60..5000);
                self.excuse(5400);
                self.say(|| format!("node {node} dies"));
                for pod in self.pods.iter_mut().filter(|pod| pod.node == Some(node) && pod.lives()) {
                    pod.process = None;
                    self.totals.lost += 1;
                }
            }
            if self.happens(faults.cordon) && self.nodes[node].dead.is_none() {
                self.nodes[node].cordoned = true;
                self.changed = self.now;
                self.nodes[node].back = self.now + self.rng.random_range(600..20_000);
                self.say(|| format!("node {node} is cordoned"));
            }
        }
        for place in 0..self.pods.len() {
            if self.happens(faults.process_dies) && self.pods[place].process.is_some() && self.rng.random_bool(0.3) {
                let again = self.now + self.rng.random_range(5..400);
                let pod = &mut self.pods[place];
                pod.process = None;
                pod.phase = Phase::Down(again);
                pod.ready_at = again + 20;
                pod.unready_since = self.now;
                let name = pod.name.clone();
                self.excuse(1800);
                self.say(|| format!("the process of {name} dies"));
            }
            if self.happens(faults.unready) && self.pods[place].healthy(self.now) {
                let until = self.now + self.rng.random_range(10..2000);
                (self.pods[place].ready_at, self.pods[place].unready_since) = (until, self.now);
                self.excuse(3600);
                let name = self.pods[place].name.clone();
                self.say(|| format!("{name} is not ready"));
            }
        }
    }

    /// What nodes and pods do by themselves.
    pub(super) fn cluster(&mut self) {
        let now = self.now;
        for (number, node) in self.nodes.iter_mut().enumerate() {
            if (node.dead.is_some() || node.cordoned) && now >= node.back {
                if node.dead.is_some() {
                    // It was away, not gone: its pods start again.
                    for pod in self.pods.iter_mut().filter(|pod| pod.node == Some(number) && pod.lives()) {
                        (pod.phase, pod.ready_at, pod.unready_since) = (Phase::Down(now), now + 20, now);
                    }
                }
                *node = Node::default();
                self.changed = now;
            }
        }
        for place in 0..self.pods.len() {
            self.kubelet(place);
        }
        let gone = |pod: &Machine| {
            pod.killed_at.is_some_and(|then| now >= then) && pod.node.is_none_or(|node| self.nodes[node].dead.is_none())
        };
        self.pods.retain(|pod| !gone(pod));
    }

    fn kubelet(&mut self, place: usize) {
        let now = self.now;
        if let Some(node) = self.pods[place].node
            && self.nodes[node].dead.is_some()
        {
            return;
        }
        match self.pods[place].phase {
            Phase::Nodeless(_) => {
                if let Some(node) = self.fitting(place) {
                    let fails = self.happens(self.faults.fails_at_once);
                    let start = now + self.rng.random_range(2..90);
                    let pod = &mut self.pods[place];
                    pod.node = Some(node);
                    pod.version += 1_000_000;
                    pod.phase = if fails { Phase::Failed } else { Phase::Coming(start) };
                }
            }
            Phase::Coming(start) | Phase::Down(start) if now >= start => {
                let never = self.happens(self.faults.never_ready);
                let pod = &mut self.pods[place];
                pod.phase = Phase::Running;
                pod.started = Some(start);
                self.changed = now;
                pod.version += 1_000_000;
                pod.unready_since = pod.unready_since.max(start);
                pod.ready_at = if never { now + 20_000 } else { now + 15 };
                // One that never gets ready does not join either: its process hangs.
                pod.process = (!never).then(Process::default);
            }
            Phase::Running => {
                let pod = &mut self.pods[place];
                if pod.was_ready != (now >= pod.ready_at) {
                    (pod.was_ready, pod.version) = (!pod.was_ready, pod.version + 1_000_000);
                    self.changed = now;
                }
                let Some(process) = &mut pod.process else { return };
                if process.exit.is_none() && process.graceful && process.people == 0 {
                    process.exit = Some(now + 60);
                }
                if process.exit.is_some_and(|exit| now >= exit) {
                    pod.process = None;
                    self.changed = now;
                    if pod.never_ends {
                        // What the images did for a while: the process is gone, its container stays.
                        (pod.ready_at, pod.unready_since) = (i64::MAX, now);
                    } else {
                        pod.phase = Phase::Succeeded;
                        pod.version += 1_000_000;
                        self.totals.ended += 1;
                        let name = pod.name.clone();
                        self.say(|| format!("{name} ends by itself"));
                    }
                }
            }
            _ => {}
        }
    }

    /// A node with room for this pod: one pod per port and node.
    fn fitting(&mut self, place: usize) -> Option<usize> {
        let port = self.pods[place].port;
        let fits: Vec<usize> = (0..self.nodes.len())
            .filter(|node| !self.nodes[*node].cordoned && self.nodes[*node].dead.is_none())
            .filter(|node| {
                port.is_none()
                    || !self.pods.iter().any(|pod| pod.node == Some(*node) && pod.lives() && pod.port == port)
            })
            .collect();
        (!fits.is_empty()).then(|| fits[self.rng.random_range(0..fits.len())])
    }
}
