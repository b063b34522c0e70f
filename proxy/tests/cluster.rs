//! Replicas that share their pins: real processes over loopback, in front of stub shards that say who they are. What is
//! restarted or killed, and at full size, is in `crowd.rs`; bad networks are in `netns.rs`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "cluster/clients.rs"]
mod clients;
#[path = "cluster/failures.rs"]
mod failures;
#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "lifecycle/house.rs"]
mod house;
#[path = "cluster/members.rs"]
mod members;
#[path = "cluster/operator.rs"]
mod operator;
#[path = "cluster/partition.rs"]
mod partition;
#[path = "cluster/relay.rs"]
mod relay;
#[path = "cluster/rooms.rs"]
mod rooms;
#[path = "support/lib.rs"]
mod support;
#[path = "cluster/town.rs"]
mod town;
