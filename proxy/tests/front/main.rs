//! The front door end to end: what it refuses, what it bears, and what shards and clients see through it.

#[path = "../support/lib.rs"]
mod support;

mod abuse;
mod bodies;
mod bounds;
mod failures;
mod forwarded;
mod keepalive;
mod smuggling;
mod stage;
mod wire;
