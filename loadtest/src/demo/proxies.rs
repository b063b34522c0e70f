//! The demo's replicas: their configuration, start, and who ends first.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{process::Command, time::sleep};

use crate::{
    child::{Child, ChildError, http_client},
    ports,
    roompin::{Config, Shard, Sharing, write_key},
    stub::StubShard,
};

/// Between two looks whether one has ended.
const LOOK: Duration = Duration::from_millis(50);
/// Starts when somebody else took a port that was free a moment ago.
const PORT_ATTEMPTS: usize = 3;

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
}

/// Starts one replica per port and waits until all are ready. When a port is taken, all start again on others.
///
/// # Errors
/// See [`ChildError`].
pub(super) async fn start_all(
    binary: &Path,
    folder: &Path,
    ports: &[u16],
    shards: &[StubShard],
) -> Result<Vec<Proxy>, ChildError> {
    let mut attempt = 1;
    loop {
        match start_once(binary, folder, ports, shards).await {
            Err(error) if attempt < PORT_ATTEMPTS && error.port_was_taken() => attempt += 1,
            done => return done,
        }
    }
}

async fn start_once(
    binary: &Path,
    folder: &Path,
    ports: &[u16],
    shards: &[StubShard],
) -> Result<Vec<Proxy>, ChildError> {
    // Besides the ports for browsers, each has one for the admin and one for the other replicas.
    let wanted: Vec<u16> = ports.iter().copied().chain(ports.iter().flat_map(|_| [0, 0])).collect();
    let addresses = ports::pick(&wanted).map_err(ChildError::io("free ports"))?;
    let (serving, others) = addresses.split_at(ports.len());
    let (admin, mesh) = others.split_at(ports.len());
    let key = folder.join("key");
    write_key(&key).map_err(ChildError::io("key"))?;
    let mut proxies = Vec::new();
    for (number, ((&address, &admin), &own)) in (1..).zip(serving.iter().zip(admin).zip(mesh)) {
        let name = format!("replica-{number}");
        let sharing = Some(Sharing { own, all: mesh, key: &key, claim_timeout: None });
        let text = Config { listen: address, admin, token: None, sharing, more: "" }
            .text(shards.iter().map(|shard| Shard { name: &shard.name, address: shard.addr, state: None }));
        let config = folder.join(format!("{name}.yaml"));
        fs::write(&config, text).map_err(ChildError::io("configuration"))?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&config);
        let child = Child::start(&name, command)?;
        proxies.push(Proxy { name, address, admin, config, child });
    }
    let http = http_client()?;
    for proxy in &mut proxies {
        proxy.child.ready_at(&http, &format!("http://{}/readyz", proxy.admin)).await?;
    }
    Ok(proxies)
}

/// Waits until one of the processes has ended; says which, how and with what words.
pub(super) async fn first_to_end(proxies: &mut [Proxy]) -> String {
    loop {
        for proxy in &mut *proxies {
            if let Err(error) = proxy.child.still_runs().await {
                return error.to_string();
            }
        }
        sleep(LOOK).await;
    }
}

impl Proxy {
    /// Ends the process and waits for its end.
    pub(super) async fn end(self) {
        self.child.end().await;
    }
}
