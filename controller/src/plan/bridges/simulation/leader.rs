//! The controller's side: asks the bridges, decides, carries out; and all that can go wrong with that.

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;

use super::{
    cluster::{Machine, Phase, Process},
    world::{NIGHT, View, World, stamp},
};
use crate::plan::{
    bridges::{Action, Bridge, Memory, Pod, State, counts, plan},
    group::{self, Look, Mover, Sample},
    report::Report,
};

/// Nodes are called lost so long after they were last heard of.
const UNHEARD: i64 = 40;

/// The leader died, or lost its lease.
struct Dead;

/// Nothing came of it: nothing more about that bridge at this look.
struct Missed;

impl World {
    /// One look of the leader. `pause`: seconds from its view to its deeds.
    pub(super) fn look(&mut self, pause: i64) {
        self.totals.looks += 1;
        self.poll();
        let view = self.view();
        self.sees_old = view.old;
        self.pass(pause);
        let died = self.decide(&view.bridges).and_then(|()| self.carry_out(&view)).is_err();
        if !view.old {
            self.before = view;
        }
        if died || self.happens(self.faults.leader_dies) {
            self.totals.leaders += 1;
            self.samples.clear();
            let to = if self.now < NIGHT { self.rng.random_range(-3..=3) } else { 0 };
            self.set_skew(to);
        }
    }

    /// Asks every bridge.
    fn poll(&mut self) {
        let (now, at) = (self.now, self.clock());
        if now < self.outage_until && now < NIGHT {
            return;
        }
        let sample = now >= self.decided_at + 20;
        for place in 0..self.pods.len() {
            let lost = self.happens(self.faults.poll_lost);
            let pod = &mut self.pods[place];
            let Some(process) = pod.process.as_ref().filter(|_| !pod.never_answers && !lost) else { continue };
            let report = Report {
                at: Some(at),
                stress: Some(f64::from(process.people) / 100.0),
                endpoints: Some(u64::from(process.people)),
                drain: Some(process.drain.is_some()),
                graceful_shutdown: Some(process.graceful),
                shutting_down: Some(process.exit.is_some()),
                healthy: Some(true),
                ..Report::default()
            };
            pod.served = true;
            if sample && pod.memory.drain_since.is_none() && now >= pod.ready_at {
                self.samples.push(Sample {
                    instance: pod.name.clone(),
                    at,
                    value: report.stress.unwrap_or_default() + self.rng.random_range(-0.05..0.05),
                });
            }
            pod.report = Some(report);
        }
    }

    /// What the API shows, sometimes as it was at the look before.
    fn view(&mut self) -> View {
        if self.happens(self.faults.stale) && !self.before.bridges.is_empty() {
            return View { old: true, ..self.before.clone() };
        }
        let now = self.now;
        let versions = self.pods.iter().map(|pod| pod.version).collect();
        let bridges = self
            .pods
            .iter_mut()
            .map(|pod| {
                let node = pod.node.map(|node| &self.nodes[node]);
                let shown = pod.shown(now, pod.uid % 2 == 0);
                pod.served |= shown == Pod::Ready;
                Bridge {
                    name: pod.name.clone(),
                    uid: pod.uid.to_string(),
                    created: stamp(pod.created),
                    attempt: pod.attempt,
                    pod: shown,
                    started: pod.started.map(stamp),
                    served: pod.served,
                    deleting: pod.killed_at.is_some(),
                    current: pod.template == self.template,
                    node: pod.node.map(|node| node.to_string()),
                    cordoned: node.is_some_and(|node| node.cordoned),
                    lost: node.and_then(|node| node.dead).filter(|dead| now - dead >= UNHEARD).map(stamp),
                    port: pod.port,
                    memory: pod.memory.clone(),
                    asked: pod.asked,
                    report: pod.report.clone(),
                }
            })
            .collect();
        View { bridges, versions, old: false }
    }

    /// How many. What is to be remembered is written before the number counts.
    fn decide(&mut self, bridges: &[Bridge]) -> Result<(), Dead> {
        if self.now < self.decided_at + 25 {
            return Ok(());
        }
        self.decided_at = self.now;
        let now = self.clock();
        let oldest = now - SignedDuration::from_secs(600);
        self.samples.retain(|sample| sample.at >= oldest);
        let count = counts(bridges, now).counted();
        let look = Look { model: &self.model, memory: &self.memory, count, busy: 0, samples: &self.samples, now };
        let decision = group::decide(&look);
        if decision.memory != self.memory && self.happens(self.faults.write_lost) {
            self.totals.failed_writes += 1;
            return Ok(());
        }
        if let Some(change) = &decision.change {
            self.say(|| format!("asked for: {} -> {} ({:?}), {}", change.from, change.to, change.by, decision.why));
            self.moved(change.to - change.from, matches!(change.by, Mover::Up | Mover::Down));
        }
        self.memory = decision.memory;
        self.rules.desired = decision.desired;
        if self.happens(self.faults.leader_dies) { Err(Dead) } else { Ok(()) }
    }

    fn carry_out(&mut self, view: &View) -> Result<(), Dead> {
        let plan = plan(&self.rules, &view.bridges, self.clock());
        let mut left = Vec::new();
        for action in &plan.actions {
            if action.name().is_some_and(|name| left.contains(&name)) {
                continue;
            }
            self.say(|| match action {
                Action::Note { note, .. } => format!("# {}: {}", note.reason, note.text),
                other => format!("{other:?}"),
            });
            if !matches!(action, Action::Note { .. }) {
                if self.happens(self.faults.write_lost) {
                    self.totals.failed_writes += 1;
                    left.extend(action.name());
                    continue;
                }
                if self.act(action, view, &plan.stands).is_err() {
                    left.extend(action.name());
                    continue;
                }
                if self.happens(self.faults.answer_lost) {
                    self.totals.failed_writes += 1;
                    left.extend(action.name());
                }
                if self.happens(self.faults.leader_dies) {
                    self.say(|| "the leader dies".to_owned());
                    return Err(Dead);
                }
            }
        }
        Ok(())
    }

    fn act(
        &mut self,
        action: &Action,
        view: &View,
        stands: &std::collections::BTreeMap<String, State>,
    ) -> Result<(), Missed> {
        let version_of = |uid: &str| {
            let place = view.bridges.iter().position(|bridge| bridge.uid == uid)?;
            view.versions.get(place).copied()
        };
        match action {
            Action::Create { name, port, attempt, protected_until } => {
                self.create(name, *port, *attempt, *protected_until);
            }
            Action::Remember { uid, memory, .. } => {
                let place = self.found(uid, version_of(uid))?;
                self.check_memory(place, memory);
                self.version += 1;
                (self.pods[place].memory, self.pods[place].version) = (memory.clone(), self.version);
            }
            Action::Drain { name } => {
                let now = self.now;
                let process = self.answering(name)?;
                process.drain.get_or_insert(now);
            }
            Action::Undrain { name } => self.answering(name)?.drain = None,
            Action::Shutdown { name } => self.answering(name)?.graceful = true,
            Action::Move { name } => {
                self.totals.moves += 1;
                let uid = self.pods.iter().find(|pod| pod.name == *name).ok_or(Missed)?.uid;
                self.move_away(uid);
            }
            Action::Delete { uid, grace, name } => {
                let place = self.found(uid, version_of(uid))?;
                self.check_delete(place, stands.get(name).copied());
                self.delete(place, *grace);
            }
            Action::Note { .. } => {}
        }
        Ok(())
    }

    /// The pod, if it still is as it was read.
    fn found(&self, uid: &str, version: Option<u64>) -> Result<usize, Missed> {
        self.pods.iter().position(|pod| pod.uid.to_string() == uid && Some(pod.version) == version).ok_or(Missed)
    }

    fn answering(&mut self, name: &str) -> Result<&mut Process, Missed> {
        self.pods.iter_mut().find(|pod| pod.name == name).and_then(Machine::answering).ok_or(Missed)
    }

    fn create(&mut self, name: &str, port: Option<i32>, attempt: u32, protected_until: Option<Timestamp>) {
        if self.pods.iter().any(|pod| pod.name == name) {
            return;
        }
        self.made += 1;
        self.version += 1;
        self.totals.made += 1;
        let (never_answers, never_ends) =
            (self.happens(self.faults.never_answers), self.happens(self.faults.never_ends));
        if never_answers {
            self.excuse(3600);
        }
        self.pods.push(Machine {
            name: name.to_owned(),
            uid: self.made,
            version: self.version,
            created: self.now,
            template: self.template,
            attempt,
            port,
            node: None,
            phase: Phase::Nodeless(self.now),
            ready_at: i64::MAX,
            unready_since: self.now,
            was_ready: false,
            started: None,
            killed_at: None,
            memory: Memory { protected_until, ..Memory::default() },
            asked: false,
            served: false,
            report: None,
            process: None,
            never_answers,
            never_ends,
            drained_at: None,
            stopped_at: None,
            cancelled: None,
        });
        self.check_max();
        self.check_haste();
    }

    fn delete(&mut self, place: usize, grace: u32) {
        let pod = &mut self.pods[place];
        let at_once = grace == 0 || !pod.lives() || pod.node.is_none();
        if at_once {
            self.pods.remove(place);
        } else if pod.killed_at.is_none() {
            pod.killed_at = Some(self.now + i64::from(grace));
            self.version += 1;
            pod.version = self.version;
        }
    }
}
