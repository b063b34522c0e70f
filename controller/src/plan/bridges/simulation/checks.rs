//! What must hold.

use super::{
    cluster::{Machine, Phase},
    world::World,
};
use crate::plan::bridges::{Memory, State, reason};

/// For so long there may be none that takes work while people are there, when nothing has failed.
const WITHOUT: i64 = 120;
/// A drain for the reason of the one before it, so soon after that was cancelled, is drained twice.
const TWICE: i64 = 120;
/// In ten minutes a pod may fail at once so often, and then others be made for other reasons.
const MOST_BIRTHS: usize = 9;
/// More turns of the number by load in a day are called swinging.
const MOST_REVERSALS: u64 = 24;

impl World {
    /// The first thing that did not hold ends the day.
    fn fail(&mut self, what: &str) {
        self.say(|| format!("!!! {what}"));
        let text = format!("ROOMPIN_SEED={}, second {}: {what}", self.seed, self.now);
        self.failed.get_or_insert(text);
    }

    pub(super) fn check_max(&mut self) {
        let living = self.pods.iter().filter(|pod| pod.lives()).count();
        if i32::try_from(living).expect("a few") > self.rules.max {
            self.fail(&format!("{living} pods, at most {} are allowed", self.rules.max));
        }
    }

    /// Pods that fail at once are not made over and over, as long as our clock and that of the API server, which says when a pod
    /// was made, are not minutes apart.
    pub(super) fn check_haste(&mut self) {
        if self.skew.abs() > 200 {
            self.births.clear();
            return;
        }
        let (now, max) = (self.now, usize::try_from(self.rules.max).expect("a few"));
        self.births.retain(|then| now - then < 600);
        self.births.push(now);
        if self.births.len() > max * MOST_BIRTHS {
            self.fail(&format!("{} pods were made within 10 minutes", self.births.len()));
        }
    }

    /// At the moment when a pod is deleted.
    pub(super) fn check_delete(&mut self, place: usize, state: Option<State>) {
        let pod = &self.pods[place];
        let Some(people) = pod.process.as_ref().map(|process| process.people).filter(|people| *people > 0) else {
            return;
        };
        let (name, deadline, stop) =
            (pod.name.clone(), self.rules.drain_deadline.as_secs(), self.rules.stop_deadline.as_secs());
        let waited = |since: Option<(i64, i64)>| since.map_or(0, |(at, jumped)| self.now - at + self.jumped - jumped);
        let (drained, stopped) = (waited(pod.drained_at), waited(pod.stopped_at));
        // By the leader's clock, which it read before it took its time to act.
        if drained + 30 < i64::try_from(deadline).expect("hours")
            || stopped + 30 < i64::try_from(stop).expect("minutes")
        {
            self.fail(&format!(
                "{name} ({state:?}) is deleted with {people} people on it, {drained} s after its drain began and {stopped} s after \
                 it was told to end; its deadlines are {deadline} s and {stop} s"
            ));
        }
        self.totals.cut += 1;
        self.totals.cut_people += u64::from(people);
    }

    /// The last one that takes work is not drained for the number's, a template's or a cordon's sake.
    fn check_last(&mut self, place: usize, memory: &Memory) {
        let whose = matches!(memory.reason.as_deref(), Some(reason::SCALE_DOWN | reason::OUTDATED | reason::CORDONED));
        let people = self.pods[place].process.as_ref().map_or(0, |process| process.people);
        let others = self
            .pods
            .iter()
            .enumerate()
            .any(|(other, pod)| other != place && pod.healthy(self.now) && pod.memory.drain_since.is_none());
        // By an old view another may be drained that would have been the first; the next look takes one back.
        if whose && people > 0 && !others && !self.sees_old && self.now >= self.excused_until {
            let name = self.pods[place].name.clone();
            self.fail(&format!("{name} is drained ({:?}) with {people} people on it and no other", memory.reason));
        }
    }

    /// At the moment when a bridge's memory is written.
    pub(super) fn check_memory(&mut self, place: usize, memory: &Memory) {
        if self.pods[place].memory.drain_since.is_none() && memory.drain_since.is_some() {
            self.check_last(place, memory);
        }
        let (now, jumped) = (self.now, self.jumped);
        let pod = &mut self.pods[place];
        let (was, is) = (pod.memory.drain_since, memory.drain_since);
        match (was, is) {
            (None, Some(_)) => {
                pod.drained_at = Some((now, jumped));
                self.totals.drains += 1;
                let again = pod.cancelled.clone().filter(|(then, why)| {
                    now - then < TWICE && Some(why.as_str()) == memory.reason.as_deref() && self.changed + TWICE < *then
                });
                if again.is_some() {
                    let name = pod.name.clone();
                    self.fail(&format!("{name} is drained twice for {:?}", memory.reason));
                }
            }
            (Some(_), None) => {
                pod.drained_at = None;
                // One that is in use again may be empty again a little later.
                let in_use = pod.process.as_ref().is_some_and(|process| process.people > 0);
                pod.cancelled = (!in_use).then(|| (now, pod.memory.reason.clone().unwrap_or_default()));
                self.totals.undrains += 1;
                if pod.memory.shutdown_since.is_some() {
                    let name = pod.name.clone();
                    self.fail(&format!("{name} is taken back after it was told to end"));
                }
            }
            (Some(was), Some(is)) if is > was => {
                let name = pod.name.clone();
                self.fail(&format!("the drain of {name} is begun again while it lasts"));
            }
            _ => {}
        }
        let pod = &mut self.pods[place];
        if pod.memory.shutdown_since.is_none() && memory.shutdown_since.is_some() {
            pod.stopped_at = Some((now, jumped));
        }
    }

    /// The number asked for has moved.
    pub(super) fn moved(&mut self, by: i32, load: bool) {
        self.changed = self.now;
        if !load {
            self.last_direction = 0;
            return;
        }
        if self.last_direction * by < 0 {
            self.totals.reversals += 1;
        }
        self.last_direction = by.signum();
        if self.totals.reversals > MOST_REVERSALS {
            self.fail(&format!("the number asked for swings: {} turns by load", self.totals.reversals));
        }
    }

    /// After every look.
    pub(super) fn check(&mut self) {
        self.check_max();
        let people: u32 = self.meetings.iter().map(|meeting| meeting.size).sum();
        let works = self.pods.iter().any(|pod| {
            pod.healthy(self.now)
                && pod.memory.drain_since.is_none()
                && pod.process.as_ref().is_some_and(|process| process.drain.is_none() && !process.graceful)
        });
        // Somebody's wish or deed; no node for another; nobody knows what bridges do; no room for another beside an old one.
        let in_place = |pod: &Machine| matches!(pod.memory.reason.as_deref(), Some(reason::IN_PLACE | reason::STOPPED));
        if self.now < self.outage_until
            || self.pods.iter().any(|pod| pod.asked || in_place(pod) || matches!(pod.phase, Phase::Nodeless(_)))
        {
            self.excuse(1800);
        }
        if people == 0 || works || self.now < self.excused_until {
            self.without_since = None;
            return;
        }
        let since = *self.without_since.get_or_insert(self.now);
        if self.now - since > WITHOUT {
            self.fail(&format!("{people} people are there, and no bridge takes work since second {since}"));
        }
    }

    /// After a night in which nothing went wrong.
    pub(super) fn check_end(&mut self) {
        for pod in self.pods.clone() {
            let process = pod.process.as_ref();
            let time = self.rules.drain_deadline + self.rules.stop_deadline;
            let time = i64::try_from(time.as_secs()).expect("hours") + 120;
            if pod.never_answers && pod.drained_at.is_some_and(|(at, _)| self.now - at < time) {
                continue;
            }
            let drains = process.is_some_and(|process| process.drain.is_some() || process.graceful);
            if pod.memory.drain_since.is_some() || drains {
                self.fail(&format!("{} is left draining: {pod:?}", pod.name));
            }
            // There are fewer nodes than are asked for.
            let full = self.pods.iter().filter(|pod| pod.node.is_some()).count() >= self.nodes.len();
            if matches!(pod.phase, Phase::Nodeless(_)) && full {
                continue;
            }
            if pod.phase != Phase::Running || !pod.healthy(self.now) {
                self.fail(&format!("{} does not work: {pod:?}", pod.name));
            }
            // Of one that never says how many are on it nobody knows when it may be replaced in its place.
            if pod.template != self.template && !pod.never_answers {
                self.fail(&format!("{} is of an old template: {pod:?}", pod.name));
            }
        }
        let waits = self
            .pods
            .iter()
            .any(|pod| pod.never_answers && (pod.template != self.template || pod.memory.drain_since.is_some()));
        let more = i32::try_from(self.pods.len()).expect("a few") - self.rules.desired;
        if more != 0 && !(waits && more == 1) {
            self.fail(&format!("{} bridges in the end, {} were asked for", self.pods.len(), self.rules.desired));
        }
    }
}
