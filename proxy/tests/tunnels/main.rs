//! Tunnels end to end: what an idle one costs, and what slow, silent and leaving peers do to it and to others.

#[path = "../front/stage.rs"]
mod stage;
#[path = "../support/lib.rs"]
mod support;
#[path = "../front/wire.rs"]
mod wire;

mod endings;
mod handshake;
mod memory;
mod slow;
mod traffic;
