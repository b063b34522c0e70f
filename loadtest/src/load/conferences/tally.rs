//! What all conferences of a run add up to.

use std::time::Duration;

use super::{
    super::{Arrival, ConferencePlan, clock::Times},
    room::Room,
};
use crate::result::ConferenceRun;

/// The sum so far.
#[derive(Debug)]
pub(super) struct Tally {
    /// Rooms that are over, and those of them in which people could meet.
    pub(super) ended: u64,
    pub(super) held: u64,
    pub(super) splits: u64,
    pub(super) moved: u64,
    pub(super) disconnects: u64,
    pub(super) errors: u64,
    pub(super) last_error: String,
    pub(super) joins: Times,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            ended: 0,
            held: 0,
            splits: 0,
            moved: 0,
            disconnects: 0,
            errors: 0,
            last_error: String::new(),
            joins: Times::new(),
        }
    }

    /// A room is over; `full` is how many people could meet there.
    pub(super) fn end(&mut self, room: &Room, full: usize) {
        self.ended += 1;
        self.held += u64::from(room.splits.people() >= full.min(2));
        self.splits += u64::from(room.splits.split());
        self.moved += u64::from(room.splits.moves());
        if room.splits.split() {
            tracing::debug!(room = room.name, "split");
        }
    }

    /// Something failed, in words.
    pub(super) fn failed(&mut self, why: String) {
        self.errors += 1;
        tracing::debug!(why, "failed");
        self.last_error = why;
    }

    /// What is reported of it.
    pub(super) fn report(self, plan: &ConferencePlan) -> ConferenceRun {
        #[allow(clippy::cast_precision_loss, reason = "a count of rooms stays far below 2^52")]
        let split_share = if self.held == 0 { 0.0 } else { self.splits as f64 / self.held as f64 };
        ConferenceRun {
            targets: plan.targets.iter().map(ToString::to_string).collect(),
            rooms: usize::try_from(self.held).unwrap_or(usize::MAX),
            participants_per_room: plan.participants,
            window_ms: u64::try_from(span(plan).as_millis()).unwrap_or(u64::MAX),
            transport: plan.transport,
            splits: self.splits,
            split_share,
            joins: self.joins.latency(),
            disconnects: self.disconnects,
            moved_rooms: self.moved,
            errors: self.errors,
            seed: plan.seed,
        }
    }
}

/// From the first join of a room to the last.
pub(super) fn span(plan: &ConferencePlan) -> Duration {
    match plan.arrival {
        Arrival::Window(window) => window,
        Arrival::Gap(gap) => gap * u32::try_from(plan.participants.saturating_sub(1)).unwrap_or(u32::MAX),
    }
}
