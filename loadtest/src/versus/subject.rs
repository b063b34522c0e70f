//! The proxies compared, and starting them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tokio::{process::Command, time::Instant};

use super::VersusError;
use crate::{
    child::{Child, ChildError, end_all, http_client},
    haproxy::{self, Blanks},
    ports,
    roompin::{Config, Shard, Sharing, late_claims, write_key},
};

/// Starts when somebody else took a port that was free a moment ago.
const PORT_ATTEMPTS: usize = 3;
/// How long HAProxy's peers have to be connected before they count as such: when both sides connect at once, one gives
/// way and comes back after a drawn pause of up to 2 s.
const PEERS_STEADY: Duration = Duration::from_millis(2_500);
/// Entries of HAProxy's stick tables, so that no room is purged.
const TABLE: usize = 200_000;

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
    /// How long replicas of ours wait for each other, unless as long as by default.
    pub claim_timeout: Option<Duration>,
}

impl Workshop {
    /// A command on the core of the proxy under test, if it has one. Then a missing binary shows when the process ends.
    fn command(&self, binary: &Path) -> Command {
        let Some(core) = self.core else { return Command::new(binary) };
        // taskset becomes the binary, so the child's id is the binary's.
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.to_string()]).arg(binary);
        command
    }
}

/// Replicas of one proxy that serve.
#[derive(Debug)]
pub struct Replicas {
    /// Where they serve.
    pub addresses: Vec<SocketAddr>,
    /// Admin ports of ours, where they share their pins.
    admin: Vec<SocketAddr>,
    processes: Vec<Child>,
}

/// Where one of them is.
struct Spot {
    name: String,
    listen: SocketAddr,
    /// Our admin port.
    admin: SocketAddr,
    /// Where the others come.
    peer: SocketAddr,
    /// HAProxy's, for questions.
    socket: PathBuf,
    config: PathBuf,
}

type Shards<'a> = &'a [(String, SocketAddr)];

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
        shards: Shards<'_>,
    ) -> Result<Self, VersusError> {
        let mut attempt = 1;
        loop {
            match start_once(workshop, subject, count, shards).await {
                Err(error) if attempt < PORT_ATTEMPTS && error.port_was_taken() => attempt += 1,
                done => return Ok(done?),
            }
        }
    }

    /// Process of the first; 0 when it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.processes.first().and_then(Child::pid).unwrap_or_default()
    }

    /// Decisions that ours have taken so far without hearing from each other in time: the one way in which they can
    /// split a room without a partition. `None` where there is no such thing.
    ///
    /// # Errors
    /// When one does not tell.
    pub async fn late(&self) -> Result<Option<u64>, VersusError> {
        let http = http_client()?;
        let mut all = None;
        for admin in &self.admin {
            let told = late_claims(&http, &format!("http://{admin}/metrics"), None).await;
            let told = told.map_err(|error| ChildError::io("metrics of a replica")(std::io::Error::other(error)))?;
            all = Some(all.unwrap_or(0) + told);
        }
        Ok(all)
    }

    /// Ends them.
    ///
    /// # Errors
    /// When one has ended before.
    pub async fn end(self) -> Result<(), VersusError> {
        Ok(end_all(self.processes).await?)
    }
}

async fn start_once(
    workshop: &Workshop,
    subject: Subject,
    count: usize,
    shards: Shards<'_>,
) -> Result<Replicas, ChildError> {
    let picked = ports::pick(&vec![0; 3 * count]).map_err(ChildError::io("free ports"))?;
    let (serving, others) = picked.split_at(count);
    let (admin, peers) = others.split_at(count);
    let spot = |number: usize| Spot {
        name: format!("replica-{number}"),
        listen: serving[number],
        admin: admin[number],
        peer: peers[number],
        socket: workshop.folder.join(format!("{number}.sock")),
        config: workshop.folder.join(format!("{}-{number}.cfg", subject.id())),
    };
    let spots: Vec<_> = (0..count).map(spot).collect();
    let mut processes = match subject {
        Subject::Roompin => start_roompin(workshop, &spots, shards)?,
        Subject::Kubernetes => start_haproxy(workshop, haproxy::KUBERNETES, &spots, shards)?,
        Subject::ConsistentHash => start_haproxy(workshop, haproxy::CONSISTENT_HASH, &spots, shards)?,
    };
    let http = http_client()?;
    for (process, spot) in processes.iter_mut().zip(&spots) {
        let url = match subject {
            Subject::Roompin => format!("http://{}/readyz", spot.admin),
            Subject::Kubernetes | Subject::ConsistentHash => format!("http://{}{}", spot.listen, haproxy::READY_PATH),
        };
        process.ready_at(&http, &url).await?;
    }
    if count > 1 {
        match subject {
            Subject::Roompin => share(&mut processes, &spots, &http).await?,
            Subject::Kubernetes | Subject::ConsistentHash => peer(&mut processes, &spots).await?,
        }
    }
    let admin = if subject == Subject::Roompin && count > 1 { admin.to_vec() } else { Vec::new() };
    Ok(Replicas { addresses: serving.to_vec(), admin, processes })
}

/// Ours: everything at its default, but for one thread and quiet logs. One alone has no `cluster`.
fn start_roompin(workshop: &Workshop, spots: &[Spot], shards: Shards<'_>) -> Result<Vec<Child>, ChildError> {
    let key = workshop.folder.join("key");
    write_key(&key).map_err(ChildError::io("key"))?;
    let all: Vec<_> = spots.iter().map(|spot| spot.peer).collect();
    let start = |spot: &Spot| {
        let sharing = (all.len() > 1).then_some(Sharing {
            own: spot.peer,
            all: &all,
            key: &key,
            claim_timeout: workshop.claim_timeout,
        });
        let text = Config { listen: spot.listen, admin: spot.admin, token: None, sharing, more: "threads: 1\n" }
            .text(shards.iter().map(|(name, address)| Shard { name, address: *address, state: None }));
        fs::write(&spot.config, text).map_err(ChildError::io("configuration"))?;
        let mut command = workshop.command(&workshop.roompin);
        command.arg("run").arg("--config").arg(&spot.config);
        Child::start(&format!("roompin {}", spot.name), command)
    };
    spots.iter().map(start).collect()
}

fn start_haproxy(
    workshop: &Workshop,
    template: &str,
    spots: &[Spot],
    shards: Shards<'_>,
) -> Result<Vec<Child>, ChildError> {
    let peers: Vec<_> = spots.iter().map(|spot| (spot.name.clone(), spot.peer)).collect();
    let shards: Vec<_> = shards.iter().map(|(name, address)| (name.clone(), *address, String::new())).collect();
    let start = |spot: &Spot| {
        let blanks = Blanks { listen: spot.listen, socket: &spot.socket, peers: &peers, shards: &shards, table: TABLE };
        fs::write(&spot.config, haproxy::render(template, &blanks)).map_err(ChildError::io("configuration"))?;
        let mut command = workshop.command(&workshop.haproxy);
        command.args(["-db", "-q", "-L", &spot.name, "-f"]).arg(&spot.config);
        Child::start(&format!("haproxy {}", spot.name), command)
    };
    spots.iter().map(start).collect()
}

/// Waits until HAProxy's replicas are connected to each other and stay so.
async fn peer(processes: &mut [Child], spots: &[Spot]) -> Result<(), ChildError> {
    let mut since = None;
    let probe = async |_: &str| {
        for spot in spots {
            let answer = haproxy::order(&spot.socket, "show peers").await;
            if !answer.is_ok_and(|answer| haproxy::peers_connected(&answer, spots.len() - 1)) {
                since = None;
                return None;
            }
        }
        let since: Instant = *since.get_or_insert_with(Instant::now);
        (since.elapsed() >= PEERS_STEADY).then_some(())
    };
    match processes.last_mut() {
        Some(last) => last.ready(probe).await,
        None => Ok(()),
    }
}

/// The part of `GET /v1/members` that tells whether replicas know each other.
#[derive(Deserialize)]
struct Members {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    state: String,
}

/// Waits until each of our replicas counts all of them as ready.
async fn share(processes: &mut [Child], spots: &[Spot], http: &reqwest::Client) -> Result<(), ChildError> {
    for (process, spot) in processes.iter_mut().zip(spots) {
        let url = format!("http://{}/v1/members", spot.admin);
        let probe = async |_: &str| {
            let answer = http.get(&url).send().await.ok()?.bytes().await.ok()?;
            let known: Members = serde_json::from_slice(&answer).ok()?;
            let ready = known.members.iter().filter(|member| member.state == "ready").count();
            (ready == spots.len()).then_some(())
        };
        process.ready(probe).await?;
    }
    Ok(())
}
