//! HAProxy as published for Jitsi on Kubernetes: round robin, and a table that sticks rooms, shared by peers.

use std::{fs, io, path::PathBuf};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tokio::process::Command;

use super::{Kind, Listener, Rules, Setup, ShardEntry, ShardState, TargetError, name_of};
use crate::{
    child::ChildError,
    haproxy::{self, BACKEND, Blanks, KUBERNETES, READY_PATH},
};

/// As the published configuration has it, whatever the setup says: entries live for a day.
const TTL_MS: u64 = 24 * 3_600_000;
/// Probed as often as ours.
const PROBES: &str = "inter 500ms";

/// Peered replicas of HAProxy.
#[derive(Debug)]
pub(crate) struct Haproxy {
    binary: PathBuf,
    setup: Setup,
}

impl Haproxy {
    /// With this binary.
    pub(crate) fn new(binary: PathBuf, setup: Setup) -> Self {
        Self { binary, setup }
    }

    fn socket(&self, replica: usize) -> PathBuf {
        self.setup.folder.join(format!("{}.sock", name_of(replica)))
    }

    fn config(&self, replica: usize) -> PathBuf {
        self.setup.folder.join(format!("{}.cfg", name_of(replica)))
    }

    async fn order(&self, replica: usize, order: &str) -> Result<String, TargetError> {
        Ok(haproxy::order(&self.socket(replica), order).await.map_err(ChildError::io("order to HAProxy"))?)
    }
}

/// Orders that turn one list into another.
fn orders(old: &[ShardEntry], new: &[ShardEntry]) -> Vec<String> {
    let mut orders = Vec::new();
    for ShardEntry { number, name, address, state } in new {
        let before = old.iter().find(|shard| shard.number == *number);
        if before.is_none() {
            let id = id(*number);
            orders.push(format!("add server {BACKEND}/{name} {address} id {id} check {PROBES}"));
            orders.push(format!("enable server {BACKEND}/{name}"));
            orders.push(format!("enable health {BACKEND}/{name}"));
        }
        if before.map_or(ShardState::Ready, |shard| shard.state) != *state {
            orders.push(format!("set server {BACKEND}/{name} state {}", word(*state)));
        }
    }
    for ShardEntry { name, .. } in old.iter().filter(|old| !new.iter().any(|new| new.number == old.number)) {
        orders.push(format!("set server {BACKEND}/{name} state maint"));
        orders.push(format!("shutdown sessions server {BACKEND}/{name}"));
        // It may be refused while a connection idles; nobody is sent to a server in maintenance anyhow.
        orders.push(format!("del server {BACKEND}/{name}"));
    }
    orders
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
impl Kind for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn rules(&self) -> Rules {
        // All peers have the same table.
        Rules { ttl_ms: TTL_MS, bound: Some(self.setup.max_pins), ..Rules::default() }
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The signal by which its container images are stopped.
    fn farewell(&self) -> Signal {
        Signal::SIGUSR1
    }

    fn configure(&self, replica: usize, shards: &[ShardEntry]) -> io::Result<()> {
        let peers: Vec<_> =
            (1..).zip(&self.setup.places).map(|(number, place)| (name_of(number), place.peer)).collect();
        let server = |shard: &ShardEntry| {
            let disabled = if shard.state == ShardState::Down { " disabled" } else { "" };
            (shard.name.clone(), shard.address, format!("id {} {PROBES}{disabled}", id(shard.number)))
        };
        let shards: Vec<_> = shards.iter().map(server).collect();
        let blanks = Blanks {
            listen: self.setup.places[replica - 1].serve,
            socket: &self.socket(replica),
            peers: &peers,
            shards: &shards,
            table: self.setup.max_pins,
        };
        fs::write(self.config(replica), haproxy::render(KUBERNETES, &blanks))
    }

    fn command(&self, replica: usize) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("-db").arg("-L").arg(name_of(replica)).arg("-f").arg(self.config(replica));
        command
    }

    fn ready_url(&self, replica: usize) -> String {
        format!("http://{}{READY_PATH}", self.setup.places[replica - 1].serve)
    }

    async fn started(&self, replica: usize, shards: &[ShardEntry]) -> Result<(), TargetError> {
        for shard in shards.iter().filter(|shard| shard.state == ShardState::Draining) {
            self.order(replica, &format!("set server {BACKEND}/{} state drain", shard.name)).await?;
        }
        Ok(())
    }

    async fn tell(&self, replicas: &[Listener<'_>], old: &[ShardEntry], new: &[ShardEntry]) -> Result<(), TargetError> {
        let orders = orders(old, new);
        for &Listener { replica, .. } in replicas.iter().filter(|replica| replica.listens) {
            for order in &orders {
                let answer = self.order(replica, order).await?;
                let done = answer.trim().is_empty() || answer.contains("registered") || answer.contains("deleted");
                if !done {
                    tracing::debug!(replica, order, answer = answer.trim(), "HAProxy answers");
                }
                if !done && order.starts_with("add") {
                    return Err(TargetError::Deaf { name: name_of(replica), why: answer.trim().to_owned() });
                }
            }
        }
        Ok(())
    }
}
