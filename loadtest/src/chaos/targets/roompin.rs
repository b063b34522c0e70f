//! Our own proxy. Its replicas share their pins; each also brings its own back from its snapshot.

use std::{fs, io, net::SocketAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use serde::Deserialize;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{Kind, Listener, Rules, Setup, ShardEntry, ShardState, TargetError, name_of};
use crate::{
    child::{ChildError, http_client},
    roompin::{Config, Shard, Sharing, late_claims, write_key, write_secret},
};

/// For all replicas to take a new list of shards.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks whether they did.
const POLL: Duration = Duration::from_millis(30);
/// Bearer of the admin ports, which are on no loopback in a namespace. They can be reached from there only.
const TOKEN: &str = "roompin-chaos-roompin-chaos-roompin-chaos";

/// A lone replica's pin is on disk this long after it was made, at most: the snapshot's interval and the time to write it.
const DURABLE_MS: u64 = 2_500;

/// A replica with space for one more does not know of the room that another is just taking in: as many as a flood sends at
/// once.
const AT_ONCE: usize = 8;

/// Replicas of `roompin-proxy`.
#[derive(Debug)]
pub(crate) struct Roompin {
    binary: PathBuf,
    setup: Setup,
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
    /// With this binary.
    ///
    /// # Errors
    /// When the token or the key cannot be written, or there is no HTTP client.
    pub(crate) fn new(binary: PathBuf, setup: Setup) -> Result<Self, TargetError> {
        let this = Self { binary, setup, http: http_client()? };
        write_secret(&this.token(), TOKEN).map_err(ChildError::io("token file"))?;
        write_key(&this.key()).map_err(ChildError::io("key file"))?;
        Ok(this)
    }

    fn token(&self) -> PathBuf {
        self.setup.folder.join("token")
    }

    fn key(&self) -> PathBuf {
        self.setup.folder.join("key")
    }

    fn config(&self, replica: usize) -> PathBuf {
        self.setup.folder.join(format!("{}.yaml", name_of(replica)))
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
impl Kind for Roompin {
    fn name(&self) -> &'static str {
        "roompin"
    }

    fn rules(&self) -> Rules {
        let Setup { places, ttl_s, max_pins, .. } = &self.setup;
        // All replicas have the same table, and a pin that one forgets lives on in the others, if there are any.
        let (durable_ms, at_once) = if places.len() > 1 { (0, AT_ONCE) } else { (DURABLE_MS, 0) };
        Rules { ttl_ms: ttl_s * 1_000, bound: Some(*max_pins), at_once, durable_ms, ..Rules::default() }
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn farewell(&self) -> Signal {
        Signal::SIGTERM
    }

    fn configure(&self, replica: usize, shards: &[ShardEntry]) -> io::Result<()> {
        let Setup { folder, places, ttl_s, max_pins, claim_timeout } = &self.setup;
        let place = &places[replica - 1];
        let all: Vec<SocketAddr> = places.iter().map(|place| place.peer).collect();
        let (token, key) = (self.token(), self.key());
        let pins = folder.join(format!("{}.pins", name_of(replica)));
        let more = format!(
            "rooms: {{ ttl: {ttl_s}s, max_pins: {max_pins} }}\n\
             probes: {{ tcp: {{ interval: 500ms, timeout: 500ms, rise: 2, fall: 3 }} }}\n\
             snapshot: {{ path: \"{}\", interval: 1s }}\n\
             shutdown: {{ drain_delay: 500ms, drain_window: 1s }}\n",
            pins.display(),
        );
        let config = Config {
            listen: place.serve,
            admin: place.admin,
            token: Some(&token),
            sharing: (all.len() > 1).then_some(Sharing {
                own: place.peer,
                all: &all,
                key: &key,
                claim_timeout: *claim_timeout,
            }),
            more: &more,
        };
        let shards = shards.iter().map(|shard| Shard {
            name: &shard.name,
            address: shard.address,
            state: Some(word(shard.state)),
        });
        fs::write(self.config(replica), config.text(shards))
    }

    fn command(&self, replica: usize) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config").arg(self.config(replica));
        command
    }

    fn ready_url(&self, replica: usize) -> String {
        format!("http://{}/readyz", self.setup.places[replica - 1].admin)
    }

    async fn late(&self, replica: usize) -> Option<u64> {
        let url = format!("http://{}/metrics", self.setup.places[replica - 1].admin);
        late_claims(&self.http, &url, Some(TOKEN)).await.ok()
    }

    async fn started(&self, _replica: usize, _shards: &[ShardEntry]) -> Result<(), TargetError> {
        Ok(())
    }

    async fn tell(&self, replicas: &[Listener<'_>], _: &[ShardEntry], new: &[ShardEntry]) -> Result<(), TargetError> {
        let mut wanted: Vec<_> = new.iter().map(|shard| (shard.name.clone(), word(shard.state).to_owned())).collect();
        wanted.sort();
        for Listener { replica, process, .. } in replicas {
            self.configure(*replica, new).map_err(ChildError::io("configuration"))?;
            process.signal(Signal::SIGHUP).map_err(ChildError::io("signal to a replica"))?;
        }
        let deadline = Instant::now() + RELOAD_TIMEOUT;
        for &Listener { replica, .. } in replicas.iter().filter(|replica| replica.listens) {
            loop {
                let mut knows = self.knows(replica).await;
                if let Ok(list) = &mut knows {
                    list.sort();
                    if *list == wanted {
                        break;
                    }
                }
                if Instant::now() >= deadline {
                    let why = knows.map_or_else(|error| error.to_string(), |list| format!("{list:?}"));
                    return Err(TargetError::Deaf { name: name_of(replica), why });
                }
                sleep(POLL).await;
            }
        }
        Ok(())
    }
}
