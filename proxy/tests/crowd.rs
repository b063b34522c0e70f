//! A cluster at full size: a thousand conferences at a time, and what must not move them. One test at a time, so that
//! each has the machine to itself.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "crowd/assault.rs"]
mod assault;
#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "cluster/clients.rs"]
mod clients;
#[path = "crowd/conferences.rs"]
mod conferences;
#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "lifecycle/house.rs"]
mod house;
#[path = "crowd/kill.rs"]
mod kill;
#[path = "crowd/rolling.rs"]
mod rolling;
#[path = "crowd/strangers.rs"]
mod strangers;
#[path = "support/lib.rs"]
mod support;
#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "support/tap.rs"]
mod tap;
#[allow(dead_code, reason = "each test target uses its own part")]
#[path = "cluster/town.rs"]
mod town;
