//! The proxies compared, and starting them.

use std::{
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::Instant,
};

use super::{
    VersusError,
    haproxy::{self, Blanks},
    process::Process,
};
use crate::demo::ports;

/// Starts when somebody else took a port that was free a moment ago.
const PORT_ATTEMPTS: usize = 3;
/// How long HAProxy's peers have to be connected before they count as such: when both sides connect at once, one gives
/// way and comes back after a drawn pause of up to 2 s.
const PEERS_STEADY: Duration = Duration::from_millis(2_500);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Ours.
    Roompin,
    /// HAProxy as published for Kubernetes.
    Kubernetes,
    /// HAProxy with a consistent hash.
    ConsistentHash,
}

impl Subject {
    /// All, ours first.
    pub const ALL: [Self; 3] = [Self::Roompin, Self::Kubernetes, Self::ConsistentHash];

    /// For files and scripts.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Roompin => "roompin",
            Self::Kubernetes => "haproxy-kubernetes",
            Self::ConsistentHash => "haproxy-hash",
        }
    }

    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Roompin => "Roompin",
            Self::Kubernetes => "HAProxy, Kubernetes",
            Self::ConsistentHash => "HAProxy, hash",
        }
    }

    /// Whether replicas tell each other where rooms are, so that it is fair to send a room's participants to two.
    #[must_use]
    pub fn shares_pins(self) -> bool {
        self != Self::Roompin
    }
}

/// What starting needs to know.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// Our proxy.
    pub roompin: PathBuf,
    /// HAProxy.
    pub haproxy: PathBuf,
    /// For configurations and sockets.
    pub folder: PathBuf,
    /// The core of the proxy under test.
    pub core: Option<usize>,
}

/// Replicas of one proxy that serve.
#[derive(Debug)]
pub struct Replicas {
    /// Where they serve.
    pub addresses: Vec<SocketAddr>,
    processes: Vec<Process>,
}

impl Replicas {
    /// Starts them and waits until they serve and, where they have peers, know each other. When a port is taken in the
    /// last moment, all start again on others.
    ///
    /// # Errors
    /// See [`VersusError`].
    pub async fn start(
        workshop: &Workshop,
        subject: Subject,
        count: usize,
        shards: &[(String, SocketAddr)],
    ) -> Result<Self, VersusError> {
        let mut attempt = 1;
        loop {
            match start_once(workshop, subject, count, shards).await {
                Err(VersusError::NotReady { words, .. }) if attempt < PORT_ATTEMPTS && words.contains("in use") => {
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// Process of the first.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.processes.first().map_or(0, Process::pid)
    }

    /// Ends them.
    ///
    /// # Errors
    /// When one has ended before.
    pub async fn end(mut self) -> Result<(), VersusError> {
        let alive = self.processes.iter_mut().try_for_each(Process::still_runs);
        for process in self.processes {
            process.end().await;
        }
        alive
    }
}

async fn start_once(
    workshop: &Workshop,
    subject: Subject,
    count: usize,
    shards: &[(String, SocketAddr)],
) -> Result<Replicas, VersusError> {
    let io = |what| move |source| VersusError::Io { what, source };
    let picked = ports::pick(&vec![0; 2 * count]).map_err(io("free ports"))?;
    let (serving, second) = picked.split_at(count);
    let peers: Vec<_> = second.iter().enumerate().map(|(n, &address)| (format!("replica-{n}"), address)).collect();
    let mut processes = Vec::new();
    for (number, ((name, own), &listen)) in peers.iter().zip(serving).enumerate() {
        let socket = workshop.folder.join(format!("{number}.sock"));
        let template = match subject {
            Subject::Roompin => None,
            Subject::Kubernetes => Some(haproxy::KUBERNETES),
            Subject::ConsistentHash => Some(haproxy::CONSISTENT_HASH),
        };
        let text = match template {
            Some(template) => haproxy::render(template, &Blanks { listen, socket: &socket, peers: &peers, shards }),
            None => roompin(listen, *own, shards),
        };
        let path = workshop.folder.join(format!("{}-{number}.cfg", subject.id()));
        fs::write(&path, text).map_err(io("configuration"))?;
        let (binary, arguments): (&Path, Vec<OsString>) = match template {
            Some(_) => {
                (&workshop.haproxy, vec!["-db".into(), "-q".into(), "-L".into(), name.into(), "-f".into(), path.into()])
            }
            None => (&workshop.roompin, vec!["run".into(), "--config".into(), path.into()]),
        };
        processes.push((
            Process::start(&format!("{} {name}", subject.id()), binary, arguments, workshop.core)?,
            listen,
            *own,
            socket,
        ));
    }
    let mut sockets = Vec::new();
    let mut replicas = Replicas { addresses: serving.to_vec(), processes: Vec::new() };
    for (mut process, listen, own, socket) in processes {
        match subject {
            Subject::Roompin => process.ready(async |_| is_ready(own).await.then_some(())).await?,
            Subject::Kubernetes | Subject::ConsistentHash => {
                process.ready(async |_| serves(listen).await.then_some(())).await?;
                sockets.push(socket);
            }
        }
        replicas.processes.push(process);
    }
    if let Some(last) = replicas.processes.last_mut()
        && count > 1
    {
        meet(last, &sockets).await?;
    }
    Ok(replicas)
}

/// Waits until HAProxy's replicas are connected to each other and stay so.
async fn meet(last: &mut Process, sockets: &[PathBuf]) -> Result<(), VersusError> {
    let mut since = None;
    let probe = async |_: &str| {
        for socket in sockets {
            if !knows(socket, sockets.len() - 1).await {
                since = None;
                return None;
            }
        }
        let since: Instant = *since.get_or_insert_with(Instant::now);
        (since.elapsed() >= PEERS_STEADY).then_some(())
    };
    last.ready(probe).await
}

/// Our proxy's configuration: everything at its default, but for one thread and quiet logs.
fn roompin(listen: SocketAddr, admin: SocketAddr, shards: &[(String, SocketAddr)]) -> String {
    let shards: String =
        shards.iter().map(|(name, address)| format!("    - {{ name: {name}, address: \"{address}\" }}\n")).collect();
    format!(
        "listen: [\"{listen}\"]\nthreads: 1\nshards:\n  static:\n{shards}admin: {{ address: \"{admin}\" }}\n\
         log: {{ level: warn, access: off }}\n"
    )
}

async fn serves(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

/// Whether our proxy's `/readyz` says so.
async fn is_ready(admin: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: roompin\r\nConnection: close\r\n\r\n").await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    ask.await.is_ok_and(|answer| answer == *b"HTTP/1.1 200")
}

/// Whether HAProxy is connected to all its peers.
async fn knows(socket: &Path, peers: usize) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"show peers\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    ask.await.is_ok_and(|answer| haproxy::peers_connected(&answer, peers))
}
