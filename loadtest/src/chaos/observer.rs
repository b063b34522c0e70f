//! The observer: an independent record of who was answered by which shard and when, and what that says about the
//! promises of `design.md` (its invariants 1 to 5).
//!
//! It believes shards, which name themselves in every answer, and the script, which says what was done to whom. It
//! asks no proxy anything. Decisions are made in [`Judge`], which has no clock; this file gives it one.

mod evidence;
mod judge;
mod past;
mod room;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub use evidence::{Contact, Happening, How, Refused, Rules};
pub use judge::Judge;

use super::result::{ChaosPoint, ChaosTotals, Violation};

/// A [`Judge`] with a clock, shared by participants and the script.
#[derive(Clone, Debug)]
pub struct Observer {
    judge: Arc<Mutex<Judge>>,
    start: Instant,
}

impl Observer {
    /// An observer whose time begins now.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { judge: Arc::new(Mutex::new(Judge::new(rules))), start: Instant::now() }
    }

    /// Milliseconds since the beginning.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// When a time of the script is due.
    #[must_use]
    pub fn at(&self, time: Duration) -> Instant {
        self.start + time
    }

    /// Something was done to replicas or shards.
    pub fn happened(&self, happening: Happening) {
        let now = self.now();
        self.judge().happened(happening, now);
    }

    /// `shard` answered a request for `room` that was sent at `sent_ms`.
    pub fn answered(&self, room: &str, shard: &str, replica: usize, sent_ms: u64) {
        let now = self.now();
        self.judge().contact(&Contact { room, shard, replica, how: How::Request, start_ms: sent_ms, end_ms: now });
    }

    /// A request for `room` failed, with this status if there was a response.
    pub fn refused(&self, room: &str, status: Option<u16>, replica: usize, sent_ms: u64) {
        let now = self.now();
        self.judge().refused(&Refused { room, status, replica, start_ms: sent_ms, end_ms: now });
    }

    /// A participant sits down: its handshake, sent at `sent_ms`, was answered by `shard`.
    #[must_use]
    pub fn sit(&self, room: &str, shard: &str, replica: usize, sent_ms: u64) -> Sitting {
        self.answered(room, shard, replica, sent_ms);
        let now = self.now();
        let id = self.judge().opened(room, shard, now);
        let (room, shard) = (room.to_owned(), shard.to_owned());
        Sitting { observer: self.clone(), room, shard, replica, id, lost: true }
    }

    /// The state at this moment, for the series; also lets the judge forget what is settled.
    #[must_use]
    pub fn sample(&self) -> ChaosPoint {
        let now = self.now();
        self.judge().sample(now)
    }

    /// Sums so far.
    #[must_use]
    pub fn totals(&self) -> ChaosTotals {
        self.judge().totals()
    }

    /// Broken promises so far: those kept in words from the `skip`th on, and how many there were in all.
    #[must_use]
    pub fn violations(&self, skip: usize) -> (Vec<Violation>, u64) {
        let judge = self.judge();
        (judge.violations().iter().skip(skip).cloned().collect(), judge.violations_total())
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A participant in a session. Dropping it is losing the session; see [`Sitting::leave`].
#[derive(Debug)]
pub struct Sitting {
    observer: Observer,
    room: String,
    shard: String,
    replica: usize,
    id: u64,
    lost: bool,
}

impl Sitting {
    /// The shard it is on.
    #[must_use]
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// The session's shard answered a message sent at `sent_ms`.
    pub fn confirmed(&self, sent_ms: u64) {
        let now = self.observer.now();
        let contact = Contact {
            room: &self.room,
            shard: &self.shard,
            replica: self.replica,
            how: How::Session(self.id),
            start_ms: sent_ms,
            end_ms: now,
        };
        self.observer.judge().contact(&contact);
    }

    /// The participant leaves of its own will.
    pub fn leave(mut self) {
        self.lost = false;
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        let now = self.observer.now();
        self.observer.judge().closed(&self.room, self.id, self.lost, now);
    }
}
