//! Processes that we start: readiness, last words and end.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child as Process, Command},
    time::{Instant, sleep, timeout},
};

/// From start to readiness. A debug build on a busy machine takes seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two questions whether it is ready.
const READY_POLL: Duration = Duration::from_millis(20);
/// Bytes of its words kept for when it fails.
const KEPT: usize = 8 << 10;
/// After its end, for its last words to arrive.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Why a process does not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The system did not run a binary.
    #[error("cannot run {}: {source}; --proxy and --haproxy name other binaries", binary.display())]
    Run {
        /// What was to be run.
        binary: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It ended, or did not get ready.
    #[error("{name}: {state}. Its last words:\n{words}")]
    NotReady {
        /// The process.
        name: String,
        /// Its end.
        state: String,
        /// The end of what it wrote.
        words: String,
    },
    /// This machine refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's words.
        source: io::Error,
    },
}

impl ChildError {
    /// For what this machine refuses while `what` is tried.
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// Whether somebody else took a port that was free a moment ago.
    #[must_use]
    pub fn port_was_taken(&self) -> bool {
        matches!(self, Self::NotReady { words, .. } if words.contains("in use"))
    }
}

/// A process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: Process,
    words: Arc<Mutex<VecDeque<u8>>>,
}

impl Child {
    /// Starts a command; `name` is for messages.
    ///
    /// # Errors
    /// When the system does not run it.
    pub fn start(name: &str, mut command: Command) -> Result<Self, ChildError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Out of the terminal's group: Ctrl-C is ours, and we end our processes.
        command.process_group(0);
        let mut process = command
            .spawn()
            .map_err(|source| ChildError::Run { binary: command.as_std().get_program().into(), source })?;
        let words = Arc::default();
        if let Some(out) = process.stdout.take() {
            tokio::spawn(keep(out, Arc::clone(&words)));
        }
        if let Some(out) = process.stderr.take() {
            tokio::spawn(keep(out, Arc::clone(&words)));
        }
        Ok(Self { name: name.to_owned(), process, words })
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until `probe`, which gets what the process has written, has an answer.
    ///
    /// # Errors
    /// When the process ends or does not get ready in time; with its last words.
    pub async fn ready<T>(&mut self, mut probe: impl AsyncFnMut(&str) -> Option<T>) -> Result<T, ChildError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            self.still_runs().await?;
            if let Some(answer) = probe(&self.words()).await {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                let state = format!("not ready after {} s", READY_TIMEOUT.as_secs());
                return Err(self.not_ready(state));
            }
            sleep(READY_POLL).await;
        }
    }

    /// Waits until a URL answers with success.
    ///
    /// # Errors
    /// As [`Self::ready`].
    pub async fn ready_at(&mut self, http: &reqwest::Client, url: &str) -> Result<(), ChildError> {
        self.ready_within(READY_TIMEOUT, http, url).await
    }

    /// Waits until a URL answers with success, but no longer than that.
    ///
    /// # Errors
    /// As [`Self::ready`].
    pub async fn ready_within(&mut self, limit: Duration, http: &reqwest::Client, url: &str) -> Result<(), ChildError> {
        let deadline = Instant::now() + limit;
        loop {
            self.still_runs().await?;
            if http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let state = format!("{url} is not ready after {} s", limit.as_secs());
                return Err(self.not_ready(state));
            }
            sleep(READY_POLL).await;
        }
    }

    /// Fails if the process has ended by itself.
    ///
    /// # Errors
    /// Its end and its last words.
    pub async fn still_runs(&mut self) -> Result<(), ChildError> {
        let Some(status) = self.process.try_wait().map_err(ChildError::io("process"))? else { return Ok(()) };
        sleep(LAST_WORDS).await;
        Err(self.not_ready(format!("ended ({status})")))
    }

    fn not_ready(&self, state: String) -> ChildError {
        ChildError::NotReady { name: self.name.clone(), state, words: self.words() }
    }

    /// The end of what it wrote, or a note that it was silent.
    fn words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = words.iter().copied().collect();
        if bytes.is_empty() { "(none)".to_owned() } else { String::from_utf8_lossy(&bytes).trim_end().to_owned() }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }

    /// Ends it and waits for its end.
    pub async fn end(mut self) {
        if let Err(error) = self.process.kill().await {
            tracing::warn!(process = %self.name, %error, "cannot kill");
        }
    }

    /// Asks it to end, and waits until it has, but no longer than that.
    ///
    /// # Errors
    /// When it does not, or not well; with its last words.
    pub async fn leave(mut self, limit: Duration) -> Result<(), ChildError> {
        self.signal(Signal::SIGTERM).map_err(ChildError::io("signal"))?;
        let state = match timeout(limit, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => return Ok(()),
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(source)) => return Err(ChildError::io("process")(source)),
            Err(_) => format!("still runs {} s after SIGTERM", limit.as_secs()),
        };
        Err(self.not_ready(state))
    }

    /// Asks it to end with a signal, and ends it when it has not after some time.
    pub async fn end_orderly(mut self, signal: Signal, time: Duration) {
        if self.signal(signal).is_ok() {
            // SIGCONT, for one that stands still would never hear it.
            let _ = self.signal(Signal::SIGCONT);
            if timeout(time, self.process.wait()).await.is_ok() {
                return;
            }
        }
        self.end().await;
    }
}

/// Ends them all.
///
/// # Errors
/// When one has ended by itself before: its end and its last words.
pub async fn end_all(mut children: Vec<Child>) -> Result<(), ChildError> {
    for child in &mut children {
        child.still_runs().await?;
    }
    for child in children {
        child.end().await;
    }
    Ok(())
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

/// For asking processes how they are.
///
/// # Errors
/// When there can be no client.
pub fn http_client() -> Result<reqwest::Client, ChildError> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build();
    client.map_err(|error| ChildError::io("HTTP client")(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start("shell", command).unwrap()
    }

    #[tokio::test]
    async fn readiness_is_seen_in_its_words() {
        let mut child = shell("sleep 0.05; echo here; sleep 60");
        child.ready(async |words| words.contains("here").then_some(())).await.unwrap();
        child.still_runs().await.unwrap();
        let pid = child.pid().unwrap();
        child.end().await;
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn one_that_ends_is_quoted() {
        let mut child = shell("echo port in use >&2; exit 7");
        let error = child.ready(async |_| None::<()>).await.unwrap_err();
        assert!(error.port_was_taken(), "{error}");
        assert_eq!(error.to_string(), "shell: ended (exit status: 7). Its last words:\nport in use");
        let error = Child::start("nobody", Command::new("/nowhere/nobody")).unwrap_err();
        assert!(error.to_string().starts_with("cannot run /nowhere/nobody: "), "{error}");
    }

    #[tokio::test]
    async fn it_may_leave_in_good_order_or_be_made_to() {
        for (script, shortest) in [
            ("trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done", 0),
            ("trap '' TERM; echo up; while :; do sleep 0.01; done", 300),
        ] {
            let mut child = shell(script);
            child.ready(async |words| words.contains("up").then_some(())).await.unwrap();
            child.signal(Signal::SIGSTOP).unwrap();
            let began = Instant::now();
            child.end_orderly(Signal::SIGTERM, Duration::from_millis(300)).await;
            assert!(began.elapsed() >= Duration::from_millis(shortest), "{:?}", began.elapsed());
        }
    }
}
