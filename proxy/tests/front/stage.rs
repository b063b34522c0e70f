//! A proxy on its stage: how it is set up, and what can be seen of it from outside.
#![allow(dead_code, reason = "two test targets share this, and each uses its own part")]

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use loadtest::stub::StubShard;
use tokio::time::{Instant, sleep};

pub(crate) use crate::support::raise_file_limit;
use crate::{
    support::RoompinProxy,
    wire::{LIMIT, Wire},
};

/// A running proxy with the address that clients use.
pub(crate) struct Stage {
    pub(crate) proxy: RoompinProxy,
    pub(crate) addr: SocketAddr,
}

impl Stage {
    /// A proxy in front of shards that are never probed unless `more` says so; `more` are further YAML sections.
    pub(crate) async fn new(shards: &[(&str, SocketAddr)], more: &str) -> Self {
        let proxy = RoompinProxy::start(|listen, admin| {
            let mut yaml = format!("listen: [\"{listen}\"]\nadmin: {{ address: \"{admin}\" }}\nshards:\n  static:\n");
            for (name, address) in shards {
                writeln!(yaml, "    - {{ name: {name}, address: \"{address}\" }}").expect("to a String");
            }
            if !more.contains("probes:") {
                yaml.push_str("probes: { tcp: off }\n");
            }
            if !more.contains("log:") {
                yaml.push_str("log: { level: info, access: off }\n");
            }
            yaml + more
        })
        .await;
        let addr = proxy.base().trim_start_matches("http://").parse().expect("an address");
        Self { proxy, addr }
    }

    /// With one stub shard, `s1`.
    pub(crate) async fn with_stub(more: &str) -> (Self, StubShard) {
        let stub = stub("s1").await;
        (Self::new(&[("s1", stub.addr)], more).await, stub)
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.addr).await
    }

    /// The sum of all series of `/metrics` that start with `series`.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let url = format!("{}/metrics", self.proxy.admin());
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let text = client.get(url).send().await.expect("metrics").text().await.expect("text");
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric has at least this value.
    pub(crate) async fn metric_reaches(&self, series: &str, value: f64) {
        until(&format!("{series} to reach {value}"), async || self.metric(series).await >= value).await;
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.proxy.process.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.proxy.process.id())).expect("its descriptors").count()
    }
}

pub(crate) async fn stub(name: &str) -> StubShard {
    StubShard::start(name, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("start a stub")
}

/// Waits for something to become true; panics with `what` after 20 s.
pub(crate) async fn until(what: &str, met: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !met().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
