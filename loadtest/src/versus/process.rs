//! A process that serves: its start on its cores, readiness, last words and end.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::VersusError;

/// From start to readiness. A debug build on a busy machine takes seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two questions whether it is ready.
const READY_POLL: Duration = Duration::from_millis(20);
/// Bytes of its words kept for when it fails.
const KEPT: usize = 8 << 10;
/// After its end, for its last words to arrive.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    /// Its name in messages.
    name: String,
    child: Child,
    words: Arc<Mutex<VecDeque<u8>>>,
}

impl Process {
    /// Starts a binary, on one core if it is to have one.
    ///
    /// # Errors
    /// When the system does not run it. With a core, a missing binary shows in [`Process::ready`].
    pub fn start(
        name: &str,
        binary: &Path,
        arguments: Vec<OsString>,
        core: Option<usize>,
    ) -> Result<Self, VersusError> {
        let mut command = match core {
            // taskset becomes the binary, so the child's id is the binary's.
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &core.to_string()]).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Out of the terminal's group: Ctrl-C is ours, and we end our processes.
        command.process_group(0);
        let mut child = command.spawn().map_err(|source| VersusError::Run { binary: PathBuf::from(binary), source })?;
        let words = Arc::default();
        if let Some(out) = child.stdout.take() {
            tokio::spawn(keep(out, Arc::clone(&words)));
        }
        if let Some(out) = child.stderr.take() {
            tokio::spawn(keep(out, Arc::clone(&words)));
        }
        Ok(Self { name: name.to_owned(), child, words })
    }

    /// Its process id; 0 when it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Waits until `probe` has an answer.
    ///
    /// # Errors
    /// When the process ends or does not get ready in time; with its last words.
    pub async fn ready<T>(&mut self, probe: impl AsyncFnMut(&str) -> Option<T>) -> Result<T, VersusError> {
        self.ready_within(READY_TIMEOUT, probe).await
    }

    /// Waits until `probe` has an answer, but no longer than that.
    ///
    /// # Errors
    /// As for [`Process::ready`].
    pub async fn ready_within<T>(
        &mut self,
        limit: Duration,
        mut probe: impl AsyncFnMut(&str) -> Option<T>,
    ) -> Result<T, VersusError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(answer) = probe(&self.last_words()).await {
                return Ok(answer);
            }
            let ended = self.child.try_wait().map_err(|source| VersusError::Io { what: "process", source })?;
            let state = match ended {
                Some(status) => status.to_string(),
                None if Instant::now() >= deadline => format!("not ready after {} s", limit.as_secs()),
                None => {
                    sleep(READY_POLL).await;
                    continue;
                }
            };
            sleep(LAST_WORDS).await;
            return Err(VersusError::NotReady { name: self.name.clone(), state, words: self.last_words() });
        }
    }

    /// Fails if the process has ended by itself.
    ///
    /// # Errors
    /// Its end and its last words.
    pub fn still_runs(&mut self) -> Result<(), VersusError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(VersusError::NotReady {
                name: self.name.clone(),
                state: status.to_string(),
                words: self.last_words(),
            }),
            Err(source) => Err(VersusError::Io { what: "process", source }),
        }
    }

    /// The end of what it wrote.
    fn last_words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = words.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// Tells it to end, and waits until it has, but no longer than that.
    ///
    /// # Errors
    /// When it does not, or not well; with its last words.
    pub async fn leave(mut self, limit: Duration) -> Result<(), VersusError> {
        let id = i32::try_from(self.pid()).map(Pid::from_raw).map_err(io::Error::other);
        let told = id.and_then(|id| signal::kill(id, Signal::SIGTERM).map_err(io::Error::from));
        told.map_err(|source| VersusError::Io { what: "signal", source })?;
        let state = match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => return Ok(()),
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(source)) => return Err(VersusError::Io { what: "process", source }),
            Err(_) => format!("still runs {} s after SIGTERM", limit.as_secs()),
        };
        Err(VersusError::NotReady { name: self.name.clone(), state, words: self.last_words() })
    }

    /// Ends it and waits for its end.
    pub async fn end(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(process = %self.name, %error, "cannot kill");
        }
    }
}

/// Reads to the end, so that the process never waits for us, and keeps the last [`KEPT`] bytes.
async fn keep(mut out: impl AsyncRead + Unpin, words: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = vec![0; 4096];
    while let Ok(read @ 1..) = out.read(&mut buffer).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(&buffer[..read]);
        let surplus = words.len().saturating_sub(KEPT);
        words.drain(..surplus);
    }
}

/// The first line that a binary says about its version.
///
/// # Errors
/// When it does not run.
pub async fn version(binary: &Path, flag: &str) -> Result<String, VersusError> {
    let failed = |source: io::Error| VersusError::Run { binary: binary.to_owned(), source };
    let output = Command::new(binary).arg(flag).stdin(Stdio::null()).output().await.map_err(failed)?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    match words.lines().find(|line| !line.trim().is_empty()) {
        // HAProxy's address follows a dash.
        Some(line) if output.status.success() => Ok(line.split(" - ").next().unwrap_or_default().trim().to_owned()),
        _ => Err(failed(io::Error::other(format!("{flag} says nothing ({})", output.status)))),
    }
}
