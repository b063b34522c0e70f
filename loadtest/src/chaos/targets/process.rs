//! A replica's process, in its place.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{TargetError, name_of};
use crate::chaos::ground::Place;

/// From start to ready. A debug build on a busy machine takes seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks.
const POLL: Duration = Duration::from_millis(30);
/// Bytes of a log shown when something fails.
const LOG_TAIL: u64 = 4 << 10;

/// A process. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// SIGSTOP was sent, and no SIGCONT.
    pub(super) paused: bool,
}

impl Process {
    /// Starts `command` as a replica. Its words go to a file in `folder`.
    ///
    /// # Errors
    /// When the system does not start it.
    pub(crate) fn start(
        replica: usize,
        mut command: Command,
        folder: &Path,
        place: &Place,
    ) -> Result<Self, TargetError> {
        let name = name_of(replica);
        let log = folder.join(format!("{name}.log"));
        let open = || Ok::<_, io::Error>((File::create(&log)?, File::options().append(true).open(&log)?));
        let (out, err) = open().map_err(TargetError::io("log file"))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
        // Out of the terminal's group: Ctrl-C is ours.
        command.process_group(0);
        let runtime = Handle::current();
        let child = place.enter(|| {
            let _runtime = runtime.enter();
            command.spawn()
        });
        let child = child.and_then(|child| child).map_err(TargetError::io("start of a replica"))?;
        Ok(Self { name, child, log, paused: false })
    }

    /// Waits until `url` answers with success.
    ///
    /// # Errors
    /// When it ends instead, or it takes too long.
    pub(crate) async fn ready(&mut self, http: &reqwest::Client, url: &str) -> Result<(), TargetError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let how = match self.child.try_wait().map_err(TargetError::io("replica's process"))? {
                Some(status) => format!("ended before it was ready ({status})"),
                None if Instant::now() >= deadline => format!("is not ready after {} s", READY_TIMEOUT.as_secs()),
                None if http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) => return Ok(()),
                None => {
                    sleep(POLL).await;
                    continue;
                }
            };
            return Err(TargetError::NotReady { name: self.name.clone(), how, log: self.log_tail() });
        }
    }

    /// Its id, while it runs.
    #[must_use]
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }

    /// Stands still, or goes on.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn pause(&mut self, paused: bool) -> Result<(), TargetError> {
        let signal = if paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        self.signal(signal).map_err(TargetError::io("signal to a replica"))?;
        self.paused = paused;
        Ok(())
    }

    /// Ends it: with `signal` and some time to leave, or at once.
    pub(crate) async fn end(mut self, orderly: Option<(Signal, Duration)>) {
        if let Some((signal, time)) = orderly
            && self.signal(signal).is_ok()
        {
            // SIGCONT, for one that stands still would never hear it.
            let _ = self.signal(Signal::SIGCONT);
            if timeout(time, self.child.wait()).await.is_ok() {
                return;
            }
        }
        if let Err(error) = self.child.kill().await {
            tracing::warn!(name = self.name, %error, "cannot kill");
        }
    }

    /// In words, that and how it has ended.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(format!("{} ended by itself ({status}). Its last words:\n{}", self.name, self.log_tail()))
    }

    fn log_tail(&self) -> String {
        let read = || {
            let length = fs::metadata(&self.log)?.len();
            let mut file = File::open(&self.log)?;
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
            let mut tail = Vec::new();
            file.take(LOG_TAIL).read_to_end(&mut tail)?;
            Ok::<_, io::Error>(String::from_utf8_lossy(&tail).trim_end().to_owned())
        };
        read().ok().filter(|tail| !tail.is_empty()).unwrap_or_else(|| "(none)".to_owned())
    }
}
