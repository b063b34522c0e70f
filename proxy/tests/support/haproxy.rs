//! HAProxy as a stand-in: it proves the harness, and it shows what the harness must be able to see.

use std::{fmt::Write as _, fs, net::SocketAddr, process::Command};

use super::{Port, Process, http_status, require};

/// How the stand-in chooses a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// Round robin with `stick on url_param(room)`, as published for Jitsi.
    Sticky,
    /// The same table over a consistent hash of the room, as 8x8 runs it: the hash masks the table's race.
    Hashed,
    /// Round robin only: a proxy whose pin is broken.
    Forgetful,
}

/// A running HAProxy.
pub(crate) struct Haproxy {
    /// The process: log, signals.
    pub(crate) process: Process,
    listen: Port,
}

impl Haproxy {
    /// Starts it in front of `shards` and waits until it answers.
    pub(crate) async fn start(balance: Balance, shards: &[(&str, SocketAddr)]) -> Self {
        let program = require("haproxy", "haproxy");
        let listen = Port::reserve();
        let folder = tempfile::tempdir().expect("make a folder for HAProxy");
        fs::write(folder.path().join("haproxy.cfg"), configuration(balance, listen.address(), shards))
            .expect("write HAProxy's configuration");
        let mut process = Process::start("haproxy", folder, move |folder| {
            let mut command = Command::new(&program);
            command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
            command
        });
        let url = format!("http://{}/haproxy-ready", listen.address());
        process.ready(async || http_status(&url).await == Some(200)).await;
        Self { process, listen }
    }

    /// Base URL for clients, without a trailing slash.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.listen.address())
    }
}

fn configuration(balance: Balance, listen: SocketAddr, shards: &[(&str, SocketAddr)]) -> String {
    let algorithm = if balance == Balance::Hashed {
        "balance url_param room\n  hash-type consistent sdbm avalanche"
    } else {
        "balance roundrobin"
    };
    let table = if balance == Balance::Forgetful {
        ""
    } else {
        "  stick-table type string len 256 size 10k expire 10m\n  stick on url_param(room)\n"
    };
    let mut text = format!(
        "global\n  log stdout format raw local0 info\n\
         defaults\n  mode http\n  log global\n  option httplog\n  option redispatch\n  retries 3\n\
         \x20 timeout connect 1s\n  timeout client 50s\n  timeout server 50s\n  timeout tunnel 1h\n\
         frontend browsers\n  bind {listen}\n  monitor-uri /haproxy-ready\n  default_backend shards\n\
         backend shards\n  {algorithm}\n  http-response set-header X-Jitsi-Shard %s\n{table}"
    );
    for (name, address) in shards {
        writeln!(text, "  server {name} {address} check inter 200ms rise 1 fall 2 on-marked-down shutdown-sessions")
            .expect("a String takes all");
    }
    text
}
