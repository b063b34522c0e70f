//! What SWIM wants done later, and what it wants done now.

use std::time::Duration;

use foca::{Notification, Runtime, Timer, TimerToken};

use super::identity::Identity;
use crate::time::Timestamp;

/// Longest step of time that is believed. A replica that slept for longer (a stopped process, a starved host, a
/// clock that was set) has not listened meanwhile; it must not hold the others' silence against them.
pub(super) const LONGEST_STEP: Duration = Duration::from_millis(250);

/// Timers in the order in which they end. A few per member.
#[derive(Debug)]
pub(super) struct Timers {
    now: Timestamp,
    queue: Vec<(Timestamp, Timer<Identity>)>,
}

impl Timers {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, queue: Vec::new() }
    }

    /// Time has passed. What is beyond [`LONGEST_STEP`] is not counted.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let slept = now.since(self.now).saturating_sub(LONGEST_STEP);
        if !slept.is_zero() {
            for (at, _) in &mut self.queue {
                *at = *at + slept;
            }
        }
        self.now = self.now.max(now);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn add(&mut self, timer: Timer<Identity>, after: Duration) {
        let at = self.now + after;
        // Of two at one time, the order that foca wants: an indirect probe before the end of its cycle.
        let place = self.queue.partition_point(|(other_at, other)| (*other_at, other) <= (at, &timer));
        self.queue.insert(place, (at, timer));
    }

    /// The next one that is due.
    pub(super) fn due(&mut self) -> Option<Timer<Identity>> {
        let (at, _) = self.queue.first()?;
        (*at <= self.now).then(|| self.queue.remove(0).1)
    }
}

/// What one call into foca asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Datagrams and who they are for.
    pub(super) sends: Vec<(Identity, Vec<u8>)>,
    /// Timers to set.
    pub(super) timers: Vec<(Timer<Identity>, Duration)>,
    /// Somebody came, went, or is known by another name.
    pub(super) changed: bool,
    /// The others think that this replica is down.
    pub(super) defunct: bool,
    /// Marks the timers that count from now on.
    pub(super) token: Option<TimerToken>,
}

impl Runtime<Identity> for Asked {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::MemberUp(_) | Notification::MemberDown(_) | Notification::Rename(..) => self.changed = true,
            Notification::Defunct => self.defunct = true,
            Notification::Active | Notification::Idle | Notification::Rejoin(_) => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        if let Timer::ProbeRandomMember(token) = event {
            self.token = Some(token);
        }
        self.timers.push((event, after));
    }
}
