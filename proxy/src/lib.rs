//! roompin-proxy: I/O around the decisions of `router-core`.

mod access_log;
pub mod admin;
pub mod cli;
pub mod clock;
mod cluster;
pub mod config;
pub mod discovery;
mod edge;
mod front;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod http;
mod log;
pub mod mesh;
pub mod metrics;
pub mod probe;
pub mod server;
pub mod snapshot;
mod tunnel;
