//! One replica: its configuration, its process, and what it says of itself.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use super::{claims::Metrics, io as failed};
use crate::{
    load::{peak_kib, resident_kib},
    stub::StubShard,
    versus::{VersusError, process::Process},
};

/// For one answer.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Replica {
    /// Where it serves.
    pub(super) serve: SocketAddr,
    admin: SocketAddr,
    process: Process,
    http: reqwest::Client,
}

/// A key that nobody else has.
pub(super) fn write_key(path: &Path) -> io::Result<()> {
    let [high, low]: [u128; 2] = rand::random();
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{high:032x}{low:032x}")
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
        let mut text = format!("listen: [\"{serve}\"]\nadmin: {{ address: \"{admin}\" }}\nshards:\n  static:\n");
        for shard in shards {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "    - {{ name: {}, address: \"{}\" }}", shard.name, shard.addr);
        }
        let peers: Vec<_> = sockets.iter().map(|[.., peer]| format!("\"{peer}\"")).collect();
        // Everything else at its default.
        let _ = write!(
            text,
            "cluster: {{ listen: \"{mesh}\", peers: [{}], key_file: key }}\n\
             rooms: {{ max_pins: 10_000_000 }}\n\
             snapshot: {{ path: {name}.pins }}\n\
             shutdown: {{ drain_delay: 100ms, drain_window: 100ms }}\n\
             log: {{ level: warn, access: off }}\n",
            peers.join(", "),
        );
        let config = folder.join(format!("{name}.yaml"));
        fs::write(&config, text).map_err(failed("configuration"))?;
        let process = Process::start(name, binary, vec!["run".into(), "--config".into(), config.into()], None)?;
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build();
        let http = http.map_err(|error| failed("HTTP client")(io::Error::other(error)))?;
        Ok(Self { serve, admin, process, http })
    }

    /// Waits for `/readyz`.
    pub(super) async fn ready(&mut self, limit: Duration) -> Result<(), VersusError> {
        let (http, url) = (self.http.clone(), format!("http://{}/readyz", self.admin));
        let ready = async |_: &str| http.get(&url).send().await.is_ok_and(|a| a.status().is_success()).then_some(());
        self.process.ready_within(limit, ready).await
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
        resident_kib(self.process.pid()).map_err(failed("memory of a replica"))
    }

    pub(super) fn peak_kib(&self) -> Result<u64, VersusError> {
        peak_kib(self.process.pid()).map_err(failed("memory of a replica"))
    }

    /// Ends it at once.
    pub(super) async fn end(mut self) -> Result<(), VersusError> {
        let alive = self.process.still_runs();
        self.process.end().await;
        alive
    }

    /// Tells it to end, with a last snapshot.
    pub(super) async fn leave(self, limit: Duration) -> Result<(), VersusError> {
        self.process.leave(limit).await
    }
}
