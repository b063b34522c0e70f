//! The life of the proxy's own process: start, reload, operators, crashes and the way out. Always the real binary over
//! loopback, in front of stub shards.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "lifecycle/access_log.rs"]
mod access_log;
#[path = "lifecycle/agent.rs"]
mod agent;
#[path = "lifecycle/command_line.rs"]
mod command_line;
#[path = "support/dns.rs"]
mod dns;
#[path = "lifecycle/dns_shards.rs"]
mod dns_shards;
#[path = "lifecycle/house.rs"]
mod house;
#[path = "lifecycle/metrics.rs"]
mod metrics;
#[path = "lifecycle/operator.rs"]
mod operator;
#[path = "lifecycle/reload.rs"]
mod reload;
#[path = "lifecycle/shutdown.rs"]
mod shutdown;
#[path = "lifecycle/snapshot.rs"]
mod snapshot;
#[path = "support/lib.rs"]
mod support;
