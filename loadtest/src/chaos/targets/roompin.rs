//! Our own proxy. Its replicas do not share their pins yet; each brings its own back from its snapshot.

use std::{collections::BTreeMap, fmt::Write as _, fs, os::unix::fs::OpenOptionsExt, path::PathBuf, time::Duration};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use serde::Deserialize;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{Process, Rules, Setup, ShardEntry, ShardState, Target, TargetError, http_client, name_of};

/// For all replicas to take a new list of shards.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks whether they did.
const POLL: Duration = Duration::from_millis(30);
/// To leave: `drain_delay`, `drain_window`, and what comes with them.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);
/// Bearer of the admin ports, which are on no loopback in a namespace. They can be reached from there only.
const TOKEN: &str = "roompin-chaos-roompin-chaos-roompin-chaos";
/// A pin is on disk this long after it was made, at most: the snapshot's interval and the time to write it.
const DURABLE_MS: u64 = 2_500;

/// Replicas of `roompin-proxy`.
#[derive(Debug)]
pub(crate) struct Roompin {
    binary: PathBuf,
    setup: Setup,
    shards: Vec<ShardEntry>,
    processes: BTreeMap<usize, Process>,
    http: reqwest::Client,
}

/// The part of `GET /v1/shards` that tells whether a list has arrived.
#[derive(Deserialize)]
struct ShardList {
    shards: Vec<ShardView>,
}

#[derive(Deserialize)]
struct ShardView {
    name: String,
    discovery: String,
    present: bool,
}

impl Roompin {
    /// Replicas that do not run yet.
    ///
    /// # Errors
    /// When the token cannot be written, or there is no HTTP client.
    pub(crate) fn new(binary: PathBuf, setup: Setup) -> Result<Self, TargetError> {
        let http = http_client()?;
        let write = || {
            use std::io::Write as _;
            let path = setup.folder.join("token");
            fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?.write_all(TOKEN.as_bytes())
        };
        write().map_err(TargetError::io("token file"))?;
        Ok(Self { binary, setup, shards: Vec::new(), processes: BTreeMap::new(), http })
    }

    fn configuration(&self, replica: usize) -> String {
        let place = &self.setup.places[replica - 1];
        let mut text = format!("listen: [\"{}\"]\nshards:\n  static:\n", place.serve);
        for ShardEntry { name, address, state, .. } in &self.shards {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "    - {{ name: {name}, address: \"{address}\", state: {} }}", word(*state));
        }
        let Setup { ttl_s, max_pins, .. } = &self.setup;
        text + &format!(
            "rooms: {{ ttl: {ttl_s}s, max_pins: {max_pins} }}\n\
             probes: {{ tcp: {{ interval: 500ms, timeout: 500ms, rise: 2, fall: 3 }} }}\n\
             admin: {{ address: \"{}\", token_file: token }}\n\
             snapshot: {{ path: {}.pins, interval: 1s }}\n\
             shutdown: {{ drain_delay: 500ms, drain_window: 1s }}\n\
             log: {{ level: warn, access: off }}\n",
            place.admin,
            name_of(replica),
        )
    }

    fn config_path(&self, replica: usize) -> PathBuf {
        self.setup.folder.join(format!("{}.yaml", name_of(replica)))
    }

    fn write(&self, replica: usize) -> Result<(), TargetError> {
        fs::write(self.config_path(replica), self.configuration(replica)).map_err(TargetError::io("configuration"))
    }

    /// What a replica says about shards, if it says something.
    async fn knows(&self, replica: usize) -> Result<Vec<(String, String)>, reqwest::Error> {
        let url = format!("http://{}/v1/shards", self.setup.places[replica - 1].admin);
        let text = self.http.get(url).bearer_auth(TOKEN).send().await?.error_for_status()?.bytes().await?;
        // What is no list is not the list we wait for.
        let list: ShardList = serde_json::from_slice(&text).unwrap_or(ShardList { shards: Vec::new() });
        Ok(list.shards.into_iter().filter(|shard| shard.present).map(|shard| (shard.name, shard.discovery)).collect())
    }
}

fn word(state: ShardState) -> &'static str {
    match state {
        ShardState::Ready => "ready",
        ShardState::Draining => "draining",
        ShardState::Down => "down",
    }
}

#[async_trait]
impl Target for Roompin {
    fn name(&self) -> &'static str {
        "roompin"
    }

    fn rules(&self) -> Rules {
        // Each replica has a table of its own.
        let bound = self.setup.max_pins * self.setup.places.len();
        Rules { ttl_ms: self.setup.ttl_s * 1_000, bound: Some(bound), durable_ms: DURABLE_MS, ..Rules::default() }
    }

    async fn start(&mut self, replica: usize) -> Result<(), TargetError> {
        self.write(replica)?;
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config").arg(self.config_path(replica));
        let place = &self.setup.places[replica - 1];
        let mut process = Process::start(replica, command, &self.setup.folder, place)?;
        let url = format!("http://{}/readyz", place.admin);
        process.ready(&self.http, &url).await?;
        self.processes.insert(replica, process);
        Ok(())
    }

    async fn stop(&mut self, replica: usize, orderly: bool) {
        if let Some(process) = self.processes.remove(&replica) {
            process.end(orderly.then_some((Signal::SIGTERM, LEAVE_TIMEOUT))).await;
        }
    }

    fn pause(&mut self, replica: usize, paused: bool) -> Result<(), TargetError> {
        self.processes.get_mut(&replica).map_or(Ok(()), |process| process.pause(paused))
    }

    fn pid(&self, replica: usize) -> Option<u32> {
        self.processes.get(&replica)?.pid()
    }

    async fn set_shards(&mut self, shards: &[ShardEntry]) -> Result<(), TargetError> {
        self.shards = shards.to_vec();
        let mut wanted: Vec<_> =
            shards.iter().map(|shard| (shard.name.clone(), word(shard.state).to_owned())).collect();
        wanted.sort();
        for (replica, process) in &self.processes {
            self.write(*replica)?;
            process.signal(Signal::SIGHUP).map_err(TargetError::io("signal to a replica"))?;
        }
        let deadline = Instant::now() + RELOAD_TIMEOUT;
        for (replica, process) in &self.processes {
            if process.paused {
                continue;
            }
            loop {
                let mut knows = self.knows(*replica).await;
                if let Ok(list) = &mut knows {
                    list.sort();
                    if *list == wanted {
                        break;
                    }
                }
                if Instant::now() >= deadline {
                    let why = knows.map_or_else(|error| error.to_string(), |list| format!("{list:?}"));
                    return Err(TargetError::Deaf { name: name_of(*replica), why });
                }
                sleep(POLL).await;
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
