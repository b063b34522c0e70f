//! Pins on disk: written every now and then and at exit, read at start.
//!
//! A snapshot can be missing, cut off, damaged, foreign or on a full disk without keeping the proxy from serving; it
//! is only ever used whole.

mod file;
mod format;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod scan;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use router_core::router::Router;
use tokio::{
    sync::Mutex,
    time::{Instant, MissedTickBehavior},
};

use self::file::Staged;
pub use self::{
    file::LoadError,
    format::{Decoder, Encoder, FormatError, Header, Sealing, VERSION},
};
use crate::{clock::Clock, metrics::Metrics};

/// What came of the snapshot at start.
#[derive(Debug)]
pub enum Restore {
    /// There is none: a first start.
    Fresh,
    /// Its pins are back.
    Restored {
        /// In the router.
        restored: usize,
        /// Left out because their time is over.
        expired: usize,
        /// Left out because the table is full (`rooms.max_pins` was lowered).
        refused: usize,
    },
    /// It could not be used; its pins are lost, the start goes on.
    SetAside {
        /// Why.
        error: LoadError,
        /// Where it is now; the path itself if even that failed.
        to: PathBuf,
    },
}

/// Reads the snapshot at `path` into the router, before anything is served. Blocks on the disk.
pub fn restore(
    path: &Path,
    router: &Router,
    fingerprint: u64,
    max_pins: usize,
    clock: Clock,
    metrics: &Metrics,
) -> Restore {
    let outcome = match try_restore(path, router, fingerprint, max_pins, clock) {
        Ok(outcome) => outcome,
        Err(error) => set_aside(path, error, clock),
    };
    if let Restore::Restored { restored, .. } = outcome {
        metrics.snapshot.restored_pins.set(i64::try_from(restored).unwrap_or(i64::MAX));
    }
    outcome
}

fn try_restore(
    path: &Path,
    router: &Router,
    fingerprint: u64,
    max_pins: usize,
    clock: Clock,
) -> Result<Restore, LoadError> {
    let Some(mut snapshot) = file::verify(path, fingerprint, max_pins)? else {
        tracing::info!(path = %path.display(), "no snapshot of pins yet");
        return Ok(Restore::Fresh);
    };
    let now = clock.now();
    let (pins, written_at) = (snapshot.pins, snapshot.written_at);
    let mut broken = None;
    let records = snapshot.pins()?.map_while(|record| record.map_err(|error| broken = Some(error)).ok());
    let counts = router.restore(records, now);
    if let Some(error) = broken {
        // Verified a moment ago, so somebody wrote into the file meanwhile. What was read until then was good.
        return Err(error.into());
    }
    tracing::info!(
        path = %path.display(), pins, restored = counts.restored, expired = counts.expired, refused = counts.refused,
        age_s = now.since(written_at).as_secs(), "pins restored from the snapshot"
    );
    Ok(Restore::Restored { restored: counts.restored, expired: counts.expired, refused: counts.refused })
}

fn set_aside(path: &Path, error: LoadError, clock: Clock) -> Restore {
    let moved = match error {
        LoadError::NotAFile => Err(io::Error::other("left where it is")),
        _ => file::set_aside(path, clock.now()),
    };
    match moved {
        Ok(to) => {
            tracing::warn!(
                path = %path.display(), set_aside = %to.display(), %error,
                "the snapshot of pins cannot be used and was set aside; starting without pins"
            );
            Restore::SetAside { error, to }
        }
        Err(rename) => {
            tracing::warn!(
                path = %path.display(), %error, %rename,
                "the snapshot of pins cannot be used nor set aside; starting without pins"
            );
            Restore::SetAside { error, to: path.into() }
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Pins in the snapshot.
    pub pins: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Writes snapshots. One per path, in one process.
pub struct SnapshotWriter {
    path: PathBuf,
    fingerprint: u64,
    router: Arc<Router>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// One write at a time.
    writing: Arc<Mutex<()>>,
}

impl SnapshotWriter {
    /// `fingerprint` is that of the [`router_core::room::KeyHasher`] in use.
    #[must_use]
    pub fn new(path: PathBuf, fingerprint: u64, router: Arc<Router>, clock: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { path, fingerprint, router, clock, metrics, writing: Arc::default() })
    }

    /// Writes one every `interval`, the first after the first interval, until dropped. Dropping is safe at any time:
    /// a write that has begun comes to its end.
    pub async fn run(self: Arc<Self>, interval: Duration) {
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Logged and counted; the next one may fare better.
            drop(self.write_now().await);
        }
    }

    fn write(&self) -> io::Result<Written> {
        let header = Header { fingerprint: self.fingerprint, written_at: self.clock.now() };
        let (sender, chunks) = std::sync::mpsc::sync_channel(scan::WAITING);
        let (staged, scanned) = std::thread::scope(|threads| {
            let scan = threads.spawn(|| scan::scan(&self.router, header, sender));
            // Ends when the scan is over, or fails and thereby ends the scan.
            let staged = Staged::write(&self.path, chunks);
            (staged, scan.join().unwrap_or_else(|_| Err(io::Error::other("the walk over the pins panicked"))))
        });
        let (staged, bytes) = staged?;
        match scanned {
            Ok(pins) => {
                staged.commit()?;
                Ok(Written { pins, bytes })
            }
            Err(error) => {
                staged.abandon();
                Err(error)
            }
        }
    }

    /// Writes one now: at exit, after the last tunnel was closed.
    ///
    /// # Errors
    /// Those of the disk; they are logged and counted already, and the snapshot before stays in place.
    pub async fn write_now(self: &Arc<Self>) -> io::Result<Written> {
        let one = Arc::clone(&self.writing).lock_owned().await;
        let started = Instant::now();
        let this = Arc::clone(self);
        let write = move || {
            // Held by the write itself: it goes on when the one who waits for it is dropped.
            let _one = one;
            this.write()
        };
        let result = tokio::task::spawn_blocking(write).await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let metrics = &self.metrics.snapshot;
        metrics.writes.inc(result.is_ok().into());
        match &result {
            Ok(written) => {
                #[allow(clippy::cast_precision_loss, reason = "metrics are floats")]
                metrics.last_success.set(self.clock.now().0 as f64 / 1000.0);
                metrics.duration.set(started.elapsed().as_secs_f64());
                metrics.bytes.set(i64::try_from(written.bytes).unwrap_or(i64::MAX));
                tracing::debug!(path = %self.path.display(), pins = written.pins, "snapshot written");
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the snapshot of pins could not be written");
            }
        }
        result
    }
}
