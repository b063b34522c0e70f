//! What one bridge needs now: how a drain goes on, and how it ends.
//!
//! What changes in its memory is written before it is told anything. A message that got lost is sent again when the bridge's
//! own words show that it does not know.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    Action, Bridge, Memory, Pod, Rules, Stand, State,
    choose::{Choice, Order},
    reason,
    stand::since,
};
use crate::{
    api::MoveEndpoints,
    plan::{Note, count, span},
};

/// Seen empty for so long, by two reports at least: three intervals at which jicofo hears that it drains.
pub(super) const QUIET: Duration = Duration::from_secs(15);
/// jicofo has heard by then that a bridge drains, and does not move people back to it.
const HEARD: Duration = Duration::from_secs(10);
/// A bridge on a lost node goes after so long: whoever was on it has been moved or has left.
pub(super) const LOST: Duration = Duration::from_secs(300);
/// Clocks of nodes and ours may differ by so many seconds.
const CLOCKS: i64 = 60;
/// Seconds that a pod gets after it was deleted, when it does not end by itself.
const GRACE: u32 = 30;

/// One bridge at one look.
struct Life<'a> {
    rules: &'a Rules,
    choice: &'a Choice,
    stand: &'a Stand<'a>,
    now: Timestamp,
    memory: Memory,
    commands: Vec<Action>,
    note: Option<Note>,
}

/// What this bridge needs.
pub(super) fn step(rules: &Rules, choice: &Choice, stand: &Stand<'_>, order: Order, now: Timestamp) -> Vec<Action> {
    let bridge = stand.bridge;
    let memory = settled(bridge, now);
    let mut life = Life { rules, choice, stand, now, memory, commands: Vec::new(), note: None };
    match stand.state {
        State::Ended => life.ended(),
        State::Lost => life.lost(),
        _ if bridge.deleting => {}
        _ if order == Order::Delete => life.delete(GRACE, None),
        State::Stopping => life.stopping(),
        State::Draining => match order {
            Order::Undrain => life.undrain(),
            _ => life.draining(),
        },
        State::Starting | State::Active | State::Stuck => match order {
            Order::Drain(why) => life.begin(why),
            _ => life.working(),
        },
    }
    life.finish()
}

/// Times that have not come yet were written by a clock that is ahead, or was: the wait begins again.
fn settled(bridge: &Bridge, now: Timestamp) -> Memory {
    let mut memory = bridge.memory.clone();
    for time in [&mut memory.drain_since, &mut memory.quiet_since, &mut memory.shutdown_since] {
        *time = time.map(|time| time.min(now));
    }
    memory
}

impl Life<'_> {
    fn name(&self) -> String {
        self.stand.bridge.name.clone()
    }

    fn finish(self) -> Vec<Action> {
        let bridge = self.stand.bridge;
        let mut actions = Vec::new();
        let deleted = self.commands.iter().any(|command| matches!(command, Action::Delete { .. }));
        if self.memory != bridge.memory && !deleted {
            actions.push(Action::Remember { name: bridge.name.clone(), uid: bridge.uid.clone(), memory: self.memory });
        }
        actions.extend(self.commands);
        actions.extend(self.note.map(|note| Action::Note { about: Some(bridge.name.clone()), note }));
        actions
    }

    fn delete(&mut self, grace: u32, note: Option<Note>) {
        self.commands.push(Action::Delete { name: self.name(), uid: self.stand.bridge.uid.clone(), grace });
        self.note = note;
    }

    fn ended(&mut self) {
        if self.stand.bridge.deleting || (self.choice.wait && super::make::held(self.stand, self.now)) {
            return;
        }
        let name = self.name();
        let note = if self.stand.bridge.pod == Pod::Failed {
            Note::warning("BridgeFailed", format!("{name} failed and is deleted"))
        } else {
            Note::normal("BridgeEnded", format!("{name} has ended and is deleted"))
        };
        self.delete(0, Some(note));
    }

    fn lost(&mut self) {
        if self.stand.bridge.lost.is_some_and(|then| since(then, self.now) >= LOST) {
            let text = format!("{}'s node is gone and it does not answer: its pod is deleted", self.name());
            self.delete(0, Some(Note::warning("BridgeLost", text)));
        }
    }

    /// It starts or works, and nothing is to change, except that it may believe otherwise.
    fn working(&mut self) {
        if self.stand.fresh.is_some_and(|report| report.drain == Some(true)) {
            self.commands.push(Action::Undrain { name: self.name() });
        }
    }

    fn begin(&mut self, why: &'static str) {
        self.memory.drain_since = Some(self.now);
        self.memory.reason = Some(why.to_owned());
        self.memory.quiet_since = None;
        self.commands.push(Action::Drain { name: self.name() });
        self.note = Some(Note::normal("BridgeDraining", format!("{} drains: {why}", self.name())));
    }

    fn undrain(&mut self) {
        self.memory.drain_since = None;
        self.memory.reason = None;
        self.memory.quiet_since = None;
        self.commands.push(Action::Undrain { name: self.name() });
        self.note = Some(Note::normal("DrainCancelled", format!("{} takes work again", self.name())));
    }

    fn draining(&mut self) {
        if self.stand.nobody() {
            return self.delete(GRACE, None);
        }
        let bridge = self.stand.bridge;
        if self.memory.reason.as_deref() == Some(reason::ASKED) && !bridge.asked {
            self.memory.reason = Some(reason::SCALE_DOWN.to_owned());
        }
        let started = self.memory.drain_since.unwrap_or(self.now);
        let drained = self.look_for_quiet(started);
        let over = since(started, self.now) >= self.rules.drain_deadline;
        if (drained || over) && !self.choice.hold {
            if over && !drained && self.rules.move_endpoints != MoveEndpoints::Never {
                self.move_people();
            }
            self.memory.shutdown_since = Some(self.now);
            self.commands.push(Action::Shutdown { name: self.name() });
            let text = if drained { "is empty and ends" } else { "has drained long enough and ends" };
            self.note = Some(Note::normal("BridgeDrained", format!("{} {text}", self.name())));
            return;
        }
        let told = self.stand.fresh.is_some_and(|report| report.drain == Some(true));
        if !told {
            self.commands.push(Action::Drain { name: self.name() });
        } else if self.rules.move_endpoints == MoveEndpoints::AtOnce && since(started, self.now) >= HEARD {
            self.move_people();
        }
    }

    /// Keeps the time since when it is empty; true when that is long enough.
    fn look_for_quiet(&mut self, started: Timestamp) -> bool {
        let empty = self.stand.fresh.filter(|report| {
            report.endpoints == Some(0) && report.drain != Some(false) && report.at.is_some_and(|at| at >= started)
        });
        let Some(at) = empty.and_then(|report| report.at) else {
            self.memory.quiet_since = None;
            return false;
        };
        let quiet = *self.memory.quiet_since.get_or_insert(self.now);
        since(quiet, at.min(self.now)) >= QUIET
    }

    /// There are others that can take them, and somebody to be taken.
    fn move_people(&mut self) {
        if self.choice.ready > 0 && self.stand.people().is_some_and(|people| people > 0) {
            self.commands.push(Action::Move { name: self.name() });
        }
    }

    fn stopping(&mut self) {
        if self.stand.nobody() {
            return self.delete(GRACE, None);
        }
        let told = self.memory.shutdown_since.is_some();
        let stopped = *self.memory.shutdown_since.get_or_insert(self.now);
        let started = *self.memory.drain_since.get_or_insert(self.now);
        self.memory.reason.get_or_insert_with(|| reason::STOPPED.to_owned());
        let fresh = self.stand.fresh;
        let ends =
            fresh.is_some_and(|report| report.graceful_shutdown == Some(true) || report.shutting_down == Some(true));
        // Once it ends it takes no new conference: empty after that is empty for good, even if it falls silent then. Unless its
        // process died and another was started, which has forgotten that it ends.
        let after = fresh.is_some_and(|report| report.at.is_some_and(|at| at >= stopped));
        let again = self.stand.bridge.started.map(|started| started + SignedDuration::from_secs(CLOCKS));
        self.memory.quiet_since = self.memory.quiet_since.filter(|quiet| again.is_none_or(|again| again <= *quiet));
        match fresh.and_then(|report| report.endpoints) {
            Some(0) if ends && after => {
                self.memory.quiet_since = self.memory.quiet_since.filter(|quiet| *quiet >= stopped).or(Some(self.now));
            }
            Some(0) if ends => {}
            None => {}
            Some(_) => self.memory.quiet_since = None,
        }
        let empty = self.memory.quiet_since.is_some_and(|quiet| quiet >= stopped);
        let over = since(started, self.now) >= self.rules.drain_deadline;
        if since(stopped, self.now) >= self.rules.stop_deadline && (empty || over) {
            let note = if empty {
                let text = format!(
                    "{} was told to end {} ago, is empty, and has not",
                    self.name(),
                    span(since(stopped, self.now))
                );
                Note::warning("BridgeStuck", text)
            } else {
                self.exceeded(started)
            };
            return self.delete(GRACE, Some(note));
        }
        if told && !ends {
            self.commands.push(Action::Shutdown { name: self.name() });
        }
        if over && self.rules.move_endpoints != MoveEndpoints::Never
            || self.rules.move_endpoints == MoveEndpoints::AtOnce
        {
            self.move_people();
        }
    }

    fn exceeded(&self, started: Timestamp) -> Note {
        let report = self.stand.bridge.report.as_ref();
        let who = match (self.stand.people(), report.and_then(|report| report.endpoints)) {
            (Some(people), _) => format!("{} on it", count(people, "participant")),
            (None, Some(people)) => format!("{} on it when it last answered", count(people, "participant")),
            (None, None) => "nobody knows how many participants on it".to_owned(),
        };
        let text =
            format!("{} is deleted after {} of draining, with {who}", self.name(), span(since(started, self.now)));
        Note::warning("DrainDeadlineExceeded", text)
    }
}
