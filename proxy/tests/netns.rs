//! Replicas in network namespaces, whose packets are lost and late: real ones, below TCP.
//!
//! These tests need root (or `unshare --user --map-root-user --net`) and iproute2. Where the kernel has netem, that
//! does the work; elsewhere a relay of packets in user space does. Each test says which.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "cluster/clients.rs"]
mod clients;
#[path = "netns/country.rs"]
mod country;
#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "lifecycle/house.rs"]
mod house;
#[path = "netns/silence.rs"]
mod silence;
#[path = "support/lib.rs"]
mod support;
#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "cluster/town.rs"]
mod town;
#[path = "netns/weather.rs"]
mod weather;
