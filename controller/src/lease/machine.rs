//! The decisions about the lease: what the last answer said in, what to do next out. No I/O, no clock.

use std::time::Duration;

use jiff::Timestamp;

use super::Timing;

/// What a `Lease` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The holder's name; empty when it let go.
    pub holder: String,
    /// When the holder took the lease, by its wall clock.
    pub acquired: Option<Timestamp>,
    /// Changes with every write of a holder. By its wall clock, and never compared with anybody's else.
    pub renewed: Option<Timestamp>,
    /// How often the lease went to somebody else.
    pub transitions: i32,
    /// How long the holder asks others to wait.
    pub duration: Duration,
}

/// A record and the resourceVersion it was found at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the `Lease` says.
    pub record: Record,
    /// Its resourceVersion.
    pub version: String,
}

/// Why a write brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// Refused: the record is not the one that was to be replaced.
    Conflict,
    /// No answer, or none that tells whether it was done.
    Unknown,
}

/// What happened since the last step.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first call, and the end of a [`Step::Sleep`].
    Woke,
    /// The answer to [`Step::Read`]: `Ok(None)` means that there is no such `Lease`.
    Read(Result<Option<Found>, ()>),
    /// The answer to [`Step::Write`]: the new resourceVersion.
    Wrote(Result<String, WriteFailure>),
    /// The replica ends: let go. May come at any time, also in place of an answer.
    Release,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Get the `Lease`.
    Read,
    /// Write this record in place of the version named, or create the `Lease`.
    Write {
        /// What it is to say.
        record: Record,
        /// The resourceVersion it replaces; `None` creates.
        version: Option<String>,
    },
    /// Wait.
    Sleep(Duration),
    /// Released, or given up releasing: there is nothing more to do.
    Done,
}

/// What stands in the API, as far as we know.
#[derive(Clone, Debug)]
enum Known {
    /// Nothing, or it may have changed by a write of ours: read before writing.
    Unsure,
    Absent,
    At(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Probation {
    None,
    /// From when the new `Lease` is known to stand.
    Begins,
    Until(Duration),
}

/// One candidate's view of the lease.
#[derive(Debug)]
pub struct Machine {
    me: String,
    timing: Timing,
    known: Known,
    /// The record last seen, and since when it stands unchanged, by our clock.
    seen: Option<(Record, Duration)>,
    /// Set when we made the `Lease` anew, until we may lead. Nothing tells whether it never was there or somebody just
    /// deleted it, so a holder may be left, who stops within that time: its next renewal fails.
    probation: Probation,
    /// Our last write without a clear answer: what it said, and when it was sent.
    pending: Option<(Record, Duration)>,
    until: Option<Duration>,
    stamp: Timestamp,
    conflicts: u32,
    /// Attempts left to let go, once that has been asked for.
    releasing: Option<u32>,
}

/// Requests that a leaving replica spends on letting go; after that the others wait the lease out.
const RELEASE_ATTEMPTS: u32 = 3;

impl Machine {
    /// A candidate with a name that no other process ever had.
    #[must_use]
    pub fn new(me: String, timing: Timing) -> Self {
        Self {
            me,
            timing,
            known: Known::Unsure,
            seen: None,
            probation: Probation::None,
            pending: None,
            until: None,
            stamp: Timestamp::UNIX_EPOCH,
            conflicts: 0,
            releasing: None,
        }
    }

    /// Up to when this candidate leads.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        self.until
    }

    /// The holder last seen, if any.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        let (record, _) = self.seen.as_ref()?;
        (!record.holder.is_empty()).then_some(record.holder.as_str())
    }

    /// Whether this name is the candidate's own.
    #[must_use]
    pub fn is_me(&self, name: &str) -> bool {
        self.me == name
    }

    /// Takes in what happened and says what to do next. `now` is monotonic; `wall` only goes into the record.
    pub fn handle(&mut self, now: Duration, wall: Timestamp, event: Event) -> Step {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
        match event {
            Event::Release => {
                // First stop to lead, then say so. A request of ours may still be under way.
                self.until = None;
                self.known = Known::Unsure;
                self.releasing = Some(RELEASE_ATTEMPTS);
                // Who waits for a holder that may be left cannot invite others in before that.
                if self.probation == Probation::None { Step::Read } else { Step::Done }
            }
            Event::Woke => self.next(now, wall),
            Event::Read(Ok(found)) => {
                self.saw(now, found);
                self.next(now, wall)
            }
            Event::Read(Err(())) => {
                self.known = Known::Unsure;
                if let Some(step) = self.release_failed() {
                    return step;
                }
                // A leader is in a hurry: what it has left shrinks.
                Step::Sleep(if self.until.is_some() { self.timing.retry / 4 } else { self.timing.retry })
            }
            Event::Wrote(Ok(version)) => {
                self.conflicts = 0;
                self.confirm(now);
                self.known = Known::At(version);
                if self.releasing.is_some() { Step::Done } else { Step::Sleep(self.timing.retry) }
            }
            Event::Wrote(Err(failure)) => {
                self.known = Known::Unsure;
                if let Some(step) = self.release_failed() {
                    return step;
                }
                self.conflicts = if failure == WriteFailure::Conflict { self.conflicts + 1 } else { 0 };
                // Somebody who keeps changing the object must not make us spin.
                if self.conflicts > 1 { Step::Sleep(self.timing.retry / 4) } else { Step::Read }
            }
        }
    }

    /// One attempt to let go failed: try once more, or not.
    fn release_failed(&mut self) -> Option<Step> {
        let left = self.releasing.as_mut()?;
        *left = left.saturating_sub(1);
        Some(if *left == 0 { Step::Done } else { Step::Read })
    }

    /// Our pending write is what stands there: it counts from when it was sent.
    fn confirm(&mut self, now: Duration) {
        let Some((record, sent)) = self.pending.take() else { return };
        let until = sent + self.timing.renew_deadline();
        if self.probation == Probation::Begins {
            self.probation = Probation::Until(now + Timing::takeover(self.timing.duration));
        }
        if matches!(self.probation, Probation::Until(end) if end <= now) {
            self.probation = Probation::None;
        }
        if record.holder == self.me && self.releasing.is_none() && self.probation == Probation::None && now < until {
            self.until = Some(until);
        }
        self.seen = Some((record, now));
    }

    fn saw(&mut self, now: Duration, found: Option<Found>) {
        let Some(Found { record, version }) = found else {
            self.known = Known::Absent;
            return;
        };
        self.known = Known::At(version);
        if record.holder != self.me {
            self.until = None;
            self.probation = Probation::None;
        }
        if self.pending.as_ref().is_some_and(|(pending, _)| *pending == record) {
            self.confirm(now);
        } else if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record, now));
        }
    }

    fn next(&mut self, now: Duration, wall: Timestamp) -> Step {
        let version = match &self.known {
            Known::Unsure => return Step::Read,
            Known::Absent => None,
            Known::At(version) => Some(version.clone()),
        };
        let ours = self.seen.as_ref().is_some_and(|(record, _)| record.holder == self.me);
        if self.releasing.is_some() {
            return if ours && version.is_some() { self.let_go(now, wall, version) } else { Step::Done };
        }
        // When this candidate may write: its own record at once, a free one too, another's when it has stood too long.
        let free_at = match &self.seen {
            _ if version.is_none() => now,
            Some((record, since)) if !ours && !record.holder.is_empty() => *since + self.patience(record),
            _ => now,
        };
        if free_at <= now {
            return self.take(now, wall, version);
        }
        // Look again before that: the holder has renewed, most likely.
        if free_at - now > self.timing.retry {
            self.known = Known::Unsure;
        }
        Step::Sleep(self.timing.retry.min(free_at - now))
    }

    /// How long a rival's record must stand unchanged: what the rival asked for counts too, it may run another version.
    fn patience(&self, record: &Record) -> Duration {
        Timing::takeover(self.timing.duration.max(record.duration))
    }

    fn take(&mut self, now: Duration, wall: Timestamp, version: Option<String>) -> Step {
        if version.is_none() && self.until.is_none() {
            self.probation = Probation::Begins;
        }
        let stamp = self.next_stamp(wall);
        let old = self.seen.as_ref().map(|(record, _)| record);
        let (acquired, transitions) = match old {
            Some(old) if old.holder == self.me => (old.acquired, old.transitions),
            Some(old) => (Some(stamp), old.transitions.saturating_add(1)),
            None => (Some(stamp), 0),
        };
        let record = Record {
            holder: self.me.clone(),
            acquired,
            renewed: Some(stamp),
            transitions,
            duration: self.timing.duration,
        };
        self.pending = Some((record.clone(), now));
        Step::Write { record, version }
    }

    fn let_go(&mut self, now: Duration, wall: Timestamp, version: Option<String>) -> Step {
        let stamp = self.next_stamp(wall);
        let transitions = self.seen.as_ref().map_or(0, |(record, _)| record.transitions);
        let record = Record {
            holder: String::new(),
            acquired: None,
            renewed: Some(stamp),
            transitions,
            duration: Duration::from_secs(1),
        };
        self.pending = Some((record.clone(), now));
        Step::Write { record, version }
    }

    /// The wall clock in microseconds, as the API keeps them; but never the same twice, or a renewal would change
    /// nothing and nobody could see it.
    fn next_stamp(&mut self, wall: Timestamp) -> Timestamp {
        let wall = wall.as_microsecond().max(self.stamp.as_microsecond() + 1);
        self.stamp = Timestamp::from_microsecond(wall).unwrap_or(self.stamp);
        self.stamp
    }
}
