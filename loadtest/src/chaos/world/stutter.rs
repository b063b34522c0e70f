//! A slow process where the network cannot be slowed: it stands still again and again.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{task::JoinHandle, time::sleep};

/// It works for this long between two pauses.
const WORK: Duration = Duration::from_millis(30);

/// Pauses of a process. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Stutter {
    task: JoinHandle<()>,
    pid: Pid,
}

impl Stutter {
    /// Begins to pause a child process for `by` at a time. Drop this before the process is waited for: its id is its
    /// own only as long.
    pub(super) fn start(pid: u32, by: Duration) -> Result<Self, String> {
        let pid = Pid::from_raw(i32::try_from(pid).map_err(|error| error.to_string())?);
        let task = tokio::spawn(async move {
            // An error means that the process is gone.
            while kill(pid, Signal::SIGSTOP).is_ok() {
                sleep(by).await;
                let _ = kill(pid, Signal::SIGCONT);
                sleep(WORK).await;
            }
        });
        Ok(Self { task, pid })
    }
}

impl Drop for Stutter {
    fn drop(&mut self) {
        self.task.abort();
        let _ = kill(self.pid, Signal::SIGCONT);
    }
}
