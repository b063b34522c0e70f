//! What tokio tells about its runtimes without unstable features.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntGaugeVec, Registry};
use tokio::runtime::Handle;

use super::{as_gauge, register::gauges};

/// The runtimes of this process. Few and for life: there is no way to stop watching one.
pub(super) struct Runtimes {
    watched: Mutex<Vec<(String, Handle)>>,
    workers: IntGaugeVec,
    tasks: IntGaugeVec,
    queued: IntGaugeVec,
}

impl Runtimes {
    pub(super) fn new(to: &Registry) -> Self {
        let gauges = |name, help| gauges(to, name, help, &["runtime"]);
        Self {
            watched: Mutex::default(),
            workers: gauges("roompin_runtime_workers", "Worker threads of the tokio runtime."),
            tasks: gauges("roompin_runtime_alive_tasks", "Tasks of the tokio runtime that have not ended."),
            queued: gauges(
                "roompin_runtime_queued_tasks",
                "Tasks waiting for any worker; steadily above 0 means that the CPUs are too few.",
            ),
        }
    }

    pub(super) fn watch(&self, name: &str, handle: Handle) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|(known, _)| known != name);
        watched.push((name.into(), handle));
    }

    pub(super) fn sample(&self) {
        for (name, handle) in self.watched.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let metrics = handle.metrics();
            self.workers.with_label_values(&[name]).set(as_gauge(metrics.num_workers()));
            self.tasks.with_label_values(&[name]).set(as_gauge(metrics.num_alive_tasks()));
            self.queued.with_label_values(&[name]).set(as_gauge(metrics.global_queue_depth()));
        }
    }
}
