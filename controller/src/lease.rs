//! Leadership by a `Lease`: of all replicas of the controller one writes, the others watch.
//!
//! Three durations follow from one, the lease's, 15 s by default:
//! - The holder believes in itself for ⅔ of it (10 s) from the moment it *sent* its last confirmed write.
//! - A rival takes over when the record has not changed for ⅘ of it (12 s) since the rival *saw* it change.
//! - So a takeover comes less than one lease (15 s) after the holder's last write: 12 s, and a poll of 2 s.
//!
//! A write is sent before it is done, and done before it is seen. So the holder has stopped at least 2 s before a rival
//! begins, as long as their clocks run at the same rate within a sixth. Only durations on one's own monotonic clock
//! count; the times in the record are for people, and may be wrong by years. Every write names the resourceVersion that
//! it replaces, so that of two that come late or together one fails.
//!
//! [`machine`] decides, without I/O; [`elector`] carries its steps out, and [`kube_api`] is the API server's side of it.

pub mod elector;
pub mod kube_api;
pub mod machine;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

pub use self::{elector::Elector, kube_api::KubeLease};

/// The durations of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// What is written into the record, and what the rest is derived from.
    pub duration: Duration,
    /// Between two renewals, and between two looks at somebody else's lease.
    pub retry: Duration,
    /// After which a request counts as failed; what it did is unknown then.
    pub request: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { duration: Duration::from_secs(15), retry: Duration::from_secs(2), request: Duration::from_secs(2) }
    }
}

impl Timing {
    /// How long after sending a confirmed write its sender may lead.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// What lies between the end of a holder and a rival's beginning: time for what was sent last to arrive.
    #[must_use]
    pub fn margin(&self) -> Duration {
        Self::takeover(self.duration) - self.renew_deadline()
    }

    /// How long a record of this duration must be seen unchanged before somebody else takes the lease.
    #[must_use]
    pub fn takeover(duration: Duration) -> Duration {
        duration * 4 / 5
    }
}

/// Who leads, as far as this replica knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Somebody else, or nobody, or it is not known yet.
    Following {
        /// The holder last seen.
        holder: Option<String>,
    },
    /// This replica, but only before this moment.
    Leading {
        /// Moves on with every renewal.
        until: Instant,
    },
}

/// This replica does not lead, so it must not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead (any more)")]
pub struct NotLeading;

/// Why a guarded write has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing was sent.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// It took too long, or leadership ended meanwhile. It may have happened or not.
    #[error("no answer in time; whether it was done is unknown")]
    Unanswered,
}

/// The right to write, to be asked before each write. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    state: watch::Receiver<State>,
    unanswered: Unanswered,
}

/// When a guarded write was last given up without an answer. It may still be under way.
pub(crate) type Unanswered = Arc<Mutex<Option<Instant>>>;

impl Leadership {
    /// Follows the elector that sends into `state`.
    #[must_use]
    pub fn new(state: watch::Receiver<State>) -> Self {
        Self { state, unanswered: Unanswered::default() }
    }

    /// Leads for ever: for a single replica without election, and for tests.
    #[must_use]
    pub fn always() -> Self {
        // A receiver keeps the last value when its sender is gone. A century is as good as for ever.
        let until = Instant::now() + Duration::from_secs(100 * 365 * 86_400);
        Self::new(watch::channel(State::Leading { until }).1)
    }

    /// The end of this replica's right to write, as known now.
    ///
    /// # Errors
    /// When it has none.
    pub fn check(&self) -> Result<Instant, NotLeading> {
        match *self.state.borrow() {
            State::Leading { until } if Instant::now() < until => Ok(until),
            State::Leading { .. } | State::Following { .. } => Err(NotLeading),
        }
    }

    /// Who leads, as far as this replica knows.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// All that is published from now on, for metrics and tests.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Carries out one write if this replica leads, and gives it up after `limit` or when leadership ends.
    ///
    /// # Errors
    /// When this replica does not lead, or there was no answer in time.
    pub async fn write<T>(&self, limit: Duration, write: impl Future<Output = T>) -> Result<T, Refused> {
        let until = self.check()?;
        let end = until.min(Instant::now() + limit);
        tokio::time::timeout_at(end, write).await.map_err(|_| {
            *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            Refused::Unanswered
        })
    }

    /// Returns when this replica leads. Never, if its elector is gone.
    pub async fn gained(&mut self) {
        while self.check().is_err() {
            if self.state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns when this replica does not lead (any more).
    pub async fn lost(&mut self) {
        while let Ok(until) = self.check() {
            // Without an elector nobody renews: what is left is the time up to `until`.
            tokio::select! {
                biased;
                Ok(()) = self.state.changed() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}
