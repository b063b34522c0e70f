//! HAProxy as published for Jitsi on Kubernetes: round robin, and a table that sticks rooms, shared by peers.

use std::{collections::BTreeMap, fmt::Write as _, fs, io, path::PathBuf, time::Duration};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::Command,
    time::timeout,
};

use super::{Process, Rules, Setup, ShardEntry, ShardState, Target, TargetError, http_client, name_of};

/// For one order to the runtime API.
const ORDER_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of its answer.
const ANSWER_MAX: u64 = 64 << 10;
/// To leave in good order; `hard-stop-after` is below.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);
/// As the published configuration has it, whatever the setup says: entries live for a day.
const TTL_MS: u64 = 24 * 3_600_000;

/// Peered replicas of HAProxy.
#[derive(Debug)]
pub(crate) struct Haproxy {
    binary: PathBuf,
    setup: Setup,
    shards: Vec<ShardEntry>,
    processes: BTreeMap<usize, Process>,
    http: reqwest::Client,
}

impl Haproxy {
    /// Replicas that do not run yet.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub(crate) fn new(binary: PathBuf, setup: Setup) -> Result<Self, TargetError> {
        Ok(Self { binary, setup, shards: Vec::new(), processes: BTreeMap::new(), http: http_client()? })
    }

    /// The published configuration with fixed servers in place of a DNS name, probed as often as ours.
    fn configuration(&self, replica: usize) -> String {
        let Setup { folder, places, max_pins, .. } = &self.setup;
        let socket = folder.join(format!("{}.sock", name_of(replica)));
        let mut text = format!(
            "global\n  log stdout format raw local0 warning\n  maxconn 4000\n  hard-stop-after 2s\n\
             \x20 stats socket {} level admin\n\
             defaults\n  mode http\n  log global\n  retries 3\n\
             \x20 timeout connect 5s\n  timeout client 50s\n  timeout server 50s\n\
             frontend http_in\n  bind {}\n  option forwardfor\n  option http-keep-alive\n\
             \x20 monitor-uri /haproxy-ready\n  default_backend jitsi-meet\n\
             peers mypeers\n",
            socket.display(),
            places[replica - 1].serve,
        );
        for (number, place) in (1..).zip(places) {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "  peer {} {}", name_of(number), place.peer);
        }
        let _ = writeln!(
            text,
            "backend jitsi-meet\n  balance roundrobin\n  http-reuse safe\n\
             \x20 http-request set-header Room %[urlp(room)]\n  acl room_found urlp(room) -m found\n\
             \x20 stick-table type string len 128 size {max_pins} expire 1d peers mypeers\n\
             \x20 stick on hdr(Room) if room_found"
        );
        for ShardEntry { number, name, address, state } in &self.shards {
            let disabled = if *state == ShardState::Down { " disabled" } else { "" };
            let _ = writeln!(text, "  server {name} {address} id {} check inter 500ms{disabled}", id(*number));
        }
        text
    }

    /// Gives a replica an order; its answer.
    async fn order(&self, replica: usize, order: &str) -> Result<String, TargetError> {
        let talk = async {
            let path = self.setup.folder.join(format!("{}.sock", name_of(replica)));
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(format!("{order}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        let answer = timeout(ORDER_TIMEOUT, talk).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        answer.map_err(TargetError::io("order to HAProxy"))
    }

    /// Orders that turn one list into another.
    fn orders(old: &[ShardEntry], new: &[ShardEntry]) -> Vec<String> {
        let mut orders = Vec::new();
        for ShardEntry { number, name, address, state } in new {
            let before = old.iter().find(|shard| shard.number == *number);
            if before.is_none() {
                let id = id(*number);
                orders.push(format!("add server jitsi-meet/{name} {address} id {id} check inter 500ms"));
                orders.push(format!("enable server jitsi-meet/{name}"));
                orders.push(format!("enable health jitsi-meet/{name}"));
            }
            if before.map_or(ShardState::Ready, |shard| shard.state) != *state {
                orders.push(format!("set server jitsi-meet/{name} state {}", word(*state)));
            }
        }
        for ShardEntry { name, .. } in old.iter().filter(|old| !new.iter().any(|new| new.number == old.number)) {
            orders.push(format!("set server jitsi-meet/{name} state maint"));
            orders.push(format!("shutdown sessions server jitsi-meet/{name}"));
            // It may be refused while a connection idles; nobody is sent to a server in maintenance anyhow.
            orders.push(format!("del server jitsi-meet/{name}"));
        }
        orders
    }
}

/// The same on all replicas, however servers came.
fn id(shard: usize) -> usize {
    10 + shard
}

fn word(state: ShardState) -> &'static str {
    match state {
        ShardState::Ready => "ready",
        ShardState::Draining => "drain",
        ShardState::Down => "maint",
    }
}

#[async_trait]
impl Target for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn rules(&self) -> Rules {
        // All peers have the same table.
        Rules { ttl_ms: TTL_MS, bound: Some(self.setup.max_pins), ..Rules::default() }
    }

    async fn start(&mut self, replica: usize) -> Result<(), TargetError> {
        let path = self.setup.folder.join(format!("{}.cfg", name_of(replica)));
        fs::write(&path, self.configuration(replica)).map_err(TargetError::io("configuration"))?;
        let mut command = Command::new(&self.binary);
        command.arg("-db").arg("-L").arg(name_of(replica)).arg("-f").arg(path);
        let place = &self.setup.places[replica - 1];
        let mut process = Process::start(replica, command, &self.setup.folder, place)?;
        let url = format!("http://{}/haproxy-ready", place.serve);
        process.ready(&self.http, &url).await?;
        self.processes.insert(replica, process);
        for shard in self.shards.iter().filter(|shard| shard.state == ShardState::Draining) {
            self.order(replica, &format!("set server jitsi-meet/{} state drain", shard.name)).await?;
        }
        Ok(())
    }

    async fn stop(&mut self, replica: usize, orderly: bool) {
        if let Some(process) = self.processes.remove(&replica) {
            // The signal by which its container images are stopped.
            process.end(orderly.then_some((Signal::SIGUSR1, LEAVE_TIMEOUT))).await;
        }
    }

    fn pause(&mut self, replica: usize, paused: bool) -> Result<(), TargetError> {
        self.processes.get_mut(&replica).map_or(Ok(()), |process| process.pause(paused))
    }

    fn pid(&self, replica: usize) -> Option<u32> {
        self.processes.get(&replica)?.pid()
    }

    async fn set_shards(&mut self, shards: &[ShardEntry]) -> Result<(), TargetError> {
        let orders = Self::orders(&self.shards, shards);
        self.shards = shards.to_vec();
        for (replica, process) in &self.processes {
            for order in orders.iter().filter(|_| !process.paused) {
                let answer = self.order(*replica, order).await?;
                let done = answer.trim().is_empty() || answer.contains("registered") || answer.contains("deleted");
                if !done {
                    tracing::debug!(replica, order, answer = answer.trim(), "HAProxy answers");
                }
                if !done && order.starts_with("add") {
                    return Err(TargetError::Deaf { name: name_of(*replica), why: answer.trim().to_owned() });
                }
            }
        }
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        let (replica, words) =
            self.processes.iter_mut().find_map(|(replica, process)| Some((*replica, process.ended()?)))?;
        self.processes.remove(&replica);
        Some(words)
    }
}
