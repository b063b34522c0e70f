//! A slow process where the network cannot be slowed: it stands still again and again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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
    /// Held while a signal is sent, so that the last one is the one that lets it go on.
    over: Arc<Mutex<bool>>,
}

impl Stutter {
    /// Begins to pause a child process for `by` at a time. Drop this before the process is waited for: its id is its
    /// own only as long.
    pub(super) fn start(pid: u32, by: Duration) -> Result<Self, String> {
        let pid = Pid::from_raw(i32::try_from(pid).map_err(|error| error.to_string())?);
        let over = Arc::new(Mutex::new(false));
        let ended = Arc::clone(&over);
        let task = tokio::spawn(async move {
            while send(pid, Signal::SIGSTOP, &ended) {
                sleep(by).await;
                send(pid, Signal::SIGCONT, &ended);
                sleep(WORK).await;
            }
        });
        Ok(Self { task, pid, over })
    }
}

/// Sends a signal; whether it was sent: not when it is over, or the process is gone.
fn send(pid: Pid, signal: Signal, over: &Mutex<bool>) -> bool {
    let over = over.lock().unwrap_or_else(PoisonError::into_inner);
    !*over && kill(pid, signal).is_ok()
}

impl Drop for Stutter {
    fn drop(&mut self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.task.abort();
        // An error means that the process is gone.
        let _ = kill(self.pid, Signal::SIGCONT);
    }
}
