//! Proxy processes: their configuration, start, readiness, last words and end.

use std::{
    collections::VecDeque,
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::ports;
use crate::stub::StubShard;

/// From start to a ready `/readyz`. A debug build on a busy machine takes seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at `/readyz`.
const READY_POLL: Duration = Duration::from_millis(50);
/// Starts when somebody else took a port that was free a moment ago.
const PORT_ATTEMPTS: usize = 3;
/// Bytes of a proxy's log kept for when it fails.
const LOG_TAIL: usize = 8 << 10;
/// After a process has ended, for its last words to arrive.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Why a proxy could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system did not run the binary.
    #[error("cannot run {}: {source}; name the proxy with --proxy PATH", binary.display())]
    Spawn {
        /// What was to be run.
        binary: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{name} ended before it was ready ({status}). Its last words:\n{log}")]
    Ended {
        /// The replica.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Tail of its log.
        log: String,
    },
    /// It did not become ready in time.
    #[error("{name} is not ready after {} s. Its last words:\n{log}", READY_TIMEOUT.as_secs())]
    NotReady {
        /// The replica.
        name: String,
        /// Tail of its log.
        log: String,
    },
    /// Its configuration could not be written, or it could not be asked.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's words.
        source: io::Error,
    },
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Io { what, source }
}

/// A replica's process. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: String,
    /// Where it serves browsers.
    pub(super) address: SocketAddr,
    /// Its admin port.
    pub(super) admin: SocketAddr,
    /// Its configuration.
    pub(super) config: PathBuf,
    child: Child,
    log: Arc<Mutex<VecDeque<u8>>>,
}

/// `roompin-proxy` beside the running binary, else the one on the PATH.
pub(crate) fn default_binary() -> PathBuf {
    let name = format!("roompin-proxy{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.join(&name)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

/// Starts one replica per port and waits until all are ready. When a port is taken, all start again on others.
///
/// # Errors
/// See [`StartError`].
pub(super) async fn start_all(
    binary: &Path,
    folder: &Path,
    ports: &[u16],
    shards: &[StubShard],
) -> Result<Vec<Proxy>, StartError> {
    let mut attempt = 1;
    loop {
        match start_once(binary, folder, ports, shards).await {
            Err(StartError::Ended { log, .. }) if attempt < PORT_ATTEMPTS && log.contains("in use") => {
                attempt += 1;
            }
            done => return done,
        }
    }
}

async fn start_once(
    binary: &Path,
    folder: &Path,
    ports: &[u16],
    shards: &[StubShard],
) -> Result<Vec<Proxy>, StartError> {
    // Besides the ports for browsers, each has one for the admin and one for the other replicas.
    let wanted: Vec<u16> = ports.iter().copied().chain(ports.iter().flat_map(|_| [0, 0])).collect();
    let addresses = ports::pick(&wanted).map_err(failed("free ports"))?;
    let (serving, others) = addresses.split_at(ports.len());
    let (admin, mesh) = others.split_at(ports.len());
    let key = folder.join("key");
    write_key(&key).map_err(failed("key"))?;
    let mut proxies = Vec::new();
    for (number, ((&address, &admin), &own)) in serving.iter().zip(admin).zip(mesh).enumerate() {
        let name = format!("replica-{}", number + 1);
        let config = folder.join(format!("{name}.yaml"));
        let text = configuration(address, admin, shards) + &cluster(own, mesh, &key);
        fs::write(&config, text).map_err(failed("configuration"))?;
        proxies.push(Proxy::spawn(binary, name, address, admin, config)?);
    }
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build();
    let http = http.map_err(|error| failed("HTTP client")(io::Error::other(error)))?;
    let deadline = Instant::now() + READY_TIMEOUT;
    for proxy in &mut proxies {
        proxy.ready(&http, deadline).await?;
    }
    Ok(proxies)
}

/// A replica's configuration file.
fn configuration(address: SocketAddr, admin: SocketAddr, shards: &[StubShard]) -> String {
    let mut text = format!("listen: [\"{address}\"]\nshards:\n  static:\n");
    for shard in shards {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "    - {{ name: {}, address: \"{}\" }}", shard.name, shard.addr);
    }
    text + &format!("admin: {{ address: \"{admin}\" }}\nlog: {{ level: warn, access: off }}\n")
}

/// The part of it by which replicas find and know each other.
fn cluster(own: SocketAddr, all: &[SocketAddr], key: &Path) -> String {
    let peers: Vec<_> = all.iter().map(|peer| format!("\"{peer}\"")).collect();
    let (peers, key) = (peers.join(", "), key.display());
    format!("cluster: {{ listen: \"{own}\", peers: [{peers}], key_file: \"{key}\" }}\n")
}

/// A key that nobody else has.
fn write_key(path: &Path) -> io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let [high, low]: [u128; 2] = rand::random();
    writeln!(options.open(path)?, "{high:032x}{low:032x}")
}

/// Waits until one of the processes has ended; says which, how and with what words.
pub(super) async fn first_to_end(proxies: &mut [Proxy]) -> String {
    loop {
        for proxy in &mut *proxies {
            if let Ok(Some(status)) = proxy.child.try_wait() {
                sleep(LAST_WORDS).await;
                return format!("{} ended ({status}). Its last words:\n{}", proxy.name, proxy.log_tail());
            }
        }
        sleep(READY_POLL).await;
    }
}

impl Proxy {
    fn spawn(
        binary: &Path,
        name: String,
        address: SocketAddr,
        admin: SocketAddr,
        config: PathBuf,
    ) -> Result<Self, StartError> {
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Out of the terminal's group: Ctrl-C is ours, and participants leave before the proxies end.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|source| StartError::Spawn { binary: binary.to_owned(), source })?;
        let log = Arc::default();
        if let Some(out) = child.stdout.take() {
            tokio::spawn(keep_tail(out, Arc::clone(&log)));
        }
        if let Some(out) = child.stderr.take() {
            tokio::spawn(keep_tail(out, Arc::clone(&log)));
        }
        Ok(Self { name, address, admin, config, child, log })
    }

    async fn ready(&mut self, http: &reqwest::Client, deadline: Instant) -> Result<(), StartError> {
        let url = format!("http://{}/readyz", self.admin);
        loop {
            if let Some(status) = self.child.try_wait().map_err(failed("proxy process"))? {
                sleep(LAST_WORDS).await;
                return Err(StartError::Ended { name: self.name.clone(), status, log: self.log_tail() });
            }
            if http.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(StartError::NotReady { name: self.name.clone(), log: self.log_tail() });
            }
            sleep(READY_POLL).await;
        }
    }

    /// The end of what the process wrote, or a note that it was silent.
    fn log_tail(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = log.iter().copied().collect();
        if bytes.is_empty() { "(none)".to_owned() } else { String::from_utf8_lossy(&bytes).trim_end().to_owned() }
    }

    /// Ends the process and waits for its end.
    pub(super) async fn kill(&mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(proxy = %self.name, %error, "cannot kill");
        }
    }
}

/// Reads to the end, so that the process never waits for us, and keeps the last [`LOG_TAIL`] bytes.
async fn keep_tail(mut out: impl AsyncRead + Unpin, log: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = vec![0; 4096];
    while let Ok(read @ 1..) = out.read(&mut buffer).await {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend(&buffer[..read]);
        let surplus = log.len().saturating_sub(LOG_TAIL);
        log.drain(..surplus);
    }
}
