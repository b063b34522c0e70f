//! roompin-proxy: I/O around the decisions of `router-core`.

pub mod admin;
pub mod clock;
pub mod config;
pub mod metrics;
pub mod snapshot;
