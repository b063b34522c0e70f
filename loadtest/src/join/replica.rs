//! One replica: its configuration, its process, and what it says of itself.

use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

use tokio::process::Command;

use super::{claims::Metrics, io as failed};
use crate::{
    child::Child,
    load::{peak_kib, resident_kib},
    roompin::{Config, Shard, Sharing},
    stub::StubShard,
    versus::VersusError,
};

/// The key's file in the folder.
pub(super) const KEY: &str = "key";
/// For one answer.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Replica {
    /// Where it serves.
    pub(super) serve: SocketAddr,
    admin: SocketAddr,
    process: Child,
    http: reqwest::Client,
}

impl Replica {
    /// Starts number `own` of replicas with these sockets, and waits for nothing. A snapshot of its name in the folder is
    /// its own.
    pub(super) fn start(
        binary: &Path,
        folder: &Path,
        name: &str,
        sockets: &[[SocketAddr; 3]],
        own: usize,
        shards: &[StubShard],
    ) -> Result<Self, VersusError> {
        let [serve, admin, mesh] = sockets[own];
        let all: Vec<_> = sockets.iter().map(|[.., peer]| *peer).collect();
        let sharing = Sharing { own: mesh, all: &all, key: &folder.join(KEY), claim_timeout: None };
        // Everything else at its default.
        let more = format!(
            "rooms: {{ max_pins: 10_000_000 }}\nsnapshot: {{ path: {name}.pins }}\n\
             shutdown: {{ drain_delay: 100ms, drain_window: 100ms }}\n"
        );
        let text = Config { listen: serve, admin, token: None, sharing: Some(sharing), more: &more };
        let text = text.text(shards.iter().map(|shard| Shard { name: &shard.name, address: shard.addr, state: None }));
        let config = folder.join(format!("{name}.yaml"));
        fs::write(&config, text).map_err(failed("configuration"))?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&config);
        let process = Child::start(name, command)?;
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build();
        let http = http.map_err(|error| failed("HTTP client")(io::Error::other(error)))?;
        Ok(Self { serve, admin, process, http })
    }

    /// Waits for `/readyz`.
    pub(super) async fn ready(&mut self, limit: Duration) -> Result<(), VersusError> {
        let url = format!("http://{}/readyz", self.admin);
        Ok(self.process.ready_within(limit, &self.http, &url).await?)
    }

    pub(super) async fn metrics(&self) -> Result<Metrics, VersusError> {
        let url = format!("http://{}/metrics", self.admin);
        let text = async { self.http.get(url).send().await?.error_for_status()?.text().await }.await;
        text.map(Metrics).map_err(|error| failed("metrics")(io::Error::other(error)))
    }

    /// A header of the answer to a path, if the answer has it.
    pub(super) async fn header(&self, path: &str, header: &str) -> Result<Option<String>, VersusError> {
        let answer = self.http.get(format!("http://{}{path}", self.serve)).send().await;
        let answer = answer.map_err(|error| failed("request")(io::Error::other(error)))?;
        Ok(answer.headers().get(header).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned))
    }

    pub(super) fn resident_kib(&self) -> Result<u64, VersusError> {
        resident_kib(self.pid()?).map_err(failed("memory of a replica"))
    }

    pub(super) fn peak_kib(&self) -> Result<u64, VersusError> {
        peak_kib(self.pid()?).map_err(failed("memory of a replica"))
    }

    fn pid(&self) -> Result<u32, VersusError> {
        self.process.pid().ok_or_else(|| failed("replica")(io::Error::from(io::ErrorKind::NotFound)))
    }

    /// Ends it at once.
    pub(super) async fn end(mut self) -> Result<(), VersusError> {
        let alive = self.process.still_runs().await;
        self.process.end().await;
        Ok(alive?)
    }

    /// Tells it to end, with a last snapshot.
    pub(super) async fn leave(self, limit: Duration) -> Result<(), VersusError> {
        Ok(self.process.leave(limit).await?)
    }
}
