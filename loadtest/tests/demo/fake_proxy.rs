//! A process in place of `roompin-proxy`: passes each connection on to one shard, without looking into it.

use std::{collections::BTreeMap, env, net::SocketAddr, path::PathBuf, process::exit};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// The part of the configuration that a fake understands; a field it does not know is a mistake of the demo.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: Vec<SocketAddr>,
    shards: Shards,
    admin: Admin,
    cluster: Cluster,
    #[expect(dead_code, reason = "only its shape is checked")]
    log: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shards {
    #[serde(rename = "static")]
    fixed: Vec<Shard>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shard {
    name: String,
    address: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Admin {
    address: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cluster {
    listen: SocketAddr,
    peers: Vec<SocketAddr>,
    key_file: PathBuf,
}

/// Runs as `FAKE_PROXY_POLICY` says: `sticky` (all to one shard), `random`, `dies`
/// (before it is ready) or `dies-later`.
pub(crate) async fn run() {
    let path = env::var("FAKE_PROXY_CONFIG").expect("started by fake-proxy.sh");
    let policy = env::var("FAKE_PROXY_POLICY").expect("set by the test");
    if policy == "dies" {
        eprintln!("the fake proxy has nothing to live for");
        exit(7);
    }
    let config: Config = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(config.shards.fixed.iter().map(|shard| &shard.name).collect::<Vec<_>>(), ["shard-1", "shard-2"]);

    assert!(config.cluster.peers.len() == 2 && config.cluster.peers.contains(&config.cluster.listen));
    assert_eq!(std::fs::read_to_string(config.cluster.key_file).unwrap().trim().len(), 64);

    let listener = TcpListener::bind(config.listen[0]).await.unwrap();
    tokio::spawn(ready(TcpListener::bind(config.admin.address).await.unwrap()));
    if policy == "dies-later" {
        tokio::spawn(async {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            exit(7);
        });
    }
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let shards = config.shards.fixed.len();
        let pick = if policy == "random" { rand::random_range(0..shards) } else { 0 };
        let shard = config.shards.fixed[pick].address;
        tokio::spawn(async move {
            let mut shard = TcpStream::connect(shard).await?;
            copy_bidirectional(&mut client, &mut shard).await
        });
    }
}

/// Answers 200 to everything.
async fn ready(admin: TcpListener) {
    loop {
        let (mut client, _) = admin.accept().await.unwrap();
        let _ = client.read(&mut [0; 4096]).await;
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    }
}
