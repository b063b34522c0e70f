//! A run seen from outside: how far it is, and the word to stop.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use tokio::sync::oneshot;

use super::LoadError;

/// Counters of a run, written by it and read by whoever shows its progress.
#[derive(Debug, Default)]
pub struct Watch {
    opened: AtomicU64,
    done: AtomicU64,
    errors: AtomicU64,
    splits: AtomicU64,
    stop: AtomicBool,
}

impl Watch {
    /// Tunnels or connections opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Messages, requests or conferences done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What failed.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Rooms split, or answers from a wrong shard.
    #[must_use]
    pub fn splits(&self) -> u64 {
        self.splits.load(Ordering::Relaxed)
    }

    /// Ends the run soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn set_opened(&self, opened: u64) {
        self.opened.store(opened, Ordering::Relaxed);
    }

    pub(super) fn set(&self, done: u64, errors: u64, splits: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.errors.store(errors, Ordering::Relaxed);
        self.splits.store(splits, Ordering::Relaxed);
    }
}

/// Stops a run that nobody waits for any more.
struct StopOnDrop(Arc<Watch>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs a generator on a thread of its own, and waits for it without blocking the caller's.
pub(super) async fn on_thread<T: Send + 'static>(
    name: &str,
    watch: &Arc<Watch>,
    run: impl FnOnce(&Watch) -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let (result_in, result_out) = oneshot::channel();
    let inside = Arc::clone(watch);
    let stop = StopOnDrop(Arc::clone(watch));
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        // An error says that nobody waits any more.
        let _ = result_in.send(run(&inside));
    })?;
    let result = result_out.await.map_err(|_| io::Error::other("the generator's thread panicked"))?;
    drop(stop);
    result
}
