//! One child process: its folder, its log, its end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long a server may take to answer after its start; generous, because tests share two cores with a compiler.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Most log lines shown when a test fails.
const LOG_TAIL: usize = 60;

/// A server started by a test, killed when dropped.
///
/// It stays in the test's process group, so whatever ends the test by group (a terminal, nextest) ends it too.
pub(crate) struct Process {
    name: String,
    child: Child,
    folder: TempDir,
    command: Box<dyn Fn(&Path) -> Command + Send + Sync>,
}

impl Process {
    /// Starts what `command` builds for `folder`; stdout and stderr go to a log file there.
    pub(crate) fn start(
        name: &str,
        folder: TempDir,
        command: impl Fn(&Path) -> Command + Send + Sync + 'static,
    ) -> Self {
        let child = launch(name, folder.path(), command(folder.path()));
        Self { name: name.to_owned(), child, folder, command: Box::new(command) }
    }

    /// Waits until `probe` says yes; panics with the log if the process exits or takes longer than 20 s.
    pub(crate) async fn ready(&mut self, probe: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + READY_LIMIT;
        while !probe().await {
            if let Some(status) = self.exited() {
                panic!("{} exited before it was ready: {status}\n{}", self.name, self.log());
            }
            assert!(Instant::now() < deadline, "{} not ready within {READY_LIMIT:?}\n{}", self.name, self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything the process has printed so far, over all its starts.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(log_path(self.folder.path())).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The folder with its configuration, log and data; removed with this value.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for the state of an own child")
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        if self.exited().is_none() {
            self.child.kill().expect("kill an own child");
            self.child.wait().expect("wait for an own child");
        }
    }

    /// Sends a signal by name, such as `TERM` or `HUP`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &id]).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot send {signal} to {}", self.name);
    }

    /// Waits for the process to end by itself; panics with the log when it does not.
    pub(crate) async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} still runs after {limit:?}\n{}", self.name, self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it if it runs and starts it again: same command, folder, ports and log.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = launch(&self.name, self.folder.path(), (self.command)(self.folder.path()));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing here may panic: a test that fails is unwinding already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- log of {} (last {LOG_TAIL} lines)", self.name);
            eprintln!("{}", lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n"));
        }
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn launch(name: &str, folder: &Path, mut command: Command) -> Child {
    let log = File::options().create(true).append(true).open(log_path(folder)).expect("open a log file");
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("share the log file"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"))
}

/// The path of an installed program; panics with the command that installs it.
pub(crate) fn require(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers in sbin, which users' PATHs lack.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/bin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!("`{program}` is missing, and this test needs it: run `apt-get install -y {package}` as root")
        })
}

/// The status of a plain GET, or `None` when nobody answers within 2 s.
pub(crate) async fn http_status(url: &str) -> Option<u16> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().ok()?;
    let answer = client.get(url).send().await.ok()?;
    Some(answer.status().as_u16())
}
